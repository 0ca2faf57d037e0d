"""What the web application does with a worker's messages. A report may come twice: an item is counted once."""

from typing import NamedTuple
from uuid import UUID

from sqlalchemy import case, delete, func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from cwz_web.generation.assets import record_asset
from cwz_web.generation.models import Template
from cwz_web.generation.templates import open_design
from cwz_web.generation.usage import give_back
from cwz_web.imaging.encoders import Output
from cwz_web.runs.models import RenderMessage, Run, RunItem
from cwz_web.runs.planning import meter_of
from cwz_web.runs.protocol import AskSpecification, Gone, Item, Refused, Report, Result, Specification
from cwz_web.storage.connections import connections_from


def take_message(db: Session, identity: str) -> None:
    """Note that a message was taken. Raises Refused when it was before."""
    statement = insert(RenderMessage).values(id=identity).on_conflict_do_nothing().returning(RenderMessage.id)
    if db.execute(statement).one_or_none() is None:
        raise Refused


def forget_messages(db: Session) -> None:
    """Drop the ids of messages that are too old to be taken anyway."""
    db.execute(delete(RenderMessage).where(RenderMessage.received_at < func.now() - text("interval '1 hour'")))


def specify(db: Session, ask: AskSpecification) -> Specification:
    """What is still to do of a chunk. Raises Gone."""
    run = _run(db, ask.workspace_id, ask.run_id)
    template = db.get_one(Template, (run.workspace_id, run.template_id))
    connections = connections_from(db, run.workspace_id, run.connection_id)
    items = db.scalars(
        select(RunItem)
        .where(
            RunItem.workspace_id == run.workspace_id,
            RunItem.run_id == run.id,
            RunItem.chunk == ask.chunk,
            RunItem.state == "pending",
        )
        .order_by(RunItem.position)
    )
    return Specification(
        template=open_design(db, template, run.template_version).document,
        output=Output.model_validate(run.output),
        places=tuple(connection.place for connection in connections),
        items=tuple(Item(position=item.position, data=item.data) for item in items),
    )


def apply_report(db: Session, report: Report) -> None:
    """Write down what became of items, and count those that were pending until now. Raises Gone."""
    run = _run(db, report.workspace_id, report.run_id, lock=True)
    counted, free = {"done": 0, "failed": 0}, 0
    for result in sorted(report.results, key=lambda result: result.position):
        if ended := _settle(db, run, result):
            counted[ended.state] += 1
            free += ended.free
    if free:
        give_back(db, meter_of(run), free, run.counted_in)
    done, failed = Run.done + counted["done"], Run.failed + counted["failed"]
    db.execute(
        update(Run)
        .where(Run.workspace_id == run.workspace_id, Run.id == run.id)
        .values(
            done=done,
            failed=failed,
            finished_at=case((done + failed == Run.total, func.coalesce(Run.finished_at, func.clock_timestamp()))),
        )
    )


class _Ended(NamedTuple):
    """How an item ended, and whether it costs nothing: it failed, or its picture was kept already."""

    state: str
    free: bool


def _settle(db: Session, run: Run, result: Result) -> _Ended | None:
    """Give a pending item its end. None when it had ended before."""
    item = db.scalar(
        select(RunItem)
        .where(
            RunItem.workspace_id == run.workspace_id,
            RunItem.run_id == run.id,
            RunItem.position == result.position,
            RunItem.state == "pending",
        )
        .with_for_update()
    )
    if item is None:
        return None
    if result.kept is not None:
        item.state, item.note = "done", result.note
        asset, is_new = record_asset(
            db,
            run.workspace_id,
            result.kept,
            name=item.key,
            connection_id=run.connection_id,
            template_id=run.template_id,
            version=run.template_version,
        )
        item.asset_id = asset.id
        return _Ended("done", not is_new)
    item.state, item.error = "failed", result.error or "The picture could not be made"
    return _Ended("failed", True)


def _run(db: Session, workspace_id: UUID, run_id: UUID, *, lock: bool = False) -> Run:
    run = db.get(Run, (workspace_id, run_id), with_for_update=lock or None)
    if run is None:
        raise Gone
    return run

"""What the web application does with a worker's messages. A report may come twice: an item is counted once."""

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import delete, func, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from cwz_web.generation.assets import record_asset
from cwz_web.generation.models import Asset, Template
from cwz_web.generation.signing import Addresses
from cwz_web.generation.templates import open_design
from cwz_web.generation.usage import give_back
from cwz_web.imaging.encoders import Output
from cwz_web.notify.webhooks import Event, emit
from cwz_web.runs.models import RenderMessage, Run, RunItem
from cwz_web.runs.planning import meter_of
from cwz_web.runs.protocol import AskSpecification, Gone, Item, Refused, Report, Result, Specification
from cwz_web.runs.telling import tell_end
from cwz_web.storage.connections import connections_from
from cwz_web.storage.plugins import Providers

LOST = "It was tried for hours without success, and then given up"


def take_message(db: Session, identity: str) -> None:
    """Note that a message was taken. Raises Refused when it was before."""
    statement = insert(RenderMessage).values(id=identity).on_conflict_do_nothing().returning(RenderMessage.id)
    if db.execute(statement).one_or_none() is None:
        raise Refused


def forget_messages(db: Session) -> None:
    """Drop the ids of messages that are too old to be taken anyway."""
    db.execute(delete(RenderMessage).where(RenderMessage.received_at < func.now() - text("interval '1 hour'")))


def specify(db: Session, ask: AskSpecification, providers: Providers) -> Specification:
    """What is still to do of a chunk: nothing of a run that has ended, or is being prepared. Raises Gone."""
    run = _run(db, ask.workspace_id, ask.run_id)
    template = db.get_one(Template, (run.workspace_id, run.template_id))
    connections = connections_from(db, run.workspace_id, run.connection_id)
    mine = select(RunItem).where(
        RunItem.workspace_id == run.workspace_id,
        RunItem.run_id == run.id,
        RunItem.chunk == ask.chunk,
        RunItem.state == "pending",
    )
    items = db.scalars(mine.order_by(RunItem.position)) if run.is_drawn else ()
    return Specification(
        template=open_design(db, template, run.template_version).document,
        outputs=tuple(Output.model_validate(output) for output in run.outputs),
        places=tuple(providers.lend(connection.place) for connection in connections),
        items=tuple(Item(position=item.position, data=item.data, output=item.output) for item in items),
    )


def apply_report(db: Session, report: Report, addresses: Addresses) -> None:
    """Write down what became of items, count those that were pending until now, and tell webhooks. Raises Gone."""
    run = _run(db, report.workspace_id, report.run_id, lock=True)
    if not run.is_drawn:
        return
    settled = [_settle(db, run, result) for result in sorted(report.results, key=lambda result: result.position)]
    ended = [each for each in settled if each is not None]
    if not ended:
        return
    free = sum(each.free for each in ended)
    if free:
        give_back(db, meter_of(run), free, run.counted_in)
    run.done += sum(each.asset is not None for each in ended)
    run.failed += sum(each.asset is None for each in ended)
    run.drawing_seconds += report.seconds
    if not run.pending:
        run.finished_at = db.scalar(select(func.clock_timestamp()))
    db.flush()
    _tell(db, run, ended, addresses)


def give_up_lost(db: Session, workspace_id: UUID, run_id: UUID, chunks: Sequence[int], addresses: Addresses) -> None:
    """End the pending items of chunks whose jobs are gone, so that the run ends and can be retried. Raises Gone."""
    lost = select(RunItem.position).where(
        RunItem.workspace_id == workspace_id,
        RunItem.run_id == run_id,
        RunItem.chunk.in_(chunks),
        RunItem.state == "pending",
    )
    results = tuple(Result(position=position, error=LOST) for position in db.scalars(lost.limit(500)))
    apply_report(db, Report(workspace_id=workspace_id, run_id=run_id, results=results), addresses)


def _tell(db: Session, run: Run, ended: Sequence["_Ended"], addresses: Addresses) -> None:
    """Tell webhooks of the new pictures, and of the run when it is over."""
    about = {"run": str(run.id), "template": str(run.template_id)}
    created = [
        {**addresses.describe(each.asset), **about, "key": each.item.key}
        for each in ended
        if each.asset and not each.free
    ]
    if run.feed_id is None:
        (only,) = ended
        if only.asset:
            event, told = Event.IMAGE_CREATED, {**addresses.describe(only.asset), **about, "key": only.item.key}
        else:
            event, told = Event.IMAGE_FAILED, {**about, "error": only.item.error}
        emit(db, run.workspace_id, event, told, webhook=run.webhook)
        return
    emit(db, run.workspace_id, Event.IMAGE_CREATED, *created)
    if run.finished_at:
        tell_end(db, run)


class _Ended(NamedTuple):
    """How an item ended: its picture, if there is one, and whether it costs nothing, since it was kept already."""

    item: RunItem
    asset: Asset | None
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
        return _Ended(item, asset, not is_new)
    item.state, item.error = "failed", result.error or "The picture could not be made"
    return _Ended(item, None, True)


def _run(db: Session, workspace_id: UUID, run_id: UUID, *, lock: bool = False) -> Run:
    run = db.get(Run, (workspace_id, run_id), with_for_update=lock or None)
    if run is None:
        raise Gone
    return run

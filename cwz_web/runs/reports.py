"""What the web application does with a worker's messages. A report may come twice: an item is counted once."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import delete, func, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from cwz_web.db.session import FOR_NO_KEY_UPDATE
from cwz_web.generation.images import record_images
from cwz_web.generation.models import Image, Template
from cwz_web.generation.signed_urls import SignedUrls
from cwz_web.generation.templates import open_design
from cwz_web.generation.usage import give_back
from cwz_web.imaging.encoders import Output
from cwz_web.notify.webhooks import Event, emit
from cwz_web.runs.models import RenderMessage, Run, RunItem
from cwz_web.runs.notifications import notify_run_finished
from cwz_web.runs.planning import quota_of
from cwz_web.runs.protocol import (
    AskSpecification,
    Item,
    MessageRefusedError,
    Report,
    Result,
    RunGoneError,
    Specification,
)
from cwz_web.storage.connections import connections_from
from cwz_web.storage.plugins import Providers

# One statement, however many: each by itself costs a question and its part of a report's time under the run's lock.
_END = text("""
    UPDATE run_items AS item
    SET state = CASE WHEN ended.image_id IS NULL THEN 'failed' ELSE 'done' END,
        image_id = ended.image_id, note = ended.note, error = ended.error
    FROM unnest(CAST(:positions AS integer[]), CAST(:images AS uuid[]), CAST(:notes AS text[]), CAST(:errors AS text[]))
         AS ended (position, image_id, note, error)
    WHERE item.workspace_id = :workspace AND item.run_id = :run AND item.position = ended.position
""")
LOST = "It was tried for hours without success, and then given up"


def record_message_id(db: Session, identity: str) -> None:
    """Note that a message was taken. Raises Refused when it was before."""
    statement = insert(RenderMessage).values(id=identity).on_conflict_do_nothing().returning(RenderMessage.id)
    if db.execute(statement).one_or_none() is None:
        raise MessageRefusedError


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
    items = db.scalars(mine.order_by(RunItem.position)) if run.is_rendered else ()
    return Specification(
        template=open_design(db, template, run.template_version).document,
        outputs=tuple(Output.model_validate(output) for output in run.outputs),
        places=tuple(providers.lend(connection.place) for connection in connections),
        items=tuple(Item(position=item.position, data=item.data, output=item.output) for item in items),
    )


def apply_report(db: Session, report: Report, signed_urls: SignedUrls) -> None:
    """Write down what became of items, count those that were pending until now, and tell webhooks. Raises Gone."""
    run = _run(db, report.workspace_id, report.run_id, lock=True)
    if not run.is_rendered:
        return
    ended = _settle(db, run, report.results)
    if not ended:
        return
    free = sum(each.free for each in ended)
    if free:
        give_back(db, quota_of(run), free, run.counted_in)
    run.done += sum(each.image is not None for each in ended)
    run.failed += sum(each.image is None for each in ended)
    run.rendering_seconds += report.seconds
    if not run.pending:
        run.finished_at = db.scalar(select(func.clock_timestamp()))
    db.flush()
    _tell(db, run, ended, signed_urls)


def give_up_lost(db: Session, workspace_id: UUID, run_id: UUID, chunks: Sequence[int], signed_urls: SignedUrls) -> None:
    """End the pending items of chunks whose jobs are gone, so that the run ends and can be retried. Raises Gone."""
    lost = select(RunItem.position).where(
        RunItem.workspace_id == workspace_id,
        RunItem.run_id == run_id,
        RunItem.chunk.in_(chunks),
        RunItem.state == "pending",
    )
    results = tuple(Result(position=position, error=LOST) for position in db.scalars(lost.limit(500)))
    apply_report(db, Report(workspace_id=workspace_id, run_id=run_id, results=results), signed_urls)


def _tell(db: Session, run: Run, ended: Sequence["_Ended"], signed_urls: SignedUrls) -> None:
    """Tell webhooks of the new images, and of the run when it is over."""
    about = {"run": str(run.id), "template": str(run.template_id)}
    created = [
        {**signed_urls.describe(each.image), **about, "key": each.key} for each in ended if each.image and not each.free
    ]
    if run.feed_id is None:
        (only,) = ended
        if only.image:
            event, told = Event.IMAGE_CREATED, {**signed_urls.describe(only.image), **about, "key": only.key}
        else:
            event, told = Event.IMAGE_FAILED, {**about, "error": only.error}
        emit(db, run.workspace_id, event, told, webhook=run.webhook)
        return
    emit(db, run.workspace_id, Event.IMAGE_CREATED, *created)
    if run.finished_at:
        notify_run_finished(db, run)


class _Ended(NamedTuple):
    """How an item ended: its image, and what is missing in it, or why there is none; and whether it costs nothing,
    since there is none, or it was kept already."""

    position: int
    key: str
    image: Image | None
    note: str | None
    error: str | None
    free: bool


def _settle(db: Session, run: Run, results: Iterable[Result]) -> list[_Ended]:
    """Give pending items of a run that is locked their ends; those that have one keep it."""
    told = {result.position: result for result in results}
    mine = select(RunItem.position, RunItem.key).where(
        RunItem.workspace_id == run.workspace_id,
        RunItem.run_id == run.id,
        RunItem.position.in_(told),
        RunItem.state == "pending",
    )
    items = db.execute(mine.order_by(RunItem.position)).all()
    recorded = record_images(
        db,
        run.workspace_id,
        ((item.key, kept) for item in items if (kept := told[item.position].kept)),
        connection_id=run.connection_id,
        template_id=run.template_id,
        version=run.template_version,
    )
    new = {digest for digest, (_, is_new) in recorded.items() if is_new}
    ended = []
    for item in items:
        result = told[item.position]
        if result.kept is None:
            error = result.error or "The image could not be made"
            ended.append(_Ended(item.position, item.key, None, None, error, free=True))
        else:
            digest = result.kept.digest
            image, _ = recorded[digest]
            ended.append(_Ended(item.position, item.key, image, result.note, None, free=digest not in new))
            new.discard(digest)  # the same image twice is one
    db.execute(
        _END,
        {
            "workspace": run.workspace_id,
            "run": run.id,
            "positions": [each.position for each in ended],
            "images": [each.image and each.image.id for each in ended],
            "notes": [each.note for each in ended],
            "errors": [each.error for each in ended],
        },
    )
    return ended


def _run(db: Session, workspace_id: UUID, run_id: UUID, *, lock: bool = False) -> Run:
    run = db.get(Run, (workspace_id, run_id), with_for_update=FOR_NO_KEY_UPDATE if lock else None)
    if run is None:
        raise RunGoneError
    return run

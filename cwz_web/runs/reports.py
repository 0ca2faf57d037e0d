"""What the web application does with a render worker's messages. A report may arrive twice: each item counts once."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import delete, func, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from cwz_web.db.session import FOR_NO_KEY_UPDATE
from cwz_web.generation.images import StoredImage, record_images
from cwz_web.generation.models import Image, Template
from cwz_web.generation.signed_urls import SignedUrls
from cwz_web.generation.templates import load_design
from cwz_web.generation.usage import refund
from cwz_web.imaging.encoders import Format, Output
from cwz_web.notify.webhooks import Event, emit
from cwz_web.runs.mapping import finish_values
from cwz_web.runs.models import RenderMessage, Run, RunItem
from cwz_web.runs.notifications import notify_run_finished
from cwz_web.runs.planning import quota_of
from cwz_web.runs.protocol import (
    ItemResult,
    MessageRejectedError,
    RenderItem,
    Report,
    RunNotFoundError,
    Specification,
    SpecificationRequest,
)
from cwz_web.storage.connections import image_key, list_connections_first
from cwz_web.storage.plugins import ProviderRegistry
from cwz_web.values.formats import is_json_number, load_formats

# One statement for all items: one each would cost a round trip, and its part of a report's time under the run's lock.
_UPDATE_ITEMS = text("""
    UPDATE run_items AS item
    SET state = CASE WHEN result.image_id IS NULL THEN 'failed' ELSE 'done' END,
        image_id = result.image_id, warning = result.warning, error = result.error
    FROM unnest(CAST(:positions AS integer[]), CAST(:images AS uuid[]), CAST(:warnings AS text[]),
                CAST(:errors AS text[])) AS result (position, image_id, warning, error)
    WHERE item.workspace_id = :workspace AND item.run_id = :run AND item.position = result.position
""")
# The run's lock is held while the items of orphaned chunks are failed, so only so many at once.
MAX_ORPHANED_ITEMS = 500
ORPHANED = "Rendering failed repeatedly. Retry the run"
NO_IMAGE = "The image could not be rendered"
OTHER_IMAGE = "The render worker reported an image that is not this row’s"


def record_message_id(db: Session, message_id: str) -> None:
    """Record that a message was received. Raise MessageRejectedError when it was received before."""
    statement = insert(RenderMessage).values(id=message_id).on_conflict_do_nothing().returning(RenderMessage.id)
    if db.execute(statement).one_or_none() is None:
        raise MessageRejectedError


def delete_old_messages(db: Session) -> None:
    """Delete the ids of messages that are too old to be accepted anyway."""
    db.execute(delete(RenderMessage).where(RenderMessage.received_at < func.now() - text("interval '1 hour'")))


def build_specification(db: Session, request: SpecificationRequest, providers: ProviderRegistry) -> Specification:
    """Build the specification of a chunk's pending items.

    It has no items while the run is not being rendered.

    Args:
        db: a transaction in the workspace.
        request: names the chunk.
        providers: delegate the connections.

    Raises:
        RunNotFoundError: the run does not exist.
    """
    run = _get_run(db, request.workspace_id, request.run_id)
    template = db.get_one(Template, (run.workspace_id, run.template_id))
    connections = list_connections_first(db, run.workspace_id, run.connection_id)
    pending = select(RunItem).where(
        RunItem.workspace_id == run.workspace_id,
        RunItem.run_id == run.id,
        RunItem.chunk == request.chunk,
        RunItem.state == "pending",
    )
    items = db.scalars(pending.order_by(RunItem.position)) if run.is_rendering else ()
    return Specification(
        template=load_design(db, template, run.template_version).document,
        outputs=tuple(Output.model_validate(output) for output in run.outputs),
        connections=tuple(providers.delegate(connection.spec) for connection in connections),
        formats=load_formats(run.formats),
        items=tuple(_render_item(run, item) for item in items),
    )


def _render_item(run: Run, item: RunItem) -> RenderItem:
    formats = load_formats(run.formats)
    values = finish_values(run.mapping, item.data, formats) if run.feed_id else item.data
    numbers = frozenset(name for name, text in values.items() if is_json_number(text))
    return RenderItem(position=item.position, data=values, numbers=numbers, output=item.output)


def apply_report(db: Session, report: Report, signed_urls: SignedUrls) -> None:
    """Record the results of items that are still pending, count them, and notify webhooks.

    Raises:
        RunNotFoundError: the run does not exist.
    """
    run = _get_run(db, report.workspace_id, report.run_id, lock=True)
    if not run.is_rendering:
        return
    finished = _finish_items(db, run, report.results)
    if not finished:
        return
    free = sum(item.is_free for item in finished)
    if free:
        refund(db, quota_of(run), free, run.usage_month)
    run.done += sum(item.image is not None for item in finished)
    run.failed += sum(item.image is None for item in finished)
    run.rendering_seconds += report.seconds
    if not run.pending:
        run.finished_at = db.scalar(select(func.clock_timestamp()))
    db.flush()
    _notify(db, run, finished, signed_urls)


def fail_items_of_chunks(
    db: Session, workspace_id: UUID, run_id: UUID, chunks: Sequence[int], signed_urls: SignedUrls
) -> None:
    """Fail the pending items of chunks without a job, so that the run finishes and can be retried.

    Args:
        db: a transaction in the workspace.
        workspace_id: the workspace.
        run_id: the run.
        chunks: the numbers of the chunks.
        signed_urls: sign the URLs in webhooks.

    Raises:
        RunNotFoundError: the run does not exist.
    """
    orphaned = select(RunItem.position).where(
        RunItem.workspace_id == workspace_id,
        RunItem.run_id == run_id,
        RunItem.chunk.in_(chunks),
        RunItem.state == "pending",
    )
    results = tuple(
        ItemResult(position=position, error=ORPHANED) for position in db.scalars(orphaned.limit(MAX_ORPHANED_ITEMS))
    )
    apply_report(db, Report(workspace_id=workspace_id, run_id=run_id, results=results), signed_urls)


class _FinishedItem(NamedTuple):
    """An item that has just been finished. It is free when it failed, or its image existed already."""

    position: int
    key: str
    image: Image | None
    warning: str | None
    error: str | None
    is_free: bool


def _notify(db: Session, run: Run, finished: Sequence[_FinishedItem], signed_urls: SignedUrls) -> None:
    """Notify webhooks of new images, and of the run when it has finished."""
    common = {"run": str(run.id), "template": str(run.template_id)}
    if run.feed_id is None:
        (item,) = finished
        if item.image:
            event, payload = Event.IMAGE_CREATED, {**signed_urls.describe(item.image), **common, "key": item.key}
        else:
            event, payload = Event.IMAGE_FAILED, {**common, "error": item.error}
        emit(db, run.workspace_id, event, payload, webhook=run.webhook)
        return
    payloads = [
        {**signed_urls.describe(item.image), **common, "key": item.key}
        for item in finished
        if item.image and not item.is_free
    ]
    emit(db, run.workspace_id, Event.IMAGE_CREATED, *payloads)
    if run.finished_at:
        notify_run_finished(db, run)


def _finish_items(db: Session, run: Run, results: Iterable[ItemResult]) -> list[_FinishedItem]:
    """Record the results of a locked run's pending items; items that are finished keep their result."""
    result_of = {result.position: result for result in results}
    pending = select(RunItem.position, RunItem.key, RunItem.output).where(
        RunItem.workspace_id == run.workspace_id,
        RunItem.run_id == run.id,
        RunItem.position.in_(result_of),
        RunItem.state == "pending",
    )
    items = db.execute(pending.order_by(RunItem.position)).all()
    formats = [Output.model_validate(output).format for output in run.outputs]
    for item in items:
        image = result_of[item.position].image
        if image and not _is_of_run(run, image, formats[item.output]):
            result_of[item.position] = ItemResult(position=item.position, error=OTHER_IMAGE)
    recorded = record_images(
        db,
        run.workspace_id,
        ((item.key, image) for item in items if (image := result_of[item.position].image)),
        connection_id=run.connection_id,
        template_id=run.template_id,
        version=run.template_version,
    )
    new = {digest for digest, (_, is_new) in recorded.items() if is_new}
    finished = []
    for item in items:
        result = result_of[item.position]
        if result.image is None:
            finished.append(_FinishedItem(item.position, item.key, None, None, result.error or NO_IMAGE, is_free=True))
        else:
            digest = result.image.digest
            stored, _ = recorded[digest]
            is_free = digest not in new
            finished.append(_FinishedItem(item.position, item.key, stored, result.warning, None, is_free))
            new.discard(digest)  # an image that two rows share counts once
    db.execute(
        _UPDATE_ITEMS,
        {
            "workspace": run.workspace_id,
            "run": run.id,
            "positions": [item.position for item in finished],
            "images": [item.image and item.image.id for item in finished],
            "warnings": [item.warning for item in finished],
            "errors": [item.error for item in finished],
        },
    )
    return finished


def _is_of_run(run: Run, image: StoredImage, image_format: Format) -> bool:
    """Return whether an image is stored where this run's are, so that no other workspace's object is recorded."""
    key = image_key(run.workspace_id, image.digest, image_format)
    return (image.key, image.content_type) == (key, image_format.content_type)


def _get_run(db: Session, workspace_id: UUID, run_id: UUID, *, lock: bool = False) -> Run:
    run = db.get(Run, (workspace_id, run_id), with_for_update=FOR_NO_KEY_UPDATE if lock else None)
    if run is None:
        raise RunNotFoundError
    return run

"""What the web application does with a render worker's messages. A report may arrive twice: each item counts once."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from pydantic import TypeAdapter
from pydantic_core import to_json, to_jsonable_python
from sqlalchemy import delete, func, or_, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from cwz_web.db.session import FOR_NO_KEY_UPDATE
from cwz_web.feeds.row_data import load_row
from cwz_web.generation.image_sources import PhotoState
from cwz_web.generation.image_urls import ImageUrls
from cwz_web.generation.images import StoredImage, record_images
from cwz_web.generation.models import Image, Template
from cwz_web.generation.photo_processing import Processing, record_processings
from cwz_web.generation.signed_urls import SignedUrls
from cwz_web.generation.templates import load_design
from cwz_web.generation.usage import refund
from cwz_web.i18n import gettext_noop
from cwz_web.imaging.documents import ImageTemplate
from cwz_web.imaging.encoders import Format, Output
from cwz_web.imaging.findings import Finding
from cwz_web.notify.webhooks import Event, emit
from cwz_web.runs.mapping import finish_values
from cwz_web.runs.missing_photos import OnMissingPhoto, may_postpone, retry_delay
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
from cwz_web.runs.scheduling import requeue_chunk
from cwz_web.storage.connections import image_key, list_connections_first
from cwz_web.storage.image_names import fill_key_pattern, name_key
from cwz_web.storage.image_objects import ImageLabel
from cwz_web.storage.plugins import ProviderRegistry
from cwz_web.stored_messages import translate_stored
from cwz_web.values.formats import ValueFormat, is_json_number, load_formats

# One statement for all items: one each would cost a round trip, and its part of a report's time under the run's lock.
_UPDATE_ITEMS = text("""
    UPDATE run_items AS item
    SET state = result.state, image_id = result.image_id, findings = result.findings, photos = result.photos,
        error = result.error, counted = item.counted OR result.counted, retry_at = NULL
    FROM unnest(CAST(:positions AS integer[]), CAST(:states AS text[]), CAST(:images AS uuid[]),
                CAST(:findings AS jsonb[]), CAST(:photos AS jsonb[]), CAST(:errors AS text[]),
                CAST(:counted AS boolean[])) AS result (position, state, image_id, findings, photos, error, counted)
    WHERE item.workspace_id = :workspace AND item.run_id = :run AND item.position = result.position
""")
_POSTPONE_ITEMS = text("""
    UPDATE run_items AS item
    SET attempts = item.attempts + 1, error = result.error, retry_at = result.retry_at
    FROM unnest(CAST(:positions AS integer[]), CAST(:errors AS text[]), CAST(:times AS timestamptz[]))
        AS result (position, error, retry_at)
    WHERE item.workspace_id = :workspace AND item.run_id = :run AND item.position = result.position
""")
_ROWS_BY_KEY = text("""
    SELECT key, data::text AS data FROM items
    WHERE workspace_id = :w AND feed_id = :feed AND key = ANY(CAST(:keys AS text[]))
""")
# The run's lock is held while the items of orphaned chunks are failed, so only so many at once.
MAX_ORPHANED_ITEMS = 500
ORPHANED = gettext_noop("Rendering failed repeatedly. Retry the run")
FINDINGS: TypeAdapter[list[Finding]] = TypeAdapter(list[Finding])


def finding_texts(item: RunItem) -> list[str]:
    """Return the findings of an item in words, in the current language."""
    return [
        f"{each.layer} {translate_stored(each.message)}".strip()
        for each in FINDINGS.validate_python(item.findings or ())
    ]


NO_IMAGE = gettext_noop("The image could not be rendered")
OTHER_IMAGE = gettext_noop("The render worker reported an image that is not this row’s")


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
        or_(RunItem.retry_at.is_(None), RunItem.retry_at <= func.clock_timestamp()),
    )
    items = tuple(db.scalars(pending.order_by(RunItem.position))) if run.is_rendering else ()
    document = (
        ImageTemplate.model_validate(run.document)
        if run.document
        else load_design(db, template, run.template_version).document
    )
    formats = load_formats(run.formats)
    names = _file_names(db, run, items, connections[0].key_pattern)
    rendered = tuple(_render_item(run, item, formats, names.get(item.key, "")) for item in items)
    return Specification(
        template=document,
        outputs=tuple(Output.model_validate(output) for output in run.outputs),
        connections=tuple(providers.delegate(connection.spec) for connection in connections),
        formats=formats,
        items=rendered,
        unmapped=_unmapped_fields(run, document),
        force=run.force,
        refresh_photos=run.refresh_photos,
        on_missing_photo=OnMissingPhoto(run.on_missing_photo),
        retries=run.retries,
    )


def _render_item(run: Run, item: RunItem, formats: Mapping[str, ValueFormat], file_name: str) -> RenderItem:
    values = finish_values(run.mapping, item.data, formats) if run.feed_id else item.data
    photos = (item.photos or ()) if item.image_id else ()
    return RenderItem(
        position=item.position,
        data=values,
        numbers=frozenset(name for name, text in values.items() if is_json_number(text)),
        output=item.output,
        photos=tuple(PhotoState.model_validate(photo) for photo in photos),
        attempts=item.attempts,
        label=ImageLabel.of(
            item.key,
            run.template_version,
            row_key=item.key if run.feed_id else "",
            file_name=file_name,
        ),
    )


def _file_names(db: Session, run: Run, items: Sequence[RunItem], pattern: str) -> dict[str, str]:
    """Return the file names of readable keys, by the keys of the rows; none without a pattern.

    A pattern may name the columns of the row as it is now, the fields of the template, and `key`.
    """
    if not pattern:
        return {}
    columns: dict[str, Mapping[str, str]] = {}
    if run.feed_id is not None:
        parameters = {"w": run.workspace_id, "feed": run.feed_id, "keys": list({item.key for item in items})}
        columns = {row.key: load_row(row.data) for row in db.execute(_ROWS_BY_KEY, parameters)}
    names: dict[str, str] = {}
    for item in items:
        row = columns.get(item.key, {})
        fields = {name: value for name, value in item.data.items() if name not in row}
        names[item.key] = fill_key_pattern(pattern, {"key": item.key, **row, **fields})
    return names


def _unmapped_fields(run: Run, document: ImageTemplate) -> tuple[str, ...]:
    """Return the fields that no column of the run's feed fills, or that a request for images left out."""
    if run.feed_id is None and run.on_missing_photo == OnMissingPhoto.FAIL:
        return ()
    filled = {name for name, column in run.mapping.items() if column}
    return tuple(field.name for field in document.fields if field.name not in filled)


def apply_report(db: Session, report: Report, signed_urls: SignedUrls) -> None:
    """Record the results of items that are still pending, count them, and notify webhooks.

    Raises:
        RunNotFoundError: the run does not exist.
    """
    run = _get_run(db, report.workspace_id, report.run_id, lock=True)
    if not run.is_rendering:
        return
    is_current = report.retries == run.retries
    results = {each.position: each for each in report.results if is_current or _counts_after_retry(each)}
    items = _lock_pending_items(db, run, results)
    _postpone_items(db, run, [(item, results[item.position]) for item in items if _is_postponed(item, results)])
    finished = _finish_items(db, run, [item for item in items if not _is_postponed(item, results)], results)
    if not finished:
        return
    free = sum(item.is_free for item in finished) + _unused_for_processing(db, run, finished)
    if free:
        refund(db, quota_of(run), free, run.usage_month)
    run.done += sum(item.state == "done" for item in finished)
    run.unchanged += sum(item.is_unchanged for item in finished)
    run.incomplete += sum(item.state == "incomplete" for item in finished)
    run.failed += sum(item.state == "failed" for item in finished)
    run.findings += sum(len(item.findings) for item in finished)
    run.rendering_seconds += report.seconds
    if not run.pending:
        run.finished_at = db.scalar(select(func.clock_timestamp()))
    db.flush()
    _notify(db, run, finished, signed_urls)


def _counts_after_retry(result: ItemResult) -> bool:
    """Return whether a result of before a retry counts: the retry has queued the item again, unless it is complete."""
    return result.image is not None and not result.is_incomplete


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
    retries = db.scalar(select(Run.retries).where(Run.workspace_id == workspace_id, Run.id == run_id)) or 0
    report = Report(workspace_id=workspace_id, run_id=run_id, results=results, retries=retries)
    apply_report(db, report, signed_urls)


class _FinishedItem(NamedTuple):
    """An item that has just been finished.

    Attributes:
        is_new: whether its image was not recorded before.
        is_free: whether what was counted for it when it was enqueued is refunded: it failed, its image existed already,
            or an image of it was counted before.
    """

    item: RunItem
    state: str
    image: Image | None = None
    findings: tuple[Finding, ...] = ()
    photos: tuple[PhotoState, ...] | None = None
    error: str | None = None
    is_unchanged: bool = False
    is_new: bool = False
    is_free: bool = True
    processings: tuple[Processing, ...] = ()


def _unused_for_processing(db: Session, run: Run, finished: Sequence[_FinishedItem]) -> int:
    """Record the photos that were processed for images, and return how much of what they reserved is left."""
    reserved = len(finished) * run.processing_cost
    if not reserved:
        return 0
    # A worker with another version of a processor cannot count more than was reserved.
    processings = [each for item in finished if not item.is_free for each in item.processings]
    return reserved - min(record_processings(db, run.workspace_id, processings), reserved)


def _notify(db: Session, run: Run, finished: Sequence[_FinishedItem], signed_urls: SignedUrls) -> None:
    """Notify webhooks of new images, and of the run when it has finished."""
    common = {"run": str(run.id), "template": str(run.template_id), "metadata": run.request_metadata}
    urls = ImageUrls.load(db, run.workspace_id, signed_urls)
    if run.feed_id is None:
        created = [_describe_image(item, urls) | common for item in finished if item.image]
        failed = [{**common, "key": item.item.key, "error": item.error} for item in finished if not item.image]
        emit(db, run.workspace_id, Event.IMAGE_CREATED, *created, webhook=run.webhook)
        emit(db, run.workspace_id, Event.IMAGE_FAILED, *failed, webhook=run.webhook)
        return
    # An image without its photo is not announced, unless it replaces the row's earlier one.
    announced = {"done", "incomplete"} if run.on_missing_photo == OnMissingPhoto.REPLACE else {"done"}
    payloads = [_describe_image(item, urls) | common for item in finished if item.is_new and item.state in announced]
    emit(db, run.workspace_id, Event.IMAGE_CREATED, *payloads)
    if run.finished_at:
        notify_run_finished(db, run)


def _describe_image(item: _FinishedItem, urls: ImageUrls) -> dict[str, Any]:
    assert item.image is not None
    findings = [to_jsonable_python(finding) for finding in item.findings]
    return {**urls.describe(item.image), "key": item.item.key, "findings": findings}


def _lock_pending_items(db: Session, run: Run, results: Mapping[int, ItemResult]) -> Sequence[RunItem]:
    """Return the pending items of a locked run that results are of; finished items keep their result.

    An item that another job has postponed meanwhile is not postponed twice.
    """
    pending = select(RunItem).where(
        RunItem.workspace_id == run.workspace_id,
        RunItem.run_id == run.id,
        RunItem.position.in_(results.keys()),
        RunItem.state == "pending",
    )
    items = db.scalars(pending.order_by(RunItem.position).execution_options(populate_existing=True))
    return [item for item in items if not _is_postponed_already(item, results[item.position])]


def _is_postponed_already(item: RunItem, result: ItemResult) -> bool:
    return result.is_postponed and result.attempts < item.attempts


def _is_postponed(item: RunItem, results: Mapping[int, ItemResult]) -> bool:
    return results[item.position].is_postponed and may_postpone(item.attempts)


def _postpone_items(db: Session, run: Run, postponed: Sequence[tuple[RunItem, ItemResult]]) -> None:
    """Let items wait for another attempt, and enqueue a job for each of their chunks at that time."""
    if not postponed:
        return
    now = datetime.now(UTC)
    times = [now + timedelta(seconds=retry_delay(item.attempts, result.retry_after)) for item, result in postponed]
    values = {
        "workspace": run.workspace_id,
        "run": run.id,
        "positions": [item.position for item, _ in postponed],
        "errors": [result.error for _, result in postponed],
        "times": times,
    }
    due: dict[int, datetime] = {}
    for (item, _), at in zip(postponed, times, strict=True):
        due[item.chunk] = max(at, due.get(item.chunk, at))
    db.execute(_POSTPONE_ITEMS, values)
    for chunk, at in due.items():
        requeue_chunk(db, run.workspace_id, run.id, chunk, at=at)


def _finish_items(
    db: Session, run: Run, items: Sequence[RunItem], results: Mapping[int, ItemResult]
) -> list[_FinishedItem]:
    """Record the results of a locked run's pending items."""
    formats = [Output.model_validate(output).format for output in run.outputs]
    images: dict[int, StoredImage] = {}
    errors: dict[int, str] = {}
    for item in items:
        reported = results[item.position].image
        if reported and _is_of_run(run, reported, formats[item.output]):
            key = name_key(reported.key, results[item.position].file_name)
            images[item.position] = reported.model_copy(update={"key": key})
        elif reported:
            errors[item.position] = OTHER_IMAGE
    recorded = record_images(
        db,
        run.workspace_id,
        ((item.key, images[item.position]) for item in items if item.position in images),
        connection_id=run.connection_id,
        template_id=run.template_id,
        version=run.template_version,
    )
    earlier = _load_earlier_images(db, run, [item for item in items if results[item.position].is_unchanged])
    new = {digest for digest, (_, is_new) in recorded.items() if is_new}
    finished = []
    for item in items:
        result, stored = results[item.position], images.get(item.position)
        if stored is not None:
            is_new = stored.digest in new
            finished.append(_finish_image(run, item, result, recorded[stored.digest][0], is_new=is_new))
            new.discard(stored.digest)  # an image that two rows share counts once
        elif result.is_unchanged and item.image_id in earlier and item.position not in errors:
            finished.append(_finish_unchanged(item, earlier[item.image_id]))
        else:
            error = errors.get(item.position) or result.error or NO_IMAGE
            finished.append(_FinishedItem(item, "failed", error=error))
    if finished:
        _update_items(db, run, finished)
    return finished


def _finish_image(run: Run, item: RunItem, result: ItemResult, image: Image, *, is_new: bool) -> _FinishedItem:
    # What a forced run renders counts, even if the same image was stored before.
    is_counted = (is_new or run.force) and not item.counted
    return _FinishedItem(
        item,
        "incomplete" if result.is_incomplete else "done",
        image,
        result.findings,
        result.photos,
        is_new=is_new,
        is_free=not is_counted,
        processings=result.processings,
    )


def _load_earlier_images(db: Session, run: Run, items: Iterable[RunItem]) -> dict[UUID | None, Image]:
    """Return the earlier images of items, by id, with one query."""
    ids = {item.image_id for item in items if item.image_id}
    if not ids:
        return {}
    images = db.scalars(select(Image).where(Image.workspace_id == run.workspace_id, Image.id.in_(ids)))
    return {image.id: image for image in images}


def _finish_unchanged(item: RunItem, image: Image) -> _FinishedItem:
    """Keep the earlier image of an item whose photos have not changed."""
    findings = tuple(FINDINGS.validate_python(item.findings or ()))
    photos = tuple(PhotoState.model_validate(photo) for photo in item.photos or ())
    return _FinishedItem(item, "done", image, findings, photos, is_unchanged=True)


def _update_items(db: Session, run: Run, finished: Sequence[_FinishedItem]) -> None:
    db.execute(
        _UPDATE_ITEMS,
        {
            "workspace": run.workspace_id,
            "run": run.id,
            "positions": [each.item.position for each in finished],
            "states": [each.state for each in finished],
            "images": [each.image and each.image.id for each in finished],
            "findings": [to_json(each.findings).decode() if each.findings else None for each in finished],
            "photos": [None if each.photos is None else to_json(each.photos).decode() for each in finished],
            "errors": [each.error for each in finished],
            "counted": [not each.is_free for each in finished],
        },
    )


def _is_of_run(run: Run, image: StoredImage, image_format: Format) -> bool:
    """Return whether an image is stored where this run's are, so that no other workspace's object is recorded."""
    key = image_key(run.workspace_id, image.digest, image_format)
    return (image.key, image.content_type) == (key, image_format.content_type)


def _get_run(db: Session, workspace_id: UUID, run_id: UUID, *, lock: bool = False) -> Run:
    run = db.get(Run, (workspace_id, run_id), with_for_update=FOR_NO_KEY_UPDATE if lock else None)
    if run is None:
        raise RunNotFoundError
    return run

"""The images of a run as one zip, which a job stores beside them; `exports.py` has the job itself."""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from slugify import slugify
from sqlalchemy import and_, select
from sqlalchemy.orm import Session
from zipstream import ZIP_STORED, ZipStream

from cwz_web.db.session import Database, lock_name, raw_connection
from cwz_web.feeds.models import Feed
from cwz_web.generation.models import Image
from cwz_web.imaging.documents import DEFAULT_SIZE
from cwz_web.imaging.encoders import Output
from cwz_web.jobs import EXPORT_QUEUE, app
from cwz_web.ops.models import Export, ExportState
from cwz_web.runs.models import Run, RunItem
from cwz_web.storage.connections import get_connection
from cwz_web.storage.contract import Bucket, ObjectNotFoundError
from cwz_web.storage.plugins import ProviderRegistry

# A pending export prevents another one, unless it is older: then its job was lost.
MAX_PENDING = timedelta(days=1)
MISSING_FILE = "missing.txt"
INCOMPLETE_FOLDER = "incomplete"


@dataclass(frozen=True)
class ZipEntry:
    """A file of the zip, and the storage key of its content."""

    name: str
    key: str


def request_run_export(db: Session, run: Run, requested_by: UUID) -> Export:
    """Enqueue the export of a run's images in the caller's transaction, unless one is pending.

    Raises:
        InvalidSettingsError: the run's connection was removed.
    """
    lock_name(db, f"export of run {run.id}")
    latest = find_run_export(db, run)
    if latest and latest.state == ExportState.PENDING and datetime.now(UTC) - latest.created_at < MAX_PENDING:
        return latest
    connection = get_connection(db, run.workspace_id, run.connection_id)
    export = Export(
        workspace_id=run.workspace_id,
        run_id=run.id,
        requested_by=requested_by,
        with_images=True,
        connection_id=connection.id,
    )
    db.add(export)
    db.flush()
    task = app.configure_task("ops.export", queue=EXPORT_QUEUE, connection=raw_connection(db))
    task.defer(workspace_id=str(run.workspace_id), export_id=str(export.id))
    return export


def find_run_export(db: Session, run: Run) -> Export | None:
    """Return the newest export of a run's images that was not deleted."""
    exports = select(Export).where(
        Export.workspace_id == run.workspace_id, Export.run_id == run.id, Export.state != ExportState.EXPIRED
    )
    return db.scalar(exports.order_by(Export.id.desc()).limit(1))


def is_outdated(export: Export, run: Run) -> bool:
    """Return whether a run may have images that its export does not have."""
    return run.finished_at is None or run.finished_at > export.created_at


def zip_name(db: Session, run: Run) -> str:
    """Return the file name of a run's zip, which is its feed's name."""
    feed = db.get(Feed, (run.workspace_id, run.feed_id)) if run.feed_id else None
    return f"{slugify(feed.name if feed else '', max_length=60) or 'images'}.zip"


def zip_entries(db: Session, run: Run) -> list[ZipEntry]:
    """Return the run's images in order, under names that sort and say which row and size they are of.

    Images without their photos are in a folder of their own.
    """
    images = (
        select(RunItem.position, RunItem.key, RunItem.output, RunItem.state, Image)
        .join(Image, and_(Image.workspace_id == RunItem.workspace_id, Image.id == RunItem.image_id))
        .where(RunItem.workspace_id == run.workspace_id, RunItem.run_id == run.id, RunItem.state != "pending")
        .order_by(RunItem.position)
    )
    sizes = [Output.model_validate(output).size for output in run.outputs]
    return [
        ZipEntry(_entry_name(position, key, sizes[output], image, is_incomplete=state == "incomplete"), image.key)
        for position, key, output, state, image in db.execute(images)
    ]


def _entry_name(position: int, key: str, size: str, image: Image, *, is_incomplete: bool) -> str:
    """Return a name such as `00001-mug-story-1080x1920.jpg`."""
    folder = f"{INCOMPLETE_FOLDER}/" if is_incomplete else ""
    names = [slugify(key, max_length=80) or "image", *([] if size == DEFAULT_SIZE else [size])]
    extension = image.key.rpartition(".")[2]
    return f"{folder}{position:05}-{'-'.join(names)}-{image.width}x{image.height}.{extension}"


def zip_run(
    database: Database, providers: ProviderRegistry, run: Run, report: Callable[[float], None]
) -> Generator[bytes, None, int]:
    """Yield the bytes of a run's zip; only one image is held in memory. Return how many images it has.

    Args:
        database: finds the images.
        providers: open the run's connection.
        run: the run.
        report: is called with the share that is done, from 0 to 1.
    """
    with database.transaction(run.workspace_id) as db:
        entries = zip_entries(db, run)
        spec = get_connection(db, run.workspace_id, run.connection_id).spec
    bucket = providers.open(spec)
    return (yield from zip_objects([(entry, bucket) for entry in entries], report))


def image_entries(images: Sequence[Image]) -> list[ZipEntry]:
    """Return images in their order, under names that sort and say which row and size they are of."""
    return [
        ZipEntry(_entry_name(number, image.name, DEFAULT_SIZE, image, is_incomplete=False), image.key)
        for number, image in enumerate(images, 1)
    ]


def zip_objects(
    entries: Sequence[tuple[ZipEntry, Bucket]], report: Callable[[float], None]
) -> Generator[bytes, None, int]:
    """Yield the bytes of a zip of stored objects; only one is held in memory. Missing ones are listed in a file.

    Args:
        entries: the files of the zip, and the buckets of their content.
        report: is called with the share that is done, from 0 to 1.

    Returns:
        How many of the objects the zip has.
    """
    archive = ZipStream(compress_type=ZIP_STORED)  # images are compressed already
    missing = []
    for number, (entry, bucket) in enumerate(entries):
        try:
            content = bucket.stream(entry.key)
        except ObjectNotFoundError:
            missing.append(entry.name)
            continue
        archive.add(content, entry.name)
        yield from archive.all_files()
        report(number / len(entries))
    if missing:
        archive.add("\n".join(missing).encode(), MISSING_FILE)
    yield from archive.finalize()
    return len(entries) - len(missing)

"""All images of a run as one zip file, sent while it is read: its size in memory is that of one image."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from slugify import slugify
from sqlalchemy import and_, select
from sqlalchemy.orm import Session
from zipstream import ZIP_STORED, ZipStream

from cwz_web.generation.models import Image
from cwz_web.runs.models import Run, RunItem
from cwz_web.storage.contract import Bucket


@dataclass(frozen=True)
class Entry:
    """A file of the archive."""

    name: str
    key: str


def entries_of(db: Session, run: Run) -> list[Entry]:
    """The run's images, in order, under names that sort and tell."""
    query = (
        select(RunItem.position, RunItem.key, Image.key)
        .join(Image, and_(Image.workspace_id == RunItem.workspace_id, Image.id == RunItem.image_id))
        .where(RunItem.workspace_id == run.workspace_id, RunItem.run_id == run.id)
        .order_by(RunItem.position)
    )
    return [
        Entry(f"{position:05}-{slugify(name, max_length=80) or 'image'}.{key.rpartition('.')[2]}", key)
        for position, name, key in db.execute(query)
    ]


def zip_stream(entries: Sequence[Entry], bucket: Bucket) -> Iterator[bytes]:
    """The bytes of the archive. Images do not get smaller, so they are stored as they are."""
    archive = ZipStream(compress_type=ZIP_STORED)
    for entry in entries:
        archive.add(_parts(bucket, entry.key), entry.name)
    yield from archive


def _parts(bucket: Bucket, key: str) -> Iterator[bytes]:
    """An object, asked for when its turn has come."""
    yield from bucket.stream(key)

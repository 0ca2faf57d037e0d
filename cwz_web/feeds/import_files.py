"""Files of imports, stored in the database: compressed, in chunks, until a newer file has been imported.

The file survives the process that received it, and can be imported again with another schema.
"""

from collections.abc import Iterator
from typing import BinaryIO
from uuid import UUID

from isal import isal_zlib
from sqlalchemy import ColumnElement, delete, insert, select, update
from sqlalchemy.orm import Session

from cwz_web.feeds.file_types import NEEDS_END, truncate_to_line
from cwz_web.feeds.limits import PREVIEW_BYTES
from cwz_web.feeds.models import FeedImport, FilePart
from cwz_web.feeds.temporary_files import temporary_file

CHUNK = 1024 * 1024
DECOMPRESSED_BYTES = 4 * CHUNK


def store_file(db: Session, record: FeedImport, file: BinaryIO) -> None:
    """Store an import's file, replacing an earlier one."""
    delete_file(db, record)
    for number, data in enumerate(_compress(file)):
        db.execute(
            insert(FilePart).values(workspace_id=record.workspace_id, import_id=record.id, part=number, data=data)
        )


def open_file(db: Session, record: FeedImport) -> BinaryIO | None:
    """Return the file of an import, or None if it is no longer stored."""
    parts = select(FilePart.data).where(*_parts_of(record)).order_by(FilePart.part)
    decompressor = isal_zlib.decompressobj()
    file, is_stored = temporary_file(), False
    for data in db.scalars(parts.execution_options(yield_per=8)):
        is_stored = True
        while data:  # a chunk may expand to a thousand times its size
            file.write(decompressor.decompress(data, DECOMPRESSED_BYTES))
            data = decompressor.unconsumed_tail
    file.write(decompressor.flush())
    return file if is_stored else None


def open_file_start(db: Session, record: FeedImport) -> BinaryIO | None:
    """Return the start of an import's file for a preview.

    It is the start of the first chunk, or the whole file if it is small, or is a zip file or a spreadsheet, which
    cannot be read without its end.
    """
    first = db.scalar(select(FilePart.data).where(*_parts_of(record)).order_by(FilePart.part).limit(1))
    if first is None:
        return None
    decompressor = isal_zlib.decompressobj()
    start = decompressor.decompress(first, PREVIEW_BYTES)
    if decompressor.eof:
        return temporary_file(start)
    return open_file(db, record) if start.startswith(NEEDS_END) else truncate_to_line(temporary_file(start))


def move_file(db: Session, record: FeedImport, new_import_id: UUID) -> None:
    """Move the file of an import to another import."""
    db.execute(update(FilePart).where(*_parts_of(record)).values(import_id=new_import_id))


def delete_file(db: Session, record: FeedImport) -> None:
    """Delete the file of an import."""
    db.execute(delete(FilePart).where(*_parts_of(record)))


def _compress(file: BinaryIO) -> Iterator[bytes]:
    compressor, chunk = isal_zlib.compressobj(1), bytearray()
    file.seek(0)
    while data := file.read(CHUNK):
        chunk += compressor.compress(data)
        if len(chunk) >= CHUNK:
            yield bytes(chunk)
            chunk.clear()
    yield bytes(chunk + compressor.flush())


def _parts_of(record: FeedImport) -> tuple[ColumnElement[bool], ...]:
    return FilePart.workspace_id == record.workspace_id, FilePart.import_id == record.id

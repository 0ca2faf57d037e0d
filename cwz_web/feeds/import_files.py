"""The file of an import, kept in the database: compressed, in pieces, until a newer one has come in.

So it waits for its job whatever happens to the process that took it, and can be brought in again in another shape.
"""

from collections.abc import Iterator
from typing import BinaryIO
from uuid import UUID

from isal import isal_zlib
from sqlalchemy import ColumnElement, delete, insert, select, update
from sqlalchemy.orm import Session

from cwz_web.feeds.file_types import spooled, to_line_end
from cwz_web.feeds.models import FeedImport, FilePart

CHUNK = 1024 * 1024


def keep_file(db: Session, record: FeedImport, file: BinaryIO) -> None:
    """Keep an import's file, instead of the one that was kept for it before."""
    forget_file(db, record)
    for number, data in enumerate(_pieces(file)):
        db.execute(
            insert(FilePart).values(workspace_id=record.workspace_id, import_id=record.id, part=number, data=data)
        )


def open_kept(db: Session, record: FeedImport) -> BinaryIO | None:
    """The file that was kept for an import, if it still is."""
    parts = select(FilePart.data).where(*_of(record)).order_by(FilePart.part)
    unpacker = isal_zlib.decompressobj()
    file, any_part = spooled(), False
    for data in db.scalars(parts.execution_options(yield_per=8)):
        file.write(unpacker.decompress(data))
        any_part = True
    return file if any_part else None


def open_beginning(db: Session, record: FeedImport) -> BinaryIO | None:
    """The beginning of the file that was kept for an import, to look at; all of it when it is not long."""
    parts = select(FilePart.data).where(*_of(record)).order_by(FilePart.part).limit(2)
    first, *more = [*db.scalars(parts), b""]
    if not first:
        return None
    file = spooled(isal_zlib.decompressobj().decompress(first))
    return to_line_end(file) if more != [b""] else file


def move_file(db: Session, record: FeedImport, other: UUID) -> None:
    """Hand the file that is kept for one import to another."""
    db.execute(update(FilePart).where(*_of(record)).values(import_id=other))


def forget_file(db: Session, record: FeedImport) -> None:
    """Keep the import's file no longer."""
    db.execute(delete(FilePart).where(*_of(record)))


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    packer, piece = isal_zlib.compressobj(1), bytearray()
    file.seek(0)
    while part := file.read(CHUNK):
        piece += packer.compress(part)
        if len(piece) >= CHUNK:
            yield bytes(piece)
            piece.clear()
    yield bytes(piece + packer.flush())


def _of(record: FeedImport) -> tuple[ColumnElement[bool], ...]:
    return FilePart.workspace_id == record.workspace_id, FilePart.import_id == record.id

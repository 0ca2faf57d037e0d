"""Stored images: recording, reading and searching them."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import ColumnElement, and_, literal_column, select, true
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from cwz_web.db.pagination import first_id
from cwz_web.generation.models import Image
from cwz_web.imaging.decoding import MAX_BYTES
from cwz_web.storage.contract import Bucket, read_at_most
from cwz_web.storage.image_names import name_key

PAGE = 48
# A search by name scans batches of this many names, for this many seconds per request.
SEARCH_BATCH = 5000
SEARCH_SECONDS = 0.04
# The sizes to filter by are those of so many images.
LATEST = 1000
MAX_SIZES = 50
# Of an image, in pixels: more than any format and scale yields, and what the database's integers hold.
MAX_SIDE = 100_000


class StoredImage(BaseModel):
    """An image in the storage that is not recorded yet. `size` in bytes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    digest: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    key: Annotated[str, Field(max_length=200)]
    content_type: Annotated[str, Field(max_length=50)]
    width: Annotated[int, Field(ge=1, le=MAX_SIDE)]
    height: Annotated[int, Field(ge=1, le=MAX_SIDE)]
    size: Annotated[int, Field(ge=1, le=MAX_BYTES)]


def read_image(bucket: Bucket, image: Image) -> bytes:
    """Return the bytes of a stored image. Raises StorageError, also for a larger object in its place."""
    return read_at_most(bucket, image.key, MAX_BYTES)


def record_images(
    db: Session,
    workspace_id: UUID,
    named: Iterable[tuple[str, StoredImage]],
    *,
    connection_id: UUID,
    template_id: UUID,
    version: int,
) -> dict[str, tuple[Image, bool]]:
    """Record stored images, each content once. Return them by digest, and whether each is new.

    Args:
        db: a transaction in the workspace.
        workspace_id: the workspace.
        named: a name and the stored image, for each; of equal contents, the first name is used.
        connection_id: where the images are stored.
        template_id: the template that they were rendered with.
        version: of the template.
    """
    common = {
        "workspace_id": workspace_id,
        "connection_id": connection_id,
        "template_id": template_id,
        "template_version": version,
    }
    first: dict[str, dict[str, Any]] = {}
    for name, stored in named:
        first.setdefault(stored.digest, {**stored.model_dump(), **common, "name": name})
    if not first:
        return {}
    statement = insert(Image)
    # An update without effect, so that RETURNING includes images that were recorded before.
    statement = statement.on_conflict_do_update(
        index_elements=["workspace_id", "digest"], set_={"digest": statement.excluded.digest}
    )
    # In a fixed order, so that concurrent transactions do not deadlock.
    rows = [first[digest] for digest in sorted(first)]
    recorded: Any = db.execute(statement.returning(Image, literal_column("xmax = 0")), rows)
    return {image.digest: (image, bool(is_new)) for image, is_new in recorded}


def find_image(db: Session, workspace_id: UUID, digest: str) -> Image | None:
    """Return the image with a digest, if it is stored."""
    return db.scalar(select(Image).where(Image.workspace_id == workspace_id, Image.digest == digest))


def find_image_key(db: Session, workspace_id: UUID, key: str, file_name: str) -> str:
    """Return the key of an image's object: of an image that is recorded, its own; else a new one.

    Equal contents are one image with the key of the first row; a later pattern of keys does not move its object.

    Args:
        db: a transaction in the workspace.
        workspace_id: the workspace.
        key: the image's key without a pattern.
        file_name: of the pattern (`image_names.fill_key_pattern`); empty without one.
    """
    if not file_name:
        return key
    digest = key.rpartition("/")[2].partition(".")[0]
    recorded = db.scalar(select(Image.key).where(Image.workspace_id == workspace_id, Image.digest == digest))
    return recorded or name_key(key, file_name)


@dataclass
class ImagePage:
    """A page of images; `before` is the cursor of the next page, None on the last."""

    images: list[Image] = field(default_factory=list)
    before: UUID | None = None


def find_images(
    db: Session,
    workspace_id: UUID,
    *,
    template_id: UUID | None = None,
    since: datetime | None = None,
    name: str = "",
    conditions: Sequence[ColumnElement[bool]] = (),
    scanned: Sequence[ColumnElement[bool]] = (),
    before: UUID | None = None,
    limit: int = PAGE,
) -> ImagePage:
    """Return a page of the workspace's images, newest first.

    No index covers text within names and most properties: a search scans images for a moment per request, so a page
    can have fewer images than the limit although more follow.

    Args:
        db: a transaction in the workspace.
        workspace_id: the workspace.
        template_id: only images of this template.
        since: only images that were created at this time or later.
        name: only images with this in their name, ignoring case.
        conditions: only images that meet these conditions, for which there is an index.
        scanned: only images that meet these conditions, for which there is none.
        before: the cursor that the previous page returned.
        limit: images per page.
    """
    own = [Image.workspace_id == workspace_id, *conditions]
    if template_id:
        own.append(Image.template_id == template_id)
    if since:
        own.append(Image.id >= first_id(since))
    if not name and not scanned:
        older = [*own, Image.id < before] if before else own
        images = list(db.scalars(select(Image).where(*older).order_by(Image.id.desc()).limit(limit)))
        return ImagePage(images, images[-1].id if len(images) == limit else None)
    matches = and_(true(), *scanned).label("matches")
    page, deadline = ImagePage(before=before), time.monotonic() + SEARCH_SECONDS
    while True:
        older = [*own, Image.id < page.before] if page.before else own
        query = select(Image.id, Image.name, matches).where(*older).order_by(Image.id.desc()).limit(SEARCH_BATCH)
        batch = db.execute(query).all()
        found = [row.id for row in batch if row.matches and name.casefold() in row.name.casefold()]
        found = found[: limit - len(page.images)]
        page.images += db.scalars(select(Image).where(*own, Image.id.in_(found)).order_by(Image.id.desc()))
        is_full = len(page.images) == limit
        page.before = page.images[-1].id if is_full else batch[-1].id if len(batch) == SEARCH_BATCH else None
        if is_full or not page.before or time.monotonic() > deadline:
            return page


def latest_sizes(db: Session, workspace_id: UUID) -> list[tuple[int, int]]:
    """Return the widths and heights of the latest images, in order."""
    latest = select(Image.width, Image.height).where(Image.workspace_id == workspace_id)
    newest = latest.order_by(Image.id.desc()).limit(LATEST).subquery()
    rows = db.execute(select(newest.c.width, newest.c.height).distinct().limit(MAX_SIZES))
    return sorted((row.width, row.height) for row in rows)

"""Images that are kept: recording them once, and looking at them page by page."""

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import literal_column, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from cwz_web.generation.models import Image
from cwz_web.imaging.decoding import MAX_BYTES
from cwz_web.storage.contract import Bucket, read_at_most

PAGE = 48
# Names are looked through in steps of so many, for so many seconds a request.
STEP = 5000
SECONDS = 0.04


class StoredImage(BaseModel):
    """What is said of an image that was put into storage. `size` in bytes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    digest: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    key: Annotated[str, Field(max_length=200)]
    content_type: Annotated[str, Field(max_length=50)]
    width: int
    height: int
    size: int


def read_image(bucket: Bucket, image: Image) -> bytes:
    """The bytes of a kept image. Raises StorageError, also when something lies there that is too large to be it."""
    return read_at_most(bucket, image.key, max(image.size, MAX_BYTES))


def record_images(
    db: Session,
    workspace_id: UUID,
    named: Iterable[tuple[str, StoredImage]],
    *,
    connection_id: UUID,
    template_id: UUID,
    version: int,
) -> dict[str, tuple[Image, bool]]:
    """The images of these contents by their digests, and whether each is recorded only now.

    Arguments:
        named: what was put into storage, each with the name that it gets if it is new; the first of one content counts.
    """
    common = {
        "workspace_id": workspace_id,
        "connection_id": connection_id,
        "template_id": template_id,
        "template_version": version,
    }
    first: dict[str, dict[str, Any]] = {}
    for name, kept in named:
        first.setdefault(kept.digest, {**kept.model_dump(), **common, "name": name})
    if not first:
        return {}
    statement = insert(Image)
    # An update that changes nothing, so that RETURNING answers for a known image as well.
    statement = statement.on_conflict_do_update(
        index_elements=["workspace_id", "digest"], set_={"digest": statement.excluded.digest}
    )
    # In one order, so that no two wait for each other.
    rows = [first[digest] for digest in sorted(first)]
    recorded: Any = db.execute(statement.returning(Image, literal_column("xmax = 0")), rows)
    return {image.digest: (image, bool(is_new)) for image, is_new in recorded}


def find_image(db: Session, workspace_id: UUID, digest: str) -> Image | None:
    """The image of some content, if it is kept."""
    return db.scalar(select(Image).where(Image.workspace_id == workspace_id, Image.digest == digest))


@dataclass
class Found:
    """A page of images; `before` is where the next one goes on, None after the last."""

    images: list[Image] = field(default_factory=list)
    before: UUID | None = None


def find_images(
    db: Session,
    workspace_id: UUID,
    *,
    template_id: UUID | None = None,
    name: str = "",
    before: UUID | None = None,
    limit: int = PAGE,
) -> Found:
    """A page of the workspace's images, newest first, from before an id.

    No index finds a text within names: they are looked through for a moment a request, and the page says how far.

    Arguments:
        template_id: only those that were rendered with this template.
        name: only those with this in their name, in upper or lower case.
    """
    mine = [Image.workspace_id == workspace_id]
    if template_id:
        mine.append(Image.template_id == template_id)
    if not name:
        older = [*mine, Image.id < before] if before else mine
        images = list(db.scalars(select(Image).where(*older).order_by(Image.id.desc()).limit(limit)))
        return Found(images, images[-1].id if len(images) == limit else None)
    found, ends = Found(before=before), time.monotonic() + SECONDS
    while True:
        older = [*mine, Image.id < found.before] if found.before else mine
        looked = db.execute(select(Image.id, Image.name).where(*older).order_by(Image.id.desc()).limit(STEP)).all()
        wanted = [row.id for row in looked if name.casefold() in row.name.casefold()][: limit - len(found.images)]
        found.images += db.scalars(select(Image).where(*mine, Image.id.in_(wanted)).order_by(Image.id.desc()))
        full = len(found.images) == limit
        found.before = found.images[-1].id if full else looked[-1].id if len(looked) == STEP else None
        if full or not found.before or time.monotonic() > ends:
            return found

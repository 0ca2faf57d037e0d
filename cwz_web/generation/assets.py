"""Pictures that are kept: recording them once, and looking at them page by page."""

from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import literal_column, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from cwz_web.generation.models import Asset

PAGE = 48


class Kept(BaseModel):
    """What is said of a picture that was put into storage. `size` in bytes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    digest: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    key: Annotated[str, Field(max_length=200)]
    content_type: Annotated[str, Field(max_length=50)]
    width: int
    height: int
    size: int


def record_asset(
    db: Session, workspace_id: UUID, kept: Kept, *, name: str, connection_id: UUID, template_id: UUID, version: int
) -> tuple[Asset, bool]:
    """The asset of this content, and whether it is recorded only now."""
    values = {
        **kept.model_dump(),
        "workspace_id": workspace_id,
        "name": name,
        "connection_id": connection_id,
        "template_id": template_id,
        "template_version": version,
    }
    statement = insert(Asset).values(values)
    # An update that changes nothing, so that RETURNING answers for a known picture as well.
    statement = statement.on_conflict_do_update(
        index_elements=["workspace_id", "digest"], set_={"digest": statement.excluded.digest}
    )
    row: Any = db.execute(statement.returning(Asset, literal_column("xmax = 0"))).one()
    return row[0], bool(row[1])


def find_asset(db: Session, workspace_id: UUID, digest: str) -> Asset | None:
    """The asset of some content, if it is kept."""
    return db.scalar(select(Asset).where(Asset.workspace_id == workspace_id, Asset.digest == digest))


def assets_before(db: Session, workspace_id: UUID, before: UUID | None = None, limit: int = PAGE) -> list[Asset]:
    """The workspace's pictures, newest first, from before an id."""
    query = select(Asset).where(Asset.workspace_id == workspace_id).order_by(Asset.id.desc()).limit(limit)
    return list(db.scalars(query if before is None else query.where(Asset.id < before)))

"""Pictures that are kept: recording them once, and looking at them page by page."""

from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import select
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
) -> Asset:
    """The asset of this content, recorded now unless it is known already."""
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
    return db.execute(statement.returning(Asset)).scalar_one()


def assets_before(db: Session, workspace_id: UUID, before: UUID | None = None, limit: int = PAGE) -> list[Asset]:
    """The workspace's pictures, newest first, from before an id."""
    query = select(Asset).where(Asset.workspace_id == workspace_id).order_by(Asset.id.desc()).limit(limit)
    return list(db.scalars(query if before is None else query.where(Asset.id < before)))

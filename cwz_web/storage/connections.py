"""A workspace's connections: which one its pictures go to, and where in it."""

from uuid import UUID

from sqlalchemy import exists, select
from sqlalchemy.orm import Session

from cwz_web.storage.contract import BadSettings
from cwz_web.storage.models import Connection


def default_connection(db: Session, workspace_id: UUID) -> Connection:
    """The connection that new pictures go to. Raises BadSettings when the workspace has none."""
    found = db.scalar(select(Connection).where(Connection.workspace_id == workspace_id, Connection.is_default))
    if found is None:
        raise BadSettings("Connect a storage first: this workspace has no place to keep pictures")
    return found


def has_storage(db: Session, workspace_id: UUID) -> bool:
    """Whether the workspace has a place for pictures."""
    return db.scalar(select(exists().where(Connection.workspace_id == workspace_id, Connection.is_default))) or False


def asset_key(workspace_id: UUID, digest: str, extension: str) -> str:
    """Where a picture lies. It begins with the workspace, and the digest names the content, so it never changes."""
    return f"{workspace_id}/images/{digest[:2]}/{digest}.{extension}"


def original_key(workspace_id: UUID, digest: str) -> str:
    """Where a picture that people brought in lies (a background, a product photo)."""
    return f"{workspace_id}/originals/{digest}"

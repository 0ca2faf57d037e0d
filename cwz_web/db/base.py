"""What every table shares: the metadata with its naming convention, and the columns of a row that a workspace owns."""

from datetime import datetime
from typing import ClassVar
from uuid import UUID

from sqlalchemy import DateTime, ForeignKey, MetaData, func
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from uuid_utils.compat import uuid7

NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


class Base(DeclarativeBase):
    """The declarative base of every model."""

    metadata = MetaData(naming_convention=NAMES)
    type_annotation_map: ClassVar = {datetime: DateTime(timezone=True), dict: JSONB, list: JSONB}


class Timestamped:
    """A row that knows when it was made."""

    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class WorkspaceOwned(Timestamped):
    """A row of one workspace. The key begins with the workspace, so that a reference cannot point across tenants.

    Ids are UUIDs of version 7 (RFC 9562): they sort by time of creation, which makes them good for paging.
    """

    workspace_id: Mapped[UUID] = mapped_column(ForeignKey("workspaces.id", ondelete="CASCADE"), primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)

"""The declarative base of all tables, its naming convention, and the columns of tables that a workspace owns."""

from datetime import datetime
from typing import ClassVar
from uuid import UUID

from sqlalchemy import DateTime, ForeignKey, MetaData, func
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from uuid_utils.compat import uuid7

NAMING_CONVENTION = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


class Base(DeclarativeBase):
    """The declarative base of every model."""

    metadata = MetaData(naming_convention=NAMING_CONVENTION)
    type_annotation_map: ClassVar = {datetime: DateTime(timezone=True), dict: JSONB, list: JSONB}


class Timestamped:
    """Mixin: the time of creation."""

    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class WorkspaceOwned(Timestamped):
    """Mixin: a row of one workspace, with the workspace as the first column of its key.

    Composite keys keep foreign keys from pointing to another workspace. IDs are UUIDs of version 7 (RFC 9562), which
    sort by time of creation, as pagination needs.
    """

    workspace_id: Mapped[UUID] = mapped_column(ForeignKey("workspaces.id", ondelete="CASCADE"), primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)

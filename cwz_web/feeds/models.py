"""Tables of feeds and their items."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKeyConstraint, Index, UniqueConstraint, func
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from cwz_web.db.base import Base, WorkspaceOwned


class Feed(WorkspaceOwned, Base):
    """A source of rows. `columns` are those that hold anything, in the file's order."""

    __tablename__ = "feeds"

    name: Mapped[str]
    file_name: Mapped[str]
    columns: Mapped[list[str]] = mapped_column(JSONB)
    key_columns: Mapped[list[str]] = mapped_column(JSONB)
    notes: Mapped[list[str]] = mapped_column(JSONB, default=list)
    item_count: Mapped[int]
    imported_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Item(WorkspaceOwned, Base):
    """A row of a feed. `data` holds only the cells that are not empty."""

    __tablename__ = "items"

    feed_id: Mapped[UUID]
    position: Mapped[int]
    key: Mapped[str]
    data: Mapped[dict[str, Any]] = mapped_column(JSONB)

    __table_args__ = (
        ForeignKeyConstraint(["workspace_id", "feed_id"], ["feeds.workspace_id", "feeds.id"], ondelete="CASCADE"),
        UniqueConstraint("workspace_id", "feed_id", "key"),
        Index(None, "workspace_id", "feed_id", "position"),
    )

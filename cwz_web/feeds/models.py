"""Tables of feeds and their items."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, ForeignKeyConstraint, UniqueConstraint, func
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from cwz_web.db.base import Base, Timestamped, WorkspaceOwned


class Feed(WorkspaceOwned, Base):
    """A source of rows. `columns` are those that hold anything, in the file's order.

    An import that would remove more than `guard_percent` of the rows is held. `import_number` counts the imports. A
    feed that was deleted stays for a while, so that this can be undone.
    """

    __tablename__ = "feeds"

    name: Mapped[str]
    file_name: Mapped[str]
    columns: Mapped[list[str]] = mapped_column(JSONB)
    key_columns: Mapped[list[str]] = mapped_column(JSONB)
    notes: Mapped[list[str]] = mapped_column(JSONB, default=list)
    item_count: Mapped[int]
    imported_at: Mapped[datetime] = mapped_column(server_default=func.now())
    import_number: Mapped[int] = mapped_column(default=0, server_default="0")
    guard_percent: Mapped[int] = mapped_column(default=50, server_default="50")
    deleted_at: Mapped[datetime | None]


class Item(Timestamped, Base):
    """A row of a feed, at its place. `data` holds only the cells that are not empty."""

    __tablename__ = "items"

    workspace_id: Mapped[UUID] = mapped_column(primary_key=True)
    feed_id: Mapped[UUID] = mapped_column(primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str]
    data: Mapped[dict[str, Any]] = mapped_column(JSONB)
    changed_at: Mapped[datetime | None]

    __table_args__ = (
        ForeignKeyConstraint(["workspace_id", "feed_id"], ["feeds.workspace_id", "feeds.id"], ondelete="CASCADE"),
        UniqueConstraint("workspace_id", "feed_id", "key"),
    )


class FeedImport(WorkspaceOwned, Base):
    """One time that a file came into a feed, what it changed, and what became of it (applied, held, discarded)."""

    __tablename__ = "feed_imports"

    feed_id: Mapped[UUID]
    number: Mapped[int]
    file_name: Mapped[str]
    state: Mapped[str] = mapped_column(default="applied")
    columns: Mapped[list[str]] = mapped_column(JSONB)
    notes: Mapped[list[str]] = mapped_column(JSONB)
    added: Mapped[int]
    changed: Mapped[int]
    unchanged: Mapped[int]
    removed: Mapped[int]
    started_by: Mapped[UUID | None] = mapped_column(ForeignKey("accounts.id", ondelete="SET NULL"))

    __table_args__ = (
        ForeignKeyConstraint(["workspace_id", "feed_id"], ["feeds.workspace_id", "feeds.id"], ondelete="CASCADE"),
        UniqueConstraint("workspace_id", "feed_id", "number"),
        CheckConstraint("state IN ('applied', 'held', 'discarded')", name="state"),
    )


class StagedItem(Base):
    """A row of an import that is held, until somebody decides."""

    __tablename__ = "staged_items"

    workspace_id: Mapped[UUID] = mapped_column(primary_key=True)
    import_id: Mapped[UUID] = mapped_column(primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str]
    data: Mapped[dict[str, Any]] = mapped_column(JSONB)

    __table_args__ = (
        ForeignKeyConstraint(
            ["workspace_id", "import_id"], ["feed_imports.workspace_id", "feed_imports.id"], ondelete="CASCADE"
        ),
    )


class FeedSource(Base):
    """Where a feed comes from by itself. `every` is in minutes, NULL for only when somebody asks.

    `etag`, `last_modified` and `digest` tell whether there is anything new; `failures` counts those in a row.
    """

    __tablename__ = "feed_sources"

    workspace_id: Mapped[UUID] = mapped_column(primary_key=True)
    feed_id: Mapped[UUID] = mapped_column(primary_key=True)
    url: Mapped[str]
    username: Mapped[str] = mapped_column(default="")
    header: Mapped[str] = mapped_column(default="")
    sealed: Mapped[bytes | None]
    every: Mapped[int | None]
    next_at: Mapped[datetime | None] = mapped_column(index=True)
    etag: Mapped[str | None]
    last_modified: Mapped[str | None]
    digest: Mapped[str] = mapped_column(default="")
    fetched_at: Mapped[datetime | None]
    failures: Mapped[int] = mapped_column(default=0)
    trouble: Mapped[str | None]

    __table_args__ = (
        ForeignKeyConstraint(["workspace_id", "feed_id"], ["feeds.workspace_id", "feeds.id"], ondelete="CASCADE"),
    )

"""Tables of feeds and their items."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import JSON, CheckConstraint, ForeignKey, ForeignKeyConstraint, Index, UniqueConstraint, func
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from cwz_web.db.base import Base, Timestamped, WorkspaceOwned


def _of_import() -> ForeignKeyConstraint:
    return ForeignKeyConstraint(
        ["workspace_id", "import_id"], ["feed_imports.workspace_id", "feed_imports.id"], ondelete="CASCADE"
    )


class Feed(WorkspaceOwned, Base):
    """A source of rows. `columns` are those that hold anything, in the file's order; `shape` says what the file's
    columns become (shaping.Shape).

    An import that would remove more than `guard_percent` of the rows is held. `import_number` counts the imports, and
    `revision` the times that rows have changed. A feed that was deleted stays for a while, so that this can be undone.
    """

    __tablename__ = "feeds"

    name: Mapped[str]
    file_name: Mapped[str]
    columns: Mapped[list[str]] = mapped_column(JSONB)
    shape: Mapped[dict[str, Any]] = mapped_column(JSONB, default=dict, server_default="{}")
    notes: Mapped[list[str]] = mapped_column(JSONB, default=list)
    item_count: Mapped[int] = mapped_column(default=0)
    imported_at: Mapped[datetime | None]
    import_number: Mapped[int] = mapped_column(default=0, server_default="0")
    revision: Mapped[int] = mapped_column(default=0, server_default="0")
    guard_percent: Mapped[int] = mapped_column(default=50, server_default="50")
    deleted_at: Mapped[datetime | None]


class Item(Timestamped, Base):
    """A row of a feed, at its place. `data` holds only the cells that are not empty.

    `revision` is the feed's when the row was added or last changed. What hangs on a feed by its rows has no foreign
    key: triggers check that the feed is there once a statement, and remove the rows with it (migration 0015).
    """

    __tablename__ = "items"

    workspace_id: Mapped[UUID] = mapped_column(primary_key=True)
    feed_id: Mapped[UUID] = mapped_column(primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str]
    data: Mapped[dict[str, Any]] = mapped_column(JSONB)
    changed_at: Mapped[datetime | None]
    revision: Mapped[int] = mapped_column(default=0, server_default="0")

    __table_args__ = (UniqueConstraint("workspace_id", "feed_id", "key"),)


class ItemVersion(Base):
    """What a row was before `revision` changed or removed it."""

    __tablename__ = "item_versions"

    workspace_id: Mapped[UUID] = mapped_column(primary_key=True)
    feed_id: Mapped[UUID] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    revision: Mapped[int] = mapped_column(primary_key=True)
    data: Mapped[dict[str, Any]] = mapped_column(JSONB)
    removed: Mapped[bool]
    replaced_at: Mapped[datetime] = mapped_column(server_default=func.now())

    __table_args__ = (Index(None, "workspace_id", "feed_id", "revision"),)


class ItemOrder(Base):
    """The rows of a feed in the order of a column, as of a revision, so that any page of it is found at once."""

    __tablename__ = "item_orders"

    workspace_id: Mapped[UUID] = mapped_column(primary_key=True)
    feed_id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    revision: Mapped[int] = mapped_column(primary_key=True)
    rank: Mapped[int] = mapped_column(primary_key=True)
    position: Mapped[int]


class FeedImport(WorkspaceOwned, Base):
    """One time that a file came into a feed, what it changed, and what became of it.

    `draft`: its columns have not been looked at yet. `queued`: a job brings it in, `percent` tells how far it is.
    `applied`, `unchanged`, `discarded`, `failed` (see `trouble`): it is over. `held`: it would remove too much, and
    waits until somebody has `confirmed` it. `fetched` tells that the file comes from the feed's source.
    """

    __tablename__ = "feed_imports"

    feed_id: Mapped[UUID]
    number: Mapped[int]
    file_name: Mapped[str]
    state: Mapped[str] = mapped_column(default="queued")
    fetched: Mapped[bool] = mapped_column(default=False, server_default="false")
    confirmed: Mapped[bool] = mapped_column(default=False, server_default="false")
    columns: Mapped[list[str]] = mapped_column(JSONB, default=list)
    notes: Mapped[list[str]] = mapped_column(JSONB, default=list)
    added: Mapped[int] = mapped_column(default=0, server_default="0")
    changed: Mapped[int] = mapped_column(default=0, server_default="0")
    unchanged: Mapped[int] = mapped_column(default=0, server_default="0")
    removed: Mapped[int] = mapped_column(default=0, server_default="0")
    invalid: Mapped[int] = mapped_column(default=0, server_default="0")
    rows_read: Mapped[int] = mapped_column(default=0, server_default="0")
    percent: Mapped[int] = mapped_column(default=0, server_default="0")
    trouble: Mapped[str | None]
    revision: Mapped[int | None]
    started_by: Mapped[UUID | None] = mapped_column(ForeignKey("accounts.id", ondelete="SET NULL"))
    finished_at: Mapped[datetime | None]

    __table_args__ = (
        ForeignKeyConstraint(["workspace_id", "feed_id"], ["feeds.workspace_id", "feeds.id"], ondelete="CASCADE"),
        UniqueConstraint("workspace_id", "feed_id", "number"),
        CheckConstraint(
            "state IN ('draft', 'queued', 'applied', 'unchanged', 'held', 'discarded', 'failed')", name="state"
        ),
    )


class FilePart(Base):
    """A piece of the file of an import, compressed; the newest one of a feed is kept, to be brought in another way."""

    __tablename__ = "file_parts"

    workspace_id: Mapped[UUID] = mapped_column(primary_key=True)
    import_id: Mapped[UUID] = mapped_column(primary_key=True)
    part: Mapped[int] = mapped_column(primary_key=True)
    data: Mapped[bytes]

    __table_args__ = (_of_import(),)


class InvalidRow(Base):
    """A row of a file that was left out, and why. `line` is where it stands in the file.

    The data is JSON, not JSONB, so that its columns keep their order.
    """

    __tablename__ = "invalid_rows"

    workspace_id: Mapped[UUID] = mapped_column(primary_key=True)
    import_id: Mapped[UUID] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    line: Mapped[int]
    reason: Mapped[str]
    data: Mapped[dict[str, Any]] = mapped_column(JSON)

    __table_args__ = (_of_import(),)


class FeedSource(Base):
    """Where a feed comes from by itself. `cron` says when, in `time_zone` (schedules.py); NULL for only when asked.

    `etag`, `last_modified` and `digest` tell whether there is anything new; `failures` counts those in a row.
    """

    __tablename__ = "feed_sources"

    workspace_id: Mapped[UUID] = mapped_column(primary_key=True)
    feed_id: Mapped[UUID] = mapped_column(primary_key=True)
    url: Mapped[str]
    username: Mapped[str] = mapped_column(default="")
    header: Mapped[str] = mapped_column(default="")
    sealed: Mapped[bytes | None]
    cron: Mapped[str | None]
    time_zone: Mapped[str] = mapped_column(default="UTC", server_default="UTC")
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

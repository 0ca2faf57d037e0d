"""Models of feeds: feeds, items and their versions, imports and their files, sources."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, ForeignKeyConstraint, Index, UniqueConstraint, func
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from cwz_web.db.base import Base, Timestamped, WorkspaceOwned
from cwz_web.feeds.row_data import OrderedRowData, RowData
from cwz_web.i18n import gettext, gettext_noop
from cwz_web.values.formats import ValueFormat


def _of_import() -> ForeignKeyConstraint:
    return ForeignKeyConstraint(
        ["workspace_id", "import_id"], ["feed_imports.workspace_id", "feed_imports.id"], ondelete="CASCADE"
    )


class ImportState(StrEnum):
    """The state of an import."""

    DRAFT = "draft"  # the schema has not been confirmed yet
    QUEUED = "queued"  # a job fetches or imports the file; `percent` is its progress
    NEEDS_REVIEW = "needs_review"  # the guard found reasons (import_guard.py)
    APPLIED = "applied"
    UNCHANGED = "unchanged"  # the source has not changed since the last fetch
    DISCARDED = "discarded"
    FAILED = "failed"


IMPORT_STATE_LABELS = {
    ImportState.DRAFT: gettext_noop("Draft"),
    ImportState.QUEUED: gettext_noop("Queued"),
    ImportState.NEEDS_REVIEW: gettext_noop("Needs review"),
    ImportState.APPLIED: gettext_noop("Completed"),
    ImportState.UNCHANGED: gettext_noop("No changes"),
    ImportState.DISCARDED: gettext_noop("Discarded"),
    ImportState.FAILED: gettext_noop("Failed"),
}


# The file name of what a program sent to the API, which has none.
API_FILE_NAME = "API"


class Feed(WorkspaceOwned, Base):
    """A table of rows that images are rendered from.

    Attributes:
        columns: The names of the columns that have values, in the file's order.
        schema: The feed's schema (columns.FeedSchema).
        reading: How the feed's file is read (reading.ReadOptions); what is not in it is detected.
        column_formats: How the values of each column are written (values.formats.ValueFormat), as the last import
            found; what the schema says counts more.
        currency: The currency of prices that do not name one, as an ISO 4217 code; None if it is not known.
        notes: Notes on the last import, as sentences.
        import_number: The number of the last import.
        revision: The number of times that rows have changed.
        max_removed_percent: An import that would remove or empty a larger share of the rows needs a review.
        baseline: What the next import is compared with (import_guard.Baseline); None before the first import.
        deleted_at: When the feed was deleted. It is kept for a while, so that it can be restored.
    """

    __tablename__ = "feeds"

    name: Mapped[str]
    file_name: Mapped[str]
    columns: Mapped[list[str]] = mapped_column(JSONB)
    schema: Mapped[dict[str, Any]] = mapped_column(JSONB, default=dict, server_default="{}")
    reading: Mapped[dict[str, Any]] = mapped_column(JSONB, default=dict, server_default="{}")
    column_formats: Mapped[dict[str, Any]] = mapped_column(JSONB, default=dict, server_default="{}")
    currency: Mapped[str | None]
    notes: Mapped[list[str]] = mapped_column(JSONB, default=list)
    item_count: Mapped[int] = mapped_column(default=0)
    imported_at: Mapped[datetime | None]
    import_number: Mapped[int] = mapped_column(default=0, server_default="0")
    revision: Mapped[int] = mapped_column(default=0, server_default="0")
    max_removed_percent: Mapped[int] = mapped_column(default=50, server_default="50")
    baseline: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    deleted_at: Mapped[datetime | None]

    @property
    def source(self) -> str:
        """Where the rows come from, to be read after “from”."""
        return _describe_source(self.file_name)

    @property
    def value_format(self) -> ValueFormat:
        """The format that was set for all columns."""
        return ValueFormat(currency=self.currency)


class Item(Timestamped, Base):
    """A row of a feed.

    Tables of rows have no foreign key to the feed, which PostgreSQL would check row by row: triggers check once a
    statement that the feed exists, and delete the rows with it (0001_initial.sql).

    Attributes:
        position: The row's place in the file's order.
        data: The cells that are not empty, by column.
        changed_at: When an import or a write last changed it; None if it has not changed since it was added.
        revision: The feed's revision when the row was added or last changed.
    """

    __tablename__ = "items"

    workspace_id: Mapped[UUID] = mapped_column(primary_key=True)
    feed_id: Mapped[UUID] = mapped_column(primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str]
    data: Mapped[dict[str, str]] = mapped_column(RowData)
    changed_at: Mapped[datetime | None]
    revision: Mapped[int] = mapped_column(default=0, server_default="0")

    __table_args__ = (UniqueConstraint("workspace_id", "feed_id", "key"),)


class ItemVersion(Base):
    """A row as it was before `revision` changed or removed it."""

    __tablename__ = "item_versions"

    workspace_id: Mapped[UUID] = mapped_column(primary_key=True)
    feed_id: Mapped[UUID] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    revision: Mapped[int] = mapped_column(primary_key=True)
    data: Mapped[dict[str, str]] = mapped_column(RowData)
    removed: Mapped[bool]
    replaced_at: Mapped[datetime] = mapped_column(server_default=func.now())

    __table_args__ = (Index("ix_item_versions_revision", "workspace_id", "feed_id", "revision", "removed", "key"),)


class SortIndexEntry(Base):
    """The rank of a row when a feed is sorted by a column (sort_index.py), as of a revision."""

    __tablename__ = "sort_index"

    workspace_id: Mapped[UUID] = mapped_column(primary_key=True)
    feed_id: Mapped[UUID] = mapped_column(primary_key=True)
    sort: Mapped[str] = mapped_column(primary_key=True)
    revision: Mapped[int] = mapped_column(primary_key=True)
    rank: Mapped[int] = mapped_column(primary_key=True)
    position: Mapped[int]


class FeedImport(WorkspaceOwned, Base):
    """An import of a file into a feed.

    Attributes:
        number: Counts the imports of a feed.
        state: The state (ImportState).
        fetched: Whether the file comes from the feed's source.
        confirmed: Whether the import was applied after a review, so that the guard does not hold it.
        length_known: Whether the length of the file was stated, so that it cannot be cut off unnoticed.
        review_reasons: Why the import needs or needed a review (import_guard.ReviewReason).
        invalid: The number of rows that were skipped because they are invalid (InvalidRow).
        rows_read: The number of rows read so far.
        percent: The share of the file read so far.
        error_message: Why the import failed.
        reading: How the file was read (reading.Reading).
        revision: The revision of the feed that the import created.
    """

    __tablename__ = "feed_imports"

    feed_id: Mapped[UUID]
    number: Mapped[int]
    file_name: Mapped[str]
    state: Mapped[str] = mapped_column(default=ImportState.QUEUED)
    fetched: Mapped[bool] = mapped_column(default=False, server_default="false")
    confirmed: Mapped[bool] = mapped_column(default=False, server_default="false")
    length_known: Mapped[bool] = mapped_column(default=True, server_default="true")
    review_reasons: Mapped[list[dict[str, Any]]] = mapped_column(JSONB, default=list, server_default="[]")
    columns: Mapped[list[str]] = mapped_column(JSONB, default=list)
    notes: Mapped[list[str]] = mapped_column(JSONB, default=list)
    added: Mapped[int] = mapped_column(default=0, server_default="0")
    changed: Mapped[int] = mapped_column(default=0, server_default="0")
    unchanged: Mapped[int] = mapped_column(default=0, server_default="0")
    removed: Mapped[int] = mapped_column(default=0, server_default="0")
    invalid: Mapped[int] = mapped_column(default=0, server_default="0")
    rows_read: Mapped[int] = mapped_column(default=0, server_default="0")
    percent: Mapped[int] = mapped_column(default=0, server_default="0")
    error_message: Mapped[str | None]
    reading: Mapped[dict[str, Any]] = mapped_column(JSONB, default=dict, server_default="{}")
    revision: Mapped[int | None]
    started_by: Mapped[UUID | None] = mapped_column(ForeignKey("accounts.id", ondelete="SET NULL"))
    finished_at: Mapped[datetime | None]

    __table_args__ = (
        ForeignKeyConstraint(["workspace_id", "feed_id"], ["feeds.workspace_id", "feeds.id"], ondelete="CASCADE"),
        UniqueConstraint("workspace_id", "feed_id", "number"),
        CheckConstraint(
            "state IN ('draft', 'queued', 'needs_review', 'applied', 'unchanged', 'discarded', 'failed')", name="state"
        ),
    )

    @property
    def source(self) -> str:
        """Where its rows come from, to be read after “from”."""
        return _describe_source(self.file_name)


class FilePart(Base):
    """A compressed chunk of an import's file. Only the newest file of a feed is stored (import_files.py)."""

    __tablename__ = "file_parts"

    workspace_id: Mapped[UUID] = mapped_column(primary_key=True)
    import_id: Mapped[UUID] = mapped_column(primary_key=True)
    part: Mapped[int] = mapped_column(primary_key=True)
    data: Mapped[bytes]

    __table_args__ = (_of_import(),)


class InvalidRow(Base):
    """A row that an import skipped because it is invalid.

    Attributes:
        number: Counts the invalid rows of an import.
        line: The line or the number of the row in the file.
        reason: Why it is invalid.
        data: The cells, as JSON and not JSONB, which would not keep the order of the columns.
    """

    __tablename__ = "invalid_rows"

    workspace_id: Mapped[UUID] = mapped_column(primary_key=True)
    import_id: Mapped[UUID] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    line: Mapped[int]
    reason: Mapped[str]
    data: Mapped[dict[str, str]] = mapped_column(OrderedRowData)

    __table_args__ = (_of_import(),)


class AddedRow(Base):
    """The key of a row that an import has added (import_changes.py)."""

    __tablename__ = "added_rows"

    workspace_id: Mapped[UUID] = mapped_column(primary_key=True)
    import_id: Mapped[UUID] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)

    __table_args__ = (_of_import(),)


class FeedSource(Base):
    """The URL that a feed is fetched from, or the provider that fetches its rows.

    Attributes:
        url: The URL; for a provider the URL that people know the source by.
        provider: The name of the provider (providers/contract.py); "" for a URL.
        settings: The provider's settings.
        username: The user name for HTTP Basic authentication; "" for none.
        header: The name of the header that carries the secret; "" for none.
        user_agent: The User-Agent of the requests; "" for ours.
        allowed_hosts: Hosts outside of the site of the URL that redirects and next pages may lead to.
        encrypted_secret: The encrypted password or header value, or the provider's credentials.
        cron: When to fetch the feed, in `time_zone` (schedules.py); None for only on request.
        next_at: When the feed is fetched next.
        paused_at: When its schedule was paused; None if it is not.
        complete_at: When the provider last fetched all rows, and not only what has changed.
        changes_since: When the provider's last successful fetch began.
        digest: The SHA-256 of the last file, which shows with `etag` and `last_modified` whether the file has changed.
        failures: The number of consecutive failures.
        error_message: Why the last fetch failed.
        encrypted_webhook_secret: The encrypted secret that the provider signs its calls with (change_webhooks.py); None
            if it does not call.
        webhook_called_at: When the provider has called last, to the minute.
    """

    __tablename__ = "feed_sources"

    workspace_id: Mapped[UUID] = mapped_column(primary_key=True)
    feed_id: Mapped[UUID] = mapped_column(primary_key=True)
    url: Mapped[str]
    provider: Mapped[str] = mapped_column(default="", server_default="")
    settings: Mapped[dict[str, Any]] = mapped_column(JSONB, default=dict, server_default="{}")
    username: Mapped[str] = mapped_column(default="")
    header: Mapped[str] = mapped_column(default="")
    user_agent: Mapped[str] = mapped_column(default="", server_default="")
    allowed_hosts: Mapped[list[str]] = mapped_column(JSONB, default=list, server_default="[]")
    encrypted_secret: Mapped[bytes | None]
    cron: Mapped[str | None]
    time_zone: Mapped[str] = mapped_column(default="UTC", server_default="UTC")
    next_at: Mapped[datetime | None] = mapped_column(index=True)
    paused_at: Mapped[datetime | None]
    complete_at: Mapped[datetime | None]
    changes_since: Mapped[datetime | None]
    etag: Mapped[str | None]
    last_modified: Mapped[str | None]
    digest: Mapped[str] = mapped_column(default="")
    fetched_at: Mapped[datetime | None]
    failures: Mapped[int] = mapped_column(default=0)
    error_message: Mapped[str | None]
    encrypted_webhook_secret: Mapped[bytes | None]
    webhook_called_at: Mapped[datetime | None]

    __table_args__ = (
        ForeignKeyConstraint(["workspace_id", "feed_id"], ["feeds.workspace_id", "feeds.id"], ondelete="CASCADE"),
    )

    @property
    def file_name(self) -> str:
        """The name of the file, without the query of the URL, which may contain secrets; a provider's host and path."""
        path = self.url.partition("?")[0].rstrip("/")
        if self.provider:
            return path.partition("://")[2][-200:]
        return path.rpartition("/")[2][-200:] or path[-200:]


def _describe_source(file_name: str) -> str:
    return gettext("the API") if file_name == API_FILE_NAME else file_name

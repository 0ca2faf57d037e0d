"""Tables of runs, their items, and automatic runs."""

from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    CheckConstraint,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    SmallInteger,
    UniqueConstraint,
    false,
    func,
    text,
    true,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from cwz_web.db.base import Base, WorkspaceOwned
from cwz_web.feeds.row_data import RowData
from cwz_web.generation.usage import month_of
from cwz_web.runs.missing_photos import OnMissingPhoto


def _check_on_missing_photo() -> CheckConstraint:
    return CheckConstraint("on_missing_photo IN ('keep', 'replace', 'fail')", name="on_missing_photo")


class Run(WorkspaceOwned, Base):
    """A feed rendered with one version of a template; or, with `feed_id` NULL, a single image requested without a feed.

    The counts change in the same transaction as the items do.

    Attributes:
        formats: how the values of each field are written (`values.formats.ValueFormat` as JSON).
        outputs: each row is rendered once for each (`imaging.encoders.Output` as JSON).
        prepared: whether its items are written and its chunks queued. Before, nothing is rendered or counted.
        error_message: why it could not be prepared; its items count as failed then.
        done: how many images are ready; `incomplete` ones lack a photo, and are not among them.
        findings: how many findings the images have, reused ones included.
        unchanged: how many of the `done` images were reused from an earlier run.
        force: whether every image is rendered again, also those that have not changed.
        refresh_photos: whether the photos of unchanged rows are fetched again if they have changed.
        design_digests: for each output, the digest of what its images show of the template.
        processing_cost: how many images each of its images reserves for the processing of photos.
        key_id: the API key that started it, and that its images count against.
        usage_month: the month that its images count in (generation/usage.py).
        retries: how often it was retried after it had ended; render workers' results of earlier attempts name a lower
            number.
        canceled_at: when it was canceled; its pending items were left out and count as failed.
        rendering_seconds: how long render workers took, in sum.
        webhook: a URL that is notified when the run finishes.
        request_metadata: what the client sent to have it returned, such as the number of an order.
        document: what is rendered in place of the version's document, with the overrides of a request; NULL without.
        selection: which rows of the feed it has (`selection.RowSelection` as JSON); empty for all.
        campaign_id: the campaign whose rows it renders, with its design of the number `design`.
    """

    __tablename__ = "runs"

    feed_id: Mapped[UUID | None]
    template_id: Mapped[UUID]
    template_version: Mapped[int]
    connection_id: Mapped[UUID]
    mapping: Mapped[dict[str, Any]] = mapped_column(JSONB)
    formats: Mapped[dict[str, Any]] = mapped_column(JSONB, default=dict, server_default="{}")
    outputs: Mapped[list[Any]] = mapped_column(JSONB)
    prepared: Mapped[bool] = mapped_column(default=True, server_default=true())
    error_message: Mapped[str | None]
    total: Mapped[int]
    done: Mapped[int] = mapped_column(default=0)
    incomplete: Mapped[int] = mapped_column(default=0, server_default="0")
    failed: Mapped[int] = mapped_column(default=0)
    findings: Mapped[int] = mapped_column(default=0, server_default="0")
    unchanged: Mapped[int] = mapped_column(default=0, server_default="0")
    force: Mapped[bool] = mapped_column(default=False, server_default=false())
    refresh_photos: Mapped[bool] = mapped_column(default=False, server_default=false())
    on_missing_photo: Mapped[str] = mapped_column(default=OnMissingPhoto.KEEP, server_default=OnMissingPhoto.KEEP)
    design_digests: Mapped[list[Any]] = mapped_column(JSONB, default=list, server_default="[]")
    retries: Mapped[int] = mapped_column(default=0, server_default="0")
    processing_cost: Mapped[int] = mapped_column(default=0, server_default="0")
    key_id: Mapped[UUID | None]
    usage_month: Mapped[date] = mapped_column(default=month_of, server_default=text("date_trunc('month', now())::date"))
    canceled_at: Mapped[datetime | None]
    rendering_seconds: Mapped[float] = mapped_column(default=0.0, server_default="0")
    webhook: Mapped[str | None]
    request_metadata: Mapped[dict[str, Any]] = mapped_column("metadata", JSONB, default=dict, server_default="{}")
    document: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    selection: Mapped[dict[str, Any]] = mapped_column(JSONB, default=dict, server_default="{}")
    campaign_id: Mapped[UUID | None]
    design: Mapped[int | None] = mapped_column(SmallInteger)
    started_by: Mapped[UUID | None] = mapped_column(ForeignKey("accounts.id", ondelete="SET NULL"))
    finished_at: Mapped[datetime | None]

    __table_args__ = (
        ForeignKeyConstraint(["workspace_id", "feed_id"], ["feeds.workspace_id", "feeds.id"]),
        ForeignKeyConstraint(["workspace_id", "template_id"], ["templates.workspace_id", "templates.id"]),
        ForeignKeyConstraint(["workspace_id", "connection_id"], ["connections.workspace_id", "connections.id"]),
        CheckConstraint("done + incomplete + failed <= total", name="counts"),
        _check_on_missing_photo(),
        Index("ix_runs_unfinished", "workspace_id", "id", postgresql_where=text("finished_at IS NULL")),
        Index("ix_runs_template", "workspace_id", "template_id", "id"),
        Index("ix_runs_feed", "workspace_id", "feed_id", "id"),
        Index(
            "ix_runs_campaign",
            "workspace_id",
            "campaign_id",
            "id",
            postgresql_where=text("campaign_id IS NOT NULL"),
        ),
    )

    @property
    def pending(self) -> int:
        return self.total - self.done - self.incomplete - self.failed

    @property
    def reserved(self) -> int:
        """How many images are counted for the pending ones, until they are rendered."""
        return self.pending * (1 + self.processing_cost)

    @property
    def is_rendering(self) -> bool:
        """Whether its images are being rendered."""
        return self.prepared and self.finished_at is None


class AutoRun(WorkspaceOwned, Base):
    """A rule that starts a run when a feed changes, over the rows newer than `revision`.

    `error_message` says why the last run could not be started.
    """

    __tablename__ = "auto_runs"

    feed_id: Mapped[UUID]
    template_id: Mapped[UUID]
    connection_id: Mapped[UUID | None]
    mapping: Mapped[dict[str, Any]] = mapped_column(JSONB)
    outputs: Mapped[list[Any]] = mapped_column(JSONB)
    revision: Mapped[int]
    error_message: Mapped[str | None]
    on_missing_photo: Mapped[str] = mapped_column(default=OnMissingPhoto.KEEP, server_default=OnMissingPhoto.KEEP)
    started_by: Mapped[UUID | None] = mapped_column(ForeignKey("accounts.id", ondelete="SET NULL"))

    __table_args__ = (
        _check_on_missing_photo(),
        ForeignKeyConstraint(["workspace_id", "feed_id"], ["feeds.workspace_id", "feeds.id"], ondelete="CASCADE"),
        ForeignKeyConstraint(
            ["workspace_id", "template_id"], ["templates.workspace_id", "templates.id"], ondelete="CASCADE"
        ),
        ForeignKeyConstraint(["workspace_id", "connection_id"], ["connections.workspace_id", "connections.id"]),
        UniqueConstraint("workspace_id", "feed_id", "template_id"),
    )


class RunItem(Base):
    """One image of a run.

    Attributes:
        output: the index of the run's output.
        data: the row's values, under the names of the template's fields.
        state: `pending`, `done`, `incomplete` (a photo is missing in the image) or `failed`.
        error: why there is no image; of a pending item, why it was postponed.
        findings: what is wrong with the image (`imaging.findings.Finding` as JSON); NULL for nothing.
        photos: what the photos of the image were (`generation.image_sources.PhotoState` as JSON).
        image_id: the image; of a pending item, the earlier image that is kept if its photos have not changed.
        deleted_image_id: the image that it had, if that was deleted.
        attempts: how often it was postponed since the host of a photo did not respond.
        retry_at: until when it is postponed.
        counted: whether an image of it counts already.
    """

    __tablename__ = "run_items"

    workspace_id: Mapped[UUID] = mapped_column(primary_key=True)
    run_id: Mapped[UUID] = mapped_column(primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    chunk: Mapped[int]
    output: Mapped[int] = mapped_column(default=0, server_default="0")
    key: Mapped[str]
    data: Mapped[dict[str, str]] = mapped_column(RowData)
    state: Mapped[str] = mapped_column(server_default="pending")
    error: Mapped[str | None]
    findings: Mapped[list[Any] | None] = mapped_column(JSONB(none_as_null=True))
    photos: Mapped[list[Any] | None] = mapped_column(JSONB(none_as_null=True))
    attempts: Mapped[int] = mapped_column(default=0, server_default="0")
    retry_at: Mapped[datetime | None]
    counted: Mapped[bool] = mapped_column(default=False, server_default=false())
    image_id: Mapped[UUID | None]
    deleted_image_id: Mapped[UUID | None]

    __table_args__ = (
        ForeignKeyConstraint(["workspace_id", "run_id"], ["runs.workspace_id", "runs.id"], ondelete="CASCADE"),
        ForeignKeyConstraint(["workspace_id", "image_id"], ["images.workspace_id", "images.id"]),
        CheckConstraint("state IN ('pending', 'done', 'incomplete', 'failed')", name="state"),
        Index(None, "workspace_id", "run_id", "chunk"),
        Index(None, "workspace_id", "image_id"),
        Index(None, "workspace_id", "key", "run_id"),
        Index(
            "ix_run_items_deleted",
            "workspace_id",
            "deleted_image_id",
            postgresql_where=text("deleted_image_id IS NOT NULL"),
        ),
        Index(
            "ix_run_items_deleted_of_run",
            "workspace_id",
            "run_id",
            postgresql_where=text("deleted_image_id IS NOT NULL"),
        ),
        Index(
            "ix_run_items_unsuccessful",
            "workspace_id",
            "run_id",
            "position",
            postgresql_where=text("state IN ('failed', 'incomplete')"),
        ),
        Index(
            "ix_run_items_findings",
            "workspace_id",
            "run_id",
            "position",
            postgresql_where=text("findings IS NOT NULL"),
        ),
        Index("ix_run_items_retry_at", "workspace_id", "run_id", postgresql_where=text("retry_at IS NOT NULL")),
    )


class RenderMessage(Base):
    """The id of a render worker's message that was processed, so that a replay is rejected."""

    __tablename__ = "render_messages"

    id: Mapped[str] = mapped_column(primary_key=True)
    received_at: Mapped[datetime] = mapped_column(server_default=func.now(), index=True)

"""Tables of runs and their items."""

from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, ForeignKeyConstraint, Index, UniqueConstraint, func, text, true
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from cwz_web.db.base import Base, WorkspaceOwned
from cwz_web.generation.usage import month_of


class Run(WorkspaceOwned, Base):
    """A feed rendered with one version of a template, each row in each of the `outputs`; or, without a feed, one image
    that was ordered by itself. The counts change in the same transaction as the items do.

    `unchanged` of the `done` were taken over from an earlier run. Its images count in the month `counted_in`, and
    against the API key `key_id`, if a program started it (generation/usage.py). `rendering_seconds` is how long workers
    were at it, together; `webhook` is an address that is told how it ended.

    Until it is `prepared` nothing of it is rendered or counts: at first it has no items, later they wait to be rendered
    again. If that cannot be done, what was not rendered has failed, and `trouble` says why. What is pending in a
    cancelled run was left out.
    """

    __tablename__ = "runs"

    feed_id: Mapped[UUID | None]
    template_id: Mapped[UUID]
    template_version: Mapped[int]
    connection_id: Mapped[UUID]
    mapping: Mapped[dict[str, Any]] = mapped_column(JSONB)
    outputs: Mapped[list[Any]] = mapped_column(JSONB)
    prepared: Mapped[bool] = mapped_column(default=True, server_default=true())
    trouble: Mapped[str | None]
    total: Mapped[int]
    done: Mapped[int] = mapped_column(default=0)
    failed: Mapped[int] = mapped_column(default=0)
    unchanged: Mapped[int] = mapped_column(default=0, server_default="0")
    key_id: Mapped[UUID | None]
    counted_in: Mapped[date] = mapped_column(default=month_of, server_default=text("date_trunc('month', now())::date"))
    cancelled_at: Mapped[datetime | None]
    rendering_seconds: Mapped[float] = mapped_column(default=0.0, server_default="0")
    webhook: Mapped[str | None]
    started_by: Mapped[UUID | None] = mapped_column(ForeignKey("accounts.id", ondelete="SET NULL"))
    finished_at: Mapped[datetime | None]

    __table_args__ = (
        ForeignKeyConstraint(["workspace_id", "feed_id"], ["feeds.workspace_id", "feeds.id"]),
        ForeignKeyConstraint(["workspace_id", "template_id"], ["templates.workspace_id", "templates.id"]),
        ForeignKeyConstraint(["workspace_id", "connection_id"], ["connections.workspace_id", "connections.id"]),
        CheckConstraint("done + failed <= total", name="counts"),
        Index("ix_runs_unfinished", "workspace_id", "id", postgresql_where=text("finished_at IS NULL")),
        Index("ix_runs_template", "workspace_id", "template_id", "id"),
    )

    @property
    def pending(self) -> int:
        return self.total - self.done - self.failed

    @property
    def is_rendered(self) -> bool:
        """Whether its images are being rendered now."""
        return self.prepared and self.finished_at is None


class AutoRun(WorkspaceOwned, Base):
    """A run that begins by itself when its feed changes, over the rows that are newer than `revision`.

    `trouble` says why it could not begin the last time.
    """

    __tablename__ = "auto_runs"

    feed_id: Mapped[UUID]
    template_id: Mapped[UUID]
    connection_id: Mapped[UUID | None]
    mapping: Mapped[dict[str, Any]] = mapped_column(JSONB)
    outputs: Mapped[list[Any]] = mapped_column(JSONB)
    revision: Mapped[int]
    trouble: Mapped[str | None]
    started_by: Mapped[UUID | None] = mapped_column(ForeignKey("accounts.id", ondelete="SET NULL"))

    __table_args__ = (
        ForeignKeyConstraint(["workspace_id", "feed_id"], ["feeds.workspace_id", "feeds.id"], ondelete="CASCADE"),
        ForeignKeyConstraint(
            ["workspace_id", "template_id"], ["templates.workspace_id", "templates.id"], ondelete="CASCADE"
        ),
        ForeignKeyConstraint(["workspace_id", "connection_id"], ["connections.workspace_id", "connections.id"]),
        UniqueConstraint("workspace_id", "feed_id", "template_id"),
    )


class RunItem(Base):
    """One image of a run: the values of its row, which of the run's outputs it is (an index), and what became of it
    (`pending`, `done` or `failed`).

    `error` says why there is no image; `note` what is missing in the one there is.
    """

    __tablename__ = "run_items"

    workspace_id: Mapped[UUID] = mapped_column(primary_key=True)
    run_id: Mapped[UUID] = mapped_column(primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    chunk: Mapped[int]
    output: Mapped[int] = mapped_column(default=0, server_default="0")
    key: Mapped[str]
    data: Mapped[dict[str, Any]] = mapped_column(JSONB)
    state: Mapped[str] = mapped_column(server_default="pending")
    error: Mapped[str | None]
    note: Mapped[str | None]
    image_id: Mapped[UUID | None]

    __table_args__ = (
        ForeignKeyConstraint(["workspace_id", "run_id"], ["runs.workspace_id", "runs.id"], ondelete="CASCADE"),
        ForeignKeyConstraint(["workspace_id", "image_id"], ["images.workspace_id", "images.id"]),
        CheckConstraint("state IN ('pending', 'done', 'failed')", name="state"),
        Index(None, "workspace_id", "run_id", "chunk"),
        Index(None, "workspace_id", "image_id"),
        Index(None, "workspace_id", "key", "run_id"),
        Index("ix_run_items_failed", "workspace_id", "run_id", "position", postgresql_where=text("state = 'failed'")),
        Index("ix_run_items_noted", "workspace_id", "run_id", postgresql_where=text("note IS NOT NULL")),
    )


class RenderMessage(Base):
    """A signed message of a worker that was taken, so that a copy of it is not taken again."""

    __tablename__ = "render_messages"

    id: Mapped[str] = mapped_column(primary_key=True)
    received_at: Mapped[datetime] = mapped_column(server_default=func.now(), index=True)

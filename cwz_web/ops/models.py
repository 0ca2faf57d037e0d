"""Tables of backups and exports."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, ForeignKeyConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from cwz_web.db.base import Base, WorkspaceOwned


class BackupRecord(Base):
    """A backup in the backup folder, for processes that cannot read the folder.

    `copied`: the storage for copies has it. `verified_at`: when it was last restored as a test; `error_message`: why
    that failed.
    """

    __tablename__ = "backups"

    name: Mapped[str] = mapped_column(primary_key=True)
    created_at: Mapped[datetime]
    size: Mapped[int] = mapped_column(BigInteger)
    rows: Mapped[int] = mapped_column(BigInteger)
    copied: Mapped[bool] = mapped_column(server_default=text("false"), default=False)
    verified_at: Mapped[datetime | None]
    error_message: Mapped[str | None]


class ExportState(StrEnum):
    """The states of an export."""

    PENDING = "pending"
    DONE = "done"
    FAILED = "failed"
    EXPIRED = "expired"


class Export(WorkspaceOwned, Base):
    """An export of a workspace, or of a run's images: one zip file, created by a job and deleted after some days.

    `images`: how many the zip of a run has; NULL of a workspace, and of zips from before they were counted.
    """

    __tablename__ = "exports"

    requested_by: Mapped[UUID | None] = mapped_column(ForeignKey("accounts.id", ondelete="SET NULL"))
    run_id: Mapped[UUID | None]
    with_images: Mapped[bool]
    state: Mapped[str] = mapped_column(default=ExportState.PENDING, server_default="pending")
    percent: Mapped[int] = mapped_column(default=0, server_default="0")
    error_message: Mapped[str | None]
    connection_id: Mapped[UUID | None]
    key: Mapped[str | None]
    size: Mapped[int | None] = mapped_column(BigInteger)
    images: Mapped[int | None]
    finished_at: Mapped[datetime | None]

    __table_args__ = (
        ForeignKeyConstraint(["workspace_id", "run_id"], ["runs.workspace_id", "runs.id"], ondelete="CASCADE"),
        CheckConstraint("state IN ('pending', 'done', 'failed', 'expired')", name="state"),
    )

"""Tables of backups and exports."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, text
from sqlalchemy.orm import Mapped, mapped_column

from cwz_web.db.base import Base, WorkspaceOwned


class BackupRecord(Base):
    """A backup that there is, for those who cannot see its folder. `verified_at` is when it was last restored on
    trial, `trouble` what that found wrong; `copied` tells that it lies in the operator's storage, too."""

    __tablename__ = "backups"

    name: Mapped[str] = mapped_column(primary_key=True)
    made_at: Mapped[datetime]
    size: Mapped[int] = mapped_column(BigInteger)
    rows: Mapped[int] = mapped_column(BigInteger)
    copied: Mapped[bool] = mapped_column(server_default=text("false"), default=False)
    verified_at: Mapped[datetime | None]
    trouble: Mapped[str | None]


class Export(WorkspaceOwned, Base):
    """Everything that a workspace has, as one zip in its storage. `percent` tells how far its job is, `trouble` why
    there is none; one that is `gone` was removed when its days were over."""

    __tablename__ = "exports"

    asked_by: Mapped[UUID | None] = mapped_column(ForeignKey("accounts.id", ondelete="SET NULL"))
    with_images: Mapped[bool]
    state: Mapped[str] = mapped_column(default="pending", server_default="pending")
    percent: Mapped[int] = mapped_column(default=0, server_default="0")
    trouble: Mapped[str | None]
    connection_id: Mapped[UUID | None]
    key: Mapped[str | None]
    size: Mapped[int | None] = mapped_column(BigInteger)
    finished_at: Mapped[datetime | None]

    __table_args__ = (CheckConstraint("state IN ('pending', 'done', 'failed', 'gone')", name="state"),)

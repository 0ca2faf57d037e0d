"""Tables of channels: what a platform reads of a campaign, and who fetched it."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, ForeignKeyConstraint, Index
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from cwz_web.campaigns.models import Campaign
from cwz_web.channels.mapping import MAPPINGS, FieldMapping, MissingImage
from cwz_web.channels.preset import FileFormat, Preset
from cwz_web.channels.presets import PRESETS
from cwz_web.db.base import Base, WorkspaceOwned

# In the report beside what it is about: the digest of the object, which is compressed.
STORED_DIGEST = "stored_digest"


class Channel(WorkspaceOwned, Base):
    """A feed of a campaign's public rows, in the fields and the file format of a platform.

    Attributes:
        name: for people.
        preset: the platform (`presets.PRESETS`).
        format: the file format (`preset.FileFormat`).
        is_gzipped: whether the object in the bucket is a gzip file.
        fields: the mappings in the order of the file (`mapping.FieldMapping` as JSON).
        on_missing: what a row without an approved image gets.
        connection_id: where the feed is delivered at a key that stays; NULL if only ConnectWyze serves it.
        slug: the name of the file in this key, which stays when the name changes.
        token: a random part of this key.
        attempt: counts the jobs that have begun to write it; the newest one decides.
        version: identifies what the file was written from; NULL to write it again.
        publication_id: the publication whose rows it has.
        report: what was found in it (`feed.FeedReport` as JSON).
        digest: the SHA-256 of the file, before it is compressed; NULL before it was written.
        size: the bytes of the file, before it is compressed.
        stored_size: the bytes of the stored object.
        object_key: the key of the object that ConnectWyze serves, compressed with gzip.
        object_connection_id: the connection that has it.
        written_at: when the file last changed.
        failures: how often in a row it could not be written.
        error_message: why the newest publication could not be written or delivered.
    """

    __tablename__ = "channels"

    campaign_id: Mapped[UUID]
    name: Mapped[str]
    preset: Mapped[str]
    format: Mapped[str]
    is_gzipped: Mapped[bool] = mapped_column(default=False, server_default="false")
    fields: Mapped[list[Any]] = mapped_column(JSONB)
    on_missing: Mapped[str] = mapped_column(default=MissingImage.LAST, server_default=MissingImage.LAST)
    connection_id: Mapped[UUID | None]
    slug: Mapped[str]
    token: Mapped[str]
    attempt: Mapped[int] = mapped_column(default=0, server_default="0")
    version: Mapped[str | None]
    publication_id: Mapped[UUID | None]
    report: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    digest: Mapped[str | None]
    size: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    stored_size: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    object_key: Mapped[str | None]
    object_connection_id: Mapped[UUID | None]
    written_at: Mapped[datetime | None]
    failures: Mapped[int] = mapped_column(default=0, server_default="0")
    error_message: Mapped[str | None]
    deleted_at: Mapped[datetime | None]

    __table_args__ = (
        ForeignKeyConstraint(
            ["workspace_id", "campaign_id"], ["campaigns.workspace_id", "campaigns.id"], ondelete="CASCADE"
        ),
        ForeignKeyConstraint(["workspace_id", "connection_id"], ["connections.workspace_id", "connections.id"]),
        CheckConstraint("on_missing IN ('hold', 'photo', 'last')", name="on_missing"),
        Index("ix_channels_campaign", "workspace_id", "campaign_id"),
    )

    @property
    def mappings(self) -> list[FieldMapping]:
        """The mappings, in the order of the file."""
        return MAPPINGS.validate_python(self.fields)

    def is_up_to_date(self, campaign: Campaign) -> bool:
        """Return whether the feed has the rows of what is public."""
        return self.version is not None and self.publication_id == campaign.public_id

    @property
    def platform(self) -> Preset:
        """The preset."""
        return PRESETS[self.preset]

    @property
    def file_format(self) -> FileFormat:
        """The file format."""
        return FileFormat(self.format)


class FeedFetch(Base):
    """How often programs of one family have fetched a feed of ours within a minute.

    Attributes:
        source_id: the channel; the campaign for its output feed.
        minute: when.
        family: which programs, by their user agent (`fetch_log.FAMILIES`).
        fetches: how many requests there were.
        failed: how many were answered with an error.
        size: how many bytes were sent.
    """

    __tablename__ = "feed_fetches"

    workspace_id: Mapped[UUID] = mapped_column(ForeignKey("workspaces.id", ondelete="CASCADE"), primary_key=True)
    source_id: Mapped[UUID] = mapped_column(primary_key=True)
    minute: Mapped[datetime] = mapped_column(primary_key=True)
    family: Mapped[str] = mapped_column(primary_key=True)
    campaign_id: Mapped[UUID]
    fetches: Mapped[int] = mapped_column(default=1, server_default="1")
    failed: Mapped[int] = mapped_column(default=0, server_default="0")
    size: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")

    __table_args__ = (
        ForeignKeyConstraint(
            ["workspace_id", "campaign_id"], ["campaigns.workspace_id", "campaigns.id"], ondelete="CASCADE"
        ),
        Index("ix_feed_fetches_campaign", "workspace_id", "campaign_id", "minute"),
    )

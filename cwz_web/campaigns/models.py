"""Tables of campaigns: their rules, what the rules give each row, and their publications.

Tables of rows have no foreign keys, which PostgreSQL would check row by row: triggers delete the rows with their
campaign or publication.
"""

from datetime import date, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import (
    CheckConstraint,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    SmallInteger,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from cwz_web.campaigns.rules import RULES, DesignRule
from cwz_web.db.base import Base, WorkspaceOwned
from cwz_web.i18n import gettext, gettext_noop
from cwz_web.imaging.encoders import Output
from cwz_web.runs.missing_photos import OnMissingPhoto

# Longer than platforms show an image from their caches.
IMAGE_DAYS = 30


class Campaign(WorkspaceOwned, Base):
    """The rows of a feed, the rules that give each a design, and what is public.

    Attributes:
        outputs: each row has an image for each (`imaging.encoders.Output` as JSON).
        rules: the rules in their order (`rules.DesignRule` as JSON).
        revision: counts the changes of the rules, the outputs, the joins and the selection.
        selection: which rows of the feed belong to it (`runs.selection.RowSelection` as JSON).
        joins: the feeds whose columns its rows have too (`joins.Join` as JSON).
        policy: when a publication is published without a decision (`policy.PublishPolicy` as JSON).
        is_active: whether changes of the feed prepare a new publication.
        is_requested: whether a publication is to be prepared now.
        planned_revision: the revision of which `campaign_rows` are; -1 before they were planned.
        planned_feeds: the revisions of the feeds that they were planned from, by the feeds' ids.
        planned_on: the day that they were planned on, if the rules depend on the day.
        plan: counts the plans that changed rows.
        counts: how many rows each list of designs has, as pairs of a list and a number.
        unclear: the rules that could not be decided for rows: how many, the first keys, and why, by the rule's number.
        unmatched: the rows that joined feeds do not have: how many, and the first keys, by the join's name.
        samples: the keys of a few rows of each design, by its number.
        timeline: counts the states of `publication_rows`.
        prepared_plan: the plan of which the newest state is.
        prepared_designs: what the designs rendered in the newest state, as fingerprints by their numbers.
        public_id: the publication that readers see.
        next_at: when a window begins or ends, or the rules have to be evaluated again.
        error_message: why no publication can be prepared.
        notified_at: when people were last emailed that a publication waits for a decision.
        image_days: after how many days images are removed that no publication shows any more; 0 to keep them.
        carried: what people say that a design shows beside the photo, by its number (`channels.preset.Carried`).
        stored: what its images take in the storage, and what of it will be removed (`image_removal.py`).
    """

    __tablename__ = "campaigns"

    name: Mapped[str]
    feed_id: Mapped[UUID]
    connection_id: Mapped[UUID | None]
    outputs: Mapped[list[Any]] = mapped_column(JSONB)
    rules: Mapped[list[Any]] = mapped_column(JSONB)
    revision: Mapped[int] = mapped_column(default=0, server_default="0")
    time_zone: Mapped[str] = mapped_column(default="UTC", server_default="UTC")
    selection: Mapped[dict[str, Any]] = mapped_column(JSONB, default=dict, server_default="{}")
    joins: Mapped[list[Any]] = mapped_column(JSONB, default=list, server_default="[]")
    policy: Mapped[dict[str, Any]] = mapped_column(JSONB, default=dict, server_default="{}")
    photo_column: Mapped[str] = mapped_column(default="", server_default="")
    is_active: Mapped[bool] = mapped_column(default=False, server_default="false")
    is_requested: Mapped[bool] = mapped_column(default=False, server_default="false")
    on_missing_photo: Mapped[str] = mapped_column(default=OnMissingPhoto.KEEP, server_default=OnMissingPhoto.KEEP)
    planned_revision: Mapped[int] = mapped_column(default=-1, server_default="-1")
    planned_feeds: Mapped[dict[str, int]] = mapped_column(JSONB, default=dict, server_default="{}")
    planned_on: Mapped[date | None]
    plan: Mapped[int] = mapped_column(default=0, server_default="0")
    counts: Mapped[list[Any]] = mapped_column(JSONB, default=list, server_default="[]")
    unclear: Mapped[dict[str, Any]] = mapped_column(JSONB, default=dict, server_default="{}")
    unmatched: Mapped[dict[str, Any]] = mapped_column(JSONB, default=dict, server_default="{}")
    samples: Mapped[dict[str, list[str]]] = mapped_column(JSONB, default=dict, server_default="{}")
    timeline: Mapped[int] = mapped_column(default=0, server_default="0")
    prepared_plan: Mapped[int] = mapped_column(default=-1, server_default="-1")
    prepared_designs: Mapped[dict[str, str]] = mapped_column(JSONB, default=dict, server_default="{}")
    public_id: Mapped[UUID | None]
    next_at: Mapped[datetime | None]
    error_message: Mapped[str | None]
    notified_at: Mapped[datetime | None]
    image_days: Mapped[int] = mapped_column(default=IMAGE_DAYS, server_default="0")
    carried: Mapped[dict[str, list[str]]] = mapped_column(JSONB, default=dict, server_default="{}")
    stored: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    started_by: Mapped[UUID | None] = mapped_column(ForeignKey("accounts.id", ondelete="SET NULL"))
    deleted_at: Mapped[datetime | None]

    __table_args__ = (
        ForeignKeyConstraint(["workspace_id", "feed_id"], ["feeds.workspace_id", "feeds.id"], ondelete="CASCADE"),
        ForeignKeyConstraint(["workspace_id", "connection_id"], ["connections.workspace_id", "connections.id"]),
        CheckConstraint("on_missing_photo IN ('keep', 'replace', 'fail')", name="on_missing_photo"),
        Index("ix_campaigns_feed", "workspace_id", "feed_id"),
        Index("ix_campaigns_next_at", "next_at", postgresql_where=text("next_at IS NOT NULL")),
    )

    @property
    def design_rules(self) -> list[DesignRule]:
        """The rules, in their order."""
        return RULES.validate_python(self.rules)

    @property
    def image_outputs(self) -> list[Output]:
        """The outputs."""
        return [Output.model_validate(output) for output in self.outputs]


class CampaignRow(Base):
    """What the rules give a row of the feed.

    Attributes:
        designs: the numbers of its designs, best first, up to the first one without a window.
        unclear: the numbers of the rules that could not be decided; NULL for none.
        unmatched: the places of the joins whose feeds do not have it; NULL for none.
        joined: the cells of joined feeds, by column; NULL without joins.
        plan: the campaign's plan that last changed it.
        item_revision: the revision of the feed's row.
    """

    __tablename__ = "campaign_rows"

    workspace_id: Mapped[UUID] = mapped_column(primary_key=True)
    campaign_id: Mapped[UUID] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    designs: Mapped[list[int]] = mapped_column(ARRAY(SmallInteger))
    unclear: Mapped[list[int] | None] = mapped_column(ARRAY(SmallInteger))
    unmatched: Mapped[list[int] | None] = mapped_column(ARRAY(SmallInteger))
    joined: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    plan: Mapped[int]
    item_revision: Mapped[int]

    __table_args__ = (Index("ix_campaign_rows_plan", "workspace_id", "campaign_id", "plan"),)


class LeavingImage(Base):
    """An image of a campaign that nothing shows any more.

    Attributes:
        since: when that was found.
    """

    __tablename__ = "leaving_images"

    workspace_id: Mapped[UUID] = mapped_column(primary_key=True)
    campaign_id: Mapped[UUID] = mapped_column(primary_key=True)
    image_id: Mapped[UUID] = mapped_column(primary_key=True)
    since: Mapped[datetime] = mapped_column(server_default=func.now())

    __table_args__ = (
        ForeignKeyConstraint(
            ["workspace_id", "campaign_id"], ["campaigns.workspace_id", "campaigns.id"], ondelete="CASCADE"
        ),
    )


class PublicationState(StrEnum):
    """The state of a publication."""

    PREPARING = "preparing"  # its difference is being computed
    DECIDING = "deciding"  # a job applies a decision about its rows
    HELD = "held"  # waits for a decision
    SCHEDULED = "scheduled"  # is published at `publish_at`
    PUBLISHED = "published"  # is or was public
    DISCARDED = "discarded"  # another one has taken its place before it was public

    @property
    def label(self) -> str:
        return gettext(PUBLICATION_LABELS[self])


PUBLICATION_LABELS = {
    PublicationState.PREPARING: gettext_noop("Preparing"),
    PublicationState.DECIDING: gettext_noop("Applying a decision"),
    PublicationState.HELD: gettext_noop("Needs review"),
    PublicationState.SCHEDULED: gettext_noop("Scheduled"),
    PublicationState.PUBLISHED: gettext_noop("Published"),
    PublicationState.DISCARDED: gettext_noop("Discarded"),
}


class Publication(WorkspaceOwned, Base):
    """What readers see, saw or will see of a campaign: a state of its timeline, with the designs of a phase.

    Attributes:
        number: counts the publications of a campaign.
        timeline: the state of `publication_rows`.
        designs: the numbers of the designs that count.
        publish_at: when the phase begins; None for the current one.
        base_id: the publication that `changes` compares it with; None if there was none.
        rows: how many rows it has.
        new, changed, removed: how many rows show other images than in the base; `unchanged` show the same.
        updated: how many of the unchanged rows have other cells.
        kept: how many rows keep an earlier image, since theirs is incomplete or was rejected.
        missing: how many rows have no image.
        findings: how many findings its images have.
        photo_column: the column of the original photos.
        reasons: why it needs a decision (`policy.Reason` as JSON).
        approvals: the accounts that have approved it.
        checks: what was found in its images, grouped (`checks.FindingGroup` as JSON); NULL before that is known.
        channel_checks: what channels would write (`channels.publication_check.ChannelCheck` as JSON); NULL before that
            is known.
        decision: the newest decision that is or was left to a job (`decisions.Decision` as JSON).
    """

    __tablename__ = "publications"

    campaign_id: Mapped[UUID]
    number: Mapped[int]
    timeline: Mapped[int]
    designs: Mapped[list[int]] = mapped_column(ARRAY(SmallInteger))
    state: Mapped[str]
    publish_at: Mapped[datetime | None]
    base_id: Mapped[UUID | None]
    rows: Mapped[int] = mapped_column(default=0, server_default="0")
    new: Mapped[int] = mapped_column(default=0, server_default="0")
    changed: Mapped[int] = mapped_column(default=0, server_default="0")
    removed: Mapped[int] = mapped_column(default=0, server_default="0")
    unchanged: Mapped[int] = mapped_column(default=0, server_default="0")
    updated: Mapped[int] = mapped_column(default=0, server_default="0")
    kept: Mapped[int] = mapped_column(default=0, server_default="0")
    missing: Mapped[int] = mapped_column(default=0, server_default="0")
    findings: Mapped[int] = mapped_column(default=0, server_default="0")
    design_counts: Mapped[dict[str, int]] = mapped_column(JSONB, default=dict, server_default="{}")
    reasons: Mapped[list[Any]] = mapped_column(JSONB, default=list, server_default="[]")
    approvals: Mapped[list[str]] = mapped_column(JSONB, default=list, server_default="[]")
    checks: Mapped[list[Any] | None] = mapped_column(JSONB(none_as_null=True))
    channel_checks: Mapped[list[Any] | None] = mapped_column(JSONB(none_as_null=True))
    decision: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    columns: Mapped[list[str]] = mapped_column(JSONB, default=list, server_default="[]")
    photo_column: Mapped[str] = mapped_column(default="", server_default="")
    outputs: Mapped[list[Any]] = mapped_column(JSONB)
    rules: Mapped[list[Any]] = mapped_column(JSONB)
    published_at: Mapped[datetime | None]
    published_by: Mapped[UUID | None] = mapped_column(ForeignKey("accounts.id", ondelete="SET NULL"))

    __table_args__ = (
        ForeignKeyConstraint(
            ["workspace_id", "campaign_id"], ["campaigns.workspace_id", "campaigns.id"], ondelete="CASCADE"
        ),
        CheckConstraint(
            "state IN ('preparing', 'deciding', 'held', 'scheduled', 'published', 'discarded')", name="state"
        ),
        UniqueConstraint("workspace_id", "campaign_id", "number"),
        Index("ix_publications_due", "publish_at", postgresql_where=text("state = 'scheduled'")),
    )


class PublicationRow(Base):
    """A row of a campaign's publications from one state of its timeline until another.

    Attributes:
        since: the first state with it.
        until: the first state without it; NULL for the newest.
        data: its cells, with those of joined feeds.
        designs: as in CampaignRow.
        images: by the number of the design: `i` the ids of its images, one for each output, `s` ok, incomplete, failed
            or missing, and `f` how many findings they have.
        decisions: by the number of the design: `v` is accept, former, original or kept, `i` the images that it shows,
            and for a decision of a person `by` and `at`; NULL without any.
        is_faulty: whether one of its images is not ok.
    """

    __tablename__ = "publication_rows"

    workspace_id: Mapped[UUID] = mapped_column(primary_key=True)
    campaign_id: Mapped[UUID] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    since: Mapped[int] = mapped_column(primary_key=True)
    until: Mapped[int | None]
    data: Mapped[dict[str, Any]] = mapped_column(JSONB)
    designs: Mapped[list[int]] = mapped_column(ARRAY(SmallInteger))
    images: Mapped[dict[str, Any]] = mapped_column(JSONB)
    decisions: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    is_faulty: Mapped[bool] = mapped_column(default=False, server_default="false")

    __table_args__ = (
        Index(
            "ix_publication_rows_faulty",
            "workspace_id",
            "campaign_id",
            "key",
            postgresql_where=text("is_faulty"),
        ),
        Index("ix_publication_rows_since", "workspace_id", "campaign_id", "since"),
        Index(
            "ix_publication_rows_until",
            "workspace_id",
            "campaign_id",
            "until",
            postgresql_where=text("until IS NOT NULL"),
        ),
    )


class ChangeKind(StrEnum):
    """How a row of a publication differs from that of its base."""

    NEW = "new"
    CHANGED = "changed"
    REMOVED = "removed"


class PublicationChange(Base):
    """A row of a publication that differs from that of its base.

    Attributes:
        position: counts the changes of a publication, in the order of the keys.
        design, base_design: the numbers of the designs that it has and had; NULL if it is removed or new.
        images: the ids of the images that it has, also if it does not show them; `[]` for the original photo.
        base_images: the ids of the images that it showed.
        state: `ok`, `incomplete`, `failed` or `missing`; or what was decided: `kept`, `accept`, `former`, `original`.
        differs: whether it shows other images than before.
        findings: how many findings its images have.
        difference: the share of the first image's pixels that differ, in thousandths; NULL if it is not known.
    """

    __tablename__ = "publication_changes"

    workspace_id: Mapped[UUID] = mapped_column(primary_key=True)
    publication_id: Mapped[UUID] = mapped_column(primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str]
    kind: Mapped[str]
    design: Mapped[int | None] = mapped_column(SmallInteger)
    base_design: Mapped[int | None] = mapped_column(SmallInteger)
    images: Mapped[list[Any] | None] = mapped_column(JSONB(none_as_null=True))
    base_images: Mapped[list[Any] | None] = mapped_column(JSONB(none_as_null=True))
    state: Mapped[str] = mapped_column(default="ok", server_default="ok")
    differs: Mapped[bool] = mapped_column(default=True, server_default="true")
    findings: Mapped[int] = mapped_column(default=0, server_default="0")
    difference: Mapped[int | None]

    __table_args__ = (
        CheckConstraint("kind IN ('new', 'changed', 'removed')", name="kind"),
        Index("ix_publication_changes_kind", "workspace_id", "publication_id", "kind", "position"),
        Index("ix_publication_changes_state", "workspace_id", "publication_id", "state", "position"),
        Index("ix_publication_changes_design", "workspace_id", "publication_id", "design", "position"),
        Index("ix_publication_changes_key", "workspace_id", "publication_id", "key"),
        Index(
            "ix_publication_changes_difference",
            "workspace_id",
            "publication_id",
            "difference",
            "position",
            postgresql_where=text("difference IS NOT NULL"),
        ),
    )

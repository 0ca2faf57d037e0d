"""Tables of shops: where a campaign puts its images, and what is recorded of each product."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, Index, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from cwz_web.db.base import Base, WorkspaceOwned
from cwz_web.i18n import gettext, gettext_noop
from cwz_web.shops.changes import Intent, OwnImage, ProductRecord, SnapshotImage


class Position(StrEnum):
    """Where a new image is put among those of its product."""

    FIRST = "first"
    LAST = "last"

    @property
    def label(self) -> str:
        return gettext(_POSITION_LABELS[self])


_POSITION_LABELS = {
    Position.FIRST: gettext_noop("As the first image"),
    Position.LAST: gettext_noop("As a further image, behind the others"),
}


class Problem(StrEnum):
    """Why the images of a product could not be changed."""

    MISSING = "missing"
    REFUSED = "refused"
    FAILED = "failed"

    @property
    def label(self) -> str:
        return gettext(_PROBLEM_LABELS[self])


_PROBLEM_LABELS = {
    Problem.MISSING: gettext_noop("The shop has no such product"),
    Problem.REFUSED: gettext_noop("The shop does not take the image"),
    Problem.FAILED: gettext_noop("The shop answers with an error"),
}


class Shop(WorkspaceOwned, Base):
    """A shop that a campaign puts images into.

    Attributes:
        name: for people.
        provider: the kind of shop (`providers.SHOPS`).
        settings: the provider's settings.
        encrypted_credentials: the provider's credentials, which allow writing.
        position: where a new image is put.
        output: which image of a row, by the number of the campaign's output.
        product_column: the column with the id of the product.
        alt_column: the column of the alternative text; "" for the key of the row.
        condition: which rows, as an expression; "" for all.
        is_enabled: whether images are put into the shop; without it, only what would be is planned.
        is_restoring: whether all images are being taken out again.
        revision: counts the changes of what is planned.
        attempt: counts the jobs that have begun; the newest one decides.
        plan: counts the plans.
        version: what the newest plan was made from; NULL to plan again.
        publication_id: the publication that was planned.
        replan_at: when the day ends that it was planned for; NULL if the condition does not depend on the day.
        report: what was found in the rows (`planning.PlanReport` as JSON).
        synced_at: when the shop was last brought up to date as a whole.
        failures: how often in a row the shop could not be reached or refused everything.
        error_message: why.
        retry_at: when to try again after that; NULL without an error, or if only a change helps.
    """

    __tablename__ = "shops"

    campaign_id: Mapped[UUID]
    name: Mapped[str]
    provider: Mapped[str]
    settings: Mapped[dict[str, Any]] = mapped_column(JSONB)
    encrypted_credentials: Mapped[bytes]
    position: Mapped[str]
    output: Mapped[int] = mapped_column(default=0, server_default="0")
    product_column: Mapped[str]
    alt_column: Mapped[str] = mapped_column(default="", server_default="")
    condition: Mapped[str] = mapped_column(default="", server_default="")
    is_enabled: Mapped[bool] = mapped_column(default=False, server_default="false")
    is_restoring: Mapped[bool] = mapped_column(default=False, server_default="false")
    revision: Mapped[int] = mapped_column(default=0, server_default="0")
    attempt: Mapped[int] = mapped_column(default=0, server_default="0")
    plan: Mapped[int] = mapped_column(default=0, server_default="0")
    version: Mapped[str | None]
    publication_id: Mapped[UUID | None]
    replan_at: Mapped[datetime | None]
    report: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    synced_at: Mapped[datetime | None]
    failures: Mapped[int] = mapped_column(default=0, server_default="0")
    error_message: Mapped[str | None]
    retry_at: Mapped[datetime | None]

    __table_args__ = (
        ForeignKeyConstraint(
            ["workspace_id", "campaign_id"], ["campaigns.workspace_id", "campaigns.id"], ondelete="CASCADE"
        ),
        CheckConstraint("position IN ('first', 'last')", name="position"),
        CheckConstraint("NOT (is_enabled AND is_restoring)", name="state"),
        Index("ix_shops_campaign", "workspace_id", "campaign_id"),
    )

    @property
    def encryption_context(self) -> tuple[str, ...]:
        """The associated data of the encryption: copied to another shop, the credentials cannot be decrypted."""
        return "shop", str(self.workspace_id), str(self.id), self.provider


class ShopProduct(Base):
    """A product of a shop that has, had or should have an image of ours.

    Attributes:
        product_id: its id in the shop.
        row_key: the row that it gets its image from.
        plan: the plan that has last found it in the rows.
        wanted: the image that it should have: `connection`, `id` and `key`; NULL for none.
        alt: the alternative text.
        shown: the object key of the image that it has, once that is at its place.
        own: our images in it (`changes.OwnImage` as JSON).
        intent: what is being added (`changes.Intent` as JSON).
        snapshot: its images before the first change (`changes.SnapshotImage` as JSON).
        next_at: when to visit it; NULL if there is nothing to do.
        failures: how often in a row it could not be changed.
        problem: why (`Problem`); "" for no reason.
        code: what the shop said about it, a code.
    """

    __tablename__ = "shop_products"

    workspace_id: Mapped[UUID] = mapped_column(primary_key=True)
    shop_id: Mapped[UUID] = mapped_column(primary_key=True)
    product_id: Mapped[str] = mapped_column(primary_key=True)
    row_key: Mapped[str]
    plan: Mapped[int]
    wanted: Mapped[dict[str, str] | None] = mapped_column(JSONB(none_as_null=True))
    alt: Mapped[str] = mapped_column(default="", server_default="")
    shown: Mapped[str | None]
    own: Mapped[list[Any]] = mapped_column(JSONB, default=list, server_default="[]")
    intent: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    snapshot: Mapped[list[Any] | None] = mapped_column(JSONB(none_as_null=True))
    next_at: Mapped[datetime | None]
    failures: Mapped[int] = mapped_column(default=0, server_default="0")
    problem: Mapped[str] = mapped_column(default="", server_default="")
    code: Mapped[str] = mapped_column(default="", server_default="")

    __table_args__ = (
        ForeignKeyConstraint(["workspace_id", "shop_id"], ["shops.workspace_id", "shops.id"], ondelete="CASCADE"),
        Index(
            "ix_shop_products_next_at",
            "workspace_id",
            "shop_id",
            "next_at",
            postgresql_where=text("next_at IS NOT NULL"),
        ),
    )

    @property
    def record(self) -> ProductRecord:
        """What is recorded of our images in it."""
        intent = Intent.model_validate(self.intent) if self.intent else None
        snapshot = self.snapshot
        return ProductRecord(
            tuple(map(OwnImage.model_validate, self.own)),
            intent,
            None if snapshot is None else tuple(map(SnapshotImage.model_validate, snapshot)),
        )

    @record.setter
    def record(self, record: ProductRecord) -> None:
        self.own = [image.model_dump(mode="json") for image in record.own]
        self.intent = record.intent.model_dump(mode="json") if record.intent else None
        snapshot = record.snapshot
        self.snapshot = None if snapshot is None else [image.model_dump(mode="json") for image in snapshot]

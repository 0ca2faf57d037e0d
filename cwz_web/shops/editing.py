"""Adding shops to campaigns, changing, pausing and deleting them, and restoring what they had."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from pydantic import BaseModel
from sqlalchemy import delete, func, select, text, update
from sqlalchemy.orm import Session
from uuid_utils.compat import uuid7

from cwz_web.campaigns.joins import load_columns
from cwz_web.campaigns.models import Campaign
from cwz_web.campaigns.row_fields import today_in
from cwz_web.channels.delivery import row_context
from cwz_web.crypto import KeyRing
from cwz_web.db.session import FOR_NO_KEY_UPDATE
from cwz_web.feeds.columns import normalize_name
from cwz_web.i18n import gettext
from cwz_web.imaging.encoders import Output
from cwz_web.shops.contract import ShopProvider
from cwz_web.shops.models import Position, Shop, ShopProduct
from cwz_web.shops.planning import InvalidShopConditionError, RowCondition
from cwz_web.shops.products import count_products, products_of
from cwz_web.shops.providers import SHOPS, encrypt_credentials

MAX_SHOPS = 5
MAX_CONDITION = 2000


class InvalidShopError(ValueError):
    """A shop cannot be saved as it is; the message says why.

    Attributes:
        field: what it is about: a setting of the shop, or one of `ShopSettings`.
    """

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


class ShopSettings(BaseModel):
    """What is put into a shop, whatever its kind; attributes are those of `Shop`."""

    name: str
    position: Position = Position.FIRST
    output: int = 0
    product_column: str
    alt_column: str = ""
    condition: str = ""


def list_shops(db: Session, campaign: Campaign) -> list[Shop]:
    """Return the shops of a campaign, the oldest first."""
    return list(db.scalars(select(Shop).where(*_of(campaign)).order_by(Shop.id)))


def create_shop(
    db: Session,
    ring: KeyRing,
    campaign: Campaign,
    provider: ShopProvider,
    settings: BaseModel,
    secrets: dict[str, str],
    entered: ShopSettings,
) -> Shop:
    """Add a shop to a campaign, in the caller's transaction. Nothing is put into it before it is enabled.

    Args:
        db: the caller's transaction.
        ring: encrypts the credentials.
        campaign: the campaign.
        provider: the kind of shop.
        settings: an instance of its `settings_model`.
        secrets: its credentials in plain text.
        entered: what is put into it.

    Raises:
        InvalidShopError: it cannot be saved as it is, or the campaign has too many.
    """
    if (db.scalar(select(func.count()).select_from(Shop).where(*_of(campaign))) or 0) >= MAX_SHOPS:
        message = gettext("A campaign can have at most %(max)s shops. Delete one first", max=MAX_SHOPS)
        raise InvalidShopError("name", message)
    check_shop(db, campaign, provider, entered)
    values = entered.model_dump(mode="json")
    shop = Shop(
        workspace_id=campaign.workspace_id,
        id=uuid7(),
        campaign_id=campaign.id,
        provider=provider.name,
        settings=settings.model_dump(mode="json"),
        **values,
    )
    encrypt_credentials(ring, shop, secrets)
    db.add(shop)
    db.flush()
    return shop


def save_shop(
    db: Session,
    ring: KeyRing,
    campaign: Campaign,
    shop: Shop,
    settings: BaseModel,
    secrets: dict[str, str] | None,
    entered: ShopSettings,
) -> None:
    """Change a shop, whose row is locked, in the caller's transaction.

    Args:
        db: the caller's transaction.
        ring: encrypts the credentials.
        campaign: the campaign.
        shop: the shop.
        settings: an instance of the provider's `settings_model`.
        secrets: the credentials in plain text; None to keep the saved ones, which needs the same shop.
        entered: what is put into it.

    Raises:
        InvalidShopError: it cannot be saved so; then nothing of it has changed.
    """
    provider = SHOPS[shop.provider]
    check_shop(db, campaign, provider, entered)
    if is_moved(shop, provider, settings):
        host_field = next(iter(provider.settings_model.model_fields))
        if secrets is None:
            field = next(iter(provider.credentials_model.model_fields))
            raise InvalidShopError(field, gettext("The shop has changed: enter this again"))
        if count_products(db, shop).own:
            message = gettext("Images of this campaign are in the other shop. Restore its images first")
            raise InvalidShopError(host_field, message)
        db.execute(delete(ShopProduct).where(*products_of(shop)))
    shop.settings = settings.model_dump(mode="json")
    for name, value in entered.model_dump(mode="json").items():
        setattr(shop, name, value)
    if secrets is not None:
        encrypt_credentials(ring, shop, secrets)
    _begin_again(shop)


def content_of(shop: Shop) -> ShopSettings:
    """Return what is put into a shop."""
    return ShopSettings(**{name: getattr(shop, name) for name in ShopSettings.model_fields})


def is_moved(shop: Shop, provider: ShopProvider, settings: BaseModel) -> bool:
    """Return whether settings are those of another shop, whose credentials are other ones."""
    saved = dict.fromkeys(provider.settings_model.model_fields, "") | shop.settings
    return bool(provider.url(provider.settings_model.model_construct(**saved)) != provider.url(settings))


def check_shop(db: Session, campaign: Campaign, provider: ShopProvider, entered: ShopSettings) -> None:
    """Check what is put into a shop. Raises InvalidShopError."""
    names, outputs = load_columns(db, campaign).names, campaign.image_outputs
    if entered.product_column not in names:
        raise InvalidShopError("product_column", gettext("The feed has no such column. Choose another one"))
    if entered.alt_column and entered.alt_column not in names:
        raise InvalidShopError("alt_column", gettext("The feed has no such column. Choose another one"))
    if entered.output not in range(len(outputs)):
        raise InvalidShopError("output", gettext("The rows have no such image. Choose another one"))
    _check_format(provider, outputs[entered.output])
    if len(entered.condition) > MAX_CONDITION:
        message = gettext("Enter at most %(max)s characters", max=MAX_CONDITION)
        raise InvalidShopError("condition", message)
    try:
        RowCondition(entered.condition, row_context(db, campaign), today_in(ZoneInfo(campaign.time_zone)))
    except InvalidShopConditionError as error:
        raise InvalidShopError("condition", str(error)) from None


def _check_format(provider: ShopProvider, output: Output) -> None:
    if output.format not in provider.formats:
        formats = ", ".join(sorted(each.name for each in provider.formats))
        message = gettext("%(shop)s takes these formats only: %(formats)s", shop=provider.label, formats=formats)
        raise InvalidShopError("output", message)


def suggest_settings(db: Session, campaign: Campaign, provider: ShopProvider) -> ShopSettings:
    """Return what a new shop is suggested to get: by the columns that the shop's feed source writes."""
    names = load_columns(db, campaign).names
    by_name = {normalize_name(name): name for name in reversed(names)}
    product = by_name.get("productid") or by_name.get("id") or (names[0] if names else "")
    alt = next((by_name[name] for name in ("imagealt", "title", "name") if name in by_name), "")
    outputs = campaign.image_outputs
    output = next((number for number, each in enumerate(outputs) if each.format in provider.formats), 0)
    return ShopSettings(name=provider.label, product_column=product, alt_column=alt, output=output)


def lock_shop(db: Session, workspace_id: UUID, shop_id: UUID) -> Shop | None:
    """Return a shop, whose row no other transaction changes; None if it was deleted."""
    return db.get(Shop, (workspace_id, shop_id), with_for_update=FOR_NO_KEY_UPDATE, populate_existing=True)


def enable_shop(shop: Shop) -> None:
    """Put images into a shop from now on."""
    shop.is_enabled, shop.is_restoring = True, False
    _begin_again(shop)


def pause_shop(shop: Shop) -> None:
    """Leave a shop as it is."""
    shop.is_enabled = False
    _begin_again(shop)


def check_again(db: Session, shop: Shop) -> None:
    """Compare all products with the shop, also those that have what they should have."""
    _begin_again(shop)
    _visit_all(db, shop)


def start_restore(db: Session, shop: Shop) -> None:
    """Take all images of ours out of a shop, and put the former order back. Nothing is put into it meanwhile.

    If no image of ours is there, nothing is left to do, whether or not the shop responds.
    """
    _begin_again(shop)
    db.execute(
        delete(ShopProduct).where(*products_of(shop), ShopProduct.own == text("'[]'"), ShopProduct.intent.is_(None))
    )
    db.execute(update(ShopProduct).where(*products_of(shop)).values(wanted=None))
    _visit_all(db, shop)
    is_left = bool(db.scalar(select(ShopProduct.product_id).where(*products_of(shop)).limit(1)))
    shop.is_enabled, shop.is_restoring = False, is_left


def delete_shop(db: Session, shop: Shop) -> None:
    """Delete a shop with its credentials and what is recorded. The images that are in it stay there."""
    db.delete(shop)
    db.flush()


def _begin_again(shop: Shop) -> None:
    """Have a job that is running find out, and the next one plan again, whatever failed before."""
    shop.attempt, shop.version = (shop.attempt or 0) + 1, None
    shop.revision = (shop.revision or 0) + 1
    shop.error_message, shop.failures, shop.retry_at = None, 0, None


def _visit_all(db: Session, shop: Shop) -> None:
    values: Mapping[str, Any] = {"next_at": datetime.now(UTC), "shown": None, "problem": "", "code": "", "failures": 0}
    db.execute(update(ShopProduct).where(*products_of(shop)).values(values))


def _of(campaign: Campaign) -> tuple[Any, ...]:
    return Shop.workspace_id == campaign.workspace_id, Shop.campaign_id == campaign.id

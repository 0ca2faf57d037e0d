"""What the rows of the public publication want of a shop's products: a plan, written before anything is sent.

The first chosen row of a product, in the order of the keys, decides about it. A row that shows its original photo wants
no image of ours; one whose image does not exist leaves the product as it is.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from hashlib import sha256
from uuid import UUID

import orjson
from pydantic import BaseModel, Field
from sqlalchemy import text
from sqlalchemy.orm import Session

from cwz_web.campaigns.models import Campaign, Publication
from cwz_web.campaigns.publications import get_public
from cwz_web.campaigns.row_fields import RowField
from cwz_web.channels.delivery import row_context
from cwz_web.channels.field_columns import RowContext
from cwz_web.channels.rows import RowPage, read_rows
from cwz_web.db.session import FOR_NO_KEY_UPDATE, Database
from cwz_web.feeds.models import Feed
from cwz_web.feeds.records import Row
from cwz_web.generation.image_urls import ImageUrls
from cwz_web.generation.signed_urls import SignedUrls
from cwz_web.i18n import gettext, gettext_noop
from cwz_web.imaging.expression_syntax import ExpressionError
from cwz_web.imaging.expressions import Expression, FieldValue, parse_expression
from cwz_web.shops.contract import MAX_ALT, ShopProvider
from cwz_web.shops.models import Shop
from cwz_web.values.formats import Unclear

MAX_PRODUCTS = 100_000
BATCH = 1000
SHOWN_KEYS = 5
TOO_MANY = gettext_noop("The rows have more than %(max)s products. Choose fewer rows")
# Verdicts of a condition that are kept.
MAX_KEPT = 50_000

_UPSERT = text("""
    INSERT INTO shop_products (workspace_id, shop_id, product_id, row_key, plan, wanted, alt, next_at)
    SELECT :workspace, :shop, new.product_id, new.row_key, :plan, CAST(new.wanted AS jsonb), new.alt, now()
    FROM unnest(CAST(:products AS text[]), CAST(:keys AS text[]), CAST(:wanted AS text[]), CAST(:alts AS text[]))
         AS new (product_id, row_key, wanted, alt)
    ON CONFLICT (workspace_id, shop_id, product_id) DO UPDATE SET
        row_key = excluded.row_key, plan = excluded.plan, wanted = excluded.wanted, alt = excluded.alt,
        next_at = CASE
            WHEN shop_products.wanted ->> 'key' IS DISTINCT FROM excluded.wanted ->> 'key'
              OR (shop_products.shown IS DISTINCT FROM excluded.wanted ->> 'key' AND shop_products.problem = '')
            THEN now() ELSE shop_products.next_at END,
        failures = CASE WHEN shop_products.wanted ->> 'key' IS DISTINCT FROM excluded.wanted ->> 'key'
            THEN 0 ELSE shop_products.failures END,
        problem = CASE WHEN shop_products.wanted ->> 'key' IS DISTINCT FROM excluded.wanted ->> 'key'
            THEN '' ELSE shop_products.problem END
""")
_KEEP = text("""
    UPDATE shop_products SET plan = :plan
    WHERE workspace_id = :workspace AND shop_id = :shop AND product_id = ANY(CAST(:products AS text[]))
""")
# What has nothing of ours needs no visit.
_FORGET = text("""
    DELETE FROM shop_products
    WHERE workspace_id = :workspace AND shop_id = :shop AND plan < :plan AND own = '[]' AND intent IS NULL
""")
_TAKE_OUT = text("""
    UPDATE shop_products SET plan = :plan, wanted = NULL, next_at = now(), failures = 0, problem = ''
    WHERE workspace_id = :workspace AND shop_id = :shop AND plan < :plan
""")


class InvalidShopConditionError(ValueError):
    """The condition of a shop cannot be evaluated for the rows of its campaign; the message says why."""


class TooManyProductsError(Exception):
    """The rows have more products than a shop can get images for."""


class PlanReport(BaseModel):
    """What was found in the rows.

    Attributes:
        rows: how many rows were chosen.
        products: how many products they have.
        without_image: how many chosen rows have no image (yet).
        without_product: how many chosen rows have no id of a product, with the first keys.
        unclear: for how many rows the condition could not be decided, with the first keys.
    """

    rows: int = 0
    products: int = 0
    without_image: int = 0
    without_product: int = 0
    without_product_keys: list[str] = Field(default_factory=list)
    unclear: int = 0
    unclear_keys: list[str] = Field(default_factory=list)


class RowCondition:
    """Chooses rows by an expression.

    Args:
        condition: the expression; "" for all rows.
        context: the columns, and what expressions depend on.
        today: the day in the campaign's time zone.

    Attributes:
        columns: the columns that it reads.

    Raises:
        InvalidShopConditionError: it is not an expression, or uses what the rows do not have.
    """

    def __init__(self, condition: str, context: RowContext, today: date) -> None:
        self._today, self._evaluation = today, context.evaluation
        self._expression = _parse(condition, context.fields()) if condition.strip() else None
        used = sorted(self._expression.fields) if self._expression else []
        fields = context.fields()
        self._fields = [fields[name] for name in used]
        self.columns = {source.column for field in self._fields for source in field.sources}
        self._kept: dict[tuple[str, ...], bool | None] = {}

    def takes(self, row: Row) -> bool | None:
        """Return whether a row is chosen; None if that is not clear."""
        if self._expression is None:
            return True
        cells = tuple(row.get(source.column, "") for field in self._fields for source in field.sources)
        if cells not in self._kept:
            if len(self._kept) >= MAX_KEPT:
                self._kept.clear()
            self._kept[cells] = self._evaluate(row)
        return self._kept[cells]

    def _evaluate(self, row: Row) -> bool | None:
        assert self._expression
        values: dict[str, FieldValue] = {}
        for field in self._fields:
            value = field.read_texts([row.get(source.column, "") for source in field.sources], self._today)
            if isinstance(value, Unclear):
                return None
            values[field.name] = value
        result = self._expression.evaluate(values, self._evaluation)
        if result is None:
            return False
        return result if isinstance(result, bool) else None


def _parse(condition: str, fields: Mapping[str, RowField]) -> Expression:
    try:
        expression = parse_expression(condition)
    except ExpressionError as error:
        raise InvalidShopConditionError(str(error)) from None
    if unknown := sorted(expression.fields - fields.keys()):
        message = gettext("The feed has no column “%(name)s”. Choose another one", name=unknown[0])
        raise InvalidShopConditionError(message)
    if expression.photos or expression.tables:
        raise InvalidShopConditionError(gettext("A condition can use neither parts of photos nor tables of a template"))
    return expression


@dataclass(frozen=True)
class PlannedProduct:
    """What a product should have: the image as JSON; None to leave it as it is."""

    product_id: str
    row_key: str
    wanted: str | None
    alt: str


class _ImageReferences(ImageUrls):
    """Returns what an image is identified and found by, in place of its URL."""

    def url_of(self, connection_id: UUID | str, image_id: UUID | str, key: str) -> str:
        """Return the ids of the connection and of the image, and the key, as JSON."""
        return orjson.dumps({"connection": str(connection_id), "id": str(image_id), "key": key}).decode()


def plan_products(
    pages: Iterable[RowPage], shop: Shop, provider: ShopProvider, condition: RowCondition, report: PlanReport
) -> Iterator[PlannedProduct]:
    """Yield what products should have, once each; products that should have no image of ours are left out.

    Args:
        pages: the rows of the publication, with the references of their images.
        shop: the shop.
        provider: its kind.
        condition: chooses the rows.
        report: counts what is found in them.

    Raises:
        TooManyProductsError: there are more than MAX_PRODUCTS.
    """
    seen: set[str] = set()
    columns = columns_of(shop, condition)
    for page in pages:
        cells = {name: page.column(name) for name in columns}
        for place, key in enumerate(page.keys):
            row = {name: values[place] for name, values in cells.items()}
            product_id = _find_product(key, row, shop, provider, condition, report)
            if not product_id or product_id in seen:
                continue
            seen.add(product_id)
            if len(seen) > MAX_PRODUCTS:
                raise TooManyProductsError
            report.products = len(seen)
            if page.shows_photo[place]:
                continue
            image = page.images[shop.output][place] if shop.output < len(page.images) else None
            report.without_image += image is None
            alt = row.get(shop.alt_column, "").strip() or key
            yield PlannedProduct(product_id, key, image, " ".join(alt.split())[:MAX_ALT])


def columns_of(shop: Shop, condition: RowCondition) -> set[str]:
    """Return the columns that a plan reads."""
    return {name for name in (shop.product_column, shop.alt_column) if name} | condition.columns


def _find_product(
    key: str, row: Row, shop: Shop, provider: ShopProvider, condition: RowCondition, report: PlanReport
) -> str:
    """Return the id of the product of a row; "" for a row that is not chosen, or has none."""
    is_taken = condition.takes(row)
    if is_taken is None:
        report.unclear += 1
        _add_key(report.unclear_keys, key)
    if not is_taken:
        return ""
    report.rows += 1
    product_id = provider.product_id(row.get(shop.product_column, ""))
    if not product_id:
        report.without_product += 1
        _add_key(report.without_product_keys, key)
    return product_id


def _add_key(keys: list[str], key: str) -> None:
    if len(keys) < SHOWN_KEYS:
        keys.append(key)


def find_target(db: Session, workspace_id: UUID, shop_id: UUID) -> tuple[Shop, Campaign, Publication] | None:
    """Return a shop with its campaign and what is public of it; None if there is nothing to plan."""
    shop = db.get(Shop, (workspace_id, shop_id))
    campaign = db.get(Campaign, (workspace_id, shop.campaign_id)) if shop else None
    if shop is None or campaign is None or campaign.deleted_at:
        return None
    feed = db.get(Feed, (workspace_id, campaign.feed_id))
    publication = get_public(db, campaign)
    return (shop, campaign, publication) if feed and not feed.deleted_at and publication else None


def version_of_plan(shop: Shop, publication: Publication, today: date) -> str:
    """Return what changes whenever a plan could be another one."""
    parts = (publication.id, shop.revision, today if _is_of_time(shop) else "")
    return sha256(" ".join(map(str, parts)).encode()).hexdigest()


def _is_of_time(shop: Shop) -> bool:
    """Return whether a plan could be another one tomorrow, though nothing else changes."""
    return "days_until" in shop.condition


def write_plan(
    database: Database,
    signed_urls: SignedUrls,
    provider: ShopProvider,
    workspace_id: UUID,
    shop_id: UUID,
    attempt: int,
) -> bool:
    """Plan the products of a shop, if the newest plan is of something else. Return False if there is nothing to plan,
    or a later attempt plans.

    Args:
        database: the database. The rows are read by one transaction, and the plan is written by others.
        signed_urls: as for ImageUrls.
        provider: the kind of the shop.
        workspace_id: the workspace.
        shop_id: the shop.
        attempt: that of the job; once a later one has begun, nothing more is written.

    Raises:
        InvalidShopConditionError: the condition cannot be evaluated.
        TooManyProductsError: as for plan_products.
    """
    with database.transaction(workspace_id) as db:
        is_current = _lock_attempt(db, workspace_id, shop_id, attempt) is not None
        target = find_target(db, workspace_id, shop_id) if is_current else None
        if target is None:
            return False
        shop, campaign, publication = target
        context = row_context(db, campaign)
        today = context.evaluation.today
        version = version_of_plan(shop, publication, today)
        tomorrow = datetime.combine(today + timedelta(days=1), time.min, context.zone)
        replan_at = tomorrow if _is_of_time(shop) else None
        if shop.version == version:
            shop.replan_at = replan_at
            return True
        condition = RowCondition(shop.condition, context, today)
        shop.plan += 1
        values = {"workspace": workspace_id, "shop": shop_id, "plan": shop.plan}
    report = PlanReport()
    with database.transaction(workspace_id) as db:
        target = find_target(db, workspace_id, shop_id)
        if target is None or target[2].id != publication.id:
            return False
        references = _ImageReferences.load(db, workspace_id, signed_urls)
        # Closed before the transaction ends, which an error would otherwise do while rows are read.
        with closing(read_rows(db, target[1], publication, references, columns_of(shop, condition))) as pages:
            for batch in _batches(plan_products(pages, shop, provider, condition, report)):
                with database.transaction(workspace_id) as writing:
                    if _lock_attempt(writing, workspace_id, shop_id, attempt) is None:
                        return False
                    _write(writing, values, batch)
    with database.transaction(workspace_id) as db:
        current = _lock_attempt(db, workspace_id, shop_id, attempt)
        if current is None:
            return False
        db.execute(_FORGET, values)
        db.execute(_TAKE_OUT, values)
        current.version, current.publication_id, current.replan_at = version, publication.id, replan_at
        current.report = report.model_dump(mode="json")
    return True


def _lock_attempt(db: Session, workspace_id: UUID, shop_id: UUID, attempt: int) -> Shop | None:
    """Return a shop, of which no later attempt begins before the transaction ends; None if one has begun."""
    shop = db.get(Shop, (workspace_id, shop_id), with_for_update=FOR_NO_KEY_UPDATE)
    return shop if shop and shop.attempt == attempt else None


def _batches(products: Iterator[PlannedProduct]) -> Iterator[list[PlannedProduct]]:
    batch: list[PlannedProduct] = []
    for product in products:
        batch.append(product)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _write(db: Session, values: Mapping[str, object], products: Sequence[PlannedProduct]) -> None:
    planned = [product for product in products if product.wanted is not None]
    lists = {
        "products": [product.product_id for product in planned],
        "keys": [product.row_key for product in planned],
        "wanted": [product.wanted for product in planned],
        "alts": [product.alt for product in planned],
    }
    db.execute(_UPSERT, {**values, **lists})
    kept = [product.product_id for product in products if product.wanted is None]
    db.execute(_KEEP, {**values, "products": kept})

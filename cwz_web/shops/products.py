"""The products of a shop: counted, listed by their state, and with what could not be changed."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, and_, func, select, text
from sqlalchemy.orm import Session

from cwz_web.i18n import gettext, gettext_noop
from cwz_web.shops.models import Problem, Shop, ShopProduct

_COUNT = text("""
    SELECT count(*) FILTER (WHERE wanted IS NOT NULL) AS wanted,
           count(*) FILTER (WHERE wanted IS NOT NULL AND shown = wanted ->> 'key') AS shown,
           count(*) FILTER (WHERE own <> '[]' OR intent IS NOT NULL) AS own,
           count(*) FILTER (WHERE own = '[]' AND wanted IS NOT NULL) AS added,
           count(*) FILTER (WHERE own <> '[]' AND wanted IS NOT NULL AND shown IS DISTINCT FROM wanted ->> 'key')
               AS replaced,
           count(*) FILTER (WHERE own <> '[]' AND wanted IS NULL) AS removed,
           count(*) FILTER (WHERE next_at IS NOT NULL AND problem = '') AS pending
    FROM shop_products WHERE workspace_id = :workspace AND shop_id = :shop
""")


class ProductState(StrEnum):
    """What a product has of what it should have."""

    SHOWN = "shown"
    ADDED = "added"
    REPLACED = "replaced"
    REMOVED = "removed"
    PROBLEM = "problem"

    @property
    def label(self) -> str:
        return gettext(_STATE_LABELS[self])


_STATE_LABELS = {
    ProductState.SHOWN: gettext_noop("In the shop"),
    ProductState.ADDED: gettext_noop("To be added"),
    ProductState.REPLACED: gettext_noop("To be replaced"),
    ProductState.REMOVED: gettext_noop("To be removed"),
    ProductState.PROBLEM: gettext_noop("Failed"),
}


@dataclass(frozen=True)
class ShopCounts:
    """Numbers of products.

    Attributes:
        wanted: should have an image of ours.
        shown: have it.
        own: have an image of ours, wanted or not.
        added, replaced, removed: get an image, another one, or lose it.
        pending: are still to be visited, and have had no problem.
    """

    wanted: int
    shown: int
    own: int
    added: int
    replaced: int
    removed: int
    pending: int

    @property
    def is_complete(self) -> bool:
        """Whether each product has what it should have."""
        return self.shown == self.wanted and not self.removed


@dataclass(frozen=True)
class ProblemCount:
    """How many products have a problem, what the shop said about it, and the first ones as pairs of product and row."""

    problem: Problem
    code: str
    products: int
    first: list[tuple[str, str]]


def count_products(db: Session, shop: Shop) -> ShopCounts:
    """Return how many products are in which state."""
    row = db.execute(_COUNT, {"workspace": shop.workspace_id, "shop": shop.id}).one()
    return ShopCounts(**row._asdict())


def list_problems(db: Session, shop: Shop, limit: int = 5) -> list[ProblemCount]:
    """Return what could not be changed, by reason, with the first products."""
    conditions = (*products_of(shop), ShopProduct.problem != "")
    counts = select(ShopProduct.problem, ShopProduct.code, func.count()).where(*conditions)
    found = []
    for problem, code, count in db.execute(counts.group_by(ShopProduct.problem, ShopProduct.code).limit(20)).all():
        first = select(ShopProduct.product_id, ShopProduct.row_key).where(
            *conditions, ShopProduct.problem == problem, ShopProduct.code == code
        )
        rows = db.execute(first.order_by(ShopProduct.row_key).limit(limit)).all()
        found.append(ProblemCount(Problem(problem), code, count, [(row.product_id, row.row_key) for row in rows]))
    return sorted(found, key=lambda each: -each.products)


def state_of(product: ShopProduct) -> ProductState:
    """Return the state of a product; the same as `list_products` filters by."""
    if product.problem:
        return ProductState.PROBLEM
    if product.wanted is None:
        return ProductState.REMOVED
    if product.shown == product.wanted["key"]:
        return ProductState.SHOWN
    return ProductState.REPLACED if product.own else ProductState.ADDED


def list_products(
    db: Session, shop: Shop, state: ProductState | None = None, after: str = "", limit: int = 50
) -> list[ShopProduct]:
    """Return products by their ids, which are compared as texts.

    Args:
        db: the caller's transaction.
        shop: the shop.
        state: only these; None for all.
        after: the id of the last product of the page before.
        limit: at most so many.
    """
    conditions = [*products_of(shop), ShopProduct.product_id > after]
    if state is not None:
        conditions.append(_states()[state])
    return list(db.scalars(select(ShopProduct).where(*conditions).order_by(ShopProduct.product_id).limit(limit)))


def _states() -> Mapping[ProductState, ColumnElement[bool]]:
    is_fine, has_own = ShopProduct.problem == "", ShopProduct.own != text("'[]'")
    is_wanted, key = ShopProduct.wanted.is_not(None), ShopProduct.wanted["key"].astext
    is_other = and_(is_fine, is_wanted, ShopProduct.shown.is_distinct_from(key))
    return {
        ProductState.SHOWN: and_(is_fine, is_wanted, ShopProduct.shown == key),
        ProductState.ADDED: and_(is_other, ~has_own),
        ProductState.REPLACED: and_(is_other, has_own),
        ProductState.REMOVED: and_(is_fine, ~is_wanted),
        ProductState.PROBLEM: ~is_fine,
    }


def products_of(shop: Shop) -> tuple[Any, ...]:
    """Return the conditions of the products of a shop."""
    return ShopProduct.workspace_id == shop.workspace_id, ShopProduct.shop_id == shop.id

"""Keyset pagination: pages of rows that a workspace owns, in an order that ends with the id."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, TypeAlias, TypeVar
from uuid import UUID

from sqlalchemy import ColumnElement, Select, func, literal, select, tuple_
from sqlalchemy.orm import Session

from cwz_web.db.base import WorkspaceOwned

# A query of any columns.
AnySelect: TypeAlias = Select[*tuple[Any, ...]]
T = TypeVar("T")
# Rows are counted up to this number, so that a count does not scan a large table.
MAX_COUNT = 1000
# Sorts rows without a time before all others; the key of a Sort is never NULL.
NEVER = datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True)
class Sort:
    """An order of a list.

    Attributes:
        label: Its name in the interface.
        key: What is sorted by, never NULL; None for the id, which is the time of creation.
        is_descending: Whether the largest value comes first.
    """

    label: str
    key: ColumnElement[Any] | None = None
    is_descending: bool = True


@dataclass(frozen=True)
class Page(Generic[T]):
    """A page of a list.

    Attributes:
        rows: The rows of the page.
        count: The number of all rows of the list, at most MAX_COUNT + 1.
        next_after: The id after which the next page begins; None on the last page.
    """

    rows: list[T]
    count: int
    next_after: UUID | None


def fetch_page(
    db: Session,
    query: AnySelect,
    model: type[WorkspaceOwned],
    *,
    workspace_id: UUID,
    sort: Sort,
    after: UUID | None,
    size: int,
) -> Page[Any]:
    """Return a page of a query, and the number of all its rows, with at most three statements.

    Args:
        db: A transaction in the workspace.
        query: Selects the model first; other columns may follow.
        model: The model whose rows are sorted.
        workspace_id: The workspace.
        sort: The order.
        after: The id of the last row of the previous page; None for the first page. A row that is gone begins again.
        size: At most so many rows.
    """
    count = count_rows(db, query)
    id_column: ColumnElement[UUID] = model.__table__.c.id  # type: ignore[attr-defined]
    keys = [id_column] if sort.key is None else [sort.key, id_column]
    if after is not None:
        own = model.__table__.c.workspace_id == workspace_id  # type: ignore[attr-defined]
        last = db.execute(select(*keys).where(own, id_column == after)).first()
        if last is not None:
            bound = tuple_(*(literal(value, key.type) for value, key in zip(last, keys, strict=True)))
            query = query.where(tuple_(*keys) < bound if sort.is_descending else tuple_(*keys) > bound)
    order = [key.desc() for key in keys] if sort.is_descending else keys
    rows = list(db.execute(query.order_by(*order).limit(size + 1)))
    is_last = len(rows) <= size
    return Page(rows[:size], count, None if is_last else rows[size - 1][0].id)


def count_rows(db: Session, query: AnySelect) -> int:
    """Return the number of rows of a query, counted up to one more than MAX_COUNT."""
    bounded = query.order_by(None).limit(MAX_COUNT + 1).subquery()
    return db.scalar(select(func.count()).select_from(bounded)) or 0


def first_id(moment: datetime) -> UUID:
    """Return the first id of a moment: UUIDs of version 7 begin with the time in milliseconds (RFC 9562)."""
    return UUID(int=int(moment.timestamp() * 1000) << 80)

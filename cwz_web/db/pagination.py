"""Keyset pagination: pages of rows that a workspace owns, in an order that ends with the id."""

from collections.abc import Mapping, Sequence
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
        reverse_label: The name of the reverse order; empty if it is not offered.
    """

    label: str
    key: ColumnElement[Any] | None = None
    is_descending: bool = True
    reverse_label: str = ""

    def keys(self, id_column: ColumnElement[UUID]) -> list[ColumnElement[Any]]:
        """Return what rows with these ids are sorted by."""
        return [id_column] if self.key is None else [self.key, id_column]

    def apply(self, query: AnySelect, keys: Sequence[ColumnElement[Any]], last: Sequence[Any] | None) -> AnySelect:
        """Return the query in this order, after the row whose keys are `last`, or from the beginning."""
        if last is not None:
            bound = tuple_(*(literal(value, key.type) for value, key in zip(last, keys, strict=True)))
            query = query.where(tuple_(*keys) < bound if self.is_descending else tuple_(*keys) > bound)
        return query.order_by(*([key.desc() for key in keys] if self.is_descending else keys))


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


def with_reverse(sorts: Mapping[str, Sort]) -> dict[str, Sort]:
    """Return the orders, each followed by its reverse, whose name begins with a hyphen, if that is offered."""
    both: dict[str, Sort] = {}
    for name, sort in sorts.items():
        both[name] = sort
        if sort.reverse_label:
            both[f"-{name}"] = Sort(sort.reverse_label, sort.key, is_descending=not sort.is_descending)
    return both


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
    keys = sort.keys(id_column)
    last = None
    if after is not None:
        own = model.__table__.c.workspace_id == workspace_id  # type: ignore[attr-defined]
        last = db.execute(select(*keys).where(own, id_column == after)).first()
    rows = list(db.execute(sort.apply(query, keys, last).limit(size + 1)))
    is_last = len(rows) <= size
    return Page(rows[:size], count, None if is_last else rows[size - 1][0].id)


def count_rows(db: Session, query: AnySelect) -> int:
    """Return the number of rows of a query, counted up to one more than MAX_COUNT."""
    bounded = query.order_by(None).limit(MAX_COUNT + 1).subquery()
    return db.scalar(select(func.count()).select_from(bounded)) or 0


def first_id(moment: datetime) -> UUID:
    """Return the first id of a moment: UUIDs of version 7 begin with the time in milliseconds (RFC 9562)."""
    return UUID(int=int(moment.timestamp() * 1000) << 80)

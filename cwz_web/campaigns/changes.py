"""The difference of a publication and all of its rows, in pages, in the order of their keys.

One filter is found by its index. Further ones, and a text in a column, scan rows for a bounded time and return where
they stopped, so that the next request continues from there: no request is slow, however many rows there are.
"""

import time
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Text, case, cast, func, literal, or_, select, tuple_
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Session
from sqlalchemy.types import SmallInteger

from cwz_web.campaigns.models import Campaign, ChangeKind, Publication, PublicationChange, PublicationRow
from cwz_web.generation.models import Image

PAGE_SIZE = 50
# Whole rows of cells, as wide as the page may be.
SHEET_SIZE = 120
# A search scans this many rows a query, for this long a request.
SCAN_STEP = 2000
SCAN_SECONDS = 0.1
# Rows that show what they showed before, since their image is kept.
KEPT = "kept"


@dataclass(frozen=True)
class ChangeQuery:
    """Which changes of a publication to show, and in which order.

    Attributes:
        kind: a ChangeKind, or KEPT; "" for all.
        state: as in PublicationChange; "" for all.
        design: the number of the design; None for all.
        column: the column to search; "" for the key.
        text: the text to find in it, ignoring case.
        by_difference: the most changed rows first, of those whose difference was measured; else in the order of keys.
    """

    kind: str = ""
    state: str = ""
    design: int | None = None
    column: str = ""
    text: str = ""
    by_difference: bool = False


@dataclass
class ChangePage:
    """A page of changes.

    Attributes:
        changes: the changes.
        next_after: where the next page begins, as `find_changes` takes it; None on the last page.
        scanned: how many rows were scanned for a text or several filters; 0 without.
    """

    changes: list[PublicationChange] = field(default_factory=list)
    next_after: tuple[int, int] | None = None
    scanned: int = 0


@dataclass
class SheetPage:
    """A page of a publication's rows: each with the number of its design; and the key after which the next begins."""

    rows: list[tuple[PublicationRow, int]] = field(default_factory=list)
    next_after: str | None = None
    scanned: int = 0


def find_changes(
    db: Session,
    campaign: Campaign,
    publication: Publication,
    query: ChangeQuery,
    after: tuple[int, int] = (0, 0),
    limit: int = PAGE_SIZE,
) -> ChangePage:
    """Return a page of the changes that match a query.

    Args:
        db: a transaction in the workspace.
        campaign: the campaign.
        publication: the publication.
        query: the query.
        after: the difference and the position of the last change before the page; zeros for the first page.
        limit: at most so many changes.
    """
    own = _own(publication)
    found, scanned_filters = _filters(db, campaign, publication, query)
    if query.by_difference:
        measured = select(PublicationChange).where(*own, PublicationChange.difference.is_not(None))
        keys = tuple_(PublicationChange.difference, PublicationChange.position)
        if after != (0, 0):
            measured = measured.where(keys < tuple_(literal(after[0]), literal(after[1])))
        order = (PublicationChange.difference.desc(), PublicationChange.position.desc())
        changes = list(db.scalars(measured.where(*found, *scanned_filters).order_by(*order).limit(limit + 1)))
        last = changes[limit - 1] if len(changes) > limit else None
        return ChangePage(changes[:limit], (last.difference or 0, last.position) if last else None)
    page, position = ChangePage(), after[1]
    deadline = time.monotonic() + SCAN_SECONDS
    # One more than is shown: if it is found, there is a next page.
    step = SCAN_STEP if scanned_filters else limit + 1
    while True:
        window = (
            select(PublicationChange.position)
            .where(*own, *found, PublicationChange.position > position)
            .order_by(PublicationChange.position)
            .limit(step)
            .subquery()
        )
        end, scanned = db.execute(select(func.max(window.c.position), func.count()).select_from(window)).one()
        if not scanned:
            page.next_after = None
            return page
        room = limit - len(page.changes)
        in_window = (PublicationChange.position > position, PublicationChange.position <= end)
        matching = select(PublicationChange).where(*own, *found, *in_window, *scanned_filters)
        changes = list(db.scalars(matching.order_by(PublicationChange.position).limit(room + 1)))
        page.changes += changes[:room]
        page.scanned += scanned if scanned_filters else 0
        is_full = len(changes) > room
        if is_full or scanned < step:
            page.next_after = (0, page.changes[-1].position) if is_full else None
            return page
        position = end
        page.next_after = (0, position)
        if len(page.changes) == limit or time.monotonic() > deadline:
            return page


def find_change(db: Session, publication: Publication, key: str) -> PublicationChange | None:
    """Return the change of a row; None if the row does not differ."""
    return db.scalar(select(PublicationChange).where(*_own(publication), PublicationChange.key == key))


def neighbors(db: Session, publication: Publication, position: int) -> tuple[str | None, str | None]:
    """Return the keys of the changes before and after one."""
    keys = select(PublicationChange.key).where(*_own(publication))
    before = keys.where(PublicationChange.position < position).order_by(PublicationChange.position.desc())
    after = keys.where(PublicationChange.position > position).order_by(PublicationChange.position)
    return db.scalar(before.limit(1)), db.scalar(after.limit(1))


def load_rows(db: Session, campaign: Campaign, state: int, keys: Collection[str]) -> dict[str, PublicationRow]:
    """Return rows of a state of the timeline, by key."""
    rows = select(PublicationRow).where(*_of_state(campaign, state), PublicationRow.key.in_(keys))
    return {row.key: row for row in db.scalars(rows)}


def find_rows(
    db: Session,
    campaign: Campaign,
    publication: Publication,
    *,
    design: int | None = None,
    is_faulty: bool = False,
    column: str = "",
    text: str = "",
    after: str = "",
    limit: int = SHEET_SIZE,
) -> SheetPage:
    """Return a page of all rows of a publication, in the order of their keys.

    Args:
        db: a transaction in the workspace.
        campaign: the campaign.
        publication: the publication.
        design: only rows with the design of this number.
        is_faulty: only rows whose image is incomplete, has failed or is missing.
        column: the column to search; "" for the key.
        text: the text to find in it, ignoring case.
        after: the key of the last row before the page; "" for the first page.
        limit: at most so many rows.
    """
    active = literal(publication.designs, ARRAY(SmallInteger))
    own_design = func.first_design(PublicationRow.designs, active, type_=SmallInteger)
    state = _of_state(campaign, publication.timeline)
    found = [PublicationRow.is_faulty] if is_faulty else []
    filters: list[ColumnElement[bool]] = []
    if design is not None:
        filters.append(own_design == design)
    if is_faulty:
        filters.append(PublicationRow.images[cast(own_design, Text)]["s"].astext != "ok")
    if text:
        filters.append(_contains(PublicationRow.data[column].astext if column else PublicationRow.key, text))
    page, key = SheetPage(), after
    deadline = time.monotonic() + SCAN_SECONDS
    step = SCAN_STEP if filters else limit + 1
    while True:
        window = (
            select(PublicationRow.key)
            .where(*state, *found, PublicationRow.key > key)
            .order_by(PublicationRow.key)
            .limit(step)
            .subquery()
        )
        end, scanned = db.execute(select(func.max(window.c.key), func.count()).select_from(window)).one()
        if not scanned:
            page.next_after = None
            return page
        room = limit - len(page.rows)
        in_window = (PublicationRow.key > key, PublicationRow.key <= end)
        matching = select(PublicationRow, own_design).where(*state, *found, *in_window, *filters)
        rows = [(row, number) for row, number in db.execute(matching.order_by(PublicationRow.key).limit(room + 1))]
        page.rows += rows[:room]
        page.scanned += scanned if filters else 0
        is_full = len(rows) > room
        if is_full or scanned < step:
            page.next_after = page.rows[-1][0].key if is_full else None
            return page
        key = page.next_after = end
        if len(page.rows) == limit or time.monotonic() > deadline:
            return page


def load_images(db: Session, workspace_id: UUID, ids: Collection[UUID]) -> dict[UUID, Image]:
    """Return images of a workspace by id, without those that were deleted."""
    images = select(Image).where(Image.workspace_id == workspace_id, Image.id.in_(ids))
    return {image.id: image for image in db.scalars(images)}


def _filters(
    db: Session, campaign: Campaign, publication: Publication, query: ChangeQuery
) -> tuple[list[ColumnElement[bool]], list[ColumnElement[bool]]]:
    """Return the condition that an index finds, and those that rows are scanned for."""
    indexed: list[ColumnElement[bool]] = []
    if query.state:
        indexed.append(PublicationChange.state == query.state)
    if query.kind and query.kind != KEPT:
        indexed.append(PublicationChange.kind == query.kind)
    if query.design is not None:
        indexed.append(PublicationChange.design == query.design)
    scanned = indexed[1:]
    if query.kind in (KEPT, ChangeKind.CHANGED):
        scanned.append(PublicationChange.differs.is_(query.kind != KEPT))
    if query.text:
        cell = _cell(db, campaign, publication, query.column) if query.column else PublicationChange.key
        scanned.append(_contains(cell, query.text))
    return indexed[:1], scanned


def _cell(db: Session, campaign: Campaign, publication: Publication, column: str) -> ColumnElement[Any]:
    """Return the cell of a changed row, as a subquery: PostgreSQL cannot join all rows to find one of a window."""
    base = db.get(Publication, (publication.workspace_id, publication.base_id)) if publication.base_id else None
    removed = PublicationChange.kind == ChangeKind.REMOVED
    state = case((removed, base.timeline if base else -1), else_=publication.timeline)
    row = select(PublicationRow.data[column].astext).where(
        *_of_state(campaign, state), PublicationRow.key == PublicationChange.key
    )
    return row.correlate(PublicationChange).scalar_subquery()


def _contains(value: Any, text: str) -> ColumnElement[bool]:
    """Return whether a text is in a value, as decisions.decide compares them."""
    return func.strpos(func.lower(value), func.lower(literal(text))) > 0


def _own(publication: Publication) -> tuple[ColumnElement[bool], ...]:
    return (
        PublicationChange.workspace_id == publication.workspace_id,
        PublicationChange.publication_id == publication.id,
    )


def _of_state(campaign: Campaign, state: Any) -> tuple[ColumnElement[bool], ...]:
    return (
        PublicationRow.workspace_id == campaign.workspace_id,
        PublicationRow.campaign_id == campaign.id,
        PublicationRow.since <= state,
        or_(PublicationRow.until.is_(None), PublicationRow.until > state),
    )

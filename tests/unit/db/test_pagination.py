"""Pages of rows: complete and without repetition in each order, whatever changes between two pages."""

from dataclasses import replace

import pytest
from sqlalchemy import func, select

from cwz_web.db import pagination
from cwz_web.db.pagination import Sort, count_rows, fetch_page, with_reverse
from cwz_web.generation.models import Template
from cwz_web.workspaces.models import Workspace
from tests.factories import Factory, record_queries

NAME = Sort("Name", func.lower(Template.name), is_descending=False)


@pytest.fixture
def space(make: Factory) -> Workspace:
    space = make.workspace()
    for name in ("b", "A", "c", "B two", "a two"):
        make.template(space, name=name)
    return space


def read(make: Factory, space: Workspace, sort: Sort) -> list[str]:
    names, after = [], None
    while True:
        with make.database.transaction(space.id) as db, record_queries(make.database) as queries:
            query = select(Template).where(Template.workspace_id == space.id)
            page = fetch_page(db, query, Template, workspace_id=space.id, sort=sort, after=after, size=2)
            assert len([query for query in queries if query.startswith("SELECT templates")]) <= 2
            names += [row[0].name for row in page.rows]
        after = page.next_after
        if after is None:
            return names


@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        (Sort("Newest first"), ["a two", "B two", "c", "A", "b"]),
        (Sort("Oldest first", is_descending=False), ["b", "A", "c", "B two", "a two"]),
        (NAME, ["A", "a two", "b", "B two", "c"]),
        (with_reverse({"name": replace(NAME, reverse_label="Z to A")})["-name"], ["c", "B two", "b", "a two", "A"]),
        (Sort("Same", func.length(Template.slug) * 0), ["a two", "B two", "c", "A", "b"]),
    ],
)
def test_pages_contain_each_row_once(make: Factory, space: Workspace, sort: Sort, expected: list[str]) -> None:
    assert read(make, space, sort) == expected


def test_row_of_another_workspace_is_no_place(make: Factory, space: Workspace) -> None:
    other = make.template(make.workspace())
    with make.database.transaction(space.id) as db:
        query = select(Template).where(Template.workspace_id == space.id)
        page = fetch_page(db, query, Template, workspace_id=space.id, sort=NAME, after=other.id, size=2)
        assert [row[0].name for row in page.rows] == ["A", "a two"]


def test_count_is_limited(make: Factory, space: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pagination, "MAX_COUNT", 3)
    with make.database.transaction(space.id) as db:
        assert count_rows(db, select(Template.id).where(Template.workspace_id == space.id)) == 4

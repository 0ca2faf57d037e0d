import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from cwz_web.feeds import queries, sort_index
from cwz_web.feeds.file_types import spooled
from cwz_web.feeds.imports import import_file
from cwz_web.feeds.models import Feed, ItemOrder
from cwz_web.feeds.queries import Query, find_items, versions_of
from cwz_web.feeds.sort_index import order_rows, ready
from tests.factories import Factory

ROWS = (
    b"sku,title,price,stock,since\n"
    b'1,Clay mug,"9,90 \xe2\x82\xac",3,31.12.2025\n'
    b"2,Oak lamp,120.00 EUR,12,2026-01-05\n"
    b'3,"Bowl, 100%_oak","1.299,00 \xe2\x82\xac",0.5,1/1/2026\n'
    b'4,"\xc3\x84rmel ""blau""",15 EUR,,\n'
)


class ReadWriteBucket:
    """A feed that is looked at."""

    def __init__(self, make: Factory, rows: bytes = ROWS) -> None:
        self.make = make
        self.feed = make.feed(make.workspace(), rows)

    def again(self, rows: bytes) -> None:
        with self.make.database.transaction(self.feed.workspace_id) as db:
            import_file(db, self.reload(db), file_name="new.csv", file=spooled(rows))

    def reload(self, db: object) -> Feed:
        return db.get_one(Feed, (self.feed.workspace_id, self.feed.id))  # type: ignore[attr-defined, no-any-return]

    def keys(self, **query: str) -> list[str]:
        """All pages of what is found."""
        with self.make.database.transaction(self.feed.workspace_id) as db:
            feed, wanted = self.reload(db), Query(**query)  # type: ignore[arg-type]
            assert not wanted.sort or ready(db, feed, wanted.sort)
            keys, after = [], 0
            while True:
                found = find_items(db, feed, wanted, after, limit=2)
                keys += [item.key for item in found.items]
                after = found.after
                if not after:
                    return keys


@pytest.mark.parametrize(
    ("query", "keys"),
    [
        ({}, "1234"),
        ({"text": "OAK"}, "23"),
        ({"text": "oak", "column": "title"}, "23"),
        ({"text": "oak", "column": "price"}, ""),
        ({"text": "%"}, "3"),
        ({"text": "100%_"}, "3"),
        ({"text": 'ÄRMEL "BLAU'}, "4"),
        ({"text": "title"}, ""),
        ({"text": "\\"}, ""),
        ({"text": "4", "column": "sku"}, "4"),
        ({"sort": "title"}, "3124"),
        ({"sort": "-title"}, "4213"),
        ({"sort": "price"}, "1423"),
        ({"sort": "-price"}, "3241"),
        ({"sort": "stock"}, "3124"),
        ({"sort": "-stock"}, "2134"),
        ({"sort": "since"}, "1324"),
        ({"sort": "price", "text": "oak"}, "23"),
        ({"sort": "-price", "text": "oak"}, "32"),
    ],
    ids=str,
)
def test_rows_are_found_and_ordered(make: Factory, query: dict[str, str], keys: str) -> None:
    assert "".join(ReadWriteBucket(make).keys(**query)) == keys


def test_what_the_last_import_did_can_be_asked_for(make: Factory) -> None:
    shelf = ReadWriteBucket(make, b"sku,title\n1,One\n2,Two\n3,Three\n")
    assert shelf.keys(state="new") == ["1", "2", "3"]
    shelf.again(b"sku,title\n1,One\n2,Two!\n3,Three\n4,Four\n")
    assert shelf.keys(state="changed") == ["2"]
    assert shelf.keys(state="new") == ["4"]
    shelf.again(b"sku,title\n1,One\n2,Two\n3,Three\n4,Four!\n")
    assert shelf.keys(state="changed") == ["2", "4"]
    assert shelf.keys(state="changed", sort="-title") == ["2", "4"]


def test_an_order_holds_until_rows_change(make: Factory) -> None:
    shelf = ReadWriteBucket(make, b"sku,title\n1,B\n2,A\n")
    assert shelf.keys(sort="title") == ["2", "1"]
    shelf.again(b"sku,title\n1,B\n2,C\n")
    assert shelf.keys(sort="title") == ["1", "2"]
    with make.database.transaction(shelf.feed.workspace_id) as db:
        assert db.query(ItemOrder).count() == 2, "the earlier one is forgotten"


def test_a_large_feed_is_put_in_order_by_a_job(make: Factory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sort_index, "AT_ONCE", 1)
    shelf = ReadWriteBucket(make)
    with make.database.transaction(shelf.feed.workspace_id) as db:
        for _ in range(2):
            assert not ready(db, shelf.reload(db), "price")
        jobs = db.execute(text("SELECT args FROM procrastinate_jobs WHERE task_name = 'feeds.order'")).all()
        [job] = jobs
        order_rows(db, shelf.feed.workspace_id, shelf.feed.id, job.args["name"])
        assert ready(db, shelf.reload(db), "price")


def test_a_search_looks_for_a_moment_and_goes_on_from_there(make: Factory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queries, "STEP", 10)
    monkeypatch.setattr(queries, "SECONDS", 0.0)
    shelf = ReadWriteBucket(
        make, b"sku,title\n" + b"".join(b"%d,%s\n" % (n, b"last" if n == 95 else b"x") for n in range(100))
    )
    with make.database.transaction(shelf.feed.workspace_id) as db:
        found = find_items(db, shelf.reload(db), Query(text="last"))
        assert (found.items, found.after, found.looked) == ([], 10, 10)
        monkeypatch.setattr(queries, "SECONDS", 60.0)
        found = find_items(db, shelf.reload(db), Query(text="last"), found.after)
        assert ([item.key for item in found.items], found.after, found.looked) == (["95"], 0, 90)


words = st.text(st.characters(codec="utf-8", exclude_characters="\x00\r\n\"'", exclude_categories=["C"]), max_size=8)


@given(st.lists(words, min_size=1, max_size=6), st.text(st.characters(codec="utf-8", exclude_characters="\x00")))
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_is_looked_for_as_it_is(make: Factory, titles: list[str], sought: str) -> None:
    rows = "".join(f'{number},"{title}"\n' for number, title in enumerate(titles))
    shelf = ReadWriteBucket(make, f"sku,title,end\n{rows}x,y,z\n".encode())
    found = shelf.keys(text=sought, column="title")
    with make.database.transaction(shelf.feed.workspace_id) as db:
        query = text(
            "SELECT key FROM items WHERE strpos(lower(data ->> 'title'), lower(:sought)) > 0 ORDER BY position"
        )
        assert found == (list(db.scalars(query, {"sought": sought})) if sought else shelf.keys())


def test_what_a_row_was_is_shown_newest_first(make: Factory) -> None:
    shelf = ReadWriteBucket(make, b"sku,title\n1,One\n2,Two\n")
    shelf.again(b"sku,title\n1,Uno\n2,Two\n")
    shelf.again(b"sku,title\n1,Eins\n2,Two\n")
    with make.database.transaction(shelf.feed.workspace_id) as db:
        assert [version.data["title"] for version in versions_of(db, shelf.feed, "1")] == ["Uno", "One"]
        assert versions_of(db, shelf.feed, "2") == []

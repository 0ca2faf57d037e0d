import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from cwz_web.feeds import queries, sort_index
from cwz_web.feeds.imports import import_file
from cwz_web.feeds.models import Feed, SortIndexEntry
from cwz_web.feeds.queries import RowQuery, find_items, list_versions
from cwz_web.feeds.sort_index import build_sort_index, ensure_sort_index
from cwz_web.feeds.temporary_files import temporary_file
from tests.factories import Factory

ROWS = (
    b"sku,title,price,stock,since\n"
    b'1,Clay mug,"9,90 \xe2\x82\xac",3,31.12.2025\n'
    b"2,Oak lamp,120.00 EUR,12,2026-01-05\n"
    b'3,"Bowl, 100%_oak","1.299,00 \xe2\x82\xac",0.5,1/1/2026\n'
    b'4,"\xc3\x84rmel ""blau""",15 EUR,,\n'
)


class FeedReader:
    """A feed with rows to query."""

    def __init__(self, make: Factory, rows: bytes = ROWS) -> None:
        self.make = make
        self.feed = make.feed(make.workspace(), rows)

    def import_rows(self, rows: bytes) -> None:
        with self.make.database.transaction(self.feed.workspace_id) as db:
            import_file(db, self.reload(db), file_name="new.csv", file=temporary_file(rows))

    def reload(self, db: object) -> Feed:
        return db.get_one(Feed, (self.feed.workspace_id, self.feed.id))  # type: ignore[attr-defined, no-any-return]

    def keys(self, **query: str) -> list[str]:
        """Return the keys of all pages."""
        with self.make.database.transaction(self.feed.workspace_id) as db:
            feed, row_query = self.reload(db), RowQuery(**query)  # type: ignore[arg-type]
            assert not row_query.sort or ensure_sort_index(db, feed, row_query.sort)
            keys, after = [], 0
            while True:
                page = find_items(db, feed, row_query, after, limit=2)
                keys += [item.key for item in page.items]
                after = page.next_after
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
def test_search_and_sort(make: Factory, query: dict[str, str], keys: str) -> None:
    assert "".join(FeedReader(make).keys(**query)) == keys


def test_filter_by_changes_of_the_last_import(make: Factory) -> None:
    reader = FeedReader(make, b"sku,title\n1,One\n2,Two\n3,Three\n")
    assert reader.keys(state="new") == ["1", "2", "3"]
    reader.import_rows(b"sku,title\n1,One\n2,Two!\n3,Three\n4,Four\n")
    assert reader.keys(state="changed") == ["2"]
    assert reader.keys(state="new") == ["4"]
    reader.import_rows(b"sku,title\n1,One\n2,Two\n3,Three\n4,Four!\n")
    assert reader.keys(state="changed") == ["2", "4"]
    assert reader.keys(state="changed", sort="-title") == ["2", "4"]


def test_sort_index_is_rebuilt_when_rows_change(make: Factory) -> None:
    reader = FeedReader(make, b"sku,title\n1,B\n2,A\n")
    assert reader.keys(sort="title") == ["2", "1"]
    reader.import_rows(b"sku,title\n1,B\n2,C\n")
    assert reader.keys(sort="title") == ["1", "2"]
    with make.database.transaction(reader.feed.workspace_id) as db:
        assert db.query(SortIndexEntry).count() == 2, "the outdated index is deleted"


def test_large_feed_is_sorted_by_a_job(make: Factory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sort_index, "MAX_INLINE_ROWS", 1)
    reader = FeedReader(make)
    with make.database.transaction(reader.feed.workspace_id) as db:
        for _ in range(2):
            assert not ensure_sort_index(db, reader.reload(db), "price")
        jobs = db.execute(text("SELECT args FROM procrastinate_jobs WHERE task_name = 'feeds.build_sort_index'")).all()
        [job] = jobs
        build_sort_index(db, reader.feed.workspace_id, reader.feed.id, job.args["sort"])
        assert ensure_sort_index(db, reader.reload(db), "price")


def test_search_stops_after_a_time_limit_and_continues(make: Factory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queries, "SCAN_STEP", 10)
    monkeypatch.setattr(queries, "SCAN_SECONDS", 0.0)
    reader = FeedReader(
        make, b"sku,title\n" + b"".join(b"%d,%s\n" % (n, b"last" if n == 95 else b"x") for n in range(100))
    )
    with make.database.transaction(reader.feed.workspace_id) as db:
        page = find_items(db, reader.reload(db), RowQuery(text="last"))
        assert (page.items, page.next_after, page.scanned) == ([], 10, 10)
        monkeypatch.setattr(queries, "SCAN_SECONDS", 60.0)
        page = find_items(db, reader.reload(db), RowQuery(text="last"), page.next_after)
        assert ([item.key for item in page.items], page.next_after, page.scanned) == (["95"], 0, 90)


words = st.text(st.characters(codec="utf-8", exclude_characters="\x00\r\n\"'", exclude_categories=["C"]), max_size=8)


@given(st.lists(words, min_size=1, max_size=6), st.text(st.characters(codec="utf-8", exclude_characters="\x00")))
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_search_takes_text_literally(make: Factory, titles: list[str], needle: str) -> None:
    rows = "".join(f'{number},"{title}"\n' for number, title in enumerate(titles))
    reader = FeedReader(make, f"sku,title,end\n{rows}x,y,z\n".encode())
    found = reader.keys(text=needle, column="title")
    with make.database.transaction(reader.feed.workspace_id) as db:
        query = text(
            "SELECT key FROM items WHERE strpos(lower(data ->> 'title'), lower(:needle)) > 0 ORDER BY position"
        )
        assert found == (list(db.scalars(query, {"needle": needle})) if needle else reader.keys())


def test_versions_are_listed_newest_first(make: Factory) -> None:
    reader = FeedReader(make, b"sku,title\n1,One\n2,Two\n")
    reader.import_rows(b"sku,title\n1,Uno\n2,Two\n")
    reader.import_rows(b"sku,title\n1,Eins\n2,Two\n")
    with make.database.transaction(reader.feed.workspace_id) as db:
        assert [version.data["title"] for version in list_versions(db, reader.feed, "1")] == ["Uno", "One"]
        assert list_versions(db, reader.feed, "2") == []

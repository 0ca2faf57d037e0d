from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cwz_web.feeds.browse import items_after, list_feeds
from cwz_web.feeds.files import spooled
from cwz_web.feeds.imports import NotHeld, apply_held, discard_held, import_file, list_imports
from cwz_web.feeds.models import Feed, FeedImport, Item, StagedItem
from cwz_web.feeds.tables import BadFile
from tests.factories import Factory


def test_a_file_becomes_a_feed_in_its_own_order(make: Factory) -> None:
    space = make.workspace()
    feed = make.feed(space, b"sku,title\nz,Last\na,First\n")
    with make.database.transaction(space.id) as db:
        items = items_after(db, feed)
        assert [(item.key, item.data["title"], item.position) for item in items] == [
            ("z", "Last", 1),
            ("a", "First", 2),
        ]
        assert [found.item_count for found in list_feeds(db, space.id)] == [2]


def test_pages_follow_each_other(make: Factory) -> None:
    space = make.workspace()
    feed = make.feed(space, b"sku\n" + b"\n".join(b"%d" % number for number in range(7)))
    with make.database.transaction(space.id) as db:
        first = items_after(db, feed, limit=4)
        rest = items_after(db, feed, first[-1].position, limit=4)
    assert [item.key for item in first + rest] == [str(number) for number in range(7)]


def test_a_bad_file_leaves_nothing_behind(make: Factory) -> None:
    space = make.workspace()
    with pytest.raises(BadFile):
        make.feed(space, b"only a header\n")
    assert make.count(Feed, space.id) == make.count(Item, space.id) == 0


def csv_of(rows: dict[str, str]) -> bytes:
    return b"sku,title\n" + "".join(f"{key},{title}\n" for key, title in rows.items()).encode()


class Shop:
    """A feed that is imported again and again."""

    def __init__(self, make: Factory, rows: dict[str, str]) -> None:
        self.make = make
        self.space = make.workspace()
        self.feed = make.feed(self.space, csv_of(rows))

    def bring(self, data: bytes) -> FeedImport:
        with self.make.database.transaction(self.space.id) as db:
            return import_file(
                db, db.get_one(Feed, (self.space.id, self.feed.id)), file_name="new.csv", file=spooled(data)
            )

    def decide(self, how: Any, record: FeedImport) -> None:
        with self.make.database.transaction(self.space.id) as db:
            how(db, db.get_one(FeedImport, (self.space.id, record.id)))

    @property
    def rows(self) -> dict[str, str]:
        with self.make.database.transaction(self.space.id) as db:
            return {item.key: item.data["title"] for item in items_after(db, self.feed)}


def counts(record: FeedImport) -> tuple[int, int, int, int]:
    return record.added, record.changed, record.removed, record.unchanged


def test_an_import_is_a_diff(make: Factory) -> None:
    shop = Shop(make, {"a": "One", "b": "Two", "c": "Three"})
    record = shop.bring(csv_of({"d": "Four", "b": "Two!", "a": "One"}))
    assert counts(record) == (1, 1, 1, 1)
    assert shop.rows == {"a": "One", "b": "Two!", "d": "Four"}
    assert list(shop.rows) == ["a", "b", "d"], "who stays keeps the place; who is new comes last"
    assert make.reload(shop.feed).item_count == 3
    with make.database.transaction(shop.space.id) as db:
        changed = {item.key for item in items_after(db, shop.feed) if item.changed_at}
        assert changed == {"b"}
        assert [(each.number, each.state) for each in list_imports(db, shop.feed)] == [(2, "applied"), (1, "applied")]


def test_the_same_file_again_changes_nothing(make: Factory) -> None:
    rows = {"a": "One", "b": "Two"}
    shop = Shop(make, rows)
    assert counts(shop.bring(csv_of(rows))) == (0, 0, 0, 2)
    with make.database.transaction(shop.space.id) as db:
        assert all(item.changed_at is None for item in items_after(db, shop.feed))


def test_an_import_that_removes_too_much_waits(make: Factory) -> None:
    rows = {f"k{number}": "x" for number in range(10)}
    shop = Shop(make, rows)
    record = shop.bring(csv_of({"k1": "x", "k2": "x", "k3": "new words"}))
    assert (record.state, counts(record)) == ("held", (0, 1, 7, 2))
    assert shop.rows == rows, "nothing has changed"
    shop.decide(apply_held, record)
    assert shop.rows == {"k1": "x", "k2": "x", "k3": "new words"}
    assert make.count(StagedItem, shop.space.id) == 0
    with pytest.raises(NotHeld, match="decided on already"):
        shop.decide(apply_held, record)


def test_a_held_import_can_be_decided_against(make: Factory) -> None:
    rows = {f"k{number}": "x" for number in range(10)}
    shop = Shop(make, rows)
    record = shop.bring(csv_of({"other": "x"}))
    shop.decide(discard_held, record)
    assert shop.rows == rows
    assert make.count(StagedItem, shop.space.id) == 0
    with pytest.raises(NotHeld):
        shop.decide(apply_held, record)


def test_a_held_import_is_not_applied_over_a_newer_one(make: Factory) -> None:
    rows = {f"k{number}": "x" for number in range(10)}
    shop = Shop(make, rows)
    held = shop.bring(csv_of({"k1": "old"}))
    shop.bring(csv_of(rows | {"k1": "newer"}))
    with pytest.raises(NotHeld, match="newer import"):
        shop.decide(apply_held, held)
    assert shop.rows["k1"] == "newer"


@pytest.mark.parametrize(("percent", "state"), [(0, "held"), (19, "held"), (20, "applied"), (100, "applied")])
def test_the_guard_is_the_feeds_own(make: Factory, percent: int, state: str) -> None:
    shop = Shop(make, {f"k{number}": "x" for number in range(10)})
    with make.database.transaction(shop.space.id) as db:
        db.get_one(Feed, (shop.space.id, shop.feed.id)).guard_percent = percent
    assert shop.bring(csv_of({f"k{number}": "x" for number in range(8)})).state == state


def test_a_file_without_the_columns_of_the_key_is_refused_whole(make: Factory) -> None:
    shop = Shop(make, {"a": "One"})
    with pytest.raises(BadFile, match="no column “sku”"):
        shop.bring(b"number,title\n1,Other\n")
    assert shop.rows == {"a": "One"}
    assert make.count(FeedImport, shop.space.id) == 1


def test_two_imports_at_once_come_one_after_the_other(make: Factory) -> None:
    shop = Shop(make, {"a": "One"})
    files = [csv_of({"a": "One", f"n{number}": "x"}) for number in range(6)]
    with ThreadPoolExecutor(6) as pool:
        records = list(pool.map(shop.bring, files))
    assert sorted(record.number for record in records) == [2, 3, 4, 5, 6, 7]
    assert len(shop.rows) in (1, 2)
    assert make.reload(shop.feed).item_count == len(shop.rows)


some_rows = st.dictionaries(st.sampled_from("abcdefgh"), st.sampled_from(["One", "Two", "Three"]), min_size=1)


@given(st.lists(some_rows, min_size=2, max_size=4))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_after_any_imports_the_rows_are_those_of_the_last_file(make: Factory, imports: list[dict[str, str]]) -> None:
    shop = Shop(make, imports[0])
    with make.database.transaction(shop.space.id) as db:
        db.get_one(Feed, (shop.space.id, shop.feed.id)).guard_percent = 100
    before = imports[0]
    for rows in imports[1:]:
        record = shop.bring(csv_of(rows))
        assert shop.rows == rows
        assert record.added == len(rows.keys() - before.keys())
        assert record.removed == len(before.keys() - rows.keys())
        assert record.changed == sum(before[key] != rows[key] for key in rows.keys() & before.keys())
        before = rows


def test_keys_that_come_again_are_told_apart(make: Factory) -> None:
    space = make.workspace()
    rows = b"Handle,Title,Size\na,A,S\na,,S\na,,S\nb,B,S\n"
    feed = make.feed(space, rows)
    with make.database.transaction(space.id) as db:
        assert [item.key for item in items_after(db, feed)] == ["a / S", "a / S #2", "a / S #3", "b / S"]


# As JSON writes them; what can not be stored is left out.
ODD = {
    r"tab\there": "tab\there",
    r"line\nbreak\r": "line\nbreak",
    r"back\\slash": "back\\slash",
    r"quote\"d": 'quote"d',
    r"emoji \ud83d\udc4d": "emoji 👍",
    r"\u0000nul": "nul",
    r"\ud800half": "?half",
    r"\\N": "\\N",
    r"\\.": "\\.",
}


@pytest.mark.parametrize("written", list(ODD))
def test_any_text_comes_through_copy_unchanged(make: Factory, written: str) -> None:
    space = make.workspace()
    feed = make.feed(space, f'[{{"sku": "k{written}", "title": "{written}"}}]'.encode())
    with make.database.transaction(space.id) as db:
        [item] = items_after(db, feed)
    assert item.data["title"] == ODD[written]
    assert item.key == f"k{ODD[written]}"

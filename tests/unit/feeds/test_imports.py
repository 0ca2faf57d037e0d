from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.orm import Session

from cwz_web.feeds import imports as module
from cwz_web.feeds.columns import Column, Shape
from cwz_web.feeds.fetch_job import bring_in
from cwz_web.feeds.file_types import spooled
from cwz_web.feeds.import_files import open_kept
from cwz_web.feeds.imports import (
    ImportNotHeldError,
    apply_held,
    discard_held,
    import_file,
    invalid_rows,
    list_imports,
    new_import,
    newest_kept,
    run_import,
)
from cwz_web.feeds.limits import InvalidFileError
from cwz_web.feeds.models import Feed, FeedImport, FilePart, Item, ItemVersion
from cwz_web.feeds.queries import items_after, list_feeds
from cwz_web.workspaces.models import Workspace
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
    with pytest.raises(InvalidFileError):
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
            return import_file(db, self.mine(db), file_name="new.csv", file=spooled(data))

    def mine(self, db: Session) -> Feed:
        return db.get_one(Feed, (self.space.id, self.feed.id))

    def decide(self, how: Any, record: FeedImport) -> None:
        with self.make.database.transaction(self.space.id) as db:
            how(db, db.get_one(FeedImport, (self.space.id, record.id)))

    def work(self, record: FeedImport) -> FeedImport:
        """What the job does."""
        bring_in(self.make.office, self.space.id, record.id)
        found: FeedImport = self.make.reload(record)
        return found

    def left_out(self, record: FeedImport) -> list[tuple[int, str]]:
        with self.make.database.transaction(self.space.id) as db:
            return [(row.line, row.reason) for row in invalid_rows(db, record)]

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
    assert shop.rows == rows, "a job does it"
    assert shop.work(record).state == "applied"
    assert shop.rows == {"k1": "x", "k2": "x", "k3": "new words"}
    with pytest.raises(ImportNotHeldError, match="decided on already"):
        shop.decide(apply_held, record)


def test_a_held_import_can_be_decided_against(make: Factory) -> None:
    rows = {f"k{number}": "x" for number in range(10)}
    shop = Shop(make, rows)
    record = shop.bring(csv_of({"other": "x"}))
    shop.decide(discard_held, record)
    assert shop.rows == rows
    with make.database.transaction(shop.space.id) as db:
        assert open_kept(db, record) is None
    with pytest.raises(ImportNotHeldError):
        shop.decide(apply_held, record)


def test_a_held_import_is_not_applied_over_a_newer_one(make: Factory) -> None:
    rows = {f"k{number}": "x" for number in range(10)}
    shop = Shop(make, rows)
    held = shop.bring(csv_of({"k1": "old"}))
    shop.bring(csv_of(rows | {"k1": "newer"}))
    with pytest.raises(ImportNotHeldError, match="or a newer one came"):
        shop.decide(apply_held, held)
    assert shop.rows["k1"] == "newer"
    assert make.reload(held).state == "discarded"


def test_an_import_that_waits_is_replaced_by_a_newer_one_that_does(make: Factory) -> None:
    shop = Shop(make, {f"k{number}": "x" for number in range(10)})
    first, second = shop.bring(csv_of({"k1": "one"})), shop.bring(csv_of({"k1": "two"}))
    assert [make.reload(record).state for record in (first, second)] == ["discarded", "held"]


def test_an_import_that_waits_is_not_applied_before_one_that_is_on_its_way(make: Factory) -> None:
    shop = Shop(make, {f"k{number}": "x" for number in range(10)})
    held = shop.bring(csv_of({"k1": "one"}))
    with make.database.transaction(shop.space.id) as db:
        coming = new_import(db, shop.mine(db), file_name="n.csv", fetched=True)
    with pytest.raises(ImportNotHeldError, match="on its way"):
        shop.decide(apply_held, held)
    with make.database.transaction(shop.space.id) as db:  # nothing new was fetched
        db.merge(coming).state = "unchanged"
    shop.decide(apply_held, held)
    assert make.reload(held).state == "queued"


@pytest.mark.parametrize(("percent", "state"), [(0, "held"), (19, "held"), (20, "applied"), (100, "applied")])
def test_the_guard_is_the_feeds_own(make: Factory, percent: int, state: str) -> None:
    shop = Shop(make, {f"k{number}": "x" for number in range(10)})
    with make.database.transaction(shop.space.id) as db:
        shop.mine(db).guard_percent = percent
    assert shop.bring(csv_of({f"k{number}": "x" for number in range(8)})).state == state


def test_a_file_without_the_columns_of_the_key_is_refused_whole(make: Factory) -> None:
    shop = Shop(make, {"a": "One"})
    with pytest.raises(InvalidFileError, match="no column “sku”"):
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
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_after_any_imports_the_rows_are_those_of_the_last_file(make: Factory, imports: list[dict[str, str]]) -> None:
    shop = Shop(make, imports[0])
    with make.database.transaction(shop.space.id) as db:
        shop.mine(db).guard_percent = 100
    before = imports[0]
    for rows in imports[1:]:
        record = shop.bring(csv_of(rows))
        assert shop.rows == rows
        assert record.added == len(rows.keys() - before.keys())
        assert record.removed == len(before.keys() - rows.keys())
        assert record.changed == sum(before[key] != rows[key] for key in rows.keys() & before.keys())
        before = rows


def test_of_rows_with_one_key_the_first_stays_and_the_others_are_listed(make: Factory) -> None:
    shop = Shop(make, {"a": "One"})
    record = shop.bring(b"sku,title\na,One\nb,Two\n\na,Again\nb,And again\na,Once more\n")
    assert counts(record) == (1, 0, 0, 1)
    assert record.invalid == 3
    assert shop.rows == {"a": "One", "b": "Two"}
    assert shop.left_out(record) == [
        (5, "The key “a” is in line 2 already"),
        (6, "The key “b” is in line 3 already"),
        (7, "The key “a” is in line 2 already"),
    ]


def test_rows_that_are_left_out_stop_no_other(make: Factory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_INVALID", 3)
    shop = Shop(make, {"a": "One"})
    record = shop.bring(b"sku,title\na,One\n,No key\nb,Two,2\nb,Two\nb,Twice\n,None\n")
    assert (record.invalid, counts(record)) == (4, (1, 0, 0, 1))
    assert shop.left_out(record) == [
        (3, "“sku” is empty, by which the feed knows its rows"),
        (4, "The row has 3 cells, and the header 2; is a cell with a “,” in it not quoted?"),
        (7, "“sku” is empty, by which the feed knows its rows"),
    ], "as many as are kept"
    again = shop.bring(b"sku,title\na,One\nb,Two\n")
    assert (again.invalid, shop.left_out(again)) == (0, [])


def test_rows_that_were_left_out_are_forgotten_after_some_imports(
    make: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "KEPT_IMPORTS", 2)
    shop = Shop(make, {"a": "One"})
    first = shop.bring(b"sku,title\na,One\n,No key\n")
    for _ in range(2):
        shop.bring(csv_of({"a": "One"}))
        assert shop.left_out(first)
    shop.bring(csv_of({"a": "One"}))
    assert not shop.left_out(first)


def test_what_a_row_was_is_remembered(make: Factory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEPT_REVISIONS", 2)
    shop = Shop(make, {"a": "One", "b": "Two", "c": "Three"})
    shop.bring(csv_of({"a": "Uno", "b": "Two", "c": "Three"}))
    shop.bring(csv_of({"a": "Uno", "c": "Three"}))
    shop.bring(csv_of({"a": "Uno", "c": "Three"}))

    def versions() -> list[tuple[str, int, str, bool]]:
        with make.database.transaction(shop.space.id) as db:
            rows = db.query(ItemVersion).order_by(ItemVersion.revision)
            return [(row.key, row.revision, row.data["title"], row.removed) for row in rows]

    assert versions() == [("a", 2, "One", False), ("b", 3, "Two", True)]
    shop.bring(csv_of({"a": "Dos", "c": "Three"}))
    shop.bring(csv_of({"a": "Tres", "c": "Three"}))
    assert [revision for _, revision, _, _ in versions()] == [3, 4, 5], "the oldest is forgotten"


def test_a_row_carries_the_revision_that_brought_or_changed_it(make: Factory) -> None:
    shop = Shop(make, {"a": "One", "b": "Two"})
    shop.bring(csv_of({"a": "One", "b": "Two"}))
    assert make.reload(shop.feed).revision == 1, "nothing has changed"
    record = shop.bring(csv_of({"a": "One", "b": "Two!", "c": "Three"}))
    assert record.revision == 2
    with make.database.transaction(shop.space.id) as db:
        assert {item.key: item.revision for item in items_after(db, shop.feed)} == {"a": 1, "b": 2, "c": 2}


def test_a_file_waits_for_its_job_and_is_kept_until_a_newer_one_came(make: Factory) -> None:
    shop = Shop(make, {"a": "One"})
    data = csv_of({"a": "One", "b": "Two"})
    with make.database.transaction(shop.space.id) as db:
        record = new_import(db, shop.mine(db), file_name="n.csv", file=spooled(data))
    assert (record.state, shop.rows) == ("queued", {"a": "One"})
    done = shop.work(record)
    assert (done.state, counts(done), done.rows_read, done.percent) == ("applied", (1, 0, 0, 1), 2, 100)
    assert done.finished_at is not None
    shop.work(record)
    assert counts(make.reload(record)) == (1, 0, 0, 1), "a job that comes twice does nothing"
    with make.database.transaction(shop.space.id) as db:
        kept = newest_kept(db, shop.feed)
        assert kept is not None
        assert kept.id == record.id
        file = open_kept(db, kept)
        assert file is not None
        file.seek(0)
        assert file.read() == data
    assert make.count(FilePart, shop.space.id) == 1


def test_a_job_that_finds_a_bad_file_says_so_and_the_rows_stay(make: Factory) -> None:
    shop = Shop(make, {"a": "One"})
    with make.database.transaction(shop.space.id) as db:
        record = new_import(db, shop.mine(db), file_name="n.csv", file=spooled(b"other\n1\n"))
    failed = shop.work(record)
    assert (failed.state, failed.trouble) == (
        "failed",
        "The file has no column “sku”, by which the feed knows its rows",
    )
    assert shop.rows == {"a": "One"}


def test_a_feed_is_shaped(make: Factory) -> None:
    shop = Shop(make, {"a": "One"})
    columns = {"title": Column(name="Name"), "sku": Column(name="sku", dropped=True)}
    with make.database.transaction(shop.space.id) as db:
        feed = shop.mine(db)
        feed.shape = Shape(columns=columns, key=["sku"]).model_dump(mode="json")
    shop.bring(csv_of({"a": "One", "b": "Two"}))
    with make.database.transaction(shop.space.id) as db:
        assert [(item.key, item.data) for item in items_after(db, shop.feed)] == [
            ("a", {"Name": "One"}),
            ("b", {"Name": "Two"}),
        ]
    assert make.reload(shop.feed).columns == ["Name"]


def test_progress_is_told_and_seen_by_others(make: Factory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BATCH", 2)
    shop = Shop(make, {"a": "One"})
    told: list[tuple[int, int]] = []
    with make.database.transaction(shop.space.id) as db:
        file = spooled(csv_of({f"k{number}": "x" * 20_000 for number in range(9)}))
        record = new_import(db, shop.mine(db), file_name="n.csv", file=file)
        run_import(db, shop.mine(db), record, file, lambda rows, percent: told.append((rows, percent)))
    assert [rows for rows, _ in told] == [2, 4, 6, 8]
    assert [percent for _, percent in told] == sorted(percent for _, percent in told)
    assert all(0 <= percent <= 100 for _, percent in told)


def test_the_rows_of_a_workspace_that_is_deleted_go_with_it(make: Factory) -> None:
    """They hang on their feed by triggers, not by a foreign key."""
    shop, other = Shop(make, {"a": "One"}), Shop(make, {"a": "Uno"})
    shop.bring(csv_of({"a": "Two"}))
    with make.database.transaction(shop.space.id) as db:
        db.delete(db.get_one(Workspace, shop.space.id))
    for model in (Item, ItemVersion):
        assert make.count(model, shop.space.id) == 0
    assert other.rows == {"a": "Uno"}


# As JSON writes them; what cannot be stored is left out.
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

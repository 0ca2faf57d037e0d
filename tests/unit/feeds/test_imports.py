from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.orm import Session

from cwz_web.feeds import imports as imports_module
from cwz_web.feeds.columns import Column, FeedSchema
from cwz_web.feeds.fetch_job import process_import
from cwz_web.feeds.file_types import temporary_file
from cwz_web.feeds.import_files import open_file
from cwz_web.feeds.imports import (
    ImportNotReviewableError,
    approve_import,
    create_import,
    discard_import,
    import_file,
    list_imports,
    list_invalid_rows,
    newest_import_with_file,
    run_import,
)
from cwz_web.feeds.limits import InvalidFileError
from cwz_web.feeds.models import Feed, FeedImport, FilePart, Item, ItemVersion
from cwz_web.feeds.queries import list_feeds, list_items
from cwz_web.workspaces.models import Workspace
from tests.factories import Factory


def test_import_keeps_the_order_of_the_file(make: Factory) -> None:
    space = make.workspace()
    feed = make.feed(space, b"sku,title\nz,Last\na,First\n")
    with make.database.transaction(space.id) as db:
        items = list_items(db, feed)
        assert [(item.key, item.data["title"], item.position) for item in items] == [
            ("z", "Last", 1),
            ("a", "First", 2),
        ]
        assert [listed.item_count for listed in list_feeds(db, space.id)] == [2]


def test_list_items_in_pages(make: Factory) -> None:
    space = make.workspace()
    feed = make.feed(space, b"sku\n" + b"\n".join(b"%d" % number for number in range(7)))
    with make.database.transaction(space.id) as db:
        first = list_items(db, feed, limit=4)
        rest = list_items(db, feed, first[-1].position, limit=4)
    assert [item.key for item in first + rest] == [str(number) for number in range(7)]


def test_invalid_file_creates_nothing(make: Factory) -> None:
    space = make.workspace()
    with pytest.raises(InvalidFileError):
        make.feed(space, b"only a header\n")
    assert make.count(Feed, space.id) == make.count(Item, space.id) == 0


def csv_of(rows: dict[str, str]) -> bytes:
    return b"sku,title\n" + "".join(f"{key},{title}\n" for key, title in rows.items()).encode()


class Shop:
    """A feed with several imports."""

    def __init__(self, make: Factory, rows: dict[str, str]) -> None:
        self.make = make
        self.space = make.workspace()
        self.feed = make.feed(self.space, csv_of(rows))

    def import_rows(self, data: bytes) -> FeedImport:
        with self.make.database.transaction(self.space.id) as db:
            return import_file(db, self.get_feed(db), file_name="new.csv", file=temporary_file(data))

    def get_feed(self, db: Session) -> Feed:
        return db.get_one(Feed, (self.space.id, self.feed.id))

    def review(self, decide: Any, record: FeedImport) -> None:
        with self.make.database.transaction(self.space.id) as db:
            decide(db, db.get_one(FeedImport, (self.space.id, record.id)))

    def run_job(self, record: FeedImport) -> FeedImport:
        """Run the import's job."""
        process_import(self.make.fetch_context, self.space.id, record.id)
        reloaded: FeedImport = self.make.reload(record)
        return reloaded

    def invalid_rows(self, record: FeedImport) -> list[tuple[int, str]]:
        with self.make.database.transaction(self.space.id) as db:
            return [(row.line, row.reason) for row in list_invalid_rows(db, record)]

    @property
    def rows(self) -> dict[str, str]:
        with self.make.database.transaction(self.space.id) as db:
            return {item.key: item.data["title"] for item in list_items(db, self.feed)}


def counts(record: FeedImport) -> tuple[int, int, int, int]:
    return record.added, record.changed, record.removed, record.unchanged


def test_import_applies_the_difference(make: Factory) -> None:
    shop = Shop(make, {"a": "One", "b": "Two", "c": "Three"})
    record = shop.import_rows(csv_of({"d": "Four", "b": "Two!", "a": "One"}))
    assert counts(record) == (1, 1, 1, 1)
    assert shop.rows == {"a": "One", "b": "Two!", "d": "Four"}
    assert list(shop.rows) == ["a", "b", "d"], "existing rows keep their position, new ones are appended"
    assert make.reload(shop.feed).item_count == 3
    with make.database.transaction(shop.space.id) as db:
        changed = {item.key for item in list_items(db, shop.feed) if item.changed_at}
        assert changed == {"b"}
        assert [(listed.number, listed.state) for listed in list_imports(db, shop.feed)] == [
            (2, "applied"),
            (1, "applied"),
        ]


def test_importing_the_same_file_again_changes_nothing(make: Factory) -> None:
    rows = {"a": "One", "b": "Two"}
    shop = Shop(make, rows)
    assert counts(shop.import_rows(csv_of(rows))) == (0, 0, 0, 2)
    with make.database.transaction(shop.space.id) as db:
        assert all(item.changed_at is None for item in list_items(db, shop.feed))


def test_import_that_removes_too_many_rows_needs_review(make: Factory) -> None:
    rows = {f"k{number}": "x" for number in range(10)}
    shop = Shop(make, rows)
    record = shop.import_rows(csv_of({"k1": "x", "k2": "x", "k3": "changed"}))
    assert (record.state, counts(record)) == ("needs_review", (0, 1, 7, 2))
    assert shop.rows == rows, "nothing has changed"
    shop.review(approve_import, record)
    assert shop.rows == rows, "the job has not run yet"
    assert shop.run_job(record).state == "applied"
    assert shop.rows == {"k1": "x", "k2": "x", "k3": "changed"}
    with pytest.raises(ImportNotReviewableError, match="already been applied"):
        shop.review(approve_import, record)


def test_import_can_be_discarded(make: Factory) -> None:
    rows = {f"k{number}": "x" for number in range(10)}
    shop = Shop(make, rows)
    record = shop.import_rows(csv_of({"other": "x"}))
    shop.review(discard_import, record)
    assert shop.rows == rows
    with make.database.transaction(shop.space.id) as db:
        assert open_file(db, record) is None
    with pytest.raises(ImportNotReviewableError):
        shop.review(approve_import, record)


def test_import_cannot_be_applied_after_a_newer_one(make: Factory) -> None:
    rows = {f"k{number}": "x" for number in range(10)}
    shop = Shop(make, rows)
    pending = shop.import_rows(csv_of({"k1": "old"}))
    shop.import_rows(csv_of(rows | {"k1": "newer"}))
    with pytest.raises(ImportNotReviewableError, match="replaced by a newer one"):
        shop.review(approve_import, pending)
    assert shop.rows["k1"] == "newer"
    assert make.reload(pending).state == "discarded"


def test_newer_import_replaces_the_one_that_needs_review(make: Factory) -> None:
    shop = Shop(make, {f"k{number}": "x" for number in range(10)})
    first, second = shop.import_rows(csv_of({"k1": "one"})), shop.import_rows(csv_of({"k1": "two"}))
    assert [make.reload(record).state for record in (first, second)] == ["discarded", "needs_review"]


def test_import_cannot_be_applied_while_a_newer_one_is_queued(make: Factory) -> None:
    shop = Shop(make, {f"k{number}": "x" for number in range(10)})
    pending = shop.import_rows(csv_of({"k1": "one"}))
    with make.database.transaction(shop.space.id) as db:
        newer = create_import(db, shop.get_feed(db), file_name="n.csv", fetched=True)
    with pytest.raises(ImportNotReviewableError, match="newer import is running"):
        shop.review(approve_import, pending)
    with make.database.transaction(shop.space.id) as db:  # the source had not changed
        db.merge(newer).state = "unchanged"
    shop.review(approve_import, pending)
    assert make.reload(pending).state == "queued"


@pytest.mark.parametrize(
    ("percent", "state"), [(0, "needs_review"), (19, "needs_review"), (20, "applied"), (100, "applied")]
)
def test_max_removed_percent_of_the_feed(make: Factory, percent: int, state: str) -> None:
    shop = Shop(make, {f"k{number}": "x" for number in range(10)})
    with make.database.transaction(shop.space.id) as db:
        shop.get_feed(db).max_removed_percent = percent
    assert shop.import_rows(csv_of({f"k{number}": "x" for number in range(8)})).state == state


def test_file_without_the_key_columns_is_rejected(make: Factory) -> None:
    shop = Shop(make, {"a": "One"})
    with pytest.raises(InvalidFileError, match="no column “sku”"):
        shop.import_rows(b"number,title\n1,Other\n")
    assert shop.rows == {"a": "One"}
    assert make.count(FeedImport, shop.space.id) == 1


def test_concurrent_imports_are_serialized(make: Factory) -> None:
    shop = Shop(make, {"a": "One"})
    files = [csv_of({"a": "One", f"n{number}": "x"}) for number in range(6)]
    with ThreadPoolExecutor(6) as pool:
        records = list(pool.map(shop.import_rows, files))
    assert sorted(record.number for record in records) == [2, 3, 4, 5, 6, 7]
    assert len(shop.rows) in (1, 2)
    assert make.reload(shop.feed).item_count == len(shop.rows)


some_rows = st.dictionaries(st.sampled_from("abcdefgh"), st.sampled_from(["One", "Two", "Three"]), min_size=1)


@given(st.lists(some_rows, min_size=2, max_size=4))
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_rows_equal_the_last_file_after_any_imports(make: Factory, imports: list[dict[str, str]]) -> None:
    shop = Shop(make, imports[0])
    with make.database.transaction(shop.space.id) as db:
        shop.get_feed(db).max_removed_percent = 100
    before = imports[0]
    for rows in imports[1:]:
        record = shop.import_rows(csv_of(rows))
        assert shop.rows == rows
        assert record.added == len(rows.keys() - before.keys())
        assert record.removed == len(before.keys() - rows.keys())
        assert record.changed == sum(before[key] != rows[key] for key in rows.keys() & before.keys())
        before = rows


def test_duplicate_keys_are_invalid_except_the_first(make: Factory) -> None:
    shop = Shop(make, {"a": "One"})
    record = shop.import_rows(b"sku,title\na,One\nb,Two\n\na,Again\nb,And again\na,Once more\n")
    assert counts(record) == (1, 0, 0, 1)
    assert record.invalid == 3
    assert shop.rows == {"a": "One", "b": "Two"}
    assert shop.invalid_rows(record) == [
        (5, "The key “a” is already used in line 2"),
        (6, "The key “b” is already used in line 3"),
        (7, "The key “a” is already used in line 2"),
    ]


def test_invalid_rows_are_skipped_and_recorded(make: Factory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imports_module, "MAX_INVALID", 3)
    shop = Shop(make, {"a": "One"})
    record = shop.import_rows(b"sku,title\na,One\n,No key\nb,Two,2\nb,Two\nb,Twice\n,None\n")
    assert (record.invalid, counts(record)) == (4, (1, 0, 0, 1))
    assert shop.invalid_rows(record) == [
        (3, "The key “sku” is empty"),
        (4, "The row has 3 cells, but the header has 2; put cells that contain a “,” in quotation marks"),
        (7, "The key “sku” is empty"),
    ], "at most MAX_INVALID are recorded"
    again = shop.import_rows(b"sku,title\na,One\nb,Two\n")
    assert (again.invalid, shop.invalid_rows(again)) == (0, [])


def test_invalid_rows_of_old_imports_are_deleted(make: Factory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imports_module, "KEPT_IMPORTS", 2)
    shop = Shop(make, {"a": "One"})
    first = shop.import_rows(b"sku,title\na,One\n,No key\n")
    for _ in range(2):
        shop.import_rows(csv_of({"a": "One"}))
        assert shop.invalid_rows(first)
    shop.import_rows(csv_of({"a": "One"}))
    assert not shop.invalid_rows(first)


def test_earlier_versions_of_rows_are_kept(make: Factory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imports_module, "KEPT_REVISIONS", 2)
    shop = Shop(make, {"a": "One", "b": "Two", "c": "Three"})
    shop.import_rows(csv_of({"a": "Uno", "b": "Two", "c": "Three"}))
    shop.import_rows(csv_of({"a": "Uno", "c": "Three"}))
    shop.import_rows(csv_of({"a": "Uno", "c": "Three"}))

    def versions() -> list[tuple[str, int, str, bool]]:
        with make.database.transaction(shop.space.id) as db:
            rows = db.query(ItemVersion).order_by(ItemVersion.revision)
            return [(row.key, row.revision, row.data["title"], row.removed) for row in rows]

    assert versions() == [("a", 2, "One", False), ("b", 3, "Two", True)]
    shop.import_rows(csv_of({"a": "Dos", "c": "Three"}))
    shop.import_rows(csv_of({"a": "Tres", "c": "Three"}))
    assert [revision for _, revision, _, _ in versions()] == [3, 4, 5], "the oldest is deleted"


def test_row_has_the_revision_that_added_or_changed_it(make: Factory) -> None:
    shop = Shop(make, {"a": "One", "b": "Two"})
    shop.import_rows(csv_of({"a": "One", "b": "Two"}))
    assert make.reload(shop.feed).revision == 1, "nothing has changed"
    record = shop.import_rows(csv_of({"a": "One", "b": "Two!", "c": "Three"}))
    assert record.revision == 2
    with make.database.transaction(shop.space.id) as db:
        assert {item.key: item.revision for item in list_items(db, shop.feed)} == {"a": 1, "b": 2, "c": 2}


def test_file_is_stored_until_a_newer_one_is_imported(make: Factory) -> None:
    shop = Shop(make, {"a": "One"})
    data = csv_of({"a": "One", "b": "Two"})
    with make.database.transaction(shop.space.id) as db:
        record = create_import(db, shop.get_feed(db), file_name="n.csv", file=temporary_file(data))
    assert (record.state, shop.rows) == ("queued", {"a": "One"})
    done = shop.run_job(record)
    assert (done.state, counts(done), done.rows_read, done.percent) == ("applied", (1, 0, 0, 1), 2, 100)
    assert done.finished_at is not None
    shop.run_job(record)
    assert counts(make.reload(record)) == (1, 0, 0, 1), "running the job twice has no effect"
    with make.database.transaction(shop.space.id) as db:
        newest = newest_import_with_file(db, shop.feed)
        assert newest is not None
        assert newest.id == record.id
        file = open_file(db, newest)
        assert file is not None
        file.seek(0)
        assert file.read() == data
    assert make.count(FilePart, shop.space.id) == 1


def test_job_with_invalid_file_fails_and_keeps_the_rows(make: Factory) -> None:
    shop = Shop(make, {"a": "One"})
    with make.database.transaction(shop.space.id) as db:
        record = create_import(db, shop.get_feed(db), file_name="n.csv", file=temporary_file(b"other\n1\n"))
    failed = shop.run_job(record)
    assert (failed.state, failed.error_message) == (
        "failed",
        "The file has no column “sku”, which is part of the feed's key",
    )
    assert shop.rows == {"a": "One"}


def test_import_applies_the_schema(make: Factory) -> None:
    shop = Shop(make, {"a": "One"})
    columns = {"title": Column(name="Name"), "sku": Column(name="sku", dropped=True)}
    with make.database.transaction(shop.space.id) as db:
        feed = shop.get_feed(db)
        feed.schema = FeedSchema(columns=columns, key=["sku"]).model_dump(mode="json")
    shop.import_rows(csv_of({"a": "One", "b": "Two"}))
    with make.database.transaction(shop.space.id) as db:
        assert [(item.key, item.data) for item in list_items(db, shop.feed)] == [
            ("a", {"Name": "One"}),
            ("b", {"Name": "Two"}),
        ]
    assert make.reload(shop.feed).columns == ["Name"]


def test_progress_is_reported(make: Factory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imports_module, "BATCH_SIZE", 2)
    shop = Shop(make, {"a": "One"})
    reported: list[tuple[int, int]] = []
    with make.database.transaction(shop.space.id) as db:
        file = temporary_file(csv_of({f"k{number}": "x" * 20_000 for number in range(9)}))
        record = create_import(db, shop.get_feed(db), file_name="n.csv", file=file)
        run_import(db, shop.get_feed(db), record, file, lambda rows, percent: reported.append((rows, percent)))
    assert [rows for rows, _ in reported] == [2, 4, 6, 8]
    assert [percent for _, percent in reported] == sorted(percent for _, percent in reported)
    assert all(0 <= percent <= 100 for _, percent in reported)


def test_deleting_a_workspace_deletes_its_rows(make: Factory) -> None:
    """Rows are deleted by triggers, not by a foreign key."""
    shop, other = Shop(make, {"a": "One"}), Shop(make, {"a": "Uno"})
    shop.import_rows(csv_of({"a": "Two"}))
    with make.database.transaction(shop.space.id) as db:
        db.delete(db.get_one(Workspace, shop.space.id))
    for model in (Item, ItemVersion):
        assert make.count(model, shop.space.id) == 0
    assert other.rows == {"a": "Uno"}


# Texts in JSON notation and as they are stored: NUL is removed, a lone surrogate replaced.
SPECIAL_TEXTS = {
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


@pytest.mark.parametrize("written", list(SPECIAL_TEXTS))
def test_special_characters_survive_copy(make: Factory, written: str) -> None:
    space = make.workspace()
    feed = make.feed(space, f'[{{"sku": "k{written}", "title": "{written}"}}]'.encode())
    with make.database.transaction(space.id) as db:
        [item] = list_items(db, feed)
    assert item.data["title"] == SPECIAL_TEXTS[written]
    assert item.key == f"k{SPECIAL_TEXTS[written]}"

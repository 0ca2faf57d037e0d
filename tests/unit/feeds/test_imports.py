from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.orm import Session

from cwz_web.feeds import fetch_job
from cwz_web.feeds import imports as imports_module
from cwz_web.feeds.columns import Column, FeedSchema
from cwz_web.feeds.fetch_job import process_import
from cwz_web.feeds.import_files import open_file, open_file_start
from cwz_web.feeds.import_guard import ReviewReason
from cwz_web.feeds.imports import (
    ImportNotReviewableError,
    approve_import,
    create_feed,
    create_import,
    discard_import,
    import_file,
    list_imports,
    list_invalid_rows,
    newest_import_with_file,
    run_import,
)
from cwz_web.feeds.limits import PREVIEW_BYTES, InvalidFileError
from cwz_web.feeds.models import Feed, FeedImport, FilePart, Item, ItemVersion
from cwz_web.feeds.queries import list_feeds, list_items
from cwz_web.feeds.row_writes import delete_items, put_items
from cwz_web.feeds.temporary_files import temporary_file
from cwz_web.generation.models import Template
from cwz_web.i18n import use_locale
from cwz_web.runs.auto_runs import start_auto_run
from cwz_web.runs.models import Run
from cwz_web.workspaces.models import Workspace
from tests.conftest import DATA
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


@pytest.mark.usefixtures("bracketed_german")
def test_import_in_a_request_stores_english_texts(make: Factory) -> None:
    shop = Shop(make, {"a": "Mug"})
    with use_locale("de"):
        record = shop.import_rows(b"sku,title,price\na,Mug,9,50\nb,Cup,7\n# note\nc,Jug,8\n")
    texts = [*make.reload(record).notes, *(reason for _, reason in shop.invalid_rows(record))]
    assert texts
    assert not [text for text in texts if "[" in text]


def test_source_of_an_import_can_be_read_after_from() -> None:
    assert (Feed(file_name="shop.csv").source, FeedImport(file_name="API").source) == ("shop.csv", "the API")


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


@pytest.mark.parametrize(
    ("data", "size"),
    [
        (b"", 0),
        (b"id\n1\n2", 6),
        (b"id,title\n" + b"1,x\n" * 3_000_000, PREVIEW_BYTES - 3),  # up to the last line end
        (b"PK\x03\x04" + bytes(6_000_000), 6_000_004),
    ],
)
def test_start_of_a_stored_file_is_bounded(make: Factory, data: bytes, size: int) -> None:
    """A chunk of a file may expand to a thousand times its size."""
    space = make.workspace()
    with make.database.transaction(space.id) as db:
        feed = create_feed(db, space.id, name="x", file_name="x")
        record = create_import(db, feed, file_name="x", file=temporary_file(data))
        start, whole = open_file_start(db, record), open_file(db, record)
        assert start is not None
        assert whole is not None
        start.seek(0)
        whole.seek(0)
        assert data.startswith(start.read())
        assert start.tell() == size
        assert whole.read() == data


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


def test_progress_is_saved_while_the_job_imports(make: Factory, monkeypatch: pytest.MonkeyPatch) -> None:
    """The job's transaction must not lock the row of the import before the file has been read."""
    monkeypatch.setattr(imports_module, "BATCH_SIZE", 2)
    monkeypatch.setattr(fetch_job, "PROGRESS_INTERVAL", 0)
    shop = Shop(make, {"a": "One"})
    with make.database.transaction(shop.space.id) as db:
        file = temporary_file(csv_of({f"k{number}": "x" for number in range(9)} | {"a": "One"}))
        record = create_import(db, shop.get_feed(db), file_name="n.csv", file=file)
    assert shop.run_job(record).state == "applied"


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


class RenderedShop(Shop):
    """A feed whose `title` and `price` the template “Card” is rendered from, and an automatic run from `title`."""

    def __init__(self, make: Factory, rows: int = 10) -> None:
        super().__init__(make, {"placeholder": "x"})
        self.feed = make.feed(self.space, self.file(rows))
        self.template = make.template(self.space)
        run = make.run(self.feed, self.template, {"title": "title"})
        with make.database.transaction(self.space.id) as db:
            start_auto_run(db, db.get_one(Run, (self.space.id, run.id)))
        make.run(self.feed, self.template, {"title": "title", "image": "price"})

    def file(self, rows: int, title: str = "title", empty_from: int = 1000, end: str = "\n") -> bytes:
        lines = [f"{n},{f'Thing {n}' if n < empty_from else ''},{n}.90" for n in range(rows)]
        return "\n".join([f"sku,{title},price", *lines]).encode() + end.encode()

    def reasons(self, record: FeedImport) -> list[tuple[str, str | None, list[str]]]:
        found = [ReviewReason.model_validate(reason) for reason in record.review_reasons]
        return [(reason.code, reason.column, [str(use) for use in reason.templates]) for reason in found]


def test_renamed_column_needs_review(make: Factory) -> None:
    shop = RenderedShop(make)
    record = shop.import_rows(shop.file(10, title="Titel"))
    assert record.state == "needs_review"
    assert shop.reasons(record) == [("column_gone", "title", ["“Card” (automatic run)"])]
    assert "new column “Titel”" in record.review_reasons[0]["message"]
    shop.review(approve_import, record)
    assert shop.run_job(record).state == "applied"
    assert shop.import_rows(shop.file(10, title="Titel")).state == "applied", "it is the new baseline"


def test_emptied_column_needs_review(make: Factory) -> None:
    shop = RenderedShop(make)
    assert shop.import_rows(shop.file(10, empty_from=5)).state == "applied"
    record = shop.import_rows(shop.file(10, empty_from=4))
    assert shop.reasons(record) == [("column_emptied", "title", ["“Card” (automatic run)"])]
    assert "empty in 6 of 10 rows" in record.review_reasons[0]["message"]
    make.run(shop.feed, shop.template, {"title": "title"})  # from now on `price` is used by nothing
    applied = shop.import_rows(shop.file(10).replace(b"price", b"Preis"))
    assert (applied.state, applied.notes) == ("applied", ["No row has a value in “price” any more"])


def test_column_of_a_deleted_template_is_not_guarded(make: Factory) -> None:
    shop = RenderedShop(make)
    with make.database.transaction(shop.space.id) as db:
        db.get_one(Template, (shop.space.id, shop.template.id)).deleted_at = datetime.now(UTC)
    assert shop.import_rows(shop.file(10, title="Titel")).state == "applied"


def test_few_removals_at_a_time_are_held_together(make: Factory) -> None:
    shop = RenderedShop(make, 100)
    assert shop.import_rows(shop.file(60)).state == "applied"
    held = shop.import_rows(shop.file(36))
    assert (held.state, held.removed, shop.reasons(held)) == ("needs_review", 24, [("rows_removed", None, [])])
    assert "36 of the 100 rows" in held.review_reasons[0]["message"]
    assert shop.import_rows(shop.file(55)).state == "applied"
    reviewed = shop.import_rows(shop.file(36))
    shop.review(approve_import, reviewed)
    shop.run_job(reviewed)
    assert shop.import_rows(shop.file(22)).state == "applied", "the review moved the baseline"


def test_changed_keys_need_review(make: Factory) -> None:
    shop = RenderedShop(make)
    data = shop.file(10).replace(b"\n", b"\nSKU-").removesuffix(b"SKU-")
    assert shop.reasons(shop.import_rows(data)) == [("keys_changed", None, [])]


def thing_rows(*numbers: range) -> bytes:
    return csv_of({str(number): f"Thing {number}" for part in numbers for number in part})


def test_few_changed_keys_at_a_time_are_held_together(make: Factory) -> None:
    shop = Shop(make, {str(number): f"Thing {number}" for number in range(100)})
    for start in (20, 40):
        assert shop.import_rows(thing_rows(range(start, start + 100))).state == "applied"
    held = shop.import_rows(thing_rows(range(60, 160)))
    assert (held.state, held.added, held.removed) == ("needs_review", 20, 20)
    assert [reason["code"] for reason in held.review_reasons] == ["keys_changed"]
    assert "40 of the 100 rows" in held.review_reasons[0]["message"]
    shop.review(approve_import, held)
    assert shop.run_job(held).state == "applied"
    for start in (80, 110):
        assert shop.import_rows(thing_rows(range(start, start + 100))).state == "applied", (
            "the review moved the baseline"
        )
    assert shop.import_rows(thing_rows(range(111, 211))).state == "needs_review"


def test_rows_appended_after_removed_ones_are_not_those_of_the_baseline(make: Factory) -> None:
    shop = Shop(make, {str(number): f"Thing {number}" for number in range(100)})
    assert shop.import_rows(thing_rows(range(60))).state == "applied"
    assert shop.import_rows(thing_rows(range(60), range(200, 220))).state == "applied"
    with make.database.transaction(shop.space.id) as db:
        delete_items(db, shop.get_feed(db), [str(number) for number in range(200, 220)])
        put_items(db, shop.get_feed(db), {str(number): {"sku": str(number)} for number in range(300, 340)})
    assert shop.import_rows(thing_rows(range(45), range(300, 340))).state == "needs_review"


def test_rows_deleted_through_the_api_do_not_count_as_changed_keys(make: Factory) -> None:
    shop = Shop(make, {str(number): f"Thing {number}" for number in range(100)})
    with make.database.transaction(shop.space.id) as db:
        delete_items(db, shop.get_feed(db), [str(number) for number in range(20, 100)])
    assert shop.import_rows(thing_rows(range(10), range(200, 210))).state == "applied"
    assert shop.import_rows(thing_rows(range(9), range(200, 211))).state == "needs_review"


def test_rows_added_later_may_change_their_keys(make: Factory) -> None:
    shop = Shop(make, {str(number): f"Thing {number}" for number in range(60)})
    for start in (100, 120, 140, 160):
        assert shop.import_rows(thing_rows(range(60), range(start, start + 40))).state == "applied"


def test_baseline_of_an_earlier_version_has_no_rows(make: Factory) -> None:
    shop = Shop(make, {str(number): f"Thing {number}" for number in range(100)})
    with make.database.transaction(shop.space.id) as db:
        feed = shop.get_feed(db)
        assert feed.baseline is not None
        feed.baseline = {name: feed.baseline[name] for name in ("rows", "size", "has_line_end", "key", "columns")}
    for start in (20, 60):
        assert shop.import_rows(thing_rows(range(start, start + 100))).state == "applied"
    assert shop.import_rows(thing_rows(range(71, 171))).state == "needs_review", "of the rows from 20 on"


def test_column_that_no_template_uses_is_noted(make: Factory) -> None:
    shop = RenderedShop(make)
    make.run(shop.feed, shop.template, {"title": "title"})  # `price` is used by nothing
    note = "No row has a value in “price” any more"
    for header in (b"sku,title,Preis", b"sku,title"):
        cells = header.count(b",") + 1
        lines = [line.split(b",")[:cells] for line in shop.file(10).splitlines()]
        record = shop.import_rows(b"\n".join([header, *(b",".join(line) for line in lines[1:])]) + b"\n")
        assert make.reload(record).state == "applied"
        assert make.reload(record).notes == make.reload(shop.feed).notes == [note]
        note = note.replace("price", "Preis")


def test_cut_off_file_needs_review(make: Factory) -> None:
    data = (DATA / "feeds" / "15-cut-off-in-a-cell.csv").read_bytes()
    space = make.workspace()
    shop = Shop(make, {"a": "One"})
    shop.space, shop.feed = space, make.feed(space, b"id,title,price\nA1,Sofa,5.00\nA2,Chair,5.00\nA3,Desk,5.00\n")
    record = shop.import_rows(data)
    assert (record.state, [reason["code"] for reason in record.review_reasons]) == ("needs_review", ["cut_off"])
    assert "line 4, the last one, has 2 of 3 cells" in record.review_reasons[0]["message"]
    assert shop.rows == {"A1": "Sofa", "A2": "Chair", "A3": "Desk"}
    new = make.feed(make.workspace(), data)
    assert any("cut off" in note for note in make.reload(new).notes), "a first import only says so"


@given(st.integers(0, 999))
@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_start_of_a_file_is_never_applied(make: Factory, cut: int) -> None:
    whole = RenderedShop.file(None, 30)  # type: ignore[arg-type]
    shop = Shop(make, {"a": "One"})
    shop.feed = make.feed(shop.space, whole)
    size = len(whole) * 60 // 100 + cut * len(whole) * 39 // 100_000
    with make.database.transaction(shop.space.id) as db:
        record = create_import(db, shop.get_feed(db), file_name="n.csv", file=temporary_file(whole[:size]))
    if whole[:size].endswith(b"\n"):
        return  # complete rows: only the server's length tells
    assert shop.run_job(record).state == "needs_review"


def test_shorter_file_of_unknown_length_needs_review(make: Factory) -> None:
    shop = RenderedShop(make, 20)
    for is_known, state in ((True, "applied"), (False, "needs_review")):
        with make.database.transaction(shop.space.id) as db:
            record = create_import(db, shop.get_feed(db), file_name="n.csv", file=temporary_file(shop.file(13)))
            record.length_known = is_known
        assert shop.run_job(record).state == state
    assert [code for code, _, _ in shop.reasons(make.reload(record))] == ["file_shrunk"]


def test_rows_written_through_the_api_are_not_guarded(make: Factory) -> None:
    shop = RenderedShop(make)
    with make.database.transaction(shop.space.id) as db:
        delete_items(db, shop.get_feed(db), [str(number) for number in range(2, 10)])
    assert shop.import_rows(shop.file(2)).state == "applied", "deleted rows do not count as removed"
    with make.database.transaction(shop.space.id) as db:
        put_items(db, shop.get_feed(db), {"0": {"sku": "0"}, "1": {"sku": "1"}})
    assert shop.import_rows(shop.file(2)).state == "applied"


def test_rows_without_a_baseline_are_counted(make: Factory) -> None:
    shop = RenderedShop(make)
    with make.database.transaction(shop.space.id) as db:  # as after an upgrade
        shop.get_feed(db).baseline = None
    assert shop.reasons(shop.import_rows(shop.file(10, title="Titel")))[0][:2] == ("column_gone", "title")

from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cwz_web.feeds import row_writes
from cwz_web.feeds.models import Feed
from cwz_web.feeds.queries import list_items, list_versions
from cwz_web.feeds.row_writes import FeedFullError, WriteResult, delete_items, put_items
from tests.factories import Factory


class FeedWriter:
    """A feed with rows to write."""

    def __init__(self, make: Factory) -> None:
        self.make = make
        self.feed = make.feed(make.workspace(), b"sku,title\n1,One\n2,Two\n")

    def put(self, rows: dict[str, dict[str, str]]) -> WriteResult:
        with self.make.database.transaction(self.feed.workspace_id) as db:
            return put_items(db, db.get_one(Feed, (self.feed.workspace_id, self.feed.id)), rows)

    def delete(self, *keys: str) -> int:
        with self.make.database.transaction(self.feed.workspace_id) as db:
            return delete_items(db, db.get_one(Feed, (self.feed.workspace_id, self.feed.id)), keys)

    @property
    def rows(self) -> dict[str, dict[str, str]]:
        with self.make.database.transaction(self.feed.workspace_id) as db:
            return {item.key: item.data for item in list_items(db, self.feed, limit=10_000)}


def test_rows_are_added_changed_and_unchanged(make: Factory) -> None:
    writer = FeedWriter(make)
    same, other, new = {"sku": "2", "title": "Two"}, {"title": "Uno"}, {"title": "Nine", "color": "red"}
    result = writer.put({"2": same, "1": other, "9": new})
    assert result == WriteResult(added=1, changed=1, unchanged=1)
    assert writer.rows == {"1": other, "2": same, "9": new}
    feed = make.reload(writer.feed)
    assert (feed.item_count, feed.columns, feed.revision) == (3, ["sku", "title", "color"], 2)
    with make.database.transaction(writer.feed.workspace_id) as db:
        assert [version.data for version in list_versions(db, feed, "1")] == [{"sku": "1", "title": "One"}]
    writer.put({"2": {"sku": "2", "title": "Two"}})
    assert make.reload(writer.feed).revision == 2, "nothing has changed"


def test_rows_are_deleted(make: Factory) -> None:
    writer = FeedWriter(make)
    assert writer.delete("2", "missing") == 1
    assert writer.delete("2") == 0
    assert list(writer.rows) == ["1"]
    feed = make.reload(writer.feed)
    assert feed.item_count == 1
    with make.database.transaction(writer.feed.workspace_id) as db:
        assert [version.removed for version in list_versions(db, feed, "2")] == [True]


def test_limits_of_rows_and_columns(make: Factory, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = FeedWriter(make)
    monkeypatch.setattr(row_writes, "MAX_ROWS", 3)
    with pytest.raises(FeedFullError, match="3 rows"):
        writer.put({"8": {}, "9": {}})
    monkeypatch.setattr(row_writes, "MAX_COLUMNS", 2)
    with pytest.raises(FeedFullError, match="2 columns"):
        writer.put({"1": {"third": "x"}})
    assert len(writer.rows) == 2


def test_concurrent_writes_lose_nothing(make: Factory) -> None:
    writer = FeedWriter(make)
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda n: writer.put({f"n{n}": {"title": str(n)}, "1": {"title": str(n)}}), range(12)))
    assert len(writer.rows) == make.reload(writer.feed).item_count == 14


keys = st.sampled_from("abcd")
rows = st.fixed_dictionaries({"t": st.sampled_from("xy")})
writes = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.dictionaries(keys, rows, min_size=1)),
        st.tuples(st.just("delete"), st.lists(keys, min_size=1)),
    ),
    max_size=6,
)


@given(writes)
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_rows_equal_the_model_after_any_writes(make: Factory, writes: list[tuple[str, object]]) -> None:
    writer = FeedWriter(make)
    model = writer.rows
    for operation, argument in writes:
        if operation == "put":
            assert isinstance(argument, dict)
            writer.put(argument)
            model |= argument
        else:
            assert isinstance(argument, list)
            writer.delete(*argument)
            model = {key: row for key, row in model.items() if key not in argument}
    assert writer.rows == model
    assert make.reload(writer.feed).item_count == len(model)

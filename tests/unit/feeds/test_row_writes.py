from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cwz_web.feeds import row_writes
from cwz_web.feeds.models import Feed
from cwz_web.feeds.queries import items_after, versions_of
from cwz_web.feeds.row_writes import Pushed, TooManyRowsError, delete_items, put_items
from tests.factories import Factory


class Till:
    """A shop that pushes rows."""

    def __init__(self, make: Factory) -> None:
        self.make = make
        self.feed = make.feed(make.workspace(), b"sku,title\n1,One\n2,Two\n")

    def put(self, rows: dict[str, dict[str, str]]) -> Pushed:
        with self.make.database.transaction(self.feed.workspace_id) as db:
            return put_items(db, db.get_one(Feed, (self.feed.workspace_id, self.feed.id)), rows)

    def delete(self, *keys: str) -> int:
        with self.make.database.transaction(self.feed.workspace_id) as db:
            return delete_items(db, db.get_one(Feed, (self.feed.workspace_id, self.feed.id)), keys)

    @property
    def rows(self) -> dict[str, dict[str, str]]:
        with self.make.database.transaction(self.feed.workspace_id) as db:
            return {item.key: item.data for item in items_after(db, self.feed, limit=10_000)}


def test_rows_are_added_changed_and_left_as_they_are(make: Factory) -> None:
    till = Till(make)
    same, other, new = {"sku": "2", "title": "Two"}, {"title": "Uno"}, {"title": "Nine", "color": "red"}
    pushed = till.put({"2": same, "1": other, "9": new})
    assert pushed == Pushed(added=1, changed=1, unchanged=1)
    assert till.rows == {"1": other, "2": same, "9": new}
    feed = make.reload(till.feed)
    assert (feed.item_count, feed.columns, feed.revision) == (3, ["sku", "title", "color"], 2)
    with make.database.transaction(till.feed.workspace_id) as db:
        assert [version.data for version in versions_of(db, feed, "1")] == [{"sku": "1", "title": "One"}]
    till.put({"2": {"sku": "2", "title": "Two"}})
    assert make.reload(till.feed).revision == 2, "nothing has changed"


def test_rows_are_removed(make: Factory) -> None:
    till = Till(make)
    assert till.delete("2", "nobody") == 1
    assert till.delete("2") == 0
    assert list(till.rows) == ["1"]
    feed = make.reload(till.feed)
    assert feed.item_count == 1
    with make.database.transaction(till.feed.workspace_id) as db:
        assert [version.removed for version in versions_of(db, feed, "2")] == [True]


def test_a_feed_is_not_filled_beyond_its_limits(make: Factory, monkeypatch: pytest.MonkeyPatch) -> None:
    till = Till(make)
    monkeypatch.setattr(row_writes, "MAX_ROWS", 3)
    with pytest.raises(TooManyRowsError, match="3 rows"):
        till.put({"8": {}, "9": {}})
    monkeypatch.setattr(row_writes, "MAX_COLUMNS", 2)
    with pytest.raises(TooManyRowsError, match="2 columns"):
        till.put({"1": {"third": "x"}})
    assert len(till.rows) == 2


def test_pushes_at_once_lose_nothing(make: Factory) -> None:
    till = Till(make)
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda n: till.put({f"n{n}": {"title": str(n)}, "1": {"title": str(n)}}), range(12)))
    assert len(till.rows) == make.reload(till.feed).item_count == 14


keys = st.sampled_from("abcd")
rows = st.fixed_dictionaries({"t": st.sampled_from("xy")})
pushes = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.dictionaries(keys, rows, min_size=1)),
        st.tuples(st.just("delete"), st.lists(keys, min_size=1)),
    ),
    max_size=6,
)


@given(pushes)
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_after_any_pushes_the_rows_are_what_was_pushed(make: Factory, pushes: list[tuple[str, object]]) -> None:
    till = Till(make)
    model = till.rows
    for what, given_ in pushes:
        if what == "put":
            assert isinstance(given_, dict)
            till.put(given_)
            model |= given_
        else:
            assert isinstance(given_, list)
            till.delete(*given_)
            model = {key: row for key, row in model.items() if key not in given_}
    assert till.rows == model
    assert make.reload(till.feed).item_count == len(model)

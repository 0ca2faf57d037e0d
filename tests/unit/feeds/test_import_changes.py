"""What imports have changed, while later ones change the same rows."""

import pytest

from cwz_web.feeds import import_changes, imports
from cwz_web.feeds.import_changes import ChangeKind, RowChange, list_changes
from cwz_web.feeds.models import AddedRow, FeedImport
from tests.factories import Factory
from tests.unit.feeds.test_imports import Shop, csv_of

ROWS = {"1": "Mug", "2": "Lamp", "3": "Bowl"}


def changes(shop: Shop, record: FeedImport, kind: ChangeKind) -> list[tuple[str, str | None, str | None]]:
    """Return the key and the title before and after each change."""
    with shop.make.database.transaction(shop.space.id) as db:
        found = list_changes(db, shop.get_feed(db), record, kind)
    return [(change.key, change.before.get("title"), (change.after or {}).get("title")) for change in found]


def test_changes_stay_those_of_their_import(make: Factory) -> None:
    shop = Shop(make, ROWS)
    second = shop.import_rows(csv_of({"1": "Mug", "2": "Lamp XL", "4": "Vase", "5": "Pot"}))
    third = shop.import_rows(csv_of({"1": "Mug", "2": "Lamp S", "4": "Vase XL"}))
    assert changes(shop, second, ChangeKind.CHANGED) == [("2", "Lamp", "Lamp XL")]
    assert changes(shop, second, ChangeKind.ADDED) == [("4", None, "Vase"), ("5", None, "Pot")]
    assert changes(shop, second, ChangeKind.REMOVED) == [("3", "Bowl", None)]
    assert changes(shop, third, ChangeKind.CHANGED) == [("2", "Lamp XL", "Lamp S"), ("4", "Vase", "Vase XL")]
    assert changes(shop, third, ChangeKind.REMOVED) == [("5", "Pot", None)]


def test_keys_of_added_rows_are_bounded_and_deleted_with_old_imports(
    make: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(import_changes, "MAX_ADDED", 2)
    monkeypatch.setattr(imports, "KEPT_REVISIONS", 1)
    shop = Shop(make, {"1": "Mug"})
    assert make.count(AddedRow, shop.space.id) == 0, "all rows of the first import are new"
    second = shop.import_rows(csv_of(ROWS | {"4": "Vase"}))
    assert [key for key, *_ in changes(shop, second, ChangeKind.ADDED)] == ["2", "3"]
    shop.import_rows(csv_of(ROWS | {"4": "Cup"}))
    assert len(changes(shop, second, ChangeKind.ADDED)) == 2
    shop.import_rows(csv_of(ROWS | {"4": "Pot"}))
    assert changes(shop, second, ChangeKind.ADDED) == []


def test_columns_that_differ() -> None:
    assert RowChange("1", {"a": "1", "b": "2"}, {"c": "3", "b": "2"}).changed_columns == ["c", "a"]

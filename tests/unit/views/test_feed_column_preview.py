"""The preview of an import says what numbers, prices and dates are read as."""

import pytest

from cwz_web.feeds.columns import Column, ColumnType, FeedSchema
from cwz_web.feeds.records import Table
from cwz_web.values.formats import UNKNOWN
from cwz_web.views.feed_column_preview import PreviewCell, preview_import


@pytest.mark.parametrize(
    ("type_", "text", "meaning"),
    [
        (ColumnType.NUMBER, "0.0001", ""),
        (ColumnType.NUMBER, "1234.56789", "1,234.56789"),
        (ColumnType.PRICE, "EUR 9.5", "9.5 EUR"),
        (ColumnType.DATE, "2026-09-05", "5 September 2026"),
        (ColumnType.TEXT, "1234.5", ""),
    ],
)
def test_meaning_has_all_digits_and_is_shown_if_it_differs(type_: ColumnType, text: str, meaning: str) -> None:
    schema = FeedSchema(columns={"value": Column(name="value", type=type_)})
    preview = preview_import(schema, Table(["value"], [{"value": text}]), {"value": UNKNOWN})
    assert preview.rows[0].cells == [PreviewCell(text, meaning)]

from datetime import date

import pytest
from babel import localedata
from babel.dates import format_date
from hypothesis import given, settings
from hypothesis import strategies as st

from cwz_web.values.dates import read_date
from cwz_web.values.formats import FormattedText, Unclear, ValueFormat, date_order_of

LOCALES = [name for name in sorted(localedata.locale_identifiers()) if name != "root"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("20240304", "2024-03-04"),
        ("20240304T101500Z", "2024-03-04"),
        ("2024-03-04", "2024-03-04"),
        ("2024-3-4", "2024-03-04"),
        ("2024/03/04 10:00", "2024-03-04"),
        ("2024-03-04T23:30:00.123+05:30", "2024-03-04"),
        ("2024-03-04 10:00:00 UTC", "2024-03-04"),
        ("2024. 3. 4.", "2024-03-04"),
        ("2024年3月4日", "2024-03-04"),
        ("2024년 3월 4일", "2024-03-04"),
        ("03/14/2024", "2024-03-14"),
        ("14/03/2024", "2024-03-14"),
        ("3/14/24 5:30 PM", "2024-03-14"),
        ("03/03/2024", "2024-03-03"),
        ("04.03.2024", "2024-03-04"),
        ("4. 3. 2024", "2024-03-04"),
        ("04.03.24", "2024-03-04"),
        ("04.03.69", "1969-03-04"),
        ("24 November 2026", "2026-11-24"),
        ("24. November 2026", "2026-11-24"),
        ("Nov 24, 2026", "2026-11-24"),
        ("24-Nov-2026", "2026-11-24"),
        ("1st of March 2024", "2024-03-01"),
        ("Tue, 24 Nov 2026 10:00:00 GMT", "2026-11-24"),
        ("Tuesday, November 24, 2026 at 5:30 PM", "2026-11-24"),
        ("٠٤.٠٣.٢٠٢٤", "2024-03-04"),
    ],
)
def test_date(value: str, expected: str) -> None:
    assert read_date(value) == date.fromisoformat(expected)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("", "not a date"),
        ("24", "not a date"),
        ("in spring", "not a date"),
        ("November 2026", "not a date"),
        ("12102024", "not a date"),
        ("20241304", "not a date"),
        ("1709510400", "not a date"),
        ("2024-02-30", "not a date of the calendar"),
        ("30/02/2024", "not a date of the calendar"),
        ("03/04/2024", "can be 4 March or 3 April"),
        ("03-04-2024", "can be 4 March or 3 April"),
        ("24/11/26", "can be"),
        ("1" * 200, "too long"),
    ],
)
def test_text_without_a_certain_date(value: str, reason: str) -> None:
    result = read_date(value)
    assert isinstance(result, Unclear)
    assert reason in result.reason


@pytest.mark.parametrize(
    ("value", "format", "expected"),
    [
        ("03/04/2024", {"date_order": "dmy"}, "2024-04-03"),
        ("03/04/2024", {"date_order": "mdy"}, "2024-03-04"),
        ("03/04/2024", {"locale": "en_GB"}, "2024-04-03"),
        ("03/04/2024", {"locale": "en_US"}, "2024-03-04"),
        ("24/11/26", {"date_order": "dmy"}, "2026-11-24"),
        ("24/11/26", {"date_order": "ymd"}, "2024-11-26"),
        ("03/14/2024", {"date_order": "dmy"}, "2024-03-14"),
        ("4 mars 2024", {"locale": "fr"}, "2024-03-04"),
        ("4 de marzo de 2024", {"locale": "es"}, "2024-03-04"),
        ("4 марта 2024 г.", {"locale": "ru"}, "2024-03-04"),
    ],
)
def test_format_decides_between_two_dates(value: str, format: dict[str, str], expected: str) -> None:
    assert read_date(FormattedText(value, ValueFormat.model_validate(format))) == date.fromisoformat(expected)


def test_month_names_of_the_output_are_known() -> None:
    assert read_date("4 mars 2024", hint="fr") == date(2024, 3, 4)


@settings(max_examples=300)
@given(st.sampled_from(LOCALES), st.dates(date(1900, 1, 1), date(2100, 12, 31)), st.sampled_from(["yyyy", "long"]))
def test_dates_of_a_locale_are_right_or_unclear(locale: str, value: date, style: str) -> None:
    order = {"dmy": "dd/MM/yyyy", "mdy": "MM/dd/yyyy", "ymd": "yyyy/MM/dd"}[date_order_of(locale)]
    rendered = format_date(value, order if style == "yyyy" else style, locale=locale)
    result = read_date(FormattedText(rendered, ValueFormat(locale=locale)))
    assert result == value or (style == "long" and isinstance(result, Unclear)), rendered


@given(st.text(max_size=60) | st.text(alphabet="0123456789/.-: TZ年月日marcjul²٣", max_size=30))
def test_any_text_is_read_or_unclear(value: str) -> None:
    assert isinstance(read_date(value), date | Unclear)

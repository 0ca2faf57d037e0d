import csv
import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cwz_web.spreadsheets import FORMULA_PREFIXES, csv_line, plain_cell


@given(st.one_of(st.text(), st.builds("{}{}".format, st.sampled_from(FORMULA_PREFIXES), st.text())))
def test_plain_cell_is_no_formula(value: str) -> None:
    cell = plain_cell(value)
    assert not cell.startswith(FORMULA_PREFIXES) or re.fullmatch(r"[+-][0-9.,eE%+-]+", cell)


@pytest.mark.parametrize("value", ["-5", "+5", "-1,234.50", "-1.234,5", "-5%", "+1e-3", "-0", "5"])
def test_number_stays_as_it_is(value: str) -> None:
    assert plain_cell(value) == value


@pytest.mark.parametrize(
    "value", ["-", "+", "-5-", "+1+1", "-5 ", "-5\n", "-1e", "--5", "-.", "-5+cmd", "−5\t=1", "-٣"]
)
def test_other_text_after_a_sign_is_escaped(value: str) -> None:
    escaped = value.replace("\t=", "\t'=")
    assert plain_cell(value) == (f"'{escaped}" if value.startswith(FORMULA_PREFIXES) else escaped)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("x;=HYPERLINK(1)", "x;'=HYPERLINK(1)"),
        ("x; @a", "x;' @a"),
        ("x\t+cmd", "x\t'+cmd"),
        ("red; -5; +1", "red; -5; +1"),
        ("a=b; c", "a=b; c"),
    ],
)
def test_formula_behind_another_separator_is_escaped(value: str, expected: str) -> None:
    assert plain_cell(value) == expected


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00")), min_size=1))
def test_written_line_is_read_back(values: list[str]) -> None:
    text = io.StringIO(csv_line(values).decode(), newline="")
    assert list(csv.reader(text)) == [[plain_cell(value) for value in values]]


def test_none_is_an_empty_cell() -> None:
    assert csv_line([1, None, "x"]) == b"1,,x\r\n"

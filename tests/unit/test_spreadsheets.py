import csv
import io

from hypothesis import given
from hypothesis import strategies as st

from cwz_web.spreadsheets import FORMULA_PREFIXES, csv_line, plain_cell


@given(st.text())
def test_plain_cell_is_never_a_formula(value: str) -> None:
    assert not plain_cell(value).startswith(FORMULA_PREFIXES)


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00")), min_size=1))
def test_written_line_is_read_back(values: list[str]) -> None:
    text = io.StringIO(csv_line(values).decode(), newline="")
    assert list(csv.reader(text)) == [[plain_cell(value) for value in values]]


def test_none_is_an_empty_cell() -> None:
    assert csv_line([1, None, "x"]) == b"1,,x\r\n"

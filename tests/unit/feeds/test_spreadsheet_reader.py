import io
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cwz_web.feeds.file_types import read_table
from cwz_web.feeds.limits import InvalidFileError
from cwz_web.feeds.number_formats import plain_number, show_number
from cwz_web.feeds.reading import ReadOptions
from cwz_web.feeds.records import Table
from cwz_web.feeds.temporary_files import temporary_file
from cwz_web.values.formats import is_json_number

DATA = Path(__file__).parents[2] / "data" / "feeds"


def read_file(name: str, **options: object) -> Table:
    """Read a spreadsheet of the test data."""
    with (DATA / name).open("rb") as file:
        return read_table(file, options=ReadOptions.model_validate(options))


def test_cells_of_xlsx_are_read_as_they_are_shown() -> None:
    table = read_file("products.xlsx")
    assert table.rows[0] == {
        "SKU": "00007",
        "Title": "Mug",
        "Price": "9.90 €",
        "Discount": "19.0%",
        "Valid from": "2026-03-04",
        "EAN": "4006381333931",
        "Weight": "0.33",
        "In stock": "TRUE",
        "Changed": "2026-03-04 12:30:00",
    }
    assert table.rows[1]["EAN"] == "0012345678905"
    assert is_json_number(table.rows[0]["Weight"])
    assert table.notes == ["The file has 2 sheets; “Products” was read", "1 line above the header was skipped"]
    assert table.reading is not None
    assert (table.reading.sheet, table.reading.sheets) == ("Products", ("Info", "Products", "Other"))
    assert table.reading.header_row == 3


def test_sheet_and_header_row_can_be_chosen() -> None:
    assert read_file("products.xlsx", sheet="Other").rows == [{"id": "1", "name": "x"}]
    assert read_file("products.xlsx", header_row=4).columns[:2] == ["00007", "Mug"]
    assert read_file("products.xls", header_row=0).rows[0]["Column 1"] == "SKU"
    with pytest.raises(InvalidFileError, match="no sheet “Prices”"):
        read_file("products.xlsx", sheet="Prices")


def test_xls_and_ods() -> None:
    assert read_file("products.xls").rows[0] == {
        "SKU": "0007",
        "Title": "Größe",
        "Price": "9.9",
        "Valid from": "2026-03-04",
    }
    assert read_file("products.ods").rows == [
        {"SKU": "00007", "Title": "Größe", "Price": "1234.50 EUR", "Discount": "19%", "Valid from": "2026-03-04"},
        {"SKU": "00042", "Title": "Lamp", "Price": "9.90 EUR", "Valid from": "2026-12-31"},
    ]


def sheet_file(rows: str) -> bytes:
    """Return an XLSX file whose sheet “Products” has other rows."""
    data = io.BytesIO()
    main = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
    with (
        zipfile.ZipFile(DATA / "products.xlsx") as original,
        zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        for name in original.namelist():
            sheet = f"<worksheet {main}><sheetData>{rows}</sheetData></worksheet>".encode()
            archive.writestr(name, sheet if name == "xl/worksheets/sheet2.xml" else original.read(name))
    return data.getvalue()


@pytest.mark.parametrize(
    "sheet",
    [
        '<row r="1"><c r="A1"><v>1</v></c></row><row r="1048576"><c r="XFD1048576"><v>1</v></c></row>',
        "<row><c><v>1</v></c></row>" + "x" * 1000,
        "<row><c><v>",
    ],
    ids=["far corner", "not XML", "cut off"],
)
def test_spreadsheets_that_cannot_be_read_are_rejected(sheet: str) -> None:
    with pytest.raises(InvalidFileError):
        read_table(temporary_file(sheet_file(sheet)), options=ReadOptions(sheet="Products"))


def test_damaged_spreadsheets_are_rejected() -> None:
    for name in ("products.xlsx", "products.xls"):
        data = (DATA / name).read_bytes()
        with pytest.raises(InvalidFileError):
            read_table(temporary_file(data[: len(data) // 2]))


@pytest.mark.parametrize(
    ("value", "code", "shown"),
    [
        (9.9, "0.00", "9.90"),
        (7, "00000", "00007"),
        (1234.5, '#,##0.00 "€"', "1234.50 €"),
        (1234.5, "#,##0.00\\ [$€-407]", "1234.50 €"),
        (-5, '"$"#,##0.00;("$"#,##0.00)', "-$5.00"),
        (-5, "0.00;[Red]0.00", "-5.00"),
        (0.19, "0%", "19%"),
        (0.205, "0.0%", "20.5%"),
        (12345678, "000-000-00", "123-456-78"),
        (1500000, "0.0,,", "1.5"),
        (1.5, "0.##", "1.5"),
        (2.0, "0.##", "2"),
        (0.1 + 0.2, "General", "0.3"),
        (4006381333931.0, None, "4006381333931"),
        (1e21, None, "1000000000000000000000"),
        (0.25, "# ?/?", "0.25"),
        (12345.0, "0.00E+00", "12345"),
        (0.0, "0.00", "0.00"),
        (-0.001, "0.00", "0.00"),
        (1e27, "0.00", f"1{'0' * 27}.00"),
        (-1.5e300, "0%", f"-15{'0' * 301}%"),
    ],
)
def test_numbers_in_their_formats(value: float, code: str | None, shown: str) -> None:
    assert show_number(value, code).text == shown


@given(st.floats(), st.text('0#?,.;%"€$-()[]E/ ', max_size=12))
def test_any_format_shows_a_text(value: float, code: str) -> None:
    assert isinstance(show_number(value, code).text, str)


@given(st.integers(-(10**14), 10**14))
def test_integers_are_shown_in_full(value: int) -> None:
    assert plain_number(float(value)) == str(value)


def test_row_size_is_limited() -> None:
    cell = f'<c t="inlineStr"><is><t>{"x" * 30_000}</t></is></c>'
    data = sheet_file(f"<row>{cell * 150}</row><row>{cell}</row>")
    with pytest.raises(InvalidFileError, match="larger than 4 MB"):
        read_table(temporary_file(data), options=ReadOptions(sheet="Products"))

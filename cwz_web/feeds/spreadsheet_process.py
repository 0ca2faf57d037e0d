"""A process that reads one sheet of a spreadsheet: XLSX, XLSB and XLS by calamine, ODS by its own reader.

A spreadsheet can expand to many times its size in memory, and a reader of it may abort on damaged files. The process
limits its own memory, time and output. It reads the file from its standard input and writes JSON to its standard
output: a line with the names of the sheets, then a line for each row, with its number and its cells. A cell is a text,
or a list with a number as text.

    python -m cwz_web.feeds.spreadsheet_process SHEET MAX_OUTPUT
"""

import datetime
import io
import json
import re
import resource
import sys
import zipfile
from collections.abc import Iterator
from typing import Any

from defusedxml.ElementTree import iterparse
from python_calamine import CalamineSheet, CalamineWorkbook, SheetTypeEnum, SheetVisibleEnum

from cwz_web.feeds.number_formats import BUILT_IN_FORMATS, is_plain, plain_number, show_number

MAX_MEMORY = 2 * 1024**3
MAX_SECONDS = 60
CHUNK = 1024 * 1024
MAX_ROWS = 1_048_576
MAX_COLUMNS = 16_384
OLE = b"\xd0\xcf\x11\xe0"
_cell = re.compile(rb"<(?:\w+:)?c\s([^>]*)>")
_reference = re.compile(rb"\br=\"([A-Z]{1,3})(\d{1,7})\"")
_style = re.compile(rb"\bs=\"(\d{1,6})\"")
_digits = re.compile(r"\d")

Cell = str | list[str]
Row = tuple[int, list[Cell]]


def main() -> None:
    """Read the file from the standard input and write the sheet's rows to the standard output."""
    chosen, max_output = sys.argv[1], int(sys.argv[2])
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, MAX_MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (MAX_SECONDS, MAX_SECONDS))
    resource.setrlimit(resource.RLIMIT_FSIZE, (max_output, max_output))
    data = sys.stdin.buffer.read()
    is_ods = not data.startswith(OLE) and "content.xml" in zipfile.ZipFile(io.BytesIO(data)).namelist()
    sheets, rows = _read_ods(data, chosen) if is_ods else _read_workbook(data, chosen)
    _write(sheets)
    for number, cells in rows:
        while cells and cells[-1] == "":
            cells.pop()
        if cells:
            _write([number, *cells])
    sys.stdout.flush()


def _write(value: Any) -> None:
    sys.stdout.write(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace").decode())
    sys.stdout.write("\n")


def _read_workbook(data: bytes, chosen: str) -> tuple[dict[str, Any], Iterator[Row]]:
    workbook = CalamineWorkbook.from_filelike(io.BytesIO(data))
    names = [
        sheet.name
        for sheet in workbook.sheets_metadata
        if sheet.typ == SheetTypeEnum.WorkSheet and sheet.visible == SheetVisibleEnum.Visible
    ] or workbook.sheet_names
    if chosen and (chosen in workbook.sheet_names or len(names) > 1):
        return {"sheets": names, "sheet": chosen}, _workbook_rows(data, workbook.get_sheet_by_name(chosen), chosen)
    sheets = [workbook.get_sheet_by_name(name) for name in names]
    filled = [sheet for sheet in sheets if sheet.height > 1]
    sheet = (filled or sheets)[0]
    return {"sheets": names, "sheet": sheet.name, "filled": len(filled)}, _workbook_rows(data, sheet, sheet.name)


def _workbook_rows(data: bytes, sheet: CalamineSheet, name: str) -> Iterator[Row]:
    first_row, first_column = sheet.start or (0, 0)
    formats = {} if data.startswith(OLE) else _cell_formats(data, name)
    for number, values in enumerate(sheet.iter_rows(), first_row):
        cells: list[Cell] = [""] * first_column
        row_formats = formats.get(number, {})
        for column, value in enumerate(values, first_column):
            cells.append(_shown(value, row_formats.get(column)))
        yield number + 1, cells


def _shown(value: Any, code: str | None) -> Cell:
    """Return a value as its cell shows it; dates in the form of ISO 8601."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, int | float):
        shown = show_number(value, code)
        return [shown.text] if shown.is_plain else shown.text
    if isinstance(value, datetime.datetime):
        is_date = value.time() == datetime.time()
        return value.date().isoformat() if is_date else value.replace(microsecond=0).isoformat(sep=" ")
    return str(value)


def _cell_formats(data: bytes, sheet: str) -> dict[int, dict[int, str]]:
    """Return the number formats of an XLSX sheet's cells by row and column, without General and dates."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if "xl/styles.xml" not in archive.namelist():
                return {}
            codes = _style_codes(archive)
            return _formats_of_cells(archive, _sheet_path(archive, sheet), codes) if any(codes) else {}
    except (KeyError, ValueError, SyntaxError):  # unusual parts: numbers are shown as they are
        return {}


def _style_codes(archive: zipfile.ZipFile) -> list[str | None]:
    """Return the format code of each cell style."""
    codes: dict[int, str] = dict(BUILT_IN_FORMATS)
    styles: list[str | None] = []
    is_inside = False
    with archive.open("xl/styles.xml") as file:
        for event, element in iterparse(file, events=("start", "end"), forbid_dtd=True):
            name = element.tag.rpartition("}")[2]
            if name == "cellXfs":
                is_inside = event == "start"
            elif event == "start" and name == "numFmt":
                codes[int(element.get("numFmtId", 0))] = element.get("formatCode", "")
            elif event == "start" and name == "xf" and is_inside:
                styles.append(codes.get(int(element.get("numFmtId", 0))))
    return styles


def _sheet_path(archive: zipfile.ZipFile, sheet: str) -> str:
    """Return the path of a sheet's part. Raises KeyError."""
    identifiers: dict[str, str] = {}
    with archive.open("xl/workbook.xml") as file:
        for _, element in iterparse(file, events=("end",), forbid_dtd=True):
            if element.tag.rpartition("}")[2] == "sheet":
                found = [value for key, value in element.attrib.items() if key.endswith("}id")]
                identifiers[element.get("name", "")] = found[0] if found else ""
    with archive.open("xl/_rels/workbook.xml.rels") as file:
        for _, element in iterparse(file, events=("end",), forbid_dtd=True):
            if element.get("Id") == identifiers[sheet]:
                target = str(element.get("Target", ""))
                return target.lstrip("/") if target.startswith("/") else f"xl/{target}"
    raise KeyError(sheet)


def _formats_of_cells(archive: zipfile.ZipFile, path: str, codes: list[str | None]) -> dict[int, dict[int, str]]:
    formats: dict[int, dict[int, str]] = {}
    rest = b""
    with archive.open(path) as file:
        while data := file.read(CHUNK):
            chunk = rest + data
            for match in _cell.finditer(chunk):
                style, reference = _style.search(match[1]), _reference.search(match[1])
                code = codes[int(style[1])] if style and int(style[1]) < len(codes) else None
                if code and reference:
                    formats.setdefault(int(reference[2]) - 1, {})[_column_number(reference[1])] = code
            start = chunk.rfind(b"<")
            rest = chunk[start:] if b">" not in chunk[start:] else b""
    return formats


def _column_number(letters: bytes) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + letter - 64
    return number - 1


def _read_ods(data: bytes, chosen: str) -> tuple[dict[str, Any], Iterator[Row]]:
    filled: dict[str, int] = {}
    for name, _, cells in _ods_rows(data):
        filled[name] = filled.get(name, 0) + (1 if any(cells) else 0)
    names = list(filled)
    if chosen and chosen not in filled:
        if len(filled) > 1:
            raise ValueError(chosen)
        chosen = ""
    with_rows = [name for name in names if filled[name] > 1]
    sheet = chosen or (with_rows or names)[0]
    rows = ((number, cells) for name, number, cells in _ods_rows(data) if name == sheet)
    return {"sheets": names, "sheet": sheet, "filled": len(with_rows)}, rows


def _ods_rows(data: bytes) -> Iterator[tuple[str, int, list[Cell]]]:
    """Yield the sheet, the number and the cells of each row of an ODS file (OpenDocument 1.3, part 3, 9)."""
    table, number = "", 0
    with zipfile.ZipFile(io.BytesIO(data)) as archive, archive.open("content.xml") as file:
        for event, element in iterparse(file, events=("start", "end"), forbid_dtd=True):
            name = element.tag.rpartition("}")[2]
            if event == "start":
                if name == "table":
                    table, number = _attribute(element, "name"), 0
                    yield table, 0, []
                continue
            if name != "table-row":
                continue
            repeated = min(int(_attribute(element, "number-rows-repeated") or 1), MAX_ROWS)
            cells = _ods_cells(element)
            for each in range(repeated if any(cells) else 0):
                yield table, number + each + 1, list(cells)
            number += repeated
            element.clear()


def _ods_cells(row: Any) -> list[Cell]:
    cells: list[Cell] = []
    for element in row:
        if element.tag.rpartition("}")[2] not in ("table-cell", "covered-table-cell"):
            continue
        repeated = min(int(_attribute(element, "number-columns-repeated") or 1), MAX_COLUMNS - len(cells))
        cells += [_ods_cell(element)] * repeated
    while cells and cells[-1] == "":
        cells.pop()
    return cells


def _ods_cell(cell: Any) -> Cell:
    """Return a cell as it is shown; a number with its shown decimals and a point."""
    kind = _attribute(cell, "value-type")
    paragraphs = [child for child in cell if child.tag.rpartition("}")[2] == "p"]
    text = "\n".join("".join(paragraph.itertext()) for paragraph in paragraphs)
    if kind == "date":
        return _attribute(cell, "date-value").removesuffix("T00:00:00").replace("T", " ")
    if kind not in ("float", "currency", "percentage"):
        return text
    value = float(_attribute(cell, "value"))
    number = _shown_decimals(value * 100 if kind == "percentage" else value, text)
    if kind == "percentage":
        return f"{number}%"
    currency = _attribute(cell, "currency")
    if currency:
        return f"{number} {currency}"
    return [number] if is_plain(number) else number


def _shown_decimals(value: float, text: str) -> str:
    """Return a number with the decimals and leading zeros that its text shows."""
    digits = "".join(_digits.findall(text))
    for decimals in range(16):
        shown = f"{value:.{decimals}f}"
        shown_digits = "".join(_digits.findall(shown))
        if digits == shown_digits:
            return shown
        if not decimals and digits and digits.lstrip("0") == shown_digits and value >= 0:
            return digits
    return plain_number(value)


def _attribute(element: Any, name: str) -> str:
    return next((str(value) for key, value in element.attrib.items() if key.rpartition("}")[2] == name), "")


if __name__ == "__main__":
    main()

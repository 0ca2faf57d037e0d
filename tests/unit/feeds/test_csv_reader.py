import codecs
import csv
import io
from contextlib import suppress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cwz_web.feeds import csv_lines, limits
from cwz_web.feeds.csv_dialect import detect_dialect
from cwz_web.feeds.csv_reader import csv_records
from cwz_web.feeds.limits import InvalidFileError
from cwz_web.feeds.reading import ReadOptions
from cwz_web.feeds.records import InvalidEntry, Table
from cwz_web.feeds.temporary_files import temporary_file


def read_csv(data: bytes) -> Table:
    """Read all valid rows of a CSV file."""
    records = csv_records(temporary_file(data))
    rows = [entry[1] for entry in records if not isinstance(entry, InvalidEntry)]
    return Table(records.columns, rows, records.notes)


def invalid_rows(data: bytes) -> list[tuple[int, str]]:
    """Return the line and the reason of each invalid row."""
    return [
        (entry.line, entry.reason) for entry in csv_records(temporary_file(data)) if isinstance(entry, InvalidEntry)
    ]


# Without backslashes: before a quotation mark they are read as escapes, as some shops write them.
cells = st.text(
    st.characters(codec="utf-8", exclude_characters="\x00\r\n\\", exclude_categories=["Zs", "Cc"]),
    min_size=1,
    max_size=12,
)


@given(st.lists(st.tuples(cells, cells, cells), min_size=1, max_size=8), st.sampled_from([",", ";", "\t", "|"]))
def test_written_rows_are_read_back(rows: list[tuple[str, ...]], delimiter: str) -> None:
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, quoting=csv.QUOTE_ALL)
    writer.writerows([("a", "b", "c"), *rows])
    table = read_csv(text.getvalue().encode())
    assert table.columns == ["a", "b", "c"]
    assert [tuple(row.get(name, "") for name in "abc") for row in table.rows] == [
        tuple(cell.strip() for cell in row) for row in rows
    ]


@pytest.mark.parametrize(
    "encode",
    [
        lambda text: text.encode(),
        lambda text: codecs.BOM_UTF8 + text.encode(),
        lambda text: text.encode("utf-16"),
        lambda text: codecs.BOM_UTF16_BE + text.encode("utf-16-be"),
        lambda text: text.encode("cp1252"),
    ],
    ids=["utf-8", "utf-8 with BOM", "utf-16", "utf-16 big endian", "windows"],
)
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_encodings_delimiters_and_line_ends(encode: object, delimiter: str, newline: str) -> None:
    lines = [["Größe", "Preis"], ["klein, rot", "9,90 €"], ["groß; blau", "12"]]
    text = newline.join(delimiter.join(f'"{cell}"' for cell in line) for line in lines)
    table = read_csv(encode(text))  # type: ignore[operator]
    assert table.rows == [{"Größe": "klein, rot", "Preis": "9,90 €"}, {"Größe": "groß; blau", "Preis": "12"}]


@pytest.mark.parametrize(
    ("encoding", "words"),
    [
        ("cp1251", "Кружка керамическая, синяя|Лампа настольная с абажуром|Миска для супа глубокая"),
        ("cp1253", "Κούπα κεραμική μπλε|Επιτραπέζιο φωτιστικό|Μπολ για σούπα βαθύ"),
        ("cp1255", "ספל קרמיקה כחול|מנורת שולחן עם אהיל|קערת מרק עמוקה"),
        ("cp1256", "كوب خزفي أزرق|مصباح طاولة|وعاء حساء عميق"),
        ("cp932", "青い陶器のマグカップ|テーブルランプ|深いスープボウル|花のための花瓶"),
        ("gb18030", "蓝色陶瓷杯子|带灯罩的台灯|深汤碗|花瓶|铁烛台|白色亚麻桌布，手工制作"),
        ("big5", "藍色陶瓷杯子|帶燈罩的檯燈|深湯碗|花瓶|鐵燭台|白色亞麻桌布，手工製作"),
        ("cp949", "파란 도자기 머그컵|갓이 있는 탁상 램프|깊은 수프 그릇"),
        ("utf-16-le", "Mug|Lamp"),
        ("utf-16-be", "Mug|Lamp"),
        ("cp1252", "Café «à l’été» – 5 €|Große Öllampe|Señor"),
    ],
)
def test_encodings_without_byte_order_mark(encoding: str, words: str) -> None:
    text = "id;name\n" + "".join(f"{number};{word}\n" for number, word in enumerate(words.split("|")))
    assert [row["name"] for row in read_csv(text.encode(encoding)).rows] == words.split("|")


@pytest.mark.parametrize("delimiter", ["^", "~", "\x1f"])
def test_rare_delimiters(delimiter: str) -> None:
    assert read_csv(f"id{delimiter}name\n1{delimiter}Mug\n".encode()).rows == [{"id": "1", "name": "Mug"}]


def test_separator_line_of_excel_is_not_the_header() -> None:
    assert read_csv(b"sep=;\r\nid;name\r\n1;Mug, blue\r\n").rows == [{"id": "1", "name": "Mug, blue"}]


@pytest.mark.parametrize("above", ["Report of sales,,\n,,\nof 2026,,\n", "# a remark\n\n# another one\n"])
def test_lines_above_the_header_are_ignored_and_noted(above: str) -> None:
    table = read_csv(f"{above}id,name,price\n1,Mug,2\n2,Lamp,3\n".encode())
    assert table.rows == [{"id": "1", "name": "Mug", "price": "2"}, {"id": "2", "name": "Lamp", "price": "3"}]
    assert any("above the header" in note for note in table.notes)


def test_table_with_mostly_one_cell_per_row_has_no_title_lines() -> None:
    assert read_csv(b"name,more\nMug\nLamp\nBowl,x\n").columns == ["name", "more"]
    assert read_csv(b"name\nMug,x\nLamp\nBowl\n").columns == ["name"]


def test_unclosed_quotation_mark_is_part_of_the_text_and_noted() -> None:
    table = read_csv(b'id,name\n1,Mug\n2,"Lamp\n3,Bowl\n')
    assert [row["name"] for row in table.rows] == ["Mug", '"Lamp', "Bowl"]
    assert table.notes == ["Line 3: a quotation mark is not closed and was read as part of the text"]


def test_line_breaks_and_quotes_in_a_cell() -> None:
    assert read_csv(b'a,b\n"one\n""two""",3\n').rows == [{"a": 'one\n"two"', "b": "3"}]


def test_single_column() -> None:
    assert read_csv(b"name\nAda\nGrace\n").rows == [{"name": "Ada"}, {"name": "Grace"}]


def test_column_names_are_stripped_numbered_and_unique() -> None:
    table = read_csv(b" Price ,,Price\n1,2,3\n")
    assert table.columns == ["Price", "Column 2", "Price (2)"]


def test_empty_columns_are_noted() -> None:
    table = read_csv(b"a,b,c\n1,,\n2,,,\n")
    assert table.columns == ["a"]
    assert any("2 empty columns are not shown" in note for note in table.notes)


def test_row_with_more_cells_than_the_header_is_invalid() -> None:
    data = b'id,title,price\n1,Mug,5\n2,"Lamp\nlarge",7\n3,Bowl, blue,9\n4,Vase,8\n'
    assert [row["id"] for row in read_csv(data).rows] == ["1", "2", "4"]
    assert invalid_rows(data) == [
        (5, "The row has 4 cells, but the header has 3; put cells that contain a “,” in quotation marks")
    ]


def test_column_without_header_is_numbered() -> None:
    """R and pandas write an index: every row has one cell more than the header."""
    assert read_csv(b"id,title\n1,Mug,red\n2,Lamp,blue\n").columns == ["id", "title", "Column 3"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty"),
        (b"\n , \n", "empty"),
        (b"a,b\n", "no rows of data"),
        (b"a,b\n,\n", "no rows of data"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "not a text file"),
        (b"a\x00b,c\n1,2", "not a text file"),
        (codecs.BOM_UTF16_LE + b"\x00\xd8", "no rows of data"),
        (b'a,b\n"' + b"x" * 200_000, "quotation mark is not closed"),
        (b",".join(b"c" for _ in range(600)) + b"\n1\n", "600 columns"),
    ],
)
def test_invalid_file_is_rejected_with_a_reason(data: bytes, message: str) -> None:
    with pytest.raises(InvalidFileError, match=message):
        read_csv(data)


def test_row_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_ROWS", 3)
    with pytest.raises(InvalidFileError, match="more than 3 rows"):
        read_csv(b"a\n1\n2\n3\n4\n")


@given(st.binary(max_size=400))
def test_any_bytes_are_read_or_rejected(data: bytes) -> None:
    with suppress(InvalidFileError):  # anything else fails the test
        assert read_csv(data).rows


CUT_OFF = "line 4, the last one, has 2 of 3 cells and no line end"


@pytest.mark.parametrize(
    ("data", "cut_off"),
    [
        (b"id,title,price\nA1,Sofa,9\nA2,Chair,19\nA3,Des", CUT_OFF),
        ("id,title,price\nA1,Sofa,9\nA2,Chair,19\nA3,Des".encode("utf-16"), CUT_OFF),
        (b"id,title,price\nA1,Sofa,9\nA2,Chair,19\nA3,Des\n", ""),
        (b"id,title,price\nA1,Sofa,9\nA2,Chair,19\nA3,Desk,", ""),
        (b"id,title,price\nA1,Sofa\nA2,Chair\nA3,Desk", ""),  # each row leaves out its empty cells
        (b"id,title,price\nA1,Sofa,9\nA2,Chair,19\n  ", ""),
        (b"id,title,price\nA1,Sofa,9\n", ""),
    ],
)
def test_last_row_that_looks_cut_off(data: bytes, cut_off: str) -> None:
    records = csv_records(temporary_file(data))
    list(records)
    assert records.cut_off == cut_off
    assert bool(cut_off) == any("cut off" in note for note in records.notes)


@pytest.mark.parametrize(("end", "has_line_end"), [("", False), ("\n", True), ("\r\n", True), ("\r", True)])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-le", "utf-16-be"])
def test_line_end_of_the_file(encoding: str, end: str, has_line_end: bool) -> None:
    assert csv_records(temporary_file(f"id,title\n1,Mug{end}".encode(encoding))).has_line_end == has_line_end


@pytest.mark.parametrize(
    ("data", "rows"),
    [
        ('1,"Sofa 24" breit",9', {"id": "1", "t": 'Sofa 24" breit', "p": "9"}),
        ('1,"Sofa 24"",9', {"id": "1", "t": 'Sofa 24"', "p": "9"}),
        ('1,"the "best" sofa",9', {"id": "1", "t": 'the "best" sofa', "p": "9"}),
        ('1,Sofa 24" breit,9', {"id": "1", "t": 'Sofa 24" breit', "p": "9"}),
        ('1, "Sofa, blue", 9', {"id": "1", "t": "Sofa, blue", "p": "9"}),
        ('1,"Sofa, blue" ,9', {"id": "1", "t": "Sofa, blue", "p": "9"}),
        ('1,"Sofa ""L""",9', {"id": "1", "t": 'Sofa "L"', "p": "9"}),
        (r'1,"Sofa \"L\", blue",9', {"id": "1", "t": 'Sofa "L", blue', "p": "9"}),
        (r'1,"C:\new\",9', {"id": "1", "t": "C:\\new\\", "p": "9"}),
        ('1,"two\nlines",9', {"id": "1", "t": "two\nlines", "p": "9"}),
    ],
)
@pytest.mark.parametrize("others", [0, 120])
def test_irregular_quotation_marks(data: str, rows: dict[str, str], others: int) -> None:
    """Also behind the lines from which the dialect is detected."""
    before = "".join(f"{number},Mug,{number}\n" for number in range(100, 100 + others))
    table = read_csv(f"id,t,p\n{before}{data}\n2,Lamp,3\n".encode())
    assert table.rows[-2:] == [rows, {"id": "2", "t": "Lamp", "p": "3"}]


def test_quotation_mark_that_is_not_closed_does_not_swallow_rows() -> None:
    table = read_csv(b'id,t,p\n1,"Sofa 24,9\n2,Table,3\n3,"Lamp, red",4\n4,Bowl,5\n')
    assert [row["id"] for row in table.rows] == ["1", "2", "3", "4"]
    assert table.rows[2]["t"] == "Lamp, red"


@pytest.mark.parametrize("bad", ['"bad, x "quote here, y', '"bad, x', '"bad "x" y'])
@pytest.mark.parametrize("number", [1, 30, 58, 59])
def test_row_with_a_bad_quotation_mark_is_the_only_invalid_one(bad: str, number: int) -> None:
    """The lines below have more delimiters than a row: theirs are inside quotation marks."""
    lines = [f'{each},"a, b"' for each in range(1, 60)]
    lines[number - 1] = f"{number},{bad}"
    records = csv_records(temporary_file("\n".join(["id,t", *lines, ""]).encode()))
    entries = list(records)
    valid = [entry[1]["id"] for entry in entries if not isinstance(entry, InvalidEntry)]
    others = [str(each) for each in range(1, 60) if each != number]
    assert [each for each in valid if each != str(number)] == others
    assert [entry.line for entry in entries if isinstance(entry, InvalidEntry)] in ([], [number + 1])
    assert not records.cut_off or number == 59


def test_mark_that_is_not_closed_loses_no_row_at_the_limit_of_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_lines, "MAX_ROW_BYTES", 1000)
    rows = [f"{number},Mug" for number in range(1000)]
    rows[60] = '60,"Sofa'
    table = read_csv("\n".join(["id,t", *rows, ""]).encode())
    assert [row["id"] for row in table.rows] == [str(number) for number in range(1000)]


def test_oversized_cell_leaves_out_its_row_only() -> None:
    long = "x" * 100_001
    data = f'id,t\n1,Mug\n2,{long}\n3,"{long}\nmore"\n4,Lamp\n'.encode()
    assert [row["id"] for row in read_csv(data).rows] == ["1", "4"]
    assert invalid_rows(data) == [(number, "A cell is longer than 100,000 characters") for number in (3, 4)]


def test_surplus_cells_are_kept_in_the_report() -> None:
    entries = csv_records(temporary_file(b"id,t\n1,Mug\n2,Lamp,red,5\n"))
    [invalid] = [entry for entry in entries if isinstance(entry, InvalidEntry)]
    assert invalid.row == {"id": "2", "t": "Lamp", "Column 3": "red", "Column 4": "5"}


@pytest.mark.parametrize("text", ["\t" * 200_000, ", " * 100_000, ",'" * 100_000, "' " * 100_000, "'" + " " * 200_000])
def test_dialect_is_detected_in_linear_time(text: str) -> None:
    """Each would take minutes in quadratic time."""
    assert detect_dialect(text, ReadOptions()).quote == '"'


@pytest.mark.parametrize(
    ("text", "columns", "note"),
    [
        (
            "Export of 2026\nid\ttitle\tprice\nA1\tSofa\t9,90\nA2\tChair\t19,9\n",
            ["id", "title", "price"],
            "1 line above",
        ),
        (
            "Shop;;;\nDatum;01.02.2026;;\n\nid;titel;uvp;lager\n1;a;2;3\n2;b;3;4\n",
            ["id", "titel", "uvp", "lager"],
            "2 lines",
        ),
        ("# made by x, on 2026-02-01, v2\n# more\nid,title,p\n1,Mug,2\n2,Lamp,3\n", ["id", "title", "p"], "2 lines"),
        ("#id,title,price\n1,Mug,2\n2,Lamp,3\n", ["id", "title", "price"], None),
        ("id,title,price\n# new ones\n1,Mug,2\n2,Lamp,3\n", ["id", "title", "price"], "1 comment line was skipped"),
        ("# Required | the id,# Required | a title\nid,title\n1,Mug\n2,Lamp\n", ["id", "title"], "1 line above"),
        ("id,title\n# Required | the id,# Required | a title\n1,Mug\n2,Lamp\n", ["id", "title"], "1 comment line"),
        ("id,title\n1,Mug\nid,title\n2,Lamp\n", ["id", "title"], "repeats the header"),
        ('"sep=;"\nid;title\n1;Mug\n2;Lamp\n', ["id", "title"], None),
        ("id;title, short;price, EUR\nA;So, fa;9,90\nB;Ch, air;8,50\n", ["id", "title, short", "price, EUR"], None),
        ("id;price;old\nA;9,90;12,50\nB;8,00;9,00\n", ["id", "price", "old"], None),
        ("id,tags,price\nA,a;b,1\nB,c;d,2\n", ["id", "tags", "price"], None),
        ("id|title\n1|a, b\n2|c, d\n", ["id", "title"], None),
        ("id,color\n1,#fff\n2,#000\n", ["id", "color"], None),
        ("'id','title'\n'1','Mug, blue'\n'2','Lamp'\n", ["id", "title"], None),
    ],
)
def test_header_and_delimiter(text: str, columns: list[str], note: str | None) -> None:
    table = read_csv(text.encode())
    assert table.columns == columns
    assert len(table.rows) == 2
    assert [True for each in table.notes if note and note in each] == ([True] if note else [])
    assert note or not table.notes


ROWS = "".join(f"{number},Mug,{number}.50\n" for number in range(20))
WIDE_ROWS = "".join(f"A{number},Mug,red,round,large\n" for number in range(20))


@pytest.mark.parametrize(
    ("above", "header", "body"),
    [
        ("Export, 2026\n", "id,name,price", ROWS),
        ("Shop, all products\n", "id,name,price", ROWS),
        ("Created by: Foo, Bar, Baz\n", "id,name,color,shape,size", WIDE_ROWS),
        ("Export, 2026-03-01, 12:30, admin\n", "id,name,color,shape,size", WIDE_ROWS),
        ("Export,2026,\n", "id,name,price", ROWS),
        ("Export, 2026\nPrices, EUR\n", "id,name,price", ROWS),
    ],
)
def test_title_lines_with_commas_are_skipped(above: str, header: str, body: str) -> None:
    table = read_csv(f"{above}{header}\n{body}".encode())
    assert table.columns == header.split(",")
    assert len(table.rows) == 20
    lines = above.count("\n")
    assert table.notes == [
        f"{lines} {'line' if lines == 1 else 'lines'} above the header {'was' if lines == 1 else 'were'} skipped"
    ]


@pytest.mark.parametrize(
    ("header", "body"),
    [
        ("id,title", "A,Mug,red\nB,Lamp,blue\n"),
        ("id,title", ROWS),
        ("id,name,", ROWS),
        ("id,title", "A,Mug,\nB,Lamp,9\n"),
    ],
)
def test_header_with_fewer_names_than_cells_is_kept(header: str, body: str) -> None:
    assert read_csv(f"{header}\n{body}".encode()).columns[:2] == header.split(",")[:2]


NO_HEADER = "The file has no header row: row 1 looks like the others; change it on the columns page"


@pytest.mark.parametrize(
    "row",
    [
        "SKU{0},Mug number {0},0.50,https://s.example/{0}.jpg",
        "https://s.example/{0}.jpg",
        "{0},Mug,9.9{0} €",
        "A-{0},red",
        "{0},https://s.example/{0}.jpg,Mug",
        "Mug;{0},99;2026-01-0{0}",
    ],
)
@pytest.mark.parametrize("count", [3, 20])
def test_file_without_a_header_row(row: str, count: int) -> None:
    table = read_csv("".join(row.format(number % 10) + "\n" for number in range(count)).encode())
    assert len(table.rows) == count
    assert table.columns[0] == "Column 1"
    assert table.notes == [NO_HEADER]


@pytest.mark.parametrize(
    ("header", "row", "is_doubtful"),
    [
        ("100,Mug,red", "{},Lamp,blue", True),
        ("2024,2025", "{},{}", True),
        ("A1,Mug,9.99,n/a", "A{},Lamp,{}.50,{}", True),
        ("sku,2024,2025", "A{},{},{}", False),
        ("id,image 1,image 2", "{},https://s.example/1.jpg,https://s.example/2.jpg", False),
        ("id,price", "{},9.99", False),
        ("name,color", "Mug,red", False),
    ],
)
def test_header_that_looks_like_data_is_used_and_noted(header: str, row: str, is_doubtful: bool) -> None:
    table = read_csv("\n".join([header, *(row.format(*[number] * 3) for number in range(5)), ""]).encode())
    assert table.columns == header.split(",")
    assert len(table.rows) == 5
    note = "Row 1 is used as the header although it looks like data; change it on the columns page"
    assert table.notes == ([note] if is_doubtful else [])


irregular = st.text(st.sampled_from('"",;\\\n ab#'), max_size=40)


@example(["\\;\\"] * 3 + ['"'])
@given(st.lists(irregular, max_size=6))
def test_rows_around_irregular_lines_are_read(lines: list[str]) -> None:
    """Whatever stands between them, no row is lost without a trace."""
    data = "\n".join(["id,t,p", "first,x,1", *lines, "last,y,2"]) + "\n"
    records = csv_records(temporary_file(data.encode()))
    try:
        entries = list(records)
    except InvalidFileError:
        return  # the file is refused, with a reason
    texts = [
        " ".join([*entry.row.values(), entry.reason] if isinstance(entry, InvalidEntry) else entry[1].values())
        for entry in entries
    ]
    assert any("first" in text for text in texts) or any("above the header" in note for note in records.notes)
    assert any("last" in text for text in texts) or records.cut_off or any("quotation mark" in text for text in texts)

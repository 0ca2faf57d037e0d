import pytest
from hypothesis import given
from hypothesis import strategies as st

from cwz_web.feeds.file_types import open_records, read_table
from cwz_web.feeds.limits import InvalidFileError
from cwz_web.feeds.reading import ReadOptions
from cwz_web.feeds.records import Table
from cwz_web.feeds.temporary_files import temporary_file
from cwz_web.feeds.xml_source import CHUNK, XmlSource

CORRECTED = ["Characters that XML does not allow, such as a bare “&”, were corrected"]


def read_xml(data: str | bytes, row_element: str | None = None) -> Table:
    content = data if isinstance(data, bytes) else data.encode()
    return read_table(temporary_file(content), options=ReadOptions(row_element=row_element))


@pytest.mark.parametrize(
    ("data", "rows"),
    [
        ("<s><p><id>1</id><t>x</t></p></s>", [{"id": "1", "t": "x"}]),
        (
            "<rss><channel><title>S</title><link>l</link><language>de</language><item><id>1</id></item></channel></rss>",
            [{"id": "1"}],
        ),
        ("<product><id>1</id><t>x</t></product>", [{"id": "1", "t": "x"}]),
        ("<s><product><id>1</id><img url='a'/><img url='b'/></product></s>", [{"id": "1", "img@url": "a, b"}]),
        (
            "<shop><name>S</name><url>u</url><cats><cat id='1'>A</cat><cat id='2'>B</cat><cat id='3'>C</cat></cats>"
            "<list><o><id>1</id><n>x</n></o><o><id>2</id><n>y</n></o></list></shop>",
            [{"id": "1", "n": "x"}, {"id": "2", "n": "y"}],
        ),
        (
            "<c><group name='a'><product><id>1</id><n>x</n></product><product><id>2</id><n>y</n></product></group>"
            "<group name='b'><product><id>3</id><n>z</n></product></group></c>",
            [{"id": "1", "n": "x"}, {"id": "2", "n": "y"}, {"id": "3", "n": "z"}],
        ),
        (
            "<orders><order><nr>1</nr><lines><line><sku>a</sku></line><line><sku>b</sku></line></lines></order>"
            "<order><nr>2</nr><lines><line><sku>c</sku></line></lines></order></orders>",
            [{"nr": "1", "lines.line.sku": "a, b"}, {"nr": "2", "lines.line.sku": "c"}],
        ),
        (
            "<r><row><field name='id'>1</field><field name='title'>x</field></row>"
            "<row><field name='id'>2</field></row></r>",
            [{"id": "1", "title": "x"}, {"id": "2"}],
        ),
        (
            "<s><p><price>5</price><param name='price'>old</param></p><p><price>6</price></p></s>",
            [{"price": "5", "param.price": "old"}, {"price": "6"}],
        ),
        (
            "<s><p><id>1</id><d>Soft <b>and</b> warm<p>Wash</p>it</d></p><p><id>2</id><d>x</d></p></s>",
            [{"id": "1", "d": "Soft and warm\nWash\nit"}, {"id": "2", "d": "x"}],
        ),
        (
            "<s><p><id>1</id><price>10<currency>EUR</currency></price></p><p><id>2</id></p></s>",
            [{"id": "1", "price": "10", "price.currency": "EUR"}, {"id": "2"}],
        ),
        (
            "<feed><entry><id>1</id><link href='a'/><link rel='enclosure' href='b'/></entry>"
            "<entry><id>2</id></entry></feed>",
            [{"id": "1", "link@href": "a", "link.enclosure@href": "b"}, {"id": "2"}],
        ),
    ],
)
def test_rows_and_columns_by_structure(data: str, rows: list[dict[str, str]]) -> None:
    assert read_xml(data).rows == rows


def test_nesting_is_limited_before_the_outline_has_a_path_for_each_level() -> None:
    with pytest.raises(InvalidFileError, match="nested deeper than 50 levels"):
        open_records(temporary_file(b"<r><item><id>1</id></item>" + b"<a>" * 1000 + b"</a>" * 1000 + b"</r>"))


def test_blanks_in_markup_take_linear_time() -> None:
    """They would take minutes in quadratic time."""
    blanks = " " * 400_000
    data = f"<s><item><id>1</id><d>a<p>{blanks}b  c</p>{blanks}\n\n{blanks}d</d></item></s>"
    assert read_xml(data).rows == [{"id": "1", "d": "a\nb  c\nd"}]
    data = f"<s><item><id>1</id><d>a<p>b{blanks}c</p></d></item><item><id>2</id></item></s>"
    assert read_xml(data).rows == [{"id": "2"}]


def test_row_element_can_be_chosen() -> None:
    lines = "<line><sku>a</sku><q>1</q></line><line><sku>b</sku><q>2</q></line>"
    data = f"<o><order><nr>1</nr><d>x</d><c>y</c>{lines}</order></o>"
    table = read_xml(data)
    assert table.reading is not None
    assert table.reading.row_element == "o/order"
    assert "o/order/line" in table.reading.row_elements
    assert read_xml(data, "o/order/line").rows == [{"sku": "a", "q": "1"}, {"sku": "b", "q": "2"}]
    with pytest.raises(InvalidFileError, match="no <other>"):
        read_xml(data, "o/other")


def test_prefix_is_kept_where_names_would_collide() -> None:
    data = (
        "<rss xmlns:itunes='http://www.itunes.com/dtds/podcast-1.0.dtd' xmlns:m='urn:m'><channel>"
        "<item><title>A</title><itunes:title>B</itunes:title><m:stock>3</m:stock></item>"
        "<item><itunes:title>D</itunes:title><title>C</title></item></channel></rss>"
    )
    assert read_xml(data).rows == [
        {"title": "A", "itunes:title": "B", "stock": "3"},
        {"itunes:title": "D", "title": "C"},
    ]


@pytest.mark.parametrize(
    "doctype",
    [
        '<!DOCTYPE rss PUBLIC "-//Netscape Communications//DTD RSS 0.91//EN" "http://my.netscape.com/rss-0.91.dtd">',
        '<!DOCTYPE yml_catalog SYSTEM "file:///etc/passwd">',
        "<!DOCTYPE catalog>",
    ],
)
def test_doctype_without_internal_subset_is_ignored(doctype: str) -> None:
    assert len(read_xml(f"{doctype}<r><item><id>1</id></item><item><id>2</id></item></r>").rows) == 2


@pytest.mark.parametrize(
    ("text", "read", "notes"),
    [
        ("a &amp; b &#233; &#xe9; &lt;", "a & b é é <", []),
        ("Tom&nbsp;&amp;&nbsp;Co", "Tom\u00a0&\u00a0Co", CORRECTED),
        ("Tom & Co", "Tom & Co", CORRECTED),
        ("R&D, https://s.example/?a=1&b=2", "R&D, https://s.example/?a=1&b=2", CORRECTED),
        ("&eacute;&unknown;", "é&unknown;", CORRECTED),
        ("<![CDATA[a & b &nbsp; <i>]]>", "a & b &nbsp; <i>", []),
        ("<!-- a & b -->x", "x", []),
        ("a\x0bb", "ab", CORRECTED),
    ],
)
def test_entities_and_characters_that_are_not_xml(text: str, read: str, notes: list[str]) -> None:
    table = read_xml(f"<r><item><t>{text}</t></item><item><t>y</t></item></r>")
    assert table.rows[0]["t"] == read
    assert table.notes == notes


TOKENS = ["&", "&amp;", "&nbsp;", "<![CDATA[&]]>", "<!-- & -->", "x", "é", " "]


@given(st.lists(st.sampled_from(TOKENS), max_size=20), st.integers(0, 70))
def test_corrections_do_not_depend_on_the_chunks_that_are_read(parts: list[str], before: int) -> None:
    """A token may begin in one chunk and end in the next one."""
    text = "".join(parts)
    padding = "<!--" + "y" * (CHUNK - before - 20) + "-->"
    short = f"<r><item><t>{text}</t></item><item><t>z</t></item></r>"
    long = f"<r>{padding}<item><t>{text}</t></item><item><t>z</t></item></r>"
    assert read_xml(short).rows == read_xml(long).rows


@pytest.mark.parametrize("start", ["\n", " \r\n\t", "\ufeff", "\ufeff\n"])
def test_blanks_before_the_declaration(start: str) -> None:
    data = f'{start}<?xml version="1.0" encoding="utf-8"?>\n<r><item><t>é</t></item><item><t>y</t></item></r>'
    assert read_xml(data).rows[0] == {"t": "é"}


@pytest.mark.parametrize(
    ("declared", "actual", "text"),
    [
        ("shift_jis", "cp932", "青いマグカップ"),
        ("GB2312", "gb18030", "蓝色陶瓷杯子"),
        ("big5", "big5", "藍色陶瓷杯子"),
        ("euc-kr", "euc_kr", "파란 도자기 머그컵"),
        ("windows-1251", "cp1251", "Кружка"),
        ("iso-8859-1", "latin-1", "Größe"),
        ("utf-16", "utf-16", "Größe"),
        ("utf-8", "cp1252", "Jacke Größe L"),
        ("windows-1251", "utf-8", "Кружка"),
        ("iso-8859-1", "utf-8", "Jacke Größe L"),
        ("utf-16", "utf-8", "Jacke Größe L"),
    ],
)
def test_declared_and_actual_encoding(declared: str, actual: str, text: str) -> None:
    data = f'<?xml version="1.0" encoding="{declared}"?><r><item><t>{text}</t></item><item><t>x</t></item></r>'
    assert read_xml(data.encode(actual)).rows[0]["t"] == text


@pytest.mark.parametrize(
    "declared", ["foo-8", "ansi", "x-unknown", "base64", "rot13", "idna", "undefined", "utf-7", "hex"]
)
@pytest.mark.parametrize(
    ("actual", "text"), [("utf-8", "Größe für Bücher"), ("cp1252", "Größe für schöne Bücher"), ("ascii", "Mug")]
)
def test_unknown_declared_encoding_is_detected_and_noted(declared: str, actual: str, text: str) -> None:
    xml = f'<?xml version="1.0" encoding="{declared}"?><r><item><t>{text}</t></item><item><t>y</t></item></r>'
    table = read_table(temporary_file(xml.encode(actual)))
    assert table.rows[0] == {"t": text}
    used = "utf-8" if actual == "ascii" else actual
    assert table.notes == [f"The file declares the encoding “{declared}” but is in {used}"]


@pytest.mark.parametrize("declaration", ["", '<?xml version="1.0" encoding="utf-16"?>\n', '<?xml version="1.0"?>'])
@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf16_without_byte_order_mark(declaration: str, encoding: str) -> None:
    text = "Большая синяя кружка из фарфора с золотой каймой " * 5
    xml = f"{declaration}<r><item><t>{text}</t></item><item><t>{text}</t></item></r>"
    assert read_table(temporary_file(xml.encode(encoding))).rows == [{"t": text.strip()}] * 2


def test_damaged_utf8_is_noted() -> None:
    table = read_xml("<r><item><t>Größe ä</t></item>\n<item><t>ü".encode() + b"\xff</t></item></r>")
    assert table.rows[1]["t"] == "ü\ufffd"
    assert table.notes == ["Line 2: a byte is not UTF-8 and was replaced by “\ufffd”"]


def test_many_labels_do_not_exceed_the_columns() -> None:
    params = "".join(f"<param name='n{number}'>{number}</param>" for number in range(600))
    table = read_xml(f"<s><offer><id>1</id>{params}</offer><offer><id>2</id></offer></s>")
    assert len(table.columns) < 250
    assert "599" in table.rows[0]["param"]


@given(st.binary(max_size=200))
def test_any_source_is_read_to_its_end(data: bytes) -> None:
    try:
        source = XmlSource(temporary_file(b"<a>" + data), ReadOptions())
    except InvalidFileError:
        return
    while source.read(16):
        pass

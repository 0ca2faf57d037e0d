import gzip
import json
import resource
import time
import zlib
from contextlib import suppress
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cwz_web.feeds import file_types
from cwz_web.feeds.limits import InvalidFileError
from cwz_web.feeds.records import InvalidEntry, Table
from cwz_web.feeds.temporary_files import temporary_file


def read_table(data: bytes) -> Table:
    """Read all valid rows of a file of any format."""
    return file_types.read_table(temporary_file(data))


ROWS = [{"id": "1", "title": "Mug"}, {"id": "2", "title": "Lamp"}]
GOOGLE = b"""<?xml version="1.0"?>
<rss version="2.0" xmlns:g="http://base.google.com/ns/1.0"><channel><title>Shop</title><link>https://example.org</link>
<item><g:id>1</g:id><title>Mug &amp; plate</title><g:price>24.00 EUR</g:price>
<g:additional_image_link>https://example.org/a.jpg</g:additional_image_link>
<g:additional_image_link>https://example.org/b.jpg</g:additional_image_link>
<g:shipping><g:country>DE</g:country><g:price>4.90 EUR</g:price></g:shipping></item>
<item><g:id>2</g:id><title><![CDATA[<b>Lamp</b>]]></title><g:price>64.00 EUR</g:price></item>
</channel></rss>"""
ATOM = b"""<feed xmlns="http://www.w3.org/2005/Atom" xmlns:g="http://base.google.com/ns/1.0"><title>Shop</title>
<entry><g:id>1</g:id><title>Mug</title><link href="https://example.org/1"/></entry>
<entry><g:id>2</g:id><title>Lamp</title><link href="https://example.org/2"/></entry></feed>"""
CUSTOM = b"""<shop><meta><name>Shop</name></meta><articles>
<article nr="1"><name>Mug</name><price currency="EUR">24</price></article>
<article nr="2"><name>Lamp</name><price currency="EUR">64</price></article></articles></shop>"""


@pytest.mark.parametrize(
    "data",
    [
        b"id,title\n1,Mug\n2,Lamp\n",
        b"id\ttitle\n1\tMug\n2\tLamp\n",
        json.dumps(ROWS).encode(),
        json.dumps(ROWS, indent=2).encode(),
        b"\xef\xbb\xbf" + json.dumps(ROWS).encode(),
        json.dumps(ROWS).encode("utf-16"),
        json.dumps({"shop": "x", "products": ROWS}).encode(),
        json.dumps({"products": ROWS}, indent=1).encode(),
        json.dumps({"a": {"b": {"items": ROWS}}}).encode(),
        b'{"id": "1", "title": "Mug"}\n{"id": "2", "title": "Lamp"}\n',
        b'{"id": "1", "title": "Mug"}\r\n\r\n{"id": "2", "title": "Lamp"}',
        gzip.compress(b"id,title\n1,Mug\n2,Lamp\n", mtime=0),
        b"<list><row><id>1</id><title>Mug</title></row><row><id>2</id><title>Lamp</title></row></list>",
    ],
    ids=lambda data: repr(data[:24]),
)
def test_same_rows_in_every_format(data: bytes) -> None:
    table = read_table(data)
    assert table.rows == ROWS
    assert table.columns == ["id", "title"]


def test_google_merchant_feed() -> None:
    table = read_table(GOOGLE)
    assert table.rows[0] == {
        "g:id": "1",
        "title": "Mug & plate",
        "g:price": "24.00 EUR",
        "g:additional_image_link": "https://example.org/a.jpg, https://example.org/b.jpg",
        "g:shipping.g:country": "DE",
        "g:shipping.g:price": "4.90 EUR",
    }
    assert table.rows[1]["title"] == "<b>Lamp</b>"


def test_atom_feed_and_custom_xml() -> None:
    assert [row["link@href"] for row in read_table(ATOM).rows] == ["https://example.org/1", "https://example.org/2"]
    assert read_table(CUSTOM).rows[1] == {"@nr": "2", "name": "Lamp", "price": "64", "price@currency": "EUR"}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "iso-8859-1"])
def test_xml_encodings(encoding: str) -> None:
    text = f'<?xml version="1.0" encoding="{encoding}"?><l><row><t>Größe</t></row><row><t>Maß</t></row></l>'
    assert [row["t"] for row in read_table(text.encode(encoding)).rows] == ["Größe", "Maß"]


def test_nested_json_gets_dotted_names() -> None:
    record: dict[str, Any] = {
        "id": 7,
        "price": {"amount": 19.90, "currency": "EUR"},
        "tags": ["new", "blue", 3],
        "images": [{"src": "https://example.org/a.jpg"}, {"src": "https://example.org/b.jpg"}],
        "sold_out": False,
        "nothing": None,
        "empty": [],
    }
    assert read_table(json.dumps([record]).encode()).rows == [
        {
            "id": "7",
            "price.amount": "19.9",
            "price.currency": "EUR",
            "tags": "new, blue, 3",
            "images.src": "https://example.org/a.jpg",
            "images": '[{"src": "https://example.org/a.jpg"}, {"src": "https://example.org/b.jpg"}]',
            "sold_out": "false",
        }
    ]


@pytest.mark.parametrize("number", ["19.90", "1e3", "12345678901234567890", "0.1", "-5"])
def test_json_numbers_are_not_rounded(number: str) -> None:
    for file in (f'[{{"n": {number}}}]', f'{{"n": {number}}}\n{{"n": 1}}\n'):
        assert Decimal(read_table(file.encode()).rows[0]["n"]) == Decimal(number)


def test_json_columns_are_in_order_of_appearance() -> None:
    table = read_table(b'[{"b": 1, "a": 2}, {"c": 3, "a": 4}]')
    assert table.columns == ["b", "a", "c"]


BILLION_LAUGHS = (
    b'<!DOCTYPE l [<!ENTITY a "ha">'
    + b"".join(b'<!ENTITY %c "%s">' % (98 + n, b"&%c;" % (97 + n) * 10) for n in range(9))
    + b"]><l><row><t>&j;</t></row><row><t>x</t></row></l>"
)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (BILLION_LAUGHS, "DTD or entities"),
        (b"<!DOCTYPE l [<!ELEMENT l ANY>]><l><row><t>1</t></row></l>", "DTD or entities"),
        (b'<!DOCTYPE l [<!ENTITY x SYSTEM "file:///etc/passwd">]><l><row><t>&x;</t></row></l>', "DTD or entities"),
        (b"<l><row><t>1</t></row><row><t>2</row></l>", "not valid XML"),
        (b'<?xml version="1.0" encoding="klingon"?><l><row/></l>', "no repeated element"),
        (b"<shop><name>x</name></shop>", "no repeated element"),
        (b"<!DOCTYPE html><html><body>Sign in</body></html>", "web page"),
        (b"\n <HTML><body>", "web page"),
        (b"[1, 2, 3]", "no list of objects"),
        (b'{"a": [1, 2]}', "no list of objects"),
        (b'[{"a": 1}, {"b": ', "not valid JSON"),
        # These crashed the process inside the parser (ijson 3.6).
        (b"[" + b"1" * 4_000_000, "more than 4,300 digits"),
        (b'[{"a": "' + b" " * 65_000 + b'", "b": -' + b"1" * 4301 + b"}]", "more than 4,300 digits"),
        (b'[{"a": 1e1111111111111111111}]', "number that cannot be parsed"),
        (b"[" * 100_000, "JSON"),
        (b'{"a": ' * 100_000, "JSON"),
        (b'{"a": 1}\n{"a": ', "ends in the middle of line 2"),
        (b'{"a": \n{"b": \n', "JSON"),
        (b'[{"a": "' + b"x" * 100_001 + b'"}]', "longer than 100,000 characters"),
        (b"PK\x03\x04 spreadsheet", "zip file is damaged"),
        (b"%PDF-1.7", "PDF"),
        (gzip.compress(b"id\n1\n", mtime=0)[:-6], "end is missing"),
        (b"\x1f\x8b nonsense", "damaged"),
        (b"", "empty"),
    ],
    ids=lambda value: repr(value[:20]) if isinstance(value, bytes) else None,
)
def test_invalid_file_is_rejected_quickly_with_a_reason(data: bytes, message: str) -> None:
    started = time.perf_counter()
    with pytest.raises(InvalidFileError, match=message):
        read_table(data)
    assert time.perf_counter() - started < 10


@pytest.mark.parametrize(
    ("data", "line", "reason"),
    [
        (b'{"a": 1}\n{"a": \n{"a": 3}\n', 2, "not valid JSON"),
        (b'{"a": 1}\n{"a": NaN}\n{"a": 3}\n', 2, "not valid JSON"),
        (b'{"a": 1}\n{"a": ' + b"1" * 4301 + b'}\n{"a": 3}\n', 2, "not valid JSON"),
        (b'{"a": 1}\n{"a": 1e1111111111111111111}\n{"a": 3}\n', 2, "not valid JSON"),
        (b'{"a": 1}\n{"b": 2}\n\n[3]\n', 4, "not a JSON object"),
        (b'[{"a": 1}, 2, {"a": 3}]', 2, "not an object"),
        (b'[{"a": 1}, {"a": "' + b"x" * 100_001 + b'"}]', 2, "“a” is longer than 100,000 characters"),
        (b"<l><row><t>1</t></row><row><t>" + b"x" * 100_001 + b"</t></row></l>", 2, "“t” is longer than 100,000"),
    ],
    ids=[
        "line",
        "NaN",
        "many digits",
        "large exponent",
        "no object",
        "number in a list",
        "long cell",
        "long element",
    ],
)
def test_invalid_row_does_not_stop_the_others(data: bytes, line: int, reason: str) -> None:
    [invalid] = [entry for entry in file_types.open_records(temporary_file(data)) if isinstance(entry, InvalidEntry)]
    assert invalid.line == line
    assert reason in invalid.reason
    assert read_table(data).rows


@pytest.fixture
def low_row_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limit a row to 1 MB, so that the files of these tests are small."""
    for module in ("csv_lines", "json_reader", "limits"):
        monkeypatch.setattr(f"cwz_web.feeds.{module}.MAX_ROW_BYTES", 1024 * 1024)


LARGE = 1_200_000


@pytest.mark.parametrize(
    "data",
    [
        b'[{"a": 1}, {"a": [' + b'{"": 1},' * (LARGE // 8) + b"1]}]",
        b'[{"a": 1}, [' + b'"x",' * (LARGE // 4) + b'"x"]]',
        b'[{"a": 1}, {"a": "' + b"x" * LARGE + b'"}]',
        b'[{"a": 1}, {"a": "' + b'\\"' * (LARGE // 2) + b'"}]',
        b'[{"a": 1}], "other": "' + b"x" * LARGE + b'"}]',
        b'{"a": 1}\n{"a": [' + b"1," * (LARGE // 2) + b"1]}\n",
        b"<r><item><a>1</a></item><item>" + b"<a/>" * (LARGE // 4) + b"</item></r>",
        b"<r><item><a>1</a></item><item><a>" + b"x" * LARGE + b"</a></item></r>",
        b"<r><item><a>1</a></item>" + b"x" * LARGE + b"</r>",
        b"a,b\n1,2\n" + b"1," * (LARGE // 2) + b"\n",
        b"a,b\n1,2\n" + b'"a\n",' * (LARGE // 5) + b"\n",
    ],
    ids=["json", "list", "text", "escapes", "text outside", "line", "xml", "xml text", "xml outside", "csv", "quoted"],
)
@pytest.mark.usefixtures("low_row_limit")
def test_row_size_limit(data: bytes) -> None:
    """A gzip file of half a megabyte with a single row of 512 MB must not exhaust the memory."""
    with pytest.raises(InvalidFileError, match=r"row is larger than 1 MB|not valid JSON"):
        read_table(data)


def test_row_of_five_megabytes_is_rejected() -> None:
    with pytest.raises(InvalidFileError, match="row is larger than 4 MB"):
        read_table(b'[{"a": 1}, {"a": "' + b"x" * 5 * 1024 * 1024 + b'"}]')


@pytest.mark.usefixtures("low_row_limit")
def test_data_outside_of_rows_may_be_larger() -> None:
    other, rows = b'"other": [' + b'"x",' * (LARGE // 4) + b'"x"]', b'"rows": [{"a": 1}]'
    for file in (b"{%s, %s}" % (other, rows), b"{%s, %s}" % (rows, other)):
        assert read_table(file).rows == [{"a": "1"}]
    other = b"<o>%s</o>" % (b"x" * 400) * (LARGE // 400)
    for file in (b"<r>%s<item><a>1</a></item></r>" % other, b"<r><item><a>1</a></item>%s</r>" % other):
        assert read_table(file).rows == [{"a": "1"}]


def test_empty_rows_below_a_table_are_ignored() -> None:
    """Excel writes all rows of a sheet that were ever edited."""
    assert read_table(b"a,b,c,d,e\n1,2,3,4,5\n" + b",,,,\n" * 100_000).rows == [
        dict(zip("abcde", "12345", strict=True))
    ]


def test_one_of_many_lists_of_objects_is_chosen() -> None:
    others = b",".join(b'"list %d": [{"a": %d}]' % (number, number) for number in range(2000))
    assert read_table(b"{%s}" % others).rows == [{"a": "0"}]


def test_endlessly_nested_xml_is_rejected() -> None:
    with pytest.raises(InvalidFileError, match="nested deeper than 50 levels"):
        read_table(b"<r><item><a>1</a></item>" + b"<x>" * 5_000)


def test_empty_rows_count_towards_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cwz_web.feeds.limits.MAX_ROWS", 3)
    for file in (
        b'[{"a": 1}, {}, {}, {}]',
        b'{"a": 1}\n{"a": 1}\n' + b"\n" * 4,
        b"a,b\n1,2\n" + b",\n" * 4,
        b"<r><item><a>1</a></item>%s</r>" % (b"<item/>" * 3),
    ):
        with pytest.raises(InvalidFileError, match="more than 3 rows"):
            read_table(file)


def test_sample_of_incomplete_file() -> None:
    table = file_types.read_sample(temporary_file(b'[{"a": 1}, {"a": 2}, {"a": '), 100)
    assert [row["a"] for row in table.rows] == ["1", "2"]
    table = file_types.read_sample(temporary_file(b"<l><row><t>1</t></row><row><t>2</t></row><row><t>"), 100)
    assert [row["t"] for row in table.rows] == ["1", "2"]
    for incomplete in (b"", b"[", b"<l><ro"):
        with pytest.raises(InvalidFileError):
            file_types.read_sample(temporary_file(incomplete), 100)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_truncated_file_has_no_partial_characters(encoding: str) -> None:
    whole = "name\n" + "Größe\n" * 50
    for size in range(40, 60):
        table = file_types.read_sample(file_types.truncate_to_line(temporary_file(whole.encode(encoding)[:size])), 100)
        assert {row["name"] for row in table.rows[:-1]} == {"Größe"}


def test_truncated_gzip_file_is_decompressed_up_to_a_limit() -> None:
    compressed = gzip.compress(b"name\n" + b"Lamp\n" * 10_000_000, mtime=0)
    start = file_types.truncate_to_line(temporary_file(compressed[:20_000]))
    assert 1_000_000 < start.seek(0, 2) < 10_000_000
    assert {row["name"] for row in file_types.read_sample(start, 100).rows} == {"Lamp"}


def test_gzip_bomb_is_rejected_with_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cwz_web.feeds.archives.MAX_BYTES", 100 * 1024 * 1024)
    compressor = zlib.compressobj(9, wbits=zlib.MAX_WBITS | 16)
    bomb = b"".join(compressor.compress(bytes(1024 * 1024)) for _ in range(150)) + compressor.flush()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(InvalidFileError, match="larger than 100 MB when decompressed"):
        read_table(bomb)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000


def test_too_large_file_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_types, "MAX_BYTES", 5)
    with pytest.raises(InvalidFileError, match="larger than"):
        read_table(b"id\n1\n2\n")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=12,
)


@given(st.lists(st.dictionaries(st.text(max_size=6), json_values, max_size=4), max_size=5))
def test_any_json_is_read_or_rejected(records: list[dict[str, Any]]) -> None:
    with suppress(InvalidFileError):
        for row in read_table(json.dumps(records).encode()).rows:
            assert all(isinstance(value, str) and value for value in row.values())


@given(st.sampled_from([b"<", b"[", b"{", b"\x1f\x8b", b"PK", b""]), st.binary(max_size=300))
def test_any_bytes_are_read_or_rejected(start: bytes, rest: bytes) -> None:
    with suppress(InvalidFileError):
        assert read_table(start + rest).rows

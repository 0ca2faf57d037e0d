"""Feeds of channels: what is written, what is held back, and what is found."""

import csv
import gzip
import io
from dataclasses import replace
from hashlib import sha256

import pytest
from defusedxml import ElementTree
from hypothesis import given
from hypothesis import strategies as st

from cwz_web.channels import feed
from cwz_web.channels.feed import FeedSettings, FeedTooLargeError, write_feed
from cwz_web.channels.feed_files import split_groups
from cwz_web.channels.field_columns import Batch, FieldColumn, InvalidMappingError, RowContext
from cwz_web.channels.findings import FindingKind, Findings, HoldReason
from cwz_web.channels.mapping import FieldMapping, FieldSource, MissingImage
from cwz_web.channels.preset import FileFormat, ValueKind
from cwz_web.channels.presets import PRESETS
from cwz_web.channels.presets.generic import GENERIC
from cwz_web.channels.presets.google import GOOGLE, GOOGLE_SUPPLEMENTAL
from cwz_web.channels.rows import RowPage
from cwz_web.channels.values import clean_text
from cwz_web.feeds.columns import ColumnType
from cwz_web.values.formats import json_number
from tests.unit.channels.feeds import EUROS, IMAGES, columns, constant, image, read, row, write

HOSTILE = st.text(
    st.sampled_from("ab \t\r\n\"'`,;|<>&]=+-@\\\0\x1b\x7f\x85\u2028\ufeff\ufffe\ud800é😀א‏٣")
) | st.sampled_from(
    ["]]>", "<![CDATA[x]]>", "&amp;", '"', '""', "\r", "=HYPERLINK(1)", "a\tb", "מוצר\u200f 5", "👩‍👩‍👧", "-", "null"]
)
PRODUCT = {
    "id": "M-1",
    "title": "Mug",
    "description": "A mug",
    "link": "https://shop.example/m",
    "availability": "yes",
    "price": "19,90",
}
GOOGLE_MAPPINGS = [*columns(*PRODUCT), image("image_link")]


@pytest.mark.parametrize("format", FileFormat)
@given(cells=st.lists(st.tuples(HOSTILE, HOSTILE), min_size=1, max_size=4))
def test_standard_readers_read_what_was_written(format: FileFormat, cells: list[tuple[str, str]]) -> None:
    rows = [row(str(number), a=a, b=b) for number, (a, b) in enumerate(cells)]
    data, report = write(rows, columns("a", "b"), format)
    assert report.rows == len(cells)
    expected = [(clean_text(a), clean_text(b)) for a, b in cells]
    assert [(each.get("a", ""), each.get("b", "")) for each in read(data, format)] == expected


@pytest.mark.parametrize(
    ("format", "expected"),
    [
        (FileFormat.CSV, 'id,Name (en),price\r\n1,"A ""mug"", & <b>",9.90 EUR\r\n2,"b\n\tc",\r\n'),
        (FileFormat.TSV, 'id\tName (en)\tprice\n1\t"A ""mug"", & <b>"\t9.90 EUR\n2\t"b\n\tc"\t\n'),
        (
            FileFormat.JSON,
            '[\n{"id":"1","Name (en)":"A \\"mug\\", & <b>","price":"9.90 EUR"},\n'
            '{"id":"2","Name (en)":"b\\n\\tc","price":""}\n]\n',
        ),
        (
            FileFormat.JSON_LINES,
            '{"id":"1","Name (en)":"A \\"mug\\", & <b>","price":"9.90 EUR"}\n'
            '{"id":"2","Name (en)":"b\\n\\tc","price":""}\n',
        ),
        (
            FileFormat.XML,
            '<?xml version="1.0" encoding="UTF-8"?>\n<items>\n'
            '<item><id>1</id><Name__en_>A "mug", &amp; &lt;b&gt;</Name__en_><price>9.90 EUR</price></item>\n'
            "<item><id>2</id><Name__en_>b\n\tc</Name__en_></item>\n</items>\n",
        ),
    ],
)
def test_bytes_of_each_format(format: FileFormat, expected: str) -> None:
    rows = [row(id="1", name='A "mug", & <b>', price="9.90 EUR"), row("2", id="2", name="b\r\n\tc ", price="")]
    data, report = write(rows, columns("id", **{"Name (en)": "name", "price": "price"}), format)
    assert data.decode() == expected
    assert report.digest == sha256(data).hexdigest()
    empty, _ = write([], columns("id", "price"), format)
    assert read(empty, format) == []


@given(cells=st.lists(st.tuples(HOSTILE, HOSTILE), min_size=1, max_size=4))
def test_csv_is_what_the_standard_writer_writes(cells: list[tuple[str, str]]) -> None:
    for names in (("a", "b"), ("a",)):
        expected = io.StringIO(newline="")
        writer = csv.writer(expected)
        writer.writerow(names)
        writer.writerows([clean_text(cell) for cell in each[: len(names)]] for each in cells)
        data, _ = write([row(str(n), a=a, b=b) for n, (a, b) in enumerate(cells)], columns(*names))
        assert data.decode() == expected.getvalue()


def test_digest_is_that_of_the_content_also_if_it_is_compressed() -> None:
    settings = FeedSettings(GENERIC, FileFormat.CSV, columns("a"))
    plain, packed = io.BytesIO(), io.BytesIO()
    pages = [RowPage.of([row(a="x")])]
    reports = [write_feed(pages, settings, plain), write_feed(pages, settings, packed, is_gzipped=True)]
    assert reports[0] == reports[1]
    assert gzip.decompress(packed.getvalue()) == plain.getvalue() == b"a\r\nx\r\n"


def test_google_xml_has_its_namespace_and_escaped_values() -> None:
    cells = PRODUCT | {"link": "https://shop.example/m?a=1&b=2"}
    mappings = [*columns(*PRODUCT, **{"shipping(country:region:service:price)": "shipping"}), image("image_link")]
    mappings += [image("additional_image_link", 1), constant("additional_image_link", "https://cdn.example/a,b.jpg")]
    shipping = 'DE::"Standard, Express":4.90 EUR,AT:::8.90 EUR'
    data, report = write([row(**cells, shipping=shipping)], mappings, FileFormat.XML, GOOGLE)
    assert [each.kind for each in report.findings] == [FindingKind.GROUP]  # it has no brand
    root = ElementTree.fromstring(data)
    assert root.findtext("channel/title") == "Shop & co"
    assert root.findtext("channel/link") == "https://shop.example/"
    item = root.find("channel/item")
    names = {"g": "http://base.google.com/ns/1.0"}
    assert item.findtext("g:link", namespaces=names) == cells["link"]
    assert item.findtext("g:price", namespaces=names) == "19.90 EUR"
    assert item.findtext("g:availability", namespaces=names) == "in_stock"
    extra = [each.text for each in item.findall("g:additional_image_link", names)]
    assert extra == [IMAGES[1], "https://cdn.example/a,b.jpg"]
    shippings = [
        {child.tag.rpartition("}")[2]: child.text for child in each} for each in item.findall("g:shipping", names)
    ]
    assert shippings == [
        {"country": "DE", "service": "Standard, Express", "price": "4.90 EUR"},
        {"country": "AT", "price": "8.90 EUR"},
    ]


def test_rss_names_the_site_of_the_first_row() -> None:
    rows = [row("1", **PRODUCT | {"link": "soon"}), row("2", **PRODUCT)]
    for mappings, site in ((GOOGLE_MAPPINGS, "https://shop.example/"), (GOOGLE_MAPPINGS[:1], "")):
        file = io.BytesIO()
        write_feed([RowPage.of(rows)], FeedSettings(GOOGLE, FileFormat.XML, mappings), file)
        assert (ElementTree.fromstring(file.getvalue()).findtext("channel/link") or "") == site


def test_several_urls_of_a_cell_have_commas_between() -> None:
    extra = [image("additional_image_link", 1), constant("additional_image_link", "https://cdn.example/a,b.jpg")]
    mappings = [*columns("id"), image("image_link"), *extra, *columns(custom_label_0="photos")]
    data, _ = write([row(id="1", photos="")], mappings, FileFormat.TSV, GOOGLE_SUPPLEMENTAL)
    (only,) = read(data, FileFormat.TSV)
    assert only["additional_image_link"] == f"{IMAGES[1]},https://cdn.example/a%2Cb.jpg"
    photos = "https://a.example/1.jpg,https://a.example/w_1,h_1.jpg, https://a.example/2 3.jpg"
    data, _ = write(
        [row(id="1", photos=photos)],
        [*columns("id", additional_image_link="photos"), image("image_link")],
        FileFormat.TSV,
        GOOGLE_SUPPLEMENTAL,
    )
    expected = "https://a.example/1.jpg,https://a.example/w_1%2Ch_1.jpg,https://a.example/2%203.jpg"
    assert read(data, FileFormat.TSV)[0]["additional_image_link"] == expected
    data, _ = write(
        [row(id="1", photos=photos)], columns("id", image_link="photos"), FileFormat.TSV, GOOGLE_SUPPLEMENTAL
    )
    assert read(data, FileFormat.TSV)[0]["image_link"] == "https://a.example/1.jpg"


def test_rows_without_a_required_value_are_held_and_counted() -> None:
    rows = [
        row("1", **PRODUCT),
        row("2", **PRODUCT | {"id": "M-2", "title": " "}),
        row("3", **PRODUCT | {"id": "M-3", "price": "on request"}),
        row("4", **PRODUCT | {"id": "M-1"}),
        row("5", **PRODUCT | {"id": "M-5", "price": "on request"}),
    ]
    data, report = write(rows, GOOGLE_MAPPINGS, FileFormat.TSV, GOOGLE)
    assert [each["id"] for each in read(data, FileFormat.TSV)] == ["M-1"]
    assert report.rows == 1
    assert report.held == {HoldReason.VALUE: 3, HoldReason.DUPLICATE: 1}
    found = {(each.field, each.kind): (each.rows, each.keys, each.example) for each in report.findings}
    assert found == {
        ("price", FindingKind.UNCLEAR): (2, ["3", "5"], "on request"),
        ("title", FindingKind.MISSING): (1, ["2"], ""),
        ("id", FindingKind.DUPLICATE): (1, ["4"], "M-1"),
        ("brand, gtin, mpn", FindingKind.GROUP): (5, ["1", "2", "3", "4", "5"], ""),
    }


def test_rows_with_too_few_identifiers_are_counted_and_written() -> None:
    identifiers = {
        "1": {"brand": "Acme", "mpn": "M"},
        "2": {"brand": "Acme"},
        "3": {"gtin": "4006381333931", "brand": "Acme"},
        "4": {"gtin": "4006381333930", "mpn": "M"},  # the check digit is wrong
        "5": {"identifier_exists": "no"},
        "6": {"identifier_exists": "yes"},
        "7": {"condition": "gebraucht"},
    }
    rows = [row(key, **PRODUCT | {"id": key} | cells) for key, cells in identifiers.items()]
    fields = columns("brand", "gtin", "mpn", "identifier_exists", "condition")
    _, report = write(rows, [*GOOGLE_MAPPINGS, *fields], FileFormat.TSV, GOOGLE)
    assert (report.rows, report.held) == (7, {})
    (found,) = (each for each in report.findings if each.kind == FindingKind.GROUP)
    assert (found.field, found.keys) == ("brand, gtin, mpn", ["2", "4", "6"])
    _, report = write(rows, GOOGLE_MAPPINGS, FileFormat.TSV, GOOGLE)
    assert [each.rows for each in report.findings] == [7], "none of the fields is mapped"


def test_invalid_optional_values_are_left_empty_and_counted() -> None:
    rows = [
        row(str(number), **PRODUCT | {"id": str(number), "gtin": "123", "sale_price": price})
        for number, price in enumerate(["25", "9,90", "19,90"])
    ]
    data, report = write(rows, [*GOOGLE_MAPPINGS, *columns("gtin", "sale_price")], FileFormat.TSV, GOOGLE)
    assert [(each["gtin"], each["sale_price"]) for each in read(data, FileFormat.TSV)] == [
        ("", ""),
        ("", "9.90 EUR"),
        ("", ""),
    ]
    found = {(each.field, each.kind): each.keys for each in report.findings}
    assert found == {
        ("gtin", FindingKind.UNCLEAR): ["0", "1", "2"],
        ("sale_price", FindingKind.ORDER): ["0", "2"],
        ("brand, gtin, mpn", FindingKind.GROUP): ["0", "1", "2"],
    }


def test_required_field_without_a_mapping_holds_every_row() -> None:
    fields = [*columns(*PRODUCT), constant("identifier_exists", "no")]
    data, report = write([row("1", **PRODUCT)], fields, FileFormat.XML, GOOGLE)
    assert report.rows == 0
    assert [(each.field, each.kind) for each in report.findings] == [("image_link", FindingKind.UNMAPPED)]
    assert ElementTree.fromstring(data).find("channel/item") is None


@pytest.mark.parametrize(
    ("choice", "links"),
    [
        (MissingImage.HOLD, {"whole": IMAGES[0], "photo": "https://shop.example/photo.jpg"}),
        (
            MissingImage.PHOTO,
            {"whole": IMAGES[0]}
            | {key: f"https://shop.example/{key}.jpg" for key in ("photo", "none", "half", "kept")},
        ),
        (MissingImage.LAST, {"whole": IMAGES[0], "photo": "https://shop.example/photo.jpg", "kept": IMAGES[0]}),
    ],
)
def test_rows_without_an_approved_image(choice: MissingImage, links: dict[str, str]) -> None:
    rows = [
        row("whole", id="whole"),
        row("photo", [], id="photo"),
        row("none", [None, None], id="none"),
        row("half", [IMAGES[0], None], id="half"),
        row("kept", id="kept"),
    ]
    rows[-1].is_kept = True
    mappings = [*columns("id"), image("image_link"), image("lifestyle_image_link", 1)]
    data, report = write(rows, mappings, FileFormat.TSV, GOOGLE_SUPPLEMENTAL, choice)
    written = read(data, FileFormat.TSV)
    assert {each["id"]: each["image_link"] for each in written} == links
    assert report.held_rows == 5 - len(links)
    # A design's field does not get the original photo.
    assert {each["lifestyle_image_link"] for each in written if each["id"] != "kept"} <= {IMAGES[1], ""}


def test_rows_of_a_publication_with_fewer_images_are_held() -> None:
    rows = [row("1", IMAGES[:1], id="1"), row("2", id="2"), row("3", [IMAGES[0], None], id="3")]
    data, report = write(rows, [*columns("id"), image("image_link", 1)], FileFormat.TSV, GOOGLE_SUPPLEMENTAL)
    assert [each["id"] for each in read(data, FileFormat.TSV)] == ["2"]
    assert report.held == {HoldReason.IMAGE: 2}
    data, _ = write(rows, [*columns("id"), image("image_link")], FileFormat.TSV, GOOGLE_SUPPLEMENTAL)
    assert [each["id"] for each in read(data, FileFormat.TSV)] == ["1", "2", "3"]


def test_file_that_is_larger_than_the_platform_takes_is_found() -> None:
    small = replace(GENERIC, max_rows=1, max_bytes=10)
    _, report = write([row(a="x" * 20), row("2", a="y")], columns("a"), preset=small)
    assert [(each.kind, each.example) for each in report.findings] == [
        (FindingKind.FILE, "2 > 1"),
        (FindingKind.FILE, f"{report.size} > 10"),
    ]


def test_expressions_see_the_columns_and_are_not_guessed() -> None:
    mappings = [
        FieldMapping(
            name="price", source=FieldSource.EXPRESSION, value='string(round_to(amount(price) * 2, 0.01)) + " EUR"'
        ),
        FieldMapping(name="half", source=FieldSource.EXPRESSION, value="stock / 2"),
        FieldMapping(name="fixed", source=FieldSource.EXPRESSION, value='"a" + "b"'),
        *columns("stock"),
    ]
    rows = [row("1", price="9,95", stock="3"), row("2", price="?", stock=json_number("5"))]
    with pytest.raises(InvalidMappingError, match="no column"):
        write(rows, mappings)
    mappings[1] = FieldMapping(name="half", source=FieldSource.EXPRESSION, value="amount(stock) / 2")
    data, report = write(rows, [*mappings, *columns(other="price")])
    assert [tuple(each.values())[:3] for each in read(data, FileFormat.CSV)] == [
        ("19.9 EUR", "1.5", "ab"),
        ("", "2.5", "ab"),
    ]
    assert [(each.field, each.kind, each.keys) for each in report.findings] == [("price", FindingKind.UNCLEAR, ["2"])]


@pytest.mark.parametrize(
    "mapping",
    [
        FieldMapping(name="x", source=FieldSource.EXPRESSION, value="price +"),
        FieldMapping(name="x", source=FieldSource.EXPRESSION, value="days_in_feed"),
        FieldMapping(name="x", source=FieldSource.EXPRESSION, value="photo.width"),
        FieldMapping(name="x", source=FieldSource.IMAGE, value="first"),
    ],
)
def test_mappings_that_cannot_be_used(mapping: FieldMapping) -> None:
    with pytest.raises(InvalidMappingError):
        write([row(price="1")], [mapping, *columns("price")])
    with pytest.raises(InvalidMappingError):
        write([row(price="1")], [*columns("price"), constant("price", "2")])


def test_sources_beside_columns() -> None:
    sources = (FieldSource.PHOTO, FieldSource.RULE, FieldSource.LABEL, FieldSource.KEY)
    mappings = [FieldMapping(name=source.value, source=source) for source in sources]
    data, _ = write([row("k", photo="https://a.example/1.jpg, https://a.example/2.jpg")], mappings, FileFormat.JSON)
    assert read(data, FileFormat.JSON) == [
        {"photo": "https://a.example/1.jpg", "rule": "Sale", "label": "A", "key": "k"}
    ]


def test_xml_names_are_valid_and_different() -> None:
    data, _ = write(
        [row(**{"Sale price": "1", "sale-price": "2", "2nd": "3"})], columns("Sale price", "2nd"), FileFormat.XML
    )
    assert b"<Sale_price>1</Sale_price><_2nd>3</_2nd>" in data


def test_groups_are_split_at_separators_outside_of_quotes() -> None:
    assert split_groups('DE::"a, ""b"":c":1 EUR, AT') == [["DE", "", 'a, "b":c', "1 EUR"], ["AT"]]


def test_repeated_values_are_converted_once_and_reported_for_each_row() -> None:
    rows = [row(str(number), **PRODUCT | {"id": str(number), "adult": "?"}) for number in range(2500)]
    fields = [*GOOGLE_MAPPINGS, *columns("adult"), constant("condition", "used")]
    _, report = write(rows, fields, FileFormat.TSV, GOOGLE)
    assert report.rows == 2500
    (finding,) = report.findings
    assert (finding.field, finding.rows, len(finding.keys)) == ("adult", 2500, 20)


@pytest.mark.parametrize("format", FileFormat)
def test_long_rows_are_written_in_parts(format: FileFormat, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [row(str(number), id=str(number), text="x" * 100) for number in range(20)]
    whole, report = write(rows, columns("id", "text"), format)
    sizes: list[int] = []
    write_part = feed._Output.write

    def write_counted(output: feed._Output, data: bytes) -> None:
        sizes.append(len(data))
        write_part(output, data)

    monkeypatch.setattr(feed._Output, "write", write_counted)
    monkeypatch.setattr(feed, "MAX_TEXT", 400)
    assert write(rows, columns("id", "text"), format) == (whole, report)
    assert max(sizes) < 600


def test_too_large_feed_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "MAX_BYTES", 200)
    assert write([row(id="x" * 150)], columns("id"))[1].rows == 1
    with pytest.raises(FeedTooLargeError, match="larger than 4 GB"):
        write([row(id="x" * 250)], columns("id"))


def test_long_values_are_converted_and_not_kept() -> None:
    price, unclear = "19,90", "?" * 201
    field = GENERIC.field("price")
    mapping = columns("price")[0]
    context = RowContext({"price": ColumnType.PRICE}, {"price": EUROS})
    column = FieldColumn(replace(field, kind=ValueKind.PRICE), mapping, GENERIC, context)
    batch = Batch(RowPage.of([row(price=price), row(price=unclear), row(price=unclear)]), Findings())
    assert column.values(batch) == ["19.90 EUR", "", ""]
    assert list(column._known) == [price]
    assert [(each.kind, each.rows) for each in batch.findings.list()] == [(FindingKind.UNCLEAR, 2)]


def test_long_results_of_expressions_are_not_kept() -> None:
    mapping = FieldMapping(name="x", source=FieldSource.EXPRESSION, value="upper(a)")
    column = FieldColumn(GENERIC.field("x"), mapping, GENERIC, RowContext({"a": ColumnType.TEXT}))
    texts = ["a", "b" * 201]
    assert column.values(Batch(RowPage.of([row(a=text) for text in texts]), Findings())) == [
        text.upper() for text in texts
    ]
    assert list(column._read.__self__._known) == [("a",)]  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["²", "1a[0].x", "a[0].1", "a[²].x", "1(a:b)", "a(1:b)", "٣", "é(a)", "-x", "ªb"])
def test_names_of_elements_are_well_formed(name: str) -> None:
    data, _ = write([row(a="v:w")], columns(**{name: "a"}), FileFormat.XML)
    assert len(ElementTree.fromstring(data)) == 1


def test_title_without_characters_that_xml_does_not_have() -> None:
    file = io.BytesIO()
    shape = next(each for each in PRESETS.values() if each.xml and "{title}" in each.xml.before)
    write_feed([], FeedSettings(shape, FileFormat.XML, columns("id"), title="Shop\uffff\x01 & co"), file)
    assert b"Shop &amp; co" in file.getvalue()
    ElementTree.fromstring(file.getvalue())

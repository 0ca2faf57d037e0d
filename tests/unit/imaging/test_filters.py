from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cwz_web.imaging.bindings import BindingError, parse_bindings
from cwz_web.imaging.filters import FILTERS, strip_html, truncate
from cwz_web.values.formats import DecimalSign, FormattedText, ValueFormat, json_number


def resolve(text: str, values: Mapping[str, str]) -> str:
    return parse_bindings(text).resolve(values)[0]


def test_item_is_one_of_several_photo_urls() -> None:
    images = "https://a.example/1.jpg, //a.example/2.jpg"
    bound = parse_bindings("{{ images | item(1) }} {{ images | item(2) }} {{ images | item(3) }}")
    assert bound.resolve({"images": images}) == ("https://a.example/1.jpg //a.example/2.jpg ", ())
    with pytest.raises(BindingError, match=r"as in item\(2\)"):
        parse_bindings("{{ images | item(0) }}")


@given(st.text(max_size=200), st.integers(0, 60))
def test_truncate_limits_the_length(text: str, length: int) -> None:
    assert len(truncate(text, length)) <= max(length, 1)


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<p>Classic blown clay pot</p><p>for plants</p>", "Classic blown clay pot\nfor plants"),
        ("a&nbsp;&amp; b<br/>c", "a & b\nc"),
        ("Width<p>90 cm</p>Height", "Width\n90 cm\nHeight"),
        ("<ul><li>One<li>Two</ul>three", "One\nTwo\nthree"),
        ("<h2 class='x'>Title</h2>Text<hr />end", "Title\nText\nend"),
        ("<table><tr><th>Size</th><td>90</td></tr><tr><td>a</td></tr></table>", "Size 90\na"),
        ("<dl><dt>Color</dt><dd>red</dd></dl>", "Color\nred"),
        ("<b>in</b><i>line</i>", "inline"),
        ("<![CDATA[<p>Hello &amp; welcome</p><p>Bye</p>]]>", "Hello & welcome\nBye"),
        ("a<![CDATA[ 1 < 2 ]]>b<![CDATA[c", "a 1 < 2 bc"),
        ("<pre>a</pre>b", "a\nb"),
        ("<param>x", "x"),
        ("<script>alert(1)</script>x<!-- hidden -->y", "xy"),
        ("1 < 2 and 3 > 2", "1 < 2 and 3 > 2"),
        ("&lt;b&gt;", "<b>"),
        ("a<!-- b", "a"),
        ("a<script>b</style>", "a"),
        ("a<script>b</SCRIPT >c<!-->d", "ac"),
        (f"<p>a&#{'9' * 5000};</p>b", "a\ufffd\nb"),
    ],
)
def test_strip_html(html: str, text: str) -> None:
    assert strip_html(html) == text


@pytest.mark.parametrize(
    ("binding", "value", "expected"),
    [
        ("a | title", "don't stop the iPhone-sale", "Don't Stop The IPhone-sale"),
        ("a | number", "1234567.5", "1,234,567.5"),
        ("a | number('de')", "1,234.5", "1.234,5"),
        ("a | number", "99999999999999999999e20", "9,999,999,999,999,999,999,900,000,000,000,000,000,000"),
        ("a | number", "-20", "-20"),
        ("a | number", "soon", "soon"),
        ("a | number", "10000000000000000000000000", "10000000000000000000000000"),
        ("a | currency('EUR', 'de')", "24", "24\xa0€"),
        ("a | currency('EUR', 'de')", "9.90", "9,90\xa0€"),
        ("a | currency('USD')", "1.234,50", "$1,234.50"),
        ("a | currency", "19.90 EUR", "€19.90"),
        ("a | currency", "CHF19.90", "CHF\xa019.90"),
        ("a | currency('CHF', 'de-CH')", "19.90", "CHF\xa019.90"),
        ("a | currency('', 'pl')", "1299 zł", "1\xa0299\xa0zł"),
        ("a | currency", "12.500 KWD", "KWD\xa012.500"),
        ("a | currency", "R$ 1.299,50", "R$1,299.50"),
        ("a | currency", "(5.00) USD", "-$5"),
        ("a | currency", "₹1,29,999", "₹129,999"),
        ("a | number", "12.5%", "12.5"),
        ("a | number", "1e5", "100,000"),
        ("a | number", "١٬٢٣٤٫٥", "1,234.5"),
        ("a | date('long')", "20240304", "March 4, 2024"),
        ("a | date('long')", "03/14/2024", "March 14, 2024"),
        ("a | currency", "€ 24", "€24"),
        ("a | currency('EUR')", "0.1250", "€0.13"),
        ("a | currency", "$0.1350", "$0.14"),
        ("a | currency", "2.5 JPY", "¥3"),
        ("a | currency", "¥-2.5", "-¥3"),
        ("a | currency", "4.9950 EUR", "€5"),
        ("a | currency", "0.0050 EUR", "€0.01"),
        ("a | currency", "12.3455 KWD", "KWD\xa012.346"),
        ("a | currency", "0.0 EUR", "€0"),
        ("a | currency", "99999999999999999999e20 EUR", "€9,999,999,999,999,999,999,900,000,000,000,000,000,000"),
        ("a | currency('JPY', 'ja')", "1200", "￥1,200"),
        ("a | currency", "24", "24"),
        ("a | currency('EUR')", "on request", "on request"),
        ("a | date('long', 'de')", "2026-11-24", "24. November 2026"),
        ("a | date", "2026-11-24T10:00:00Z", "Nov 24, 2026"),
        ("a | date('short', 'en-GB')", "03.04.2026", "03/04/2026"),
        ("a | date", "in spring", "in spring"),
        ("a | date", "24", "24"),
        ("a | default('none') | upper", " ", "NONE"),
    ],
)
def test_filters(binding: str, value: str, expected: str) -> None:
    assert resolve("{{ " + binding + " }}", {"a": value}).replace("\u202f", "\xa0") == expected


@pytest.mark.parametrize(
    ("binding", "value", "format", "expected"),
    [
        ("a | currency", "1.234", {"decimal": "comma", "currency": "EUR"}, "€1,234"),
        ("a | currency('EUR', 'en')", "1.234", {"locale": "de"}, "€1,234"),
        ("a | currency('EUR', 'de')", "1,299 €", {"locale": "en"}, "1.299\xa0€"),
        ("a | currency", "5 kr", {"locale": "da"}, "DKK\xa05"),
        ("a | currency('', 'nb')", "5 kr", {}, "5\xa0kr"),
        ("a | currency", "24", {"currency": "EUR"}, "€24"),
        ("a | number('de')", "1.234", {"locale": "en"}, "1,234"),
        ("a | date", "03/04/2024", {"date_order": "mdy"}, "Mar 4, 2024"),
    ],
)
def test_filters_use_the_format_of_a_value(binding: str, value: str, format: dict[str, str], expected: str) -> None:
    text = FormattedText(value, ValueFormat.model_validate(format))
    assert resolve("{{ " + binding + " }}", {"a": text}).replace("\u202f", "\xa0") == expected


@pytest.mark.parametrize("number", ["0.999", "0.125", "4.667", "1.234"])
def test_json_numbers_have_no_locale(number: str) -> None:
    values = {"a": FormattedText(number, ValueFormat(decimal=DecimalSign.COMMA), is_number=True)}
    assert resolve("{{ a | number }}", values) == number


@pytest.mark.parametrize(
    ("number", "text"), [("0.125", "€0.13"), ("0.135", "€0.14"), ("2.5", "€2.50"), ("0.005", "€0.01")]
)
def test_money_is_rounded_half_up(number: str, text: str) -> None:
    assert resolve("{{ a | currency('EUR') }}", {"a": json_number(number)}) == text


@pytest.mark.parametrize(
    ("filter_", "value", "reason"),
    [
        ("number", "10-20 EUR", "not one number"),
        ("currency('EUR')", "2 for 5 €", "not one number"),
        ("currency('EUR')", "N/A", "not a number"),
        ("currency('EUR')", "5.00 USD", "in another currency: USD, not EUR"),
        ("currency", "24", "has no currency"),
        ("currency('EUR', 'de')", "1.234", "can be 1.234 or 1234"),
        ("currency('EUR', 'en')", "1,234", "can be 1234 or 1.234"),
        ("currency('EUR', 'en')", "1,299 €", "can be 1299 or 1.299"),
        ("currency('', 'de')", "1.299 €", "can be 1.299 or 1299"),
        ("currency", "0.0049 EUR", "is less than the smallest amount of EUR"),
        ("currency", "-0.0049 EUR", "is less than the smallest amount of EUR"),
        ("currency", "0.4 JPY", "is less than the smallest amount of JPY"),
        ("currency", "5 kr", "“kr” can be"),
        ("number", "1.234", "can be 1.234 or 1234"),
        ("date", "03/04/2024", "can be 4 March or 3 April"),
    ],
)
def test_unclear_value_is_left_as_it_is_and_reported(filter_: str, value: str, reason: str) -> None:
    bound = parse_bindings("{{ a | " + filter_ + " }}")
    text, [(field, unclear)] = bound.resolve({"a": value})
    assert (text, field) == (value, "a")
    assert reason in unclear.reason


def test_empty_value_is_not_reported() -> None:
    assert parse_bindings("{{ a | currency }}{{ a | date }}").resolve({"a": " "}) == ("  ", ())


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("Tom &amp; Jerry", "Tom & Jerry"),
        ("caf&eacute; &#8211; &#x20AC; 5", "café – € 5"),
        ("<p>Soft</p><p>Warm</p>", "Soft\nWarm"),
        ("Mug<br/>blue", "Mug\nblue"),
        ("<b>New</b> &lt;3", "New <3"),
        ("1 < 2 and 3 > 2", "1 < 2 and 3 > 2"),
        ("<Model X>", "<Model X>"),
        ("https://shop.example/?a=1&copy=2", "https://shop.example/?a=1&copy=2"),
        ("https://shop.example/?a=1&amp;b=2", "https://shop.example/?a=1&b=2"),
        ("AT&T; R&D", "AT&T; R&D"),
        ("two  blanks", "two  blanks"),
    ],
)
def test_html_in_values_is_decoded_unless_raw_comes_first(value: str, text: str) -> None:
    assert resolve("{{ a }}", {"a": value}) == text
    assert resolve("{{ a | raw }}", {"a": value}) == value


@pytest.mark.parametrize(
    ("filter_", "message"),
    [
        ("currency('XXQ')", "not a currency"),
        ("number('klingon!')", "not a locale"),
        ("date('huge')", "not a date style"),
        ("currency('EUR', 'de', 'x')", "as in currency"),
    ],
)
def test_invalid_argument_is_rejected_on_parsing(filter_: str, message: str) -> None:
    with pytest.raises(BindingError, match=message):
        parse_bindings("{{ a | " + filter_ + " }}")


@pytest.mark.parametrize("text", ["1" * 100_000, "1." * 50_000, "<!--" * 25_000, "<script " * 12_000])
def test_adversarial_text_takes_linear_time(text: str) -> None:
    """Each of these would take minutes with a naive implementation."""
    for name in ("number", "currency", "date"):
        assert resolve("{{ a | " + name + " }}", {"a": text}) == text
    assert strip_html(text) in ("", text)


def test_truncate_keeps_whole_characters() -> None:
    assert truncate("👩‍👩‍👧‍👦" * 3, 12) == "👩‍👩‍👧‍👦…"
    assert truncate("e\u0301" * 10, 4) == "e\u0301…"


@pytest.mark.parametrize("name", sorted(FILTERS))
@given(st.text(max_size=60))
def test_filter_never_fails(name: str, text: str) -> None:
    arguments = {"truncate": "(5)", "default": "('x')", "currency": "('EUR', 'de')", "item": "(2)"}.get(name, "")
    assert isinstance(resolve("{{ a | " + name + arguments + " }}", {"a": text}), str)


@given(st.text(alphabet="0123456789.,-−€ $'\u00a0eEx²٣", max_size=20))
def test_numeric_text_never_fails(text: str) -> None:
    for name in ("number", "currency('EUR')", "date"):
        resolve("{{ a | " + name + " }}", {"a": text})

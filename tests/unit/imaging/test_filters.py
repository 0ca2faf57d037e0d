import pytest
from hypothesis import given
from hypothesis import strategies as st

from cwz_web.imaging.bindings import BindingError, parse_bindings
from cwz_web.imaging.filters import FILTERS, strip_html, truncate


def test_item_is_one_of_several_photo_urls() -> None:
    images = "https://a.example/1.jpg, //a.example/2.jpg"
    bound = parse_bindings("{{ images | item(1) }} {{ images | item(2) }} {{ images | item(3) }}")
    assert bound.resolve({"images": images}) == "https://a.example/1.jpg //a.example/2.jpg "
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
        ("<script>alert(1)</script>x<!-- hidden -->y", "xy"),
        ("1 < 2 and 3 > 2", "1 < 2 and 3 > 2"),
        ("&lt;b&gt;", "<b>"),
        ("a<!-- b", "a"),
        ("a<script>b</style>", "a"),
        ("a<script>b</SCRIPT >c<!-->d", "ac"),
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
        ("a | number", "-20", "-20"),
        ("a | number", "soon", "soon"),
        ("a | number", "10000000000000000000000000", "10000000000000000000000000"),
        ("a | currency('EUR', 'de')", "24", "24\xa0€"),
        ("a | currency('EUR', 'de')", "9.90", "9,90\xa0€"),
        ("a | currency('USD')", "1.234,50", "$1,234.50"),
        ("a | currency", "19.90 EUR", "€19.90"),
        ("a | currency", "€ 24", "€24"),
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
    assert parse_bindings("{{ " + binding + " }}").resolve({"a": value}).replace("\u202f", "\xa0") == expected


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
        assert parse_bindings("{{ a | " + name + " }}").resolve({"a": text}) == text
    assert strip_html(text) in ("", text)


@pytest.mark.parametrize("name", sorted(FILTERS))
@given(st.text(max_size=60))
def test_filter_never_fails(name: str, text: str) -> None:
    arguments = {"truncate": "(5)", "default": "('x')", "currency": "('EUR', 'de')", "item": "(2)"}.get(name, "")
    assert isinstance(parse_bindings("{{ a | " + name + arguments + " }}").resolve({"a": text}), str)


@given(st.text(alphabet="0123456789.,-−€ $'\u00a0eEx²٣", max_size=20))
def test_numeric_text_never_fails(text: str) -> None:
    for name in ("number", "currency('EUR')", "date"):
        parse_bindings("{{ a | " + name + " }}").resolve({"a": text})

import re
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cwz_web.imaging.photo_urls import MAX_URLS, InvalidPhotoUrlError, normalize_url, split_urls

A, B, C = "https://a.example/1.jpg", "http://b.example/2.jpg?w=1,2", "https://c.example/w_300,h_300/a;b|c/3.jpg"


def normalize(cell: str) -> list[str]:
    return [normalize_url(url) for url in split_urls(cell)]


@pytest.mark.parametrize(
    ("cell", "urls"),
    [
        ("", []),
        ("  \n ", []),
        (A, [A]),
        (f' "{A}" ', [A]),
        (f"'{A}'\u200b", [A]),
        (f"<{A}>", [A]),
        (f"\ufeff{A}\u00a0", [A]),
        (f"{A}, {B}", [A, B]),
        (f"{A},{B}", [A, B]),
        (f"{A}|{C}", [A, C]),
        (f"{A} ; {C};", [A, C]),
        (f"{A}\r\n{B}\n\n{C}", [A, B, C]),
        (f"{A} {B}\t{C}", [A, B, C]),
        (f'"{A}","{B}"', [A, B]),
        (f"{A}, //cdn.example/x.jpg", [A, "//cdn.example/x.jpg"]),
        (f"{A}, //cdn/x.jpg, //cdn./x.jpg",) * 2,
        (f"front (1).jpg ({A}),back.jpg ({B})", [A, B]),
        (f"![Front]({A})", [A]),
        (r'["https:\/\/a.example\/1.jpg", "http:\/\/b.example\/2.jpg?w=1,2"]', [A, B]),
        (f"HTTPS://A.example/x.jpg,HTTP{B[4:]}", ["HTTPS://A.example/x.jpg", f"HTTP{B[4:]}"]),
        (f"{A}\nno photo", [A]),
        (C, [C]),
        ("https://res.example/fetch/w_300,h_300/https://shop.example/a.jpg",) * 2,
        ("https://thumbor.example/fill(red),watermark(https://w.example/w.png,10)/a.jpg",) * 2,
        ("https://a.example/my photo, front (2).jpg",) * 2,
        ("https://a.example//double,//slash.jpg",) * 2,
        ("N/A", ["N/A"]),
        ("data:image/png;base64,AAA//,A", ["data:image/png;base64,AAA//,A"]),
        ("1.jpg, 2.jpg", ["1.jpg, 2.jpg"]),
    ],
)  # fmt: skip
def test_urls_of_a_cell(cell: str, urls: list[str] | str) -> None:
    assert split_urls(cell) == (urls if isinstance(urls, list) else [urls])


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("//cdn.example/a.jpg", "https://cdn.example/a.jpg"),
        ("HTTPS://CDN.example/A.jpg", "https://cdn.example/A.jpg"),
        ("https://a.example/große Jacke.jpg", "https://a.example/gro%C3%9Fe%20Jacke.jpg"),
        ("https://a.example/стул.jpg?имя=1&b=ü", "https://a.example/%D1%81%D1%82%D1%83%D0%BB.jpg?%D0%B8%D0%BC%D1%8F=1&b=%C3%BC"),
        ("https://a.example/a%20b%C3%9F.jpg", "https://a.example/a%20b%C3%9F.jpg"),
        ("https://a.example/100%.jpg", "https://a.example/100%25.jpg"),
        ('https://a.example/{x}^"<y>`.jpg', "https://a.example/%7Bx%7D%5E%22%3Cy%3E%60.jpg"),
        ("https://a.example/w_300,h_300/(a);b@c/[d].jpg", "https://a.example/w_300,h_300/(a);b@c/[d].jpg"),
        ("https://bücher.example/a.jpg", "https://xn--bcher-kva.example/a.jpg"),
        ("https://Straße.example:443/a.jpg", "https://xn--strae-oqa.example:443/a.jpg"),
        ("https://магазин.example?a=1", "https://xn--80aairftm.example?a=1"),
        ("https://a.example/a.jpg?w=1&amp;h=2", "https://a.example/a.jpg?w=1&h=2"),
        ("https://a.example\\b\\c.jpg", "https://a.example/b/c.jpg"),
        ("https://[2001:db8::1]:80/a.jpg", "https://[2001:db8::1]:80/a.jpg"),
        ("https://a.example", "https://a.example"),
        ("https://my_shop.example/a.jpg", "https://my_shop.example/a.jpg"),
    ],
)  # fmt: skip
def test_normalized_url(text: str, url: str) -> None:
    assert normalize_url(text) == url
    assert normalize_url(url) == url


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "has no image"),
        ("image.jpg", "not a URL that begins with https://"),
        ("www.example.com/a.jpg", "not a URL that begins with https://"),
        ("/images/a.jpg", "path without a host"),
        ("C:\\photos\\a.jpg", "path on a computer"),
        ("ftp://a.example/a.jpg", "begins with ftp:"),
        ("data:image/png;base64,AA", "begins with data:"),
        ("file:///etc/passwd", "begins with file:"),
        ("javascript:alert(1)", "begins with javascript:"),
        ("https://user:secret@a.example/a.jpg", "user name or password"),
        ("https://a.example\\@b.example/a.jpg", None),
        ("https:///a.jpg", "no host"),
        ("https://a.example:x/a.jpg", "port is not a number"),
        ("https://a..%00/a.jpg", "host name is not valid"),
        ("https://a b.example/a.jpg", "host name is not valid"),
        ("https://-\u0301.example/", "host name is not valid"),
        ("https://a.example/" + "a" * 2048, "longer than 2,048"),
    ],
)
def test_refused_url_has_a_reason(text: str, reason: str | None) -> None:
    if reason is None:  # a browser takes what follows the backslash for the path, and so do we
        assert normalize_url(text) == "https://a.example/@b.example/a.jpg"
        return
    with pytest.raises(InvalidPhotoUrlError, match=reason):
        normalize_url(text)


@given(
    st.lists(st.sampled_from([A, B, C]), min_size=1, max_size=5),
    st.sampled_from([",", ", ", "|", " | ", ";", "\n", " "]),
)
def test_list_is_split_whatever_its_separator(urls: list[str], separator: str) -> None:
    assert split_urls(separator.join(urls)) == urls


@given(st.text(max_size=300) | st.text("https:/.,;|()\"' \n%@\\aü", max_size=80))
def test_any_cell_yields_clean_urls_or_reasons(cell: str) -> None:
    for url in split_urls(cell):
        with suppress(InvalidPhotoUrlError):
            normalized = normalize_url(url)
            assert re.fullmatch(r"https?://[!-~]+", normalized)
            assert normalize_url(normalized) == normalized


@pytest.mark.parametrize("part", [",", "(", "http://", "//a.b", " ,'", "a (http://", "[", "%"])
def test_long_cell_is_bounded(part: str) -> None:
    assert len(split_urls(part * 20_000)) <= MAX_URLS


@pytest.mark.parametrize("cell", ["x //" + "a." * 50_000, ("x //" + "a." * 100) * 500, "x" + " //a" * 25_000])
def test_long_host_takes_linear_time(cell: str) -> None:
    """The first one would take minutes with a naive pattern."""
    assert split_urls(cell) == [cell]

"""Uploaded SVG images: what is kept, what is refused, and hostile files."""

import random
from collections.abc import Callable
from typing import Any

import pytest
import pyvips
from hypothesis import given
from hypothesis import strategies as st

from cwz_web.imaging import image_uploads
from cwz_web.imaging.decoding import read_image_size
from cwz_web.imaging.errors import InvalidImageError
from cwz_web.imaging.image_uploads import prepare_image
from cwz_web.imaging.svg import ELEMENTS, sanitize_svg

SQUARE = '<rect width="10" height="10" fill="#ff0000"/>'
DOCTYPE = '<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "http://www.w3.org/Graphics/SVG/1.1/DTD/svg11.dtd">'


def svg(body: str = SQUARE, attributes: str = 'viewBox="0 0 20 10"', before: str = "") -> bytes:
    xlink = 'xmlns:xlink="http://www.w3.org/1999/xlink"'
    return f'{before}<svg xmlns="http://www.w3.org/2000/svg" {xlink} {attributes}>{body}</svg>'.encode()


def render(data: bytes) -> Any:
    """The pixels of a copy, here: a hostile file needs the process."""
    return pyvips.Image.svgload_buffer(sanitize_svg(data))


def test_svg_is_stored_as_png_with_transparent_ground() -> None:
    stored = prepare_image(svg(before='<?xml version="1.0"?>\n<!-- A logo -->\n' + DOCTYPE))
    assert stored.startswith(b"\x89PNG")
    image = pyvips.Image.new_from_buffer(stored, "")
    assert (image.width, image.height) == (2048, 1024)
    assert image(512, 512) == [255, 0, 0, 255]
    assert image(1536, 512)[3] == 0


@pytest.mark.parametrize(
    "attributes",
    [
        'width="20" height="10"',
        'width="20px" height="10px"',
        'viewBox="0,0,20,10" width="100%"',
        'viewBox="0 0 2e1 10"',
    ],
)
def test_size_is_that_of_the_view_box_or_the_attributes(attributes: str) -> None:
    image = render(svg(attributes=attributes))
    assert (image.width, image.height) == (2048, 1024)
    assert [image(x, 500)[3] for x in (500, 1500)] == [255, 0]


def test_styles_and_references_within_the_file_are_kept() -> None:
    image = render(
        svg(
            "<style>/* a */ .a{fill:#00ff00;stroke:none} @import url(https://evil.test/x.css);</style>"
            '<defs><linearGradient id="g"><stop offset="0" stop-color="#0000ff"/></linearGradient>'
            '<rect id="r" width="5" height="10"/></defs>'
            '<use xlink:href="#r" class="a"/><use href="#r" x="5" style="fill:url(#g);filter:url(#f)"/>'
        )
    )
    assert image(250, 500)[:3] == [0, 255, 0]
    assert image(750, 500)[:3] == [0, 0, 255]


def test_copy_has_nothing_of_drawing_programs_and_scripts() -> None:
    data = svg(
        SQUARE.replace("/>", ' onclick="alert(1)" filter="url(https://evil.test/f)" mask="url(https://evil.test/m)"/>')
        + '<metadata><x/></metadata><i:x xmlns:i="urn:i" href="file:///etc/passwd"><script/></i:x><!-- c -->',
        before=f'<?xml version="1.0"?><?xml-stylesheet href="https://evil.test/a.css"?>{DOCTYPE}',
    )
    assert sanitize_svg(data).decode() == (
        '<svg viewBox="0 0 20 10" xmlns="http://www.w3.org/2000/svg" width="2048.0000" height="1024.0000">'
        '<rect width="10" height="10" fill="#ff0000"></rect></svg>'
    )


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (svg("<script>alert(1)</script>"), "contains <script>"),
        (svg("<foreignObject><body/></foreignObject>"), "contains <foreignObject>"),
        (svg('<image href="file:///etc/passwd"/>'), "contains <image>"),
        (svg("<text>Hello</text>"), "contains <text>.*Use shapes and paths"),
        (svg("<animate/>"), "contains <animate>"),
        (svg("<filter/>"), "contains <filter>"),
        (svg(f"<svg>{SQUARE}</svg>"), "contains <svg>"),
        (svg('<use href="other.svg#a"/>'), "refers to another file"),
        (svg('<use xlink:href="data:image/svg+xml;base64,PHN2Zz4="/>'), "refers to another file"),
        (svg("&a;", before='<!DOCTYPE svg [<!ENTITY a "b">]>'), "declares entities"),
        (svg("&a;", before='<!DOCTYPE svg [<!ENTITY a SYSTEM "file:///etc/passwd">]>'), "declares entities"),
        (svg("<g>" * 50 + "</g>" * 50), "40 levels"),
        (svg("<g/>" * 6000), "5,000 elements"),
        (svg(attributes=""), "no size"),
        (svg(attributes='viewBox="0 0 1 5000"'), "20 times"),
        (svg(attributes='viewBox="0 0 nan 10"'), "20 times"),
        (svg(attributes='viewBox="0 0 x 10"'), "invalid viewBox"),
        (svg("<rect"), "well-formed"),
        (b"<svg xmlns='urn:other'/>", "not an SVG image"),
        (b"<svg/>", "not an SVG image"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_unsupported_svg_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(InvalidImageError, match=message):
        sanitize_svg(data)


def test_reason_of_the_process_is_the_message() -> None:
    with pytest.raises(InvalidImageError, match=r"^The SVG image contains <script>, which is not supported"):
        prepare_image(svg("<script/>"))


def test_large_svg_is_refused_without_a_process() -> None:
    with pytest.raises(InvalidImageError, match="larger than 1 MB"):
        prepare_image(svg(" " * 1_100_000))


HOSTILE_USES = "".join(
    f'<g id="l{level}">' + f'<use href="#l{level - 1}"/>' * 10 + "</g>" if level else f'<g id="l0">{SQUARE}</g>'
    for level in range(9)
)


def random_line(points: int) -> str:
    generator = random.Random(1)
    numbers = [number / 100 for number in generator.choices(range(1000), k=2 * points)]
    return f'<polyline points="{" ".join(map(str, numbers))}"/>'


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: svg(random_line(60_000)), "takes more than 1 s"),
        pytest.param(lambda: svg(HOSTILE_USES), "takes more than 1 s", marks=pytest.mark.slow),
        (
            lambda: svg('<g opacity=".9">' * 38 + SQUARE + "</g>" * 38, 'viewBox="0 0 10 10"'),
            "more than 512 MB",
        ),
    ],
    ids=["line", "uses", "groups"],
)
def test_hostile_svg_ends_with_its_process(
    make: Callable[[], bytes], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_uploads, "MAX_SECONDS", 1)
    with pytest.raises(InvalidImageError, match=message):
        prepare_image(make())


@pytest.mark.parametrize(
    "data",
    [
        svg(),
        svg().decode().encode("utf-16"),
        b"<!--" + b"x" * 6000 + b"-->" + svg(),
        b" " * 6000 + svg(),
        b"\x1f\x8b\x08\x00" + bytes(50),
    ],
    ids=["plain", "utf-16", "comment", "blanks", "gzip"],
)
def test_svg_from_elsewhere_is_refused_before_it_is_parsed(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pyvips.Image, "new_from_buffer", None)
    with pytest.raises(InvalidImageError, match="not"):
        read_image_size(data)


elements = st.recursive(
    st.sampled_from(sorted(ELEMENTS)).map(lambda name: f"<{name}/>"),
    lambda inner: st.builds(
        lambda name, value, children: f'<{name} fill="{value}" id="a" href="#a">{"".join(children)}</{name}>',
        st.sampled_from(sorted(ELEMENTS | {"script", "a", "image"})),
        st.sampled_from(["red", "url(#a)", "url(http://x)", "url( '#a' )", "expression(1)", "\\75rl(x)", "URL(x)"]),
        st.lists(inner, max_size=3),
    ),
    max_leaves=12,
)


@given(elements)
def test_copy_is_well_formed_and_refers_to_nothing_outside(body: str) -> None:
    try:
        copy = sanitize_svg(svg(body))
    except InvalidImageError:
        return
    text = copy.decode().lower()
    assert "url(http" not in text
    assert "url(x" not in text
    assert "75rl" not in text
    assert "script" not in text
    assert sanitize_svg(copy) == sanitize_svg(sanitize_svg(copy))
    pyvips.Image.svgload_buffer(copy)

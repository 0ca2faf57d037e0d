"""SVG images that are uploaded: parsed, checked against an allow-list, and written again before librsvg reads them.

The copy has shapes, paths, gradients, patterns, masks, and references within the file: no scripts, entities, external
references, embedded images, text, filters or animations. An element of SVG that is not on the list makes the image
invalid, since it would look wrong without it; other attributes, and the elements of drawing programs, are left out.

No list bounds the time that librsvg takes: 2,000 random points of a line take seconds. So this runs in a process with
limits only (svg_process.py).
"""

import io
import re
from dataclasses import dataclass, field
from html import escape
from typing import Any
from xml.parsers.expat import ExpatError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import ParseError, iterparse

from cwz_web.i18n import gettext_lazy, number_lazy
from cwz_web.imaging.errors import InvalidImageError

MAX_SVG_BYTES = 1024 * 1024
MAX_ELEMENTS, MAX_DEPTH = 5000, 40
MAX_RATIO = 20
# The longer side of the copy in pixels.
SIDE = 2048
SVG, XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


ELEMENTS = _names(
    "svg g defs symbol use path rect circle ellipse line polyline polygon linearGradient radialGradient stop pattern "
    "marker clipPath mask style"
)
# Without effect on the pixels.
IGNORED = _names("title desc metadata")
PROPERTIES = _names(
    "fill fill-opacity fill-rule stroke stroke-width stroke-opacity stroke-linecap stroke-linejoin stroke-miterlimit "
    "stroke-dasharray stroke-dashoffset stop-color stop-opacity clip-rule clip-path mask opacity display visibility "
    "color mix-blend-mode isolation paint-order marker-start marker-mid marker-end"
)
ATTRIBUTES = _names(
    "id class d points x y x1 y1 x2 y2 cx cy r rx ry fx fy width height viewBox preserveAspectRatio transform offset "
    "gradientUnits gradientTransform spreadMethod patternUnits patternContentUnits patternTransform clipPathUnits "
    "maskUnits maskContentUnits markerUnits markerWidth markerHeight refX refY orient style href"
)
_reference = re.compile(r"#[A-Za-z_][\w.-]{0,100}")
_url = re.compile(r"url\(\s*[\"']?#[A-Za-z_][\w.-]{0,100}[\"']?\s*\)")
_value = re.compile(r"[\w\s#.,%()+*'\"-]{0,200}")
_comment = re.compile(r"/\*.*?\*/", re.DOTALL)
_rule = re.compile(r"([^{}]+)\{([^{}]*)\}")
_selector = re.compile(r"[\w\s.,#*>-]{1,500}")
_number = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?|\.[0-9]+)\s*(?:px)?\s*")


@dataclass
class _Copy:
    """The copy as far as it is written, and for each open element of the file whether it is in the copy."""

    parts: list[str] = field(default_factory=list)
    open: list[bool] = field(default_factory=list)
    elements: int = 0


def sanitize_svg(data: bytes) -> bytes:
    """Return a copy of an SVG image that refers to nothing outside, SIDE pixels long. Raises InvalidImageError."""
    copy = _Copy()
    try:
        for event, element in iterparse(io.BytesIO(data), events=("start", "end"), forbid_dtd=False):
            if event == "start":
                _open_element(copy, element)
            else:
                _close_element(copy, element)
                element.clear()
    except DefusedXmlException:
        raise InvalidImageError(gettext_lazy("The SVG image declares entities, which are not allowed")) from None
    except (ParseError, ExpatError, LookupError, ValueError):
        raise InvalidImageError(gettext_lazy("The SVG image is not well-formed XML")) from None
    return "".join(copy.parts).encode()


def _open_element(copy: _Copy, element: Any) -> None:
    namespace, _, name = element.tag.rpartition("}")
    is_root, is_foreign = not copy.open, namespace != "{" + SVG
    copy.elements += 1
    if copy.elements > MAX_ELEMENTS or len(copy.open) >= MAX_DEPTH:
        raise InvalidImageError(
            gettext_lazy(
                "The SVG image has more than %(elements)s elements or %(levels)s levels",
                elements=number_lazy(MAX_ELEMENTS),
                levels=MAX_DEPTH,
            )
        )
    if is_root and (is_foreign or name != "svg"):
        raise InvalidImageError(
            gettext_lazy("The file is not an SVG image: its root element is another one, or has no namespace")
        )
    is_kept = not is_foreign and name not in IGNORED and all(copy.open)
    copy.open.append(is_kept)
    if not is_kept or name == "style":
        return
    if name not in ELEMENTS or (name == "svg" and not is_root):
        raise InvalidImageError(
            gettext_lazy(
                "The SVG image contains <%(name)s>, which is not supported. Use shapes and paths", name=name[:40]
            )
        )
    attributes = _attributes(element)
    if is_root:
        attributes |= _root_size(attributes)
    written = "".join(f' {key}="{escape(value)}"' for key, value in attributes.items())
    copy.parts.append(f"<{name}{written}>")


def _close_element(copy: _Copy, element: Any) -> None:
    if not copy.open.pop():
        return
    name = element.tag.rpartition("}")[2]
    rules = _rules(element.text or "") if name == "style" else ""
    copy.parts.append(f"<style>{escape(rules)}</style>" if name == "style" else f"</{name}>")


def _attributes(element: Any) -> dict[str, str]:
    """Return the allowed attributes of an element, with those of `style` as attributes."""
    kept: dict[str, str] = {}
    for key, value in element.attrib.items():
        name = "href" if key == f"{{{XLINK}}}href" else key
        if name == "href" and not _reference.fullmatch(value.strip()):
            raise InvalidImageError(
                gettext_lazy("The SVG image refers to another file or embeds one, which is not allowed")
            )
        if name in ATTRIBUTES or (name in PROPERTIES and _is_safe(value)):
            kept[name] = value.strip()
    return kept | dict(_declarations(kept.pop("style", "")))


def _declarations(text: str) -> list[tuple[str, str]]:
    """Return the allowed declarations of a style."""
    pairs = (part.partition(":") for part in text.split(";"))
    found = [(name.strip().lower(), value.strip()) for name, _, value in pairs]
    return [(name, value) for name, value in found if name in PROPERTIES and _is_safe(value)]


def _rules(text: str) -> str:
    """Return the rules of a style sheet with plain selectors, and their allowed declarations."""
    rules = []
    for selector, body in _rule.findall(_comment.sub("", text)):
        if _selector.fullmatch(selector):
            declarations = "".join(f"{name}:{value};" for name, value in _declarations(body))
            rules.append(f"{selector.strip()}{{{declarations}}}")
    return "".join(rules)


def _is_safe(value: str) -> bool:
    """Return whether a value refers to nothing outside of the file."""
    return bool(_value.fullmatch(value)) and value.lower().count("url") == len(_url.findall(value))


def _root_size(attributes: dict[str, str]) -> dict[str, str]:
    """Return the view box of the image, and a size with its aspect ratio."""
    sides = [_number.fullmatch(attributes.get(name, "")) for name in ("width", "height")]
    numbers = attributes.get("viewBox", "").replace(",", " ").split()
    if len(numbers) != len("xywh"):
        if not all(sides):
            raise InvalidImageError(gettext_lazy("The SVG image has no size. Give it a viewBox"))
        numbers = ["0", "0", *(side[1] for side in sides if side)]
    try:
        _, _, width, height = map(float, numbers)
    except ValueError:
        raise InvalidImageError(gettext_lazy("The SVG image has an invalid viewBox")) from None
    longest = max(width, height)
    if not (min(width, height) > 0 and longest <= min(width, height) * MAX_RATIO and longest < float("inf")):
        raise InvalidImageError(
            gettext_lazy("One side of the SVG image is more than %(ratio)s times as long as the other", ratio=MAX_RATIO)
        )
    size = {"width": f"{width * SIDE / longest:.4f}", "height": f"{height * SIDE / longest:.4f}"}
    return {"xmlns": SVG, "viewBox": " ".join(numbers), **size}

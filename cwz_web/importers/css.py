"""Values of CSS in the JSON of other services: colors, shadows and positions."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

from tinycss2 import parse_component_value_list
from tinycss2.color4 import Color, parse_color

# Of a color or a list of shadows. Parsing takes time in proportion.
MAX_CSS_LENGTH = 500
SHADOW_LENGTHS = range(2, 5)


@dataclass(frozen=True)
class CssShadow:
    """A shadow of CSS; `blur` is twice the standard deviation, as in CSS. Lengths are pixels."""

    color: str
    x: float
    y: float
    blur: float
    spread: float
    inset: bool


def read_color(text: str) -> str | None:
    """Return a color of CSS as `#rrggbb`, or `#rrggbbaa` if it is not opaque; None if it is none."""
    return _hex(parse_color(text.strip())) if len(text) <= MAX_CSS_LENGTH else None


def read_shadows(text: str, default_color: str) -> list[CssShadow] | None:
    """Return the shadows of a `box-shadow` or a `text-shadow`, the first one on top; None if it is not valid.

    Args:
        text: the value; `none` is no shadow.
        default_color: the color of shadows without one.
    """
    if len(text) > MAX_CSS_LENGTH:
        return None
    if text.strip().lower() in ("", "none"):
        return []
    shadows = [_read_shadow(part, default_color) for part in _split_at_commas(parse_component_value_list(text))]
    found = [shadow for shadow in shadows if shadow]
    return found if len(found) == len(shadows) else None


def is_visible(color: str) -> bool:
    """Return whether a color is not completely transparent."""
    return len(color) == len("#rrggbb") or color[-2:] != "00"


def _split_at_commas(tokens: Sequence[Any]) -> Iterator[list[Any]]:
    part: list[Any] = []
    for token in tokens:
        if token.type == "literal" and token.value == ",":
            yield part
            part = []
        elif token.type not in ("whitespace", "comment"):
            part.append(token)
    yield part


def _read_shadow(tokens: Sequence[Any], default_color: str) -> CssShadow | None:
    lengths: list[float] = []
    color, inset = default_color, False
    for token in tokens:
        if token.type == "number" or (token.type == "dimension" and token.lower_unit == "px"):
            lengths.append(float(token.value))
        elif token.type == "ident" and token.lower_value == "inset":
            inset = True
        elif found := _hex(parse_color(token)):
            color = found
        else:
            return None
    if len(lengths) not in SHADOW_LENGTHS or not all(map(isfinite, lengths)):
        return None
    x, y, blur, spread = [*lengths, 0.0, 0.0][:4]
    return CssShadow(color, x, y, blur, spread, inset)


def _hex(color: Color | str | None) -> str | None:
    if color is None or isinstance(color, str):  # such as currentcolor, which says nothing here
        return None
    try:
        red, green, blue, alpha = (each or 0 for each in color.to("srgb"))
    except (NotImplementedError, ValueError):  # a color space that the library does not convert
        return None
    channels = bytes(round(min(max(each, 0), 1) * 255) for each in (red, green, blue, alpha))
    return f"#{channels[:3].hex()}" if channels[3] == 255 else f"#{channels.hex()}"

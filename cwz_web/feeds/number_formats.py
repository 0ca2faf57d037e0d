"""Numbers of spreadsheets as their cells show them (ECMA-376, part 1, 18.8.30).

Decimals, leading zeros, percent and literals such as a currency follow the cell's format. The decimal sign is always a
point and thousands are not separated, since both depend on the settings of the computer that shows the cell.
"""

import math
import re
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Context, Decimal
from functools import lru_cache

# Formats without a code in the file, by their numbers. Dates are not here: they are read as dates.
BUILT_IN_FORMATS = {
    1: "0",
    2: "0.00",
    3: "#,##0",
    4: "#,##0.00",
    5: '"$"#,##0',
    6: '"$"#,##0',
    7: '"$"#,##0.00',
    8: '"$"#,##0.00',
    9: "0%",
    10: "0.00%",
    37: "#,##0",
    38: "#,##0",
    39: "#,##0.00",
    40: "#,##0.00",
    41: "#,##0",
    43: "#,##0.00",
}
SIGNIFICANT_DIGITS = 15
MAX_DECIMALS = 15
# A sheet has few different formats, and a cell for each number.
CACHED_FORMATS = 256
# A float has at most 309 digits before the point, two more as a percentage.
_decimals = Context(prec=400, rounding=ROUND_HALF_UP)
_tokens = re.compile(
    r'"(?P<quoted>[^"]*)"|\\(?P<escaped>.)|_.|\*.|\[\$(?P<currency>[^\]-]*)[^\]]*\]|\[[^\]]*\]'
    r"|(?P<exponent>[eE][-+])|(?P<digit>[0#?])|(?P<other>.)",
    re.DOTALL,
)


@dataclass(frozen=True)
class ShownNumber:
    """A number as text; `is_plain` if it is nothing but a number."""

    text: str
    is_plain: bool


@dataclass
class _Section:
    """A part of a format: literals around the digits, and how many digits there are."""

    prefix: str = ""
    suffix: str = ""
    mask: str = ""
    decimals: int = 0
    min_decimals: int = 0
    scale: int = 0
    is_percent: bool = False
    is_supported: bool = True


def show_number(value: float, code: str | None) -> ShownNumber:
    """Return a number in a cell's format; without a format as it is."""
    if not math.isfinite(value):
        return ShownNumber(str(value), False)
    sections = _sections_of(code) if code else ()
    if not sections:
        return ShownNumber(plain_number(value), True)
    is_negative = value < 0
    section = sections[1] if is_negative and len(sections) > 1 else sections[0]
    if not section.is_supported or not section.mask:
        return ShownNumber(plain_number(value), True)
    text = _fill(abs(Decimal(repr(value))), section)
    prefix, suffix = section.prefix.replace("-", "").replace("(", ""), section.suffix.replace(")", "")
    sign = "-" if is_negative and text.strip("0.") else ""
    percent = "%" if section.is_percent else ""
    shown = f"{sign}{prefix}{text}{percent}{suffix}".strip()
    return ShownNumber(shown, shown == f"{sign}{text}" and is_plain(text))


def plain_number(value: float) -> str:
    """Return a number with at most 15 significant digits, as a spreadsheet stores it."""
    if value == int(value) and abs(value) < 10**SIGNIFICANT_DIGITS:
        return str(int(value))
    return format(Decimal(f"{value:.{SIGNIFICANT_DIGITS}g}"), "f")


def is_plain(text: str) -> bool:
    """Whether a text is a number without leading zeros."""
    return re.fullmatch(r"-?(?:0|[1-9]\d*)(?:\.\d+)?", text) is not None


@lru_cache(CACHED_FORMATS)
def _sections_of(code: str) -> tuple[_Section, ...]:
    """Return the sections of a format for positive and negative numbers. Memoized: it is parsed for each cell."""
    if code.strip().lower() in ("general", "@", "standard", ""):
        return ()
    parts = re.findall(r'(?:"[^"]*"|\\.|\[[^\]]*\]|[^;"\\\[])+', code[:500])
    return tuple(map(_parse_section, parts[:2]))


def _parse_section(code: str) -> _Section:
    section = _Section()
    after_point, literal, commas = False, "", 0
    for match in _tokens.finditer(code):
        text = match["quoted"] or match["escaped"] or match["currency"]
        if match["exponent"] or match["other"] == "/":
            section.is_supported = False
        elif match["digit"]:
            if section.mask and not after_point and literal:
                section.mask += literal  # as in 000-000
                literal = ""
            commas = 0
            if after_point:
                section.decimals = min(section.decimals + 1, MAX_DECIMALS)
                if match["digit"] == "0":
                    section.min_decimals = section.decimals
            else:
                section.mask += match["digit"]
        elif match["other"] == "." and section.mask:
            after_point = True
        elif match["other"] == "," and section.mask:
            commas += 1
        elif match["other"] == "%":
            section.is_percent = True
        else:
            literal += text if text is not None else match["other"] or ""
        if not section.mask:
            section.prefix, literal = section.prefix + literal, ""
    section.suffix, section.scale = literal, commas
    return section


def _fill(value: Decimal, section: _Section) -> str:
    """Return a number in the digits of a section."""
    value = value.scaleb(2 if section.is_percent else -3 * section.scale, _decimals)
    rounded = value.quantize(Decimal(1).scaleb(-section.decimals), context=_decimals)
    whole, _, decimals = format(rounded, "f").partition(".")
    while len(decimals) > section.min_decimals and decimals.endswith("0"):
        decimals = decimals[:-1]
    digits = list(whole.lstrip("0"))
    filled: list[str] = []
    for placeholder in reversed(section.mask):
        if placeholder not in "0#?":
            filled.append(placeholder if digits else "")
        elif digits:
            filled.append(digits.pop())
        elif placeholder == "0":
            filled.append("0")
    text = "".join([*digits, *reversed(filled)]) or "0"
    return f"{text}.{decimals}" if decimals else text

"""The form of a workspace's brand: rows of entries, whose names and values are typed. No database.

A field's name is its section, the number of its row and its key (`colors.0.value`). `was` is the name of an entry
before the change, so that renaming it is not the same as removing it and adding another one.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from slugify import slugify

from cwz_web.i18n import gettext, gettext_noop
from cwz_web.imaging.brand import Brand, BrandStyle, Entry
from cwz_web.imaging.brand_references import KINDS, Kind, reference_to
from cwz_web.web.forms import error_messages

# Keys of a row's value, by section.
STYLE_KEYS = tuple(BrandStyle.model_fields)
KEYS = {"colors": ("value",), "fonts": ("value",), "logos": ("value",), "styles": STYLE_KEYS}
SECTIONS: dict[str, Kind] = {f"{kind}s": kind for kind in KINDS}
# Rows for new entries.
BLANK_ROWS = {"colors": 2, "fonts": 1, "logos": 1, "styles": 1}
MAX_NAME = 40
# Messages about a name that is taken, by section.
TAKEN = {
    "colors": gettext_noop("Another of the colors has this name"),
    "fonts": gettext_noop("Another of the fonts has this name"),
    "logos": gettext_noop("Another of the logos has this name"),
    "styles": gettext_noop("Another of the styles has this name"),
}
_field = re.compile(r"(colors|fonts|logos|styles)\.([0-9]{1,2})\.([a-z_]{1,20})")


@dataclass(frozen=True)
class EntryRow:
    """A row of the form; `was` is empty for a new entry."""

    section: str
    number: int
    name: str
    was: str
    values: Mapping[str, str]
    is_removed: bool = False

    def field(self, key: str) -> str:
        """Return the name of one of its fields."""
        return f"{self.section}.{self.number}.{key}"


@dataclass(frozen=True)
class BrandChange:
    """A submitted form.

    Attributes:
        brand: the new brand; None if it is invalid.
        renamed: the new names of entries that were renamed.
        errors: messages by field; "" is for the brand as a whole.
    """

    brand: Brand | None
    renamed: Mapping[Entry, str]
    errors: Mapping[str, str]
    rows: list[EntryRow]


def rows_of(brand: Brand) -> list[EntryRow]:
    """Return the rows that show a brand, with blank ones for new entries."""
    rows: list[EntryRow] = []
    for section, kind in SECTIONS.items():
        entries = list(brand.section(kind).items())
        for number, (name, value) in enumerate(entries):
            values = _style_values(value) if isinstance(value, BrandStyle) else {"value": value}
            rows.append(EntryRow(section, number, name, name, values))
        blank = _style_values(BrandStyle()) if section == "styles" else {"value": ""}
        numbers = range(len(entries), len(entries) + BLANK_ROWS[section])
        rows += [EntryRow(section, number, "", "", blank) for number in numbers]
    return rows


def read_brand(typed: Mapping[str, str]) -> BrandChange:
    """Read the submitted form of a brand."""
    rows = list(_rows(typed))
    used = [row for row in rows if row.name and not row.is_removed]
    unnamed = [row for row in rows if not row.name and row.was and not row.is_removed]
    errors = {row.field("name"): gettext("Enter a name") for row in unnamed}
    renamed: dict[Entry, str] = {}
    taken: set[tuple[str, str]] = set()
    for row in used:
        if (row.section, row.name) in taken:
            errors[row.field("name")] = gettext(TAKEN[row.section])
        taken.add((row.section, row.name))
        if row.was and row.was != row.name:
            renamed[SECTIONS[row.section], row.was] = row.name
    try:
        brand = Brand.model_validate(_document(used, renamed))
    except ValidationError as error:
        return BrandChange(None, renamed, errors | _errors(used, error), rows)
    return BrandChange(None if errors else brand, renamed, errors, rows)


def _rows(typed: Mapping[str, str]) -> Iterator[EntryRow]:
    found: dict[tuple[str, int], dict[str, str]] = {}
    for name, text in typed.items():
        if field := _field.fullmatch(name):
            found.setdefault((field[1], int(field[2])), {})[field[3]] = text.strip()
    for (section, number), row in sorted(found.items()):
        values = {key: row.get(key, "") for key in KEYS[section]}
        name = slugify(row.get("name", "")[:200], max_length=MAX_NAME)
        yield EntryRow(section, number, name, row.get("was", ""), values, row.get("remove") == "on")


def _document(rows: list[EntryRow], renamed: Mapping[Entry, str]) -> dict[str, Any]:
    document: dict[str, Any] = {section: {} for section in SECTIONS}
    for row in rows:
        values = {key: _renamed(key, text, renamed) for key, text in row.values.items()}
        document[row.section][row.name] = values if row.section == "styles" else values["value"]
    return document


def _renamed(key: str, text: str, renamed: Mapping[Entry, str]) -> str:
    """Return a value of a style, which can refer to an entry that the form renames."""
    for (kind, old), new in renamed.items():
        if key == kind and text == reference_to(old):
            return reference_to(new)
    return text


def _errors(rows: list[EntryRow], error: ValidationError) -> dict[str, str]:
    """Return messages by field."""
    named = {(row.section, row.name): row for row in rows}
    found: dict[str, str] = {}
    for path, message in error_messages(error).items():
        section, _, rest = path.partition(".")
        name, _, key = rest.partition(".")
        row = named.get((section, name))
        # Patterns are not described in MESSAGES: the messages are pydantic's.
        text = gettext("Enter a color as #rrggbb, or choose one of the brand") if "pattern '^#" in message else message
        text = gettext("Choose an upload") if "pattern '^upload" in message else text
        found.setdefault(row.field(key or "value") if row else "", text)
    return found


def _style_values(style: BrandStyle) -> dict[str, str]:
    return {key: f"{value:g}" if isinstance(value, float) else str(value) for key, value in style}

"""Stress rows: the rows of a feed that show soonest where a design breaks."""

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from sqlalchemy.orm import Session

from cwz_web.feeds.models import Feed, Item
from cwz_web.feeds.queries import list_items
from cwz_web.i18n import gettext, in_sentence
from cwz_web.imaging.template_parts import TemplateField
from cwz_web.values.numbers import Money, read_money

MAX_STRESS_ROWS = 12
# Stress rows are those among the first ones: a request does not take longer for a larger feed.
SCANNED_ROWS = 2000
# A row can have 4 MB: no more are read once these have so many characters.
SCANNED_CHARACTERS, STEP = 20_000_000, 50
# Rows with their numbers.
Numbered: TypeAlias = Sequence[tuple[int, Mapping[str, str]]]
_TEXTS = frozenset({"text", "list"})


@dataclass(frozen=True)
class StressRow:
    """A row, counted from 1, and why it is one: `Longest title, no image`."""

    number: int
    reason: str


def scan_items(db: Session, feed: Feed) -> list[Item]:
    """Return the first items of a feed, among which its stress rows are, as far as they fit into memory."""
    items: list[Item] = []
    characters = 0
    while len(items) < SCANNED_ROWS and characters < SCANNED_CHARACTERS:
        found = list_items(db, feed, items[-1].position if items else 0, STEP)
        items += found
        characters += sum(len(text) for item in found for text in item.data.values())
        if len(found) < STEP:
            break
    return items


def find_stress_rows(
    fields: Sequence[TemplateField], rows: Iterable[Mapping[str, str]], limit: int = MAX_STRESS_ROWS
) -> list[StressRow]:
    """Return the rows with extreme values, in their order.

    These are the longest and the shortest value of each text, rows without a value, the highest price, the row with the
    most text and one in another script than Latin.

    Args:
        fields: the fields that the design uses.
        rows: values by field.
        limit: how many rows at most; the reasons that come first are kept.
    """
    numbered = list(enumerate(rows, start=1))
    reasons: dict[int, list[str]] = {}

    def add(number: int | None, reason: str) -> None:
        if number is not None and (number in reasons or len(reasons) < limit):
            reasons.setdefault(number, []).append(reason)

    for field in fields:
        label = in_sentence(field.label)
        if field.type in _TEXTS:
            add(_extreme(numbered, field.name, largest=True), gettext("longest %(field)s", field=label))
        if field.type == "image":
            add(_first_empty(numbered, field.name), gettext("no %(field)s", field=label))
    add(_most_text(numbered, [field.name for field in fields if field.type in _TEXTS]), gettext("most text"))
    add(next((number for number, row in numbered if _has_other_script(row)), None), gettext("not Latin"))
    for field in fields:
        label = in_sentence(field.label)
        if field.type == "money" or "price" in field.name:
            add(_highest(numbered, field.name), gettext("highest %(field)s", field=label))
        if field.type != "image":
            add(_first_empty(numbered, field.name), gettext("no %(field)s", field=label))
        if field.type in _TEXTS:
            add(_extreme(numbered, field.name, largest=False), gettext("shortest %(field)s", field=label))
    return [StressRow(number, _capitalize(", ".join(found))) for number, found in sorted(reasons.items())]


def _capitalize(text: str) -> str:
    return text[:1].upper() + text[1:]


def _extreme(rows: Numbered, name: str, *, largest: bool) -> int | None:
    lengths = [(len(row.get(name, "").strip()), number) for number, row in rows if row.get(name, "").strip()]
    if not lengths:
        return None
    # Of equal ones the first.
    return min(lengths, key=lambda each: (-each[0] if largest else each[0], each[1]))[1]


def _first_empty(rows: Numbered, name: str) -> int | None:
    return next((number for number, row in rows if not row.get(name, "").strip()), None)


def _most_text(rows: Numbered, names: Sequence[str]) -> int | None:
    lengths = [(-sum(len(row.get(name, "")) for name in names), number) for number, row in rows]
    return min(lengths)[1] if lengths and min(lengths)[0] else None


def _highest(rows: Numbered, name: str) -> int | None:
    amounts = []
    for number, row in rows:
        money = read_money(row.get(name, ""))
        if isinstance(money, Money):
            amounts.append((-money.amount, number))
    return min(amounts)[1] if amounts else None


def _has_other_script(row: Mapping[str, str]) -> bool:
    """Return whether a row has letters that are not Latin."""
    return any(
        character.isalpha() and not unicodedata.name(character, "LATIN").startswith(("LATIN", "MODIFIER"))
        for text in row.values()
        if not text.isascii()
        for character in text[:500]
    )

"""Rows of a feed that a starter can show, so that people see it with their own data before they choose it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cwz_web.demo.starters import StarterEntry
from cwz_web.i18n import gettext
from cwz_web.runs.mapping import apply_mapping, guess_mapping


@dataclass(frozen=True)
class FeedRows:
    """The rows of a feed that a starter can show.

    Attributes:
        numbers: which of the examined rows these are, counted from 0.
        problem: why there are none, as a sentence; empty if there are some.
    """

    numbers: tuple[int, ...] = ()
    problem: str = ""


def find_rows(starter: StarterEntry, columns: Sequence[str], rows: Sequence[Mapping[str, str]], limit: int) -> FeedRows:
    """Return the first rows with a value for all key fields of a starter.

    Args:
        starter: the starter.
        columns: the feed's columns.
        rows: the first rows of the feed.
        limit: at most so many rows.
    """
    if not rows:
        return FeedRows(problem=gettext("This feed has no rows"))
    mapping = guess_mapping(starter.fields, columns, rows)
    labels = {field.name: field.label for field in starter.fields}
    unfilled = [labels[name] for name in starter.key_fields if not mapping[name]]
    if unfilled:
        return FeedRows(problem=gettext("No column for %(fields)s", fields=_join(unfilled)))
    numbers = [number for number, row in enumerate(rows) if _is_suitable(starter, mapping, row)]
    if not numbers:
        key_labels = [labels[name] for name in starter.key_fields]
        fields = _join(key_labels)
        return FeedRows(
            problem=gettext("No row with %(fields)s among the first %(rows)s", fields=fields, rows=len(rows))
        )
    return FeedRows(tuple(numbers[:limit]))


def _is_suitable(starter: StarterEntry, mapping: Mapping[str, str], row: Mapping[str, str]) -> bool:
    values = apply_mapping(mapping, row, {})
    return all(values[name].strip() for name in starter.key_fields)


def _join(labels: Sequence[str]) -> str:
    *first, last = labels
    return gettext("%(fields)s and %(last)s", fields=", ".join(first), last=last) if first else last

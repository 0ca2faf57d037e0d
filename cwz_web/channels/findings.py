"""What was found in the values of a feed, and the report about a feed that was written."""

import re
from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from cwz_web.i18n import gettext, gettext_noop

MAX_KEYS, MAX_GROUPS = 20, 200
MAX_EXAMPLE, MAX_REASON = 80, 300
# What differs in the same reason: numbers, and what is in quotation marks.
_variable_part = re.compile(r"\d[\d.,]*|“[^”]*”")


class FindingKind(StrEnum):
    """What was found in a value."""

    UNMAPPED = "unmapped"  # a required field has no mapping
    MISSING = "missing"  # a required value is empty
    UNCLEAR = "unclear"  # the value was left out
    CUT = "cut"
    DUPLICATE = "duplicate"  # another row has the same value
    ORDER = "order"  # a sale price that is not lower than the price
    GROUP = "group"  # too few of some fields have a value
    FILE = "file"  # more than the platform takes in a file

    @property
    def label(self) -> str:
        return gettext(FINDING_LABELS[self])


FINDING_LABELS = {
    FindingKind.UNMAPPED: gettext_noop("Required, but not mapped"),
    FindingKind.MISSING: gettext_noop("Required, but empty"),
    FindingKind.UNCLEAR: gettext_noop("Left out: the value cannot be converted"),
    FindingKind.CUT: gettext_noop("Cut: the value is too long"),
    FindingKind.DUPLICATE: gettext_noop("The same value as in another row"),
    FindingKind.ORDER: gettext_noop("Left out: not lower than the price"),
    FindingKind.GROUP: gettext_noop("Too few of these fields have a value"),
    FindingKind.FILE: gettext_noop("The file is larger than the platform takes"),
}


class HoldReason(StrEnum):
    """Why a row is left out of a feed."""

    IMAGE = "image"  # it has no image that is approved
    VALUE = "value"  # a required value is missing or cannot be converted
    DUPLICATE = "duplicate"  # another row has the same id

    @property
    def label(self) -> str:
        return gettext(HOLD_REASON_LABELS[self])


HOLD_REASON_LABELS = {
    HoldReason.IMAGE: gettext_noop("No approved image"),
    HoldReason.VALUE: gettext_noop("A required value is missing"),
    HoldReason.DUPLICATE: gettext_noop("Another row has the same id"),
}


class FieldFinding(BaseModel):
    """The rows in which the same was found in a field.

    Attributes:
        field: the field's name; "" for the file as a whole.
        kind: what was found.
        reason: why, in English; it continues a sentence that begins with the value. "" if the kind says it all.
        example: the value in the first of the rows.
        rows: how many rows there are.
        keys: the keys of the first ones.
    """

    model_config = ConfigDict(frozen=True)

    field: str
    kind: FindingKind
    reason: str = ""
    example: str = ""
    rows: Annotated[int, Field(ge=1)]
    keys: list[str]


class FeedReport(BaseModel):
    """What was written into a feed, and what was not.

    Attributes:
        rows: how many rows it has.
        held: how many rows were left out, by the reason.
        findings: what was found in values, most rows first.
        digest: SHA-256 of the feed before compression, in hexadecimal digits.
        size: its bytes before compression.
    """

    model_config = ConfigDict(frozen=True)

    rows: int
    held: dict[HoldReason, int] = {}
    findings: list[FieldFinding] = []
    digest: str
    size: int

    @property
    def held_rows(self) -> int:
        """How many rows were left out."""
        return sum(self.held.values())


class Findings:
    """Counts what is found in values, grouped by field, kind and reason."""

    def __init__(self) -> None:
        self._groups: dict[tuple[str, FindingKind, str], _Group] = {}

    def add(self, field: str, kind: FindingKind, key: str, *, reason: str = "", example: str = "") -> None:
        """Count a row.

        Args:
            field: the field's name.
            kind: what was found.
            key: the key of the row.
            reason: why.
            example: the value.
        """
        group_key = field, kind, _variable_part.sub("#", reason)
        group = self._groups.get(group_key)
        if group is None:
            if len(self._groups) >= MAX_GROUPS:
                group_key = field, kind, ""
            group = self._groups.setdefault(group_key, _Group(reason[:MAX_REASON], example[:MAX_EXAMPLE]))
        group.rows += 1
        if len(group.keys) < MAX_KEYS:
            group.keys.append(key)

    def list(self) -> list[FieldFinding]:
        """Return the groups, most rows first."""
        found = [
            FieldFinding(
                field=field, kind=kind, reason=group.reason, example=group.example, rows=group.rows, keys=group.keys
            )
            for (field, kind, _), group in self._groups.items()
        ]
        return sorted(found, key=lambda each: (-each.rows, each.field, each.kind))


class _Group:
    __slots__ = ("example", "keys", "reason", "rows")

    def __init__(self, reason: str, example: str) -> None:
        self.reason, self.example, self.rows, self.keys = str(reason), str(example), 0, list[str]()

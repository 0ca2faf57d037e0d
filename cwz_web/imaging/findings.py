"""Findings: problems of an image that a user should review, such as a missing photo or text that was cut."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

from pydantic import Field

MAX_FINDINGS = 50
MAX_MESSAGE_LENGTH = 500


class FindingCode(StrEnum):
    """The types of findings."""

    PHOTO_MISSING = "photo_missing"
    ROW_EMPTY = "row_empty"
    PHOTO_CUT_OFF = "photo_cut_off"
    PHOTO_UNPROCESSED = "photo_unprocessed"
    OVERFLOW = "overflow"
    BELOW_MINIMUM = "below_minimum"
    TOO_HIGH = "too_high"
    MISSING_GLYPH = "missing_glyph"
    UPSCALED = "upscaled"
    LOW_CONTRAST = "low_contrast"
    UNSCANNABLE = "unscannable"
    BAD_CODE = "bad_code"
    VALUE_UNCLEAR = "value_unclear"
    NO_EFFECT = "no_effect"


# Advice on the design. It is shown before rendering, in the designer and the check before a run, and is not a fault of
# a rendered image.
ADVICE = frozenset({FindingCode.UPSCALED, FindingCode.LOW_CONTRAST, FindingCode.NO_EFFECT})


@dataclass(frozen=True)
class Finding:
    """A problem of one layer of an image. It is validated where pydantic models contain it.

    Attributes:
        code: the type.
        message: what is wrong; it continues a sentence that begins with the layer's name.
        layer: the layer's name.
    """

    code: FindingCode
    message: Annotated[str, Field(max_length=MAX_MESSAGE_LENGTH, pattern=r"^[^\x00]*$")]
    layer: Annotated[str, Field(max_length=60, pattern=r"^[^\x00]*$")]


def faults(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return the findings of a rendered image: at most MAX_FINDINGS, each once, without advice on the design."""
    distinct = dict.fromkeys(finding for finding in findings if finding.code not in ADVICE)
    return tuple(distinct)[:MAX_FINDINGS]

"""A look at some rows before a run: what should be mended, counted over the rows that it is true of."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cwz_web.generation.image_service import ImageService
from cwz_web.imaging.documents import ImageTemplate
from cwz_web.imaging.encoders import Output
from cwz_web.imaging.errors import ImagingError
from cwz_web.storage.contract import StorageError
from cwz_web.storage.uploads import Uploads

SECONDS = 5.0


@dataclass(frozen=True)
class Remark:
    """Something about a layer (or, with none, about the whole image), and in how many rows it was seen."""

    layer: str
    message: str
    rows: int


@dataclass(frozen=True)
class Review:
    """What a look at some rows found. `looked` is how many there was time for."""

    looked: int
    remarks: tuple[Remark, ...]


def review(
    image_service: ImageService, uploads: Uploads, template: ImageTemplate, rows: Sequence[Mapping[str, str]]
) -> Review:
    """Render some rows and tell what should be looked at, the most frequent first; for a few seconds at most."""
    ends = time.monotonic() + SECONDS
    seen: Counter[tuple[str, str, str]] = Counter()
    words: dict[tuple[str, str, str], str] = {}
    looked = 0
    for row in rows:
        try:
            findings = image_service.lint(image_service.order(uploads, template, row, Output()))
            found = {(finding.layer, finding.check.value, ""): finding.message for finding in findings}
        except (ImagingError, StorageError) as error:
            found = {("", "", str(error)): str(error)}
        seen.update(found.keys())
        words = found | words
        looked += 1
        if time.monotonic() > ends:
            break
    return Review(looked, tuple(Remark(key[0], words[key], rows) for key, rows in seen.most_common()))

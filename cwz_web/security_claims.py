"""The security claims, read from `docs/security-claims.md`: the public page says what that file says, and no more.

The package holds a link to the file; a wheel holds a copy.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

FILE = "security-claims.md"
_link = re.compile(r"\[([^\]]*)\]\([^)]*\)")


@dataclass(frozen=True)
class Claim:
    """A promise, where it is kept, and the tests that show it."""

    promise: str
    kept_in: str
    shown_by: str

    @property
    def anchor(self) -> str:
        """A name for a link to it."""
        return re.sub(r"[^a-z0-9]+", "-", self.promise.lower()).strip("-")[:60].rstrip("-")


@dataclass(frozen=True)
class Section:
    """A heading of the file, and what stands under it as plain points."""

    title: str
    points: tuple[str, ...]


@lru_cache(maxsize=1)
def claims() -> tuple[Claim, ...]:
    """Every row of the table."""
    rows = [line.strip("| \n").split(" | ") for line in _text().splitlines() if line.startswith("| ")]
    return tuple(Claim(*(_plain(cell) for cell in row)) for row in rows[1:])


@lru_cache(maxsize=1)
def limits() -> tuple[Section, ...]:
    """What is not promised: the sections after the table that are lists."""
    found = []
    for part in _text().split("\n## ")[1:]:
        title, _, body = part.partition("\n")
        points = re.findall(r"^- (.*(?:\n  .*)*)", body, re.MULTILINE)
        if points:
            found.append(Section(title, tuple(_plain(" ".join(point.split())) for point in points)))
    return tuple(found)


def _text() -> str:
    return files(__package__).joinpath(FILE).read_text()


def _plain(text: str) -> str:
    return _link.sub(r"\1", text).replace("`", "").strip()

"""The security claims of the public security page, from `security_claims.toml`.

Run as a module, it prints `docs/security-claims.md`, which shows the same claims in the repository.
"""

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

FILE = "security_claims.toml"


@dataclass(frozen=True)
class Claim:
    """What the software does, the code that does it, and the tests that prove it."""

    text: str
    code: tuple[str, ...]
    tests: tuple[str, ...]

    @property
    def anchor(self) -> str:
        """The id of the claim on the page."""
        return re.sub(r"[^a-z0-9]+", "-", self.text.lower()).strip("-")[:60].rstrip("-")


@dataclass(frozen=True)
class ClaimSection:
    """Claims about one subject."""

    title: str
    claims: tuple[Claim, ...]


@dataclass(frozen=True)
class PointSection:
    """A section that is a list of points."""

    title: str
    points: tuple[str, ...]
    intro: str = ""


@dataclass(frozen=True)
class SecurityClaims:
    """The contents of the file."""

    sections: tuple[ClaimSection, ...]
    limits: PointSection
    attacks: PointSection
    deviations: PointSection

    @property
    def claims(self) -> tuple[Claim, ...]:
        """Every claim."""
        return tuple(claim for section in self.sections for claim in section.claims)


@cache
def load_claims() -> SecurityClaims:
    """Read the package's file."""
    content = tomllib.loads(files(__package__).joinpath(FILE).read_text())
    sections = (
        ClaimSection(
            section["title"],
            tuple(Claim(claim["text"], tuple(claim["code"]), tuple(claim["tests"])) for claim in section["claim"]),
        )
        for section in content["section"]
    )
    return SecurityClaims(
        tuple(sections), _points(content["limits"]), _points(content["attacks"]), _points(content["deviations"])
    )


def to_markdown(claims: SecurityClaims) -> str:
    """Return the page of the repository's documentation."""
    lines = [
        "# Security claims",
        "",
        "What the software does, the code that does it, and the tests that prove it. A claim without a test does not",
        "belong here. Generated from `cwz_web/security_claims.toml` by `python -m cwz_web.security_claims`.",
    ]
    for section in claims.sections:
        lines += ["", f"## {section.title}", "", "| claim | code | tests |", "|---|---|---|"]
        lines += [f"| {claim.text} | {_paths(claim.code)} | {_paths(claim.tests)} |" for claim in section.claims]
    for points in (claims.limits, claims.attacks, claims.deviations):
        lines += ["", f"## {points.title}", ""]
        lines += [points.intro, ""] if points.intro else []
        lines += [f"- {point}" for point in points.points]
    return "\n".join(lines) + "\n"


def _points(table: dict[str, Any]) -> PointSection:
    return PointSection(table["title"], tuple(table["points"]), table.get("intro", ""))


def _paths(paths: tuple[str, ...]) -> str:
    return ", ".join(f"`{path}`" for path in paths)


if __name__ == "__main__":
    print(to_markdown(load_claims()), end="")  # noqa: T201 - the purpose of the module

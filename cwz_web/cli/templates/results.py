"""What a command did with each file, as lines for people and as JSON for programs."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

# What is not done until a person decides, so that the command fails.
FAILURES = frozenset({"conflict", "invalid", "missing"})


@dataclass(frozen=True)
class Finding:
    """A mistake in a file.

    Attributes:
        path: the place in the JSON, such as `layers.1.size`; empty for the file as a whole.
        line: counted from 1; 0 if it is not known.
    """

    file: str
    message: str
    path: str = ""
    line: int = 0

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.path}: {self.message}" if self.path else f"{place}: {self.message}"


@dataclass(frozen=True)
class Result:
    """What was done with a file.

    Attributes:
        action: such as `created`, `updated`, `unchanged`, `conflict`.
        detail: a sentence.
        lines: what else there is to say, such as the changes on the server.
        findings: mistakes in the file.
    """

    file: str
    action: str
    detail: str = ""
    lines: Sequence[str] = ()
    findings: Sequence[Finding] = field(default=())

    @property
    def is_failure(self) -> bool:
        """Whether a person has to decide something."""
        return self.action in FAILURES

    def to_json(self) -> dict[str, Any]:
        """Return the result as JSON."""
        findings = [vars(finding) for finding in self.findings]
        return {
            "file": self.file,
            "action": self.action,
            "detail": self.detail,
            "lines": list(self.lines),
            "findings": findings,
        }

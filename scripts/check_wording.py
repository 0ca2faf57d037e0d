"""Check the wording of code, documentation and templates, and the form of templates.

Print each use of a word that the glossary (CONTRIBUTING.md, "Words") replaces, with the word to use instead, and each
template line that is too long or holds logic that belongs to a view model. Exit with status 1 if there is any.
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
SUFFIXES = (
    ".py",
    ".jinja2",
    ".html",
    ".md",
    ".sql",
    ".js",
    ".mjs",
    ".css",
    ".ini",
    ".cfg",
    ".toml",
    ".yaml",
    ".yml",
    ".service",
    ".sh",
    ".env",
    "Makefile",
    "Dockerfile",
    "Caddyfile",
)
# Locked packages, generated files, third-party data, this list, and what reads documents of older versions.
EXEMPT = re.compile(
    r"(requirements|tests/data|bench/peers|node_modules)/|scripts/check_wording\.py|.*document_migrations\.py"
    r"|cwz_web/accounts/password_advice\.py"
)
MAX_TEMPLATE_LINE = 140

# A pattern, and what to write instead. A space also matches the underscore of an identifier.
WORDS = {
    r"can not": "cannot",
    r"at the (?:most|least)": "at most, at least",
    r"whoever|whomever|who asks": "the user, the caller, the client",
    r"somebody|nobody(?![`\"])|anybody": "a user, the caller, no one",
    r"by (?:itself|themselves)": "on its own, automatically",
    r"pictures?(?![|\"'])": "image",
    r"colours?|coloured|greyscale|grey|behaviour|favour(?:ite)?": "American spelling",
    r"(?:organ|recogn|initial|normal|serial|author)is(?:e[sd]?|ing|ation)": "American spelling (-ize)",
    r"e-mails?": "email",
    r"(?:is|are|was|were|be|been|being) told(?! apart)": "is notified, receives",
    r"(?:is|are|was|were|be|been|being) drawn": "is rendered",
    r"(?:brings?|bring it|brought) in": "import",
    r"lent|lends?|lending": "delegate, lease",
    r"mends?|mended|mending": "fix",
    r"for ever": "forever, permanently",
    r"anew": "again",
    r"cancell(?:ed|ing)(?!')": "American spelling; 'cancelled' in quotes is a status of Procrastinate",
    r"tells? whether": "return whether",
    r"upkeep": "maintenance",
    r"begun at": "started_at",
    r"follow feed": "automatic runs",
}
LETTER = r"[^\W\d_]"
# One pattern with a group for each word takes a third of the time of a pattern each.
ALTERNATIVES = "|".join(f"({pattern})" for pattern in WORDS).replace(" ", "[ _]")
FORBIDDEN = re.compile(
    rf'(?<!{LETTER})(?<![|"-])(?:{ALTERNATIVES})(?!{LETTER}|-)',
    re.IGNORECASE,
)
ADVICE = list(WORDS.values())

# What a template holds that belongs to the view model.
TEMPLATE_LOGIC = {
    re.compile(r"\{%-?\s*set\s+\w+\s*=\s*\{"): "a dictionary: put labels beside the enum that they name",
    re.compile(r"\{\{[^}]*\bif\b[^}]*\belse\b[^}]*\bif\b[^}]*\}\}"): "a nested condition: put it into the view model",
}


def tracked_files() -> Iterator[Path]:
    """Yield the files to check: what git tracks or would track, by suffix."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in listed.stdout.splitlines():
        if name.endswith(SUFFIXES) and not EXEMPT.match(name) and (ROOT / name).exists():
            yield ROOT / name


def findings(path: Path) -> Iterator[str]:
    """Yield a message for each finding in a file, with its line."""
    where = path.relative_to(ROOT)
    text = path.read_text()
    for found in FORBIDDEN.finditer(text):
        number = text.count("\n", 0, found.start()) + 1
        yield f"{where}:{number}: “{found.group()}”: write {ADVICE[found.lastindex - 1]}"
    if path.suffix != ".jinja2":
        return
    for number, line in enumerate(text.splitlines(), 1):
        if len(line) > MAX_TEMPLATE_LINE:
            yield f"{where}:{number}: {len(line)} characters; a template line has at most {MAX_TEMPLATE_LINE}"
        for pattern, advice in TEMPLATE_LOGIC.items():
            if pattern.search(line):
                yield f"{where}:{number}: {advice}"


def main() -> None:
    """Print every finding."""
    found = [message for path in tracked_files() for message in findings(path)]
    print("\n".join(found), end="\n" if found else "")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()

"""What must not leave: secrets by the name of what holds them, by their form, and whatever the request at hand said.

Logs and error reports go through here. Passwords have no form, so a trace's words are also searched for every value
that the request brought: in its address, headers, cookies and form.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from functools import lru_cache
from typing import Any
from urllib.parse import quote, quote_plus

REMOVED = "[removed]"
# Shorter ones stand in every text by chance.
SHORTEST = 4

_NAMES = re.compile(
    r"passw|secret|token|authorization|cookie|credential|signature|api_?key|private|session|sealed|pepper|dsn|otp|"
    r"e_?mail|\bto\b",
    re.IGNORECASE,
)
# None of them may look through the rest of a long word from each of its letters on: a path of 64 KB took a minute.
_FORMS = re.compile(
    "|".join(
        (
            r"cwz_live_[\w-]+",  # our API keys
            r"\b(?:sk|rk|pk)_(?:live|test)_\w+",  # Stripe's
            r"whsec_[\w+/=-]+",  # Stripe's, and Standard Webhooks'
            r"\bxox[a-z]-[\w-]+",  # Slack's
            r"\b(?:AKIA|ASIA)[A-Z0-9]{12,}",  # AWS'
            r"\bAIza[\w-]{30,}",  # Google's
            r"\beyJ[\w-]{8,}(?:\.[\w-]*){0,2}",  # JSON Web Tokens
            r"-----BEGIN [A-Z ]+-----.*?(?:-----END [A-Z ]+-----|\Z)",  # keys as PEM
            r"(?<=://)[^/\s@]+(?=@)",  # user and password in an address
            r"(?i:\b(?:bearer|basic)\s+)[\w.~+/=-]{6,}",
            r"\?[\w%.~=&+*-]*=[\w%.~=&+*/-]*",  # what follows an address
            r"[\w.+-]{1,64}@[\w-]+(?:\.[\w-]+)+",  # people's addresses (RFC 5321, section 4.5.3.1.1)
            r"(?<=DETAIL:)[^\n]+",  # PostgreSQL's, which quotes rows
        )
    ),
    re.DOTALL,
)

# The lines of a trace that say where, each with its line of source.
_PLACES = re.compile(r'(^ +File "[^\n]*\n(?: {4,}[^\n]*\n)?)', re.MULTILINE)

# One of these is in whatever has one of the forms. To look for them is quick, and most texts have none.
_MARKS = (
    "cwz_live_", "k_live_", "k_test_", "whsec_", "xox", "akia", "asia", "aiza", "eyj", "-----begin", "@", "?", "bearer",
    "basic", "detail:",
)  # fmt: skip

Values = Callable[[], Iterable[str]]
_said: ContextVar[Values | None] = ContextVar("said", default=None)


def remember_request(values: Values | None) -> None:
    """From now on, in this thread, what a request said is removed from traces; asked for when one is written.

    Arguments:
        values: gives the values; None when the request is over.
    """
    _said.set(values)


@lru_cache(maxsize=1000)
def _is_secret(name: str) -> bool:
    return _NAMES.search(name) is not None


def _has_mark(text: str) -> bool:
    for mark in _MARKS:  # noqa: SIM110 (any() takes three times as long, eight times for each line of the log)
        if mark in text:
            return True
    return False


def scrub(value: Any, name: str = "") -> Any:
    """A value without what must not leave; mappings and lists with all that is in them."""
    if name and _is_secret(name):
        return REMOVED
    match value:
        case str():
            return _FORMS.sub(REMOVED, value) if _has_mark(value.lower()) else value
        case Mapping():
            return {key: scrub(inner, str(key)) for key, inner in value.items()}
        case list() | tuple() | set() | frozenset():
            return [scrub(inner) for inner in value]
        case bytes():
            return REMOVED
    return value


def scrub_trace(trace: str) -> str:
    """A trace, also without what the request at hand said."""
    values = _said.get()
    said = {value for value in (values() if values else ()) if len(value) >= SHORTEST}
    written = {form for value in said for form in (value, repr(value)[1:-1], quote(value), quote_plus(value))}
    found = sorted(written, key=len, reverse=True)

    def clean(words: str) -> str:
        for value in found:
            words = words.replace(value, REMOVED)
        return str(scrub(words))

    # Where it was raised, and the line of source below, are ours; words of the request stand in them by chance.
    parts = _PLACES.split(trace)
    return "".join(part if number % 2 else clean(part) for number, part in enumerate(parts))

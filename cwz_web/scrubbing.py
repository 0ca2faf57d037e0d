"""Removal of secrets from log lines: by the name of the field that holds them, and by their form.

A password has no form. The messages of unexpected errors, which can quote one, are therefore not logged (`logs.py`).
"""

import re
from collections.abc import Mapping
from typing import Any

REMOVED = "[removed]"

_NAMES = re.compile(
    r"passw|secret|token|authorization|cookie|credential|signature|api_?key|private|session|encrypted|pepper|dsn|otp|"
    r"e_?mail|\bto\b",
    re.IGNORECASE,
)
# Each alternative must match in linear time: one that rescanned long words took a minute for a path of 64 KB.
_FORMS = re.compile(
    "|".join(
        (
            r"cwz_live_[\w-]+",  # our API keys
            r"\b(?:sk|rk|pk)_(?:live|test)_\w+",  # Stripe keys
            r"whsec_[\w+/=-]+",  # webhook secrets of Stripe and Standard Webhooks
            r"\bxox[a-z]-[\w-]+",  # Slack tokens
            r"\b(?:AKIA|ASIA)[A-Z0-9]{12,}",  # AWS access keys
            r"\bAIza[\w-]{30,}",  # Google API keys
            r"\beyJ[\w-]{8,}(?:\.[\w-]*){0,2}",  # JSON Web Tokens
            r"-----BEGIN [A-Z ]+-----.*?(?:-----END [A-Z ]+-----|\Z)",  # PEM
            r"(?<=://)[^/\s@]+(?=@)",  # user and password in a URL
            r"(?i:\b(?:bearer|basic)\s+)[\w.~+/=-]{6,}",
            r"\?[\w%.~=&+*-]*=[\w%.~=&+*/-]*",  # a query string
            r"[\w.+-]{1,64}@[\w-]+(?:\.[\w-]+)+",  # email addresses (RFC 5321, section 4.5.3.1.1)
            r"(?<=DETAIL:)[^\n]+",  # of PostgreSQL, which quotes rows
        )
    ),
    re.DOTALL,
)

# Every match of a form contains one of these marks. Searching for them first is fast, and most texts contain none.
_MARKS = (
    "cwz_live_", "k_live_", "k_test_", "whsec_", "xox", "akia", "asia", "aiza", "eyj", "-----begin", "@", "?", "bearer",
    "basic", "detail:",
)  # fmt: skip


def _has_mark(text: str) -> bool:
    for mark in _MARKS:  # noqa: SIM110 (any() takes three times as long, for each value of each line)
        if mark in text:
            return True
    return False


def scrub(value: Any, name: str = "") -> Any:
    """Return a value without secrets; mappings and lists are scrubbed recursively.

    Args:
        name: The name of the field that holds it.
    """
    if name and _NAMES.search(name):
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

"""Passwords: bcrypt over a keyed digest, so that nothing beyond bcrypt's 72 bytes is lost.

The stored form is `v1:<bcrypt hash>`, where bcrypt's input is base64(HMAC-SHA384(pepper, password)): 64 bytes.
"""

import base64
import hmac
from functools import lru_cache

import bcrypt

COST = 12
VERSION = "v1:"
MAX_LENGTH = 256


def hash_password(password: str, pepper: str, cost: int = COST) -> str:
    """The form of a password that is stored."""
    return VERSION + bcrypt.hashpw(_digest(password, pepper), bcrypt.gensalt(cost)).decode()


def verify_password(password: str, stored: str | None, pepper: str) -> bool:
    """Whether the password is the stored one. Takes the same time when there is none to compare with."""
    given = _digest(password[:MAX_LENGTH], pepper)
    known = stored is not None and stored.startswith(VERSION)
    matches = bcrypt.checkpw(given, stored.removeprefix(VERSION).encode() if stored and known else _dummy())
    return matches and known


def _digest(password: str, pepper: str) -> bytes:
    return base64.b64encode(hmac.digest(pepper.encode(), password.encode("utf-8", "surrogatepass"), "sha384"))


@lru_cache(maxsize=1)
def _dummy() -> bytes:
    return bcrypt.hashpw(b"nobody has this password", bcrypt.gensalt(COST))

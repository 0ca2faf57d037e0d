"""Passwords: bcrypt over a keyed digest, so that nothing beyond bcrypt's 72 bytes is lost.

The stored form is `v1:<bcrypt hash>`, where bcrypt's input is base64(HMAC-SHA384(pepper, password)): 64 bytes.
"""

import base64
import hmac
import os
import threading
from collections.abc import Callable
from typing import TypeVar

import bcrypt
from zxcvbn import zxcvbn

COST = 12
VERSION = "v1:"
MIN_LENGTH, MAX_LENGTH = 10, 256
WAIT_SECONDS = 10
WEAKEST_SCORE = 3  # of 4: "safely unguessable, moderate protection from an offline attack"
# What zxcvbn looks at: its time grows with the square of the length.
LOOKED_AT = 72

T = TypeVar("T")


class ServerBusyError(Exception):
    """Too many passwords are being checked at once; none of it was about this one."""


class Passwords:
    """Hashes and checks passwords, a few at a time: each takes a core for a quarter of a second.

    Arguments:
        pepper: a secret that stands in no database.
        cost: bcrypt's, the logarithm of its rounds.
    """

    def __init__(self, pepper: str, cost: int = COST) -> None:
        self._pepper = pepper.encode()
        self._cost = cost
        self._slots = threading.BoundedSemaphore(max(os.cpu_count() or 1, 2))
        # A hash that nothing has: comparing with it costs as much as with any other.
        self._nobodys = f"$2b${cost:02}$" + "." * 53

    def hash(self, password: str) -> str:
        """The form of a password that is stored. Raises ServerBusyError."""
        return (
            VERSION + self._in_turn(lambda: bcrypt.hashpw(self._digest(password), bcrypt.gensalt(self._cost))).decode()
        )

    def verify(self, password: str, stored: str | None) -> bool:
        """Whether the password is the stored one. Takes the same time when there is none. Raises ServerBusyError."""
        usable = stored is not None and stored.startswith(VERSION)
        against = stored.removeprefix(VERSION) if stored and usable else self._nobodys
        given = self._digest(password[:MAX_LENGTH])
        return self._in_turn(lambda: bcrypt.checkpw(given, against.encode())) and usable

    def is_outdated(self, stored: str | None) -> bool:
        """Whether the stored form costs less than what is made today."""
        return stored is not None and not stored.startswith(f"{VERSION}$2b${self._cost:02}$")

    def _digest(self, password: str) -> bytes:
        return base64.b64encode(hmac.digest(self._pepper, password.encode("utf-8", "surrogatepass"), "sha384"))

    def _in_turn(self, work: Callable[[], T]) -> T:
        if not self._slots.acquire(timeout=WAIT_SECONDS):
            raise ServerBusyError
        try:
            return work()
        finally:
            self._slots.release()


def weakness(password: str, *about: str) -> str | None:
    """Advice on a password that is easy to guess; None when it is good.

    Arguments:
        about: what an attacker would know of the person: name, address.
    """
    known = [part for text in about for part in (text, *text.replace("@", " ").replace(".", " ").split()) if part]
    found = zxcvbn(password[:LOOKED_AT], user_inputs=[*known, "connectwyze"])
    if found["score"] >= WEAKEST_SCORE:
        return None
    advice = [found["feedback"]["warning"], *found["feedback"]["suggestions"]]
    said = " ".join(f"{part.rstrip('.')}." for part in advice if part)
    return f"This password is easy to guess. {said or 'Use a few uncommon words together.'}"

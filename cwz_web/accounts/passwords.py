"""Password hashing: bcrypt over a keyed digest, which avoids bcrypt's limit of 72 bytes.

The stored format is `v1:<bcrypt hash>`, where bcrypt's input is base64(HMAC-SHA384(pepper, password)): 64 bytes.
"""

import base64
import hmac
import os
import threading
from collections.abc import Callable
from typing import TypeVar

import bcrypt
from zxcvbn import zxcvbn

from cwz_web.i18n import gettext

COST = 12
VERSION = "v1:"
MIN_LENGTH, MAX_LENGTH = 10, 256
WAIT_SECONDS = 10
MIN_SCORE = 3  # of 4: "safely unguessable, moderate protection from an offline attack"
# zxcvbn's time grows with the square of the length.
MAX_ESTIMATED_LENGTH = 72

T = TypeVar("T")


class ServerBusyError(Exception):
    """Too many passwords are being hashed at once; the request can be retried."""


class Passwords:
    """Hashes and verifies passwords, at most one per core at a time: each takes a quarter of a second.

    Args:
        pepper: A secret that is not stored in the database.
        cost: bcrypt's cost, the base-2 logarithm of its rounds.
    """

    def __init__(self, pepper: str, cost: int = COST) -> None:
        self._pepper = pepper.encode()
        self._cost = cost
        self._slots = threading.BoundedSemaphore(max(os.cpu_count() or 1, 2))
        # A hash that no password matches: verifying against it takes as long as against a real one.
        self._dummy_hash = f"$2b${cost:02}$" + "." * 53

    def hash(self, password: str) -> str:
        """Return the hash to store.

        Raises:
            ServerBusyError: No slot became free in time.
        """
        return (
            VERSION
            + self._run_in_slot(lambda: bcrypt.hashpw(self._digest(password), bcrypt.gensalt(self._cost))).decode()
        )

    def verify(self, password: str, stored: str | None) -> bool:
        """Return whether a password matches a stored hash; takes equally long if there is no stored hash.

        Raises:
            ServerBusyError: No slot became free in time.
        """
        usable = stored is not None and stored.startswith(VERSION)
        expected = stored.removeprefix(VERSION) if stored and usable else self._dummy_hash
        digest = self._digest(password[:MAX_LENGTH])
        return self._run_in_slot(lambda: bcrypt.checkpw(digest, expected.encode())) and usable

    def is_outdated(self, stored: str | None) -> bool:
        """Return whether the stored hash has another format or cost than new ones."""
        return stored is not None and not stored.startswith(f"{VERSION}$2b${self._cost:02}$")

    def _digest(self, password: str) -> bytes:
        return base64.b64encode(hmac.digest(self._pepper, password.encode("utf-8", "surrogatepass"), "sha384"))

    def _run_in_slot(self, work: Callable[[], T]) -> T:
        if not self._slots.acquire(timeout=WAIT_SECONDS):
            raise ServerBusyError
        try:
            return work()
        finally:
            self._slots.release()


def weakness(password: str, *about: str) -> str | None:
    """Return advice on a password that is easy to guess, or None if it is strong enough.

    Args:
        password: The new password.
        about: What an attacker would know about the user, such as name and email address.
    """
    guesses = [part for text in about for part in (text, *text.replace("@", " ").replace(".", " ").split()) if part]
    estimate = zxcvbn(password[:MAX_ESTIMATED_LENGTH], user_inputs=[*guesses, "connectwyze"])
    if estimate["score"] >= MIN_SCORE:
        return None
    advice = [estimate["feedback"]["warning"], *estimate["feedback"]["suggestions"]]
    text = " ".join(f"{gettext(part).rstrip('.')}." for part in advice if part)
    return gettext(
        "This password is easy to guess. %(advice)s", advice=text or gettext("Combine a few uncommon words.")
    )

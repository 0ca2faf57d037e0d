"""Known devices: browsers in which the owner of an account has signed in before.

A lock-out that counts wrong guesses by account would let a stranger keep its owner out. Guesses of known devices
therefore count apart from those of other clients (OWASP, "Slow down online guessing attacks with device cookies").
"""

import secrets
from dataclasses import dataclass, field
from datetime import timedelta

from cwz_web.accounts.models import Account
from cwz_web.accounts.sessions import BrowserTokens

PURPOSE = "device"
LIFETIME = timedelta(days=180)
# The accounts that one browser remembers; the least recently used one is forgotten first.
MAX_ACCOUNTS = 5


@dataclass(frozen=True)
class KnownDevice:
    """A browser, and the accounts that have signed in with it.

    Attributes:
        epochs: The epoch of each account at its last sign-in, by id: ending all sessions also forgets all devices.
    """

    id: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    epochs: dict[str, int] = field(default_factory=dict)

    def knows(self, account: Account) -> bool:
        """Return whether the account has signed in here, and has not ended all sessions since."""
        return self.epochs.get(str(account.id)) == account.epoch

    def with_account(self, account: Account) -> "KnownDevice":
        """Return the device after a sign-in."""
        others = {known: epoch for known, epoch in self.epochs.items() if known != str(account.id)}
        newest = [*others.items(), (str(account.id), account.epoch)][-MAX_ACCOUNTS:]
        return KnownDevice(self.id, dict(newest))

    def to_token(self, tokens: BrowserTokens) -> str:
        """Return the signed token for the cookie."""
        return tokens.sign(PURPOSE, LIFETIME, device=self.id, epochs=self.epochs)

    @classmethod
    def from_token(cls, token: str, tokens: BrowserTokens) -> "KnownDevice | None":
        """Return the device of a cookie, or None if it is forged or expired."""
        claims = tokens.read(PURPOSE, token)
        return cls(claims["device"], claims["epochs"]) if claims else None

"""Rate limits: attempts counted by IP address, by account and in total.

A view declares `rate_limit="sign-in"`; LIMITS has the limits of that name, and `cwz.limit.<name>.<scope>` in the .ini
overrides them. The check comes before the view, so a rejected attempt costs nothing. Where attempts are guesses, only
failures count: frequent sign-ins are not limited. If the storage of the counts fails, requests are allowed and the
failure is logged: an unavailable Valkey must not lock out every user.
"""

import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Any

import structlog
from limits import RateLimitItem, RateLimitItemPerMinute, parse
from limits.errors import ConfigurationError, StorageError
from limits.storage import storage_from_string
from limits.strategies import MovingWindowRateLimiter, SlidingWindowCounterRateLimiter
from pyramid.config import Configurator
from pyramid.response import Response

from cwz_web.security import SignedInUser
from cwz_web.settings import SettingsError
from cwz_web.web.request import Request

log = structlog.get_logger()

# The limits by name and scope.
LIMITS: dict[str, dict[str, str]] = {
    "sign-in": {"ip": "60 per 10 minutes", "account": "10 per 15 minutes", "total": "3000 per 10 minutes"},
    "second-factor": {"ip": "30 per 10 minutes", "account": "6 per 15 minutes"},
    "sign-up": {"ip": "20 per hour", "account": "5 per hour", "total": "1000 per hour"},
    "reset": {"ip": "20 per hour", "account": "5 per hour", "total": "1000 per hour"},
    "resend": {"ip": "20 per hour", "account": "5 per hour"},
    "verification": {"ip": "30 per 10 minutes"},
    "google": {"ip": "60 per 10 minutes"},
    "reauthentication": {"account": "10 per 15 minutes"},
    "new-email": {"account": "5 per hour"},
    "workspace": {"ip": "30 per hour", "account": "10 per hour"},
    "storage": {"account": "120 per hour"},
    # Testing, connecting and changing the URL of a feed, which fetches it.
    "feed-source": {"ip": "240 per hour", "account": "60 per hour"},
    "billing": {"account": "30 per hour"},
    "invitation": {"account": "60 per hour"},
    # Rendering for unsigned URLs; cached images do not count.
    "unsigned-image": {"ip": "60 per minute", "template": "1200 per minute"},
    # An output feed of a hundred thousand rows takes seconds; an unchanged one does not count.
    "output-feed": {"feed": "30 per minute"},
    "api": {"key": "600000 per minute"},
}
# The limits of which only failed attempts count.
FAILURES_ONLY = frozenset({"sign-in", "second-factor", "reauthentication", "verification"})


class RateLimitedError(Exception):
    """Too many attempts.

    Args:
        seconds: The time until the next attempt is allowed.
    """

    def __init__(self, seconds: int) -> None:
        super().__init__(f"retry in {seconds} s")
        self.seconds = seconds


@dataclass(frozen=True)
class RateLimitStatus:
    """The state of a limit per minute: requests allowed and remaining, and seconds until it resets."""

    allowed: bool
    limit: int
    remaining: int
    seconds: int

    @property
    def headers(self) -> dict[str, str]:
        """The RateLimit header fields (draft-ietf-httpapi-ratelimit-headers-06)."""
        values = {"Limit": self.limit, "Remaining": self.remaining, "Reset": self.seconds}
        retry = {} if self.allowed else {"Retry-After": str(self.seconds)}
        return {f"RateLimit-{name}": str(value) for name, value in values.items()} | retry


class RateLimiter:
    """Counts attempts.

    Args:
        storage: `memory://` for one process, `redis://...` for several.
        overrides: Limits of the operator by `<name>.<scope>`.

    Raises:
        SettingsError: The storage cannot be used, or an override is invalid or unknown.
    """

    def __init__(self, storage: str, overrides: Mapping[str, str]) -> None:
        try:
            self._storage = storage_from_string(storage, wrap_exceptions=True)
        except ConfigurationError as error:
            raise SettingsError(f"cwz.rate_limits: {error}") from None
        self._strategy = MovingWindowRateLimiter(self._storage)
        self._counter = SlidingWindowCounterRateLimiter(self._storage)
        limits = {f"{name}.{scope}": limit for name, scopes in LIMITS.items() for scope, limit in scopes.items()}
        if unknown := overrides.keys() - limits.keys():
            raise SettingsError(
                f"Unknown limit cwz.limit.{', '.join(sorted(unknown))}. The limits are {', '.join(sorted(limits))}"
            )
        self._items: dict[str, RateLimitItem] = {}
        for name, limit in (limits | dict(overrides)).items():
            try:
                self._items[name] = parse(limit)
            except ValueError:
                raise SettingsError(f"cwz.limit.{name} must have the form '20 per 10 minutes', not '{limit}'") from None

    def check(self, name: str, client: Mapping[str, str]) -> None:
        """Check that another attempt is allowed.

        Args:
            client: The client's identifier by scope; scopes that are missing are not limited.

        Raises:
            RateLimitedError: There were too many attempts.
        """
        for scope, item in self._scopes(name, client):
            if not self._allow_on_failure(self._strategy.test, item, name, scope, client[scope]):
                reset = self._strategy.get_window_stats(item, name, scope, client[scope]).reset_time
                log.warning("too many attempts", limit=f"{name}.{scope}", client=client[scope])
                raise RateLimitedError(max(int(reset - time.time()) + 1, 1))

    def record(self, name: str, client: Mapping[str, str]) -> None:
        """Count an attempt."""
        for scope, item in self._scopes(name, client):
            self._allow_on_failure(self._strategy.hit, item, name, scope, client[scope])

    def hit(self, name: str, key: str, per_minute: int | None) -> RateLimitStatus:
        """Count a request of an API key, and return the state of its limit.

        Args:
            per_minute: The limit of the key; None for the one of LIMITS.
        """
        item = RateLimitItemPerMinute(per_minute) if per_minute else self._items[f"{name}.key"]
        allowed = self._allow_on_failure(self._counter.hit, item, name, key)
        try:
            stats = self._counter.get_window_stats(item, name, key)
        except StorageError:  # logged already
            return RateLimitStatus(allowed, item.amount, item.amount, item.get_expiry())
        seconds = max(int(stats.reset_time - time.time()) + 1, 1)
        return RateLimitStatus(allowed, item.amount, max(stats.remaining, 0), seconds)

    def _scopes(self, name: str, client: Mapping[str, str]) -> list[tuple[str, RateLimitItem]]:
        return [(scope, self._items[f"{name}.{scope}"]) for scope in LIMITS[name] if scope in client]

    def _allow_on_failure(self, operation: Callable[..., bool], *arguments: Any) -> bool:
        """Return the result of an operation of the storage, or True if the storage fails."""
        try:
            return operation(*arguments)
        except StorageError as error:
            log.error("rate limit storage failed", error=type(error.storage_error).__name__)
            return True

    def reset(self) -> None:
        """Reset all counts."""
        self._storage.reset()


def client_network(address: str) -> str:
    """Return what an IP address is counted as: itself, or the /64 of IPv6, which one customer has."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, IPv6Address):
        return str(ip_network((parsed, 64), strict=False)) if parsed.ipv4_mapped is None else str(parsed.ipv4_mapped)
    return address


def limited_view(view: Callable[[Any, Request], Response], info: Any) -> Callable[[Any, Request], Response]:
    """Enforce the view option `rate_limit` (a view deriver)."""
    name = info.options.get("rate_limit")
    if name is None:
        return view
    if name not in LIMITS:
        raise SettingsError(f"A view has the unknown rate limit {name}")

    def limited(context: Any, request: Request) -> Response:
        client = {"ip": client_network(request.remote_addr or ""), "total": ""}
        if account := _account(request):
            client["account"] = account
        limiter: RateLimiter = request.services.limiter
        limiter.check(name, client)
        if name not in FAILURES_ONLY:
            limiter.record(name, client)
            return view(context, request)
        response = view(context, request)
        if response.status_int >= 400:
            limiter.record(name, client)
        return response

    return limited


limited_view.options = ("rate_limit",)  # type: ignore[attr-defined]


def _account(request: Request) -> str | None:
    """Return the account of the attempt: signed in, in the second step of sign-in, or named by its email address."""
    if isinstance(request.identity, SignedInUser):
        return str(request.identity.account.id)
    if request.login_step is not None:
        return str(request.login_step["sub"])
    typed = request.POST.get("email")
    # A digest, since the text has any length and can be a password in the wrong field.
    return hashlib.sha256(typed.strip().lower().encode()).hexdigest() if isinstance(typed, str) and typed else None


def includeme(config: Configurator) -> None:
    """Install the view option `rate_limit`."""
    config.add_view_deriver(limited_view, name="rate_limited")

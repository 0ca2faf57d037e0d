"""How often something may be tried: counted per network address, per account, and for everybody together.

A view declares `rate_limit="sign-in"`; the table below says what that means, and `cwz.limit.<name>.<scope>` in the .ini
says otherwise. The look comes before the view, so that an attempt too many costs nothing. Where somebody guesses, only
what was refused counts, so that nobody is locked out by signing in often. When the counting storage is broken, people
are let in, and the log says so: a dead Valkey must not lock everybody out.
"""

import hashlib
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Any

import structlog
from limits import RateLimitItem, RateLimitItemPerMinute, parse
from limits.errors import ConfigurationError, StorageError
from limits.storage import MemoryStorage, storage_from_string
from limits.strategies import MovingWindowRateLimiter, SlidingWindowCounterRateLimiter
from pyramid.config import Configurator
from pyramid.response import Response

from cwz_web.security import SignedInUser
from cwz_web.settings import SettingsError
from cwz_web.web.request import Request

log = structlog.get_logger()

# name -> scope -> how often
LIMITS: dict[str, dict[str, str]] = {
    "sign-in": {"address": "60 per 10 minutes", "account": "10 per 15 minutes", "everyone": "3000 per 10 minutes"},
    "second-factor": {"address": "30 per 10 minutes", "account": "6 per 15 minutes"},
    "sign-up": {"address": "20 per hour", "account": "5 per hour", "everyone": "1000 per hour"},
    "reset": {"address": "20 per hour", "account": "5 per hour", "everyone": "1000 per hour"},
    "resend": {"address": "20 per hour", "account": "5 per hour"},
    "verification": {"address": "30 per 10 minutes"},
    "google": {"address": "60 per 10 minutes"},
    "proof": {"account": "10 per 15 minutes"},
    "new-address": {"account": "5 per hour"},
    "workspace": {"address": "30 per hour", "account": "10 per hour"},
    "storage": {"account": "120 per hour"},
    "billing": {"account": "30 per hour"},
    "invitation": {"account": "60 per hour"},
    # Images that are rendered for addresses without a signature; those that are there already do not count.
    "open-image": {"address": "60 per minute", "template": "1200 per minute"},
    # A feed of a hundred thousand rows is seconds of work; one that has not changed does not count.
    "output-feed": {"feed": "30 per minute"},
    "api": {"key": "600000 per minute"},
}
# Where only refused attempts count.
GUESSES = frozenset({"sign-in", "second-factor", "proof", "verification"})
SWEEP_SECONDS = 10.0


class RateLimitedError(Exception):
    """Tried too often.

    Arguments:
        seconds: after which it may be tried again.
    """

    def __init__(self, seconds: int) -> None:
        super().__init__(f"in {seconds} s")
        self.seconds = seconds


@dataclass(frozen=True)
class Left:
    """What is left of a minute: `limit` in all, `remaining` of them, `seconds` until it is over."""

    allowed: bool
    limit: int
    remaining: int
    seconds: int

    @property
    def headers(self) -> dict[str, str]:
        """As the RateLimit header fields say it (draft-ietf-httpapi-ratelimit-headers, version 06)."""
        told = {"Limit": self.limit, "Remaining": self.remaining, "Reset": self.seconds}
        retry = {} if self.allowed else {"Retry-After": str(self.seconds)}
        return {f"RateLimit-{name}": str(value) for name, value in told.items()} | retry


class ByteCache(MemoryStorage):
    """`memory://`: that of `limits`, which throws away what has run out by a thread that it starts beside nearly every
    request. That takes longer than the counting, so this one does it every few seconds."""

    STORAGE_SCHEME = ["memory"]  # noqa: RUF012 - as limits declares it

    @property
    def timer(self) -> threading.Timer:
        """The thread that is to throw away; no other is started while it waits."""
        return self._timer

    @timer.setter
    def timer(self, timer: threading.Timer) -> None:
        timer.interval = SWEEP_SECONDS
        timer.daemon = True  # it must not hold up the end of the process
        self._timer = timer


class Limiter:
    """Counts attempts.

    Arguments:
        storage: `memory://` for one process, `redis://…` for several.
        changed: `<name>.<scope>` to how often, where the operator wants something else than LIMITS.
    Raises SettingsError when the storage cannot be used, and when one of those is no limit, or names none.
    """

    def __init__(self, storage: str, changed: Mapping[str, str]) -> None:
        try:
            self._storage = storage_from_string(storage, wrap_exceptions=True)
        except ConfigurationError as error:
            raise SettingsError(f"cwz.rate_limits: {error}") from None
        self._strategy = MovingWindowRateLimiter(self._storage)
        self._counter = SlidingWindowCounterRateLimiter(self._storage)
        known = {f"{name}.{scope}": often for name, scopes in LIMITS.items() for scope, often in scopes.items()}
        if unknown := changed.keys() - known.keys():
            raise SettingsError(f"There is no limit {', '.join(sorted(unknown))}; there are {', '.join(sorted(known))}")
        self._items: dict[str, RateLimitItem] = {}
        for name, often in (known | dict(changed)).items():
            try:
                self._items[name] = parse(often)
            except ValueError:
                raise SettingsError(f"cwz.limit.{name} is not like '20 per 10 minutes': {often}") from None

    def look(self, name: str, who: Mapping[str, str]) -> None:
        """See whether there may be another attempt. Raises RateLimitedError when there may not.

        Arguments:
            who: scope to the one that attempts; a scope that is missing here is not counted.
        """
        for scope, item in self._scopes(name, who):
            if not self._safely(self._strategy.test, item, name, scope, who[scope]):
                reset = self._strategy.get_window_stats(item, name, scope, who[scope]).reset_time
                log.warning("too many attempts", limit=f"{name}.{scope}", who=who[scope])
                raise RateLimitedError(max(int(reset - time.time()) + 1, 1))

    def count(self, name: str, who: Mapping[str, str]) -> None:
        """Count an attempt."""
        for scope, item in self._scopes(name, who):
            self._safely(self._strategy.hit, item, name, scope, who[scope])

    def take(self, name: str, key: str, a_minute: int | None) -> Left:
        """Count a request of a key, and see whether it may be answered.

        Arguments:
            a_minute: how many it may make; None for what LIMITS says.
        """
        item = RateLimitItemPerMinute(a_minute) if a_minute else self._items[f"{name}.key"]
        allowed = self._safely(self._counter.hit, item, name, key)
        try:
            stats = self._counter.get_window_stats(item, name, key)
        except StorageError:  # told by then
            return Left(allowed, item.amount, item.amount, item.get_expiry())
        seconds = max(int(stats.reset_time - time.time()) + 1, 1)
        return Left(allowed, item.amount, max(stats.remaining, 0), seconds)

    def _scopes(self, name: str, who: Mapping[str, str]) -> list[tuple[str, RateLimitItem]]:
        return [(scope, self._items[f"{name}.{scope}"]) for scope in LIMITS[name] if scope in who]

    def _safely(self, ask: Callable[..., bool], *arguments: Any) -> bool:
        """What the storage answers; yes when it is broken."""
        try:
            return ask(*arguments)
        except StorageError as error:
            log.error("rate limits do not count", error=type(error.storage_error).__name__)
            return True

    def forget(self) -> None:
        """Forget every attempt."""
        self._storage.reset()


def network_of(address: str) -> str:
    """What an address counts as: itself; of IPv6 the /64, which is what one customer gets."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, IPv6Address):
        return str(ip_network((parsed, 64), strict=False)) if parsed.ipv4_mapped is None else str(parsed.ipv4_mapped)
    return address


def limited_view(view: Callable[[Any, Request], Response], info: Any) -> Callable[[Any, Request], Response]:
    """The view deriver behind `rate_limit`."""
    name = info.options.get("rate_limit")
    if name is None:
        return view
    if name not in LIMITS:
        raise SettingsError(f"A view names the rate limit {name}, which does not exist")

    def limited(context: Any, request: Request) -> Response:
        who = {"address": network_of(request.remote_addr or ""), "everyone": ""}
        if account := _account(request):
            who["account"] = account
        limiter: Limiter = request.services.limiter
        limiter.look(name, who)
        if name not in GUESSES:
            limiter.count(name, who)
            return view(context, request)
        response = view(context, request)
        if response.status_int >= 400:
            limiter.count(name, who)
        return response

    return limited


limited_view.options = ("rate_limit",)  # type: ignore[attr-defined]


def _account(request: Request) -> str | None:
    """Whose attempt it is: the account that is signed in, or whose first step is done; else the address typed."""
    if isinstance(request.identity, SignedInUser):
        return str(request.identity.account.id)
    if request.login_step is not None:
        return str(request.login_step["sub"])
    typed = request.POST.get("email")
    # A digest: what is typed is of any length, and may be a password in the wrong field.
    return hashlib.sha256(typed.strip().lower().encode()).hexdigest() if isinstance(typed, str) and typed else None


def includeme(config: Configurator) -> None:
    """Install the view option `rate_limit`."""
    config.add_view_deriver(limited_view, name="rate_limited")

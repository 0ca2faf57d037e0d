"""Rate limits: attempts counted by their target, by their caller and in total.

A view declares `rate_limit="sign-in"`; LIMITS has the limits of that name by scope, and `cwz.limit.<name>.<scope>` in
the .ini overrides them. An attempt is reserved in every scope before the view runs, so that parallel attempts cannot
pass together, and a rejected one costs nothing. Where attempts are guesses, a success is refunded: frequent sign-ins
are not limited. If the storage of the counts fails, requests are allowed and the failure is logged: an unavailable
Valkey must not lock out every user.
"""

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from math import ceil
from typing import Any

import structlog
from limits import RateLimitItem, RateLimitItemPerMinute, parse
from limits.errors import ConfigurationError, StorageError
from limits.storage import MovingWindowSupport, Storage, storage_from_string
from pyramid.config import Configurator
from pyramid.response import Response

from cwz_web.accounts.passwords import ServerBusyError
from cwz_web.settings import SettingsError
from cwz_web.web.rate_limit_subjects import find_subjects
from cwz_web.web.request import Request

log = structlog.get_logger()

# The limits by name and scope. A scope is what attempts are counted by, or several of it joined by "-":
#   targets: address (an email address), account (whose second factor is guessed), link (by its token), workspace,
#            template, feed, key, request (the caller's, with its URL)
#   callers: user (the signed-in account), session, role (in the workspace), network (an IP address, or the /64 of
#            IPv6), device (a known one)
#   total:   all attempts together
# Attempts of a known device of the target count in the scope with "device" only: no stranger can lock its owner out.
LIMITS: dict[str, dict[str, str]] = {
    "sign-in": {
        "address-device": "10 per 15 minutes",
        "address-network": "10 per 15 minutes",
        "address": "100 per hour",
        "user": "30 per 10 minutes",
        "network": "60 per 10 minutes",
        "total": "3000 per 10 minutes",
    },
    "second-factor": {
        "account-device": "6 per 15 minutes",
        "account-network": "6 per 15 minutes",
        "account": "20 per hour",
        "user": "20 per hour",
        "network": "30 per 10 minutes",
    },
    "enrollment": {"session": "10 per 15 minutes", "user": "20 per 15 minutes", "network": "60 per 10 minutes"},
    "reauthentication": {"session": "10 per 15 minutes", "user": "30 per 15 minutes", "network": "60 per 10 minutes"},
    "link": {"link": "10 per 15 minutes", "user": "30 per 10 minutes", "network": "30 per 10 minutes"},
    "sign-up": {"address": "5 per hour", "user": "20 per hour", "network": "20 per hour", "total": "1000 per hour"},
    "resend": {"address": "5 per hour", "user": "20 per hour", "network": "20 per hour", "total": "1000 per hour"},
    "reset": {
        "address-device": "5 per hour",
        "address": "5 per hour",
        "user": "20 per hour",
        "network": "20 per hour",
        "total": "1000 per hour",
    },
    "new-email": {"address": "5 per hour", "user": "5 per hour", "network": "20 per hour"},
    "invitation": {
        "address": "10 per hour",
        "workspace": "120 per hour",
        "user": "60 per hour",
        "network": "120 per hour",
    },
    # Signing in with a passkey: a response cannot be guessed, but verifying one costs time.
    "passkey": {"account": "60 per 10 minutes", "user": "60 per 10 minutes", "network": "60 per 10 minutes"},
    # Challenges: browsers ask for one on every visit of the sign-in page.
    "passkey-challenge": {"user": "120 per 10 minutes", "network": "1200 per 10 minutes"},
    # An office has one network, and its members sign in at the same hour.
    "single-sign-on": {"user": "60 per 10 minutes", "network": "1200 per 10 minutes"},
    # Queries of name servers.
    "domain": {"workspace": "60 per hour", "user": "60 per hour", "network": "120 per hour"},
    "google": {"user": "60 per 10 minutes", "network": "60 per 10 minutes"},
    "workspace": {"user": "10 per hour", "network": "30 per hour"},
    # Adding and changing storage connections, which tests them.
    "storage": {"workspace": "240 per hour", "user": "120 per hour", "network": "240 per hour"},
    # Tests of saved connections: those of a role leave the tests of other roles to them.
    "storage-test": {"workspace-role": "60 per hour", "user": "30 per hour", "network": "120 per hour"},
    # Uploads of images and fonts, which are decoded: one for each file.
    "upload": {"workspace": "600 per hour", "user": "600 per hour", "network": "600 per hour"},
    # Changes of the brand, which change up to 200 templates.
    "brand": {"workspace": "240 per hour", "user": "120 per hour", "network": "240 per hour"},
    # Testing, connecting and changing the URL of a feed, which fetches it.
    "feed-source": {"workspace": "240 per hour", "user": "60 per hour", "network": "240 per hour"},
    # Fetching a feed, and sending a webhook delivery again, on request: a job each.
    "feed-fetch": {"workspace": "240 per hour", "user": "120 per hour", "network": "240 per hour"},
    "webhook-resend": {"workspace": "240 per hour", "user": "120 per hour", "network": "240 per hour"},
    # Calls of shops that are not signed with the secret of the feed. Signed ones are not counted: shops stop calling
    # a URL that refuses several calls, and those of many shops come from one network.
    "feed-webhook": {"workspace-network": "300 per minute", "network": "6000 per minute"},
    # Pages that ask Slack.
    "slack": {"workspace": "120 per hour", "user": "60 per hour", "network": "120 per hour"},
    # Exports of personal data, and of workspaces.
    "account-export": {"user": "10 per hour", "network": "30 per hour"},
    "workspace-export": {"workspace": "10 per hour", "user": "10 per hour", "network": "30 per hour"},
    "billing": {"workspace": "60 per hour", "user": "30 per hour", "network": "60 per hour"},
    # Entries of the activity log about refused requests.
    "refusal": {
        "request": "5 per hour",
        "workspace": "60 per hour",
        "user": "30 per hour",
        "network": "60 per hour",
    },
    # Rendering for unsigned URLs; cached images do not count.
    "unsigned-image": {"template": "1200 per minute", "network": "60 per minute"},
    # The same for signed URLs. Image proxies of email providers send the requests of many readers.
    "signed-image": {"template": "6000 per minute", "network": "1200 per minute"},
    # Comments on templates.
    "comment": {"workspace": "600 per hour", "user": "120 per hour", "network": "600 per hour"},
    # Pages and images of read-only links of templates; a page has up to 13 images.
    "shared-template": {"link": "120 per minute", "network": "120 per minute"},
    "shared-image": {"link": "600 per minute", "network": "300 per minute"},
    # The live example of the front page: three images after each pause of a visitor who types.
    "live-image": {"network": "300 per minute", "total": "1800 per minute"},
    # Changes in the editor, each with the tiles that it renders: dragging a color without a pause makes up to 1,200.
    "editor": {"workspace": "12000 per minute", "user": "2400 per minute", "network": "12000 per minute"},
    # Previews of templates, versions, starters and rows, and their findings: strips of twelve images after each change
    # make up to 1,200.
    "preview": {"workspace": "12000 per minute", "user": "2400 per minute", "network": "12000 per minute"},
    # Previews by API keys: they do not count, so they must not take the place of images.
    "api-preview": {"workspace": "2000 per day", "user": "60 per minute", "network": "60 per minute"},
    "api-thumbnail": {"workspace": "1200 per minute", "user": "600 per minute", "network": "600 per minute"},
    # Reading stored images from the storage of the workspace.
    "stored-image": {"workspace": "60000 per minute", "network": "6000 per minute"},
    # An output feed of a hundred thousand rows takes seconds; an unchanged one does not count.
    "output-feed": {"feed": "30 per minute", "network": "120 per minute"},
    # The limit of API keys that have none of their own.
    "api": {"key": "600 per minute"},
}
# The limit of API keys without their own.
API_KEY_LIMIT = "api.key"
# The limits of which only failed attempts count.
FAILURES_ONLY = frozenset(
    {"sign-in", "second-factor", "enrollment", "reauthentication", "link", "passkey", "feed-webhook"}
)
# A server of counts that does not respond must not occupy the threads of the web process.
STORAGE_TIMEOUT_SECONDS = 1.0


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
    """The state of an API key's limit.

    Attributes:
        allowed: Whether the request can proceed.
        limit: The requests allowed in a period.
        period: The period, such as `minute`.
        remaining: The requests that remain.
        seconds: The time until one more remains.
    """

    allowed: bool
    limit: int
    period: str
    remaining: int
    seconds: int

    @property
    def headers(self) -> dict[str, str]:
        """The RateLimit header fields (draft-ietf-httpapi-ratelimit-headers-06)."""
        values = {"Limit": self.limit, "Remaining": self.remaining, "Reset": self.seconds}
        retry = {} if self.allowed else {"Retry-After": str(self.seconds)}
        return {f"RateLimit-{name}": str(value) for name, value in values.items()} | retry


@dataclass(frozen=True)
class Counter:
    """The count of one limit for one subject; its window begins with the first attempt.

    Attributes:
        ends: When the window of a counted attempt ends, as a Unix time.
    """

    limit: str
    subject: str
    item: RateLimitItem
    ends: float = 0.0

    @property
    def key(self) -> str:
        """The key in the storage."""
        return self.item.key_for(self.limit, self.subject)


class RateLimiter:
    """Counts attempts. One per process; thread-safe.

    Args:
        storage: `memory://` for one process, `redis://...` for several.
        overrides: Limits of the operator by `<name>.<scope>`.

    Raises:
        SettingsError: The storage cannot be used, or an override is invalid or unknown.
    """

    def __init__(self, storage: str, overrides: Mapping[str, str]) -> None:
        is_local = storage.startswith("memory")
        timeouts = dict.fromkeys(("socket_timeout", "socket_connect_timeout"), STORAGE_TIMEOUT_SECONDS)
        try:
            opened = storage_from_string(storage, wrap_exceptions=True, **({} if is_local else timeouts))
        except ConfigurationError as error:
            raise SettingsError(f"cwz.rate_limits: {error}") from None
        assert isinstance(opened, Storage), "not one of asyncio"
        if not isinstance(opened, MovingWindowSupport):
            raise SettingsError("cwz.rate_limits: use memory:// or redis://")
        self._storage, self._windows = opened, opened
        # The storage in memory is not atomic; a server's is, and must not be waited for with a lock.
        self._lock: AbstractContextManager[Any] = threading.Lock() if is_local else nullcontext()
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

    def reserve(self, name: str, subjects: Mapping[str, str]) -> "Reservation":
        """Count an attempt in every scope, unless one of them is used up.

        Args:
            subjects: The attempt's subject by scope; scopes that are missing are not limited.

        Raises:
            RateLimitedError: There were too many attempts; this one is not counted.
        """
        counters = [
            Counter(limit, subjects[scope], self._items[limit])
            for scope, limit in ((scope, f"{name}.{scope}") for scope in LIMITS[name] if scope in subjects)
        ]
        counted: list[Counter] = []
        with self._lock:
            for counter in counters:
                count = self._add(counter)
                counted.append(replace(counter, ends=self._end_of(counter)))
                if count > counter.item.amount:
                    self._remove_all(counted)
                    log.warning("too many attempts", limit=counter.limit, subject=counter.subject)
                    raise RateLimitedError(self._seconds_left(counter))
        return Reservation(self, tuple(counted))

    def refund(self, counters: tuple[Counter, ...]) -> None:
        """Uncount an attempt that was reserved."""
        with self._lock:
            self._remove_all(counters)

    def api_key_limit(self, per_minute: int | None) -> RateLimitItem:
        """Return the limit of an API key.

        Args:
            per_minute: The limit of the key; None for the one of the installation, which can have another period.
        """
        return RateLimitItemPerMinute(per_minute) if per_minute else self._items[API_KEY_LIMIT]

    def hit(self, key: str, per_minute: int | None) -> RateLimitStatus:
        """Count a request of an API key, and return the state of its limit: in any period, at most so many pass.

        Args:
            key: The id of the API key.
            per_minute: The limit of the key; None for the one of LIMITS.
        """
        item = self.api_key_limit(per_minute)
        period = period_of(item)
        name, seconds = item.key_for("api.window", key), item.get_expiry()
        try:
            with self._lock:
                allowed = self._windows.acquire_entry(name, item.amount, seconds)
                start, count = self._windows.get_moving_window(name, item.amount, seconds)
        except StorageError as error:
            log.error("rate limit storage failed", error=type(error.storage_error).__name__)
            return RateLimitStatus(
                allowed=True, limit=item.amount, period=period, remaining=item.amount, seconds=seconds
            )
        return RateLimitStatus(
            allowed=allowed,
            limit=item.amount,
            period=period,
            remaining=max(item.amount - count, 0),
            seconds=max(ceil(start + seconds - time.time()), 1),
        )

    def reset(self) -> None:
        """Reset all counts."""
        self._storage.reset()

    def _add(self, counter: Counter) -> int:
        """Count an attempt, and return the count; 0 if the storage fails, which allows the attempt."""
        try:
            return self._storage.incr(counter.key, counter.item.get_expiry())
        except StorageError as error:
            log.error("rate limit storage failed", error=type(error.storage_error).__name__)
            return 0

    def _remove_all(self, counters: Iterable[Counter]) -> None:
        """Uncount attempts, each from the window that it was counted in: later windows stay as they are."""
        for counter in counters:
            seconds = counter.item.get_expiry()
            try:
                if self._storage.get(counter.key) <= 0 or self._end_of(counter) - counter.ends > seconds / 2:
                    continue
                if self._storage.incr(counter.key, seconds, -1) < 0:  # the window has ended since
                    self._storage.incr(counter.key, seconds)
            except StorageError as error:
                log.error("rate limit storage failed", error=type(error.storage_error).__name__)

    def _end_of(self, counter: Counter) -> float:
        """Return when the window of a count ends; in a server, to the second."""
        try:
            return self._storage.get_expiry(counter.key)
        except StorageError:  # logged already
            return time.time() + counter.item.get_expiry()

    def _seconds_left(self, counter: Counter) -> int:
        return max(ceil(self._end_of(counter) - time.time()), 1)


@dataclass(frozen=True)
class Reservation:
    """A counted attempt, which a success refunds."""

    limiter: RateLimiter
    counters: tuple[Counter, ...]

    def refund(self) -> None:
        """Uncount the attempt."""
        self.limiter.refund(self.counters)


def period_of(item: RateLimitItem) -> str:
    """Return the period of a limit, such as `minute` or `2 hours`."""
    unit = item.GRANULARITY.name
    return unit if item.multiples == 1 else f"{item.multiples} {unit}s"


def limited_view(view: Callable[[Any, Request], Response], info: Any) -> Callable[[Any, Request], Response]:
    """Enforce the view option `rate_limit` (a view deriver)."""
    name = info.options.get("rate_limit")
    if name is None:
        return view
    if name not in LIMITS:
        raise SettingsError(f"A view has the unknown rate limit {name}")

    def limited(context: Any, request: Request) -> Response:
        reservation = request.services.limiter.reserve(name, find_subjects(request, LIMITS[name]))
        try:
            response = view(context, request)
        except ServerBusyError:  # the password was not even checked
            reservation.refund()
            raise
        if name in FAILURES_ONLY and response.status_int < 400:
            reservation.refund()
        return response

    return limited


limited_view.options = ("rate_limit",)  # type: ignore[attr-defined]


def includeme(config: Configurator) -> None:
    """Install the view option `rate_limit`."""
    config.add_view_deriver(limited_view, name="rate_limited")

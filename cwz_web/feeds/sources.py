"""Sources of feeds: a URL with optional credentials, fetched only if the file has changed."""

import base64
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, BinaryIO, Self
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator
from sqlalchemy.orm import Session

from cwz_web.crypto import DecryptionError, KeyRing
from cwz_web.feeds.allowed_hosts import check_hosts, is_allowed
from cwz_web.feeds.file_types import digest_file, needs_end, read_sample, truncate_to_line
from cwz_web.feeds.json_pages import MAX_PAGE_BYTES, PageFetcher, find_next_page, join_pages, read_page
from cwz_web.feeds.limits import MAX_BYTES, PREVIEW_BYTES, SAMPLE_ROWS, InvalidFileError
from cwz_web.feeds.models import FeedSource
from cwz_web.feeds.records import Table, file_size
from cwz_web.feeds.share_links import file_url
from cwz_web.feeds.temporary_files import temporary_file
from cwz_web.i18n import gettext, gettext_noop
from cwz_web.net.client import (
    INVALID_PORT,
    BlockedRequestError,
    FetchedBody,
    Fetcher,
    FetchError,
    InvalidPortError,
    RedirectRefusedError,
    ascii_host,
    check_url,
)

FETCH_TIMEOUT = 120.0
# A preview ends after this time, or with PREVIEW_BYTES.
PREVIEW_TIMEOUT = 8.0
_header = re.compile(r"\A[A-Za-z][A-Za-z0-9-]{0,59}\Z")
# Headers that control the connection and do not authenticate; and Cookie.
FORBIDDEN_HEADERS = {"host", "cookie", "user-agent", "connection", "upgrade", "te", "trailer", "expect", "range", "via"}
# What replaces the values of a URL's query, which may be secrets, and the parameters that are none.
MASK = "***"
HARMLESS_PARAMETERS = {"dl", "export", "format", "gid", "limit", "output", "page", "per_page", "single", "tqx"}


class SecretRequiredError(Exception):
    """The saved password must not be sent to another origin; it has to be entered again."""


def _checked_url(url: str) -> str:
    try:
        return str(check_url(file_url(url)))
    except InvalidPortError:
        raise ValueError(gettext(INVALID_PORT)) from None
    except BlockedRequestError:
        raise ValueError(
            gettext("Enter a public URL that begins with http:// or https://, without a user name in it")
        ) from None


def _checked_header(name: str) -> str:
    if name and (
        not _header.match(name) or name.lower() in FORBIDDEN_HEADERS or name.lower().startswith(("content-", "proxy-"))
    ):
        raise ValueError(gettext("This header is not allowed; use Authorization or a header like X-Api-Key"))
    return name


class SourceSpec(BaseModel):
    """The URL of a feed and how to authenticate: by a user name or a header. The secret is stored separately.

    A share link of Google Sheets or a similar service is changed to the URL of its file.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: Annotated[str, Field(max_length=2000), AfterValidator(_checked_url)]
    username: Annotated[str, Field(max_length=200)] = ""
    header: Annotated[str, AfterValidator(_checked_header)] = ""
    user_agent: Annotated[str, StringConstraints(pattern=r"^[\x20-\x7e]*$", strip_whitespace=True, max_length=200)] = ""
    allowed_hosts: Annotated[tuple[str, ...], AfterValidator(check_hosts)] = ()

    @model_validator(mode="after")
    def _one_authentication(self) -> Self:
        if self.username and self.header:
            raise ValueError(gettext("Enter a user name or a header, not both"))
        return self

    @property
    def has_secret(self) -> bool:
        """Whether a secret is sent."""
        return bool(self.username or self.header)

    @property
    def origin(self) -> tuple[str, str, int | None]:
        """The scheme, host and port of the URL; the secret is only sent there."""
        url = check_url(self.url)
        return url.scheme, url.host, url.port

    @property
    def host(self) -> str:
        """The host of the URL, which is shown and logged; the path and the query can hold secrets."""
        return check_url(self.url).host

    def allows(self, host: str) -> bool:
        """Return whether a redirect or a next page may lead to a host, in ASCII."""
        return is_allowed(host, ascii_host(check_url(self.url)), self.allowed_hosts)

    @property
    def plain_headers(self) -> dict[str, str]:
        """The headers without a secret."""
        return {"User-Agent": self.user_agent} if self.user_agent else {}

    def headers(self, secret: str) -> dict[str, str]:
        """Return the headers that authenticate the request (RFC 7617 for a user name)."""
        if self.header:
            return {self.header: secret}
        if self.username:
            return {"Authorization": f"Basic {base64.b64encode(f'{self.username}:{secret}'.encode()).decode()}"}
        return {}


@dataclass(frozen=True)
class FetchResult:
    """The fetched file, or None if it has not changed, and the validators for the next fetch.

    `is_length_known` is False if the server did not state the length of the file. `changes_since` and `complete_at` are
    those of a provider's source.
    """

    file: BinaryIO | None
    etag: str | None
    last_modified: str | None
    digest: str
    is_length_known: bool = True
    changes_since: datetime | None = None
    complete_at: datetime | None = None


def fetch_source(fetcher: Fetcher, spec: SourceSpec, secret: str, known: FeedSource | None = None) -> FetchResult:
    """Fetch a feed's file, unless it has not changed. The pages of paged JSON are joined.

    Args:
        fetcher: The HTTP client.
        spec: The URL and how to authenticate.
        secret: The password or header value.
        known: The source with the validators of the last fetch; None to fetch the file in any case.

    Raises:
        FetchError: The file cannot be fetched; the message says why.
    """
    conditions = {"If-None-Match": known.etag, "If-Modified-Since": known.last_modified} if known else {}
    file = temporary_file()
    fetched: FetchedBody = fetcher.fetch(
        spec.url,
        headers=spec.plain_headers | {name: value for name, value in conditions.items() if value},
        secret_headers=spec.headers(secret),
        file=file,
        max_bytes=MAX_BYTES,
        seconds=FETCH_TIMEOUT,
        allows_redirect=spec.allows,
    )
    if known is not None and fetched.data is None:
        return FetchResult(None, known.etag, known.last_modified, known.digest)
    joined = join_pages(file, spec.url, fetched.links, _page_fetcher(fetcher, spec, secret))
    if joined is not None:  # its validators are those of the first page
        file, fetched = temporary_file(joined), FetchedBody(b"", None, None)
    digest = digest_file(file)
    changed_file = None if known is not None and known.digest == digest else file
    return FetchResult(changed_file, fetched.etag, fetched.last_modified, digest, fetched.is_length_known)


def _page_fetcher(fetcher: Fetcher, spec: SourceSpec, secret: str) -> PageFetcher:
    """Return a function that fetches another page of a feed's file. Only the feed's own origin gets the secret."""

    def fetch(url: str, seconds: float) -> tuple[bytes, str]:
        _check_page(spec, url)
        page = spec.model_copy(update={"url": url})
        if spec.origin[0] == "https" and url.startswith("http://"):  # an API behind a proxy may not know its scheme
            secure = page.model_copy(update={"url": f"https://{url.removeprefix('http://')}"})
            page = secure if secure.origin == spec.origin else page
        fetched = fetcher.fetch(
            page.url,
            headers=spec.plain_headers,
            secret_headers=spec.headers(secret) if page.origin == spec.origin else None,
            max_bytes=MAX_PAGE_BYTES,
            seconds=min(seconds, FETCH_TIMEOUT),
            allows_redirect=spec.allows,
        )
        return fetched.data or b"", fetched.links

    return fetch


def _check_page(spec: SourceSpec, url: str) -> None:
    """Raise FetchError if a feed's next page is on a host that is not allowed."""
    host = ascii_host(check_url(url))
    if not spec.allows(host):
        raise RedirectRefusedError(host, gettext_noop("The next page is on %(host)s"))


def preview_source(fetcher: Fetcher, spec: SourceSpec, secret: str) -> tuple[BinaryIO, Table]:
    """Fetch the start of a feed's file and read its first rows.

    Returns:
        The file, or its start if it is longer than a preview, and its first rows.

    Raises:
        FetchError: The file cannot be fetched.
        InvalidFileError: It cannot be read as rows.
    """
    file, fetched = _fetch_preview(fetcher, spec, secret, PREVIEW_BYTES)
    if not fetched.is_complete and needs_end(file):
        file, fetched = _fetch_preview(fetcher, spec, secret, MAX_BYTES)
    is_slow = not fetched.is_complete and file_size(file) < PREVIEW_BYTES
    start = file if fetched.is_complete else truncate_to_line(file)
    try:
        sample = read_sample(start, SAMPLE_ROWS)
        page = read_page(start) if fetched.is_complete else None
        if page is not None and (next_url := find_next_page(spec.url, fetched.links, page)):
            _check_page(spec, next_url)
            sample.notes.append(gettext("This is the first page; an import fetches all pages"))
        return start, sample
    except InvalidFileError:
        if is_slow:
            raise FetchError(
                gettext(
                    "The server is too slow: it sent no complete row within %(seconds)s seconds",
                    seconds=f"{PREVIEW_TIMEOUT:.0f}",
                )
            ) from None
        raise


def _fetch_preview(fetcher: Fetcher, spec: SourceSpec, secret: str, stop_after: int) -> tuple[BinaryIO, FetchedBody]:
    """Fetch a file up to a size. Raises FetchError."""
    file = temporary_file()
    fetched = fetcher.fetch(
        spec.url,
        headers=spec.plain_headers,
        secret_headers=spec.headers(secret),
        file=file,
        max_bytes=MAX_BYTES,
        seconds=PREVIEW_TIMEOUT,
        stop_after=stop_after,
        allows_redirect=spec.allows,
    )
    return file, fetched


def check_secret(source: FeedSource, spec: SourceSpec, secret: str) -> None:
    """Raise SecretRequiredError if the saved secret would be sent to another origin than it was entered for."""
    is_reused = spec.has_secret and not secret and source.encrypted_secret is not None
    if is_reused and spec.origin != source_spec(source).origin:
        raise SecretRequiredError(gettext("The URL has another host: enter the password or header value again"))


def change_source(ring: KeyRing, source: FeedSource, spec: SourceSpec, secret: str) -> None:
    """Change the URL of a feed and how to authenticate.

    Args:
        ring: The encryption keys.
        source: The source to change.
        spec: The new URL and how to authenticate.
        secret: The new password or header value; empty to keep the saved one.

    Raises:
        SecretRequiredError: The saved one must not be kept.
    """
    check_secret(source, spec, secret)
    for name, value in spec.model_dump(mode="json").items():
        setattr(source, name, value)
    if secret or not spec.has_secret:
        set_secret(ring, source, secret if spec.has_secret else "")
    # The next fetch must not depend on what the former URL returned.
    source.etag = source.last_modified = source.error_message = None
    source.digest, source.failures = "", 0


def mask_query(url: str) -> str:
    """Return a URL with its query's values masked, since they may be secrets."""
    base, question_mark, query = url.partition("?")
    return base + question_mark + "&".join(map(_mask_parameter, query.split("&")))


def unmask_query(typed: str, source: FeedSource) -> str:
    """Return a typed URL with the values of the saved one in place of masks.

    Raises:
        SecretRequiredError: The URL has another origin, or a mask that stands for no saved value.
    """
    base, question_mark, query = typed.partition("?")
    if MASK not in query:
        return typed
    saved: dict[str, list[str]] = {}
    for parameter in source.url.partition("?")[2].split("&"):
        saved.setdefault(_mask_parameter(parameter), []).append(parameter)
    try:
        is_same_origin = SourceSpec(url=base).origin == source_spec(source).origin
        parameters = [saved[part].pop(0) if part.endswith(MASK) else part for part in query.split("&")]
    except (ValueError, LookupError):
        is_same_origin = False
    if not is_same_origin:
        raise SecretRequiredError(gettext("Enter the value of each parameter again, in place of %(mask)s", mask=MASK))
    return base + question_mark + "&".join(parameters)


def _mask_parameter(parameter: str) -> str:
    name, equals, value = parameter.partition("=")
    if (not value and equals) or not parameter or name.lower() in HARMLESS_PARAMETERS:
        return parameter
    return f"{name}={MASK}" if equals else MASK


def set_secret(ring: KeyRing, source: FeedSource, secret: str) -> None:
    """Encrypt a source's secret, bound to its feed and provider."""
    source.encrypted_secret = ring.encrypt(secret, *_encryption_context(source)) if secret else None


def reencrypt_source(ring: KeyRing, source: FeedSource) -> bool:
    """Re-encrypt a source's secrets with the newest key.

    Returns:
        Whether one was encrypted with an older key.

    Raises:
        DecryptionError: no key of the ring decrypts it.
    """
    secret, webhook_secret = source.encrypted_secret, source.encrypted_webhook_secret
    source.encrypted_secret = _reencrypt(ring, secret, _encryption_context(source))
    source.encrypted_webhook_secret = _reencrypt(ring, webhook_secret, _webhook_context(source))
    return (secret, webhook_secret) != (source.encrypted_secret, source.encrypted_webhook_secret)


def _reencrypt(ring: KeyRing, envelope: bytes | None, context: tuple[str, ...]) -> bytes | None:
    if envelope is None or ring.is_newest(envelope):
        return envelope
    return ring.encrypt(ring.decrypt(envelope, *context), *context)


def set_webhook_secret(ring: KeyRing, source: FeedSource, secret: str) -> None:
    """Encrypt the secret that the provider signs its calls with; "" removes it."""
    source.encrypted_webhook_secret = ring.encrypt(secret, *_webhook_context(source)) if secret else None
    source.webhook_called_at = None


def decrypt_webhook_secret(ring: KeyRing, source: FeedSource) -> str:
    """Return the secret that the provider signs its calls with; "" if there is none, or no key decrypts it."""
    if source.encrypted_webhook_secret is None:
        return ""
    try:
        return ring.decrypt(source.encrypted_webhook_secret, *_webhook_context(source))
    except DecryptionError:
        return ""


def decrypt_secret(ring: KeyRing, source: FeedSource) -> str:
    """Return a source's secret. Raises FetchError if it cannot be decrypted."""
    if source.encrypted_secret is None:
        return ""
    try:
        return ring.decrypt(source.encrypted_secret, *_encryption_context(source))
    except DecryptionError:
        raise FetchError(gettext("The saved password of this feed cannot be decrypted; enter it again")) from None


def source_spec(source: FeedSource) -> SourceSpec:
    """Return the URL of a source and how to authenticate."""
    return SourceSpec.model_validate({name: getattr(source, name) for name in SourceSpec.model_fields})


def find_source(db: Session, workspace_id: UUID, feed_id: UUID) -> FeedSource | None:
    """Return the source of a feed, or None."""
    return db.get(FeedSource, (workspace_id, feed_id))


def _encryption_context(source: FeedSource) -> tuple[str, ...]:
    """Return the associated data of the encryption: copied to another feed, the secret cannot be decrypted."""
    feed = "feed source", str(source.workspace_id), str(source.feed_id)
    return (*feed, source.provider, "credentials") if source.provider else feed


def _webhook_context(source: FeedSource) -> tuple[str, ...]:
    return "feed source", str(source.workspace_id), str(source.feed_id), source.provider, "webhook"

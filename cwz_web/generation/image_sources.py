"""Sources of images: photos from the web, and uploads of the workspace."""

import math
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from threading import Lock
from typing import Annotated
from urllib.parse import urlsplit
from uuid import UUID

import cachetools
from pydantic import BaseModel, ConfigDict, Field

from cwz_web.i18n import gettext_lazy
from cwz_web.imaging.decoding import MAX_BYTES, Source
from cwz_web.imaging.errors import SourceMissingError
from cwz_web.imaging.photo_urls import NO_PHOTO, InvalidPhotoUrlError, normalize_url, split_urls
from cwz_web.net.client import Fetcher, FetchError, HostUnreachableError, ResponseInterruptedError
from cwz_web.storage.contract import ObjectNotFoundError, ObjectTooLargeError
from cwz_web.storage.uploads import Uploads

CACHE_BYTES = 128 * 1024 * 1024
CACHE_SECONDS = 300
# What an entry takes beside its bytes.
ENTRY_BYTES = 1024
FETCH_SECONDS = 20.0
# An unreachable origin is not tried again for a workspace for this long, so that a run does not wait for it in every
# row. It is shorter than the last delays of `runs.missing_photos`.
UNREACHABLE_SECONDS = 10
# So many responses in succession that are late or cut off make an origin unreachable as well.
MAX_INTERRUPTIONS = 4
MAX_ORIGINS = 1000
# Conditional requests to one host, for each process.
REVALIDATIONS_PER_SECOND = 10.0
MAX_VALIDATOR_LENGTH = 200
_upload = re.compile(r"\Aupload:([0-9a-f]{64})\Z")

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Validator = Annotated[str, Field(max_length=MAX_VALIDATOR_LENGTH, pattern=r"^[ -~]*$")]


class PhotoState(BaseModel):
    """What a photo was when an image was rendered with it.

    Attributes:
        reference: the SHA-256 of what the row has in its place.
        digest: the SHA-256 of its bytes.
        etag: the validators of its response, for a conditional request (RFC 9110, section 13).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    reference: Digest
    digest: Digest
    etag: Validator | None = None
    last_modified: Validator | None = None

    @classmethod
    def of(cls, reference: str, source: Source) -> "PhotoState":
        """Return the state of a photo that was just loaded."""
        etag, last_modified = map(_short, (source.etag, source.last_modified))
        return cls(reference=_digest(reference), digest=source.digest, etag=etag, last_modified=last_modified)

    def is_of(self, reference: str) -> bool:
        """Return whether this is the state of a reference's photo."""
        return self.reference == _digest(reference)

    @property
    def headers(self) -> dict[str, str]:
        """The headers of a request for the photo if it has changed."""
        headers = {"If-None-Match": self.etag, "If-Modified-Since": self.last_modified}
        return {name: value for name, value in headers.items() if value}


@dataclass
class _Origin:
    """What a workspace's fetches have shown of an origin: whether it responds."""

    error_message: str = ""
    unreachable_until: float = 0.0
    interruptions: int = 0


@dataclass(frozen=True)
class FetchLimits:
    """What the fetches of one image are subject to.

    Attributes:
        deadline: when the last one has to end, as a time of the monotonic clock.
        admit: called before each; raises an error if the client has asked too often.
    """

    deadline: float = math.inf
    admit: Callable[[], None] = lambda: None


UNLIMITED = FetchLimits()


class ImageSources:
    """Loads images by reference and caches their bytes. One for each process; safe for several threads."""

    def __init__(self, fetcher: Fetcher) -> None:
        self._fetcher = fetcher
        # By workspace, reference, and the digest of a source that is cached without its bytes, since it is unchanged.
        self._sources: cachetools.TTLCache[tuple[UUID, str, str], tuple[Source, float]] = cachetools.TTLCache(
            CACHE_BYTES, CACHE_SECONDS, getsizeof=lambda entry: len(entry[0].data) + ENTRY_BYTES
        )
        # Not caches of data, but circuit breakers and a rate limit. No workspace can make a host fail for another one:
        # what they share, the rate, only slows.
        self._origins: cachetools.LRUCache[tuple[UUID, str], _Origin] = cachetools.LRUCache(MAX_ORIGINS)
        self._next_revalidations: cachetools.LRUCache[str, float] = cachetools.LRUCache(MAX_ORIGINS)
        self._lock = Lock()

    def load(
        self,
        uploads: Uploads,
        reference: str,
        *,
        known: PhotoState | None = None,
        newer_than: float = 0.0,
        limits: FetchLimits = UNLIMITED,
    ) -> Source:
        """Load an image or a font.

        Args:
            uploads: the uploads of the workspace.
            reference: `upload:<sha256>`, or a text with one photo URL or several, of which the first is used.
            known: the photo's earlier state; if it has not changed, the result has its digest, but no bytes.
            newer_than: a time of the monotonic clock; what was cached before is loaded again.
            limits: what a fetch is subject to.

        Raises:
            SourceMissingError: the source is not available; the message says why.
            StorageError: the storage of the uploads does not respond.
        """
        upload = _upload.match(reference)
        name = reference if upload else _photo_url(reference)
        key = (uploads.workspace_id, name, "")
        for cached_key in (key, (*key[:2], known.digest)) if known else (key,):
            with self._lock:
                cached = self._sources.get(cached_key)
            if cached is not None and cached[1] >= newer_than:
                return cached[0]
        loaded_at = time.monotonic()
        if upload:
            source = self._read_upload(uploads, upload[1])
        else:
            source = self._fetch(uploads.workspace_id, name, known, limits)
        with self._lock:
            if len(source.data) + ENTRY_BYTES <= CACHE_BYTES:
                self._sources[key if source.data else (*key[:2], source.digest)] = (source, loaded_at)
        return source

    def _read_upload(self, uploads: Uploads, digest: str) -> Source:
        try:
            return Source.of(uploads.get(digest, MAX_BYTES))
        except ObjectNotFoundError:
            raise SourceMissingError(gettext_lazy("The upload no longer exists in the workspace's storage")) from None
        except ObjectTooLargeError:
            raise SourceMissingError(
                gettext_lazy("The upload is larger than %(max)s MB", max=MAX_BYTES // 1024**2)
            ) from None

    def _fetch(self, workspace_id: UUID, url: str, known: PhotoState | None, limits: FetchLimits) -> Source:
        parts = urlsplit(url)
        if known:
            self._wait_for_turn(parts.netloc)
        origin = self._origin(workspace_id, f"{parts.scheme}://{parts.netloc}")
        if time.monotonic() < origin.unreachable_until:
            raise SourceMissingError(origin.error_message, is_temporary=True)
        limits.admit()
        seconds = min(FETCH_SECONDS, limits.deadline - time.monotonic())
        if seconds <= 0:
            raise SourceMissingError(gettext_lazy("There was no time left to fetch it"), is_temporary=True)
        try:
            body = self._fetcher.fetch(
                url, headers=known.headers if known else None, max_bytes=MAX_BYTES, seconds=seconds
            )
        except FetchError as error:
            self._note_error(origin, error)
            raise SourceMissingError(
                str(error), is_temporary=error.is_temporary, retry_after=error.retry_after
            ) from None
        origin.interruptions = 0
        if known is not None and body.data is None:
            return Source(b"", known.digest, known.etag, known.last_modified)
        data = body.data or b""
        return Source(data, sha256(data).hexdigest(), body.etag, body.last_modified)

    def _origin(self, workspace_id: UUID, name: str) -> _Origin:
        with self._lock:
            return self._origins.setdefault((workspace_id, name), _Origin())

    def _note_error(self, origin: _Origin, error: FetchError) -> None:
        """Stop requests to an origin that does not respond, for a while."""
        with self._lock:
            origin.interruptions = origin.interruptions + 1 if isinstance(error, ResponseInterruptedError) else 0
            if isinstance(error, HostUnreachableError) or origin.interruptions >= MAX_INTERRUPTIONS:
                origin.error_message, origin.interruptions = str(error), 0
                origin.unreachable_until = time.monotonic() + UNREACHABLE_SECONDS

    def _wait_for_turn(self, host: str) -> None:
        """Wait until the rate of conditional requests to a host permits another one."""
        now = time.monotonic()
        with self._lock:
            turn = max(self._next_revalidations.get(host, 0.0), now)
            self._next_revalidations[host] = turn + 1 / REVALIDATIONS_PER_SECOND
        time.sleep(turn - now)


def _photo_url(reference: str) -> str:
    """Return the first photo URL of a text in ASCII. Raises SourceMissingError."""
    urls = split_urls(reference)
    if not urls:
        raise SourceMissingError(NO_PHOTO, is_unnamed=True)
    try:
        return normalize_url(urls[0])
    except InvalidPhotoUrlError as error:
        raise SourceMissingError(str(error)) from None


def _digest(reference: str) -> str:
    return sha256(reference.encode("utf-8", "surrogatepass")).hexdigest()


def _short(validator: str | None) -> str | None:
    """Return a validator that can be kept, if it is one."""
    is_kept = validator and len(validator) <= MAX_VALIDATOR_LENGTH and validator.isascii() and validator.isprintable()
    return validator if is_kept else None

"""Sources of images: photos from the web, and uploads of the workspace."""

import re
from threading import Lock
from urllib.parse import urlsplit
from uuid import UUID

import cachetools

from cwz_web.imaging.decoding import MAX_BYTES, Source
from cwz_web.imaging.errors import SourceMissingError
from cwz_web.net.client import Fetcher, FetchError, HostUnreachableError
from cwz_web.storage.contract import ObjectNotFoundError, ObjectTooLargeError
from cwz_web.storage.uploads import Uploads

CACHE_BYTES = 128 * 1024 * 1024
CACHE_SECONDS = 300
# An unreachable host is not tried again for this long, so that a run does not wait for it in every row.
UNREACHABLE_SECONDS = 60
MAX_UNREACHABLE_HOSTS = 1000
_upload = re.compile(r"\Aupload:([0-9a-f]{64})\Z")


class ImageSources:
    """Loads images by reference and caches their bytes. One for each process; safe for several threads."""

    def __init__(self, fetcher: Fetcher) -> None:
        self._fetcher = fetcher
        self._sources: cachetools.TTLCache[tuple[UUID, str], Source] = cachetools.TTLCache(
            CACHE_BYTES, CACHE_SECONDS, getsizeof=lambda source: len(source.data)
        )
        # The error message by host; not a cache of data, but a circuit breaker.
        self._unreachable: cachetools.TTLCache[str, str] = cachetools.TTLCache(
            MAX_UNREACHABLE_HOSTS, UNREACHABLE_SECONDS
        )
        self._lock = Lock()

    def load(self, uploads: Uploads, reference: str) -> Source:
        """Load an image or a font.

        Args:
            uploads: the uploads of the workspace.
            reference: a URL, or `upload:<sha256>`.

        Raises:
            SourceMissingError: the source is not available; the message says why.
            StorageError: the storage of the uploads does not respond.
        """
        key = (uploads.workspace_id, reference)
        with self._lock:
            cached = self._sources.get(key)
        if cached is not None:
            return cached
        if match := _upload.match(reference):
            source = self._read_upload(uploads, match[1])
        elif reference.startswith(("http://", "https://")):
            source = self._fetch(reference)
        elif not reference:
            raise SourceMissingError("The row has no image")
        else:
            raise SourceMissingError("The value is not a URL that begins with http:// or https://")
        with self._lock:
            if len(source.data) <= CACHE_BYTES:
                self._sources[key] = source
        return source

    def _read_upload(self, uploads: Uploads, digest: str) -> Source:
        try:
            return Source.of(uploads.get(digest, MAX_BYTES))
        except ObjectNotFoundError:
            raise SourceMissingError("The upload no longer exists in the workspace's storage") from None
        except ObjectTooLargeError:
            raise SourceMissingError(f"The upload is larger than {MAX_BYTES // 1024**2} MB") from None

    def _fetch(self, url: str) -> Source:
        host = urlsplit(url).netloc
        with self._lock:
            unreachable = self._unreachable.get(host)
        if unreachable:
            raise SourceMissingError(unreachable)
        try:
            return Source.of(self._fetcher.get(url, max_bytes=MAX_BYTES))
        except HostUnreachableError as error:
            with self._lock:
                self._unreachable[host] = str(error)
            raise SourceMissingError(str(error)) from None
        except FetchError as error:
            raise SourceMissingError(str(error)) from None

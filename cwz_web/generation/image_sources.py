"""Where the images inside an image come from: the web, or the originals that the workspace keeps."""

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

KEPT_BYTES = 128 * 1024 * 1024
KEPT_SECONDS = 300
# A host that cannot be reached is not asked again for a while: a run over a dead shop must not wait for every row.
DEAD_HOST_SECONDS = 60
_upload = re.compile(r"\Aupload:([0-9a-f]{64})\Z")


class ImageSources:
    """Loads images by reference and keeps their bytes for a while. One a process; safe for several threads."""

    def __init__(self, fetcher: Fetcher) -> None:
        self._fetcher = fetcher
        self._kept: cachetools.TTLCache[tuple[UUID, str], Source] = cachetools.TTLCache(
            KEPT_BYTES, KEPT_SECONDS, getsizeof=lambda source: len(source.data)
        )
        self._dead: cachetools.TTLCache[str, str] = cachetools.TTLCache(1000, DEAD_HOST_SECONDS)
        self._lock = Lock()

    def load(self, uploads: Uploads, reference: str) -> Source:
        """The image that a reference names: a URL, or `upload:<sha256>` of the workspace.

        Raises SourceMissingError, which says why; a storage that does not answer raises its StorageError.
        """
        key = (uploads.workspace_id, reference)
        with self._lock:
            kept = self._kept.get(key)
        if kept is not None:
            return kept
        if match := _upload.match(reference):
            source = self._upload(uploads, match[1])
        elif reference.startswith(("http://", "https://")):
            source = self._fetch(reference)
        elif not reference:
            raise SourceMissingError("the row has none")
        else:
            raise SourceMissingError("it is not a web address that begins with http:// or https://")
        with self._lock:
            if len(source.data) <= KEPT_BYTES:
                self._kept[key] = source
        return source

    def _upload(self, uploads: Uploads, digest: str) -> Source:
        try:
            data = uploads.get(digest, MAX_BYTES)
        except ObjectNotFoundError:
            raise SourceMissingError("the workspace does not keep this image any more") from None
        except ObjectTooLargeError:
            raise SourceMissingError(
                f"what the storage has in its place is larger than {MAX_BYTES // 1024**2} MB"
            ) from None
        return Source.of(data)

    def _fetch(self, url: str) -> Source:
        host = urlsplit(url).netloc
        with self._lock:
            dead = self._dead.get(host)
        if dead:
            raise SourceMissingError(dead)
        try:
            return Source.of(self._fetcher.get(url, max_bytes=MAX_BYTES))
        except HostUnreachableError as error:
            with self._lock:
                self._dead[host] = str(error)
            raise SourceMissingError(str(error)) from None
        except FetchError as error:
            raise SourceMissingError(str(error)) from None

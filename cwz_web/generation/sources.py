"""Where the pictures inside a picture come from: the web, or the originals that the workspace keeps."""

import re
from threading import Lock
from urllib.parse import urlsplit
from uuid import UUID

import cachetools

from cwz_web.imaging.errors import SourceMissing
from cwz_web.imaging.pictures import MAX_BYTES, Source
from cwz_web.net.client import Fetcher, FetchError, Unreached
from cwz_web.storage.contract import NotFound, TooLarge
from cwz_web.storage.originals import Originals

KEPT_BYTES = 128 * 1024 * 1024
KEPT_SECONDS = 300
# A host that can not be reached is not asked again for a while: a run over a dead shop must not wait for every row.
DEAD_HOST_SECONDS = 60
_original = re.compile(r"\Aoriginal:([0-9a-f]{64})\Z")


class Sources:
    """Loads pictures by reference and keeps their bytes for a while. One a process; safe for several threads."""

    def __init__(self, fetcher: Fetcher) -> None:
        self._fetcher = fetcher
        self._kept: cachetools.TTLCache[tuple[UUID, str], Source] = cachetools.TTLCache(
            KEPT_BYTES, KEPT_SECONDS, getsizeof=lambda source: len(source.data)
        )
        self._dead: cachetools.TTLCache[str, str] = cachetools.TTLCache(1000, DEAD_HOST_SECONDS)
        self._lock = Lock()

    def load(self, originals: Originals, reference: str) -> Source:
        """The picture that a reference names: a URL, or `original:<sha256>` of the workspace.

        Raises SourceMissing, which says why; a storage that does not answer raises its StorageError.
        """
        key = (originals.workspace_id, reference)
        with self._lock:
            kept = self._kept.get(key)
        if kept is not None:
            return kept
        if match := _original.match(reference):
            source = self._original(originals, match[1])
        elif reference.startswith(("http://", "https://")):
            source = self._fetch(reference)
        elif not reference:
            raise SourceMissing("the row has none")
        else:
            raise SourceMissing("it is not a web address that begins with http:// or https://")
        with self._lock:
            if len(source.data) <= KEPT_BYTES:
                self._kept[key] = source
        return source

    def _original(self, originals: Originals, digest: str) -> Source:
        try:
            data = originals.get(digest, MAX_BYTES)
        except NotFound:
            raise SourceMissing("the workspace does not keep this picture any more") from None
        except TooLarge:
            raise SourceMissing(f"what the storage has in its place is larger than {MAX_BYTES // 1024**2} MB") from None
        return Source.of(data)

    def _fetch(self, url: str) -> Source:
        host = urlsplit(url).netloc
        with self._lock:
            dead = self._dead.get(host)
        if dead:
            raise SourceMissing(dead)
        try:
            return Source.of(self._fetcher.get(url, max_bytes=MAX_BYTES))
        except Unreached as error:
            with self._lock:
                self._dead[host] = str(error)
            raise SourceMissing(str(error)) from None
        except FetchError as error:
            raise SourceMissing(str(error)) from None

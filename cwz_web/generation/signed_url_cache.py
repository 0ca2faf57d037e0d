"""What signed addresses showed lately, so that one that is asked for again is neither checked nor gathered anew.

That takes two fifths of the time for an image at hand. What was found out holds while all is as it was then: the
template, the connections, the signing keys, and what the workspace may do (`State`). It holds for a minute at most, for
a photo on the web may have become another, and no longer than the address itself.
"""

import math
import time
from threading import Lock
from typing import NamedTuple

import cachetools

from cwz_web.generation.template_cache import TemplateVersionState

KEPT = 2000
SECONDS = 60.0


class Shown(NamedTuple):
    """An image's digest, for how long it may be kept (the header's words), and how things were with its template."""

    digest: str
    cache: str
    state: TemplateVersionState
    ends: float


class SignedUrlCache:
    """What addresses showed. One a process; safe to use from several threads."""

    def __init__(self) -> None:
        self._kept: cachetools.TLRUCache[str, Shown] = cachetools.TLRUCache(
            KEPT, lambda _, shown, now: min(now + SECONDS, shown.ends), timer=time.time
        )
        self._lock = Lock()

    def get(self, address: str, state: TemplateVersionState) -> Shown | None:
        """What an address showed, if it still would.

        Arguments:
            address: its path below `/i/` and its query, as they were sent.
            state: how things are with its template.
        """
        with self._lock:
            shown = self._kept.get(address)
        return shown if shown is not None and shown.state == state else None

    def keep(self, address: str, state: TemplateVersionState, digest: str, cache: str, ends: float = math.inf) -> None:
        """Remember what an address shows, once it was found to be good.

        Arguments:
            ends: the Unix time until which the address is good.
        """
        with self._lock:
            self._kept[address] = Shown(digest, cache, state, ends)

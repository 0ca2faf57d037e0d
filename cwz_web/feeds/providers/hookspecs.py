"""The hook of a plugin with feed sources, and the marker that implements it."""

from collections.abc import Iterable
from typing import Any

import pluggy

from cwz_web.feeds.providers.contract import FeedSourceProvider

PROJECT = "cwz.feed_sources"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def cwz_feed_sources() -> Iterable[FeedSourceProvider[Any, Any]]:  # type: ignore[empty-body]
    """Return the providers of this plugin."""

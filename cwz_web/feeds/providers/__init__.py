"""Providers of feed sources: shops, tables and servers that a feed's rows are fetched from, each a plugin.

A plugin imports only what is exported here, `cwz_web.feeds.providers.http`, and in its tests
`cwz_web.feeds.providers.testing`; docs/feed-sources.md is its guide. Modules: the contract (`contract.py`), the hook
(`hookspecs.py`), a client for HTTP APIs (`http.py`), the file of rows (`rows.py`), the registry (`plugins.py`), and the
providers of this distribution, such as `shopify.py`.
"""

from cwz_web.feeds.providers.contract import (
    API_VERSION,
    ChangeWebhook,
    FeedSourceProvider,
    InvalidResponseError,
    SourceContext,
    SourceCredentialsError,
    SourceError,
    SourceNotFoundError,
    SourcePermissionError,
    SourceThrottledError,
    SourceUnreachableError,
)
from cwz_web.feeds.providers.hookspecs import hookimpl
from cwz_web.feeds.providers.rows import RowWriter
from cwz_web.net.guard import OutboundPolicy
from cwz_web.plugin_fields import Fields

__all__ = [
    "API_VERSION",
    "ChangeWebhook",
    "FeedSourceProvider",
    "Fields",
    "InvalidResponseError",
    "OutboundPolicy",
    "RowWriter",
    "SourceContext",
    "SourceCredentialsError",
    "SourceError",
    "SourceNotFoundError",
    "SourcePermissionError",
    "SourceThrottledError",
    "SourceUnreachableError",
    "hookimpl",
]

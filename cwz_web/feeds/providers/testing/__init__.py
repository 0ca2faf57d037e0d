"""The conformance suite of providers of feed sources; docs/feed-sources.md explains it."""

from cwz_web.feeds.providers.testing.conformance import FAILURES, SourceConformance, SourceSetup

__all__ = ["FAILURES", "SourceConformance", "SourceSetup"]

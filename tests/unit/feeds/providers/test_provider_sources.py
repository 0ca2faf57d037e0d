"""Sources of a provider without a database: where saved credentials may be sent, and their jobs."""

from typing import Any
from unittest.mock import Mock
from uuid import uuid4

import pytest

from cwz_web.feeds import fetch_job
from cwz_web.feeds.models import FeedSource
from cwz_web.feeds.provider_sources import SourceInput, check_saved_credentials
from cwz_web.feeds.providers.plugins import SourceRegistry
from cwz_web.feeds.providers.woocommerce import WooCommerceProvider, WooCommerceSettings
from cwz_web.feeds.sources import SecretRequiredError


@pytest.mark.parametrize(
    ("site", "is_kept"),
    [
        ("https://host.example/~shop/", True),
        ("https://host.example/~mallory", False),
        ("https://host.example", False),
        ("https://other.example/~shop", False),
    ],
)
def test_saved_key_is_only_for_the_site_it_was_entered_for(site: str, is_kept: bool) -> None:
    source = FeedSource(provider="woocommerce", settings={"site": "https://host.example/~shop"})
    entered = SourceInput(WooCommerceProvider(), WooCommerceSettings(site=site, products="any"), None)
    if is_kept:
        check_saved_credentials(SourceRegistry(), source, entered)
        return
    with pytest.raises(SecretRequiredError):
        check_saved_credentials(SourceRegistry(), source, entered)


def test_workspace_fetches_one_source_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    jobs: list[dict[str, Any]] = []
    monkeypatch.setattr(fetch_job, "defer_once", lambda db, task, **options: jobs.append(options))
    workspace, other = uuid4(), uuid4()
    for workspace_id in (workspace, workspace, other):
        fetch_job.enqueue_provider_fetch(Mock(), FeedSource(workspace_id=workspace_id, feed_id=uuid4()), None)
    first, second, third = (job["lock"] for job in jobs)
    assert first == second != third
    assert len({job["queueing_lock"] for job in jobs}) == 3

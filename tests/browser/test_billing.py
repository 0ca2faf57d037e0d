"""Plans and Slack in a real browser, against a Stripe and a Slack on loopback; and leaving for good."""

import io
import re
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.installation import Installation, free_port, wait_for
from tests.slack_server import SlackServer
from tests.stripe_server import SECRET_KEY, WEBHOOK_SECRET, StripeServer, signed


@pytest.fixture(scope="module")
def stripe() -> Iterator[StripeServer]:
    server = StripeServer()
    server.pages = dict.fromkeys(server.pages, server.url)
    yield server
    server.close()


@pytest.fixture(scope="module")
def slack() -> Iterator[SlackServer]:
    server = SlackServer()
    yield server
    server.close()


@pytest.fixture(scope="module")
def installation(
    tmp_path_factory: pytest.TempPathFactory, seed: Path, stripe: StripeServer, slack: SlackServer
) -> Iterator[Installation]:
    """One in which plans are sold, and Slack can be added."""
    installation = Installation(tmp_path_factory.mktemp("money"), seed)
    installation.set(
        {
            "CWZ_STRIPE_SECRET_KEY": SECRET_KEY,
            "CWZ_STRIPE_WEBHOOK_SECRETS": WEBHOOK_SECRET,
            "CWZ_SLACK_CLIENT_SECRET": "a-client-secret",
        },
        **{
            "billing.stripe_api": stripe.url,
            "billing.stripe_pages": stripe.url,
            "slack.client_id": "client",
            "slack.api": f"{slack.url}/api/",
            "slack.authorize": f"{slack.url}/oauth/v2/authorize",
            "worker.metrics_address": f"127.0.0.1:{free_port()}",
            "worker.render_metrics_address": f"127.0.0.1:{free_port()}",
        },
    )
    installation.start()
    yield installation
    installation.stop()


def test_subscribing_activates_plan(page: Page, stripe: StripeServer, installation: Installation) -> None:
    page.get_by_role("link", name="Billing").click()
    expect(page.get_by_text("of 100", exact=False).first).to_be_visible()
    page.get_by_role("button", name=re.compile("a month")).first.click()
    expect(page.get_by_role("heading", name="Pay here")).to_be_visible()
    [customer] = stripe.objects["customers"]
    stripe.subscribe(customer, "pro")
    body = stripe.event("customer.subscription.created", {"object": "subscription", "customer": customer}, "evt_1")
    httpx.post(f"{installation.url}/hooks/stripe", content=body, headers=signed(body)).raise_for_status()
    page.goto("/w/demo/billing")
    wait_for(lambda: page.reload() and page.get_by_text("of 10,000").count())


def test_worker_and_render_worker_expose_metrics(installation: Installation) -> None:
    ini = installation.ini.read_text()
    worker, render_worker = re.findall(r"^cwz.worker.\w*metrics_address = (.*)$", ini, re.MULTILINE)
    wait_for(lambda: httpx.get(f"http://{worker}/metrics").is_success)
    assert "cwz_render_duration_seconds_count" in httpx.get(f"http://{render_worker}/metrics").text


def test_operator_reaches_operations_page(page: Page) -> None:
    page.get_by_role("link", name="Demo user").click()
    page.get_by_role("link", name="Operations").click()
    expect(page.get_by_text("Active queue consumers")).to_be_visible()


def test_slack_is_connected_configured_and_disconnected(page: Page, slack: SlackServer) -> None:
    page.get_by_role("link", name="Settings").click()
    page.get_by_role("link", name="Slack").click()
    page.get_by_role("link", name="Add to Slack").click()
    expect(page.get_by_role("heading", name="Harbour Goods")).to_be_visible()
    page.get_by_label("Channel").select_option(label="#alerts")
    page.get_by_role("button", name="Save changes").click()
    expect(page.get_by_role("status")).to_be_visible()
    expect(page.get_by_label("Channel")).to_have_value("C1")
    page.get_by_role("button", name="Disconnect Slack").click()
    expect(page.get_by_role("link", name="Add to Slack")).to_be_visible()
    assert "auth.revoke" in [method for method, _ in slack.asked]


def test_workspace_export_is_downloaded(page: Page) -> None:
    page.goto("/w/demo/settings")
    page.get_by_role("link", name="Export data").click()
    page.get_by_label("Include images").check()
    page.get_by_role("button", name="Start export").click()
    download = page.get_by_role("link", name="Download")
    expect(download).to_be_visible(timeout=60_000)  # the page polls
    with page.expect_download() as found:
        download.click()
    names = zipfile.ZipFile(io.BytesIO(found.value.path().read_bytes())).namelist()
    assert "manifest.json" in names
    assert any(name.startswith("images/") for name in names)


def test_workspace_is_deleted_and_restored(page: Page) -> None:
    page.goto("/w/demo/settings")
    page.get_by_role("link", name="Delete workspace").click()
    page.get_by_label("Type Harbour Goods to confirm").fill("Harbour Goods")
    page.get_by_role("button", name="Delete workspace").click()
    expect(page.get_by_role("status")).to_contain_text("Workspace deleted.")
    page.get_by_role("button", name=re.compile("^Restore")).click()
    page.wait_for_url("**/w/demo")


def test_pages_with_billing_and_slack_are_accessible(page: Page, find_defects: Callable[..., list[object]]) -> None:
    page.goto("/w/demo/slack")
    page.get_by_role("link", name="Add to Slack").click()
    expect(page.get_by_label("Channel")).to_be_visible()
    assert find_defects(["/ops", *(f"/w/demo{path}" for path in ("/billing", "/slack", "/exports", "/delete"))]) == []

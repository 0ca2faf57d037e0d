"""Plans and Slack in a real browser, against a Stripe and a Slack on loopback."""

import re
from collections.abc import Callable

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.installation import Installation, wait_for
from tests.slack_server import SlackServer
from tests.stripe_server import StripeServer, signed


def test_subscribing_activates_plan(page: Page, stripe: StripeServer, installation: Installation) -> None:
    page.goto("/w/demo")
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


@pytest.mark.slow
def test_slack_is_connected_configured_and_disconnected(
    page: Page, slack: SlackServer, find_defects: Callable[..., list[object]]
) -> None:
    page.goto("/w/demo/settings")
    page.get_by_role("link", name="Slack").click()
    page.get_by_role("link", name="Add to Slack").click()
    expect(page.get_by_role("heading", name="Harbour Goods")).to_be_visible()
    page.get_by_label("Channel", exact=True).select_option(label="#alerts")
    page.get_by_role("button", name="Save changes").click()
    expect(page.get_by_role("status")).to_be_visible()
    expect(page.get_by_label("Channel", exact=True)).to_have_value("C1")
    assert find_defects(["/w/demo/slack"]) == []
    page.get_by_role("button", name="Disconnect Slack").click()
    expect(page.get_by_role("link", name="Add to Slack")).to_be_visible()
    assert "auth.revoke" in [method for method, _ in slack.asked]

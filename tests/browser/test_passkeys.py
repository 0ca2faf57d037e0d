"""Passkeys in a real browser, with Chromium's virtual authenticator (WebAuthn.addVirtualAuthenticator)."""

from urllib.parse import urlsplit

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.installation import Installation

AUTHENTICATOR = {
    "protocol": "ctap2",
    "transport": "internal",
    "hasResidentKey": True,
    "hasUserVerification": True,
    "isUserVerified": True,
    "automaticPresenceSimulation": True,
}


def open_with_authenticator(context: BrowserContext) -> Page:
    """Return a page whose browser has a passkey authenticator, which answers at once."""
    page = context.new_page()
    session = context.new_cdp_session(page)
    session.send("WebAuthn.enable", {"enableUI": False})
    session.send("WebAuthn.addVirtualAuthenticator", {"options": AUTHENTICATOR})
    return page


@pytest.mark.slow
def test_passkey_is_added_and_signs_in(context: BrowserContext, installation: Installation) -> None:
    site = f"http://localhost:{urlsplit(installation.url).port}"  # an IP address has no passkeys
    page = open_with_authenticator(context)
    page.goto(f"{site}/signin")
    page.get_by_role("button", name="Explore the demo").click()
    page.wait_for_url("**/w/demo")
    page.goto(f"{site}/account/passkeys")
    page.get_by_label("Name").fill("Test laptop")
    page.get_by_role("button", name="Add passkey").click()
    expect(page.get_by_role("rowheader", name="Test laptop")).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    # The offer in the email field takes the only passkey at once.
    page.wait_for_url(f"{site}/w**")
    page.goto(f"{site}/account/passkeys")
    expect(page.get_by_role("row", name="Test laptop")).not_to_contain_text("Never")
    page.get_by_role("button", name="Remove passkey Test laptop").click()
    expect(page.get_by_text("Passkey removed.")).to_be_visible()

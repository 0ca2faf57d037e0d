"""A new user, in a real browser: from nothing to a run in a workspace of one's own, and an invitation."""

import re

import pytest
from playwright.sync_api import BrowserContext, Page, expect

PASSWORD = "violet harbour 93 teapots"


def sign_up(page: Page, email: str) -> None:
    """From the sign-in page to the form of the first workspace, through the mail that arrives."""
    page.goto("/signin")
    page.get_by_role("link", name="Sign up").click()
    page.get_by_label("Your name").fill("Ada Lovelace")
    page.get_by_label("Email").fill(email)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign up").click()
    expect(page.get_by_role("heading", name="Check your email")).to_be_visible()
    follow_mail(page, email)
    page.wait_for_url("**/w/new")  # the link signs in, since this browser signed up


def follow_mail(page: Page, to: str) -> None:
    """Follow the link of the newest mail to an address, once the worker has written it."""
    page.goto("/dev/mail")
    mail = page.get_by_role("link").filter(has_text=f"To {to}").first
    for _ in range(100):
        if mail.count():
            break
        page.wait_for_timeout(100)
        page.reload()
    mail.click()
    page.get_by_role("link", name="Open link").click()


@pytest.fixture
def fresh(context: BrowserContext) -> Page:
    """A browser without a session."""
    return context.new_page()


@pytest.mark.slow
def test_sign_up_to_first_run(fresh: Page, console_errors: list[str]) -> None:
    sign_up(fresh, "ada@example.org")
    fresh.get_by_label("Name", exact=True).fill("Blue Door")
    fresh.get_by_role("button", name="Create workspace").click()
    fresh.get_by_role("button", name="Use Local folder").click()  # the plans of this installation limit connections
    fresh.get_by_role("button", name="Use sample products").click()
    fresh.get_by_role("button", name="Use Catalog card").click()
    # test_first_image.py renders and downloads images.
    expect(fresh.get_by_role("button", name=re.compile("Render .* images"))).to_be_visible()
    fresh.goto("/w/blue-door/members")
    place = fresh.locator("#list").bounding_box()
    fresh.locator("summary", has_text="Invite member").click()
    assert fresh.locator("#list").bounding_box() == place, "the form covers the list, and does not move it"
    fresh.keyboard.press("Escape")
    expect(fresh.get_by_label("Invite by email")).to_be_hidden()
    fresh.locator("summary", has_text="Invite member").click()
    fresh.get_by_label("Invite by email").fill("bob@example.org")
    fresh.get_by_role("button", name="Send invitation").click()
    expect(fresh.get_by_text("Invitation sent")).to_be_visible()
    fresh.goto("/w/demo")
    expect(fresh.get_by_text("Page not found")).to_be_visible()
    console_errors.clear()  # that page is a 404

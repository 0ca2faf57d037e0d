"""People, in a real browser: from nothing to a workspace of one's own, the second factor, and how the pages look."""

import re

import pyotp
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


def sign_in(page: Page, email: str) -> None:
    page.goto("/signin")
    page.get_by_label("Email").fill(email)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()


@pytest.fixture
def fresh(context: BrowserContext) -> Page:
    """A browser without a session."""
    return context.new_page()


def test_sign_up_to_first_images(fresh: Page, console_errors: list[str]) -> None:
    sign_up(fresh, "ada@example.org")
    fresh.get_by_label("Name", exact=True).fill("Blue Door")
    fresh.get_by_role("button", name="Create workspace").click()
    fresh.get_by_role("button", name="Use Local folder").click()  # the plans of this installation limit connections
    fresh.get_by_role("button", name="Use sample products").click()
    fresh.get_by_role("button", name="Use Catalog card").click()
    fresh.get_by_role("button", name=re.compile("Render .* images")).click()
    expect(fresh.get_by_role("status")).to_contain_text(re.compile(r"(\d+) of \1"), timeout=60_000)
    fresh.get_by_role("button", name="Prepare zip").click()
    with fresh.expect_download():
        fresh.get_by_role("link", name="Download zip").click(timeout=60_000)
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


def test_second_factor_sign_in(fresh: Page) -> None:
    sign_up(fresh, "eve@example.org")
    fresh.goto("/account/second-factor")
    fresh.get_by_label("Current password").fill(PASSWORD)
    fresh.get_by_role("button", name="Set up").click()
    expect(fresh.locator("img.qr")).to_have_js_property("complete", True)
    assert fresh.locator("img.qr").evaluate("image => image.naturalWidth") > 150
    fresh.get_by_text("Enter the secret manually").click()
    totp = pyotp.TOTP(fresh.locator("details code").inner_text())
    fresh.get_by_label("Code", exact=True).fill(totp.now())
    fresh.get_by_role("button", name="Turn on").click()
    first = fresh.get_by_label("Recovery codes").inner_text().split()[0]
    fresh.get_by_role("link", name="I saved my codes").click()
    fresh.get_by_role("button", name="Sign out").click()
    sign_in(fresh, "eve@example.org")
    fresh.get_by_label("Code", exact=True).fill(first)
    fresh.get_by_role("button", name="Continue").click()
    fresh.wait_for_url("**/w/new")

"""Sign-up in a browser, with the link of its email."""

import re
from email import message_from_bytes, policy
from email.message import EmailMessage

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.installation import Installation, wait_for
from tests.mailbox import text_of

PASSWORD = "violet harbour 93 teapots"


def sign_up(page: Page, installation: Installation, email: str) -> str:
    """Sign up, and return the link in the email."""
    page.goto("/signup")
    page.get_by_label("Name").fill("Ada")
    page.get_by_label("Email").fill(email)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_label("Password").press("Enter")
    expect(page.get_by_role("heading", name="Check your email")).to_be_visible()
    wait_for(lambda: find_links(installation, email))
    return find_links(installation, email)[0]


def find_links(installation: Installation, email: str) -> list[str]:
    paths = (installation.folder / "var" / "mail").glob("*.eml")
    mails = [message_from_bytes(path.read_bytes(), policy=policy.default) for path in paths]
    texts = [text_of(mail) for mail in mails if isinstance(mail, EmailMessage) and mail["To"] == email]
    return [link for text in texts for link in re.findall(r"/verify\?token=[0-9a-f]{64}", text)]


@pytest.mark.slow
def test_link_of_the_email_signs_in_without_a_click(
    context: BrowserContext, installation: Installation, console_errors: list[str]
) -> None:
    link = sign_up(context.new_page(), installation, "hedy@example.org")
    page = context.new_page()
    posts: list[str] = []
    page.on("request", lambda request: posts.append(request.url) if request.method == "POST" else None)
    page.goto(link, wait_until="commit")
    expect(page.get_by_role("button", name="Create workspace")).to_be_visible()
    page.goto(link)
    expect(page.get_by_role("heading", name="This link is no longer valid")).to_be_visible()
    console_errors.clear()  # that page is a 404
    assert len(posts) == 1, "the token is sent once"

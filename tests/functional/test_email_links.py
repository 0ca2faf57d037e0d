"""Every link with a token that an email carries, opened in three browsers: the right one, another account's, and one
that is not signed in.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from webtest import TestApp

from cwz_web.accounts.models import Account
from cwz_web.accounts.sessions import start_session
from cwz_web.accounts.tokens import Purpose, issue_token
from cwz_web.notify.topics import PATH as UNSUBSCRIBE
from cwz_web.notify.topics import Topic, UnsubscribeLinks
from cwz_web.workspaces.models import Membership
from tests.factories import PASSWORD, Factory, put_cookie, sign_in, token_of
from tests.mailbox import Mailbox

ROOT = Path(__file__).parent.parent.parent
NEW_PASSWORD = "violet harbour 93 teapots"
NEW_ADDRESS = "new@example.org"
BROWSERS = ("right", "another", "signed-out")


class Link(NamedTuple):
    """A link, the browser that asked for it, and whether its effect has happened."""

    path: str
    browser: TestApp
    has_effect: Callable[[], bool]
    password: str = PASSWORD


class World:
    """Sends emails with links."""

    def __init__(self, app: TestApp, make: Factory, mailbox: Mailbox) -> None:
        self.app, self.make, self.mailbox = app, make, mailbox

    def browser(self, account: Account | None = None) -> TestApp:
        browser = TestApp(self.app.app)
        if account:
            sign_in(browser, account)
        return browser

    def load(self, account: Account) -> Account:
        with self.make.database.transaction() as db:
            return db.get_one(Account, account.id)

    def verify(self) -> Link:
        browser = self.browser()
        form = browser.get("/signup").forms[0]
        form["name"], form["email"], form["password"] = "Ada", NEW_ADDRESS, NEW_PASSWORD
        form.submit()
        path = self.mailbox.link(NEW_ADDRESS)

        def is_verified() -> bool:
            with self.make.database.transaction() as db:
                return db.query(Account).filter_by(email=NEW_ADDRESS).one().verified_at is not None

        return Link(path, browser, is_verified, NEW_PASSWORD)

    def reset(self) -> Link:
        account, browser = self.make.account(), self.browser()
        form = browser.get("/forgot").forms[0]
        form["email"] = account.email
        form.submit()
        hashed = account.password_hash
        return Link(self.mailbox.link(account.email), browser, lambda: self.load(account).password_hash != hashed)

    def email(self) -> Link:
        account = self.make.account()
        browser = self.browser(account)
        form = next(form for form in browser.get("/account").forms.values() if form.action == "/account/email")
        form["email"], form["email_password"] = NEW_ADDRESS, PASSWORD
        form.submit(status=303)
        return Link(self.mailbox.link(NEW_ADDRESS), browser, lambda: self.load(account).email == NEW_ADDRESS)

    def invitation(self) -> Link:
        space, guest = self.make.workspace(), self.make.account()
        admin = self.browser(self.make.member(space))
        form = next(form for form in admin.get(f"/w/{space.slug}/members").forms.values() if form.action == "")
        form["email"] = guest.email
        form.submit(status=303)

        def is_member() -> bool:
            with self.make.database.transaction(space.id) as db:
                return db.get(Membership, (space.id, guest.id)) is not None

        return Link(self.mailbox.link(guest.email), self.browser(guest), is_member)

    def unsubscribe(self) -> Link:
        account = self.make.account()
        links: UnsubscribeLinks = self.make.services.unsubscribe_links
        path = links.link(str(account.id), Topic.FEEDS).removeprefix(self.make.services.settings.url)
        return Link(path, self.browser(account), lambda: Topic.FEEDS in self.load(account).unsubscribed_topics)


@pytest.fixture
def world(app: TestApp, make: Factory, mailbox: Mailbox) -> World:
    return World(app, make, mailbox)


def submit(browser: TestApp, path: str, **fields: str) -> Any:
    """Open a link, and submit its form with those of the fields that it has."""
    page = browser.get(path, status="*")
    target = path.partition("?")[0]
    forms = [form for form in page.forms.values() if form.action.partition("?")[0] in (target, "")]
    if not forms:
        return page
    for name, value in fields.items():
        if name in forms[0].fields:
            forms[0][name] = value
    return forms[0].submit(status="*")


# What a browser has to do besides pressing the button; None: it cannot.
NEEDS: dict[str, dict[str, dict[str, str] | None]] = {
    "verify": {"right": {}, "another": {"password": NEW_PASSWORD}, "signed-out": {"password": NEW_PASSWORD}},
    # The address is the proof: who reads its emails chooses the password.
    "reset": {browser: {"password": NEW_PASSWORD} for browser in BROWSERS},
    "email": {"right": {}, "another": {"password": PASSWORD}, "signed-out": {"password": PASSWORD}},
    "invitation": {"right": {}, "another": None, "signed-out": None},
    # It ends one topic of the emails in which it is.
    "unsubscribe": {browser: {} for browser in BROWSERS},
}


def test_every_link_with_a_token_is_here() -> None:
    sources = "".join(path.read_text() for path in (ROOT / "cwz_web").rglob("*.py"))
    with_token = set(re.findall(r"/(\w+)\?token=", sources))
    assert with_token | {UNSUBSCRIBE.strip("/")} == NEEDS.keys()


@pytest.mark.parametrize("browser", BROWSERS)
@pytest.mark.parametrize("kind", NEEDS)
def test_link_in_three_browsers(world: World, make: Factory, kind: str, browser: str) -> None:
    link: Link = getattr(world, kind)()
    opened = {
        "right": link.browser,
        "another": world.browser(make.account()),
        "signed-out": world.browser(),
    }[browser]
    opened.get(link.path)
    opened.head(link.path, status="*")
    assert not link.has_effect(), "opening a link changes nothing"
    needed = NEEDS[kind][browser]
    if needed == {}:
        assert submit(opened, link.path).status_int < 400
        assert link.has_effect()
        return
    submit(opened, link.path)
    submit(opened, link.path, password="not the password")
    if kind != "reset":
        assert not link.has_effect(), "without proof"
    if needed is not None:
        submit(opened, link.path, **needed)
        assert link.has_effect()


@pytest.mark.parametrize("kind", [kind for kind, needs in NEEDS.items() if needs["another"] != {} and kind != "reset"])
@pytest.mark.parametrize("browser", ["another", "signed-out"])
def test_forged_post_without_the_form_has_no_effect(world: World, make: Factory, kind: str, browser: str) -> None:
    link: Link = getattr(world, kind)()
    opened = world.browser(make.account() if browser == "another" else None)
    path, _, token = link.path.partition("?token=")
    for fields in ({}, {"password": ""}, {"password": "wrong"}):
        opened.post(path, {"csrf_token": token_of(opened, "/forgot"), "token": token, **fields}, status="*")
    assert not link.has_effect()


def test_account_without_password_confirms_its_new_address_in_its_session(world: World, make: Factory) -> None:
    account = make.account(password_hash=None)
    with make.database.transaction() as db:
        stored = db.get_one(Account, account.id)
        path = f"/email?token={issue_token(db, stored, Purpose.EMAIL, email=NEW_ADDRESS)}"
        tokens = make.services.browser_tokens
        _, session = start_session(db, stored, tokens, ip_address="", user_agent="")
    for browser in (world.browser(), world.browser(make.account())):
        page = submit(browser, path)
        assert "Sign in to it with Google" in page.text
        for password in ("", "x", PASSWORD):
            fields = {"csrf_token": token_of(browser, "/forgot"), "token": path.partition("=")[2], "password": password}
            browser.post("/email", fields, status=422)
        assert world.load(account).email == account.email
    own = world.browser()
    put_cookie(own, "cwz_session", session)
    assert submit(own, path).location == "http://localhost/account?done=email"
    assert world.load(account).email == NEW_ADDRESS


def test_invitation_needs_the_link_besides_the_address(world: World, make: Factory, mailbox: Mailbox) -> None:
    link = world.invitation()
    page = link.browser.get("/w")
    assert "Open the link in the email" in page.text
    [form] = [form for form in page.forms.values() if form.action == "/w/resend-invitation"]
    link.browser.post(
        "/w/join", {"csrf_token": form["csrf_token"].value, "invitation": form["invitation"].value}, status=404
    )
    assert "Invitation sent" in form.submit(status=303).follow().text
    assert not link.has_effect()
    guest = mailbox.emails()[-1]["To"]
    newest = mailbox.link(guest)
    assert newest != link.path
    link.browser.get(link.path, status=404)
    submit(link.browser, newest)
    assert link.has_effect()


def test_open_invitation_of_another_address_is_not_sent(world: World, make: Factory, mailbox: Mailbox) -> None:
    link = world.invitation()
    form = next(form for form in link.browser.get("/w").forms.values() if form.action == "/w/resend-invitation")
    invitation = form["invitation"].value
    before = len(mailbox.emails())
    stranger = world.browser(make.account())
    for value in (invitation, "nonsense"):
        stranger.post(
            "/w/resend-invitation", {"csrf_token": token_of(stranger, "/forgot"), "invitation": value}, status=303
        )
    assert len(mailbox.emails()) == before


def test_page_of_a_new_address_names_no_other_account(world: World, make: Factory) -> None:
    link = world.email()
    other = make.account()
    page = world.browser(other).get(link.path)
    assert other.email in page.text
    assert NEW_ADDRESS in page.text

"""Email notifications: topics, unsubscribe links, and emails that are always sent."""

from datetime import UTC, date, datetime
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
from webtest import TestApp

from cwz_web.accounts.deletion import cancel_deletion
from cwz_web.accounts.models import Account
from cwz_web.i18n import long_date
from cwz_web.notify.emails import EmailMessage
from cwz_web.notify.topics import TOPIC_LABELS, Topic
from cwz_web.runs.models import Run
from cwz_web.runs.notifications import notify_run_finished
from cwz_web.workspaces.members import email_admins
from cwz_web.workspaces.models import Role, Workspace
from tests.factories import Factory, sign_in
from tests.mailbox import Mailbox, html_of, text_of

FEED_EMAIL = EmailMessage("A feed fails", ("It does.",), topic=Topic.FEEDS)


@pytest.fixture
def space(make: Factory) -> Workspace:
    return make.workspace()


@pytest.fixture
def admin(make: Factory, space: Workspace) -> Account:
    return make.member(space)


def notify_admins(make: Factory, space: Workspace, email: EmailMessage = FEED_EMAIL) -> None:
    with make.database.transaction(space.id) as db:
        email_admins(db, space.id, lambda: email)


def unsubscribed_topics_of(make: Factory, account: Account) -> set[str]:
    with make.database.transaction() as db:
        return set(db.get_one(Account, account.id).unsubscribed_topics)


def unsubscribe_link(mailbox: Mailbox, account: Account) -> str:
    header = str(mailbox.last(account.email)["List-Unsubscribe"])
    assert header.startswith("<http://localhost/unsubscribe?")
    return header[1:-1].removeprefix("http://localhost")


def test_topics_are_chosen_on_the_account_page(
    app: TestApp, make: Factory, mailbox: Mailbox, space: Workspace, admin: Account
) -> None:
    other = make.member(space)
    sign_in(app, admin)
    form = next(form for form in app.get("/account").forms.values() if form.action.endswith("/mails"))
    assert {name: form[name].checked for name in TOPIC_LABELS} == {
        "feeds": True,
        "storage": True,
        "usage": True,
        "runs": False,
        "publications": True,
    }
    form["feeds"], form["runs"] = False, True
    form.submit(status=303)
    assert unsubscribed_topics_of(make, admin) == {"feeds"}
    notify_admins(make, space)
    assert [mail["To"] for mail in mailbox.emails()] == [other.email]
    notify_admins(make, space, EmailMessage("Essential", ("It is.",)))
    essential = mailbox.last(admin.email)
    assert essential["Subject"] == "Essential"
    assert "List-Unsubscribe" not in essential
    assert "Unsubscribe" not in text_of(essential)


def test_link_unsubscribes_from_a_topic_without_signing_in(
    app: TestApp, make: Factory, mailbox: Mailbox, space: Workspace, admin: Account
) -> None:
    notify_admins(make, space)
    link = unsubscribe_link(mailbox, admin)
    mail = mailbox.last(admin.email)
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert link in text_of(mail)
    html = mail.get_body(("html",))
    assert html is not None
    assert "Unsubscribe" in html.get_content()
    page = app.get(link)
    assert TOPIC_LABELS[Topic.FEEDS] in page.text
    assert "feeds" not in unsubscribed_topics_of(make, admin), "opening the link changes nothing"
    page.forms[0].submit(status=200)
    assert unsubscribed_topics_of(make, admin) == {"feeds", "runs"}
    notify_admins(make, space)
    assert len(mailbox.emails()) == 1


def test_email_service_unsubscribes_with_one_click(
    app: TestApp, make: Factory, mailbox: Mailbox, space: Workspace, admin: Account
) -> None:
    """RFC 8058: no cookie, no CSRF token, another origin."""
    notify_admins(make, space)
    link = unsubscribe_link(mailbox, admin)
    for _ in range(2):
        app.post(link, {"List-Unsubscribe": "One-Click"}, status=200)
    assert unsubscribed_topics_of(make, admin) == {"feeds", "runs"}


def test_forged_link_is_not_found(
    app: TestApp, make: Factory, mailbox: Mailbox, space: Workspace, admin: Account
) -> None:
    other = make.account()
    notify_admins(make, space)
    parts = urlsplit(unsubscribe_link(mailbox, admin))
    query = dict(parse_qsl(parts.query))
    for changed in (
        {"account": str(other.id)},
        {"topic": "storage"},
        {"s": ""},
        {"s": "ü"},
        {"account": "x"},
        {"topic": ""},
    ):
        forged = f"/unsubscribe?{urlencode(query | changed)}"
        app.get(forged, status=404)
        app.post(forged, {}, status=404)
    app.get("/unsubscribe", status=404)
    assert unsubscribed_topics_of(make, admin) == unsubscribed_topics_of(make, other) == {"runs"}


def test_user_who_started_a_run_is_emailed_when_it_ends_if_subscribed(
    make: Factory, mailbox: Mailbox, space: Workspace, admin: Account
) -> None:
    make.member(space, Role.USER)
    feed, template = make.feed(space), make.template(space)
    run = make.run(feed, template)
    for is_subscribed in (False, True):
        with make.database.transaction(space.id) as db:
            db.get_one(Account, admin.id).unsubscribed_topics = [] if is_subscribed else ["runs"]
            started = db.get_one(Run, (space.id, run.id))
            started.started_by, started.done, started.failed, started.ended_at = admin.id, 2, 1, datetime.now(UTC)
            notify_run_finished(db, started)
    [mail] = mailbox.emails()
    assert mail["To"] == admin.email
    assert "failed images" in mail["Subject"]
    assert f"http://localhost/w/{space.slug}/runs/{run.id}" in text_of(mail)


def test_each_admin_gets_an_email_in_their_locale(make: Factory, mailbox: Mailbox, space: Workspace) -> None:
    locales = {
        None: ('lang="en"', "5 September 2026"),
        "en-US": ('lang="en-US"', "September 5, 2026"),
        "de-AT": ('lang="de-AT"', "5. September 2026"),
        "fr": ('lang="fr"', "5 septembre 2026"),
    }
    admins = {locale: make.member(space, locale=locale) for locale in locales}
    with make.database.transaction(space.id) as db:
        email_admins(db, space.id, lambda: EmailMessage("Payment", (long_date(date(2026, 9, 5)),)))
    for locale, (language, day) in locales.items():
        mail = mailbox.last(admins[locale].email)
        assert day in text_of(mail).splitlines()
        assert language in html_of(mail)


def test_email_about_an_account_is_in_its_locale(make: Factory, mailbox: Mailbox) -> None:
    account = make.account(locale="fr-CA")
    with make.database.transaction() as db:
        cancel_deletion(db, db.get_one(Account, account.id))
    assert 'lang="fr-CA"' in html_of(mailbox.last(account.email))


def test_queued_email_of_an_older_release_is_read() -> None:
    old = {"subject": "s", "paragraphs": ["p"], "button": None, "reason": "r"}
    assert EmailMessage.from_json(old) == EmailMessage("s", ("p",), None, "r")

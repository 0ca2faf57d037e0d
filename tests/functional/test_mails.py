"""Which mails reach whom: topics, the link that ends one without signing in, and what always comes."""

from datetime import UTC, datetime
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
from webtest import TestApp

from cwz_web.accounts.models import Account
from cwz_web.notify.emails import EmailMessage
from cwz_web.notify.topics import TOPIC_LABELS, Topic
from cwz_web.runs.models import Run
from cwz_web.runs.notifications import notify_run_finished
from cwz_web.workspaces.members import email_admins
from cwz_web.workspaces.models import Role, Workspace
from tests.factories import Factory, sign_in
from tests.mailbox import Mailbox, text_of

LETTER = EmailMessage("A feed fails", ("It does.",), topic=Topic.FEEDS)


@pytest.fixture
def space(make: Factory) -> Workspace:
    return make.workspace()


@pytest.fixture
def admin(make: Factory, space: Workspace) -> Account:
    return make.member(space)


def tell(make: Factory, space: Workspace, letter: EmailMessage = LETTER) -> None:
    with make.database.transaction(space.id) as db:
        email_admins(db, space.id, letter)


def muted(make: Factory, account: Account) -> set[str]:
    with make.database.transaction() as db:
        return set(db.get_one(Account, account.id).muted)


def link_of(mailbox: Mailbox, account: Account) -> str:
    header = str(mailbox.last(account.email)["List-Unsubscribe"])
    assert header.startswith("<http://localhost/unsubscribe?")
    return header[1:-1].removeprefix("http://localhost")


def test_somebody_chooses_in_their_account(
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
    }
    form["feeds"], form["runs"] = False, True
    form.submit(status=303)
    assert muted(make, admin) == {"feeds"}
    tell(make, space)
    assert [mail["To"] for mail in mailbox.emails()] == [other.email]
    tell(make, space, EmailMessage("Essential", ("It is.",)))
    essential = mailbox.last(admin.email)
    assert essential["Subject"] == "Essential"
    assert "List-Unsubscribe" not in essential
    assert "Unsubscribe" not in text_of(essential)


def test_a_link_ends_a_topic_without_signing_in(
    app: TestApp, make: Factory, mailbox: Mailbox, space: Workspace, admin: Account
) -> None:
    tell(make, space)
    link = link_of(mailbox, admin)
    mail = mailbox.last(admin.email)
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert link in text_of(mail)
    html = mail.get_body(("html",))
    assert html is not None
    assert "Unsubscribe" in html.get_content()
    page = app.get(link)
    assert TOPIC_LABELS[Topic.FEEDS] in page.text
    assert "feeds" not in muted(make, admin), "a scanner that follows links ends nothing"
    page.forms[0].submit(status=200)
    assert muted(make, admin) == {"feeds", "runs"}
    tell(make, space)
    assert len(mailbox.emails()) == 1


def test_a_mail_service_ends_a_topic_by_itself(
    app: TestApp, make: Factory, mailbox: Mailbox, space: Workspace, admin: Account
) -> None:
    """RFC 8058: no cookie, no token, another origin."""
    tell(make, space)
    link = link_of(mailbox, admin)
    for _ in range(2):
        app.post(link, {"List-Unsubscribe": "One-Click"}, status=200)
    assert muted(make, admin) == {"feeds", "runs"}


def test_a_link_that_is_not_ours_ends_nothing(
    app: TestApp, make: Factory, mailbox: Mailbox, space: Workspace, admin: Account
) -> None:
    other = make.account()
    tell(make, space)
    parts = urlsplit(link_of(mailbox, admin))
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
    assert muted(make, admin) == muted(make, other) == {"runs"}


def test_who_began_a_run_hears_of_its_end_when_they_want(
    make: Factory, mailbox: Mailbox, space: Workspace, admin: Account
) -> None:
    make.member(space, Role.USER)
    feed, template = make.feed(space), make.template(space)
    run = make.run(feed, template)
    for wanted in (False, True):
        with make.database.transaction(space.id) as db:
            db.get_one(Account, admin.id).muted = [] if wanted else ["runs"]
            mine = db.get_one(Run, (space.id, run.id))
            mine.started_by, mine.done, mine.failed, mine.ended_at = admin.id, 2, 1, datetime.now(UTC)
            notify_run_finished(db, mine)
    [mail] = mailbox.emails()
    assert mail["To"] == admin.email
    assert "failed images" in mail["Subject"]
    assert f"http://localhost/w/{space.slug}/runs/{run.id}" in text_of(mail)


def test_letters_that_waited_since_an_older_release_still_go() -> None:
    old = {"subject": "s", "paragraphs": ["p"], "button": None, "reason": "r"}
    assert EmailMessage.from_json(old) == EmailMessage("s", ("p",), None, "r")

"""Workspaces, members, invitations, roles and the activity log."""

from typing import Any

import pytest
from sqlalchemy import select, update
from webtest import TestApp

from cwz_web.accounts.models import Account
from cwz_web.feeds.imports import create_feed
from cwz_web.generation.api_keys import create_key
from cwz_web.i18n import long_date, use_locale
from cwz_web.views.members import initials
from cwz_web.workspaces.creation import RESERVED, SLUG
from cwz_web.workspaces.invitations import LIFETIME
from cwz_web.workspaces.models import AuditEntry, Invitation, Membership, Role, Workspace
from tests.factories import Factory, api, sign_in, token_of
from tests.jobs import run_feed_jobs
from tests.mailbox import Mailbox, html_of, text_of


def form_of(page: Any, action: str) -> Any:
    return next(form for form in page.forms.values() if form.action == action)


@pytest.fixture
def space(make: Factory) -> Workspace:
    return make.workspace()


@pytest.fixture
def admin(app: TestApp, make: Factory, space: Workspace) -> Account:
    admin = make.member(space)
    sign_in(app, admin)
    return admin


def roles(make: Factory, space: Workspace) -> dict[Any, str]:
    with make.database.transaction(space.id) as db:
        return {row.account_id: row.role for row in db.scalars(select(Membership))}


def logged_actions(page: Any) -> list[str]:
    return [summary.text for summary in page.html.select("#list summary")]


def invite(app: TestApp, space: Workspace, email: str, role: str = "user", status: int = 303) -> Any:
    form = form_of(app.get(f"/w/{space.slug}/members"), "")
    form["email"], form["role"] = email, role
    return form.submit(status=status)


def create_workspace(app: TestApp, name: str) -> Any:
    form = form_of(app.get("/w/new"), "")
    form["name"] = name
    return form.submit(status=303).follow()


def current_step(page: Any) -> str:
    """Return the step of the setup that a page shows as the current one; "" if it does not show them."""
    step = page.html.select_one("ol.steps [aria-current=step]")
    return step.get_text(" ", strip=True) if step else ""


def test_first_visit_with_sample_products(app: TestApp, make: Factory) -> None:
    sign_in(app, make.account())
    setup = create_workspace(app, "Blue Door & Söhne")
    assert setup.request.path == "/w/blue-door-sohne/setup"
    assert setup.html.h1.text == "Add your data", "storage is connected already"
    assert "add your data" in app.get("/w/blue-door-sohne").text
    setup = form_of(setup, "/w/blue-door-sohne/setup-feed").submit().follow()
    assert setup.html.h1.text == "Choose a design"
    chosen = next(form for form in setup.forms.values() if {"feed", "starter"} <= form.fields.keys())
    new_run = chosen.submit("starter").follow()
    assert current_step(new_run) == "3 Images"
    assert app.get("/w/blue-door-sohne/setup").html.h1.text == "Render your images"
    plan = form_of(new_run, "").submit(status=200)
    assert current_step(plan) == "3 Images"
    assert current_step(plan.click("Back")) == "3 Images"
    plan.forms["run-form"].submit("confirm", status=303)
    assert "Continue setup" not in app.get("/w/blue-door-sohne").text
    assert "Edit the design" in app.get("/w/blue-door-sohne/setup").text
    log = app.get("/w/blue-door-sohne/audit?check=1")
    assert "no entry was changed or deleted" in log.text
    # A starter adds its illustrations.
    actions = [action for action in logged_actions(log) if not action.startswith("Added the upload")]
    assert [action.partition(" of ")[0] for action in actions] == [
        "Started a run",
        "Created the template Catalog card",
        "Added the sample feed Harbour Goods, autumn",
        "Created the workspace Blue Door & Söhne",
    ]


def test_first_visit_with_a_file_resumes_at_each_step(app: TestApp, make: Factory) -> None:
    sign_in(app, make.account())
    setup = create_workspace(app, "Later")
    upload = form_of(setup, "/w/later/feeds/new")
    upload["file"] = ("shop.png", b"\x89PNG\r\n\x1a\n\x00")
    upload = form_of(upload.submit(status=422), "/w/later/feeds/new")
    upload["file"] = ("shop.csv", b"title,price\nShirt,10\n")
    columns = upload.submit(status=303).follow()
    overview = app.get("/w/later")
    columns = overview.click("Continue setup").click("Review columns")
    assert current_step(columns) == "1 Data"
    assert "Check its columns" in columns.click("Cancel").text
    form = form_of(columns, "")
    assert current_step(app.post(columns.request.url, [*form.submit_fields(), ("do", "types")])) == "1 Data"
    importing = form_of(columns, "").submit(status=303).follow()
    assert importing.request.path == "/w/later/setup"
    assert "Importing from shop.csv" in importing.text
    run_feed_jobs(make.services)
    setup = app.get("/w/later/setup")
    assert "Starters show the first row of shop that fits" in setup.text
    assert "Importing" not in setup.text
    starter = setup.click(href="templates/starter", index=0)
    assert current_step(starter) == "2 Design"
    assert starter.click("New template").request.path == "/w/later/setup"
    render = starter.forms["render-feed"].submit_fields()  # its button is elsewhere on the page
    new_run = app.post("/w/later/templates/new", [*render, ("starter", "catalog-card")], status=303).follow()
    assert current_step(new_run) == "3 Images"
    resumed = app.get("/w/later").click("Continue setup").click("Continue")
    assert resumed.request.path == "/w/later/runs/new"
    assert current_step(resumed) == "3 Images"
    form = resumed.forms["run-form"]
    form["feed_currency"] = "EUR"
    form.action = resumed.html.find("button", string="Set currency")["formaction"]
    assert current_step(form.submit(status=303).follow()) == "3 Images", "the currency is set in the same form"
    assert current_step(app.get("/w/later/runs/new")) == "", "outside of the setup"
    assert current_step(app.get("/w/later/templates/starter?name=catalog-card")) == ""


def test_setup_says_why_a_feed_has_no_rows(app: TestApp, make: Factory) -> None:
    space = make.workspace()
    sign_in(app, make.member(space))
    with make.database.transaction(space.id) as db:
        create_feed(db, space.id, name="Empty", file_name="")
    setup = app.get(f"/w/{space.slug}/setup")
    assert "Empty has no rows" in " ".join(setup.html.find(role="alert").text.split())
    app.post(
        f"/w/{space.slug}/setup-storage",
        {"csrf_token": token_of(app, f"/w/{space.slug}/setup"), "provider": "nonsense"},
        status=422,
    )


@pytest.mark.parametrize("name", ["A", "Admin", "Taken!", "日本"])
def test_name_without_a_free_url_gets_a_random_one(app: TestApp, make: Factory, name: str) -> None:
    make.workspace(slug="taken")
    sign_in(app, make.account())
    slug = create_workspace(app, name).request.path.split("/")[2]
    assert SLUG.match(slug)
    assert slug not in RESERVED | {"taken"}


@pytest.mark.parametrize(
    ("slug", "message"),
    [
        ("new", "reserved"),
        ("a", "3 to 40"),
        ("-x-", "3 to 40"),
        ("a b", "3 to 40"),
        ("x" * 41, "3 to 40"),
        ("taken", "taken"),
    ],
)
def test_invalid_slug_shows_an_error_beside_the_field(app: TestApp, make: Factory, slug: str, message: str) -> None:
    make.workspace(slug="taken")
    sign_in(app, make.account())
    form = form_of(app.get("/w/new"), "")
    form["name"], form["slug"] = "Name", slug
    page = form.submit(status=422)
    assert message in page.html.find(id="slug-error").text
    assert page.html.find(id="name")["value"] == "Name"


def test_switcher_lists_all_workspaces_of_the_user(app: TestApp, make: Factory, space: Workspace) -> None:
    account = make.member(space)
    other = make.workspace()
    with make.database.transaction(other.id) as db:
        db.add(Membership(workspace_id=other.id, account_id=account.id, role=Role.USER))
    make.workspace(name="Other workspace")
    sign_in(app, account)
    for path in ("/w", f"/w/{space.slug}"):
        page = app.get(path).text
        assert space.name in page
        assert other.name in page
        assert "Other workspace" not in page


def test_invited_user_joins(app: TestApp, make: Factory, mailbox: Mailbox, space: Workspace, admin: Account) -> None:
    guest = make.account()
    invite(app, space, guest.email.upper().replace("EXAMPLE.ORG", "example.org"), "support")
    assert space.name in mailbox.emails()[-1]["Subject"]
    link = mailbox.link(mailbox.emails()[-1]["To"])
    browser = TestApp(app.app)
    page = browser.get(link)
    assert "Support agent" in page.text
    assert "/signin?next=%2Finvitation" in page.text or "/signin?next=/invitation" in page.text
    sign_in(browser, guest)
    assert browser.get(f"/w/{space.slug}", status=404)
    form_of(browser.get(link), "/invitation").submit(status=303)
    assert roles(make, space)[guest.id] == Role.SUPPORT
    assert browser.get(f"/w/{space.slug}").status_int == 200
    browser.get(link, status=404)
    assert "Joined the workspace as" in app.get(f"/w/{space.slug}/audit").text


def test_invitation_is_rejected_for_another_email(
    app: TestApp, make: Factory, mailbox: Mailbox, space: Workspace, admin: Account
) -> None:
    invite(app, space, "guest@example.org")
    link = mailbox.link("guest@example.org")
    stranger = TestApp(app.app)
    account = make.account()
    sign_in(stranger, account)
    page = stranger.get(link)
    assert f"You are signed in as {account.email}" in page.text
    token = page.forms[0]["csrf_token"].value
    answer = stranger.post("/invitation", {"csrf_token": token, "token": link.partition("=")[2]}, status=422)
    assert "for guest@example.org" in answer.text
    assert account.id not in roles(make, space)


def test_revoked_renewed_and_expired_invitations_are_invalid(
    app: TestApp, make: Factory, mailbox: Mailbox, space: Workspace, admin: Account
) -> None:
    invite(app, space, "guest@example.org")
    first = mailbox.link("guest@example.org")
    page = app.get(f"/w/{space.slug}/members")
    next(form for form in page.forms.values() if form.action.endswith("/resend")).submit(status=303)
    second = mailbox.link("guest@example.org")
    app.get(first, status=404)
    assert app.get(second).status_int == 200
    with make.database.transaction(space.id) as db:
        invitation = db.scalars(select(Invitation)).one()
        assert invitation.digest not in second
        assert LIFETIME.days == 7
        db.execute(update(Invitation).values(expires_at=invitation.created_at))
    app.get(second, status=404)
    assert "Expired" in app.get(f"/w/{space.slug}/members").text
    page = app.get(f"/w/{space.slug}/members")
    next(form for form in page.forms.values() if form.action.endswith("/revoke")).submit(status=303)
    assert "guest@example.org" not in app.get(f"/w/{space.slug}/members").html.find("main").text


@pytest.mark.parametrize(("email", "role"), [("nonsense", "user"), ("a@example.org", "owner"), ("", "user")])
def test_invalid_invitation_is_rejected(
    app: TestApp, mailbox: Mailbox, space: Workspace, admin: Account, email: str, role: str
) -> None:
    token = app.get("/account").forms[0]["csrf_token"].value
    fields = {"csrf_token": token, "email": email, "role": role}
    page = app.post(f"/w/{space.slug}/members", fields, status=422)
    assert page.html.find(class_="error") is not None
    assert mailbox.emails() == []


def test_member_cannot_be_invited_again(app: TestApp, space: Workspace, admin: Account) -> None:
    assert "already a member" in invite(app, space, admin.email, status=422).text


def test_admin_changes_roles_and_removes_members(app: TestApp, make: Factory, space: Workspace, admin: Account) -> None:
    other = make.member(space, Role.USER)
    at = f"/w/{space.slug}/members/{other.id}"
    form = form_of(app.get(f"/w/{space.slug}/members"), f"{at}/role")
    form["role"] = "support"
    shown = form.submit(status=303).follow()
    assert roles(make, space)[other.id] == Role.SUPPORT
    undo = next(form for form in shown.html.select(".toast form"))
    fields = {field["name"]: field["value"] for field in undo.find_all("input")}
    app.post(undo["action"], fields, status=303)
    assert roles(make, space)[other.id] == Role.USER
    form.submit(status=303)
    form_of(app.get(f"/w/{space.slug}/members"), f"{at}/remove").submit(status=303)
    assert other.id not in roles(make, space)
    log = app.get(f"/w/{space.slug}/audit")
    changed = f"Changed the role of {other.email} from User to Support agent"
    back = f"Changed the role of {other.email} from Support agent to User"
    assert logged_actions(log) == [f"Removed {other.email} from the workspace", changed, back, changed]


@pytest.mark.usefixtures("bracketed_german")
def test_members_and_activity_are_translated_and_stored_in_english(
    app: TestApp, make: Factory, space: Workspace, admin: Account
) -> None:
    app.extra_environ["HTTP_ACCEPT_LANGUAGE"] = "de"
    other = make.member(space, Role.USER)
    form = form_of(app.get(f"/w/{space.slug}/members"), f"/w/{space.slug}/members/{other.id}/role")
    form["role"] = "support"
    shown = form.submit(status=303).follow()
    assert shown.html.find(class_="toast").span.text == f"[{other.name} is now [Support agent].]"
    assert "[2 members]" in shown.text
    assert "[View members]" in shown.text
    log = app.get(f"/w/{space.slug}/audit")
    assert logged_actions(log) == [f"[Changed the role of {other.email} from [User] to [Support agent]]"]
    assert "[Search entries]" in log.text
    with make.database.transaction(space.id) as db:
        [entry] = db.query(AuditEntry).filter_by(action="member.role")
        assert entry.details == {"role": "support", "previous_role": "user"}


def test_changed_role_is_said_in_the_part_of_the_page(
    app: TestApp, make: Factory, space: Workspace, admin: Account
) -> None:
    other, at = make.member(space, Role.USER), f"/w/{space.slug}/members"
    fields = {"csrf_token": token_of(app, at), "role": "support", "list": "search=p"}
    here = app.post(f"{at}/{other.id}/role", fields, headers={"HX-Request": "true"}, status=303).location
    assert here.endswith("/members?search=p")
    part = app.get(here, headers={"HX-Request": "true"})
    assert part.html.find(class_="toast").span.text == f"{other.name} is now Support agent."
    assert app.post(f"{at}/{other.id}/role", fields, status=303).follow().html.find(class_="toast") is None


def test_members_are_searched_filtered_and_paged(
    app: TestApp, make: Factory, space: Workspace, admin: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("Cem Yılmaz", "bea", "Ada Example Lovelace"):
        make.member(space, Role.USER, name=name)
    at = f"/w/{space.slug}/members"

    def shown(page: Any) -> list[str]:
        return [cell.text for cell in page.html.select("#list .avatar")]

    assert shown(app.get(f"{at}?role=user")) == ["AL", "B", "CY"]
    assert shown(app.get(f"{at}?search=ADA")) == ["AL"]
    assert "No members match" in app.get(f"{at}?search=%25").text
    monkeypatch.setattr("cwz_web.workspaces.members.MEMBER_PAGE", 2)
    assert shown(app.get(f"{at}?role=user").click("Next page")) == ["CY"]
    backwards = app.get(f"{at}?role=user").click("^Member$")
    assert backwards.html.find("th", {"aria-sort": "descending"}).text.strip() == "Member"
    assert (shown(backwards), shown(backwards.click("Next page"))) == (["CY", "B"], ["AL"])
    assert shown(backwards.click("^Joined$")) == ["AL", "B"], "the newest member first"
    assert shown(app.get(at).click("^Role$"))[0] == initials(admin.name)


def test_last_admin_cannot_leave_or_be_removed(app: TestApp, make: Factory, space: Workspace, admin: Account) -> None:
    make.member(space, Role.USER)
    token = app.get("/account").forms[0]["csrf_token"].value
    at = f"/w/{space.slug}/members"
    for path, fields in (
        (f"{at}/{admin.id}/role", {"role": "user"}),
        (f"{at}/{admin.id}/remove", {}),
        (f"{at}/leave", {}),
    ):
        assert "only admin" in app.post(path, {"csrf_token": token, **fields}, status=422).text
    assert roles(make, space)[admin.id] == Role.ADMIN
    make.member(space, Role.ADMIN)
    app.post(f"{at}/leave", {"csrf_token": token}, status=303)
    assert admin.id not in roles(make, space)


def test_concurrent_demotions_leave_one_admin(make: Factory, space: Workspace) -> None:
    from concurrent.futures import ThreadPoolExecutor

    from cwz_web.workspaces.members import LastAdminError, change_role

    admins = [make.member(space, Role.ADMIN) for _ in range(2)]

    def demote(account: Account) -> bool:
        try:
            with make.database.transaction(space.id) as db:
                change_role(db, db.get_one(Membership, (space.id, account.id)), Role.USER)
        except LastAdminError:
            return False
        return True

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(demote, admins)) == [False, True]


def test_support_agent_sees_members_without_forms(app: TestApp, make: Factory, space: Workspace) -> None:
    sign_in(app, make.member(space, Role.SUPPORT))
    page = app.get(f"/w/{space.slug}/members")
    assert [form.action for form in page.forms.values() if form.method.upper() == "POST"] == ["/signout"]


def test_activity_is_filtered_paged_and_exported(app: TestApp, make: Factory, space: Workspace, admin: Account) -> None:
    token = app.get("/w").forms[0]["csrf_token"].value
    for number in range(60):
        app.post(f"/w/{space.slug}/keys", {"csrf_token": token, "name": f"=key {number}", "generate": "on"})
    at = f"/w/{space.slug}/audit"
    page = app.get(at)
    assert len(logged_actions(page)) == 50
    assert len(logged_actions(page.click("Next page"))) == 10
    for query in ("search=other", "person=other", "area=feeds", "since=2999-01-01", "until=2000-01-01"):
        assert "No entries match" in app.get(f"{at}?{query}").text, query
    assert len(logged_actions(app.get(f"{at}?person={admin.id}&area=api&since=nonsense&until=9999-12-31"))) == 50
    answer = app.get(f"{at}.csv?area=api&search=key+5")
    assert answer.content_type == "text/csv"
    assert len(answer.text.splitlines()) == 12
    assert ",'=key 5," in answer.text


def test_revoked_invitation_is_not_sent(
    app: TestApp, make: Factory, mailbox: Mailbox, space: Workspace, admin: Account
) -> None:
    """The job checks the invitation when it runs."""
    invite(app, space, "guest@example.org")
    page = app.get(f"/w/{space.slug}/members")
    next(form for form in page.forms.values() if form.action.endswith("/revoke")).submit(status=303)
    assert mailbox.emails() == []


def test_invitation_is_in_the_locale_of_the_guest_or_of_the_page(
    app: TestApp, make: Factory, mailbox: Mailbox, space: Workspace
) -> None:
    sign_in(app, make.member(space, locale="de-CH"))
    guest = make.account(locale="en-US")
    for email in (guest.email, "guest@example.org"):
        invite(app, space, email)
    with make.database.transaction(space.id) as db:
        expires_at = db.scalars(select(Invitation.expires_at)).first()
    assert expires_at is not None
    for email, locale in ((guest.email, "en-US"), ("guest@example.org", "de-CH")):
        mail = mailbox.last(email)
        assert f'lang="{locale}"' in html_of(mail)
        with use_locale(locale):
            assert long_date(expires_at) in text_of(mail)


def test_workspace_name_is_escaped_in_emails(app: TestApp, make: Factory, mailbox: Mailbox) -> None:
    space = make.workspace(name="<b>Bold</b> & co")
    account = make.member(space)
    sign_in(app, account)
    invite(app, space, "guest@example.org")
    mail = mailbox.last("guest@example.org")
    assert "<b>Bold" not in html_of(mail)
    assert "<b>Bold</b> & co" in text_of(mail)


@pytest.mark.parametrize("leaves", [True, False])
def test_keys_of_a_former_member_remain_valid_and_admins_are_notified(
    app: TestApp, make: Factory, mailbox: Mailbox, space: Workspace, admin: Account, leaves: bool
) -> None:
    member = make.member(space)
    browser = TestApp(app.app)
    sign_in(browser, member)
    form = form_of(browser.get(f"/w/{space.slug}/keys/new"), f"/w/{space.slug}/keys")
    form["name"] = "Shop"
    page = form.submit(status=200)
    key = page.html.find("pre", {"aria-label": "API key"}).text
    assert member.name in browser.get(f"/w/{space.slug}/keys").html.tbody.text
    if leaves:
        form_of(browser.get(f"/w/{space.slug}/members/leave"), "").submit(status=303)
    else:
        form_of(app.get(f"/w/{space.slug}/members"), f"/w/{space.slug}/members/{member.id}/remove").submit(status=303)
    assert f"{member.name} (no longer a member)" in app.get(f"/w/{space.slug}/keys").text
    api(app, key, {"template": "unknown"}, accept="application/json", status=422)
    mail = mailbox.last(admin.email)
    assert f"{member.name} is no longer a member of {space.name}" in mail["Subject"]
    assert f"Shop ({key[:13]}" in text_of(mail)
    assert mailbox.link(admin.email) == f"/w/{space.slug}/keys"
    assert [mail["To"] for mail in mailbox.emails()] == [admin.email]


def test_deletion_of_an_account_keeps_its_keys(app: TestApp, make: Factory, space: Workspace, admin: Account) -> None:
    member = make.member(space)
    with make.database.transaction(space.id) as db:
        create_key(db, space.id, "Shop", created_by=member.id)
    with make.database.transaction() as db:
        db.delete(db.get_one(Account, member.id))
    page = app.get(f"/w/{space.slug}/keys").text
    assert "Shop" in page
    assert "Unknown" in page

"""Refused requests in the activity log, for every view of the registry and every position of a foreign id."""

from typing import Any
from uuid import UUID

import pytest
from pyramid.router import Router
from sqlalchemy import select
from sqlalchemy.exc import OperationalError
from webtest import TestApp

from cwz_web.generation.api_keys import Scope
from cwz_web.resources.workspace import WorkspaceItem
from cwz_web.workspaces.audit import find_chain_break
from cwz_web.workspaces.models import AuditEntry, Membership, Role, Workspace
from tests.factories import Factory, sign_in
from tests.functional.test_access import SampleWorkspace, all_pages, in_workspace
from tests.mailbox import Mailbox


@pytest.fixture(scope="module")
def wsgi(wsgi_paid: Router) -> Router:
    """With billing, so its pages exist."""
    return wsgi_paid


def entries(make: Factory, space: Workspace) -> list[AuditEntry]:
    with make.database.transaction(space.id) as db:
        assert find_chain_break(db, space.id) is None
        return list(db.scalars(select(AuditEntry).order_by(AuditEntry.number)))


def actions(make: Factory, space: Workspace) -> list[str]:
    return [entry.action for entry in entries(make, space)]


def test_every_foreign_id_leaves_an_entry_of_its_user(app: TestApp, make: Factory, wsgi: Any) -> None:
    """tests/functional/test_access.py shows that every refused page leaves one too."""
    victim, own = SampleWorkspace(make), make.workspace()
    attacker = make.member(own)
    sign_in(app, attacker)
    pages = [page for page in all_pages(wsgi) if in_workspace(page) and issubclass(page.context, WorkspaceItem)]
    expected = []
    for page in pages:
        make.services.limiter.reset()
        assert victim.visit(app, page, slug=own.slug) == 404, str(page)
        path = victim.path(page).partition("?")[0].replace(f"/w/{victim.space.slug}", f"/w/{own.slug}", 1)
        expected.append(("access.unknown", attacker.id, f"{page.method} {path}"))
    assert [(entry.action, entry.actor_id, entry.target) for entry in entries(make, own)] == expected
    assert entries(make, victim.space) == []


def test_api_keys_leave_entries_too(app: TestApp, make: Factory, wsgi: Any) -> None:
    victim, own = SampleWorkspace(make), make.workspace()
    for scope, status, action in ((Scope.ADMIN, 404, "access.unknown"), (Scope.GENERATE, 403, "access.refuse")):
        bearer = TestApp(app.app, extra_environ={"HTTP_AUTHORIZATION": f"Bearer {make.key(own, scope)}"})
        path = f"/v1/feeds/{victim.rows['feeds']}" if status == 404 else "/v1/feeds"
        bearer.get(path, status=status)
        newest = entries(make, own)[-1]
        assert (newest.action, newest.target, newest.actor_id) == (action, f"GET {path}", None)
        assert newest.actor.startswith("API key Test")
    assert entries(make, victim.space) == []


def test_request_for_a_foreign_workspace_is_in_its_log(app: TestApp, make: Factory, mailbox: Mailbox) -> None:
    victim, own = make.workspace(), make.workspace()
    attacker = make.member(own)
    sign_in(app, attacker)
    app.get(f"/w/{victim.slug}/members", status=404)
    mailbox.deliver()
    [entry] = entries(make, victim)
    assert entry.action == "access.outside"
    assert entry.target == f"GET /w/{victim.slug}/members"
    assert attacker.email not in str(vars(entry))
    assert attacker.name not in str(vars(entry))
    assert str(attacker.id) not in str(vars(entry))
    assert entries(make, own) == []


def test_existing_and_other_slugs_cost_the_same(app: TestApp, make: Factory, mailbox: Mailbox) -> None:
    """One queued job each, so that no time tells which workspaces exist."""
    victim = make.workspace()
    sign_in(app, make.account())
    for number, slug in enumerate((victim.slug, "no-such-workspace"), start=1):
        app.get(f"/w/{slug}", status=404)
        assert mailbox.waiting() == number
    mailbox.deliver()
    assert len(entries(make, victim)) == 1


@pytest.mark.parametrize("path", ["/w/%3Cscript%3E", "/w/x'--", "/w/new/nothing", "/nothing", "/account/nothing"])
def test_typing_errors_leave_no_entry(app: TestApp, make: Factory, mailbox: Mailbox, path: str) -> None:
    sign_in(app, make.account())
    app.get(path, status=404)
    assert mailbox.waiting() == 0


def test_typing_errors_in_the_own_workspace_leave_no_entry(app: TestApp, make: Factory) -> None:
    space = make.workspace()
    sign_in(app, make.member(space))
    app.get(f"/w/{space.slug}/nothing", status=404)
    app.get(f"/w/{space.slug}/feeds/nothing", status=404)
    assert entries(make, space) == []


def test_entries_are_limited(app: TestApp, make: Factory, mailbox: Mailbox) -> None:
    space, other = make.workspace(), make.workspace()
    sign_in(app, make.member(space, Role.USER))
    for _ in range(10):
        app.get(f"/w/{space.slug}/keys", status=403)
    assert actions(make, space) == ["access.refuse"] * 5
    for number in range(40):
        app.get(f"/w/{space.slug}/feeds/{UUID(int=number)}", status=404)
    assert actions(make, space) == ["access.refuse"] * 5 + ["access.unknown"] * 25
    app.get(f"/w/{other.slug}", status=404)
    mailbox.deliver()
    assert entries(make, other) == []


def test_outsiders_do_not_flood_the_log(app: TestApp, make: Factory, mailbox: Mailbox) -> None:
    victim = make.workspace()
    for _ in range(3):
        make.services.limiter.reset()
        browser = TestApp(app.app)
        sign_in(browser, make.account())
        for number in range(30):
            browser.get(f"/w/{victim.slug}/{number}", status=404)
    mailbox.deliver()
    assert actions(make, victim) == ["access.outside"] * 60


def test_former_member_is_an_outsider(app: TestApp, make: Factory, mailbox: Mailbox) -> None:
    space = make.workspace()
    member = make.member(space)
    sign_in(app, member)
    with make.database.transaction(space.id) as db:
        db.delete(db.get_one(Membership, (space.id, member.id)))
    app.get(f"/w/{space.slug}", status=404)
    mailbox.deliver()
    assert actions(make, space) == ["access.outside"]


@pytest.mark.parametrize("path", ["/w/space/feeds/%2e%2e/x", "/%2e%2e", "/w//x", "/a/../b"])
def test_paths_that_are_rejected_early_leave_no_entry(app: TestApp, make: Factory, mailbox: Mailbox, path: str) -> None:
    sign_in(app, make.account())
    assert app.get(path, status="*").status_int in (400, 404)
    assert mailbox.waiting() <= 1


def test_failure_to_record_does_not_change_the_answer(
    app: TestApp, make: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = make.workspace()
    sign_in(app, make.member(space, Role.USER))

    def fail(*args: object) -> None:
        raise OperationalError("record", {}, Exception("lock timeout"))

    monkeypatch.setattr("cwz_web.web.refusals.record", fail)
    app.get(f"/w/{space.slug}/keys", status=403)


def test_long_path_is_cut(app: TestApp, make: Factory, mailbox: Mailbox) -> None:
    space, other = make.workspace(), make.account()
    sign_in(app, other)
    app.get(f"/w/{space.slug}/{'x' * 2000}", status=404)
    mailbox.deliver()
    assert len(entries(make, space)[0].target) == 300


def test_anonymous_requests_leave_no_entry(app: TestApp, make: Factory, mailbox: Mailbox) -> None:
    space = make.workspace()
    app.get(f"/w/{space.slug}", status=303)
    app.get("/v1/feeds", status=401)
    assert mailbox.waiting() == 0
    assert entries(make, space) == []

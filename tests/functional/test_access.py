"""Who gets where: every page of the workspace, as nobody, as a stranger, and in each role."""

from typing import Any

import pytest
from webtest import TestApp

from cwz_web.resources import PERMISSIONS, Permission
from cwz_web.workspaces.models import Membership, Role
from tests.factories import Factory, sign_in

P = Permission
# path below /w/{slug} -> method, permission, the status for whoever has it
PAGES = {
    "": ("GET", P.VIEW, 200),
    "/feeds": ("GET", P.VIEW, 200),
    "/feeds/new": ("GET", P.FEED_EDIT, 200),
    "/feeds/new ": ("POST", P.FEED_EDIT, 422),
    "/feeds/{feed}": ("GET", P.VIEW, 200),
    "/templates": ("GET", P.VIEW, 200),
    "/templates/{template}": ("GET", P.VIEW, 200),
    "/templates/{template}/document": ("GET", P.TEMPLATE_EDIT, 200),
    "/templates/{template}/document ": ("POST", P.TEMPLATE_EDIT, 422),
    "/runs": ("GET", P.VIEW, 200),
    "/runs/new": ("GET", P.RUN_START, 200),
    "/runs/new ": ("POST", P.RUN_START, 422),
    "/runs/{run}": ("GET", P.VIEW, 200),
    "/runs/{run}/retry": ("POST", P.RUN_RETRY, 303),
    "/runs/{run}/pictures.zip": ("GET", P.VIEW, 200),
    "/assets": ("GET", P.VIEW, 200),
    "/keys": ("GET", P.KEY_MANAGE, 200),
    "/keys ": ("POST", P.KEY_MANAGE, 422),
}


class Place:
    """A workspace with one of everything."""

    def __init__(self, make: Factory) -> None:
        self.make = make
        self.space = make.workspace()
        feed, template = make.feed(self.space), make.template(self.space)
        self.ids = {"feed": feed.id, "template": template.id, "run": make.run(feed, template).id}

    def visit(self, app: TestApp, page: str, slug: str | None = None) -> int:
        method, _, _ = PAGES[page]
        path = f"/w/{slug or self.space.slug}{page.strip().format(**self.ids)}"
        if method == "GET":
            return int(app.get(path, status="*").status_int)
        token = (
            app.get("/signin", status="*").forms[0]["csrf_token"].value
            if not app.cookies.get("cwz_session")
            else token_of(app)
        )
        return int(app.post(path, {"csrf_token": token}, status="*").status_int)


def token_of(app: TestApp) -> str:
    """The token of whoever is signed in, from the sign-out form of a page that everyone has."""
    return str(app.get("/w").html.find("input", {"name": "csrf_token"})["value"])


@pytest.fixture
def place(make: Factory) -> Place:
    return Place(make)


@pytest.mark.parametrize("role", list(Role))
def test_each_role_may_do_what_the_table_says(app: TestApp, place: Place, role: Role) -> None:
    sign_in(app, place.make.member(place.space, role))
    answers = {page: place.visit(app, page) for page in PAGES}
    expected = {page: status if needed in PERMISSIONS[role] else 403 for page, (_, needed, status) in PAGES.items()}
    assert answers == expected


def test_a_member_of_another_workspace_finds_nothing(app: TestApp, place: Place) -> None:
    other = place.make.workspace()
    sign_in(app, place.make.member(other))
    assert {place.visit(app, page) for page in PAGES} == {404}
    # nor through a workspace of their own
    inside = [page for page in PAGES if "{" in page]
    assert {place.visit(app, page, slug=other.slug) for page in inside} == {404}


def test_nobody_is_sent_to_sign_in_whether_the_workspace_exists_or_not(app: TestApp, place: Place) -> None:
    assert {place.visit(app, page) for page in PAGES} == {303}
    for path in (f"/w/{place.space.slug}/feeds", "/w/no-such-workspace/feeds"):
        assert app.get(path).location == f"http://localhost/signin?next={path.replace('/', '%2F')}"


def test_a_role_that_changes_counts_at_once(app: TestApp, place: Place) -> None:
    account = place.make.member(place.space, Role.ADMIN)
    sign_in(app, account)
    assert place.visit(app, "/keys") == 200
    with place.make.database.transaction(place.space.id) as db:
        db.get_one(Membership, (place.space.id, account.id)).role = Role.USER
    assert place.visit(app, "/keys") == 403


def test_support_sees_no_button_that_it_may_not_press(app: TestApp, place: Place) -> None:
    sign_in(app, place.make.member(place.space, Role.SUPPORT))
    page = app.get(f"/w/{place.space.slug}/feeds")
    assert "Upload a feed" not in page.text
    assert "/keys" not in page.text


@pytest.mark.parametrize("name", ["not-an-id", "00000000-0000-0000-0000-000000000000", "A" * 300])
def test_an_id_that_is_none_is_not_there(app: TestApp, place: Place, name: str) -> None:
    sign_in(app, place.make.member(place.space))
    for kind in ("feeds", "templates", "runs", "assets"):
        assert app.get(f"/w/{place.space.slug}/{kind}/{name}", status="*").status_int == 404


def test_a_view_without_a_permission_of_its_own_is_denied(wsgi: Any) -> None:
    """Deny by default: outside a workspace nobody has the permission that such a view would ask for."""
    introspector = wsgi.registry.introspector
    [default] = introspector.get_category("default permission")
    assert default["introspectable"]["value"] == Permission.VIEW

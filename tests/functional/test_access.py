"""Who gets where: every view of the application, found by itself, as nobody, as a stranger, and in each role.

The views come from Pyramid's own registry and their addresses from the resource tree, so that a new one cannot be
forgotten: without a sample of its kind of resource in `Place`, the test fails and says so.
"""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple
from uuid import uuid4

import pytest
from pyramid.router import Router
from pyramid.security import NO_PERMISSION_REQUIRED
from webtest import TestApp

from cwz_web.generation.api_keys import Scope, create_key
from cwz_web.resources.api import (
    ApiCollection,
    ApiFeed,
    ApiFeedCollection,
    ApiFeedImport,
    ApiFeedImportCollection,
    ApiFeedItem,
    ApiFeedItemCollection,
    ApiImage,
    ApiImageCollection,
    ApiImageRequest,
    ApiImageRequestCollection,
    ApiRun,
    ApiRunCollection,
    ApiTemplate,
    ApiTemplateCollection,
)
from cwz_web.resources.application import Root, SessionCollection, SessionResource
from cwz_web.resources.base import Resource
from cwz_web.resources.permissions import PERMISSION_LABELS, ROLE_PERMISSIONS, SCOPE_PERMISSIONS, Permission
from cwz_web.resources.signed_urls import (
    OnDemandImage,
    SignedFeed,
    SignedFeedCollection,
    SignedFile,
    SignedFileCollection,
    SignedImage,
    SignedImageCollection,
    SignedUrlRoot,
    WorkspaceSignedFeeds,
    WorkspaceSignedFiles,
    WorkspaceSignedImages,
)
from cwz_web.resources.workspace import (
    MemberCollection,
    MemberResource,
    WorkspaceCollection,
    WorkspaceItem,
    WorkspaceItemCollection,
    WorkspaceResource,
)
from cwz_web.storage.connections import get_default_connection
from cwz_web.workspaces.invitations import invite
from cwz_web.workspaces.models import AuditEntry, Membership, Role
from tests.factories import Factory, api, sign_in

P = Permission
# What a key may, and no session.
API = {P.GENERATE, P.API_READ, P.API_FEEDS_WRITE}
# What a page has to be asked for.
QUERIES = {"invalid-rows": "?number=1", "invalid-rows.csv": "?number=1", "row": "?key=1"}


class Page(NamedTuple):
    """A view, as somebody meets it."""

    context: type[Resource]
    name: str
    method: str
    permission: Any

    def __str__(self) -> str:
        return f"{self.method} {self.context.__name__}/{self.name}"


def all_pages(wsgi: Any) -> list[Page]:
    """Every view that is reached by a path, as Pyramid's registry knows them."""
    pages = set()
    for entry in wsgi.registry.introspector.get_category("views"):
        view = entry["introspectable"]
        context = view["context"]
        if not (isinstance(context, type) and issubclass(context, Resource)):
            continue  # an exception view, or a static file
        [permission] = [related["value"] for related in entry["related"] if related.category_name == "permissions"] or [
            NO_PERMISSION_REQUIRED
        ]
        methods = view["request_methods"] or ("GET",)
        for method in {methods} if isinstance(methods, str) else set(methods) - {"HEAD"}:
            pages.add(Page(context, view["name"] or "", method, permission))
    return sorted(pages, key=str)


def subclasses(parent: type[Resource]) -> Iterator[type[Resource]]:
    """Every class of the tree below another."""
    for child in parent.__subclasses__():
        yield child
        yield from subclasses(child)


class Place:
    """A workspace with one of everything, and the address of each kind of resource."""

    def __init__(self, make: Factory) -> None:
        self.make = make
        self.space = make.workspace(plan="scale")
        owner = make.member(self.space)
        feed, template = make.feed(self.space), make.template(self.space)
        run = make.run(feed, template)
        image = make.image(template)
        with make.database.transaction(self.space.id) as db:
            key, _ = create_key(db, self.space.id, "A key")
            invitation = invite(db, self.space.id, email="invited@example.org", role=Role.USER, invited_by=owner)
            connection = get_default_connection(db, self.space.id)
        self.member = make.member(self.space, Role.USER)
        font = make.font(self.space)
        export = make.export(self.space)
        found = (font, feed, template, run, image, key, invitation, connection, make.webhook(self.space), export)
        rows = {row.__tablename__: str(row.id) for row in found}
        self.rows, self.feed_id = rows, rows["feeds"]
        self.order_id = str(make.order(template).id)
        self.paths = dict(self._walk(Root, "", rows))

    def _walk(self, kind: type[Resource], path: str, rows: dict[str, str]) -> Iterator[tuple[type[Resource], str]]:
        """The address of a kind of resource, and of every kind below it."""
        yield kind, path
        below = dict(kind.children)
        if issubclass(kind, WorkspaceItemCollection):
            below[rows[kind.model.__tablename__]] = kind.item_class
        below |= {
            WorkspaceCollection: {self.space.slug: WorkspaceResource},
            MemberCollection: {str(self.member.id): MemberResource},
            ApiFeedCollection: {rows["feeds"]: ApiFeed},
            ApiTemplateCollection: {rows["templates"]: ApiTemplate},
            ApiImageRequestCollection: {self.order_id: ApiImageRequest},
            ApiRunCollection: {rows["runs"]: ApiRun},
            ApiImageCollection: {rows["images"]: ApiImage},
            ApiFeedItemCollection: {"1": ApiFeedItem},
            ApiFeedImportCollection: {"1": ApiFeedImport},
            SessionCollection: {str(uuid4()): SessionResource},
            SignedUrlRoot: {f"{rows['templates']}.png": OnDemandImage},
            SignedImageCollection: {str(self.space.id): WorkspaceSignedImages},
            WorkspaceSignedImages: {f"{rows['images']}.jpg": SignedImage},
            SignedFeedCollection: {str(self.space.id): WorkspaceSignedFeeds},
            WorkspaceSignedFeeds: {f"{rows['feeds']}.csv": SignedFeed},
        }.get(kind, {})
        for name, child in below.items():
            yield from self._walk(child, f"{path}/{name}", rows)

    def path(self, page: Page) -> str:
        """The address of a view, with what its page asks for."""
        path = f"{self.paths[page.context]}/{page.name}".rstrip("/") or "/"
        return path + QUERIES.get(page.name, "")

    def visit(self, app: TestApp, page: Page, slug: str | None = None) -> int:
        path = self.path(page)
        if slug is not None:
            path = path.replace(f"/w/{self.space.slug}", f"/w/{slug}", 1)
        if page.method == "POST":
            return int(app.post(path, {"csrf_token": token_of(app)}, status="*").status_int)
        return int(app.request(path, method=page.method, status="*").status_int)


def visits(app: TestApp, make: Factory, role: Role, pages: Iterable[Page]) -> Iterator[tuple[Page, Place, int]]:
    """Visit views in a role: each one in a place where none has changed anything yet."""
    place, browser = None, app
    for page in pages:
        if place is None:
            place, browser = Place(make), TestApp(app.app)
            sign_in(browser, make.member(place.space, role))
        answer = place.visit(browser, page)
        yield page, place, answer
        if page.method != "GET" and answer not in (403, 422):
            place = None


def token_of(app: TestApp) -> str:
    """The token of the browser, signed in or not."""
    page = app.get("/w" if app.cookies.get("cwz_session") else "/signin", status="*")
    return str(page.html.find("input", {"name": "csrf_token"})["value"])


def in_workspace(page: Page) -> bool:
    """Whether a view lies in a workspace: its permission is one that a role can have."""
    return page.permission in ROLE_PERMISSIONS[Role.ADMIN]


@pytest.fixture
def place(make: Factory) -> Place:
    return Place(make)


@pytest.fixture(scope="module")
def wsgi(wsgi_paid: Router) -> Router:
    """With billing, so that its pages are there."""
    return wsgi_paid


@pytest.fixture
def pages(wsgi: Any) -> list[Page]:
    return all_pages(wsgi)


def test_the_enumeration_sees_every_kind_of_resource(place: Place, pages: list[Page]) -> None:
    kinds = set(subclasses(Resource)) - {WorkspaceItemCollection, WorkspaceItem, ApiCollection}
    assert kinds - place.paths.keys() == {
        SignedFile,
        WorkspaceSignedFiles,
        SignedFileCollection,
    }, "give the new kind a sample in Place"
    assert len([page for page in pages if in_workspace(page)]) > 30


def test_every_view_declares_a_permission(pages: list[Page]) -> None:
    """None lives by the default; what is open to everybody says so, and there is a list of it."""
    assert all(page.permission in (*Permission, NO_PERMISSION_REQUIRED) for page in pages)
    open_ones = {f"{page.context.__name__}/{page.name}" for page in pages if page.permission == NO_PERMISSION_REQUIRED}
    assert open_ones == {
        "DevelopmentRoot/mail",
        "GoogleSignIn/",
        "GoogleSignIn/callback",
        "DocsRoot/api",
        "HooksRoot/render",
        "HooksRoot/stripe",
        "Root/unsubscribe",
        "SlackCallback/callback",
        "ApiRoot/openapi.json",
        "Root/",
        "Root/email",
        "Root/favicon.ico",
        "Root/forgot",
        "Root/healthz",
        "Root/invitation",
        "Root/metrics",
        "Root/pricing",
        "Root/privacy",
        "Root/security",
        "Root/showcase",
        "Root/terms",
        "WellKnown/security.txt",
        "Root/readyz",
        "Root/resend",
        "Root/reset",
        "Root/signup",
        "Root/verify",
        "SchemaCollection/template",
        "SignInRoot/",
        "SignInRoot/code",
        "SignInRoot/link",
        "SignedImage/",
        "SignedFeed/",
        "OnDemandImage/",
    }


def test_nobody_gets_no_further_than_the_sign_in_page(app: TestApp, place: Place, pages: list[Page]) -> None:
    shut = [page for page in pages if page.permission != NO_PERMISSION_REQUIRED]
    answers = {str(page): place.visit(app, page) for page in shut}
    expected = {str(page): 401 if page.permission in API else 303 for page in shut}
    assert answers == expected
    for path in (f"/w/{place.space.slug}/feeds", "/w/no-such-workspace/feeds", "/account"):
        assert app.get(path).location == f"http://localhost/signin?next={path.replace('/', '%2F')}"


@pytest.mark.parametrize("role", list(Role))
def test_each_role_may_do_what_the_table_says(app: TestApp, make: Factory, pages: list[Page], role: Role) -> None:
    for page, _, answer in visits(app, make, role, filter(in_workspace, pages)):
        if page.permission in ROLE_PERMISSIONS[role]:
            assert answer in (200, 303, 422), f"{page} as {role}: {answer}"
        else:
            assert answer == 403, f"{page} as {role}: {answer}"


def test_a_member_of_another_workspace_finds_nothing(app: TestApp, place: Place, pages: list[Page]) -> None:
    other = place.make.workspace()
    sign_in(app, place.make.member(other))
    inside = [page for page in pages if in_workspace(page)]
    assert {str(page): place.visit(app, page) for page in inside} == {str(page): 404 for page in inside}
    # nor through a workspace of their own
    things = [page for page in inside if issubclass(page.context, WorkspaceItem)]
    assert {str(page): place.visit(app, page, slug=other.slug) for page in things} == {
        str(page): 404 for page in things
    }


def test_an_api_key_opens_the_api_and_no_page(app: TestApp, place: Place, pages: list[Page]) -> None:
    key = place.make.key(place.space, *Scope)
    bearer = TestApp(app.app, extra_environ={"HTTP_AUTHORIZATION": f"Bearer {key}"})
    shut = [page for page in pages if page.method == "GET" and page.permission != NO_PERMISSION_REQUIRED]
    assert {place.visit(bearer, page) for page in shut if page.permission not in API} <= {303, 404}
    assert {place.visit(bearer, page) for page in shut if page.permission in API} == {200}
    api(app, key, {"template": "card"}, status=200)


@pytest.mark.parametrize("scope", list(Scope))
def test_a_key_may_what_its_scopes_say_and_nothing_else(
    app: TestApp, place: Place, pages: list[Page], scope: Scope
) -> None:
    bearer = TestApp(app.app, extra_environ={"HTTP_AUTHORIZATION": f"Bearer {place.make.key(place.space, scope)}"})
    for page in pages:
        if page.permission in API:
            allowed = scope is Scope.ADMIN or page.permission == SCOPE_PERMISSIONS[scope]
            assert (place.visit(bearer, page) != 403) == allowed, str(page)


def test_a_key_of_another_workspace_finds_nothing(app: TestApp, place: Place, pages: list[Page]) -> None:
    key = place.make.key(place.make.workspace(), *Scope)
    bearer = TestApp(app.app, extra_environ={"HTTP_AUTHORIZATION": f"Bearer {key}"})
    below = [page for page in pages if page.permission in API and len(place.path(page)) > 40]
    assert len(below) > 5
    assert {str(page): place.visit(bearer, page) for page in below} == {str(page): 404 for page in below}


def test_a_session_opens_no_api(app: TestApp, place: Place) -> None:
    sign_in(app, place.make.member(place.space))
    app.post_json("/v1/images", {"template": "card"}, status=401)


def test_every_change_in_a_workspace_leaves_an_entry_in_its_log(app: TestApp, make: Factory, pages: list[Page]) -> None:
    """Whatever a bare form can do; what needs more is tried in the tests of its page."""
    changes = (page for page in pages if page.method == "POST" and in_workspace(page))
    for page, place, answer in visits(app, make, Role.ADMIN, changes):
        if answer == 303:
            assert make.count(AuditEntry, place.space.id) == 1, f"{page} changed something and left no entry"


def test_a_role_that_changes_counts_at_once(app: TestApp, place: Place) -> None:
    account = place.make.member(place.space, Role.ADMIN)
    sign_in(app, account)
    assert app.get(f"/w/{place.space.slug}/keys").status_int == 200
    with place.make.database.transaction(place.space.id) as db:
        db.get_one(Membership, (place.space.id, account.id)).role = Role.USER
    app.get(f"/w/{place.space.slug}/keys", status=403)
    with place.make.database.transaction(place.space.id) as db:
        db.delete(db.get_one(Membership, (place.space.id, account.id)))
    app.get(f"/w/{place.space.slug}", status=404)


def test_nobody_sees_a_link_that_they_may_not_follow(app: TestApp, place: Place) -> None:
    for role in Role:
        browser = TestApp(app.app)
        sign_in(browser, place.make.member(place.space, role))
        page = browser.get(f"/w/{place.space.slug}")
        for link in page.html.find("nav").find_all("a"):
            assert browser.get(link["href"], status="*").status_int in (200, 303), (role, link["href"])


@pytest.mark.parametrize("name", ["not-an-id", "00000000-0000-0000-0000-000000000000", "A" * 300])
def test_an_id_that_is_none_is_not_there(app: TestApp, place: Place, name: str) -> None:
    sign_in(app, place.make.member(place.space))
    for kind in ("feeds", "templates", "runs", "images", "members", "invitations", "keys"):
        assert app.get(f"/w/{place.space.slug}/{kind}/{name}", status="*").status_int == 404


def test_a_path_that_goes_on_after_its_page_is_not_there(app: TestApp, place: Place) -> None:
    sign_in(app, place.make.member(place.space))
    for path in ("/signup/more", "/healthz/more", "/account/export/more", f"/w/{place.space.slug}/audit/more"):
        app.get(path, status=404)


def test_a_view_without_a_permission_of_its_own_is_denied(wsgi: Any) -> None:
    """Deny by default: outside a workspace nobody has the permission that such a view would ask for."""
    [default] = wsgi.registry.introspector.get_category("default permission")
    assert default["introspectable"]["value"] == Permission.VIEW


def test_the_members_page_shows_the_very_table(app: TestApp, place: Place) -> None:
    sign_in(app, place.make.member(place.space))
    table = app.get(f"/w/{place.space.slug}/members").html.find_all("table")[-1]
    for row, permission in zip(table.tbody.find_all("tr"), PERMISSION_LABELS, strict=True):
        said = ["yes" in cell.text for cell in row.find_all("td")]
        assert said == [permission in ROLE_PERMISSIONS[role] for role in Role]

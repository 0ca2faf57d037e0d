"""Access control: every view is requested anonymously, as a stranger, in each role and with each API-key scope.

The views come from Pyramid's registry and their URLs from the resource tree, so a new view cannot be forgotten: without
a sample of its resource class in `SampleWorkspace`, a test fails.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple
from uuid import uuid4

import pytest
from pyramid.router import Router
from pyramid.security import NO_PERMISSION_REQUIRED
from sqlalchemy import select
from webtest import TestApp

from cwz_web.accounts.models import Account
from cwz_web.generation.api_keys import Scope, create_key
from cwz_web.resources.api import (
    ApiCampaign,
    ApiCampaignCollection,
    ApiChannel,
    ApiChannelCollection,
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
    ApiPublication,
    ApiPublicationCollection,
    ApiRun,
    ApiRunCollection,
    ApiTemplate,
    ApiTemplateCollection,
    ApiTemplateVersion,
    ApiTemplateVersionCollection,
    ApiUpload,
    ApiUploadCollection,
    BelowCampaign,
    BelowFeed,
    BelowTemplate,
)
from cwz_web.resources.application import (
    FeedHook,
    FeedHooks,
    PasskeyCollection,
    PasskeyResource,
    Root,
    SessionCollection,
    SessionResource,
    SingleSignOn,
    WorkspaceFeedHooks,
    WorkspaceSignOn,
)
from cwz_web.resources.base import Resource
from cwz_web.resources.permissions import PERMISSION_LABELS, ROLE_PERMISSIONS, SCOPE_PERMISSIONS, Permission
from cwz_web.resources.signed_urls import (
    OnDemandImage,
    SignedCampaignCollection,
    SignedCampaignFeed,
    SignedChannelCollection,
    SignedChannelFeed,
    SignedFeed,
    SignedFeedCollection,
    SignedFile,
    SignedFileCollection,
    SignedImage,
    SignedImageCollection,
    SignedUrlRoot,
    WorkspaceSignedCampaigns,
    WorkspaceSignedChannels,
    WorkspaceSignedFeeds,
    WorkspaceSignedFiles,
    WorkspaceSignedImages,
)
from cwz_web.resources.workspace import (
    ChannelCollection,
    ChannelResource,
    MemberCollection,
    MemberResource,
    PublicationCollection,
    PublicationResource,
    ShopCollection,
    ShopResource,
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
# Permissions of API keys; no session has them.
API = frozenset(SCOPE_PERMISSIONS.values())
# Query strings that views require.
QUERIES = {
    "invalid-rows": "?number=1",
    "invalid-rows.csv": "?number=1",
    "row": "?key=1",
    "starter": "?name=quote",
}


# The CSRF tokens of browsers, by cookie.
_tokens: dict[str | None, str] = {}


class Page(NamedTuple):
    """A view, with its resource class, name, method and permission."""

    context: type[Resource]
    name: str
    method: str
    permission: Any

    def __str__(self) -> str:
        return f"{self.method} {self.context.__name__}/{self.name}"


def all_pages(wsgi: Any) -> list[Page]:
    """Return every view of the resource tree, from Pyramid's registry."""
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
    """Yield every subclass."""
    for child in parent.__subclasses__():
        yield child
        yield from subclasses(child)


class SampleWorkspace:
    """A workspace with one resource of each class, and their URLs."""

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
        domain = make.email_domain(self.space)
        found = (
            domain,
            font,
            feed,
            template,
            run,
            image,
            key,
            invitation,
            connection,
            make.webhook(self.space),
            export,
            campaign := make.campaign(feed, template),
            make.publication(campaign),
            make.channel(campaign),
            make.shop(campaign),
        )
        rows = {row.__tablename__: str(row.id) for row in found}
        self.rows, self.feed_id = rows, rows["feeds"]
        self.image_run_id = str(make.image_run(template).id)
        self.paths = dict(self._walk(Root, "", rows))

    def _walk(
        self, resource_class: type[Resource], path: str, rows: dict[str, str]
    ) -> Iterator[tuple[type[Resource], str]]:
        """Yield the path of a resource class, and of every class below it."""
        yield resource_class, path
        below = dict(resource_class.children)
        if issubclass(resource_class, WorkspaceItemCollection):
            below[rows[resource_class.model.__tablename__]] = resource_class.item_class
        below |= {
            WorkspaceCollection: {self.space.slug: WorkspaceResource},
            PublicationCollection: {rows["publications"]: PublicationResource},
            ChannelCollection: {rows["channels"]: ChannelResource},
            ShopCollection: {rows["shops"]: ShopResource},
            MemberCollection: {str(self.member.id): MemberResource},
            ApiFeedCollection: {rows["feeds"]: ApiFeed},
            ApiTemplateCollection: {rows["templates"]: ApiTemplate},
            ApiTemplateVersionCollection: {"1": ApiTemplateVersion},
            ApiImageRequestCollection: {self.image_run_id: ApiImageRequest},
            ApiRunCollection: {rows["runs"]: ApiRun},
            ApiCampaignCollection: {rows["campaigns"]: ApiCampaign},
            ApiPublicationCollection: {"1": ApiPublication},
            ApiChannelCollection: {rows["channels"]: ApiChannel},
            ApiImageCollection: {rows["images"]: ApiImage},
            ApiUploadCollection: {rows["uploads"]: ApiUpload},
            ApiFeedItemCollection: {"1": ApiFeedItem},
            ApiFeedImportCollection: {"1": ApiFeedImport},
            PasskeyCollection: {str(uuid4()): PasskeyResource},
            SingleSignOn: {str(self.space.id): WorkspaceSignOn},
            FeedHooks: {str(self.space.id): WorkspaceFeedHooks},
            WorkspaceFeedHooks: {rows["feeds"]: FeedHook},
            SessionCollection: {str(uuid4()): SessionResource},
            SignedUrlRoot: {f"{rows['templates']}.png": OnDemandImage},
            SignedImageCollection: {str(self.space.id): WorkspaceSignedImages},
            WorkspaceSignedImages: {f"{rows['images']}.jpg": SignedImage},
            SignedFeedCollection: {str(self.space.id): WorkspaceSignedFeeds},
            WorkspaceSignedFeeds: {f"{rows['feeds']}.csv": SignedFeed},
            SignedCampaignCollection: {str(self.space.id): WorkspaceSignedCampaigns},
            SignedChannelCollection: {str(self.space.id): WorkspaceSignedChannels},
            WorkspaceSignedChannels: {f"{rows['channels']}.csv": SignedChannelFeed},
            WorkspaceSignedCampaigns: {f"{rows['campaigns']}.csv": SignedCampaignFeed},
        }.get(resource_class, {})
        for name, child in below.items():
            yield from self._walk(child, f"{path}/{name}", rows)

    def path(self, page: Page) -> str:
        """Return the URL of a view."""
        path = f"{self.paths[page.context]}/{page.name}".rstrip("/") or "/"
        return path + QUERIES.get(page.name, "")

    def visit(self, app: TestApp, page: Page, slug: str | None = None) -> int:
        path = self.path(page)
        if slug is not None:
            path = path.replace(f"/w/{self.space.slug}", f"/w/{slug}", 1)
        if page.method == "POST":
            return int(app.post(path, {"csrf_token": token_of(app)}, status="*").status_int)
        return int(app.request(path, method=page.method, status="*").status_int)


class Visit(NamedTuple):
    """A request for a view: in which workspace and by whom, its status and the entries that it left in the log."""

    page: Page
    sample: SampleWorkspace
    member: Account
    status: int
    entries: list[AuditEntry]


def visits(app: TestApp, make: Factory, role: Role, pages: Iterable[Page]) -> Iterator[Visit]:
    """Request views in a role. A view whose resource an earlier request has removed gets a workspace of its own.

    Removals come last: a workspace takes longer to make than ten requests.
    """
    sample, browser, member, seen = None, app, None, 0

    def visit(sample: SampleWorkspace, page: Page) -> Visit:
        make.services.limiter.reset()  # the number of entries is limited
        status = sample.visit(browser, page)
        with make.database.transaction(sample.space.id) as db:
            entries = select(AuditEntry).where(AuditEntry.number > seen).order_by(AuditEntry.number)
            return Visit(page, sample, member, status, list(db.scalars(entries)))

    for page in sorted(pages, key=lambda page: page.name in ("delete", "remove")):
        found = visit(sample, page) if sample else None
        if found is None or found.status == 404:
            sample, browser, seen = SampleWorkspace(make), TestApp(app.app), 0
            member = make.member(sample.space, role)
            sign_in(browser, member)
            found = visit(sample, page)
        seen = max([seen, *(entry.number for entry in found.entries)])
        yield found


def token_of(app: TestApp) -> str:
    """Return the CSRF token of the browser, which stays the same as long as its session or its visitor cookie."""
    known = app.cookies.get("cwz_session") or app.cookies.get("cwz_visitor")
    if known not in _tokens:
        page = app.get("/w" if app.cookies.get("cwz_session") else "/signin", status="*")
        [token, *_] = re.findall(r'name="csrf_token" value="([0-9a-f]+)"', page.text)
        known = app.cookies.get("cwz_session") or app.cookies.get("cwz_visitor")
        _tokens[known] = str(token)
    return _tokens[known]


def in_workspace(page: Page) -> bool:
    """Return whether a view is in a workspace: a role can have its permission."""
    return page.permission in ROLE_PERMISSIONS[Role.ADMIN]


@pytest.fixture
def sample(make: Factory) -> SampleWorkspace:
    return SampleWorkspace(make)


@pytest.fixture(scope="module")
def wsgi(wsgi_paid: Router) -> Router:
    """With billing, so its pages exist."""
    return wsgi_paid


@pytest.fixture
def pages(wsgi: Any) -> list[Page]:
    return all_pages(wsgi)


def test_samples_cover_every_resource_class(sample: SampleWorkspace, pages: list[Page]) -> None:
    bases = {WorkspaceItemCollection, WorkspaceItem, ApiCollection, BelowFeed, BelowTemplate, BelowCampaign}
    classes = set(subclasses(Resource)) - bases
    assert classes - sample.paths.keys() == {
        SignedFile,
        WorkspaceSignedFiles,
        SignedFileCollection,
    }, "add a sample of the new class to SampleWorkspace"
    assert len([page for page in pages if in_workspace(page)]) > 30


def test_every_view_declares_a_permission(pages: list[Page]) -> None:
    """No view relies on the default permission, and this is the list of the public ones."""
    assert all(page.permission in (*Permission, NO_PERMISSION_REQUIRED) for page in pages)
    public = {f"{page.context.__name__}/{page.name}" for page in pages if page.permission == NO_PERMISSION_REQUIRED}
    assert public == {
        "DevelopmentRoot/components",
        "DevelopmentRoot/mail",
        "DevelopmentRoot/states.css",
        "GoogleSignIn/",
        "GoogleSignIn/callback",
        "DocsRoot/",
        "DocsRoot/api",
        "DocsRoot/models",
        "DocsRoot/search",
        "GuideResource/",
        "FeedHook/",
        "GuideText/",
        "HooksRoot/render",
        "HooksRoot/stripe",
        "Root/unsubscribe",
        "SlackCallback/callback",
        "ApiRoot/openapi.json",
        "Root/",
        "Root/changelog",
        "Root/csp-reports",
        "Root/email",
        "Root/favicon.ico",
        "Root/forgot",
        "Root/healthz",
        "Root/imprint",
        "Root/invitation",
        "Root/live-image",
        "Root/llms.txt",
        "Root/metrics",
        "Root/og-image.jpg",
        "Root/pricing",
        "Root/robots.txt",
        "Root/sitemap.xml",
        "Root/privacy",
        "Root/security",
        "Root/shared",
        "Root/shared-image",
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
        "SignInRoot/code-challenge",
        "SignInRoot/code-passkey",
        "SignInRoot/link",
        "SignInRoot/passkey",
        "SingleSignOn/",
        "WorkspaceSignOn/",
        "WorkspaceSignOn/callback",
        "WorkspaceSignOn/start",
        "SignInRoot/passkey-challenge",
        "SignedImage/",
        "SignedFeed/",
        "SignedCampaignFeed/",
        "SignedChannelFeed/",
        "OnDemandImage/",
    }


def test_anonymous_requests_are_redirected_to_sign_in(app: TestApp, sample: SampleWorkspace, pages: list[Page]) -> None:
    protected = [page for page in pages if page.permission != NO_PERMISSION_REQUIRED]
    statuses = {str(page): sample.visit(app, page) for page in protected}
    expected = {str(page): 401 if page.permission in API else 303 for page in protected}
    assert statuses == expected
    for path in (f"/w/{sample.space.slug}/feeds", "/w/no-such-workspace/feeds", "/account"):
        assert app.get(path).location == f"http://localhost/signin?next={path.replace('/', '%2F')}"


@pytest.mark.parametrize("role", list(Role))
def test_each_role_has_the_permissions_of_the_table(app: TestApp, make: Factory, pages: list[Page], role: Role) -> None:
    """Each change of an admin leaves one entry in the log, and so does each refusal.

    With empty forms; forms that need more are tested with their pages. For an admin all resources are as they need to
    be: an earlier request has canceled the run, for example.
    """
    refused = 0
    for page, sample, member, status, entries in visits(app, make, role, filter(in_workspace, pages)):
        if page.permission in ROLE_PERMISSIONS[role]:
            missing_query = status == 400 and page.method == "GET"
            assert missing_query or status in (200, 303, 409, 422), f"{page} as {role}: {status}"
            if page.method == "POST" and status == 303 and role == Role.ADMIN:
                assert len(entries) == 1, f"{page} left {len(entries)} entries"
        else:
            assert status == 403, f"{page} as {role}: {status}"
            target = f"{page.method} {sample.path(page).partition('?')[0]}"
            left = [(entry.action, entry.actor_id, entry.target) for entry in entries]
            assert left == [("access.refuse", member.id, target)], str(page)
            refused += 1
    assert refused > 20 or role == Role.ADMIN


def test_member_of_another_workspace_gets_404(app: TestApp, sample: SampleWorkspace, pages: list[Page]) -> None:
    other = sample.make.workspace()
    sign_in(app, sample.make.member(other))
    inside = [page for page in pages if in_workspace(page)]
    assert {str(page): sample.visit(app, page) for page in inside} == {str(page): 404 for page in inside}


def test_api_key_opens_the_api_and_no_page(app: TestApp, sample: SampleWorkspace, pages: list[Page]) -> None:
    key = sample.make.key(sample.space, *Scope)
    bearer = TestApp(app.app, extra_environ={"HTTP_AUTHORIZATION": f"Bearer {key}"})
    protected = [page for page in pages if page.method == "GET" and page.permission != NO_PERMISSION_REQUIRED]
    assert {sample.visit(bearer, page) for page in protected if page.permission not in API} <= {303, 404}
    assert {sample.visit(bearer, page) for page in protected if page.permission in API} == {200}
    api(app, key, {"template": "card"}, status=200)


def test_api_key_has_the_permissions_of_its_scopes(
    app: TestApp, make: Factory, sample: SampleWorkspace, pages: list[Page]
) -> None:
    def statuses(scope: Scope, pages: Iterable[Page], sample: SampleWorkspace = sample) -> dict[str, int]:
        key = make.key(sample.space, scope)
        bearer = TestApp(app.app, extra_environ={"HTTP_AUTHORIZATION": f"Bearer {key}"})
        return {str(page): sample.visit(bearer, page) for page in pages}

    # Last of all, what deletes the resource of others, and what contains others after those.
    views = [page for page in pages if page.permission in API]
    views.sort(key=lambda page: len(sample.path(page)) if page.method == "DELETE" else 1000, reverse=True)
    deletions = [page for page in views if page.method == "DELETE"]
    for scope, permission in SCOPE_PERMISSIONS.items():
        refused = statuses(scope, [page for page in views if page.permission != permission])
        assert set(refused.values()) == {403}, (scope, refused)
    for scope, permission in SCOPE_PERMISSIONS.items():
        found = statuses(scope, [page for page in views if page.permission == permission and page not in deletions])
        assert not {403, 404} & set(found.values()), (scope, found)
    for scope, permission in SCOPE_PERMISSIONS.items():
        found = statuses(scope, [page for page in deletions if page.permission == permission])
        assert not {403, 404} & set(found.values()), (scope, found)
    found = statuses(Scope.ADMIN, views, SampleWorkspace(make))
    assert len(found) == len(views)
    assert 403 not in found.values(), found


def test_api_key_of_another_workspace_gets_404(app: TestApp, sample: SampleWorkspace, pages: list[Page]) -> None:
    key = sample.make.key(sample.make.workspace(), *Scope)
    bearer = TestApp(app.app, extra_environ={"HTTP_AUTHORIZATION": f"Bearer {key}"})
    below = [page for page in pages if page.permission in API and len(sample.path(page)) > 40]
    assert len(below) > 5
    assert {str(page): sample.visit(bearer, page) for page in below} == {str(page): 404 for page in below}


def test_session_does_not_open_the_api(app: TestApp, sample: SampleWorkspace) -> None:
    sign_in(app, sample.make.member(sample.space))
    app.post_json("/v1/images", {"template": "card"}, status=401)


def test_change_of_role_takes_effect_at_once(app: TestApp, sample: SampleWorkspace) -> None:
    account = sample.make.member(sample.space, Role.ADMIN)
    sign_in(app, account)
    assert app.get(f"/w/{sample.space.slug}/keys").status_int == 200
    with sample.make.database.transaction(sample.space.id) as db:
        db.get_one(Membership, (sample.space.id, account.id)).role = Role.USER
    app.get(f"/w/{sample.space.slug}/keys", status=403)
    with sample.make.database.transaction(sample.space.id) as db:
        db.delete(db.get_one(Membership, (sample.space.id, account.id)))
    app.get(f"/w/{sample.space.slug}", status=404)


def test_navigation_has_no_forbidden_links(app: TestApp, sample: SampleWorkspace) -> None:
    for role in Role:
        browser = TestApp(app.app)
        sign_in(browser, sample.make.member(sample.space, role))
        page = browser.get(f"/w/{sample.space.slug}")
        for link in page.html.find("nav").find_all("a"):
            assert browser.get(link["href"], status="*").status_int in (200, 303), (role, link["href"])


@pytest.mark.parametrize("name", ["not-an-id", "00000000-0000-0000-0000-000000000000", "A" * 300])
def test_invalid_id_is_not_found(app: TestApp, sample: SampleWorkspace, name: str) -> None:
    sign_in(app, sample.make.member(sample.space))
    for segment in ("feeds", "templates", "runs", "images", "members", "invitations", "keys"):
        assert app.get(f"/w/{sample.space.slug}/{segment}/{name}", status="*").status_int == 404


def test_path_that_continues_after_its_page_is_not_found(app: TestApp, sample: SampleWorkspace) -> None:
    sign_in(app, sample.make.member(sample.space))
    for path in ("/signup/more", "/healthz/more", "/account/export/more", f"/w/{sample.space.slug}/audit/more"):
        app.get(path, status=404)


def test_view_without_a_permission_is_denied(wsgi: Any) -> None:
    """Outside a workspace no identity has the default permission."""
    [default] = wsgi.registry.introspector.get_category("default permission")
    assert default["introspectable"]["value"] == Permission.VIEW


def test_members_page_shows_the_table_of_permissions(app: TestApp, sample: SampleWorkspace) -> None:
    sign_in(app, sample.make.member(sample.space))
    table = app.get(f"/w/{sample.space.slug}/members").html.find_all("table")[-1]
    for row, permission in zip(table.tbody.find_all("tr"), PERMISSION_LABELS, strict=True):
        granted = ["yes" in cell.text for cell in row.find_all("td")]
        assert granted == [permission in ROLE_PERMISSIONS[role] for role in Role]

"""The traversal tree: what exists at which address, and who may do what there.

A URL is a path through a tree of resources: `/w/acme/feeds/{id}` is Root -> Workspaces -> WorkspaceResource -> Feeds ->
FeedResource. Each step finds the next one *through* its workspace, so that another tenant's id is simply not there
(404). A view names the kind of resource it is for and the permission that it takes; the table PERMISSIONS below says
which role has which. Everything else is denied.

`__getitem__` raises KeyError for "not there". `__acl__` is a method, never a property: an AttributeError inside a
property would silently drop the ACL.
"""

from enum import StrEnum
from typing import Any, ClassVar
from uuid import UUID

from pyramid.authorization import DENY_ALL, Allow, Authenticated
from pyramid.location import lineage
from pyramid.request import Request

from cwz_web.db.base import WorkspaceOwned
from cwz_web.db.session import enter_workspace
from cwz_web.feeds.models import Feed
from cwz_web.generation.api_keys import Scope
from cwz_web.generation.models import ApiKey, Font, Image, Template
from cwz_web.generation.template_cache import TemplateVersionState
from cwz_web.imaging.encoders import Format
from cwz_web.notify.models import Webhook
from cwz_web.ops.models import Export
from cwz_web.runs.models import Run
from cwz_web.storage.models import Connection
from cwz_web.workspaces.access import Access
from cwz_web.workspaces.members import Member, find_member
from cwz_web.workspaces.models import Invitation, Role


class Permission(StrEnum):
    """What a view can ask for."""

    SIGNED_IN = "signed-in"
    GENERATE = "image.generate"
    API_READ = "api.read"
    API_FEEDS_WRITE = "api.feeds.write"
    VIEW = "workspace.view"
    FEED_EDIT = "feed.edit"
    TEMPLATE_EDIT = "template.edit"
    RUN_START = "run.start"
    RUN_RETRY = "run.retry"
    KEY_MANAGE = "key.manage"
    WEBHOOK_VIEW = "webhook.view"
    WEBHOOK_MANAGE = "webhook.manage"
    MEMBER_VIEW = "member.view"
    MEMBER_MANAGE = "member.manage"
    AUDIT_VIEW = "audit.view"
    STORAGE_VIEW = "storage.view"
    STORAGE_MANAGE = "storage.manage"
    SETTINGS_MANAGE = "settings.manage"
    BILLING_MANAGE = "billing.manage"
    LEAVE = "workspace.leave"
    OPERATE = "operate"


P = Permission
# What the scope of an API key allows.
SCOPE_PERMISSIONS: dict[Scope, Permission] = {
    Scope.GENERATE: P.GENERATE,
    Scope.READ: P.API_READ,
    Scope.FEEDS_WRITE: P.API_FEEDS_WRITE,
}
API_PERMISSIONS = frozenset(SCOPE_PERMISSIONS.values())
# What a permission is to people; the members' page shows this very table.
PERMISSION_WORDS: dict[Permission, str] = {
    P.VIEW: "See feeds, templates, runs and images",
    P.FEED_EDIT: "Add and edit feeds",
    P.TEMPLATE_EDIT: "Edit templates",
    P.RUN_START: "Start runs",
    P.RUN_RETRY: "Retry what failed",
    P.MEMBER_VIEW: "See who is a member",
    P.AUDIT_VIEW: "See the activity log",
    P.STORAGE_VIEW: "See and re-test storage connections",
    P.MEMBER_MANAGE: "Invite and remove members, change roles",
    P.WEBHOOK_VIEW: "See webhooks and deliveries, send one again",
    P.KEY_MANAGE: "Make and revoke API keys",
    P.WEBHOOK_MANAGE: "Add webhooks and replace their secrets",
    P.STORAGE_MANAGE: "Connect storage, with its secrets",
    P.SETTINGS_MANAGE: "Change the workspace's settings",
    P.BILLING_MANAGE: "See and change the plan, and what is paid",
    P.LEAVE: "Export or delete the whole workspace",
}
PERMISSIONS: dict[Role, frozenset[Permission]] = {
    Role.ADMIN: frozenset(PERMISSION_WORDS),
    Role.SUPPORT: frozenset({P.VIEW, P.RUN_RETRY, P.MEMBER_VIEW, P.AUDIT_VIEW, P.STORAGE_VIEW, P.WEBHOOK_VIEW}),
    Role.USER: frozenset({P.VIEW, P.FEED_EDIT, P.TEMPLATE_EDIT, P.RUN_START}),
}
# What is left when a plan was not paid: to look, to pay, and to leave.
READ_ONLY = frozenset(
    {P.VIEW, P.MEMBER_VIEW, P.AUDIT_VIEW, P.STORAGE_VIEW, P.WEBHOOK_VIEW, P.API_READ, P.BILLING_MANAGE, P.LEAVE}
)


def principal(workspace_id: UUID, role: Role) -> str:
    """The principal of a member; an identity carries one for each of its workspaces, so an ACL costs no query."""
    return f"ws:{workspace_id}:{role}"


def api_principal(workspace_id: UUID) -> str:
    """The principal of an API key of a workspace."""
    return f"api:{workspace_id}"


class Resource:
    """A node of the tree. Subclasses set `children`, or override __getitem__."""

    children: ClassVar[dict[str, "type[Resource]"]] = {}

    def __init__(self, request: Request, parent: "Resource | None" = None, name: str = "") -> None:
        self.request = request
        self.__parent__ = parent
        self.__name__ = name

    def __getitem__(self, name: str) -> "Resource":
        return self.children[name](self.request, self, name)


class Rows(Resource):
    """The rows of one kind in a workspace, by id."""

    model: ClassVar[type[WorkspaceOwned]]
    row_resource: ClassVar[type["Row"]]

    def __getitem__(self, name: str) -> "Row":
        workspace = self.__parent__
        assert isinstance(workspace, WorkspaceResource)
        row = self.request.db.get(self.model, (workspace.access.workspace_id, as_uuid(name)))
        if row is None or not self.holds(row):
            raise KeyError(name)
        return self.row_resource(self.request, self, name, row)

    def holds(self, row: Any) -> bool:
        """Whether a row of the model is one of these."""
        return True


class Row(Resource):
    """One row of a workspace."""

    def __init__(self, request: Request, parent: Resource, name: str, row: Any) -> None:
        super().__init__(request, parent, name)
        self.row = row


class FeedResource(Row):
    row: Feed


class TemplateResource(Row):
    row: Template


class RunResource(Row):
    row: Run


class ImageResource(Row):
    row: Image


class KeyResource(Row):
    row: ApiKey


class ConnectionResource(Row):
    row: Connection


class FontResource(Row):
    row: Font


class WebhookResource(Row):
    row: Webhook


class InvitationResource(Row):
    row: Invitation


class ExportResource(Row):
    row: Export


class MemberResource(Row):
    row: Member


class Feeds(Rows):
    model, row_resource = Feed, FeedResource


class Templates(Rows):
    model, row_resource = Template, TemplateResource


class Runs(Rows):
    model, row_resource = Run, RunResource

    def holds(self, row: Run) -> bool:
        """A run over a feed; not an image that was ordered by itself."""
        return row.feed_id is not None


class Images(Rows):
    model, row_resource = Image, ImageResource


class Keys(Rows):
    model, row_resource = ApiKey, KeyResource


class Connections(Rows):
    model, row_resource = Connection, ConnectionResource


class Fonts(Rows):
    model, row_resource = Font, FontResource


class Webhooks(Rows):
    model, row_resource = Webhook, WebhookResource


class Invitations(Rows):
    model, row_resource = Invitation, InvitationResource


class Exports(Rows):
    model, row_resource = Export, ExportResource


class Members(Resource):
    """The members of a workspace, by the id of their account."""

    def __getitem__(self, name: str) -> MemberResource:
        workspace = self.__parent__
        assert isinstance(workspace, WorkspaceResource)
        member = find_member(self.request.db, workspace.access.workspace_id, as_uuid(name))
        if member is None:
            raise KeyError(name)
        return MemberResource(self.request, self, name, member)


class SlackPlace(Resource):
    """`/w/{slug}/slack`: there is one where the installation is known to Slack."""


class Billing(Resource):
    """`/w/{slug}/billing`: there is one where there are plans."""


class WorkspaceResource(Resource):
    """A workspace, reached by one of its members."""

    children: ClassVar[dict[str, type[Resource]]] = {
        "feeds": Feeds,
        "templates": Templates,
        "runs": Runs,
        "images": Images,
        "keys": Keys,
        "webhooks": Webhooks,
        "fonts": Fonts,
        "storage": Connections,
        "members": Members,
        "invitations": Invitations,
        "billing": Billing,
        "slack": SlackPlace,
        "exports": Exports,
    }

    def __init__(self, request: Request, parent: Resource, access: Access) -> None:
        super().__init__(request, parent, access.slug)
        self.access = access
        enter_workspace(request.db, access.workspace_id)

    def __getitem__(self, name: str) -> Resource:
        services = self.request.services
        if (name == "billing" and services.billing is None) or (name == "slack" and services.slack is None):
            raise KeyError(name)
        return super().__getitem__(name)

    @property
    def is_read_only(self) -> bool:
        """Whether it can only be looked at."""
        return self.access.plan_status.read_only and self.request.services.settings.billing

    def __acl__(self) -> list[Any]:
        workspace_id = self.access.workspace_id
        left = READ_ONLY if self.is_read_only else frozenset(Permission)
        return [(Allow, principal(workspace_id, role), granted & left) for role, granted in PERMISSIONS.items()] + [
            DENY_ALL
        ]


class Workspaces(Resource):
    """The workspaces that the person is a member of, by slug. Any other does not exist, for them."""

    def __getitem__(self, name: str) -> WorkspaceResource:
        identity = self.request.identity
        for access in getattr(identity, "workspaces", ()):
            if access.slug == name:
                return WorkspaceResource(self.request, self, access)
        raise KeyError(name)


class SessionResource(Resource):
    """A browser in which the person is signed in."""


class Sessions(Resource):
    """Where the person is signed in. Whose session it is, the view asks of the database."""

    def __getitem__(self, name: str) -> SessionResource:
        as_uuid(name)
        return SessionResource(self.request, self, name)


class SecondFactor(Resource):
    """`/account/second-factor`: codes from a phone."""


class AccountPlace(Resource):
    """`/account`: what a person decides about themselves."""

    children: ClassVar[dict[str, type[Resource]]] = {"sessions": Sessions, "second-factor": SecondFactor}


class GooglePlace(Resource):
    """`/signin/google`: to the provider and back."""


class SignInPlace(Resource):
    """`/signin`: proving who one is."""

    children: ClassVar[dict[str, type[Resource]]] = {"google": GooglePlace}


class DevelopmentPlace(Resource):
    """`/dev`: what helps in development, and is not there in production."""


class ApiItem(Resource):
    """`/v1/feeds/{id}/items/{key}`: a row by its key, in which there may be slashes."""

    def __init__(self, request: Request, parent: Resource, name: str, feed: Feed, key: str) -> None:
        super().__init__(request, parent, name)
        self.feed, self.key = feed, key

    def __getitem__(self, name: str) -> "ApiItem":
        return ApiItem(self.request, self, name, self.feed, f"{self.key}/{name}")


class ApiItems(Resource):
    """The rows of a feed."""

    @property
    def feed(self) -> Feed:
        """The feed that they are of."""
        return _feed_of(self)

    def __getitem__(self, name: str) -> ApiItem:
        return ApiItem(self.request, self, name, self.feed, name)


class ApiImport(Resource):
    """An import of a feed, by its number."""

    def __init__(self, request: Request, parent: Resource, name: str) -> None:
        super().__init__(request, parent, name)
        if not (name.isascii() and name.isdecimal() and len(name) < 10):
            raise KeyError(name)
        self.number = int(name)

    @property
    def feed(self) -> Feed:
        """The feed that it is of."""
        return _feed_of(self)


class ApiImports(Resource):
    """The imports of a feed."""

    @property
    def feed(self) -> Feed:
        """The feed that they are of."""
        return _feed_of(self)

    def __getitem__(self, name: str) -> ApiImport:
        return ApiImport(self.request, self, name)


class ApiRows(Resource):
    """Rows of the key's workspace, by id. To whoever has no key, none is there."""

    model: ClassVar[type[Any]]
    row_resource: ClassVar[type[Row]]

    def __getitem__(self, name: str) -> Row:
        row_id, owner = as_uuid(name), self.request.identity
        if owner is None:
            raise KeyError(name)
        with self.request.services.database.transaction(owner.workspace_id) as db:
            row = db.get(self.model, (owner.workspace_id, row_id))
        if row is None or not self.holds(row):
            raise KeyError(name)
        return self.row_resource(self.request, self, name, row)

    def holds(self, row: Any) -> bool:
        """Whether a row of the model is one of these."""
        return not getattr(row, "deleted_at", None)


class ApiFeed(Row):
    """`/v1/feeds/{id}`."""

    children: ClassVar[dict[str, type[Resource]]] = {"items": ApiItems, "imports": ApiImports}
    row: Feed


class ApiTemplate(Row):
    """`/v1/templates/{id}`."""

    row: Template


class ApiRun(Row):
    """`/v1/runs/{id}`."""

    row: Run


class ApiImageRequest(Row):
    """`/v1/images/{id}`: an image that was ordered with `Prefer: respond-async`."""

    row: Run


class ApiImage(Row):
    """`/v1/images/{id}`."""

    row: Image


class ApiFeeds(ApiRows):
    model, row_resource = Feed, ApiFeed


class ApiTemplates(ApiRows):
    model, row_resource = Template, ApiTemplate


class ApiRuns(ApiRows):
    model, row_resource = Run, ApiRun

    def holds(self, row: Run) -> bool:
        """A run over a feed."""
        return row.feed_id is not None


class ApiImageRequests(ApiRows):
    model, row_resource = Run, ApiImageRequest

    def holds(self, row: Run) -> bool:
        """An image by itself."""
        return row.feed_id is None


class ApiImages(ApiRows):
    model, row_resource = Image, ApiImage


def _feed_of(resource: Resource) -> Feed:
    found = next(above for above in lineage(resource) if isinstance(above, ApiFeed))
    return found.row


class Schemas(Resource):
    """`/v1/schemas`: what documents look like, for everybody."""


class Api(Resource):
    """`/v1`: whoever has a key."""

    children: ClassVar[dict[str, type[Resource]]] = {
        "schemas": Schemas,
        "feeds": ApiFeeds,
        "templates": ApiTemplates,
        "runs": ApiRuns,
        "image-requests": ApiImageRequests,
        "images": ApiImages,
    }

    def __acl__(self) -> list[Any]:
        owner = self.request.identity
        if owner is None:
            return [DENY_ALL]
        granted = (
            API_PERMISSIONS if Scope.ADMIN in owner.scopes else {SCOPE_PERMISSIONS[Scope(s)] for s in owner.scopes}
        )
        left = READ_ONLY if self.is_read_only else frozenset(Permission)
        return [(Allow, api_principal(owner.workspace_id), granted & left), DENY_ALL]

    @property
    def is_read_only(self) -> bool:
        """Whether the key's workspace can only be looked at."""
        owner = self.request.identity
        return owner is not None and owner.plan_status.read_only and self.request.services.settings.billing


class SignedFile(Resource):
    """A file that a signature opens: `{name}.{extension}`, of a workspace. The view checks the signature."""

    extensions: ClassVar[tuple[str, ...]] = tuple(Format)

    def __init__(self, request: Request, parent: Resource, name: str, workspace_id: UUID) -> None:
        super().__init__(request, parent, name)
        self.workspace_id = workspace_id
        stem, _, self.extension = name.rpartition(".")
        self.id = as_uuid(stem)
        if self.extension not in self.extensions:
            raise KeyError(name)

    @property
    def format(self) -> Format:
        """The format of an image."""
        return Format(self.extension)


class OnDemandImage(SignedFile):
    """`/i/{template}.{extension}`: an image made when it is asked for."""

    def __init__(self, request: Request, parent: Resource, name: str, state: TemplateVersionState) -> None:
        super().__init__(request, parent, name, state.workspace_id)
        self.state = state


class SignedImage(SignedFile):
    """`/i/images/{workspace}/{image}.{extension}`: an image that is kept."""


class SignedFeed(SignedFile):
    """`/i/feeds/{workspace}/{feed}.csv`: a feed with the addresses of its images."""

    extensions = ("csv",)


class SignedFolder(Resource):
    """Files of one kind, of one workspace."""

    file: ClassVar[type[SignedFile]]

    def __getitem__(self, name: str) -> SignedFile:
        return self.file(self.request, self, name, as_uuid(self.__name__))


class SignedImageFolder(SignedFolder):
    file = SignedImage


class SignedFeedFolder(SignedFolder):
    file = SignedFeed


class SignedFolders(Resource):
    """Files of one kind, by workspace."""

    folder: ClassVar[type[SignedFolder]]

    def __getitem__(self, name: str) -> SignedFolder:
        return self.folder(self.request, self, name)


class SignedImages(SignedFolders):
    folder = SignedImageFolder


class SignedFeeds(SignedFolders):
    folder = SignedFeedFolder


class SignedUrlRoot(Resource):
    """`/i`: images for whoever has their signed address."""

    children: ClassVar[dict[str, type[Resource]]] = {"images": SignedImages, "feeds": SignedFeeds}

    def __getitem__(self, name: str) -> Resource:
        if name in self.children:
            return super().__getitem__(name)
        template_id = as_uuid(name.rpartition(".")[0])
        state = self.request.services.template_cache.recent_state(template_id)
        if state is None:
            raise KeyError(name)
        return OnDemandImage(self.request, self, name, state)


class OpsPlace(Resource):
    """`/ops`: for the people who run the installation; for anybody else there is none."""

    def __acl__(self) -> list[Any]:
        return [(Allow, Authenticated, Permission.OPERATE), DENY_ALL]


class WellKnown(Resource):
    """`/.well-known`: what programs look for (RFC 8615)."""


class SlackCallback(Resource):
    """`/slack`: where Slack sends people back to."""


class Docs(Resource):
    """`/docs`: how to use it, for everybody."""


class Hooks(Resource):
    """`/hooks`: machines that prove themselves by a signature."""


class Root(Resource):
    """The top of the tree."""

    children: ClassVar[dict[str, type[Resource]]] = {
        "w": Workspaces,
        "account": AccountPlace,
        "signin": SignInPlace,
        "v1": Api,
        "i": SignedUrlRoot,
        "hooks": Hooks,
        "docs": Docs,
        "slack": SlackCallback,
        "dev": DevelopmentPlace,
        "ops": OpsPlace,
        ".well-known": WellKnown,
    }

    def __getitem__(self, name: str) -> Resource:
        settings = self.request.services.settings
        if name == "dev" and not settings.development:
            raise KeyError(name)
        if name == "ops" and self.request.identity is not None and not self.is_operator():
            raise KeyError(name)
        return super().__getitem__(name)

    def is_operator(self) -> bool:
        """Whether whoever is asking runs the installation: named in the .ini, with a proved address and, but for
        development, a second factor."""
        account, settings = getattr(self.request.identity, "account", None), self.request.services.settings
        return (
            account is not None
            and account.verified_at is not None
            and account.email.lower() in settings.operators
            and (settings.development or account.has_second_factor)
        )

    def __acl__(self) -> list[Any]:
        return [(Allow, Authenticated, Permission.SIGNED_IN), DENY_ALL]


def as_uuid(text: str) -> UUID:
    """The id that a part of a path names. Raises KeyError, since anything else is not there."""
    try:
        parsed = UUID(text)
    except ValueError:
        raise KeyError(text) from None
    if str(parsed) != text:  # one address for one thing
        raise KeyError(text)
    return parsed

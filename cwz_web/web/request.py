"""The request class: Pyramid's, with the typed attributes that our views, tweens and templates read."""

import secrets
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

import pyramid.request
import zope.sqlalchemy
from pyramid.config import Configurator
from pyramid.decorator import reify
from pyramid.location import lineage
from pyramid.response import Response
from sqlalchemy.orm import Session
from uuid_utils.compat import uuid7

from cwz_web.accounts.sessions import is_recently_authenticated
from cwz_web.billing.subscriptions import BillingService
from cwz_web.generation.api_keys import ApiKeyIdentity
from cwz_web.notify.slack import Slack
from cwz_web.resources.application import Root
from cwz_web.resources.base import Area, Resource, area_of, find_area
from cwz_web.resources.workspace import WorkspaceResource
from cwz_web.security import SignedInUser, cookie_name, find_identity, parse_cookies, set_cookie
from cwz_web.web.fields import Fields
from cwz_web.workspaces.access import Access
from cwz_web.workspaces.audit import Actor, record

if TYPE_CHECKING:
    from cwz_web.web.services import Services

# Bytes of a body that are kept in memory: WebOb would write more than 10 KB into a temporary file. As much as the API
# reads of a JSON body.
IN_MEMORY = 256 * 1024
LOGIN_STEP = "second-factor"
VISITOR_ID_LENGTH = 43


def new_request_id() -> str:
    """Return a request id, which contains the time."""
    return f"req_{uuid7().hex}"


class Request(pyramid.request.Request):
    """A request to the application."""

    request_body_tempfile_limit = IN_MEMORY

    # Whether the request is counted among those that wait for other servers (outbound.py).
    has_outbound_slot = False
    # Other sites that this page's forms may redirect to, for the Content-Security-Policy.
    form_targets: tuple[str, ...] = ()
    # Trusted Types policies of this page's scripts beside htmx's, for the same.
    trusted_types: tuple[str, ...] = ()

    @reify
    def id(self) -> str:
        """The request id, as in the log, error pages and the X-Request-Id header."""
        return new_request_id()

    @reify
    def csp_nonce(self) -> str:
        """The nonce that scripts and htmx attributes of the page carry."""
        return secrets.token_urlsafe(18)

    @property
    def services(self) -> "Services":
        """The long-lived services of the process."""
        return cast("Services", self.registry["services"])

    @property
    def billing(self) -> BillingService:
        """The billing service, for views that exist only where the installation has plans."""
        assert self.services.billing is not None
        return self.services.billing

    @property
    def slack(self) -> Slack:
        """The Slack app, for views that exist only where the installation has one."""
        assert self.services.slack is not None
        return self.services.slack

    @property
    def raw_path(self) -> str:
        """The undecoded path (as in WSGI): safe to log, whatever bytes were sent. `area` says what it leads to."""
        return cast(str, self.environ.get("PATH_INFO", ""))

    @property
    def area(self) -> Area:
        """The area of the matched resource or, before the path is resolved, of the path."""
        context = getattr(self, "context", None)
        return area_of(context) if isinstance(context, Resource) else find_area(Root, self.raw_path)

    @reify
    def GET(self) -> Fields:  # noqa: N802 - as WebOb names it
        """The parameters of the query."""
        return Fields(super().GET.items())

    @reify
    def POST(self) -> Fields:  # noqa: N802 - as WebOb names it
        """The fields of a form; empty until request validation has read it within our limits."""
        return Fields()

    @reify
    def cookies(self) -> dict[str, str]:
        """The browser's cookies by name."""
        return parse_cookies(self)

    @property
    def theme(self) -> str:
        """The theme that the user has chosen: light, dark, or auto."""
        theme = self.cookies.get("theme", "")
        return theme if theme in ("light", "dark") else "auto"

    @property
    def density(self) -> str:
        """The density of tables that the user has chosen: comfortable or compact."""
        return "compact" if self.cookies.get("density") == "compact" else "comfortable"

    @property
    def uses_transaction(self) -> bool:
        """Whether one transaction spans the request."""
        return self.area.uses_transaction

    @reify
    def db(self) -> Session:
        """The database session of the request's transaction; pyramid_tm rolls it back on an error or a 4xx."""
        assert self.uses_transaction, "views of this area open their own transactions"
        session = self.services.database.session()
        # Always "changed": what bypasses the ORM (COPY, jobs) must be committed as well.
        zope.sqlalchemy.register(session, initial_state="changed", transaction_manager=self.tm)
        return session

    @reify
    def identity(self) -> SignedInUser | ApiKeyIdentity | None:
        """The signed-in user, the API key's workspace, or None."""
        return find_identity(self)

    @property
    def known_identity(self) -> SignedInUser | ApiKeyIdentity | None:
        """The identity if it was looked up before; None otherwise, since that queries the database."""
        identity: SignedInUser | ApiKeyIdentity | None = vars(self).get("identity")
        return identity

    @property
    def user(self) -> SignedInUser:
        """The signed-in user, for views that require one."""
        assert isinstance(self.identity, SignedInUser)
        return self.identity

    @property
    def is_recently_authenticated(self) -> bool:
        """Whether the user has authenticated recently enough for a change that outlives the session."""
        return isinstance(self.identity, SignedInUser) and is_recently_authenticated(self.identity.session)

    @property
    def api_key(self) -> ApiKeyIdentity:
        """The API key, for views that require one."""
        assert isinstance(self.identity, ApiKeyIdentity)
        return self.identity

    @property
    def actor(self) -> Actor:
        """The user or API key, as the audit log names it."""
        address = self.remote_addr or ""
        if isinstance(self.identity, ApiKeyIdentity):
            return Actor(None, f"API key {self.identity.name} ({self.identity.prefix}…)", address)
        account = self.user.account
        return Actor(account.id, f"{account.name} <{account.email}>", address)

    @property
    def workspace_or_none(self) -> Access | None:
        """The workspace of the URL, if any."""
        for resource in lineage(getattr(self, "context", None) or ()):
            if isinstance(resource, WorkspaceResource):
                return resource.access
        return None

    @reify
    def workspace(self) -> Access:
        """The workspace of the URL, for views below `/w/{slug}`."""
        access = self.workspace_or_none
        assert access is not None, "the URL has no workspace"
        return access

    def path_in(self, *segments: object) -> str:
        """Return the path of a page in the workspace: `request.path_in("feeds", feed.id)`."""
        return "/".join(["/w", self.workspace.slug, *map(str, segments)])

    def audit(self, action: str, target: str, **details: Any) -> None:
        """Record in the workspace's audit log what the user does, in the request's transaction."""
        record(self.db, self.workspace.workspace_id, self.actor, action, target, details)

    @reify
    def login_step(self) -> dict[str, Any] | None:
        """The claims of a user who still has to enter the second factor."""
        token = self.cookies.get(cookie_name(self, "step"))
        return self.services.browser_tokens.read(LOGIN_STEP, token) if token else None

    @reify
    def visitor_id(self) -> str:
        """A random id of a browser that is not signed in, kept in a cookie."""
        known = self.cookies.get(cookie_name(self, "visitor"), "")
        if len(known) == VISITOR_ID_LENGTH:
            return cast(str, known)
        fresh = secrets.token_urlsafe(32)
        self.add_response_callback(lambda _, response: set_cookie(self, response, "visitor", fresh))
        return fresh


# What a tween wraps.
Handler = Callable[[Request], Response]


def includeme(config: Configurator) -> None:
    """Install the request class."""
    config.set_request_factory(Request)

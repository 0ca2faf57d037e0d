"""The root of the tree, and the pages outside a workspace: `/account`, `/signin`, `/ops`, ..."""

from typing import Any, ClassVar
from uuid import UUID

from pyramid.authorization import DENY_ALL, Allow, Authenticated

from cwz_web.guides import GUIDES
from cwz_web.resources.api import ApiRoot
from cwz_web.resources.base import CALLBACKS, Area, Resource, parse_uuid
from cwz_web.resources.permissions import SESSION_PRINCIPAL, Permission
from cwz_web.resources.signed_urls import SignedUrlRoot
from cwz_web.resources.workspace import WorkspaceCollection


class SessionResource(Resource):
    """A browser in which the user is signed in."""


class SessionCollection(Resource):
    """`/account/sessions`. The view checks in the database that the session is the user's own."""

    def __getitem__(self, name: str) -> SessionResource:
        parse_uuid(name)
        return SessionResource(self.request, self, name)


class PasskeyResource(Resource):
    """A passkey of the user."""


class PasskeyCollection(Resource):
    """`/account/passkeys`. The view checks in the database that the passkey is the user's own."""

    def __getitem__(self, name: str) -> PasskeyResource:
        parse_uuid(name)
        return PasskeyResource(self.request, self, name)


class SecondFactor(Resource):
    """`/account/second-factor`: authentication codes of an authenticator app."""


class AccountRoot(Resource):
    """`/account`: the user's own account."""

    children: ClassVar[dict[str, type[Resource]]] = {
        "sessions": SessionCollection,
        "second-factor": SecondFactor,
        "passkeys": PasskeyCollection,
    }


class GoogleSignIn(Resource):
    """`/signin/google`: the redirect to Google, and the callback."""

    area = CALLBACKS


class WorkspaceSignOn(Resource):
    """`/signin/sso/{workspace}`: the redirect to a workspace's identity provider, and the callback."""

    @property
    def workspace_id(self) -> UUID:
        """The id of the workspace."""
        return parse_uuid(self.__name__)


class SingleSignOn(Resource):
    """`/signin/sso`: finds the identity provider of an email address."""

    area = CALLBACKS

    def __getitem__(self, name: str) -> WorkspaceSignOn:
        parse_uuid(name)
        return WorkspaceSignOn(self.request, self, name)


class SignInRoot(Resource):
    """`/signin`."""

    children: ClassVar[dict[str, type[Resource]]] = {"google": GoogleSignIn, "sso": SingleSignOn}


class DevelopmentRoot(Resource):
    """`/dev`: development tools; not found in production."""


class OpsRoot(Resource):
    """`/ops`: for the installation's operators; not found for every other user."""

    def __acl__(self) -> list[Any]:
        return [(Allow, Authenticated, Permission.OPERATE), DENY_ALL]


class WellKnown(Resource):
    """`/.well-known` (RFC 8615)."""


class SlackCallback(Resource):
    """`/slack`: where Slack redirects users after they install the app."""

    area = CALLBACKS


class GuideResource(Resource):
    """`/docs/guides/<name>`."""


class GuideText(Resource):
    """`/docs/guides/<name>.md`."""


class GuideCollection(Resource):
    """`/docs/guides`."""

    children: ClassVar[dict[str, type[Resource]]] = {
        **dict.fromkeys(GUIDES, GuideResource),
        **dict.fromkeys((f"{name}.md" for name in GUIDES), GuideText),
    }


class DocsRoot(Resource):
    """`/docs`: public documentation."""

    children: ClassVar[dict[str, type[Resource]]] = {"guides": GuideCollection}


class FeedHook(Resource):
    """`/hooks/feeds/{workspace}/{feed}`: calls of the shop of a feed. The view checks that there is one."""

    @property
    def workspace_id(self) -> UUID:
        """The id of the workspace."""
        return parse_uuid(self.__parent__.__name__ if self.__parent__ else "")

    @property
    def feed_id(self) -> UUID:
        """The id of the feed."""
        return parse_uuid(self.__name__)


class WorkspaceFeedHooks(Resource):
    """`/hooks/feeds/{workspace}`."""

    def __getitem__(self, name: str) -> FeedHook:
        parse_uuid(name)
        return FeedHook(self.request, self, name)


class FeedHooks(Resource):
    """`/hooks/feeds`."""

    def __getitem__(self, name: str) -> WorkspaceFeedHooks:
        parse_uuid(name)
        return WorkspaceFeedHooks(self.request, self, name)


class HooksRoot(Resource):
    """`/hooks`: callbacks of other systems, which authenticate with a signature."""

    area = Area(is_api=True, uses_transaction=False)
    children: ClassVar[dict[str, type[Resource]]] = {"feeds": FeedHooks}


class Root(Resource):
    """The root of the tree."""

    children: ClassVar[dict[str, type[Resource]]] = {
        "w": WorkspaceCollection,
        "account": AccountRoot,
        "signin": SignInRoot,
        "v1": ApiRoot,
        "i": SignedUrlRoot,
        "hooks": HooksRoot,
        "docs": DocsRoot,
        "slack": SlackCallback,
        "dev": DevelopmentRoot,
        "ops": OpsRoot,
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
        """Return whether the user operates the installation.

        Operators are named in the .ini; they need a verified email and, outside development, a second factor.
        """
        account, settings = getattr(self.request.identity, "account", None), self.request.services.settings
        return (
            account is not None
            and account.verified_at is not None
            and account.email.lower() in settings.operator.emails
            and (settings.development or account.has_second_factor)
        )

    def __acl__(self) -> list[Any]:
        return [
            (Allow, Authenticated, Permission.SIGNED_IN),
            (Allow, SESSION_PRINCIPAL, Permission.SESSION),
            DENY_ALL,
        ]

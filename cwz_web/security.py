"""Authentication: browsers by session cookie, API clients by key; each URL accepts only one.

The identity carries its principals; what they may do is in `cwz_web.resources.permissions`.
"""

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from pyramid.authorization import ACLHelper, Authenticated, Everyone
from pyramid.config import Configurator
from pyramid.response import Response
from sqlalchemy.orm import Session

from cwz_web.accounts.models import Account, LoginSession
from cwz_web.accounts.sessions import ABSOLUTE_LIMIT, find_session
from cwz_web.generation.api_keys import ApiKeyIdentity
from cwz_web.resources.permissions import SESSION_PRINCIPAL, api_principal, member_principal
from cwz_web.workspaces.access import Access, list_workspaces
from cwz_web.workspaces.models import Role

if TYPE_CHECKING:
    from cwz_web.web.request import Request

# A cookie as this application sets it: a name and a token.
_cookie = re.compile(r"\s*([\w-]+)=([\w.=-]*)\s*", re.ASCII)


@dataclass(frozen=True)
class SignedInUser:
    """A user who is signed in.

    Attributes:
        account_id: The id of the account, which is known even after the transaction was rolled back.
        locale: The locale that the user has chosen, which is known as long.
    """

    session: LoginSession
    workspaces: tuple[Access, ...]
    account_id: UUID
    locale: str | None

    @property
    def account(self) -> Account:
        return self.session.account

    @property
    def principals(self) -> list[str]:
        """The user's principals: those of the account only if they proved to own it."""
        opened = [access for access in self.workspaces if self.can_open(access)]
        roles = [member_principal(access.workspace_id, access.role) for access in opened]
        return [SESSION_PRINCIPAL, *([Authenticated] if self.session.is_own else []), *roles]

    def can_open(self, access: Access) -> bool:
        """Return whether the user has proved what a workspace requires of its members."""
        return not self.lacks_second_factor(access) and not self.lacks_single_sign_on(access)

    def lacks_second_factor(self, access: Access) -> bool:
        """Return whether the workspace is closed to the user until a second factor is set up."""
        has_provider = self.session.sso_workspace_id == access.workspace_id
        return access.second_factor_required and not self.session.has_second_factor and not has_provider

    def lacks_single_sign_on(self, access: Access) -> bool:
        """Return whether the workspace is closed to the user until they sign in through its identity provider.

        Admins can also use their own credentials with a second factor: a failing provider must not lock everyone out.
        """
        is_break_glass = access.role is Role.ADMIN and self.session.has_second_factor
        has_provider = self.session.sso_workspace_id == access.workspace_id
        return access.single_sign_on_required and not has_provider and not is_break_glass


class SecurityPolicy:
    """Pyramid's security policy: the identity of a request, and what it may do."""

    def __init__(self) -> None:
        self._acl = ACLHelper()

    def identity(self, request: "Request") -> SignedInUser | ApiKeyIdentity | None:
        """Return the signed-in user or the API key; looked up once per request."""
        return request.identity

    def authenticated_userid(self, request: "Request") -> str | None:
        identity = request.identity
        return str(identity.account.id) if isinstance(identity, SignedInUser) else None

    def permits(self, request: "Request", context: Any, permission: str) -> Any:
        match request.identity:
            case SignedInUser() as person:
                principals = [Everyone, *person.principals]
            case ApiKeyIdentity(workspace_id=workspace_id):
                principals = [Everyone, api_principal(workspace_id)]
            case _:
                principals = [Everyone]
        return self._acl.permits(context, principals, permission)

    def remember(self, request: "Request", userid: str, **kw: Any) -> list[Any]:
        raise NotImplementedError("Sessions are created in views/sign_in.py")

    def forget(self, request: "Request", **kw: Any) -> list[Any]:
        raise NotImplementedError("Sessions are ended in views/sign_in.py")


def parse_cookies(request: "Request") -> dict[str, str]:
    """Return the browser's cookies by name, if they have the form of ours (RFC 6265, section 4.2.1).

    WebOb's parser takes quadratic time: a minute for a header of 64 KB without a valid cookie.
    """
    matches = map(_cookie.fullmatch, request.environ.get("HTTP_COOKIE", "").split(";"))
    return {match[1]: match[2] for match in matches if match}


def cookie_name(request: "Request", name: str = "session") -> str:
    """Return the name of a cookie. `__Host-` ties it to this host; it requires https."""
    return f"cwz_{name}" if request.services.settings.development else f"__Host-cwz_{name}"


def set_cookie(
    request: "Request", response: Response, name: str, value: str | None, max_age: timedelta | None = None
) -> None:
    """Set a cookie that scripts cannot read, or delete it if the value is None.

    Args:
        max_age: its lifetime; None for a session cookie.
    """
    secure = not request.services.settings.development
    options = {"path": "/", "secure": secure, "httponly": True, "samesite": "Lax"}
    if value is None:
        response.set_cookie(cookie_name(request, name), "", max_age=timedelta(0), **options)
    else:
        response.set_cookie(cookie_name(request, name), value, max_age=max_age, **options)


def set_session_cookie(request: "Request", response: Response, token: str | None) -> None:
    """Set the session cookie, or delete it if the token is None, with all that the browser keeps of the site."""
    if token is None:
        # Not "cookies", which would clear the theme as well; ours are deleted by name.
        response.headers["Clear-Site-Data"] = '"cache", "storage"'
    set_cookie(request, response, "session", token, ABSOLUTE_LIMIT)


def find_browser_session(request: "Request", db: Session) -> LoginSession | None:
    """Return the browser's session, unless it has ended."""
    token = request.cookies.get(cookie_name(request))
    return find_session(db, token, request.services.browser_tokens) if token else None


def find_identity(request: "Request") -> SignedInUser | ApiKeyIdentity | None:
    """Return the API key below `/v1`, the signed-in user elsewhere, or None."""
    if request.area.uses_api_keys:
        return request.services.keys.find(_bearer_token(request))
    session = find_browser_session(request, request.db) if request.uses_transaction else None
    return find_user(request.db, session) if session else None


def find_user(db: Session, session: LoginSession) -> SignedInUser:
    """Return the user of a session, with the workspaces that it can open."""
    workspaces = list_workspaces(db, session.account_id)
    opened = tuple(access for access in workspaces if session.opens(access.workspace_id))
    return SignedInUser(session, opened, session.account_id, session.account.locale)


def _bearer_token(request: "Request") -> str:
    """Return the token of the Authorization header (RFC 6750), or an empty string."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def includeme(config: Configurator) -> None:
    """Install the security policy. A view without a permission of its own requires a signed-in user."""
    config.set_security_policy(SecurityPolicy())

"""Who is asking: the session cookie of a browser, or the key of a program. Never both for the same address.

The identity carries its principals; what they may do stands in resources.py.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from pyramid.authorization import ACLHelper, Authenticated, Everyone
from pyramid.config import Configurator
from pyramid.response import Response
from sqlalchemy.orm import Session

from cwz_web.accounts.models import Account, SignIn
from cwz_web.accounts.sessions import ABSOLUTE_LIMIT, find_session
from cwz_web.generation.api_keys import KeyOwner
from cwz_web.resources.permissions import api_principal, member_principal
from cwz_web.workspaces.access import Access, workspaces_of

if TYPE_CHECKING:
    from cwz_web.web.request import Request

API = "/v1/"
# A cookie as we set them: names and tokens.
_cookie = re.compile(r"\s*([\w-]+)=([\w.=-]*)\s*", re.ASCII)


@dataclass(frozen=True)
class Person:
    """Somebody who is signed in."""

    session: SignIn
    workspaces: tuple[Access, ...]

    @property
    def account(self) -> Account:
        return self.session.account

    @property
    def principals(self) -> list[str]:
        """A workspace that wants a second factor counts only for those who have one."""
        open_ones = [access for access in self.workspaces if not self.lacks_second_factor(access)]
        return [Authenticated, *(member_principal(access.workspace_id, access.role) for access in open_ones)]

    def lacks_second_factor(self, access: Access) -> bool:
        """Whether the workspace stays shut until the person sets up a second factor."""
        return access.second_factor_required and not self.account.has_second_factor


class SecurityPolicy:
    """Pyramid's security policy."""

    def __init__(self) -> None:
        self._acl = ACLHelper()

    def identity(self, request: "Request") -> Person | KeyOwner | None:
        """Whoever is asking, found once a request."""
        return request.identity

    def authenticated_userid(self, request: "Request") -> str | None:
        identity = request.identity
        return str(identity.account.id) if isinstance(identity, Person) else None

    def permits(self, request: "Request", context: Any, permission: str) -> Any:
        match request.identity:
            case Person() as person:
                principals = [Everyone, *person.principals]
            case KeyOwner(workspace_id=workspace_id):
                principals = [Everyone, api_principal(workspace_id)]
            case _:
                principals = [Everyone]
        return self._acl.permits(context, principals, permission)

    def remember(self, request: "Request", userid: str, **kw: Any) -> list[Any]:
        raise NotImplementedError("A session begins in views/sign_in.py")

    def forget(self, request: "Request", **kw: Any) -> list[Any]:
        raise NotImplementedError("A session ends in views/sign_in.py")


def parse_cookies(request: "Request") -> dict[str, str]:
    """The browser's cookies by name, as far as they can be ours (RFC 6265, section 4.2.1).

    WebOb's own way looks for a cookie from each byte on: 64 KB that are none took it a minute.
    """
    sent = map(_cookie.fullmatch, request.environ.get("HTTP_COOKIE", "").split(";"))
    return {found[1]: found[2] for found in sent if found}


def cookie_name(request: "Request", what: str = "session") -> str:
    """A cookie of ours. `__Host-` ties it to this very host; browsers take that prefix over https only."""
    return f"cwz_{what}" if request.services.settings.development else f"__Host-cwz_{what}"


def keep_cookie(
    request: "Request", response: Response, what: str, value: str | None, max_age: timedelta | None = None
) -> None:
    """Give the browser a cookie that no script can read, or, for None, take it away.

    Arguments:
        max_age: how long to keep it; None for as long as the browser runs.
    """
    secure = not request.services.settings.development
    options = {"path": "/", "secure": secure, "httponly": True, "samesite": "Lax"}
    if value is None:
        response.set_cookie(cookie_name(request, what), "", max_age=timedelta(0), **options)
    else:
        response.set_cookie(cookie_name(request, what), value, max_age=max_age, **options)


def set_session_cookie(request: "Request", response: Response, token: str | None) -> None:
    """Give the browser its session, or take it away."""
    keep_cookie(request, response, "session", token, ABSOLUTE_LIMIT)


def session_of(request: "Request", db: Session) -> SignIn | None:
    """The live session of the browser."""
    token = request.cookies.get(cookie_name(request))
    return find_session(db, token, request.services.browser_tokens) if token else None


def find_identity(request: "Request") -> Person | KeyOwner | None:
    if request.raw_path.startswith(API):
        return request.find_key_owner()
    session = session_of(request, request.db) if request.uses_transaction else None
    return Person(session, tuple(workspaces_of(request.db, session.account_id))) if session else None


def key_tween(handler: Callable[["Request"], Response], registry: Any) -> Callable[["Request"], Response]:
    """Ask whose key it is as soon as a program's request is let in, so that the answer is there when it is wanted."""
    keys = registry["services"].keys

    def asking(request: "Request") -> Response:
        with keys.asking(_key_in(request)) as request.find_key_owner:
            return handler(request)

    return asking


def _key_in(request: "Request") -> str:
    """The key that a program sends with a request to the API, or nothing."""
    if not request.raw_path.startswith(API):
        return ""
    scheme, _, key = request.headers.get("Authorization", "").partition(" ")
    return key.strip() if scheme.lower() == "bearer" else ""


def includeme(config: Configurator) -> None:
    """Install the policy; without a permission of its own, a view is for those who are signed in."""
    config.set_security_policy(SecurityPolicy())
    config.add_tween("cwz_web.security.key_tween", under="cwz_web.web.request_validation.intake_tween")

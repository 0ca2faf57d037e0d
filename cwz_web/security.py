"""Who is asking: the session cookie of a browser, or the key of a program. Never both for the same address.

The identity carries its principals; what they may do stands in resources.py.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from pyramid.authorization import ACLHelper, Authenticated, Everyone
from pyramid.config import Configurator
from pyramid.request import Request
from pyramid.response import Response

from cwz_web.accounts.models import Account
from cwz_web.accounts.sessions import ABSOLUTE_LIMIT, find_session
from cwz_web.generation.keys import KeyOwner, find_owner
from cwz_web.resources import api_principal, principal
from cwz_web.workspaces.access import Access, workspaces_of

API = "/v1/"


@dataclass(frozen=True)
class Person:
    """Somebody who is signed in."""

    account: Account
    session_id: UUID
    workspaces: tuple[Access, ...]

    @property
    def principals(self) -> list[str]:
        return [Authenticated, *(principal(access.workspace_id, access.role) for access in self.workspaces)]


class SecurityPolicy:
    """Pyramid's security policy."""

    def __init__(self) -> None:
        self._acl = ACLHelper()

    def identity(self, request: Request) -> Person | KeyOwner | None:
        """Whoever is asking, found once a request."""
        return request.found_identity

    def authenticated_userid(self, request: Request) -> str | None:
        identity = request.found_identity
        return str(identity.account.id) if isinstance(identity, Person) else None

    def permits(self, request: Request, context: Any, permission: str) -> Any:
        match request.found_identity:
            case Person() as person:
                principals = [Everyone, *person.principals]
            case KeyOwner(workspace_id=workspace_id):
                principals = [Everyone, api_principal(workspace_id)]
            case _:
                principals = [Everyone]
        return self._acl.permits(context, principals, permission)

    def remember(self, request: Request, userid: str, **kw: Any) -> list[Any]:
        raise NotImplementedError("A session begins in views/sign_in.py")

    def forget(self, request: Request, **kw: Any) -> list[Any]:
        raise NotImplementedError("A session ends in views/sign_in.py")


def cookie_name(request: Request) -> str:
    """The session cookie. `__Host-` ties it to this very host; browsers take that prefix over https only."""
    return "cwz_session" if request.services.settings.development else "__Host-cwz_session"


def set_session_cookie(request: Request, response: Response, token: str | None) -> None:
    """Give the browser its session, or take it away."""
    secure = not request.services.settings.development
    options = {"path": "/", "secure": secure, "httponly": True, "samesite": "Lax"}
    if token is None:
        response.set_cookie(cookie_name(request), "", max_age=timedelta(0), **options)
    else:
        response.set_cookie(cookie_name(request), token, max_age=ABSOLUTE_LIMIT, **options)


def _find_identity(request: Request) -> Person | KeyOwner | None:
    if request.raw_path.startswith(API):
        return _key_owner(request)
    token = request.cookies.get(cookie_name(request))
    if not token or not request.uses_transaction:
        return None
    secret = request.services.settings.session_secret.get_secret_value()
    session = find_session(request.db, token, secret)
    if session is None:
        return None
    return Person(session.account, session.id, tuple(workspaces_of(request.db, session.account_id)))


def _key_owner(request: Request) -> KeyOwner | None:
    scheme, _, key = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        return None
    with request.services.database.transaction() as db:
        return find_owner(db, key.strip())


def includeme(config: Configurator) -> None:
    """Install the policy; without a permission of its own, a view is for those who are signed in."""
    config.set_security_policy(SecurityPolicy())
    config.add_request_method(_find_identity, "found_identity", reify=True)

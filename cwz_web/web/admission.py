"""Admission of large request bodies: who sends one is known before more of it is received.

waitress receives a body before the application sees the request. Beyond `MAX_ANONYMOUS_BODY`, the server therefore asks
here first, with the head of the request only; meanwhile it reads nothing from the connection.
"""

from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from pyramid.registry import Registry

from cwz_web.generation.api_keys import ApiKeyIdentity
from cwz_web.runs.protocol import PATH as RENDER_HOOK_PATH
from cwz_web.runs.protocol import has_valid_head
from cwz_web.security import find_browser_session, find_identity, find_user
from cwz_web.web.request import Request

# Bytes of a body from a client that is not known.
MAX_ANONYMOUS_BODY = 1024 * 1024
# The headers that identify a client, as in WSGI.
CREDENTIALS = ("AUTHORIZATION", "COOKIE")


@dataclass(frozen=True)
class RequestHead:
    """The head of a request.

    Attributes:
        headers: The headers by name, in capitals with underscores.
    """

    method: str
    path: str
    headers: Mapping[str, str]


@dataclass(frozen=True)
class BodyAdmission:
    """Looks up the senders of large bodies, in threads of its own: the server's loop never waits for the database.

    Args:
        registry: The application's registry.
    """

    registry: Registry
    _executor: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(4, "admission"))

    def submit(self, head: RequestHead) -> "Future[str | None]":
        """Start to look up the sender of a request; see `find_sender`."""
        return self._executor.submit(find_sender, self.registry, head)


def _find_render_worker(registry: Registry, head: RequestHead) -> str | None:
    """Return the id of a render worker's message, so that workers are limited in total only."""
    headers = {name.lower().replace("_", "-"): value for name, value in head.headers.items()}
    secret = registry["services"].settings.secrets.render.get_secret_value()
    return headers["webhook-id"] if has_valid_head(secret, headers) else None


def find_sender(registry: Registry, head: RequestHead) -> str | None:
    """Return whose body it is: the id of the workspace or, outside of workspaces, of the account. None if unknown."""
    if head.path == RENDER_HOOK_PATH:
        return _find_render_worker(registry, head)
    environ = {"REQUEST_METHOD": head.method, "PATH_INFO": head.path}
    request = Request(environ | {f"HTTP_{name}": head.headers[name] for name in CREDENTIALS if name in head.headers})
    request.registry = registry
    if request.area.is_api:
        identity = find_identity(request) if request.area.uses_api_keys else None
        return str(identity.workspace_id) if isinstance(identity, ApiKeyIdentity) else None
    with request.services.database.transaction() as db:
        session = find_browser_session(request, db)
        if session is None:
            return None
        workspaces = {access.slug: str(access.workspace_id) for access in find_user(db, session).workspaces}
    collection, _, rest = head.path.removeprefix("/").partition("/")
    return workspaces.get(rest.partition("/")[0]) if collection == "w" else str(session.account_id)

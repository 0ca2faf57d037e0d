"""Notices: what a form has done, shown once on the next page of the workspace, with a form that undoes it.

A notice is a signed cookie of the account and the workspace, so that no other page and no script can make one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from pyramid.config import Configurator

from cwz_web.i18n import gettext
from cwz_web.security import SignedInUser, cookie_name, set_cookie
from cwz_web.web.request import Request

COOKIE = "notice"
LIFETIME = timedelta(minutes=1)
# Characters of a field; browsers reject a cookie of more than 4 KB. A place in a list is not longer (lists.list_path).
MAX_FIELD = 1000


@dataclass(frozen=True)
class Notice:
    """What was done, as a sentence.

    Attributes:
        undo: The path that a form is posted to, to undo it; empty if it cannot be undone.
        fields: The fields of that form.
    """

    text: str
    undo: str
    fields: dict[str, str]


def add_notice(request: Request, text: str, *, undo: str = "", **fields: str) -> None:
    """Show a notice on the next page of the workspace.

    Args:
        request: The request that did it.
        text: What was done, as a sentence.
        undo: The path that undoes it; empty if it cannot be undone.
        fields: The fields of the form that undoes it.
    """
    cut = {name: value[:MAX_FIELD] for name, value in fields.items()}
    claims = {"sub": _subject(request), "text": text, "undo": undo, "fields": cut}
    token = request.services.browser_tokens.sign(COOKIE, LIFETIME, **claims)
    request.add_response_callback(lambda _, response: set_cookie(request, response, COOKIE, token, LIFETIME))


def find_done_notice(request: Request, notices: Mapping[str, str]) -> str | None:
    """Return what a form has done, as the page says that it redirected to; None if no form did.

    Args:
        request: The request, with the parameter `done`.
        notices: The messages by the values of this parameter.
    """
    done = request.GET.get("done", "")
    return gettext(notices[done]) if done in notices else None


def take_notice(request: Request) -> Notice | None:
    """Return the notice for the page, and remove it from the browser."""
    token = request.cookies.get(cookie_name(request, COOKIE))
    if not token or not isinstance(request.identity, SignedInUser) or request.workspace_or_none is None:
        return None
    request.add_response_callback(lambda _, response: set_cookie(request, response, COOKIE, None))
    claims = request.services.browser_tokens.read(COOKIE, token)
    if claims is None or claims["sub"] != _subject(request):
        return None
    return Notice(claims["text"], claims["undo"], claims["fields"])


def _subject(request: Request) -> str:
    return f"{request.user.account.id} {request.workspace.workspace_id}"


def includeme(config: Configurator) -> None:
    """Let templates take the notice."""
    config.add_request_method(take_notice, "notice", reify=True)

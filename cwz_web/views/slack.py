"""Slack: to Slack and back, which channel is told of what, and taking it away again.

The state of the way there is bound to the browser by a cookie, and to the session and the workspace in which it began.
"""

import secrets
from datetime import timedelta
from hmac import compare_digest
from typing import Annotated, Any

import structlog
from pydantic import ConfigDict, Field
from pyramid.httpexceptions import HTTPNotFound, HTTPSeeOther, HTTPUnprocessableEntity
from pyramid.response import Response
from pyramid.security import NO_PERMISSION_REQUIRED
from pyramid.view import view_config

from cwz_web.db.session import enter_workspace
from cwz_web.notify.models import SlackLink
from cwz_web.notify.slack import Slack, SlackRejectedError, SlackUnavailableError, save_slack_link, find_slack_link, decrypt_slack_token
from cwz_web.notify.webhooks import EVENT_LABELS, Event
from cwz_web.resources.application import SlackCallback
from cwz_web.resources.permissions import ROLE_PERMISSIONS, Permission
from cwz_web.resources.workspace import SlackResource
from cwz_web.security import SignedInUser, cookie_name, keep_cookie, session_of
from cwz_web.web.forms import Form, read_form
from cwz_web.web.request import Request
from cwz_web.web.transactions import release_connection
from cwz_web.workspaces.access import Access, workspaces_of
from cwz_web.workspaces.audit import Actor, record

log = structlog.get_logger()

PAGE = "slack.jinja2"
WAY = "slack"
WAY_LIFETIME = timedelta(minutes=10)
# A post an image would be noise.
EVENTS = tuple(event for event in EVENT_LABELS if event not in (Event.IMAGE_CREATED, Event.IMAGE_FAILED))
NEWS = {
    "connected": "Slack is connected. Choose a channel.",
    "chosen": "The channel is told from now on.",
    "removed": "Slack is disconnected, and our access to it given back.",
    "refused": "Slack did not add us: nothing was changed. Begin again when you like.",
    "down": "We cannot reach Slack just now. Nothing was changed. Please try again in a minute.",
}


class ChannelForm(Form):
    """Which channel. The events' fields (`event.<name>`) come beside it."""

    model_config = ConfigDict(extra="ignore")

    channel: Annotated[str, Field(min_length=1, max_length=40)]


@view_config(context=SlackResource, request_method="GET", renderer=PAGE, permission=Permission.SETTINGS_MANAGE)
def slack_page(context: SlackResource, request: Request) -> dict[str, Any]:
    """How things are with Slack."""
    return _page(request)


@view_config(context=SlackResource, name="connect", request_method="GET", permission=Permission.SETTINGS_MANAGE)
def leave(context: SlackResource, request: Request) -> Response:
    """To Slack, where somebody chooses a team."""
    state = secrets.token_urlsafe(24)
    claims = {"state": state, "session": str(request.user.session.id), "workspace": request.workspace.slug}
    response = HTTPSeeOther(request.slack.address(state))
    keep_cookie(request, response, WAY, request.services.browser_tokens.sign(WAY, WAY_LIFETIME, **claims), WAY_LIFETIME)
    return response


@view_config(context=SlackCallback, name="callback", request_method="GET", permission=NO_PERMISSION_REQUIRED)
def come_back(context: SlackCallback, request: Request) -> Response:
    """From Slack, with a code: for the session and the workspace that left, and only while its person is an admin."""
    services = request.services
    slack: Slack | None = services.slack
    cookie = request.cookies.get(cookie_name(request, WAY))
    claims = services.browser_tokens.read(WAY, cookie) if cookie else None
    state, code = request.GET.getall("state"), request.GET.getall("code")
    if (
        slack is None
        or claims is None
        or len(state) != 1
        or not compare_digest(state[0].encode(), claims["state"].encode())
    ):
        raise HTTPNotFound
    with services.database.transaction() as db:
        session = session_of(request, db)
        if session is None or str(session.id) != claims["session"]:
            raise HTTPNotFound
        person = SignedInUser(session, tuple(workspaces_of(db, session.account_id)))
    access = _manageable(person, claims["workspace"])
    news = "refused"
    if len(code) == 1:
        try:
            installed = slack.install(code[0])
        except SlackUnavailableError as error:
            log.warning("slack", reason=str(error))
            news = "down"
        except SlackRejectedError as error:
            log.warning("slack refused", reason=error.code)
        else:
            with services.database.transaction(access.workspace_id) as db:
                save_slack_link(db, access.workspace_id, services.ring, installed, [str(event) for event in EVENTS])
                account = person.account
                actor = Actor(account.id, f"{account.name} <{account.email}>", request.remote_addr or "")
                record(db, access.workspace_id, actor, "slack.connect", installed.team, {})
            news = "connected"
    response = HTTPSeeOther(f"/w/{access.slug}/slack?done={news}")
    keep_cookie(request, response, WAY, None)
    return response


@view_config(context=SlackResource, request_method="POST", renderer=PAGE, permission=Permission.SETTINGS_MANAGE)
def choose(context: SlackResource, request: Request) -> Any:
    """This channel is told of these events."""
    form = read_form(ChannelForm, request.POST)
    channels, trouble = _channels(request, find_slack_link(request.db, request.workspace.workspace_id))
    if trouble:
        request.response.status = 503
        return _page(request)
    link = find_slack_link(request.db, request.workspace.workspace_id)
    if link is None or form.value is None or form.value.channel not in channels:
        raise HTTPUnprocessableEntity("Choose one of the channels")
    link.channel_id, link.channel, link.trouble = form.value.channel, channels[form.value.channel], None
    link.events = [str(event) for event in EVENTS if f"event.{event}" in request.POST]
    request.audit("slack.choose", link.channel, events=link.events)
    return HTTPSeeOther(f"{request.path_in('slack')}?done=chosen")


@view_config(context=SlackResource, name="disconnect", request_method="POST", permission=Permission.SETTINGS_MANAGE)
def disconnect(context: SlackResource, request: Request) -> Response:
    """Give the token back to Slack, then forget it."""
    services, workspace_id = request.services, request.workspace.workspace_id
    link = find_slack_link(request.db, workspace_id)
    if link is None:
        raise HTTPUnprocessableEntity("Slack is not connected")
    release_connection(request)
    try:
        request.slack.revoke(decrypt_slack_token(link, services.ring))
    except SlackUnavailableError as error:
        log.warning("slack", reason=str(error))
        return HTTPSeeOther(f"{request.path_in('slack')}?done=down")
    except SlackRejectedError:
        pass  # no key opens it any more: there is nothing that could be given back
    enter_workspace(request.db, workspace_id)
    now = find_slack_link(request.db, workspace_id)
    if now is not None:
        request.db.delete(now)
    request.audit("slack.disconnect", link.team)
    return HTTPSeeOther(f"{request.path_in('slack')}?done=removed")


def _page(request: Request) -> dict[str, Any]:
    link = find_slack_link(request.db, request.workspace.workspace_id)
    channels, trouble = _channels(request, link)
    return {
        "link": link,
        "channels": channels,
        "trouble": trouble or (link.trouble if link is not None else None),
        "words": {event: EVENT_LABELS[event] for event in EVENTS},
        "news": NEWS.get(request.GET.get("done", "")),
    }


def _channels(request: Request, link: SlackLink | None) -> tuple[dict[str, str], str | None]:
    """The team's channels, or why there are none to see. Slack is asked outside of any transaction."""
    if link is None:
        return {}, None
    services = request.services
    release_connection(request)
    try:
        return request.slack.channels(decrypt_slack_token(link, services.ring)), None
    except SlackUnavailableError as error:
        log.warning("slack", reason=str(error))
        return {}, NEWS["down"]
    except SlackRejectedError as error:
        return {}, error.trouble or f"Slack refused: {error.code}"
    finally:
        enter_workspace(request.db, request.workspace.workspace_id)


def _manageable(person: SignedInUser, slug: str) -> Access:
    """The workspace of a slug, if the person may change its settings. Raises HTTPNotFound."""
    for access in person.workspaces:
        allowed = Permission.SETTINGS_MANAGE in ROLE_PERMISSIONS[access.role] and not person.lacks_second_factor(access)
        if access.slug == slug and allowed:
            return access
    raise HTTPNotFound

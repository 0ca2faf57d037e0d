"""Slack: add the app to a team, choose a channel and events, disconnect.

The OAuth state is bound to the browser by a cookie, and to the session and workspace in which the flow started.
"""

import secrets
from dataclasses import dataclass
from datetime import timedelta
from hmac import compare_digest
from typing import Annotated

import structlog
from pydantic import ConfigDict, Field
from pyramid.httpexceptions import HTTPNotFound, HTTPSeeOther, HTTPUnprocessableEntity
from pyramid.response import Response
from pyramid.security import NO_PERMISSION_REQUIRED
from pyramid.view import view_config

from cwz_web.db.session import enter_workspace
from cwz_web.i18n import gettext, gettext_noop
from cwz_web.notify.models import SlackLink
from cwz_web.notify.slack import (
    Slack,
    SlackRejectedError,
    SlackUnavailableError,
    decrypt_slack_token,
    find_slack_link,
    save_slack_link,
)
from cwz_web.notify.webhooks import EVENT_LABELS, Event
from cwz_web.resources.application import SlackCallback
from cwz_web.resources.permissions import ROLE_PERMISSIONS, Permission
from cwz_web.resources.workspace import SlackResource
from cwz_web.security import SignedInUser, cookie_name, find_browser_session, find_user, set_cookie
from cwz_web.web.forms import Form, read_form
from cwz_web.web.notices import find_done_notice
from cwz_web.web.request import Request
from cwz_web.web.transactions import release_connection
from cwz_web.workspaces.access import Access
from cwz_web.workspaces.audit import Actor, record

log = structlog.get_logger()

PAGE = "slack.jinja2"
STATE_COOKIE = "slack"
STATE_LIFETIME = timedelta(minutes=10)
# A post for each image would be noise.
EVENTS = tuple(event for event in EVENT_LABELS if event not in (Event.IMAGE_CREATED, Event.IMAGE_FAILED))
NOTICES = {
    "connected": gettext_noop("Slack is connected. Choose a channel."),
    "chosen": gettext_noop("Changes saved. New events are posted to the channel."),
    "removed": gettext_noop("Slack is disconnected, and its access token was revoked."),
    "refused": gettext_noop("The app was not added to Slack. Nothing was changed."),
    "down": gettext_noop("Slack is not reachable at the moment. Nothing was changed. Try again in a minute."),
}


@dataclass(frozen=True)
class SlackPage:
    """The view model of slack.jinja2.

    Attributes:
        channels: Channel names by id; empty while Slack is not connected or not reachable.
        notice: What the last action did.
    """

    link: SlackLink | None
    channels: dict[str, str]
    error_message: str | None
    event_labels: dict[Event, str]
    notice: str | None


class ChannelForm(Form):
    """A channel; the events are check boxes of their own (`event.<name>`)."""

    model_config = ConfigDict(extra="ignore")

    channel: Annotated[str, Field(min_length=1, max_length=40)]


@view_config(context=SlackResource, request_method="GET", renderer=PAGE, permission=Permission.SETTINGS_MANAGE)
def slack_page(context: SlackResource, request: Request) -> SlackPage:
    """Show the Slack connection."""
    return _page(request)


@view_config(
    context=SlackResource,
    name="connect",
    request_method="GET",
    permission=Permission.SETTINGS_MANAGE,
    requires_recent_auth=True,
)
def start_connecting(context: SlackResource, request: Request) -> Response:
    """Redirect to Slack, where the user chooses a team."""
    state = secrets.token_urlsafe(24)
    claims = {"state": state, "session": str(request.user.session.id), "workspace": request.workspace.slug}
    response = HTTPSeeOther(request.slack.authorization_url(state))
    set_cookie(
        request,
        response,
        STATE_COOKIE,
        request.services.browser_tokens.sign(STATE_COOKIE, STATE_LIFETIME, **claims),
        STATE_LIFETIME,
    )
    return response


@view_config(context=SlackCallback, name="callback", request_method="GET", permission=NO_PERMISSION_REQUIRED)
def finish_connecting(context: SlackCallback, request: Request) -> Response:
    """Return from Slack with a code: valid for the session and workspace that started, while the user is an admin."""
    services = request.services
    slack: Slack | None = services.slack
    cookie = request.cookies.get(cookie_name(request, STATE_COOKIE))
    claims = services.browser_tokens.read(STATE_COOKIE, cookie) if cookie else None
    state, code = request.GET.getall("state"), request.GET.getall("code")
    if (
        slack is None
        or claims is None
        or len(state) != 1
        or not compare_digest(state[0].encode(), claims["state"].encode())
    ):
        raise HTTPNotFound
    with services.database.transaction() as db:
        session = find_browser_session(request, db)
        if session is None or str(session.id) != claims["session"]:
            raise HTTPNotFound
        person = find_user(db, session)
    access = _find_manageable(person, claims["workspace"])
    notice = "refused"
    if len(code) == 1:
        try:
            with services.outbound.slot():
                installed = slack.install(code[0])
        except SlackUnavailableError as error:
            log.warning("slack unavailable", reason=str(error))
            notice = "down"
        except SlackRejectedError as error:
            log.warning("slack rejected the code", reason=error.code)
        else:
            with services.database.transaction(access.workspace_id) as db:
                save_slack_link(db, access.workspace_id, services.ring, installed, [str(event) for event in EVENTS])
                account = person.account
                actor = Actor(account.id, f"{account.name} <{account.email}>", request.remote_addr or "")
                record(db, access.workspace_id, actor, "slack.connect", installed.team, {})
            notice = "connected"
    response = HTTPSeeOther(f"/w/{access.slug}/slack?done={notice}")
    set_cookie(request, response, STATE_COOKIE, None)
    return response


@view_config(
    context=SlackResource,
    request_method="POST",
    renderer=PAGE,
    permission=Permission.SETTINGS_MANAGE,
    rate_limit="slack",
    requires_recent_auth=True,
)
def choose_channel(context: SlackResource, request: Request) -> SlackPage | Response:
    """Choose the channel and its events. A missing or foreign channel is no typing error, so it is refused plainly."""
    form = read_form(ChannelForm, request.POST)
    channels, error_message = _list_channels(request, find_slack_link(request.db, request.workspace.workspace_id))
    if error_message:
        request.response.status = 503
        return _page(request)
    link = find_slack_link(request.db, request.workspace.workspace_id)
    if link is None or form.value is None or form.value.channel not in channels:
        raise HTTPUnprocessableEntity(gettext("Choose one of the channels"))
    link.channel_id, link.channel, link.error_message = form.value.channel, channels[form.value.channel], None
    link.events = [str(event) for event in EVENTS if f"event.{event}" in request.POST]
    request.audit("slack.choose", link.channel, events=link.events)
    return HTTPSeeOther(f"{request.path_in('slack')}?done=chosen")


@view_config(
    context=SlackResource,
    name="disconnect",
    request_method="POST",
    permission=Permission.SETTINGS_MANAGE,
    rate_limit="slack",
    requires_recent_auth=True,
)
def disconnect(context: SlackResource, request: Request) -> Response:
    """Revoke the token and delete the link."""
    services, workspace_id = request.services, request.workspace.workspace_id
    link = find_slack_link(request.db, workspace_id)
    if link is None:
        raise HTTPUnprocessableEntity(gettext("Slack is not connected"))
    release_connection(request)
    try:
        with services.outbound.slot():
            request.slack.revoke(decrypt_slack_token(link, services.ring))
    except SlackUnavailableError as error:
        log.warning("slack unavailable", reason=str(error))
        return HTTPSeeOther(f"{request.path_in('slack')}?done=down")
    except SlackRejectedError:
        pass  # no encryption key decrypts it, so it cannot be revoked
    enter_workspace(request.db, workspace_id)
    current = find_slack_link(request.db, workspace_id)
    if current is not None:
        request.db.delete(current)
    request.audit("slack.disconnect", link.team)
    return HTTPSeeOther(f"{request.path_in('slack')}?done=removed")


def _page(request: Request) -> SlackPage:
    link = find_slack_link(request.db, request.workspace.workspace_id)
    channels, error_message = _list_channels(request, link)
    return SlackPage(
        link=link,
        channels=channels,
        error_message=error_message
        or (gettext(link.error_message) if link is not None and link.error_message else None),
        event_labels={event: gettext(EVENT_LABELS[event]) for event in EVENTS},
        notice=find_done_notice(request, NOTICES),
    )


def _list_channels(request: Request, link: SlackLink | None) -> tuple[dict[str, str], str | None]:
    """Return the team's channels, or an error message. Slack is called outside of any transaction."""
    if link is None:
        return {}, None
    services = request.services
    release_connection(request)
    try:
        with services.outbound.slot():
            return request.slack.channels(decrypt_slack_token(link, services.ring)), None
    except SlackUnavailableError as error:
        log.warning("slack unavailable", reason=str(error))
        notice = NOTICES["down"]
        return {}, gettext(notice)
    except SlackRejectedError as error:
        return {}, _text_of(error)
    finally:
        enter_workspace(request.db, request.workspace.workspace_id)


def _text_of(error: SlackRejectedError) -> str:
    if error.user_message:
        return gettext(error.user_message)
    return gettext("Slack rejected the request: %(code)s", code=error.code)


def _find_manageable(person: SignedInUser, slug: str) -> Access:
    """Return the workspace of a slug if the person may change its settings.

    Raises:
        HTTPNotFound: They may not.
    """
    for access in person.workspaces:
        allowed = Permission.SETTINGS_MANAGE in ROLE_PERMISSIONS[access.role] and person.can_open(access)
        if access.slug == slug and allowed:
            return access
    raise HTTPNotFound

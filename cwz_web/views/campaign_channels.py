"""The channels of a campaign: the list, a new one, and restoring a deleted one."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pyramid.httpexceptions import HTTPSeeOther, HTTPUnprocessableEntity
from pyramid.response import Response
from pyramid.view import view_config

from cwz_web.campaigns.models import Campaign
from cwz_web.channels.delivery import enqueue_write
from cwz_web.channels.editing import (
    MAX_CHANNELS,
    InvalidChannelError,
    create_channel,
    extension_of,
    list_channels,
    restore_channel,
    suggest_fields,
)
from cwz_web.channels.fetch_log import LastFetch, family_label, last_fetches
from cwz_web.channels.findings import FeedReport
from cwz_web.channels.models import Channel
from cwz_web.channels.preset import FILE_FORMAT_LABELS
from cwz_web.channels.presets import PRESETS
from cwz_web.i18n import gettext
from cwz_web.resources.permissions import Permission
from cwz_web.resources.workspace import ChannelCollection
from cwz_web.storage.connections import list_connections
from cwz_web.views.campaign_page import CampaignPage, CampaignTab, campaign_path, shared_values
from cwz_web.views.new_run import Choice
from cwz_web.web.forms import FieldError, Form, Name, SubmittedForm, empty_form, form_view, read_form
from cwz_web.web.notices import add_notice
from cwz_web.web.request import Request
from cwz_web.workspaces.models import Workspace

NEW_PAGE = "channels/new.jinja2"


class NewChannelForm(Form):
    """A new channel: its name, its platform, and where it is delivered."""

    name: Name
    preset: Literal[tuple(PRESETS)]  # type: ignore[valid-type]
    connection: UUID | Literal[""] = ""


class RestoreForm(Form):
    """The deleted channel."""

    channel: UUID


@dataclass(frozen=True)
class ChannelLine:
    """A channel of the list.

    Attributes:
        path: The path of its page.
        platform: The name of its platform.
        format: The name of its file format.
        rows: How many rows were written; None before it was.
        held: How many were left out.
        findings: How many findings there are.
        fetch: The program that has fetched it last, and when.
        url: The URL at which ConnectWyze serves it; "" for members who cannot edit campaigns.
    """

    channel: Channel
    path: str
    platform: str
    format: str
    written_at: datetime | None
    rows: int | None
    held: int
    findings: int
    fetch: tuple[str, datetime] | None
    url: str


@dataclass(frozen=True, kw_only=True)
class ChannelsPage(CampaignPage):
    """Values of channels/list.jinja2."""

    channels: list[ChannelLine]
    can_add: bool


@dataclass(frozen=True, kw_only=True)
class NewChannelPage(CampaignPage):
    """Values of channels/new.jinja2."""

    form: SubmittedForm[Any]
    presets: list[Choice]
    connections: list[Choice]


@view_config(
    context=ChannelCollection, request_method="GET", renderer="channels/list.jinja2", permission=Permission.VIEW
)
def show_channels(context: ChannelCollection, request: Request) -> ChannelsPage:
    """Show the channels of a campaign."""
    campaign = context.campaign
    channels = list_channels(request.db, campaign)
    fetches = last_fetches(request.db, campaign.workspace_id, campaign.id)
    workspace, signed_urls = request.db.get_one(Workspace, campaign.workspace_id), request.services.signed_urls
    can_edit = request.has_permission(Permission.CAMPAIGN_EDIT)

    def url_of(channel: Channel) -> str:
        return signed_urls.channel_feed(workspace, channel.id, extension_of(channel)) if can_edit else ""

    return ChannelsPage(
        **shared_values(request, campaign, CampaignTab.CHANNELS),
        channels=[_line(request, campaign, channel, fetches.get(channel.id), url_of(channel)) for channel in channels],
        can_add=len(channels) < MAX_CHANNELS,
    )


def _new_page(context: ChannelCollection, request: Request, form: SubmittedForm[Any]) -> NewChannelPage:
    campaign, chosen = context.campaign, form.typed.get("preset") or next(iter(PRESETS))
    return NewChannelPage(
        **shared_values(request, campaign, CampaignTab.CHANNELS),
        form=form,
        presets=[Choice(name, preset.label, name == chosen) for name, preset in PRESETS.items()],
        connections=delivery_choices(request, form.typed.get("connection", "")),
    )


@view_config(
    context=ChannelCollection,
    name="new",
    request_method="GET",
    renderer=NEW_PAGE,
    permission=Permission.CAMPAIGN_EDIT,
)
def show_new_channel(context: ChannelCollection, request: Request) -> NewChannelPage:
    """Show the form of a new channel."""
    return _new_page(context, request, empty_form())


@form_view(
    NewChannelForm,
    _new_page,
    context=ChannelCollection,
    name="new",
    renderer=NEW_PAGE,
    permission=Permission.CAMPAIGN_EDIT,
)
def add_channel(context: ChannelCollection, request: Request, form: NewChannelForm) -> Response:
    """Add a channel with suggested fields, and show them."""
    campaign, preset = context.campaign, PRESETS[form.preset]
    fields = suggest_fields(request.db, campaign, preset)
    try:
        channel = create_channel(
            request.db, campaign, preset, name=form.name, fields=fields, connection_id=form.connection or None
        )
    except InvalidChannelError as error:
        raise FieldError(error.field, str(error)) from None
    enqueue_write(request.db, channel)
    request.audit("channel.create", channel.name, campaign=str(campaign.id), channel=str(channel.id))
    add_notice(request, gettext("The channel is added. Check what is written into its fields."))
    return HTTPSeeOther(campaign_path(request, campaign, "channels", channel.id, "fields"))


@view_config(context=ChannelCollection, name="restore", request_method="POST", permission=Permission.CAMPAIGN_EDIT)
def restore(context: ChannelCollection, request: Request) -> Response:
    """Restore a deleted channel."""
    form, campaign = read_form(RestoreForm, request.POST).value, context.campaign
    try:
        channel = restore_channel(request.db, campaign, form.channel) if form else None
    except InvalidChannelError as error:
        raise HTTPUnprocessableEntity(str(error)) from None
    if channel is None:
        raise HTTPUnprocessableEntity(gettext("This channel cannot be restored. Add it again"))
    enqueue_write(request.db, channel)
    request.audit("channel.restore", channel.name, campaign=str(campaign.id), channel=str(channel.id))
    return HTTPSeeOther(campaign_path(request, campaign, "channels", channel.id))


def delivery_choices(request: Request, chosen: str) -> list[Choice]:
    """Return the connections that a channel can be delivered to."""
    connections = list_connections(request.db, request.workspace.workspace_id)
    return [Choice(str(each.id), each.name, str(each.id) == chosen) for each in connections]


def _line(request: Request, campaign: Campaign, channel: Channel, fetch: LastFetch | None, url: str) -> ChannelLine:
    report = FeedReport.model_validate(channel.report) if channel.report else None
    return ChannelLine(
        channel=channel,
        path=campaign_path(request, campaign, "channels", channel.id),
        platform=channel.platform.label,
        format=FILE_FORMAT_LABELS[channel.file_format],
        written_at=channel.written_at,
        rows=report.rows if report else None,
        held=report.held_rows if report else 0,
        findings=sum(each.rows for each in report.findings) if report else 0,
        fetch=(family_label(fetch.family), fetch.at) if fetch else None,
        url=url,
    )

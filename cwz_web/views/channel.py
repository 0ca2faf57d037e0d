"""The page of a channel: what was written for it, what was found, and who fetches it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any
from urllib.parse import urlencode

from pydantic import Field
from pyramid.httpexceptions import HTTPSeeOther, HTTPUnprocessableEntity
from pyramid.response import Response
from pyramid.view import view_config

from cwz_web.campaigns.matching import InvalidConditionError
from cwz_web.campaigns.models import Campaign
from cwz_web.campaigns.rules import InvalidRulesError
from cwz_web.channels.checks import DesignImage, check_images, limit_outputs, with_remedy
from cwz_web.channels.delivery import enqueue_write, find_urls, rewrite_channel, stable_key
from cwz_web.channels.design_images import load_design_images
from cwz_web.channels.editing import (
    InvalidChannelError,
    delete_channel,
    lock_channel,
    save_channel,
)
from cwz_web.channels.fetch_log import DayFetches, family_label, fetches_by_day, last_fetches
from cwz_web.channels.findings import FeedReport, FieldFinding
from cwz_web.channels.models import Channel
from cwz_web.channels.preset import FILE_FORMAT_LABELS, Carried
from cwz_web.i18n import gettext
from cwz_web.resources.permissions import Permission
from cwz_web.resources.workspace import ChannelResource
from cwz_web.storage.included import INCLUDED
from cwz_web.storage.models import Connection
from cwz_web.storage.plugins import LOCAL
from cwz_web.stored_messages import translate_stored
from cwz_web.views.campaign_page import campaign_path
from cwz_web.views.campaign_rules import lock_campaign, save_and_plan
from cwz_web.views.channel_fields import (
    output_labels,
)
from cwz_web.views.new_run import Choice
from cwz_web.web.forms import Form, read_form
from cwz_web.web.notices import add_notice
from cwz_web.web.request import Request


class RemedyForm(Form):
    """The finding whose remedy is applied, by its number."""

    number: Annotated[int, Field(ge=0, le=10_000)]


@dataclass(frozen=True, kw_only=True)
class ChannelHead:
    """What the pages of a channel share."""

    campaign: Campaign
    channel: Channel
    here: str
    platform: str
    format: str
    can_edit: bool


@dataclass(frozen=True)
class ShownFinding:
    """What was found in a field: in words, in how many rows, and the paths of the first of them by their keys."""

    field: str
    text: str
    example: str
    rows: int
    paths: dict[str, str]


@dataclass(frozen=True)
class ShownImageFinding:
    """What the platform wants otherwise of an image; `number` is what its button sends, None without a remedy."""

    field: str
    label: str
    message: str
    is_refused: bool
    number: int | None


@dataclass(frozen=True)
class ShownDesign:
    """What a design shows beside the photo, to be corrected.

    Attributes:
        key: What the names of its inputs begin with.
        name: Its template.
        carried: What it can show, and what it does.
        is_corrected: Whether people have said so.
    """

    key: str
    name: str
    carried: list[Choice]
    is_corrected: bool


@dataclass(frozen=True, kw_only=True)
class ChannelPage(ChannelHead):
    """Values of channels/show.jinja2.

    Attributes:
        outputs: The names of the campaign's outputs.
        is_public: Whether anything of the campaign is public.
        is_waiting: Whether another publication is public than the one that was written.
        rows: How many rows were written; None before it was.
        held: How many rows were left out, by the reason in words.
        findings: What was found.
        images: What the platform wants otherwise of the images of the designs.
        designs: What the designs show beside the photo; none if the platform does not care.
        url: The URL at which ConnectWyze serves the feed; "" for members who cannot edit campaigns.
        connection: The name of the connection that it is delivered to; "" without one.
        is_local: Whether it is a folder of this server, which is offline when ConnectWyze is.
        stable_key: The key of the object there.
        public_url: Its URL below the public base URL of the connection; "" without one.
        last_fetch: The program that has fetched it last, and when.
        days: The fetches of the last days.
    """

    outputs: list[str]
    is_public: bool
    is_waiting: bool
    rows: int | None
    held: dict[str, int]
    findings: list[ShownFinding]
    images: list[ShownImageFinding]
    designs: list[ShownDesign]
    url: str
    connection: str
    is_local: bool
    stable_key: str
    public_url: str
    last_fetch: tuple[str, datetime] | None
    days: list[DayFetches]


def channel_head(context: ChannelResource, request: Request) -> dict[str, Any]:
    """Return the values of ChannelHead."""
    channel = context.row
    return {
        "campaign": context.campaign,
        "channel": channel,
        "here": channel_path(request, channel),
        "platform": channel.platform.label,
        "format": FILE_FORMAT_LABELS[channel.file_format],
        "can_edit": bool(request.has_permission(Permission.CAMPAIGN_EDIT)),
    }


def channel_path(request: Request, channel: Channel, *segments: object) -> str:
    """Return the path of a page of a channel."""
    return request.path_in("campaigns", channel.campaign_id, "channels", channel.id, *segments)


@view_config(context=ChannelResource, request_method="GET", renderer="channels/show.jinja2", permission=Permission.VIEW)
def show_channel(context: ChannelResource, request: Request) -> ChannelPage:
    """Show what was written for a channel, what was found in it, and who fetches it."""
    channel, campaign, db = context.row, context.campaign, request.db
    head = channel_head(context, request)
    report = FeedReport.model_validate(channel.report) if channel.report else None
    urls = find_urls(db, request.services.signed_urls, channel)
    images = load_design_images(db, campaign)
    last = last_fetches(db, channel.workspace_id, campaign.id).get(channel.id)
    return ChannelPage(
        **head,
        outputs=output_labels(campaign.outputs),
        is_public=campaign.public_id is not None,
        is_waiting=campaign.public_id is not None and not channel.is_up_to_date(campaign),
        rows=report.rows if report else None,
        held={reason.label: count for reason, count in report.held.items()} if report else {},
        findings=shown_findings(request, campaign, report.findings) if report else [],
        images=_image_findings(channel, images),
        designs=_designs(context, images),
        url=urls.served if head["can_edit"] else "",
        connection=urls.connection.name if urls.connection else "",
        is_local=urls.connection is not None and _is_local(request, urls.connection),
        stable_key=stable_key(channel) if head["can_edit"] else "",
        public_url=urls.public if head["can_edit"] else "",
        last_fetch=(family_label(last.family), last.at) if last else None,
        days=fetches_by_day(db, channel.workspace_id, channel.id),
    )


def _image_findings(channel: Channel, images: Sequence[DesignImage]) -> list[ShownImageFinding]:
    """Return what the platform wants otherwise of the images, what it refuses first."""
    found = check_images(channel.platform, channel.mappings, images)
    shown: dict[tuple[str, str], ShownImageFinding] = {}
    for number, each in enumerate(found):
        remedy = number if each.remedy else None
        line = ShownImageFinding(each.field, each.code.label, str(each.message), each.code.is_refused, remedy)
        shown.setdefault((line.field, line.message), line)
    return sorted(shown.values(), key=lambda each: not each.is_refused)


def _designs(context: ChannelResource, images: Sequence[DesignImage]) -> list[ShownDesign]:
    campaign = context.campaign
    refused = {each for field in context.row.platform.image_fields for each in field.rules.refused}
    if not refused:
        return []
    by_design = {image.design: image for image in images if image.design is not None}
    return [
        ShownDesign(
            f"design.{number}",
            image.name,
            [Choice(each, each.label, each in image.carried) for each in Carried],
            str(number) in campaign.carried,
        )
        for number, image in by_design.items()
    ]


def _is_local(request: Request, connection: Connection) -> bool:
    """Return whether a connection stores in a folder of this server."""
    provider = connection.provider
    return (request.services.settings.included_storage.provider if provider == INCLUDED else provider) == LOCAL


def shown_findings(request: Request, campaign: Campaign, findings: Sequence[FieldFinding]) -> list[ShownFinding]:
    """Return findings in words, with links to the rows."""
    path = campaign_path(request, campaign, "row")
    return [
        ShownFinding(
            field=each.field,
            text=f"{each.kind.label}: {translate_stored(each.reason)}" if each.reason else each.kind.label,
            example=each.example,
            rows=each.rows,
            paths={key: f"{path}?{urlencode({'key': key})}" for key in each.keys},
        )
        for each in findings
    ]


@view_config(context=ChannelResource, name="remedy", request_method="POST", permission=Permission.CAMPAIGN_EDIT)
def apply_remedy(context: ChannelResource, request: Request) -> Response:
    """Change the fields of a channel so that the platform takes an image."""
    channel, campaign = context.row, context.campaign
    form = read_form(RemedyForm, request.POST).value
    findings = check_images(channel.platform, channel.mappings, load_design_images(request.db, campaign))
    is_there = form is not None and form.number < len(findings) and bool(findings[form.number].remedy)
    if form is None or not is_there or lock_channel(request.db, channel.workspace_id, channel.id) is None:
        raise HTTPUnprocessableEntity(gettext("The channel has changed since. Open its page again"))
    try:
        save_channel(request.db, campaign, channel, with_remedy(channel.mappings, findings[form.number]))
    except InvalidChannelError as error:
        raise HTTPUnprocessableEntity(str(error)) from None
    enqueue_write(request.db, channel)
    request.audit("channel.change", channel.name, campaign=str(channel.campaign_id), channel=str(channel.id))
    add_notice(request, gettext("The channel is saved."))
    return HTTPSeeOther(channel_path(request, channel))


@view_config(context=ChannelResource, name="limit", request_method="POST", permission=Permission.CAMPAIGN_EDIT)
def limit_files(context: ChannelResource, request: Request) -> Response:
    """Limit the files of a channel's images to what its platform takes. The images are rendered again."""
    channel, campaign = context.row, context.campaign
    lock_campaign(request.db, campaign)
    limited = limit_outputs(channel.platform, channel.mappings, campaign.image_outputs)
    if limited == campaign.image_outputs:
        raise HTTPUnprocessableEntity(gettext("The channel has changed since. Open its page again"))
    campaign.outputs = [output.model_dump(mode="json") for output in limited]
    try:
        save_and_plan(request, campaign, campaign.design_rules)
    except (InvalidConditionError, InvalidRulesError) as error:
        raise HTTPUnprocessableEntity(str(error)) from None
    request.audit("campaign.change", campaign.name, campaign=str(campaign.id))
    add_notice(request, gettext("The files of these images are limited. The images are rendered again."))
    return HTTPSeeOther(campaign_path(request, campaign))


@view_config(context=ChannelResource, name="designs", request_method="POST", permission=Permission.CAMPAIGN_EDIT)
def save_designs(context: ChannelResource, request: Request) -> Response:
    """Save what people say that the designs of a campaign show beside the photo."""
    campaign = context.campaign
    derived = {each.design: each.carried for each in load_design_images(request.db, campaign, {})}
    corrected: dict[str, list[str]] = {}
    for number, carried in derived.items():
        said = {each for each in Carried if request.POST.get(f"design.{number}.{each}") == "yes"}
        if said != carried:
            corrected[str(number)] = sorted(said)
    campaign.carried = corrected
    request.audit("campaign.change", campaign.name, campaign=str(campaign.id))
    add_notice(request, gettext("What the designs show is saved."))
    return HTTPSeeOther(channel_path(request, context.row))


@view_config(
    context=ChannelResource,
    name="write",
    request_method="POST",
    permission=Permission.CAMPAIGN_EDIT,
    rate_limit="feed-fetch",
)
def write(context: ChannelResource, request: Request) -> Response:
    """Write the feed of a channel again."""
    channel = context.row
    rewrite_channel(request.db, channel.workspace_id, channel.id)
    request.audit("channel.write", channel.name, campaign=str(channel.campaign_id), channel=str(channel.id))
    add_notice(request, gettext("The feed will be written again in a moment."))
    return HTTPSeeOther(channel_path(request, channel))


@view_config(context=ChannelResource, name="delete", request_method="POST", permission=Permission.CAMPAIGN_EDIT)
def delete(context: ChannelResource, request: Request) -> Response:
    """Delete a channel. The notice restores it."""
    channel = context.row
    delete_channel(channel)
    request.audit("channel.delete", channel.name, campaign=str(channel.campaign_id), channel=str(channel.id))
    undo = campaign_path(request, context.campaign, "channels", "restore")
    add_notice(
        request, gettext("Deleted the channel “%(name)s”.", name=channel.name), undo=undo, channel=str(channel.id)
    )
    return HTTPSeeOther(campaign_path(request, context.campaign, "channels"))

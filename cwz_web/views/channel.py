"""The page of a channel, and the form of its fields."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Annotated, Any, Literal
from urllib.parse import urlencode
from uuid import UUID

from pydantic import ConfigDict, Field
from pyramid.httpexceptions import HTTPSeeOther, HTTPUnprocessableEntity
from pyramid.response import Response
from pyramid.view import view_config

from cwz_web.campaigns.joins import load_columns
from cwz_web.campaigns.models import Campaign
from cwz_web.channels.checks import with_remedy
from cwz_web.channels.delivery import enqueue_write, feed_settings, rewrite_channel, stable_key
from cwz_web.channels.design_images import check_channel_images, load_design_images
from cwz_web.channels.editing import (
    InvalidChannelError,
    check_mappings,
    delete_channel,
    extension_of,
    lock_channel,
    save_channel,
)
from cwz_web.channels.fetch_log import DayFetches, family_label, fetches_by_day, last_fetches
from cwz_web.channels.field_columns import InvalidMappingError
from cwz_web.channels.findings import FeedReport, FieldFinding
from cwz_web.channels.mapping import MAX_FIELDS, MissingImage
from cwz_web.channels.models import Channel
from cwz_web.channels.preset import FILE_FORMAT_LABELS, Carried, FileFormat
from cwz_web.channels.preview import load_preview_rows, preview_feed
from cwz_web.generation.image_urls import ImageUrls
from cwz_web.i18n import gettext
from cwz_web.resources.permissions import Permission
from cwz_web.resources.workspace import ChannelResource
from cwz_web.storage.included import INCLUDED
from cwz_web.storage.models import Connection
from cwz_web.storage.plugins import LOCAL
from cwz_web.storage.public_urls import public_url
from cwz_web.stored_messages import translate_stored
from cwz_web.views.campaign_channels import delivery_choices
from cwz_web.views.campaign_page import campaign_path
from cwz_web.views.channel_fields import (
    FieldRow,
    SourceGroup,
    changed_rows,
    output_labels,
    read_rows,
    source_groups,
    stored_rows,
    typed_rows,
)
from cwz_web.views.new_run import Choice
from cwz_web.web.forms import FieldError, Form, Name, SubmittedForm, empty_form, form_view, read_form
from cwz_web.web.notices import add_notice
from cwz_web.web.request import Request
from cwz_web.workspaces.models import Workspace

FIELDS_PAGE, FIELDS_PART = "channels/fields.jinja2", "channels/_fields.jinja2"


class ChannelForm(Form):
    """The settings of a channel. Beside these come its fields (`f.<n>.source`, `.text`, and `.name` of chosen ones).

    With `change`, the form is shown again with the change.
    """

    model_config = ConfigDict(extra="ignore")

    name: Name
    format: FileFormat
    gzip: Literal["yes", ""] = ""
    on_missing: MissingImage
    connection: UUID | Literal[""] = ""
    change: Annotated[str, Field(max_length=20)] = ""


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


@dataclass(frozen=True)
class ShownPreview:
    """What would be written for the first rows.

    Attributes:
        problem: Why there is no preview.
        names: The fields.
        rows: Their values for each row.
    """

    problem: str = ""
    names: Sequence[str] = ()
    rows: Sequence[Mapping[str, str]] = ()
    findings: Sequence[ShownFinding] = ()
    held: int = 0


@dataclass(frozen=True, kw_only=True)
class FieldsPage(ChannelHead):
    """Values of channels/fields.jinja2."""

    form: SubmittedForm[Any]
    name: str
    is_generic: bool
    rows: list[FieldRow]
    sources: list[SourceGroup]
    formats: list[Choice]
    is_gzipped: bool
    missing: list[Choice]
    connections: list[Choice]
    can_add: bool
    preview: ShownPreview


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
    workspace = db.get_one(Workspace, channel.workspace_id)
    signed = request.services.signed_urls.channel_feed(workspace, channel.id, extension_of(channel))
    connection = db.get(Connection, (channel.workspace_id, channel.connection_id)) if channel.connection_id else None
    last = last_fetches(db, channel.workspace_id, campaign.id).get(channel.id)
    return ChannelPage(
        **head,
        outputs=output_labels(campaign.outputs),
        is_public=campaign.public_id is not None,
        is_waiting=campaign.public_id is not None and not channel.is_up_to_date(campaign),
        rows=report.rows if report else None,
        held={reason.label: count for reason, count in report.held.items()} if report else {},
        findings=shown_findings(request, campaign, report.findings) if report else [],
        images=_image_findings(context, request),
        designs=_designs(context, request),
        url=signed if head["can_edit"] else "",
        connection=connection.name if connection else "",
        is_local=connection is not None and _is_local(request, connection),
        stable_key=stable_key(channel) if head["can_edit"] else "",
        public_url=_public_url(connection, channel) if head["can_edit"] else "",
        last_fetch=(family_label(last.family), last.at) if last else None,
        days=fetches_by_day(db, channel.workspace_id, channel.id),
    )


def _image_findings(context: ChannelResource, request: Request) -> list[ShownImageFinding]:
    """Return what the platform wants otherwise of the images, what it refuses first."""
    found = check_channel_images(request.db, context.campaign, context.row.platform, context.row.mappings)
    shown: dict[tuple[str, str], ShownImageFinding] = {}
    for number, each in enumerate(found):
        remedy = number if each.remedy else None
        line = ShownImageFinding(each.field, each.code.label, str(each.message), each.code.is_refused, remedy)
        shown.setdefault((line.field, line.message), line)
    return sorted(shown.values(), key=lambda each: not each.is_refused)


def _designs(context: ChannelResource, request: Request) -> list[ShownDesign]:
    campaign = context.campaign
    refused = {each for field in context.row.platform.image_fields for each in field.rules.refused}
    if not refused:
        return []
    images = load_design_images(request.db, campaign)
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


def _public_url(connection: Connection | None, channel: Channel) -> str:
    base_url = connection.proven_base_url if connection else ""
    return public_url(base_url, stable_key(channel)) if base_url else ""


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


def _preview(context: ChannelResource, request: Request, rows: Sequence[FieldRow], on_missing: str) -> ShownPreview:
    campaign, channel = context.campaign, context.row
    mappings, errors = read_rows(rows)
    if errors or not mappings:
        labels = {row.key: row.name or str(row.number + 1) for row in rows}
        return ShownPreview(" ".join(f"{labels.get(key, key)}: {message}." for key, message in errors.items()))
    missing = MissingImage(on_missing) if on_missing in set(MissingImage) else MissingImage.LAST
    settings = replace(feed_settings(request.db, campaign, channel), mappings=mappings, on_missing=missing)
    try:
        check_mappings(channel.platform, mappings, settings.context, len(campaign.outputs))
        image_urls = ImageUrls.load(request.db, campaign.workspace_id, request.services.signed_urls)
        found = preview_feed(load_preview_rows(request.db, campaign, image_urls), settings)
    except InvalidChannelError as error:
        place = error.field.rpartition(".")[2]
        return ShownPreview(f"{mappings[int(place)].name}: {error}" if place.isdecimal() else str(error))
    except InvalidMappingError as error:
        return ShownPreview(f"{error.field}: {error}")
    names = list(dict.fromkeys(name for row in found.rows for name in row))
    findings = shown_findings(request, campaign, found.findings)
    return ShownPreview("", names, found.rows, findings, found.held)


def _fields_page(context: ChannelResource, request: Request, form: SubmittedForm[Any]) -> FieldsPage:
    if form.typed.get("change"):  # what is not complete yet is no error
        request.response.status = 200
        form = SubmittedForm(form.value, {}, form.typed)
        return _page(
            context, request, form, changed_rows(typed_rows(context.row.platform, form.typed), form.typed["change"])
        )
    return _page(context, request, form, typed_rows(context.row.platform, form.typed))


def _page(context: ChannelResource, request: Request, form: SubmittedForm[Any], rows: Sequence[FieldRow]) -> FieldsPage:
    channel, typed = context.row, form.typed
    chosen_format = typed.get("format", channel.format)
    on_missing = typed.get("on_missing", channel.on_missing)
    outputs = output_labels(context.campaign.outputs)
    return FieldsPage(
        **channel_head(context, request),
        form=form,
        name=typed.get("name", channel.name),
        is_generic=channel.platform.is_generic,
        rows=list(rows),
        sources=source_groups(load_columns(request.db, context.campaign).names, outputs),
        formats=[Choice(each, FILE_FORMAT_LABELS[each], each == chosen_format) for each in channel.platform.formats],
        is_gzipped=bool(typed.get("gzip")) if typed else channel.is_gzipped,
        missing=[Choice(each, each.label, each == on_missing) for each in MissingImage],
        connections=delivery_choices(request, typed.get("connection", str(channel.connection_id or ""))),
        can_add=len(rows) < MAX_FIELDS,
        preview=_preview(context, request, rows, on_missing),
    )


@view_config(
    context=ChannelResource,
    name="fields",
    request_method="GET",
    renderer=FIELDS_PAGE,
    permission=Permission.CAMPAIGN_EDIT,
)
def show_fields(context: ChannelResource, request: Request) -> FieldsPage:
    """Show what a channel writes into the fields of its feed."""
    channel = context.row
    return _page(context, request, empty_form(), stored_rows(channel.platform, channel.mappings, spare=1))


@form_view(
    ChannelForm,
    _fields_page,
    part=FIELDS_PART,
    context=ChannelResource,
    name="fields",
    renderer=FIELDS_PAGE,
    permission=Permission.CAMPAIGN_EDIT,
)
def save_fields(context: ChannelResource, request: Request, form: ChannelForm) -> Response | FieldsPage:
    """Save what a channel writes into the fields of its feed."""
    channel, typed = context.row, dict(request.POST.items())
    sent = SubmittedForm(form, {}, {name: text for name, text in typed.items() if isinstance(text, str)})
    if form.change:
        return _fields_page(context, request, sent)
    rows = typed_rows(channel.platform, sent.typed)
    fields, errors = read_rows(rows)
    if not errors and not fields:
        raise FieldError("fields", gettext("Choose what is written into at least one field"))
    if lock_channel(request.db, channel.workspace_id, channel.id) is None:
        raise FieldError("name", gettext("This channel was deleted. Restore it first"))
    # The database would refuse it with an error before the channel is checked.
    if form.connection and request.db.get(Connection, (channel.workspace_id, form.connection)) is None:
        message = gettext("This storage connection does not exist any more. Choose another one")
        raise FieldError("connection", message)
    channel.name, channel.format, channel.is_gzipped = form.name, form.format, form.gzip == "yes"
    channel.on_missing, channel.connection_id = form.on_missing, form.connection or None
    if errors:
        raise FieldError(*next(iter(errors.items())))
    try:
        save_channel(request.db, context.campaign, channel, fields)
    except InvalidChannelError as error:
        written = {f"fields.{place}": row.key for place, row in enumerate(row for row in rows if row.chosen)}
        raise FieldError(written.get(error.field, error.field), str(error)) from None
    request.audit("channel.change", channel.name, campaign=str(channel.campaign_id), channel=str(channel.id))
    enqueue_write(request.db, channel)
    add_notice(request, gettext("The channel is saved."))
    return HTTPSeeOther(channel_path(request, channel))


@view_config(context=ChannelResource, name="remedy", request_method="POST", permission=Permission.CAMPAIGN_EDIT)
def apply_remedy(context: ChannelResource, request: Request) -> Response:
    """Change the fields of a channel so that the platform takes an image."""
    channel, campaign = context.row, context.campaign
    form = read_form(RemedyForm, request.POST).value
    findings = check_channel_images(request.db, campaign, channel.platform, channel.mappings)
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

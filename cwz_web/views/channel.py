"""The page of a channel, and the form of its fields."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import ConfigDict, Field
from pyramid.httpexceptions import HTTPSeeOther
from pyramid.response import Response
from pyramid.view import view_config

from cwz_web.campaigns.joins import load_columns
from cwz_web.campaigns.models import Campaign
from cwz_web.channels.editing import InvalidChannelError, delete_channel, save_channel
from cwz_web.channels.mapping import MAX_FIELDS, MissingImage
from cwz_web.channels.models import Channel
from cwz_web.channels.preset import FILE_FORMAT_LABELS, FileFormat
from cwz_web.i18n import gettext
from cwz_web.resources.permissions import Permission
from cwz_web.resources.workspace import ChannelResource
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
from cwz_web.web.forms import FieldError, Form, Name, SubmittedForm, empty_form, form_view
from cwz_web.web.notices import add_notice
from cwz_web.web.request import Request

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


@dataclass(frozen=True, kw_only=True)
class ChannelHead:
    """What the pages of a channel share."""

    campaign: Campaign
    channel: Channel
    here: str
    platform: str
    format: str
    can_edit: bool


@dataclass(frozen=True, kw_only=True)
class ChannelPage(ChannelHead):
    """Values of channels/show.jinja2; `outputs` are the names of the campaign's outputs."""

    outputs: list[str]


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
    """Show what is written for a channel."""
    return ChannelPage(**channel_head(context, request), outputs=output_labels(context.campaign.outputs))


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
    add_notice(request, gettext("The channel is saved."))
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

"""The form of a channel: its settings, and what is written into its fields, with a preview of the first rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import ConfigDict, Field
from pyramid.httpexceptions import HTTPSeeOther
from pyramid.response import Response
from pyramid.view import view_config

from cwz_web.campaigns.joins import load_columns
from cwz_web.channels.delivery import enqueue_write, feed_settings
from cwz_web.channels.editing import (
    InvalidChannelError,
    check_mappings,
    lock_channel,
    save_channel,
)
from cwz_web.channels.field_columns import InvalidMappingError
from cwz_web.channels.mapping import MAX_FIELDS, MissingImage
from cwz_web.channels.preset import FILE_FORMAT_LABELS, FileFormat
from cwz_web.channels.preview import load_preview_rows, preview_feed
from cwz_web.generation.image_urls import ImageUrls
from cwz_web.i18n import gettext
from cwz_web.resources.permissions import Permission
from cwz_web.resources.workspace import ChannelResource
from cwz_web.views.campaign_channels import delivery_choices
from cwz_web.views.channel import ChannelHead, ShownFinding, channel_head, channel_path, shown_findings
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
    if errors:
        raise FieldError(*next(iter(errors.items())))
    settings = {"name": form.name, "format": form.format, "is_gzipped": form.gzip == "yes"}
    settings |= {"on_missing": form.on_missing, "connection_id": form.connection or None}
    try:
        save_channel(request.db, context.campaign, channel, fields, **settings)
    except InvalidChannelError as error:
        written = {f"fields.{place}": row.key for place, row in enumerate(row for row in rows if row.chosen)}
        raise FieldError(written.get(error.field, error.field), str(error)) from None
    request.audit("channel.change", channel.name, campaign=str(channel.campaign_id), channel=str(channel.id))
    enqueue_write(request.db, channel)
    add_notice(request, gettext("The channel is saved."))
    return HTTPSeeOther(channel_path(request, channel))

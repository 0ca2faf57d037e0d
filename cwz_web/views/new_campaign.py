"""A new campaign: its form, and the campaign that continues a run."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal
from uuid import UUID

from pydantic import ConfigDict, Field
from pyramid.httpexceptions import HTTPSeeOther, HTTPUnprocessableEntity
from pyramid.response import Response
from pyramid.view import view_config

from cwz_web.campaigns.editing import catch_all, create_campaign, guess_photo_column
from cwz_web.campaigns.policy import PublishPolicy
from cwz_web.campaigns.progress import request_publication
from cwz_web.campaigns.rules import MAX_RULE_NAME, DesignRule, InvalidRulesError
from cwz_web.feeds.columns import ColumnType, FeedSchema
from cwz_web.feeds.models import Feed
from cwz_web.feeds.queries import list_feeds
from cwz_web.generation.models import Template
from cwz_web.generation.templates import load_design
from cwz_web.i18n import gettext
from cwz_web.imaging.documents import DEFAULT_SIZE
from cwz_web.imaging.encoders import FORMAT_LABELS, Format, Output
from cwz_web.resources.permissions import Permission
from cwz_web.resources.workspace import CampaignCollection, RunResource
from cwz_web.runs.auto_runs import find_auto_run, stop_auto_run
from cwz_web.runs.planning import MAX_OUTPUTS
from cwz_web.storage.connections import list_connections
from cwz_web.views.campaign_designs import DesignForm, DesignSource, design_forms, read_designs
from cwz_web.views.new_run import Choice, connection_choices, feed_label, size_label
from cwz_web.web.forms import FieldError, Form, Name, SubmittedForm, empty_form, form_view, typed_values
from cwz_web.web.notices import add_notice
from cwz_web.web.rendering import page_view
from cwz_web.web.request import Request

# Rules of new campaigns are stored with this name, which can be changed.
ALL_ROWS = "All rows"


class CampaignForm(Form):
    """A new campaign.

    Beside these come the design (`design.0.…`), sizes (`size.<name>`) and formats (`format.<format>`). With
    `change`, the form is shown again, for the feed and the template that were chosen.
    """

    model_config = ConfigDict(extra="ignore")

    name: Name
    feed: UUID
    storage: UUID | Literal[""] = ""
    change: Annotated[str, Field(max_length=40)] = ""


@dataclass(frozen=True)
class NewCampaignPage:
    """What campaigns/new.jinja2 and campaigns/_new.jinja2 show. Without a feed or a template, there is no design."""

    form: SubmittedForm[CampaignForm]
    name: str
    feeds: list[Choice]
    design: DesignForm | None
    sizes: list[Choice]
    formats: list[Choice]
    connections: list[Choice]


def _page(request: Request, form: SubmittedForm[CampaignForm], typed: Mapping[str, str]) -> NewCampaignPage:
    workspace_id = request.workspace.workspace_id
    feeds = list_feeds(request.db, workspace_id)
    default = next((feed for feed in feeds if feed.item_count), feeds[0] if feeds else None)
    feed = next((feed for feed in feeds if str(feed.id) == typed.get("feed")), default)
    design = design_forms(request, _source(feed), typed)[0] if feed else None
    chosen = chosen_outputs(typed, size_names(request, [design.template_id] if design else []))
    return NewCampaignPage(
        form=form,
        name=typed.get("name", feed.name if feed else ""),
        feeds=[Choice(str(each.id), feed_label(each), each is feed) for each in feeds],
        design=design if design and len(design.templates) > 1 else None,
        sizes=size_choices(request, [design.template_id] if design else [], chosen),
        formats=format_choices(chosen),
        connections=connection_choices(list_connections(request.db, workspace_id), typed.get("storage", "")),
    )


@page_view(
    "campaigns/new.jinja2",
    "campaigns/_new.jinja2",
    context=CampaignCollection,
    name="new",
    permission=Permission.CAMPAIGN_EDIT,
)
def show_new_campaign(context: CampaignCollection, request: Request) -> NewCampaignPage:
    """Show the form, with a guessed mapping."""
    return _page(request, empty_form(), typed_values(request.GET))


def _invalid_page(context: CampaignCollection, request: Request, form: SubmittedForm[CampaignForm]) -> NewCampaignPage:
    if form.typed.get("change"):  # what is not complete yet is no error
        request.response.status = 200
        return _page(request, empty_form(), form.typed)
    return _page(request, form, form.typed)


@form_view(
    CampaignForm,
    _invalid_page,
    part="campaigns/_new.jinja2",
    context=CampaignCollection,
    name="new",
    renderer="campaigns/new.jinja2",
    permission=Permission.CAMPAIGN_EDIT,
)
def add_campaign(context: CampaignCollection, request: Request, form: CampaignForm) -> Response | NewCampaignPage:
    """Create a campaign with a single rule, which takes all rows."""
    typed = typed_values(request.POST)
    if form.change:
        return _page(request, empty_form(), typed)
    feed = request.db.get(Feed, (request.workspace.workspace_id, form.feed))
    if feed is None or feed.deleted_at:
        raise FieldError("feed", gettext("This feed does not exist. Choose one from the list"))
    designs = read_designs(request, _source(feed), typed, used=[])
    outputs = chosen_outputs(typed, size_names(request, [design.template for design in designs]))
    check_outputs(outputs)
    try:
        campaign = create_campaign(
            request.db,
            feed,
            name=form.name,
            rules=[DesignRule(number=1, name=ALL_ROWS, designs=designs)],
            outputs=outputs,
            started_by=request.user.account.id,
            time_zone=request.workspace.time_zone,
            connection_id=form.storage or None,
            photo_column=guess_photo_column(column_types(feed)),
        )
    except InvalidRulesError as error:
        raise FieldError("formats", str(error)) from None
    request.audit("campaign.create", campaign.name, campaign=str(campaign.id))
    return HTTPSeeOther(request.path_in("campaigns", campaign.id))


@view_config(context=RunResource, name="campaign", request_method="POST", permission=Permission.CAMPAIGN_EDIT)
def turn_into_campaign(context: RunResource, request: Request) -> Response:
    """Create a campaign that continues a run: what it has rendered is used, and changes of the feed are published.

    An automatic run of the same feed and template is turned off, so that rows are not rendered for both.
    """
    run = context.row
    feed = request.db.get_one(Feed, (run.workspace_id, run.feed_id))
    template = request.db.get_one(Template, (run.workspace_id, run.template_id))
    try:
        campaign = create_campaign(
            request.db,
            feed,
            name=f"{feed.name} with {template.name}"[:MAX_RULE_NAME],
            rules=[catch_all(template.id, run.mapping, ALL_ROWS)],
            outputs=[Output.model_validate(output) for output in run.outputs],
            started_by=request.user.account.id,
            time_zone=request.workspace.time_zone,
            connection_id=run.connection_id,
            on_missing_photo=run.on_missing_photo,
            photo_column=guess_photo_column(column_types(feed)),
            policy=PublishPolicy(auto_publish=True).model_dump(mode="json"),
            is_active=True,
        )
    except InvalidRulesError as error:  # the template has lost a size since
        raise HTTPUnprocessableEntity(str(error)) from None
    auto = find_auto_run(request.db, feed, template.id)
    if auto:
        stop_auto_run(request.db, auto)
    request_publication(request.db, campaign)
    request.audit("campaign.create", campaign.name, campaign=str(campaign.id), run=str(run.id))
    add_notice(request, gettext("The campaign follows the feed. Images that exist are not rendered again."))
    return HTTPSeeOther(request.path_in("campaigns", campaign.id))


def chosen_outputs(typed: Mapping[str, str], sizes: list[str]) -> list[Output]:
    """Return the chosen formats in each of the chosen sizes; the first of each unless one is chosen."""
    chosen = [size for size in sizes if f"size.{size}" in typed] or sizes[:1] or [DEFAULT_SIZE]
    formats = [each for each in Format if f"format.{each}" in typed] or [Format.JPEG]
    return [Output(size=size, format=each) for size in chosen for each in formats]


def check_outputs(outputs: list[Output]) -> None:
    """Check that rows do not have too many images. Raises FieldError."""
    if len(outputs) > MAX_OUTPUTS:
        message = gettext("A row can have at most %(number)s images. Choose fewer sizes or formats", number=MAX_OUTPUTS)
        raise FieldError("formats", message)


def size_names(request: Request, templates: list[UUID | None]) -> list[str]:
    """Return the sizes that all of some templates have."""
    names: list[list[str]] = []
    for template_id in dict.fromkeys(templates):
        template = request.db.get(Template, (request.workspace.workspace_id, template_id)) if template_id else None
        if template:
            names.append(load_design(request.db, template).document.size_names)
    return [name for name in names[0] if all(name in each for each in names)] if names else [DEFAULT_SIZE]


def size_choices(request: Request, templates: list[UUID | None], chosen: list[Output]) -> list[Choice]:
    """Return the sizes of some templates as checkboxes; none if there is only one."""
    names = size_names(request, templates)
    chosen_sizes = {output.size for output in chosen}
    return [Choice(name, size_label(name), name in chosen_sizes) for name in names] if len(names) > 1 else []


def format_choices(chosen: list[Output]) -> list[Choice]:
    """Return the formats as checkboxes."""
    formats = {output.format for output in chosen}
    return [Choice(each, FORMAT_LABELS[each], each in formats) for each in Format]


def column_types(feed: Feed) -> dict[str, ColumnType]:
    """Return the types of a feed's columns."""
    types = FeedSchema.model_validate(feed.schema).types
    return {name: types.get(name, ColumnType.TEXT) for name in feed.columns}


def _source(feed: Feed) -> DesignSource:
    return DesignSource(feed, feed.columns)

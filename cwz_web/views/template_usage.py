"""The tabs of a template beside its preview and its versions: where it is used, and how it is called."""

import json
from dataclasses import dataclass
from uuid import UUID

from pyramid.view import view_config
from sqlalchemy import select

from cwz_web.campaigns.campaign_list import find_campaigns_with_template
from cwz_web.campaigns.models import Campaign
from cwz_web.db.pagination import MAX_COUNT, count_rows
from cwz_web.feeds.models import Feed
from cwz_web.generation.api_keys import list_keys
from cwz_web.generation.models import ApiKey, Image, Template
from cwz_web.generation.templates import load_design
from cwz_web.i18n import gettext, number
from cwz_web.imaging.documents import DEFAULT_SIZE
from cwz_web.imaging.template_parts import TemplateField
from cwz_web.resources.permissions import Permission
from cwz_web.resources.workspace import TemplateResource
from cwz_web.runs.models import AutoRun
from cwz_web.runs.run_list import find_runs
from cwz_web.views.previews import size_label
from cwz_web.views.runs import RunRow, run_row
from cwz_web.web.request import Request

LATEST_RUNS = 10
# Texts in the example request are cut to this length.
EXAMPLE_LENGTH = 60


@dataclass(frozen=True)
class UsagePage:
    """What templates/usage.jinja2 shows.

    Attributes:
        runs: Its newest runs.
        run_count: How many runs there are, in words.
        image_count: How many images there are, in words.
        feeds: The names of the feeds that it renders automatically, by id.
        campaigns: The campaigns whose rules use it.
        keys: The API keys that may render this template and few others; empty if the user may not see them.
        has_open_keys: Whether API keys may render every template.
    """

    template: Template
    runs: list[RunRow]
    run_count: str
    image_count: str
    feeds: dict[UUID, str]
    campaigns: list[Campaign]
    keys: list[ApiKey]
    has_open_keys: bool


@dataclass(frozen=True)
class FieldRow:
    """A field of the template, as a request names it."""

    name: str
    label: str
    type: str
    default: str


@dataclass(frozen=True)
class TemplateApiPage:
    """What templates/api.jinja2 shows.

    Attributes:
        request_body: The body of an example request, to be written between single quotes.
        sizes: The labels of the sizes by name, if there are several.
    """

    template: Template
    base_url: str
    request_body: str
    fields: list[FieldRow]
    sizes: dict[str, str]


@view_config(
    context=TemplateResource,
    name="usage",
    request_method="GET",
    renderer="templates/usage.jinja2",
    permission=Permission.VIEW,
)
def usage_page(context: TemplateResource, request: Request) -> UsagePage:
    """Show where the template is used: runs, images, feeds and API keys."""
    template, workspace_id = context.row, request.workspace.workspace_id
    page = find_runs(request.db, workspace_id, template_id=template.id)
    of_template = (Image.workspace_id == workspace_id, Image.template_id == template.id)
    may_see_keys = request.has_permission(Permission.KEY_MANAGE)
    keys = [key for key in list_keys(request.db, workspace_id) if key.revoked_at is None] if may_see_keys else []
    return UsagePage(
        template=template,
        runs=[run_row(each.run, each.feed, each.template) for each in page.rows[:LATEST_RUNS]],
        run_count=_count_text(page.count),
        image_count=_count_text(count_rows(request.db, select(Image.id).where(*of_template))),
        feeds=_automatic_feeds(request, template),
        campaigns=find_campaigns_with_template(request.db, template),
        keys=[key for key in keys if str(template.id) in key.templates],
        has_open_keys=any(not key.templates for key in keys),
    )


@view_config(
    context=TemplateResource,
    name="api",
    request_method="GET",
    renderer="templates/api.jinja2",
    permission=Permission.VIEW,
)
def api_page(context: TemplateResource, request: Request) -> TemplateApiPage:
    """Show how the template is called: an example with its own fields, and what they are."""
    document = load_design(request.db, context.row).document
    names = document.size_names
    data = {field.name: _example_value(field) for field in document.fields}
    body = json.dumps({"template": context.row.slug, "data": data}, indent=2, ensure_ascii=False)
    return TemplateApiPage(
        template=context.row,
        base_url=request.services.settings.url,
        request_body=body.replace("'", "\\u0027"),
        fields=[FieldRow(field.name, field.label, field.type, field.default) for field in document.fields],
        sizes={name: size_label(document, name) for name in names} if names != [DEFAULT_SIZE] else {},
    )


def _automatic_feeds(request: Request, template: Template) -> dict[UUID, str]:
    feeds = (
        select(Feed.id, Feed.name)
        .join(AutoRun, (AutoRun.workspace_id == Feed.workspace_id) & (AutoRun.feed_id == Feed.id))
        .where(
            Feed.workspace_id == template.workspace_id,
            AutoRun.template_id == template.id,
            Feed.deleted_at.is_(None),
        )
        .order_by(Feed.name)
    )
    return {row.id: row.name for row in request.db.execute(feeds)}


def _example_value(field: TemplateField) -> str:
    is_cut = field.type == "text" and len(field.default) > EXAMPLE_LENGTH
    return f"{field.default[:EXAMPLE_LENGTH].rstrip()}…" if is_cut else field.default


def _count_text(count: int) -> str:
    return gettext("more than %(count)s", count=number(MAX_COUNT)) if count > MAX_COUNT else number(count)

"""`/w/{workspace}/api`: the first requests, with a template and a feed of the workspace, and the month's usage.

The server never puts an API key into the examples: their script does, in the browser.
"""

from dataclasses import dataclass
from datetime import date
from typing import Annotated

from pydantic import ConfigDict, Field
from pyramid.view import view_config
from sqlalchemy.orm import Session

from cwz_web.api.examples import KEY, LANGUAGES, Example
from cwz_web.feeds.models import Feed
from cwz_web.feeds.queries import list_feeds, list_items
from cwz_web.generation.image_service import UPLOAD
from cwz_web.generation.key_list import count_active_keys
from cwz_web.generation.models import Template
from cwz_web.generation.templates import find_template, list_template_names, load_design
from cwz_web.generation.usage import month_of, monthly_usage, next_month
from cwz_web.i18n import gettext
from cwz_web.resources.permissions import Permission
from cwz_web.resources.workspace import WorkspaceResource
from cwz_web.web.forms import Form, read_form
from cwz_web.web.request import Request
from cwz_web.web.text import shorten

# An example with more values would not be read.
MAX_VALUES = 8
MAX_CELLS = 3
MAX_VALUE = 60
SAMPLE_VALUES = {"title": "Hello"}
SAMPLE_ROW = {"title": "Stoneware mug", "price": "24.00"}


class QuickStartForm(Form):
    """The template of the examples; other parameters are ignored."""

    model_config = ConfigDict(extra="ignore")

    template: Annotated[str, Field(max_length=200)] = ""


@dataclass(frozen=True)
class CodeExample:
    """An example request in each language; `name` is its title for screen readers."""

    name: str
    languages: dict[str, str]


@dataclass(frozen=True)
class QuickStartPage:
    """What api/quick_start.jinja2 shows.

    Attributes:
        template_id: The template of the examples; empty if the workspace has none.
        templates: The names of the templates by id.
        feed: The name of the feed of the last example; empty if the workspace has none.
        active_keys: How many keys are valid.
        limit: How many images there are a month; None without a limit.
    """

    key: str
    languages: tuple[str, ...]
    template_id: str
    templates: dict[str, str]
    feed: str
    render: CodeExample
    store: CodeExample
    update: CodeExample
    active_keys: int
    used: int
    limit: int | None
    resets_on: date


@view_config(
    context=WorkspaceResource,
    name="api",
    request_method="GET",
    renderer="api/quick_start.jinja2",
    permission=Permission.VIEW,
)
def quick_start(context: WorkspaceResource, request: Request) -> QuickStartPage:
    """Show the first requests in several languages, and the month's usage."""
    db, workspace_id, url = request.db, context.access.workspace_id, request.services.settings.url
    form, templates = read_form(QuickStartForm, request.GET).value, list_template_names(db, workspace_id)
    newest = max(templates, default="")  # ids are sorted by time
    template = find_template(db, workspace_id, form.template) if form and form.template else None
    template = template or find_template(db, workspace_id, newest)
    values = _sample_values(db, template) if template else SAMPLE_VALUES
    image = {"template": template.slug if template else "my-template", "data": values}
    feed = next(iter(list_feeds(db, workspace_id, limit=1)), None)
    feed_id = feed.id if feed else "{feed}"
    return QuickStartPage(
        key=KEY,
        languages=tuple(LANGUAGES),
        template_id=str(template.id) if template else "",
        templates=templates,
        feed=feed.name if feed else "",
        render=_example(gettext("Render an image"), Example("POST", f"{url}/v1/images", image, response="image")),
        store=_example(gettext("Store an image"), Example("POST", f"{url}/v1/images", image)),
        update=_example(
            gettext("Update a row"),
            Example("PUT", f"{url}/v1/feeds/{feed_id}/items/example-1", {"data": _sample_row(db, feed)}),
        ),
        active_keys=count_active_keys(db, workspace_id),
        used=monthly_usage(db, workspace_id, workspace_id),
        limit=request.services.quotas.of(workspace_id, context.access.plan_status).limit,
        resets_on=next_month(month_of()),
    )


def _sample_values(db: Session, template: Template) -> dict[str, str]:
    """Return the defaults of the first fields of a template."""
    fields = load_design(db, template).document.fields
    shown = [field for field in fields if field.type != "image" and field.default][:MAX_VALUES]
    return {field.name: shorten(field.default, MAX_VALUE) for field in shown}


def _sample_row(db: Session, feed: Feed | None) -> dict[str, str]:
    """Return some cells of the first row of a feed, or of a sample."""
    first = list_items(db, feed, limit=1) if feed else []
    cells = first[0].data if first else {}
    values = {name: shorten(cell, MAX_VALUE) for name, cell in cells.items() if cell and not cell.startswith(UPLOAD)}
    return dict(list(values.items())[:MAX_CELLS]) or SAMPLE_ROW


def _example(name: str, example: Example) -> CodeExample:
    return CodeExample(name, {language: write(example) for language, write in LANGUAGES.items()})

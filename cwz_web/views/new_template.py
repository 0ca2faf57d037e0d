"""New templates: from a starter of the gallery, or blank. `template_import.py` imports them."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, Literal
from urllib.parse import urlencode
from uuid import UUID

from pydantic import ConfigDict, Field
from pyramid.httpexceptions import HTTPNotFound, HTTPSeeOther
from pyramid.response import Response
from pyramid.view import view_config

from cwz_web.demo.feed_rows import FeedRows, find_rows
from cwz_web.demo.starters import CATEGORIES, Starter, StarterEntry, StarterSize, list_starters, open_starter
from cwz_web.feeds.models import Feed, Item
from cwz_web.feeds.queries import list_feeds, list_items
from cwz_web.generation.templates import create_template
from cwz_web.i18n import gettext, gettext_noop
from cwz_web.imaging.documents import ImageTemplate
from cwz_web.resources.permissions import Permission
from cwz_web.resources.workspace import TemplateCollection
from cwz_web.runs.mapping import SAMPLE
from cwz_web.views.setup_steps import Next, NumberedStep, SetupStep, steps_of_page
from cwz_web.web.forms import FieldError, Form, SubmittedForm, empty_form, form_view, read_form
from cwz_web.web.request import Request
from cwz_web.web.transactions import release_connection
from cwz_web.web.uploads import UPLOAD_ERRORS, store_upload
from cwz_web.workspaces.audit import record

# In the query: the sample rows of the starters, and no feed.
SAMPLE_DATA = "sample"
MAX_FEEDS = 100
# How many rows of a feed the page of a starter shows.
MAX_ROWS = 3
MAX_TILE_RATIO = 3


class BlankSize(StrEnum):
    """A size of a blank template, in pixels."""

    LINK = "1200x630"
    SQUARE = "1080x1080"
    PORTRAIT = "1080x1350"
    STORY = "1080x1920"
    WIDE = "1920x1080"

    @property
    def label(self) -> str:
        return f"{gettext(BLANK_LABELS[self])}, {self.replace('x', ' × ')}"


BLANK_LABELS = {
    BlankSize.LINK: gettext_noop("Link preview"),
    BlankSize.SQUARE: gettext_noop("Square"),
    BlankSize.PORTRAIT: gettext_noop("Portrait"),
    BlankSize.STORY: gettext_noop("Story"),
    BlankSize.WIDE: gettext_noop("Wide"),
}
TITLE = {"type": "text", "name": "Title", "text": "{{ title }}", "x": 80, "height": 190}
TITLE |= {"size": 80, "min_size": 36, "weight": 700, "align": "center", "valign": "middle", "max_lines": 2}


@dataclass(frozen=True)
class PreviewImage:
    """An image of a starter: its path, and its size in pixels."""

    path: str
    size: StarterSize


@dataclass(frozen=True)
class StarterTile:
    """A starter in the gallery.

    Attributes:
        problem: why the image shows sample data, if a feed is chosen.
    """

    entry: StarterEntry
    category: str
    image: PreviewImage
    path: str
    problem: str


@dataclass(frozen=True)
class PreviewFeed:
    """The feed whose rows are shown, and the first of them; no feed for the sample rows of the starters."""

    feed: Feed | None
    items: Sequence[Item]

    @property
    def value(self) -> str:
        """The value of the query."""
        return str(self.feed.id) if self.feed else SAMPLE_DATA

    def find_rows(self, entry: StarterEntry, limit: int) -> FeedRows:
        """Return the rows that a starter can show."""
        if self.feed is None:
            return FeedRows()
        return find_rows(entry, self.feed.columns, [item.data for item in self.items], limit)


@dataclass(frozen=True)
class Gallery:
    """The starters, those first that fit the feed; with the categories as value, label and query."""

    tiles: list[StarterTile]
    categories: list[tuple[str, str, str]]
    category: str
    feeds: list[Feed]
    preview: PreviewFeed
    search: str


@dataclass(frozen=True)
class NewTemplatePage:
    """The view model of templates/new.jinja2."""

    form: SubmittedForm[Any]
    gallery: Gallery
    blank_sizes: tuple[BlankSize, ...] = tuple(BlankSize)


@dataclass(frozen=True)
class PreviewRow:
    """A row that the page of a starter shows, in all sizes."""

    label: str
    images: list[PreviewImage]


@dataclass(frozen=True)
class StarterPage:
    """The view model of templates/starter.jinja2."""

    entry: StarterEntry
    description: str
    category: str
    rows: list[PreviewRow]
    feeds: list[Feed]
    preview: PreviewFeed
    problem: str
    back: str
    steps: list[NumberedStep]


class GalleryQuery(Form):
    """What the gallery and the page of a starter show. Without a feed, it is the newest one."""

    model_config = ConfigDict(extra="ignore")

    name: Annotated[str, Field(max_length=60)] = ""
    category: Literal[(*CATEGORIES, "")] = ""  # type: ignore[valid-type]
    feed: UUID | Literal["sample", ""] = ""
    search: Annotated[str, Field(max_length=60)] = ""
    next: Next = ""

    def matches(self, entry: StarterEntry) -> bool:
        """Return whether a starter is in the category and has the text in its name or the label of its category."""
        text = f"{entry.name} {gettext(CATEGORIES[entry.category])}".lower()
        return self.category in ("", entry.category) and self.search.lower() in text


class StarterForm(Form):
    """A starter, or `blank` and its size; and the feed to render with it next, if it is not to be edited first."""

    starter: Literal[(*list_starters(), "blank")]  # type: ignore[valid-type]
    size: BlankSize = BlankSize.LINK
    feed: UUID | None = None
    next: Next = ""


def _blank_document(size: BlankSize) -> ImageTemplate:
    """Return a white canvas with a title in the middle."""
    width, _, height = size.partition("x")
    title = TITLE | {"width": int(width) - 160, "y": (int(height) - 190) // 2}
    fields = [{"name": "title", "label": "Title", "default": "Your title"}]
    canvas = {"width": int(width), "height": int(height), "background": "#ffffff"}
    return ImageTemplate.model_validate({"canvas": canvas, "fields": fields, "layers": [title]})


def gallery_page(context: TemplateCollection, request: Request, form: SubmittedForm[Any]) -> NewTemplatePage:
    """Return the gallery with a form that was refused, or an empty one."""
    query = read_form(GalleryQuery, request.GET).value or GalleryQuery()
    return NewTemplatePage(form, find_gallery(request, query))


@view_config(
    context=TemplateCollection,
    name="new",
    request_method="GET",
    renderer="templates/new.jinja2",
    permission=Permission.TEMPLATE_EDIT,
)
def new_template_page(context: TemplateCollection, request: Request) -> NewTemplatePage:
    """Show the gallery of starters."""
    return gallery_page(context, request, empty_form())


@view_config(
    context=TemplateCollection,
    name="starter",
    request_method="GET",
    renderer="templates/starter.jinja2",
    permission=Permission.TEMPLATE_EDIT,
)
def starter_page(context: TemplateCollection, request: Request) -> StarterPage:
    """Show a starter in all its sizes, with a few rows."""
    query = read_form(GalleryQuery, request.GET).value or GalleryQuery()
    entry = list_starters().get(query.name)
    if entry is None:
        raise HTTPNotFound
    feeds = list_feeds(request.db, request.workspace.workspace_id, MAX_FEEDS)
    preview = _preview_feed(request, query, feeds)
    found = preview.find_rows(entry, MAX_ROWS)
    gallery = ["setup"] if query.next else ["templates", "new"]
    back = request.path_in(*gallery) + _query(category=query.category, feed=preview.value)
    rows = _preview_rows(request, entry, preview, found)
    return StarterPage(
        entry=entry,
        description=gettext(entry.description),
        category=gettext(CATEGORIES[entry.category]),
        rows=rows,
        feeds=feeds,
        preview=preview,
        problem=found.problem,
        back=back,
        steps=steps_of_page(query.next, SetupStep.TEMPLATE),
    )


@form_view(
    StarterForm,
    gallery_page,
    context=TemplateCollection,
    name="new",
    renderer="templates/new.jinja2",
    permission=Permission.TEMPLATE_EDIT,
)
def create_from_starter(context: TemplateCollection, request: Request, form: StarterForm) -> Response:
    """Create a template from a starter; its illustrations become uploads of the workspace first."""
    if form.starter == "blank":
        return open_editor(request, _create(request, "New template", _blank_document(form.size)))
    starter = open_starter(form.starter)
    try:
        _store_illustrations(request, starter)
    except UPLOAD_ERRORS as error:
        raise FieldError("starter", str(error)) from None
    template_id = _create(request, starter.entry.name, starter.document)
    if form.feed is not None:
        query = _query(feed=form.feed, template=template_id, next=form.next)
        return HTTPSeeOther(request.path_in("runs", "new") + query)
    return open_editor(request, template_id)


def find_gallery(request: Request, query: GalleryQuery) -> Gallery:
    """Return the starters of a category with a row of a feed each, or with a sample row where none fits."""
    feeds = list_feeds(request.db, request.workspace.workspace_id, MAX_FEEDS)
    preview = _preview_feed(request, query, feeds)
    entries = [entry for entry in list_starters().values() if query.matches(entry)]
    tiles = [_tile(request, entry, preview, query) for entry in entries]
    paths = {category: _query(category=category, feed=preview.value) for category in ("", *CATEGORIES)}
    return Gallery(
        sorted(tiles, key=lambda tile: bool(tile.problem)),
        [
            ("", gettext("All"), paths[""]),
            *((category, gettext(label), paths[category]) for category, label in CATEGORIES.items()),
        ],
        query.category,
        feeds,
        preview,
        query.search,
    )


def _preview_feed(request: Request, query: GalleryQuery, feeds: Sequence[Feed]) -> PreviewFeed:
    """Return the chosen feed, or the newest one; none if there is no such feed."""
    feed = next((feed for feed in feeds if query.feed in ("", feed.id)), None)
    return PreviewFeed(feed, list_items(request.db, feed, limit=SAMPLE) if feed else [])


def _tile(request: Request, entry: StarterEntry, preview: PreviewFeed, query: GalleryQuery) -> StarterTile:
    found = preview.find_rows(entry, 1)
    size = _tile_size(entry)
    if found.numbers:
        image = _feed_image(request, entry, size, preview, found.numbers[0])
    else:
        image = _sample_image(request, entry, size)
    parameters = _query(name=entry.slug, category=query.category, feed=preview.value, next=query.next)
    path = request.path_in("templates", "starter") + parameters
    return StarterTile(entry, gettext(CATEGORIES[entry.category]), image, path, found.problem)


def _tile_size(entry: StarterEntry) -> StarterSize:
    """Return the first size, or the one nearest to a square if that is too flat for a tile, as those of banners are."""
    first = entry.sizes[0]
    if first.width <= MAX_TILE_RATIO * first.height:
        return first
    return min(entry.sizes, key=lambda size: max(size.width, size.height) / min(size.width, size.height))


def _preview_rows(request: Request, entry: StarterEntry, preview: PreviewFeed, found: FeedRows) -> list[PreviewRow]:
    if not found.numbers:
        return [
            PreviewRow(
                gettext("Sample %(number)s", number=row + 1),
                [_sample_image(request, entry, size, row) for size in entry.sizes],
            )
            for row in range(entry.rows)
        ]
    return [
        PreviewRow(
            gettext("Row %(key)s", key=preview.items[number].key),
            [_feed_image(request, entry, size, preview, number) for size in entry.sizes],
        )
        for number in found.numbers
    ]


def _sample_image(request: Request, entry: StarterEntry, size: StarterSize, row: int = 0) -> PreviewImage:
    query = _query(name=entry.slug, size=size.name, row=row, version=entry.version)
    return PreviewImage(request.path_in("templates", "starter-image") + query, size)


def _feed_image(
    request: Request, entry: StarterEntry, size: StarterSize, preview: PreviewFeed, number: int
) -> PreviewImage:
    query = _query(name=entry.slug, size=size.name, row=preview.items[number].position, feed=preview.value)
    return PreviewImage(request.path_in("templates", "starter-preview") + query, size)


def _query(**values: object) -> str:
    """Return a query without what is empty."""
    return "?" + urlencode({name: value for name, value in values.items() if value != ""})


def _store_illustrations(request: Request, starter: Starter) -> None:
    """Add a starter's illustrations to the workspace's uploads, where people find and replace them.

    Raises one of UPLOAD_ERRORS.
    """
    workspace_id, account_id = request.workspace.workspace_id, request.user.account.id
    release_connection(request)
    for name, illustration in starter.defaults.items():
        store_upload(
            request,
            workspace_id,
            illustration.data,
            name,
            name=f"{name.replace('-', ' ').capitalize()} (sample)",
            created_by=account_id,
            is_sample=True,
        )


def _create(request: Request, name: str, document: ImageTemplate) -> UUID:
    workspace_id, person = request.workspace.workspace_id, request.user.account
    with request.services.database.transaction(workspace_id) as db:
        template = create_template(db, workspace_id, name=name, document=document, published_by=person.id)
        record(db, workspace_id, request.actor, "template.create", template.name, {})
        return template.id


def open_editor(request: Request, template_id: UUID) -> Response:
    """Redirect to the editor of a template."""
    return HTTPSeeOther(request.path_in("templates", template_id, "editor"))

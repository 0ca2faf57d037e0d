"""The gallery of finished images, and one image with its details."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal, NamedTuple
from urllib.parse import urlencode
from uuid import UUID

from pydantic import Field
from pyramid.view import view_config
from sqlalchemy import ColumnElement, and_

from cwz_web.feeds.queries import list_feed_names
from cwz_web.generation.image_urls import ImageUrls
from cwz_web.generation.images import find_images, latest_sizes
from cwz_web.generation.models import ApiKey, Image, Template
from cwz_web.generation.templates import list_template_names, load_design
from cwz_web.i18n import gettext, gettext_noop, translate_labels
from cwz_web.imaging.encoders import FORMAT_LABELS, Format
from cwz_web.resources.base import parse_uuid
from cwz_web.resources.permissions import Permission
from cwz_web.resources.workspace import ImageCollection, ImageResource
from cwz_web.runs.image_deletion import FeedUse, feeds_with_images
from cwz_web.runs.mapping import finish_values
from cwz_web.runs.models import Run, RunItem
from cwz_web.runs.progress import item_of_image
from cwz_web.runs.reports import finding_texts
from cwz_web.runs.run_list import images_of_feed, images_of_run, images_with_findings, list_run_names
from cwz_web.storage.models import Connection
from cwz_web.values.formats import load_formats
from cwz_web.web.lists import Filter, ListControls, ListForm, keep_url, read_list_form
from cwz_web.web.rendering import page_view
from cwz_web.web.request import Request
from cwz_web.workspaces.members import name_creators


class ImageLink(NamedTuple):
    """An image, and the path of its thumbnail."""

    image: Image
    path: str


class SelectableImage(NamedTuple):
    """An image of the gallery: the path of its thumbnail, and its URL."""

    image: Image
    path: str
    url: str


class ImageListForm(ListForm):
    """Which images are shown."""

    search: Annotated[str, Field(max_length=400)] = ""
    template: UUID | Literal[""] = ""
    feed: UUID | Literal[""] = ""
    run: UUID | Literal[""] = ""
    size: Annotated[str, Field(pattern=r"^([1-9][0-9]{0,4}x[1-9][0-9]{0,4})?$")] = ""
    format: Format | Literal[""] = ""
    created: Literal["", "1", "7", "30"] = ""
    findings: Literal["", "any"] = ""


FINDINGS = {"": gettext_noop("Any findings"), "any": gettext_noop("With findings")}
CREATED = {
    "": gettext_noop("Any time"),
    "1": gettext_noop("Last 24 hours"),
    "7": gettext_noop("Last 7 days"),
    "30": gettext_noop("Last 30 days"),
}


@dataclass(frozen=True)
class ImageListPage:
    """What images/list.jinja2 and images/_page.jinja2 show.

    Attributes:
        next_query: the query of the next page; None after the last.
        loads_itself: whether the next page is loaded without a click: a search has found nothing yet.
    """

    images: list[SelectableImage]
    list: ListControls
    is_first_page: bool
    next_query: str | None
    loads_itself: bool


@dataclass(frozen=True)
class FieldValue:
    """A field of a template, and the value that was rendered."""

    label: str
    value: str


@dataclass(frozen=True)
class ImageDetailPage:
    """What images/show.jinja2 shows; run, row, findings and fields are of the newest run that the image is part of.

    Attributes:
        public_url: The URL that feeds and the API have of it, if that of its connection is public; else empty.
        row_path: The path of the row; empty without a run.
        started_by: The account or the API key that started the run; empty if it is unknown.
        connection: The name of the storage connection.
        outputs: The feeds whose output feed has the image.
        findings: What is wrong with the image, in words.
        fields: The values that were rendered.
    """

    image: Image
    path: str
    public_url: str
    file_name: str
    template: Template
    run: Run | None
    row_path: str
    findings: list[str]
    fields: list[FieldValue]
    started_by: str
    connection: str
    outputs: list[FeedUse]


def image_links(request: Request, images: list[Image]) -> list[ImageLink]:
    """Return images with the signed paths of their thumbnails, which browsers may cache."""
    return [ImageLink(image, request.services.signed_urls.thumbnail(image)) for image in images]


@page_view("images/list.jinja2", "images/_list.jinja2", context=ImageCollection, permission=Permission.VIEW)
def list_images(context: ImageCollection, request: Request) -> ImageListPage:
    """Show a page of the images, newest first, of all or of those that match the filters."""
    workspace_id = request.workspace.workspace_id
    form, before = read_list_form(ImageListForm, request), before_id(request)
    scanned = _scanned_conditions(form)
    page = find_images(
        request.db,
        workspace_id,
        template_id=form.template or None,
        since=datetime.now(UTC) - timedelta(days=int(form.created)) if form.created else None,
        name=form.search,
        conditions=[images_of_run(workspace_id, form.run)] if form.run else [],
        scanned=scanned,
        before=before,
    )
    urls = load_image_urls(request)
    controls = ListControls(noun="images", search=form.search, filters=_image_filters(request, form))
    if before is None:
        keep_url(request, controls)
    return ImageListPage(
        images=[_selectable(request, urls, image) for image in page.images],
        list=controls,
        is_first_page=before is None,
        next_query=urlencode(controls.parameters | {"before": str(page.before)}) if page.before else None,
        loads_itself=bool(form.search or scanned) and not page.images,
    )


def load_image_urls(request: Request) -> ImageUrls:
    """Return the URLs of the workspace's images, for users to copy."""
    return ImageUrls.load(request.db, request.workspace.workspace_id, request.services.signed_urls)


def _selectable(request: Request, urls: ImageUrls, image: Image) -> SelectableImage:
    return SelectableImage(image, request.services.signed_urls.thumbnail(image), urls.url(image))


def _scanned_conditions(form: ImageListForm) -> list[ColumnElement[bool]]:
    """Return the conditions that no index covers."""
    conditions = []
    if form.feed:
        conditions.append(images_of_feed(form.feed))
    if form.size:
        width, _, height = form.size.partition("x")
        conditions.append(and_(Image.width == int(width), Image.height == int(height)))
    if form.format:
        conditions.append(Image.content_type == Format(form.format).content_type)
    if form.findings:
        conditions.append(images_with_findings())
    return conditions


def _image_filters(request: Request, form: ImageListForm) -> tuple[Filter, ...]:
    db, workspace_id = request.db, request.workspace.workspace_id
    sizes = {f"{width}x{height}": f"{width} × {height}" for width, height in latest_sizes(db, workspace_id)}
    if form.size:
        sizes.setdefault(form.size, form.size.replace("x", " × "))
    formats = {str(format): label for format, label in FORMAT_LABELS.items()}
    templates, feeds = list_template_names(db, workspace_id), list_feed_names(db, workspace_id)
    runs = list_run_names(db, workspace_id, form.run or None)
    return (
        Filter("template", gettext("Template"), {"": gettext("All templates"), **templates}, str(form.template)),
        Filter("feed", gettext("Feed"), {"": gettext("All feeds"), **feeds}, str(form.feed)),
        Filter("run", gettext("Run"), {"": gettext("All runs"), **runs}, str(form.run)),
        Filter("size", gettext("Size"), {"": gettext("All sizes"), **sizes}, form.size),
        Filter("format", gettext("Format"), {"": gettext("All formats"), **formats}, str(form.format)),
        Filter("created", gettext("Created"), translate_labels(CREATED), form.created),
        Filter("findings", gettext("Findings"), translate_labels(FINDINGS), form.findings),
    )


@view_config(context=ImageResource, request_method="GET", renderer="images/show.jinja2", permission=Permission.VIEW)
def show_image(context: ImageResource, request: Request) -> ImageDetailPage:
    """Show one image, and where it comes from."""
    image = context.row
    template = request.db.get_one(Template, (image.workspace_id, image.template_id))
    item = item_of_image(request.db, image.workspace_id, image.id)
    run = request.db.get_one(Run, (image.workspace_id, item.run_id)) if item else None
    query = urlencode({"key": item.key}) if item else ""
    return ImageDetailPage(
        image=image,
        path=request.services.signed_urls.image(image),
        public_url=load_image_urls(request).public_url(image),
        file_name=f"{image.name.replace('/', '-')}.{image.key.rpartition('.')[2]}",
        template=template,
        run=run,
        row_path=f"{request.path_in('feeds', run.feed_id, 'row')}?{query}" if run else "",
        findings=finding_texts(item) if item else [],
        fields=_field_values(request, template, run, item) if run and item else [],
        started_by=_starter_of(request, run) if run else "",
        connection=request.db.get_one(Connection, (image.workspace_id, image.connection_id)).name,
        outputs=feeds_with_images(request.db, image.workspace_id, [image.id]),
    )


def _starter_of(request: Request, run: Run) -> str:
    """Return the account or the API key that started a run; empty if it is gone, and for an automatic run."""
    if run.started_by:
        return name_creators(request.db, run.workspace_id, [run.started_by]).get(run.started_by, "")
    key = request.db.get(ApiKey, (run.workspace_id, run.key_id)) if run.key_id else None
    return gettext("API key %(name)s", name=key.name) if key else ""


def _field_values(request: Request, template: Template, run: Run, item: RunItem) -> list[FieldValue]:
    """Return what the run rendered of a row, in the order of the template's fields."""
    fields = load_design(request.db, template, run.template_version).document.fields
    values = finish_values(run.mapping, item.data, load_formats(run.formats))
    return [FieldValue(field.label, values[field.name]) for field in fields if field.name in values]


def before_id(request: Request) -> UUID | None:
    """Return the id that a page ends before (`?before=`); None for the first page, or an invalid id."""
    try:
        return parse_uuid(request.GET.get("before", ""))
    except KeyError:
        return None

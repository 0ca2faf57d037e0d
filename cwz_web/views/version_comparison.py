"""The comparison of two versions of a template, or of a version and the draft, in each size and on sample rows."""

import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Annotated, Literal
from urllib.parse import urlencode
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from pyramid.httpexceptions import HTTPNotFound
from pyramid.response import Response
from pyramid.view import view_config
from sqlalchemy.exc import NoResultFound

from cwz_web.feeds.models import Feed
from cwz_web.feeds.queries import list_feeds
from cwz_web.generation.drafts import has_draft, load_draft
from cwz_web.generation.image_service import ImageService
from cwz_web.generation.models import Template
from cwz_web.generation.templates import list_versions, load_design
from cwz_web.i18n import gettext, gettext_noop, ngettext, translate_labels
from cwz_web.imaging.document_changes import list_changes
from cwz_web.imaging.documents import DEFAULT_SIZE, ImageTemplate
from cwz_web.imaging.encoders import Format, Output, encode
from cwz_web.imaging.errors import ImagingError
from cwz_web.resources.permissions import Permission
from cwz_web.resources.workspace import TemplateResource
from cwz_web.storage.contract import StorageError
from cwz_web.storage.uploads import Uploads
from cwz_web.views.change_labels import ChangedPart, describe_changes
from cwz_web.views.previews import MAX_ROW, sample_values, size_label, uploads_of
from cwz_web.web.forms import read_query
from cwz_web.web.request import Request
from cwz_web.web.transactions import release_connection

DRAFT = "draft"
# Rows of a feed beside the default values.
MAX_ROWS = 5
# A page computes the differences of this many images, for this long. The rest has a page for each size.
MAX_DIFFERENCES, MAX_SECONDS = 12, 5.0
IMAGE_WIDTH = 960
MODES = {
    "side": gettext_noop("Side by side"),
    "swipe": gettext_noop("Swipe"),
    "difference": gettext_noop("Difference"),
}

# "draft", or the number of a version.
Revision = Annotated[str, Field(pattern=r"^(draft|[1-9][0-9]{0,5})$")]


class ComparisonQuery(BaseModel):
    """What to compare: two revisions, in one size or in all, with the default values and with rows of a feed."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)

    before: Revision | None = None
    after: Revision | None = None
    mode: Literal["side", "swipe", "difference"] = "side"
    size: Annotated[str, Field(max_length=40)] = ""
    feed: UUID | Literal[""] = ""
    rows: Annotated[str, Field(max_length=80)] = "1"


class DifferenceQuery(BaseModel):
    """One image of two revisions. `draft` is not read: it makes the URL of each draft different."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    draft: Annotated[str, Field(max_length=64)] = ""
    before: Revision
    after: Revision
    size: Annotated[str, Field(max_length=40)] = DEFAULT_SIZE
    feed: UUID | None = None
    row: Annotated[int, Field(ge=1, le=MAX_ROW)] = 1


@dataclass(frozen=True)
class ComparedImage:
    """An image of a row in both revisions.

    Attributes:
        label: the row.
        before: the path of the image; None if the revision does not have the size.
        after: the same of the other revision.
        heat: the path of the image of their difference.
        share: the share of pixels that differ; None if it was not computed.
        error: why it could not be computed, if so.
    """

    label: str
    before: str | None
    after: str | None
    heat: str | None
    share: float | None = None
    error: str = ""


@dataclass(frozen=True)
class ComparedSize:
    """A size with its images; `only_in` names the revision that has it if only one does."""

    name: str
    label: str
    width: int
    height: int
    only_in: str
    images: list[ComparedImage]


@dataclass(frozen=True)
class ComparisonPage:
    """The view model of templates/compare.jinja2.

    Attributes:
        revisions: the labels of all revisions by their value in the query.
        query: the query with its defaults.
        modes: the labels of the modes.
        row_error: what is wrong with the rows.
        size_names: the sizes of both revisions.
        changes: the changes of the document.
    """

    template: Template
    revisions: dict[str, str]
    query: ComparisonQuery
    modes: dict[str, str]
    row_error: str
    feeds: list[Feed]
    size_names: list[str]
    changes: list[ChangedPart]
    sizes: list[ComparedSize]


@dataclass(frozen=True)
class Sample:
    """A row: its label, and what selects it in a query; None for the default values."""

    label: str
    feed: UUID | None = None
    row: int = 1

    @property
    def query(self) -> dict[str, str]:
        return {"feed": str(self.feed), "row": str(self.row)} if self.feed else {}


@dataclass(frozen=True)
class Revisions:
    """Two revisions of a template: their names in a query, and their documents."""

    before: str
    after: str
    old: ImageTemplate
    new: ImageTemplate

    @property
    def size_names(self) -> list[str]:
        """The sizes of both."""
        return list(dict.fromkeys([*self.new.size_names, *self.old.size_names]))


@view_config(
    context=TemplateResource,
    name="compare",
    request_method="GET",
    renderer="templates/compare.jinja2",
    permission=Permission.VIEW,
    rate_limit="preview",
)
def compare_page(context: TemplateResource, request: Request) -> ComparisonPage:
    """Compare two revisions: their images side by side or as a difference, and their layers by name."""
    query, template = read_query(ComparisonQuery, request.GET), context.row
    labels = _label_revisions(request, template)
    query = _with_defaults(query, template)
    revisions = _open_revisions(request, template, query.before or "", query.after or "")
    samples, row_error = _read_samples(request, query)
    names = [query.size] if query.size in revisions.size_names else revisions.size_names
    sizes = [_describe_size(request, template, revisions, name, samples, labels) for name in names]
    feeds = list_feeds(request.db, template.workspace_id)
    if query.mode == "difference":
        sizes = _add_shares(request, template, revisions, sizes, samples)
    changes = describe_changes(list_changes(revisions.old, revisions.new))
    modes = translate_labels(MODES)
    return ComparisonPage(template, labels, query, modes, row_error, feeds, revisions.size_names, changes, sizes)


@view_config(
    context=TemplateResource, name="difference", request_method="GET", permission=Permission.VIEW, rate_limit="preview"
)
def difference_image(context: TemplateResource, request: Request) -> Response:
    """Return the heat image of two revisions, private and revalidated by its ETag."""
    query, template = read_query(DifferenceQuery, request.GET), context.row
    revisions = _open_revisions(request, template, query.before, query.after)
    values = [sample_values(request, each, query.feed, query.row) for each in (revisions.old, revisions.new)]
    uploads, output = uploads_of(request, template), Output(size=query.size, format=Format.PNG)
    release_connection(request)  # rendering may fetch photos
    image_service = request.services.image_service
    old = image_service.prepare(uploads, revisions.old, values[0], output)
    new = image_service.prepare(uploads, revisions.new, values[1], output)
    response = Response(content_type=output.format.content_type, conditional_response=True)
    response.etag = f"{old.digest}-{new.digest}"
    response.headers["Cache-Control"] = "private, no-cache"
    if response.etag not in request.if_none_match:
        response.body = encode(image_service.compare(old, new).heat, output)
    return response


def _with_defaults(query: ComparisonQuery, template: Template) -> ComparisonQuery:
    """Return a query with both revisions: the draft and the published version, or the two latest versions."""
    newest = DRAFT if has_draft(template) else str(template.version)
    previous = template.version if has_draft(template) else max(template.version - 1, 1)
    return query.model_copy(update={"before": query.before or str(previous), "after": query.after or newest})


def _label_revisions(request: Request, template: Template) -> dict[str, str]:
    labels = {DRAFT: gettext("Draft")} if has_draft(template) else {}
    for version, _ in list_versions(request.db, template):
        label = gettext("Version %(number)s", number=version.number)
        labels[str(version.number)] = f"{label}, {version.name}" if version.name else label
    return labels


def _open_revisions(request: Request, template: Template, before: str, after: str) -> Revisions:
    def load(revision: str) -> ImageTemplate:
        if revision == DRAFT:
            return load_draft(request.db, template).document
        return load_design(request.db, template, int(revision)).document

    try:
        return Revisions(before, after, load(before), load(after))
    except NoResultFound:
        raise HTTPNotFound from None


def _read_samples(request: Request, query: ComparisonQuery) -> tuple[list[Sample], str]:
    """Return the default values and the rows that a query names, and what is wrong with it."""
    samples = [Sample(gettext("Default values"))]
    feed = request.db.get(Feed, (request.workspace.workspace_id, query.feed)) if query.feed else None
    if feed is None or feed.deleted_at is not None:
        return samples, ""
    numbers = list(dict.fromkeys(part.strip() for part in query.rows.split(",") if part.strip()))
    if len(numbers) > MAX_ROWS or not all(each.isascii() and each.isdecimal() for each in numbers):
        return samples, gettext("Enter at most %(limit)s row numbers, such as 1, 5, 12", limit=MAX_ROWS)
    if missing := [each for each in numbers if not 1 <= int(each) <= feed.item_count]:
        return samples, ngettext(
            "Row %(row)s does not exist. %(feed)s has %(count)s row",
            "Row %(row)s does not exist. %(feed)s has %(count)s rows",
            feed.item_count,
            row=missing[0],
            feed=feed.name,
        )
    rows = (Sample(gettext("Row %(key)s", key=int(each)), feed.id, int(each)) for each in numbers)
    return [*samples, *rows], ""


def _describe_size(
    request: Request,
    template: Template,
    revisions: Revisions,
    name: str,
    samples: Iterable[Sample],
    labels: dict[str, str],
) -> ComparedSize:
    documents = {revisions.before: revisions.old, revisions.after: revisions.new}
    having = [revision for revision, document in documents.items() if name in document.size_names]
    canvas = documents[having[-1]].in_size(name).canvas
    images = [_describe_image(request, template, revisions, name, sample) for sample in samples]
    only_in = "" if len(having) == len(documents) else labels.get(having[0], having[0])
    label = size_label(documents[having[-1]], name)
    return ComparedSize(name, label, canvas.width, canvas.height, only_in, images)


def _describe_image(
    request: Request, template: Template, revisions: Revisions, size: str, sample: Sample
) -> ComparedImage:
    here = request.path_in("templates", template.id)

    def path(revision: str, document: ImageTemplate) -> str | None:
        if size not in document.size_names:
            return None
        named = {DRAFT: document.digest[:16]} if revision == DRAFT else {"version": revision}
        return f"{here}/preview?{urlencode({**named, 'size': size, **sample.query, 'width': IMAGE_WIDTH})}"

    before, after = path(revisions.before, revisions.old), path(revisions.after, revisions.new)
    heat = None
    if before and after:
        draft = {DRAFT: revisions.new.digest[:16]} if DRAFT in (revisions.before, revisions.after) else {}
        both = {"before": revisions.before, "after": revisions.after, "size": size}
        heat = f"{here}/difference?{urlencode({**draft, **both, **sample.query})}"
    return ComparedImage(sample.label, before, after, heat)


def _add_shares(
    request: Request, template: Template, revisions: Revisions, sizes: list[ComparedSize], samples: list[Sample]
) -> list[ComparedSize]:
    """Return sizes with the share of pixels that differ in each image, as far as time allows."""
    values = [
        (
            sample_values(request, revisions.old, sample.feed, sample.row),
            sample_values(request, revisions.new, sample.feed, sample.row),
        )
        for sample in samples
    ]
    uploads = uploads_of(request, template)
    release_connection(request)  # rendering may fetch photos
    ends, left, image_service = time.monotonic() + MAX_SECONDS, MAX_DIFFERENCES, request.services.image_service
    found = []
    for size in sizes:
        images = []
        for image, pair in zip(size.images, values, strict=True):
            if image.heat is None or not left or time.monotonic() > ends:
                images.append(image)
                continue
            left -= 1
            images.append(_add_share(image_service, uploads, revisions, size.name, image, pair))
        found.append(replace(size, images=images))
    return found


def _add_share(
    image_service: ImageService,
    uploads: Uploads,
    revisions: Revisions,
    size: str,
    image: ComparedImage,
    values: tuple[dict[str, str], dict[str, str]],
) -> ComparedImage:
    output = Output(size=size)
    try:
        old = image_service.prepare(uploads, revisions.old, values[0], output)
        new = image_service.prepare(uploads, revisions.new, values[1], output)
        return replace(image, share=image_service.compare(old, new).share)
    except (ImagingError, StorageError) as error:
        return replace(image, error=str(error))

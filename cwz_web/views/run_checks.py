"""The check before a run: the rows that stress a design, as images, with what was found in them."""

from dataclasses import dataclass
from typing import Annotated, TypeVar
from urllib.parse import urlencode

from pydantic import Field, ValidationError
from pyramid.httpexceptions import HTTPNotFound, HTTPUnprocessableEntity
from pyramid.response import Response
from pyramid.view import view_config

from cwz_web.feeds.models import Feed
from cwz_web.feeds.queries import list_items
from cwz_web.generation.models import Template
from cwz_web.generation.templates import TemplateDesign
from cwz_web.i18n import gettext
from cwz_web.imaging.encoders import Output
from cwz_web.resources.permissions import Permission
from cwz_web.resources.workspace import RunCollection
from cwz_web.runs.mapping import apply_mapping, formats_of
from cwz_web.runs.sample_check import SampleCheck, check_sample
from cwz_web.runs.stress_rows import StressRow, find_stress_rows, scan_items
from cwz_web.views.new_run import SourceForm, chosen_mapping, chosen_sizes, find_source
from cwz_web.views.previews import MAX_ROW, render_preview, uploads_of
from cwz_web.web.forms import FieldError, typed_values
from cwz_web.web.rendering import page_view
from cwz_web.web.request import Request
from cwz_web.web.transactions import release_connection

MAX_ROWS = 8

F = TypeVar("F", bound=SourceForm)


class RowImageForm(SourceForm):
    """A row of the feed by its position, and the width of its image in pixels; its own without one."""

    row: Annotated[int, Field(ge=1, le=MAX_ROW)]
    width: Annotated[int, Field(ge=16, le=2000)] | None = None


@dataclass(frozen=True)
class CheckedRow:
    """A row that stresses the design.

    Attributes:
        row: Its number, and why it does.
        path: The path of its image.
        findings: Layers and messages; None if it was not checked in time.
    """

    row: StressRow
    path: str
    findings: tuple[tuple[str, str], ...] | None


@dataclass(frozen=True)
class SampleCheckPage:
    """What runs/checks.jinja2 shows; `is_part` if the feed has more rows than the `scanned` ones that were compared."""

    feed: Feed
    template: Template
    check: SampleCheck
    rows: list[CheckedRow]
    width: int
    height: int
    scanned: int
    is_part: bool


@page_view(
    "runs/checks.jinja2",
    "runs/_checks.jinja2",
    context=RunCollection,
    name="checks",
    permission=Permission.RUN_START,
    rate_limit="preview",
)
def check_rows(context: RunCollection, request: Request) -> SampleCheckPage:
    """Render the rows that stress the design, and show what was found in them."""
    typed = typed_values(request.GET)
    feed, design = _find_source(request, _read_form(request, SourceForm))
    document, mapping = design.document, chosen_mapping(request, typed, design, feed)
    items = scan_items(request.db, feed)
    formats = formats_of(request.db, feed)
    values = [apply_mapping(mapping, item.data, formats) for item in items]
    mapped = [field for field in document.fields if field.name in mapping]
    found = find_stress_rows(mapped, values, MAX_ROWS)
    uploads = uploads_of(request, design.template)
    release_connection(request)  # rendering may fetch images
    check = check_sample(request.services.image_service, uploads, document, [values[row.number - 1] for row in found])
    canvas = document.in_size(chosen_sizes(typed, design)[0]).canvas
    path, query = request.path_in("runs", "row-image"), urlencode(typed)
    return SampleCheckPage(
        feed=feed,
        template=design.template,
        check=check,
        rows=[
            CheckedRow(row, f"{path}?{query}&row={items[row.number - 1].position}", findings)
            for row, findings in zip(found, check.by_row, strict=True)
        ],
        width=canvas.width,
        height=canvas.height,
        scanned=len(items),
        is_part=feed.item_count > len(items),
    )


@view_config(
    context=RunCollection,
    name="row-image",
    request_method="GET",
    permission=Permission.RUN_START,
    rate_limit="preview",
)
def row_image(context: RunCollection, request: Request) -> Response:
    """Return the image of a row as the run would render it. It is not stored, and not counted."""
    typed, form = typed_values(request.GET), _read_form(request, RowImageForm)
    feed, design = _find_source(request, form)
    items = list_items(request.db, feed, form.row - 1, limit=1)
    if not items:
        raise HTTPNotFound
    mapping = chosen_mapping(request, typed, design, feed)
    values = apply_mapping(mapping, items[0].data, formats_of(request.db, feed))
    uploads, output = uploads_of(request, design.template), Output(size=chosen_sizes(typed, design)[0])
    return render_preview(request, uploads, design.document, values, output, form.width)


def _read_form(request: Request, model: type[F]) -> F:
    try:
        return model.model_validate(typed_values(request.GET))
    except ValidationError:
        raise HTTPUnprocessableEntity(gettext("Choose a feed and a template")) from None


def _find_source(request: Request, form: SourceForm) -> tuple[Feed, TemplateDesign]:
    try:
        return find_source(request, form)
    except FieldError:
        raise HTTPNotFound from None

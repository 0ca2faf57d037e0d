"""The designer: a template's draft as an image, its layers, and the properties of the selected one.

Every change is a form post that redirects to the same page; htmx sends it while the user types and replaces the page's
content. The selection is part of the URL, the draft is stored in the database.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field
from pyramid.httpexceptions import HTTPSeeOther, HTTPUnprocessableEntity
from pyramid.response import Response
from pyramid.view import view_config
from sqlalchemy.orm import Session

from cwz_web.db.session import enter_workspace
from cwz_web.feeds.models import Feed
from cwz_web.feeds.queries import list_feeds
from cwz_web.generation.brand import load_brand
from cwz_web.generation.drafts import (
    discard_draft,
    find_undo_and_redo,
    has_draft,
    load_draft,
    lock_draft,
    publish_draft,
    redo,
    save_draft,
    undo,
)
from cwz_web.generation.models import Template
from cwz_web.i18n import gettext, gettext_noop, translate_labels
from cwz_web.imaging.brand_references import PREFIX
from cwz_web.imaging.document_length import DocumentTooLongError, check_document_length
from cwz_web.imaging.documents import ImageTemplate
from cwz_web.imaging.editing import Box, change_layer
from cwz_web.imaging.encoders import Output
from cwz_web.imaging.errors import ImagingError, InvalidImageError
from cwz_web.imaging.findings import Finding
from cwz_web.imaging.image_uploads import MAX_UPLOAD_BYTES
from cwz_web.imaging.layers import AnyLayer, Container, StackLayer
from cwz_web.imaging.placement import PlacedLayer
from cwz_web.imaging.planned_layers import PlannedLayer
from cwz_web.imaging.uploads import UploadKind
from cwz_web.resources.permissions import Permission
from cwz_web.resources.workspace import TemplateResource
from cwz_web.storage.contract import StorageError
from cwz_web.storage.uploads import Uploads
from cwz_web.views.font_choices import FontGroup, list_font_groups
from cwz_web.views.previews import sample_values, uploads_of
from cwz_web.web.bound_forms import BoundPanel, bound_panel
from cwz_web.web.condition_forms import ConditionPanel, condition_panel
from cwz_web.web.data_forms import DataPanel, data_panel
from cwz_web.web.design_forms import (
    PANEL_CHANGES,
    InvalidDesignError,
    Selection,
    change_design,
    check_size,
    is_in_stack,
    parse_selection,
    read_canvas_values,
    read_current_values,
    read_posted_form,
    replaces_other_condition,
)
from cwz_web.web.design_selection import Change, Typed
from cwz_web.web.forms import Form, find_repeated_fields, read_form, typed_values
from cwz_web.web.layer_forms import FieldGroup, is_open, list_groups, serialize_layer, translate_group
from cwz_web.web.notices import add_notice
from cwz_web.web.rendering import page_view
from cwz_web.web.request import Request
from cwz_web.web.transactions import release_connection
from cwz_web.web.uploads import UPLOAD_ERRORS, store_upload
from cwz_web.workspaces.audit import record

LAYER_ICONS = {
    "text": "type",
    "image": "image",
    "shape": "shapes",
    "code": "qr-code",
    "rating": "star",
    "group": "group",
    "stack": "rows-3",
}
LAYER_TYPES = {
    "text": gettext_noop("Text"),
    "image": gettext_noop("Image"),
    "shape": gettext_noop("Shape"),
    "code": gettext_noop("Code"),
    "rating": gettext_noop("Stars"),
    "stack": gettext_noop("Stack"),
    "group": gettext_noop("Group"),
}
ZOOM_LABELS = {"fit": gettext_noop("Fit"), "50": "50%", "100": "100%", "200": "200%"}
ZOOM_SCALES = {"fit": 1.0, "50": 0.5, "100": 1.0, "200": 2.0}

REPLACED = gettext_noop("Another window had changed this condition. Your change has replaced it.")


@dataclass(frozen=True)
class LayerRow:
    """A layer in the list, with the layers in it.

    Attributes:
        key: the positions of its containers and its own, which no other layer has.
        position: its position in its container, counted from 0: that of the lowest layer, or of the first in a stack.
        up: its position after a move up in the list; None if it is the first one.
        down: its position after a move down in the list; None if it is the last one.
    """

    layer: AnyLayer
    key: str
    position: int
    up: int | None
    down: int | None
    icon: str
    is_selected: bool
    is_hidden_in_size: bool
    findings: list[Finding]
    rows: list["LayerRow"]


@dataclass(frozen=True)
class StageBox:
    """A layer on the image, as placed for the sample row.

    Attributes:
        left: the left edge, relative to the group that the layer is in.
        top: the top edge, relative to this group.
        frame: the transformation of the group, for SVG.
    """

    name: str
    left: int
    top: int
    width: int
    height: int
    rotation: float
    is_locked: bool
    frame: str = ""


@dataclass(frozen=True)
class Stage:
    """What the image of the sample row lets the user select and move.

    Attributes:
        boxes: The layers, each container before its content.
        selected: Where the selected layer is, if it is shown.
        is_movable: Whether the selected layer has a position of its own that can be changed.
        is_resizable: Whether its width and height are its own, too.
        placed: Where layers are in pixels of the canvas, by name, as JSON.
    """

    boxes: list[StageBox]
    selected: StageBox | None
    is_movable: bool
    is_resizable: bool
    placed: str


@dataclass(frozen=True)
class OpenGroup:
    """A group of form fields and whether it is shown open."""

    group: FieldGroup
    is_open: bool


@dataclass(frozen=True)
class DesignerPage:
    """The view model of designer/show.jinja2 and its parts.

    Attributes:
        document: The draft.
        shown: The draft in the selected size.
        layer: The selected layer, if any.
        typed: The values of the properties form, or of the invalid form that was submitted.
        errors: Messages by form field.
        container: The group or stack that a new layer is added to, if any.
        scale: The factor of the zoom level.
        error_message: Why the draft cannot be checked, if so.
        condition: The condition of the selected layer.
        bound: The bound properties of the selected layer.
        data: The fields, computed fields and tables.
        panel_url: Where the forms of panels are posted.
        panel_target: The selector of what the response replaces; empty if the page's script sends the forms.
        read_shown: Returns what a form shows, as JSON, by its hidden fields.
    """

    template: Template
    document: ImageTemplate
    shown: ImageTemplate
    selection: Selection
    layer: AnyLayer | None
    layers: list[LayerRow]
    groups: list[OpenGroup]
    typed: dict[str, str]
    errors: dict[str, str]
    canvas: dict[str, str]
    feeds: list[Feed]
    feed: Feed | None
    font_groups: list[FontGroup]
    brand_styles: list[str]
    has_draft: bool
    can_undo: bool
    can_redo: bool
    preview: str
    stage: Stage
    container: str
    scale: float
    zooms: dict[str, str]
    layer_types: dict[str, str]
    issue_count: int
    layers_with_issues: str
    error_message: str
    condition: ConditionPanel | None
    bound: BoundPanel | None
    data: DataPanel | None
    panel_url: str
    panel_target: str
    read_shown: Callable[..., str]


class StepForm(Form):
    """The step that the user saw, so that a button pressed twice works once."""

    step: Annotated[int, Field(ge=0)]


@page_view(
    "designer/show.jinja2",
    "designer/_designer.jinja2",
    context=TemplateResource,
    name="design",
    permission=Permission.TEMPLATE_EDIT,
)
def design_page(context: TemplateResource, request: Request) -> DesignerPage:
    """Show the draft."""
    request.response.headers["HX-Replace-Url"] = request.path_qs
    return designer_page(request, context.row)


@page_view(
    "designer/show.jinja2",
    "designer/_designer.jinja2",
    context=TemplateResource,
    name="design",
    request_method="POST",
    permission=Permission.TEMPLATE_EDIT,
)
def change_draft(context: TemplateResource, request: Request) -> DesignerPage | Response:
    """Change the draft. The forms of the page are one open set of fields, so they are no form models."""
    template = context.row
    typed = typed_values(request.POST)
    draft = lock_draft(request.db, template)
    selection = parse_selection(request.GET)
    try:
        check_size(draft, selection)
        if twice := find_repeated_fields(request.POST, typed):
            raise InvalidDesignError(twice)
        form = read_posted_form(draft, selection, typed)
        changed, selection, change = change_with_brand(request.db, template, draft, selection, form)
    except InvalidDesignError as error:
        request.response.status = 422
        return designer_page(request, template, error.errors, typed)
    replaces = replaces_other_condition(draft, changed, selection.layer, form)
    if changed != draft and save_draft(request.db, template, changed, change, merges=not replaces):
        request.audit("template.draft", template.name)
    if replaces:
        undo_path = f"{request.path_in('templates', template.id, 'undo')}?{selection.query()}"
        add_notice(request, gettext(REPLACED), undo=undo_path, step=str(template.step))
    return HTTPSeeOther(design_path(request, template, selection))


def change_with_brand(
    db: Session, template: Template, draft: ImageTemplate, selection: Selection, typed: Mapping[str, str]
) -> Change:
    """Apply the change that a form requests, which can refer to the workspace's brand.

    Args:
        db: a transaction in the workspace.
        template: the template.
        draft: its draft.
        selection: what the form is about.
        typed: the fields of the form.

    Raises:
        InvalidDesignError: the change is not possible, or the document would be too long.
    """
    refers_to_brand = any(PREFIX in value for value in typed.values())
    offering = draft.offering(load_brand(db, template.workspace_id).brand) if refers_to_brand else draft
    changed, selection, change = change_design(offering, selection, typed)
    if refers_to_brand:
        changed = changed.without_unused_brand()
    try:
        check_document_length(changed.canonical())
    except DocumentTooLongError as error:
        raise InvalidDesignError({"": str(error)}) from None
    return changed, selection, change


@view_config(
    context=TemplateResource,
    name="upload",
    request_method="POST",
    renderer="designer/show.jinja2",
    permission=Permission.TEMPLATE_EDIT,
    rate_limit="upload",
)
def upload_image(context: TemplateResource, request: Request) -> DesignerPage | Response:
    """Upload an image and show it in the selected layer. The only field is a file, which form models do not hold."""
    template, selection = context.row, parse_selection(request.GET)
    file = request.POST.get("file")
    data = file.file.read(MAX_UPLOAD_BYTES + 1) if hasattr(file, "file") else b""
    try:
        if not data:
            raise InvalidImageError(gettext("Choose an image"))
        reference = _store_image(request, data, file.filename)
    except UPLOAD_ERRORS as error:
        enter_workspace(request.db, template.workspace_id)
        request.response.status = 422
        return designer_page(request, template, {"file": str(error)})
    _show_upload(request, template, selection.layer, reference)
    return HTTPSeeOther(design_path(request, template, selection))


@view_config(context=TemplateResource, name="undo", request_method="POST", permission=Permission.TEMPLATE_EDIT)
@view_config(context=TemplateResource, name="redo", request_method="POST", permission=Permission.TEMPLATE_EDIT)
def undo_or_redo(context: TemplateResource, request: Request) -> Response:
    """Undo or redo a step."""
    template = context.row
    if _is_current_step(request, template):
        (undo if request.view_name == "undo" else redo)(request.db, template)
    return _redirect_to_design(request, template)


@view_config(context=TemplateResource, name="publish", request_method="POST", permission=Permission.TEMPLATE_EDIT)
def publish_changes(context: TemplateResource, request: Request) -> Response:
    """Publish the draft as the next version."""
    template = context.row
    if _is_current_step(request, template) and publish_draft(request.db, template, request.user.account.id):
        request.audit("template.edit", template.name, version=template.version)
    return _redirect_to_design(request, template)


@view_config(context=TemplateResource, name="discard", request_method="POST", permission=Permission.TEMPLATE_EDIT)
def discard_changes(context: TemplateResource, request: Request) -> Response:
    """Discard the draft."""
    template = context.row
    if _is_current_step(request, template) and discard_draft(request.db, template):
        request.audit("template.discard", template.name)
    return _redirect_to_design(request, template)


def design_path(request: Request, template: Template, selection: Selection | None = None) -> str:
    """Return the path of the designer."""
    query = selection.query() if selection else ""
    path: str = request.path_in("templates", template.id, "design")
    return f"{path}?{query}" if query else path


def _store_image(request: Request, data: bytes, file_name: str) -> str:
    """Add an image to the workspace's uploads and return its reference. Raises UPLOAD_ERRORS."""
    release_connection(request)
    workspace_id = request.workspace.workspace_id
    upload, _ = store_upload(request, workspace_id, data, file_name, created_by=request.user.account.id)
    if upload.kind != UploadKind.IMAGE:
        raise InvalidImageError(gettext("This file is a font, which is among the uploads now. Choose an image"))
    return upload.reference


def _show_upload(request: Request, template: Template, layer_name: str, reference: str) -> None:
    """Save an upload as the source of an image layer. Raises HTTPUnprocessableEntity."""
    workspace_id = template.workspace_id
    with request.services.database.transaction(workspace_id) as db:
        current = db.get_one(Template, (workspace_id, template.id))
        draft = lock_draft(db, current)
        layer = draft.find_layer(layer_name)
        if layer is None or layer.type != "image":
            raise HTTPUnprocessableEntity(gettext("Select an image layer, and upload the image again"))
        changed = change_layer(draft, layer_name, {"source": reference})
        if changed != draft and save_draft(db, current, changed, f"{layer_name}: source"):
            record(db, workspace_id, request.actor, "template.draft", current.name, {})


def _is_current_step(request: Request, template: Template) -> bool:
    """Return whether the form is about the draft's current step.

    Raises:
        HTTPUnprocessableEntity: The form names no step.
    """
    form = read_form(StepForm, request.POST)
    if form.value is None:
        raise HTTPUnprocessableEntity(gettext("The form has to name a step"))
    return form.value.step == template.step


def _redirect_to_design(request: Request, template: Template) -> Response:
    return HTTPSeeOther(design_path(request, template, parse_selection(request.GET)))


def designer_page(
    request: Request,
    template: Template,
    errors: dict[str, str] | None = None,
    typed: dict[str, str] | None = None,
    *,
    checks: bool = True,
) -> DesignerPage:
    """Return the page for the selection of a request's query.

    Args:
        request: the request.
        template: the template.
        errors: messages by form field, of the form that was submitted.
        typed: its values.
        checks: whether to render the draft, for its findings and for where its layers are.
    """
    db = request.db
    document = load_draft(db, template).document
    selection = parse_selection(request.GET).within(document)
    shown = document.in_size(selection.size)
    layer = shown.find_layer(selection.layer)
    feeds = list_feeds(db, template.workspace_id)
    values = sample_values(request, document, selection.feed or None, selection.row)
    groups = list_groups(layer, in_stack=is_in_stack(document, layer.name)) if layer else []
    posted = typed or {}
    errors, typed, panels = _split_panel(errors or {}, posted)
    if not errors or not typed:
        typed = serialize_layer(layer) if layer else {}
    brand = document.offering(load_brand(db, template.workspace_id).brand).brand
    font_groups = list_font_groups(db, template.workspace_id, brand)
    undoable, redoable = find_undo_and_redo(db, template)
    uploads = uploads_of(request, template)
    release_connection(request)  # rendering may fetch photos
    check = _check_draft if checks else _read_draft
    findings, placed, read, error_message = check(request, document, selection, values, uploads)
    canvas = read_canvas_values(document, selection.size)
    around = [each.name for each in document.find_containers(selection.layer)]
    return DesignerPage(
        template=template,
        document=document,
        shown=shown,
        selection=selection,
        layer=layer,
        layers=_layer_rows(document.layers, shown.layers, selection, findings),
        groups=[OpenGroup(translate_group(group), is_open(group, typed, errors)) for group in groups],
        typed=typed,
        errors=errors,
        canvas=canvas | (typed if errors and typed.get("do") == "canvas" else {}),
        feeds=feeds,
        feed=next((each for each in feeds if each.id == selection.feed), None),
        font_groups=font_groups,
        brand_styles=list(brand.styles),
        has_draft=has_draft(template),
        can_undo=undoable,
        can_redo=redoable,
        preview=_preview_path(request, template, selection, document.digest),
        stage=_stage(placed or _place_as_designed(shown.layers), document, layer),
        container=selection.layer if isinstance(layer, Container) else next(reversed(around), ""),
        scale=ZOOM_SCALES[selection.zoom],
        zooms=translate_labels(ZOOM_LABELS),
        layer_types=translate_labels(LAYER_TYPES),
        issue_count=sum(map(len, findings.values())),
        layers_with_issues=", ".join(findings),
        error_message=error_message,
        condition=condition_panel(document, layer, read, *panels.of("condition")) if layer else None,
        bound=bound_panel(document, layer, read, *panels.of("bind")) if layer else None,
        data=None if layer else data_panel(document, read, panels.typed, panels.errors),
        panel_url=design_path(request, template, selection),
        panel_target="#designer" if checks else "",
        read_shown=lambda **hidden: _read_shown(document, selection, hidden, posted),
    )


def _read_shown(document: ImageTemplate, selection: Selection, hidden: Typed, posted: Typed) -> str:
    """Return what a form shows as JSON. A refused form is compared with what its user has seen first."""
    if "shown" in posted and all(posted.get(name) == value for name, value in hidden.items()):
        return posted["shown"]
    return json.dumps(read_current_values(document, selection, hidden))


@dataclass(frozen=True)
class _RefusedPanel:
    """The form of a panel that was refused, if any, with its errors."""

    typed: Mapping[str, str]
    errors: Mapping[str, str]

    def of(self, change: str) -> tuple[Mapping[str, str], Mapping[str, str]]:
        """Return the form and the errors of the panel with this change."""
        return (self.typed, self.errors) if self.typed.get("do") == change else ({}, {})


def _split_panel(errors: dict[str, str], typed: dict[str, str]) -> tuple[dict[str, str], dict[str, str], _RefusedPanel]:
    """Return the refused form of the page itself, and that of a panel: one of them is empty."""
    if typed.get("do") in PANEL_CHANGES:
        return {}, {}, _RefusedPanel(typed, errors)
    return errors, typed, _RefusedPanel({}, {})


def _check_draft(
    request: Request, document: ImageTemplate, selection: Selection, values: dict[str, str], uploads: Uploads
) -> tuple[dict[str, list[Finding]], list[PlacedLayer], Mapping[str, str], str]:
    """Return the findings by layer, the placed layers and the row, or an error message if it cannot be checked."""
    image_service = request.services.image_service
    try:
        prepared = image_service.prepare(uploads, document, values, Output(size=selection.size))
        placed = prepared.plan.place(prepared.values, prepared.sources)
        return _group_by_layer(image_service.lint(prepared)), placed, prepared.values, ""
    except (ImagingError, StorageError) as error:
        return {}, [], {}, str(error)


def _read_draft(
    request: Request, document: ImageTemplate, selection: Selection, values: dict[str, str], uploads: Uploads
) -> tuple[dict[str, list[Finding]], list[PlacedLayer], Mapping[str, str], str]:
    """Return the row with the results of expressions only, or an error message if it cannot be read."""
    output = Output(size=selection.size)
    try:
        return {}, [], request.services.image_service.read_values(uploads, document, values, output), ""
    except (ImagingError, StorageError) as error:
        return {}, [], {}, str(error)


def _layer_rows(
    layers: Sequence[AnyLayer],
    shown: Sequence[AnyLayer],
    selection: Selection,
    findings: dict[str, list[Finding]],
    *,
    prefix: str = "",
    is_stack: bool = False,
) -> list[LayerRow]:
    """Return the layers as listed: those of a stack in its order, others from the highest to the lowest."""
    step, last = (-1 if is_stack else 1), len(layers) - 1
    rows = []
    for position, (layer, visible) in enumerate(zip(layers, shown, strict=True)):
        key, up, down = f"{prefix}{position}", position + step, position - step
        inner = (
            (layer.layers, visible.layers)
            if isinstance(layer, Container) and isinstance(visible, Container)
            else ((), ())
        )
        rows.append(
            LayerRow(
                layer=layer,
                key=key,
                position=position,
                up=up if 0 <= up <= last else None,
                down=down if 0 <= down <= last else None,
                icon=LAYER_ICONS[layer.type],
                is_selected=layer.name == selection.layer,
                is_hidden_in_size=visible.hidden,
                findings=findings.get(layer.name, []),
                rows=_layer_rows(*inner, selection, findings, prefix=f"{key}-", is_stack=isinstance(layer, StackLayer)),
            )
        )
    return rows if is_stack else rows[::-1]


def _place_as_designed(layers: Iterable[AnyLayer]) -> list[PlacedLayer]:
    """Return layers of the canvas by their own values, for what the sample row does not show."""
    return [PlacedLayer(PlannedLayer(layer), layer, {}) for layer in layers if not layer.hidden]


def _stage(placed: Sequence[PlacedLayer], document: ImageTemplate, layer: AnyLayer | None) -> Stage:
    boxes = list(_stage_boxes(placed))
    if layer is None:
        return Stage(boxes, None, is_movable=False, is_resizable=False, placed="")
    own = [] if document.find_containers(layer.name) else _stage_boxes(_place_as_designed([layer]))
    is_movable = not layer.locked and not is_in_stack(document, layer.name)
    return Stage(
        boxes=boxes,
        selected=next((box for box in (*boxes, *own) if box.name == layer.name), None),
        is_movable=is_movable,
        is_resizable=is_movable and layer.sizing.width == layer.sizing.height == "fixed",
        placed=_serialize_boxes(placed),
    )


def _stage_boxes(
    placed: Sequence[PlacedLayer], left: int = 0, top: int = 0, frame: str = "", *, is_locked: bool = False
) -> Iterator[StageBox]:
    """Yield the boxes of layers and of those in them.

    Args:
        placed: the layers of the canvas, or those of a container.
        left: the left edge of this container.
        top: its top edge.
        frame: its transformation.
        is_locked: whether it is locked, and with it the layers in it.
    """
    for each in placed:
        layer, locked = each.layer, is_locked or each.layer.locked
        x, y = layer.left - left, layer.top - top
        yield StageBox(layer.name, x, y, layer.width, layer.height, layer.rotation, locked, frame)
        rotate = f"rotate({layer.rotation:g} {x + layer.width / 2:g} {y + layer.height / 2:g})"
        inner = " ".join(filter(None, [frame, rotate if layer.rotation else "", f"translate({x} {y})"]))
        yield from _stage_boxes(each.children, layer.left, layer.top, inner, is_locked=locked)
        if each.mask:
            yield from _stage_boxes([each.mask], left, top, frame, is_locked=is_locked)


def _serialize_boxes(placed: Sequence[PlacedLayer]) -> str:
    """Return where layers are by name; a repeated one is where it is first."""
    boxes: dict[str, Box] = {}
    for each in (inner for layer in placed for inner in layer.walk()):
        layer = each.layer
        boxes.setdefault(layer.name, (layer.left, layer.top, layer.width, layer.height))
    return json.dumps(boxes)


def _preview_path(request: Request, template: Template, selection: Selection, digest: str) -> str:
    """Return the image's path, a different one for each document, so that browsers never show an old image."""
    query = selection.query(layer="", zoom="fit")
    path = request.path_in("templates", template.id, "preview")
    return f"{path}?draft={digest[:16]}{'&' if query else ''}{query}"


def _group_by_layer(findings: list[Finding]) -> dict[str, list[Finding]]:
    by_layer: dict[str, list[Finding]] = {}
    for finding in findings:
        by_layer.setdefault(finding.layer, []).append(finding)
    return by_layer

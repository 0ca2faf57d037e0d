"""The editor: a page whose script shows a template's draft as tiles, and sends its changes as small operations.

Each request says which document it is based on. If the draft is another one by then, since someone else has changed it,
nothing is changed and the answer is the new document: the script merges its changes into it and sends them again.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pyramid.csrf import get_csrf_token
from pyramid.httpexceptions import HTTPRequestEntityTooLarge
from pyramid.response import Response
from pyramid.view import view_config
from sqlalchemy import select
from sqlalchemy.orm import Session
from urllib3.fields import RequestField
from urllib3.filepost import encode_multipart_formdata

from cwz_web.db.session import enter_workspace
from cwz_web.feeds.models import Feed
from cwz_web.feeds.queries import list_feeds
from cwz_web.generation.brand import load_brand
from cwz_web.generation.comments import count_open_comments
from cwz_web.generation.drafts import (
    discard_draft,
    find_undo_and_redo,
    has_draft,
    load_draft,
    publish_draft,
    redo,
    save_draft,
    undo,
)
from cwz_web.generation.models import Template, Upload
from cwz_web.i18n import gettext, gettext_noop
from cwz_web.imaging.brand import Brand, offer_brand
from cwz_web.imaging.brand_references import PREFIX
from cwz_web.imaging.document_patches import InvalidPatchError, Operations, patch_document
from cwz_web.imaging.documents import DEFAULT_SIZE, ImageTemplate
from cwz_web.imaging.encoders import Output
from cwz_web.imaging.errors import ImagingError
from cwz_web.imaging.filters import FILTERS
from cwz_web.imaging.findings import Finding
from cwz_web.imaging.icons import find_icons
from cwz_web.imaging.image_uploads import MAX_UPLOAD_BYTES
from cwz_web.imaging.layer_base import Layer
from cwz_web.imaging.layers import walk_layers
from cwz_web.imaging.tiles import Tile, TiledLayer, without_mixing
from cwz_web.resources.permissions import Permission
from cwz_web.resources.workspace import TemplateResource
from cwz_web.storage.contract import StorageError
from cwz_web.storage.uploads import Uploads
from cwz_web.stored_messages import translate_stored
from cwz_web.views.designer import LAYER_ICONS, DesignerPage, change_with_brand, designer_page
from cwz_web.views.editor_elements import MAX_ICONS, list_element_groups
from cwz_web.views.previews import MAX_ROW, sample_values, uploads_of
from cwz_web.web.design_forms import (
    MAX_FORM_FIELDS,
    InvalidDesignError,
    Selection,
    check_size,
    complete_form,
    read_condition,
    replaces_other_condition,
)
from cwz_web.web.document_errors import document_errors
from cwz_web.web.forms import SubmittedForm, empty_form, has_nul
from cwz_web.web.problems import ProblemError, problem_document
from cwz_web.web.request import Request
from cwz_web.web.transactions import release_connection
from cwz_web.workspaces.audit import record

MAX_BODY = 2 * 1024 * 1024
PANELS = {
    "layers": ("layers", gettext_noop("Layers")),
    "elements": ("shapes", gettext_noop("Elements")),
    "uploads": ("upload", gettext_noop("Uploads")),
    "data": ("table-2", gettext_noop("Data")),
    "brand": ("palette", gettext_noop("Brand")),
    "comments": ("message-square", gettext_noop("Comments")),
}
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{1,64}$")]
FormFieldName = Annotated[str, Field(max_length=100)]


class EditRequest(BaseModel):
    """A change of the draft, if any, and what to show of it.

    Attributes:
        base: the digest of the document that the change is for.
        change: names the change; quick successive changes of the same name are one step.
        operations: changes of the document; or
        form: the fields of one of the designer's forms; or
        changed: the fields of the form that the user has changed, the others being those of the draft; all without it.
        action: what is done with the draft.
        layer: the selected layer, which a form can be about.
        size: the size that is shown.
        feed: the feed of the row that is shown; the template's default values without one.
        row: the row, counted from 1.
        have: the digests of tiles that the script has.
        checks: whether to answer the findings of the image, which takes as long as rendering it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    base: Digest
    change: Annotated[str, Field(max_length=100)] = ""
    operations: Operations = []
    form: Annotated[dict[FormFieldName, str], Field(max_length=MAX_FORM_FIELDS)] = {}
    changed: Annotated[list[FormFieldName], Field(max_length=MAX_FORM_FIELDS)] | None = None
    action: Literal["", "undo", "redo", "publish", "discard"] = ""
    layer: Annotated[str, Field(max_length=60)] = ""
    size: Annotated[str, Field(max_length=40)] = DEFAULT_SIZE
    feed: UUID | None = None
    row: Annotated[int, Field(ge=1, le=MAX_ROW)] = 1
    have: Annotated[list[Digest], Field(max_length=1000)] = []
    checks: bool = False

    @property
    def is_change(self) -> bool:
        """Whether it changes the draft."""
        return bool(self.operations or self.form or self.action)

    @property
    def refers_to_brand(self) -> bool:
        """Whether its operations can refer to the brand."""
        return any(PREFIX in json.dumps(operation.value) for operation in self.operations)

    @property
    def selection(self) -> Selection:
        """What a form of the designer is about."""
        return Selection(layer=self.layer, size=self.size)


class ConflictError(Exception):
    """The draft has changed since the document that a change is for."""


@dataclass(frozen=True)
class Draft:
    """The draft after a request.

    Attributes:
        layer: the layer that a form has selected.
        condition: its condition after the form of one.
        replaced: whether this has replaced a condition that the form has not shown.
        is_expected: whether the document is what the script has after its operations.
    """

    template: Template
    document: ImageTemplate
    open_comments: dict[str, int]
    can_undo: bool
    can_redo: bool
    layer: str = ""
    condition: str | None = None
    replaced: bool = False
    is_expected: bool = False


@dataclass(frozen=True)
class EditorPage:
    """The view model of editor/show.jinja2.

    Attributes:
        panels: the tabs of the left panel: their icons and labels.
        element_groups: the elements that can be added.
        icons: the icons that are shown before a search.
        brand: the entries of the workspace's brand.
        start: what the script starts with, as JSON values.
        form: the form of the template's name.
    """

    template: Template
    feeds: list[Feed]
    panels: dict[str, tuple[str, str]]
    layer_icons: dict[str, str]
    element_groups: list[dict[str, Any]]
    icons: list[str]
    brand: dict[str, list[dict[str, Any]]]
    start: dict[str, Any]
    form: SubmittedForm[Any]


@view_config(
    context=TemplateResource,
    name="editor",
    request_method="GET",
    renderer="editor/show.jinja2",
    permission=Permission.TEMPLATE_EDIT,
)
def editor_page(context: TemplateResource, request: Request) -> EditorPage:
    """Show the page; its script asks for the draft."""
    template = context.row
    feeds = list_feeds(request.db, template.workspace_id)
    document = load_draft(request.db, template).document
    brand = describe_brand(request)
    element_groups = list_element_groups()
    start = {
        "page": request.path,
        "account": str(request.user.account.id),
        "operations": request.path_in("templates", template.id, "operations"),
        "properties": request.path_in("templates", template.id, "editor-properties"),
        "fonts": request.path_in("templates", template.id, "editor-fonts"),
        "photo": request.path_in("templates", template.id, "editor-photo"),
        "filters": {name: each.example or name for name, each in FILTERS.items()},
        "elements": [each for group in element_groups for each in group["elements"]],
        "icons": request.path_in("templates", template.id, "editor-icons"),
        "uploads": request.path_in("uploads"),
        "maxUploadBytes": MAX_UPLOAD_BYTES,
        "rows": request.path_in("templates", template.id, "editor-rows"),
        "columns": request.path_in("templates", template.id, "editor-columns"),
        "stress": request.path_in("templates", template.id, "editor-stress"),
        "findings": request.path_in("templates", template.id, "editor-findings"),
        "preview": request.path_in("templates", template.id, "preview"),
        "comments": request.path_in("templates", template.id, "comments"),
        "openComments": count_open_comments(request.db, template),
        "csrf": get_csrf_token(request),
        "base": digest_of(document),
        "document": document.canonical(),
        "brand": brand,
        "feeds": [{"id": str(feed.id), "name": feed.name, "rows": feed.item_count} for feed in feeds],
    }
    request.trusted_types = ("default",)  # of trusted-types.js, for Konva
    panels = {name: (icon, gettext(label)) for name, (icon, label) in PANELS.items()}
    icons = find_icons("", MAX_ICONS)
    return EditorPage(template, feeds, panels, LAYER_ICONS, element_groups, icons, brand, start, empty_form())


@view_config(
    context=TemplateResource,
    name="editor-properties",
    request_method="GET",
    renderer="editor/_properties.jinja2",
    permission=Permission.TEMPLATE_EDIT,
)
def properties_panel(context: TemplateResource, request: Request) -> DesignerPage:
    """Show the forms of the selected layer, or those of the template."""
    return designer_page(request, context.row, checks=False)


@view_config(
    context=TemplateResource,
    name="operations",
    request_method="POST",
    permission=Permission.TEMPLATE_EDIT,
    rate_limit="editor",
)
def change_and_show(context: TemplateResource, request: Request) -> Response:
    """Change the draft, and answer the new state with the tiles that the script does not have."""
    if (request.content_length or 0) > MAX_BODY:
        raise HTTPRequestEntityTooLarge(gettext("A change can have at most %(max)s MB", max=MAX_BODY // 1024**2))
    if has_nul(request.body):
        return _problem(request, 422, "invalid_characters", gettext("Remove the NUL character from the text"), {})
    try:
        edit = EditRequest.model_validate_json(request.body)
    except ValidationError as error:
        return _problem(request, 422, "invalid_request", gettext("This request is not valid"), _messages(error))
    template_id, status = context.row.id, 200
    release_connection(request)
    try:
        draft = _change(request, template_id, edit) if edit.is_change else _read(request, template_id)
    except ConflictError:
        draft, status = _read(request, template_id), 409
    except (InvalidPatchError, InvalidDesignError) as error:
        errors = error.errors if isinstance(error, InvalidDesignError) else {}
        return _problem(request, 422, "invalid_change", str(error), errors)
    enter_workspace(request.db, draft.template.workspace_id)
    document, size = draft.document, edit.size if draft.document.find_size(edit.size) else DEFAULT_SIZE
    values = sample_values(request, document, edit.feed, edit.row)
    uploads = uploads_of(request, draft.template)
    release_connection(request)  # rendering may fetch photos
    rendered = _render_draft(request, document, size, values, uploads, checks=edit.checks)
    return _answer(_state(draft, size, rendered), rendered.tiles(), frozenset(edit.have), status)


def digest_of(document: ImageTemplate) -> str:
    """Return the digest that a change is based on. Unlike that of images, it ignores the order of keys.

    PostgreSQL stores keys in an order of its own: a document that is read again would be another one.
    """
    return sha256(json.dumps(document.canonical(), sort_keys=True).encode()).hexdigest()


def describe_brand(request: Request) -> dict[str, list[dict[str, Any]]]:
    """Return the entries of the workspace's brand as JSON values, for the panel and the script."""
    db, workspace_id = request.db, request.workspace.workspace_id
    brand = load_brand(db, workspace_id).brand
    digests = [reference.partition(":")[2] for reference in brand.logos.values()]
    own = select(Upload).where(Upload.workspace_id == workspace_id, Upload.digest.in_(digests))
    images = {upload.reference: upload for upload in db.scalars(own)}
    return {
        "colors": [{"name": name, "color": color} for name, color in brand.colors.items()],
        "fonts": [{"name": name, "font": font} for name, font in brand.fonts.items()],
        "logos": [
            {
                "name": name,
                "reference": reference,
                "thumbnail": request.path_in("uploads", images[reference].id, "thumbnail"),
                "width": images[reference].width,
                "height": images[reference].height,
            }
            for name, reference in brand.logos.items()
            if reference in images
        ],
        "styles": [{"name": name, **style.model_dump(mode="json")} for name, style in brand.styles.items()],
    }


@dataclass(frozen=True)
class RenderedDraft:
    """The draft in one size with the values of a row.

    Attributes:
        shown: the document in this size.
        error: why it cannot be rendered, if so.
    """

    shown: ImageTemplate
    values: dict[str, str]
    background: Tile | None = None
    layers: tuple[TiledLayer, ...] = ()
    findings: tuple[Finding, ...] | None = None
    error: str = ""

    def tiles(self) -> Iterator[Tile]:
        """Yield all tiles."""
        yield from (tile for tile in (self.background, *(layer.tile for layer in self.layers)) if tile)


def _change(request: Request, template_id: UUID, edit: EditRequest) -> Draft:
    """Change the draft as a request asks.

    Raises:
        ConflictError: the draft is not what the change is for.
        InvalidPatchError: the operations do not fit the document, or it would be invalid.
        InvalidDesignError: the form is invalid.
    """
    workspace_id = request.workspace.workspace_id
    with request.services.database.transaction(workspace_id) as db:
        template = db.get_one(Template, (workspace_id, template_id), with_for_update=True)
        document = load_draft(db, template).document
        if digest_of(document) != edit.base:
            raise ConflictError
        layer, condition, replaced, is_expected = "", None, False, False
        if edit.operations:
            raw = patch_document(document, edit.operations)
            changed = _validate(raw, edit.refers_to_brand and load_brand(db, workspace_id).brand)
            is_expected = changed.canonical() == raw
            _save(request, db, template, document, changed, edit.change)
        elif edit.form:
            check_size(document, edit.selection)
            form = edit.form
            if edit.changed is not None:
                form = complete_form(document, edit.selection, form, edit.changed)
            changed, selection, change = change_with_brand(db, template, document, edit.selection, form)
            layer = selection.layer
            replaced = replaces_other_condition(document, changed, layer, form)
            condition = read_condition(changed, layer) if form.get("do") == "condition" else None
            _save(request, db, template, document, changed, change, merges=not replaced)
        else:
            _act(request, db, template, edit.action)
            changed = load_draft(db, template).document
        draft = _describe_draft(db, template, changed)
        return replace(draft, layer=layer, condition=condition, replaced=replaced, is_expected=is_expected)


def _read(request: Request, template_id: UUID) -> Draft:
    """Return the draft as it is."""
    workspace_id = request.workspace.workspace_id
    with request.services.database.transaction(workspace_id) as db:
        template = db.get_one(Template, (workspace_id, template_id))
        document = load_draft(db, template).document
        return _describe_draft(db, template, document)


def _describe_draft(db: Session, template: Template, document: ImageTemplate) -> Draft:
    undoable, redoable = find_undo_and_redo(db, template)
    return Draft(template, document, count_open_comments(db, template), undoable, redoable)


def _validate(raw: Any, brand: Brand | Literal[False]) -> ImageTemplate:
    """Return a changed document as a template.

    Args:
        raw: the document.
        brand: the brand of the workspace, if the change refers to it.

    Raises:
        InvalidPatchError: the document is invalid.
    """
    try:
        if not brand:
            return ImageTemplate.model_validate(raw)
        return ImageTemplate.model_validate(offer_brand(raw, brand)).without_unused_brand()
    except ValidationError as error:
        path, message = next(iter(document_errors(raw, error).items()))
        raise InvalidPatchError(f"{path}: {message}" if path else message) from None


def _save(
    request: Request,
    db: Session,
    template: Template,
    old: ImageTemplate,
    new: ImageTemplate,
    change: str,
    *,
    merges: bool = True,
) -> None:
    if new != old and save_draft(db, template, new, change, merges=merges):
        record(db, template.workspace_id, request.actor, "template.draft", template.name, {})


def _act(request: Request, db: Session, template: Template, action: str) -> None:
    workspace_id = template.workspace_id
    match action:
        case "undo":
            undo(db, template)
        case "redo":
            redo(db, template)
        case "publish":
            if publish_draft(db, template, request.user.account.id):
                details = {"version": template.version}
                record(db, workspace_id, request.actor, "template.edit", template.name, details)
        case "discard":
            if discard_draft(db, template):
                record(db, workspace_id, request.actor, "template.discard", template.name, {})


def _render_draft(
    request: Request, document: ImageTemplate, size: str, values: dict[str, str], uploads: Uploads, *, checks: bool
) -> RenderedDraft:
    image_service, shown, output = request.services.image_service, document.in_size(size), Output(size=size)
    try:
        prepared = image_service.prepare(uploads, without_mixing(document), values, output)
        layers = tuple(prepared.plan.render_tiles(prepared.values, prepared.sources, shown))
        findings = None
        if checks:
            findings = tuple(image_service.lint(image_service.prepare(uploads, document, values, output)))
        return RenderedDraft(shown, dict(prepared.values), prepared.plan.render_background_tile(), layers, findings)
    except (ImagingError, StorageError) as error:
        return RenderedDraft(shown, values, error=translate_stored(str(error)))


def _state(draft: Draft, size: str, rendered: RenderedDraft) -> dict[str, Any]:
    """Return what the script shows, as JSON values."""
    shown = rendered.shown
    names = {each.layer.name for each in rendered.layers}
    return {
        "base": digest_of(draft.document),
        "document": None if draft.is_expected else draft.document.canonical(),
        "version": draft.template.version,
        "hasDraft": has_draft(draft.template),
        "openComments": draft.open_comments,
        "canUndo": draft.can_undo,
        "canRedo": draft.can_redo,
        "layer": draft.layer,
        "condition": draft.condition,
        "replaced": draft.replaced,
        "size": size,
        "width": shown.canvas.width,
        "height": shown.canvas.height,
        "values": {name: text for name, text in rendered.values.items() if name in draft.document.field_names},
        "background": _describe_tile(rendered.background),
        "layers": [_describe_layer(each, shown) for each in rendered.layers],
        "absent": [_describe_absent(layer) for layer in walk_layers(shown.layers) if layer.name not in names],
        "findings": None if rendered.findings is None else [_describe_finding(each) for each in rendered.findings],
        "error": rendered.error,
    }


def _describe_layer(tiled: TiledLayer, shown: ImageTemplate) -> dict[str, Any]:
    layer, designed = tiled.layer, shown.find_layer(tiled.layer.name) or tiled.layer
    return {
        "name": layer.name,
        "instance": tiled.instance,
        "parent": tiled.parent,
        "width": layer.width,
        "height": layer.height,
        "center": tiled.center,
        "rotation": tiled.rotation,
        "opacity": tiled.opacity,
        "blend": tiled.blend,
        "problem": translate_stored(tiled.problem),
        "tile": _describe_tile(tiled.tile),
        "own": _own_box(designed),
    }


def _own_box(layer: Layer) -> dict[str, Any]:
    """Return where a layer is in the size by its own values, in its container."""
    return {name: getattr(layer, name) for name in ("x", "y", "width", "height", "rotation", "anchor", "left", "top")}


def _describe_absent(layer: Layer) -> dict[str, Any]:
    return {"name": layer.name, "own": _own_box(layer)}


def _describe_tile(tile: Tile | None) -> dict[str, Any] | None:
    if tile is None:
        return None
    return {"digest": tile.digest, "x": tile.x, "y": tile.y, "width": tile.width, "height": tile.height}


def _describe_finding(finding: Finding) -> dict[str, str]:
    return {"layer": finding.layer, "message": translate_stored(finding.message), "code": finding.code}


def _answer(state: dict[str, Any], tiles: Iterable[Tile], have: frozenset[str], status: int) -> Response:
    """Return a state and tiles as a form (RFC 7578), which every browser can read."""
    text = json.dumps(state, ensure_ascii=False, separators=(",", ":"))
    fields = [RequestField("state", text.encode(), headers={"Content-Type": "application/json"})]
    new = {tile.digest: tile for tile in tiles if tile.digest not in have}
    fields += [
        RequestField(digest, tile.png, filename=f"{digest}.png", headers={"Content-Type": "image/png"})
        for digest, tile in new.items()
    ]
    for field in fields:
        field.make_multipart(content_type=field.headers["Content-Type"])
    body, content_type = encode_multipart_formdata(fields)
    return Response(body, status=status, headerlist=[("Content-Type", content_type)])


def _messages(error: ValidationError) -> dict[str, str]:
    return {".".join(map(str, problem["loc"])): problem["msg"] for problem in error.errors()[:10]}


def _problem(request: Request, status: int, code: str, detail: str, errors: dict[str, str]) -> Response:
    problem = ProblemError(status, code, detail, errors)
    return Response(json_body=problem_document(problem, request.id), status=status)

"""`/v1/templates`: the workspace's templates with their documents, versions and drafts."""

import json
from datetime import UTC, datetime
from hashlib import sha256
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field, JsonValue
from pydantic_core import to_jsonable_python
from pyramid.response import Response
from pyramid.view import view_config
from sqlalchemy.orm import Session

from cwz_web.api.pagination import ResponseModel, paginate, transaction
from cwz_web.api.request_body import Body, read_body
from cwz_web.generation.api_keys import ApiKeyIdentity
from cwz_web.generation.brand import load_brand
from cwz_web.generation.drafts import discard_draft, has_draft, load_draft, publish_draft, save_draft
from cwz_web.generation.models import Template, TemplateVersion
from cwz_web.generation.templates import (
    MAX_NAME,
    create_template,
    find_version,
    list_versions,
    load_design,
    publish,
    unused_name,
)
from cwz_web.imaging.document_length import MAX_DOCUMENT_LENGTH, DocumentTooLongError
from cwz_web.imaging.documents import DEFAULT_SIZE, ImageTemplate
from cwz_web.imaging.editing import LayerType
from cwz_web.imaging.field_values import FieldType
from cwz_web.imaging.layer_overrides import schema_of
from cwz_web.imaging.layers import AnyLayer, walk_layers
from cwz_web.resources.api import ApiTemplate, ApiTemplateCollection, ApiTemplateVersion, ApiTemplateVersionCollection
from cwz_web.resources.permissions import Permission
from cwz_web.web.document_errors import check_document
from cwz_web.web.problems import ProblemError
from cwz_web.web.request import Request
from cwz_web.workspaces.audit import record

# A character of a document has up to four bytes.
MAX_TEMPLATE_BODY = 4 * MAX_DOCUMENT_LENGTH
# What the step of a draft says has changed.
API_CHANGE = "api"

Document = dict[str, JsonValue]
TemplateName = Annotated[str, Field(min_length=1, max_length=MAX_NAME, pattern=r"^[^\x00-\x1f\x7f]*$")]


class TemplateRequest(Body):
    """The body of `POST /v1/templates`: a name and a document (`/v1/schemas/template`), published as version 1.

    A number is added to a name that another template has.
    """

    name: TemplateName
    document: Document


class TemplateChangeRequest(Body):
    """The body of `PUT /v1/templates/{id}`: a document, and a name unless it stays.

    The document is published as the next version, which ends a draft; with `publish` false it becomes the draft. A
    document that says the same as the published one makes no version. Send the ETag of the template as If-Match, so
    that no change of another person or program is overwritten.
    """

    document: Document
    name: TemplateName | None = None
    publish: bool = True


class TemplateInfo(ResponseModel):
    """A template. `version` is the published version."""

    id: UUID
    slug: str
    name: str
    version: int


class TemplatePage(ResponseModel):
    """A page of templates, newest first."""

    templates: list[TemplateInfo]
    next: str | None


class TemplateFieldInfo(ResponseModel):
    """A field of a template: an input that differs from image to image."""

    name: str
    label: str
    type: FieldType
    default: str


class TemplateCanvasInfo(ResponseModel):
    """The canvas of a template, in pixels, and which of its sides a request can change (`canvas`)."""

    width: int
    height: int
    open: list[Literal["width", "height"]]


class TemplateSizeInfo(ResponseModel):
    """A size of a template, in pixels; `default` is the size of its canvas."""

    name: str
    width: int
    height: int


class OpenPropertyInfo(ResponseModel):
    """A property that `layers` of a request can override: its value in the template, and its JSON Schema."""

    name: str
    value: JsonValue
    json_schema: Document


class TemplateLayerInfo(ResponseModel):
    """A layer of a template, by its name, which is unique in the template, and its properties that are open."""

    name: str
    type: LayerType
    open: list[OpenPropertyInfo]


class TemplateDetails(TemplateInfo):
    """A template with its fields, canvas, sizes, layers and document, as they are published.

    `has_draft` says whether it has unpublished changes, which `GET /v1/templates/{id}/draft` returns.
    """

    tags: list[str]
    has_draft: bool
    fields: list[TemplateFieldInfo]
    canvas: TemplateCanvasInfo
    sizes: list[TemplateSizeInfo]
    layers: list[TemplateLayerInfo]
    document: Document


class TemplateVersionInfo(ResponseModel):
    """A published version of a template; its `name` is empty unless people named it."""

    number: int
    name: str
    published_at: datetime


class TemplateVersionList(ResponseModel):
    """The versions of a template, newest first; at most the newest 200."""

    versions: list[TemplateVersionInfo]


class TemplateVersionDetails(TemplateVersionInfo):
    """A version with its document, which never changes."""

    document: Document


@view_config(context=ApiTemplateCollection, request_method="GET", renderer="json", permission=Permission.API_READ)
def list_templates(context: ApiTemplateCollection, request: Request) -> dict[str, Any]:
    """Return a page of the workspace's templates."""
    with transaction(request) as db:
        templates, cursor = paginate(request, db, Template)
    page = TemplatePage(templates=[TemplateInfo(**_summary(template)) for template in templates], next=cursor)
    return page.model_dump(mode="json")


@view_config(
    context=ApiTemplateCollection, request_method="POST", permission=Permission.API_TEMPLATES_WRITE, require_csrf=False
)
def post_template(context: ApiTemplateCollection, request: Request) -> Response:
    """Create a template."""
    body, api_key = read_body(request, TemplateRequest, MAX_TEMPLATE_BODY), request.api_key
    if api_key.templates:
        raise ProblemError(403, "template_not_allowed", "This API key is limited to templates that exist")
    with transaction(request) as db:
        document = read_document(db, request, body.document)
        template = create_template(db, api_key.workspace_id, name=body.name, document=document)
        record(db, api_key.workspace_id, request.actor, "template.create", template.name, {})
        response = _details_response(db, template, status=201)
    response.location = f"{request.path_url.rstrip('/')}/{template.id}"
    return response


@view_config(context=ApiTemplate, request_method="GET", permission=Permission.API_READ)
def show_template(context: ApiTemplate, request: Request) -> Response:
    """Return a template as it is published."""
    with transaction(request) as db:
        return _details_response(db, db.get_one(Template, (context.row.workspace_id, context.row.id)))


@view_config(context=ApiTemplate, name="draft", request_method="GET", permission=Permission.API_READ)
def show_draft(context: ApiTemplate, request: Request) -> Response:
    """Return a template with its unpublished changes; as it is published if there are none."""
    with transaction(request) as db:
        template = db.get_one(Template, (context.row.workspace_id, context.row.id))
        return _details_response(db, template, load_draft(db, template).document)


@view_config(context=ApiTemplate, request_method="PUT", permission=Permission.API_TEMPLATES_WRITE, require_csrf=False)
def put_template(context: ApiTemplate, request: Request) -> Response:
    """Publish a document as the next version, or store it as the draft."""
    body = read_body(request, TemplateChangeRequest, MAX_TEMPLATE_BODY)
    with transaction(request) as db:
        template = _lock(db, request, context.row)
        document = read_document(db, request, body.document)
        if body.name is not None and body.name != template.name:
            name = unused_name(db, template.workspace_id, body.name)
            _audit(db, request, "template.rename", template, to=name)
            template.name = name
            db.flush()  # publishing reads the row again
        if body.publish:
            _publish(db, request, template, document)
        elif document.canonical() != load_draft(db, template).document.canonical():
            save_draft(db, template, document, API_CHANGE)
        return _details_response(db, template, None if body.publish else document)


@view_config(
    context=ApiTemplate,
    name="publish",
    request_method="POST",
    permission=Permission.API_TEMPLATES_WRITE,
    require_csrf=False,
)
def publish_template(context: ApiTemplate, request: Request) -> Response:
    """Publish the draft as the next version; a template without a draft stays as it is."""
    with transaction(request) as db:
        template = _lock(db, request, context.row)
        if publish_draft(db, template, None):
            _audit(db, request, "template.edit", template, version=template.version)
        return _details_response(db, template)


@view_config(
    context=ApiTemplate, request_method="DELETE", permission=Permission.API_TEMPLATES_WRITE, require_csrf=False
)
def delete_template(context: ApiTemplate, request: Request) -> Response:
    """Delete a template. Members can restore it for a while; its images stay."""
    with transaction(request) as db:
        template = _lock(db, request, context.row)
        template.deleted_at = datetime.now(UTC)
        _audit(db, request, "template.delete", template)
    return Response(status=204)


@view_config(
    context=ApiTemplateVersionCollection, request_method="GET", renderer="json", permission=Permission.API_READ
)
def get_versions(context: ApiTemplateVersionCollection, request: Request) -> dict[str, Any]:
    """List the versions of a template."""
    with transaction(request) as db:
        versions = [TemplateVersionInfo(**_version(version)) for version, _ in list_versions(db, context.template)]
    return TemplateVersionList(versions=versions).model_dump(mode="json")


@view_config(context=ApiTemplateVersion, request_method="GET", renderer="json", permission=Permission.API_READ)
def get_version(context: ApiTemplateVersion, request: Request) -> dict[str, Any]:
    """Return a version with its document."""
    with transaction(request) as db:
        version = find_version(db, context.template, context.number)
    if version is None:
        raise ProblemError(404, "not_found", "The template has no such version")
    document = _as_written(ImageTemplate.model_validate(version.document))
    return TemplateVersionDetails(**_version(version), document=document).model_dump(mode="json")


def unknown_template() -> ProblemError:
    """Return the problem of a template that the workspace does not have."""
    return ProblemError(422, "unknown_template", "There is no such template", {"template": "Use its id or slug"})


def check_template(api_key: ApiKeyIdentity, template_id: UUID) -> None:
    """Raise ProblemError unless the key may render the template."""
    if api_key.templates and str(template_id) not in api_key.templates:
        raise ProblemError(403, "template_not_allowed", "This API key may not use this template")


def _lock(db: Session, request: Request, template: Template) -> Template:
    """Return a template that no other transaction changes.

    Raises:
        ProblemError: If-Match names another state of it, or it was deleted since.
    """
    locked = db.get(Template, (template.workspace_id, template.id), with_for_update=True)
    if locked is None or locked.deleted_at:
        raise ProblemError(404, "not_found", "There is no such template")
    if "*" not in request.if_match and _etag(locked) not in request.if_match:
        raise ProblemError(412, "precondition_failed", "The template has changed since. Read it again, then retry")
    return locked


def read_document(db: Session, request: Request, parsed: Document) -> ImageTemplate:
    """Return a document of a request, which can refer to the workspace's brand. Raises ProblemError."""
    if len(json.dumps(parsed, ensure_ascii=False)) > MAX_DOCUMENT_LENGTH:
        raise _invalid({"document": str(DocumentTooLongError())})
    document, errors = check_document(parsed, load_brand(db, request.api_key.workspace_id).brand)
    if document is None:
        raise _invalid({f"document.{path}" if path else "document": text for path, text in errors.items()})
    return document


def _invalid(errors: dict[str, str]) -> ProblemError:
    return ProblemError(422, "invalid", "The request is not valid", errors)


def _publish(db: Session, request: Request, template: Template, document: ImageTemplate) -> None:
    """Publish a document in place of the draft, unless it says the same as the published one."""
    discard_draft(db, template)
    if document.canonical() == load_design(db, template).document.canonical():
        return
    publish(db, template, document)
    _audit(db, request, "template.edit", template, version=template.version)


def _details_response(
    db: Session, template: Template, document: ImageTemplate | None = None, status: int = 200
) -> Response:
    """Return a template with a document; by default, with the published one."""
    shown = document or load_design(db, template).document
    sizes = [TemplateSizeInfo(name=DEFAULT_SIZE, width=shown.canvas.width, height=shown.canvas.height)]
    sizes += [TemplateSizeInfo(name=size.name, width=size.width, height=size.height) for size in shown.sizes]
    details = TemplateDetails(
        **_summary(template),
        tags=template.tags,
        has_draft=has_draft(template),
        fields=[TemplateFieldInfo(**field.model_dump()) for field in shown.fields],
        canvas=TemplateCanvasInfo(width=shown.canvas.width, height=shown.canvas.height, open=list(shown.canvas.open)),
        sizes=sizes,
        layers=[_layer_info(layer) for layer in walk_layers(shown.layers)],
        document=_as_written(shown),
    )
    response = Response(json_body=details.model_dump(mode="json"), status=status)
    response.etag = _etag(template)
    return response


def _layer_info(layer: AnyLayer) -> TemplateLayerInfo:
    properties = [
        OpenPropertyInfo(
            name=name, value=to_jsonable_python(getattr(layer, name)), json_schema=schema_of(type(layer), name)
        )
        for name in layer.open
    ]
    return TemplateLayerInfo(name=layer.name, type=layer.type, open=properties)


def _as_written(document: ImageTemplate) -> Document:
    """Return a document without default values, as people write it."""
    parsed: Document = json.loads(document.to_json())
    return parsed


def _etag(template: Template) -> str:
    """Return the ETag of a template, which changes with its name, its version and its draft."""
    parts = [template.name, template.version, template.step, template.published_step]
    return sha256(json.dumps(parts).encode()).hexdigest()[:32]


def _version(version: TemplateVersion) -> dict[str, Any]:
    return {"number": version.number, "name": version.name, "published_at": version.created_at}


def _audit(db: Session, request: Request, action: str, template: Template, **details: Any) -> None:
    record(db, template.workspace_id, request.actor, action, template.name, details)


def _summary(template: Template) -> dict[str, Any]:
    return {"id": template.id, "slug": template.slug, "name": template.name, "version": template.version}

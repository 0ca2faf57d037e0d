"""Images of templates that are not stored: `/v1/templates/{id}/preview` and `/v1/templates/{id}/thumbnail`."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator
from pyramid.response import Response
from pyramid.view import view_config
from sqlalchemy.exc import NoResultFound

from cwz_web.api.image_requests import ImageValues, resolve_values, unknown_version
from cwz_web.api.layer_overrides import Layers, override_plan
from cwz_web.api.on_demand import OnDemandRendering, add_findings
from cwz_web.api.pagination import transaction
from cwz_web.api.request_body import read_body
from cwz_web.api.templates import MAX_TEMPLATE_BODY, Document, read_document
from cwz_web.generation.drafts import load_draft
from cwz_web.generation.models import Template
from cwz_web.generation.template_cache import TemplatePlan, TemplateVersionState
from cwz_web.imaging.documents import DEFAULT_SIZE
from cwz_web.imaging.encoders import Format, Localization, Output
from cwz_web.resources.api import ApiTemplate
from cwz_web.resources.permissions import Permission
from cwz_web.web.problems import ProblemError
from cwz_web.web.request import Request

MAX_WIDTH = 1000
THUMBNAIL_WIDTH = 400


class PreviewRequest(Localization, ImageValues):
    """The body of `POST /v1/templates/{id}/preview`.

    By default, the draft is shown, or the published version if there is none; with `version` a published one, and
    with `document` one that is not stored. The values are as in `POST /v1/images`, and so are `layers`. A wider image
    is reduced to `width` pixels.
    """

    version: Annotated[int, Field(ge=1, le=2**31 - 1)] | None = None
    document: Document | None = None
    layers: Layers = Field({})
    size: Annotated[str, Field(max_length=40)] = DEFAULT_SIZE
    format: Literal[Format.PNG, Format.JPEG, Format.WEBP] = Format.PNG
    width: Annotated[int, Field(ge=16, le=MAX_WIDTH)] = MAX_WIDTH

    @model_validator(mode="after")
    def _check_design(self) -> Self:
        if self.version is not None and self.document is not None:
            raise ValueError("Give version or document, or neither for the draft")
        return self


@view_config(
    context=ApiTemplate,
    name="preview",
    request_method="POST",
    permission=Permission.API_TEMPLATES_WRITE,
    require_csrf=False,
    rate_limit="api-preview",
)
def preview_template(context: ApiTemplate, request: Request) -> Response:
    """Return an image that is neither stored nor counted."""
    body = read_body(request, PreviewRequest, MAX_TEMPLATE_BODY)
    state = _find_state(request, context.row)
    plan = override_plan(request, _find_plan(request, state, body), body.layers)
    values = resolve_values(request, body, state, plan.design)
    market = {name: getattr(body, name) for name in Localization.model_fields}
    rendering = _prepare(request, plan, values, Output(size=body.size, format=body.format, **market))
    rendered = rendering.preview(body.width)
    response = Response(rendered.data, content_type=body.format.content_type)
    response.headers["Cache-Control"] = "private, no-store"
    add_findings(response, rendered.findings)
    return response


@view_config(
    context=ApiTemplate,
    name="thumbnail",
    request_method="GET",
    permission=Permission.API_READ,
    rate_limit="api-thumbnail",
)
def show_thumbnail(context: ApiTemplate, request: Request) -> Response:
    """Return a small image of the published version with its default values, to be revalidated by its ETag."""
    plan = request.services.template_cache.get_plan(_find_state(request, context.row))
    rendering = _prepare(request, plan, {}, Output(format=Format.PNG))
    response = Response(content_type=Format.PNG.content_type, conditional_response=True)
    response.etag = f"{rendering.digest}-{THUMBNAIL_WIDTH}"
    response.headers["Cache-Control"] = "private, no-cache"
    if response.etag not in request.if_none_match:
        response.body = rendering.preview(THUMBNAIL_WIDTH).data
    return response


def _find_state(request: Request, template: Template) -> TemplateVersionState:
    state = request.services.template_cache.find_state(template.id)
    if state is None:
        raise ProblemError(404, "not_found", "The template was deleted")
    return state


def _find_plan(request: Request, state: TemplateVersionState, body: PreviewRequest) -> TemplatePlan:
    """Return what a request shows. Raises ProblemError."""
    try:
        plan = request.services.template_cache.get_plan(state, body.version)
    except NoResultFound:
        raise unknown_version(state) from None
    if body.version is not None:
        return plan
    with transaction(request) as db:
        if body.document is not None:
            document = read_document(db, request, body.document)
        else:
            document = load_draft(db, db.get_one(Template, (state.workspace_id, state.template_id))).document
    # Not in the cache of plans, whose documents do not change.
    return replace(plan, design=replace(plan.design, document=document), is_overridden=True)


def _prepare(request: Request, plan: TemplatePlan, values: Mapping[str, str], output: Output) -> OnDemandRendering:
    api_key = request.api_key
    quota = request.services.quotas.of(api_key.workspace_id, api_key.plan_status, api_key)
    return OnDemandRendering(request, quota, plan, values, output)

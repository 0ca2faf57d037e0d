"""`/v1/openapi.json`: the API for programs (OpenAPI 3.1), put together from the models that the views use."""

from dataclasses import dataclass
from functools import cache
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from pyramid.response import Response
from pyramid.security import NO_PERMISSION_REQUIRED
from pyramid.view import view_config

from cwz_web.api import feeds, images, reading, runs
from cwz_web.api.idempotency import HEADER, MAX_KEY
from cwz_web.api.images import IMAGES
from cwz_web.api.pagination import MAX_PAGE, PAGE, POSITION
from cwz_web.generation.api_keys import Scope
from cwz_web.resources.api import ApiRoot
from cwz_web.web.request import Request

FRESH_SECONDS = 3600
REF = "#/components/schemas/{model}"
UUID_PATTERN = "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
FILE = {"schema": {"type": "string", "format": "binary"}}


class ProblemInfo(BaseModel):
    """What is wrong with a request (RFC 9457). `code` is stable; `errors` names the fields."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    request_id: str
    errors: dict[str, str] = {}


@dataclass(frozen=True)
class Operation:
    """One thing that the API does.

    Attributes:
        answers: the model of each status; None for an answer without a body.
        pages: whether it takes `limit` and `after`.
        takes_file: whether the body is a file of any kind, or none.
    """

    method: str
    path: str
    summary: str
    scope: Scope
    answers: dict[int, type[BaseModel] | None]
    body: type[BaseModel] | None = None
    pages: bool = False
    takes_file: bool = False


GENERATE, READ, WRITE = Scope.GENERATE, Scope.READ, Scope.FEEDS_WRITE
OPERATIONS = (
    Operation(
        "post",
        "/images",
        "Make an image, or, with Prefer: respond-async, order one",
        GENERATE,
        {200: images.Image, 201: images.Image, 202: images.OrderInfo},
        images.ImageRequest,
    ),
    Operation("get", "/images/{id}", "Whether an ordered image is there", GENERATE, {200: images.OrderInfo}),
    Operation("get", "/templates", "List templates", READ, {200: reading.TemplatePage}, pages=True),
    Operation("get", "/templates/{id}", "A template, with its columns and sizes", READ, {200: reading.TemplateDetails}),
    Operation("get", "/feeds", "List feeds", READ, {200: feeds.FeedPage}, pages=True),
    Operation("post", "/feeds", "Make a feed without rows", WRITE, {201: feeds.FeedInfo}, feeds.NewFeed),
    Operation("get", "/feeds/{id}", "A feed", READ, {200: feeds.FeedInfo}),
    Operation("get", "/feeds/{id}/items", "List a feed's rows", READ, {200: feeds.ItemPage}, pages=True),
    Operation("post", "/feeds/{id}/items", "Add or replace rows", WRITE, {200: feeds.Pushed}, feeds.PushedItems),
    Operation("post", "/feeds/{id}/remove", "Remove rows", WRITE, {200: feeds.Removed}, feeds.Keys),
    Operation("get", "/feeds/{id}/items/{key}", "A row", READ, {200: feeds.ItemInfo}),
    Operation("put", "/feeds/{id}/items/{key}", "Add or replace a row", WRITE, {200: feeds.Pushed}, feeds.ItemData),
    Operation("delete", "/feeds/{id}/items/{key}", "Remove a row", WRITE, {204: None}),
    Operation("get", "/feeds/{id}/imports", "List a feed's newest imports", READ, {200: feeds.ImportPage}),
    Operation(
        "post", "/feeds/{id}/imports", "Bring in a file, or fetch it", WRITE, {202: feeds.ImportInfo}, takes_file=True
    ),
    Operation("get", "/feeds/{id}/imports/{number}", "How far an import is", READ, {200: feeds.ImportInfo}),
    Operation("get", "/runs", "List runs", READ, {200: runs.RunPage}, pages=True),
    Operation("post", "/runs", "Render a feed with a template", GENERATE, {201: runs.RunInfo}, runs.RunRequest),
    Operation("post", "/runs/plan", "What a run would come to", GENERATE, {200: runs.RunPlanInfo}, runs.RunRequest),
    Operation("get", "/runs/{id}", "How far a run is", READ, {200: runs.RunStatus}),
    Operation("get", "/runs/{id}/items", "What became of a run's rows", READ, {200: runs.RunItemPage}, pages=True),
    Operation("post", "/runs/{id}/cancel", "Render no further rows", GENERATE, {200: runs.RunInfo}),
    Operation("post", "/runs/{id}/retry", "Render what failed again", GENERATE, {200: runs.RunInfo}),
    Operation("get", "/images", "List kept images", READ, {200: reading.ImagePage}, pages=True),
    Operation("get", "/images/{id}", "A kept image", READ, {200: reading.ImageInfo}),
    Operation("get", "/usage", "What this month has made, and may make", READ, {200: reading.UsageInfo}),
)


@view_config(context=ApiRoot, name="openapi.json", request_method="GET", permission=NO_PERMISSION_REQUIRED)
def openapi(context: ApiRoot, request: Request) -> Response:
    """The document."""
    response = Response(json_body=document(request.services.settings.url), charset="utf-8")
    response.content_type = "application/json"
    response.headers["Cache-Control"] = f"public, max-age={FRESH_SECONDS}"
    return response


def document(url: str) -> dict[str, Any]:
    """The OpenAPI document of an installation."""
    paths: dict[str, Any] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "ConnectWyze",
            "version": "1",
            "description": "Images from rows of data. Every error is a problem (RFC 9457) with a stable `code`.",
        },
        "servers": [{"url": f"{url}/v1"}],
        "security": [{"key": []}],
        "paths": paths,
        "components": {"securitySchemes": {"key": {"type": "http", "scheme": "bearer"}}, "schemas": _schemas()},
    }


def _operation(operation: Operation) -> dict[str, Any]:
    found: dict[str, Any] = {
        "operationId": f"{operation.method}_{operation.path.strip('/').translate(_name)}".replace("__", "_"),
        "summary": operation.summary,
        "description": f"Needs a key with the scope `{operation.scope}`.",
        "parameters": _parameters(operation),
        "responses": {str(status): _answer(operation, model) for status, model in operation.answers.items()}
        | {"default": {"description": "A problem", "content": {"application/problem+json": _model(ProblemInfo)}}},
    }
    if operation.body is not None:
        found["requestBody"] = {"required": True, "content": {"application/json": _model(operation.body)}}
    if operation.takes_file:
        found["requestBody"] = {
            "required": False,
            "content": dict.fromkeys(["application/octet-stream", "text/csv"], FILE),
        }
    return found


def _parameters(operation: Operation) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    if "{id}" in operation.path:
        found.append(_parameter("path", "id", {"type": "string", "format": "uuid"}))
    if "{key}" in operation.path:
        found.append(_parameter("path", "key", {"type": "string", "minLength": 1, "maxLength": 400}))
    if "{number}" in operation.path:
        found.append(_parameter("path", "number", {"type": "integer", "minimum": 1, "maximum": 999_999_999}))
    if operation.pages:
        limit = {"type": "integer", "minimum": 1, "maximum": MAX_PAGE, "default": PAGE}
        pattern = POSITION if operation.path.endswith("/items") else f"({UUID_PATTERN})?"
        after = {"type": "string", "pattern": f"^{pattern}$"}
        found += [_parameter("query", "limit", limit), _parameter("query", "after", after)]
    if operation.method == "post":
        key = {"type": "string", "minLength": 1, "maxLength": MAX_KEY, "pattern": "^[!-~]([ -~]*[!-~])?$"}
        found.append(_parameter("header", HEADER, key))
    if operation.body is images.ImageRequest:
        found.append(_parameter("header", "Prefer", {"type": "string", "enum": ["respond-async"]}))
    return found


def _parameter(place: str, name: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"in": place, "name": name, "required": place == "path", "schema": schema}


def _answer(operation: Operation, model: type[BaseModel] | None) -> dict[str, Any]:
    if model is None:
        return {"description": "Done"}
    content = {"application/json": _model(model)}
    if model is images.Image:
        content |= dict.fromkeys(IMAGES, FILE)
    return {"description": operation.summary, "content": content}


def _model(model: type[BaseModel]) -> dict[str, Any]:
    return {"schema": {"$ref": REF.format(model=model.__name__)}}


@cache
def _schemas() -> dict[str, Any]:
    """Every model. Put together once: it takes 30 ms."""
    bodies = [(operation.body, "validation") for operation in OPERATIONS if operation.body is not None]
    answers = [(m, "serialization") for operation in OPERATIONS for m in operation.answers.values() if m is not None]
    models: Any = dict.fromkeys([*bodies, *answers, (ProblemInfo, "serialization")])
    _, schemas = models_json_schema(list(models), ref_template=REF)
    found: dict[str, Any] = schemas["$defs"]
    return found


_name = str.maketrans({"/": "_", "{": "", "}": ""})

"""`/v1/openapi.json`: the OpenAPI 3.1 document, built from the models that the views use."""

from dataclasses import dataclass
from functools import cache
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from pyramid.response import Response
from pyramid.security import NO_PERMISSION_REQUIRED
from pyramid.view import view_config

from cwz_web.api import feeds, image_requests, images, runs, templates, usage
from cwz_web.api.idempotency import HEADER, MAX_KEY
from cwz_web.api.images import IMAGE_TYPES
from cwz_web.api.pagination import DEFAULT_LIMIT, MAX_LIMIT, POSITION_PATTERN
from cwz_web.feeds.encodings import ENCODING_LABELS
from cwz_web.feeds.reading import CHARACTER_NAMES, DELIMITER_LABELS, MAX_CHOICE, MAX_HEADER_ROW, QUOTE_LABELS
from cwz_web.generation.api_keys import Scope
from cwz_web.resources.api import ApiRoot
from cwz_web.web.request import Request

MAX_AGE_SECONDS = 3600
REF = "#/components/schemas/{model}"
UUID_PATTERN = "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
BINARY = {"schema": {"type": "string", "format": "binary"}}


class ProblemInfo(BaseModel):
    """A problem (RFC 9457). `code` is stable; `errors` has a message for each invalid field."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    request_id: str
    errors: dict[str, str] = {}


@dataclass(frozen=True)
class Operation:
    """An operation of the API.

    Attributes:
        responses: the model of the response body by status; None for a response without one.
        is_paginated: whether it takes `limit` and `after`.
        accepts_file: whether the body is a file of any type, or empty.
    """

    method: str
    path: str
    summary: str
    scope: Scope
    responses: dict[int, type[BaseModel] | None]
    body: type[BaseModel] | None = None
    is_paginated: bool = False
    accepts_file: bool = False


GENERATE, READ, WRITE = Scope.GENERATE, Scope.READ, Scope.FEEDS_WRITE
OPERATIONS = (
    Operation(
        "post",
        "/images",
        "Render an image, or request one with Prefer: respond-async",
        GENERATE,
        {200: images.CreatedImage, 201: images.CreatedImage, 202: image_requests.ImageRequestInfo},
        image_requests.ImageRequest,
    ),
    Operation("get", "/images", "List stored images", READ, {200: images.ImagePage}, is_paginated=True),
    Operation("get", "/images/{id}", "Get a stored image", READ, {200: images.ImageInfo}),
    Operation("get", "/image-requests/{id}", "Get an image request", GENERATE, {200: image_requests.ImageRequestInfo}),
    Operation("get", "/templates", "List templates", READ, {200: templates.TemplatePage}, is_paginated=True),
    Operation(
        "get", "/templates/{id}", "Get a template with its fields and sizes", READ, {200: templates.TemplateDetails}
    ),
    Operation("get", "/feeds", "List feeds", READ, {200: feeds.FeedPage}, is_paginated=True),
    Operation("post", "/feeds", "Create an empty feed", WRITE, {201: feeds.FeedInfo}, feeds.FeedRequest),
    Operation("get", "/feeds/{id}", "Get a feed", READ, {200: feeds.FeedInfo}),
    Operation("get", "/feeds/{id}/items", "List a feed's items", READ, {200: feeds.ItemPage}, is_paginated=True),
    Operation(
        "post", "/feeds/{id}/items", "Create or replace items", WRITE, {200: feeds.ItemWriteInfo}, feeds.ItemsRequest
    ),
    Operation("post", "/feeds/{id}/remove", "Delete items", WRITE, {200: feeds.ItemDeleteInfo}, feeds.ItemKeysRequest),
    Operation(
        "put",
        "/feeds/{id}/formats",
        "Set the formats of columns",
        WRITE,
        {200: feeds.FeedInfo},
        feeds.ColumnFormatsRequest,
    ),
    Operation("get", "/feeds/{id}/items/{key}", "Get an item", READ, {200: feeds.ItemInfo}),
    Operation(
        "put",
        "/feeds/{id}/items/{key}",
        "Create or replace an item",
        WRITE,
        {200: feeds.ItemWriteInfo},
        feeds.ItemRequest,
    ),
    Operation("delete", "/feeds/{id}/items/{key}", "Delete an item", WRITE, {204: None}),
    Operation("get", "/feeds/{id}/imports", "List a feed's newest imports", READ, {200: feeds.ImportPage}),
    Operation(
        "post",
        "/feeds/{id}/imports",
        "Import a file, or fetch the feed's source",
        WRITE,
        {202: feeds.ImportInfo},
        accepts_file=True,
    ),
    Operation("get", "/feeds/{id}/imports/{number}", "Get an import", READ, {200: feeds.ImportInfo}),
    Operation("get", "/runs", "List runs", READ, {200: runs.RunPage}, is_paginated=True),
    Operation("post", "/runs", "Start a run", GENERATE, {201: runs.RunInfo}, runs.RunRequest),
    Operation("post", "/runs/plan", "Preview a run", GENERATE, {200: runs.RunPlanInfo}, runs.RunRequest),
    Operation("get", "/runs/{id}", "Get a run", READ, {200: runs.RunStatus}),
    Operation("get", "/runs/{id}/items", "List a run's items", READ, {200: runs.RunItemPage}, is_paginated=True),
    Operation("post", "/runs/{id}/cancel", "Cancel a run", GENERATE, {200: runs.RunInfo}),
    Operation("post", "/runs/{id}/retry", "Retry the failed items of a run", GENERATE, {200: runs.RunInfo}),
    Operation("get", "/usage", "Get this month's usage and quotas", READ, {200: usage.UsageInfo}),
)


@view_config(context=ApiRoot, name="openapi.json", request_method="GET", permission=NO_PERMISSION_REQUIRED)
def openapi(context: ApiRoot, request: Request) -> Response:
    """Return the OpenAPI document."""
    response = Response(json_body=document(request.services.settings.url), charset="utf-8")
    response.content_type = "application/json"
    response.headers["Cache-Control"] = f"public, max-age={MAX_AGE_SECONDS}"
    return response


def document(url: str) -> dict[str, Any]:
    """Return the OpenAPI document of an installation."""
    paths: dict[str, Any] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "ConnectWyze",
            "version": "1",
            "description": "Render images from data. Every error is a problem (RFC 9457) with a stable `code`.",
        },
        "servers": [{"url": f"{url}/v1"}],
        "security": [{"key": []}],
        "paths": paths,
        "components": {"securitySchemes": {"key": {"type": "http", "scheme": "bearer"}}, "schemas": _schemas()},
    }


def _operation(operation: Operation) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "operationId": f"{operation.method}_{operation.path.strip('/').translate(_name)}".replace("__", "_"),
        "summary": operation.summary,
        "description": f"Requires an API key with the scope `{operation.scope}`.",
        "parameters": _parameters(operation),
        "responses": {str(status): _response(operation, model) for status, model in operation.responses.items()}
        | {"default": {"description": "Problem", "content": {"application/problem+json": _model(ProblemInfo)}}},
    }
    if operation.body is not None:
        entry["requestBody"] = {"required": True, "content": {"application/json": _model(operation.body)}}
    if operation.accepts_file:
        entry["requestBody"] = {
            "required": False,
            "content": dict.fromkeys(["application/octet-stream", "text/csv"], BINARY),
        }
    return entry


def _parameters(operation: Operation) -> list[dict[str, Any]]:
    parameters: list[dict[str, Any]] = []
    if "{id}" in operation.path:
        # A template can also be named by its slug.
        is_template = operation.path == "/templates/{id}"
        of_id = {"minLength": 1, "maxLength": 100} if is_template else {"format": "uuid"}
        parameters.append(_parameter("path", "id", {"type": "string", **of_id}))
    if "{key}" in operation.path:
        parameters.append(_parameter("path", "key", {"type": "string", "minLength": 1, "maxLength": 400}))
    if "{number}" in operation.path:
        parameters.append(_parameter("path", "number", {"type": "integer", "minimum": 1, "maximum": 999_999_999}))
    if operation.is_paginated:
        limit = {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT}
        pattern = POSITION_PATTERN if operation.path.endswith("/items") else f"({UUID_PATTERN})?"
        after = {"type": "string", "pattern": f"^{pattern}$"}
        parameters += [_parameter("query", "limit", limit), _parameter("query", "after", after)]
    if operation.method == "post":
        key = {"type": "string", "minLength": 1, "maxLength": MAX_KEY, "pattern": "^[!-~]([ -~]*[!-~])?$"}
        parameters.append(_parameter("header", HEADER, key))
    if operation.accepts_file:
        parameters += [_parameter("query", name, schema) for name, schema in _read_option_schemas().items()]
    if operation.body is image_requests.ImageRequest:
        parameters.append(_parameter("header", "Prefer", {"type": "string", "enum": ["respond-async"]}))
    return parameters


def _read_option_schemas() -> dict[str, dict[str, Any]]:
    """Return the schemas of the options of how a file is read (feeds/reading.py)."""
    names = {character: name for name, character in CHARACTER_NAMES.items()}
    name = {"type": "string", "minLength": 1, "maxLength": MAX_CHOICE}
    return {
        "encoding": {"type": "string", "enum": list(ENCODING_LABELS)},
        "delimiter": {"type": "string", "enum": [names[character] for character in DELIMITER_LABELS]},
        "quote": {"type": "string", "enum": [names.get(character, character) for character in QUOTE_LABELS]},
        "header_row": {"type": "integer", "minimum": 0, "maximum": MAX_HEADER_ROW},
        "sheet": name,
        "member": name,
        "row_element": name,
    }


def _parameter(location: str, name: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"in": location, "name": name, "required": location == "path", "schema": schema}


def _response(operation: Operation, model: type[BaseModel] | None) -> dict[str, Any]:
    if model is None:
        return {"description": "No content"}
    content = {"application/json": _model(model)}
    if model is images.CreatedImage:
        content |= dict.fromkeys(IMAGE_TYPES, BINARY)
    return {"description": operation.summary, "content": content}


def _model(model: type[BaseModel]) -> dict[str, Any]:
    return {"schema": {"$ref": REF.format(model=model.__name__)}}


@cache
def _schemas() -> dict[str, Any]:
    """Return the schema of every model; cached, because building them takes 30 ms."""
    bodies = [(operation.body, "validation") for operation in OPERATIONS if operation.body is not None]
    responses = [
        (m, "serialization") for operation in OPERATIONS for m in operation.responses.values() if m is not None
    ]
    models: Any = dict.fromkeys([*bodies, *responses, (ProblemInfo, "serialization")])
    _, schemas = models_json_schema(list(models), ref_template=REF)
    definitions: dict[str, Any] = schemas["$defs"]
    return definitions


_name = str.maketrans({"/": "_", "{": "", "}": ""})

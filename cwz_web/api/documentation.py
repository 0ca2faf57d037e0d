"""`/docs/api`: the API reference, with the user's own template in the examples.

It is built from the OpenAPI document. For a signed-in user, the examples use the newest template and feed of a
workspace (`?workspace=slug` selects one). The server never puts an API key into the page: its script does, in the
browser.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pyramid.security import NO_PERMISSION_REQUIRED
from pyramid.view import view_config

from cwz_web.api.brand import BrandRequest
from cwz_web.api.campaigns import CampaignChangeRequest, CampaignRequest
from cwz_web.api.channels import ChannelChangeRequest, ChannelRequest
from cwz_web.api.examples import KEY, LANGUAGES, Example
from cwz_web.api.feeds import (
    ColumnFormatsRequest,
    FeedChangeRequest,
    FeedRequest,
    ItemKeysRequest,
    ItemRequest,
    ItemsRequest,
)
from cwz_web.api.image_batches import ImageBatchRequest
from cwz_web.api.image_requests import ImageRequest
from cwz_web.api.openapi import OPERATIONS, TAGS, Operation, document
from cwz_web.api.publications import DecisionRequest
from cwz_web.api.runs import RunRequest
from cwz_web.api.template_previews import PreviewRequest
from cwz_web.api.templates import TemplateChangeRequest, TemplateRequest
from cwz_web.api.uploads import UploadUrlRequest
from cwz_web.resources.application import DocsRoot
from cwz_web.web.example_data import SAMPLE_ID, ExampleData, find_example_data
from cwz_web.web.request import Request

LIMIT_LABELS = {"minimum": "from", "maximum": "to", "maxLength": "at most", "maxItems": "at most"}


@dataclass(frozen=True)
class FieldDescription:
    """A field of a body, or a parameter; `location` is body, path, query or header."""

    name: str
    type: str
    required: bool
    location: str


@dataclass(frozen=True)
class OperationDescription:
    """An operation with its example in each language."""

    id: str
    method: str
    path: str
    summary: str
    scope: str
    description: str
    fields: list[FieldDescription]
    responses: dict[int, str | None]
    examples: dict[str, str]


@dataclass(frozen=True)
class ModelDescription:
    """A model of the responses."""

    description: str
    fields: list[FieldDescription]


@dataclass(frozen=True)
class ApiReferencePage:
    """What docs/api.jinja2 shows."""

    sections: dict[str, list[OperationDescription]]
    languages: tuple[str, ...]
    base_url: str
    about: ExampleData
    key: str


@dataclass(frozen=True)
class ApiModelsPage:
    """The view model of docs/models.jinja2."""

    models: dict[str, ModelDescription]


@view_config(
    context=DocsRoot, name="api", request_method="GET", renderer="docs/api.jinja2", permission=NO_PERMISSION_REQUIRED
)
def api_reference(context: DocsRoot, request: Request) -> ApiReferencePage:
    """Show every operation of the API, each with an example in three languages."""
    example_data, url = find_example_data(request), request.services.settings.url
    openapi = document(url)
    sections: dict[str, list[OperationDescription]] = {title: [] for title in TAGS.values()}
    for operation in OPERATIONS:
        sections[operation.tag].append(_describe_operation(operation, openapi, url, example_data))
    return ApiReferencePage(
        sections=sections,
        languages=tuple(LANGUAGES),
        base_url=url,
        about=example_data,
        key=KEY,
    )


@view_config(
    context=DocsRoot,
    name="models",
    request_method="GET",
    renderer="docs/models.jinja2",
    permission=NO_PERMISSION_REQUIRED,
)
def api_models(context: DocsRoot, request: Request) -> ApiModelsPage:
    """Show the models of the responses, on a page of their own: they are as long as all operations."""
    bodies = {operation.body.__name__ for operation in OPERATIONS if operation.body}
    schemas = document(request.services.settings.url)["components"]["schemas"]
    return ApiModelsPage(
        {name: _describe_model(schema) for name, schema in sorted(schemas.items()) if name not in bodies}
    )


def example_of(operation: Operation, url: str, data: ExampleData) -> Example:
    """Return the example request of an operation."""
    collection = operation.path.split("/")[1]
    row_id = {"templates": data.template_id, "feeds": data.feed_id}.get(collection, SAMPLE_ID)
    if operation.body is ImageRequest or operation.returns_image:
        response = "image"
    else:
        response = "nothing" if None in operation.responses.values() else "json"
    return Example(
        operation.method.upper(),
        f"{url}/v1{operation.path.format(id=row_id, key='mug-1', number=1, channel=SAMPLE_ID)}",
        _body(operation, data),
        sends_file=operation.accepts_file,
        response=response,
    )


def _describe_operation(
    operation: Operation, openapi: dict[str, Any], url: str, data: ExampleData
) -> OperationDescription:
    entry, schemas = openapi["paths"][operation.path][operation.method], openapi["components"]["schemas"]
    example = example_of(operation, url, data)
    return OperationDescription(
        id=entry["operationId"],
        method=operation.method.upper(),
        path=f"/v1{operation.path}",
        summary=operation.summary,
        scope=operation.scope,
        description=schemas[operation.body.__name__].get("description", "") if operation.body else "",
        fields=[*_parameters(entry), *_body_fields(operation, schemas)],
        responses={status: model.__name__ if model else None for status, model in operation.responses.items()},
        examples={language: write(example) for language, write in LANGUAGES.items()},
    )


def _describe_model(schema: dict[str, Any]) -> ModelDescription:
    fields = _properties(schema, "") or [FieldDescription("", _type(schema), False, "")]
    return ModelDescription(schema.get("description", ""), fields)


def _body(operation: Operation, data: ExampleData) -> Any:
    row = {"title": "Stoneware mug", "price": "24.00"}
    design = {"template": data.template}
    rules: list[Any] = [
        {
            "name": "Sale",
            "condition": "price < 20",
            "window": {"weekly": {"from_day": 4, "from_time": "18:00", "until_day": 0, "until_time": "06:00"}},
            "designs": [design],
        },
        {"name": "All others", "designs": [{}]},
    ]
    layer = {"type": "text", "name": "Title", "text": "{{ title }}", "x": 60, "y": 60, "width": 480, "height": 180}
    document = {
        "canvas": {"width": 600, "height": 300},
        "fields": [{"name": "title", "label": "Title", "default": "Hello"}],
        "layers": [{**layer, "size": 48}],
    }
    bodies: dict[Any, Any] = {
        ImageRequest: {"template": data.template, "data": dict(data.data)},
        ImageBatchRequest: {"template": data.template, "items": [{"key": "first", "data": dict(data.data)}]},
        TemplateRequest: {"name": "Sale card", "document": document},
        TemplateChangeRequest: {"document": document},
        PreviewRequest: {"data": dict(data.data), "width": 600},
        ChannelRequest: {
            "name": "Shop feed",
            "preset": "generic",
            "fields": [{"name": "id", "source": "key"}, {"name": "image_url", "source": "image", "value": "0"}],
        },
        ChannelChangeRequest: {"on_missing": "photo"},
        CampaignRequest: {"name": "Autumn", "feed": data.feed_id, "rules": rules},
        CampaignChangeRequest: {"rules": rules},
        DecisionRequest: {"verdict": "former", "keys": ["mug-1"], "comment": "The price is wrong"},
        RunRequest: {"feed": data.feed_id, "template": data.template, "outputs": [{"format": "jpg"}]},
        FeedRequest: {"name": "Products"},
        ItemRequest: {"data": row},
        ItemsRequest: {"items": [{"key": "mug-1", "data": row}]},
        ItemKeysRequest: {"keys": ["mug-1"]},
        UploadUrlRequest: {"url": "https://shop.example/logo.svg", "name": "Logo"},
        BrandRequest: {"brand": {"colors": {"primary": "#ff5500"}, "fonts": {"body": "Inter"}}},
        FeedChangeRequest: {"currency": "EUR"},
        ColumnFormatsRequest: {"formats": {"price": {"locale": "de", "currency": "EUR"}}},
    }
    return bodies[operation.body] if operation.body else None


def _parameters(entry: dict[str, Any]) -> Iterator[FieldDescription]:
    for parameter in entry["parameters"]:
        yield FieldDescription(parameter["name"], _type(parameter["schema"]), parameter["required"], parameter["in"])


def _body_fields(operation: Operation, schemas: dict[str, Any]) -> list[FieldDescription]:
    if operation.accepts_file:
        return [
            FieldDescription(
                "(file)", "CSV, TSV, JSON, XML, XLSX, XLS or ODS, also gzipped or in a zip file", False, "body"
            )
        ]
    return _properties(schemas[operation.body.__name__], "body") if operation.body else []


def _properties(schema: dict[str, Any], location: str) -> list[FieldDescription]:
    required = schema.get("required", ())
    return [
        FieldDescription(name, _type(schema), name in required, location)
        for name, schema in schema.get("properties", {}).items()
    ]


def _type(schema: dict[str, Any]) -> str:
    """Return a schema's type, limits and default in words."""
    description = f". {schema['description']}" if "description" in schema else ""
    return _type_name(schema) + description


def _type_name(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_type_name(each) for each in schema["anyOf"]))
    if "enum" in schema:
        return ", ".join(map(str, schema["enum"]))
    name = str(schema.get("format") or schema.get("type", "any"))
    if name == "array":
        name = f"list of {_type_name(schema['items'])}" if "items" in schema else "list"
    details = [f"{label} {schema[limit]:,}" for limit, label in LIMIT_LABELS.items() if limit in schema]
    if "default" in schema:
        details.append(f"default {json.dumps(schema['default'])}")
    return ", ".join([name, *details])

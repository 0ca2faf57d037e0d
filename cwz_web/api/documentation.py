"""`/docs/api`: the API for people, from what the document for programs is made of, with the reader's own template.

Whoever is signed in finds the newest template and feed of their workspace (`?workspace=slug` for another of theirs) in
the examples. A key is never known here: the page's script puts one into the examples, in the browser alone.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from pyramid.security import NO_PERMISSION_REQUIRED
from pyramid.view import view_config

from cwz_web.api.examples import KEY, LANGUAGES, Call
from cwz_web.api.feeds import ItemData, Keys, NewFeed, PushedItems
from cwz_web.api.images import ImageRequest
from cwz_web.api.openapi import OPERATIONS, Operation, document
from cwz_web.api.runs import RunRequest
from cwz_web.feeds.queries import list_feeds
from cwz_web.generation.templates import open_designs
from cwz_web.resources.application import DocsRoot
from cwz_web.web.request import Request

AN_ID = "0190b0a0-0000-7000-8000-000000000002"
BOUNDS = {"minimum": "from", "maximum": "to", "maxLength": "at most", "maxItems": "at most"}
SECTIONS = {
    "templates": "Templates",
    "feeds": "Feeds",
    "runs": "Runs",
    "images": "Images",
    "usage": "Usage",
}


@dataclass(frozen=True)
class Reader:
    """What the examples are about: something of the reader's own, or something made up."""

    workspace: str | None = None
    template: str = "product-card"
    template_id: str = AN_ID
    feed_id: str = AN_ID
    data: tuple[tuple[str, str], ...] = (("title", "Stoneware mug"), ("price", "24.00"))


@dataclass(frozen=True)
class Field:
    """A field of a body, or a parameter."""

    name: str
    kind: str
    required: bool
    where: str


@view_config(
    context=DocsRoot, name="api", request_method="GET", renderer="docs/api.jinja2", permission=NO_PERMISSION_REQUIRED
)
def api_page(context: DocsRoot, request: Request) -> dict[str, Any]:
    """Everything that the API does, each with an example in three languages."""
    reader, url = _reader(request), request.services.settings.url
    whole = document(url)
    schemas = whole["components"]["schemas"]
    sections: dict[str, list[dict[str, Any]]] = {title: [] for title in SECTIONS.values()}
    for operation in OPERATIONS:
        told = whole["paths"][operation.path][operation.method]
        sections[SECTIONS[operation.path.split("/")[1]]].append(
            {
                "id": told["operationId"],
                "method": operation.method.upper(),
                "path": f"/v1{operation.path}",
                "summary": operation.summary,
                "scope": operation.scope,
                "about": schemas[operation.body.__name__].get("description", "") if operation.body else "",
                "fields": [*_parameters(told), *_fields(operation, schemas)],
                "answers": {status: model and model.__name__ for status, model in operation.answers.items()},
                "examples": {name: write(call_of(operation, url, reader)) for name, write in LANGUAGES.items()},
            }
        )
    bodies = {operation.body.__name__ for operation in OPERATIONS if operation.body}
    return {
        "sections": sections,
        "models": {
            name: (schema.get("description", ""), _properties(schema, "") or [Field("", _kind(schema), False, "")])
            for name, schema in sorted(schemas.items())
            if name not in bodies
        },
        "base_url": url,
        "reader": reader,
        "key": KEY,
    }


def call_of(operation: Operation, url: str, reader: Reader) -> Call:
    """A call of an operation, with something of the reader's own."""
    kind = operation.path.split("/")[1]
    identity = {"templates": reader.template_id, "feeds": reader.feed_id}.get(kind, AN_ID)
    image = "image" if operation.body is ImageRequest else "json"
    return Call(
        operation.method.upper(),
        f"{url}/v1{operation.path.format(id=identity, key='mug-1', number=1)}",
        _body(operation, reader),
        sends_file=operation.takes_file,
        gets="nothing" if None in operation.answers.values() else image,
    )


def _reader(request: Request) -> Reader:
    identity = request.identity
    mine = [a for a in identity.workspaces if not identity.lacks_second_factor(a)] if identity is not None else []
    slug = request.GET.get("workspace")
    access = next((each for each in mine if each.slug == slug), mine[0] if mine else None)
    if access is None:
        return Reader()
    with request.services.database.transaction(access.workspace_id) as db:
        designs, feeds = open_designs(db, access.workspace_id), list_feeds(db, access.workspace_id, limit=1)
    reader = Reader(workspace=access.name, feed_id=str(feeds[0].id) if feeds else AN_ID)
    if not designs:
        return reader
    template, columns = designs[0].template, designs[0].document.fields
    texts = tuple((column.name, column.default) for column in columns if column.type != "image")
    return replace(reader, template=template.slug, template_id=str(template.id), data=texts or reader.data)


def _body(operation: Operation, reader: Reader) -> Any:
    """What an example sends."""
    row = {"title": "Stoneware mug", "price": "24.00"}
    bodies: dict[Any, Any] = {
        ImageRequest: {"template": reader.template, "data": dict(reader.data)},
        RunRequest: {"feed": reader.feed_id, "template": reader.template, "outputs": [{"format": "jpg"}]},
        NewFeed: {"name": "Products"},
        ItemData: {"data": row},
        PushedItems: {"items": [{"key": "mug-1", "data": row}]},
        Keys: {"keys": ["mug-1"]},
    }
    return bodies[operation.body] if operation.body else None


def _parameters(told: dict[str, Any]) -> Iterator[Field]:
    for parameter in told["parameters"]:
        yield Field(parameter["name"], _kind(parameter["schema"]), parameter["required"], parameter["in"])


def _fields(operation: Operation, schemas: dict[str, Any]) -> list[Field]:
    if operation.takes_file:
        return [Field("the file", "CSV, TSV, JSON, XML, also gzipped", False, "body")]
    return _properties(schemas[operation.body.__name__], "body") if operation.body else []


def _properties(schema: dict[str, Any], where: str) -> list[Field]:
    required = schema.get("required", ())
    return [Field(name, _kind(each), name in required, where) for name, each in schema.get("properties", {}).items()]


def _kind(schema: dict[str, Any]) -> str:
    """What may stand in a field, in words."""
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_kind(each) for each in schema["anyOf"]))
    if "enum" in schema:
        return ", ".join(map(str, schema["enum"]))
    words = str(schema.get("format") or schema.get("type", "anything"))
    if words == "array":
        words = f"list of {_kind(schema['items'])}" if "items" in schema else "list"
    bounds = [f"{word} {schema[name]:,}" for name, word in BOUNDS.items() if name in schema]
    if "default" in schema and schema["default"] not in (None, "", [], {}):
        bounds.append(f"otherwise {json.dumps(schema['default'])}")
    return ", ".join([words, *bounds])

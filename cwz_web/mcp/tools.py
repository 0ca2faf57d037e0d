"""The tools. Each calls the API with the key of its caller; what the key may do, the API decides."""

import functools
import json
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Annotated, Any, Concatenate, Literal, ParamSpec, TypeVar, cast
from uuid import UUID

import jsonpatch
import structlog
from mcp.server.mcpserver import Context, MCPServer
from mcp_types import CallToolResult, ImageContent, ToolAnnotations
from pydantic import BaseModel, ConfigDict, Field

from cwz_web.mcp.api_client import ApiClient, ApiError
from cwz_web.mcp.document_schema import DOCUMENT, Schema, describe_expected, get_part, list_parts
from cwz_web.mcp.results import ToolCallError, shorten, to_error, to_image, to_result

log = structlog.get_logger()

P = ParamSpec("P")
T = TypeVar("T", bound="Tools")
Handler = Callable[Concatenate[T, Context[Any, Any], P], Coroutine[Any, Any, CallToolResult]]

MAX_LISTED, MAX_SEARCHED = 100, 1000
MAX_ROWS, MAX_COLUMNS, MAX_CELL, MIN_CELL = 50, 40, 300, 20
# Of the cells of a page of rows, in characters.
MAX_CELLS = 40_000
MAX_OPERATIONS = 200
SCHEMA_SECONDS = 3600
NO_VALUES: dict[str, Any] = {}
MIME_TYPES = {"jpg": "image/jpeg", "png": "image/png", "webp": "image/webp", "avif": "image/avif"}

READ = ToolAnnotations(read_only_hint=True, open_world_hint=False)
# It makes something, and changes nothing that is there.
ADD = ToolAnnotations(read_only_hint=False, destructive_hint=False, idempotent_hint=False, open_world_hint=False)
ADD_ONCE = ToolAnnotations(read_only_hint=False, destructive_hint=False, idempotent_hint=True, open_world_hint=False)
REPLACE = ToolAnnotations(read_only_hint=False, destructive_hint=True, idempotent_hint=True, open_world_hint=False)

# Names and ids end up in a path: nothing that could lead to another one.
TemplateName = Annotated[
    str, Field(pattern="^[a-z0-9][a-z0-9-]{0,99}$", description="Id or slug of a template, from list_templates")
]
Etag = Annotated[
    str, Field(pattern="^[0-9a-f]{1,100}$", description="The etag that you have read: it protects changes of others")
]
Cursor = Annotated[str, Field(max_length=100, description="`next` of the previous page")]
Values = Annotated[dict[str, Any], Field(description="Values by field name; other fields have their defaults")]
SizeName = Annotated[str, Field(max_length=40, description="One of the template's sizes")]


class PatchOperation(BaseModel):
    """An operation of a JSON Patch (RFC 6902). `path` is a JSON Pointer, such as /layers/0/color."""

    model_config = ConfigDict(extra="forbid")

    op: Literal["add", "remove", "replace", "test"]
    path: Annotated[str, Field(max_length=300)]
    value: Any = None


def tool(handler: Handler[T, P]) -> Handler[T, P]:
    """Decorate a method that is a tool: its errors are results, and it is logged without arguments."""

    @functools.wraps(handler)
    async def handle(self: T, ctx: Context[Any, Any], *args: P.args, **kwargs: P.kwargs) -> CallToolResult:
        begin, code = time.monotonic(), "ok"
        try:
            return await handler(self, ctx, *args, **kwargs)
        except (ApiError, ToolCallError) as error:
            code = error.code
            return to_error(error)
        finally:
            seconds = round(time.monotonic() - begin, 3)
            log.info("tool called", tool=handler.__name__, code=code, seconds=seconds)

    return cast("Handler[T, P]", handle)


class Tools:
    """The tools of an installation.

    Args:
        api: The API.
        read_api_key: Returns the API key of a caller.
    """

    def __init__(self, api: ApiClient, read_api_key: Callable[[Context[Any, Any]], str]) -> None:
        self._api, self._read_api_key = api, read_api_key
        self._schema: tuple[float, Schema] | None = None

    def register(self, server: MCPServer[Any]) -> None:
        """Add the tools to a server."""
        tools: tuple[tuple[Callable[..., Any], ToolAnnotations], ...] = (
            (self.list_templates, READ),
            (self.describe_template, READ),
            (self.read_template_document, READ),
            (self.get_template_schema, READ),
            (self.create_template, ADD),
            (self.update_template, REPLACE),
            (self.publish_template, REPLACE),
            (self.preview_template, READ),
            (self.render_image, ADD_ONCE),
            (self.list_feeds, READ),
            (self.find_rows, READ),
            (self.list_campaigns, READ),
            (self.describe_campaign, READ),
            (self.plan_campaign, READ),
            (self.create_campaign, ADD),
            (self.plan_run, READ),
            (self.get_usage, READ),
        )
        for handler, annotations in tools:
            server.add_tool(handler, annotations=annotations)

    @tool
    async def list_templates(
        self,
        ctx: Context[Any, Any],
        contains: Annotated[
            str, Field(max_length=100, description="A text in the name; searches the newest 1,000")
        ] = "",
        limit: Annotated[int, Field(ge=1, le=MAX_LISTED)] = 50,
        after: Cursor = "",
    ) -> CallToolResult:
        """List templates, newest first. describe_template has their fields."""
        page = await self._get(ctx, "/templates", limit=MAX_SEARCHED if contains else limit, after=after)
        found = [each for each in page["templates"] if contains.casefold() in each["name"].casefold()]
        return to_result({"templates": found[:limit], "left_out": len(found[limit:]), "next": page["next"]})

    @tool
    async def describe_template(
        self,
        ctx: Context[Any, Any],
        template: TemplateName,
        draft: Annotated[bool, Field(description="As its unpublished changes have it")] = False,
    ) -> CallToolResult:
        """Return the fields of a template with types and defaults, its sizes, its layers and its etag."""
        details, etag = await self._read_template(ctx, template, draft=draft)
        del details["document"]
        details["fields"] = [{**field, "default": shorten(field["default"], 500)} for field in details["fields"]]
        return to_result(details | {"etag": etag})

    @tool
    async def read_template_document(
        self,
        ctx: Context[Any, Any],
        template: TemplateName,
        layers: Annotated[
            tuple[str, ...],
            Field(max_length=100, description="Names of layers to return alone, with their JSON Pointers"),
        ] = (),
        draft: Annotated[bool, Field(description="As its unpublished changes have it")] = True,
    ) -> CallToolResult:
        """Return the document of a template, to change it with update_template; of a long one, name the layers."""
        details, etag = await self._read_template(ctx, template, draft=draft)
        found = {name: details[name] for name in ("id", "name", "version", "has_draft")} | {"etag": etag}
        document = details["document"]
        if not layers:
            return to_result(found | {"document": document})
        places = _find_layers(document.get("layers", []), "/layers")
        if unknown := [name for name in layers if name not in places]:
            raise ToolCallError("unknown_layer", f"There is no layer {json.dumps(unknown[0], ensure_ascii=False)}")
        return to_result(
            found | {"layers": [{"pointer": places[name][0], "layer": places[name][1]} for name in layers]}
        )

    @tool
    async def get_template_schema(
        self,
        ctx: Context[Any, Any],
        part: Annotated[
            str, Field(max_length=40, description="`document`, or a type of layers such as text")
        ] = DOCUMENT,
    ) -> CallToolResult:
        """Return the JSON Schema of a part of template documents. Read a type of layers before you write one."""
        schema = await self._load_schema()
        found = get_part(schema, part)
        if found is None:
            raise ToolCallError("unknown_part", f"Use one of: {', '.join(list_parts(schema))}")
        return to_result({"part": part, "parts": list_parts(schema), "schema": found})

    @tool
    async def create_template(
        self,
        ctx: Context[Any, Any],
        name: Annotated[str, Field(min_length=1, max_length=200)],
        document: Annotated[dict[str, Any], Field(description="See get_template_schema")],
    ) -> CallToolResult:
        """Create a template from a document, published as version 1; return an image of it with its defaults."""
        return await self._write(ctx, "POST", "/templates", {"name": name, "document": document}, is_creation=True)

    @tool
    async def update_template(
        self,
        ctx: Context[Any, Any],
        template: TemplateName,
        etag: Etag,
        patch: Annotated[
            tuple[PatchOperation, ...],
            Field(max_length=MAX_OPERATIONS, description="Changes of the draft, instead of a document"),
        ] = (),
        document: Annotated[dict[str, Any] | None, Field(description="The whole document, instead of a patch")] = None,
        name: Annotated[str | None, Field(min_length=1, max_length=200, description="A new name")] = None,
        publish: Annotated[bool, Field(description="Publish the change at once, instead of keeping a draft")] = False,
    ) -> CallToolResult:
        """Change a template, by default as a draft that publish_template makes public; return an image of it."""
        if (patch and document is not None) or not (patch or document or name):
            raise ToolCallError("invalid", "Give a patch, a document or a name; not both a patch and a document")
        if document is None:
            details, _ = await self._read_template(ctx, template, draft=True)
            document = _apply(details["document"], patch)
        body = {"document": document, "publish": publish} | ({"name": name} if name else {})
        return await self._write(ctx, "PUT", f"/templates/{template}", body, etag)

    @tool
    async def publish_template(self, ctx: Context[Any, Any], template: TemplateName, etag: Etag) -> CallToolResult:
        """Publish the draft of a template: from now on, its images are rendered so."""
        return await self._write(ctx, "POST", f"/templates/{template}/publish", {}, etag)

    @tool
    async def preview_template(
        self,
        ctx: Context[Any, Any],
        template: TemplateName,
        data: Values = NO_VALUES,
        size: SizeName = "default",
        version: Annotated[int | None, Field(ge=1, le=2**31 - 1, description="A published one, not the draft")] = None,
        feed: Annotated[UUID | None, Field(description="A feed that provides values, with `item`")] = None,
        item: Annotated[str | None, Field(max_length=400, description="The key of a row of the feed")] = None,
    ) -> CallToolResult:
        """Return an image of a template's draft, or of a version, and what is wrong with it. It is not stored."""
        body: dict[str, Any] = {"data": data, "size": size}
        given = {"version": version, "feed": str(feed) if feed else None, "item": item}
        body |= {option: value for option, value in given.items() if value is not None}
        image, findings = await self._preview(ctx, template, body)
        return to_result({"findings": findings}, [image] if image else [])

    @tool
    async def render_image(
        self,
        ctx: Context[Any, Any],
        template: TemplateName,
        data: Values = NO_VALUES,
        size: SizeName = "default",
        format: Literal["jpg", "png", "webp", "avif"] = "jpg",
        scale: Annotated[int, Field(ge=1, le=3)] = 1,
        layers: Annotated[
            dict[str, dict[str, Any]],
            Field(description='Open properties, such as {"Title": {"hidden": true}}'),
        ] = NO_VALUES,
        feed: Annotated[UUID | None, Field(description="A feed that provides values, with `item`")] = None,
        item: Annotated[str | None, Field(max_length=400, description="The key of a row of the feed")] = None,
        locale: Annotated[str | None, Field(max_length=40, description="How numbers in `data` are written")] = None,
        output_locale: Annotated[str | None, Field(max_length=40, description="How numbers are shown")] = None,
    ) -> CallToolResult:
        """Render and store an image of a published template; return it, its URL and what is wrong with it.

        A new image counts against the monthly quota.
        """
        given = {
            "feed": str(feed) if feed else None,
            "item": item,
            "locale": locale,
            "output_locale": output_locale,
            "layers": layers or None,
        }
        body = {"template": template, "data": data, "size": size, "format": format, "scale": scale, "store": True}
        body |= {option: value for option, value in given.items() if value is not None}
        key = self._read_api_key(ctx)
        info = (await self._api.send(key, "POST", "/images", body=body)).json
        try:
            # Now it is stored: the same request returns it, and counts nothing.
            stored = await self._api.send(key, "POST", "/images", body=body, accept=MIME_TYPES[format])
            image = await to_image(stored.body)
        except ApiError as error:
            return to_result(info | {"image_error": error.code})
        return to_result(info, [image] if image else [])

    @tool
    async def list_feeds(
        self,
        ctx: Context[Any, Any],
        limit: Annotated[int, Field(ge=1, le=MAX_LISTED)] = 20,
        after: Cursor = "",
    ) -> CallToolResult:
        """List feeds, newest first, with their columns."""
        page = await self._get(ctx, "/feeds", limit=limit, after=after)
        feeds = [
            {
                "id": feed["id"],
                "name": feed["name"],
                "items": feed["items"],
                "key": feed["key"],
                "columns": [
                    {"name": column["name"], "type": column["type"]} for column in feed["columns"][:MAX_COLUMNS]
                ],
                "column_count": len(feed["columns"]),
                "changed_at": feed["changed_at"],
            }
            for feed in page["feeds"]
        ]
        return to_result({"feeds": feeds, "next": page["next"]})

    @tool
    async def find_rows(
        self,
        ctx: Context[Any, Any],
        feed: Annotated[UUID, Field(description="Id of a feed, from list_feeds")],
        text: Annotated[str, Field(max_length=400, description="A text in any column, or in `column`")] = "",
        column: Annotated[str, Field(max_length=200, description="The column to search for `text`")] = "",
        columns: Annotated[
            tuple[str, ...], Field(max_length=MAX_COLUMNS, description="Columns to return; by default the first 40")
        ] = (),
        limit: Annotated[int, Field(ge=1, le=MAX_ROWS)] = 10,
        after: Cursor = "",
    ) -> CallToolResult:
        """Find rows of a feed. A page can be empty although `next` leads to more. Long cells are cut."""
        query = {"limit": limit, "after": after, "search": text, "column": column}
        page = await self._get(ctx, f"/feeds/{feed}/items", **query)
        return to_result({"rows": _shorten_rows(page["items"], columns), "next": page["next"]})

    @tool
    async def list_campaigns(
        self,
        ctx: Context[Any, Any],
        limit: Annotated[int, Field(ge=1, le=MAX_LISTED)] = 50,
        after: Cursor = "",
    ) -> CallToolResult:
        """List campaigns, newest first: the rows of a feed, and the rules that give each a design."""
        return to_result(await self._get(ctx, "/campaigns", limit=limit, after=after))

    @tool
    async def describe_campaign(
        self, ctx: Context[Any, Any], campaign: Annotated[UUID, Field(description="Id, from list_campaigns")]
    ) -> CallToolResult:
        """Return the rules, outputs and settings of a campaign."""
        return to_result(await self._get(ctx, f"/campaigns/{campaign}"))

    @tool
    async def plan_campaign(
        self, ctx: Context[Any, Any], campaign: Annotated[UUID, Field(description="Id, from list_campaigns")]
    ) -> CallToolResult:
        """Count which rows get which design, now and in the next two months, and how many images it would cost."""
        plan = await self._get(ctx, f"/campaigns/{campaign}/plan")
        return to_result(plan | {"usage": await self._get(ctx, "/usage")})

    @tool
    async def create_campaign(
        self,
        ctx: Context[Any, Any],
        name: Annotated[str, Field(min_length=1, max_length=100)],
        feed: Annotated[UUID, Field(description="Id of a feed")],
        rules: Annotated[
            list[dict[str, Any]],
            Field(
                min_length=1,
                max_length=200,
                description="The first rule that takes a row wins; the last has no condition. Such as "
                '[{"name": "Sale", "condition": "price < 20", "designs": [{"template": "sale-card"}]}, '
                '{"name": "Others", "designs": [{}]}]',
            ),
        ],
        outputs: Annotated[
            tuple[dict[str, Any], ...],
            Field(max_length=12, description='Images of a row: [{"size": "default", "format": "jpg"}]'),
        ] = (),
        time_zone: Annotated[str, Field(max_length=60, description="Of windows, such as Europe/Zurich")] = "UTC",
    ) -> CallToolResult:
        """Create a campaign. Nothing is rendered or published; plan_campaign says what it would cost."""
        body = {"name": name, "feed": str(feed), "rules": rules, "time_zone": time_zone}
        body |= {"outputs": outputs} if outputs else {}
        answer = await self._api.send(self._read_api_key(ctx), "POST", "/campaigns", body=body, is_creation=True)
        return to_result(answer.json | {"etag": answer.etag})

    @tool
    async def plan_run(
        self,
        ctx: Context[Any, Any],
        feed: Annotated[UUID, Field(description="Id of a feed")],
        template: TemplateName,
        mapping: Annotated[dict[str, str], Field(description="Columns by field; others are guessed")] = NO_VALUES,
        outputs: Annotated[
            tuple[dict[str, Any], ...],
            Field(max_length=12, description='Such as [{"size": "default", "format": "jpg"}]'),
        ] = (),
    ) -> CallToolResult:
        """Count what rendering all rows of a feed with a template would cost, and start nothing."""
        body = {"feed": str(feed), "template": template, "mapping": mapping} | ({"outputs": outputs} if outputs else {})
        return to_result((await self._api.send(self._read_api_key(ctx), "POST", "/runs/plan", body=body)).json)

    @tool
    async def get_usage(self, ctx: Context[Any, Any]) -> CallToolResult:
        """Return how many images this month has used, and the limits."""
        return to_result(await self._get(ctx, "/usage"))

    async def _get(self, ctx: Context[Any, Any], path: str, **query: Any) -> dict[str, Any]:
        answer = await self._api.send(self._read_api_key(ctx), "GET", path, query=query)
        if not isinstance(answer.json, dict):
            raise ApiError(answer.status, "unexpected_response", "The answer is no object: is this the API?")
        return answer.json

    async def _read_template(self, ctx: Context[Any, Any], template: str, *, draft: bool) -> tuple[dict[str, Any], str]:
        path = f"/templates/{template}{'/draft' if draft else ''}"
        answer = await self._api.send(self._read_api_key(ctx), "GET", path)
        return answer.json, answer.etag

    async def _write(
        self,
        ctx: Context[Any, Any],
        method: str,
        path: str,
        body: Mapping[str, Any],
        etag: str = "",
        *,
        is_creation: bool = False,
    ) -> CallToolResult:
        """Send a change of a template; say what would be right in the place of what is not valid."""
        try:
            key = self._read_api_key(ctx)
            answer = await self._api.send(key, method, path, body=body, etag=etag, is_creation=is_creation)
        except ApiError as error:
            if not error.errors:
                raise
            return to_error(error, await self._expected(error, body))
        details: dict[str, Any] = answer.json
        shown = {name: details[name] for name in ("id", "slug", "name", "version", "has_draft", "fields", "layers")}
        shown |= {"etag": answer.etag}
        try:
            image, findings = await self._preview(ctx, details["id"], {})
        except ApiError as error:
            return to_result(shown | {"preview_error": error.code})  # the change is stored all the same
        return to_result(shown | {"findings": findings}, [image] if image else [])

    async def _preview(
        self, ctx: Context[Any, Any], template: str, body: Mapping[str, Any]
    ) -> tuple[ImageContent | None, str]:
        """Return an image that is not stored, and the codes of its findings with their layers."""
        key, path = self._read_api_key(ctx), f"/templates/{template}/preview"
        answer = await self._api.send(key, "POST", path, body=body, accept=MIME_TYPES["png"])
        return await to_image(answer.body), answer.headers.get("Findings", "")

    async def _expected(self, error: ApiError, body: Mapping[str, Any]) -> dict[str, str]:
        try:
            schema = await self._load_schema()
        except ApiError:
            return {}
        paths = [path for path in error.errors if path.startswith("document.")]
        return {path: describe_expected(schema, body.get("document"), path.split(".")[1:]) for path in paths}

    async def _load_schema(self) -> Schema:
        """Return the schema of documents, which is public and the same for all callers."""
        if self._schema is None or self._schema[0] < time.monotonic():
            answer = await self._api.send("", "GET", "/schemas/template")
            self._schema = (time.monotonic() + SCHEMA_SECONDS, answer.json)
        return self._schema[1]


def _find_layers(layers: list[Any], pointer: str) -> dict[str, tuple[str, Any]]:
    """Return the layers of a document by name, each with its JSON Pointer."""
    found: dict[str, tuple[str, Any]] = {}
    for number, layer in enumerate(layers):
        found[layer["name"]] = (f"{pointer}/{number}", layer)
        found |= _find_layers(layer.get("layers", []), f"{pointer}/{number}/layers")
    return found


def _apply(document: Any, patch: Sequence[PatchOperation]) -> dict[str, Any]:
    """Return a document with a patch applied. Raises ToolCallError."""
    operations = [operation.model_dump(exclude={"value"} if operation.op == "remove" else set()) for operation in patch]
    try:
        patched = jsonpatch.apply_patch(document, operations)
    except (jsonpatch.JsonPatchException, jsonpatch.JsonPointerException, TypeError) as error:
        raise ToolCallError(
            "invalid_patch", f"The patch does not fit the document: {shorten(str(error), 200)}"
        ) from None
    if not isinstance(patched, dict):
        raise ToolCallError("invalid_patch", "A document is an object")
    return patched


def _shorten_rows(items: list[dict[str, Any]], columns: Sequence[str]) -> list[dict[str, Any]]:
    """Return rows with some of their columns, and with cells that are short enough for a conversation."""
    selected = [
        {name: item["data"][name] for name in columns if name in item["data"]}
        if columns
        else dict(list(item["data"].items())[:MAX_COLUMNS])
        for item in items
    ]
    count = sum(map(len, selected)) or 1
    limit = max(MIN_CELL, min(MAX_CELL, MAX_CELLS // count))
    return [
        {"key": item["key"], "data": {name: shorten(cell, limit) for name, cell in cells.items()}}
        for item, cells in zip(items, selected, strict=True)
    ]

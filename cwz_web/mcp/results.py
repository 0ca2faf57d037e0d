"""Results of tools: structured content with the same as text, images of a bounded size, and errors.

Names, texts and cells are what people and feeds have written. They are values of a JSON object, never a part of a
sentence of ours, so that an assistant can tell them from what the server says.
"""

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any

import anyio.to_thread
import structlog
from mcp_types import CallToolResult, ContentBlock, ImageContent, TextContent

from cwz_web.mcp.api_client import ApiError

log = structlog.get_logger()

# Of a result as JSON, in characters: about 15,000 tokens.
MAX_TEXT = 60_000
MAX_ERRORS = 30
# The longest side of an image in a result, in pixels. More is not seen by a model, and fills its context.
MAX_SIDE = 1024
CUT = "…"

_decoders = anyio.CapacityLimiter(2)


class ToolCallError(Exception):
    """A tool cannot do what it was asked for, and no answer of the API says so.

    Args:
        code: A stable code.
        detail: What happened, and what to do.
    """

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(code)
        self.code, self.detail = code, detail


def to_result(value: Mapping[str, Any], images: Sequence[ImageContent] = ()) -> CallToolResult:
    """Return the result of a tool. Raises ToolCallError if it is too long for a conversation."""
    text = _to_text(value)
    if len(text) > MAX_TEXT:
        raise ToolCallError(
            "result_too_long", f"The result has {len(text):,} characters, more than {MAX_TEXT:,}. Ask for less of it"
        )
    content: list[ContentBlock] = [TextContent(type="text", text=text), *images]
    return CallToolResult(content=content, structured_content=dict(value))


def to_error(error: ApiError | ToolCallError, expected: Mapping[str, str] | None = None) -> CallToolResult:
    """Return an error as the result of a tool, with the code and the paths of the API.

    Args:
        error: What happened.
        expected: What would be right, as JSON Schema, by path.
    """
    value: dict[str, Any] = {"code": error.code, "detail": shorten(error.detail, 1000)}
    if isinstance(error, ApiError):
        value["status"] = error.status
        if error.errors:
            value["errors"] = [
                {"path": shorten(path, 300), "message": shorten(text, 500)}
                | ({"expected": expected[path]} if expected and expected.get(path) else {})
                for path, text in list(error.errors.items())[:MAX_ERRORS]
            ]
        if error.request_id:
            value["request_id"] = error.request_id
    text = _to_text({"error": value})
    return CallToolResult(
        content=[TextContent(type="text", text=text)], structured_content={"error": value}, is_error=True
    )


def shorten(text: str, limit: int) -> str:
    """Return a text of at most `limit` characters; one that was cut ends with an ellipsis."""
    return text if len(text) <= limit else text[: limit - 1] + CUT


async def to_image(data: bytes) -> ImageContent | None:
    """Return an image with at most MAX_SIDE pixels on a side, or None if it cannot be read."""
    resized = await anyio.to_thread.run_sync(_resize, data, limiter=_decoders)
    if resized is None:
        return None
    encoded, mime_type = resized
    return ImageContent(type="image", data=base64.b64encode(encoded).decode(), mime_type=mime_type)


def block_loaders() -> None:
    """Let libvips read the types of images that the API renders, and no others, in this process."""
    import pyvips

    pyvips.operation_block_set("VipsForeignLoad", True)
    for loader in ("Jpeg", "Png", "Webp", "Heif"):
        pyvips.operation_block_set(f"VipsForeignLoad{loader}", False)
    pyvips.cache_set_max(0)


def _resize(data: bytes) -> tuple[bytes, str] | None:
    """Return an image in a type that all clients show: as JPEG, or as PNG if a part of it is transparent."""
    import pyvips  # takes a while, and most calls need no image

    try:
        thumbnail = pyvips.Image.thumbnail_buffer(data, MAX_SIDE, height=MAX_SIDE, size=pyvips.Size.DOWN)
        image = thumbnail.copy_memory()  # a decoder reads its file once
        if image.hasalpha():
            if image[image.bands - 1].min() < 255:
                return image.pngsave_buffer(palette=True, Q=90), "image/png"
            image = image.flatten()
        return image.jpegsave_buffer(Q=85), "image/jpeg"
    except pyvips.Error as error:
        log.warning("image unreadable", reason=shorten(str(error), 300))
        return None


def _to_text(value: Mapping[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))

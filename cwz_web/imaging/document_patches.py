"""Changes of template documents as JSON Patch (RFC 6902), the format in which an editor sends them.

`copy` and `move` are not accepted: a few of them make a document of any size out of a small one.
"""

import json
from typing import Annotated, Any, Literal

import jsonpatch
from pydantic import BaseModel, ConfigDict, Field

from cwz_web.imaging.documents import MAX_DOCUMENT_BYTES, ImageTemplate

MAX_OPERATIONS = 1000


class Operation(BaseModel):
    """One operation of a JSON Patch. `path` is a JSON Pointer (RFC 6901)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    op: Literal["add", "remove", "replace", "test"]
    path: Annotated[str, Field(max_length=300, pattern=r"^(/[^/]*)*$")]
    value: Any = None


Operations = Annotated[list[Operation], Field(max_length=MAX_OPERATIONS)]


class InvalidPatchError(ValueError):
    """A patch cannot be applied to the document."""


def patch_document(template: ImageTemplate, operations: list[Operation]) -> Any:
    """Return the canonical document of a template with a patch applied. It is not validated yet.

    Raises:
        InvalidPatchError: an operation does not fit the document, or makes it too large; none is applied.
    """
    plain = [operation.model_dump() for operation in operations]
    try:
        patched = jsonpatch.apply_patch(template.canonical(), plain, in_place=True)
    except (jsonpatch.JsonPatchException, jsonpatch.JsonPointerException, TypeError) as error:
        raise InvalidPatchError(str(error)[:200]) from None
    # Before it is validated, which takes seconds for a document of a few megabytes.
    if len(json.dumps(patched, ensure_ascii=False)) > MAX_DOCUMENT_BYTES:
        message = f"A template can have at most {MAX_DOCUMENT_BYTES:,} characters. Remove layers or tables"
        raise InvalidPatchError(message)
    return patched

"""Changes of template documents as JSON Patch (RFC 6902), the format in which an editor sends them.

`copy` and `move` are not accepted: a few of them make a document of any size out of a small one.
"""

from typing import Annotated, Any, Literal

import jsonpatch
from pydantic import BaseModel, ConfigDict, Field

from cwz_web.imaging.document_length import DocumentTooLongError, check_document_length
from cwz_web.imaging.documents import ImageTemplate

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
    try:
        check_document_length(patched)
    except DocumentTooLongError as error:
        raise InvalidPatchError(str(error)) from None
    return patched

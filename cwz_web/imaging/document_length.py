"""The limit of a document's length, which holds wherever one comes from: a file, a patch or a form."""

import json
from typing import Any

# Of a document as JSON, in characters. Validation takes seconds for a few megabytes.
MAX_DOCUMENT_LENGTH = 500_000


class DocumentTooLongError(ValueError):
    """A document is too long; the message can be shown in a form."""

    def __init__(self) -> None:
        super().__init__(f"A template can have at most {MAX_DOCUMENT_LENGTH:,} characters. Remove layers or tables")


def check_document_length(document: Any) -> None:
    """Check the length of a document of plain JSON values. Raises DocumentTooLongError."""
    if len(json.dumps(document, ensure_ascii=False)) > MAX_DOCUMENT_LENGTH:
        raise DocumentTooLongError

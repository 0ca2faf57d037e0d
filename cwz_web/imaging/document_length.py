"""The limit of a document's length, which holds wherever one comes from: a file, a patch or a form."""

import json
from typing import Any

from cwz_web.i18n import gettext, number

# Of a document as JSON, in characters. Validation takes seconds for a few megabytes.
MAX_DOCUMENT_LENGTH = 500_000


class DocumentTooLongError(ValueError):
    """A document is too long; the message can be shown in a form."""

    def __init__(self) -> None:
        super().__init__(
            gettext(
                "A template can have at most %(max)s characters. Remove layers or tables",
                max=number(MAX_DOCUMENT_LENGTH),
            )
        )


def check_document_length(document: Any) -> None:
    """Check the length of a document of plain JSON values. Raises DocumentTooLongError."""
    if len(json.dumps(document, ensure_ascii=False)) > MAX_DOCUMENT_LENGTH:
        raise DocumentTooLongError

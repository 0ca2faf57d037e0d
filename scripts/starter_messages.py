"""Extract the descriptions of the starters, for Babel (babel.cfg). A starter is a file of `cwz_web/demo/starters/`."""

import json
from collections.abc import Iterator
from typing import IO, Any


def extract_descriptions(file: IO[bytes], *_: Any, **__: Any) -> Iterator[tuple[int, str, str, list[str]]]:
    """Yield the message of a file with its line, function and comments (Babel, extraction methods)."""
    yield 1, "", json.load(file)["description"], []

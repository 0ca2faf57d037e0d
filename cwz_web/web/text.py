"""Texts of pages."""


def shorten(text: str, length: int) -> str:
    """Return a text with at most `length` characters; a longer one is cut, and ends with an ellipsis."""
    return text if len(text) <= length else f"{text[: length - 1]}…"

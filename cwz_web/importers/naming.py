"""Names of layers and fields, made from those of another service."""

from slugify import slugify

from cwz_web.imaging.bindings import ENTRY_NAMES
from cwz_web.imaging.document_parts import RESERVED_FIELDS
from cwz_web.imaging.expression_syntax import is_reserved
from cwz_web.importers.report import shown

MAX_LAYER_NAME = 60
MAX_FIELD_NAME = 50


def layer_name(name: str, taken: set[str], default: str) -> str:
    """Return a name for a layer that no other one has, and take it.

    Args:
        name: the name in the JSON, which can be anything.
        taken: the names of the layers before it.
        default: the name of a layer whose name is empty.
    """
    return _take(shown(name) or default, taken, " ", MAX_LAYER_NAME)


def field_name(name: str) -> str:
    """Return the name of the field of a layer; the same one for a template and for its requests."""
    slug = slugify(name, separator="_", max_length=MAX_FIELD_NAME, regex_pattern=r"[^a-z0-9]+")
    if not slug or slug[0].isdigit() or slug in RESERVED_FIELDS | ENTRY_NAMES or is_reserved(slug):
        return f"field_{slug}".rstrip("_")
    return slug


def take_field_name(name: str, taken: set[str]) -> str:
    """Return a name for the field of a layer that no other field has, and take it."""
    return _take(field_name(name), taken, "_", MAX_FIELD_NAME + 5)


def _take(name: str, taken: set[str], separator: str, length: int) -> str:
    number, unused = 1, name[:length]
    while unused in taken:
        number += 1
        end = f"{separator}{number}"
        unused = f"{name[: length - len(end)].rstrip()}{end}"
    taken.add(unused)
    return unused

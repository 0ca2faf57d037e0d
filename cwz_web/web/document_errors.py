"""Messages about invalid template documents, for people who write JSON: where is the mistake, and what is right."""

import json
import re
from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from cwz_web.i18n import gettext, gettext_noop
from cwz_web.imaging.brand import Brand, offer_brand
from cwz_web.imaging.document_length import MAX_DOCUMENT_LENGTH, DocumentTooLongError
from cwz_web.imaging.documents import ImageTemplate
from cwz_web.imaging.layer_base import Layer
from cwz_web.web.forms import MESSAGES

TEXTS = {
    "missing": gettext_noop("This key is required"),
    "model_type": gettext_noop("Write an object, in braces"),
    "model_attributes_type": gettext_noop("Write an object, in braces"),
    "dict_type": gettext_noop("Write an object, in braces"),
    "tuple_type": gettext_noop("Write a list, in brackets"),
    "too_long": gettext_noop("Use {max_length} or fewer entries"),
    "too_short": gettext_noop("Use {min_length} or more entries"),
    "int_type": gettext_noop("Enter a whole number"),
    "int_from_float": gettext_noop("Enter a whole number"),
    "float_type": gettext_noop("Enter a number"),
    "bool_type": gettext_noop("Enter true or false"),
    "bool_parsing": gettext_noop("Enter true or false"),
    "literal_error": gettext_noop("Use {expected}"),
    "union_tag_invalid": gettext_noop("“{tag}” is not a type. Use one of: {expected_tags}"),
    "union_tag_not_found": gettext_noop("The key {discriminator} is required"),
}
# By the start of the pattern; pydantic's own message is the pattern.
PATTERNS = {
    "^#": gettext_noop("Enter a color as #rrggbb or #rrggbbaa"),
    "^[a-z0-9][a-z0-9-]": gettext_noop("Use lowercase letters, digits and hyphens"),
    "^[A-Z": gettext_noop("Use letters, digits and _; start with a letter"),
}

# Each takes some time to explain; a person fixes these first.
MAX_ERRORS = 20
MAX_KEY_LENGTH = 100


def read_document(text: str, brand: Brand) -> tuple[ImageTemplate | None, dict[str, str]]:
    """Parse a document, which can refer to a brand; return it, or None with messages by path."""
    try:
        parsed = read_json(text)
    except ValueError as error:
        return None, {"document": str(error)}
    return check_document(parsed, brand)


def read_json(text: str) -> Any:
    """Parse the JSON of a document. Raises ValueError, whose message can be shown in a form."""
    if len(text) > MAX_DOCUMENT_LENGTH:
        raise DocumentTooLongError
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(gettext("This is not valid JSON: %(problem)s", problem=error)) from None


def check_document(parsed: Any, brand: Brand) -> tuple[ImageTemplate | None, dict[str, str]]:
    """Validate a document of parsed JSON, which can refer to a brand; return it, or None with messages by path."""
    try:
        return ImageTemplate.model_validate(offer_brand(parsed, brand)).without_unused_brand(), {}
    except ValidationError as error:
        return None, document_errors(parsed, error)
    except (ValueError, RecursionError) as error:
        return None, {"document": str(error)}


def document_errors(document: Any, error: ValidationError) -> dict[str, str]:
    """Return messages for the first mistakes, by their paths in the document as it is written.

    Args:
        document: The parsed JSON, which can be anything.
        error: Why it is not a template.
    """
    found: dict[str, str] = {}
    for problem in error.errors()[:MAX_ERRORS]:
        path, layer = _locate(document, problem["loc"], keep_last=problem["type"] == "missing")
        message = _describe(document, path, problem)
        if layer:
            message = gettext("%(message)s (layer “%(name)s”)", message=message, name=layer)
        found.setdefault(".".join(map(str, path)), message)
    return found


def _locate(document: Any, location: tuple[int | str, ...], *, keep_last: bool) -> tuple[tuple[int | str, ...], str]:
    """Return the path in the document, without the tags of unions, and the name of the innermost layer."""
    path: tuple[int | str, ...] = ()
    layer, value, is_layer = "", document, False
    for at, part in enumerate(location):
        if is_layer and isinstance(value, dict) and part == value.get("type"):
            is_layer = False  # the tag of a layer can be the name of one of its keys as well: text, shape
        elif _has(value, part):
            value, is_layer = value[part], path[-1:] == ("layers",)
            path = (*path, part)
            if is_layer and isinstance(value, dict):
                name = value.get("name")
                layer = name[:MAX_KEY_LENGTH] if isinstance(name, str) else ""
        elif keep_last and at == len(location) - 1:
            path = (*path, part)
    return path, layer


def _has(value: Any, part: int | str) -> bool:
    if isinstance(part, int):
        return isinstance(value, list) and part < len(value)
    return isinstance(value, dict) and part in value


def _describe(document: Any, path: tuple[int | str, ...], problem: Any) -> str:
    kind, context = problem["type"], problem.get("ctx", {})
    if kind == "missing" and isinstance(path[-1], int):
        return gettext("An entry of this list is missing")
    if kind == "extra_forbidden":
        keys = sorted(_known_keys(document, path[:-1]))
        near = get_close_matches(str(path[-1])[:MAX_KEY_LENGTH], keys, n=1)
        if near:
            return gettext("Unknown key. Did you mean “%(key)s”?", key=near[0])
        return gettext("Unknown key. Use one of: %(keys)s", keys=", ".join(keys))
    if kind == "string_type":
        value = problem["input"]
        if isinstance(value, int | float):
            return gettext("Enter a text in quotes, such as %(example)s", example=f'"{json.dumps(value)}"')
        return gettext("Enter a text in quotes")
    if kind == "string_pattern_mismatch":
        found = next((text for start, text in PATTERNS.items() if context["pattern"].startswith(start)), None)
        return gettext(found) if found else str(problem["msg"])
    template = TEXTS.get(kind) or MESSAGES.get(kind)
    if template is None:
        return str(problem["msg"]).removeprefix("Value error, ")
    return re.sub("'([^']*)'", r"“\1”", gettext(template).format(**context))  # as pydantic quotes a choice


def _known_keys(document: Any, path: tuple[int | str, ...]) -> set[str]:
    """Return the keys that the part of the document at a path can have."""
    models: list[type[BaseModel]] = [ImageTemplate]
    value = document
    for part in path:
        value = value[part]
        fields = [model.model_fields[str(part)] for model in models if part in model.model_fields]
        models = [found for field in fields for found in _models_in(field.annotation)] or models
        if isinstance(value, dict) and issubclass(models[0], Layer):
            types = {model: get_args(model.model_fields["type"].annotation) for model in models}
            models = [model for model in models if value.get("type") in types[model]] or models
    return {name for model in models for name in model.model_fields}


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)

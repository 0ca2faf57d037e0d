"""JSON request bodies, validated by a pydantic model; the problem names each invalid field."""

import json
from math import isfinite
from typing import Annotated, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from cwz_web.web.forms import error_messages, has_nul
from cwz_web.web.problems import ProblemError
from cwz_web.web.request import Request

MAX_BODY = 256 * 1024
JSON = "application/json"
# A response with a million errors would take eight seconds and 50 MB.
MAX_ERRORS = 1000

# Messages by pydantic's error type.
MESSAGES = {
    "missing": "This field is required",
    "extra_forbidden": "There is no field with this name",
    "string_type": "Use a string",
    "string_too_short": "This cannot be empty",
    "string_too_long": "Use at most {max_length} characters",
    "string_pattern_mismatch": "This must match {pattern}",
    "int_type": "Use a whole number",
    "int_parsing": "Use a whole number",
    "int_parsing_size": "Use a smaller number",
    "bool_type": "Use true or false",
    "less_than_equal": "Must be at most {le}",
    "greater_than_equal": "Must be at least {ge}",
    "enum": "Use {expected}",
    "literal_error": "Use {expected}",
    "uuid_type": "Use an id, such as 0190d7c5-6f2a-7000-8000-000000000000",
    "uuid_parsing": "Use an id, such as 0190d7c5-6f2a-7000-8000-000000000000",
    "dict_type": "Use an object: {{…}}",
    "model_type": "Use an object: {{…}}",
    "list_type": "Use a list: […]",
    "too_short": "Give at least {min_length}",
    "too_long": "Give at most {max_length}",
}


class Body(BaseModel):
    """A request body. Unknown fields are rejected."""

    model_config = ConfigDict(extra="forbid", frozen=True)


BodyType = TypeVar("BodyType", bound=Body)


def read_body(request: Request, model: type[BodyType], max_bytes: int = MAX_BODY) -> BodyType:
    """Return the request's body; JSON types must match the model's exactly.

    Raises:
        ProblemError: The body is not JSON, is too large, or is not valid.
    """
    if request.content_type != JSON:
        raise ProblemError(415, "unsupported_media_type", "Send the body as application/json")
    if (request.content_length or 0) > max_bytes:
        raise ProblemError(413, "body_too_large", f"The body can have at most {max_bytes // 1024} KB")
    body = request.body
    if has_nul(body):
        raise ProblemError(422, "invalid_characters", "Remove the NUL character from the data")
    try:
        return model.model_validate_json(body, strict=True)
    except ValidationError as error:
        problem = _problem_of(error)
    # Raised outside the except block, so that it does not reference the error, which can be half a gigabyte.
    raise problem


def _problem_of(error: ValidationError) -> ProblemError:
    if error.error_count() > MAX_ERRORS:
        return ProblemError(422, "invalid", f"More than {MAX_ERRORS:,} fields are not valid")
    if error.errors()[0]["type"] == "json_invalid":
        return ProblemError(400, "invalid_json", "The body is not valid JSON in UTF-8")
    return ProblemError(422, "invalid", "The request is not valid", problems_with(error))


def problems_with(error: ValidationError) -> dict[str, str]:
    """Return a message for each invalid field, by its path; `body` for the body as a whole."""
    return {path or "body": message for path, message in error_messages(error, MESSAGES).items()}


def max_items(number: int) -> BeforeValidator:
    """Return a validator of an object's size that runs before its members are validated."""

    def check(value: object) -> object:
        if isinstance(value, dict) and len(value) > number:
            raise ValueError(MESSAGES["too_long"].format(max_length=number))
        return value

    return BeforeValidator(check)


def scalar_value(max_length: int) -> BeforeValidator:
    """Return a validator of string, number, boolean or null, with one message for all types.

    Args:
        max_length: of a string, in characters.
    """

    return BeforeValidator(lambda value: _check_scalar(value, max_length))


def _check_scalar(value: object, max_length: int) -> object:
    if not _is_scalar(value):
        raise ValueError("Use a string, a number, true, false or null")
    if isinstance(value, str) and len(value) > max_length:
        raise ValueError(MESSAGES["string_too_long"].format(max_length=max_length))
    return value


def _is_scalar(value: object) -> bool:
    """Return whether a value is a string, a finite number, a boolean or null."""
    return not isinstance(value, list | dict) and not (isinstance(value, float) and not isfinite(value))


def value_or_list(max_length: int, max_items: int, max_members: int) -> BeforeValidator:
    """Return a validator of a scalar value or a list, whose message names the item of the list.

    Args:
        max_length: of a string, and of a list as JSON, in characters.
        max_items: of a list, and of a list in an object.
        max_members: of an object in a list.
    """

    def check(value: object) -> object:
        if not isinstance(value, list):
            if isinstance(value, dict):
                raise ValueError("Use a string, a number, true, false, null or a list")
            return _check_scalar(value, max_length)
        if len(value) > max_items:
            raise ValueError(f"A list has at most {max_items} items; this one has {len(value)}")
        for number, item in enumerate(value, start=1):
            if problem := _item_problem(item, max_length, max_items, max_members):
                raise ValueError(f"Item {number} of the list: {problem}")
        if len(json.dumps(value, ensure_ascii=False)) > max_length:
            raise ValueError(f"A list has at most {max_length} characters as JSON")
        return value

    return BeforeValidator(check)


def _item_problem(item: object, max_length: int, max_items: int, max_members: int) -> str:
    """Return what is wrong with an item of a list; empty if nothing is."""
    if not isinstance(item, dict):
        is_valid = isinstance(item, str | int | float) and _is_scalar(item)
        return "" if is_valid else "Use a string, a number, true, false or an object of these"
    if len(item) > max_members:
        return f"An object has at most {max_members} members; this one has {len(item)}"
    for name, member in item.items():
        parts = member if isinstance(member, list) else [member]
        if len(parts) > max_items:
            return f"The list “{name[:40]}” has at most {max_items} items"
        if not all(map(_is_scalar, parts)):
            return f"The member “{name[:40]}” is a string, a number, true, false, null or a list of these"
    return ""


MAX_METADATA, MAX_METADATA_NAME, MAX_METADATA_VALUE = 20, 40, 500
# What a client sends to have it returned in responses and webhooks, such as the number of an order.
Metadata = Annotated[
    dict[
        Annotated[str, Field(min_length=1, max_length=MAX_METADATA_NAME)],
        Annotated[
            Annotated[str, Field(max_length=MAX_METADATA_VALUE)] | int | float | bool | None,
            scalar_value(MAX_METADATA_VALUE),
        ],
    ],
    Field(max_length=MAX_METADATA),
    max_items(MAX_METADATA),
]

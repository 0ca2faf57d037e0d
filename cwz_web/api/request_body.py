"""What programs send: JSON bodies through a pydantic model, with a problem that names each field that is wrong."""

import re
from math import isfinite
from typing import TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from cwz_web.web.forms import messages
from cwz_web.web.problems import ProblemError
from cwz_web.web.request import Request

MAX_BODY = 256 * 1024
JSON = "application/json"
# A million of them would take eight seconds and 50 MB to tell.
MAX_ERRORS = 1000
# As JSON writes a NUL; with another backslash before it, it is a backslash and "u0000".
NUL = rb"\u0000"
_nul = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")

# What would be right, by pydantic's names for what is wrong.
WORDS = {
    "missing": "This has to be given",
    "extra_forbidden": "There is no field of this name",
    "string_type": "Write a text",
    "string_too_short": "This may not be empty",
    "string_too_long": "This is too long: {max_length} characters are the most",
    "string_pattern_mismatch": "This holds a character that is not allowed here: it has to match {pattern}",
    "int_type": "Write a whole number",
    "int_parsing": "Write a whole number",
    "int_parsing_size": "Write a smaller number",
    "bool_type": "Write true or false",
    "less_than_equal": "{le} is the most",
    "greater_than_equal": "{ge} is the least",
    "enum": "Use {expected}",
    "uuid_type": "Write an id, as in 0190d7c5-6f2a-7000-8000-000000000000",
    "uuid_parsing": "Write an id, as in 0190d7c5-6f2a-7000-8000-000000000000",
    "dict_type": "Write an object: {{…}}",
    "model_type": "Write an object: {{…}}",
    "list_type": "Write a list: […]",
    "too_short": "{min_length} is the least that may stand here",
    "too_long": "{max_length} are the most that may stand here",
}


class Body(BaseModel):
    """What a program sends. What it does not know, it refuses."""

    model_config = ConfigDict(extra="forbid", frozen=True)


B = TypeVar("B", bound=Body)


def read_body(request: Request, model: type[B], max_bytes: int = MAX_BODY) -> B:
    """The request's body, its values of the very types that the model names. Raises Problem."""
    if request.content_type != JSON:
        raise ProblemError(415, "not_json", "Send the body as application/json")
    if (request.content_length or 0) > max_bytes:
        raise ProblemError(413, "body_too_large", f"The body may have {max_bytes // 1024} KB at most")
    body = request.body
    if NUL in body and _nul.search(body):
        raise ProblemError(422, "bad_characters", "The data holds a NUL character, which no text may have")
    try:
        return model.model_validate_json(body, strict=True)
    except ValidationError as error:
        problem = _problem_of(error)
    raise problem  # out here, where it holds on to no error: one of a million mistakes is half a gigabyte


def _problem_of(error: ValidationError) -> ProblemError:
    if error.error_count() > MAX_ERRORS:
        return ProblemError(422, "invalid", f"More than {MAX_ERRORS:,} fields are wrong, too many to name")
    if error.errors()[0]["type"] == "json_invalid":
        return ProblemError(400, "bad_json", "The body is not valid JSON in UTF-8")
    return ProblemError(422, "invalid", "The request is not valid", problems_with(error))


def problems_with(error: ValidationError) -> dict[str, str]:
    """A message for each field that is wrong, by its path; what is wrong with all of it is called `body`."""
    return {field or "body": text for field, text in messages(error, WORDS).items()}


def at_most(number: int) -> BeforeValidator:
    """For an object of as many names: they are counted before any is looked at, where pydantic counts afterwards."""

    def check(value: object) -> object:
        if isinstance(value, dict) and len(value) > number:
            raise ValueError(WORDS["too_long"].format(max_length=number))
        return value

    return BeforeValidator(check)


def one_value(max_length: int) -> BeforeValidator:
    """For a union of text, number, truth value and null: one message for what is none of them, not one for each.

    Arguments:
        max_length: how many characters the text may have.
    """

    def check(value: object) -> object:
        if isinstance(value, list | dict) or (isinstance(value, float) and not isfinite(value)):
            raise ValueError("Write a text, a number, true, false or null")
        if isinstance(value, str) and len(value) > max_length:
            raise ValueError(WORDS["string_too_long"].format(max_length=max_length))
        return value

    return BeforeValidator(check)

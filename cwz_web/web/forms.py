"""Forms: the fields of a request through a pydantic model, with a message beside each field that is wrong."""

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from webob.multidict import MultiDict

M = TypeVar("M", bound="Form")

PLAIN = {
    "missing": "Please fill this in",
    "string_too_short": "Please fill this in",
    "string_too_long": "This is too long: {max_length} characters are the most",
    "uuid_parsing": "Please choose one",
    "uuid_type": "Please choose one",
}


class Form(BaseModel):
    """A form's fields. Unknown ones are ignored only in so far as the page itself sends them (the CSRF token)."""

    model_config = ConfigDict(extra="ignore", frozen=True, str_strip_whitespace=True)


@dataclass(frozen=True)
class Filled(Generic[M]):
    """A form as it was sent: the valid value, or messages by field; and what was typed, to show it again."""

    value: M | None
    errors: dict[str, str]
    typed: dict[str, str]

    def with_error(self, field: str, message: str) -> "Filled[M]":
        """The same, refused for a reason that only the domain knows."""
        return Filled(None, {**self.errors, field: message}, self.typed)


def read_form(model: type[M], posted: MultiDict[str, Any]) -> Filled[M]:
    """Validate the fields of a request."""
    typed = {name: value for name, value in posted.items() if isinstance(value, str)}
    try:
        return Filled(model.model_validate(typed), {}, typed)
    except ValidationError as error:
        return Filled(None, messages(error), typed)


def messages(error: ValidationError) -> dict[str, str]:
    """A message for each field (dotted where it lies deeper), in plain words."""
    found: dict[str, str] = {}
    for problem in error.errors():
        field = ".".join(str(part) for part in problem["loc"])
        text = PLAIN.get(problem["type"], problem["msg"].removeprefix("Value error, "))
        found.setdefault(field, text.format(**problem.get("ctx", {})) if problem["type"] in PLAIN else text)
    return found


def empty_form() -> "Filled[Any]":
    """A form that nobody has sent yet."""
    return Filled(None, {}, {})

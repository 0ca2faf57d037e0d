"""Forms: the fields of a request through a pydantic model, with a message beside each field that is wrong."""

import functools
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Generic, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError
from pyramid.httpexceptions import HTTPBadRequest
from pyramid.view import view_config
from webob.multidict import MultiDict

from cwz_web.accounts.passwords import MAX_LENGTH, MIN_LENGTH
from cwz_web.accounts.registration import normalize_email
from cwz_web.web.request import Request
from cwz_web.workspaces.creation import validate_slug

M = TypeVar("M", bound="Form")

CSRF_FIELD = "csrf_token"
# NUL, and halves of surrogate pairs: neither can be stored.
UNSTORABLE = re.compile("[\x00\ud800-\udfff]")

# Where pydantic means the name of something in an object, and not its value.
NAME_OF_FIELD = "[key]"

PLAIN = {
    "missing": "Please fill this in",
    "string_too_short": "Please fill this in",
    "string_too_long": "This is too long: {max_length} characters are the most",
    "uuid_parsing": "Please choose one",
    "uuid_type": "Please choose one",
    "enum": "Please choose one",
    "literal_error": "Please choose one",
    "int_parsing": "Write a whole number",
    "float_parsing": "Write a number",
    "less_than_equal": "{le} is the most",
    "greater_than_equal": "{ge} is the least",
    "date_from_datetime_parsing": "This is not a date",
    "date_parsing": "This is not a date",
}


def _long_enough(password: str) -> str:
    if len(password) < MIN_LENGTH:
        raise ValueError(f"Use at least {MIN_LENGTH} characters; a few words together are good")
    return password


def _printable(text: str) -> str:
    """One line that can stand in a mail, a page, and a log. Something that looks like a link is no name."""
    if not text.isprintable() or "://" in text:
        raise ValueError("Please use letters, digits and ordinary signs only")
    return text


Email = Annotated[str, StringConstraints(max_length=254), AfterValidator(normalize_email)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=100), AfterValidator(_printable)]
Slug = Annotated[str, StringConstraints(to_lower=True), AfterValidator(validate_slug)]
Code = Annotated[str, StringConstraints(min_length=1, max_length=40)]
# A secret that travels in a header: no line break, nothing that is not seen.
Printable = Annotated[
    str, StringConstraints(strip_whitespace=False, max_length=500, pattern=r"^[\x20-\x7e]*$"), Field(repr=False)
]
# A password is taken as it was typed, spaces included.
TypedPassword = Annotated[str, StringConstraints(strip_whitespace=False, min_length=1, max_length=MAX_LENGTH)]
NewPassword = Annotated[
    str, StringConstraints(strip_whitespace=False, max_length=MAX_LENGTH), AfterValidator(_long_enough)
]


class Form(BaseModel):
    """A form's fields. What a page sends besides them is refused, the CSRF token excepted."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)


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
    """Validate the fields of a request. Raises HTTPBadRequest for what no person can have typed into the form."""
    typed = {name: value for name, value in posted.items() if isinstance(value, str) and name != CSRF_FIELD}
    if twice := refuse_odd(posted, model.model_fields):
        return Filled(None, twice, typed)
    try:
        return Filled(model.model_validate(typed), {}, typed)
    except ValidationError as error:
        unknown = [str(problem["loc"][0]) for problem in error.errors() if problem["type"] == "extra_forbidden"]
        if unknown:
            raise HTTPBadRequest(f"The form has no field of this name: {', '.join(unknown)[:200]}") from None
        return Filled(None, messages(error), typed)


class FieldError(Exception):
    """A form is refused for a reason that only the domain knows; the message stands beside the field.

    Args:
        field: The name of the field.
        message: What is wrong and what would be right, as a sentence for people.
    """

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field, self.message = field, message


def form_view(
    model: type[M], page: Callable[[Any, Request, "Filled[M]"], Any], **options: Any
) -> Callable[[Callable[[Any, Request, M], Any]], Callable[[Any, Request], Any]]:
    """Register a function as the POST view of a form.

    The function receives the validated form. An invalid form, or a FieldError that the function raises, answers 422
    with the page again, the messages beside the fields and the typed values kept; the transaction is rolled back.

    Args:
        model: The form.
        page: Returns the view model of the page that shows the form; called with context, request and the filled form.
        options: What `view_config` takes: context, name, renderer, permission, ...
    """

    def decorate(handler: Callable[[Any, Request, M], Any]) -> Callable[[Any, Request], Any]:
        @view_config(request_method="POST", _depth=1, **options)
        @functools.wraps(handler)
        def view(context: Any, request: Request) -> Any:
            form = read_form(model, request.POST)
            if form.value is not None:
                try:
                    return handler(context, request, form.value)
                except FieldError as error:
                    form = form.with_error(error.field, error.message)
            request.response.status = 422
            return page(context, request, form)

        return view

    return decorate


def refuse_odd(posted: MultiDict[str, Any], names: Iterable[str]) -> dict[str, str]:
    """A message for each field that came twice: two readers must not see two different values.

    Raises HTTPBadRequest for a character that cannot be stored.
    """
    if any(UNSTORABLE.search(value) for value in posted.values() if isinstance(value, str)):
        raise HTTPBadRequest("The form holds a character that is not allowed")
    return {name: "Please give this once" for name in names if len(posted.getall(name)) > 1}


def messages(error: ValidationError, words: Mapping[str, str] = PLAIN) -> dict[str, str]:
    """A message for each field (dotted where it lies deeper), in plain words.

    Arguments:
        words: what is said, by pydantic's name for what is wrong.
    """
    found: dict[str, str] = {}
    for problem in error.errors():
        path, text = problem["loc"], words.get(problem["type"], problem["msg"].removeprefix("Value error, "))
        if path[-1:] == (NAME_OF_FIELD,):
            path, text = path[:-2], f"{text} (a name in here)"
        field = ".".join(str(part) for part in path)
        limits = {
            name: f"{limit:g}" if isinstance(limit, float) else limit for name, limit in problem.get("ctx", {}).items()
        }
        found.setdefault(field, text.format(**limits) if problem["type"] in words else text)
    return found


def empty_form() -> "Filled[Any]":
    """A form that nobody has sent yet."""
    return Filled(None, {}, {})

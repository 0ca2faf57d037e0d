"""Forms: validation of a request's fields with a pydantic model, with a message for each invalid field."""

import functools
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Generic, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, ValidationError
from pyramid.httpexceptions import HTTPBadRequest, HTTPUnprocessableEntity
from pyramid.view import view_config

from cwz_web.accounts.passwords import MAX_LENGTH, MIN_LENGTH
from cwz_web.accounts.registration import normalize_email
from cwz_web.feeds.schedules import check_time_zone
from cwz_web.i18n import gettext, gettext_noop
from cwz_web.values.formats import CurrencyCode
from cwz_web.web.fields import Fields
from cwz_web.web.request import Request
from cwz_web.workspaces.creation import validate_slug

M = TypeVar("M", bound="Form")
Q = TypeVar("Q", bound=BaseModel)

CSRF_FIELD = "csrf_token"
# NUL and lone surrogates cannot be stored in PostgreSQL.
UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
# NUL as JSON writes it; after another backslash, it is a backslash and "u0000".
NUL = rb"\u0000"
_nul = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")

# The last part of pydantic's location of an error in a key of an object.
KEY_LOCATION = "[key]"

MESSAGES = {
    "missing": gettext_noop("Enter a value"),
    "string_too_short": gettext_noop("Enter a value"),
    "string_too_long": gettext_noop("Enter at most {max_length} characters"),
    "uuid_parsing": gettext_noop("Choose an option"),
    "uuid_type": gettext_noop("Choose an option"),
    "enum": gettext_noop("Choose an option"),
    "literal_error": gettext_noop("Choose an option"),
    "int_parsing": gettext_noop("Enter a whole number"),
    "float_parsing": gettext_noop("Enter a number"),
    "less_than_equal": gettext_noop("Enter at most {le}"),
    "greater_than_equal": gettext_noop("Enter at least {ge}"),
    "date_from_datetime_parsing": gettext_noop("Enter a date"),
    "date_parsing": gettext_noop("Enter a date"),
}
# Of the fields of a form or a query. Documents of templates and brands name what each of their patterns means.
FORM_MESSAGES = MESSAGES | {"string_pattern_mismatch": gettext_noop("Enter a value in the expected format")}


def _check_length(password: str) -> str:
    if len(password) < MIN_LENGTH:
        raise ValueError(
            gettext("Use at least %(length)s characters. A phrase of several words is a good choice", length=MIN_LENGTH)
        )
    return password


def _check_name(text: str) -> str:
    """Accept one line of text that is safe in an email, a page and a log; a URL is not a name."""
    if not text.isprintable() or "://" in text:
        raise ValueError(gettext("Use letters, digits and common punctuation only"))
    return text


Email = Annotated[str, StringConstraints(max_length=254), AfterValidator(normalize_email)]
MAX_NAME_LENGTH = 100
Name = Annotated[str, StringConstraints(min_length=1, max_length=MAX_NAME_LENGTH), AfterValidator(_check_name)]
Slug = Annotated[str, StringConstraints(to_lower=True), AfterValidator(validate_slug)]
Code = Annotated[str, StringConstraints(min_length=1, max_length=40)]
# A secret that is sent in a header: printable ASCII.
Printable = Annotated[
    str, StringConstraints(strip_whitespace=False, max_length=500, pattern=r"^[\x20-\x7e]*$"), Field(repr=False)
]
TimeZoneName = Annotated[str, StringConstraints(max_length=60), AfterValidator(check_time_zone)]
OptionalCurrency = Annotated[CurrencyCode | None, BeforeValidator(lambda text: text.strip().upper() or None)]
# Spaces are part of a password.
TypedPassword = Annotated[str, StringConstraints(strip_whitespace=False, min_length=1, max_length=MAX_LENGTH)]
NewPassword = Annotated[
    str, StringConstraints(strip_whitespace=False, max_length=MAX_LENGTH), AfterValidator(_check_length)
]


class Form(BaseModel):
    """The fields of a form. Other fields are rejected, except for the CSRF token."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)


@dataclass(frozen=True)
class SubmittedForm(Generic[M]):
    """A submitted form: its valid value, or error messages by field, and the typed values to show again."""

    value: M | None
    errors: dict[str, str]
    typed: dict[str, str]

    def with_error(self, field: str, message: str) -> "SubmittedForm[M]":
        """Return the form with an error that only the domain can find."""
        return SubmittedForm(None, {**self.errors, field: message}, self.typed)


def typed_values(sent: Fields) -> dict[str, str]:
    """Return the texts of a form or of a query without the CSRF token, which must not get into a URL."""
    return {name: value for name, value in sent.items() if isinstance(value, str) and name != CSRF_FIELD}


def read_form(model: type[M], posted: Fields) -> SubmittedForm[M]:
    """Validate the fields of a request.

    Raises:
        HTTPBadRequest: No browser sends this for our form: an unknown field, or a character that cannot be stored.
    """
    typed = typed_values(posted)
    if repeated := find_repeated_fields(posted, model.model_fields):
        return SubmittedForm(None, repeated, typed)
    try:
        return SubmittedForm(model.model_validate(typed), {}, typed)
    except ValidationError as error:
        unknown = [str(problem["loc"][0]) for problem in error.errors() if problem["type"] == "extra_forbidden"]
        if unknown:
            raise HTTPBadRequest(gettext("Unknown form field: %(names)s", names=", ".join(unknown)[:200])) from None
        return SubmittedForm(None, error_messages(error, FORM_MESSAGES), typed)


class FieldError(Exception):
    """An error of a form that only the domain can find; the message is shown beside the field.

    Args:
        field: The name of the field.
        message: What is wrong and what to do, as a sentence.
    """

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field, self.message = field, message


def read_query(model: type[Q], query: Fields) -> Q:
    """Return the query of a URL as a model.

    Raises:
        HTTPUnprocessableEntity: A parameter is not valid; the message names it.
    """
    try:
        return model.model_validate(dict(query))
    except ValidationError as error:
        name, message = next(iter(error_messages(error, FORM_MESSAGES).items()))
        text = gettext("The query parameter “%(name)s” is not valid. %(message)s", name=name[:60], message=message)
        raise HTTPUnprocessableEntity(text) from None


def form_view(
    model: type[M],
    page: Callable[[Any, Request, "SubmittedForm[M]"], Any],
    *,
    part: str = "",
    **options: Any,
) -> Callable[[Callable[[Any, Request, M], Any]], Callable[[Any, Request], Any]]:
    """Register a function as the POST view of a form.

    The function receives the validated form. An invalid form, or a FieldError that the function raises, answers 422
    with the page again, the messages beside the fields and the typed values kept; the transaction is rolled back.

    Args:
        model: The form.
        page: Returns the view model of the page that shows the form; called with context, request and the filled form.
        part: The renderer of the part of the page that answers htmx, if it has one.
        options: What `view_config` takes: context, name, renderer, permission, ...
    """

    def decorate(handler: Callable[[Any, Request, M], Any]) -> Callable[[Any, Request], Any]:
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

        variants = [options]
        if part:
            variants = [{**options, "partial": False}, {**options, "renderer": part, "partial": True}]
        for variant in variants:
            # Venusian registers a view for the module of the calling frame: one level up, not this one.
            view_config(request_method="POST", _depth=1, **variant)(view)
        return view

    return decorate


def find_repeated_fields(posted: Fields, names: Iterable[str]) -> dict[str, str]:
    """Return a message for each field that was sent twice: two readers could see two different values.

    Raises:
        HTTPBadRequest: A value contains a character that cannot be stored.
    """
    if any(UNSTORABLE.search(value) for value in posted.values() if isinstance(value, str)):
        raise HTTPBadRequest(gettext("The form contains a character that is not allowed"))
    return {name: gettext("Enter this once") for name in names if len(posted.getall(name)) > 1}


def has_nul(body: bytes) -> bool:
    """Return whether a JSON text contains the character NUL, which cannot be stored."""
    return NUL in body and bool(_nul.search(body))


def error_messages(error: ValidationError, texts: Mapping[str, str] = MESSAGES) -> dict[str, str]:
    """Return a message for each invalid field; nested fields are dotted.

    Args:
        texts: The messages by pydantic's error type.
    """
    found: dict[str, str] = {}
    for problem in error.errors():
        path, text = problem["loc"], problem["msg"].removeprefix("Value error, ")
        if problem["type"] in texts:
            message = texts[problem["type"]]
            text = gettext(message).format(**_limits_of(problem))
        if path[-1:] == (KEY_LOCATION,):
            path, text = path[:-2], gettext("%(message)s (in a key)", message=text)
        found.setdefault(".".join(str(part) for part in path), text)
    return found


def _limits_of(problem: Any) -> dict[str, Any]:
    context = problem.get("ctx", {})
    return {name: f"{limit:g}" if isinstance(limit, float) else limit for name, limit in context.items()}


def empty_form() -> "SubmittedForm[Any]":
    """Return a form that has not been submitted."""
    return SubmittedForm(None, {}, {})

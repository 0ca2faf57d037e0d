"""The form of a provider of storage or of feed sources, generated from its settings and credentials models."""

from dataclasses import dataclass
from typing import Any, Generic, Literal, Protocol, TypeVar, get_args, get_origin

from pydantic import BaseModel, SecretStr, ValidationError
from pydantic.fields import FieldInfo

from cwz_web.i18n import gettext
from cwz_web.plugin_fields import ASCII_BLANKS, choice_labels, is_multiline_field
from cwz_web.web.fields import Fields
from cwz_web.web.forms import FORM_MESSAGES, Form, SubmittedForm, error_messages, find_repeated_fields, read_form

F = TypeVar("F", bound=Form)


class Provider(Protocol):
    """What a form is generated from."""

    @property
    def label(self) -> str:
        """The name in the interface."""

    @property
    def settings_model(self) -> Any:
        """What is entered and may be seen again."""

    @property
    def credentials_model(self) -> Any:
        """What is entered and never seen again."""


@dataclass(frozen=True)
class ProviderInput(Generic[F]):
    """A valid form of a provider. With `credentials` None, the secrets stay as they are."""

    form: F
    settings: BaseModel
    credentials: BaseModel | None

    @property
    def secrets(self) -> dict[str, str] | None:
        """The secrets in plain text, for their encryption."""
        if self.credentials is None:
            return None
        values = {name: getattr(self.credentials, name) for name in type(self.credentials).model_fields}
        return {name: v.get_secret_value() if isinstance(v, SecretStr) else v for name, v in values.items()}


@dataclass(frozen=True)
class ProviderField:
    """A field of a provider as the page shows it; each choice is a value with its label."""

    name: str
    label: str
    help: str
    example: str
    is_required: bool
    is_secret: bool
    is_multiline: bool
    choices: tuple[tuple[str, str], ...]
    default: str


def provider_label(provider: Provider | None) -> str:
    """Return the name of a provider in the interface; empty for one that is not installed."""
    return gettext(provider.label) if provider else ""


def provider_fields(model: type[BaseModel], *, secret: bool) -> list[ProviderField]:
    """Return the form fields of a provider's model, in its order."""
    return [_provider_field(name, info, secret) for name, info in model.model_fields.items()]


def read_provider_form(
    provider: Provider, posted: Fields, form_model: type[F], *, has_secrets: bool
) -> tuple[SubmittedForm[F], ProviderInput[F] | None]:
    """Validate the form of a provider.

    Args:
        provider: The provider.
        posted: The fields of the request.
        form_model: The fields that do not depend on the provider.
        has_secrets: There are saved secrets, which stay if no credentials are entered.

    Returns:
        The form to show again, without secrets; and the input, or None when it is not valid.
    """
    settings_names = list(provider.settings_model.model_fields)
    secret_names = list(provider.credentials_model.model_fields)
    rest = Fields((name, value) for name, value in posted.items() if name not in (*settings_names, *secret_names))
    form = read_form(form_model, rest)
    typed = {name: str(posted.get(name, "")).strip(ASCII_BLANKS) for name in settings_names}
    errors = form.errors | find_repeated_fields(posted, [*settings_names, *secret_names])
    settings = _validate(provider.settings_model, {name: value for name, value in typed.items() if value}, errors)
    entered = {name: str(posted[name]) for name in secret_names if str(posted.get(name, "")).strip()}
    credentials = None if has_secrets and not entered else _validate(provider.credentials_model, entered, errors)
    shown = form.typed | typed
    if errors or settings is None or form.value is None:
        return SubmittedForm(None, errors, shown), None
    return SubmittedForm(form.value, {}, shown), ProviderInput(form.value, settings, credentials)


def _validate(model: type[BaseModel], values: dict[str, str], errors: dict[str, str]) -> BaseModel | None:
    try:
        return model.model_validate(values)
    except ValidationError as error:
        # The messages of a plugin are in English; storage/plugin_texts.py marks those of ours.
        errors |= {name: gettext(message) for name, message in error_messages(error, FORM_MESSAGES).items()}
        return None


def _provider_field(name: str, info: FieldInfo, secret: bool) -> ProviderField:
    choices = get_args(info.annotation) if get_origin(info.annotation) is Literal else ()
    labels = choice_labels(info)
    return ProviderField(
        name=name,
        label=gettext(info.title) if info.title else name,
        help=gettext(info.description) if info.description else "",
        example=str((info.examples or [""])[0]),
        is_required=info.is_required(),
        is_secret=secret,
        is_multiline=is_multiline_field(info),
        choices=tuple((str(value), gettext(labels.get(str(value), str(value)))) for value in choices),
        default="" if info.is_required() else str(info.get_default(call_default_factory=True) or ""),
    )

"""The form of a storage provider, made of its two models: fields, help, masks; and reading it back."""

from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from webob.multidict import MultiDict

from cwz_web.storage.contract import StorageProvider
from cwz_web.web.forms import Filled, Form, Name, error_messages, find_repeated_fields, read_form


class ConnectionForm(Form):
    """What every connection has, whatever its provider."""

    connection_name: Name
    action: Literal["test", "save"] = "save"
    anyway: bool = False
    provider: str = ""


@dataclass(frozen=True)
class Typed:
    """A form that is right: the checked models, and the secrets as they are to be kept; None keeps the old ones."""

    own: ConnectionForm
    settings: BaseModel
    credentials: BaseModel | None

    @property
    def secrets(self) -> dict[str, str] | None:
        """The secrets in clear, for encrypting them."""
        if self.credentials is None:
            return None
        values = {name: getattr(self.credentials, name) for name in type(self.credentials).model_fields}
        return {name: v.get_secret_value() if isinstance(v, SecretStr) else v for name, v in values.items()}


@dataclass(frozen=True)
class FormField:
    """A field as the page shows it."""

    name: str
    label: str
    help: str
    example: str
    required: bool
    secret: bool
    multiline: bool
    choices: tuple[str, ...]
    default: str


def fields_of(model: type[BaseModel], *, secret: bool) -> list[FormField]:
    """The fields of a provider's model, in its order."""
    return [_field(name, told, secret) for name, told in model.model_fields.items()]


def read_provider_form(
    provider: StorageProvider[Any, Any], posted: MultiDict[str, Any], *, keeps_secrets: bool
) -> tuple[Filled[Any], Typed | None]:
    """Check what was typed.

    Arguments:
        keeps_secrets: the connection has secrets already, which count where no new ones are typed.
    Returns the form to show again, without what must not be shown, and, when it is right, what it says.
    """
    settings_names = list(provider.settings_model.model_fields)
    secret_names = list(provider.credentials_model.model_fields)
    rest = MultiDict((name, value) for name, value in posted.items() if name not in (*settings_names, *secret_names))
    own = read_form(ConnectionForm, rest)
    typed = {name: str(posted.get(name, "")).strip() for name in settings_names}
    errors = own.errors | find_repeated_fields(posted, [*settings_names, *secret_names])
    settings = _check(provider.settings_model, {name: value for name, value in typed.items() if value}, errors)
    given = {name: str(posted[name]) for name in secret_names if str(posted.get(name, "")).strip()}
    credentials = None if keeps_secrets and not given else _check(provider.credentials_model, given, errors)
    shown = own.typed | typed
    if errors or settings is None or own.value is None:
        return Filled(None, errors, shown), None
    return Filled(own.value, {}, shown), Typed(own.value, settings, credentials)


def _check(model: type[BaseModel], given: dict[str, str], errors: dict[str, str]) -> BaseModel | None:
    try:
        return model.model_validate(given)
    except ValidationError as error:
        errors |= error_messages(error)
        return None


def _field(name: str, told: FieldInfo, secret: bool) -> FormField:
    choices = get_args(told.annotation) if get_origin(told.annotation) is Literal else ()
    extra = told.json_schema_extra if isinstance(told.json_schema_extra, dict) else {}
    return FormField(
        name,
        told.title or name,
        told.description or "",
        str((told.examples or [""])[0]),
        told.is_required(),
        secret,
        bool(extra.get("multiline")),
        tuple(map(str, choices)),
        "" if told.is_required() else str(told.get_default(call_default_factory=True) or ""),
    )

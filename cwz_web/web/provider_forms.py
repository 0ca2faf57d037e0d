"""The form of a storage provider, generated from its settings and credentials models."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import AfterValidator, BaseModel, SecretStr, StringConstraints, ValidationError
from pydantic.fields import FieldInfo

from cwz_web.i18n import gettext
from cwz_web.net.guard import OutboundPolicy
from cwz_web.storage.contract import ASCII_BLANKS, StorageProvider, is_multiline_field
from cwz_web.storage.public_urls import MAX_BASE_URL_LENGTH, check_base_url_policy, normalize_base_url
from cwz_web.web.fields import Fields
from cwz_web.web.forms import FORM_MESSAGES, Form, Name, SubmittedForm, error_messages, find_repeated_fields, read_form

BASE_URL = "public_base_url"
BaseUrl = Annotated[str, StringConstraints(max_length=MAX_BASE_URL_LENGTH), AfterValidator(normalize_base_url)]


class ConnectionForm(Form):
    """The fields of every connection, whatever its provider."""

    connection_name: Name
    public_base_url: BaseUrl = ""
    action: Literal["test", "save"] = "save"
    save_anyway: bool = False
    provider: str = ""


@dataclass(frozen=True)
class ConnectionInput:
    """A valid connection form. With `credentials` None, the connection keeps its secrets."""

    form: ConnectionForm
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
    """A field of a provider as the page shows it."""

    name: str
    label: str
    help: str
    example: str
    is_required: bool
    is_secret: bool
    is_multiline: bool
    choices: tuple[str, ...]
    default: str


def provider_label(provider: StorageProvider[Any, Any] | None) -> str:
    """Return the name of a provider in the interface; empty for one that is not installed."""
    return gettext(provider.label) if provider else ""


def provider_fields(model: type[BaseModel], *, secret: bool) -> list[ProviderField]:
    """Return the form fields of a provider's model, in its order."""
    return [_provider_field(name, info, secret) for name, info in model.model_fields.items()]


def read_provider_form(
    provider: StorageProvider[Any, Any], posted: Fields, outbound: OutboundPolicy, *, has_secrets: bool
) -> tuple[SubmittedForm[ConnectionForm], ConnectionInput | None]:
    """Validate a connection form.

    Args:
        provider: The provider of the connection.
        posted: The fields of the request.
        outbound: Which public base URLs the application may fetch.
        has_secrets: The connection has secrets, which it keeps if no credentials are entered.

    Returns:
        The form to show again, without secrets; and the input, or None when it is not valid.
    """
    settings_names = list(provider.settings_model.model_fields)
    secret_names = list(provider.credentials_model.model_fields)
    rest = Fields((name, value) for name, value in posted.items() if name not in (*settings_names, *secret_names))
    form = read_form(ConnectionForm, rest)
    typed = {name: str(posted.get(name, "")).strip(ASCII_BLANKS) for name in settings_names}
    errors = form.errors | find_repeated_fields(posted, [*settings_names, *secret_names])
    if form.value is not None and form.value.public_base_url:
        try:
            check_base_url_policy(form.value.public_base_url, outbound)
        except ValueError as error:
            errors[BASE_URL] = str(error)
    settings = _validate(provider.settings_model, {name: value for name, value in typed.items() if value}, errors)
    entered = {name: str(posted[name]) for name in secret_names if str(posted.get(name, "")).strip()}
    credentials = None if has_secrets and not entered else _validate(provider.credentials_model, entered, errors)
    shown = form.typed | typed
    if errors or settings is None or form.value is None:
        return SubmittedForm(None, errors, shown), None
    return SubmittedForm(form.value, {}, shown), ConnectionInput(form.value, settings, credentials)


def _validate(model: type[BaseModel], values: dict[str, str], errors: dict[str, str]) -> BaseModel | None:
    try:
        return model.model_validate(values)
    except ValidationError as error:
        # The messages of a plugin are in English; storage/plugin_texts.py marks those of ours.
        errors |= {name: gettext(message) for name, message in error_messages(error, FORM_MESSAGES).items()}
        return None


def _provider_field(name: str, info: FieldInfo, secret: bool) -> ProviderField:
    choices = get_args(info.annotation) if get_origin(info.annotation) is Literal else ()
    return ProviderField(
        name=name,
        label=gettext(info.title) if info.title else name,
        help=gettext(info.description) if info.description else "",
        example=str((info.examples or [""])[0]),
        is_required=info.is_required(),
        is_secret=secret,
        is_multiline=is_multiline_field(info),
        choices=tuple(map(str, choices)),
        default="" if info.is_required() else str(info.get_default(call_default_factory=True) or ""),
    )

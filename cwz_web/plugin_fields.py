"""The fields of plugins: the models that a form is generated from, of storage connections and of feed sources."""

from typing import Any
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, SecretStr, ValidationInfo, field_validator
from pydantic.fields import FieldInfo

from cwz_web.i18n import gettext

# What may surround a pasted value. Other blanks, such as a no-break space, are invisible and refused.
ASCII_BLANKS = " \t\r\n"


class Fields(BaseModel):
    """Base of a provider's settings and credentials models; the form is generated from it.

    A field's title, description and examples become its label, help text and placeholder. A `pattern` has to be
    anchored at both ends (`^...$`), since a host or a path may be built from the value. pydantic's default engine is
    Rust's regex crate: there `$` matches only at the very end, and `\\Z` does not exist. Line breaks, control
    characters, no-break spaces and URLs with an invalid port are rejected in every field, unless it has
    `json_schema_extra={"multiline": True}`. A `Literal` is a list of choices, whose labels are those of
    `json_schema_extra={"choices": {"value": "Label"}}`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True, hide_input_in_errors=True)

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        """Reject a pattern that is not anchored. Raises TypeError."""
        for name, info in cls.model_fields.items():
            for pattern in (getattr(constraint, "pattern", None) for constraint in info.metadata):
                if pattern is not None and not _is_anchored(str(getattr(pattern, "pattern", pattern))):
                    raise TypeError(f"{cls.__name__}.{name}: the pattern {pattern!r} must begin with ^ and end with $")

    @field_validator("*", mode="before")
    @classmethod
    def _reject_control_characters(cls, value: Any, info: ValidationInfo) -> Any:
        text = value.get_secret_value() if isinstance(value, SecretStr) else value
        is_multiline = is_multiline_field(cls.model_fields[info.field_name or ""])
        if isinstance(text, str) and not is_multiline:
            _check_text(text.strip(ASCII_BLANKS))
        return value


def _check_text(text: str) -> None:
    if not text.isprintable():
        raise ValueError(gettext("Remove the line breaks, control characters and no-break spaces"))
    if text.lower().startswith(("http://", "https://")):
        try:
            has_port = urlsplit(text).port != 0
        except ValueError:
            has_port = False
        if not has_port:
            raise ValueError(gettext("Enter a URL with a port from 1 to 65535, or without one"))


def is_multiline_field(info: FieldInfo) -> bool:
    """Return whether a field takes several lines of text."""
    return isinstance(info.json_schema_extra, dict) and bool(info.json_schema_extra.get("multiline"))


def choice_labels(info: FieldInfo) -> dict[str, str]:
    """Return the labels of the values of a field that is a `Literal`, in English; empty if it has none."""
    extra = info.json_schema_extra
    labels = extra.get("choices") if isinstance(extra, dict) else None
    return {value: str(label) for value, label in labels.items()} if isinstance(labels, dict) else {}


def _is_anchored(pattern: str) -> bool:
    ends = pattern.endswith(("$", r"\z", r"\Z")) and not pattern.endswith(r"\$")
    return pattern.startswith(("^", r"\A")) and ends

"""What a JSON is: a template or a request of another service, or neither, such as a document of our own."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from cwz_web.importers import bannerbear, bannerbear_v2, placid
from cwz_web.importers.builder import ImportedTemplate, ImportOptions

Convert = Callable[[Any, ImportOptions], ImportedTemplate]


@dataclass(frozen=True)
class JsonKind:
    """A kind of JSON.

    Attributes:
        matches: whether a JSON object is of this kind, by the keys that only this kind has.
        convert: converts a template.
    """

    matches: Callable[[Mapping[str, Any]], bool]
    convert: Convert


def _is_bannerbear_template(parsed: Mapping[str, Any]) -> bool:
    config = parsed.get("config")
    return isinstance(config, dict) and "objects" in config


def _is_placid_template(parsed: Mapping[str, Any]) -> bool:
    return isinstance(parsed.get("layers"), list) and "canvas" not in parsed and bool({"uuid", "title"} & parsed.keys())


KINDS = (
    JsonKind(_is_bannerbear_template, bannerbear.convert_template),
    JsonKind(lambda parsed: "available_modifications" in parsed, bannerbear_v2.convert_template),
    JsonKind(_is_placid_template, placid.convert_template),
)


def find_kind(parsed: Any) -> JsonKind | None:
    """Return what a parsed JSON is; None for anything that no other service has."""
    if not isinstance(parsed, dict):
        return None
    return next((kind for kind in KINDS if kind.matches(parsed)), None)

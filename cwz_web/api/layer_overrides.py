"""Overrides of layers in a request, and problems that name their layer and property: `layers.Title.color`."""

from typing import Annotated, Any

from pydantic import AfterValidator, Field, JsonValue

from cwz_web.api.request_body import max_items
from cwz_web.generation.template_cache import TemplatePlan
from cwz_web.imaging.layer_overrides import (
    MAX_LAYERS,
    MAX_LENGTH,
    MAX_PROPERTIES,
    InvalidOverrideError,
    LayerOverrideError,
    LayerOverrides,
    length_of,
)
from cwz_web.resources.permissions import Permission
from cwz_web.web.document_errors import document_errors
from cwz_web.web.problems import ProblemError
from cwz_web.web.request import Request


def _check_length(layers: dict[str, dict[str, JsonValue]]) -> dict[str, dict[str, JsonValue]]:
    if length_of(layers) > MAX_LENGTH:
        raise ValueError(f"Overrides have at most {MAX_LENGTH} characters as JSON")
    return layers


Properties = Annotated[
    dict[Annotated[str, Field(min_length=1, max_length=60)], JsonValue],
    Field(max_length=MAX_PROPERTIES),
    max_items(MAX_PROPERTIES),
]
# Values of properties, by the name of a layer and of the property.
Layers = Annotated[
    dict[Annotated[str, Field(min_length=1, max_length=60)], Properties],
    Field(max_length=MAX_LAYERS),
    max_items(MAX_LAYERS),
    AfterValidator(_check_length),
]


def override_plan(request: Request, plan: TemplatePlan, layers: LayerOverrides) -> TemplatePlan:
    """Return a plan with overridden layers. Raises ProblemError."""
    if not layers:
        return plan
    is_trusted = bool(request.has_permission(Permission.API_LAYERS_OVERRIDE))
    try:
        return request.services.template_cache.override_plan(plan, layers, is_trusted=is_trusted)
    except LayerOverrideError as error:
        errors = error.errors
    except InvalidOverrideError as error:
        found = document_errors(error.document, error.error)
        errors = {_path_of(error.document, path): text for path, text in found.items()}
    raise ProblemError(422, "invalid", "The request is not valid", errors)


def _path_of(document: dict[str, Any], path: str) -> str:
    """Return the path in a request of a path in the overridden document: layers have names in place of numbers."""
    parts = path.split(".")
    if parts[0] == "sizes" and len(parts) > 3:
        return ".".join(["layers", *parts[3:]])
    layers, name = document["layers"], ""
    while len(parts) > 1 and parts[0] == "layers":
        layer = layers[int(parts[1])]
        layers, name, parts = layer.get("layers", []), layer["name"], parts[2:]
    return ".".join(["layers", name, *parts]) if name else "layers"

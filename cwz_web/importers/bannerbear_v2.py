"""Templates of Bannerbear's API V2 as documents.

Such a template has a size and the modifications that requests can make, and nothing about its design (documentation
read in November 2026). What a layer is follows from the names of its modifications.
"""

from typing import Annotated, Any

from pydantic import Field

from cwz_web.i18n import gettext_lazy
from cwz_web.imaging.layers import MAX_LAYERS
from cwz_web.importers.builder import (
    DocumentBuilder,
    ImportedTemplate,
    ImportOptions,
    Loose,
    Source,
    canvas_side,
    read_model,
)
from cwz_web.importers.report import Report, shown
from cwz_web.importers.skeleton import Kind, SkeletonLayer, build_skeleton

# The kind of a layer by the first of these modifications that it has.
KINDS: dict[str, Kind] = {
    "image_url": "image",
    "text": "text",
    "target": "code",
    "bar_code_data": "code",
    "rating": "rating",
}
# Those that requests can override, as builder.OPEN_BY_TYPE says.
OPEN = {"text": ("color", "background")}
# Those that our public sources do not confirm.
UNCONFIRMED = frozenset(["target", "bar_code_data", "rating"])
IGNORED = frozenset(["uid", "preview_url", "self", "created_at", "updated_at", "name", "width", "height"])


class ModifiableLayer(Loose):
    """A layer with its modifications, which are in `model_extra`."""

    name: Annotated[str, Field(max_length=10_000)]


class BannerbearV2Template(Loose):
    """A template as `GET /v2/templates/{uid}` returns it."""

    name: Annotated[str, Field(max_length=10_000)] = ""
    width: Annotated[float, Field(allow_inf_nan=False)] | None = None
    height: Annotated[float, Field(allow_inf_nan=False)] | None = None
    available_modifications: Annotated[list[ModifiableLayer], Field(max_length=MAX_LAYERS)]


def convert_template(parsed: Any, options: ImportOptions) -> ImportedTemplate:
    """Convert a template of Bannerbear V2.

    Args:
        parsed: the parsed JSON, which can be anything.
        options: what the person says about it.

    Raises:
        InvalidImportError: it is not a template, or not one that a document can be; the message says why.
    """
    template = read_model(BannerbearV2Template, parsed, Source.BANNERBEAR)
    canvas = {
        "width": canvas_side(template.width, options.width, Source.BANNERBEAR),
        "height": canvas_side(template.height, options.height, Source.BANNERBEAR),
    }
    report = Report()
    for name, value in (template.model_extra or {}).items():
        if name not in IGNORED and value not in (None, "", [], {}, False):
            report.left_out(gettext_lazy("It is not a part of a document"), "", name)
    layers = [_read_layer(report, layer) for layer in template.available_modifications]
    return build_skeleton(DocumentBuilder(report, options), Source.BANNERBEAR, template.name, canvas, layers)


def _read_layer(report: Report, layer: ModifiableLayer) -> SkeletonLayer:
    keys = list(layer.model_extra or {})
    found = next((key for key in KINDS if key in keys), None)
    name = shown(layer.name)
    if found in UNCONFIRMED:
        text = gettext_lazy("The type of the layer follows from this modification, which is not documented. Check it")
        report.changed(text, name, found or "")
    kind = KINDS[found] if found else "shape"
    for key in keys:
        if key != found and key not in OPEN.get(kind, ()):
            text = gettext_lazy("Requests do not change it: bind the property to a field in the editor")
            report.left_out(text, name, key)
    return SkeletonLayer(layer.name, kind)

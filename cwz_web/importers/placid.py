"""Templates of Placid's API 2.0 as documents.

`GET /templates/{uuid}` returns the names and types of the layers that requests can change, and nothing about their
design (documentation read in November 2026).
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

KINDS: dict[str, Kind] = {
    "text": "text",
    "picture": "image",
    "rectangle": "shape",
    "shape": "shape",
    "ellipse": "shape",
    "barcode": "code",
    "rating": "rating",
}
IGNORED = frozenset(["uuid", "thumbnail", "title", "layers"])
BROWSER, SUBTITLE, CODE = "browserframe", "subtitle", "barcode"


class PlacidLayer(Loose):
    """A layer that requests can change."""

    name: Annotated[str, Field(max_length=10_000)]
    type: Annotated[str, Field(max_length=60)]


class PlacidTemplate(Loose):
    """A template as the API returns it."""

    title: Annotated[str, Field(max_length=10_000)] = ""
    layers: Annotated[list[PlacidLayer], Field(max_length=MAX_LAYERS)]


def convert_template(parsed: Any, options: ImportOptions) -> ImportedTemplate:
    """Convert a template of Placid, whose size the options have.

    Args:
        parsed: the parsed JSON, which can be anything.
        options: what the person says about it.

    Raises:
        InvalidImportError: it is not a template, or its size is not known; the message says why.
    """
    template = read_model(PlacidTemplate, parsed, Source.PLACID)
    canvas = {
        "width": canvas_side(None, options.width, Source.PLACID),
        "height": canvas_side(None, options.height, Source.PLACID),
    }
    report = Report()
    for name, value in (template.model_extra or {}).items():
        if name not in IGNORED and value not in (None, "", [], {}, False):
            report.left_out(gettext_lazy("It is not a part of a document"), "", name)
    layers = [found for layer in template.layers if (found := _read_layer(report, layer))]
    return build_skeleton(DocumentBuilder(report, options), Source.PLACID, template.title, canvas, layers)


def _read_layer(report: Report, layer: PlacidLayer) -> SkeletonLayer | None:
    kind = layer.type.strip().lower()
    name = shown(layer.name)
    for key in layer.model_extra or {}:
        report.left_out(gettext_lazy("There is no equivalent"), name, key)
    if kind == BROWSER:
        report.changed(gettext_lazy("The frame of a browser has no equivalent: the layer is an image"), name)
        return SkeletonLayer(layer.name, "image")
    if kind == CODE:
        report.changed(gettext_lazy("The API does not say the kind of the code: it is a QR code. Change it"), name)
    if kind not in KINDS:
        text = gettext_lazy("Layers of the type “%(type)s” have no equivalent", type=shown(layer.type))
        report.left_out(text, name)
        return None
    return SkeletonLayer(layer.name, KINDS[kind])

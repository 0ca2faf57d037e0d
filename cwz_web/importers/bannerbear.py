"""Templates of Bannerbear's API V5 as documents.

The properties are those of Bannerbear's OpenAPI document (V5, read in November 2026). It declares neither defaults nor
units beyond descriptions; what it leaves open is reported as something to check.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Annotated, Any

from pydantic import Field

from cwz_web.i18n import gettext_lazy
from cwz_web.imaging.layers import MAX_LAYERS
from cwz_web.importers.bannerbear_images import convert_image
from cwz_web.importers.bannerbear_layers import (
    BannerbearConversion,
    LayerDict,
    convert_barcode,
    convert_code,
    convert_group,
    convert_rating,
    convert_shape,
    convert_svg_shape,
    report_animation,
)
from cwz_web.importers.bannerbear_tables import EDITOR_ONLY, NEUTRAL, REASONS
from cwz_web.importers.bannerbear_texts import convert_text
from cwz_web.importers.builder import (
    DocumentBuilder,
    ImportedTemplate,
    ImportOptions,
    Loose,
    Source,
    canvas_side,
    read_model,
)
from cwz_web.importers.properties import Properties
from cwz_web.importers.report import Report, shown

# Of the template: what only concerns Bannerbear.
IGNORED = frozenset(["uid", "preview", "self", "created_at", "updated_at", "ui_write_access", "api_write_access"])


Convert = Callable[[BannerbearConversion, Properties, bool], list[LayerDict]]
# Of each type: the name of a layer without one, and what converts it.
KINDS: Mapping[str, tuple[str, Convert]] = {
    "text": ("Text", convert_text),
    "rectangle": ("Rectangle", partial(convert_shape, shape="rectangle")),
    "circle": ("Circle", partial(convert_shape, shape="ellipse")),
    "image": ("Image", convert_image),
    "rectangle_image_container": ("Image", convert_image),
    "circle_image_container": ("Image", partial(convert_image, mask="circle")),
    "svg_shape": ("Shape", convert_svg_shape),
    "qr_code": ("QR code", convert_code),
    "bar_code": ("Barcode", convert_barcode),
    "rating": ("Rating", convert_rating),
    "group": ("Group", convert_group),
    "lottie": ("Animation", report_animation),
}


class BannerbearObject(Loose):
    """A layer: its type and its names; all other properties are in `model_extra`."""

    type: Annotated[str, Field(max_length=60)]
    id: Annotated[str, Field(max_length=1000)] | int | None = None
    name: Annotated[str, Field(max_length=10_000)] | None = None


class BannerbearConfig(Loose):
    """The canvas of a template."""

    objects: Annotated[list[BannerbearObject], Field(max_length=MAX_LAYERS)]


class BannerbearTemplate(Loose):
    """A template as `GET /v5/image_templates/{uid}` returns it."""

    name: Annotated[str, Field(max_length=10_000)] = ""
    width: Annotated[float, Field(allow_inf_nan=False)] | None = None
    height: Annotated[float, Field(allow_inf_nan=False)] | None = None
    config: BannerbearConfig


def convert_template(parsed: Any, options: ImportOptions) -> ImportedTemplate:
    """Convert a template of Bannerbear V5.

    Args:
        parsed: the parsed JSON, which can be anything.
        options: what the person says about it.

    Raises:
        InvalidImportError: it is not a template, or not one that a document can be; the message says why.
    """
    template = read_model(BannerbearTemplate, parsed, Source.BANNERBEAR)
    report = Report()
    builder = DocumentBuilder(report, options)
    canvas = {
        "width": canvas_side(template.width, options.width, Source.BANNERBEAR),
        "height": canvas_side(template.height, options.height, Source.BANNERBEAR),
    }
    report.changed(
        gettext_lazy(
            "Layers are in the order of the JSON, the first one lowest, and what it does not say has our defaults:"
            " Bannerbear documents neither. Compare the images"
        )
    )
    for name, value in {**(template.model_extra or {}), **(template.config.model_extra or {})}.items():
        if name not in IGNORED and value not in (None, "", [], {}, False):
            report.left_out(gettext_lazy("It is not a part of a document"), "", name)
    conversion = BannerbearConversion(builder)
    for layer in template.config.objects:
        _add_layer(conversion, layer)
    return builder.finish(Source.BANNERBEAR, template.name, canvas)


def _add_layer(conversion: BannerbearConversion, layer: BannerbearObject) -> None:
    """Add what one layer becomes: usually one layer, sometimes one more below it, or none."""
    builder = conversion.builder
    default, convert = KINDS.get(layer.type.strip().lower(), ("Layer", None))
    own = (layer.name or "").strip()
    name = builder.name_layer(own or str(layer.id or ""), default)
    if convert is None:
        text = gettext_lazy("Layers of the type “%(type)s” have no equivalent", type=shown(layer.type))
        builder.report.left_out(text, name)
        return
    properties = Properties(name, layer.model_extra or {}, builder.report)
    for each in convert(conversion, properties, bool(own)):
        if own and each["name"] == name:
            builder.open(each)
        builder.layers.append(each)
    for ignored in EDITOR_ONLY:
        properties.take(ignored)
    properties.report_rest(NEUTRAL, REASONS)

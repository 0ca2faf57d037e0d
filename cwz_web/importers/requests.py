"""Requests of Bannerbear and Placid for images as bodies of our `POST /v1/images`.

The content of a layer becomes a value of the field that the importers name after it; other properties become overrides,
which imported templates have opened. The properties are those of the public documentation (Bannerbear V2 and V5, Placid
2.0, read in November 2026).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field

from cwz_web.i18n import gettext_lazy
from cwz_web.importers.builder import UNSTORABLE, Loose, Source, read_model
from cwz_web.importers.naming import layer_name, take_field_name
from cwz_web.importers.properties import MAX_SIDE, Properties
from cwz_web.importers.report import Report, converted_message, limit_message

# What our API takes in one request.
MAX_OVERRIDDEN, MAX_VALUE, MIN_CANVAS, MAX_METADATA, MAX_FILE_NAME = 50, 10_000, 16, 500, 100
MAX_URL = 2000
MIN_FONT_SIZE, MAX_FONT_SIZE = 6, 1000
TEMPLATE = "ID_OF_YOUR_TEMPLATE"
COLORS = ("color", "text_color", "text-color")
BACKGROUNDS = ("background", "background_color", "background-color")
# The content of a layer by the property that has it; a request has one of them for a layer.
CONTENTS = {
    "text": "text",
    **dict.fromkeys(("image_url", "image", "background-image"), "image"),
    **dict.fromkeys(("target", "qr-target", "bar_code_data", "barcode-data", "value"), "code"),
    **dict.fromkeys(("rating", "rating-score"), "rating"),
}
# Numbers of layers by their names over there: the name of ours, and its limits.
LENGTHS = {
    **dict.fromkeys(("rotate", "rotation"), ("rotation", -360, 360)),
    **dict.fromkeys(("left", "position_x_absolute"), ("x", -MAX_SIDE, MAX_SIDE)),
    **dict.fromkeys(("top", "position_y_absolute"), ("y", -MAX_SIDE, MAX_SIDE)),
    "width": ("width", 1, MAX_SIDE),
    "height": ("height", 1, MAX_SIDE),
}


class PlainLayer(Loose):
    """The modification of a layer; what is modified is in `model_extra`."""

    name: Annotated[str, Field(max_length=10_000)]


class BannerbearObjects(Loose):
    """The modifications of V5."""

    objects: Annotated[list[PlainLayer], Field(max_length=MAX_OVERRIDDEN)]
    template: dict[str, Any] = Field({})


class BannerbearRequest(Loose):
    """The body of `POST /v2/images`, or of V5."""

    modifications: Annotated[list[PlainLayer], Field(max_length=MAX_OVERRIDDEN)] | BannerbearObjects


class PlacidRequest(Loose):
    """The body of `POST /api/rest/images`."""

    layers: Annotated[
        dict[Annotated[str, Field(max_length=10_000)], dict[str, Any]], Field(max_length=MAX_OVERRIDDEN)
    ] = Field({})
    modifications: dict[str, Any] = Field({})


@dataclass(frozen=True)
class ConvertedRequest:
    """The body of a request for an image, and what differs."""

    source: Source
    body: dict[str, Any]
    report: Report


class RequestConversion:
    """The conversion of one request, layer by layer."""

    def __init__(self) -> None:
        self.report = Report()
        self.body: dict[str, Any] = {"template": TEMPLATE}
        self._layer_names: set[str] = set()
        self._field_names: set[str] = set()
        self.report.changed(
            gettext_lazy("Enter the ID of your template here, or its name; see its page"), "", "template"
        )

    def add_layer(self, name: str, values: Mapping[str, Any], full_opacity: int) -> None:
        """Add the value and the overrides of one layer.

        Args:
            name: its name in the other service.
            values: what the request changes.
            full_opacity: the opacity of an opaque layer.
        """
        name = layer_name(name, self._layer_names, "Layer")
        field = take_field_name(name, self._field_names)
        relative = [side for side in ("width", "height") if str(values.get(side)).strip().startswith(("+", "-"))]
        for side in relative:
            reason = gettext_lazy("Lengths relative to those of the template have no equivalent")
            self.report.left_out(reason, name, side)
        properties = Properties(name, {key: each for key, each in values.items() if key not in relative}, self.report)
        content = next((key for key in CONTENTS if key in properties), None)
        value = properties.text(content) if content else None
        if content and value is not None:
            value = UNSTORABLE.sub("", value)
            if len(value) > MAX_VALUE:
                properties.changed(content, limit_message(len(value), MAX_VALUE))
            self.body.setdefault("data", {})[field] = value[:MAX_VALUE]
            self.report.converted(converted_message(CONTENTS[content], has_field=True), name, content)
        if overrides := _read_overrides(properties, CONTENTS.get(content or ""), full_opacity):
            self.body.setdefault("layers", {})[name] = overrides
        for key in ("name", "id", "type"):
            properties.take(key)
        properties.report_rest((), {})

    def add_size(self, properties: Properties) -> None:
        """Add another size of the canvas."""
        sides = {side: properties.whole(side, MIN_CANVAS, MAX_SIDE) for side in ("width", "height")}
        if canvas := {side: value for side, value in sides.items() if value is not None}:
            self.body["canvas"] = canvas
            properties.changed("", gettext_lazy("The template has to open the width and the height of its canvas"))

    def add_webhook(self, properties: Properties, name: str) -> None:
        """Add the URL that is called when the image is ready."""
        url = properties.text(name) or ""
        if url.startswith("https://") and url.isprintable() and len(url) <= MAX_URL:
            self.body["webhook"] = url
            text = gettext_lazy("Our messages are signed and have another form. Adapt their receiver")
            properties.changed(name, text)
        elif url:
            properties.left_out(name, gettext_lazy("Only a URL that begins with https:// can be called"))

    def add_metadata(self, properties: Properties, name: str) -> None:
        """Add what the request wants to have returned."""
        if text := UNSTORABLE.sub("", properties.text(name) or ""):
            if len(text) > MAX_METADATA:
                properties.changed(name, limit_message(len(text), MAX_METADATA))
            self.body["metadata"] = {name: text[:MAX_METADATA]}


def convert_bannerbear(parsed: Any) -> ConvertedRequest:
    """Convert a request of Bannerbear. Raises InvalidImportError."""
    request = read_model(BannerbearRequest, parsed, Source.BANNERBEAR)
    conversion = RequestConversion()
    properties = Properties("", request.model_extra or {}, conversion.report)
    if isinstance(request.modifications, BannerbearObjects):
        of_template = Properties("", request.modifications.template, conversion.report)
        conversion.add_size(of_template)
        of_template.report_rest((), {})
        layers = request.modifications.objects
    else:
        layers = request.modifications
    for layer in layers:
        conversion.add_layer(layer.name, layer.model_extra or {}, 1)
    conversion.add_webhook(properties, "webhook_url")
    conversion.add_metadata(properties, "metadata")
    if properties.flag("transparent"):
        conversion.body["transparent"] = True
    for known in ("template", "uid"):
        properties.take(known)
    properties.report_rest((False, ""), {})
    return ConvertedRequest(Source.BANNERBEAR, conversion.body, conversion.report)


def convert_placid(parsed: Any) -> ConvertedRequest:
    """Convert a request of Placid. Raises InvalidImportError."""
    request = read_model(PlacidRequest, parsed, Source.PLACID)
    conversion = RequestConversion()
    for name, values in request.layers.items():
        conversion.add_layer(name, values, 100)
    modifications = Properties("", request.modifications, conversion.report)
    conversion.add_size(modifications)
    file_name = modifications.text("filename")
    if file_name and file_name.isprintable() and "/" not in file_name and "\\" not in file_name:
        conversion.body["file_name"] = file_name[:MAX_FILE_NAME]
    elif file_name:
        modifications.left_out("filename", gettext_lazy("The value cannot be read"))
    modifications.report_rest((), {})
    properties = Properties("", request.model_extra or {}, conversion.report)
    conversion.add_webhook(properties, "webhook_success")
    conversion.add_metadata(properties, "passthrough")
    properties.take("template_uuid")
    storage = gettext_lazy("Images are stored by a connection of the workspace; do not send its keys in requests")
    properties.report_rest((False, ""), {"transfer": storage})
    return ConvertedRequest(Source.PLACID, conversion.body, conversion.report)


def find_request(parsed: Any) -> Callable[[Any], ConvertedRequest] | None:
    """Return what converts a JSON, if it is a request; None for anything else."""
    if not isinstance(parsed, dict):
        return None
    if "template_uuid" in parsed or (isinstance(parsed.get("layers"), dict) and "canvas" not in parsed):
        return convert_placid
    modifications = parsed.get("modifications")
    is_v5 = isinstance(modifications, dict) and "objects" in modifications
    return convert_bannerbear if is_v5 or isinstance(modifications, list) else None


def _read_overrides(properties: Properties, kind: str | None, full_opacity: int) -> dict[str, Any]:
    """Return the properties of a layer that are not its content, as the document names them."""
    hidden = [properties.flag(key) for key in ("hide", "hidden") if key in properties]
    overrides: dict[str, Any] = {"hidden": any(hidden)} if hidden else {}
    if (opacity := properties.number("opacity", 0, full_opacity)) is not None:
        overrides["opacity"] = opacity / full_opacity
    for key, (name, low, high) in LENGTHS.items():
        if (value := properties.whole(key, low, high)) is not None:
            overrides[name] = value
    if kind == "text" and (size := properties.whole("font-size", MIN_FONT_SIZE, MAX_FONT_SIZE)) is not None:
        overrides["size"] = size
    for keys, name in ((COLORS, "color"), (BACKGROUNDS, "background")):
        for key in keys:
            if (color := properties.color(key)) is None:
                continue
            overrides[name if kind else "fill"] = color
            if not kind:
                text = gettext_lazy(
                    "It is the fill of a shape. If the layer is a text, change “fill” to “%(name)s”", name=name
                )
                properties.changed(key, text)
    return overrides

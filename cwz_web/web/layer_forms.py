"""Layers as forms: the form fields of each layer type, and conversion between layers and submitted text.

A form field's name is its path in the document (`border.width`); a fill consists of `fill.type`, `fill.start` etc.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, get_args

from pydantic import BaseModel, TypeAdapter, ValidationError

from cwz_web.imaging.blending import BlendMode
from cwz_web.imaging.layer_base import Layer
from cwz_web.imaging.layers import AnyLayer
from cwz_web.web.forms import error_messages

_any_layer: TypeAdapter[Layer] = TypeAdapter(AnyLayer)
FILLS = {"fill", "background"}
# Optional parts of a layer, and the form fields of which one has a value if they exist.
OPTIONAL = {
    "adjust": ("adjust.on",),
    "border": ("border.width",),
    "duotone": ("duotone.on",),
    "fade": ("fade.on",),
    "outline": ("outline.width",),
    "pins": ("pins.horizontal", "pins.vertical"),
    "repeat": ("repeat.field",),
    "shadow": ("shadow.on",),
    "stroke": ("stroke.width",),
}
# Optional parts that a check box turns on.
SWITCHES = {"adjust", "duotone", "fade", "shadow"}
# Values that a layer can do without.
CLEARABLE = {"icon", "language", "max_size", "min_size", "process", "stroke_width", "style"}
POINT_LISTS = {"points", "mask_points"}
# The values of a layer that its form does not have: they are changed elsewhere.
NOT_IN_FORM = frozenset({"type", "hidden", "locked", "layers", "show_if", "bound"})


@dataclass(frozen=True)
class Need:
    """What another form field of the layer has to be, so that a form field does something."""

    field: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class FormField:
    """A form field: `widget` is its control, `choices` are pairs of value and label."""

    name: str
    label: str
    widget: str = "number"
    choices: tuple[tuple[str, str], ...] = ()
    help: str = ""
    step: str = "1"
    need: Need | None = None

    def applies(self, typed: Mapping[str, str]) -> bool:
        """Return whether the form field does something with these values; the form hides it otherwise."""
        return self.need is None or typed.get(self.need.field, "") in self.need.values


@dataclass(frozen=True)
class FieldGroup:
    """Form fields with a common title. A folded group is open only if one of its fields is set."""

    title: str
    fields: tuple[FormField, ...]
    folded: bool = False


def _group(title: str, *fields: FormField, folded: bool = False) -> FieldGroup:
    return FieldGroup(title, fields, folded)


def _only_if(name: str, *values: str, fields: Iterable[FormField]) -> tuple[FormField, ...]:
    """Return form fields that do something only if another one has one of these values."""
    return tuple(replace(field, need=Need(name, values)) for field in fields)


def _select(name: str, label: str, **choices: str) -> FormField:
    pairs = tuple((value.rstrip("_").replace("_", "-"), text) for value, text in choices.items())
    return FormField(name, label, "select", pairs)


def _fill_fields(name: str, label: str) -> tuple[FormField, ...]:
    types = _select(
        f"{name}.type",
        label,
        none="None",
        solid="One color",
        linear="Gradient",
        radial="Radial gradient",
        conic="Conic gradient",
    )
    color = FormField(f"{name}.start", "Color", "color")
    colors = (
        FormField(f"{name}.middle", "Middle", "color"),
        FormField(f"{name}.stops", "Stops", "text", help="in place of the middle, for example 0.2,#ff0000 0.6,#00ff00"),
        FormField(f"{name}.end", "End", "color"),
    )
    angle = FormField(f"{name}.angle", "Angle", help="degrees; 0 is to the right, 90 is down")
    return (
        types,
        *_only_if(types.name, "solid", "linear", "radial", "conic", fields=[color]),
        *_only_if(types.name, "linear", "radial", "conic", fields=colors),
        *_only_if(types.name, "linear", "conic", fields=[angle]),
    )


def _line_fields(name: str, label: str) -> tuple[FormField, ...]:
    return (
        FormField(f"{name}.width", f"{label} width", help="0 for none", step="any"),
        FormField(f"{name}.color", f"{label} color", "color"),
    )


# A stack places its layers itself.
PLACE = (FormField("x", "X"), FormField("y", "Y"))
ANCHOR = _select(
    "anchor",
    "Anchor",
    top_left="Top left",
    top="Top",
    top_right="Top right",
    left="Left",
    center="Center",
    right="Right",
    bottom_left="Bottom left",
    bottom="Bottom",
    bottom_right="Bottom right",
)
BOX = (
    FormField("width", "Width"),
    FormField("height", "Height"),
    FormField("rotation", "Rotation", help="degrees", step="any"),
)
BLENDING = (
    FormField("opacity", "Opacity", help="0 to 1", step="any"),
    _select("blend", "Blend mode", **{mode: mode.replace("-", " ").capitalize() for mode in get_args(BlendMode)}),
)
POSITION = _group("Position", *PLACE, *BOX, ANCHOR, *BLENDING)
SIZE = _group("Size", *BOX, *BLENDING)
LIMITS = (
    FormField("sizing.min_width", "Minimum width"),
    FormField("sizing.max_width", "Maximum width"),
    FormField("sizing.min_height", "Minimum height"),
    FormField("sizing.max_height", "Maximum height"),
)
SIZING = _group(
    "Sizing",
    _select("sizing.width", "Horizontal sizing", fixed="Fixed", hug="Hug"),
    _select("sizing.height", "Vertical sizing", fixed="Fixed", hug="Hug"),
    *LIMITS,
    folded=True,
)
STACKED_SIZING = _group(
    "Sizing",
    _select("sizing.width", "Horizontal sizing", fixed="Fixed", hug="Hug", fill="Fill"),
    _select("sizing.height", "Vertical sizing", fixed="Fixed", hug="Hug", fill="Fill"),
    *LIMITS,
    FormField("sizing.shrink", "Shrink order", help="0 to 9; higher ones shrink first, 0 never does"),
    folded=True,
)
PINS = _group(
    "Pins",
    _select(
        "pins.horizontal",
        "Horizontal",
        _="None",
        left="Left edge",
        right="Right edge",
        both="Both edges",
        center="Center",
        scale="Scale",
    ),
    _select(
        "pins.vertical",
        "Vertical",
        _="None",
        top="Top edge",
        bottom="Bottom edge",
        both="Both edges",
        center="Center",
        scale="Scale",
    ),
    folded=True,
)
EDGES = _group(
    "Corners and border",
    FormField("radius", "Corner radius", step="any"),
    *_line_fields("border", "Border"),
    FormField("border.dash", "Dash length", help="leave empty for a solid line", step="any"),
    folded=True,
)
SHADOW = _group(
    "Shadow",
    FormField("shadow.on", "Show shadow", "check"),
    *_only_if(
        "shadow.on",
        "on",
        fields=(
            FormField("shadow.color", "Color", "color"),
            FormField("shadow.x", "Offset X"),
            FormField("shadow.y", "Offset Y"),
            FormField("shadow.blur", "Blur", step="any"),
        ),
    ),
    folded=True,
)
MASK = _group(
    "Mask",
    FormField("mask.layer", "Mask layer", "text", help="the name of a layer beside this one; it is not rendered"),
    _select("mask.mode", "Shows", alpha="Where the mask is opaque", luminance="Where the mask is bright"),
    folded=True,
)
CONTENT: dict[str, tuple[FieldGroup, ...]] = {
    "text": (
        _group(
            "Text",
            FormField("text", "Text", "area", help="{{ field }} inserts a value, {{ field | upper }} converts it"),
            FormField("style", "Text style", "style", help="of the brand"),
            FormField("font", "Font", "font"),
            _select("weight", "Weight", **{str(weight): str(weight) for weight in range(100, 1000, 100)}),
            FormField("size", "Size"),
            _select("align", "Align", start="Start", center="Center", end="End", justify="Justify"),
            _select("valign", "Vertical align", top="Top", middle="Middle", bottom="Bottom"),
            FormField("color", "Color", "color"),
            _select("fit", "Fit", shrink="Shrink", grow="Grow", ellipsis="Cut with an ellipsis", clip="Cut"),
            FormField("min_size", "Minimum size", help="leave empty to keep the size"),
            *_only_if("fit", "grow", fields=[FormField("max_size", "Maximum size")]),
            FormField("max_lines", "Maximum lines"),
            FormField("line_height", "Line height", step="any"),
            FormField("letter_spacing", "Letter spacing", step="any"),
            _select("case", "Case", none="As typed", upper="Uppercase", lower="Lowercase", title="Title case"),
            FormField("italic", "Italic", "check"),
        ),
        _group(
            "Lines and figures",
            FormField("strike", "Strike through", "check"),
            FormField("underline", "Underline", "check"),
            FormField("balance", "Balance lines", "check"),
            FormField("paragraph_gap", "Paragraph gap", help="relative to the font size", step="any"),
            _select("list_style", "List", none="None", bullets="Bullets", numbers="Numbers"),
            *_only_if("list_style", "bullets", fields=[FormField("bullet", "Bullet", "text")]),
            _select("figures", "Figures", default="As in the font", tabular="One width"),
            folded=True,
        ),
        _group(
            "Language",
            FormField("language", "Language", "text", help="a code such as de or en-GB, or auto for that of the image"),
            _select("hyphens", "Hyphens", none="Off", auto="On"),
            _select("direction", "Direction", auto="Automatic", ltr="Left to right", rtl="Right to left"),
            folded=True,
        ),
        _group(
            "Background",
            *_fill_fields("background", "Background"),
            FormField("padding", "Padding"),
            FormField("hug", "Hug text", "check"),
            _select("box", "Box", layer="One", lines="One for each line"),
            folded=True,
        ),
        _group(
            "Outline",
            *_line_fields("stroke", "Outline"),
            _select("stroke.position", "Position", outside="Outside", center="Center", inside="Inside"),
            folded=True,
        ),
    ),
    "image": (
        _group(
            "Image",
            FormField("source", "Image", "text", help="a URL, or {{ field }}"),
            _select(
                "fit",
                "Fit",
                cover="Fill the box",
                contain="Fit inside",
                fill="Stretch",
                trim="Trim to the product",
                extend="Fit inside, extend the edges",
            ),
            *_only_if(
                "fit",
                "trim",
                fields=[FormField("trim_padding", "Padding", help="around the product, from 0 to 0.45", step="any")],
            ),
            *_only_if(
                "fit",
                "cover",
                fields=(
                    _select(
                        "focus",
                        "Focal point",
                        center="Center",
                        attention="Automatic",
                        face="Faces",
                        **{"0.5,0": "Top", "0.5,1": "Bottom", "0,0.5": "Left", "1,0.5": "Right"},
                    ),
                    FormField("zoom", "Zoom", help="1 to 10", step="any"),
                ),
            ),
            FormField("process", "Image processor", "text", help="such as cutout, which removes a uniform ground"),
            _select("mask", "Shape", box="Box", circle="Circle", polygon="Polygon", layer="Another layer"),
            *_only_if(
                "mask", "polygon", fields=[FormField("mask_points", "Points", "text", help="for example 0.5,0 1,1 0,1")]
            ),
        ),
        _group(
            "Adjustments",
            FormField("grayscale", "Grayscale", "check"),
            FormField("adjust.on", "Adjust colors", "check"),
            *_only_if(
                "adjust.on",
                "on",
                fields=(
                    FormField("adjust.brightness", "Brightness", help="1 changes nothing", step="any"),
                    FormField("adjust.contrast", "Contrast", help="1 changes nothing", step="any"),
                    FormField("adjust.saturation", "Saturation", help="1 changes nothing", step="any"),
                    FormField("adjust.sharpen", "Sharpen", help="0 to 1", step="any"),
                    FormField("adjust.blur", "Blur", step="any"),
                ),
            ),
            FormField("duotone.on", "Duotone", "check"),
            *_only_if(
                "duotone.on",
                "on",
                fields=(
                    FormField("duotone.dark", "Dark color", "color"),
                    FormField("duotone.light", "Light color", "color"),
                ),
            ),
            folded=True,
        ),
        _group(
            "Fade",
            FormField("fade.on", "Fade out", "check"),
            *_only_if(
                "fade.on",
                "on",
                fields=(
                    FormField("fade.angle", "Angle", help="degrees; 0 is to the right, 90 is down", step="any"),
                    FormField("fade.start", "Start", help="0 to 1", step="any"),
                    FormField("fade.end", "End", help="0 to 1", step="any"),
                ),
            ),
            folded=True,
        ),
        _group("Outline", *_line_fields("outline", "Outline"), folded=True),
        _group("Background", *_fill_fields("background", "Background"), folded=True),
        _group(
            "Missing image",
            _select(
                "missing",
                "If the image is missing",
                placeholder="Show a placeholder",
                skip="Hide the layer",
                fallback="Show a fallback image",
                fail="Fail the row",
            ),
            *_only_if("missing", "placeholder", fields=[FormField("placeholder", "Placeholder color", "color")]),
            *_only_if("missing", "fallback", fields=[FormField("fallback", "Fallback image", "text")]),
            folded=True,
        ),
    ),
    "shape": (
        _group(
            "Shape",
            _select(
                "shape",
                "Shape",
                rectangle="Rectangle",
                ellipse="Ellipse",
                line="Line",
                polygon="Polygon",
                arrow="Arrow",
                star="Star",
                burst="Burst",
                ribbon="Ribbon",
                bubble="Speech bubble",
                icon="Icon",
            ),
            *_fill_fields("fill", "Fill"),
            *_only_if(
                "shape",
                "line",
                "polygon",
                fields=[FormField("points", "Points", "text", help="for example 0,0 1,0 0.5,1")],
            ),
            *_only_if("shape", "star", "burst", fields=[FormField("corners", "Corners")]),
            *_only_if(
                "shape",
                "star",
                "burst",
                "ribbon",
                "arrow",
                fields=[FormField("depth", "Depth", help="from 0.02 to 0.95", step="any")],
            ),
            *_only_if(
                "shape",
                "icon",
                fields=(
                    FormField("icon", "Icon", "text", help="a name of lucide.dev/icons, such as shopping-cart"),
                    FormField("stroke_width", "Line width", help="empty for a twelfth of its size", step="any"),
                ),
            ),
        ),
    ),
    "code": (
        _group(
            "Code",
            FormField("content", "Content", "area"),
            _select(
                "code",
                "Type",
                qr="QR code",
                code128="Code 128",
                gtin="EAN or UPC (GTIN)",
                ean13="EAN-13",
                ean8="EAN-8",
                upca="UPC-A",
            ),
            FormField("color", "Color", "color"),
            FormField("padding", "Padding"),
            *_only_if(
                "code",
                "qr",
                fields=[_select("correction", "Error correction", L="Low", M="Medium", Q="High", H="Highest")],
            ),
            *_fill_fields("background", "Background"),
        ),
    ),
    "group": (_group("Group", FormField("clip", "Clip content", "check")),),
    "stack": (
        _group(
            "Stack",
            _select("direction", "Direction", column="Column", row="Row"),
            FormField("gap", "Gap"),
            FormField("padding", "Padding"),
            _select(
                "align",
                "Align",
                start="Start",
                center="Center",
                end="End",
                stretch="Stretch",
                baseline="Baseline, in a row",
            ),
            _select(
                "justify",
                "Distribute",
                start="Start",
                center="Center",
                end="End",
                space_between="Space between",
                space_evenly="Space evenly",
            ),
            FormField("wrap", "Wrap a row", "check"),
            _select(
                "mirror",
                "Swap left and right",
                never="Never",
                auto="For right-to-left locales",
                always="Always",
            ),
            FormField("clip", "Clip content", "check"),
        ),
        _group("Background", *_fill_fields("background", "Background"), folded=True),
        _group(
            "Repeat",
            FormField("repeat.field", "Repeat for each entry of", "field", (("", "Never"),)),
            FormField("repeat.limit", "Maximum entries", help="1 to 20; layers use item, index and count"),
            folded=True,
        ),
    ),
    "rating": (
        _group(
            "Stars",
            FormField("value", "Value", "text", help="a number, or {{ field }}"),
            FormField("stars", "Number of stars"),
            FormField("color", "Color", "color"),
            FormField("empty", "Empty color", "color"),
        ),
    ),
}
# The form fields that open a folded group when they are set, and the values that count as unset.
OPENING_FIELDS = {
    *(name for names in OPTIONAL.values() for name in names),
    "background.type",
    "direction",
    "fallback",
    "grayscale",
    "hug",
    "language",
    "mask.layer",
    "padding",
    "radius",
    "sizing.height",
    "sizing.width",
}
_UNSET = {"", "0", "auto", "fixed", "none", None}
CHECKS = {
    field.name for groups in CONTENT.values() for group in groups for field in group.fields if field.widget == "check"
}


def list_groups(layer: AnyLayer, *, in_stack: bool = False) -> list[FieldGroup]:
    """Return the groups of form fields of a layer. A layer in a stack has no position of its own."""
    name = _group("Layer", FormField("name", "Name", "text"))
    place = [SIZE, STACKED_SIZING] if in_stack else [POSITION, SIZING, PINS]
    # Several shadows are edited in the exported document.
    shadow = [] if isinstance(layer.shadow, tuple) else [SHADOW]
    return [name, *CONTENT[layer.type], *place, EDGES, *shadow, MASK]


def is_open(group: FieldGroup, typed: Mapping[str, str], errors: Mapping[str, str]) -> bool:
    """Return whether a group of form fields is shown open: not folded, or with a value or an error."""
    if not group.folded:
        return True
    names = [field.name for field in group.fields]
    return any(name in errors or (name in OPENING_FIELDS and typed.get(name) not in _UNSET) for name in names)


def serialize_layer(layer: Layer) -> dict[str, str]:
    """Return the layer as the values of its form; an unchecked box has none."""
    typed: dict[str, str] = {}
    for name, value in _every_value(layer).items():
        if name in FILLS:
            typed |= _serialize_fill(name, value)
        elif name in NOT_IN_FORM:
            continue
        elif isinstance(value, dict):
            typed |= {"mask": "layer"} if name == "mask" else {}
            typed |= {f"{name}.{key}": _text(part) for key, part in value.items()}
            if name in SWITCHES:
                typed[f"{name}.on"] = "on"
        elif isinstance(value, bool):
            typed |= {name: "on"} if value else {}
        elif name in POINT_LISTS:
            typed[name] = " ".join(",".join(map(_text, point)) for point in value)
        elif name == "focus" and isinstance(value, list):
            typed[name] = ",".join(map(_text, value))
        else:
            typed[name] = _text(value)
    return typed


def read_layer(
    layer: AnyLayer, typed: Mapping[str, str], *, in_stack: bool = False
) -> tuple[dict[str, Any], dict[str, str]]:
    """Validate a submitted form against a layer; properties without a form field keep their values.

    Returns:
        The layer's values, and a message for each invalid form field; "" is for the layer as a whole.
    """
    names = [field.name for group in list_groups(layer, in_stack=in_stack) for field in group.fields]
    before = _every_value(layer)
    values = {**before, **_values(names, typed)}
    if not in_stack:  # the form of a layer that is in no stack does not show in which order it shrinks
        values["sizing"]["shrink"] = before["sizing"]["shrink"]
    if values.get("spans") and not values["text"]:
        values["text"] = None
    if "max_size" in values and values["fit"] != "grow":  # the form does not show it any more
        values["max_size"] = None
    try:
        _any_layer.validate_python(values)
    except ValidationError as error:
        return {}, {_form_field_of(path): explain_error(text) for path, text in error_messages(error).items()}
    return values, {}


def find_bound_fields(values: Mapping[str, Any]) -> frozenset[str]:
    """Return the template fields that a layer of these values uses; those of the layers in it are not counted."""
    own = {**values, "layers": ()} if "layers" in values else values
    return _any_layer.validate_python(own).fields()


def _every_value(layer: Layer) -> dict[str, Any]:
    """Return the values of a layer, with the defaults that its canonical form leaves out."""
    defaults = {name: field.default for name, field in type(layer).model_fields.items() if not field.is_required()}
    plain = {name: value.model_dump() if isinstance(value, BaseModel) else value for name, value in defaults.items()}
    return plain | layer.model_dump(mode="json")


def _values(names: Iterable[str], typed: Mapping[str, str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name in names:
        whole, _, part = name.partition(".")
        text = typed.get(name, "") if name == "text" else typed.get(name, "").strip()
        if whole in FILLS:
            values[whole] = _read_fill(whole, typed)
        elif whole == "mask":
            values[whole] = _read_mask(typed)
        elif part:
            values.setdefault(whole, {} if _is_present(whole, typed) else None)
            if values[whole] is not None and part != "on" and text:
                values[whole][part] = text
        elif name in CHECKS:
            values[name] = bool(text)
        elif name in POINT_LISTS:
            values[name] = [point.split(",") for point in text.split()]
        elif name == "focus" and "," in text:
            values[name] = text.split(",")
        else:
            values[name] = None if name in CLEARABLE and not text else text
    return values


def _read_mask(typed: Mapping[str, str]) -> Any:
    """Return the mask of a layer: only the form of an image has a choice of shapes."""
    shape, layer = typed.get("mask"), typed.get("mask.layer", "").strip()
    if shape and shape != "layer":
        return shape
    return {"layer": layer, "mode": typed.get("mask.mode") or "alpha"} if layer or shape else None


def _is_present(whole: str, typed: Mapping[str, str]) -> bool:
    """Return whether a part of a layer exists; one that is not optional always does."""
    deciding = OPTIONAL.get(whole)
    return deciding is None or any(typed.get(name, "").strip() not in ("", "0", "0.0") for name in deciding)


def _read_fill(name: str, typed: Mapping[str, str]) -> Any:
    fill_type = typed.get(f"{name}.type", "none")
    parts = {part: typed.get(f"{name}.{part}", "").strip() for part in ("start", "middle", "end", "angle")}
    if fill_type == "none":
        return None
    if fill_type == "solid":
        return parts["start"] or "#000000"
    gradient: dict[str, Any] = {part: text for part, text in parts.items() if text}
    stops = [stop.partition(",") for stop in typed.get(f"{name}.stops", "").split()]
    if stops:
        gradient["stops"] = [{"offset": offset, "color": color} for offset, _, color in stops]
    return {"type": fill_type, "start": "#000000", "end": "#ffffff"} | gradient


def _serialize_fill(name: str, value: Any) -> dict[str, str]:
    if value is None:
        return {f"{name}.type": "none"}
    if isinstance(value, str):
        return {f"{name}.type": "solid", f"{name}.start": value}
    stops = " ".join(f"{_text(stop['offset'])},{stop['color']}" for stop in value.get("stops", ()))
    return {f"{name}.{part}": _text(text) for part, text in value.items()} | {f"{name}.stops": stops}


def _form_field_of(path: str) -> str:
    """Return the form field of a path in the document, without the names of union members."""
    _, _, rest = path.partition(".")
    members = ("gradient", "condition", "expression", "one", "shape_mask", "layer_mask")
    parts = [part for part in rest.split(".") if part not in members and not part.isdigit()]
    if parts and parts[0] in FILLS:
        return f"{parts[0]}.{parts[1] if len(parts) > 1 and parts[1] != 'color' else 'start'}"
    if parts and parts[0] in (*POINT_LISTS, "focus"):
        return parts[0]
    # What concerns several form fields is shown above the form.
    return "" if parts == ["sizing"] else ".".join(parts)


def explain_error(text: str) -> str:
    """Return the message of an error for people who do not read patterns."""
    return "Enter a color as #rrggbb or #rrggbbaa" if "pattern '^#" in text else text


def _text(value: Any) -> str:
    """Return a value as a person types it: without `.0`, empty for None."""
    if value is None:
        return ""
    return f"{value:g}" if isinstance(value, float) else str(value)

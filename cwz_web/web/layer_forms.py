"""A layer as a form: which fields each kind of layer shows, and the way from a layer to typed text and back.

A field's name is the path in the document (`border.width`); a fill is spread over `fill.type`, `fill.start` and so on.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError

from cwz_web.imaging.layers import AnyLayer, Layer
from cwz_web.web.forms import error_messages

_any_layer: TypeAdapter[Layer] = TypeAdapter(AnyLayer)
FILLS = {"fill", "background"}
# Parts of a layer that are there or not, and the field that says so.
OPTIONAL = {"border": "border.width", "stroke": "stroke.width", "shadow": "shadow.on", "show_if": "show_if.field"}


@dataclass(frozen=True)
class Field:
    """A field of the form. `kind` is how it is typed; `choices` are pairs of value and label."""

    name: str
    label: str
    kind: str = "number"
    choices: tuple[tuple[str, str], ...] = ()
    help: str = ""
    step: str = "1"


@dataclass(frozen=True)
class Group:
    """Fields that belong together. A folded group is opened by the person, unless something in it is set."""

    title: str
    fields: tuple[Field, ...]
    folded: bool = False


def _choice(name: str, label: str, **choices: str) -> Field:
    pairs = tuple((value.rstrip("_").replace("_", "-"), words) for value, words in choices.items())
    return Field(name, label, "select", pairs)


def _fill(name: str, label: str) -> tuple[Field, ...]:
    kinds = _choice(f"{name}.type", label, none="None", solid="One color", linear="Gradient", radial="Round gradient")
    return (
        kinds,
        Field(f"{name}.start", "Color", "color"),
        Field(f"{name}.middle", "Middle", "color", help="of a gradient"),
        Field(f"{name}.end", "End", "color", help="of a gradient"),
        Field(f"{name}.angle", "Angle", help="0 to the right, 90 down"),
    )


PLACE = Group(
    "Place",
    (
        Field("x", "X"),
        Field("y", "Y"),
        Field("width", "Width"),
        Field("height", "Height"),
        Field("rotation", "Turn", help="degrees", step="any"),
        _choice(
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
        ),
        Field("opacity", "Opacity", help="0 to 1", step="any"),
    ),
)
EDGES = Group(
    "Corners and border",
    (
        Field("radius", "Corner radius", step="any"),
        Field("border.width", "Border", help="0 for none", step="any"),
        Field("border.color", "Border color", "color"),
    ),
    folded=True,
)
SHADOW = Group(
    "Shadow",
    (
        Field("shadow.on", "Shadow", "check"),
        Field("shadow.color", "Color", "color"),
        Field("shadow.x", "Right"),
        Field("shadow.y", "Down"),
        Field("shadow.blur", "Blur", step="any"),
    ),
    folded=True,
)
WHEN = Group(
    "When to show it",
    (
        Field("show_if.field", "Only if", "column"),
        _choice(
            "show_if.is",
            "is",
            filled="filled in",
            empty="empty",
            equal="the same as",
            different="different from",
            contains="containing",
            more="more than",
            less="less than",
        ),
        Field("show_if.value", "Value", "text"),
    ),
    folded=True,
)
_weights = tuple((str(weight), str(weight)) for weight in range(100, 1000, 100))
CONTENT: dict[str, tuple[Group, ...]] = {
    "text": (
        Group(
            "Text",
            (
                Field("text", "Text", "area", help="{{ column }} shows a value, {{ column | upper }} changes it"),
                Field("font", "Font", "font"),
                Field("weight", "Weight", "select", _weights),
                Field("size", "Size"),
                Field("min_size", "Smallest size", help="empty: never smaller"),
                Field("color", "Color", "color"),
                _choice("align", "Align", start="Start", center="Center", end="End", justify="Justify"),
                _choice("valign", "In the box", top="Top", middle="Middle", bottom="Bottom"),
                Field("max_lines", "Lines at most"),
                Field("line_height", "Line height", step="any"),
                Field("letter_spacing", "Letter spacing", step="any"),
                _choice("case", "Letters", none="As they are", upper="UPPER", lower="lower", title="Title"),
                Field("italic", "Italic", "check"),
            ),
        ),
        Group(
            "Box behind it",
            (
                *_fill("background", "Background"),
                Field("padding", "Padding"),
                Field("hug", "As wide as the text", "check"),
            ),
            folded=True,
        ),
        Group(
            "Outline",
            (
                Field("stroke.width", "Outline", help="0 for none", step="any"),
                Field("stroke.color", "Outline color", "color"),
            ),
            folded=True,
        ),
    ),
    "image": (
        Group(
            "Image",
            (
                Field("source", "Image", "text", help="an address, or {{ column }}"),
                _choice("fit", "Fit", cover="Fill the box", contain="Show all of it", fill="Stretch"),
                Field(
                    "focus",
                    "What stays in sight",
                    "select",
                    (
                        ("center", "The middle"),
                        ("attention", "What renders the eye"),
                        ("0.5,0", "Top"),
                        ("0.5,1", "Bottom"),
                        ("0,0.5", "Left"),
                        ("1,0.5", "Right"),
                    ),
                ),
                _choice("mask", "Shape", box="Box", circle="Circle"),
                Field("grayscale", "Gray", "check"),
            ),
        ),
        Group("Behind it", _fill("background", "Background"), folded=True),
        Group(
            "If there is no image",
            (
                _choice(
                    "missing",
                    "Then",
                    placeholder="Show a placeholder",
                    skip="Leave it out",
                    fallback="Show another",
                    fail="Make no image",
                ),
                Field("placeholder", "Placeholder’s color", "color"),
                Field("fallback", "Other image", "text"),
            ),
            folded=True,
        ),
    ),
    "shape": (
        Group(
            "Shape",
            (
                _choice("shape", "Shape", rectangle="Rectangle", ellipse="Ellipse", line="Line", polygon="Polygon"),
                *_fill("fill", "Fill"),
                Field("points", "Points", "text", help="of a line or a polygon, as in 0,0 1,0 0.5,1"),
            ),
        ),
    ),
    "code": (
        Group(
            "Code",
            (
                Field("content", "What it says", "area"),
                _choice("code", "Kind", qr="QR code", code128="Code 128", ean13="EAN-13"),
                Field("color", "Color", "color"),
                Field("padding", "Padding"),
                _choice("correction", "Correction", L="Low", M="Medium", Q="High", H="Highest"),
                *_fill("background", "Background"),
            ),
        ),
    ),
    "rating": (
        Group(
            "Stars",
            (
                Field("value", "Filled", "text", help="a number, or {{ column }}"),
                Field("stars", "Stars"),
                Field("color", "Color", "color"),
                Field("empty", "Empty color", "color"),
            ),
        ),
    ),
}
CHECKS = {
    field.name for groups in CONTENT.values() for group in groups for field in group.fields if field.kind == "check"
}


def groups_of(layer: Layer) -> list[Group]:
    """The groups of fields that a layer's form has."""
    name = Field("name", "Name", "text")
    return [Group("Layer", (name,)), *CONTENT[kind_of(layer)], PLACE, EDGES, SHADOW, WHEN]


def kind_of(layer: Layer) -> str:
    """The kind of a layer, as the document says it."""
    return str(layer.model_dump()["type"])


def typed_of(layer: Layer) -> dict[str, str]:
    """The layer as the texts that its form shows. A check box that is not set is not there."""
    typed: dict[str, str] = {}
    for name, value in layer.model_dump(mode="json").items():
        if name in FILLS:
            typed |= _fill_typed(name, value)
        elif isinstance(value, dict):
            typed |= {f"{name}.{key}": _text(part) for key, part in value.items()}
            if name == "shadow":
                typed["shadow.on"] = "on"
        elif isinstance(value, bool):
            typed |= {name: "on"} if value else {}
        elif name == "points":
            typed[name] = " ".join(",".join(map(_text, point)) for point in value)
        elif name == "focus" and isinstance(value, list):
            typed[name] = ",".join(map(_text, value))
        else:
            typed[name] = _text(value)
    return typed


def read_layer(layer: Layer, typed: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, str]]:
    """What a form says of a layer: the values of its fields, and a message for each that is wrong.

    Fields that the form does not have stay as they are.
    """
    names = [field.name for group in groups_of(layer) for field in group.fields]
    values = {**layer.model_dump(mode="json"), **_values(names, typed)}
    try:
        _any_layer.validate_python(values)
    except ValidationError as error:
        return {}, {_field_of(path): _plain(text) for path, text in error_messages(error).items()}
    return values, {}


def bound_fields(values: Mapping[str, Any]) -> frozenset[str]:
    """The columns that a layer of these values shows, or depends on."""
    return _any_layer.validate_python(values).fields()


def _values(names: Iterable[str], typed: Mapping[str, str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name in names:
        whole, _, part = name.partition(".")
        text = typed.get(name, "") if name == "text" else typed.get(name, "").strip()
        if whole in FILLS:
            values[whole] = _read_fill(whole, typed)
        elif part:
            values.setdefault(whole, {} if _is_there(whole, typed) else None)
            if values[whole] is not None and name != "shadow.on" and (text or name == "show_if.value"):
                values[whole][part] = text
        elif name in CHECKS:
            values[name] = bool(text)
        elif name == "points":
            values[name] = [point.split(",") for point in text.split()]
        elif name == "focus" and "," in text:
            values[name] = text.split(",")
        else:
            values[name] = None if name == "min_size" and not text else text
    return values


def _is_there(whole: str, typed: Mapping[str, str]) -> bool:
    return typed.get(OPTIONAL[whole], "").strip() not in ("", "0", "0.0")


def _read_fill(name: str, typed: Mapping[str, str]) -> Any:
    kind = typed.get(f"{name}.type", "none")
    parts = {part: typed.get(f"{name}.{part}", "").strip() for part in ("start", "middle", "end", "angle")}
    if kind == "none":
        return None
    if kind == "solid":
        return parts["start"] or "#000000"
    gradient = {part: text for part, text in parts.items() if text}
    return {"type": kind, "start": "#000000", "end": "#ffffff"} | gradient


def _fill_typed(name: str, value: Any) -> dict[str, str]:
    if value is None:
        return {f"{name}.type": "none"}
    if isinstance(value, str):
        return {f"{name}.type": "solid", f"{name}.start": value}
    return {f"{name}.{part}": _text(text) for part, text in value.items()}


def _field_of(path: str) -> str:
    """The form's field that a place in the document is typed in: without the names of unions' members."""
    kind, _, rest = path.partition(".")
    parts = [part for part in rest.split(".") if part not in ("gradient",) and not part.isdigit()]
    if parts and parts[0] in FILLS:
        return f"{parts[0]}.{parts[1] if len(parts) > 1 and parts[1] != 'color' else 'start'}"
    if parts and parts[0] in ("points", "focus"):
        return parts[0]
    return ".".join(parts) or kind


def _plain(text: str) -> str:
    return "Write a color as #rrggbb, or as #rrggbbaa" if "pattern '^#" in text else text


def _text(value: Any) -> str:
    """A value as a person would type it: no `.0`, nothing for None."""
    if value is None:
        return ""
    return f"{value:g}" if isinstance(value, float) else str(value)

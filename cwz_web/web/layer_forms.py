"""Layers as forms: the form fields of each layer type, and conversion between layers and submitted text.

A form field's name is its path in the document (`border.width`); a fill consists of `fill.type`, `fill.start` etc.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError

from cwz_web.i18n import gettext, gettext_noop
from cwz_web.imaging.layer_base import Layer
from cwz_web.imaging.layers import AnyLayer
from cwz_web.web.document_errors import PATTERNS
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
BLEND_MODES = {
    "normal": gettext_noop("Normal"),
    "multiply": gettext_noop("Multiply"),
    "screen": gettext_noop("Screen"),
    "overlay": gettext_noop("Overlay"),
    "darken": gettext_noop("Darken"),
    "lighten": gettext_noop("Lighten"),
    "color-dodge": gettext_noop("Color dodge"),
    "color-burn": gettext_noop("Color burn"),
    "hard-light": gettext_noop("Hard light"),
    "soft-light": gettext_noop("Soft light"),
    "difference": gettext_noop("Difference"),
    "exclusion": gettext_noop("Exclusion"),
    "hue": gettext_noop("Hue"),
    "saturation": gettext_noop("Saturation"),
    "color": gettext_noop("Color"),
    "luminosity": gettext_noop("Luminosity"),
}
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
    """A form field: `widget` is its control, `choices` are pairs of value and label. The texts are messages."""

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
        none=gettext_noop("None"),
        solid=gettext_noop("One color"),
        linear=gettext_noop("Gradient"),
        radial=gettext_noop("Radial gradient"),
        conic=gettext_noop("Conic gradient"),
    )
    color = FormField(f"{name}.start", gettext_noop("Color"), "color")
    colors = (
        FormField(f"{name}.middle", gettext_noop("Middle"), "color"),
        FormField(
            f"{name}.stops",
            gettext_noop("Stops"),
            "text",
            help=gettext_noop("in place of the middle, for example 0.2,#ff0000 0.6,#00ff00"),
        ),
        FormField(f"{name}.end", gettext_noop("End"), "color"),
    )
    angle = FormField(
        f"{name}.angle", gettext_noop("Angle"), help=gettext_noop("degrees; 0 is to the right, 90 is down")
    )
    return (
        types,
        *_only_if(types.name, "solid", "linear", "radial", "conic", fields=[color]),
        *_only_if(types.name, "linear", "radial", "conic", fields=colors),
        *_only_if(types.name, "linear", "conic", fields=[angle]),
    )


def _line_fields(name: str, width: str, color: str) -> tuple[FormField, ...]:
    return (
        FormField(f"{name}.width", width, help=gettext_noop("0 for none"), step="any"),
        FormField(f"{name}.color", color, "color"),
    )


# A stack places its layers itself.
PLACE = (FormField("x", "X"), FormField("y", "Y"))
ANCHOR = _select(
    "anchor",
    gettext_noop("Anchor"),
    top_left=gettext_noop("Top left"),
    top=gettext_noop("Top"),
    top_right=gettext_noop("Top right"),
    left=gettext_noop("Left"),
    center=gettext_noop("Center"),
    right=gettext_noop("Right"),
    bottom_left=gettext_noop("Bottom left"),
    bottom=gettext_noop("Bottom"),
    bottom_right=gettext_noop("Bottom right"),
)
BOX = (
    FormField("width", gettext_noop("Width")),
    FormField("height", gettext_noop("Height")),
    FormField("rotation", gettext_noop("Rotation"), help=gettext_noop("degrees"), step="any"),
)
BLENDING = (
    FormField("opacity", gettext_noop("Opacity"), help=gettext_noop("0 to 1"), step="any"),
    _select("blend", gettext_noop("Blend mode"), **BLEND_MODES),
)
POSITION = _group(gettext_noop("Position"), *PLACE, *BOX, ANCHOR, *BLENDING)
SIZE = _group(gettext_noop("Size"), *BOX, *BLENDING)
LIMITS = (
    FormField("sizing.min_width", gettext_noop("Minimum width")),
    FormField("sizing.max_width", gettext_noop("Maximum width")),
    FormField("sizing.min_height", gettext_noop("Minimum height")),
    FormField("sizing.max_height", gettext_noop("Maximum height")),
)
SIZING = _group(
    gettext_noop("Sizing"),
    _select("sizing.width", gettext_noop("Horizontal sizing"), fixed=gettext_noop("Fixed"), hug=gettext_noop("Hug")),
    _select("sizing.height", gettext_noop("Vertical sizing"), fixed=gettext_noop("Fixed"), hug=gettext_noop("Hug")),
    *LIMITS,
    folded=True,
)
STACKED_SIZING = _group(
    gettext_noop("Sizing"),
    _select(
        "sizing.width",
        gettext_noop("Horizontal sizing"),
        fixed=gettext_noop("Fixed"),
        hug=gettext_noop("Hug"),
        fill=gettext_noop("Fill"),
    ),
    _select(
        "sizing.height",
        gettext_noop("Vertical sizing"),
        fixed=gettext_noop("Fixed"),
        hug=gettext_noop("Hug"),
        fill=gettext_noop("Fill"),
    ),
    *LIMITS,
    FormField(
        "sizing.shrink",
        gettext_noop("Shrink order"),
        help=gettext_noop("0 to 9; higher ones shrink first, 0 never does"),
    ),
    folded=True,
)
PINS = _group(
    gettext_noop("Pins"),
    _select(
        "pins.horizontal",
        gettext_noop("Horizontal"),
        _=gettext_noop("None"),
        left=gettext_noop("Left edge"),
        right=gettext_noop("Right edge"),
        both=gettext_noop("Both edges"),
        center=gettext_noop("Center"),
        scale=gettext_noop("Scale"),
    ),
    _select(
        "pins.vertical",
        gettext_noop("Vertical"),
        _=gettext_noop("None"),
        top=gettext_noop("Top edge"),
        bottom=gettext_noop("Bottom edge"),
        both=gettext_noop("Both edges"),
        center=gettext_noop("Center"),
        scale=gettext_noop("Scale"),
    ),
    folded=True,
)
EDGES = _group(
    gettext_noop("Corners and border"),
    FormField("radius", gettext_noop("Corner radius"), step="any"),
    *_line_fields("border", gettext_noop("Border width"), gettext_noop("Border color")),
    FormField(
        "border.dash", gettext_noop("Dash length"), help=gettext_noop("leave empty for a solid line"), step="any"
    ),
    folded=True,
)
SHADOW = _group(
    gettext_noop("Shadow"),
    FormField("shadow.on", gettext_noop("Show shadow"), "check"),
    *_only_if(
        "shadow.on",
        "on",
        fields=(
            FormField("shadow.color", gettext_noop("Color"), "color"),
            FormField("shadow.x", gettext_noop("Offset X")),
            FormField("shadow.y", gettext_noop("Offset Y")),
            FormField("shadow.blur", gettext_noop("Blur"), step="any"),
        ),
    ),
    folded=True,
)
REQUESTS = _group(
    gettext_noop("Requests"),
    FormField(
        "open",
        gettext_noop("Open properties"),
        "text",
        help=gettext_noop("that a request to the API can override, such as color, hidden"),
    ),
    folded=True,
)
MASK = _group(
    gettext_noop("Mask"),
    FormField(
        "mask.layer",
        gettext_noop("Mask layer"),
        "text",
        help=gettext_noop("the name of a layer beside this one; it is not rendered"),
    ),
    _select(
        "mask.mode",
        gettext_noop("Shows"),
        alpha=gettext_noop("Where the mask is opaque"),
        luminance=gettext_noop("Where the mask is bright"),
    ),
    folded=True,
)
CONTENT: dict[str, tuple[FieldGroup, ...]] = {
    "text": (
        _group(
            gettext_noop("Text"),
            FormField(
                "text",
                gettext_noop("Text"),
                "area",
                help=gettext_noop("{{ field }} inserts a value, {{ field | upper }} converts it"),
            ),
            FormField("style", gettext_noop("Text style"), "style", help=gettext_noop("of the brand")),
            FormField("font", gettext_noop("Font"), "font"),
            _select("weight", gettext_noop("Weight"), **{str(weight): str(weight) for weight in range(100, 1000, 100)}),
            FormField("size", gettext_noop("Size")),
            _select(
                "align",
                gettext_noop("Align"),
                start=gettext_noop("Start"),
                center=gettext_noop("Center"),
                end=gettext_noop("End"),
                justify=gettext_noop("Justify"),
            ),
            _select(
                "valign",
                gettext_noop("Vertical align"),
                top=gettext_noop("Top"),
                middle=gettext_noop("Middle"),
                bottom=gettext_noop("Bottom"),
            ),
            FormField("color", gettext_noop("Color"), "color"),
            _select(
                "fit",
                gettext_noop("Fit"),
                shrink=gettext_noop("Shrink"),
                grow=gettext_noop("Grow"),
                ellipsis=gettext_noop("Cut with an ellipsis"),
                clip=gettext_noop("Cut"),
            ),
            FormField("min_size", gettext_noop("Minimum size"), help=gettext_noop("leave empty to keep the size")),
            *_only_if("fit", "grow", fields=[FormField("max_size", gettext_noop("Maximum size"))]),
            FormField("max_lines", gettext_noop("Maximum lines")),
            FormField("line_height", gettext_noop("Line height"), step="any"),
            FormField("letter_spacing", gettext_noop("Letter spacing"), step="any"),
            _select(
                "case",
                gettext_noop("Case"),
                none=gettext_noop("As typed"),
                upper=gettext_noop("Uppercase"),
                lower=gettext_noop("Lowercase"),
                title=gettext_noop("Title case"),
            ),
            FormField("italic", gettext_noop("Italic"), "check"),
        ),
        _group(
            gettext_noop("Lines and figures"),
            FormField("strike", gettext_noop("Strike through"), "check"),
            FormField("underline", gettext_noop("Underline"), "check"),
            FormField("balance", gettext_noop("Balance lines"), "check"),
            FormField(
                "paragraph_gap",
                gettext_noop("Paragraph gap"),
                help=gettext_noop("relative to the font size"),
                step="any",
            ),
            _select(
                "list_style",
                gettext_noop("List"),
                none=gettext_noop("None"),
                bullets=gettext_noop("Bullets"),
                numbers=gettext_noop("Numbers"),
            ),
            *_only_if("list_style", "bullets", fields=[FormField("bullet", gettext_noop("Bullet"), "text")]),
            _select(
                "figures",
                gettext_noop("Figures"),
                default=gettext_noop("As in the font"),
                tabular=gettext_noop("One width"),
            ),
            folded=True,
        ),
        _group(
            gettext_noop("Language"),
            FormField(
                "language",
                gettext_noop("Language"),
                "text",
                help=gettext_noop("a code such as de or en-GB, or auto for that of the image"),
            ),
            _select("hyphens", gettext_noop("Hyphens"), none=gettext_noop("Off"), auto=gettext_noop("On")),
            _select(
                "direction",
                gettext_noop("Direction"),
                auto=gettext_noop("Automatic"),
                ltr=gettext_noop("Left to right"),
                rtl=gettext_noop("Right to left"),
            ),
            folded=True,
        ),
        _group(
            gettext_noop("Background"),
            *_fill_fields("background", gettext_noop("Background")),
            FormField("padding", gettext_noop("Padding")),
            FormField("hug", gettext_noop("Hug text"), "check"),
            _select("box", gettext_noop("Box"), layer=gettext_noop("One"), lines=gettext_noop("One for each line")),
            folded=True,
        ),
        _group(
            gettext_noop("Outline"),
            *_line_fields("stroke", gettext_noop("Outline width"), gettext_noop("Outline color")),
            _select(
                "stroke.position",
                gettext_noop("Position"),
                outside=gettext_noop("Outside"),
                center=gettext_noop("Center"),
                inside=gettext_noop("Inside"),
            ),
            folded=True,
        ),
    ),
    "image": (
        _group(
            gettext_noop("Image"),
            FormField("source", gettext_noop("Image"), "text", help=gettext_noop("a URL, or {{ field }}")),
            _select(
                "fit",
                gettext_noop("Fit"),
                cover=gettext_noop("Fill the box"),
                contain=gettext_noop("Fit inside"),
                fill=gettext_noop("Stretch"),
                trim=gettext_noop("Trim to the product"),
                extend=gettext_noop("Fit inside, extend the edges"),
            ),
            *_only_if(
                "fit",
                "trim",
                fields=[
                    FormField(
                        "trim_padding",
                        gettext_noop("Padding"),
                        help=gettext_noop("around the product, from 0 to 0.45"),
                        step="any",
                    )
                ],
            ),
            *_only_if(
                "fit",
                "cover",
                fields=(
                    _select(
                        "focus",
                        gettext_noop("Focal point"),
                        center=gettext_noop("Center"),
                        attention=gettext_noop("Automatic"),
                        face=gettext_noop("Faces"),
                        **{
                            "0.5,0": gettext_noop("Top"),
                            "0.5,1": gettext_noop("Bottom"),
                            "0,0.5": gettext_noop("Left"),
                            "1,0.5": gettext_noop("Right"),
                        },
                    ),
                    FormField("zoom", gettext_noop("Zoom"), help=gettext_noop("1 to 10"), step="any"),
                ),
            ),
            FormField(
                "process",
                gettext_noop("Image processor"),
                "text",
                help=gettext_noop("such as cutout, which removes a uniform ground"),
            ),
            _select(
                "mask",
                gettext_noop("Shape"),
                box=gettext_noop("Box"),
                circle=gettext_noop("Circle"),
                polygon=gettext_noop("Polygon"),
                layer=gettext_noop("Another layer"),
            ),
            *_only_if(
                "mask",
                "polygon",
                fields=[
                    FormField(
                        "mask_points", gettext_noop("Points"), "text", help=gettext_noop("for example 0.5,0 1,1 0,1")
                    )
                ],
            ),
        ),
        _group(
            gettext_noop("Adjustments"),
            FormField("grayscale", gettext_noop("Grayscale"), "check"),
            FormField("adjust.on", gettext_noop("Adjust colors"), "check"),
            *_only_if(
                "adjust.on",
                "on",
                fields=(
                    FormField(
                        "adjust.brightness",
                        gettext_noop("Brightness"),
                        help=gettext_noop("1 changes nothing"),
                        step="any",
                    ),
                    FormField(
                        "adjust.contrast", gettext_noop("Contrast"), help=gettext_noop("1 changes nothing"), step="any"
                    ),
                    FormField(
                        "adjust.saturation",
                        gettext_noop("Saturation"),
                        help=gettext_noop("1 changes nothing"),
                        step="any",
                    ),
                    FormField("adjust.sharpen", gettext_noop("Sharpen"), help=gettext_noop("0 to 1"), step="any"),
                    FormField("adjust.blur", gettext_noop("Blur"), step="any"),
                ),
            ),
            FormField("duotone.on", gettext_noop("Duotone"), "check"),
            *_only_if(
                "duotone.on",
                "on",
                fields=(
                    FormField("duotone.dark", gettext_noop("Dark color"), "color"),
                    FormField("duotone.light", gettext_noop("Light color"), "color"),
                ),
            ),
            folded=True,
        ),
        _group(
            gettext_noop("Fade"),
            FormField("fade.on", gettext_noop("Fade out"), "check"),
            *_only_if(
                "fade.on",
                "on",
                fields=(
                    FormField(
                        "fade.angle",
                        gettext_noop("Angle"),
                        help=gettext_noop("degrees; 0 is to the right, 90 is down"),
                        step="any",
                    ),
                    FormField("fade.start", gettext_noop("Start"), help=gettext_noop("0 to 1"), step="any"),
                    FormField("fade.end", gettext_noop("End"), help=gettext_noop("0 to 1"), step="any"),
                ),
            ),
            folded=True,
        ),
        _group(
            gettext_noop("Outline"),
            *_line_fields("outline", gettext_noop("Outline width"), gettext_noop("Outline color")),
            folded=True,
        ),
        _group(gettext_noop("Background"), *_fill_fields("background", gettext_noop("Background")), folded=True),
        _group(
            gettext_noop("Missing image"),
            _select(
                "missing",
                gettext_noop("If the image is missing"),
                placeholder=gettext_noop("Show a placeholder"),
                skip=gettext_noop("Hide the layer"),
                fallback=gettext_noop("Show a fallback image"),
                fail=gettext_noop("Fail the row"),
            ),
            *_only_if(
                "missing", "placeholder", fields=[FormField("placeholder", gettext_noop("Placeholder color"), "color")]
            ),
            *_only_if("missing", "fallback", fields=[FormField("fallback", gettext_noop("Fallback image"), "text")]),
            folded=True,
        ),
    ),
    "shape": (
        _group(
            gettext_noop("Shape"),
            _select(
                "shape",
                gettext_noop("Shape"),
                rectangle=gettext_noop("Rectangle"),
                ellipse=gettext_noop("Ellipse"),
                line=gettext_noop("Line"),
                polygon=gettext_noop("Polygon"),
                arrow=gettext_noop("Arrow"),
                star=gettext_noop("Star"),
                burst=gettext_noop("Burst"),
                ribbon=gettext_noop("Ribbon"),
                bubble=gettext_noop("Speech bubble"),
                icon=gettext_noop("Icon"),
            ),
            *_fill_fields("fill", gettext_noop("Fill")),
            *_only_if(
                "shape",
                "line",
                "polygon",
                fields=[
                    FormField("points", gettext_noop("Points"), "text", help=gettext_noop("for example 0,0 1,0 0.5,1"))
                ],
            ),
            *_only_if("shape", "star", "burst", fields=[FormField("corners", gettext_noop("Corners"))]),
            *_only_if(
                "shape",
                "star",
                "burst",
                "ribbon",
                "arrow",
                fields=[FormField("depth", gettext_noop("Depth"), help=gettext_noop("from 0.02 to 0.95"), step="any")],
            ),
            *_only_if(
                "shape",
                "icon",
                fields=(
                    FormField(
                        "icon",
                        gettext_noop("Icon"),
                        "text",
                        help=gettext_noop("a name of lucide.dev/icons, such as shopping-cart"),
                    ),
                    FormField(
                        "stroke_width",
                        gettext_noop("Line width"),
                        help=gettext_noop("empty for a twelfth of its size"),
                        step="any",
                    ),
                ),
            ),
        ),
    ),
    "code": (
        _group(
            gettext_noop("Code"),
            FormField("content", gettext_noop("Content"), "area"),
            _select(
                "code",
                gettext_noop("Type"),
                qr=gettext_noop("QR code"),
                code128="Code 128",
                gtin=gettext_noop("EAN or UPC (GTIN)"),
                ean13="EAN-13",
                ean8="EAN-8",
                upca="UPC-A",
            ),
            FormField("color", gettext_noop("Color"), "color"),
            FormField("padding", gettext_noop("Padding")),
            *_only_if(
                "code",
                "qr",
                fields=[
                    _select(
                        "correction",
                        gettext_noop("Error correction"),
                        L=gettext_noop("Low"),
                        M=gettext_noop("Medium"),
                        Q=gettext_noop("High"),
                        H=gettext_noop("Highest"),
                    )
                ],
            ),
            *_fill_fields("background", gettext_noop("Background")),
        ),
    ),
    "group": (_group(gettext_noop("Group"), FormField("clip", gettext_noop("Clip content"), "check")),),
    "stack": (
        _group(
            gettext_noop("Stack"),
            _select("direction", gettext_noop("Direction"), column=gettext_noop("Column"), row=gettext_noop("Row")),
            FormField("gap", gettext_noop("Gap")),
            FormField("padding", gettext_noop("Padding")),
            _select(
                "align",
                gettext_noop("Align"),
                start=gettext_noop("Start"),
                center=gettext_noop("Center"),
                end=gettext_noop("End"),
                stretch=gettext_noop("Stretch"),
                baseline=gettext_noop("Baseline, in a row"),
            ),
            _select(
                "justify",
                gettext_noop("Distribute"),
                start=gettext_noop("Start"),
                center=gettext_noop("Center"),
                end=gettext_noop("End"),
                space_between=gettext_noop("Space between"),
                space_evenly=gettext_noop("Space evenly"),
            ),
            FormField("wrap", gettext_noop("Wrap a row"), "check"),
            _select(
                "mirror",
                gettext_noop("Swap left and right"),
                never=gettext_noop("Never"),
                auto=gettext_noop("For right-to-left locales"),
                always=gettext_noop("Always"),
            ),
            FormField("clip", gettext_noop("Clip content"), "check"),
        ),
        _group(gettext_noop("Background"), *_fill_fields("background", gettext_noop("Background")), folded=True),
        _group(
            gettext_noop("Repeat"),
            FormField(
                "repeat.field", gettext_noop("Repeat for each entry of"), "field", (("", gettext_noop("Never")),)
            ),
            FormField(
                "repeat.limit",
                gettext_noop("Maximum entries"),
                help=gettext_noop("1 to 20; layers use item, index and count"),
            ),
            folded=True,
        ),
    ),
    "rating": (
        _group(
            gettext_noop("Stars"),
            FormField("value", gettext_noop("Value"), "text", help=gettext_noop("a number, or {{ field }}")),
            FormField("stars", gettext_noop("Number of stars")),
            FormField("color", gettext_noop("Color"), "color"),
            FormField("empty", gettext_noop("Empty color"), "color"),
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
    "open",
}
_UNSET = {"", "0", "auto", "fixed", "none", None}
CHECKS = {
    field.name for groups in CONTENT.values() for group in groups for field in group.fields if field.widget == "check"
}


def list_groups(layer: AnyLayer, *, in_stack: bool = False) -> list[FieldGroup]:
    """Return the groups of form fields of a layer. A layer in a stack has no position of its own."""
    name = _group(gettext_noop("Layer"), FormField("name", gettext_noop("Name"), "text"))
    place = [SIZE, STACKED_SIZING] if in_stack else [POSITION, SIZING, PINS]
    # Several shadows are edited in the exported document.
    shadow = [] if isinstance(layer.shadow, tuple) else [SHADOW]
    return [name, *CONTENT[layer.type], *place, EDGES, *shadow, MASK, REQUESTS]


def translate_group(group: FieldGroup) -> FieldGroup:
    """Return a group of form fields with its texts in the language of the page."""
    fields = tuple(
        replace(
            field,
            label=gettext(field.label),
            choices=tuple((value, gettext(label)) for value, label in field.choices),
            help=gettext(field.help) if field.help else "",
        )
        for field in group.fields
    )
    return FieldGroup(gettext(group.title), fields, group.folded)


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
        elif name == "open":
            typed[name] = ", ".join(value)
        else:
            typed[name] = _text(value)
    return typed


def read_form_values(layer: AnyLayer, *, in_stack: bool = False) -> dict[str, str]:
    """Return the value of each form field of a layer; that of an unchecked box is empty."""
    names = [field.name for group in list_groups(layer, in_stack=in_stack) for field in group.fields]
    typed = serialize_layer(layer)
    return {name: typed.get(name, "") for name in names}


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
        elif name == "open":
            values[name] = text.replace(",", " ").split()
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
    known = next((message for start, message in PATTERNS.items() if f"pattern '{start}" in text), None)
    return gettext(known) if known else text


def _text(value: Any) -> str:
    """Return a value as a person types it: without `.0`, empty for None."""
    if value is None:
        return ""
    return f"{value:g}" if isinstance(value, float) else str(value)

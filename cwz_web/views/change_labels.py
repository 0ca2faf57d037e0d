"""The changes between two revisions of a template, in words."""

from collections.abc import Sequence
from dataclasses import dataclass

from cwz_web.i18n import gettext, gettext_noop
from cwz_web.imaging.document_changes import ORDER, Change

PARTS = {
    "canvas": gettext_noop("Canvas"),
    "layer": gettext_noop("Layer %(name)s"),
    "field": gettext_noop("Field %(name)s"),
    "computed field": gettext_noop("Computed field %(name)s"),
    "table": gettext_noop("Table %(name)s"),
    "size": gettext_noop("Size %(name)s"),
}
KINDS = {
    "added": gettext_noop("Added"),
    "removed": gettext_noop("Removed"),
    "changed": gettext_noop("Changed"),
}
# By the names of a property in its part of the document, and in the parts of that.
PROPERTIES = {
    "adjust": gettext_noop("Adjust"),
    "adjust blur": gettext_noop("Adjust blur"),
    "adjust brightness": gettext_noop("Adjust brightness"),
    "adjust contrast": gettext_noop("Adjust contrast"),
    "adjust saturation": gettext_noop("Adjust saturation"),
    "adjust sharpen": gettext_noop("Adjust sharpen"),
    "align": gettext_noop("Align"),
    "anchor": gettext_noop("Anchor"),
    "background": gettext_noop("Background"),
    "background angle": gettext_noop("Background angle"),
    "background end": gettext_noop("Background end"),
    "background middle": gettext_noop("Background middle"),
    "background start": gettext_noop("Background start"),
    "background stops": gettext_noop("Background stops"),
    "background type": gettext_noop("Background type"),
    "balance": gettext_noop("Balance"),
    "blend": gettext_noop("Blend"),
    "border": gettext_noop("Border"),
    "border color": gettext_noop("Border color"),
    "border dash": gettext_noop("Border dash"),
    "border width": gettext_noop("Border width"),
    "box": gettext_noop("Box"),
    "bullet": gettext_noop("Bullet"),
    "case": gettext_noop("Case"),
    "clip": gettext_noop("Clip"),
    "code": gettext_noop("Code"),
    "color": gettext_noop("Color"),
    "container": gettext_noop("Container"),
    "content": gettext_noop("Content"),
    "corners": gettext_noop("Corners"),
    "correction": gettext_noop("Correction"),
    "currency": gettext_noop("Currency"),
    "default": gettext_noop("Default"),
    "depth": gettext_noop("Depth"),
    "direction": gettext_noop("Direction"),
    "duotone": gettext_noop("Duotone"),
    "duotone dark": gettext_noop("Duotone dark"),
    "duotone light": gettext_noop("Duotone light"),
    "empty": gettext_noop("Empty"),
    "fade": gettext_noop("Fade"),
    "fade angle": gettext_noop("Fade angle"),
    "fade end": gettext_noop("Fade end"),
    "fade start": gettext_noop("Fade start"),
    "fallback": gettext_noop("Fallback"),
    "figures": gettext_noop("Figures"),
    "fill": gettext_noop("Fill"),
    "fill angle": gettext_noop("Fill angle"),
    "fill end": gettext_noop("Fill end"),
    "fill middle": gettext_noop("Fill middle"),
    "fill start": gettext_noop("Fill start"),
    "fill stops": gettext_noop("Fill stops"),
    "fill type": gettext_noop("Fill type"),
    "fit": gettext_noop("Fit"),
    "focus": gettext_noop("Focus"),
    "font": gettext_noop("Font"),
    "gap": gettext_noop("Gap"),
    "gradient": gettext_noop("Gradient"),
    "gradient angle": gettext_noop("Gradient angle"),
    "gradient end": gettext_noop("Gradient end"),
    "gradient middle": gettext_noop("Gradient middle"),
    "gradient start": gettext_noop("Gradient start"),
    "gradient stops": gettext_noop("Gradient stops"),
    "gradient type": gettext_noop("Gradient type"),
    "grayscale": gettext_noop("Grayscale"),
    "height": gettext_noop("Height"),
    "hidden": gettext_noop("Hidden"),
    "hug": gettext_noop("Hug"),
    "hyphens": gettext_noop("Hyphens"),
    "icon": gettext_noop("Icon"),
    "italic": gettext_noop("Italic"),
    "justify": gettext_noop("Justify"),
    "label": gettext_noop("Label"),
    "language": gettext_noop("Language"),
    "letter spacing": gettext_noop("Letter spacing"),
    "line height": gettext_noop("Line height"),
    "list style": gettext_noop("List style"),
    "locale": gettext_noop("Locale"),
    "locked": gettext_noop("Locked"),
    "open": gettext_noop("Open to requests"),
    "mask": gettext_noop("Mask"),
    "mask layer": gettext_noop("Mask layer"),
    "mask mode": gettext_noop("Mask mode"),
    "mask points": gettext_noop("Mask points"),
    "max lines": gettext_noop("Max lines"),
    "max size": gettext_noop("Max size"),
    "min size": gettext_noop("Min size"),
    "mirror": gettext_noop("Mirror"),
    "missing": gettext_noop("Missing"),
    "opacity": gettext_noop("Opacity"),
    "order": gettext_noop("Order"),
    "outline": gettext_noop("Outline"),
    "outline color": gettext_noop("Outline color"),
    "outline width": gettext_noop("Outline width"),
    "padding": gettext_noop("Padding"),
    "paragraph gap": gettext_noop("Paragraph gap"),
    "pins": gettext_noop("Pins"),
    "pins horizontal": gettext_noop("Pins horizontal"),
    "pins vertical": gettext_noop("Pins vertical"),
    "placeholder": gettext_noop("Placeholder"),
    "points": gettext_noop("Points"),
    "process": gettext_noop("Process"),
    "radius": gettext_noop("Radius"),
    "repeat": gettext_noop("Repeat"),
    "repeat field": gettext_noop("Repeat field"),
    "repeat limit": gettext_noop("Repeat limit"),
    "rotation": gettext_noop("Rotation"),
    "shadow": gettext_noop("Shadow"),
    "shape": gettext_noop("Shape"),
    "show if": gettext_noop("Show if"),
    "show if field": gettext_noop("Show if field"),
    "show if is": gettext_noop("Show if is"),
    "show if value": gettext_noop("Show if value"),
    "size": gettext_noop("Size"),
    "sizing": gettext_noop("Sizing"),
    "sizing height": gettext_noop("Sizing height"),
    "sizing max height": gettext_noop("Sizing max height"),
    "sizing max width": gettext_noop("Sizing max width"),
    "sizing min height": gettext_noop("Sizing min height"),
    "sizing min width": gettext_noop("Sizing min width"),
    "sizing shrink": gettext_noop("Sizing shrink"),
    "sizing width": gettext_noop("Sizing width"),
    "source": gettext_noop("Source"),
    "spans": gettext_noop("Spans"),
    "stars": gettext_noop("Stars"),
    "strike": gettext_noop("Strike"),
    "stroke": gettext_noop("Stroke"),
    "stroke color": gettext_noop("Stroke color"),
    "stroke position": gettext_noop("Stroke position"),
    "stroke width": gettext_noop("Stroke width"),
    "style": gettext_noop("Style"),
    "text": gettext_noop("Text"),
    "trim padding": gettext_noop("Trim padding"),
    "type": gettext_noop("Type"),
    "underline": gettext_noop("Underline"),
    "valign": gettext_noop("Valign"),
    "value": gettext_noop("Value"),
    "weight": gettext_noop("Weight"),
    "width": gettext_noop("Width"),
    "wrap": gettext_noop("Wrap"),
    "x": gettext_noop("X"),
    "y": gettext_noop("Y"),
    "zoom": gettext_noop("Zoom"),
}


@dataclass(frozen=True)
class ChangedProperty:
    """A property of a part that changed; the values are empty where it is not set."""

    name: str
    before: str
    after: str
    is_moved: bool


@dataclass(frozen=True)
class ChangedPart:
    """A part of a template that was added, removed or changed, with what changed of it."""

    part: str
    kind: str
    properties: list[ChangedProperty]


def describe_changes(changes: Sequence[Change]) -> list[ChangedPart]:
    """Return changes with their labels in the current language."""
    return [
        ChangedPart(
            gettext(PARTS[change.part], name=change.name),
            gettext(KINDS[change.kind]),
            [
                ChangedProperty(_label(change.part, each.path), each.before, each.after, each.path == ORDER)
                for each in change.properties
            ],
        )
        for change in changes
    ]


def _label(part: str, path: tuple[str, ...]) -> str:
    """Return the label of a property. The names of layers and of the entries of tables are those of their author."""
    if part == "table":
        return " ".join(path)
    if path[0] == "bound":
        return gettext("Bound: %(property)s", property=_label(part, path[1:]))
    if path[0] == "overrides" and len(path) > 2:
        return gettext("%(layer)s: %(property)s", layer=path[1], property=_label(part, path[2:]))
    name = " ".join(path).replace("_", " ")
    return gettext(PROPERTIES[name]) if name in PROPERTIES else name.capitalize()

"""Forms of the designer: what the page shows, and the change of the document that a form requests. No database."""

import itertools
from collections.abc import Callable, Collection, Mapping
from typing import Annotated, Any

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from cwz_web.i18n import gettext
from cwz_web.imaging.brand_references import PREFIX
from cwz_web.imaging.documents import DEFAULT_SIZE, ImageTemplate
from cwz_web.imaging.editing import (
    Box,
    LayerNotFoundError,
    add_layer,
    add_size,
    change_canvas,
    change_fields,
    change_layer,
    duplicate_layer,
    move_layer,
    remove_layer,
    remove_size,
    unwrap_container,
    wrap_in_group,
    wrap_in_stack,
)
from cwz_web.imaging.layers import MAX_LAYERS, StackLayer
from cwz_web.imaging.styles import Fill
from cwz_web.web.bound_forms import change_bound, read_bound_values
from cwz_web.web.condition_forms import change_condition, read_condition, replaces_other_condition
from cwz_web.web.data_forms import change_computed, change_field, change_table, merge_rows, read_data_values
from cwz_web.web.design_selection import Change, InvalidDesignError, Selection, Typed, parse_selection
from cwz_web.web.forms import error_messages
from cwz_web.web.layer_forms import NOT_IN_FORM, explain_error, find_bound_fields, read_form_values, read_layer

__all__ = [
    "CHANGES",
    "MAX_FORM_FIELDS",
    "PANEL_CHANGES",
    "InvalidDesignError",
    "Selection",
    "change_design",
    "check_size",
    "complete_form",
    "is_in_stack",
    "parse_selection",
    "read_canvas_values",
    "read_condition",
    "read_current_values",
    "read_posted_form",
    "replaces_other_condition",
]

# The key of an error that names a field which a layer uses and the template lacks: the page offers to add it.
MISSING_FIELD = "missing-field"


# The end of a gradient that has none yet.
GRADIENT_END = "#c7d2fe"
Pixels = Annotated[int, Field(ge=-100_000, le=100_000)]
# Where the page shows layers, by name.
BOXES: TypeAdapter[dict[str, Box]] = TypeAdapter(
    Annotated[dict[str, tuple[Pixels, Pixels, Pixels, Pixels]], Field(max_length=MAX_LAYERS)]
)
# The form of a table has three for each entry: its key, the key that it had when it was rendered, and its value.
MAX_FORM_FIELDS = 1000
# The values of a form when it was rendered. What the page's script has seen the user change has none.
SHOWN: TypeAdapter[dict[str, str | None]] = TypeAdapter(
    Annotated[dict[str, str | None], Field(max_length=MAX_FORM_FIELDS)]
)


def change_design(document: ImageTemplate, selection: Selection, typed: Typed) -> Change:
    """Apply the change that a form requests.

    Args:
        typed: The form's fields; `do` names the change.

    Returns:
        The changed document, the new selection, and a name of the change for undo steps.

    Raises:
        InvalidDesignError: The change is not possible.
    """
    change = CHANGES.get(typed.get("do", ""))
    if change is None:
        raise InvalidDesignError({"do": f"Unknown change. Use one of: {', '.join(CHANGES)}"})
    try:
        return change(document, selection, typed)
    except LayerNotFoundError as missing:
        message = gettext("The layer “%(name)s” no longer exists", name=missing)
        raise InvalidDesignError({"layer": message}) from None
    except ValidationError as error:
        messages = error_messages(error)
        raise InvalidDesignError({_form_field_of(path): explain_error(messages[path]) for path in messages}) from None


def check_size(document: ImageTemplate, selection: Selection) -> None:
    """Check that the size of a form exists: its values must not change the default size in place of a removed one.

    Raises:
        InvalidDesignError: the document does not have the size.
    """
    if selection.size not in document.size_names:
        raise InvalidDesignError({"": gettext("The size “%(name)s” no longer exists", name=selection.size)})


def complete_form(
    document: ImageTemplate, selection: Selection, typed: Typed, changed: Collection[str]
) -> dict[str, str]:
    """Return a form with the values of the document in place of those that its user has not changed.

    The form can show what another window has changed since.

    Args:
        document: the draft.
        selection: what the form is about.
        typed: all fields of the form.
        changed: those that the user has changed.
    """
    if typed.get("do") == "table":
        return merge_rows(document, typed, changed)
    current = read_current_values(document, selection, typed)
    return {**typed, **{name: value for name, value in current.items() if name not in changed}}


def read_posted_form(document: ImageTemplate, selection: Selection, typed: Typed) -> dict[str, str]:
    """Return a form that a page without the editor's script has posted, completed by what the page has shown.

    Raises:
        InvalidDesignError: the page does not say what it has shown as `read_current_values` does.
    """
    if "shown" not in typed:
        return dict(typed)
    try:
        shown = SHOWN.validate_json(typed["shown"])
    except ValidationError:
        raise InvalidDesignError({"": gettext("The page is out of date. Reload it and try again")}) from None
    # Browsers send line breaks as CRLF.
    form = {name: text.replace("\r\n", "\n") for name, text in typed.items() if name != "shown"}
    changed = {name for name in {*form, *shown} if form.get(name, "") != shown.get(name, "")}
    return complete_form(document, selection, form, changed)


def read_current_values(document: ImageTemplate, selection: Selection, typed: Typed) -> dict[str, str]:
    """Return the values of a form as the document has them; none of a form that changes a value as a whole.

    Args:
        document: the draft.
        selection: what the form is about.
        typed: the hidden fields of the form, which say what it is.
    """
    change = typed.get("do", "")
    layer = document.in_size(selection.size).find_layer(selection.layer)
    if change == "properties" and layer:
        return read_form_values(layer, in_stack=is_in_stack(document, layer.name))
    if change == "bind" and layer:
        return read_bound_values(layer, typed.get("property", ""))
    if change == "canvas":
        values = read_canvas_values(document, selection.size)
        return {name: value for name, value in values.items() if value or not name.startswith("background")}
    return read_data_values(document, typed) if change in ("field", "computed", "table") else {}


def read_canvas_values(document: ImageTemplate, size: str) -> dict[str, str]:
    """Return the values of the canvas form of a size."""
    shown = document.find_size(size) or document.canvas
    background = shown.background
    gradient = background.model_dump(mode="json") if isinstance(background, BaseModel) else {}
    return {
        "width": str(shown.width),
        "height": str(shown.height),
        "background": gradient.get("start", background or ""),
        "background.type": gradient.get("type", "solid" if background else "none"),
        "background.end": gradient.get("end", ""),
        "background.angle": f"{gradient['angle']:g}" if gradient else "",
    }


def _form_field_of(path: str) -> str:
    """Return the form field of a path in the document: `canvas.width` is the field `width`."""
    if not path.startswith(("canvas.", "sizes.")):
        return path
    name = path.rpartition(".")[2]
    if ".background." not in path:
        return name
    return f"background.{name}" if name in ("end", "angle") else "background"


def _add(document: ImageTemplate, selection: Selection, typed: Typed) -> Change:
    layer_type = typed.get("type", "")
    match layer_type:
        case "text" | "image" | "shape" | "code" | "rating" | "group" | "stack":
            changed, name = add_layer(document, layer_type, selection.layer)
            return changed, selection.model_copy(update={"layer": name}), f"add {name}"
    raise InvalidDesignError({"type": gettext("Unknown layer type")})


def _duplicate(document: ImageTemplate, selection: Selection, typed: Typed) -> Change:
    changed, name = duplicate_layer(document, typed.get("layer", ""))
    return changed, selection.model_copy(update={"layer": name}), f"add {name}"


def _remove(document: ImageTemplate, selection: Selection, typed: Typed) -> Change:
    name = typed.get("layer", "")
    return remove_layer(document, name), selection.model_copy(update={"layer": ""}), f"remove {name}"


def _move(document: ImageTemplate, selection: Selection, typed: Typed) -> Change:
    name, to = typed.get("layer", ""), typed.get("to", "")
    if not (to.isascii() and to.isdigit()):
        raise InvalidDesignError({"to": gettext("Enter a whole number")})
    return move_layer(document, name, int(to[:4])), selection, f"move {name}"


def _wrap(document: ImageTemplate, selection: Selection, typed: Typed) -> Change:
    name = typed.get("layer", "")
    if typed.get("do") == "wrap-stack":
        changed, container = wrap_in_stack(document, name)
    else:
        changed, container = wrap_in_group(document, name, _read_boxes(typed).get(name))
    return changed, selection.model_copy(update={"layer": container}), f"wrap {name}"


def _unwrap(document: ImageTemplate, selection: Selection, typed: Typed) -> Change:
    name = typed.get("layer", "")
    changed = unwrap_container(document, name, _read_boxes(typed))
    return changed, selection.model_copy(update={"layer": ""}), f"unwrap {name}"


def _read_boxes(typed: Typed) -> Mapping[str, Box]:
    """Return where the page shows layers. Without it, layers are placed by their own values."""
    try:
        return BOXES.validate_json(typed.get("boxes") or "{}")
    except ValidationError:
        raise InvalidDesignError({"layer": gettext("The page is out of date. Reload it and try again")}) from None


def _toggle(document: ImageTemplate, selection: Selection, typed: Typed) -> Change:
    name, action = typed.get("layer", ""), typed.get("do", "")
    layer = document.find_layer(name)
    if layer is None:
        raise LayerNotFoundError(name)
    flag = "hidden" if action == "hide" else "locked"
    return change_layer(document, name, {flag: not getattr(layer, flag)}), selection, f"{action} {name}"


def _properties(document: ImageTemplate, selection: Selection, typed: Typed) -> Change:
    layer = document.in_size(selection.size).find_layer(selection.layer)
    if layer is None:
        raise LayerNotFoundError(selection.layer)
    with document.checking_references():
        values, errors = read_layer(layer, typed, in_stack=is_in_stack(document, layer.name))
    if errors:
        raise InvalidDesignError(errors)
    if typed.get("add"):
        document = _add_field(document, typed["add"], "image" if layer.type == "image" else "text")
    unknown = sorted(document.unknown_fields(layer.name, find_bound_fields(values)))
    if unknown:
        raise InvalidDesignError({MISSING_FIELD: unknown[0]})
    values = {name: value for name, value in values.items() if name not in NOT_IN_FORM}
    if values.get("style") not in (None, getattr(layer, "style", None)):
        values |= document.brand.styles[values["style"].removeprefix(PREFIX)].model_dump(mode="json")
    changed = change_layer(document, layer.name, values, selection.size)
    new = changed.in_size(selection.size).find_layer(values["name"])
    fields = sorted(name for name in type(layer).model_fields if getattr(new, name) != getattr(layer, name))
    return changed, selection.model_copy(update={"layer": values["name"]}), f"{layer.name}: {', '.join(fields)}"


def is_in_stack(document: ImageTemplate, name: str) -> bool:
    """Return whether a stack places the layer of this name."""
    return any(isinstance(container, StackLayer) for container in document.find_containers(name)[-1:])


def _add_field(document: ImageTemplate, name: str, field_type: str) -> ImageTemplate:
    """Return the document with a new field, for a layer that uses it."""
    new = {"name": name, "label": name.replace("_", " ").capitalize(), "type": field_type}
    return change_fields(document, [*(field.model_dump() for field in document.fields), new])


def _canvas(document: ImageTemplate, selection: Selection, typed: Typed) -> Change:
    values: dict[str, Any] = {name: typed[name].strip() for name in ("width", "height", "background") if name in typed}
    if "background.type" in typed:
        old = document.in_size(selection.size).canvas.background
        values["background"] = _read_background(old, typed)
    return change_canvas(document, values, selection.size), selection, f"canvas {sorted(values)}"


def _read_background(old: Fill | None, typed: Typed) -> Any:
    """Return the background that a form describes: none, a color or a gradient, which keeps its stops.

    The form has no color while there is none.
    """
    kind = typed["background.type"]
    gradient = old.model_dump(mode="json", exclude_defaults=True) if isinstance(old, BaseModel) else {}
    shown = old if isinstance(old, str) else gradient.get("start", "#ffffff")
    color = typed.get("background", shown).strip()
    if kind in ("none", "solid"):
        return None if kind == "none" else color
    parts = {name: typed.get(f"background.{name}", "").strip() for name in ("end", "angle")}
    given = {name: text for name, text in parts.items() if text}
    return {"end": GRADIENT_END} | gradient | given | {"type": kind, "start": color}


def _add_size(document: ImageTemplate, selection: Selection, typed: Typed) -> Change:
    width, height = typed.get("width", ""), typed.get("height", "")
    sides = [int(side[:5]) if side.isascii() and side.isdigit() else 0 for side in (width, height)]
    name = "-".join(typed.get("name", "").lower().split())
    if not name:
        same = [size for size in document.size_names if _sides_of(document, size) == tuple(sides)]
        if same:
            message = gettext("The size “%(name)s” has the same dimensions. Enter a name to add another", name=same[0])
            raise InvalidDesignError({"name": message})
        name = f"{sides[0]}x{sides[1]}"
        numbered = (f"{name}-{number}" for number in itertools.count(2))
        name = name if name not in document.size_names else next(n for n in numbered if n not in document.size_names)
    elif name in document.size_names:
        raise InvalidDesignError({"name": gettext("The template has a size with this name. Enter another name")})
    return add_size(document, name, *sides), selection.model_copy(update={"size": name}), f"add {name}"


def _sides_of(document: ImageTemplate, size: str) -> tuple[int, int]:
    canvas = document.in_size(size).canvas
    return canvas.width, canvas.height


def _remove_size(document: ImageTemplate, selection: Selection, typed: Typed) -> Change:
    return (
        remove_size(document, selection.size),
        selection.model_copy(update={"size": DEFAULT_SIZE}),
        f"remove {selection.size}",
    )


# The changes of panels: forms that every page about a template can include.
PANEL_CHANGES: dict[str, Callable[[ImageTemplate, Selection, Typed], Change]] = {
    "condition": change_condition,
    "bind": change_bound,
    "field": change_field,
    "computed": change_computed,
    "table": change_table,
}
CHANGES: dict[str, Callable[[ImageTemplate, Selection, Typed], Change]] = {
    **PANEL_CHANGES,
    "add": _add,
    "duplicate": _duplicate,
    "remove": _remove,
    "move": _move,
    "wrap-stack": _wrap,
    "wrap-group": _wrap,
    "unwrap": _unwrap,
    "hide": _toggle,
    "lock": _toggle,
    "properties": _properties,
    "canvas": _canvas,
    "add-size": _add_size,
    "remove-size": _remove_size,
}

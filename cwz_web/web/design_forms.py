"""The designer's forms: what is being looked at, and the change of a document that a form asks for. No database."""

from collections.abc import Callable, Mapping
from typing import Annotated, Literal
from urllib.parse import urlencode
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cwz_web.imaging.documents import DEFAULT_SIZE, ImageTemplate
from cwz_web.imaging.editing import (
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
)
from cwz_web.web.forms import error_messages
from cwz_web.web.layer_forms import bound_fields, read_layer

MAX_COLUMNS = 50
# The key of an error that names a column which a layer shows and the template does not have: it can be added at once.
MISSING_COLUMN = "missing-column"


class Chosen(BaseModel):
    """What the designer shows: a layer, a size, a row of a feed, and how large. It stands in the page's address."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    layer: Annotated[str, Field(max_length=60)] = ""
    size: Annotated[str, Field(max_length=40)] = DEFAULT_SIZE
    feed: UUID | Literal[""] = ""
    row: Annotated[int, Field(ge=1, le=10_000_000)] = 1
    zoom: Literal["fit", "50", "100", "200"] = "fit"

    def query(self, **other: object) -> str:
        """The address's query, with something else chosen."""
        chosen = self.model_copy(update=other).model_dump(mode="json", exclude_defaults=True)
        return urlencode({name: value for name, value in chosen.items() if value != ""})

    def within(self, document: ImageTemplate) -> "Chosen":
        """The same, as far as the document has it."""
        layer = self.layer if document.find_layer(self.layer) else ""
        size = self.size if document.find_size(self.size) else DEFAULT_SIZE
        return self.model_copy(update={"layer": layer, "size": size})


class InvalidDesignError(Exception):
    """A form cannot be carried out. `errors` has a message for each field that is wrong."""

    def __init__(self, errors: dict[str, str]) -> None:
        self.errors = errors
        super().__init__("; ".join(errors.values()))


Change = tuple[ImageTemplate, Chosen, str]
Typed = Mapping[str, str]


def read_chosen(query: Mapping[str, str]) -> Chosen:
    """What an address says is looked at; what it says wrong is as usual."""
    try:
        return Chosen.model_validate(dict(query))
    except ValidationError as error:
        wrong = {str(problem["loc"][0]) for problem in error.errors()}
        return Chosen.model_validate({name: value for name, value in query.items() if name not in wrong})


def change_design(document: ImageTemplate, chosen: Chosen, typed: Typed) -> Change:
    """Do what a form says: the changed document, what is to be looked at now, and a name for what was changed.

    Arguments:
        typed: the form's fields; `do` names the change.
    Raises InvalidDesignError.
    """
    change = CHANGES.get(typed.get("do", ""))
    if change is None:
        raise InvalidDesignError({"do": f"There is no such change; there are {', '.join(CHANGES)}"})
    try:
        return change(document, chosen, typed)
    except LayerNotFoundError as missing:
        raise InvalidDesignError({"layer": f"The layer “{missing}” is not there any more"}) from None
    except ValidationError as error:
        raise InvalidDesignError(_shortened(error_messages(error))) from None


def _shortened(errors: dict[str, str]) -> dict[str, str]:
    """Messages by the form's own fields: `canvas.width` is typed in a field called `width`."""
    return {
        path.rpartition(".")[2] if path.startswith(("canvas.", "sizes.")) else path: errors[path] for path in errors
    }


def _add(document: ImageTemplate, chosen: Chosen, typed: Typed) -> Change:
    kind = typed.get("kind", "")
    match kind:
        case "text" | "image" | "shape" | "code" | "rating":
            changed, name = add_layer(document, kind)
            return changed, chosen.model_copy(update={"layer": name}), f"add {name}"
    raise InvalidDesignError({"kind": "There is no such kind of layer"})


def _duplicate(document: ImageTemplate, chosen: Chosen, typed: Typed) -> Change:
    changed, name = duplicate_layer(document, typed.get("layer", ""))
    return changed, chosen.model_copy(update={"layer": name}), f"add {name}"


def _remove(document: ImageTemplate, chosen: Chosen, typed: Typed) -> Change:
    name = typed.get("layer", "")
    return remove_layer(document, name), chosen.model_copy(update={"layer": ""}), f"remove {name}"


def _move(document: ImageTemplate, chosen: Chosen, typed: Typed) -> Change:
    name, to = typed.get("layer", ""), typed.get("to", "")
    if not (to.isascii() and to.isdigit()):
        raise InvalidDesignError({"to": "Enter a whole number"})
    return move_layer(document, name, int(to[:4])), chosen, f"move {name}"


def _toggle(document: ImageTemplate, chosen: Chosen, typed: Typed) -> Change:
    name, what = typed.get("layer", ""), typed.get("do", "")
    layer = document.find_layer(name)
    if layer is None:
        raise LayerNotFoundError(name)
    flag = "hidden" if what == "hide" else "locked"
    return change_layer(document, name, {flag: not getattr(layer, flag)}), chosen, f"{what} {name}"


def _properties(document: ImageTemplate, chosen: Chosen, typed: Typed) -> Change:
    layer = document.in_size(chosen.size).find_layer(chosen.layer)
    if layer is None:
        raise LayerNotFoundError(chosen.layer)
    values, errors = read_layer(layer, typed)
    if errors:
        raise InvalidDesignError(errors)
    if typed.get("add"):
        document = _with_column(document, typed["add"], "image" if layer.type == "image" else "text")
    unknown = sorted(bound_fields(values) - {field.name for field in document.fields})
    if unknown:
        raise InvalidDesignError({MISSING_COLUMN: unknown[0]})
    changed = change_layer(document, layer.name, values, chosen.size)
    place = [each.name for each in document.layers].index(layer.name)
    now = changed.in_size(chosen.size).layers[place]
    fields = sorted(name for name in type(layer).model_fields if getattr(now, name) != getattr(layer, name))
    return changed, chosen.model_copy(update={"layer": now.name}), f"{layer.name}: {', '.join(fields)}"


def _with_column(document: ImageTemplate, name: str, kind: str) -> ImageTemplate:
    """The document with a new column, which a layer is about to show."""
    column = {"name": name, "label": name.replace("_", " ").capitalize(), "type": kind}
    return change_fields(document, [*(field.model_dump() for field in document.fields), column])


def _canvas(document: ImageTemplate, chosen: Chosen, typed: Typed) -> Change:
    values = {name: typed[name].strip() for name in ("width", "height", "background") if name in typed}
    return change_canvas(document, values, chosen.size), chosen, f"canvas {sorted(values)}"


def _fields(document: ImageTemplate, chosen: Chosen, typed: Typed) -> Change:
    columns = []
    for number in range(MAX_COLUMNS + 1):
        column = {key: typed.get(f"{number}.{key}", "").strip() for key in ("name", "label", "type", "default")}
        if column["name"]:
            label = column["label"] or column["name"].replace("_", " ").capitalize()
            columns.append({**column, "label": label, "type": column["type"] or "text"})
    return change_fields(document, columns), chosen, "fields"


def _add_size(document: ImageTemplate, chosen: Chosen, typed: Typed) -> Change:
    width, height = typed.get("width", ""), typed.get("height", "")
    sides = [int(side[:5]) if side.isascii() and side.isdigit() else 0 for side in (width, height)]
    name = typed.get("name", "").strip().lower() or f"{sides[0]}x{sides[1]}"
    return add_size(document, name, *sides), chosen.model_copy(update={"size": name}), f"add {name}"


def _remove_size(document: ImageTemplate, chosen: Chosen, typed: Typed) -> Change:
    return remove_size(document, chosen.size), chosen.model_copy(update={"size": DEFAULT_SIZE}), f"remove {chosen.size}"


CHANGES: dict[str, Callable[[ImageTemplate, Chosen, Typed], Change]] = {
    "add": _add,
    "duplicate": _duplicate,
    "remove": _remove,
    "move": _move,
    "hide": _toggle,
    "lock": _toggle,
    "properties": _properties,
    "canvas": _canvas,
    "fields": _fields,
    "add-size": _add_size,
    "remove-size": _remove_size,
}

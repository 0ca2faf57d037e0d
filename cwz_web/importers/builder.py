"""Documents of imported templates: their layers and fields with names that are unique, and the limits of documents."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from cwz_web.i18n import gettext, gettext_lazy, number
from cwz_web.imaging.document_parts import MAX_SIDE
from cwz_web.imaging.documents import MAX_COMPUTED_FIELDS, ImageTemplate
from cwz_web.imaging.field_values import FieldType
from cwz_web.imaging.filters import decode_html
from cwz_web.imaging.fonts import FAMILIES
from cwz_web.imaging.layers import MAX_LAYERS
from cwz_web.importers.naming import layer_name, take_field_name
from cwz_web.importers.report import InvalidImportError, Report, limit_message, shown

MAX_FIELDS, MAX_TEXT = 50, 2000
DEFAULT_FONT = "Inter"
# Babel cannot write any number.
MAX_SHOWN_SIDE = 1_000_000_000
# NUL and lone surrogates, which PostgreSQL does not store.
UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_families = {family.casefold(): family for family in FAMILIES}


class Loose(BaseModel):
    """A part of a JSON that other people write: unknown keys stay, and end in the report."""

    model_config = ConfigDict(extra="allow", frozen=True)


M = TypeVar("M", bound=Loose)


class Source(StrEnum):
    """The service that a JSON comes from."""

    BANNERBEAR = "bannerbear"
    PLACID = "placid"

    @property
    def label(self) -> str:
        """Its name."""
        return self.capitalize()


# What requests can override of a layer with a name, by its type, beside its content: what they can change over there.
OPEN_OF_ALL = ("hidden", "opacity", "rotation", "x", "y", "width", "height")
OPEN_BY_TYPE: Mapping[str, tuple[str, ...]] = {
    "text": ("color", "size", "weight", "italic", "align", "background", "border", "radius"),
    "image": ("background", "border", "radius"),
    "shape": ("fill", "border", "radius"),
    "code": ("color", "background"),
    "rating": ("color", "empty"),
}


@dataclass(frozen=True)
class ImportOptions:
    """What a person or a program says about a JSON.

    Attributes:
        width: the width of the canvas, for a JSON that does not have one.
        height: its height.
        fonts: the fonts of the workspace: references to uploads by the names of their files.
    """

    width: int | None = None
    height: int | None = None
    fonts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ImportedTemplate:
    """A template that was converted."""

    source: Source
    name: str
    document: ImageTemplate
    report: Report


class DocumentBuilder:
    """A document in the making.

    Args:
        report: gets entries about names and limits.
        options: the fonts of the workspace.
    """

    def __init__(self, report: Report, options: ImportOptions) -> None:
        self.report = report
        self.layers: list[dict[str, Any]] = []
        self.computed: list[dict[str, Any]] = []
        self._fields: list[dict[str, Any]] = []
        self._has_open = False
        self._layer_names: set[str] = set()
        self._field_names: set[str] = set()
        self._fonts = {name.casefold(): reference for name, reference in options.fonts.items()}

    def name_layer(self, name: str, default: str) -> str:
        """Return a unique name for a layer, and report one that had to change."""
        unused = layer_name(name, self._layer_names, default)
        if unused != name:
            self.report.changed(gettext_lazy("The name was empty, too long or used twice"), unused)
        return unused

    def name_extra(self, name: str) -> str:
        """Return a unique name for a layer that the JSON does not have."""
        return layer_name(name, self._layer_names, name)

    def add_field(self, layer: str, field_type: FieldType, default: str, key: str = "") -> str | None:
        """Return the name of a new field; None if there are too many, which is reported.

        Args:
            layer: the name of the layer, which the field is named after.
            field_type: the type of the field.
            default: its default, which fits the type.
            key: the name of the content in the JSON.
        """
        if len(self._fields) >= MAX_FIELDS:
            self.report.changed(
                gettext_lazy("The content is fixed: a template has at most %(max)s fields", max=MAX_FIELDS),
                layer,
                key,
            )
            return None
        name = take_field_name(layer, self._field_names)
        self._fields.append({"name": name, "label": layer, "type": field_type, "default": default})
        return name

    def bind(self, layer: str, text: str, field_type: FieldType = "text", key: str = "") -> str:
        """Return a content with a new field, whose default is the text; the text itself if there are too many fields.

        Args:
            layer: the name of the layer, which the field is named after.
            text: the content in the JSON.
            field_type: the type of the field.
            key: the name of the content in the JSON.
        """
        text = self._clean(layer, key, text)
        name = self.add_field(layer, field_type, text, key)
        if name is None:
            return self.fix(layer, text, key)
        # A field decodes HTML, which the other service shows as it is.
        raw = " | raw" if field_type == "text" and decode_html(text) != text else ""
        return f"{{{{ {name}{raw} }}}}"

    def fix(self, layer: str, text: str, key: str = "") -> str:
        """Return a content that no request changes; what would be a binding is a text."""
        text = self._clean(layer, key, text)
        if "{{" not in text:
            return text
        self.report.changed(gettext_lazy("A fixed text cannot contain {{: a space was added"), layer, key)
        while "{{" in text:
            text = text.replace("{{", "{ {")
        return text[:MAX_TEXT]

    def compute(self, name: str, expression: str) -> str | None:
        """Return the name of a new computed field; None if there are too many."""
        if len(self.computed) >= MAX_COMPUTED_FIELDS:
            return None
        unused = take_field_name(name, self._field_names)
        self.computed.append({"name": unused, "value": expression})
        return unused

    def find_font(self, layer: str, key: str, name: str) -> str:
        """Return a font of this name: a built-in one, an upload of the workspace, or the default, which is reported."""
        wanted = name.split(",")[0].strip().strip("'\"").strip()
        found = _families.get(wanted.casefold()) or self._fonts.get(wanted.casefold())
        if found is None:
            self.report.changed(
                gettext_lazy(
                    "The font “%(font)s” is %(default)s now. Upload its file and choose it in the editor",
                    font=shown(wanted),
                    default=DEFAULT_FONT,
                ),
                layer,
                key,
            )
        return found or DEFAULT_FONT

    def open(self, layer: dict[str, Any]) -> None:
        """Open the properties of a layer that requests of the other service can change."""
        layer["open"] = [*OPEN_OF_ALL, *OPEN_BY_TYPE[layer["type"]]]
        self._has_open = True

    def finish(self, source: Source, name: str, canvas: Mapping[str, Any]) -> ImportedTemplate:
        """Return the template.

        Raises:
            InvalidImportError: it has more layers than a document can have.
        """
        count = sum(map(_count_layers, self.layers))
        if count > MAX_LAYERS:
            raise InvalidImportError(
                gettext(
                    "The template would have %(count)s layers; the limit is %(max)s. Remove some of them and try again",
                    count=number(count),
                    max=MAX_LAYERS,
                )
            )
        if self._has_open:
            self.report.changed(
                gettext_lazy(
                    "Requests can override colors, positions and more of layers with a name, as at %(source)s. If they"
                    " should not, remove these from “open” in the document",
                    source=source.label,
                )
            )
        document = {"version": 3, "canvas": canvas, "fields": self._fields, "layers": self.layers}
        try:
            template = ImageTemplate.model_validate(document | {"computed": self.computed})
        except ValidationError as error:
            problem = error.errors(include_url=False, include_input=False)[0]
            path = ".".join(map(str, problem["loc"]))
            raise InvalidImportError(
                gettext("The template cannot be converted: %(path)s: %(problem)s", path=path, problem=problem["msg"])
            ) from None
        return ImportedTemplate(source, shown(name) or gettext("Imported template"), template, self.report)

    def _clean(self, layer: str, key: str, text: str) -> str:
        """Return a text without characters that cannot be stored, and not longer than a field can be."""
        text = UNSTORABLE.sub("", text)
        if len(text) > MAX_TEXT:
            self.report.changed(limit_message(len(text), MAX_TEXT), layer, key)
        return text[:MAX_TEXT]


def canvas_side(value: float | None, option: int | None, source: Source) -> int:
    """Return the width or the height of a canvas.

    Args:
        value: what the JSON says.
        option: what the person says, for a JSON that does not say it.
        source: the service.

    Raises:
        InvalidImportError: there is none, or it is too large.
    """
    if value is None or value < 1:
        value = option
    if value is None:
        raise InvalidImportError(
            gettext("The JSON of %(source)s has no size. Enter a width and a height", source=source.label)
        )
    if round(value) > MAX_SIDE:
        raise InvalidImportError(
            gettext(
                "The canvas is too large: one side has %(value)s pixels, and the limit is %(max)s. Scale the template"
                " to %(percent)s %% and export it again",
                value=number(round(min(value, MAX_SHOWN_SIDE))),
                max=number(MAX_SIDE),
                percent=max(int(100 * MAX_SIDE / value), 1),
            )
        )
    return max(round(value), 1)


def read_model(model: type[M], parsed: Any, source: Source) -> M:
    """Return a JSON as a model.

    Raises:
        InvalidImportError: it does not fit; the message names the first place where.
    """
    try:
        return model.model_validate(parsed)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
    path = shown(".".join(map(str, problem["loc"])))
    texts = {
        "missing": gettext("is missing"),
        "too_long": gettext("has more entries than the limit of %(max)s", max=problem.get("ctx", {}).get("max_length")),
    }
    text = texts.get(problem["type"], gettext("has a value that cannot be read"))
    raise InvalidImportError(
        gettext(
            "The JSON of %(source)s cannot be read: “%(path)s” %(problem)s",
            source=source.label,
            path=path,
            problem=text,
        )
    )


def _count_layers(layer: Mapping[str, Any]) -> int:
    inner: Sequence[Mapping[str, Any]] = layer.get("layers", ())
    return 1 + sum(map(_count_layers, inner))

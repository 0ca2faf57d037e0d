"""The template document: what a user designs, as a validated and versioned JSON document.

Its class is ImageTemplate, to distinguish it from a Jinja template. Its layers are in `layers.py`; documents of
older versions are converted on load by `document_migrations.py`.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import AbstractContextManager
from graphlib import CycleError, TopologicalSorter
from hashlib import sha256
from types import MappingProxyType
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ModelWrapValidatorHandler, model_validator

from cwz_web.i18n import gettext, gettext_noop
from cwz_web.imaging.bindings import FIELD_NAME, is_entry_name
from cwz_web.imaging.brand import (
    NO_BRAND,
    Brand,
    BrandStyle,
    Entry,
    fill_styles,
    known_names,
    offer_brand,
    restyle,
    unknown_entry,
)
from cwz_web.imaging.brand_references import (
    KINDS,
    PREFIX,
    Kind,
    ReferenceReader,
    is_reading_references,
    is_reference,
    reading_references,
    reference_to,
)
from cwz_web.imaging.document_migrations import migrate_document
from cwz_web.imaging.document_parts import (
    DocumentPart,
    new_key,
)
from cwz_web.imaging.expressions import Expression, parse_expression
from cwz_web.imaging.field_values import FieldType
from cwz_web.imaging.layer_base import Layer
from cwz_web.imaging.layers import (
    MAX_LAYERS,
    AnyLayer,
    Container,
    StackLayer,
    pair_masks,
    walk_layers,
)
from cwz_web.imaging.photo_facts import BACKGROUNDS, PHOTO_PARTS, field_of
from cwz_web.imaging.template_parts import (
    Canvas,
    ComputedField,
    TemplateField,
    TemplateSize,
    override_layer,
    without_label,
)
from cwz_web.imaging.text_layers import TextLayer
from cwz_web.imaging.tree_checks import (
    check_layer_fields,
    check_sizes,
    check_tree,
    count_processed,
    describe_unknown_fields,
    find_containers,
)

MAX_COMPUTED_FIELDS = 30
MAX_TABLES, MAX_TABLE_ENTRIES = 10, 200
# Each of their photos is decoded before an image is rendered.
MAX_EXAMINED_PHOTOS = 5
# What values of a type can be equal to in an expression, beside another value.
_LITERALS = {"text": "string", "image": "string", "color": "string", "number": "number", "money": "number"}
# A part of the digests of documents whose rotated layers have the right edges.
NEW_EDGES = "edges 2"
# The name of the canvas's own size, beside the template's other sizes.
DEFAULT_SIZE = "default"

TableName = Annotated[str, Field(pattern=rf"^{FIELD_NAME}$")]
Table = Annotated[
    dict[Annotated[str, Field(max_length=200)], Annotated[str, Field(max_length=500)]],
    Field(max_length=MAX_TABLE_ENTRIES),
]


# Of fields, of layers and of sizes.
_SAME_NAME = (
    gettext_noop("Two fields have the same name: %(names)s"),
    gettext_noop("Two layers have the same name: %(names)s"),
    gettext_noop("Two sizes have the same name: %(names)s"),
)


class ImageTemplate(DocumentPart):
    """A template: canvas, fields, layers and additional sizes.

    `computed` are fields that expressions compute; `tables` are texts by text, for the function `translate`. `brand`
    has the entries of the workspace's brand that the template refers to, with their values: so a version is always
    rendered the same, in any workspace. `legacy_edges` gives rotated layers the edges of versions 1 and 2.
    """

    version: Literal[3] = 3
    canvas: Canvas
    fields: Annotated[tuple[TemplateField, ...], Field(max_length=50)] = ()
    layers: Annotated[tuple[AnyLayer, ...], Field(max_length=MAX_LAYERS)]
    sizes: Annotated[tuple[TemplateSize, ...], Field(max_length=12)] = ()
    computed: Annotated[tuple[ComputedField, ...], Field(max_length=MAX_COMPUTED_FIELDS)] = new_key(())
    tables: Annotated[dict[TableName, Table], Field(max_length=MAX_TABLES)] = new_key({})
    brand: Brand = new_key(NO_BRAND)
    legacy_edges: bool = new_key(False)

    @model_validator(mode="wrap")
    @classmethod
    def _check_references(cls, document: Any, validate: ModelWrapValidatorHandler[Self]) -> Self:
        if not isinstance(document, dict) or is_reading_references():
            return validate(document)
        with reading_references(_reference_check(document.get("brand"))):
            return validate(document)

    @model_validator(mode="before")
    @classmethod
    def _migrate(cls, document: Any) -> Any:
        if isinstance(document, dict):
            check_sizes(document)
        return migrate_document(fill_styles(document) if isinstance(document, dict) else document)

    @model_validator(mode="after")
    def _check_unique_names(self) -> Self:
        layers = tuple(walk_layers(self.layers))
        field_names = [*(field.name for field in self.fields), *(field.name for field in self.computed)]
        layer_names, size_names = [layer.name for layer in layers], [size.name for size in self.sizes]
        for message, names in zip(_SAME_NAME, (field_names, layer_names, size_names), strict=True):
            repeated = {name for name in names if names.count(name) > 1}
            if repeated:
                raise ValueError(gettext(message, names=", ".join(sorted(repeated))))
        return self

    @model_validator(mode="after")
    def _check_fields(self) -> Self:
        known = self.field_names
        for field in self.computed:
            if unknown := parse_expression(field.value).fields - known:
                part = gettext("The computed field “%(name)s”", name=field.name)
                raise ValueError(describe_unknown_fields(part, unknown, known))
        try:
            self.ordered_computed()
        except CycleError as error:
            cycle = " → ".join(f"“{name}”" for name in reversed(error.args[1]))
            raise ValueError(gettext("Computed fields depend on one another: %(cycle)s", cycle=cycle)) from None
        for layer in self.layers:
            check_layer_fields(layer, known)
        for layer_name, name, source in self._expressions():
            try:
                self._check_expression(parse_expression(source))
            except ValueError as error:
                raise ValueError(
                    gettext("In the layer “%(name)s”: %(error)s", name=layer_name, error=error)
                    if layer_name
                    else gettext("In the computed field “%(name)s”: %(error)s", name=name, error=error)
                ) from None
        return self

    def _expressions(self) -> Iterator[tuple[str, str, str]]:
        """Yield all expressions, each behind the names of its layer and of its computed field; one of them is empty."""
        yield from (("", field.name, field.value) for field in self.computed)
        for layer in walk_layers(self.layers):
            yield from ((layer.name, "", source) for source in layer.expressions())

    def _check_expression(self, expression: Expression) -> None:
        """Check what depends on the fields' types and on the tables, and would be wrong in every row."""
        types = {field.name: field.type for field in self.fields}
        self._check_photo_parts(expression, types)
        for name, kind, _ in sorted(expression.comparisons):
            if name in types and kind != _LITERALS.get(types[name]):
                values = {"source": expression.source, "name": name, "type": types[name], "kind": kind}
                if types[name] == "text":
                    raise ValueError(
                        gettext(
                            "The expression “%(source)s” compares “%(name)s”, whose type is %(type)s, with a %(kind)s,"
                            " so that they always differ. Change the type of the field, or use amount(%(name)s)",
                            **values,
                        )
                    )
                raise ValueError(
                    gettext(
                        "The expression “%(source)s” compares “%(name)s”, whose type is %(type)s, with a %(kind)s,"
                        " so that they always differ. Change the type of the field",
                        **values,
                    )
                )
        if unknown := sorted(expression.tables - self.tables.keys()):
            raise ValueError(
                gettext(
                    "The expression “%(source)s” uses the unknown table %(table)s. The template has: %(known)s",
                    source=expression.source,
                    table=unknown[0],
                    known=", ".join(sorted(self.tables)) or gettext("no tables"),
                )
            )

    def _check_photo_parts(self, expression: Expression, types: Mapping[str, FieldType]) -> None:
        """Check that only photos have parts, and that these are compared with what they can be."""
        for part in sorted(expression.photo_parts):
            name = field_of(part)
            if types.get(name) != "image":
                values = {"source": expression.source, "part": part, "name": name}
                raise ValueError(
                    gettext(
                        "The expression “%(source)s” uses “%(part)s”, but only fields of the type image have parts."
                        " “%(name)s” is of the type %(type)s",
                        type=types[name],
                        **values,
                    )
                    if name in types
                    else gettext(
                        "The expression “%(source)s” uses “%(part)s”, but only fields of the type image have parts."
                        " “%(name)s” is a computed field",
                        **values,
                    )
                )
        for part, kind, text in sorted(each for each in expression.comparisons if each[0] in expression.photo_parts):
            known = PHOTO_PARTS[part.partition(".")[2]]
            is_background = part.endswith(".background")
            if kind != known or (is_background and text not in BACKGROUNDS):
                hint = ", ".join(sorted(BACKGROUNDS)) if is_background else known or gettext("true or false")
                raise ValueError(
                    gettext(
                        "The expression “%(source)s” compares “%(part)s” with “%(text)s”, so that they always differ."
                        " Use: %(hint)s",
                        source=expression.source,
                        part=part,
                        text=text,
                        hint=hint,
                    )
                )

    @model_validator(mode="after")
    def _check_examined_photos(self) -> Self:
        photos = _photos_in(self._expressions())
        if len(photos) > MAX_EXAMINED_PHOTOS:
            raise ValueError(
                gettext(
                    "The expressions use parts of the photos in %(number)s fields; the limit is %(max)s",
                    number=len(photos),
                    max=MAX_EXAMINED_PHOTOS,
                )
            )
        return self

    @model_validator(mode="after")
    def _check_tree(self) -> Self:
        check_tree(self.layers)
        return self

    @model_validator(mode="after")
    def _check_overrides(self) -> Self:
        layers = {layer.name: layer for layer in walk_layers(self.layers)}
        stacks = {layer.name for layer in walk_layers(self.layers) if isinstance(layer, StackLayer)}
        for size in self.sizes:
            if size.name == DEFAULT_SIZE:
                text = gettext(
                    "The size name “%(name)s” is reserved for the canvas. Choose another name", name=size.name
                )
                raise ValueError(text)
            if unknown := set(size.overrides) - layers.keys():
                names = ", ".join(sorted(unknown))
                text = gettext("The size %(size)s overrides an unknown layer: %(names)s", size=size.name, names=names)
                raise ValueError(text)
            turned = {name for name, override in size.overrides.items() if override.direction} - stacks
            for name, override in sorted(size.overrides.items()):
                fields = type(layers[name]).model_fields
                for key, value in (("gap", override.gap), ("padding", override.padding)):
                    if value is not None and key not in fields:
                        raise ValueError(
                            gettext(
                                "The size %(size)s has a %(key)s for %(layer)s, which has none. Remove it",
                                size=size.name,
                                key=key,
                                layer=name,
                            )
                        )
            if turned:
                raise ValueError(
                    gettext(
                        "The size %(size)s has a direction for %(layer)s, which is no stack",
                        size=size.name,
                        layer=min(turned),
                    )
                )
        return self

    @property
    def field_names(self) -> frozenset[str]:
        """The names of all fields, computed ones included."""
        return frozenset(field.name for field in self.fields) | {field.name for field in self.computed}

    def examined_photos(self) -> frozenset[str]:
        """Return the fields of whose photos the visible layers use parts in expressions, such as photo.width."""
        if not _photos_in(self._expressions()):
            return frozenset()  # as in most templates, whose visible layers need not be found then
        return _photos_in(self.visible()._expressions())

    @property
    def list_fields(self) -> frozenset[str]:
        """The names of the fields whose value is a list: those of this type, and those that a stack repeats."""
        stacks = (layer for layer in walk_layers(self.layers) if isinstance(layer, StackLayer))
        repeated = {stack.repeat.field for stack in stacks if stack.repeat}
        return frozenset(field.name for field in self.fields if field.type == "list" or field.name in repeated)

    def ordered_computed(self) -> list[ComputedField]:
        """Return the computed fields, each behind those that it depends on. Raises graphlib.CycleError."""
        fields = {field.name: field for field in self.computed}
        inputs = {name: sorted(parse_expression(field.value).fields & fields.keys()) for name, field in fields.items()}
        return [fields[name] for name in TopologicalSorter(inputs).static_order()]

    def with_inputs(self, names: AbstractSet[str]) -> frozenset[str]:
        """Return fields with all fields that they are computed from."""
        used = set(names)
        for field in reversed(self.ordered_computed() if self.computed else []):
            if field.name in used:
                used |= parse_expression(field.value).fields
        return frozenset(used)

    def find_layer(self, name: str) -> AnyLayer | None:
        """Return the layer of this name, if there is one."""
        return next((layer for layer in walk_layers(self.layers) if layer.name == name), None)

    def find_containers(self, name: str) -> tuple[Container, ...]:
        """Return the groups and stacks around the layer of this name, the outermost first."""
        return find_containers(self.layers, name) or ()

    def is_repeated(self, name: str) -> bool:
        """Return whether the layer of this name is in a repeated stack."""
        return any(isinstance(each, StackLayer) and each.repeat for each in self.find_containers(name))

    def unknown_fields(self, name: str, used: AbstractSet[str]) -> frozenset[str]:
        """Return which fields the layer of this name cannot use."""
        unknown = used - self.field_names
        return frozenset(each for each in unknown if not (self.is_repeated(name) and is_entry_name(each)))

    def count_processed(self) -> Counter[str]:
        """Return how many photos an image shows at most of each image processor."""
        return count_processed(self.layers)

    def find_size(self, name: str) -> TemplateSize | None:
        """Return the additional size of this name, if there is one."""
        return next((size for size in self.sizes if size.name == name), None)

    @property
    def size_names(self) -> list[str]:
        """The names of all sizes, the canvas's own first."""
        return [DEFAULT_SIZE, *(size.name for size in self.sizes)]

    def resolved(self) -> "ImageTemplate":
        """Return the template with the values of the brand in place of references, as if it had none."""
        # Every reference is to an entry of the template's own brand.
        return self if self.brand == NO_BRAND else self._read_again(self.brand.resolve)

    def color_value(self, color: str) -> str:
        """Return a color of the document itself, if it is a reference to one of its brand."""
        return self.brand.colors.get(color.removeprefix(PREFIX), color) if is_reference(color) else color

    def checking_references(self) -> AbstractContextManager[None]:
        """Refuse references to what the template's brand does not have, while a layer is validated on its own."""
        return reading_references(_reference_check(self.brand))

    def offering(self, brand: Brand) -> "ImageTemplate":
        """Return the template with all entries of a brand that it lacks, so that a change can refer to them."""
        own = {"brand": self.brand.model_dump(mode="json")}
        return self.model_copy(update={"brand": Brand.model_validate(offer_brand(own, brand)["brand"])})

    def without_unused_brand(self) -> "ImageTemplate":
        """Return the template with only those entries of its brand that it refers to."""
        return self.model_copy(update={"brand": self.brand.part(self.brand_uses(), NO_BRAND)})

    def brand_uses(self) -> frozenset[Entry]:
        """Return the entries of the brand that the template refers to, without those that only styles refer to."""
        used: set[Entry] = set()

        def record(kind: Kind, name: str) -> str:
            used.add((kind, name))
            return reference_to(name)

        if self.brand != NO_BRAND:
            self._read_again(record)
        return frozenset(used)

    def with_brand(self, brand: Brand, renamed: Mapping[Entry, str] = MappingProxyType({})) -> "ImageTemplate":
        """Return the template with the values of another brand, as far as this one has entries of the same names.

        Args:
            brand: the brand.
            renamed: the new names of entries that were renamed.

        Raises:
            pydantic.ValidationError: with the values of a style, a layer would not be valid.
        """
        if self.brand == NO_BRAND:
            return self
        template = self._renamed(renamed) if any(entry in renamed for entry in self._entries()) else self
        document = template.canonical()
        restyle(document["layers"], template.brand, brand)
        # Styles can bring references that the template did not have.
        both = brand.part(_all_entries(brand), template.brand).model_dump(mode="json")
        own = template.brand.model_dump(mode="json")
        document["brand"] = {section: own[section] | both[section] for section in own}
        return ImageTemplate.model_validate(document).without_unused_brand()

    def _entries(self) -> Iterator[Entry]:
        return _all_entries(self.brand)

    def _renamed(self, names: Mapping[Entry, str]) -> "ImageTemplate":
        """Return the template with other names of entries of its brand."""
        sections = self.brand.model_dump(mode="json")
        for kind in KINDS:
            section = sections[f"{kind}s"]
            sections[f"{kind}s"] = {names.get((kind, name), name): value for name, value in section.items()}
        document = {**self.canonical(), "brand": sections}
        with reading_references(lambda kind, name: reference_to(names.get((kind, name), name))):
            return ImageTemplate.model_validate(document)

    def _read_again(self, reader: ReferenceReader) -> "ImageTemplate":
        """Return the template without its brand, and what a reader puts in place of its references."""
        document = self.canonical()
        del document["brand"]
        with reading_references(reader):
            return ImageTemplate.model_validate(document)

    def in_size(self, name: str) -> "ImageTemplate":
        """Return the template as it is in one of its sizes, without the other sizes.

        Raises:
            KeyError: the template does not have this size.
        """
        if name == DEFAULT_SIZE:
            return self.model_copy(update={"sizes": ()})
        size = self.find_size(name)
        if size is None:
            raise KeyError(name)
        background = size.background or self.canvas.background
        canvas = Canvas(width=size.width, height=size.height, background=background)
        old, new = (self.canvas.width, self.canvas.height), (size.width, size.height)
        layers = tuple(override_layer(layer, size.overrides, old, new) for layer in self.layers)
        return self.model_copy(update={"canvas": canvas, "layers": layers, "sizes": ()})

    def visible(self) -> "ImageTemplate":
        """Return a template in one size without what no image shows: hidden layers, unused fields, labels and locks."""
        layers = _visible(self.layers)
        used = self.with_inputs(frozenset[str]().union(*(layer.fields() for layer in layers)))
        fields = sorted((field for field in self.fields if field.name in used), key=lambda field: field.name)
        computed = sorted((field for field in self.computed if field.name in used), key=lambda field: field.name)
        unlabeled = tuple(without_label(field) for field in fields)
        changes = {"layers": layers, "fields": unlabeled, "computed": tuple(computed)}
        # What requests can change is no part of an image.
        return self.model_copy(update={**changes, "canvas": self.canvas.model_copy(update={"open": ()})})

    def canonical(self) -> dict[str, Any]:
        """Return the document as plain JSON values, including every default."""
        return self.model_dump(mode="json")

    @property
    def digest(self) -> str:
        """The SHA-256 of the document."""
        edges = "".join(map(str, self._edges()))
        return sha256((self.model_dump_json(exclude={"legacy_edges"}) + edges).encode()).hexdigest()

    def digest_parts(self) -> tuple[Any, ...]:
        """Return what the digests of images cover of the document, as JSON values."""
        return self.model_dump(mode="json", exclude={"legacy_edges"}), *self._edges()

    def _edges(self) -> tuple[str, ...]:
        """Return what distinguishes a document from one with `legacy_edges`, whose digest is that of its version."""
        rotates = any(layer.rotation % 360 or "rotation" in layer.bound for layer in walk_layers(self.layers))
        return (NEW_EDGES,) if rotates and not self.legacy_edges else ()

    def to_json(self) -> str:
        """Return the document as indented JSON text without default values, as users export it."""
        document = {"version": self.version, **self.model_dump(mode="json", exclude_defaults=True)}
        _keep_styled(document["layers"], self.layers)
        return json.dumps(document, indent=2, ensure_ascii=False)


def _reference_check(brand: object) -> ReferenceReader:
    """Return the reader that refuses references to what the brand of a document does not have."""
    known = known_names(brand)

    def check(kind: Kind, name: str) -> str:
        if name not in known[kind]:
            raise ValueError(
                gettext(
                    "The template uses %(entry)s, which the brand does not have. It has: %(known)s",
                    **unknown_entry(kind, name, known[kind]),
                )
            )
        return reference_to(name)

    return check


def _keep_styled(exported: Iterable[dict[str, Any]], layers: Iterable[Layer]) -> None:
    """Add values that are left out as defaults: an import would use those of the layer's style instead."""
    for values, layer in zip(exported, layers, strict=True):
        if isinstance(layer, Container):
            _keep_styled(values.get("layers", ()), layer.layers)
        elif isinstance(layer, TextLayer) and layer.style:
            values |= layer.model_dump(mode="json", include=set(BrandStyle.model_fields))


def _all_entries(brand: Brand) -> Iterator[Entry]:
    yield from ((kind, name) for kind in KINDS for name in brand.section(kind))


def _photos_in(expressions: Iterable[tuple[str, str, str]]) -> frozenset[str]:
    """Return the fields of whose photos expressions use parts; each comes with what it belongs to."""
    return frozenset[str]().union(*(parse_expression(source).photos for _, _, source in expressions))


def _visible(layers: Sequence[AnyLayer]) -> tuple[AnyLayer, ...]:
    """Return the layers that are rendered and their masks, without what only concerns the designer."""
    used = {each.name for pair in pair_masks(layers) for each in pair if each}
    return tuple(_unlocked(layer) for layer in layers if layer.name in used)


def _unlocked(layer: AnyLayer) -> AnyLayer:
    changes: dict[str, Any] = {"locked": False, "open": ()}
    if isinstance(layer, Container):
        changes["layers"] = _visible(layer.layers)
    return layer.model_copy(update=changes)

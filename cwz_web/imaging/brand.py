"""A brand: named colors, fonts, logos and text styles, of a workspace and as far as a document uses them."""

import re
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, model_validator

from cwz_web.i18n import gettext, gettext_noop
from cwz_web.imaging.brand_references import ENTRY_NAME, Kind, is_reference, reference_to
from cwz_web.imaging.document_parts import MAX_FONT_SIZE, PLAIN_COLOR, Color, DocumentPart, Font, check_plain_font

# Of a workspace. A document can have twice as many, since it keeps those that the workspace has deleted.
LIMITS = {"colors": 50, "fonts": 20, "logos": 20, "styles": 30}
# An entry: its kind and its name.
Entry = tuple[Kind, str]
EntryName = Annotated[str, Field(pattern=rf"^{ENTRY_NAME}$")]
PlainColor = Annotated[str, Field(pattern=PLAIN_COLOR)]
PlainFont = Annotated[str, AfterValidator(check_plain_font)]
Logo = Annotated[str, Field(pattern=r"^upload:[0-9a-f]{64}$")]
_entry_name = re.compile(ENTRY_NAME)


class BrandStyle(DocumentPart):
    """The values of a text layer that a style decides. Its color and its font can be those of the brand."""

    font: Font = "Inter"
    weight: Annotated[int, Field(ge=100, le=900, multiple_of=100)] = 400
    size: Annotated[int, Field(ge=6, le=MAX_FONT_SIZE)] = 48
    color: Color = "#111111"
    line_height: Annotated[float, Field(ge=0.7, le=3)] = 1.2

    def uses(self) -> set[Entry]:
        """Return the entries of the brand that the style refers to."""
        parts: tuple[tuple[Kind, str], ...] = (("color", self.color), ("font", self.font))
        return {(kind, value.partition(":")[2]) for kind, value in parts if is_reference(value)}


# Entries of a brand, in a sentence.
_ENTRIES: dict[Kind, str] = {
    "color": gettext_noop("the color “%(name)s”"),
    "font": gettext_noop("the font “%(name)s”"),
    "logo": gettext_noop("the logo “%(name)s”"),
    "style": gettext_noop("the style “%(name)s”"),
}


class Brand(DocumentPart):
    """Entries by their names. A document has those that it uses, with their values."""

    colors: Annotated[dict[EntryName, PlainColor], Field(max_length=2 * LIMITS["colors"])] = Field(default_factory=dict)
    fonts: Annotated[dict[EntryName, PlainFont], Field(max_length=2 * LIMITS["fonts"])] = Field(default_factory=dict)
    logos: Annotated[dict[EntryName, Logo], Field(max_length=2 * LIMITS["logos"])] = Field(default_factory=dict)
    styles: Annotated[dict[EntryName, BrandStyle], Field(max_length=2 * LIMITS["styles"])] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _check_styles(self) -> Self:
        for name, style in self.styles.items():
            for kind, used in sorted(style.uses()):
                if used not in self.section(kind):
                    raise ValueError(
                        gettext(
                            "The style “%(name)s” uses %(entry)s, which the brand does not have. It has: %(known)s",
                            name=name,
                            **unknown_entry(kind, used, self.section(kind)),
                        )
                    )
        return self

    def section(self, kind: Kind) -> Mapping[str, Any]:
        """Return the entries of a kind."""
        sections: dict[Kind, Mapping[str, Any]] = {
            "color": self.colors,
            "font": self.fonts,
            "logo": self.logos,
            "style": self.styles,
        }
        return sections[kind]

    def resolve(self, kind: Kind, name: str) -> str | None:
        """Return the value of an entry; None for a style, whose values are in the layers too."""
        return None if kind == "style" else self.section(kind)[name]

    def entries_with(self, upload: str) -> list[Entry]:
        """Return the entries that have an upload: fonts, logos, and styles with a font of their own."""
        fonts: list[Entry] = [("font", name) for name, font in self.fonts.items() if font == upload]
        logos: list[Entry] = [("logo", name) for name, logo in self.logos.items() if logo == upload]
        styles: list[Entry] = [("style", name) for name, style in self.styles.items() if style.font == upload]
        return [*fonts, *logos, *styles]

    def with_upload(self, entries: Iterable[Entry], upload: str) -> "Brand":
        """Return the brand with an upload as the value of fonts and logos, and as the font of styles.

        Raises:
            KeyError: the brand does not have an entry.
        """
        document = self.model_dump(mode="json")
        for kind, name in entries:
            target, key = (document["styles"][name], "font") if kind == "style" else (document[f"{kind}s"], name)
            if key not in target:
                raise KeyError(name)
            target[key] = upload
        return Brand.model_validate(document)

    def part(self, entries: Iterable[Entry], fallback: "Brand") -> "Brand":
        """Return a brand of some entries and those that their styles use.

        Args:
            entries: the entries.
            fallback: has the entries that this brand does not have.
        """
        wanted = set(entries)
        for kind, name in tuple(wanted):
            if kind == "style":
                wanted |= (self if name in self.styles else fallback).styles[name].uses()
        found: dict[str, dict[str, Any]] = {"colors": {}, "fonts": {}, "logos": {}, "styles": {}}
        for kind, name in sorted(wanted):
            source = self if name in self.section(kind) else fallback
            found[f"{kind}s"][name] = source.section(kind)[name]
        return Brand.model_validate(found)


NO_BRAND = Brand()


def unknown_entry(kind: Kind, name: str, known: Iterable[str]) -> dict[str, str]:
    """Return the variables of a message about a reference to an entry that a brand does not have."""
    entry = gettext(_ENTRIES[kind], name=reference_to(name))
    return {"entry": entry, "known": ", ".join(sorted(known)) or gettext("none")}


def known_names(brand: object) -> dict[Kind, frozenset[str]]:
    """Return the names of entries in the brand of a document that is not validated yet; of too many, the first."""
    brand = dict(brand) if isinstance(brand, Brand) else brand
    sections: dict[Kind, str] = {"color": "colors", "font": "fonts", "logo": "logos", "style": "styles"}
    found = {kind: brand.get(key) if isinstance(brand, dict) else None for kind, key in sections.items()}
    return {
        # Each unknown reference has them in its message.
        kind: frozenset(filter(_entry_name.fullmatch, islice(names, 2 * LIMITS[sections[kind]])))
        if isinstance(names, dict)
        else frozenset()
        for kind, names in found.items()
    }


def offer_brand(document: Any, brand: Brand) -> Any:
    """Return a document that is not validated yet with all entries of a brand; it keeps those that it has.

    Args:
        document: the parsed JSON, which can be anything.
        brand: the brand of its workspace.
    """
    own = document.get("brand", {}) if isinstance(document, dict) else None
    if not isinstance(own, dict) or not all(isinstance(section, dict) for section in own.values()):
        return document
    offered = brand.model_dump(mode="json")
    return {**document, "brand": own | {name: {**offered[name], **own.get(name, {})} for name in offered}}


def fill_styles(document: dict[str, Any]) -> dict[str, Any]:
    """Give text layers of a document that is not validated yet what they leave open of their styles."""
    brand, layers = document.get("brand"), document.get("layers")
    styles = brand.get("styles") if isinstance(brand, dict) else None
    if not (isinstance(styles, dict) and styles and isinstance(layers, list | tuple)):
        return document
    return {**document, "layers": [_fill_style(layer, styles) for layer in layers]}


def _fill_style(layer: Any, styles: Mapping[Any, Any]) -> Any:
    if not isinstance(layer, dict):
        return layer
    if isinstance(inner := layer.get("layers"), list | tuple):
        return {**layer, "layers": [_fill_style(each, styles) for each in inner]}
    name = layer.get("style")
    style = styles.get(name.partition(":")[2]) if isinstance(name, str) else None
    if not isinstance(style, dict):
        return layer
    # Nothing else than a style can have: the expressions and layers of the document are counted already.
    values = {key: style[key] for key in BrandStyle.model_fields if isinstance(style.get(key), str | int | float)}
    return values | layer


def restyle(layers: Iterable[dict[str, Any]], old: Brand, new: Brand) -> None:
    """Change the layers of a canonical document as their styles change; a value that the layer has of its own stays."""
    for layer in layers:
        restyle(layer.get("layers", ()), old, new)
        name = (layer.get("style") or "").partition(":")[2]
        if name in old.styles and name in new.styles:
            before = old.styles[name].model_dump(mode="json")
            after = new.styles[name].model_dump(mode="json")
            layer |= {key: value for key, value in after.items() if layer[key] == before[key]}

"""What a platform wants: its fields, file formats, and rules for images; `presets/` has a module for each platform."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from cwz_web.i18n import gettext, gettext_noop
from cwz_web.imaging.encoders import Format


class FileFormat(StrEnum):
    """The file format of a feed; the value is the file extension."""

    CSV = "csv"
    TSV = "tsv"
    XML = "xml"
    JSON = "json"
    JSON_LINES = "jsonl"


FILE_FORMAT_LABELS = {
    FileFormat.CSV: "CSV",
    FileFormat.TSV: "TSV",
    FileFormat.XML: "XML",
    FileFormat.JSON: "JSON",
    FileFormat.JSON_LINES: "JSON Lines",
}


class ValueKind(StrEnum):
    """How a platform wants the value of a field."""

    TEXT = "text"
    URL = "url"
    PRICE = "price"  # 19.99 EUR
    NUMBER = "number"  # 19.99
    INTEGER = "integer"
    DATE = "date"  # ISO 8601, without a time
    DATE_TIME = "date_time"  # ISO 8601
    DATE_RANGE = "date_range"  # two of them with a slash between
    BOOLEAN = "boolean"
    CHOICE = "choice"  # one of the field's `choices`
    AVAILABILITY = "availability"  # the same; a number of pieces is the first choice, 0 the second one
    GTIN = "gtin"  # with a valid check digit


@dataclass(frozen=True)
class ChannelField:
    """A field of a platform.

    Attributes:
        name: as the platform writes it, such as `shipping(country:price)` or `image[0].url`.
        kind: how it wants the value.
        is_required: whether it refuses a row without a value.
        is_unique: whether it identifies a row, so that two rows cannot have the same value.
        max_length: how many characters it takes.
        can_be_cut: whether a longer text is cut between words; otherwise the value is left out.
        choices: its values for a choice, each with other texts of feeds that mean the same.
        aliases: other names of columns of feeds that hold the value, compared without case and punctuation.
        below: the field of a higher amount: a value that is not lower is left out.
        default: the value of rows without one, if the preset knows it.
    """

    name: str
    kind: ValueKind = ValueKind.TEXT
    is_required: bool = False
    is_unique: bool = False
    max_length: int | None = None
    can_be_cut: bool = False
    choices: Mapping[str, tuple[str, ...]] | None = None
    aliases: tuple[str, ...] = ()
    below: str = ""
    default: str = ""


@dataclass(frozen=True)
class FieldGroup:
    """Fields of which a row needs values in some, whichever they are.

    Attributes:
        names: the fields.
        least: in how many of them.
        exempt_by: values of other fields, any of which says that a row needs none.
    """

    names: tuple[str, ...]
    least: int
    exempt_by: tuple[tuple[str, str], ...] = ()


class Carried(StrEnum):
    """What a design shows beside the photo; platforms refuse some of it in some fields."""

    TEXT = "text"
    PRICE = "price"
    LOGO = "logo"
    FRAME = "frame"
    WATERMARK = "watermark"

    @property
    def label(self) -> str:
        return gettext(CARRIED_LABELS[self])


CARRIED_LABELS = {
    Carried.TEXT: gettext_noop("Text"),
    Carried.PRICE: gettext_noop("Price"),
    Carried.LOGO: gettext_noop("Logo"),
    Carried.FRAME: gettext_noop("Frame"),
    Carried.WATERMARK: gettext_noop("Watermark"),
}


@dataclass(frozen=True)
class ImageRules:
    """What a platform wants of an image in one of its fields. Sizes are in pixels, ratios are width by height.

    Attributes:
        min_width, min_height: smaller ones are refused.
        best_width, best_height: smaller ones are accepted, and look worse; 0 if the platform says nothing.
        min_ratio, max_ratio: others are refused or cropped; None for any.
        max_pixels: images of more pixels, width times height, are refused.
        max_bytes: larger files are refused; None if the platform says nothing.
        formats: others are refused.
        refused: what the image must not show.
        wants_white: whether it wants a white or transparent background.
        safe_top, safe_bottom: the shares of the height that the platform covers, from 0 to 1.
    """

    min_width: int = 0
    min_height: int = 0
    best_width: int = 0
    best_height: int = 0
    min_ratio: float | None = None
    max_ratio: float | None = None
    max_pixels: int | None = None
    max_bytes: int | None = None
    formats: frozenset[Format] = frozenset([Format.JPEG, Format.PNG])
    refused: frozenset[Carried] = frozenset()
    wants_white: bool = False
    safe_top: float = 0.0
    safe_bottom: float = 0.0


@dataclass(frozen=True)
class ImageField(ChannelField):
    """A field that takes the URL of an image.

    Attributes:
        rules: what the platform wants of it.
        tags: further fields with their values, which say what the image is for.
        max_images: how many URLs it takes.
        separator: what is between several ones in a text file.
        takes_photo: whether it takes the original photo of a row that shows it in the place of a design.
    """

    kind: ValueKind = ValueKind.URL
    rules: ImageRules = ImageRules()
    tags: tuple[tuple[str, str], ...] = ()
    max_images: int = 1
    separator: str = ","
    takes_photo: bool = False


@dataclass(frozen=True)
class XmlShape:
    """How a platform's XML is built.

    Attributes:
        before: the document up to the first item.
        item: the element of a row.
        after: the document after the last item.
        prefix: the prefix of the fields' elements, such as `g:`, with its namespace declared in `before`.
        unprefixed: fields whose elements have none.
    """

    before: str
    item: str
    after: str
    prefix: str = ""
    unprefixed: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Specification:
    """Where the facts of a preset are from, and when they were read."""

    url: str
    read_on: date


@dataclass(frozen=True)
class Preset:
    """A platform's fields, file formats and rules.

    Attributes:
        name: its name in URLs and the API.
        label: its name for people.
        formats: the file formats, the best first.
        fields: its fields, in their order; an empty tuple for a generic preset, whose fields are chosen freely.
        xml: how its XML is built.
        specifications: the sources of its facts.
        max_rows, max_bytes: how much a file may have; None if the platform says nothing.
        booleans: how it writes true and false.
        offset_has_colon: whether it writes the offset of a time as +01:00, and not as +0100.
        is_quoted: whether cells of its text files can be quoted; if not, tabs and line breaks become blanks.
        keeps_html: whether texts are written as they are, and not the visible text of HTML.
        groups: fields of which a row needs some.
    """

    name: str
    label: str
    formats: tuple[FileFormat, ...]
    fields: tuple[ChannelField, ...] = ()
    xml: XmlShape | None = None
    specifications: tuple[Specification, ...] = ()
    max_rows: int | None = None
    max_bytes: int | None = None
    booleans: tuple[str, str] = ("yes", "no")
    offset_has_colon: bool = False
    is_quoted: bool = True
    keeps_html: bool = False
    groups: tuple[FieldGroup, ...] = ()

    @property
    def is_generic(self) -> bool:
        """Whether its fields are chosen freely."""
        return not self.fields

    def field(self, name: str) -> ChannelField:
        """Return a field by its name; a plain text if the preset does not have it."""
        return next((field for field in self.fields if field.name == name), ChannelField(name))

    @property
    def image_fields(self) -> list[ImageField]:
        """The fields that take images."""
        return [field for field in self.fields if isinstance(field, ImageField)]

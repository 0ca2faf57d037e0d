"""How a feed's file is read: the options that a user sets, and the values that a reader detected or used."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

from cwz_web.feeds.encodings import ENCODING_LABELS
from cwz_web.i18n import gettext, gettext_noop

# Names of characters that a form cannot show, which are accepted as well.
CHARACTER_NAMES = {
    "comma": ",",
    "semicolon": ";",
    "tab": "\t",
    "bar": "|",
    "caret": "^",
    "tilde": "~",
    "unit_separator": "\x1f",
    "double": '"',
    "single": "'",
}
DELIMITER_LABELS = {
    ",": gettext_noop("Comma"),
    ";": gettext_noop("Semicolon"),
    "\t": gettext_noop("Tab"),
    "|": gettext_noop("Vertical bar"),
    "^": gettext_noop("Caret"),
    "~": gettext_noop("Tilde"),
    "\x1f": gettext_noop("Unit separator"),
}
QUOTE_LABELS = {
    '"': gettext_noop('Double quotation mark (")'),
    "'": gettext_noop("Apostrophe (')"),
    "none": gettext_noop("None"),
}
MAX_HEADER_ROW = 1000
MAX_CHOICE = 500

# PostgreSQL cannot store the NUL character.
Choice = Annotated[str, StringConstraints(min_length=1, max_length=MAX_CHOICE, pattern=r"^[^\x00]*$")]


class FileFormat(StrEnum):
    """The format of a file's content."""

    CSV = "csv"
    JSON = "json"
    JSON_LINES = "json_lines"
    XML = "xml"
    SPREADSHEET = "spreadsheet"


class ReadOptions(BaseModel):
    """How a file is read. What is None is detected.

    Attributes:
        encoding: The encoding of a text file (encodings.ENCODING_LABELS).
        delimiter: What separates the cells of delimited text.
        quote: The quotation mark of delimited text, or "none".
        header_row: The line of the header in delimited text or a sheet; 0 if there is none.
        sheet: The name of a spreadsheet's sheet.
        member: The name of a file in a zip file.
        row_element: The path of the XML element, or of the JSON list, that is a row.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    encoding: str | None = None
    delimiter: str | None = None
    quote: str | None = None
    header_row: Annotated[int, Field(ge=0, le=MAX_HEADER_ROW)] | None = None
    sheet: Choice | None = None
    member: Choice | None = None
    row_element: Choice | None = None

    @field_validator("delimiter", "quote", mode="before")
    @classmethod
    def _character(cls, value: object) -> object:
        return CHARACTER_NAMES.get(value, value) if isinstance(value, str) else value

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, value: str | None) -> str | None:
        return _one_of(value, ENCODING_LABELS, gettext_noop("Choose an encoding of the list: %(names)s"))

    @field_validator("delimiter")
    @classmethod
    def _known_delimiter(cls, value: str | None) -> str | None:
        return _one_of(value, DELIMITER_LABELS, gettext_noop("Choose a delimiter of the list: %(names)s"))

    @field_validator("quote")
    @classmethod
    def _known_quote(cls, value: str | None) -> str | None:
        return _one_of(value, QUOTE_LABELS, gettext_noop("Choose a quotation mark of the list: %(names)s"))


@dataclass(frozen=True)
class Reading:
    """How a file was read, and what could be chosen instead. What does not apply to its format is None or empty."""

    format: FileFormat
    encoding: str | None = None
    delimiter: str | None = None
    quote: str | None = None
    header_row: int | None = None
    sheet: str | None = None
    sheets: tuple[str, ...] = ()
    member: str | None = None
    members: tuple[str, ...] = ()
    row_element: str | None = None
    row_elements: tuple[str, ...] = ()


def _one_of(value: str | None, known: dict[str, str], message: str) -> str | None:
    if value is not None and value not in known:
        names = {character: name for name, character in CHARACTER_NAMES.items()}
        raise ValueError(gettext(message, names=", ".join(names.get(each, each) for each in known)))
    return value

"""The control of how a feed's file is read: what was detected, and what can be chosen instead."""

import json
from dataclasses import dataclass

from pydantic import ValidationError

from cwz_web.feeds.encodings import ENCODING_LABELS
from cwz_web.feeds.file_types import read_sample
from cwz_web.feeds.import_files import open_file_start
from cwz_web.feeds.limits import SAMPLE_ROWS, InvalidFileError
from cwz_web.feeds.models import Feed, FeedImport
from cwz_web.feeds.reading import (
    CHARACTER_NAMES,
    DELIMITER_LABELS,
    MAX_HEADER_ROW,
    QUOTE_LABELS,
    FileFormat,
    Reading,
    ReadOptions,
)
from cwz_web.feeds.records import Table
from cwz_web.i18n import gettext, gettext_noop, translate_labels
from cwz_web.web.forms import error_messages
from cwz_web.web.request import Request

PREFIX = "reading."
SHOWN = "reading-shown"
FORMAT_LABELS = {
    FileFormat.CSV: "CSV",
    FileFormat.JSON: "JSON",
    FileFormat.JSON_LINES: "JSON Lines",
    FileFormat.XML: "XML",
    FileFormat.SPREADSHEET: gettext_noop("Spreadsheet"),
}
# As a part of the summary.
DELIMITER_NAMES = {
    ",": gettext_noop("comma"),
    ";": gettext_noop("semicolon"),
    "\t": gettext_noop("tab"),
    "|": gettext_noop("vertical bar"),
    "^": gettext_noop("caret"),
    "~": gettext_noop("tilde"),
    "\x1f": gettext_noop("unit separator"),
}
_CHARACTERS = {character: name for name, character in CHARACTER_NAMES.items()}


@dataclass(frozen=True)
class ReadingControl:
    """A select, or an input of a number if there are no options; the value "" stands for what is detected."""

    name: str
    label: str
    value: str
    automatic: str
    options: dict[str, str]
    maximum: int = 0


@dataclass(frozen=True)
class ReadingPanel:
    """Values of feeds/_reading.jinja2.

    Attributes:
        summary: The format of the file and how it is read.
        controls: What can be chosen.
        shown: The options with which the page was rendered, as JSON.
        error: Why the file cannot be read with these options.
        notes: Notes on the file.
        is_open: Whether the control is open.
    """

    summary: str
    controls: list[ReadingControl]
    shown: str
    error: str | None
    notes: list[str]
    is_open: bool


@dataclass(frozen=True)
class PostedReading:
    """The submitted options; None if the form has none; and whether the page showed the columns of other ones."""

    options: ReadOptions | None
    error: str | None
    is_changed: bool


def posted_reading(request: Request) -> PostedReading:
    """Return the submitted options."""
    posted = request.POST
    if SHOWN not in posted:
        return PostedReading(None, None, False)
    values = {name: value for name in ReadOptions.model_fields if (value := posted.get(PREFIX + name, "").strip())}
    try:
        options = ReadOptions.model_validate(values)
    except ValidationError as error:
        return PostedReading(None, next(iter(error_messages(error).values())), True)
    return PostedReading(options, None, _as_json(options) != posted[SHOWN])


def read_preview(
    request: Request, feed: Feed, newest: FeedImport, posted: PostedReading | None
) -> tuple[Table, ReadingPanel] | None:
    """Read the start of the newest file, with the submitted options or with the feed's.

    Returns:
        The first rows and the control; None if the file is no longer stored.
    """
    file = open_file_start(request.db, newest)
    if file is None:
        return None
    options = (posted.options if posted else None) or ReadOptions.model_validate(feed.reading)
    error = posted.error if posted else None
    try:
        sample = read_sample(file, SAMPLE_ROWS, options)
        reading = sample.reading or Reading(FileFormat.CSV)
    except InvalidFileError as problem:
        error = error or str(problem)
        sample = Table([], [])
        reading = _detected(file, options)
    panel = ReadingPanel(
        summary=_summary(reading),
        controls=_controls(options, reading),
        shown=_as_json(options),
        error=error,
        notes=sample.notes,
        is_open=bool(posted and (posted.is_changed or error)) or bool(error) or options != ReadOptions(),
    )
    return sample, panel


def _detected(file: object, options: ReadOptions) -> Reading:
    """Return how a file would be read without options, so that others can be chosen."""
    try:
        detected = read_sample(file, 1)  # type: ignore[arg-type]
    except InvalidFileError:
        detected = Table([], [])
    if detected.reading is not None:
        return detected.reading
    return Reading(FileFormat.XML if options.row_element else FileFormat.CSV)


def _as_json(options: ReadOptions) -> str:
    return json.dumps(options.model_dump(exclude_none=True), sort_keys=True)


def _summary(reading: Reading) -> str:
    """Describe how a file is read, such as “CSV, Windows-1252, semicolon, header in row 1”."""
    encoding = ENCODING_LABELS.get(reading.encoding or "", reading.encoding or "").partition(" (")[0]
    parts = [gettext(FORMAT_LABELS[reading.format]), reading.member, encoding, reading.sheet]
    if reading.delimiter:
        name = DELIMITER_NAMES.get(reading.delimiter)
        parts.append(gettext(name) if name else reading.delimiter)
    if reading.header_row:
        parts.append(gettext("header in row %(number)s", number=reading.header_row))
    elif reading.header_row is not None:
        parts.append(gettext("no header row"))
    if reading.row_element:
        parts.append(gettext("one row for each %(element)s", element=reading.row_element))
    return ", ".join(part for part in parts if part)


def _controls(options: ReadOptions, reading: Reading) -> list[ReadingControl]:
    """Return what can be chosen for the format of a file."""
    controls = []
    if len(reading.members) > 1:
        controls.append(_select("member", gettext("File"), options.member, reading.member, _same(reading.members)))
    if len(reading.sheets) > 1:
        controls.append(_select("sheet", gettext("Sheet"), options.sheet, reading.sheet, _same(reading.sheets)))
    if reading.row_elements:
        elements = _same((*reading.row_elements, *filter(None, [options.row_element])))
        controls.append(
            _select("row_element", gettext("Row element"), options.row_element, reading.row_element, elements)
        )
    if reading.format == FileFormat.CSV:
        delimiters = {_CHARACTERS[character]: gettext(label) for character, label in DELIMITER_LABELS.items()}
        quotes = {_CHARACTERS.get(character, character): gettext(label) for character, label in QUOTE_LABELS.items()}
        controls += [
            _select(
                "delimiter", gettext("Delimiter"), _named(options.delimiter), _named(reading.delimiter), delimiters
            ),
            _select("quote", gettext("Quotation mark"), _named(options.quote), _named(reading.quote), quotes),
        ]
    if reading.encoding is not None:
        encodings = translate_labels(ENCODING_LABELS)
        controls.append(_select("encoding", gettext("Encoding"), options.encoding, reading.encoding, encodings))
    if reading.header_row is not None:
        value = "" if options.header_row is None else str(options.header_row)
        label, detected = gettext("Header row (0 for none)"), str(reading.header_row or gettext("none"))
        automatic = gettext("Automatic") if value else gettext("Automatic (%(value)s)", value=detected)
        controls.append(ReadingControl(f"{PREFIX}header_row", label, value, automatic, {}, MAX_HEADER_ROW))
    return controls


def _select(name: str, label: str, chosen: str | None, read: str | None, options: dict[str, str]) -> ReadingControl:
    detected = options.get(read or "", read or "")
    automatic = gettext("Automatic")
    if detected and not chosen:
        automatic = gettext("Automatic (%(value)s)", value=detected.partition(" (")[0])
    return ReadingControl(PREFIX + name, label, chosen or "", automatic, options)


def _named(character: str | None) -> str | None:
    return _CHARACTERS.get(character, character) if character else None


def _same(names: tuple[str, ...]) -> dict[str, str]:
    return {name: name for name in names}

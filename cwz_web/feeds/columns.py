"""The schema of a feed: the name and type of each column, which columns are required, and which form the key.

A schema refers to the columns by their names in the file. It is guessed from the first rows, so that a feed needs no
setup, and can be edited on the feed's page. A column that appears in a later file is imported under its own name.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from functools import lru_cache
from itertools import islice
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from cwz_web.feeds.limits import MAX_COLUMNS, MAX_NAME, InvalidFileError
from cwz_web.feeds.records import Row, Table
from cwz_web.i18n import gettext, gettext_noop
from cwz_web.values.currencies import currencies_of
from cwz_web.values.dates import scan_date
from cwz_web.values.formats import UNKNOWN, Unclear, ValueFormat
from cwz_web.values.numbers import scan_number

# A column gets a type when at least this share of its values in the first rows matches.
MIN_MATCH_PERCENT = 95
MAX_KEY_COLUMNS = 5
# Names of columns that identify a row, best first, compared without case, spaces and punctuation.
KEY_NAMES = (
    "gid",
    "id",
    "itemid",
    "productid",
    "articleid",
    "sku",
    "variantsku",
    "articlenumber",
    "artikelnummer",
    "ean",
    "gtin",
    "barcode",
    "guid",
    "referencenumber",
    "handle",
    "slug",
    "key",
    "link",
    "url",
)
GROUP_NAMES = ("handle", "itemgroupid", "productid", "parentsku", "groupid")
_option_value = re.compile(r"option\d*value")
_option = re.compile(r"option\d*value|colou?r|size|variant(name|title)?")
_price_name = re.compile(r"price|preis|prix|precio|amount|cost|betrag|uvp|msrp")
_image_name = re.compile(r"image|photo|picture|bild|foto|thumbnail|img|logo|avatar")

_url = re.compile(r"https?://[^\s/]\S*", re.IGNORECASE)
_image_suffix = re.compile(r"\.(?:jpe?g|png|webp|gif|avif)(?:[?#]|\Z)", re.IGNORECASE)
_number = re.compile(r"[-+]?(?:0|[1-9]\d*)(?:[.,]\d+)?(?:[eE][-+]?\d+)?")
_code = re.compile(r"(?=\S*\d)\S{1,64}")
_money_sign = re.compile(r"[€$£¥₹₽₩₺₴₫฿₪₦₱]|\b[A-Z]{3}\b|\b(?:kr|zł|Kč|Ft|lei|RM|Rp|Fr|CHF|Rs)\b|\b[A-Z]{3}(?=\d)")
_date_name = re.compile(r"date|datum|fecha|data$|jour|until|valid|from$|published|created|updated")
_compact_date = re.compile(r"(?:19|20)\d{2}[01]\d[0-3]\d")


class ColumnType(StrEnum):
    """The type of a column's values."""

    TEXT = "text"
    NUMBER = "number"
    PRICE = "price"
    URL = "url"
    IMAGE = "image"
    DATE = "date"


COLUMN_TYPE_LABELS = {
    ColumnType.TEXT: gettext_noop("Text"),
    ColumnType.NUMBER: gettext_noop("Number"),
    ColumnType.PRICE: gettext_noop("Price"),
    ColumnType.URL: gettext_noop("URL"),
    ColumnType.IMAGE: gettext_noop("Image"),
    ColumnType.DATE: gettext_noop("Date"),
}

COLUMN_TYPE_NOUNS = {
    ColumnType.TEXT: gettext_noop("text"),
    ColumnType.NUMBER: gettext_noop("number"),
    ColumnType.PRICE: gettext_noop("price"),
    ColumnType.URL: gettext_noop("URL"),
    ColumnType.IMAGE: gettext_noop("image URL"),
    ColumnType.DATE: gettext_noop("date"),
}


def _is_number(text: str) -> bool:
    if _number.fullmatch(text):
        return True
    readings = None if text.isdecimal() or text.startswith("+") else scan_number(text)
    return readings is not None and not isinstance(readings, Unclear) and not readings.signs


def _is_price(text: str) -> bool:
    readings = scan_number(text)
    if isinstance(readings, Unclear) or readings.is_percent:
        return False
    return all(currencies_of(sign, UNKNOWN) for sign in readings.signs)


def _is_date(text: str) -> bool:
    return not isinstance(scan_date(text), Unclear)


VALUE_CHECKS: dict[ColumnType, Callable[[str], object]] = {
    ColumnType.TEXT: bool,
    ColumnType.NUMBER: _is_number,
    ColumnType.PRICE: _is_price,
    ColumnType.URL: _url.fullmatch,
    ColumnType.IMAGE: _url.match,
    ColumnType.DATE: _is_date,
}


class Column(BaseModel):
    """How one column of a file is imported.

    Attributes:
        name: The name of the column in the feed.
        type: The type of its values; checked only if the column is required.
        required: Whether a row is invalid if the value is empty or does not match the type.
        dropped: Whether the column is not imported.
        format: How its values are written, as a user chose it; what is not chosen is found out by each import.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(min_length=1, max_length=MAX_NAME)]
    type: ColumnType = ColumnType.TEXT
    required: bool = False
    dropped: bool = False
    format: ValueFormat = UNKNOWN


class FeedSchema(BaseModel):
    """How the rows of a file are imported.

    Attributes:
        columns: The columns by their names in the file.
        key: The file's columns that identify a row. If empty, rows are identified by their position.
        group: The file's column that the variants of a product share. If set, empty cells of a variant are filled from
            the row above.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    columns: Annotated[dict[str, Column], Field(max_length=MAX_COLUMNS)] = {}
    key: Annotated[list[str], Field(max_length=MAX_KEY_COLUMNS)] = []
    group: str | None = None

    def with_guesses(self, sample: Table) -> "FeedSchema":
        """Return the schema with a guess added for each column that it does not contain yet.

        Raises:
            InvalidFileError: A column of the key is not in the file.
        """
        missing = [column for column in self.key if column not in sample.columns and column not in sample.header]
        if missing:
            raise InvalidFileError(
                gettext("The file has no column “%(name)s”, which is part of the feed's key", name=missing[0])
            )
        grown = self._with_new_options(sample)
        taken = {column.name for column in self.columns.values()}
        guessed = {
            name: Column(
                name=unique_name(name, taken), type=guess_type(name, (row.get(name, "") for row in sample.rows))
            )
            for name in sample.columns
            if name not in self.columns
        }
        return grown.model_copy(update={"columns": self.columns | guessed})

    def _with_new_options(self, sample: Table) -> "FeedSchema":
        """Return the schema with the options of variants that the feed did not have yet as part of the key.

        The keys of products without these options stay the same, since empty parts of a key are left out.
        """
        options = [
            name
            for name in sample.columns
            if name not in self.columns and _option_value.fullmatch(normalize_name(name))
        ]
        group = self.group or guess_group(sample)
        if not options or self.key[:1] != [group] or not self.columns:
            return self
        return self.model_copy(update={"key": [*self.key, *options][:MAX_KEY_COLUMNS], "group": group})

    def with_formats(self, formats: Mapping[str, ValueFormat]) -> "FeedSchema":
        """Return the schema with the formats of columns by their names in the feed."""
        columns = {
            source: column.model_copy(update={"format": formats[column.name]}) if column.name in formats else column
            for source, column in self.columns.items()
        }
        return self.model_copy(update={"columns": columns})

    def feed_columns(self, file_columns: Iterable[str]) -> list[str]:
        """Return the names that a file's columns have in the feed, without dropped columns."""
        columns = (self.columns.get(name, Column(name=name)) for name in file_columns)
        return [column.name for column in columns if not column.dropped]

    @property
    def types(self) -> dict[str, ColumnType]:
        """The type of each column by its name in the feed."""
        return {column.name: column.type for column in self.columns.values() if not column.dropped}

    @property
    def formats(self) -> dict[str, ValueFormat]:
        """The chosen format of each column by its name in the feed."""
        return {column.name: column.format for column in self.columns.values() if not column.dropped}

    @property
    def key_names(self) -> list[str]:
        """The names that the key's columns have in the feed."""
        return [self.columns[column].name if column in self.columns else column for column in self.key]

    def row_mapper(self) -> Callable[[Row], Row] | None:
        """Return a function that renames and drops the cells of a row; None if the rows stay as they are."""
        new_names = {
            source: None if column.dropped else column.name
            for source, column in self.columns.items()
            if column.dropped or column.name != source
        }
        if not new_names:
            return None
        return lambda row: {
            name: value for source, value in row.items() if (name := new_names.get(source, source)) is not None
        }

    def find_error(self, row: Mapping[str, str]) -> str | None:
        """Return why a row of the file is invalid, or None if it is valid."""
        for source, column in self.columns.items():
            if not column.required:
                continue
            value = row.get(source, "")
            if not value:
                return gettext("“%(name)s” is empty", name=column.name)
            if not VALUE_CHECKS[column.type](value):
                return gettext(
                    "“%(name)s” is not a valid %(type)s: %(value)s",
                    name=column.name,
                    type=gettext(COLUMN_TYPE_NOUNS[column.type]),
                    value=value[:80],
                )
        return None


def guess_schema(sample: Table) -> FeedSchema:
    """Guess the schema of a file from its first rows."""
    return _guess_key(sample).with_guesses(sample)


def guess_group(sample: Table) -> str | None:
    """Return the column whose value groups the variants of a product, or None.

    Consecutive rows share its value, and the later rows leave cells of the first one empty.
    """
    for column in sample.columns:
        if normalize_name(column) not in GROUP_NAMES:
            continue
        for previous, row in zip(sample.rows, sample.rows[1:], strict=False):
            if row.get(column) and row.get(column) == previous.get(column) and len(row) < len(previous):
                return column
    return None


def guess_type(name: str, values: Iterable[str]) -> ColumnType:
    """Guess the type of a column from its name and its values."""
    filled = [value for value in values if value]
    if not filled:
        return ColumnType.TEXT
    if mostly(_url.fullmatch, filled):
        images = _image_name.search(normalize_name(name)) or mostly(_image_suffix.search, filled)
        return ColumnType.IMAGE if images else ColumnType.URL
    if (is_price_name(name) or mostly(_money_sign.search, filled)) and mostly(_is_price, filled):
        return ColumnType.PRICE
    if _date_name.search(normalize_name(name)) and mostly(_compact_date.fullmatch, filled):
        return ColumnType.DATE
    if normalize_name(name) not in KEY_NAMES and mostly(_is_number, filled):
        return ColumnType.NUMBER
    return ColumnType.DATE if mostly(_is_date, filled) else ColumnType.TEXT


def is_price_name(name: str) -> bool:
    """Return whether a column is named like a price."""
    return bool(_price_name.search(normalize_name(name)))


def unique_name(base: str, taken: set[str]) -> str:
    """Return the name with a number appended if it is taken, and add it to the taken names."""
    name, number = base, 2
    while name in taken:
        name, number = f"{base[: MAX_NAME - 8]} ({number})", number + 1
    taken.add(name)
    return name


@lru_cache(MAX_COLUMNS * 4)
def normalize_name(name: str) -> str:
    """Return a column's name in lower case, without spaces and punctuation.

    Memoized because an import of a shop's variants calls it for each cell.
    """
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _guess_key(sample: Table) -> FeedSchema:
    group = guess_group(sample) or _handle_of(sample)
    if group is not None:
        options = [c for c in sample.columns if _option.fullmatch(normalize_name(c)) and c != group]
        return FeedSchema(key=[group, *options][:MAX_KEY_COLUMNS], group=group)
    named = [column for name in KEY_NAMES for column in sample.columns if normalize_name(column) == name]
    nested = [column for name in KEY_NAMES for column in sample.columns if _last_name(column) == name]
    codes = [column for column in sample.columns[:1] if mostly(_code.fullmatch, _values(sample, column))]
    candidates = dict.fromkeys([*named, *nested, *codes])
    return next((FeedSchema(key=[column]) for column in candidates if _is_unique(sample, column)), FeedSchema())


def _last_name(column: str) -> str:
    """Return the last part of a nested name, such as id of node.id."""
    return normalize_name(re.split(r"[.@/]", column)[-1])


def _handle_of(sample: Table) -> str | None:
    """Return the handle of a Shopify export, even if none of its products has variants yet."""
    names = {normalize_name(column): column for column in [*sample.header, *sample.columns]}
    if "handle" not in names or not names.keys() & {"option1value", "variantsku"}:
        return None
    handles = _values(sample, names["handle"])
    return names["handle"] if handles and len(handles) == len(set(handles)) else None


def _is_unique(sample: Table, column: str) -> bool:
    """Return whether a column has a different value in each row, with a few exceptions."""
    exceptions = len(sample.rows) - len(set(_values(sample, column)))
    return exceptions <= max(len(sample.rows) // 20, len(sample.rows) >= 4)


def _values(sample: Table, column: str) -> list[str]:
    return [row[column] for row in sample.rows if column in row]


def mostly(matches: Callable[[str], object], values: list[str]) -> bool:
    """Return whether nearly all values match, as soon as too many of them do not."""
    allowed = len(values) * (100 - MIN_MATCH_PERCENT) // 100
    misses = (value for value in values if not matches(value))
    return len(list(islice(misses, allowed + 1))) <= allowed

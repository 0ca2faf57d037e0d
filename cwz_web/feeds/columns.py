"""What the columns of a file become in a feed: their names and kinds, what must be there, what is the key.

A shape speaks of the file's own columns and is guessed from its first rows, so that a feed needs no set-up; people
change it on the feed's page. A column that comes later is kept as it is.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from functools import lru_cache
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from cwz_web.feeds.limits import MAX_COLUMNS, MAX_NAME, InvalidFileError, Row, Table

# Of the values in the first rows, so many in a hundred must look like a kind.
MOST = 95
MAX_KEY_COLUMNS = 5
# Columns that name a row, best first, compared without case, spaces and signs.
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
    "handle",
    "slug",
    "key",
    "link",
    "url",
)
GROUP_NAMES = ("handle", "itemgroupid", "productid", "parentsku", "groupid")
_option = re.compile(r"option\d*value|colou?r|size|variant(name|title)?")
_price_name = re.compile(r"price|preis|prix|precio|amount|cost|betrag|uvp|msrp")
_image_name = re.compile(r"image|photo|picture|bild|foto|thumbnail|img|logo|avatar")

_url = re.compile(r"https?://[^\s/]+\S*", re.IGNORECASE)
_image = re.compile(r"https?://\S+\.(?:jpe?g|png|webp|gif|avif)(?:[?#]\S*)?", re.IGNORECASE)
_number = re.compile(r"[-+]?(?:0|[1-9]\d*)(?:[.,]\d+)?(?:[eE][-+]?\d+)?")
_amount = re.compile(r"[-+]?\d{1,3}(?:[.,' \u00a0\u202f]?\d{3})*(?:[.,]\d{1,4}|,-)?")
_code = re.compile(r"(?=\S*\d)\S{1,64}")
_money_sign = re.compile(r"[€$£¥₹₽₩₺₴₫฿]|\b[A-Z]{3}\b|\b(?:kr|zł|Kč|Ft|lei)\b\.?")
_date = re.compile(
    r"\d{4}-\d{1,2}-\d{1,2}(?:[T ]\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:Z| ?[+-]\d{2}:?\d{2})?)?"
    r"|\d{1,2}[./]\d{1,2}[./]\d{4}(?: \d{1,2}:\d{2}(?::\d{2})?)?"
)


class Kind(StrEnum):
    """What the values of a column are."""

    TEXT = "text"
    NUMBER = "number"
    PRICE = "price"
    URL = "url"
    IMAGE = "image"
    DATE = "date"


KIND_WORDS = {
    Kind.TEXT: "Text",
    Kind.NUMBER: "Number",
    Kind.PRICE: "Price",
    Kind.URL: "Address",
    Kind.IMAGE: "Image",
    Kind.DATE: "Date",
}


def _is_price(text: str) -> bool:
    return bool(_amount.fullmatch(_money_sign.sub("", text).strip()))


FITS: dict[Kind, Callable[[str], object]] = {
    Kind.TEXT: bool,
    Kind.NUMBER: _number.fullmatch,
    Kind.PRICE: _is_price,
    Kind.URL: _url.fullmatch,
    Kind.IMAGE: _url.match,
    Kind.DATE: _date.fullmatch,
}


class Column(BaseModel):
    """What a column of the file becomes. A row is left out when a `required` one is empty or not of its kind."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(min_length=1, max_length=MAX_NAME)]
    kind: Kind = Kind.TEXT
    required: bool = False
    dropped: bool = False


class Shape(BaseModel):
    """What a file's rows become.

    Attributes:
        columns: by the file's own names.
        key: the file's columns that a row is known by; none for its place.
        group: the file's column that the variants of a product share, when blank cells are filled from the row above.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    columns: Annotated[dict[str, Column], Field(max_length=MAX_COLUMNS)] = {}
    key: Annotated[list[str], Field(max_length=MAX_KEY_COLUMNS)] = []
    group: str | None = None

    def completed(self, sample: Table) -> "Shape":
        """The same, with a guess for each column that it does not speak of yet.

        Raises InvalidFileError when a column of the key is not in the file.
        """
        missing = [column for column in self.key if column not in sample.columns]
        if missing:
            raise InvalidFileError(f"The file has no column “{missing[0]}”, by which the feed knows its rows")
        taken = {column.name for column in self.columns.values()}
        guessed = {
            name: Column(name=free_name(name, taken), kind=guess_kind(name, (row.get(name, "") for row in sample.rows)))
            for name in sample.columns
            if name not in self.columns
        }
        return self.model_copy(update={"columns": self.columns | guessed})

    def names(self, columns: Iterable[str]) -> list[str]:
        """What the file's columns are called in the feed, without those that are dropped."""
        arranged = (self.columns.get(column, Column(name=column)) for column in columns)
        return [column.name for column in arranged if not column.dropped]

    @property
    def kinds(self) -> dict[str, Kind]:
        """The kind of each column, by its name in the feed."""
        return {column.name: column.kind for column in self.columns.values() if not column.dropped}

    @property
    def key_names(self) -> list[str]:
        """What the columns of the key are called in the feed."""
        return [self.columns[column].name if column in self.columns else column for column in self.key]

    def arrangement(self) -> Callable[[Row], Row] | None:
        """What renames a row's cells and drops some; None when there is nothing to do."""
        others = {
            source: None if column.dropped else column.name
            for source, column in self.columns.items()
            if column.dropped or column.name != source
        }
        if not others:
            return None
        return lambda row: {
            name: value for source, value in row.items() if (name := others.get(source, source)) is not None
        }

    def complaint(self, row: Mapping[str, str]) -> str | None:
        """Why a row, under the file's names, has to be left out; None when it has not."""
        for source, column in self.columns.items():
            if not column.required:
                continue
            value = row.get(source, "")
            if not value:
                return f"“{column.name}” is empty"
            if not FITS[column.kind](value):
                return f"“{column.name}” is no {KIND_WORDS[column.kind].lower()}: {value[:80]}"
        return None


def guess_shape(sample: Table) -> Shape:
    """The shape of a file that nobody has looked at yet, from its first rows."""
    return _guess_key(sample).completed(sample)


def guess_group(sample: Table) -> str | None:
    """The column that several rows in a row share while the later ones leave cells blank that the first one fills."""
    for column in sample.columns:
        if plain(column) not in GROUP_NAMES:
            continue
        for before, row in zip(sample.rows, sample.rows[1:], strict=False):
            if row.get(column) and row.get(column) == before.get(column) and len(row) < len(before):
                return column
    return None


def guess_kind(name: str, values: Iterable[str]) -> Kind:
    """What kind of values a column holds, by its name and its values."""
    filled = [value for value in values if value]
    if not filled:
        return Kind.TEXT
    if _mostly(_url.fullmatch, filled):
        images = _mostly(_image.fullmatch, filled) or _image_name.search(plain(name))
        return Kind.IMAGE if images else Kind.URL
    if _mostly(_is_price, filled) and (_price_name.search(plain(name)) or _mostly(_money_sign.search, filled)):
        return Kind.PRICE
    if plain(name) not in KEY_NAMES and _mostly(_number.fullmatch, filled):
        return Kind.NUMBER
    return Kind.DATE if _mostly(_date.fullmatch, filled) else Kind.TEXT


def free_name(wanted: str, taken: set[str]) -> str:
    """The name, with a number behind it when it is taken; it is taken from now on."""
    name, again = wanted, 2
    while name in taken:
        name, again = f"{wanted[: MAX_NAME - 8]} ({again})", again + 1
    taken.add(name)
    return name


@lru_cache(MAX_COLUMNS * 4)
def plain(name: str) -> str:
    """A column's name without case, spaces and signs."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _guess_key(sample: Table) -> Shape:
    group = guess_group(sample)
    if group is not None:
        options = [c for c in sample.columns if _option.fullmatch(plain(c)) and c != group]
        return Shape(key=[group, *options][:MAX_KEY_COLUMNS], group=group)
    by_name = {plain(column): column for column in reversed(sample.columns)}
    named = [by_name[name] for name in KEY_NAMES if name in by_name]
    codes = [column for column in sample.columns[:1] if _mostly(_code.fullmatch, _values(sample, column))]
    return next((Shape(key=[column]) for column in named + codes if _tells_apart(sample, column)), Shape())


def _tells_apart(sample: Table, column: str) -> bool:
    """Whether a column has another value in each row, but for a few slips."""
    slips = len(sample.rows) - len(set(_values(sample, column)))
    return slips <= max(len(sample.rows) // 20, len(sample.rows) >= 4)


def _values(sample: Table, column: str) -> list[str]:
    return [row[column] for row in sample.rows if column in row]


def _mostly(fits: Callable[[str], object], values: list[str]) -> bool:
    return sum(1 for value in values if fits(value)) * 100 >= len(values) * MOST

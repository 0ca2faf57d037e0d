"""The rows of a publication with the URLs of their images, read in a stream.

A page of rows is kept column by column, as the values of fields are computed, without an object for each row.
"""

from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from psycopg.pq import TransactionStatus
from sqlalchemy.orm import Session

from cwz_web.campaigns.models import Campaign, Publication
from cwz_web.campaigns.rules import RULES, names_of_designs
from cwz_web.campaigns.timeline import ROWS_OF_STATE, SHOWN
from cwz_web.db.session import raw_connection, without_sort
from cwz_web.feeds.records import Row
from cwz_web.feeds.row_data import load_row
from cwz_web.generation.image_urls import ImageUrls

# How many rows are read at once, and how many characters their cells have then: the buffer of a connection takes no
# more, and the database would wait for these rows to be written before it reads the next ones.
PAGE = 1000
PAGE_TEXT = 128 * 1024
# What the first rows are like is not known.
FIRST_PAGE = 50
# The verdict about a row that keeps what was public, since its own image is incomplete.
_KEPT = "kept"

# `OFFSET 0` lets what a row shows be computed once, and not for each place that uses it; `data || '{{}}'` is the same
# cells, decompressed once. An image is found by its index: a join with the images of the workspace would be estimated
# wrongly, and take hours. Cells that are numbers are texts here, so that rows with any have all of them as JSON, too.
_ROWS = """
    DECLARE channel_rows NO SCROLL CURSOR FOR
    SELECT page.key, page.design, page.verdict, page.shown = '[]',
           CASE WHEN {is_whole} OR page.data @@ '$.*.type() == "number"' THEN page.data::text END, {cells}
    FROM (
        SELECT key, data || '{{}}' AS data, design, decisions -> design ->> 'v' AS verdict, {shown} AS shown
        FROM ({rows} ORDER BY row.key OFFSET 0) AS row OFFSET 0
    ) AS page
"""
# How many columns of the query come before the cells, and about how many characters these and an image have.
_HEAD, _HEAD_TEXT, _IMAGE_TEXT = 5, 50, 150
# PostgreSQL has at most 1,664 columns in a result. Of more, which a campaign with joined feeds can have, each row is
# read as JSON.
MAX_SELECTED = 1500
_CELL = "coalesce(page.data ->> CAST(%({name})s AS text), '')"
_IMAGE = """
    (SELECT concat_ws(' ', image.connection_id, image.id, image.key) FROM images AS image
     WHERE image.workspace_id = %(workspace)s AND image.id = CAST(page.shown ->> {number} AS uuid))
"""


@dataclass(slots=True)
class ChannelRow:
    """A row of a publication.

    Attributes:
        key: its key.
        data: its cells, by column.
        images: the URLs of its images, one for each output of the publication; None for one that does not exist. Empty
            if the row shows its original photo.
        photo: what its photo column contains.
        rule: the name of the rule that took it.
        label: the label of its design.
        is_kept: whether its images are those that were public before, since its own ones are incomplete.
    """

    key: str
    data: Row
    images: list[str | None]
    photo: str = ""
    rule: str = ""
    label: str = ""
    is_kept: bool = False


@dataclass(slots=True)
class RowPage:
    """Rows of a publication, column by column: each list has an entry for each row.

    Attributes:
        keys: their keys.
        cells: their cells, by column; of a column that is not among them, all are empty.
        images: for each output of the publication the URLs of their images; None for one that does not exist.
        shows_photo: whether they show their original photos.
        is_kept: whether their images are those that were public before, since their own ones are incomplete.
        photos: what their photo columns contain.
        names: the name of the rule that took them, and the label of their design.
    """

    keys: Sequence[str]
    cells: Mapping[str, Sequence[str]]
    images: Sequence[Sequence[str | None]]
    shows_photo: Sequence[bool]
    is_kept: Sequence[bool]
    photos: Sequence[str]
    names: Sequence[tuple[str, str]]

    @classmethod
    def of(cls, rows: Sequence[ChannelRow]) -> Self:
        """Return rows as a page."""
        outputs = range(max((len(row.images) for row in rows), default=0))
        columns = {name for row in rows for name in row.data}
        return cls(
            keys=[row.key for row in rows],
            cells={name: [row.data.get(name, "") for row in rows] for name in columns},
            images=[[row.images[number] if number < len(row.images) else None for row in rows] for number in outputs],
            shows_photo=[not row.images for row in rows],
            is_kept=[row.is_kept for row in rows],
            photos=[row.photo for row in rows],
            names=[(row.rule, row.label) for row in rows],
        )

    def select(self, places: Sequence[int]) -> "RowPage":
        """Return the rows at some places."""

        def of(values: Sequence[Any]) -> list[Any]:
            return [values[place] for place in places]

        return RowPage(
            of(self.keys),
            {name: of(cells) for name, cells in self.cells.items()},
            [of(urls) for urls in self.images],
            of(self.shows_photo),
            of(self.is_kept),
            of(self.photos),
            of(self.names),
        )

    def __len__(self) -> int:
        return len(self.keys)

    def column(self, name: str) -> Sequence[str]:
        """Return the cells of a column."""
        return self.cells.get(name) or [""] * len(self.keys)


def read_rows(
    db: Session, campaign: Campaign, publication: Publication, image_urls: ImageUrls, columns: Collection[str]
) -> Generator[RowPage, None, None]:
    """Yield the rows of a publication in the order of their keys, some of them at once.

    Args:
        db: a transaction in the workspace, which is used for nothing else until the last row.
        campaign: the campaign.
        publication: one of its publications.
        image_urls: the URLs of the workspace's images.
        columns: the columns whose cells are read.
    """
    photo_column, url_of = publication.photo_column, image_urls.url_of
    read = sorted({*columns, photo_column} if photo_column else columns)
    selected = read if len(read) <= MAX_SELECTED else []
    designs = names_of_designs(RULES.validate_python(publication.rules))
    for keys, numbers, verdicts, shows_photo, documents, *found in _read_pages(
        db, campaign, publication, selected, is_whole=len(selected) < len(read)
    ):
        cells = dict(zip(selected, found, strict=False))
        if any(documents):
            cells = _with_documents({name: cells.get(name) or [""] * len(keys) for name in read}, documents)
        images = [[url_of(*each.split(" ", 2)) if each else None for each in texts] for texts in found[len(selected) :]]
        yield RowPage(
            keys,
            cells,
            images,
            shows_photo,
            [verdict == _KEPT for verdict in verdicts],
            cells[photo_column] if photo_column else [""] * len(keys),
            [designs.get(number, ("", "")) for number in numbers],
        )


def _with_documents(cells: Mapping[str, Sequence[str]], documents: Sequence[str | None]) -> dict[str, Sequence[str]]:
    """Return cells with those of the rows that are read as JSON."""
    columns = {name: list(values) for name, values in cells.items()}
    for place, document in enumerate(documents):
        row = load_row(document) if document else {}
        for name in row.keys() & columns.keys():
            columns[name][place] = row[name]
    return dict(columns)


def _read_pages(
    db: Session, campaign: Campaign, publication: Publication, columns: Sequence[str], *, is_whole: bool
) -> Iterator[list[Any]]:
    """Yield columns of rows as the database returns them; it reads the next ones while these are written."""
    names = {f"column{number}": name for number, name in enumerate(columns)}
    outputs = len(publication.outputs)
    cells = [_CELL.format(name=name) for name in names] + [_IMAGE.format(number=number) for number in range(outputs)]
    query = _ROWS.format(
        rows=_for_driver(ROWS_OF_STATE),
        shown=_for_driver(SHOWN),
        cells=", ".join(cells) or "NULL",
        is_whole="true" if is_whole else "false",
    )
    parameters: Mapping[str, object] = {
        "workspace": campaign.workspace_id,
        "campaign": campaign.id,
        "state": publication.timeline,
        "active": publication.designs,
        **names,
    }
    connection = raw_connection(db)
    with connection.cursor() as cursor, without_sort(db):
        cursor.execute(query, parameters)
    count = FIRST_PAGE
    try:
        with connection.pipeline():
            pending = connection.execute(_fetch(count))
            while page := pending.fetchall():
                values = list(zip(*page, strict=True))
                size = len(page) * (_HEAD_TEXT + _IMAGE_TEXT * outputs) + sum(map(len, filter(None, values[_HEAD - 1])))
                size += sum(sum(map(len, each)) for each in values[_HEAD : _HEAD + len(columns)])
                count = max(1, min(PAGE, PAGE_TEXT * len(page) // size))
                pending = connection.execute(_fetch(count))
                yield values
    finally:
        if connection.info.transaction_status == TransactionStatus.INTRANS:  # and no error has ended it
            connection.execute("CLOSE channel_rows")


def _fetch(count: int) -> str:
    return f"FETCH {count} FROM channel_rows"


def _for_driver(query: str) -> str:
    """Return a query of SQLAlchemy with the parameters of psycopg."""
    query = query.replace("%", "%%")
    for name in ("workspace", "campaign", "state"):
        query = query.replace(f":{name}", f"%({name})s")
    return query.replace(":active", "%(active)s::smallint[]")

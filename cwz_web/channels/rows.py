"""The rows of a publication with the URLs of their images, read in a stream."""

from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from psycopg.pq import TransactionStatus
from sqlalchemy.orm import Session

from cwz_web.campaigns.models import Campaign, Publication
from cwz_web.campaigns.rules import RULES, names_of_designs
from cwz_web.campaigns.timeline import ROWS_OF_STATE, SHOWN
from cwz_web.db.session import raw_connection
from cwz_web.feeds.records import Row
from cwz_web.feeds.row_data import load_row
from cwz_web.generation.image_urls import ImageUrls

# How many rows are read at once: more do not fit into the buffer of a connection while others are written.
PAGE = 500
# Of long rows so many are read at once that their cells have about this number of characters.
MAX_TEXT = 8 * 1024 * 1024
# What the first rows are like is not known.
FIRST_PAGE = 50
# The verdict about a row that keeps what was public, since its own image is incomplete.
_KEPT = "kept"

# `OFFSET 0` lets what a row shows be computed once, and not for each place that uses it. An image is found by its
# index: a join with the images of the workspace would be estimated wrongly, and take hours.
_ROWS = """
    DECLARE channel_rows NO SCROLL CURSOR FOR
    SELECT page.key, page.data::text, page.design, page.verdict, page.shown = '[]', {images}
    FROM (
        SELECT key, data, design, decisions -> design ->> 'v' AS verdict, {shown} AS shown
        FROM ({rows} OFFSET 0) AS row OFFSET 0
    ) AS page
    ORDER BY page.key
"""
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

    @property
    def shows_photo(self) -> bool:
        """Whether the row shows its original photo."""
        return not self.images


def read_rows(
    db: Session, campaign: Campaign, publication: Publication, image_urls: ImageUrls
) -> Generator[ChannelRow, None, None]:
    """Yield the rows of a publication in the order of their keys.

    Args:
        db: a transaction in the workspace, which is used for nothing else until the last row.
        campaign: the campaign.
        publication: one of its publications.
        image_urls: the URLs of the workspace's images.
    """
    photo_column, outputs = publication.photo_column, range(len(publication.outputs))
    designs = names_of_designs(RULES.validate_python(publication.rules))
    url_of = image_urls.url_of
    for key, cells, design, verdict, shows_photo, *found in _read_pages(db, campaign, publication):
        data = _load_row(cells)
        if shows_photo:
            images: list[str | None] = []
        else:
            images = [url_of(*found[number].split(" ", 2)) if found[number] else None for number in outputs]
        rule, label = designs.get(design, ("", ""))
        yield ChannelRow(key, data, images, data.get(photo_column, ""), rule, label, verdict == _KEPT)


def _read_pages(db: Session, campaign: Campaign, publication: Publication) -> Iterator[Any]:
    """Yield rows as the database returns them; it reads the next ones while these are written."""
    images = [_IMAGE.format(number=number) for number in range(len(publication.outputs))]
    query = _ROWS.format(rows=_for_driver(ROWS_OF_STATE), shown=_for_driver(SHOWN), images=", ".join(images) or "NULL")
    values: Mapping[str, object] = {
        "workspace": campaign.workspace_id,
        "campaign": campaign.id,
        "state": publication.timeline,
        "active": publication.designs,
    }
    connection = raw_connection(db)
    with connection.cursor() as cursor:
        cursor.execute(query, values)
    count = FIRST_PAGE
    try:
        with connection.pipeline():
            pending = connection.execute(_fetch(count))
            while page := pending.fetchall():
                longest = max(len(str(row[1])) for row in page)
                count = max(1, min(PAGE, count * 4, MAX_TEXT // max(longest, 1)))
                pending = connection.execute(_fetch(count))
                yield from page
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


def _load_row(text: str) -> Row:
    """Return the cells of a row. Texts alone are read in a third of the time."""
    row: Row = orjson.loads(text)
    for value in row.values():
        if type(value) is not str:
            return load_row(text)
    return row

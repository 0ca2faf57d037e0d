"""The output feed: a feed's rows with the addresses of their newest images, as CSV, for ads platforms and shops.

It is written whole before any of it is sent: what reads it takes a file that broke off for one with fewer products.
Cells are as the feed has them (RFC 4180); no formula is defused, since a program reads them.
"""

from collections.abc import Sequence
from hashlib import sha256
from tempfile import SpooledTemporaryFile
from typing import Any, BinaryIO
from uuid import UUID

from sqlalchemy import bindparam, func, or_, select, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Session

from cwz_web.feeds.file_types import IN_MEMORY
from cwz_web.feeds.models import Feed
from cwz_web.generation.signed_urls import SignedUrls
from cwz_web.imaging.documents import OWN_SIZE
from cwz_web.imaging.encoders import Output
from cwz_web.runs.models import Run
from cwz_web.spreadsheets import csv_record

PAGE = 1000
COLUMN = "image_url"

# A page of the rows, each with the newest image of every output.
_ROWS = text("""
    SELECT row.position, row.data, images.found
    FROM (
        SELECT position, key, data FROM items
        WHERE workspace_id = :workspace AND feed_id = :feed AND position > :after ORDER BY position LIMIT :page
    ) AS row
    CROSS JOIN LATERAL (
        SELECT jsonb_agg(newest.found ORDER BY wanted.number) AS found
        FROM jsonb_array_elements(:outputs) WITH ORDINALITY AS wanted (value, number)
        LEFT JOIN LATERAL (
            SELECT jsonb_build_array(image.id, image.key) AS found
            FROM run_items AS item
            JOIN runs AS run ON run.workspace_id = item.workspace_id AND run.id = item.run_id
            JOIN images AS image ON image.workspace_id = item.workspace_id AND image.id = item.image_id
            WHERE item.workspace_id = :workspace AND item.key = row.key AND item.state = 'done'
              AND run.feed_id = :feed AND run.template_id = :template AND run.outputs -> item.output = wanted.value
            ORDER BY item.run_id DESC LIMIT 1
        ) AS newest ON true
    ) AS images
    ORDER BY row.position
""").bindparams(bindparam("outputs", type_=JSONB))


def latest_run(db: Session, feed: Feed, template_id: UUID) -> Run | None:
    """The run that last rendered the feed with the template, or, if none has, the one that is about to."""
    renders = or_(Run.prepared, Run.done > 0)
    return db.scalar(select(Run).where(*_runs(feed, template_id)).order_by(renders.desc(), Run.id.desc()).limit(1))


def version_of(db: Session, feed: Feed, latest: Run, column: str) -> str:
    """A text that changes whenever the output feed does."""
    done = db.scalar(select(func.sum(Run.done)).where(*_runs(feed, latest.template_id)))
    return sha256(f"{feed.revision} {latest.id} {done} {feed.columns} {column}".encode()).hexdigest()


def write_output_feed(db: Session, feed: Feed, latest: Run, column: str, signed_urls: SignedUrls) -> BinaryIO:
    """A file with every row of the feed and its newest images of the latest run's template and outputs.

    Arguments:
        column: the column that has the address of the first output's image, also in place of one of the feed's, whose
            value stays where there is no image yet; "" for a new one.
    """
    names = image_columns(feed.columns, [Output.model_validate(output) for output in latest.outputs], column)
    columns = [*feed.columns, *(name for name in names if name not in feed.columns)]
    file: Any = SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115 - whoever sends it closes it
    file.write(csv_record(columns))
    asked = {
        "workspace": feed.workspace_id,
        "feed": feed.id,
        "template": latest.template_id,
        "outputs": latest.outputs,
        "page": PAGE,
    }
    after = 0
    while rows := db.execute(_ROWS, asked | {"after": after}).all():
        after = rows[-1].position
        file.writelines(
            csv_record(map((row.data | _addresses(signed_urls, feed.workspace_id, names, row.found)).get, columns))
            for row in rows
        )
    file.seek(0)
    found: BinaryIO = file
    return found


def image_columns(columns: Sequence[str], outputs: Sequence[Output], column: str = "") -> list[str]:
    """The columns that the addresses of the outputs' images stand in: told apart by what the outputs differ in."""
    sizes, formats = {output.size for output in outputs}, {output.format for output in outputs}
    names: list[str] = []
    for output in outputs:
        parts = [COLUMN]
        if len(sizes) > 1 and output.size != OWN_SIZE:
            parts.append(output.size)
        if len(formats) > 1:
            parts.append(output.format.value)
        name, number = "_".join(parts), 2
        while name in {*names, *columns, column}:
            name, number = f"{'_'.join(parts)}_{number}", number + 1
        names.append(name)
    return [column, *names[1:]] if column else names


def _addresses(
    signed_urls: SignedUrls, workspace_id: UUID, names: Sequence[str], found: Sequence[Any]
) -> dict[str, str]:
    return {
        name: signed_urls.url_of_image(workspace_id, UUID(image[0]), image[1])
        for name, image in zip(names, found, strict=True)
        if image
    }


def _runs(feed: Feed, template_id: UUID) -> tuple[Any, ...]:
    return Run.workspace_id == feed.workspace_id, Run.feed_id == feed.id, Run.template_id == template_id

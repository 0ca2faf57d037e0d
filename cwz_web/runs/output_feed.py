"""The output feed: a feed's rows with the URLs of their newest images, as CSV (RFC 4180), for ad platforms and shops.

The whole file is written before any of it is sent: a reader takes a truncated file for one with fewer products. Cells
are those of the feed; formulas are not escaped, since programs read the file.
"""

from collections.abc import Sequence
from hashlib import sha256
from tempfile import SpooledTemporaryFile
from typing import Any, BinaryIO
from uuid import UUID

from sqlalchemy import Text, bindparam, cast, func, or_, select, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Session

from cwz_web.feeds.models import Feed
from cwz_web.feeds.row_data import load_row
from cwz_web.feeds.temporary_files import IN_MEMORY
from cwz_web.generation.image_urls import ImageUrls
from cwz_web.imaging.documents import DEFAULT_SIZE
from cwz_web.imaging.encoders import Output
from cwz_web.runs.models import Run, RunItem
from cwz_web.spreadsheets import csv_record

PAGE = 1000
COLUMN = "image_url"

# A page of the rows, each with the newest image of every output.
_ROWS = text("""
    SELECT row.position, row.data::text AS data, images.newest
    FROM (
        SELECT position, key, data FROM items
        WHERE workspace_id = :workspace AND feed_id = :feed AND position > :after ORDER BY position LIMIT :page
    ) AS row
    CROSS JOIN LATERAL (
        SELECT jsonb_agg(newest.image ORDER BY output.number) AS newest
        FROM jsonb_array_elements(:outputs) WITH ORDINALITY AS output (value, number)
        LEFT JOIN LATERAL (
            SELECT CASE WHEN image.id IS NOT NULL THEN jsonb_build_array(image.connection_id, image.id, image.key)
                   END AS image
            FROM run_items AS item
            JOIN runs AS run ON run.workspace_id = item.workspace_id AND run.id = item.run_id
            -- A row whose image was deleted has none, and not an earlier one.
            LEFT JOIN images AS image ON image.workspace_id = item.workspace_id AND image.id = item.image_id
            WHERE item.workspace_id = :workspace AND item.key = row.key
              AND (image.id IS NOT NULL OR item.deleted_image_id IS NOT NULL)
              AND (item.state = 'done' OR (item.state = 'incomplete' AND run.on_missing_photo = 'replace'))
              AND run.feed_id = :feed AND run.template_id = :template AND run.outputs -> item.output = output.value
              AND run.campaign_id IS NULL
            ORDER BY item.run_id DESC LIMIT 1
        ) AS newest ON true
    ) AS images
    ORDER BY row.position
""").bindparams(bindparam("outputs", type_=JSONB))


def latest_run(db: Session, feed: Feed, template_id: UUID) -> Run | None:
    """Return the newest run of the feed and template that was prepared; if there is none, the newest run."""
    has_items = or_(Run.prepared, Run.done + Run.incomplete > 0)
    return db.scalar(select(Run).where(*_runs(feed, template_id)).order_by(has_items.desc(), Run.id.desc()).limit(1))


def version_of(db: Session, feed: Feed, latest: Run, column: str, image_urls: ImageUrls) -> str:
    """Return an ETag value, which changes whenever the output feed does.

    Args:
        db: a transaction in the workspace.
        feed: the feed.
        latest: its newest run.
        column: the column for the first image's URL.
        image_urls: the URLs of the workspace's images.
    """
    sums = select(func.sum(Run.done + Run.incomplete), func.sum(Run.done)).where(*_runs(feed, latest.template_id))
    images, done = db.execute(sums).one()
    deleted = digest_of_deleted_images(db, feed.workspace_id)
    parts = (feed.revision, latest.id, images, done, deleted, feed.columns, column, image_urls.version)
    return sha256(" ".join(map(str, parts)).encode()).hexdigest()


def digest_of_deleted_images(db: Session, workspace_id: UUID) -> int | None:
    """Return a number that changes whenever an image of a run is deleted or restored.

    It is about which images are deleted, and not how many: some can be restored, and as many others deleted.
    """
    ids = func.sum(func.hashtextextended(cast(RunItem.deleted_image_id, Text), 0))
    digest: int | None = db.scalar(
        select(ids).where(RunItem.workspace_id == workspace_id, RunItem.deleted_image_id.is_not(None))
    )
    return digest


def write_output_feed(db: Session, feed: Feed, latest: Run, column: str, image_urls: ImageUrls) -> BinaryIO:
    """Write a file with every row of the feed and the URLs of its newest images. The caller closes it.

    Args:
        db: a transaction in the workspace.
        feed: the rows.
        latest: the run whose template and outputs count.
        column: the column for the URL of the first output's image; "" for a new one. A column of the feed keeps its
            value in rows without an image.
        image_urls: the URLs of the workspace's images.
    """
    names = image_columns(feed.columns, [Output.model_validate(output) for output in latest.outputs], column)
    columns = [*feed.columns, *(name for name in names if name not in feed.columns)]
    file: Any = SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115 - the caller closes it
    file.write(csv_record(columns))
    parameters = {
        "workspace": feed.workspace_id,
        "feed": feed.id,
        "template": latest.template_id,
        "outputs": latest.outputs,
        "page": PAGE,
    }
    after = 0
    while rows := db.execute(_ROWS, parameters | {"after": after}).all():
        after = rows[-1].position
        file.writelines(
            csv_record(map((load_row(row.data) | _urls(image_urls, names, row.newest)).get, columns)) for row in rows
        )
    file.seek(0)
    output: BinaryIO = file
    return output


def image_columns(columns: Sequence[str], outputs: Sequence[Output], column: str = "") -> list[str]:
    """Return the columns of the outputs' image URLs, named after what the outputs differ in."""
    sizes, formats = {output.size for output in outputs}, {output.format for output in outputs}
    names: list[str] = []
    for output in outputs:
        parts = [COLUMN]
        if len(sizes) > 1 and output.size != DEFAULT_SIZE:
            parts.append(output.size)
        if len(formats) > 1:
            parts.append(output.format.value)
        name, number = "_".join(parts), 2
        while name in {*names, *columns, column}:
            name, number = f"{'_'.join(parts)}_{number}", number + 1
        names.append(name)
    return [column, *names[1:]] if column else names


def _urls(image_urls: ImageUrls, names: Sequence[str], images: Sequence[Any]) -> dict[str, str]:
    return {name: image_urls.url_of(*image) for name, image in zip(names, images, strict=True) if image}


def _runs(feed: Feed, template_id: UUID) -> tuple[Any, ...]:
    of_feed = Run.workspace_id == feed.workspace_id, Run.feed_id == feed.id, Run.template_id == template_id
    return *of_feed, Run.campaign_id.is_(None)

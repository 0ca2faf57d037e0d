"""The output feed of a campaign: the rows of its public publication with their images' URLs, as CSV (RFC 4180).

It has the columns of the feed as they are, and needs no channel.
"""

import csv
from collections.abc import Iterator, Sequence
from hashlib import sha256
from io import TextIOWrapper
from typing import BinaryIO

from sqlalchemy.orm import Session

from cwz_web.campaigns.models import Campaign, Publication
from cwz_web.channels.rows import RowPage, read_rows
from cwz_web.feeds.temporary_files import temporary_file
from cwz_web.generation.image_urls import ImageUrls
from cwz_web.imaging.encoders import Output
from cwz_web.runs.output_feed import digest_of_deleted_images, image_columns

# The columns beside those of the feed and the images.
RULE_COLUMN, LABEL_COLUMN = "design_rule", "design_label"


def version_of_campaign(
    db: Session, campaign: Campaign, publication: Publication, column: str, image_urls: ImageUrls
) -> str:
    """Return an ETag value, which changes whenever the output feed does.

    Args:
        db: a transaction in the workspace.
        campaign: the campaign.
        publication: its public publication.
        column: the column for the first image's URL.
        image_urls: the URLs of the workspace's images.
    """
    deleted = digest_of_deleted_images(db, campaign.workspace_id)
    parts = (publication.id, deleted, column, image_urls.version)
    return sha256(" ".join(map(str, parts)).encode()).hexdigest()


def write_campaign_feed(
    db: Session, campaign: Campaign, publication: Publication, column: str, image_urls: ImageUrls
) -> BinaryIO:
    """Write a file with every row of a publication and the URLs of its images. The caller closes it.

    Args:
        db: a transaction in the workspace.
        campaign: the campaign.
        publication: its public publication.
        column: the column for the first image's URL; "" for a new one. A column of the feed keeps its value in rows
            without an image.
        image_urls: the URLs of the workspace's images.
    """
    names = image_columns(publication.columns, _outputs(publication), column)
    columns = [*publication.columns, *(name for name in names if name not in publication.columns)]
    columns += [name for name in (RULE_COLUMN, LABEL_COLUMN) if name not in columns]
    file = temporary_file()
    text = TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
    writer = csv.writer(text)
    writer.writerow(columns)
    for page in read_rows(db, campaign, publication, image_urls, publication.columns):
        writer.writerows(_records(page, names, columns))
    text.detach()
    file.seek(0)
    return file


def _records(page: RowPage, names: Sequence[str], columns: Sequence[str]) -> Iterator[tuple[str, ...]]:
    values = dict(page.cells)
    for name, urls in zip(names, page.images, strict=True):
        shown = zip(urls, page.column(name), page.photos, page.shows_photo, strict=True)
        values[name] = [photo if is_photo else url or cell for url, cell, photo, is_photo in shown]
    values[RULE_COLUMN], values[LABEL_COLUMN] = zip(*page.names, strict=True)
    return zip(*(values.get(column) or [""] * len(page) for column in columns), strict=True)


def _outputs(publication: Publication) -> list[Output]:
    return [Output.model_validate(output) for output in publication.outputs]

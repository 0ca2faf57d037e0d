"""The output feed of a campaign: the rows of its public publication with their images' URLs, as CSV (RFC 4180)."""

from collections.abc import Iterator, Sequence
from hashlib import sha256
from tempfile import SpooledTemporaryFile
from typing import Any, BinaryIO

from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Session
from sqlalchemy.types import SmallInteger

from cwz_web.campaigns.models import Campaign, Publication
from cwz_web.campaigns.rules import RULES
from cwz_web.campaigns.timeline import SHOWN_ROWS
from cwz_web.feeds.row_data import load_row
from cwz_web.feeds.temporary_files import IN_MEMORY
from cwz_web.generation.image_urls import ImageUrls
from cwz_web.imaging.encoders import Output
from cwz_web.runs.output_feed import digest_of_deleted_images, image_columns
from cwz_web.spreadsheets import csv_record

PAGE = 1000
# The columns beside those of the feed and the images.
RULE_COLUMN, LABEL_COLUMN = "design_rule", "design_label"

# Read in a stream: pages of a table without statistics would each sort all rows.
_ROWS = text(f"""
    SELECT page.key, page.data::text AS data, page.design, page.shown,
           (SELECT jsonb_agg(CASE WHEN image.id IS NOT NULL
                                  THEN jsonb_build_array(image.connection_id, image.id, image.key) END ORDER BY shown.n)
            FROM jsonb_array_elements_text(page.shown) WITH ORDINALITY AS shown (id, n)
            LEFT JOIN images AS image ON image.workspace_id = :workspace AND image.id = CAST(shown.id AS uuid)
           ) AS images
    FROM ({SHOWN_ROWS}) AS page ORDER BY page.key
""").bindparams(bindparam("active", type_=ARRAY(SmallInteger)))  # noqa: S608 - composed of constants


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
    file: Any = SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115 - the caller closes it
    file.write(csv_record(columns))
    for row in _rows(db, campaign, publication, names, image_urls):
        file.write(csv_record(map(row.get, columns)))
    file.seek(0)
    output: BinaryIO = file
    return output


def _rows(
    db: Session, campaign: Campaign, publication: Publication, names: Sequence[str], image_urls: ImageUrls
) -> Iterator[dict[str, str]]:
    labels = {
        str(design.number): {RULE_COLUMN: rule.name, LABEL_COLUMN: design.label}
        for rule in RULES.validate_python(publication.rules)
        for design in rule.designs
    }
    values = {
        "workspace": campaign.workspace_id,
        "campaign": campaign.id,
        "state": publication.timeline,
        "active": publication.designs,
        "page": PAGE,
    }
    for row in db.execute(_ROWS, values, execution_options={"yield_per": PAGE}):
        data = load_row(row.data)
        if row.shown == []:  # the original photo
            images = dict.fromkeys(names, data.get(publication.photo_column, ""))
        else:
            images = {
                name: image_urls.url_of(*image) for name, image in zip(names, row.images or (), strict=False) if image
            }
        yield data | images | labels.get(row.design, {})


def _outputs(publication: Publication) -> list[Output]:
    return [Output.model_validate(output) for output in publication.outputs]

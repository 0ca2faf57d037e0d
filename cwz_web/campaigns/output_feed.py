"""The output feed of a campaign: the rows of its public publication with their images' URLs, as CSV (RFC 4180)."""

from collections.abc import Iterator, Sequence
from hashlib import sha256
from tempfile import SpooledTemporaryFile
from typing import Any, BinaryIO
from uuid import UUID

from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Session
from sqlalchemy.types import SmallInteger

from cwz_web.campaigns.models import Campaign, Publication
from cwz_web.campaigns.rules import RULES
from cwz_web.campaigns.timeline import SHOWN_ROWS
from cwz_web.feeds.row_data import load_row
from cwz_web.feeds.temporary_files import IN_MEMORY
from cwz_web.generation.signed_urls import SignedUrls
from cwz_web.imaging.encoders import Output
from cwz_web.runs.output_feed import digest_of_deleted_images, image_columns
from cwz_web.spreadsheets import csv_record

PAGE = 1000
# The columns beside those of the feed and the images.
RULE_COLUMN, LABEL_COLUMN = "design_rule", "design_label"

# Read in a stream: pages of a table without statistics would each sort all rows.
_ROWS = text(f"""
    SELECT page.key, page.data::text AS data, page.design, page.shown,
           (SELECT jsonb_agg(image.key ORDER BY shown.n)
            FROM jsonb_array_elements_text(page.shown) WITH ORDINALITY AS shown (id, n)
            LEFT JOIN images AS image ON image.workspace_id = :workspace AND image.id = CAST(shown.id AS uuid)) AS keys
    FROM ({SHOWN_ROWS}) AS page ORDER BY page.key
""").bindparams(bindparam("active", type_=ARRAY(SmallInteger)))  # noqa: S608 - composed of constants


def version_of_campaign(db: Session, campaign: Campaign, publication: Publication, column: str) -> str:
    """Return an ETag value, which changes whenever the output feed does.

    Args:
        db: a transaction in the workspace.
        campaign: the campaign.
        publication: its public publication.
        column: the column for the first image's URL.
    """
    deleted = digest_of_deleted_images(db, campaign.workspace_id)
    parts = (publication.id, deleted, column)
    return sha256(" ".join(map(str, parts)).encode()).hexdigest()


def write_campaign_feed(
    db: Session, campaign: Campaign, publication: Publication, column: str, signed_urls: SignedUrls
) -> BinaryIO:
    """Write a file with every row of a publication and the URLs of its images. The caller closes it.

    Args:
        db: a transaction in the workspace.
        campaign: the campaign.
        publication: its public publication.
        column: the column for the first image's URL; "" for a new one. A column of the feed keeps its value in rows
            without an image.
        signed_urls: sign the images' URLs.
    """
    names = image_columns(publication.columns, _outputs(publication), column)
    columns = [*publication.columns, *(name for name in names if name not in publication.columns)]
    columns += [name for name in (RULE_COLUMN, LABEL_COLUMN) if name not in columns]
    file: Any = SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115 - the caller closes it
    file.write(csv_record(columns))
    for row in _rows(db, campaign, publication, names, signed_urls):
        file.write(csv_record(map(row.get, columns)))
    file.seek(0)
    output: BinaryIO = file
    return output


def _rows(
    db: Session, campaign: Campaign, publication: Publication, names: Sequence[str], signed_urls: SignedUrls
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
                name: signed_urls.url_of_image(campaign.workspace_id, UUID(image), key)
                for name, image, key in zip(names, row.shown or (), row.keys or (), strict=False)
                if key
            }
        yield data | images | labels.get(row.design, {})


def _outputs(publication: Publication) -> list[Output]:
    return [Output.model_validate(output) for output in publication.outputs]

"""What a channel would write for a few rows, before it is saved."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from typing import Any

import orjson
from sqlalchemy import select
from sqlalchemy.orm import Session

from cwz_web.campaigns.models import Campaign, PublicationRow
from cwz_web.campaigns.rules import names_of_designs
from cwz_web.channels.feed import FeedSettings, write_feed
from cwz_web.channels.findings import FieldFinding
from cwz_web.channels.preset import FileFormat
from cwz_web.channels.rows import ChannelRow, RowPage
from cwz_web.feeds.models import Feed
from cwz_web.feeds.queries import list_items
from cwz_web.generation.image_urls import ImageUrls
from cwz_web.generation.models import Image

PREVIEWED = 3


@dataclass(frozen=True)
class Preview:
    """What was written for a few rows.

    Attributes:
        rows: the values by field, for each row that is not left out.
        findings: what was found in values.
        held: how many of the rows are left out.
    """

    rows: list[dict[str, str]]
    findings: list[FieldFinding]
    held: int


def preview_feed(rows: Sequence[ChannelRow], settings: FeedSettings) -> Preview:
    """Return what a channel would write for some rows.

    Raises:
        InvalidMappingError: a mapping cannot be used with the columns of the feed.
    """
    file = BytesIO()
    report = write_feed([RowPage.of(rows)], replace(settings, format=FileFormat.JSON_LINES), file)
    written: list[dict[str, Any]] = [orjson.loads(line) for line in file.getvalue().splitlines()]
    return Preview(
        [{name: _text(value) for name, value in row.items()} for row in written], report.findings, report.held_rows
    )


def load_preview_rows(db: Session, campaign: Campaign, image_urls: ImageUrls) -> list[ChannelRow]:
    """Return the first rows of a campaign's newest state; of its feed before there is one, without images.

    Args:
        db: a transaction in the workspace.
        campaign: the campaign.
        image_urls: the URLs of the workspace's images.
    """
    newest = select(PublicationRow).where(
        PublicationRow.workspace_id == campaign.workspace_id,
        PublicationRow.campaign_id == campaign.id,
        PublicationRow.until.is_(None),
    )
    rows = db.scalars(newest.order_by(PublicationRow.key).limit(PREVIEWED)).all()
    if not rows:
        feed = db.get_one(Feed, (campaign.workspace_id, campaign.feed_id))
        items = list_items(db, feed, limit=PREVIEWED)
        return [ChannelRow(item.key, item.data, [], item.data.get(campaign.photo_column, "")) for item in items]
    names = names_of_designs(campaign.design_rules)
    return [_preview_row(db, campaign, row, names, image_urls) for row in rows]


def _preview_row(
    db: Session, campaign: Campaign, row: PublicationRow, names: dict[str, tuple[str, str]], image_urls: ImageUrls
) -> ChannelRow:
    design = str(row.designs[-1]) if row.designs else ""
    ids: list[str | None] = row.images.get(design, {}).get("i") or []
    own = select(Image).where(Image.workspace_id == campaign.workspace_id, Image.id.in_([each for each in ids if each]))
    known = {str(image.id): image_urls.url(image) for image in db.scalars(own)}
    urls = [known.get(each) if each else None for each in ids]
    urls += [None] * (len(campaign.outputs) - len(urls)) if urls else []
    photo = row.data.get(campaign.photo_column, "")
    return ChannelRow(row.key, row.data, urls, photo, *names.get(design, ("", "")))


def _text(value: Any) -> str:
    return ", ".join(value) if isinstance(value, list) else str(value)

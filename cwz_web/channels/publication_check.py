"""What each channel would write of a publication, before it is public.

A job checks the whole feed after a publication was compared or decided about. By the campaign's policy, a channel that
would leave out more rows than it does now, or show more images that its platform refuses, keeps the publication
waiting for a decision.
"""

import os
from contextlib import closing
from uuid import UUID

import structlog
from pydantic import BaseModel, ConfigDict
from sqlalchemy.orm import Session

from cwz_web.campaigns.models import Campaign, Publication, PublicationState
from cwz_web.campaigns.notifications import notify_held, notify_ready
from cwz_web.campaigns.progress import enqueue_advance
from cwz_web.campaigns.publications import evaluate_policy, get_public, is_being_checked
from cwz_web.channels.delivery import feed_settings
from cwz_web.channels.editing import list_channels
from cwz_web.channels.feed import FeedTooLargeError, write_feed
from cwz_web.channels.field_columns import InvalidMappingError
from cwz_web.channels.findings import FeedReport
from cwz_web.channels.image_counts import ImageIssue, count_image_issues
from cwz_web.channels.models import Channel
from cwz_web.channels.rows import read_rows
from cwz_web.db.session import FOR_NO_KEY_UPDATE, Transaction
from cwz_web.generation.image_urls import ImageUrls
from cwz_web.generation.signed_urls import SignedUrls
from cwz_web.i18n import gettext_noop

log = structlog.get_logger()

UNCHECKED = gettext_noop("The channel could not be checked because of an internal error. Decide without its check")


class ChannelCheck(BaseModel):
    """What a channel would write of a publication.

    Attributes:
        channel: its id.
        name: its name.
        rows: how many rows.
        held: how many rows it would leave out.
        findings: in how many rows something was found.
        new_errors: how many more rows than now it would leave out; all rows if nothing can be written.
        problem: why nothing can be written; "" if it can.
        refused: how many rows show an image that the platform refuses.
        new_refused: how many more than the public publication has.
        images: what the platform wants otherwise of the images.
    """

    model_config = ConfigDict(frozen=True)

    channel: UUID
    name: str
    rows: int = 0
    held: int = 0
    findings: int = 0
    new_errors: int = 0
    problem: str = ""
    refused: int = 0
    new_refused: int = 0
    images: tuple[ImageIssue, ...] = ()


def check_channels(
    transaction: Transaction,
    signed_urls: SignedUrls,
    workspace_id: UUID,
    publication_id: UUID,
    *,
    is_last: bool = False,
) -> list[ChannelCheck] | None:
    """Check what the channels of a campaign would write of a publication, and let its policy count it.

    Args:
        transaction: begins a transaction in a workspace.
        signed_urls: sign the URLs of images.
        workspace_id: the workspace.
        publication_id: the publication.
        is_last: whether this is the last attempt: a channel whose check fails is recorded as one with a problem, so
            that the publication waits for a decision and members are notified.

    Returns:
        What was found, one for each channel; None if the publication was discarded or has changed meanwhile.
    """
    with transaction(workspace_id) as db:
        publication = db.get(Publication, (workspace_id, publication_id))
        if publication is None or publication.state == PublicationState.DISCARDED:
            return None
        campaign = db.get_one(Campaign, (workspace_id, publication.campaign_id))
        channels, checked_state = list_channels(db, campaign), publication.timeline
    checks = []
    for channel in channels:
        try:
            with transaction(workspace_id) as db:
                checks.append(_check(db, signed_urls, campaign, publication, channel))
        except Exception:
            if not is_last:
                raise
            log.exception("channel not checked", channel=str(channel.id), publication=str(publication_id))
            failed = _failed(publication, channel, UNCHECKED)
            checks.append(failed.model_copy(update={"new_refused": failed.new_errors}))
    with transaction(workspace_id) as db:
        publication = db.get_one(Publication, (workspace_id, publication_id))
        db.refresh(publication, with_for_update=FOR_NO_KEY_UPDATE)
        if publication.timeline != checked_state:
            return None
        publication.channel_checks = [check.model_dump(mode="json") for check in checks]
        if is_being_checked(publication):
            _evaluate(db, db.get_one(Campaign, (workspace_id, publication.campaign_id)), publication)
    return checks


def read_checks(publication: Publication) -> list[ChannelCheck] | None:
    """Return what the channels would write of a publication; None if they were not checked yet."""
    if publication.channel_checks is None:
        return None
    return [ChannelCheck.model_validate(each) for each in publication.channel_checks]


def _check(
    db: Session, signed_urls: SignedUrls, campaign: Campaign, publication: Publication, channel: Channel
) -> ChannelCheck:
    image_urls, settings = ImageUrls.load(db, campaign.workspace_id, signed_urls), feed_settings(db, campaign, channel)
    try:
        rows = read_rows(db, campaign, publication, image_urls, settings.columns)
        with closing(rows), open(os.devnull, "wb") as nowhere:
            report = write_feed(rows, settings, nowhere)
    except InvalidMappingError as error:
        return _failed(publication, channel, error.sentence)
    except FeedTooLargeError as error:
        return _failed(publication, channel, str(error))
    now = FeedReport.model_validate(channel.report).held_rows if channel.report else 0
    images = count_image_issues(db, campaign, publication, settings.preset, settings.mappings)
    return ChannelCheck(
        channel=channel.id,
        name=channel.name,
        rows=report.rows,
        held=report.held_rows,
        findings=sum(each.rows for each in report.findings),
        new_errors=max(report.held_rows - now, 0),
        refused=images.refused,
        new_refused=max(images.refused - _public_refused(db, campaign, publication, channel), 0),
        images=images.issues,
    )


def _public_refused(db: Session, campaign: Campaign, publication: Publication, channel: Channel) -> int:
    """Return how many rows of what is public show an image that the platform of a channel refuses."""
    public = get_public(db, campaign)
    if public is None or public.id == publication.id:
        return 0
    return next((each.refused for each in read_checks(public) or () if each.channel == channel.id), 0)


def _failed(publication: Publication, channel: Channel, problem: str) -> ChannelCheck:
    return ChannelCheck(channel=channel.id, name=channel.name, new_errors=max(publication.rows, 1), problem=problem)


def _evaluate(db: Session, campaign: Campaign, publication: Publication) -> None:
    """Let a publication that waited for this check only be published, or wait for a decision."""
    evaluate_policy(db, campaign, publication)
    if publication.state == PublicationState.HELD:
        notify_held(db, campaign, publication)
    else:
        notify_ready(db, campaign, publication)
        enqueue_advance(db, campaign)

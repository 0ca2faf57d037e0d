"""Bringing a campaign up to date: plan its rows, render what is missing, and create publications.

Each step looks at what there is and does what is missing, so that a step that was interrupted is repeated. The images
of a campaign are rendered by runs; when the last of them has finished, the next step follows.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from uuid import UUID
from zoneinfo import ZoneInfo

import structlog
from sqlalchemy import bindparam, select, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Session

from cwz_web.campaigns.decisions import apply_stored_decision
from cwz_web.campaigns.matching import InvalidConditionError
from cwz_web.campaigns.models import Campaign, Publication, PublicationState
from cwz_web.campaigns.notifications import notify_held, notify_published, notify_ready
from cwz_web.campaigns.planning import is_planned, plan_rows
from cwz_web.campaigns.publications import (
    compare,
    create_publications,
    delete_old,
    evaluate_policy,
    get_public,
    hold_scheduled,
    is_being_checked,
    list_waiting,
    publish,
    reschedule,
)
from cwz_web.campaigns.rendering import has_unfinished_runs, start_missing_runs
from cwz_web.campaigns.rules import Phase, next_time
from cwz_web.campaigns.targets import LEAD, MissingTemplateError, find_targets, staged_rows, upcoming_phases
from cwz_web.campaigns.timeline import write_state
from cwz_web.db.session import FOR_NO_KEY_UPDATE, Transaction, lock_name, try_lock_name
from cwz_web.feeds.models import Feed
from cwz_web.generation.usage import QuotaExceededError, Quotas
from cwz_web.imaging.errors import UnknownSizeError
from cwz_web.jobs import PREPARE_QUEUE, defer_once
from cwz_web.storage.contract import InvalidSettingsError
from cwz_web.workspaces.access import find_plan_status

log = structlog.get_logger()

_REPORT = text("""
    UPDATE publications SET decision = decision || :report
    WHERE workspace_id = :workspace AND campaign_id = :campaign AND state = 'deciding'
""").bindparams(bindparam("report", type_=JSONB))


def request_publication(db: Session, campaign: Campaign) -> None:
    """Ask for a publication of the campaign as it is now, in the caller's transaction."""
    campaign.is_requested, campaign.error_message = True, None
    db.flush()
    enqueue_advance(db, campaign)


def pause_campaign(db: Session, campaign: Campaign) -> list[Publication]:
    """Stop following the feed and the windows, in the caller's transaction: what is public stays as it is.

    Returns:
        The publications that were scheduled, which now wait for a decision.
    """
    campaign.is_active = campaign.is_requested = False
    held = hold_scheduled(db, campaign)
    for publication in held:
        notify_held(db, campaign, publication)
    campaign.next_at = find_next_time(db, campaign)
    return held


def resume_campaign(db: Session, campaign: Campaign) -> None:
    """Follow the feed and the windows, and publish what a pause has held, in the caller's transaction."""
    campaign.is_active = True
    reschedule(db, campaign)
    request_publication(db, campaign)


def enqueue_advance(db: Session, campaign: Campaign, wait: int = 0) -> None:
    """Enqueue a job that brings a campaign up to date."""
    defer_once(
        db,
        "campaigns.advance",
        queue=PREPARE_QUEUE,
        queueing_lock=f"campaign {campaign.id}",
        wait=wait,
        workspace_id=str(campaign.workspace_id),
        campaign_id=str(campaign.id),
    )


def decide_for_campaign(db: Session, campaign: Campaign, transaction: Transaction | None = None) -> None:
    """Apply a decision that a request has left to the job of its campaign, in the caller's transaction.

    Args:
        db: the caller's transaction, in the workspace.
        campaign: the campaign.
        transaction: begins transactions that store the progress; None to store none.
    """

    def report(done: int, total: int) -> None:
        if transaction:
            with transaction(campaign.workspace_id) as other:
                values = {"workspace": campaign.workspace_id, "campaign": campaign.id}
                other.execute(_REPORT, {**values, "report": {"done": done, "total": total}})

    if _lock(db, campaign):
        apply_stored_decision(db, campaign, report)


def plan_campaign(db: Session, campaign: Campaign) -> None:
    """Plan the rows of a campaign, unless they are planned, in the caller's transaction.

    Raises:
        CampaignStoppedError: a rule cannot be evaluated.
    """
    if not _lock(db, campaign) or is_planned(db, campaign):
        return
    try:
        if plan_rows(db, campaign) and campaign.is_active:
            campaign.is_requested = True
    except InvalidConditionError as error:
        raise CampaignStoppedError(str(error)) from error


def try_plan_campaign(db: Session, campaign: Campaign) -> bool:
    """Plan the rows of a campaign, unless another job of it is working. Return whether they are planned.

    For requests, which must not wait for a job. Errors as for plan_campaign.
    """
    if is_planned(db, campaign):
        return True
    if not try_lock_name(db, _lock_of(campaign)):
        return False
    plan_campaign(db, campaign)
    return True


def render_campaign(db: Session, campaign: Campaign, quotas: Quotas) -> None:
    """Render what a planned campaign lacks; once all is rendered, write the next state of its timeline.

    Args:
        db: the caller's transaction, in the workspace.
        campaign: the campaign.
        quotas: the installation's quotas.

    Raises:
        CampaignStoppedError: it cannot be rendered as it is.
    """
    if not _lock(db, campaign) or not (campaign.is_active or campaign.is_requested):
        return
    if has_unfinished_runs(db, campaign):
        return
    try:
        targets = find_targets(db, campaign)
        quota = quotas.of(campaign.workspace_id, find_plan_status(db, campaign.workspace_id))
        with staged_rows(db, targets):
            runs = start_missing_runs(db, targets, quota)
            if runs:
                log.info("campaign is rendered", campaign=str(campaign.id), runs=len(runs))
            else:
                public = get_public(db, campaign)
                write_state(db, targets, (public.timeline, public.designs) if public else None)
    except (InvalidSettingsError, MissingTemplateError, QuotaExceededError, UnknownSizeError) as error:
        raise CampaignStoppedError(str(error)) from error


def publish_campaign(db: Session, campaign: Campaign) -> None:
    """Create the publications of a campaign's newest state, and publish those that are due."""
    if not _lock(db, campaign):
        campaign.next_at = None
        return
    publish_due(db, campaign)  # before others are created: what was approved for a window that has begun is public now
    upcoming = upcoming_phases(campaign)
    if (campaign.is_active or campaign.is_requested) and _is_prepared(db, campaign, upcoming):
        created = create_publications(db, campaign, upcoming)
        delete_old(db, campaign)
        # A request that came with other rules meanwhile is still to be met.
        db.refresh(campaign, ["revision", "is_requested"], with_for_update=FOR_NO_KEY_UPDATE)
        campaign.is_requested = campaign.revision != campaign.planned_revision
        campaign.error_message = None
        for publication in created:
            if is_being_checked(publication):
                continue  # people are notified when the check is done
            if publication.state == PublicationState.HELD:
                notify_held(db, campaign, publication)
            else:
                notify_ready(db, campaign, publication)
    _compare_again(db, campaign)
    publish_due(db, campaign)
    campaign.next_at = find_next_time(db, campaign)
    db.flush()


def stop_campaign(db: Session, campaign: Campaign, reason: str) -> None:
    """Store why a campaign cannot be brought up to date, in the caller's transaction.

    What is scheduled has all of its images, so that it is published at its time all the same.
    """
    exists = _lock(db, campaign)
    campaign.error_message, campaign.is_requested, campaign.next_at = reason, False, None
    if exists:
        _compare_again(db, campaign)
        publish_due(db, campaign)
        campaign.next_at = min(_waiting_times(db, campaign), default=None)
    db.flush()


def advance_steps(
    quotas: Quotas, transaction: Transaction | None = None
) -> tuple[Callable[[Session, Campaign], None], ...]:
    """Return the steps that bring a campaign up to date.

    Each is a transaction of its own, so that the row of the campaign is not locked while the next one works.

    Args:
        quotas: the installation's quotas.
        transaction: begins transactions that store the progress of a decision; None to store none.
    """
    decide = partial(decide_for_campaign, transaction=transaction)
    return decide, plan_campaign, partial(render_campaign, quotas=quotas), publish_campaign


def _is_prepared(db: Session, campaign: Campaign, upcoming: Sequence[Phase]) -> bool:
    """Return whether the newest state has the images of all rows for some phases."""
    needed = {str(number) for phase in upcoming for number in phase.designs}
    is_newest = campaign.prepared_plan == campaign.plan and needed <= campaign.prepared_designs.keys()
    return is_newest and not has_unfinished_runs(db, campaign)


def _lock(db: Session, campaign: Campaign) -> bool:
    """Wait for other jobs of a campaign. Return whether the campaign and its feed still exist."""
    lock_name(db, _lock_of(campaign))
    db.refresh(campaign)
    feed = db.get(Feed, (campaign.workspace_id, campaign.feed_id))
    return campaign.deleted_at is None and feed is not None and feed.deleted_at is None


def _lock_of(campaign: Campaign) -> str:
    """Return the name of the advisory lock for what changes the rows of a campaign."""
    return f"campaign {campaign.id}"


class CampaignStoppedError(Exception):
    """A campaign cannot be brought up to date until people change something; the message says what."""


def _compare_again(db: Session, campaign: Campaign) -> None:
    """Compare the publications of later phases after a decision about an earlier one."""
    base = get_public(db, campaign)
    for publication in list_waiting(db, campaign):
        if publication.state == PublicationState.PREPARING:
            compare(db, campaign, publication, base)
            evaluate_policy(db, campaign, publication)
        base = publication


def publish_due(db: Session, campaign: Campaign) -> list[Publication]:
    """Publish what is scheduled for now or earlier, the newest last. Returns what was published."""
    now = datetime.now(UTC)
    due = [
        publication
        for publication in list_waiting(db, campaign)
        if publication.state == PublicationState.SCHEDULED and (publication.publish_at or now) <= now
    ]
    published = []
    for publication in due:
        db.refresh(publication, with_for_update=FOR_NO_KEY_UPDATE)
        if publication.state == PublicationState.SCHEDULED:  # else the campaign was paused in between
            publish(db, campaign, publication)
            notify_published(db, campaign, publication)
            published.append(publication)
    return published


def find_next_time(db: Session, campaign: Campaign) -> datetime | None:
    """Return when a campaign has to be looked at again: for a window, for a scheduled publication, or the next day."""
    now = datetime.now(UTC)
    zone = ZoneInfo(campaign.time_zone)
    times = _waiting_times(db, campaign)
    if campaign.is_active:
        window = next_time(campaign.design_rules, zone, now)
        if window:
            times += [window if window - LEAD <= now else window - LEAD]
        if campaign.planned_on or any(rule.window for rule in campaign.design_rules):
            tomorrow = now.astimezone(zone).date() + timedelta(days=1)
            times.append(datetime.combine(tomorrow, datetime.min.time(), zone).astimezone(UTC))
    return min(times, default=None)


def _waiting_times(db: Session, campaign: Campaign) -> list[datetime]:
    """Return the coming times of the publications that wait."""
    now = datetime.now(UTC)
    times = [publication.publish_at for publication in list_waiting(db, campaign)]
    return [moment for moment in times if moment and moment > now]


def load_campaign(db: Session, workspace_id: UUID, campaign_id: UUID) -> Campaign | None:
    """Return a campaign, unless it does not exist (any more)."""
    return db.get(Campaign, (workspace_id, campaign_id))


def list_campaigns_of_feed(db: Session, feed: Feed, limit: int = 20) -> list[Campaign]:
    """Return the newest campaigns of a feed, without deleted ones."""
    campaigns = select(Campaign).where(
        Campaign.workspace_id == feed.workspace_id, Campaign.feed_id == feed.id, Campaign.deleted_at.is_(None)
    )
    return list(db.scalars(campaigns.order_by(Campaign.id.desc()).limit(limit)))

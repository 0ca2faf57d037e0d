"""The jobs of campaigns."""

from uuid import UUID

import structlog
from procrastinate import JobContext
from sqlalchemy import select, text
from sqlalchemy.exc import SQLAlchemyError

from cwz_web.campaigns.checks import group_findings, measure_differences
from cwz_web.campaigns.image_removal import remove_left_images
from cwz_web.campaigns.models import Campaign, Publication
from cwz_web.campaigns.progress import (
    CampaignStoppedError,
    advance_steps,
    enqueue_advance,
    load_campaign,
    stop_campaign,
)
from cwz_web.jobs import FEEDS_QUEUE, PREPARE_QUEUE, LongRetry, app

log = structlog.get_logger()


@app.periodic(cron="* * * * *")
@app.task(name="campaigns.enqueue_due", queueing_lock="campaigns_due", pass_context=True)
def enqueue_due(context: JobContext, timestamp: int) -> None:
    """Enqueue the campaigns of which a window begins or ends, or a publication is due."""
    database = context.additional_context["database"]
    with database.transaction() as db:
        due = db.execute(text("SELECT workspace_id, campaign_id FROM find_due_campaigns()")).all()
    for row in due:
        with database.transaction(row.workspace_id) as db:
            campaign = load_campaign(db, row.workspace_id, row.campaign_id)
            if campaign:
                enqueue_advance(db, campaign)


@app.task(
    name="campaigns.advance", queue=PREPARE_QUEUE, retry=LongRetry(max_wait=60, max_attempts=150), pass_context=True
)
def advance_campaign(context: JobContext, workspace_id: str, campaign_id: str) -> None:
    """Bring a campaign up to date."""
    extra, key = context.additional_context, (UUID(workspace_id), UUID(campaign_id))
    try:
        for step in advance_steps(extra["quotas"], extra["database"].transaction):
            with extra["database"].transaction(key[0]) as db:
                campaign = load_campaign(db, *key)
                if campaign:
                    step(db, campaign)
    except CampaignStoppedError as error:
        log.info("campaign stopped", campaign=campaign_id)
        with extra["database"].transaction(key[0]) as db:
            campaign = db.get_one(Campaign, key)
            stop_campaign(db, campaign, str(error))


@app.task(name="campaigns.check_publication", queue=PREPARE_QUEUE, pass_context=True)
def check_publication(context: JobContext, workspace_id: str, publication_id: str) -> None:
    """Group what was found in the images of a publication, and measure how much its rows changed."""
    extra, key = context.additional_context, (UUID(workspace_id), UUID(publication_id))
    database = extra["database"]
    with database.transaction(key[0]) as db:
        publication = db.get(Publication, key)
        if publication is None:
            return
        group_findings(db, publication)
    measure_differences(database.transaction, extra["providers"], *key)


@app.task(name="campaigns.advance_for_feed", queue=FEEDS_QUEUE, pass_context=True)
def advance_for_feed(context: JobContext, workspace_id: str, feed_id: str) -> None:
    """Enqueue the active campaigns of a feed whose rows have changed, or that are joined with it."""
    workspace = UUID(workspace_id)
    with context.additional_context["database"].transaction(workspace) as db:
        joined = Campaign.joins.contains([{"feed": feed_id}])
        campaigns = select(Campaign).where(
            Campaign.workspace_id == workspace,
            (Campaign.feed_id == UUID(feed_id)) | joined,
            Campaign.is_active,
            Campaign.deleted_at.is_(None),
        )
        for campaign in db.scalars(campaigns):
            enqueue_advance(db, campaign)


@app.periodic(cron="37 2 * * *")
@app.task(name="campaigns.remove_images", queueing_lock="remove_images", queue=PREPARE_QUEUE, pass_context=True)
def remove_images(context: JobContext, timestamp: int) -> None:
    """Remove the images that left every publication a while ago."""
    database = context.additional_context["database"]
    with database.transaction() as db:
        workspaces = list(db.scalars(text("SELECT * FROM all_workspaces()")))
    for workspace_id in workspaces:
        try:
            remove_left_images(database, workspace_id)
        except SQLAlchemyError:  # an error in one workspace does not stop the others
            log.exception("images not removed", workspace=str(workspace_id))

"""Removal of images that left every publication of a campaign, after a grace period.

Each night, a campaign's images that nothing shows any more are noted with the time; those that are needed again are
crossed out. What was noted longer ago than the grace period is deleted as if by a member, so that its objects are
removed from the storage half an hour later. The notes are the plan that the campaign's page shows.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import delete, select, text
from sqlalchemy.orm import Session

from cwz_web.campaigns.models import Campaign, LeavingImage
from cwz_web.campaigns.rendering import has_unfinished_runs
from cwz_web.db.session import Database, lock_name
from cwz_web.runs.image_deletion import ImageInUseError, delete_images
from cwz_web.workspaces.audit import Actor, record

log = structlog.get_logger()

# Platforms show an image from their caches for days before they fetch it again.
MIN_DAYS, MAX_DAYS = 7, 3650
# Images of a deletion, and deletions of a campaign each night.
BATCH, MAX_BATCHES = 500, 200
ACTOR = Actor(None, "Removal of images", "")

# The images that a row of a campaign shows in some state.
_SHOWN_BY_ROW = """
    SELECT shown.id FROM (
        SELECT image.value -> 'i' AS ids FROM jsonb_each(row.images) AS image
        UNION ALL SELECT decision.value -> 'i' FROM jsonb_each(coalesce(row.decisions, '{}')) AS decision
    ) AS each
    CROSS JOIN LATERAL jsonb_array_elements_text(
        CASE jsonb_typeof(each.ids) WHEN 'array' THEN each.ids ELSE '[]' END) AS shown (id)
"""
# Whether an item of a run keeps its image: a run without a campaign does, and one that is not finished.
_KEPT_BY_RUN = "run.campaign_id IS NULL OR item.state = 'pending' OR run.finished_at IS NULL"
_STAGE_SHOWN = text(f"""
    CREATE TEMPORARY TABLE shown_images ON COMMIT DROP AS
    SELECT CAST(shown.id AS uuid) AS id FROM publication_rows AS row CROSS JOIN LATERAL ({_SHOWN_BY_ROW}) AS shown
    WHERE row.workspace_id = :workspace AND shown.id IS NOT NULL
    UNION
    SELECT item.image_id FROM run_items AS item
    JOIN runs AS run ON run.workspace_id = item.workspace_id AND run.id = item.run_id
    WHERE item.workspace_id = :workspace AND item.image_id IS NOT NULL AND ({_KEPT_BY_RUN})
""")  # noqa: S608 - composed of constants
_STAGE_OWN = text("""
    CREATE TEMPORARY TABLE own_images ON COMMIT DROP AS
    SELECT DISTINCT item.image_id AS id FROM run_items AS item
    JOIN runs AS run ON run.workspace_id = item.workspace_id AND run.id = item.run_id
    WHERE item.workspace_id = :workspace AND run.campaign_id = :campaign AND item.image_id IS NOT NULL
""")
_NOTE = text("""
    INSERT INTO leaving_images (workspace_id, campaign_id, image_id)
    SELECT :workspace, :campaign, id FROM own_images
    WHERE id NOT IN (SELECT id FROM shown_images WHERE id IS NOT NULL)
    ON CONFLICT DO NOTHING
""")
_CROSS_OUT = text("""
    DELETE FROM leaving_images AS leaving
    WHERE workspace_id = :workspace AND campaign_id = :campaign
      AND (image_id IN (SELECT id FROM shown_images)
           OR NOT EXISTS (SELECT FROM images WHERE workspace_id = :workspace AND id = leaving.image_id))
""")
_DUE = text("""
    SELECT image_id FROM leaving_images
    WHERE workspace_id = :workspace AND campaign_id = :campaign AND since <= :before
    ORDER BY since, image_id LIMIT :limit
""")
# A row shows images that a run has rendered for its key, so that those of a batch are looked for by their keys.
_STILL_SHOWN = text(f"""
    SELECT DISTINCT item.image_id FROM run_items AS item
    JOIN runs AS run ON run.workspace_id = item.workspace_id AND run.id = item.run_id
    WHERE item.workspace_id = :workspace AND item.image_id = ANY(CAST(:images AS uuid[]))
      AND ({_KEPT_BY_RUN} OR EXISTS (
          SELECT FROM campaigns AS campaign
          JOIN publication_rows AS row ON row.workspace_id = :workspace AND row.campaign_id = campaign.id
               AND row.key = item.key
          CROSS JOIN LATERAL ({_SHOWN_BY_ROW}) AS shown
          WHERE campaign.workspace_id = :workspace AND shown.id = CAST(item.image_id AS text)))
""")  # noqa: S608 - composed of constants
_COUNT = text("""
    SELECT count(*) AS images, coalesce(sum(image.size), 0) AS size,
           count(leaving.image_id) AS leaving,
           coalesce(sum(image.size) FILTER (WHERE leaving.image_id IS NOT NULL), 0) AS leaving_size,
           min(leaving.since) AS since
    FROM own_images AS own
    JOIN images AS image ON image.workspace_id = :workspace AND image.id = own.id
    LEFT JOIN leaving_images AS leaving ON leaving.workspace_id = :workspace AND leaving.campaign_id = :campaign
      AND leaving.image_id = own.id
""")


def remove_left_images(database: Database, workspace_id: UUID, now: datetime | None = None) -> int:
    """Plan the removal of images of a workspace's campaigns, and delete those that are due. Return how many were.

    Args:
        database: the database.
        workspace_id: the workspace.
        now: the time; for tests.
    """
    moment, deleted = now or datetime.now(UTC), 0
    with database.transaction(workspace_id) as db:
        own = select(Campaign).where(Campaign.workspace_id == workspace_id).order_by(Campaign.id)
        campaigns = list(db.scalars(own))
        if campaigns:
            _plan_removal(db, campaigns, moment)
    for campaign in campaigns:
        if campaign.image_days:
            before = moment - timedelta(days=campaign.image_days)
            deleted += _delete_due(database, workspace_id, campaign.id, before)
    return deleted


def _plan_removal(db: Session, campaigns: Sequence[Campaign], now: datetime) -> None:
    """Note which images of a workspace's campaigns nothing shows, and count what they store."""
    workspace = {"workspace": campaigns[0].workspace_id}
    db.execute(_STAGE_SHOWN, workspace)
    db.execute(text("ANALYZE shown_images"))
    for campaign in campaigns:
        values = {**workspace, "campaign": campaign.id}
        db.execute(_STAGE_OWN, values)
        if not has_unfinished_runs(db, campaign):
            db.execute(_CROSS_OUT, values)
            db.execute(_NOTE, values)
        _count_stored(db, campaign, now)
    db.execute(text("DROP TABLE shown_images"))


def _count_stored(db: Session, campaign: Campaign, now: datetime) -> None:
    """Count what a campaign stores, by the staged images that were rendered for it."""
    found: Any = db.execute(_COUNT, {"workspace": campaign.workspace_id, "campaign": campaign.id}).one()
    campaign.stored = {
        "images": found.images,
        "size": int(found.size),
        "leaving": found.leaving,
        "leaving_size": int(found.leaving_size),
        "since": found.since.isoformat() if found.since else None,
        "at": now.isoformat(),
    }
    db.execute(text("DROP TABLE own_images"))


def _delete_due(database: Database, workspace_id: UUID, campaign_id: UUID, before: datetime) -> int:
    """Delete the images of a campaign that were noted before a time, in batches. Return how many there were."""
    deleted = 0
    for _ in range(MAX_BATCHES):
        try:
            with database.transaction(workspace_id) as db:
                removed, is_last = _delete_batch(db, workspace_id, campaign_id, before)
        except ImageInUseError as error:  # tried again in the next night
            log.info("images not removed", campaign=str(campaign_id), reason=str(error))
            break
        deleted += removed
        if is_last:
            break
    if deleted:
        log.info("images removed", campaign=str(campaign_id), images=deleted)
        with database.transaction(workspace_id) as db:
            campaign = db.get_one(Campaign, (workspace_id, campaign_id))
            details = {"campaign": str(campaign_id), "images": deleted}
            record(db, workspace_id, ACTOR, "campaign.remove_images", campaign.name, details)
            db.execute(_STAGE_OWN, {"workspace": workspace_id, "campaign": campaign_id})
            _count_stored(db, campaign, datetime.now(UTC))
    return deleted


def _delete_batch(db: Session, workspace_id: UUID, campaign_id: UUID, before: datetime) -> tuple[int, bool]:
    """Delete a batch of images. Return how many, and whether it was the last one.

    No campaign of the workspace prepares anything meanwhile: it could find one of the images by what it shows.
    """
    campaigns = select(Campaign.id).where(Campaign.workspace_id == workspace_id).order_by(Campaign.id)
    for each in db.scalars(campaigns).all():
        lock_name(db, f"campaign {each}")
    values = {"workspace": workspace_id, "campaign": campaign_id}
    due: Sequence[UUID] = db.scalars(_DUE, {**values, "before": before, "limit": BATCH}).all()
    needed = set(db.scalars(_STILL_SHOWN, {**values, "images": list(due)})) if due else set()
    unneeded = [each for each in due if each not in needed]
    if unneeded:
        delete_images(db, workspace_id, unneeded, is_shown=False)
    db.execute(delete(LeavingImage).where(LeavingImage.workspace_id == workspace_id, LeavingImage.image_id.in_(due)))
    return len(unneeded), len(due) < BATCH

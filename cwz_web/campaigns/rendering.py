"""Rendering: a run for each design whose images do not exist yet."""

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from cwz_web.campaigns.models import Campaign
from cwz_web.campaigns.targets import WANTED_IMAGES, DesignTarget, Targets, bind_wanted, count_missing
from cwz_web.generation.models import Template
from cwz_web.generation.usage import Quota
from cwz_web.runs.models import Run
from cwz_web.runs.planning import start_run_of_items
from cwz_web.runs.scheduling import chunk_size_of

_INSERT_ITEMS = bind_wanted(f"""
    WITH inserted AS (
        INSERT INTO run_items (workspace_id, run_id, position, chunk, output, key, data)
        SELECT :workspace, :run, number, (number - 1) / :chunk_size, output, key, data
        FROM (
            SELECT row_number() OVER (ORDER BY key, output) AS number, key, output, data
            FROM ({WANTED_IMAGES}) AS image
            WHERE state IS NULL AND template IS NOT NULL AND design = :design
        ) AS item
        RETURNING 1
    )
    SELECT count(*) FROM inserted
""")  # noqa: S608 - composed of constants


def start_missing_runs(db: Session, targets: Targets, quota: Quota) -> list[Run]:
    """Start a run for each design with images of staged rows that do not exist, in the caller's transaction.

    Raises:
        QuotaExceededError: the quota does not allow so many images; then none of the runs may start.
    """
    missing = count_missing(db, targets)
    return [_start(db, targets, targets.designs[number], quota) for number in sorted(missing)]


def _start(db: Session, targets: Targets, target: DesignTarget, quota: Quota) -> Run:
    run = target.run
    assert run is not None
    template = db.get_one(Template, (run.workspace_id, run.template_id))
    run.started_by, run.total = targets.campaign.started_by, 0
    db.add(run)
    db.flush()
    values = {"run": run.id, "design": target.design.number, "chunk_size": chunk_size_of(db, template)}
    images = db.execute(_INSERT_ITEMS, targets.parameters() | values).scalar_one()
    start_run_of_items(db, run, images, quota)
    return run


def has_unfinished_runs(db: Session, campaign: Campaign) -> bool:
    """Return whether images of a campaign are being rendered."""
    unfinished = select(func.count()).where(
        Run.workspace_id == campaign.workspace_id, Run.campaign_id == campaign.id, Run.finished_at.is_(None)
    )
    return bool(db.scalar(unfinished))

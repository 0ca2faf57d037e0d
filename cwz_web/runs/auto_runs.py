"""Automatic runs: when a feed changes, its new and changed rows are rendered."""

from uuid import UUID

import structlog
from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from cwz_web.db.session import FOR_NO_KEY_UPDATE
from cwz_web.feeds.models import Feed
from cwz_web.generation.models import Template
from cwz_web.generation.usage import Quota, QuotaExceededError, Quotas
from cwz_web.imaging.encoders import Output
from cwz_web.imaging.errors import UnknownSizeError
from cwz_web.runs.missing_photos import OnMissingPhoto
from cwz_web.runs.models import AutoRun, Run
from cwz_web.runs.planning import EmptyFeedError, RunSpec, start_run
from cwz_web.storage.contract import InvalidSettingsError
from cwz_web.workspaces.access import find_plan_status

log = structlog.get_logger()


def start_auto_run(db: Session, run: Run) -> None:
    """Render future changes of a run's feed as the run did.

    This replaces an earlier automatic run of the same feed and template.
    """
    assert run.feed_id is not None
    feed = db.get_one(Feed, (run.workspace_id, run.feed_id))
    values = {
        "connection_id": run.connection_id,
        "mapping": run.mapping,
        "outputs": run.outputs,
        "on_missing_photo": run.on_missing_photo,
        "revision": feed.revision,
        "error_message": None,
        "started_by": run.started_by,
    }
    key = {"workspace_id": run.workspace_id, "feed_id": run.feed_id, "template_id": run.template_id}
    new = insert(AutoRun).values(id=run.id, **key, **values)
    db.execute(new.on_conflict_do_update(index_elements=list(key), set_=values))


def stop_auto_run(db: Session, auto: AutoRun) -> None:
    """Stop an automatic run: delete its rule."""
    db.execute(delete(AutoRun).where(AutoRun.workspace_id == auto.workspace_id, AutoRun.id == auto.id))


def auto_runs_of(db: Session, feed: Feed) -> list[tuple[AutoRun, Template]]:
    """Return the automatic runs of a feed, with their templates."""
    auto_runs = (
        select(AutoRun, Template)
        .join(Template, (Template.workspace_id == AutoRun.workspace_id) & (Template.id == AutoRun.template_id))
        .where(AutoRun.workspace_id == feed.workspace_id, AutoRun.feed_id == feed.id)
        .order_by(Template.name)
    )
    return [(auto, template) for auto, template in db.execute(auto_runs)]


def find_auto_run(db: Session, feed: Feed, template_id: UUID) -> AutoRun | None:
    """Return the automatic run of a feed and template, if there is one."""
    return db.scalar(
        select(AutoRun).where(
            AutoRun.workspace_id == feed.workspace_id,
            AutoRun.feed_id == feed.id,
            AutoRun.template_id == template_id,
        )
    )


def start_due_auto_runs(db: Session, workspace_id: UUID, feed_id: UUID, quotas: Quotas | None = None) -> list[Run]:
    """Start the automatic runs of a feed, each over the rows that changed since its last run.

    Args:
        db: a transaction in the workspace.
        workspace_id: the workspace.
        feed_id: the feed.
        quotas: the installation's quotas; without them images are counted, but not limited.

    Returns:
        The runs.
    """
    feed = db.get(Feed, (workspace_id, feed_id), with_for_update=FOR_NO_KEY_UPDATE)
    if feed is None or feed.deleted_at:
        return []
    runs = []
    for auto, template in auto_runs_of(db, feed):
        if auto.revision >= feed.revision or template.deleted_at:
            continue
        try:
            with db.begin_nested():
                quota = (quotas or Quotas()).of(workspace_id, find_plan_status(db, workspace_id))
                runs.append(_start(db, feed, auto, template, quota))
        except EmptyFeedError:  # rows were only removed
            pass
        except (InvalidSettingsError, QuotaExceededError, UnknownSizeError) as error:
            auto.error_message = str(error)
            continue
        auto.revision, auto.error_message = feed.revision, None
    log.info("automatic runs started", workspace=str(workspace_id), feed=str(feed_id), runs=len(runs))
    return runs


def _start(db: Session, feed: Feed, auto: AutoRun, template: Template, quota: Quota) -> Run:
    outputs = [Output.model_validate(output) for output in auto.outputs]
    on_missing_photo = OnMissingPhoto(auto.on_missing_photo)
    spec = RunSpec(feed, template, auto.mapping, outputs, auto.connection_id, on_missing_photo=on_missing_photo)
    return start_run(db, spec, started_by=auto.started_by, since=auto.revision, quota=quota)

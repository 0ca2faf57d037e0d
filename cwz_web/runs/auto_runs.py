"""Runs that begin by themselves: when a feed changes, the rows that are new or different are rendered, and only those."""

from collections.abc import Mapping
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
from cwz_web.runs.models import AutoRun, Run
from cwz_web.runs.planning import EmptyFeedError, start_run
from cwz_web.storage.contract import InvalidSettingsError
from cwz_web.workspaces.access import plan_status_of

log = structlog.get_logger()


def start_auto_run(db: Session, run: Run) -> None:
    """From now on, render what changes in a run's feed as that run did. One a template and feed: the newest counts."""
    assert run.feed_id is not None
    feed = db.get_one(Feed, (run.workspace_id, run.feed_id))
    same = {
        "connection_id": run.connection_id,
        "mapping": run.mapping,
        "outputs": run.outputs,
        "revision": feed.revision,
        "trouble": None,
        "started_by": run.started_by,
    }
    key = {"workspace_id": run.workspace_id, "feed_id": run.feed_id, "template_id": run.template_id}
    new = insert(AutoRun).values(id=run.id, **key, **same)
    db.execute(new.on_conflict_do_update(index_elements=list(key), set_=same))


def stop_auto_run(db: Session, auto: AutoRun) -> None:
    """No more runs by themselves."""
    db.execute(delete(AutoRun).where(AutoRun.workspace_id == auto.workspace_id, AutoRun.id == auto.id))


def auto_runs_of(db: Session, feed: Feed) -> list[tuple[AutoRun, Template]]:
    """The runs that follow a feed, with their templates."""
    mine = (
        select(AutoRun, Template)
        .join(Template, (Template.workspace_id == AutoRun.workspace_id) & (Template.id == AutoRun.template_id))
        .where(AutoRun.workspace_id == feed.workspace_id, AutoRun.feed_id == feed.id)
        .order_by(Template.name)
    )
    return [(auto, template) for auto, template in db.execute(mine)]


def find_auto_run(db: Session, feed: Feed, template_id: UUID) -> AutoRun | None:
    """The run of a template that follows a feed, if there is one."""
    return db.scalar(
        select(AutoRun).where(
            AutoRun.workspace_id == feed.workspace_id,
            AutoRun.feed_id == feed.id,
            AutoRun.template_id == template_id,
        )
    )


def start_due_auto_runs(db: Session, workspace_id: UUID, feed_id: UUID, quotas: Quotas | None = None) -> list[Run]:
    """Begin a run for each that follows a feed, over the rows that changed since its last one."""
    feed = db.get(Feed, (workspace_id, feed_id), with_for_update=FOR_NO_KEY_UPDATE)
    if feed is None or feed.deleted_at:
        return []
    runs = []
    for auto, template in auto_runs_of(db, feed):
        if auto.revision >= feed.revision or template.deleted_at:
            continue
        try:
            with db.begin_nested():
                runs.append(
                    _begin(
                        db,
                        feed,
                        auto,
                        template,
                        (quotas or Quotas()).of(workspace_id, plan_status_of(db, workspace_id)),
                    )
                )
        except EmptyFeedError:  # rows were removed, and nothing else
            pass
        except (InvalidSettingsError, QuotaExceededError, UnknownSizeError) as error:
            auto.trouble = str(error)
            continue
        auto.revision, auto.trouble = feed.revision, None
    log.info("feed followed", workspace=str(workspace_id), feed=str(feed_id), runs=len(runs))
    return runs


def _begin(db: Session, feed: Feed, auto: AutoRun, template: Template, quota: Quota) -> Run:
    mapping: Mapping[str, str] = auto.mapping
    return start_run(
        db,
        feed=feed,
        template=template,
        mapping=mapping,
        outputs=[Output.model_validate(output) for output in auto.outputs],
        started_by=auto.started_by,
        connection_id=auto.connection_id,
        since=auto.revision,
        quota=quota,
    )

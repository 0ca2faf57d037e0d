"""The progress of a run, its results, and its description for API and webhooks."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import and_, func, select, text
from sqlalchemy.orm import Session

from cwz_web.db.pagination import count_rows
from cwz_web.generation.models import Image
from cwz_web.i18n import gettext, gettext_noop, ngettext
from cwz_web.imaging.encoders import Output
from cwz_web.runs.models import Run, RunItem

PAGE = 48
# The images of a run with more are not compared with one another.
MAX_COMPARED = 10_000
_COUNT_FINDINGS = text("""
    SELECT finding ->> 'code' AS code, finding ->> 'layer' AS layer, finding ->> 'message' AS message,
           count(*) AS images
    FROM run_items CROSS JOIN LATERAL jsonb_array_elements(findings) AS finding
    WHERE workspace_id = :workspace AND run_id = :run AND findings IS NOT NULL AND state <> 'pending'
    GROUP BY 1, 2, 3 ORDER BY images DESC, layer, message LIMIT :limit
""")
# The image of a pending item is that of an earlier run.
_IS_IMAGE_OF_ITEM = and_(
    Image.workspace_id == RunItem.workspace_id, Image.id == RunItem.image_id, RunItem.state != "pending"
)


@dataclass(frozen=True)
class Progress:
    """A run's progress. Times are in seconds; `free` items took no time: they existed already, or were left out."""

    total: int
    done: int
    failed: int
    elapsed: float
    free: int = 0
    incomplete: int = 0

    @property
    def ended(self) -> int:
        """How many images are ready, incomplete or failed."""
        return self.done + self.incomplete + self.failed

    @property
    def finished(self) -> bool:
        return self.ended == self.total

    @property
    def percent(self) -> int:
        return 100 * self.ended // self.total

    @property
    def per_second(self) -> float:
        return (self.ended - self.free) / self.elapsed if self.elapsed else 0.0

    @property
    def seconds_left(self) -> float | None:
        """The estimated time left; None before the first image."""
        return (self.total - self.ended) / self.per_second if self.per_second else None


@dataclass(frozen=True)
class PostponedImages:
    """The images that wait for their photos: how many, for which attempt at most, and until when."""

    images: int
    attempt: int
    next_at: datetime


@dataclass(frozen=True)
class FindingCount:
    """A finding, and how many images of a run have it."""

    code: str
    layer: str
    message: str
    images: int


class RunState(StrEnum):
    """The state of a run, as people see it."""

    PREPARING = "preparing"
    RUNNING = "running"
    NOT_STARTED = "not_started"
    STOPPED = "stopped"
    CANCELED = "canceled"
    FAILED = "failed"
    COMPLETED_WITH_FINDINGS = "completed_with_findings"
    COMPLETED = "completed"

    @property
    def label(self) -> str:
        return gettext(STATE_LABELS[self])

    @property
    def is_in_progress(self) -> bool:
        """Whether images of the run are still to be rendered."""
        return self in (RunState.PREPARING, RunState.RUNNING)


STATE_LABELS = {
    RunState.PREPARING: gettext_noop("Preparing"),
    RunState.RUNNING: gettext_noop("Running"),
    RunState.NOT_STARTED: gettext_noop("Failed to start"),
    RunState.STOPPED: gettext_noop("Stopped"),
    RunState.CANCELED: gettext_noop("Canceled"),
    RunState.FAILED: gettext_noop("Completed with errors"),
    RunState.COMPLETED_WITH_FINDINGS: gettext_noop("Completed with findings"),
    RunState.COMPLETED: gettext_noop("Completed"),
}


def state_of(run: Run) -> RunState:
    """Return the state of a run."""
    if run.pending and not run.finished_at:
        return RunState.RUNNING if run.prepared else RunState.PREPARING
    if run.error_message:
        return RunState.STOPPED if run.done + run.incomplete else RunState.NOT_STARTED
    if run.canceled_at:
        return RunState.CANCELED
    if run.failed:
        return RunState.FAILED
    return RunState.COMPLETED_WITH_FINDINGS if run.findings or run.incomplete else RunState.COMPLETED


def state_text(run: Run) -> str:
    """Return the state of a run in words, with the number of its findings."""
    state = state_of(run)
    if state == RunState.COMPLETED_WITH_FINDINGS:
        return ngettext("Completed, %(count)s finding", "Completed, %(count)s findings", run.findings)
    return state.label


def count_text(number: int, noun: str) -> str:
    """Return a number with its noun in English, such as “1 finding” or “2,000 findings”: pages use ngettext()."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def progress_of(run: Run) -> Progress:
    """Return a run's current progress, or the one that it ended with."""
    until = run.finished_at or datetime.now(UTC)
    free = run.unchanged + (run.failed if run.canceled_at or run.error_message else 0)
    elapsed = max((until - run.created_at).total_seconds(), 0.001)
    return Progress(run.total, run.done, run.failed, elapsed, free, run.incomplete)


def describe_run(run: Run) -> dict[str, Any]:
    """Describe a run over a feed, for the API and webhooks."""
    return {
        "id": run.id,
        "state": state_of(run),
        "feed": run.feed_id,
        "template": run.template_id,
        "version": run.template_version,
        "outputs": [Output.model_validate(output).model_dump(mode="json") for output in run.outputs],
        "prepared": run.prepared,
        "total": run.total,
        "done": run.done,
        "incomplete": run.incomplete,
        "failed": run.failed,
        "unchanged": run.unchanged,
        "findings": run.findings,
        "force": run.force,
        "refresh_photos": run.refresh_photos,
        "on_missing_photo": run.on_missing_photo,
        "canceled": run.canceled_at is not None,
        "error_message": run.error_message,
        "metadata": run.request_metadata,
        "started_at": run.created_at,
        "finished_at": run.finished_at,
    }


def results_after(
    db: Session,
    run: Run,
    position: int = 0,
    *,
    state: str | None = None,
    finding: Mapping[str, str] | None = None,
    limit: int = PAGE,
) -> list[tuple[RunItem, Image | None]]:
    """Return a run's finished items, in order, with their images.

    For a canceled run, the items that were left out are included.

    Args:
        db: a transaction in the workspace.
        run: the run.
        position: only items after this position.
        state: only items in this state; items that were left out have failed.
        finding: only items with a finding that has these values; empty for any finding.
        limit: at most so many items.
    """
    if not run.done + run.incomplete + run.failed:
        return []  # the query would read all items of a large run
    states = ["done", "incomplete", "failed"] if state is None else [state]
    if run.canceled_at and "failed" in states:
        states.append("pending")
    conditions = [
        RunItem.workspace_id == run.workspace_id,
        RunItem.run_id == run.id,
        RunItem.position > position,
        RunItem.state.in_(states),
    ]
    if finding is not None:
        conditions += [RunItem.findings.is_not(None), RunItem.findings.contains([dict(finding)])]
    query = (
        select(RunItem, Image)
        .outerjoin(Image, _IS_IMAGE_OF_ITEM)
        .where(*conditions)
        .order_by(RunItem.position)
        .limit(limit)
    )
    return [(item, image) for item, image in db.execute(query)]


def items_after(db: Session, run: Run, position: int = 0, *, limit: int = PAGE) -> list[tuple[RunItem, Image | None]]:
    """Return a run's items in order, also those that are pending, with their images. Arguments as for results_after."""
    of_run = RunItem.workspace_id == run.workspace_id, RunItem.run_id == run.id, RunItem.position > position
    query = select(RunItem, Image).outerjoin(Image, _IS_IMAGE_OF_ITEM).where(*of_run)
    return [(item, image) for item, image in db.execute(query.order_by(RunItem.position).limit(limit))]


def first_error(db: Session, run: Run) -> str | None:
    """Return the error of the first failed item of a run."""
    if not run.failed:
        return None
    failed = RunItem.workspace_id == run.workspace_id, RunItem.run_id == run.id, RunItem.state == "failed"
    return db.scalar(select(RunItem.error).where(*failed).order_by(RunItem.position).limit(1))


def findings_of(db: Session, run: Run, limit: int = 10) -> list[FindingCount]:
    """Return the findings of a finished run's images, and how many images have each; the most frequent first.

    They are not counted while the run is rendered: the query reads all its items with findings.
    """
    if not run.findings or not run.finished_at:
        return []
    rows = db.execute(_COUNT_FINDINGS, {"workspace": run.workspace_id, "run": run.id, "limit": limit})
    return [FindingCount(row.code, row.layer, row.message, row.images) for row in rows]


def count_images_with_findings(db: Session, run: Run) -> int:
    """Return how many images of a run have findings, counted up to one more than `pagination.MAX_COUNT`."""
    if not run.findings:
        return 0
    found = select(RunItem.position).where(
        RunItem.workspace_id == run.workspace_id,
        RunItem.run_id == run.id,
        RunItem.findings.is_not(None),
        RunItem.state != "pending",
    )
    return count_rows(db, found)


def count_identical_images(db: Session, run: Run) -> int:
    """Return how many images of a finished run are the same file as another one, such as those of equal variants.

    They are not counted in large runs: the query reads all items.
    """
    if not run.finished_at or run.total > MAX_COMPARED:
        return 0
    images = select(func.count(RunItem.image_id) - func.count(RunItem.image_id.distinct())).where(
        RunItem.workspace_id == run.workspace_id, RunItem.run_id == run.id, RunItem.state != "pending"
    )
    return db.scalar(images) or 0


def postponed_of(db: Session, run: Run) -> PostponedImages | None:
    """Return which images of a run wait for their photos, if any do."""
    waiting = select(func.count(), func.max(RunItem.attempts), func.min(RunItem.retry_at)).where(
        RunItem.workspace_id == run.workspace_id,
        RunItem.run_id == run.id,
        RunItem.retry_at.is_not(None),
        RunItem.state == "pending",
    )
    images, attempts, next_at = db.execute(waiting).one()
    return PostponedImages(images, attempts + 1, next_at) if next_at and not run.finished_at else None


def images_of_row(db: Session, workspace_id: UUID, feed_id: UUID, key: str, limit: int = 24) -> list[Image]:
    """Return the distinct images that runs rendered of a row, newest first.

    Args:
        db: a transaction in the workspace.
        workspace_id: the workspace.
        feed_id: the feed.
        key: the key of the row.
        limit: at most so many images.
    """
    query = (
        select(Image)
        .join(RunItem, _IS_IMAGE_OF_ITEM)
        .join(Run, and_(Run.workspace_id == RunItem.workspace_id, Run.id == RunItem.run_id))
        .where(RunItem.workspace_id == workspace_id, RunItem.key == key, Run.feed_id == feed_id)
        .order_by(RunItem.run_id.desc())
        .limit(limit)
    )
    return list(dict.fromkeys(db.scalars(query)))


def item_of_image(db: Session, workspace_id: UUID, image_id: UUID) -> RunItem | None:
    """Return the item of the image in the newest run over a feed that it is part of."""
    return db.scalar(
        select(RunItem)
        .join(Run, and_(Run.workspace_id == RunItem.workspace_id, Run.id == RunItem.run_id))
        .where(
            RunItem.workspace_id == workspace_id,
            RunItem.image_id == image_id,
            RunItem.state != "pending",
            Run.feed_id.is_not(None),
        )
        .order_by(RunItem.run_id.desc())
        .limit(1)
    )

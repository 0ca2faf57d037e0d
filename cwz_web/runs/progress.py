"""What people see of a run: how far it is, how fast, and when it will be done."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import and_, func, select, true
from sqlalchemy.orm import Session

from cwz_web.generation.models import Image
from cwz_web.runs.models import Run, RunItem

PAGE = 48
# What programs say, and are told, of an output.
OUTPUT_FIELDS = ("size", "format", "quality", "scale")


@dataclass(frozen=True)
class Progress:
    """A run at a moment. Times are in seconds; `free` of the items took none: they were there already, or left out."""

    total: int
    done: int
    failed: int
    elapsed: float
    free: int = 0

    @property
    def finished(self) -> bool:
        return self.done + self.failed == self.total

    @property
    def percent(self) -> int:
        return 100 * (self.done + self.failed) // self.total

    @property
    def per_second(self) -> float:
        return (self.done + self.failed - self.free) / self.elapsed if self.elapsed else 0.0

    @property
    def seconds_left(self) -> float | None:
        """The time left at the pace so far; None before there is a pace."""
        return (self.total - self.done - self.failed) / self.per_second if self.per_second else None


def progress_of(run: Run) -> Progress:
    """How far a run is now, or was when it ended."""
    until = run.finished_at or datetime.now(UTC)
    free = run.unchanged + (run.failed if run.cancelled_at or run.trouble else 0)
    return Progress(run.total, run.done, run.failed, max((until - run.created_at).total_seconds(), 0.001), free)


def describe_run(run: Run) -> dict[str, Any]:
    """What programs are told of a run over a feed."""
    return {
        "id": run.id,
        "feed": run.feed_id,
        "template": run.template_id,
        "version": run.template_version,
        "outputs": [{name: output[name] for name in OUTPUT_FIELDS} for output in run.outputs],
        "prepared": run.prepared,
        "total": run.total,
        "done": run.done,
        "failed": run.failed,
        "unchanged": run.unchanged,
        "cancelled": run.cancelled_at is not None,
        "trouble": run.trouble,
        "begun_at": run.created_at,
        "ended_at": run.finished_at,
    }


def results_after(
    db: Session, run: Run, position: int = 0, *, state: str | None = None, but: str | None = None, limit: int = PAGE
) -> list[tuple[RunItem, Image | None]]:
    """The run's items after a position that have ended, with their images; and of a cancelled one, what was left out.

    Arguments:
        run: as it is now; its counts tell whether there are any.
        state: only those of one state.
        but: without those that this is the error of.
    """
    if not run.done + run.failed:
        return []  # all of a large run would be looked through
    ended = ("done", "failed", "pending") if run.cancelled_at else ("done", "failed")
    states = ended if state is None else (state,)
    query = (
        select(RunItem, Image)
        .outerjoin(Image, and_(Image.workspace_id == RunItem.workspace_id, Image.id == RunItem.image_id))
        .where(
            RunItem.workspace_id == run.workspace_id,
            RunItem.run_id == run.id,
            RunItem.position > position,
            RunItem.state.in_(states),
            RunItem.error.is_distinct_from(but) if but else true(),
        )
        .order_by(RunItem.position)
        .limit(limit)
    )
    return [(item, image) for item, image in db.execute(query)]


def notes_of(db: Session, run: Run, limit: int = 5) -> list[tuple[str, int]]:
    """What is missing in the run's images, and in how many; the most frequent first."""
    count = func.count()
    query = (
        select(RunItem.note, count)
        .where(RunItem.workspace_id == run.workspace_id, RunItem.run_id == run.id, RunItem.note.is_not(None))
        .group_by(RunItem.note)
        .order_by(count.desc())
        .limit(limit)
    )
    return [(note, number) for note, number in db.execute(query) if note]


def images_of_row(db: Session, workspace_id: UUID, feed_id: UUID, key: str, limit: int = 24) -> list[Image]:
    """The images that runs made of the row of a key, newest first; each once."""
    query = (
        select(Image)
        .join(RunItem, and_(Image.workspace_id == RunItem.workspace_id, Image.id == RunItem.image_id))
        .join(Run, and_(Run.workspace_id == RunItem.workspace_id, Run.id == RunItem.run_id))
        .where(RunItem.workspace_id == workspace_id, RunItem.key == key, Run.feed_id == feed_id)
        .order_by(RunItem.run_id.desc())
        .limit(limit)
    )
    return list(dict.fromkeys(db.scalars(query)))


def run_of_image(db: Session, workspace_id: UUID, image_id: UUID) -> UUID | None:
    """A run that the image is part of."""
    return db.scalar(
        select(RunItem.run_id)
        .join(Run, and_(Run.workspace_id == RunItem.workspace_id, Run.id == RunItem.run_id))
        .where(RunItem.workspace_id == workspace_id, RunItem.image_id == image_id, Run.feed_id.is_not(None))
        .order_by(RunItem.run_id.desc())
        .limit(1)
    )

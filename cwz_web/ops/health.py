"""How the installation is: queues, workers, schema, backups; for `/readyz`, `/metrics`, `/ops` and `cwz doctor`."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import REGISTRY, GaugeMetricFamily
from sqlalchemy import func, select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from cwz_web.db.migrate import is_behind
from cwz_web.db.session import affected
from cwz_web.jobs import STALLED_SECONDS
from cwz_web.ops.models import BackupRecord

# Set while this process finishes what it has at hand, so that whoever spreads requests passes it by.
draining = threading.Event()
# A queue whose oldest job waits longer than this has too few workers.
SLOW_SECONDS = 300.0

_QUEUES = text("""
    SELECT q.*, (
        SELECT extract(epoch FROM now() - greatest(j.scheduled_at, e.at)) FROM procrastinate_jobs j
        JOIN procrastinate_events e ON e.job_id = j.id AND e.type = 'deferred'
        WHERE j.queue_name = q.name AND j.status = 'todo' AND (j.scheduled_at IS NULL OR j.scheduled_at <= now())
        ORDER BY j.id LIMIT 1
    ) AS oldest FROM (
        SELECT queue_name AS name,
            count(*) FILTER (WHERE status = 'todo' AND (scheduled_at IS NULL OR scheduled_at <= now())) AS waiting,
            count(*) FILTER (WHERE status = 'todo' AND scheduled_at > now()) AS later,
            count(*) FILTER (WHERE status = 'doing') AS running,
            count(*) FILTER (WHERE status = 'failed') AS failed
        FROM procrastinate_jobs GROUP BY queue_name
    ) q ORDER BY name
""")
# Of all queues: the first job in the order of the key, without counting the others.
_OLDEST = text("""
    SELECT extract(epoch FROM now() - greatest(j.scheduled_at, e.at)) FROM procrastinate_jobs j
    JOIN procrastinate_events e ON e.job_id = j.id AND e.type = 'deferred'
    WHERE j.status = 'todo' AND (j.scheduled_at IS NULL OR j.scheduled_at <= now()) ORDER BY j.id LIMIT 1
""")
_FAILED = text("""
    SELECT j.id, j.task_name AS task, j.queue_name AS queue, j.attempts, max(e.at) AS at FROM procrastinate_jobs j
    JOIN procrastinate_events e ON e.job_id = j.id WHERE j.status = 'failed' GROUP BY j.id ORDER BY at DESC LIMIT 50
""")
_STUCK = text("""
    SELECT j.id, j.task_name AS task, j.queue_name AS queue, j.attempts, max(e.at) AS at FROM procrastinate_jobs j
    JOIN procrastinate_events e ON e.job_id = j.id WHERE j.status = 'doing' GROUP BY j.id
    HAVING max(e.at) < now() - interval '1 hour' ORDER BY at LIMIT 50
""")
_RETRY = text("""
    UPDATE procrastinate_jobs SET status = 'todo', attempts = 0, scheduled_at = NULL
    WHERE id = :id AND status = 'failed'
""")
_WORKERS = text(
    "SELECT count(*) FROM procrastinate_workers WHERE last_heartbeat > now() - make_interval(secs => :silent)"
)


@dataclass(frozen=True)
class Queue:
    """A queue: jobs that could begin now, those whose time has not come, those at work, and those that were given up.
    `oldest` is for how many seconds the first one waits."""

    name: str
    waiting: int
    later: int
    running: int
    failed: int
    oldest: float

    @property
    def is_slow(self) -> bool:
        """Whether jobs wait longer than they should."""
        return self.oldest > SLOW_SECONDS


def queues(db: Session) -> list[Queue]:
    """Every queue that has jobs."""
    return [
        Queue(row.name, row.waiting, row.later, row.running, row.failed, float(row.oldest or 0))
        for row in db.execute(_QUEUES)
    ]


def workers(db: Session) -> int:
    """How many lanes of workers are alive; each process has several."""
    return int(db.scalar(_WORKERS, {"silent": STALLED_SECONDS}) or 0)


def failed_jobs(db: Session) -> list[Any]:
    """The jobs that were given up, the newest first."""
    return list(db.execute(_FAILED))


def stuck_jobs(db: Session) -> list[Any]:
    """The jobs that somebody has been at for an hour or longer."""
    return list(db.execute(_STUCK))


def retry_job(db: Session, job_id: int) -> bool:
    """Let a job that was given up begin anew. Returns whether it does: another one like it may wait already."""
    try:
        with db.begin_nested():
            return affected(db, _RETRY.bindparams(id=job_id)) == 1
    except IntegrityError:  # its queueing lock is taken
        return False


def backups(db: Session) -> list[BackupRecord]:
    """The backups that there are, the newest first."""
    return list(db.scalars(select(BackupRecord).order_by(BackupRecord.made_at.desc())))


def readiness(db: Session) -> tuple[bool, dict[str, Any]]:
    """Whether this process can serve, and how things are. Jobs that wait keep nobody from answering; they are told."""
    if draining.is_set():
        return False, {"status": "stopping"}
    behind = is_behind(db.connection())
    oldest = float(db.scalar(_OLDEST) or 0)
    return not behind, {
        "status": "migrations are missing: cwz migrate" if behind else "ok",
        "database": "ok",
        "migrations": "missing" if behind else "ok",
        "queue_seconds": round(oldest, 1),
        "queue": "slow" if oldest > SLOW_SECONDS else "ok",
    }


def metrics(db: Session) -> bytes:
    """This process's metrics and those of the installation, as Prometheus reads them."""
    registry: Any = CollectorRegistry()
    registry.register(_Installation(db))
    found: bytes = generate_latest(REGISTRY) + generate_latest(registry)
    return found


class _Installation:
    """What the database knows; asked at each look."""

    def __init__(self, db: Session) -> None:
        self._db = db

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The gauges."""
        known = queues(self._db)
        for name, attribute, what in (
            ("waiting", "waiting", "Jobs that could begin now."),
            ("running", "running", "Jobs that somebody is at."),
            ("failed", "failed", "Jobs that were given up."),
            ("oldest_seconds", "oldest", "For how long the first job waits."),
        ):
            gauge = GaugeMetricFamily(f"cwz_queue_{name}", what, labels=["queue"])
            for queue in known:
                gauge.add_metric([queue.name], getattr(queue, attribute))
            yield gauge
        yield GaugeMetricFamily("cwz_workers", "Lanes of workers that are alive.", workers(self._db))
        newest = self._db.scalar(select(func.max(BackupRecord.made_at)))
        verified = self._db.scalar(select(func.max(BackupRecord.verified_at)).where(BackupRecord.trouble.is_(None)))
        for name, moment in (("backup", newest), ("backup_verified", verified)):
            gauge = GaugeMetricFamily(f"cwz_{name}_age_seconds", "Since the newest one; missing when there is none.")
            if moment is not None:
                gauge.add_metric([], (datetime.now(UTC) - moment).total_seconds())
            yield gauge

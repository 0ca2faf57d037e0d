"""Operational state: queues, workers, schema and backups, for `/readyz`, `/metrics`, `/ops` and `cwz doctor`."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import REGISTRY, GaugeMetricFamily
from sqlalchemy import TextClause, func, select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from cwz_web.db.migrate import is_behind
from cwz_web.db.session import execute_update
from cwz_web.jobs import STALLED_SECONDS
from cwz_web.ops.models import BackupRecord

# Set while this process stops, so that load balancers send it no more requests.
draining = threading.Event()
# A queue whose first job waits longer needs more workers.
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
            count(*) FILTER (WHERE status = 'todo' AND scheduled_at > now()) AS scheduled,
            count(*) FILTER (WHERE status = 'doing') AS running,
            count(*) FILTER (WHERE status = 'failed') AS failed
        FROM procrastinate_jobs GROUP BY queue_name
    ) q ORDER BY name
""")
# The first job of all queues, in the order of the primary key: the others are not counted.
_OLDEST = text("""
    SELECT extract(epoch FROM now() - greatest(j.scheduled_at, e.at)) FROM procrastinate_jobs j
    JOIN procrastinate_events e ON e.job_id = j.id AND e.type = 'deferred'
    WHERE j.status = 'todo' AND (j.scheduled_at IS NULL OR j.scheduled_at <= now()) ORDER BY j.id LIMIT 1
""")
_FAILED_JOBS = text("""
    SELECT j.id, j.task_name AS task, j.queue_name AS queue, j.attempts, max(e.at) AS at FROM procrastinate_jobs j
    JOIN procrastinate_events e ON e.job_id = j.id WHERE j.status = 'failed' GROUP BY j.id ORDER BY at DESC LIMIT 50
""")
_STUCK_JOBS = text("""
    SELECT j.id, j.task_name AS task, j.queue_name AS queue, j.attempts, max(e.at) AS at FROM procrastinate_jobs j
    JOIN procrastinate_events e ON e.job_id = j.id WHERE j.status = 'doing' GROUP BY j.id
    HAVING max(e.at) < now() - interval '1 hour' ORDER BY at LIMIT 50
""")
_RETRY_JOB = text("""
    UPDATE procrastinate_jobs SET status = 'todo', attempts = 0, scheduled_at = NULL
    WHERE id = :id AND status = 'failed'
""")
_WORKERS = text(
    "SELECT count(*) FROM procrastinate_workers WHERE last_heartbeat > now() - make_interval(secs => :stalled)"
)


@dataclass(frozen=True)
class QueueState:
    """The number of jobs of a queue by state, and for how many seconds the first one has waited."""

    name: str
    waiting: int
    scheduled: int
    running: int
    failed: int
    oldest_seconds: float

    @property
    def is_slow(self) -> bool:
        """Whether jobs wait longer than `SLOW_SECONDS`."""
        return self.oldest_seconds > SLOW_SECONDS


@dataclass(frozen=True)
class JobState:
    """A job, without its arguments; `at` is the time of its last event."""

    id: int
    task: str
    queue: str
    attempts: int
    at: datetime


def list_queues(db: Session) -> list[QueueState]:
    """Return every queue that has jobs."""
    return [
        QueueState(row.name, row.waiting, row.scheduled, row.running, row.failed, float(row.oldest or 0))
        for row in db.execute(_QUEUES)
    ]


def count_workers(db: Session) -> int:
    """Return the number of live workers, as Procrastinate counts them.

    A process has one for each of its groups of queues.
    """
    return int(db.scalar(_WORKERS, {"stalled": STALLED_SECONDS}) or 0)


def list_failed_jobs(db: Session) -> list[JobState]:
    """Return the jobs that failed after all attempts, the newest first."""
    return _jobs(db, _FAILED_JOBS)


def list_stuck_jobs(db: Session) -> list[JobState]:
    """Return the jobs that have run for more than an hour."""
    return _jobs(db, _STUCK_JOBS)


def retry_job(db: Session, job_id: int) -> bool:
    """Queue a failed job again.

    Returns:
        False if the job has not failed, or an equal one is queued already.
    """
    try:
        with db.begin_nested():
            return execute_update(db, _RETRY_JOB.bindparams(id=job_id)) == 1
    except IntegrityError:  # the queueing lock is taken
        return False


def list_backup_records(db: Session) -> list[BackupRecord]:
    """Return the backups, the newest first."""
    return list(db.scalars(select(BackupRecord).order_by(BackupRecord.created_at.desc())))


def check_readiness(db: Session) -> tuple[bool, dict[str, Any]]:
    """Return whether this process can serve requests, and a report.

    A slow queue is reported and does not make the process unready, since removing web processes would not help.
    """
    if draining.is_set():
        return False, {"status": "stopping"}
    is_outdated = is_behind(db.connection())
    oldest = float(db.scalar(_OLDEST) or 0)
    return not is_outdated, {
        "status": "migrations pending: run cwz migrate" if is_outdated else "ok",
        "database": "ok",
        "migrations": "pending" if is_outdated else "ok",
        "queue_seconds": round(oldest, 1),
        "queue": "slow" if oldest > SLOW_SECONDS else "ok",
    }


def render_metrics(db: Session) -> bytes:
    """Return the metrics of this process and of the installation in Prometheus' text format."""
    registry: Any = CollectorRegistry()
    registry.register(_InstallationCollector(db))
    metrics: bytes = generate_latest(REGISTRY) + generate_latest(registry)
    return metrics


def _jobs(db: Session, query: TextClause) -> list[JobState]:
    return [JobState(row.id, row.task, row.queue, row.attempts, row.at) for row in db.execute(query)]


class _InstallationCollector:
    """Collects the metrics that the database holds."""

    def __init__(self, db: Session) -> None:
        self._db = db

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield the gauges."""
        queues = list_queues(self._db)
        for name, attribute, description in (
            ("jobs_waiting", "waiting", "Jobs that are ready to run."),
            ("jobs_running", "running", "Jobs that are running."),
            ("jobs_failed", "failed", "Jobs that failed after all attempts."),
            ("oldest_job_seconds", "oldest_seconds", "Seconds that the first job has been waiting."),
        ):
            gauge = GaugeMetricFamily(f"cwz_queue_{name}", description, labels=["queue"])
            for queue in queues:
                gauge.add_metric([queue.name], getattr(queue, attribute))
            yield gauge
        yield GaugeMetricFamily(
            "cwz_workers", "Live workers; a process counts once per group.", count_workers(self._db)
        )
        newest = select(func.max(BackupRecord.created_at))
        verified = select(func.max(BackupRecord.verified_at)).where(BackupRecord.error_message.is_(None))
        for name, query, description in (
            ("backup_age_seconds", newest, "Seconds since the newest backup; missing without a backup."),
            ("backup_verified_age_seconds", verified, "Seconds since the last successful restore test."),
        ):
            gauge = GaugeMetricFamily(f"cwz_{name}", description)
            if (moment := self._db.scalar(query)) is not None:
                gauge.add_metric([], (datetime.now(UTC) - moment).total_seconds())
            yield gauge

"""Background jobs: the Procrastinate application, its queues, and how worker processes run it.

Tasks are declared in their domains (`runs/tasks.py`) with `@app.task`. A request enqueues in its own transaction,
`app.configure_task(name, connection=raw_connection(db)).defer(...)`, so that a job exists exactly when its rows do.

There are two kinds of worker processes: `cwz render-worker` runs `RENDER_QUEUE` with a database role
that may only use that queue; `cwz worker` runs all other queues (`worker_queue_groups`). `tasks.py` rescues jobs of
killed workers.
"""

import asyncio
import os
import signal
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import procrastinate
import psycopg
import structlog
from procrastinate import BaseRetryStrategy, PsycopgConnector, RetryDecision, RetryStrategy, SyncPsycopgConnector
from procrastinate.connector import BaseConnector
from procrastinate.exceptions import AlreadyEnqueued
from procrastinate.jobs import Job
from psycopg.conninfo import make_conninfo
from sqlalchemy.orm import Session

from cwz_web.db import queue_role
from cwz_web.db.session import raw_connection

log = structlog.get_logger()

# Without a connection of its own: it declares tasks, and enqueues on the connections of its callers.
app = procrastinate.App(connector=SyncPsycopgConnector())

DEFAULT_QUEUE = "default"
FEEDS_QUEUE = "feeds"
RENDER_QUEUE = queue_role.RENDER_QUEUE
BILLING_QUEUE = "billing"
SLACK_QUEUE = "slack"
EXPORT_QUEUE = "exports"
# Jobs that keep the database busy for long, so that feeds and emails do not wait for them.
PREPARE_QUEUE = "run_preparation"
PREPARE_CONCURRENCY = 2
# Jobs that act as the owner of the tables: backups, and what belongs to them.
MAINTENANCE_QUEUE = "maintenance"
WORK_QUEUES = (DEFAULT_QUEUE, FEEDS_QUEUE)
# Fetches from shops and servers that take minutes; several feeds wait for them at once.
SOURCES_QUEUE = "feed_sources"
SOURCES_CONCURRENCY = 4
# Writing the feeds of channels takes minutes, and the disk.
CHANNELS_QUEUE = "channels"
CHANNELS_CONCURRENCY = 2
# Writing images to shops waits for them for minutes.
SHOPS_QUEUE = "shops"
SHOPS_CONCURRENCY = 4
# Jobs that wait for other servers have a group of their own, so that a slow server delays no other job.
IO_QUEUES = ("email", "webhooks", BILLING_QUEUE, SLACK_QUEUE, EXPORT_QUEUE)
IO_CONCURRENCY = 4

POLL_SECONDS = 1.0
HEARTBEAT_SECONDS = 3.0
STALLED_SECONDS = 10.0
DATABASE_CHECK_SECONDS = 1.0
STOP_SECONDS = 30
RETRY = RetryStrategy(max_attempts=12, exponential_wait=2)


@dataclass(frozen=True)
class QueueGroup:
    """Queues that share a number of concurrent jobs."""

    queues: tuple[str, ...]
    concurrency: int


def worker_queue_groups(concurrency: int, *, maintenance: bool) -> list[QueueGroup]:
    """Return the groups of `cwz worker`.

    Args:
        concurrency: how many jobs of `WORK_QUEUES` run at once.
        maintenance: whether the process may act as the owner of the tables.
    """
    groups = [
        QueueGroup(WORK_QUEUES, concurrency),
        QueueGroup(IO_QUEUES, IO_CONCURRENCY),
        QueueGroup((PREPARE_QUEUE,), PREPARE_CONCURRENCY),
        QueueGroup((SOURCES_QUEUE,), SOURCES_CONCURRENCY),
        QueueGroup((CHANNELS_QUEUE,), CHANNELS_CONCURRENCY),
        QueueGroup((SHOPS_QUEUE,), SHOPS_CONCURRENCY),
    ]
    return [*groups, QueueGroup((MAINTENANCE_QUEUE,), 1)] if maintenance else groups


def defer_once(
    db: Session,
    task: str,
    *,
    queue: str,
    queueing_lock: str,
    lock: str | None = None,
    wait: int = 0,
    priority: int = 0,
    **arguments: str | int,
) -> None:
    """Enqueue a job in a transaction, unless one with the same lock is queued already.

    Args:
        db: the transaction.
        task: the task's name, so that a module can enqueue tasks of modules that import it.
        queue: the queue.
        queueing_lock: identifies equal jobs; the first hundred characters count.
        lock: jobs with the same one run one after the other.
        wait: seconds until the job may start.
        priority: jobs with a higher one start first, also those with the same lock.
        arguments: the task's arguments.
    """
    try:
        with db.begin_nested():
            # The connection is taken inside the savepoint, which a rejected INSERT rolls back to.
            later = {"seconds": wait} if wait else None
            options: Any = {"connection": raw_connection(db), "schedule_in": later, "priority": priority}
            configured = app.configure_task(task, queue=queue, lock=lock, queueing_lock=queueing_lock[:100], **options)
            configured.defer(**arguments)
    except AlreadyEnqueued:
        pass


class WorkerConnector(PsycopgConnector):
    """A worker's connections; its jobs can also enqueue on the connection of their own transaction."""

    def get_sync_connector(self) -> BaseConnector:
        """Return a connector for enqueuing on a caller's connection; it has none of its own."""
        return SyncPsycopgConnector()


@dataclass(frozen=True)
class LongRetry(BaseRetryStrategy):
    """Retry after 1, 2, 4, ... and then every `max_wait` seconds; by default for about three days."""

    max_wait: int = 900
    max_attempts: int = 300

    def get_retry_decision(self, *, exception: BaseException, job: Job) -> RetryDecision | None:
        """Return when to retry; None after the last attempt."""
        if job.attempts > self.max_attempts:
            return None
        return RetryDecision(retry_in={"seconds": min(2 ** min(job.attempts, 16), self.max_wait)})


@dataclass(frozen=True)
class ScheduledRetry(BaseRetryStrategy):
    """Retry after each of the given numbers of seconds in turn."""

    waits: tuple[int, ...]

    def get_retry_decision(self, *, exception: BaseException, job: Job) -> RetryDecision | None:
        """Return when to retry; None after the last attempt."""
        if job.attempts >= len(self.waits):
            return None
        return RetryDecision(retry_in={"seconds": self.waits[job.attempts]})


async def run_worker(
    database_url: str, groups: Iterable[QueueGroup], context: Mapping[str, object], *, search_path: str = ""
) -> None:
    """Run jobs until SIGINT or SIGTERM, then finish the running ones.

    Args:
        database_url: of a role that may use the queues.
        groups: the queues, and how many jobs of them run at once.
        context: what tasks find in `context.additional_context`.
        search_path: the schemas of Procrastinate's tables and functions; PostgreSQL's default unless given.
    """
    conninfo = make_conninfo(database_url, options=f"-c search_path={search_path}") if search_path else database_url
    with app.replace_connector(WorkerConnector(conninfo=conninfo)) as worker_app:
        async with worker_app.open_async():
            options: dict[str, Any] = {
                "additional_context": dict(context),
                "fetch_job_polling_interval": POLL_SECONDS,
                "update_heartbeat_interval": HEARTBEAT_SECONDS,
                "stalled_worker_timeout": STALLED_SECONDS,
                "shutdown_graceful_timeout": STOP_SECONDS,
                "delete_jobs": "successful",
                "install_signal_handlers": False,
            }
            async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
                watch = asyncio.create_task(_exit_without_database(connection))
                try:
                    async with asyncio.TaskGroup() as tasks:
                        workers = [
                            tasks.create_task(
                                worker_app.run_worker_async(
                                    queues=list(group.queues), concurrency=group.concurrency, **options
                                )
                            )
                            for group in groups
                        ]
                        for number in (signal.SIGINT, signal.SIGTERM):
                            asyncio.get_running_loop().add_signal_handler(number, _cancel_all, workers)
                finally:
                    watch.cancel()


def _cancel_all(tasks: list[asyncio.Task[None]]) -> None:
    """Let workers finish their running jobs; canceled once more, they stop immediately."""
    for task in tasks:
        task.cancel()


async def _exit_without_database(connection: "psycopg.AsyncConnection[Any]") -> None:
    """Exit the process when the database is lost; its supervisor starts it again.

    Procrastinate's own shutdown would wait for the lost database for minutes. A killed worker loses nothing.
    """
    try:
        while True:
            await connection.execute("SELECT 1")
            await asyncio.sleep(DATABASE_CHECK_SECONDS)
    except psycopg.OperationalError as error:
        log.error("database connection lost, worker exits", error=type(error).__name__)
        os._exit(os.EX_TEMPFAIL)

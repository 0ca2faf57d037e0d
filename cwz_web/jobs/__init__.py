"""Background work: the Procrastinate application, and how a worker runs it.

Tasks are declared where their domain is (`runs/tasks.py`) with `@app.task`. A request enqueues inside its own
transaction: `task.configure(connection=raw_connection(db)).defer(...)`, so that a job exists exactly when the rows do
that it is about. In: the app, rescuing the jobs of a killed worker. Not in: what the tasks do.
"""

import asyncio
import os
import signal
from dataclasses import dataclass
from typing import Any

import procrastinate
import psycopg
import structlog
from procrastinate import (
    BaseRetryStrategy,
    JobContext,
    PsycopgConnector,
    RetryDecision,
    RetryStrategy,
    SyncPsycopgConnector,
)
from procrastinate.connector import BaseConnector
from procrastinate.exceptions import AlreadyEnqueued
from procrastinate.jobs import Job
from sqlalchemy.orm import Session

from cwz_web.db.session import raw_connection

log = structlog.get_logger()

# Without a connection of its own: it only declares tasks and enqueues on connections that callers hand over.
app = procrastinate.App(connector=SyncPsycopgConnector())

# Queues that more than one module names.
FEEDS_QUEUE = "feeds"
RENDER_QUEUE = "render"
BILLING_QUEUE = "billing"
SLACK_QUEUE = "slack"
EXPORT_QUEUE = "exports"
# For what keeps the database busy for long, so that neither images nor mails wait for it.
PREPARE_QUEUE = "runs"
PREPARE_CONCURRENCY = 2
# For workers that may act as the owner of the tables: backups, and what lies beside them.
UPKEEP_QUEUE = "upkeep"
# Whoever answers slowly must not keep a worker from rendering, so what only talks to others has workers of its own.
WORK_QUEUES = ("default", FEEDS_QUEUE, RENDER_QUEUE)
TALK_QUEUES = ("mail", "webhooks", BILLING_QUEUE, SLACK_QUEUE, EXPORT_QUEUE)
IO_CONCURRENCY = 4

HEARTBEAT_SECONDS = 3.0
STALLED_SECONDS = 10.0
LOOK_SECONDS = 1.0
RETRY = RetryStrategy(max_attempts=12, exponential_wait=2)


def defer_once(db: Session, task: str, *, queue: str, once: str, wait: int = 0, **given: str) -> None:
    """Enqueue a job in a transaction, unless one with the same name for it waits already.

    Arguments:
        task: the task's name, so that a module can enqueue what stands on it.
        once: the name; the first hundred characters count.
        wait: seconds until it may begin.
        given: what the task is called with.
    """
    try:
        with db.begin_nested():
            # Asked for inside: only then is there a savepoint that a refusal can go back to.
            place: Any = {"connection": raw_connection(db), "schedule_in": {"seconds": wait} if wait else None}
            app.configure_task(task, queue=queue, queueing_lock=once[:100], **place).defer(**given)
    except AlreadyEnqueued:
        pass


class WorkerConnector(PsycopgConnector):
    """A worker's connections, with which its jobs can enqueue on the connection of their own transaction, too."""

    def get_sync_connector(self) -> BaseConnector:
        """What enqueues on a connection that is handed over; it has none of its own."""
        return SyncPsycopgConnector()


@dataclass(frozen=True)
class LongRetry(BaseRetryStrategy):
    """Tries again for a long time, at first after seconds and then every `longest` seconds: for about three days, as it
    stands."""

    longest: int = 900
    attempts: int = 300

    def get_retry_decision(self, *, exception: BaseException, job: Job) -> RetryDecision | None:
        """When to try again; None once it has been tried long enough."""
        if job.attempts > self.attempts:
            return None
        return RetryDecision(retry_in={"seconds": min(2 ** min(job.attempts, 16), self.longest)})


@dataclass(frozen=True)
class Scheduled(BaseRetryStrategy):
    """Tries again after so many seconds each, and then no more."""

    waits: tuple[int, ...]

    def get_retry_decision(self, *, exception: BaseException, job: Job) -> RetryDecision | None:
        """When to try again; None once it has been tried often enough."""
        if job.attempts >= len(self.waits):
            return None
        return RetryDecision(retry_in={"seconds": self.waits[job.attempts]})


@app.periodic(cron="* * * * * */5")
@app.task(name="jobs.rescue_stalled", queueing_lock="rescue", pass_context=True)
async def rescue_stalled(context: JobContext, timestamp: int) -> None:
    """Put the jobs of workers that went silent back into the queue."""
    manager = context.app.job_manager
    await manager.prune_stalled_workers(STALLED_SECONDS)
    for job in await manager.get_stalled_jobs(seconds_since_heartbeat=STALLED_SECONDS):
        log.warning("job rescued", job=job.id, task=job.task_name)
        await manager.retry_job(job)


def _cancel_all(tasks: list[asyncio.Task[None]]) -> None:
    """Let workers finish what they have at hand; cancelled again, they stop at once."""
    for task in tasks:
        task.cancel()


async def run_worker(database_url: str, *, concurrency: int, context: dict[str, object], upkeep: bool = False) -> None:
    """Work until told to stop (SIGINT or SIGTERM), then finish the jobs at hand.

    Arguments:
        database_url: the application role's URL.
        concurrency: how many jobs run at once.
        context: what tasks find in `context.additional_context`.
        upkeep: whether to take the jobs of the upkeep as well, one at a time.
    """
    lanes = [(WORK_QUEUES, concurrency), (TALK_QUEUES, IO_CONCURRENCY), ((PREPARE_QUEUE,), PREPARE_CONCURRENCY)]
    if upkeep:
        lanes.append(((UPKEEP_QUEUE,), 1))
    with app.replace_connector(WorkerConnector(conninfo=database_url)) as worker_app:
        async with worker_app.open_async():
            shared: dict[str, Any] = {
                "additional_context": context,
                "fetch_job_polling_interval": 1.0,
                "update_heartbeat_interval": HEARTBEAT_SECONDS,
                "stalled_worker_timeout": STALLED_SECONDS,
                "shutdown_graceful_timeout": 30,
                "delete_jobs": "successful",
                "install_signal_handlers": False,
            }
            async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as watched:
                watch = asyncio.create_task(_end_with_database(watched))
                try:
                    async with asyncio.TaskGroup() as group:
                        workers = [
                            group.create_task(
                                worker_app.run_worker_async(queues=list(queues), concurrency=number, **shared)
                            )
                            for queues, number in lanes
                        ]
                        for number in (signal.SIGINT, signal.SIGTERM):
                            asyncio.get_running_loop().add_signal_handler(number, _cancel_all, workers)
                finally:
                    watch.cancel()


async def _end_with_database(connection: "psycopg.AsyncConnection[Any]") -> None:
    """End the process as soon as the database is lost: whoever started it begins anew, while Procrastinate would wait
    for minutes to take its leave. A worker that is killed loses nothing."""
    try:
        while True:
            await connection.execute("SELECT 1")
            await asyncio.sleep(LOOK_SECONDS)
    except psycopg.OperationalError as error:
        log.error("the database is lost; this worker ends", reason=str(error))
        os._exit(os.EX_TEMPFAIL)

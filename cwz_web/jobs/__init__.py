"""Background work: the Procrastinate application, and how a worker runs it.

Tasks are declared where their domain is (`runs/tasks.py`) with `@app.task`. A request enqueues inside its own
transaction: `task.configure(connection=raw_connection(db)).defer(...)`, so that a job exists exactly when the rows do
that it is about. In: the app, rescuing the jobs of a killed worker. Not in: what the tasks do.
"""

import procrastinate
import structlog
from procrastinate import (
    BaseRetryStrategy,
    JobContext,
    PsycopgConnector,
    RetryDecision,
    RetryStrategy,
    SyncPsycopgConnector,
)
from procrastinate.jobs import Job

log = structlog.get_logger()

# Without a connection of its own: it only declares tasks and enqueues on connections that callers hand over.
app = procrastinate.App(connector=SyncPsycopgConnector())

HEARTBEAT_SECONDS = 3.0
STALLED_SECONDS = 10.0
RETRY = RetryStrategy(max_attempts=12, exponential_wait=2)


class Patient(BaseRetryStrategy):
    """Tries again for about three days, at first after seconds and then four times an hour."""

    def get_retry_decision(self, *, exception: BaseException, job: Job) -> RetryDecision | None:
        """When to try again; None once it has been tried long enough."""
        if job.attempts > 300:
            return None
        return RetryDecision(retry_in={"seconds": min(2**job.attempts, 900)})


@app.periodic(cron="* * * * * */5")
@app.task(name="jobs.rescue_stalled", queueing_lock="rescue", pass_context=True)
async def rescue_stalled(context: JobContext, timestamp: int) -> None:
    """Put the jobs of workers that went silent back into the queue."""
    manager = context.app.job_manager
    await manager.prune_stalled_workers(STALLED_SECONDS)
    for job in await manager.get_stalled_jobs(seconds_since_heartbeat=STALLED_SECONDS):
        log.warning("job rescued", job=job.id, task=job.task_name)
        await manager.retry_job(job)


async def run_worker(database_url: str, *, concurrency: int, context: dict[str, object]) -> None:
    """Work until told to stop (SIGINT or SIGTERM), then finish the jobs at hand.

    Arguments:
        database_url: the application role's URL.
        concurrency: how many jobs run at once.
        context: what tasks find in `context.additional_context`.
    """
    with app.replace_connector(PsycopgConnector(conninfo=database_url)) as worker_app:
        async with worker_app.open_async():
            await worker_app.run_worker_async(
                concurrency=concurrency,
                additional_context=context,
                fetch_job_polling_interval=1.0,
                update_heartbeat_interval=HEARTBEAT_SECONDS,
                stalled_worker_timeout=STALLED_SECONDS,
                shutdown_graceful_timeout=30,
                delete_jobs="successful",
            )

"""The jobs of the queue itself."""

import structlog
from procrastinate import JobContext
from procrastinate.exceptions import UniqueViolation
from procrastinate.jobs import Status

from cwz_web.jobs import STALLED_SECONDS, app

log = structlog.get_logger()


@app.periodic(cron="* * * * * */5")
@app.task(name="jobs.rescue_stalled", queueing_lock="rescue", pass_context=True)
async def rescue_stalled(context: JobContext, timestamp: int) -> None:
    """Put the jobs of workers without a heartbeat back into their queues."""
    manager = context.app.job_manager
    await manager.prune_stalled_workers(STALLED_SECONDS)
    for job in await manager.get_stalled_jobs(seconds_since_heartbeat=STALLED_SECONDS):
        log.warning("job rescued", job=job.id, task=job.task_name)
        try:
            await manager.retry_job(job)
        except UniqueViolation:  # an equal job is queued, which does the same
            await manager.finish_job(job, status=Status.FAILED, delete_job=True)

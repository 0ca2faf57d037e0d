"""The job that `cwz render-worker` runs. It uses the web application only: no database, no storage credentials."""

from uuid import UUID

import structlog
from procrastinate import JobContext

from cwz_web.jobs import RENDER_QUEUE, LongRetry, app
from cwz_web.runs.protocol import RequeueRequest, RunNotFoundError, SpecificationRequest
from cwz_web.runs.render_worker import RenderWorker

log = structlog.get_logger()

# A storage or a web application that is down for a minute delays a run by at most a minute; retries end after hours.
RETRY = LongRetry(max_wait=60, max_attempts=150)
# A chunk that takes longer is requeued, so that no other run waits for all of it.
MAX_SECONDS = 5.0


@app.task(name="runs.render_chunk", queue=RENDER_QUEUE, retry=RETRY, pass_context=True)
def render_chunk(context: JobContext, workspace_id: str, run_id: str, chunk: int) -> None:
    """Render a chunk of a run; requeue its rest when the time is up."""
    ids = {"workspace_id": UUID(workspace_id), "run_id": UUID(run_id), "chunk": chunk}
    worker: RenderWorker = context.additional_context["render_worker"]
    last_try = context.job.attempts >= RETRY.max_attempts
    try:
        if not worker.render_chunk(SpecificationRequest(**ids), last_try=last_try, seconds=MAX_SECONDS):
            worker.client.requeue(RequeueRequest(**ids))
    except RunNotFoundError:
        log.info("chunk of a deleted run", run=run_id, chunk=chunk)

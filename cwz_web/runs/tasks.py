"""The jobs of runs."""

from uuid import UUID

import structlog
from procrastinate import JobContext

from cwz_web.jobs import RETRY, app
from cwz_web.runs.protocol import AskSpecification, Gone

log = structlog.get_logger()


@app.task(name="runs.render_chunk", queue="render", retry=RETRY, pass_context=True)
def render_chunk(context: JobContext, workspace_id: str, run_id: str, chunk: int) -> None:
    """Draw a chunk of a run."""
    ask = AskSpecification(workspace_id=UUID(workspace_id), run_id=UUID(run_id), chunk=chunk)
    attempts = context.job.attempts
    try:
        context.additional_context["worker"].render_chunk(ask, last_try=attempts + 1 >= (RETRY.max_attempts or 1))
    except Gone:
        log.info("chunk of a run that is gone", run=run_id, chunk=chunk)

"""`?wait=`: a response that waits until a run has finished, for a bounded time and in a bounded number of threads."""

from time import monotonic, sleep

from sqlalchemy import select

from cwz_web.api.pagination import transaction
from cwz_web.runs.models import Run
from cwz_web.web.problems import ProblemError
from cwz_web.web.request import Request
from cwz_web.web.slow_requests import SlowRequestLimitError
from cwz_web.web.urls import parse_number

# In seconds.
MAX_WAIT = 10
INTERVAL = 0.5


def wait_until_finished(request: Request, run: Run) -> None:
    """Wait until a run has finished, at most for the seconds that the query says.

    It holds no connection to the database meanwhile. If too many requests wait already, it returns at once.

    Raises:
        ProblemError: The query is not valid.
    """
    if "wait" not in request.GET:
        return
    seconds = parse_number(request.GET["wait"])
    if not 1 <= seconds <= MAX_WAIT:
        raise ProblemError(422, "invalid", "The request is not valid", {"wait": f"Use a number from 1 to {MAX_WAIT}"})
    deadline = monotonic() + seconds
    try:
        with request.services.waiting.slot(run.workspace_id):
            while (left := deadline - monotonic()) > 0 and not _has_finished(request, run):
                sleep(min(left, INTERVAL))
    except SlowRequestLimitError:
        return


def _has_finished(request: Request, run: Run) -> bool:
    finished_at = select(Run.finished_at).where(Run.workspace_id == run.workspace_id, Run.id == run.id)
    with transaction(request) as db:
        return db.scalar(finished_at) is not None

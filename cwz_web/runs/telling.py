"""Telling webhooks how a run ended: whether its last picture came, it was cancelled, or there was nothing to draw."""

from sqlalchemy.orm import Session

from cwz_web.notify.webhooks import Event, emit
from cwz_web.runs.models import Run
from cwz_web.runs.progress import describe_run


def tell_end(db: Session, run: Run) -> None:
    """Tell the workspace's webhooks, and the one that the run itself names, in the caller's transaction."""
    event = Event.RUN_FAILED if run.failed else Event.RUN_FINISHED
    emit(db, run.workspace_id, event, describe_run(run), webhook=run.webhook)

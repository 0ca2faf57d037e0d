"""Telling how a run ended: whether its last image came, it was cancelled, or there was nothing to render."""

from sqlalchemy.orm import Session

from cwz_web.accounts.models import Account
from cwz_web.notify.emails import EmailMessage
from cwz_web.notify.topics import Topic
from cwz_web.notify.webhooks import Event, emit
from cwz_web.runs.models import Run
from cwz_web.runs.progress import describe_run
from cwz_web.workspaces.members import tell
from cwz_web.workspaces.models import Workspace


def notify_run_finished(db: Session, run: Run) -> None:
    """Tell the workspace's webhooks, the one that the run names, and who began it, in the caller's transaction."""
    event = Event.RUN_FAILED if run.failed else Event.RUN_FINISHED
    emit(db, run.workspace_id, event, describe_run(run), webhook=run.webhook)
    starter = db.get(Account, run.started_by) if run.started_by and run.feed_id else None
    if starter is not None:
        tell(db, starter, _letter(db.get_one(Workspace, run.workspace_id), run))


def _letter(workspace: Workspace, run: Run) -> EmailMessage:
    button = ("See the run", f"/w/{workspace.slug}/runs/{run.id}")
    reason = "You get this mail because you began the run."
    if run.trouble:
        why = f"{run.trouble}. What is not rendered does not count: the run can be tried again."
        return EmailMessage(
            f"{workspace.name}: a run could not {'go on' if run.done else 'begin'}", (why,), button, reason, Topic.RUNS
        )
    done, failed = f"{run.done:,} images are there", f"{run.failed:,} could not be made"
    said = f"{done}, and {failed}: the run says why, and can try them again." if run.failed else f"{done}."
    subject = f"{workspace.name}: a run ended{', and images are missing' if run.failed else ''}"
    return EmailMessage(subject, (said,), button, reason, Topic.RUNS)

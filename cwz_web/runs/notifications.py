"""Notifications about a finished run, whether it was completed, canceled, or could not be prepared."""

from sqlalchemy.orm import Session

from cwz_web.accounts.models import Account
from cwz_web.notify.emails import EmailMessage
from cwz_web.notify.topics import Topic
from cwz_web.notify.webhooks import Event, emit
from cwz_web.runs.models import Run
from cwz_web.runs.progress import RunState, count_text, describe_run, state_of
from cwz_web.workspaces.members import email_member
from cwz_web.workspaces.models import Workspace


def notify_run_finished(db: Session, run: Run) -> None:
    """Notify webhooks and the account that started a run that it has finished.

    The messages are stored in the caller's transaction: for the workspace's webhooks, the run's own, and the account.
    """
    event = Event.RUN_FAILED if run.failed else Event.RUN_FINISHED
    emit(db, run.workspace_id, event, describe_run(run), webhook=run.webhook)
    starter = db.get(Account, run.started_by) if run.started_by and run.feed_id else None
    if starter is not None:
        email_member(db, starter, _email(db.get_one(Workspace, run.workspace_id), run))


def _email(workspace: Workspace, run: Run) -> EmailMessage:
    button = ("View run", f"/w/{workspace.slug}/runs/{run.id}")
    reason = "You receive this email because you started the run."
    if run.error_message:
        subject = f"{workspace.name}: a run could not {'continue' if run.done else 'start'}"
        text = f"{run.error_message}. Images that were not rendered do not count. You can retry the run."
    elif state_of(run) == RunState.COMPLETED_WITH_FINDINGS:
        subject = f"{workspace.name}: a run completed with {count_text(run.findings, 'finding')}"
        incomplete = f" In {count_text(run.incomplete, 'image')} a photo is missing." if run.incomplete else ""
        text = f"{run.done:,} images are ready.{incomplete} The run lists the findings; you can retry it there."
    elif run.failed:
        subject = f"{workspace.name}: a run finished with failed images"
        text = (
            f"{run.done:,} images are ready, {run.failed:,} failed. The run lists the errors; you can retry it there."
        )
        if run.findings:
            text += f" It has {count_text(run.findings, 'finding')}."
    else:
        subject = f"{workspace.name}: a run has finished"
        text = f"{run.done:,} images are ready."
    return EmailMessage(subject, (text,), button, reason, Topic.RUNS)

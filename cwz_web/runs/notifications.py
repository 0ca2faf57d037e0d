"""Notifications about a finished run, whether it was completed, canceled, or could not be prepared."""

from sqlalchemy.orm import Session

from cwz_web.accounts.models import Account
from cwz_web.i18n import gettext, ngettext, number
from cwz_web.jobs import PREPARE_QUEUE, defer_once
from cwz_web.notify.emails import EmailMessage
from cwz_web.notify.topics import Topic
from cwz_web.notify.webhooks import Event, emit
from cwz_web.runs.models import Run
from cwz_web.runs.progress import RunState, describe_run, state_of
from cwz_web.stored_messages import translate_stored
from cwz_web.workspaces.members import email_member
from cwz_web.workspaces.models import Workspace


def notify_run_finished(db: Session, run: Run) -> None:
    """Notify webhooks and the account that started a run that it has finished.

    The messages are stored in the caller's transaction: for the workspace's webhooks, the run's own, and the account.
    """
    if run.campaign_id:  # its publication notifies people, with the images of all designs
        defer_once(
            db,
            "campaigns.advance",
            queue=PREPARE_QUEUE,
            queueing_lock=f"campaign {run.campaign_id}",
            workspace_id=str(run.workspace_id),
            campaign_id=str(run.campaign_id),
        )
        return
    event = Event.RUN_FAILED if run.failed else Event.RUN_FINISHED
    emit(db, run.workspace_id, event, describe_run(run), webhook=run.webhook)
    starter = db.get(Account, run.started_by) if run.started_by and run.feed_id else None
    if starter is not None:
        workspace = db.get_one(Workspace, run.workspace_id)
        email_member(db, starter, lambda: _email(workspace, run))


def _email(workspace: Workspace, run: Run) -> EmailMessage:
    name = workspace.name
    images = ngettext("%(count)s image is ready.", "%(count)s images are ready.", run.done)
    if run.error_message:
        if run.done:
            subject = gettext("%(workspace)s: a run could not continue", workspace=name)
        else:
            subject = gettext("%(workspace)s: a run could not start", workspace=name)
        text = [
            f"{translate_stored(run.error_message)}.",
            gettext("Images that were not rendered do not count. You can retry the run."),
        ]
    elif state_of(run) == RunState.COMPLETED_WITH_FINDINGS:
        subject = ngettext(
            "%(workspace)s: a run completed with %(count)s finding",
            "%(workspace)s: a run completed with %(count)s findings",
            run.findings,
            workspace=name,
        )
        text = [images]
        if run.incomplete:
            text.append(ngettext("%(count)s image is incomplete.", "%(count)s images are incomplete.", run.incomplete))
        text.append(gettext("The run lists the findings; you can retry it there."))
    elif run.failed:
        subject = gettext("%(workspace)s: a run finished with failed images", workspace=name)
        text = [
            ngettext(
                "%(count)s image is ready, %(failed)s failed.",
                "%(count)s images are ready, %(failed)s failed.",
                run.done,
                failed=number(run.failed),
            ),
            gettext("The run lists the errors; you can retry it there."),
        ]
        if run.findings:
            text.append(ngettext("It has %(count)s finding.", "It has %(count)s findings.", run.findings))
    else:
        subject = gettext("%(workspace)s: a run has finished", workspace=name)
        text = [images]
    button = (gettext("View run"), f"/w/{workspace.slug}/runs/{run.id}")
    reason = gettext("You receive this email because you started the run.")
    return EmailMessage(subject, (" ".join(text),), button, reason, Topic.RUNS)

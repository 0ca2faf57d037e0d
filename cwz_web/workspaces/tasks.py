"""Jobs of workspaces: invitation emails, refused attempts of outsiders, and the deletion of due accounts."""

from uuid import UUID

from procrastinate import JobContext
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from cwz_web.accounts.models import Account, has_email
from cwz_web.db.session import enter_workspace, raw_connection
from cwz_web.i18n import DEFAULT, current_locale, gettext, long_date, use_locale
from cwz_web.jobs import app
from cwz_web.notify.emails import PRODUCT, EmailMessage
from cwz_web.notify.tasks import PRIORITY, QUEUE, RETRY
from cwz_web.workspaces.account_deletion import delete_due_accounts
from cwz_web.workspaces.audit import record_outside_attempt
from cwz_web.workspaces.invitations import create_token
from cwz_web.workspaces.models import Invitation, Membership, Role, Workspace


@app.task(name="workspaces.send_invitation", queue=QUEUE, priority=PRIORITY, retry=RETRY, pass_context=True)
def send_invitation(context: JobContext, workspace_id: str, invitation_id: str, locale: str = DEFAULT) -> None:
    """Send an invitation. Its token is created here, when the email is sent, and stored as a digest only.

    Args:
        context: The context of the job.
        workspace_id: The workspace.
        invitation_id: The invitation.
        locale: The locale of the page on which it was sent, if the guest has no account.
    """
    email_service = context.additional_context["email_service"]
    with context.additional_context["database"].transaction(UUID(workspace_id)) as db:
        invitation = db.get(Invitation, (UUID(workspace_id), UUID(invitation_id)), with_for_update=True)
        if invitation is None or not invitation.is_open:
            return
        workspace = db.get_one(Workspace, UUID(workspace_id))
        inviter = db.get(Account, invitation.invited_by) if invitation.invited_by else None
        account = db.scalar(select(Account).where(has_email(invitation.email)))
        url = f"{email_service.url}/invitation?token={create_token(invitation)}"
        with use_locale(account.locale if account else locale):
            name = inviter.name if inviter else gettext("An admin")
            message = _invitation_email(workspace, invitation, name, url)
    email_service.send(invitation.email, message)


def enqueue_invitation(db: Session, invitation: Invitation) -> None:
    """Send an invitation after the transaction has committed."""
    send_invitation.configure(connection=raw_connection(db)).defer(
        workspace_id=str(invitation.workspace_id), invitation_id=str(invitation.id), locale=current_locale()
    )


@app.task(name="workspaces.record_outside_attempt", queue=QUEUE, priority=PRIORITY, pass_context=True)
def record_attempt(context: JobContext, slug: str, target: str, account_id: str, ip_address: str) -> None:
    """Record a request of a user for a workspace of which they are not a member, if it exists.

    A job, so that the time of the answer does not reveal whether it does.
    """
    with context.additional_context["database"].transaction() as db:
        workspace_id = db.scalar(text("SELECT workspace_of_slug(:slug)"), {"slug": slug})
        if workspace_id is None:
            return
        enter_workspace(db, workspace_id)
        if db.get(Membership, (workspace_id, UUID(account_id))) is None:
            record_outside_attempt(db, workspace_id, target, UUID(account_id), ip_address)


def enqueue_outside_attempt(db: Session, slug: str, target: str, account_id: UUID, ip_address: str) -> None:
    """Record an attempt of a non-member after the transaction has committed."""
    record_attempt.configure(connection=raw_connection(db)).defer(
        slug=slug, target=target, account_id=str(account_id), ip_address=ip_address
    )


@app.periodic(cron="41 * * * *")
@app.task(name="workspaces.delete_due_accounts", queueing_lock="delete_due_accounts", pass_context=True)
def delete_accounts(context: JobContext, timestamp: int) -> None:
    """Delete the accounts whose grace period is over."""
    with context.additional_context["database"].transaction() as db:
        delete_due_accounts(db)


def _invitation_email(workspace: Workspace, invitation: Invitation, inviter: str, url: str) -> EmailMessage:
    return EmailMessage(
        gettext(
            "%(name)s invited you to %(workspace)s on %(product)s",
            name=inviter,
            workspace=workspace.name,
            product=PRODUCT,
        ),
        (
            gettext(
                "%(name)s invited you to join the workspace %(workspace)s. Your role: %(role)s.",
                name=inviter,
                workspace=workspace.name,
                role=Role(invitation.role).label,
            ),
            gettext(
                "The invitation expires on %(day)s, and is valid for this email address only.",
                day=long_date(invitation.expires_at),
            ),
        ),
        (gettext("View invitation"), url),
        gettext("You receive this email because someone invited you. If you do not know them, you can ignore it."),
    )

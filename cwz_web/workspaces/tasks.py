"""Jobs about workspaces: invitations by mail, and accounts whose day has come."""

from uuid import UUID

from procrastinate import JobContext
from sqlalchemy.orm import Session

from cwz_web.accounts.models import Account
from cwz_web.db.session import raw_connection
from cwz_web.jobs import app
from cwz_web.notify.emails import PRODUCT, EmailMessage
from cwz_web.notify.tasks import PRIORITY, QUEUE, RETRY
from cwz_web.workspaces.account_deletion import delete_due_accounts
from cwz_web.workspaces.invitations import make_link
from cwz_web.workspaces.models import Invitation, Role, Workspace


@app.task(name="workspaces.send_invitation", queue=QUEUE, priority=PRIORITY, retry=RETRY, pass_context=True)
def send_invitation(context: JobContext, workspace_id: str, invitation_id: str) -> None:
    """Write to somebody who is invited. The link is made here, when its mail leaves."""
    post = context.additional_context["post"]
    with context.additional_context["database"].transaction(UUID(workspace_id)) as db:
        invitation = db.get(Invitation, (UUID(workspace_id), UUID(invitation_id)), with_for_update=True)
        if invitation is None or not invitation.is_open:
            return
        workspace = db.get_one(Workspace, UUID(workspace_id))
        inviter = db.get(Account, invitation.invited_by) if invitation.invited_by else None
        url = f"{post.url}/invitation?token={make_link(invitation)}"
    post.send(invitation.email, _letter(workspace, invitation, inviter.name if inviter else "Somebody", url))


def queue_invitation(db: Session, invitation: Invitation) -> None:
    """Once the transaction has committed, write to somebody who is invited."""
    send_invitation.configure(connection=raw_connection(db)).defer(
        workspace_id=str(invitation.workspace_id), invitation_id=str(invitation.id)
    )


@app.periodic(cron="41 * * * *")
@app.task(name="workspaces.delete_due_accounts", queueing_lock="delete_due_accounts", pass_context=True)
def delete_accounts(context: JobContext, timestamp: int) -> None:
    """Delete the accounts whose thirty days are over."""
    with context.additional_context["database"].transaction() as db:
        delete_due_accounts(db)


def _letter(workspace: Workspace, invitation: Invitation, inviter: str, url: str) -> EmailMessage:
    return EmailMessage(
        f"{inviter} invites you to {workspace.name} on {PRODUCT}",
        (
            f"{inviter} invites you to the workspace {workspace.name}, as {Role(invitation.role).label}.",
            f"The invitation is for this address and works once, until {invitation.expires_at:%-d %B %Y}.",
        ),
        ("See the invitation", url),
        "You get this mail because somebody invited you. If you do not know them, ignore it.",
    )

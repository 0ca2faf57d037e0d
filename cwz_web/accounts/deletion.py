"""Leaving for good: an account is deleted thirty days after its owner asked, unless they change their mind."""

from datetime import UTC, datetime, timedelta

from sqlalchemy.orm import Session

from cwz_web.accounts import emails
from cwz_web.accounts.models import Account, SignIn
from cwz_web.accounts.sessions import end_all_sessions
from cwz_web.notify.tasks import queue_email

GRACE = timedelta(days=30)


def begin_deletion(db: Session, session: SignIn, url: str) -> None:
    """Set the day, end every other session, and tell the owner how to cancel (`url`)."""
    account = session.account
    account.delete_at = datetime.now(UTC) + GRACE
    end_all_sessions(db, account, keep=session.id)
    queue_email(db, account.email, emails.deletion_begun(account, account.delete_at, url))


def cancel_deletion(db: Session, account: Account) -> None:
    """The account stays."""
    account.delete_at = None
    queue_email(db, account.email, emails.deletion_cancelled(account))

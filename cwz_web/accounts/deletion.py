"""Account deletion: scheduled thirty days ahead, and canceled at any time before that."""

from datetime import UTC, datetime, timedelta

from sqlalchemy.orm import Session

from cwz_web.accounts import emails
from cwz_web.accounts.models import Account, LoginSession
from cwz_web.accounts.sessions import end_all_sessions
from cwz_web.notify.tasks import enqueue_email

GRACE = timedelta(days=30)


def schedule_deletion(db: Session, session: LoginSession, url: str) -> None:
    """Schedule the deletion, end every other session, and email the owner.

    Args:
        url: The page on which the owner can cancel the deletion.
    """
    account = session.account
    account.delete_at = datetime.now(UTC) + GRACE
    end_all_sessions(db, account, keep=session.id)
    enqueue_email(db, account.email, emails.account_deletion_scheduled(account, account.delete_at, url))


def cancel_deletion(db: Session, account: Account) -> None:
    """Cancel the scheduled deletion, and email the owner."""
    account.delete_at = None
    enqueue_email(db, account.email, emails.account_deletion_canceled(account))

"""Jobs that send emails with account links.

A token is created when its email is sent, so that only its digest is stored, never the token in a job's arguments.
"""

from uuid import UUID

from procrastinate import JobContext
from sqlalchemy import select
from sqlalchemy.orm import Session

from cwz_web.accounts import emails
from cwz_web.accounts.google import list_identities
from cwz_web.accounts.models import Account, has_email
from cwz_web.accounts.passkeys import list_passkeys
from cwz_web.accounts.tokens import Purpose, issue_token
from cwz_web.db.session import raw_connection
from cwz_web.jobs import app
from cwz_web.notify.tasks import PRIORITY, QUEUE, RETRY


@app.task(name="accounts.send_sign_up_email", queue=QUEUE, priority=PRIORITY, retry=RETRY, pass_context=True)
def send_sign_up_email(context: JobContext, email: str) -> None:
    """Send the verification link, or the information that the address already has an account."""
    email_service = context.additional_context["email_service"]
    with context.additional_context["database"].transaction() as db:
        account = db.scalar(select(Account).where(has_email(email)))
        if account is None:
            return
        if account.verified_at is None:
            token = issue_token(db, account, Purpose.VERIFY)
            message = emails.verification(account, f"{email_service.url}/verify?token={token}")
        else:
            message = emails.account_exists(account, f"{email_service.url}/signin")
    email_service.send(account.email, message)


@app.task(name="accounts.send_password_reset", queue=QUEUE, priority=PRIORITY, retry=RETRY, pass_context=True)
def send_password_reset(context: JobContext, email: str) -> None:
    """Send a reset link, if the address has an account."""
    email_service = context.additional_context["email_service"]
    with context.additional_context["database"].transaction() as db:
        account = db.scalar(select(Account).where(has_email(email)))
        if account is None:
            return
        identities = list_identities(db, account)
        if account.password_hash is None and account.verified_at is not None and identities:
            message = emails.reset_by_google(account, identities, f"{email_service.url}/signin")
        else:
            token = issue_token(db, account, Purpose.RESET)
            url = f"{email_service.url}/reset?token={token}"
            message = emails.reset(account, identities, list_passkeys(db, account), url)
    email_service.send(account.email, message)


@app.task(name="accounts.send_email_confirmation", queue=QUEUE, priority=PRIORITY, retry=RETRY, pass_context=True)
def send_email_confirmation(context: JobContext, account_id: str, email: str) -> None:
    """Send the confirmation link to a new address, or the information that it already has an account."""
    email_service = context.additional_context["email_service"]
    with context.additional_context["database"].transaction() as db:
        account = db.get(Account, UUID(account_id))
        if account is None:
            return
        owner = db.scalar(select(Account).where(has_email(email)))
        if owner is not None:
            message = emails.account_exists(owner, f"{email_service.url}/signin")
        else:
            token = issue_token(db, account, Purpose.EMAIL, email=email)
            message = emails.confirm_email(account, f"{email_service.url}/email?token={token}")
    email_service.send(email, message)


def enqueue_sign_up_email(db: Session, email: str) -> None:
    """Send the sign-up email after the transaction has committed."""
    send_sign_up_email.configure(connection=raw_connection(db)).defer(email=email)


def enqueue_password_reset(db: Session, email: str) -> None:
    """Send the reset email after the transaction has committed."""
    send_password_reset.configure(connection=raw_connection(db)).defer(email=email)


def enqueue_email_confirmation(db: Session, account: Account, email: str) -> None:
    """Send the confirmation email after the transaction has committed."""
    send_email_confirmation.configure(connection=raw_connection(db)).defer(account_id=str(account.id), email=email)

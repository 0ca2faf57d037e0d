"""Jobs about accounts: letters with links. A token is made when its mail leaves, so that it is stored nowhere."""

from uuid import UUID

from procrastinate import JobContext
from sqlalchemy import select
from sqlalchemy.orm import Session

from cwz_web.accounts import emails
from cwz_web.accounts.models import Account, has_email
from cwz_web.accounts.tokens import Purpose, issue
from cwz_web.db.session import raw_connection
from cwz_web.jobs import app
from cwz_web.notify.tasks import PRIORITY, QUEUE, RETRY


@app.task(name="accounts.answer_sign_up", queue=QUEUE, priority=PRIORITY, retry=RETRY, pass_context=True)
def answer_sign_up(context: JobContext, email: str) -> None:
    """Write to whoever signed up: how to prove the address, or that there is an account already."""
    post = context.additional_context["post"]
    with context.additional_context["database"].transaction() as db:
        account = db.scalar(select(Account).where(has_email(email)))
        if account is None:
            return
        if account.verified_at is None:
            link = issue(db, account, Purpose.VERIFY)
            letter = emails.verification(f"{post.url}/verify?token={link}")
        else:
            letter = emails.already_a_member(account, f"{post.url}/signin")
    post.send(account.email, letter)


@app.task(name="accounts.answer_forgotten", queue=QUEUE, priority=PRIORITY, retry=RETRY, pass_context=True)
def answer_forgotten(context: JobContext, email: str) -> None:
    """Write to whoever forgot a password, if there is such an account."""
    post = context.additional_context["post"]
    with context.additional_context["database"].transaction() as db:
        account = db.scalar(select(Account).where(has_email(email)))
        if account is None:
            return
        if account.password_hash is None and account.verified_at is not None:
            letter = emails.reset_by_google(account, f"{post.url}/signin")
        else:
            link = issue(db, account, Purpose.RESET)
            letter = emails.reset(account, f"{post.url}/reset?token={link}")
    post.send(account.email, letter)


@app.task(name="accounts.ask_new_address", queue=QUEUE, priority=PRIORITY, retry=RETRY, pass_context=True)
def ask_new_address(context: JobContext, account_id: str, email: str) -> None:
    """Write to a new address; to one that has an account already, that it has."""
    post = context.additional_context["post"]
    with context.additional_context["database"].transaction() as db:
        account = db.get(Account, UUID(account_id))
        if account is None:
            return
        taken = db.scalar(select(Account).where(has_email(email)))
        if taken is not None:
            letter = emails.already_a_member(taken, f"{post.url}/signin")
        else:
            link = issue(db, account, Purpose.EMAIL, email=email)
            letter = emails.confirm_email(account, f"{post.url}/email?token={link}")
    post.send(email, letter)


def queue_sign_up_answer(db: Session, email: str) -> None:
    """Once the transaction has committed, write to whoever signed up."""
    answer_sign_up.configure(connection=raw_connection(db)).defer(email=email)


def queue_forgotten_answer(db: Session, email: str) -> None:
    """Once the transaction has committed, write to whoever forgot a password."""
    answer_forgotten.configure(connection=raw_connection(db)).defer(email=email)


def queue_new_address(db: Session, account: Account, email: str) -> None:
    """Once the transaction has committed, write to a new address."""
    ask_new_address.configure(connection=raw_connection(db)).defer(account_id=str(account.id), email=email)

"""What a person changes of how they sign in: the password, the address. Each change is told to them by mail."""

from datetime import UTC, datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from cwz_web.accounts import emails
from cwz_web.accounts.models import Account, SignIn, Token, has_email
from cwz_web.accounts.passwords import Passwords
from cwz_web.accounts.sessions import end_all_sessions, is_fresh
from cwz_web.accounts.tokens import InvalidTokenError, Purpose, forget_tokens, look
from cwz_web.notify.tasks import queue_email


class ReauthenticationError(Exception):
    """The person has to prove again who they are: the password is wrong, or the sign-in with Google is too old."""


def prove(session: SignIn, password: str, passwords: Passwords) -> None:
    """See that the person at the browser is the account's owner, before something that matters.

    With a password by that; without one by a sign-in of the last minutes. Raises ReauthenticationError.
    """
    account = session.account
    if account.password_hash is None:
        if not is_fresh(session):
            raise ReauthenticationError
    elif not passwords.verify(password, account.password_hash):
        raise ReauthenticationError


def prove_again(session: SignIn, password: str, passwords: Passwords) -> None:
    """Take a proof that counts for the next minutes; without a password only a new sign-in is one. Raises ReauthenticationError."""
    prove(session, password, passwords)
    if session.account.password_hash is not None:
        session.proved_at = datetime.now(UTC)


def reset_password(db: Session, link: str, password: str, passwords: Passwords) -> Account:
    """Take the link of a forgotten password. Every session ends. The link proves the address as well.

    Raises InvalidTokenError.
    """
    _, account = look(db, link, Purpose.RESET)
    _set_password(db, account, password, passwords)
    account.verified_at = account.verified_at or datetime.now(UTC)
    end_all_sessions(db, account)
    return account


def change_password(db: Session, session: SignIn, password: str, passwords: Passwords) -> None:
    """Set another password, or a first one. Every other session ends; this one needs a new token."""
    _set_password(db, session.account, password, passwords)
    end_all_sessions(db, session.account, keep=session.id)


def change_email(db: Session, link: str) -> Account:
    """Take the link that was sent to a new address. The old one is told. Raises InvalidTokenError, also when the address was
    taken meanwhile."""
    token, account = look(db, link, Purpose.EMAIL)
    assert token.email is not None
    if db.scalar(select(Account.id).where(has_email(token.email))) is not None:
        raise InvalidTokenError
    queue_email(db, account.email, emails.email_changed(account, token.email))
    account.email = token.email
    forget_tokens(db, account)
    return account


def pending_email(db: Session, account: Account) -> str | None:
    """The new address that waits for its link to be followed."""
    token = db.scalar(select(Token).where(Token.account_id == account.id, Token.purpose == Purpose.EMAIL))
    return token.email if token and token.is_alive else None


def _set_password(db: Session, account: Account, password: str, passwords: Passwords) -> None:
    account.password_hash = passwords.hash(password)
    forget_tokens(db, account)
    queue_email(db, account.email, emails.password_changed(account))

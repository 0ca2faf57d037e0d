"""Changes of credentials: password and email address. The owner is notified of each change by email."""

from datetime import UTC, datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from cwz_web.accounts import emails
from cwz_web.accounts.google import list_identities, unlink_google
from cwz_web.accounts.models import Account, LoginSession, Token, has_email
from cwz_web.accounts.passkeys import list_passkeys, remove_all_passkeys
from cwz_web.accounts.passwords import Passwords
from cwz_web.accounts.sessions import end_all_sessions, is_recently_authenticated
from cwz_web.accounts.tokens import InvalidTokenError, Purpose, delete_tokens, find_token
from cwz_web.notify.tasks import enqueue_email


class ReauthenticationError(Exception):
    """The password is wrong or, for an account without a password, the last sign-in is too old."""


def verify_identity(session: LoginSession, password: str, passwords: Passwords) -> None:
    """Verify that the user is the account's owner, before a sensitive action.

    An account without a password (sign-in with Google) is verified by a recent sign-in instead.

    Raises:
        ReauthenticationError: The user is not verified.
    """
    account = session.account
    if account.password_hash is None:
        if not is_recently_authenticated(session):
            raise ReauthenticationError
    elif not passwords.verify(password, account.password_hash):
        raise ReauthenticationError


def reauthenticate(session: LoginSession, password: str, passwords: Passwords) -> None:
    """Verify the user, and mark the session as recently authenticated.

    A session of an account without a password is not renewed: only another sign-in with Google does that.

    Raises:
        ReauthenticationError: The user is not verified.
    """
    verify_identity(session, password, passwords)
    if session.account.password_hash is not None:
        session.authenticated_at = datetime.now(UTC)


def reset_password(
    db: Session,
    plain_token: str,
    password: str,
    passwords: Passwords,
    *,
    unlink_google_accounts: bool = False,
    remove_passkeys: bool = False,
) -> Account:
    """Set a new password with a reset token, and end every session.

    The token verifies the email address as well.

    Args:
        db: The database session.
        plain_token: The token of the link.
        password: The new password.
        passwords: Checks and hashes it.
        unlink_google_accounts: Whether to unlink every Google account, one of which an attacker may have linked.
        remove_passkeys: Whether to remove every passkey, for the same reason.

    Returns:
        The account.

    Raises:
        InvalidTokenError: The token is unknown, expired or outdated.
    """
    _, account = find_token(db, plain_token, Purpose.RESET)
    if unlink_google_accounts:
        unlink_google(db, account)
    if remove_passkeys:
        remove_all_passkeys(db, account)
    _set_password(db, account, password, passwords)
    account.verified_at = account.verified_at or datetime.now(UTC)
    end_all_sessions(db, account)
    return account


def change_password(db: Session, session: LoginSession, password: str, passwords: Passwords) -> None:
    """Set a new password and end every other session.

    The current session needs a new token.

    Args:
        db: The database session.
        session: The session to keep.
        password: The new password.
        passwords: Checks and hashes it.
    """
    _set_password(db, session.account, password, passwords)
    end_all_sessions(db, session.account, keep=session.id)


def change_email(
    db: Session, plain_token: str, *, session: LoginSession | None, password: str | None, passwords: Passwords
) -> Account:
    """Change the email address with the token sent to the new one, and notify the old one.

    The token shows that the link's reader has the new address, and not that they are the account's owner: a new address
    can be that of another person, who follows the link in good faith.

    Args:
        db: The database session.
        plain_token: The token of the link.
        session: The session of the browser that opened the link.
        password: The password of the account, required without a session of it.
        passwords: Verifies the password.

    Raises:
        InvalidTokenError: The token is invalid, or another account has taken the address since.
        ReauthenticationError: The browser has no session of the account, and the password is missing or wrong.
    """
    token, account = find_token(db, plain_token, Purpose.EMAIL)
    if not is_session_of(session, account) and not passwords.verify(password or "", account.password_hash):
        raise ReauthenticationError
    assert token.email is not None
    if db.scalar(select(Account.id).where(has_email(token.email))) is not None:
        raise InvalidTokenError
    enqueue_email(db, account.email, emails.email_changed(account, token.email))
    account.email = token.email
    delete_tokens(db, account)
    return account


def is_session_of(session: LoginSession | None, account: Account) -> bool:
    """Return whether a browser's session is of an account, and of its owner."""
    return session is not None and session.is_own and session.account_id == account.id


def pending_email(db: Session, account: Account) -> str | None:
    """Return the new email address that has not been confirmed yet."""
    token = db.scalar(select(Token).where(Token.account_id == account.id, Token.purpose == Purpose.EMAIL))
    return token.email if token and token.is_valid else None


def _set_password(db: Session, account: Account, password: str, passwords: Passwords) -> None:
    account.password_hash = passwords.hash(password)
    delete_tokens(db, account)
    message = emails.password_changed(account, list_identities(db, account), list_passkeys(db, account))
    enqueue_email(db, account.email, message)

"""Sign-up, email verification, and sign-in with a password.

Responses do not reveal whether an email address has an account: the request does the same work in both cases, and a
job, which clients cannot time, looks up the account and sends the email.
"""

from datetime import UTC, datetime

from email_validator import EmailNotValidError, validate_email
from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session
from uuid_utils.compat import uuid7

from cwz_web.accounts.models import Account, has_email
from cwz_web.accounts.passwords import Passwords
from cwz_web.accounts.tokens import Purpose, delete_tokens, digest, find_token
from cwz_web.i18n import gettext


class SignInError(Exception):
    """The email address or the password is wrong; which of them is not disclosed."""


class EmailNotVerifiedError(Exception):
    """The password is correct, but the email address has not been verified."""


class BrowserMismatchError(Exception):
    """The link was opened in another browser than the sign-up, without the correct password.

    This keeps an attacker who signs up with a victim's address from getting an account when the victim follows the
    link in good faith.
    """


def normalize_email(text: str) -> str:
    """Return an email address (RFC 5321) in the ASCII form that is stored.

    Raises:
        ValueError: The text is not an email address; the message can be shown in a form.
    """
    try:
        address = validate_email(text, check_deliverability=False, globally_deliverable=False, allow_smtputf8=False)
    except EmailNotValidError:
        raise ValueError(gettext("Enter an email address, such as name@example.com")) from None
    if address.ascii_email is None or "." not in address.ascii_domain or address.display_name:
        raise ValueError(gettext("Enter an email address, such as name@example.com"))
    return address.ascii_email


def sign_up(
    db: Session,
    *,
    email: str,
    name: str,
    password: str,
    browser: str,
    passwords: Passwords,
    locale: str | None = None,
) -> None:
    """Create an account that cannot sign in until its email address is verified.

    Another sign-up with an unverified address replaces these values; a verified account does not change.

    Args:
        db: The database session.
        email: A normalized email address.
        name: The display name.
        password: The password.
        browser: The visitor cookie of the browser.
        passwords: Hashes the password.
        locale: The locale that the browser asks for, if it is one of ours.
    """
    values = {
        "name": name,
        "password_hash": passwords.hash(password),
        "sign_up_visitor_digest": digest(browser),
        "locale": locale,
    }
    statement = insert(Account).values(id=uuid7(), email=email, epoch=0, **values)
    db.execute(
        statement.on_conflict_do_update(
            index_elements=[func.lower(Account.email)], set_=values, where=Account.verified_at.is_(None)
        )
    )


def is_sign_up_browser(account: Account, browser: str) -> bool:
    """Return whether an unverified account was signed up in this browser."""
    return account.sign_up_visitor_digest == digest(browser)


def verify_email(db: Session, plain_token: str, *, browser: str, password: str | None, passwords: Passwords) -> Account:
    """Mark an account's email address as verified.

    Args:
        db: The database session.
        plain_token: The token of the link.
        browser: The visitor cookie of the browser that opened the link.
        password: The password, required in another browser than the one that signed up.
        passwords: Verifies the password.

    Raises:
        InvalidTokenError: The token is unknown, expired or outdated.
        BrowserMismatchError: Another browser signed up, and the password is missing or wrong.
    """
    _, account = find_token(db, plain_token, Purpose.VERIFY)
    if not is_sign_up_browser(account, browser) and not passwords.verify(password or "", account.password_hash):
        raise BrowserMismatchError
    account.verified_at, account.sign_up_visitor_digest = datetime.now(UTC), None
    delete_tokens(db, account)
    return account


def authenticate(db: Session, *, email: str, password: str, passwords: Passwords) -> Account:
    """Return the account with this email address and password; replace an outdated hash.

    Args:
        db: The database session.
        email: The email address, as entered.
        password: The password, as entered.
        passwords: Compares it with the hash.

    Raises:
        SignInError: The email address or the password is wrong; takes equally long in both cases.
        EmailNotVerifiedError: The email address has not been verified.
    """
    account = db.scalar(select(Account).where(has_email(email)))
    if not passwords.verify(password, account.password_hash if account else None) or account is None:
        raise SignInError
    if account.verified_at is None:
        raise EmailNotVerifiedError
    if passwords.is_outdated(account.password_hash):
        account.password_hash = passwords.hash(password)
    return account

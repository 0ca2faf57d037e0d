"""Signing up, proving an address, signing in with a password.

A request never learns whether an address has an account: it does the same work either way, and a job, which nobody
can time, finds out and writes the letter.
"""

from datetime import UTC, datetime

from email_validator import EmailNotValidError, validate_email
from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session
from uuid_utils.compat import uuid7

from cwz_web.accounts.models import Account, has_email
from cwz_web.accounts.passwords import Passwords
from cwz_web.accounts.tokens import Purpose, digest, forget_tokens, look


class SignInError(Exception):
    """Address and password do not belong together. Never says which of the two is wrong."""


class EmailNotVerifiedError(Exception):
    """The password is right, but the address was never proved."""


class BrowserMismatchError(Exception):
    """The link was opened in another browser than the one that signed up, and the password was not given, or is wrong.

    Whoever signs up with somebody else's address must not get an account when its owner follows the link in good faith.
    """


def clean_email(text: str) -> str:
    """One email address (RFC 5321) in ASCII, as it is stored. Raises ValueError with a message for people."""
    try:
        found = validate_email(text, check_deliverability=False, globally_deliverable=False, allow_smtputf8=False)
    except EmailNotValidError:
        raise ValueError("This is not an email address; it should look like name@example.com") from None
    if found.ascii_email is None or "." not in found.ascii_domain or found.display_name:
        raise ValueError("This is not an email address; it should look like name@example.com")
    return found.ascii_email


def sign_up(db: Session, *, email: str, name: str, password: str, browser: str, passwords: Passwords) -> None:
    """Make an account that is good for nothing until its address is proved.

    For an address that was not proved yet, the newest name and password count, and the browser (its cookie) that chose
    them; one that was proved is left alone.
    """
    fresh = {"name": name, "password_hash": passwords.hash(password), "sign_up_browser": digest(browser)}
    statement = insert(Account).values(id=uuid7(), email=email, epoch=0, **fresh)
    db.execute(
        statement.on_conflict_do_update(
            index_elements=[func.lower(Account.email)], set_=fresh, where=Account.verified_at.is_(None)
        )
    )


def signed_up_in(account: Account, browser: str) -> bool:
    """Whether it was this browser that chose the password of an account whose address is not proved yet."""
    return account.sign_up_browser == digest(browser)


def confirm_address(db: Session, link: str, *, browser: str, password: str | None, passwords: Passwords) -> Account:
    """Take the link of a sign-up: the address is proved.

    Arguments:
        browser: the cookie of the browser that opened the link.
        password: what was typed, when another browser signed up.
    Raises InvalidTokenError, BrowserMismatchError.
    """
    _, account = look(db, link, Purpose.VERIFY)
    if not signed_up_in(account, browser) and not passwords.verify(password or "", account.password_hash):
        raise BrowserMismatchError
    account.verified_at, account.sign_up_browser = datetime.now(UTC), None
    forget_tokens(db, account)
    return account


def check_password(db: Session, *, email: str, password: str, passwords: Passwords) -> Account:
    """The account that an address and a password belong to; its hash is renewed when today's costs more.

    Raises SignInError, after the same time whether the account exists or not, and EmailNotVerifiedError.
    """
    account = db.scalar(select(Account).where(has_email(email)))
    if not passwords.verify(password, account.password_hash if account else None) or account is None:
        raise SignInError
    if account.verified_at is None:
        raise EmailNotVerifiedError
    if passwords.is_outdated(account.password_hash):
        account.password_hash = passwords.hash(password)
    return account

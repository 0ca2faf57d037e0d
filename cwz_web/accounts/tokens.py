"""Links in mails: 32 random bytes as hex, of which the database keeps the SHA-256, for one purpose and one use.

A token is bound to the state of its account: a password change, a change of address, and, for a reset, any sign-in
makes it worthless, and so does a newer token for the same purpose.
"""

import hashlib
import hmac
import secrets
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session
from uuid_utils.compat import uuid7

from cwz_web.accounts.models import Account, Token


class Purpose(StrEnum):
    """What a link does."""

    VERIFY = "verify"
    RESET = "reset"
    EMAIL = "email"


LIFETIME = {Purpose.VERIFY: timedelta(hours=24), Purpose.RESET: timedelta(hours=1), Purpose.EMAIL: timedelta(hours=24)}


class InvalidTokenError(Exception):
    """The link was used, is too old, was replaced by a newer one, or never was one."""


def issue(db: Session, account: Account, purpose: Purpose, *, email: str | None = None) -> str:
    """Make a token and make earlier ones for the same purpose worthless.

    Arguments:
        email: a new address that the link will confirm.
    Returns what the link holds; it is kept nowhere.
    """
    plain = secrets.token_hex(32)
    values = {
        "digest": digest(plain),
        "state": _state(account, purpose),
        "email": email,
        "expires_at": datetime.now(UTC) + LIFETIME[purpose],
        "created_at": func.now(),
    }
    statement = insert(Token).values(id=uuid7(), account_id=account.id, purpose=purpose, **values)
    db.execute(statement.on_conflict_do_update(index_elements=["account_id", "purpose"], set_=values))
    return plain


def look(db: Session, plain: str, purpose: Purpose) -> tuple[Token, Account]:
    """The token that a link holds, and whose it is, both locked until the transaction ends. Raises InvalidTokenError."""
    found = db.execute(
        select(Token, Account)
        .join(Account, Account.id == Token.account_id)
        .where(Token.digest == digest(plain), Token.purpose == purpose)
        .with_for_update()
    ).one_or_none()
    if found is None:
        raise InvalidTokenError
    token, account = found
    if not token.is_alive or not hmac.compare_digest(token.state, _state(account, purpose)):
        raise InvalidTokenError
    return token, account


def forget_tokens(db: Session, account: Account) -> None:
    """Make all of a person's links worthless."""
    db.execute(delete(Token).where(Token.account_id == account.id))


def digest(plain: str) -> str:
    """The SHA-256 by which a token, or a browser's cookie, is kept."""
    return hashlib.sha256(plain.encode()).hexdigest()


def _state(account: Account, purpose: Purpose) -> str:
    parts = [purpose, account.id, account.email, account.password_hash, account.epoch, account.verified_at]
    if purpose is Purpose.RESET:
        parts.append(account.signed_in_at)
    return digest("\n".join(map(str, parts)))

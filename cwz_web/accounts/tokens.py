"""Single-use tokens of links in emails: 32 random bytes as hex, stored as SHA-256, for one purpose.

A token is bound to the state of its account: a change of password or email address invalidates it, and so does a newer
token for the same purpose. A reset token is also invalidated by a sign-in.
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
    """What a token authorizes."""

    VERIFY = "verify"
    RESET = "reset"
    EMAIL = "email"


LIFETIME = {Purpose.VERIFY: timedelta(hours=24), Purpose.RESET: timedelta(hours=1), Purpose.EMAIL: timedelta(hours=24)}


class InvalidTokenError(Exception):
    """The token is unknown, used, expired, or was replaced by a newer one."""


def issue_token(db: Session, account: Account, purpose: Purpose, *, email: str | None = None) -> str:
    """Create a token, which replaces an earlier one for the same purpose.

    Args:
        db: The database session.
        account: The account that the token belongs to.
        purpose: What the token authorizes.
        email: The new email address to confirm.

    Returns:
        The token for the link; only its digest is stored.
    """
    plain_token = secrets.token_hex(32)
    values = {
        "digest": digest(plain_token),
        "state": _state(account, purpose),
        "email": email,
        "expires_at": datetime.now(UTC) + LIFETIME[purpose],
        "created_at": func.now(),
    }
    statement = insert(Token).values(id=uuid7(), account_id=account.id, purpose=purpose, **values)
    db.execute(statement.on_conflict_do_update(index_elements=["account_id", "purpose"], set_=values))
    return plain_token


def find_token(db: Session, plain_token: str, purpose: Purpose) -> tuple[Token, Account]:
    """Return a token and its account, both locked until the transaction ends.

    Raises:
        InvalidTokenError: The token is unknown, expired or outdated.
    """
    found = db.execute(
        select(Token, Account)
        .join(Account, Account.id == Token.account_id)
        .where(Token.digest == digest(plain_token), Token.purpose == purpose)
        .with_for_update()
    ).one_or_none()
    if found is None:
        raise InvalidTokenError
    token, account = found
    if not token.is_valid or not hmac.compare_digest(token.state, _state(account, purpose)):
        raise InvalidTokenError
    return token, account


def delete_tokens(db: Session, account: Account) -> None:
    """Invalidate all tokens of an account."""
    db.execute(delete(Token).where(Token.account_id == account.id))


def digest(value: str) -> str:
    """Return the SHA-256 under which a token or a cookie is stored."""
    return hashlib.sha256(value.encode()).hexdigest()


def _state(account: Account, purpose: Purpose) -> str:
    parts = [purpose, account.id, account.email, account.password_hash, account.epoch, account.verified_at]
    if purpose is Purpose.RESET:
        parts.append(account.signed_in_at)
    return digest("\n".join(map(str, parts)))

"""Sessions: a row in the database, named by a signed token (JWT, RFC 7519) that the browser keeps.

The signature alone opens nothing: each request finds the row, and compares the account's epoch, so that ending a
session, or all of a person's, works at once.
"""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from cwz_web.accounts.models import Account, SignIn
from cwz_web.accounts.passwords import verify_password

ALGORITHM = "HS256"
KEY_ID = "1"
ISSUER = "connectwyze"
ABSOLUTE_LIMIT = timedelta(days=14)
IDLE_LIMIT = timedelta(days=3)
SEEN_EVERY = timedelta(minutes=1)

_claims = jwt.JWTClaimsRegistry(
    iss={"essential": True, "value": ISSUER},
    sub={"essential": True},
    jti={"essential": True},
    exp={"essential": True},
    epoch={"essential": True},
)


class SignInRefused(Exception):
    """Address and password do not belong together. Never says which of the two is wrong."""


def sign_in(db: Session, *, email: str, password: str, pepper: str, secret: str, address: str, user_agent: str) -> str:
    """Check an address and a password, and start a session.

    Returns the token for the cookie. Raises SignInRefused, after the same time whether the account exists or not.
    """
    account = db.scalar(select(Account).where(func.lower(Account.email) == email.lower()))
    if not verify_password(password, account.password_hash if account else None, pepper) or account is None:
        raise SignInRefused
    session = SignIn(account_id=account.id, address=address, user_agent=user_agent[:400])
    db.add(session)
    db.flush()
    now = datetime.now(UTC)
    claims = {
        "iss": ISSUER,
        "sub": str(account.id),
        "jti": str(session.id),
        "epoch": account.epoch,
        "iat": int(now.timestamp()),
        "exp": int((now + ABSOLUTE_LIMIT).timestamp()),
    }
    return jwt.encode({"alg": ALGORITHM, "kid": KEY_ID}, claims, OctKey.import_key(secret))


def find_session(db: Session, token: str, secret: str) -> SignIn | None:
    """The live session that a token names, or None for a token that is forged, expired, ended or outdated."""
    try:
        decoded = jwt.decode(token, OctKey.import_key(secret), algorithms=[ALGORITHM])
        _claims.validate(decoded.claims)
        session_id = UUID(decoded.claims["jti"])
    except (JoseError, ValueError, AttributeError, TypeError):
        return None
    session = db.get(SignIn, session_id)
    if session is None or not _is_live(session, decoded.claims):
        return None
    if datetime.now(UTC) - session.last_seen_at > SEEN_EVERY:
        db.execute(update(SignIn).where(SignIn.id == session.id).values(last_seen_at=func.now()))
    return session


def end_session(db: Session, session_id: UUID) -> None:
    """Sign one browser out."""
    db.execute(update(SignIn).where(SignIn.id == session_id).values(ended_at=func.now()))


def _is_live(session: SignIn, claims: dict[str, Any]) -> bool:
    return (
        session.ended_at is None
        and datetime.now(UTC) - session.last_seen_at < IDLE_LIMIT
        and str(session.account_id) == claims["sub"]
        and session.account.epoch == claims["epoch"]
    )

"""Sessions: a row in the database, named by a signed token (JWT, RFC 7519) that the browser keeps.

The signature alone opens nothing: each request finds the row, and compares the account's epoch, so that ending a
session, or all of a person's, works at once.
"""

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet, OctKey
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from cwz_web.accounts.models import Account, SignIn

ALGORITHM = "HS256"
ISSUER = "connectwyze"
ABSOLUTE_LIMIT = timedelta(days=14)
IDLE_LIMIT = timedelta(days=3)
SEEN_EVERY = timedelta(minutes=1)
# How long a proof of who somebody is counts for what needs a fresh one.
FRESH = timedelta(minutes=15)
SESSION = "session"


class BrowserTokens:
    """Signs what a browser keeps for us, and reads it again. One algorithm; two keys while one replaces the other.

    Arguments:
        newest: the secret that signs.
        before: an earlier secret whose tokens still count.
    """

    def __init__(self, newest: str, before: str | None = None) -> None:
        self._newest = _key(newest)
        self._known = KeySet([self._newest, *([_key(before)] if before else [])])

    def sign(self, audience: str, lifetime: timedelta, **claims: Any) -> str:
        """A token for one audience (what it is for) that expires by itself."""
        now = datetime.now(UTC)
        standard = {"iss": ISSUER, "aud": audience, "iat": int(now.timestamp())}
        expires = {"exp": int((now + lifetime).timestamp())}
        return jwt.encode({"alg": ALGORITHM, "kid": self._newest.kid}, {**claims, **standard, **expires}, self._newest)

    def read(self, audience: str, token: str) -> dict[str, Any] | None:
        """The claims of a token; None when it is forged, expired, or for something else."""
        registry = jwt.JWTClaimsRegistry(
            iss={"essential": True, "value": ISSUER},
            aud={"essential": True, "value": audience},
            exp={"essential": True},
        )
        try:
            decoded = jwt.decode(token, self._known, algorithms=[ALGORITHM])
            registry.validate(decoded.claims)
        except (JoseError, ValueError, AttributeError, TypeError):
            return None
        return decoded.claims


def start_session(
    db: Session, account: Account, tokens: BrowserTokens, *, address: str, user_agent: str
) -> tuple[SignIn, str]:
    """Start a session for somebody who has proved who they are. Returns it, and the token for the cookie."""
    session = SignIn(account_id=account.id, address=address, user_agent=user_agent[:400])
    db.add(session)
    account.signed_in_at = datetime.now(UTC)
    db.flush()
    return session, session_token(session.id, account, tokens)


def session_token(session_id: UUID, account: Account, tokens: BrowserTokens) -> str:
    """The token that names a session, for the account's epoch of now."""
    return tokens.sign(SESSION, ABSOLUTE_LIMIT, sub=str(account.id), jti=str(session_id), epoch=account.epoch)


def find_session(db: Session, token: str, tokens: BrowserTokens) -> SignIn | None:
    """The live session that a token names, or None for a token that is forged, expired, ended or outdated."""
    claims = tokens.read(SESSION, token)
    try:
        session_id = UUID(claims["jti"]) if claims else None
    except (KeyError, ValueError, AttributeError):
        return None
    session = db.get(SignIn, session_id) if session_id else None
    if session is None or claims is None or not _is_live(session, claims):
        return None
    if datetime.now(UTC) - session.last_seen_at > SEEN_EVERY:
        db.execute(update(SignIn).where(SignIn.id == session.id).values(last_seen_at=func.now()))
    return session


def live_sessions(db: Session, account_id: UUID) -> list[SignIn]:
    """Where a person is signed in, the last seen first."""
    found = db.scalars(
        select(SignIn)
        .where(SignIn.account_id == account_id, SignIn.ended_at.is_(None))
        .where(
            SignIn.last_seen_at > datetime.now(UTC) - IDLE_LIMIT, SignIn.created_at > datetime.now(UTC) - ABSOLUTE_LIMIT
        )
        .order_by(SignIn.last_seen_at.desc())
    )
    return list(found)


def end_session(db: Session, account_id: UUID, session_id: UUID) -> bool:
    """Sign one browser of a person out. Returns whether there was such a session."""
    done = db.execute(
        update(SignIn)
        .where(SignIn.id == session_id, SignIn.account_id == account_id, SignIn.ended_at.is_(None))
        .values(ended_at=func.now())
    )
    return bool(done.rowcount)  # type: ignore[attr-defined]


def end_all_sessions(db: Session, account: Account, *, keep: UUID | None = None) -> None:
    """Sign a person out everywhere, at once; `keep` needs a new token afterwards, since the epoch is another."""
    account.epoch += 1
    others = update(SignIn).where(SignIn.account_id == account.id, SignIn.ended_at.is_(None))
    if keep is not None:
        others = others.where(SignIn.id != keep)
    db.execute(others.values(ended_at=func.now()))
    db.flush()


def is_fresh(session: SignIn) -> bool:
    """Whether the person has just proved who they are."""
    return datetime.now(UTC) - session.proved_at < FRESH


def _is_live(session: SignIn, claims: dict[str, Any]) -> bool:
    now = datetime.now(UTC)
    return (
        session.ended_at is None
        and now - session.last_seen_at < IDLE_LIMIT
        and now - session.created_at < ABSOLUTE_LIMIT
        and str(session.account_id) == claims.get("sub")
        and session.account.epoch == claims.get("epoch")
    )


def _key(secret: str) -> OctKey:
    # The id follows from the secret: nothing to configure, and it tells nothing of it.
    return OctKey.import_key(secret, {"kid": hashlib.sha256(b"session key id" + secret.encode()).hexdigest()[:8]})

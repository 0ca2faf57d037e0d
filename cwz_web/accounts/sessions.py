"""Sessions: database rows referenced by a signed token (JWT, RFC 7519) in a cookie.

The signature alone does not authenticate: each request loads the row and compares the account's epoch, so that ending
one or all sessions of an account takes effect immediately.
"""

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet, OctKey
from sqlalchemy import Select, func, select, update
from sqlalchemy.orm import Session

from cwz_web.accounts.models import Account, LoginSession, Method

ALGORITHM = "HS256"
ISSUER = "connectwyze"
ABSOLUTE_LIMIT = timedelta(days=14)
IDLE_LIMIT = timedelta(days=3)
LAST_SEEN_INTERVAL = timedelta(minutes=1)
# How long an authentication allows sensitive actions.
AUTHENTICATION_LIFETIME = timedelta(minutes=15)
SESSION = "session"


class BrowserTokens:
    """Signs and verifies tokens that are kept in the browser, with one algorithm.

    Args:
        newest: The secret that signs.
        before: The previous secret, whose tokens remain valid during a key rotation.
    """

    def __init__(self, newest: str, before: str | None = None) -> None:
        self._newest = _key(newest)
        self._keys = KeySet([self._newest, *([_key(before)] if before else [])])

    def sign(self, audience: str, lifetime: timedelta, **claims: Any) -> str:
        """Return a token for one audience (its purpose) that expires after its lifetime."""
        now = datetime.now(UTC)
        standard = {"iss": ISSUER, "aud": audience, "iat": int(now.timestamp())}
        expires = {"exp": int((now + lifetime).timestamp())}
        return jwt.encode({"alg": ALGORITHM, "kid": self._newest.kid}, {**claims, **standard, **expires}, self._newest)

    def read(self, audience: str, token: str) -> dict[str, Any] | None:
        """Return the claims of a token, or None if it is forged, expired, or for another audience."""
        registry = jwt.JWTClaimsRegistry(
            iss={"essential": True, "value": ISSUER},
            aud={"essential": True, "value": audience},
            exp={"essential": True},
        )
        try:
            decoded = jwt.decode(token, self._keys, algorithms=[ALGORITHM])
            registry.validate(decoded.claims)
        except (JoseError, ValueError, AttributeError, TypeError):
            return None
        return decoded.claims


def start_session(
    db: Session,
    account: Account,
    tokens: BrowserTokens,
    *,
    ip_address: str,
    user_agent: str,
    method: Method = Method.PASSWORD,
    sso_workspace_id: UUID | None = None,
    passkey_id: UUID | None = None,
) -> tuple[LoginSession, str]:
    """Start a session for an authenticated user.

    Args:
        db: The database session.
        account: The user's account.
        tokens: Signs the token.
        ip_address: The client's IP address, for the list of sessions.
        user_agent: The client's User-Agent header, for the list of sessions.
        method: How the user authenticated.
        sso_workspace_id: The workspace whose identity provider vouches for the user.
        passkey_id: The passkey that the user has proved to have.

    Returns:
        The session, and the token for the cookie.
    """
    session = LoginSession(
        account_id=account.id,
        method=method,
        sso_workspace_id=sso_workspace_id,
        passkey_id=passkey_id,
        ip_address=ip_address,
        user_agent=user_agent[:400],
    )
    db.add(session)
    account.signed_in_at = datetime.now(UTC)
    db.flush()
    return session, session_token(session.id, account, tokens)


def session_token(session_id: UUID, account: Account, tokens: BrowserTokens) -> str:
    """Return the token of a session, bound to the account's current epoch."""
    return tokens.sign(SESSION, ABSOLUTE_LIMIT, sub=str(account.id), jti=str(session_id), epoch=account.epoch)


def find_session(db: Session, token: str, tokens: BrowserTokens) -> LoginSession | None:
    """Return the active session of a token, or None if the token is forged or the session has ended."""
    claims = tokens.read(SESSION, token)
    try:
        session_id = UUID(claims["jti"]) if claims else None
    except (KeyError, ValueError, AttributeError):
        return None
    session = db.get(LoginSession, session_id) if session_id else None
    if session is None or claims is None or not _is_active(session, claims):
        return None
    if datetime.now(UTC) - session.last_seen_at > LAST_SEEN_INTERVAL:
        db.execute(update(LoginSession).where(LoginSession.id == session.id).values(last_seen_at=func.now()))
    return session


def list_sessions(db: Session, account_id: UUID) -> list[LoginSession]:
    """Return an account's active sessions, the most recently seen first."""
    found = db.scalars(
        select(LoginSession)
        .where(LoginSession.account_id == account_id, LoginSession.ended_at.is_(None))
        .where(
            LoginSession.last_seen_at > datetime.now(UTC) - IDLE_LIMIT,
            LoginSession.created_at > datetime.now(UTC) - ABSOLUTE_LIMIT,
        )
        .order_by(LoginSession.last_seen_at.desc())
    )
    return list(found)


def end_session(db: Session, account_id: UUID, session_id: UUID) -> bool:
    """End one session of an account. Return whether there was one."""
    result = db.execute(
        update(LoginSession)
        .where(LoginSession.id == session_id, LoginSession.account_id == account_id, LoginSession.ended_at.is_(None))
        .values(ended_at=func.now())
    )
    return bool(result.rowcount)  # type: ignore[attr-defined]


def end_all_sessions(db: Session, account: Account, *, keep: UUID | None = None) -> None:
    """End all sessions of an account; the session `keep` needs a new token, since the epoch changes."""
    account.epoch += 1
    others = update(LoginSession).where(LoginSession.account_id == account.id, LoginSession.ended_at.is_(None))
    if keep is not None:
        others = others.where(LoginSession.id != keep)
    db.execute(others.values(ended_at=func.now()))
    db.flush()


def end_passkey_sessions(db: Session, passkey_id: UUID, *, keep: UUID) -> None:
    """End the sessions that began with a passkey, except the session that removes it."""
    db.execute(
        update(LoginSession)
        .where(LoginSession.passkey_id == passkey_id, LoginSession.ended_at.is_(None), LoginSession.id != keep)
        .values(ended_at=func.now())
    )


def end_provider_sessions(
    db: Session, workspace_id: UUID, *, keep: UUID, account_ids: Select[UUID] | None = None
) -> None:
    """End the sessions that the identity provider of a workspace has started, and its part of the owners' sessions.

    Args:
        db: The database session.
        workspace_id: The workspace, whose provider or domains were changed.
        keep: The session of the admin who did so.
        account_ids: A query for the accounts concerned; by default, all.
    """
    sessions = update(LoginSession).where(LoginSession.sso_workspace_id == workspace_id, LoginSession.id != keep)
    if account_ids is not None:
        sessions = sessions.where(LoginSession.account_id.in_(account_ids))
    ended = sessions.where(LoginSession.method == Method.SINGLE_SIGN_ON, LoginSession.ended_at.is_(None))
    db.execute(ended.values(ended_at=func.now()))
    db.execute(sessions.where(LoginSession.method != Method.SINGLE_SIGN_ON).values(sso_workspace_id=None))


def is_recently_authenticated(session: LoginSession) -> bool:
    """Return whether the user has authenticated recently enough for a sensitive action."""
    return datetime.now(UTC) - session.authenticated_at < AUTHENTICATION_LIFETIME


def _is_active(session: LoginSession, claims: dict[str, Any]) -> bool:
    now = datetime.now(UTC)
    return (
        session.ended_at is None
        and now - session.last_seen_at < IDLE_LIMIT
        and now - session.created_at < ABSOLUTE_LIMIT
        and str(session.account_id) == claims.get("sub")
        and session.account.epoch == claims.get("epoch")
    )


def _key(secret: str) -> OctKey:
    # Derived from the secret: needs no configuration, and discloses nothing about it.
    return OctKey.import_key(secret, {"kid": hashlib.sha256(b"session key id" + secret.encode()).hexdigest()[:8]})

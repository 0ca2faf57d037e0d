"""API keys: `cwz_live_` and 43 characters of base64url. The database keeps only the SHA-256."""

import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from uuid import UUID

from sqlalchemy import func, select, text, update
from sqlalchemy.orm import Session

from cwz_web.generation.models import ApiKey

PREFIX = "cwz_live_"
SHOWN = len(PREFIX) + 4

_form = re.compile(rf"\A{PREFIX}[A-Za-z0-9_-]{{43}}\Z")


@dataclass(frozen=True)
class KeyOwner:
    """Whose key it is, what it is called, and what it may do."""

    key_id: UUID
    workspace_id: UUID
    name: str
    prefix: str
    scopes: frozenset[str]


class Scope(StrEnum):
    """What a key may do."""

    GENERATE = "generate"
    READ = "read"
    FEEDS_WRITE = "feeds.write"


SCOPE_WORDS = {
    Scope.GENERATE: "Make pictures",
    Scope.READ: "Read feeds and their rows",
    Scope.FEEDS_WRITE: "Push rows and begin imports",
}


def create_key(
    db: Session, workspace_id: UUID, name: str, plain: str | None = None, scopes: Iterable[Scope] = (Scope.GENERATE,)
) -> tuple[ApiKey, str]:
    """A new key: its row, and the key itself, which nobody can see again."""
    plain = plain or PREFIX + secrets.token_urlsafe(32)
    key = ApiKey(
        workspace_id=workspace_id,
        name=name,
        prefix=plain[:SHOWN],
        digest=_digest(plain),
        scopes=[str(scope) for scope in scopes],
    )
    db.add(key)
    db.flush()
    return key, plain


def find_owner(db: Session, plain: str) -> KeyOwner | None:
    """Whose key this is, or None when it is not one, or was revoked."""
    if not _form.match(plain):
        return None
    row = db.execute(text("SELECT * FROM api_key_owner(:digest)"), {"digest": _digest(plain)}).one_or_none()
    return KeyOwner(row.id, row.workspace_id, row.name, row.prefix, frozenset(row.scopes)) if row else None


def list_keys(db: Session, workspace_id: UUID) -> list[ApiKey]:
    """The workspace's keys, newest first."""
    return list(db.scalars(select(ApiKey).where(ApiKey.workspace_id == workspace_id).order_by(ApiKey.id.desc())))


def revoke_key(db: Session, key: ApiKey) -> None:
    """Make a key useless, at once and for ever."""
    db.execute(
        update(ApiKey)
        .where(ApiKey.workspace_id == key.workspace_id, ApiKey.id == key.id, ApiKey.revoked_at.is_(None))
        .values(revoked_at=func.now())
    )


def _digest(plain: str) -> str:
    return sha256(plain.encode()).hexdigest()

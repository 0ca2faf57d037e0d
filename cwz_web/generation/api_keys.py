"""API keys: `cwz_live_` and 43 characters of base64url. The database keeps only the SHA-256.

Each request asks whose key it has, so that a revoked one is useless at once. Most programs ask for one template again
and again: the same question tells how things are with the one that the key asked for last.
"""

import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from hashlib import sha256
from threading import Lock
from typing import Any
from uuid import UUID

import cachetools
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from cwz_web.db.session import Database
from cwz_web.generation.models import ApiKey
from cwz_web.generation.template_cache import TemplateVersionState, id_in, state_from
from cwz_web.workspaces.access import PlanStatus

PREFIX = "cwz_live_"
SHOWN = len(PREFIX) + 4
# How long an old key works on beside the one that replaces it, and how often it is noted that a key is used.
OVERLAP = timedelta(days=1)
NOTED_EVERY = timedelta(minutes=1)
# Of so many keys it is remembered which template they asked for.
REMEMBERED = 4096

_STATE = b"SELECT to_json(state) FROM key_state($1, $2, $3) state"
_form = re.compile(rf"\A{PREFIX}[A-Za-z0-9_-]{{43}}\Z")


@dataclass(frozen=True)
class KeyOwner:
    """Whose key it is, what it is called, what it may do, and how much of it.

    `asked_for` is the template that it asked for last, by its id or its slug, and `state` how things are with that now.
    """

    key_id: UUID
    workspace_id: UUID
    name: str
    prefix: str
    digest: str = field(repr=False)
    scopes: frozenset[str]
    templates: frozenset[str] = frozenset()
    origins: frozenset[str] = frozenset()
    minute_cap: int | None = None
    month_cap: int | None = None
    plan_status: PlanStatus = field(default_factory=PlanStatus)
    asked_for: str = ""
    state: TemplateVersionState | None = None


class Scope(StrEnum):
    """What a key may do."""

    GENERATE = "generate"
    READ = "read"
    FEEDS_WRITE = "feeds.write"
    ADMIN = "admin"


SCOPE_WORDS = {
    Scope.GENERATE: "Make images, and start runs",
    Scope.READ: "Read feeds, templates, runs, images and usage",
    Scope.FEEDS_WRITE: "Push rows and begin imports",
    Scope.ADMIN: "Everything that there is in the API",
}


@dataclass(frozen=True)
class KeyTerms:
    """What a new key may do: `KeyOwner` has the same names. `expires_at` is when it ends by itself."""

    scopes: tuple[Scope, ...] = (Scope.GENERATE,)
    templates: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    minute_cap: int | None = None
    month_cap: int | None = None
    expires_at: datetime | None = None


def create_key(
    db: Session, workspace_id: UUID, name: str, terms: KeyTerms | None = None, plain: str | None = None
) -> tuple[ApiKey, str]:
    """A new key: its row, and the key itself, which nobody can see again."""
    plain, terms = plain or PREFIX + secrets.token_urlsafe(32), terms or KeyTerms()
    key = ApiKey(
        workspace_id=workspace_id,
        name=name,
        prefix=plain[:SHOWN],
        digest=_digest(plain),
        scopes=[str(scope) for scope in terms.scopes],
        templates=list(terms.templates),
        origins=list(terms.origins),
        minute_cap=terms.minute_cap,
        month_cap=terms.month_cap,
        expires_at=terms.expires_at,
    )
    db.add(key)
    db.flush()
    return key, plain


def rotate_key(db: Session, key: ApiKey, overlap: timedelta = OVERLAP) -> tuple[ApiKey, str]:
    """Another key with the same terms, beside which the old one works on for a while."""
    terms = KeyTerms(
        scopes=tuple(Scope(scope) for scope in key.scopes),
        templates=tuple(key.templates),
        origins=tuple(key.origins),
        minute_cap=key.minute_cap,
        month_cap=key.month_cap,
        expires_at=key.expires_at,
    )
    ends = datetime.now(UTC) + overlap
    key.expires_at = min(key.expires_at, ends) if key.expires_at else ends
    return create_key(db, key.workspace_id, key.name, terms)


class ApiKeys:
    """Finds whose keys they are. One a process; safe to use from several threads."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._asked_for: cachetools.LRUCache[str, str] = cachetools.LRUCache(REMEMBERED)
        self._lock = Lock()

    def owner(self, plain: str) -> KeyOwner | None:
        """Whose key this is, or None when it is none, has ended, or was revoked. Its use is noted, by the minute."""
        with self.asking(plain) as owner:
            return owner()

    @contextmanager
    def asking(self, plain: str) -> Iterator[Callable[[], KeyOwner | None]]:
        """Ask whose key this is, and go on with something else meanwhile: what comes waits for owner()'s answer."""
        if not _form.match(plain):
            yield lambda: None
            return
        digest = _digest(plain)
        with self._lock:
            asked_for = self._asked_for.get(digest, "")
        with self._database.asking(_STATE, digest, id_in(asked_for), asked_for) as answer:
            yield lambda: self._owner(answer(), digest, asked_for)

    def _owner(self, said: dict[str, Any] | None, digest: str, asked_for: str) -> KeyOwner | None:
        if said is None or said["id"] is None:
            return None
        owner = KeyOwner(
            key_id=UUID(said["id"]),
            workspace_id=UUID(said["workspace_id"]),
            name=said["name"],
            prefix=said["prefix"],
            digest=digest,
            scopes=frozenset(said["scopes"]),
            templates=frozenset(said["templates"]),
            origins=frozenset(said["origins"]),
            minute_cap=said["minute_cap"],
            month_cap=said["month_cap"],
            plan_status=PlanStatus(said["plan"], said["unpaid"], said["read_only"]),
            asked_for=asked_for,
            state=state_from(said),
        )
        now, last_used = datetime.now(UTC), said["last_used_at"]
        if last_used is None or now - datetime.fromisoformat(last_used) > NOTED_EVERY:
            with self._database.transaction(owner.workspace_id) as db:
                mine = (ApiKey.workspace_id == owner.workspace_id, ApiKey.id == owner.key_id)
                db.execute(update(ApiKey).where(*mine).values(last_used_at=now))
        return owner

    def asks_for(self, owner: KeyOwner, template: str) -> None:
        """Remember which template a key asked for, by its id or its slug."""
        if owner.asked_for != template:
            with self._lock:
                self._asked_for[owner.digest] = template


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

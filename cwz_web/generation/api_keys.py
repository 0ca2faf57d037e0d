"""API keys: `cwz_live_` and 43 characters of base64url. The database keeps only the SHA-256.

A key is looked up for every request, so a revoked key is rejected at once.
"""

import re
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from hashlib import sha256
from typing import Any
from uuid import UUID

from sqlalchemy import Row, func, or_, select, text, update
from sqlalchemy.orm import Session

from cwz_web.db.session import Database
from cwz_web.generation.models import ApiKey
from cwz_web.i18n import gettext_noop
from cwz_web.workspaces.access import PlanStatus

PREFIX = "cwz_live_"
# How many characters of a key are stored and shown, so that people recognize it.
PREFIX_LENGTH = len(PREFIX) + 4
# How long a rotated key remains valid beside its replacement.
ROTATION_OVERLAP = timedelta(days=1)
# `last_used_at` is updated at most this often.
LAST_USED_PRECISION = timedelta(minutes=1)

_FIND = text("SELECT * FROM find_api_key(:digest)")
_key_pattern = re.compile(rf"\A{PREFIX}[A-Za-z0-9_-]{{43}}\Z")


class Scope(StrEnum):
    """A group of API operations that a key may call."""

    GENERATE = "generate"
    READ = "read"
    FEEDS_WRITE = "feeds.write"
    IMAGES_WRITE = "images.write"
    UPLOADS_WRITE = "uploads.write"
    BRAND_WRITE = "brand.write"
    TEMPLATES_WRITE = "templates.write"
    CAMPAIGNS_WRITE = "campaigns.write"
    LAYERS_OVERRIDE = "layers.override"
    ADMIN = "admin"


SCOPE_LABELS = {
    Scope.GENERATE: gettext_noop("Create images and start runs"),
    Scope.READ: gettext_noop("Read feeds, templates, runs, campaigns, images, uploads, the brand and usage"),
    Scope.FEEDS_WRITE: gettext_noop("Write feed items and start imports"),
    Scope.IMAGES_WRITE: gettext_noop("Delete images"),
    Scope.UPLOADS_WRITE: gettext_noop("Add and delete uploads"),
    Scope.BRAND_WRITE: gettext_noop("Change the brand, and drafts of templates that use it"),
    Scope.TEMPLATES_WRITE: gettext_noop("Create, change, publish and delete templates"),
    Scope.CAMPAIGNS_WRITE: gettext_noop("Change campaigns, decide about publications, publish and restore them"),
    Scope.LAYERS_OVERRIDE: gettext_noop("Override all properties of layers in a request, not only open ones"),
    Scope.ADMIN: gettext_noop("Full access to the API"),
}


@dataclass(frozen=True)
class ApiKeyIdentity:
    """A valid API key: the identity of an API request.

    Attributes:
        lineage_id: the id of the first key of the caller, which this one replaces through all rotations; or its own.
        templates: ids of the only templates that it may render; empty for all.
        origins: the only origins whose pages may use it; empty for servers.
        requests_per_minute: its rate limit; None for the installation's default.
        images_per_month: its quota; None for no limit.
    """

    key_id: UUID
    lineage_id: UUID
    workspace_id: UUID
    name: str
    prefix: str
    scopes: frozenset[str]
    templates: frozenset[str] = frozenset()
    origins: frozenset[str] = frozenset()
    requests_per_minute: int | None = None
    images_per_month: int | None = None
    plan_status: PlanStatus = field(default_factory=PlanStatus)


@dataclass(frozen=True)
class KeyTerms:
    """The permissions and limits of a new key, as in `ApiKeyIdentity`; `expires_at` is when it expires."""

    scopes: tuple[Scope, ...] = (Scope.GENERATE,)
    templates: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    requests_per_minute: int | None = None
    images_per_month: int | None = None
    expires_at: datetime | None = None


def create_key(
    db: Session,
    workspace_id: UUID,
    name: str,
    terms: KeyTerms | None = None,
    plain: str | None = None,
    created_by: UUID | None = None,
) -> tuple[ApiKey, str]:
    """Create an API key.

    Args:
        db: a transaction in the workspace.
        workspace_id: the workspace.
        name: the key's name.
        terms: its scopes and limits.
        plain: the plain key; random unless given.
        created_by: the account that creates it, and sees the plain key.

    Returns:
        The key's row, and the plain key, which is not stored.
    """
    plain, terms = plain or PREFIX + secrets.token_urlsafe(32), terms or KeyTerms()
    key = ApiKey(
        workspace_id=workspace_id,
        name=name,
        prefix=plain[:PREFIX_LENGTH],
        digest=_digest(plain),
        scopes=[str(scope) for scope in terms.scopes],
        templates=list(terms.templates),
        origins=list(terms.origins),
        requests_per_minute=terms.requests_per_minute,
        images_per_month=terms.images_per_month,
        expires_at=terms.expires_at,
        created_by=created_by,
    )
    db.add(key)
    db.flush()
    return key, plain


def rotate_key(
    db: Session, key: ApiKey, overlap: timedelta = ROTATION_OVERLAP, created_by: UUID | None = None
) -> tuple[ApiKey, str]:
    """Create a key of the same caller with the same terms; the old one expires after the overlap."""
    terms = KeyTerms(
        scopes=tuple(Scope(scope) for scope in key.scopes),
        templates=tuple(key.templates),
        origins=tuple(key.origins),
        requests_per_minute=key.requests_per_minute,
        images_per_month=key.images_per_month,
        expires_at=key.expires_at,
    )
    expires_at = datetime.now(UTC) + overlap
    key.expires_at = min(key.expires_at, expires_at) if key.expires_at else expires_at
    replacement, plain = create_key(db, key.workspace_id, key.name, terms, created_by=created_by)
    replacement.lineage_id = key.lineage_id or key.id
    return replacement, plain


class ApiKeys:
    """Looks up API keys. One per process; thread-safe."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(self, plain: str) -> ApiKeyIdentity | None:
        """Return the identity of a key, or None if the key is unknown, expired or revoked. Records its use."""
        if not _key_pattern.match(plain):
            return None
        row = self._database.query_one(_FIND, {"digest": _digest(plain)})
        if row is None:
            return None
        identity = _identity_from(row)
        self._record_use(identity, row.last_used_at)
        return identity

    def _record_use(self, identity: ApiKeyIdentity, last_used_at: datetime | None) -> None:
        now = datetime.now(UTC)
        if last_used_at is None or now - last_used_at > LAST_USED_PRECISION:
            key = (ApiKey.workspace_id == identity.workspace_id, ApiKey.id == identity.key_id)
            with self._database.transaction(identity.workspace_id) as db:
                db.execute(update(ApiKey).where(*key).values(last_used_at=now))


def list_keys(db: Session, workspace_id: UUID) -> list[ApiKey]:
    """Return the workspace's keys, newest first."""
    return list(db.scalars(select(ApiKey).where(ApiKey.workspace_id == workspace_id).order_by(ApiKey.id.desc())))


def list_valid_keys_of(db: Session, workspace_id: UUID, account_id: UUID) -> list[ApiKey]:
    """Return the workspace's valid keys that an account has created."""
    valid = select(ApiKey).where(
        ApiKey.workspace_id == workspace_id,
        ApiKey.created_by == account_id,
        ApiKey.revoked_at.is_(None),
        or_(ApiKey.expires_at.is_(None), ApiKey.expires_at > func.now()),
    )
    return list(db.scalars(valid.order_by(ApiKey.id)))


def revoke_key(db: Session, key: ApiKey) -> None:
    """Revoke a key, immediately and permanently."""
    db.execute(
        update(ApiKey)
        .where(ApiKey.workspace_id == key.workspace_id, ApiKey.id == key.id, ApiKey.revoked_at.is_(None))
        .values(revoked_at=func.now())
    )


def _identity_from(row: Row[Any]) -> ApiKeyIdentity:
    return ApiKeyIdentity(
        key_id=row.id,
        lineage_id=row.lineage_id,
        workspace_id=row.workspace_id,
        name=row.name,
        prefix=row.prefix,
        scopes=frozenset(row.scopes),
        templates=frozenset(row.templates),
        origins=frozenset(row.origins),
        requests_per_minute=row.requests_per_minute,
        images_per_month=row.images_per_month,
        plan_status=PlanStatus(row.plan, row.unpaid, row.read_only),
    )


def _digest(plain: str) -> str:
    return sha256(plain.encode()).hexdigest()

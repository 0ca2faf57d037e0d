"""The list of API keys: search, filters, order and pages."""

from dataclasses import replace
from uuid import UUID

from sqlalchemy import ColumnElement, and_, func, or_, select, true
from sqlalchemy.orm import Session

from cwz_web.db.pagination import NEVER, Page, Sort, fetch_page, with_reverse
from cwz_web.generation.api_keys import Scope
from cwz_web.generation.models import ApiKey
from cwz_web.i18n import gettext_noop

KEY_PAGE = 50
KEY_SORTS = with_reverse(
    {
        "newest": Sort(gettext_noop("Newest first")),
        "name": Sort(
            gettext_noop("Name"),
            func.lower(ApiKey.name),
            is_descending=False,
            reverse_label=gettext_noop("Name, Z to A"),
        ),
        "used": Sort(
            gettext_noop("Last used"),
            func.coalesce(ApiKey.last_used_at, NEVER),
            reverse_label=gettext_noop("Last used, oldest first"),
        ),
    }
)
_is_expired = and_(ApiKey.expires_at.is_not(None), ApiKey.expires_at <= func.now())
_is_active = and_(ApiKey.revoked_at.is_(None), ~_is_expired)
KEY_STATES: dict[str, tuple[str, ColumnElement[bool]]] = {
    "": (gettext_noop("All states"), true()),
    "active": (gettext_noop("Active"), _is_active),
    "expired": (gettext_noop("Expired"), and_(ApiKey.revoked_at.is_(None), _is_expired)),
    "revoked": (gettext_noop("Revoked"), ApiKey.revoked_at.is_not(None)),
}


def find_keys(
    db: Session,
    workspace_id: UUID,
    *,
    search: str = "",
    state: str = "",
    sort: str = "newest",
    after: UUID | None = None,
) -> Page[ApiKey]:
    """Return a page of the workspace's API keys.

    Args:
        db: A transaction in the workspace.
        workspace_id: The workspace.
        search: Only keys with this in their name or prefix, ignoring case.
        state: Only keys in this state, one of KEY_STATES.
        sort: The order, one of KEY_SORTS.
        after: Where the page begins.
    """
    conditions = [ApiKey.workspace_id == workspace_id, KEY_STATES[state][1]]
    if search:
        texts = (ApiKey.name, ApiKey.prefix)
        conditions.append(or_(*(text.icontains(search, autoescape=True) for text in texts)))
    query = select(ApiKey).where(*conditions)
    page = fetch_page(db, query, ApiKey, workspace_id=workspace_id, sort=KEY_SORTS[sort], after=after, size=KEY_PAGE)
    return replace(page, rows=[row[0] for row in page.rows])


def list_key_names(db: Session, workspace_id: UUID, limit: int = 200) -> dict[str, str]:
    """Return the names of the newest keys with their prefixes, by id."""
    keys = select(ApiKey.id, ApiKey.name, ApiKey.prefix).where(ApiKey.workspace_id == workspace_id)
    rows = db.execute(keys.order_by(ApiKey.id.desc()).limit(limit))
    return {str(row.id): f"{row.name} ({row.prefix}…)" for row in rows}


def find_newest_key(db: Session, workspace_id: UUID) -> str | None:
    """Return the name and the prefix of the newest valid key for servers that can create images, if there is one."""
    keys = select(ApiKey).where(ApiKey.workspace_id == workspace_id, _is_active).order_by(ApiKey.id.desc()).limit(50)
    able = (key for key in db.scalars(keys) if {Scope.GENERATE, Scope.ADMIN} & {*key.scopes} and not key.origins)
    return next((f"{key.name} ({key.prefix}…)" for key in able if not key.templates), None)


def count_active_keys(db: Session, workspace_id: UUID) -> int:
    """Return the number of keys that are valid now."""
    valid = select(func.count()).select_from(ApiKey).where(ApiKey.workspace_id == workspace_id, _is_active)
    return db.scalar(valid) or 0

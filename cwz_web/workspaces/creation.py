"""Creation of workspaces."""

import re
import secrets

from slugify import slugify
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session
from uuid_utils.compat import uuid7

from cwz_web.accounts.models import Account
from cwz_web.db.session import enter_workspace
from cwz_web.i18n import gettext
from cwz_web.workspaces.models import Membership, Role, Workspace

SLUG = re.compile(r"\A[a-z0-9](?:[a-z0-9-]{1,38}[a-z0-9])\Z")
RESERVED = frozenset({"new", "api", "www", "admin", "help", "support", "account", "static", "billing"})


class SlugTakenError(Exception):
    """Another workspace has this slug."""


def validate_slug(text: str) -> str:
    """Return a slug that is valid in a URL.

    Raises:
        ValueError: The slug is invalid or reserved; the message can be shown in a form.
    """
    if not SLUG.match(text) or "--" in text:
        raise ValueError(
            gettext(
                "Use 3 to 40 lowercase letters, digits and single hyphens, and start and end with a letter or digit"
            )
        )
    if text in RESERVED:
        raise ValueError(gettext("This URL is reserved. Choose another one"))
    return text


def suggest_slugs(name: str) -> list[str]:
    """Return valid slugs for a name: one of its letters, if there are enough, and one with a random end."""
    slug = slugify(name, max_length=40, word_boundary=True)
    random = f"{slug[:33].rstrip('-') or 'workspace'}-{secrets.token_hex(3)}"
    try:
        return [validate_slug(slug), random]
    except ValueError:
        return [random]


def create_workspace(db: Session, account: Account, *, name: str, slug: str) -> Workspace:
    """Create a workspace with the account as its admin, and enter it with the session.

    Args:
        db: The database session.
        account: The first admin.
        name: The workspace's name.
        slug: Its part of URLs.

    Raises:
        SlugTakenError: Another workspace has this slug.
    """
    workspace = Workspace(id=uuid7(), name=name, slug=slug)
    enter_workspace(db, workspace.id)
    try:
        with db.begin_nested():
            db.add(workspace)
    except IntegrityError:
        raise SlugTakenError from None
    db.add(Membership(workspace_id=workspace.id, account_id=account.id, role=Role.ADMIN))
    db.flush()
    return workspace

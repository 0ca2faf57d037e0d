"""Links that show a template to people without an account: read-only, for a while, and revocable.

A link has a token of 32 random bytes, of which only the SHA-256 is stored. It shows the draft or one version with the
values that its creator has chosen, as they were then: a row that changes later is not disclosed. Expired links are
deleted when the next one is created.
"""

import secrets
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from sqlalchemy import Select, delete, select, text
from sqlalchemy.orm import Session

from cwz_web.accounts.models import Account
from cwz_web.accounts.tokens import digest
from cwz_web.db.session import enter_workspace
from cwz_web.generation.drafts import load_draft
from cwz_web.generation.models import Template, TemplateLink
from cwz_web.generation.templates import TemplateDesign, load_design
from cwz_web.i18n import gettext

DEFAULT_DAYS, MAX_DAYS = 7, 90
MAX_LINKS = 20


class TooManyLinksError(Exception):
    """The template has as many links as it can have; the message can be shown in a form."""


def create_link(
    db: Session,
    template: Template,
    *,
    version: int | None,
    sample: str,
    values: Mapping[str, str],
    days: int,
    created_by: Account,
) -> tuple[TemplateLink, str]:
    """Create a link.

    Args:
        db: A transaction in the workspace.
        template: The template that it shows.
        version: The version that it shows; None for the draft.
        sample: What the values are from.
        values: The values of the template's fields.
        days: How long it is valid, at most MAX_DAYS.
        created_by: The account that creates it.

    Returns:
        The link, and its token, which is not stored.

    Raises:
        TooManyLinksError: The template has too many valid links.
    """
    db.refresh(template, with_for_update=True)  # so that two requests at once do not exceed the limit
    own = TemplateLink.workspace_id == template.workspace_id, TemplateLink.template_id == template.id
    now = datetime.now(UTC)
    db.execute(delete(TemplateLink).where(*own, TemplateLink.expires_at <= now))
    if len(list_links(db, template)) >= MAX_LINKS:
        raise TooManyLinksError(
            gettext("A template can have at most %(number)s links. Revoke one first", number=MAX_LINKS)
        )
    token = secrets.token_hex(32)
    link = TemplateLink(
        workspace_id=template.workspace_id,
        template_id=template.id,
        version=version,
        sample=sample,
        values=dict(values),
        digest=digest(token),
        created_by=created_by.id,
        expires_at=now + timedelta(days=min(days, MAX_DAYS)),
    )
    db.add(link)
    db.flush()
    return link, token


def list_links(db: Session, template: Template) -> list[TemplateLink]:
    """Return the valid links of a template, the newest first."""
    own = _valid().where(TemplateLink.workspace_id == template.workspace_id, TemplateLink.template_id == template.id)
    return list(db.scalars(own.order_by(TemplateLink.id.desc())))


def find_shared_design(db: Session, token: str) -> tuple[TemplateLink, TemplateDesign] | None:
    """Return the valid link of a token with what it shows, and enter its workspace; None for any other token."""
    found = db.execute(
        text("SELECT workspace_id, id FROM workspace_of_template_link(:digest)"), {"digest": digest(token)}
    ).one_or_none()
    if found is None:
        return None
    enter_workspace(db, found.workspace_id)
    own = TemplateLink.workspace_id == found.workspace_id, TemplateLink.id == found.id
    link = db.scalar(_valid().where(*own))
    template = db.get(Template, (found.workspace_id, link.template_id)) if link else None
    if link is None or template is None or template.deleted_at is not None:
        return None
    return link, load_design(db, template, link.version) if link.version else load_draft(db, template)


def _valid() -> Select[TemplateLink]:
    return select(TemplateLink).where(TemplateLink.expires_at > datetime.now(UTC))

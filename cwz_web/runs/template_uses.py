"""The list of templates with their uses: when each was last used, and the feeds that it renders automatically."""

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, func, literal, select
from sqlalchemy.orm import InstrumentedAttribute, Session, aliased

from cwz_web.db.pagination import NEVER, AnySelect, Page, Sort, fetch_page
from cwz_web.feeds.models import Feed
from cwz_web.generation.models import Image, Template, TemplateVersion
from cwz_web.generation.templates import TemplateDesign
from cwz_web.i18n import gettext_noop
from cwz_web.imaging.documents import ImageTemplate
from cwz_web.runs.models import AutoRun, Run

TEMPLATE_PAGE = 24


def _newest(model: type[Run] | type[Image]) -> ColumnElement[Any]:
    """Return when the newest run or image of a template was created; both have an index for it."""
    row = aliased(model)
    created: InstrumentedAttribute[datetime] = row.created_at
    query = select(created).where(row.workspace_id == Template.workspace_id, row.template_id == Template.id)
    return query.order_by(row.id.desc()).limit(1).correlate(Template).scalar_subquery()


# PostgreSQL's greatest() ignores NULL.
LAST_USED: ColumnElement[Any] = func.coalesce(func.greatest(_newest(Run), _newest(Image)), literal(NEVER))
TEMPLATE_SORTS = {
    "newest": Sort(gettext_noop("Newest first")),
    "name": Sort(gettext_noop("Name"), func.lower(Template.name), is_descending=False),
    "used": Sort(gettext_noop("Last used"), LAST_USED),
}


@dataclass(frozen=True)
class UsedTemplate:
    """A template with its published document, and its uses.

    Attributes:
        last_used: When its newest run was started or image stored; None if it was never used.
        feeds: The names of the feeds that it renders automatically.
    """

    design: TemplateDesign
    last_used: datetime | None
    feeds: list[str]


def find_templates(
    db: Session,
    workspace_id: UUID,
    *,
    search: str = "",
    tag: str = "",
    is_deleted: bool = False,
    sort: str = "newest",
    after: UUID | None = None,
) -> Page[UsedTemplate]:
    """Return a page of templates.

    Args:
        db: A transaction in the workspace.
        workspace_id: The workspace.
        search: Only templates with this in their name, ignoring case.
        tag: Only templates with this tag.
        is_deleted: Whether to return the deleted templates instead of the others.
        sort: The order, one of TEMPLATE_SORTS.
        after: Where the page begins.
    """
    conditions = [
        Template.workspace_id == workspace_id,
        Template.deleted_at.is_not(None) if is_deleted else Template.deleted_at.is_(None),
    ]
    if search:
        conditions.append(Template.name.icontains(search, autoescape=True))
    if tag:
        conditions.append(Template.tags.contains([tag]))
    page = fetch_page(
        db,
        _with_documents().where(*conditions),
        Template,
        workspace_id=workspace_id,
        sort=TEMPLATE_SORTS[sort],
        after=after,
        size=TEMPLATE_PAGE,
    )
    return replace(page, rows=_used_templates(db, workspace_id, page.rows))


def _with_documents() -> AnySelect:
    return select(Template, TemplateVersion.document, LAST_USED).join(
        TemplateVersion,
        (TemplateVersion.workspace_id == Template.workspace_id)
        & (TemplateVersion.template_id == Template.id)
        & (TemplateVersion.number == Template.version),
    )


def _used_templates(db: Session, workspace_id: UUID, rows: list[Any]) -> list[UsedTemplate]:
    feeds = _automatic_feeds(db, workspace_id, [template.id for template, _, _ in rows])
    return [
        UsedTemplate(
            design=TemplateDesign(template, ImageTemplate.model_validate(document), template.version),
            last_used=None if last_used == NEVER else last_used,
            feeds=feeds[template.id],
        )
        for template, document, last_used in rows
    ]


def _automatic_feeds(db: Session, workspace_id: UUID, template_ids: Collection[UUID]) -> dict[UUID, list[str]]:
    """Return the names of the feeds that are rendered automatically, by template."""
    rules = (
        select(AutoRun.template_id, Feed.name)
        .join(Feed, (Feed.workspace_id == AutoRun.workspace_id) & (Feed.id == AutoRun.feed_id))
        .where(AutoRun.workspace_id == workspace_id, AutoRun.template_id.in_(template_ids), Feed.deleted_at.is_(None))
        .order_by(Feed.name)
    )
    feeds: dict[UUID, list[str]] = defaultdict(list)
    for template_id, name in db.execute(rules):
        feeds[template_id].append(name)
    return feeds

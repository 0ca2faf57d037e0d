"""The list of runs: filters and pages, and the first images of each run."""

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass, replace
from uuid import UUID

from sqlalchemy import ColumnElement, and_, exists, func, or_, select, true
from sqlalchemy.orm import Session, aliased

from cwz_web.db.pagination import MAX_COUNT, AnySelect, Page, Sort, fetch_page, with_reverse
from cwz_web.feeds.models import Feed
from cwz_web.generation.models import Image, Template
from cwz_web.i18n import gettext, gettext_noop, short_day
from cwz_web.runs.models import Run, RunItem

RUN_PAGE = 30
FIRST_IMAGES = 3
# The first images are looked for in so many items, since those of a large run may all have failed.
MAX_ITEMS = 50


def _run_name() -> ColumnElement[str]:
    """Return the name of a run, ignoring case; the list's own joins are not part of the subquery."""
    feed, template = aliased(Feed), aliased(Template)
    names = select(func.lower(feed.name + " " + template.name)).where(
        feed.workspace_id == Run.workspace_id,
        feed.id == Run.feed_id,
        template.workspace_id == Run.workspace_id,
        template.id == Run.template_id,
    )
    return names.correlate(Run).scalar_subquery()


RUN_SORTS = with_reverse(
    {
        "newest": Sort(gettext_noop("Newest first"), reverse_label=gettext_noop("Oldest first")),
        "name": Sort(
            gettext_noop("Name"), _run_name(), is_descending=False, reverse_label=gettext_noop("Name, Z to A")
        ),
        "images": Sort(gettext_noop("Most images"), Run.total.expression, reverse_label=gettext_noop("Fewest images")),
        "findings": Sort(gettext_noop("Most findings"), Run.findings.expression),
    }
)
_is_error = Run.error_message.is_not(None)
_is_canceled = and_(~_is_error, Run.canceled_at.is_not(None))
_is_complete = and_(Run.finished_at.is_not(None), ~_is_error, Run.canceled_at.is_(None), Run.failed == 0)
_has_findings = or_(Run.findings > 0, Run.incomplete > 0)
# What `progress.state_of` says, as conditions. They have no index: the counts change with each chunk, and an index of
# them would slow that down. A page reads the workspace's runs by their id until it is full.
RUN_STATES: dict[str, tuple[str, ColumnElement[bool]]] = {
    "running": (gettext_noop("In progress"), Run.finished_at.is_(None)),
    "completed": (gettext_noop("Completed"), and_(_is_complete, ~_has_findings)),
    "findings": (gettext_noop("Completed with findings"), and_(_is_complete, _has_findings)),
    "failed": (
        gettext_noop("With errors"),
        and_(Run.finished_at.is_not(None), ~_is_canceled, or_(_is_error, Run.failed > 0)),
    ),
    "canceled": (gettext_noop("Canceled"), and_(Run.finished_at.is_not(None), _is_canceled)),
}


@dataclass(frozen=True)
class ListedRun:
    """A run over a feed, with the names of the feed and the template, and its first images."""

    run: Run
    feed: str
    template: str
    images: list[Image]

    @property
    def name(self) -> str:
        return gettext("%(feed)s with %(template)s", feed=self.feed, template=self.template)


def find_runs(
    db: Session,
    workspace_id: UUID,
    *,
    search: str = "",
    state: str = "",
    feed_id: UUID | None = None,
    template_id: UUID | None = None,
    sort: str = "newest",
    after: UUID | None = None,
) -> Page[ListedRun]:
    """Return a page of the runs over feeds.

    Args:
        db: A transaction in the workspace.
        workspace_id: The workspace.
        search: Only runs with this in the name of their feed or template, ignoring case.
        state: Only runs in this state, one of RUN_STATES.
        feed_id: Only runs of this feed.
        template_id: Only runs with this template.
        sort: The order, one of RUN_SORTS.
        after: Where the page begins.
    """
    conditions = [Run.workspace_id == workspace_id]
    if search:
        names = (Feed.name, Template.name)
        conditions.append(or_(*(name.icontains(search, autoescape=True) for name in names)))
    if state:
        conditions.append(RUN_STATES[state][1])
    if feed_id:
        conditions.append(Run.feed_id == feed_id)
    if template_id:
        conditions.append(Run.template_id == template_id)
    query = _with_names().where(*conditions)
    order = RUN_SORTS[sort]
    page = fetch_page(db, query, Run, workspace_id=workspace_id, sort=order, after=after, size=RUN_PAGE)
    images = first_images(db, workspace_id, [run.id for run, _, _ in page.rows])
    runs = [ListedRun(run, feed, template, images[run.id]) for run, feed, template in page.rows]
    return replace(page, rows=runs)


def first_images(db: Session, workspace_id: UUID, run_ids: Collection[UUID]) -> dict[UUID, list[Image]]:
    """Return the first images of some runs, with one query."""
    first = (
        select(RunItem.image_id, RunItem.position)
        .where(
            RunItem.workspace_id == Run.workspace_id,
            RunItem.run_id == Run.id,
            RunItem.position <= MAX_ITEMS,
            RunItem.state.in_(("done", "incomplete")),
        )
        .order_by(RunItem.position)
        .limit(FIRST_IMAGES)
        .lateral()
    )
    rows = (
        select(Run.id, Image)
        .select_from(Run)
        .join(first, true())
        .join(Image, and_(Image.workspace_id == Run.workspace_id, Image.id == first.c.image_id))
        .where(Run.workspace_id == workspace_id, Run.id.in_(run_ids))
        .order_by(first.c.position)
    )
    images: dict[UUID, list[Image]] = defaultdict(list)
    for run_id, image in db.execute(rows):
        images[run_id].append(image)
    return images


def newest_runs_of_feeds(
    db: Session, workspace_id: UUID, feed_ids: Collection[UUID]
) -> dict[UUID, tuple[Run, list[Image]]]:
    """Return the newest run of some feeds and its first images, by feed, with two queries."""
    newest = (
        select(Run)
        .where(Run.workspace_id == Feed.workspace_id, Run.feed_id == Feed.id)
        .order_by(Run.id.desc())
        .limit(1)
        .lateral()
    )
    rows = select(Feed.id, aliased(Run, newest)).join(newest, true())
    found = db.execute(rows.where(Feed.workspace_id == workspace_id, Feed.id.in_(feed_ids)))
    runs = {row[0]: row[1] for row in found}
    images = first_images(db, workspace_id, [run.id for run in runs.values()])
    return {feed_id: (run, images[run.id]) for feed_id, run in runs.items()}


def images_of_feed(feed_id: UUID) -> ColumnElement[bool]:
    """Return the condition that an image is one of a run of a feed."""
    item = and_(RunItem.workspace_id == Image.workspace_id, RunItem.image_id == Image.id)
    run = and_(Run.workspace_id == RunItem.workspace_id, Run.id == RunItem.run_id)
    return exists().where(item, run, Run.feed_id == feed_id)


def images_with_findings() -> ColumnElement[bool]:
    """Return the condition that something is wrong with an image in one of its runs."""
    return exists().where(
        RunItem.workspace_id == Image.workspace_id,
        RunItem.image_id == Image.id,
        RunItem.state != "pending",
        RunItem.findings.is_not(None),
    )


def images_of_run(workspace_id: UUID, run_id: UUID) -> ColumnElement[bool]:
    """Return the condition that an image is one of a run."""
    return Image.id.in_(
        select(RunItem.image_id).where(
            RunItem.workspace_id == workspace_id, RunItem.run_id == run_id, RunItem.state != "pending"
        )
    )


def list_run_names(db: Session, workspace_id: UUID, run_id: UUID | None = None, limit: int = 20) -> dict[str, str]:
    """Return the names of the latest runs, and of another one, by id, newest first."""
    latest = select(Run.id).where(Run.workspace_id == workspace_id, Run.feed_id.is_not(None))
    ids = [*db.scalars(latest.order_by(Run.id.desc()).limit(limit)), *([run_id] if run_id else [])]
    rows = db.execute(_with_names().where(Run.workspace_id == workspace_id, Run.id.in_(ids)).order_by(Run.id.desc()))
    return {str(run.id): _dated_name(run, feed, template) for run, feed, template in rows}


def search_runs(db: Session, workspace_id: UUID, text: str, limit: int) -> dict[str, str]:
    """Return the names of the newest runs with a text in the name of their feed or template, by id.

    Only the newest MAX_COUNT runs are read.
    """
    newest = select(Run.id).where(Run.workspace_id == workspace_id, Run.feed_id.is_not(None))
    newest = newest.order_by(Run.id.desc()).limit(MAX_COUNT)
    matches = or_(*(name.icontains(text, autoescape=True) for name in (Feed.name, Template.name)))
    query = _with_names().where(Run.workspace_id == workspace_id, Run.id.in_(newest), matches)
    rows = db.execute(query.order_by(Run.id.desc()).limit(limit))
    return {str(run.id): _dated_name(run, feed, template) for run, feed, template in rows}


def _dated_name(run: Run, feed: str, template: str) -> str:
    return gettext(
        "%(feed)s with %(template)s, %(day)s %(time)s",
        feed=feed,
        template=template,
        day=short_day(run.created_at),
        time=f"{run.created_at:%H:%M}",
    )


def _with_names() -> AnySelect:
    """Return a query of runs with the names of their feeds and templates; runs of single images have no feed."""
    query = select(Run, Feed.name, Template.name).select_from(Run)
    query = query.join(Feed, and_(Feed.workspace_id == Run.workspace_id, Feed.id == Run.feed_id))
    return query.join(Template, and_(Template.workspace_id == Run.workspace_id, Template.id == Run.template_id))

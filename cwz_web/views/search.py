"""The search of a workspace: pages, actions, templates, feeds, runs, rows and images, and the API reference."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlencode
from uuid import UUID

from pydantic import ConfigDict, Field
from sqlalchemy import select

from cwz_web.feeds.models import Feed, Item
from cwz_web.feeds.queries import RowQuery, find_items, list_feeds
from cwz_web.feeds.variants import clean_key
from cwz_web.generation.images import find_images
from cwz_web.generation.models import Template
from cwz_web.guides import GUIDES
from cwz_web.i18n import gettext, gettext_noop
from cwz_web.resources.permissions import Permission
from cwz_web.resources.workspace import WorkspaceResource
from cwz_web.runs.mapping import EMPTY, find_title_column
from cwz_web.runs.run_list import search_runs
from cwz_web.views.images import image_links
from cwz_web.web.forms import Form, read_form
from cwz_web.web.rendering import page_view
from cwz_web.web.request import Request
from cwz_web.web.text import shorten

# How many results of each kind are shown.
MAX_RESULTS = 6
MAX_FEEDS = 200
# Titles of rows and names of images have no index: a text of at least MIN_SCANNED characters is looked for in the rows
# of the newest TITLE_FEEDS feeds, one after the other, until TITLE_SECONDS are over, and in the newest images.
MIN_SCANNED = 2
TITLE_FEEDS = 20
TITLE_SECONDS = 0.1
MAX_LABEL = 80
# Segments of the path, label and icon of each page, and who can open it.
PAGES = (
    ((), gettext_noop("Overview"), "layout-dashboard", Permission.VIEW),
    (("templates",), gettext_noop("Templates"), "layout-template", Permission.VIEW),
    (("feeds",), gettext_noop("Feeds"), "table-2", Permission.VIEW),
    (("campaigns",), gettext_noop("Campaigns"), "megaphone", Permission.VIEW),
    (("runs",), gettext_noop("Runs"), "circle-play", Permission.VIEW),
    (("images",), gettext_noop("Images"), "images", Permission.VIEW),
    (("uploads",), gettext_noop("Uploads"), "upload", Permission.VIEW),
    (("brand",), gettext_noop("Brand"), "palette", Permission.VIEW),
    (("storage",), gettext_noop("Storage"), "hard-drive", Permission.STORAGE_VIEW),
    (("api",), gettext_noop("API quick start"), "rocket", Permission.VIEW),
    (("keys",), gettext_noop("API keys"), "key-round", Permission.KEY_MANAGE),
    (("requests",), gettext_noop("API requests"), "list", Permission.REQUEST_LOG_VIEW),
    (("webhooks",), gettext_noop("Webhooks"), "webhook", Permission.WEBHOOK_VIEW),
    (("members",), gettext_noop("Members"), "users", Permission.MEMBER_VIEW),
    (("audit",), gettext_noop("Activity"), "scroll-text", Permission.AUDIT_VIEW),
    (("billing",), gettext_noop("Billing"), "credit-card", Permission.BILLING_MANAGE),
    (("usage",), gettext_noop("Usage"), "chart-column", Permission.VIEW),
    (("settings",), gettext_noop("Settings"), "settings", Permission.SETTINGS_MANAGE),
)
# Pages that begin something, as verbs with an object.
ACTIONS = (
    (("runs", "new"), gettext_noop("Render images"), "circle-play", Permission.RUN_START),
    (("campaigns", "new"), gettext_noop("New campaign"), "megaphone", Permission.CAMPAIGN_EDIT),
    (("templates", "new"), gettext_noop("New template"), "plus", Permission.TEMPLATE_EDIT),
    (("feeds", "new"), gettext_noop("Add feed"), "plus", Permission.FEED_EDIT),
    (("feeds", "connect"), gettext_noop("Connect feed URL"), "link", Permission.FEED_EDIT),
    (("uploads",), gettext_noop("Upload images and fonts"), "upload", Permission.TEMPLATE_EDIT),
    (("storage", "new"), gettext_noop("Connect storage"), "hard-drive", Permission.STORAGE_MANAGE),
    (("members",), gettext_noop("Invite member"), "user-plus", Permission.MEMBER_MANAGE),
    (("keys", "new"), gettext_noop("Create API key"), "key-round", Permission.KEY_MANAGE),
    (("webhooks", "new"), gettext_noop("Add webhook"), "webhook", Permission.WEBHOOK_MANAGE),
    (("exports",), gettext_noop("Export data"), "archive", Permission.SETTINGS_MANAGE),
)
# Pages of the documentation, which is in English.
DOCS = {
    "API reference": "/docs/api",
    "API examples": "/docs/api#examples",
    "API: images": "/docs/api#Images",
    "API: templates": "/docs/api#Templates",
    "API: feeds": "/docs/api#Feeds",
    "API: runs": "/docs/api#Runs",
    "API: models": "/docs/models",
    **{f"Guide: {guide.label}": guide.url for guide in GUIDES.values()},
}


class SearchForm(Form):
    """What to find."""

    model_config = ConfigDict(extra="ignore")

    q: Annotated[str, Field(max_length=200)] = ""


@dataclass(frozen=True)
class SearchResult:
    """A page that was found, and what it is; an image has the path of a thumbnail."""

    label: str
    kind: str
    icon: str
    path: str
    thumbnail: str = ""


@dataclass(frozen=True)
class SearchPage:
    """What search.jinja2 shows."""

    text: str
    results: list[SearchResult]


@page_view(
    "search.jinja2", "_search_results.jinja2", context=WorkspaceResource, name="search", permission=Permission.VIEW
)
def search(context: WorkspaceResource, request: Request) -> SearchPage:
    """Find pages, actions, templates, feeds, runs and images by a part of their names, and rows by key or title."""
    text = (read_form(SearchForm, request.GET).value or SearchForm()).q.strip()
    finders = (_find_pages, _find_rows, _find_named, _find_runs, _find_titles, _find_images, _find_docs)
    results = [result for find in finders for result in find(request, text)]
    if text:
        path = f"{request.path_in('images')}?{urlencode({'search': text})}"
        results.append(SearchResult(gettext("Images named “%(text)s”", text=text), gettext("Search"), "images", path))
    return SearchPage(text, results)


def _find_pages(request: Request, text: str) -> Iterator[SearchResult]:
    has_billing = request.services.settings.billing.enabled and request.has_permission(Permission.BILLING_MANAGE)
    missing = ("usage",) if has_billing else ("billing",)
    for kind, pages in ((gettext("Action"), ACTIONS), (gettext("Page"), PAGES)):
        for segments, message, icon, permission in pages:
            label = gettext(message)
            if segments != missing and text.lower() in label.lower() and request.has_permission(permission):
                yield SearchResult(label, kind, icon, request.path_in(*segments))


def _find_docs(request: Request, text: str) -> Iterator[SearchResult]:
    for label, path in DOCS.items():
        if text and text.lower() in label.lower():
            yield SearchResult(label, gettext("Docs"), "book-open", path)


def _find_runs(request: Request, text: str) -> Iterator[SearchResult]:
    for run_id, name in search_runs(request.db, request.workspace.workspace_id, text, MAX_RESULTS).items():
        yield SearchResult(name, gettext("Run"), "circle-play", request.path_in("runs", run_id))


def _find_named(request: Request, text: str) -> Iterator[SearchResult]:
    """Find templates and feeds; the newest ones without a text."""
    kinds = (
        (Template, gettext("Template"), "layout-template", "templates"),
        (Feed, gettext("Feed"), "table-2", "feeds"),
    )
    for model, kind, icon, segment in kinds:
        query = (
            select(model.id, model.name)
            .where(
                model.workspace_id == request.workspace.workspace_id,
                model.deleted_at.is_(None),
                model.name.icontains(text, autoescape=True),
            )
            .order_by(model.id.desc())
            .limit(MAX_RESULTS)
        )
        for row in request.db.execute(query):
            yield SearchResult(row.name, kind, icon, request.path_in(segment, row.id))


def _find_titles(request: Request, text: str) -> Iterator[SearchResult]:
    """Find rows with this text in the column that names them."""
    if len(text) < MIN_SCANNED:
        return
    deadline, found = time.monotonic() + TITLE_SECONDS, 0
    for feed in list_feeds(request.db, request.workspace.workspace_id, limit=TITLE_FEEDS):
        column = find_title_column(feed.columns)
        if column == EMPTY:
            continue
        page = find_items(request.db, feed, RowQuery(text=text, column=column), limit=MAX_RESULTS - found)
        for item in page.items:
            # A row with this key is found by it.
            if item.key != clean_key(text):
                title = shorten(item.data[column], MAX_LABEL)
                label = title if title == item.key else f"{title} · {item.key}"
                yield SearchResult(label, _row_kind(feed.name), "rows-3", _row_path(request, feed.id, item.key))
        found += len(page.items)
        if found >= MAX_RESULTS or time.monotonic() > deadline:
            return


def _find_images(request: Request, text: str) -> Iterator[SearchResult]:
    """Find the newest images with this text in their name."""
    if len(text) < MIN_SCANNED:
        return
    page = find_images(request.db, request.workspace.workspace_id, name=text, limit=MAX_RESULTS)
    for link in image_links(request, page.images):
        path = request.path_in("images", link.image.id)
        yield SearchResult(link.image.name, gettext("Image"), "image", path, link.path)


def _row_path(request: Request, feed_id: UUID, key: str) -> str:
    return f"{request.path_in('feeds', feed_id, 'row')}?{urlencode({'key': key})}"


def _row_kind(feed: str) -> str:
    return gettext("Row of %(feed)s", feed=feed)


def _find_rows(request: Request, text: str) -> Iterator[SearchResult]:
    """Find rows with exactly this key, which an index finds in each feed."""
    if not text:
        return
    workspace_id = request.workspace.workspace_id
    feeds = (
        select(Feed.id, Feed.name)
        .where(Feed.workspace_id == workspace_id, Feed.deleted_at.is_(None))
        .order_by(Feed.id.desc())
        .limit(MAX_FEEDS)
    )
    names = {row.id: row.name for row in request.db.execute(feeds)}
    keys = select(Item.feed_id, Item.key).where(
        Item.workspace_id == workspace_id, Item.feed_id.in_(names), Item.key == clean_key(text)
    )
    for row in request.db.execute(keys.limit(MAX_RESULTS)):
        path = _row_path(request, row.feed_id, row.key)
        yield SearchResult(row.key, _row_kind(names[row.feed_id]), "rows-3", path)

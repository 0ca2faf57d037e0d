"""The search of a workspace: pages, actions, templates, feeds, runs and rows by name or key, and the API reference."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlencode

from pydantic import ConfigDict, Field
from sqlalchemy import select

from cwz_web.feeds.models import Feed, Item
from cwz_web.feeds.variants import clean_key
from cwz_web.generation.models import Template
from cwz_web.i18n import gettext, gettext_noop
from cwz_web.resources.permissions import Permission
from cwz_web.resources.workspace import WorkspaceResource
from cwz_web.runs.run_list import search_runs
from cwz_web.views.docs import GUIDES
from cwz_web.web.forms import Form, read_form
from cwz_web.web.rendering import page_view
from cwz_web.web.request import Request

# How many results of each kind are shown.
MAX_RESULTS = 6
MAX_FEEDS = 200
# Segments of the path, label and icon of each page, and who can open it.
PAGES = (
    ((), gettext_noop("Overview"), "layout-dashboard", Permission.VIEW),
    (("templates",), gettext_noop("Templates"), "layout-template", Permission.VIEW),
    (("feeds",), gettext_noop("Feeds"), "table-2", Permission.VIEW),
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
    (("templates", "new"), gettext_noop("New template"), "plus", Permission.TEMPLATE_EDIT),
    (("feeds", "new"), gettext_noop("Upload feed"), "upload", Permission.FEED_EDIT),
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
    """A page that was found, and what it is."""

    label: str
    kind: str
    icon: str
    path: str


@dataclass(frozen=True)
class SearchPage:
    """What search.jinja2 shows."""

    text: str
    results: list[SearchResult]


@page_view(
    "search.jinja2", "_search_results.jinja2", context=WorkspaceResource, name="search", permission=Permission.VIEW
)
def search(context: WorkspaceResource, request: Request) -> SearchPage:
    """Find pages, actions, templates, feeds and runs by a part of their names, and rows by their key."""
    text = (read_form(SearchForm, request.GET).value or SearchForm()).q.strip()
    finders = (_find_pages, _find_rows, _find_named, _find_runs, _find_docs)
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
        path = f"{request.path_in('feeds', row.feed_id, 'row')}?{urlencode({'key': row.key})}"
        yield SearchResult(row.key, gettext("Row of %(feed)s", feed=names[row.feed_id]), "rows-3", path)

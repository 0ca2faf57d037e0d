"""What the tabs of a feed's page share: its name, its tabs, and what needs attention."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from urllib.parse import urlencode

from cwz_web.feeds.imports import list_imports
from cwz_web.feeds.models import Feed, FeedImport, ImportState
from cwz_web.i18n import gettext, gettext_noop
from cwz_web.resources.permissions import Permission
from cwz_web.views.feed_currency import CurrencyPrompt, currency_prompt
from cwz_web.views.feed_imports import ImportProgress, progress_of_import
from cwz_web.web.request import Request


class FeedTab(StrEnum):
    """A tab of the page of a feed, as the last part of its path."""

    ROWS = ""
    IMPORTS = "imports"
    SOURCE = "source"
    SETTINGS = "settings"


TAB_LABELS = {
    FeedTab.ROWS: gettext_noop("Rows"),
    FeedTab.IMPORTS: gettext_noop("Imports"),
    FeedTab.SOURCE: gettext_noop("Source"),
    FeedTab.SETTINGS: gettext_noop("Settings"),
}


@dataclass(frozen=True)
class TabLink:
    """A link to a tab."""

    label: str
    path: str
    is_current: bool


@dataclass(frozen=True, kw_only=True)
class FeedPage:
    """Values of feeds/_page.jinja2, which the tabs extend.

    Attributes:
        feed: The feed.
        tabs: The links to the tabs.
        newest: The newest import, or None.
        is_draft: Whether the columns of the newest import have not been confirmed.
        is_failed: Whether the newest import has failed.
        review: The import that needs a review, or None.
        progress: The progress of the newest import, or None.
        currency_prompt: The prompt for the currency, or None.
        can_edit: Whether the user may change the feed.
    """

    feed: Feed
    tabs: list[TabLink]
    newest: FeedImport | None
    is_draft: bool
    is_failed: bool
    review: FeedImport | None
    progress: ImportProgress | None
    currency_prompt: CurrencyPrompt | None
    can_edit: bool


def row_path(request: Request, feed: Feed, key: str) -> str:
    """Return the path of the page of a row."""
    return f"{request.path_in('feeds', feed.id, 'row')}?{urlencode({'key': key})}"


def shared_values(request: Request, feed: Feed, tab: FeedTab) -> dict[str, Any]:
    """Return the values of FeedPage, for the view model of a tab."""
    imports = list_imports(request.db, feed)
    newest = imports[0] if imports else None
    return {
        "feed": feed,
        "tabs": [
            TabLink(gettext(label), request.path_in("feeds", feed.id, *filter(None, [each.value])), each == tab)
            for each, label in TAB_LABELS.items()
        ],
        "newest": newest,
        "is_draft": newest is not None and newest.state == ImportState.DRAFT,
        "is_failed": newest is not None and newest.state == ImportState.FAILED,
        "review": next((record for record in imports if record.state == ImportState.NEEDS_REVIEW), None),
        "progress": progress_of_import(newest),
        "currency_prompt": currency_prompt(request, feed) if not feed.deleted_at else None,
        "can_edit": bool(request.has_permission(Permission.FEED_EDIT)),
    }

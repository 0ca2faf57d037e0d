"""Feeds: the list, a feed's rows, one row with its history, and what can be done with a whole feed."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from urllib.parse import urlencode
from uuid import UUID

from pydantic import ConfigDict, Field
from pyramid.httpexceptions import HTTPNotFound, HTTPSeeOther, HTTPUnprocessableEntity
from pyramid.response import Response
from pyramid.view import view_config

from cwz_web.billing.plans import PlanLimit, check_plan_limit
from cwz_web.feeds import sort_index
from cwz_web.feeds.columns import FeedSchema
from cwz_web.feeds.imports import list_imports
from cwz_web.feeds.models import Feed, Item, ItemVersion
from cwz_web.feeds.queries import PAGE, RowPage, RowQuery, find_item, find_items, list_items_by_key_prefix, list_feeds, list_versions
from cwz_web.feeds.schedules import schedule_of
from cwz_web.feeds.sources import find_source
from cwz_web.resources.permissions import Permission
from cwz_web.resources.workspace import FeedCollection, FeedResource
from cwz_web.runs.auto_runs import auto_runs_of, find_auto_run, stop_auto_run
from cwz_web.runs.progress import images_of_row
from cwz_web.views.feed_imports import seconds_of
from cwz_web.views.images import image_links
from cwz_web.web.forms import Filled, Form, Name, empty_form, read_form
from cwz_web.web.request import Request
from cwz_web.web.urls import after_position

# In the choice of columns: the key's beginning, which an index finds. No column is called so.
KEY = " key"


class BrowseForm(Form):
    """Which rows to show; an address may carry more."""

    model_config = ConfigDict(extra="ignore", str_strip_whitespace=False)

    text: Annotated[str, Field(max_length=400)] = ""
    column: Annotated[str, Field(max_length=200)] = ""
    state: Literal["", "new", "changed"] = ""
    sort: Annotated[str, Field(max_length=201)] = ""


class SettingsForm(Form):
    """What a feed is called, and how much of it an import may remove by itself."""

    name: Name
    guard_percent: Annotated[int, Field(ge=0, le=100)]


class FollowForm(Form):
    """Which template follows the feed no longer."""

    template: UUID


@view_config(context=FeedCollection, request_method="GET", renderer="feeds/list.jinja2", permission=Permission.VIEW)
def feed_list(context: FeedCollection, request: Request) -> dict[str, Any]:
    """All feeds."""
    return {"feeds": list_feeds(request.db, request.workspace.workspace_id)}


@view_config(
    context=FeedResource, request_method="GET", renderer="feeds/show.jinja2", permission=Permission.VIEW, partial=False
)
def show_feed(context: FeedResource, request: Request) -> dict[str, Any]:
    """A feed: its rows, a page at a time, where they come from, and its imports."""
    return _page(request, context.row, empty_form())


@view_config(
    context=FeedResource, request_method="GET", renderer="feeds/_rows.jinja2", permission=Permission.VIEW, partial=True
)
def more_rows(context: FeedResource, request: Request) -> dict[str, Any]:
    """The next rows."""
    return _rows(request, context.row)


@view_config(
    context=FeedResource, name="row", request_method="GET", renderer="feeds/row.jinja2", permission=Permission.VIEW
)
def show_row(context: FeedResource, request: Request) -> dict[str, Any]:
    """One row, what it was before, and the images that were made of it."""
    feed, key = context.row, request.GET.get("key", "")
    item = find_item(request.db, feed, key)
    versions = list_versions(request.db, feed, key)
    if item is None and not versions:
        raise HTTPNotFound
    images = images_of_row(request.db, feed.workspace_id, feed.id, key)
    return {
        "feed": feed,
        "key": key,
        "item": item,
        "columns": [*feed.columns, *(name for name in (item.data if item else {}) if name not in feed.columns)],
        "kinds": FeedSchema.model_validate(feed.shape).kinds,
        "history": _history(item, versions),
        "images": image_links(request, images),
    }


@view_config(
    context=FeedResource,
    name="settings",
    request_method="POST",
    renderer="feeds/show.jinja2",
    permission=Permission.FEED_EDIT,
)
def settings_form(context: FeedResource, request: Request) -> Any:
    """Call the feed something else, or set its guard."""
    form = read_form(SettingsForm, request.POST)
    feed = context.row
    if form.value is None:
        request.response.status = 422
        return _page(request, feed, form)
    request.audit("feed.settings", feed.name, to=form.value.name, guard_percent=form.value.guard_percent)
    feed.name, feed.guard_percent = form.value.name, form.value.guard_percent
    return HTTPSeeOther(request.path_in("feeds", feed.id))


@view_config(context=FeedResource, name="unfollow", request_method="POST", permission=Permission.RUN_START)
def unfollow_form(context: FeedResource, request: Request) -> Response:
    """No longer render by itself what changes in the feed."""
    form = read_form(FollowForm, request.POST)
    auto = find_auto_run(request.db, context.row, form.value.template) if form.value else None
    if auto is None:
        raise HTTPUnprocessableEntity("Choose one of the templates that follow the feed")
    stop_auto_run(request.db, auto)
    request.audit("feed.unfollow", context.row.name, template=str(auto.template_id))
    return HTTPSeeOther(request.path_in("feeds", context.row.id))


@view_config(context=FeedResource, name="delete", request_method="POST", permission=Permission.FEED_EDIT)
def delete_feed(context: FeedResource, request: Request) -> Response:
    """Take a feed out of use. Its page still offers the way back."""
    context.row.deleted_at = datetime.now(UTC)
    request.audit("feed.delete", context.row.name)
    return HTTPSeeOther(request.path_in("feeds", context.row.id))


@view_config(context=FeedResource, name="restore", request_method="POST", permission=Permission.FEED_EDIT)
def restore_feed(context: FeedResource, request: Request) -> Response:
    """Take a deleted feed into use again."""
    if context.row.deleted_at is not None:
        check_plan_limit(request.db, request.services.settings, context.row.workspace_id, PlanLimit.FEEDS)
    context.row.deleted_at = None
    request.audit("feed.restore", context.row.name)
    return HTTPSeeOther(request.path_in("feeds", context.row.id))


def _page(request: Request, feed: Feed, form: Filled[Any]) -> dict[str, Any]:
    imports = list_imports(request.db, feed)
    newest = imports[0] if imports else None
    source = find_source(request.db, feed.workspace_id, feed.id)
    return _rows(request, feed) | {
        "form": form,
        "imports": imports,
        "newest": newest,
        "held": next((each for each in imports if each.state == "held"), None),
        "running": newest if newest and newest.state == "queued" else None,
        "seconds": seconds_of(newest) if newest else 0,
        "source": source,
        "schedule": schedule_of(source.cron) if source else None,
        "followers": auto_runs_of(request.db, feed),
        "key_names": FeedSchema.model_validate(feed.shape).key_names,
    }


def _rows(request: Request, feed: Feed) -> dict[str, Any]:
    """A page of the rows that the address asks for."""
    asked = read_form(BrowseForm, request.GET)
    wanted = asked.value or BrowseForm()
    by_key = bool(wanted.text) and wanted.column == KEY
    sort = wanted.sort if wanted.sort.removeprefix("-") in feed.columns and not by_key else ""
    column = wanted.column if wanted.column in feed.columns else ""
    query = RowQuery(text=wanted.text.strip(), column=column, state=wanted.state, sort=sort)
    page = {"feed": feed, "query": query, "column": wanted.column, "KEY": KEY, "sort_link": _sort_link(query)}
    if sort and not sort_index.ensure_sort_index(request.db, feed, sort):
        return page | {"found": RowPage(), "waits": True, "more": urlencode(_typed(query)), "looked": 0}
    looked = after_position(request, "looked")
    if by_key:
        items = list_items_by_key_prefix(request.db, feed, query.text, request.GET.get("from", "")[:400])
        place = {"from": items[-1].key} if len(items) == PAGE else None
        found = RowPage(items, 0, len(items))
    else:
        found = find_items(request.db, feed, query, after_position(request))
        place = {"after": str(found.after)} if found.after else None
    looked += found.looked
    more = place and urlencode(_typed(query) | {"column": wanted.column, "looked": str(looked)} | place)
    return page | {"found": found, "waits": False, "more": more, "looked": looked}


def _typed(query: RowQuery) -> dict[str, str]:
    """What of a query stands in an address."""
    fields = {"text": query.text, "column": query.column, "state": query.state, "sort": query.sort}
    return {name: value for name, value in fields.items() if value}


def _sort_link(query: RowQuery) -> Any:
    """What leads to the same rows in the order of a column; the other way round when they are in it already."""
    return lambda column: urlencode(_typed(query) | {"sort": f"-{column}" if query.sort == column else column})


def _history(item: Item | None, versions: list[ItemVersion]) -> list[dict[str, Any]]:
    """What happened to a row, newest first: when, what it was called, and each cell that it changed."""
    history = []
    after = item.data if item else {}
    for version in versions:
        before = version.data
        if version.removed:
            cells: list[tuple[str, str, str]] = []
        else:
            names = dict.fromkeys([*before, *after])
            cells = [(n, before.get(n, ""), after.get(n, "")) for n in names if before.get(n) != after.get(n)]
        history.append({"at": version.replaced_at, "removed": version.removed, "cells": cells})
        after = before
    return history

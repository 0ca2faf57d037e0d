"""Feeds: the list, an upload, a feed's rows and its imports, and what can be done with a whole one."""

from datetime import UTC, datetime
from typing import Annotated, Any, BinaryIO
from urllib.parse import urlencode

from pydantic import Field
from pyramid.httpexceptions import HTTPSeeOther, HTTPUnprocessableEntity
from pyramid.request import Request
from pyramid.response import Response
from pyramid.view import view_config

from cwz_web.feeds.browse import PAGE, items_after, items_with_key, list_feeds
from cwz_web.feeds.files import spooled
from cwz_web.feeds.imports import (
    NotHeld,
    apply_held,
    discard_held,
    find_import,
    import_file,
    list_imports,
    new_feed,
)
from cwz_web.feeds.models import Feed, FeedImport
from cwz_web.feeds.sources import find_source
from cwz_web.feeds.tables import BadFile
from cwz_web.resources import FeedResource, Feeds, Permission
from cwz_web.views.feed_sources import SCHEDULES
from cwz_web.web.forms import Filled, Form, Name, empty_form, read_form
from cwz_web.web.paths import after_position

NO_FILE = "Choose a file with at least one row of data"


class UploadForm(Form):
    """A name; the file or the pasted text comes beside it."""

    name: Annotated[str, Field(max_length=100)] = ""
    pasted: Annotated[str, Field(max_length=2_000_000)] = ""


class SettingsForm(Form):
    """What a feed is called, and how much of it an import may remove by itself."""

    name: Name
    guard_percent: Annotated[int, Field(ge=0, le=100)]


class ImportForm(Form):
    """Which import is decided on."""

    number: Annotated[int, Field(ge=1)]


@view_config(context=Feeds, request_method="GET", renderer="feeds/list.jinja2", permission=Permission.VIEW)
def feed_list(context: Feeds, request: Request) -> dict[str, Any]:
    """All feeds."""
    return {"feeds": list_feeds(request.db, request.workspace.workspace_id)}


@view_config(
    context=Feeds, name="new", request_method="GET", renderer="feeds/new.jinja2", permission=Permission.FEED_EDIT
)
def upload_page(context: Feeds, request: Request) -> dict[str, Any]:
    """The form for an upload."""
    return {"form": empty_form()}


@view_config(
    context=Feeds, name="new", request_method="POST", renderer="feeds/new.jinja2", permission=Permission.FEED_EDIT
)
def upload_form(context: Feeds, request: Request) -> Any:
    """Bring a file in, or a table that was pasted, or say what is wrong with it."""
    form = read_form(UploadForm, request.POST)
    file_name, file = _posted_file(request)
    if form.value is not None and file is None and form.value.pasted:
        file_name, file = "pasted text", spooled(form.value.pasted.encode())
    if file is None:
        form = form.with_error("file", NO_FILE)
    if form.value is not None and file is not None:
        name = form.value.name or file_name.rpartition(".")[0] or file_name
        workspace_id, person = request.workspace.workspace_id, request.identity.account
        try:
            with request.db.begin_nested():
                feed = new_feed(
                    request.db, workspace_id, name=name[:100], file_name=file_name, file=file, started_by=person.id
                )
        except BadFile as error:
            form = form.with_error("file", str(error))
        else:
            request.audit("feed.upload", feed.name, file=file_name[:200], rows=feed.item_count)
            return HTTPSeeOther(request.path_in("feeds", feed.id))
    request.response.status = 422
    return {"form": form}


@view_config(
    context=FeedResource, request_method="GET", renderer="feeds/show.jinja2", permission=Permission.VIEW, partial=False
)
@view_config(
    context=FeedResource, request_method="GET", renderer="feeds/_rows.jinja2", permission=Permission.VIEW, partial=True
)
def show_feed(context: FeedResource, request: Request) -> dict[str, Any]:
    """A feed's rows, a page at a time."""
    return _page(request, context.row, empty_form())


@view_config(
    context=FeedResource,
    name="import",
    request_method="POST",
    renderer="feeds/show.jinja2",
    permission=Permission.FEED_EDIT,
)
def import_form(context: FeedResource, request: Request) -> Any:
    """Bring a newer file into the feed, or say what is wrong with it."""
    feed = context.row
    file_name, file = _posted_file(request)
    try:
        if file is None:
            raise BadFile(NO_FILE)
        with request.db.begin_nested():
            record = import_file(
                request.db, feed, file_name=file_name, file=file, started_by=request.identity.account.id
            )
    except BadFile as error:
        request.response.status = 422
        return _page(request, feed, empty_form().with_error("file", str(error)))
    request.audit("feed.import", feed.name, file=file_name[:200], number=record.number, state=record.state)
    return HTTPSeeOther(request.path_in("feeds", feed.id))


@view_config(context=FeedResource, name="apply", request_method="POST", permission=Permission.FEED_EDIT)
@view_config(context=FeedResource, name="discard", request_method="POST", permission=Permission.FEED_EDIT)
def decide_form(context: FeedResource, request: Request) -> Response:
    """Apply an import that was held, or decide against it."""
    feed, what = context.row, request.view_name
    held = _held(request, feed)
    try:
        (apply_held if what == "apply" else discard_held)(request.db, held)
    except NotHeld as error:
        raise HTTPUnprocessableEntity(str(error)) from None
    request.audit(f"feed.{what}", feed.name, number=held.number, removed=held.removed)
    return HTTPSeeOther(request.path_in("feeds", feed.id))


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


@view_config(context=FeedResource, name="delete", request_method="POST", permission=Permission.FEED_EDIT)
def delete_feed(context: FeedResource, request: Request) -> Response:
    """Take a feed out of use. Its page still offers the way back."""
    context.row.deleted_at = datetime.now(UTC)
    request.audit("feed.delete", context.row.name)
    return HTTPSeeOther(request.path_in("feeds", context.row.id))


@view_config(context=FeedResource, name="restore", request_method="POST", permission=Permission.FEED_EDIT)
def restore_feed(context: FeedResource, request: Request) -> Response:
    """Take a deleted feed into use again."""
    context.row.deleted_at = None
    request.audit("feed.restore", context.row.name)
    return HTTPSeeOther(request.path_in("feeds", context.row.id))


def _page(request: Request, feed: Feed, form: Filled[Any]) -> dict[str, Any]:
    sought = request.GET.get("key", "")[:400]
    items = (
        items_with_key(request.db, feed, sought, request.GET.get("from", ""))
        if sought
        else items_after(request.db, feed, after_position(request))
    )
    imports = list_imports(request.db, feed)
    waiting = imports[0] if imports and imports[0].state == "held" else None
    last = items[-1] if len(items) == PAGE else None
    more = last and urlencode({"key": sought, "from": last.key} if sought else {"after": last.position})
    source = find_source(request.db, feed.workspace_id, feed.id)
    page = {"feed": feed, "items": items, "more": more, "imports": imports, "held": waiting, "form": form}
    return page | {"source": source, "schedules": SCHEDULES, "sought": sought}


def _held(request: Request, feed: Feed) -> FeedImport:
    form = read_form(ImportForm, request.POST)
    held = find_import(request.db, feed, form.value.number) if form.value else None
    if held is None:
        raise HTTPUnprocessableEntity("Choose one of the feed's imports")
    return held


def _posted_file(request: Request) -> tuple[str, BinaryIO | None]:
    """The name and the content of the file in the form, if there is one."""
    posted = request.POST.get("file")
    if not hasattr(posted, "file"):
        return "", None
    return posted.filename, posted.file

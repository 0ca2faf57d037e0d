"""Feeds: the list, an upload, a feed's rows."""

from typing import Annotated, Any

from pydantic import Field
from pyramid.httpexceptions import HTTPSeeOther
from pyramid.request import Request
from pyramid.view import view_config

from cwz_web.feeds.browse import PAGE, items_after, list_feeds
from cwz_web.feeds.imports import upload_feed
from cwz_web.feeds.tables import MAX_BYTES, BadFile
from cwz_web.resources import FeedResource, Feeds, Permission
from cwz_web.web.forms import Form, empty_form, read_form
from cwz_web.web.paths import after_position


class UploadForm(Form):
    """A name; the file comes beside it."""

    name: Annotated[str, Field(max_length=100)] = ""


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
    """Bring a file in, or say what is wrong with it."""
    form = read_form(UploadForm, request.POST)
    file = request.POST.get("file")
    data = file.file.read(MAX_BYTES + 1) if hasattr(file, "file") else b""
    if not data:
        form = form.with_error("file", "Choose a file with a header row and at least one row of data")
    if form.value is not None:
        name = form.value.name or file.filename.rpartition(".")[0] or file.filename
        try:
            feed = upload_feed(
                request.db, request.workspace.workspace_id, name=name[:100], file_name=file.filename, data=data
            )
        except BadFile as error:
            form = form.with_error("file", str(error))
        else:
            request.audit("feed.upload", feed.name, file=file.filename[:200], rows=feed.item_count)
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
    items = items_after(request.db, context.row, after_position(request))
    return {"feed": context.row, "items": items, "more": items[-1].position if len(items) == PAGE else None}

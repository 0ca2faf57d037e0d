"""Feeds that come from an address: trying one, connecting it, its schedule, and fetching it now."""

from typing import Annotated, Any, BinaryIO, Literal
from uuid import UUID

from pydantic import Field, ValidationError
from pyramid.httpexceptions import HTTPSeeOther, HTTPUnprocessableEntity
from pyramid.request import Request
from pyramid.response import Response
from pyramid.view import view_config
from sqlalchemy.orm import Session

from cwz_web.feeds.files import read_table
from cwz_web.feeds.imports import new_feed
from cwz_web.feeds.models import Feed, FeedSource
from cwz_web.feeds.refresh import plan_next, refresh_feed
from cwz_web.feeds.sources import Fresh, Place, fetch_source, find_source, place_of, seal
from cwz_web.feeds.tables import BadFile, Table
from cwz_web.net.client import FetchError
from cwz_web.resources import FeedResource, Feeds, Permission
from cwz_web.web.auditing import actor_of
from cwz_web.web.forms import Filled, Form, Name, Printable, empty_form, messages, read_form
from cwz_web.web.transactions import let_go
from cwz_web.workspaces.audit import record

SHOWN_ROWS = 5
# How often a feed is fetched, in minutes.
SCHEDULES = {
    "": "Only when I ask",
    "60": "Every hour",
    "360": "Every six hours",
    "1440": "Every day",
    "10080": "Every week",
}


class SourceForm(Form):
    """An address, a way in, and how often. With `do` = test, nothing is kept."""

    url: Annotated[str, Field(min_length=1, max_length=2000)]
    name: Name | Literal[""] = ""
    username: Annotated[str, Field(max_length=200)] = ""
    header: Annotated[str, Field(max_length=60)] = ""
    secret: Printable = ""
    every: Literal["", "60", "360", "1440", "10080"] = ""
    do: Literal["test", "connect"] = "connect"

    def minutes(self) -> int | None:
        """The schedule, in minutes."""
        return int(self.every) if self.every else None


class ScheduleForm(Form):
    """How often; and a new secret, if there is one."""

    every: Literal["", "60", "360", "1440", "10080"] = ""
    secret: Printable = ""


@view_config(
    context=Feeds,
    name="connect",
    request_method="GET",
    renderer="feeds/connect.jinja2",
    permission=Permission.FEED_EDIT,
)
def connect_page(context: Feeds, request: Request) -> dict[str, Any]:
    """The form for an address."""
    return _page(empty_form())


@view_config(
    context=Feeds,
    name="connect",
    request_method="POST",
    renderer="feeds/connect.jinja2",
    permission=Permission.FEED_EDIT,
)
def connect_form(context: Feeds, request: Request) -> Any:
    """Fetch what is there, and show its first rows, or make a feed of it; or say why not."""
    form = read_form(SourceForm, request.POST)
    place, form = _read_place(form)
    if form.value is None or place is None:
        request.response.status = 422
        return _page(form)
    let_go(request)
    try:
        fresh = fetch_source(request.services.fetcher, place, form.value.secret)
        assert fresh.file is not None, "nothing was known before"
        if form.value.do == "test":
            return _page(form, read_table(fresh.file))
        feed_id = _connect(request, form.value, place, fresh, fresh.file)
    except (FetchError, BadFile) as error:
        request.response.status = 422
        return _page(form.with_error("url", str(error)))
    return HTTPSeeOther(request.path_in("feeds", feed_id))


@view_config(context=FeedResource, name="fetch", request_method="POST", permission=Permission.RUN_RETRY)
@view_config(context=FeedResource, name="refresh", request_method="POST", permission=Permission.FEED_EDIT)
def refresh_form(context: FeedResource, request: Request) -> Response:
    """Fetch the feed now, and import what is new."""
    feed = context.row
    if find_source(request.db, feed.workspace_id, feed.id) is None:
        raise HTTPUnprocessableEntity("This feed has no address; bring in a file instead")
    services, workspace_id = request.services, feed.workspace_id
    let_go(request)
    said = refresh_feed(
        services.database, services.fetcher, services.ring, services.settings.url, workspace_id, feed.id
    )
    with services.database.transaction(workspace_id) as db:
        record(db, workspace_id, actor_of(request), "feed.refresh", feed.name, {"said": said})
    return HTTPSeeOther(request.path_in("feeds", feed.id))


@view_config(context=FeedResource, name="schedule", request_method="POST", permission=Permission.FEED_EDIT)
def schedule_form(context: FeedResource, request: Request) -> Response:
    """Fetch the feed at other times, or with another secret, from now on."""
    feed = context.row
    form = read_form(ScheduleForm, request.POST)
    source = find_source(request.db, feed.workspace_id, feed.id)
    if form.value is None or source is None:
        raise HTTPUnprocessableEntity("Choose how often the feed is fetched")
    source.every = int(form.value.every) if form.value.every else None
    if form.value.secret and place_of(source).has_secret:
        seal(request.services.ring, source, form.value.secret)
    plan_next(source)
    request.audit("feed.schedule", feed.name, every=SCHEDULES[form.value.every])
    return HTTPSeeOther(request.path_in("feeds", feed.id))


def _connect(request: Request, form: SourceForm, place: Place, fresh: Fresh, file: BinaryIO) -> UUID:
    workspace_id, person = request.workspace.workspace_id, request.identity.account
    host = place.url.partition("://")[2].partition("/")[0]
    with request.services.database.transaction(workspace_id) as db:
        feed = new_feed(db, workspace_id, name=form.name or host, file_name=host, file=file, started_by=person.id)
        _keep_source(db, request, form, place, fresh, feed)
        record(db, workspace_id, actor_of(request), "feed.connect", feed.name, {"host": host, "rows": feed.item_count})
        return feed.id


def _keep_source(db: Session, request: Request, form: SourceForm, place: Place, fresh: Fresh, feed: Feed) -> None:
    source = FeedSource(
        workspace_id=feed.workspace_id,
        feed_id=feed.id,
        every=form.minutes(),
        etag=fresh.etag,
        last_modified=fresh.last_modified,
        digest=fresh.digest,
        fetched_at=feed.imported_at,
        failures=0,
        **place.model_dump(),
    )
    seal(request.services.ring, source, form.secret if place.has_secret else "")
    plan_next(source)
    db.add(source)


def _read_place(form: Filled[SourceForm]) -> tuple[Place | None, Filled[SourceForm]]:
    if form.value is None:
        return None, form
    try:
        return Place(url=form.value.url, username=form.value.username, header=form.value.header), form
    except ValidationError as error:
        for name, text in messages(error).items():
            form = form.with_error(name or "header", text)
        return None, form


def _page(form: Filled[Any], table: Table | None = None) -> dict[str, Any]:
    return {"form": form, "schedules": SCHEDULES, "table": table, "shown": SHOWN_ROWS}

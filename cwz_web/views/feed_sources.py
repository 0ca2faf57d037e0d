"""Feeds that come from an address: trying one, connecting it, its schedule, and fetching it now."""

from typing import Annotated, Any, BinaryIO, Literal, Self
from uuid import UUID

from pydantic import Field, StringConstraints, ValidationError, field_validator, model_validator
from pydantic_core import PydanticCustomError
from pyramid.httpexceptions import HTTPSeeOther, HTTPUnprocessableEntity
from pyramid.response import Response
from pyramid.view import view_config

from cwz_web.billing.plans import PlanLimit, check_plan_limit
from cwz_web.feeds.columns import COLUMN_TYPE_LABELS, guess_schema
from cwz_web.feeds.fetch_job import request_fetch, file_name_from_url, schedule_next_fetch
from cwz_web.feeds.imports import create_feed, create_import
from cwz_web.feeds.limits import InvalidFileError
from cwz_web.feeds.records import Table
from cwz_web.feeds.models import Feed, FeedSource
from cwz_web.feeds.schedules import EVERY, WEEKDAYS, InvalidScheduleError, Schedule, schedule_of, time_zones
from cwz_web.feeds.sources import SourceSpec, find_source, preview_source, source_spec, set_secret
from cwz_web.net.client import FetchError
from cwz_web.resources.permissions import Permission
from cwz_web.resources.workspace import FeedCollection, FeedResource
from cwz_web.views.feed_imports import SHOWN_ROWS
from cwz_web.web.forms import Filled, Form, Name, Printable, empty_form, messages, read_form
from cwz_web.web.request import Request
from cwz_web.web.transactions import release_connection
from cwz_web.workspaces.audit import record


class ScheduleFields(Form):
    """How often a feed is fetched, and in whose time."""

    every: Literal["", "hour", "six-hours", "day", "week", "cron"] = ""
    at: Annotated[str, StringConstraints(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")] = "06:00"
    weekday: Annotated[int, Field(ge=0, le=6)] = 1
    cron: Annotated[str, Field(max_length=100)] = ""
    time_zone: Annotated[str, Field(max_length=60)] = "UTC"

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        if name not in time_zones():
            raise ValueError("Choose a time zone of the list, as in Europe/Berlin")
        return name

    @model_validator(mode="after")
    def _keepable(self) -> Self:
        try:
            _ = self.expression
        except InvalidScheduleError as error:
            raise PydanticCustomError("cron", "{why}", {"why": str(error)}) from None
        return self

    @property
    def expression(self) -> str | None:
        """The schedule as a cron expression."""
        return Schedule(self.every, self.at, self.weekday, self.cron).expression()


class SourceForm(ScheduleFields):
    """An address, a way in, and how often. With `do` = test, nothing is kept."""

    url: Annotated[str, Field(min_length=1, max_length=2000)]
    name: Name | Literal[""] = ""
    username: Annotated[str, Field(max_length=200)] = ""
    header: Annotated[str, Field(max_length=60)] = ""
    secret: Printable = ""
    do: Literal["test", "connect"] = "connect"


class ScheduleForm(ScheduleFields):
    """How often; and a new secret, if there is one."""

    secret: Printable = ""


@view_config(
    context=FeedCollection,
    name="connect",
    request_method="GET",
    renderer="feeds/connect.jinja2",
    permission=Permission.FEED_EDIT,
)
def connect_page(context: FeedCollection, request: Request) -> dict[str, Any]:
    """The form for an address."""
    return _page(empty_form())


@view_config(
    context=FeedCollection,
    name="connect",
    request_method="POST",
    renderer="feeds/connect.jinja2",
    permission=Permission.FEED_EDIT,
)
def connect_form(context: FeedCollection, request: Request) -> Any:
    """Fetch what is there, and show its first rows, or make a feed of it; or say why not."""
    place, form = _read_place(_at_field(read_form(SourceForm, request.POST)))
    if form.value is None or place is None:
        request.response.status = 422
        return _page(form)
    release_connection(request)
    try:
        file, sample = preview_source(request.services.fetcher, place, form.value.secret)
    except (FetchError, InvalidFileError) as error:
        request.response.status = 422
        return _page(form.with_error("url", str(error)))
    if form.value.do == "test":
        return _page(form, sample)
    return HTTPSeeOther(request.path_in("feeds", _connect(request, form.value, place, file), "columns"))


@view_config(context=FeedResource, name="fetch", request_method="POST", permission=Permission.RUN_RETRY)
@view_config(context=FeedResource, name="refresh", request_method="POST", permission=Permission.FEED_EDIT)
def refresh_form(context: FeedResource, request: Request) -> Response:
    """Have the feed fetched now, and what is new brought in."""
    feed = context.row
    source = find_source(request.db, feed.workspace_id, feed.id)
    if source is None:
        raise HTTPUnprocessableEntity("This feed has no address; bring in a file instead")
    record = request_fetch(request.db, feed, source, request.user.account.id)
    request.audit("feed.refresh", feed.name, number=record.number)
    return HTTPSeeOther(request.path_in("feeds", feed.id))


@view_config(
    context=FeedResource,
    name="schedule",
    request_method="GET",
    renderer="feeds/schedule.jinja2",
    permission=Permission.FEED_EDIT,
)
def schedule_page(context: FeedResource, request: Request) -> dict[str, Any]:
    """When the feed is fetched."""
    return _schedule_page(context.row, _source_of(context.row, request), empty_form())


@view_config(
    context=FeedResource,
    name="schedule",
    request_method="POST",
    renderer="feeds/schedule.jinja2",
    permission=Permission.FEED_EDIT,
)
def schedule_form(context: FeedResource, request: Request) -> Any:
    """Fetch the feed at other times, or with another secret, from now on."""
    feed, source = context.row, _source_of(context.row, request)
    form = _at_field(read_form(ScheduleForm, request.POST))
    if form.value is None:
        request.response.status = 422
        return _schedule_page(feed, source, form)
    source.cron, source.time_zone = form.value.expression, form.value.time_zone
    if form.value.secret and source_spec(source).has_secret:
        set_secret(request.services.ring, source, form.value.secret)
    schedule_next_fetch(source)
    request.audit("feed.schedule", feed.name, every=str(schedule_of(source.cron)), time_zone=source.time_zone)
    return HTTPSeeOther(request.path_in("feeds", feed.id))


def _connect(request: Request, form: SourceForm, place: SourceSpec, file: BinaryIO) -> UUID:
    """A feed of an address, of which only the beginning has been looked at yet."""
    workspace_id, person = request.workspace.workspace_id, request.user.account
    host = place.url.partition("://")[2].partition("/")[0]
    with request.services.database.transaction(workspace_id) as db:
        check_plan_limit(db, request.services.settings, workspace_id, PlanLimit.FEEDS)
        feed = create_feed(db, workspace_id, name=form.name or host, file_name=file_name_from_url(place.url))
        create_import(db, feed, file_name=feed.file_name, file=file, state="draft", fetched=True, started_by=person.id)
        source = FeedSource(
            workspace_id=feed.workspace_id,
            feed_id=feed.id,
            cron=form.expression,
            time_zone=form.time_zone,
            failures=0,
            **place.model_dump(),
        )
        set_secret(request.services.ring, source, form.secret if place.has_secret else "")
        db.add(source)
        record(db, workspace_id, request.actor, "feed.connect", feed.name, {"host": host})
        return feed.id


def _source_of(feed: Feed, request: Request) -> FeedSource:
    source = find_source(request.db, feed.workspace_id, feed.id)
    if source is None:
        raise HTTPUnprocessableEntity("This feed has no address: its rows are uploaded or pushed")
    return source


def _read_place(form: Filled[SourceForm]) -> tuple[SourceSpec | None, Filled[SourceForm]]:
    if form.value is None:
        return None, form
    try:
        return SourceSpec(url=form.value.url, username=form.value.username, header=form.value.header), form
    except ValidationError as error:
        for name, text in messages(error).items():
            form = form.with_error(name or "header", text)
        return None, form


def _at_field(form: Filled[Any]) -> Filled[Any]:
    """What is wrong with a schedule as a whole stands beside its cron expression."""
    return form.with_error("cron", form.errors[""]) if "" in form.errors else form


def _page(form: Filled[Any], sample: Table | None = None) -> dict[str, Any]:
    return {
        "form": form,
        "sample": sample,
        "shown": sample.rows[:SHOWN_ROWS] if sample else [],
        "shape": guess_schema(sample) if sample else None,
        "kinds": COLUMN_TYPE_LABELS,
        **_choices(Schedule("day"), "UTC"),
    }


def _schedule_page(feed: Feed, source: FeedSource, form: Filled[Any]) -> dict[str, Any]:
    chosen = _choices(schedule_of(source.cron), source.time_zone)
    return {"feed": feed, "source": source, "form": form, **chosen}


def _choices(schedule: Schedule, time_zone: str) -> dict[str, Any]:
    kept = {"every": schedule.every, "at": schedule.at, "weekday": str(schedule.weekday), "cron": schedule.cron}
    return {"kept": kept | {"time_zone": time_zone}, "every": EVERY, "weekdays": WEEKDAYS, "time_zones": time_zones()}

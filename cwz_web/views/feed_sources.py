"""Sources of feeds: preview and connect a URL, its schedule, and fetching it on request."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, BinaryIO, Literal
from uuid import UUID

from pydantic import Field, StringConstraints, ValidationError, ValidationInfo, field_validator
from pyramid.httpexceptions import HTTPNotFound, HTTPSeeOther, HTTPUnprocessableEntity
from pyramid.response import Response
from pyramid.view import view_config
from sqlalchemy.orm import Session

from cwz_web.billing.plans import PlanLimit, check_plan_limit
from cwz_web.feeds.allowed_hosts import split_hosts
from cwz_web.feeds.columns import COLUMN_TYPE_LABELS, guess_schema
from cwz_web.feeds.fetch_job import request_fetch, schedule_next_fetch
from cwz_web.feeds.imports import create_feed, create_import, resolve_schema
from cwz_web.feeds.limits import InvalidFileError
from cwz_web.feeds.models import Feed, FeedSource, ImportState
from cwz_web.feeds.records import Row, Table
from cwz_web.feeds.schedules import (
    FREQUENCY_LABELS,
    WEEKDAYS,
    Frequency,
    Schedule,
    check_cron,
    schedule_of,
    time_zones,
)
from cwz_web.feeds.sources import (
    SecretRequiredError,
    SourceSpec,
    change_source,
    check_secret,
    decrypt_secret,
    find_source,
    mask_query,
    preview_source,
    set_secret,
    source_spec,
    unmask_query,
)
from cwz_web.i18n import gettext, translate_labels, use_locale
from cwz_web.net.client import MAX_HOST_LENGTH, FetchError, RedirectRefusedError
from cwz_web.resources.permissions import Permission
from cwz_web.resources.workspace import FeedCollection, FeedResource
from cwz_web.views.feed_imports import PREVIEW_ROWS
from cwz_web.web.forms import (
    FORM_MESSAGES,
    FieldError,
    Form,
    Name,
    Printable,
    SubmittedForm,
    TimeZoneName,
    empty_form,
    error_messages,
    form_view,
    read_form,
)
from cwz_web.web.request import Request
from cwz_web.web.transactions import release_connection
from cwz_web.workspaces.audit import record

MAX_HOSTS_LENGTH = 2600


class ScheduleFields(Form):
    """The fields of a schedule."""

    frequency: Frequency = Frequency.MANUAL
    at: Annotated[str, StringConstraints(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")] = "06:00"
    weekday: Annotated[int, Field(ge=0, le=6)] = 1
    cron: Annotated[str, Field(max_length=100, validate_default=True)] = ""
    time_zone: TimeZoneName = "UTC"

    @field_validator("cron")
    @classmethod
    def _valid_cron(cls, cron: str, info: ValidationInfo) -> str:
        return check_cron(cron) if info.data.get("frequency") == Frequency.CRON else cron

    @property
    def expression(self) -> str | None:
        """The schedule as a cron expression."""
        return Schedule(self.frequency, self.at, self.weekday, self.cron).expression()


class RequestFields(Form):
    """The fields of the requests that fetch a feed."""

    url: Annotated[str, Field(min_length=1, max_length=2000)]
    username: Annotated[str, Field(max_length=200)] = ""
    header: Annotated[str, Field(max_length=60)] = ""
    secret: Printable = ""
    user_agent: Printable = ""
    allowed_hosts: Annotated[str, Field(max_length=MAX_HOSTS_LENGTH)] = ""
    also_allow: Annotated[str, Field(max_length=MAX_HOST_LENGTH)] = ""

    @property
    def hosts(self) -> tuple[str, ...]:
        """All hosts that redirects may lead to, with the one that a test has found."""
        return split_hosts(f"{self.allowed_hosts} {self.also_allow}")


class SourceForm(RequestFields, ScheduleFields):
    """A URL, its credentials and its schedule; `do` is "test" for a preview that saves nothing."""

    name: Name | Literal[""] = ""
    do: Literal["test", "connect"] = "connect"


class ChangeSourceForm(RequestFields):
    """Another URL or other credentials; an empty secret keeps the saved one."""

    do: Literal["test", "save"] = "save"


class ScheduleForm(ScheduleFields):
    """A schedule, and a new secret if it is to be replaced."""

    secret: Printable = ""


@dataclass(frozen=True)
class ScheduleChoices:
    """The saved schedule and the choices of feeds/_schedule.jinja2."""

    saved: Schedule
    time_zone: str
    frequencies: Mapping[Frequency, str]
    weekdays: tuple[str, ...]
    time_zones: list[str]


@dataclass(frozen=True)
class Preview:
    """The first rows of a URL; `columns` maps each column to the label of its type."""

    columns: dict[str, str]
    rows: list[Row]
    notes: list[str]
    key_names: list[str]


@dataclass(frozen=True)
class ConnectPage:
    """Values of feeds/connect.jinja2; a redirect to `refused_host` needs to be allowed, "" for none."""

    form: SubmittedForm[SourceForm]
    schedule: ScheduleChoices
    preview: Preview | None
    refused_host: str


@dataclass(frozen=True)
class SourcePage:
    """Values of feeds/url.jinja2; `saved` has the saved values by field, without secrets."""

    feed: Feed
    form: SubmittedForm[ChangeSourceForm]
    saved: Mapping[str, str]
    has_secret: bool
    preview: Preview | None
    refused_host: str


@dataclass(frozen=True)
class SchedulePage:
    """Values of feeds/schedule.jinja2."""

    feed: Feed
    form: SubmittedForm[ScheduleForm]
    schedule: ScheduleChoices
    has_secret: bool


def _connect_page(
    context: FeedCollection,
    request: Request,
    form: SubmittedForm[SourceForm],
    sample: Table | None = None,
    refused_host: str = "",
) -> ConnectPage:
    choices = schedule_choices(Schedule(Frequency.DAILY), request.workspace.time_zone)
    return ConnectPage(form, choices, preview_of(sample) if sample else None, refused_host)


def _source_page(
    context: FeedResource,
    request: Request,
    form: SubmittedForm[ChangeSourceForm],
    sample: Table | None = None,
    refused_host: str = "",
) -> SourcePage:
    with request.services.database.transaction(context.row.workspace_id) as db:  # the request's may have ended
        source = source_of(context.row, db)
    spec = source_spec(source)
    saved = {**spec.model_dump(), "url": mask_query(spec.url), "allowed_hosts": ", ".join(spec.allowed_hosts)}
    preview = preview_of(sample) if sample else None
    return SourcePage(context.row, form, saved, source.encrypted_secret is not None, preview, refused_host)


def _schedule_page(context: FeedResource, request: Request, form: SubmittedForm[ScheduleForm]) -> SchedulePage:
    source = source_of(context.row, request.db)
    choices = schedule_choices(schedule_of(source.cron), source.time_zone)
    return SchedulePage(context.row, form, choices, source.encrypted_secret is not None and not source.provider)


@view_config(
    context=FeedCollection,
    name="connect",
    request_method="GET",
    renderer="feeds/connect.jinja2",
    permission=Permission.FEED_EDIT,
)
def connect_page(context: FeedCollection, request: Request) -> ConnectPage:
    """Show the form that connects a URL."""
    return _connect_page(context, request, empty_form())


@form_view(
    SourceForm,
    _connect_page,
    context=FeedCollection,
    name="connect",
    renderer="feeds/connect.jinja2",
    permission=Permission.FEED_EDIT,
    rate_limit="feed-source",
)
def connect_source(context: FeedCollection, request: Request, form: SourceForm) -> Response | ConnectPage:
    """Fetch a URL, and preview its first rows or create a feed from it."""
    spec = _spec(form, form.url)
    release_connection(request)
    try:
        file, sample = _fetch_preview(request, spec, form.secret)
    except RedirectRefusedError as error:
        return _connect_page(context, request, _refused(request, form, error), refused_host=error.host)
    if form.do == "test":
        return _connect_page(context, request, _as_typed(request, form), sample)
    return HTTPSeeOther(request.path_in("feeds", _create_connected_feed(request, form, spec, file), "columns"))


@view_config(
    context=FeedResource,
    name="url",
    request_method="GET",
    renderer="feeds/url.jinja2",
    permission=Permission.FEED_EDIT,
)
def source_page(context: FeedResource, request: Request) -> SourcePage:
    """Show the form that changes the URL of a feed."""
    _url_source_of(context.row, request.db)
    return _source_page(context, request, empty_form())


@form_view(
    ChangeSourceForm,
    _source_page,
    context=FeedResource,
    name="url",
    renderer="feeds/url.jinja2",
    permission=Permission.FEED_EDIT,
    rate_limit="feed-source",
)
def save_source(context: FeedResource, request: Request, form: ChangeSourceForm) -> Response | SourcePage:
    """Fetch another URL of a feed, and preview its first rows or save it and enqueue a fetch."""
    feed, source, account = context.row, _url_source_of(context.row, request.db), request.user.account
    try:
        spec = _spec(form, unmask_query(form.url, source))
    except SecretRequiredError as error:
        raise FieldError("url", str(error)) from None
    try:
        check_secret(source, spec, form.secret)
        secret = form.secret or (decrypt_secret(request.services.ring, source) if spec.has_secret else "")
    except (SecretRequiredError, FetchError) as error:
        raise FieldError("secret", str(error)) from None
    release_connection(request)
    try:
        _, sample = _fetch_preview(request, spec, secret)
        resolve_schema(feed, sample)
    except RedirectRefusedError as error:
        return _source_page(context, request, _refused(request, form, error), refused_host=error.host)
    except InvalidFileError as error:
        raise FieldError("url", str(error)) from None
    if form.do == "test":
        return _source_page(context, request, _as_typed(request, form), sample)
    with request.services.database.transaction(feed.workspace_id) as db:
        source = db.get_one(FeedSource, (feed.workspace_id, feed.id), with_for_update=True)
        try:
            change_source(request.services.ring, source, spec, form.secret)
        except SecretRequiredError as error:  # it was changed in the meantime
            raise FieldError("secret", str(error)) from None
        schedule_next_fetch(source)
        request_fetch(db, db.get_one(Feed, (feed.workspace_id, feed.id)), source, account.id)
        record(db, feed.workspace_id, request.actor, "feed.source", feed.name, {"host": spec.host})
    return HTTPSeeOther(request.path_in("feeds", feed.id))


# Two names, since support agents may retry a fetch without editing feeds, and users may edit feeds without this right.
@view_config(
    context=FeedResource,
    name="retry-fetch",
    request_method="POST",
    permission=Permission.RUN_RETRY,
    rate_limit="feed-fetch",
)
@view_config(
    context=FeedResource,
    name="fetch",
    request_method="POST",
    permission=Permission.FEED_EDIT,
    rate_limit="feed-fetch",
)
def fetch_now(context: FeedResource, request: Request) -> Response:
    """Enqueue a fetch of the feed."""
    feed = context.row
    source = source_of(feed, request.db)
    feed_import = request_fetch(request.db, feed, source, request.user.account.id)
    request.audit("feed.fetch", feed.name, number=feed_import.number)
    return HTTPSeeOther(request.path_in("feeds", feed.id))


@view_config(
    context=FeedResource,
    name="schedule",
    request_method="GET",
    renderer="feeds/schedule.jinja2",
    permission=Permission.FEED_EDIT,
)
def schedule_page(context: FeedResource, request: Request) -> SchedulePage:
    """Show the schedule of a feed."""
    return _schedule_page(context, request, empty_form())


@form_view(
    ScheduleForm,
    _schedule_page,
    context=FeedResource,
    name="schedule",
    renderer="feeds/schedule.jinja2",
    permission=Permission.FEED_EDIT,
)
def save_schedule(context: FeedResource, request: Request, form: ScheduleForm) -> Response:
    """Save the schedule of a feed, and its secret if a new one is entered."""
    feed, source = context.row, source_of(context.row, request.db)
    source.cron, source.time_zone = form.expression, form.time_zone
    if form.secret and not source.provider and source_spec(source).has_secret:
        set_secret(request.services.ring, source, form.secret)
    schedule_next_fetch(source)
    with use_locale(None):  # the activity log is stored in English
        schedule = str(schedule_of(source.cron))
    request.audit("feed.schedule", feed.name, schedule=schedule, time_zone=source.time_zone)
    return HTTPSeeOther(request.path_in("feeds", feed.id, "source"))


def _create_connected_feed(request: Request, form: SourceForm, spec: SourceSpec, file: BinaryIO) -> UUID:
    """Create a feed with its source and a draft of the first import, from the start of its file."""
    workspace_id, account = request.workspace.workspace_id, request.user.account
    host = spec.host
    with request.services.database.transaction(workspace_id) as db:
        check_plan_limit(db, request.services.settings, workspace_id, PlanLimit.FEEDS)
        feed = create_feed(db, workspace_id, name=form.name or host, file_name="")
        source = FeedSource(
            workspace_id=feed.workspace_id,
            feed_id=feed.id,
            cron=form.expression,
            time_zone=form.time_zone,
            failures=0,
            **spec.model_dump(mode="json"),
        )
        set_secret(request.services.ring, source, form.secret if spec.has_secret else "")
        add_source(db, feed, source, file, account.id)
        record(db, workspace_id, request.actor, "feed.connect", feed.name, {"host": host})
        return feed.id


def add_source(db: Session, feed: Feed, source: FeedSource, file: BinaryIO, account_id: UUID) -> None:
    """Add the source of a new feed, and a draft of the first import, from the start of its file."""
    feed.file_name = source.file_name
    create_import(
        db, feed, file_name=feed.file_name, file=file, state=ImportState.DRAFT, fetched=True, started_by=account_id
    )
    db.add(source)


def _spec(form: RequestFields, url: str) -> SourceSpec:
    """Return the URL and how to authenticate. Raises FieldError."""
    try:
        return SourceSpec(
            url=url,
            username=form.username,
            header=form.header,
            user_agent=form.user_agent,
            allowed_hosts=form.hosts,
        )
    except ValidationError as error:
        field, message = next(iter(error_messages(error, FORM_MESSAGES).items()))
        raise FieldError(field or "header", message) from None


def _fetch_preview(request: Request, spec: SourceSpec, secret: str) -> tuple[BinaryIO, Table]:
    """Return the start of a URL's file and its first rows. Raises FieldError and RedirectRefusedError."""
    try:
        return preview_source(request.services.fetcher, spec, secret)
    except RedirectRefusedError:
        raise
    except (FetchError, InvalidFileError) as error:
        raise FieldError("url", str(error)) from None


def _as_typed(request: Request, form: RequestFields) -> SubmittedForm[Any]:
    """Return a valid form with the typed values, to show it again below a preview."""
    typed = read_form(type(form), request.POST)
    return replace(typed, typed={**typed.typed, "allowed_hosts": ", ".join(form.hosts)})


def _refused(request: Request, form: RequestFields, error: RedirectRefusedError) -> SubmittedForm[Any]:
    """Return a form that offers to allow the host that a redirect led to."""
    request.response.status = 422
    message = gettext("%(finding)s. Allow this host below, or use the final URL", finding=error.finding)
    return _as_typed(request, form).with_error("url", message)


def source_of(feed: Feed, db: Session) -> FeedSource:
    """Return the source of a feed. Raises HTTPUnprocessableEntity if it has none."""
    source = find_source(db, feed.workspace_id, feed.id)
    if source is None:
        raise HTTPUnprocessableEntity(gettext("This feed has no URL; its rows are uploaded or sent to the API"))
    return source


def _url_source_of(feed: Feed, db: Session) -> FeedSource:
    """Return the URL of a feed. Raises HTTPNotFound if a provider fetches it, whose settings have another form."""
    source = source_of(feed, db)
    if source.provider:
        raise HTTPNotFound
    return source


def schedule_choices(schedule: Schedule, time_zone: str) -> ScheduleChoices:
    """Return a schedule with the choices of its form."""
    frequencies = translate_labels(FREQUENCY_LABELS)
    return ScheduleChoices(schedule, time_zone, frequencies, tuple(map(gettext, WEEKDAYS)), time_zones())


def preview_of(sample: Table) -> Preview:
    """Return the first rows of a source as a page shows them."""
    schema = guess_schema(sample)
    return Preview(
        columns={name: gettext(COLUMN_TYPE_LABELS[schema.columns[name].type]) for name in sample.columns},
        rows=sample.rows[:PREVIEW_ROWS],
        notes=sample.notes,
        key_names=schema.key_names,
    )

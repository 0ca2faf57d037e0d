"""The source of a feed: its URL and schedule, and the import of a newer file."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pyramid.httpexceptions import HTTPSeeOther
from pyramid.response import Response
from pyramid.view import view_config

from cwz_web.feeds.change_webhooks import webhook_of
from cwz_web.feeds.columns import FeedSchema
from cwz_web.feeds.fetch_job import schedule_next_fetch
from cwz_web.feeds.file_types import read_table
from cwz_web.feeds.imports import create_import, enqueue_import, resolve_schema
from cwz_web.feeds.limits import SAMPLE_ROWS, InvalidFileError
from cwz_web.feeds.models import FeedSource
from cwz_web.feeds.reading import ReadOptions
from cwz_web.feeds.schedules import schedule_of
from cwz_web.feeds.sources import find_source
from cwz_web.i18n import gettext
from cwz_web.resources.permissions import Permission
from cwz_web.resources.workspace import FeedResource
from cwz_web.views.feed_imports import NO_FILE, uploaded_file
from cwz_web.views.feed_page import FeedPage, FeedTab, shared_values
from cwz_web.views.feed_sources import source_of
from cwz_web.web.forms import FieldError, Form, SubmittedForm, empty_form, form_view
from cwz_web.web.lists import list_path, sent_place
from cwz_web.web.notices import add_notice
from cwz_web.web.request import Request

PAGE = "feeds/source.jinja2"


class NewerFileForm(Form):
    """A newer file, which is read from the request."""


@dataclass(frozen=True, kw_only=True)
class SourcePage(FeedPage):
    """Values of feeds/source.jinja2.

    Attributes:
        form: The form of a newer file.
        source: The source of the feed, or None.
        source_url: Its URL without the query.
        schedule: Its schedule.
        has_webhook: Whether its provider says that rows have changed.
        matching: What matches rows.
    """

    form: SubmittedForm[Any]
    source: FeedSource | None
    source_url: str
    schedule: str
    has_webhook: bool
    matching: str


def _page(context: FeedResource, request: Request, form: SubmittedForm[Any]) -> SourcePage:
    feed = context.row
    source = find_source(request.db, feed.workspace_id, feed.id)
    return SourcePage(
        **shared_values(request, feed, FeedTab.SOURCE),
        form=form,
        source=source,
        source_url=source.url.partition("?")[0] if source else "",  # the query may contain a secret
        schedule=_describe_schedule(source),
        has_webhook=webhook_of(request.services.feed_sources, source) is not None,
        matching=_describe_matching(FeedSchema.model_validate(feed.schema).key_names),
    )


@view_config(context=FeedResource, name="source", request_method="GET", renderer=PAGE, permission=Permission.VIEW)
def show_source(context: FeedResource, request: Request) -> SourcePage:
    """Show where the rows of a feed come from."""
    return _page(context, request, empty_form())


@form_view(NewerFileForm, _page, context=FeedResource, name="import", renderer=PAGE, permission=Permission.FEED_EDIT)
def import_newer_file(context: FeedResource, request: Request, form: NewerFileForm) -> Response:
    """Enqueue the import of a newer file."""
    feed = context.row
    file_name, file = uploaded_file(request)
    if file is None:
        raise FieldError("file", gettext(NO_FILE))
    try:
        resolve_schema(feed, read_table(file, SAMPLE_ROWS, ReadOptions.model_validate(feed.reading)))
    except InvalidFileError as error:
        raise FieldError("file", gettext("%(error)s. The feed has not changed", error=error)) from None
    record = create_import(request.db, feed, file_name=file_name, file=file, started_by=request.user.account.id)
    enqueue_import(request.db, record)
    request.audit("feed.import", feed.name, file=file_name[:200], number=record.number)
    return HTTPSeeOther(request.path_in("feeds", feed.id))


@view_config(context=FeedResource, name="pause", request_method="POST", permission=Permission.FEED_EDIT)
def pause_schedule(context: FeedResource, request: Request) -> Response:
    """Stop fetching a feed on its schedule, until it is resumed."""
    source = source_of(context.row, request.db)
    source.paused_at = source.paused_at or datetime.now(UTC)
    text = gettext("Paused “%(name)s”.", name=context.row.name)
    return _finish_change(request, context, source, "feed.pause", text, undo="resume")


@view_config(context=FeedResource, name="resume", request_method="POST", permission=Permission.FEED_EDIT)
def resume_schedule(context: FeedResource, request: Request) -> Response:
    """Fetch a feed on its schedule again."""
    source = source_of(context.row, request.db)
    source.paused_at = None
    text = gettext("Resumed “%(name)s”.", name=context.row.name)
    return _finish_change(request, context, source, "feed.resume", text, undo="pause")


def _finish_change(
    request: Request, context: FeedResource, source: FeedSource, action: str, text: str, *, undo: str
) -> Response:
    """Set the next fetch, say what was done, and return to the list at the place that its form has sent, or the tab."""
    schedule_next_fetch(source)
    request.audit(action, context.row.name)
    place, undo_path = sent_place(request), request.path_in("feeds", context.row.id, undo)
    if place is None:
        add_notice(request, text, undo=undo_path)
        return HTTPSeeOther(request.path_in("feeds", context.row.id, "source"))
    add_notice(request, text, undo=undo_path, list=place)
    return HTTPSeeOther(list_path(request, "feeds", place))


def _describe_schedule(source: FeedSource | None) -> str:
    if source is None:
        return ""
    schedule = str(schedule_of(source.cron))
    return f"{schedule}, {source.time_zone}" if source.cron else schedule


def _describe_matching(names: list[str]) -> str:
    if not names:
        return gettext("Rows are matched by position.")
    return gettext("Rows are matched by %(columns)s.", columns=", ".join(names))

"""How rows come into a feed: an upload, what its columns become, newer files, and what an import did and left out."""

from datetime import UTC, datetime
from typing import Annotated, Any, BinaryIO

from pydantic import Field, ValidationError
from pyramid.httpexceptions import HTTPNotFound, HTTPSeeOther, HTTPUnprocessableEntity
from pyramid.response import Response
from pyramid.view import view_config

from cwz_web.billing.plans import PlanLimit, PlanLimitError, check_plan_limit
from cwz_web.feeds.columns import COLUMN_TYPE_LABELS, MAX_KEY_COLUMNS, Column, ColumnType, FeedSchema, guess_group
from cwz_web.feeds.file_types import read_sample, read_table, temporary_file
from cwz_web.feeds.import_files import delete_file, move_file, open_file_start
from cwz_web.feeds.imports import (
    ImportNotReviewableError,
    approve_import,
    discard_import,
    enqueue_import,
    find_import,
    list_invalid_rows,
    list_imports,
    create_feed,
    create_import,
    newest_import_with_file,
    resolve_schema,
)
from cwz_web.feeds.limits import MAX_COLUMNS, SAMPLE_ROWS, InvalidFileError
from cwz_web.feeds.records import Table
from cwz_web.feeds.models import Feed, FeedImport
from cwz_web.feeds.queries import list_items
from cwz_web.resources.permissions import Permission
from cwz_web.resources.workspace import FeedCollection, FeedResource
from cwz_web.spreadsheets import csv_line
from cwz_web.web.forms import Filled, Form, empty_form, messages, read_form, refuse_odd
from cwz_web.web.request import Request
from cwz_web.web.urls import after_position, as_number

NO_FILE = "Choose a file with at least one row of data"
SHOWN_ROWS = 3
SHOWN_INVALID = 200


class UploadForm(Form):
    """A name; the file or the pasted text comes beside it."""

    name: Annotated[str, Field(max_length=100)] = ""
    pasted: Annotated[str, Field(max_length=2_000_000)] = ""


class ImportForm(Form):
    """Which import is decided on."""

    number: Annotated[int, Field(ge=1)]


@view_config(
    context=FeedCollection,
    name="new",
    request_method="GET",
    renderer="feeds/new.jinja2",
    permission=Permission.FEED_EDIT,
)
def upload_page(context: FeedCollection, request: Request) -> dict[str, Any]:
    """The form for an upload."""
    return {"form": empty_form()}


@view_config(
    context=FeedCollection,
    name="new",
    request_method="POST",
    renderer="feeds/new.jinja2",
    permission=Permission.FEED_EDIT,
)
def upload_form(context: FeedCollection, request: Request) -> Any:
    """Take a file, or a table that was pasted, and go to its columns; or say what is wrong with it."""
    form = read_form(UploadForm, request.POST)
    file_name, file = _posted_file(request)
    if form.value is not None and file is None and form.value.pasted:
        file_name, file = "pasted text", temporary_file(form.value.pasted.encode())
    if file is None:
        form = form.with_error("file", NO_FILE)
    if form.value is not None and file is not None:
        name = form.value.name or file_name.rpartition(".")[0] or file_name
        try:
            check_plan_limit(request.db, request.services.settings, request.workspace.workspace_id, PlanLimit.FEEDS)
            read_table(file, SAMPLE_ROWS)
        except (InvalidFileError, PlanLimitError) as error:
            form = form.with_error("file", str(error))
        else:
            person = request.user.account
            feed = create_feed(request.db, request.workspace.workspace_id, name=name[:100], file_name=file_name)
            create_import(request.db, feed, file_name=file_name, file=file, state="draft", started_by=person.id)
            request.audit("feed.upload", feed.name, file=file_name[:200])
            return HTTPSeeOther(request.path_in("feeds", feed.id, "columns"))
    request.response.status = 422
    return {"form": form}


@view_config(
    context=FeedResource,
    name="columns",
    request_method="GET",
    renderer="feeds/columns.jinja2",
    permission=Permission.FEED_EDIT,
)
def columns_page(context: FeedResource, request: Request) -> dict[str, Any]:
    """What the file's columns become, guessed from its first rows."""
    return _columns_page(request, context.row, empty_form())


@view_config(
    context=FeedResource,
    name="columns",
    request_method="POST",
    renderer="feeds/columns.jinja2",
    permission=Permission.FEED_EDIT,
)
def columns_form(context: FeedResource, request: Request) -> Any:
    """Give the columns their shape, and bring the file in with it."""
    feed = context.row
    shape, errors = _posted_shape(request)
    if shape is None:
        request.response.status = 422
        return _columns_page(request, feed, Filled(None, errors, dict(request.POST)))
    feed.shape = shape.model_dump(mode="json")
    kept = newest_import_with_file(request.db, feed)
    if kept is not None:
        _bring_in_again(request, feed, kept)
    request.audit("feed.columns", feed.name, key=shape.key_names, columns=len(shape.kinds))
    return HTTPSeeOther(request.path_in("feeds", feed.id))


@view_config(context=FeedResource, name="import", request_method="POST", permission=Permission.FEED_EDIT)
def import_form(context: FeedResource, request: Request) -> Response:
    """Take a newer file, or say what is wrong with it."""
    feed = context.row
    file_name, file = _posted_file(request)
    try:
        if file is None:
            raise InvalidFileError(NO_FILE)
        resolve_schema(feed, read_table(file, SAMPLE_ROWS))
    except InvalidFileError as error:
        raise HTTPUnprocessableEntity(f"{error}. The feed is as it was") from None
    record = create_import(request.db, feed, file_name=file_name, file=file, started_by=request.user.account.id)
    enqueue_import(request.db, record)
    request.audit("feed.import", feed.name, file=file_name[:200], number=record.number)
    return HTTPSeeOther(request.path_in("feeds", feed.id))


@view_config(
    context=FeedResource,
    name="progress",
    request_method="GET",
    renderer="feeds/_progress.jinja2",
    permission=Permission.VIEW,
)
def import_progress(context: FeedResource, request: Request) -> dict[str, Any]:
    """How far the import is; once it is over, the page is to be shown again."""
    newest = next(iter(list_imports(request.db, context.row, limit=1)), None)
    if newest is None or newest.state != "queued":
        request.response.headers["HX-Refresh"] = "true"
    return {"feed": context.row, "running": newest, "seconds": seconds_of(newest) if newest else 0}


@view_config(context=FeedResource, name="apply", request_method="POST", permission=Permission.FEED_EDIT)
@view_config(context=FeedResource, name="discard", request_method="POST", permission=Permission.FEED_EDIT)
def decide_form(context: FeedResource, request: Request) -> Response:
    """Apply an import that was held, or decide against it."""
    feed, what = context.row, request.view_name
    form = read_form(ImportForm, request.POST)
    held = find_import(request.db, feed, form.value.number) if form.value else None
    if held is None:
        raise HTTPUnprocessableEntity("Choose one of the feed's imports")
    try:
        (approve_import if what == "apply" else discard_import)(request.db, held)
    except ImportNotReviewableError as error:
        raise HTTPUnprocessableEntity(str(error)) from None
    request.audit(f"feed.{what}", feed.name, number=held.number, removed=held.removed)
    return HTTPSeeOther(request.path_in("feeds", feed.id))


@view_config(
    context=FeedResource,
    name="left-out",
    request_method="GET",
    renderer="feeds/left_out.jinja2",
    permission=Permission.VIEW,
)
def left_out_page(context: FeedResource, request: Request) -> dict[str, Any]:
    """The rows that an import left out, and why."""
    record = _asked_import(context.row, request)
    rows = list_invalid_rows(request.db, record, after_position(request), SHOWN_INVALID)
    more = rows[-1].number if len(rows) == SHOWN_INVALID else None
    return {"feed": context.row, "record": record, "rows": rows, "more": more}


@view_config(context=FeedResource, name="left-out.csv", request_method="GET", permission=Permission.VIEW)
def left_out_csv(context: FeedResource, request: Request) -> Response:
    """The rows that an import left out, as a file."""
    record = _asked_import(context.row, request)
    rows = list_invalid_rows(request.db, record)
    names = dict.fromkeys(name for row in rows for name in row.data)
    # Rows whose key was there twice come from the database, which keeps no order of columns.
    columns = [name for name in record.columns if name in names] if names.keys() <= set(record.columns) else list(names)
    lines = [csv_line(["line", "reason", *columns])]
    lines += [csv_line([row.line, row.reason, *map(row.data.get, columns)]) for row in rows]
    response = Response(b"".join(lines), content_type="text/csv", charset="utf-8")
    response.content_disposition = f'attachment; filename="left-out-{record.number}.csv"'
    return response


def seconds_of(record: FeedImport) -> float:
    """How long an import has been going on, in seconds."""
    return ((record.finished_at or datetime.now(UTC)) - record.created_at).total_seconds()


def _columns_page(request: Request, feed: Feed, form: Filled[Any]) -> dict[str, Any]:
    kept = newest_import_with_file(request.db, feed)
    file = open_file_start(request.db, kept) if kept else None
    trouble = None
    try:
        sample = read_sample(file, SAMPLE_ROWS) if file else _table_of(request, feed)
        shape = resolve_schema(feed, sample)
    except InvalidFileError as error:
        # The newest file does not fit the feed's key any more: what it has is shown, to choose another.
        trouble = str(error)
        sample = read_sample(file, SAMPLE_ROWS) if file else _table_of(request, feed)
        shape = FeedSchema.model_validate(feed.shape).model_copy(update={"key": []}).completed(sample)
    sources = list(dict.fromkeys([*sample.columns, *shape.columns]))
    return {
        "feed": feed,
        "form": form,
        "kept": kept,
        "trouble": trouble,
        "sample": sample,
        "shown": sample.rows[:SHOWN_ROWS],
        "sources": sources,
        "shape": shape,
        "group": shape.group or guess_group(sample),
        "kinds": COLUMN_TYPE_LABELS,
    }


def _table_of(request: Request, feed: Feed) -> Table:
    """The feed's first rows, where no file is kept."""
    return Table(feed.columns, [item.data for item in list_items(request.db, feed)])


def _posted_shape(request: Request) -> tuple[FeedSchema | None, dict[str, str]]:
    """The shape that the fields say, or a message for each field that is wrong."""
    posted = request.POST
    errors = refuse_odd(posted, posted.keys())
    columns: dict[str, Column] = {}
    names: set[str] = set()
    key: list[str] = []
    for number in range(MAX_COLUMNS):
        source = posted.get(f"source.{number}")
        if source is None:
            break
        fields = {
            "name": " ".join(posted.get(f"name.{number}", "").split()),
            "kind": posted.get(f"kind.{number}", ColumnType.TEXT),
            "required": f"required.{number}" in posted,
            "dropped": f"keep.{number}" not in posted,
        }
        if f"key.{number}" in posted:
            key.append(source)
        try:
            columns[source] = Column.model_validate(fields)
        except ValidationError as error:
            errors |= {f"{field}.{number}": text for field, text in messages(error).items()}
            continue
        if not columns[source].dropped and columns[source].name in names:
            errors[f"name.{number}"] = "Another column has this name already"
        names |= set() if columns[source].dropped else {columns[source].name}
    if not names and not errors:
        errors["keep.0"] = "Keep at least one column"
    if len(key) > MAX_KEY_COLUMNS:
        errors["key"] = f"{MAX_KEY_COLUMNS} columns are the most"
    group = posted.get("group") or None
    if errors or (group and group not in columns):
        return None, errors or {"group": "Choose a column of the file"}
    return FeedSchema(columns=columns, key=key, group=group), {}


def _bring_in_again(request: Request, feed: Feed, kept: FeedImport) -> None:
    """Have the newest file brought in, with the feed's shape as it is now."""
    if kept.state == "draft":
        kept.state = "queued"
        if kept.fetched:  # what is kept is only its beginning
            delete_file(request.db, kept)
        enqueue_import(request.db, kept)
        return
    person = request.user.account
    again = create_import(request.db, feed, file_name=kept.file_name, started_by=person.id)
    again.confirmed = True  # other keys make all rows other rows
    move_file(request.db, kept, again.id)
    enqueue_import(request.db, again)


def _asked_import(feed: Feed, request: Request) -> FeedImport:
    record = find_import(request.db, feed, as_number(request.GET.get("number", "")))
    if record is None:
        raise HTTPNotFound
    return record


def _posted_file(request: Request) -> tuple[str, BinaryIO | None]:
    """The name and the content of the file in the form, if there is one."""
    posted = request.POST.get("file")
    if not hasattr(posted, "file"):
        return "", None
    return posted.filename, posted.file

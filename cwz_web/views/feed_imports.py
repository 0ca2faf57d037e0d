"""Imports of a feed: upload, columns, progress, review, and the rows that were invalid."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, BinaryIO

from pydantic import Field, ValidationError
from pyramid.httpexceptions import HTTPNotFound, HTTPSeeOther, HTTPUnprocessableEntity
from pyramid.response import Response
from pyramid.view import view_config
from sqlalchemy.orm import Session

from cwz_web.billing.plans import PlanLimit, PlanLimitError, check_plan_limit
from cwz_web.feeds.columns import COLUMN_TYPE_LABELS, MAX_KEY_COLUMNS, Column, ColumnType, FeedSchema, guess_group
from cwz_web.feeds.file_types import read_table
from cwz_web.feeds.import_files import delete_file, move_file
from cwz_web.feeds.imports import (
    ImportNotReviewableError,
    approve_import,
    create_feed,
    create_import,
    discard_import,
    enqueue_import,
    find_import,
    list_imports,
    list_invalid_rows,
    newest_import_with_file,
    resolve_schema,
)
from cwz_web.feeds.limits import MAX_COLUMNS, MAX_INVALID, SAMPLE_ROWS, InvalidFileError
from cwz_web.feeds.models import Feed, FeedImport, ImportState, InvalidRow
from cwz_web.feeds.price_currency import find_columns_without_currency, suggest_currency
from cwz_web.feeds.queries import list_items
from cwz_web.feeds.records import Table
from cwz_web.feeds.sources import find_source
from cwz_web.feeds.temporary_files import temporary_file
from cwz_web.i18n import gettext, gettext_noop, ngettext, translate_labels
from cwz_web.resources.permissions import Permission
from cwz_web.resources.workspace import FeedCollection, FeedResource
from cwz_web.values.formats import CURRENCIES, UNKNOWN, ValueFormat
from cwz_web.views.column_formats import FormatControl, detected_formats, format_controls, posted_format
from cwz_web.views.feed_column_preview import ImportPreview, preview_import
from cwz_web.views.feed_currency import currency_groups, describe_columns, url_of
from cwz_web.views.feed_reading import PostedReading, ReadingPanel, posted_reading, read_preview
from cwz_web.views.setup_steps import SETUP, Next, NumberedStep, SetupStep, steps_of_page
from cwz_web.web.downloads import csv_download
from cwz_web.web.forms import (
    FieldError,
    Form,
    SubmittedForm,
    empty_form,
    error_messages,
    find_repeated_fields,
    form_view,
    read_form,
)
from cwz_web.web.rendering import duration
from cwz_web.web.request import Request
from cwz_web.web.urls import after_position, parse_number
from cwz_web.workspaces.models import Workspace

NO_FILE = gettext_noop("Choose a file with at least one row of data")
PREVIEW_ROWS = 3
INVALID_ROWS_PER_PAGE = 200
# An import that has not begun after this many seconds waits for a worker.
WAITING_AFTER = 5


class UploadForm(Form):
    """The name of a new feed, and its rows if they are pasted. A file is read from the request.

    With `next`, the way to the first images goes on after the import.
    """

    name: Annotated[str, Field(max_length=100)] = ""
    next: Next = ""
    pasted: Annotated[str, Field(max_length=2_000_000)] = ""


class ImportNumberForm(Form):
    """The number of the import to apply or discard."""

    number: Annotated[int, Field(ge=1)]


@dataclass(frozen=True)
class SourceChoice:
    """A provider of feed sources that can be connected."""

    name: str
    label: str
    summary: str
    icon: str


@dataclass(frozen=True)
class UploadPage:
    """Values of feeds/new.jinja2; with the steps of the setup if the form is that of its page."""

    form: SubmittedForm[UploadForm]
    steps: list[NumberedStep]
    sources: list[SourceChoice]


@dataclass(frozen=True)
class ColumnRow:
    """A column of the file on the page of columns; field names end with its number."""

    number: int
    source: str
    name: str
    type: str
    is_kept: bool
    is_required: bool
    is_key: bool
    values: list[str]
    format: tuple[FormatControl, ...]


@dataclass(frozen=True)
class ColumnsPage:
    """Values of feeds/columns.jinja2.

    Attributes:
        feed: The feed.
        form: The form.
        title: The title of the page.
        introduction: What the form does.
        submit_label: The label of the submit button.
        file_error: Why the newest file does not fit the feed's schema.
        columns: The columns of the file.
        group: The column that groups variants, if there is one.
        is_grouped: Whether variants are filled from the row above.
        column_types: The labels of the column types.
        reading: How the file is read; None without a file.
        has_new_columns: Whether the file was just read in another way.
        currency: The control of the currency; None if no column has prices without one, and none is set.
        preview: The first rows as they are imported.
        steps: The steps of the setup, if the page belongs to it.
    """

    feed: Feed
    form: SubmittedForm[Any]
    title: str
    introduction: str
    submit_label: str
    file_error: str | None
    columns: list[ColumnRow]
    group: str | None
    is_grouped: bool
    column_types: dict[ColumnType, str]
    reading: ReadingPanel | None
    has_new_columns: bool
    currency: "CurrencyControl | None"
    preview: ImportPreview
    steps: list[NumberedStep]


@dataclass(frozen=True)
class CurrencyControl:
    """The select of the feed's currency, with the suggested one chosen if none is set, for a reason."""

    value: str
    columns: str
    reason: str
    groups: Mapping[str, Mapping[str, str]]


@dataclass(frozen=True)
class ImportProgress:
    """The progress of a running import, as two sentences and a percentage (None while it is not known)."""

    status: str
    detail: str
    percent: int | None


@dataclass(frozen=True)
class ProgressPage:
    """Values of feeds/_progress.jinja2."""

    feed: Feed
    progress: ImportProgress | None


@dataclass(frozen=True)
class InvalidRowsPage:
    """Values of feeds/invalid_rows.jinja2; `next_after` is the last number of the page if there is another page."""

    feed: Feed
    record: FeedImport
    rows: list[InvalidRow]
    max_rows: int
    next_after: int | None


def _upload_page(context: FeedCollection, request: Request, form: SubmittedForm[UploadForm]) -> UploadPage:
    sources = [
        SourceChoice(provider.name, gettext(provider.label), gettext(provider.summary), provider.icon)
        for provider in request.services.feed_sources
    ]
    return UploadPage(form, steps_of_page(form.typed.get("next"), SetupStep.FEED), sources)


@view_config(
    context=FeedCollection,
    name="new",
    request_method="GET",
    renderer="feeds/new.jinja2",
    permission=Permission.FEED_EDIT,
)
def new_feed_page(context: FeedCollection, request: Request) -> UploadPage:
    """Show the form that uploads a feed."""
    return _upload_page(context, request, empty_form())


@form_view(
    UploadForm,
    _upload_page,
    context=FeedCollection,
    name="new",
    renderer="feeds/new.jinja2",
    permission=Permission.FEED_EDIT,
)
def upload_feed(context: FeedCollection, request: Request, form: UploadForm) -> Response:
    """Create a feed from a file or a pasted table, and redirect to its columns."""
    file_name, file = uploaded_file(request)
    if file is None and form.pasted:
        file_name, file = "Pasted rows", temporary_file(f"{form.pasted}\n".encode())
    if file is None:
        raise FieldError("file", gettext(NO_FILE))
    workspace_id = request.workspace.workspace_id
    try:
        check_plan_limit(request.db, request.services.settings, workspace_id, PlanLimit.FEEDS)
        read_table(file, SAMPLE_ROWS)
    except (InvalidFileError, PlanLimitError) as error:
        raise FieldError("file", str(error)) from None
    name = form.name or file_name.rpartition(".")[0] or file_name
    account = request.user.account
    feed = create_feed(request.db, workspace_id, name=name[:100], file_name=file_name)
    create_import(request.db, feed, file_name=file_name, file=file, state=ImportState.DRAFT, started_by=account.id)
    request.audit("feed.upload", feed.name, file=file_name[:200])
    return HTTPSeeOther(request.path_in("feeds", feed.id, "columns") + (f"?next={SETUP}" if form.next else ""))


@view_config(
    context=FeedResource,
    name="columns",
    request_method="GET",
    renderer="feeds/columns.jinja2",
    permission=Permission.FEED_EDIT,
)
def columns_page(context: FeedResource, request: Request) -> ColumnsPage:
    """Show the columns of the newest file, with the feed's schema or a guess."""
    return _columns_page(request, context.row, empty_form())


@view_config(
    context=FeedResource,
    name="columns",
    request_method="POST",
    renderer="feeds/columns.jinja2",
    permission=Permission.FEED_EDIT,
)
def save_columns(context: FeedResource, request: Request) -> Response | ColumnsPage:
    """Save how the file is read and the feed's schema, and import the newest file with them."""
    feed, reading = context.row, posted_reading(request)
    if reading.is_changed or request.POST.get("do") == "preview":
        return _columns_page(request, feed, empty_form(), reading)
    if request.POST.get("do") == "types":  # other types have other formats to choose
        return _columns_page(request, feed, SubmittedForm(None, {}, dict(request.POST)), reading)
    schema, errors = _posted_schema(request, feed)  # no form_view: the number of fields depends on the file
    currency = request.POST.get("currency", feed.currency or "").strip().upper()
    if currency and currency not in CURRENCIES:
        errors["currency"] = gettext("Choose a currency from the list")
    if schema is None or errors:
        request.response.status = 422
        return _columns_page(request, feed, SubmittedForm(None, errors, dict(request.POST)), reading)
    if reading.options is not None:
        feed.reading = reading.options.model_dump(exclude_none=True)
    feed.schema, feed.currency = schema.model_dump(mode="json"), currency or None
    newest = newest_import_with_file(request.db, feed)
    if newest is not None:
        _import_again(request, feed, newest)
    details = {"key": schema.key_names, "columns": len(schema.types), "currency": feed.currency}
    request.audit("feed.columns", feed.name, **details)
    is_setup = request.GET.get("next") == SETUP
    return HTTPSeeOther(request.path_in("setup") if is_setup else request.path_in("feeds", feed.id))


@dataclass(frozen=True)
class ImportPreviewPart:
    """The view model of feeds/_import_preview.jinja2."""

    preview: ImportPreview


@view_config(
    context=FeedResource,
    name="columns-preview",
    request_method="POST",
    renderer="feeds/_import_preview.jinja2",
    permission=Permission.FEED_EDIT,
)
def preview_columns(context: FeedResource, request: Request) -> ImportPreviewPart:
    """Show the first rows as they are imported with the submitted columns, and save nothing."""
    feed = context.row
    schema, errors = _posted_schema(request, feed)
    if schema is None:
        reason = next(iter(errors.values()))
        return ImportPreviewPart(ImportPreview([], [], gettext("No preview: %(reason)s.", reason=reason)))
    newest = newest_import_with_file(request.db, feed)
    preview = read_preview(request, feed, newest, posted_reading(request)) if newest else None
    sample = preview[0] if preview else _table_of_feed(request, feed)
    return ImportPreviewPart(_preview_import(request, feed, schema, sample))


@view_config(
    context=FeedResource,
    name="progress",
    request_method="GET",
    renderer="feeds/_progress.jinja2",
    permission=Permission.VIEW,
)
def import_progress(context: FeedResource, request: Request) -> ProgressPage:
    """Return the progress of the newest import; once it has finished, htmx reloads the page."""
    newest = next(iter(list_imports(request.db, context.row, limit=1)), None)
    progress = progress_of_import(newest)
    if progress is None:
        request.response.headers["HX-Refresh"] = "true"
    return ProgressPage(context.row, progress)


@view_config(context=FeedResource, name="apply", request_method="POST", permission=Permission.FEED_EDIT)
def apply_reviewed_import(context: FeedResource, request: Request) -> Response:
    """Apply an import that needs a review."""
    return _end_review(context, request, approve_import, "feed.apply")


@view_config(context=FeedResource, name="discard", request_method="POST", permission=Permission.FEED_EDIT)
def discard_reviewed_import(context: FeedResource, request: Request) -> Response:
    """Discard an import that needs a review."""
    return _end_review(context, request, discard_import, "feed.discard")


@view_config(
    context=FeedResource,
    name="invalid-rows",
    request_method="GET",
    renderer="feeds/invalid_rows.jinja2",
    permission=Permission.VIEW,
)
def invalid_rows_page(context: FeedResource, request: Request) -> InvalidRowsPage:
    """Show the rows that an import skipped, and why."""
    record = requested_import(context.row, request)
    rows = list_invalid_rows(request.db, record, after_position(request), INVALID_ROWS_PER_PAGE)
    next_after = rows[-1].number if len(rows) == INVALID_ROWS_PER_PAGE else None
    return InvalidRowsPage(context.row, record, rows, MAX_INVALID, next_after)


@view_config(context=FeedResource, name="invalid-rows.csv", request_method="GET", permission=Permission.VIEW)
def invalid_rows_csv(context: FeedResource, request: Request) -> Response:
    """Return the rows that an import skipped as CSV."""
    record = requested_import(context.row, request)
    rows = list_invalid_rows(request.db, record)
    names = dict.fromkeys(name for row in rows for name in row.data)
    # Rows with a duplicate key are written by the database, which does not keep the order of columns.
    columns = [name for name in record.columns if name in names] if names.keys() <= set(record.columns) else list(names)
    lines = ([row.line, row.reason, *map(row.data.get, columns)] for row in rows)
    return csv_download(f"invalid-rows-{record.number}.csv", [["line", "reason", *columns], *lines])


def progress_of_import(record: FeedImport | None) -> ImportProgress | None:
    """Return the progress of an import; None if it is not queued or running."""
    if record is None or record.state != ImportState.QUEUED:
        return None
    seconds = (datetime.now(UTC) - record.created_at).total_seconds()
    if record.percent:
        rate, left = record.rows_read / max(seconds, 1), seconds * (100 - record.percent) / record.percent
        status = ngettext(
            "Importing from %(source)s: %(count)s row read",
            "Importing from %(source)s: %(count)s rows read",
            record.rows_read,
            source=record.source,
        )
        detail = ngettext(
            "%(count)s row per second, about %(time)s left",
            "%(count)s rows per second, about %(time)s left",
            round(rate),
            time=duration(left),
        )
        return ImportProgress(status, detail, record.percent)
    status = gettext("Importing from %(source)s", source=record.source)
    if record.fetched:
        status = gettext("Fetching %(file)s", file=record.file_name)
    return ImportProgress(status, gettext("Waiting for a worker") if seconds > WAITING_AFTER else "", None)


def _columns_page(
    request: Request, feed: Feed, form: SubmittedForm[Any], posted: PostedReading | None = None
) -> ColumnsPage:
    newest = newest_import_with_file(request.db, feed)
    preview = read_preview(request, feed, newest, posted) if newest else None
    sample, reading = preview or (_table_of_feed(request, feed), None)
    file_error = None
    try:
        schema = resolve_schema(feed, sample)
    except InvalidFileError as error:
        # The newest file lacks a column of the key: show its columns, so that another key can be chosen.
        file_error = str(error)
        schema = FeedSchema.model_validate(feed.schema).model_copy(update={"key": []}).with_guesses(sample)
    sources = dict.fromkeys([*sample.columns, *schema.columns])
    group = schema.group or guess_group(sample)
    default = feed.value_format.with_defaults(request.db.get_one(Workspace, feed.workspace_id).value_format)
    detected = detected_formats(feed, schema, sample, default)
    shown = _posted_schema(request, feed)[0] if form.typed else None
    return ColumnsPage(
        feed=feed,
        form=form,
        title=gettext("Columns") if feed.item_count else gettext("Review columns"),
        introduction=_columns_introduction(feed, newest),
        submit_label=gettext("Import file") if newest else gettext("Save columns"),
        file_error=file_error,
        columns=[
            _column_row(number, source, schema, sample, form, detected.get(schema.columns[source].name, UNKNOWN))
            for number, source in enumerate(sources)
        ],
        group=group,
        is_grouped=bool(group) and (form.typed.get("group") if form.typed else schema.group) == group,
        column_types=translate_labels(COLUMN_TYPE_LABELS),
        reading=reading,
        has_new_columns=posted is not None and posted.is_changed,
        currency=_currency_control(request, feed, schema, sample, detected, form),
        preview=_preview_import(request, feed, shown or schema, sample),
        steps=steps_of_page(request.GET.get("next"), SetupStep.COLUMNS),
    )


def _preview_import(request: Request, feed: Feed, schema: FeedSchema, sample: Table) -> ImportPreview:
    """Return the first rows as they are imported, with the submitted currency or the feed's."""
    currency = request.POST.get("currency", "").strip().upper()
    chosen = ValueFormat(currency=currency) if currency in CURRENCIES else feed.value_format
    default = chosen.with_defaults(request.db.get_one(Workspace, feed.workspace_id).value_format)
    return preview_import(schema, sample, _formats_in_use(schema, detected_formats(feed, schema, sample, default)))


def _formats_in_use(schema: FeedSchema, detected: Mapping[str, ValueFormat]) -> dict[str, ValueFormat]:
    return {name: format.with_defaults(detected[name]) for name, format in schema.formats.items()}


def _currency_control(
    request: Request,
    feed: Feed,
    schema: FeedSchema,
    sample: Table,
    detected: Mapping[str, ValueFormat],
    form: SubmittedForm[Any],
) -> CurrencyControl | None:
    """Return the select of the feed's currency, if prices need it or it is set."""
    formats = _formats_in_use(schema, detected)
    map_row = schema.row_mapper()
    rows = [map_row(row) if map_row else row for row in sample.rows]
    without = find_columns_without_currency(schema.types, schema.types, formats, rows)
    if not without and feed.currency is None and not form.typed.get("currency"):
        return None
    suggested = None
    if feed.currency is None:
        url = url_of(find_source(request.db, feed.workspace_id, feed.id))
        # All columns of the file: one that says the currency may not be imported.
        suggested = suggest_currency(sample.columns, formats, sample.rows, url)
    return CurrencyControl(
        value=form.typed.get("currency", feed.currency or (suggested.code if suggested else "")),
        columns=describe_columns(without) if without else "",
        reason=suggested.reason if suggested else "",
        groups=currency_groups(),
    )


def _columns_introduction(feed: Feed, newest: FeedImport | None) -> str:
    if not feed.item_count:
        return gettext(
            "Columns detected in the first rows from %(source)s. Import the file as it is, or change the columns "
            "first.",
            source=feed.source,
        )
    if newest:
        return gettext("The rows from %(source)s are imported again with these columns.", source=newest.source)
    return gettext("Changes apply to the next file.")


def _column_row(
    number: int, source: str, schema: FeedSchema, sample: Table, form: SubmittedForm[Any], detected: ValueFormat
) -> ColumnRow:
    """Return a column with the submitted values, or with those of the schema before the form is submitted."""
    column, typed = schema.columns[source], form.typed
    if (type_ := typed.get(f"type.{number}")) in tuple(ColumnType):
        column = column.model_copy(update={"type": ColumnType(type_)})
    values = [row.get(source) or "–" for row in sample.rows[:PREVIEW_ROWS]]
    controls = format_controls(number, column, detected, typed)
    if typed:
        return ColumnRow(
            number=number,
            source=source,
            name=typed.get(f"name.{number}", ""),
            type=typed.get(f"type.{number}", ColumnType.TEXT),
            is_kept=f"keep.{number}" in typed,
            is_required=f"required.{number}" in typed,
            is_key=f"key.{number}" in typed,
            values=values,
            format=controls,
        )
    return ColumnRow(
        number=number,
        source=source,
        name=column.name,
        type=column.type,
        is_kept=not column.dropped,
        is_required=column.required,
        is_key=source in schema.key,
        values=values,
        format=controls,
    )


def _table_of_feed(request: Request, feed: Feed) -> Table:
    """Return the feed's first rows, for a feed without a stored file."""
    return Table(feed.columns, [item.data for item in list_items(request.db, feed)])


def _posted_schema(request: Request, feed: Feed) -> tuple[FeedSchema | None, dict[str, str]]:
    """Return the submitted schema, or a message for each invalid field."""
    posted = request.POST
    errors = find_repeated_fields(posted, posted.keys())
    columns: dict[str, Column] = {}
    names: set[str] = set()
    key: list[str] = []
    current = FeedSchema.model_validate(feed.schema).columns
    for number in range(MAX_COLUMNS):
        source = posted.get(f"source.{number}")
        if source is None:
            break
        chosen = current[source].format if source in current else UNKNOWN
        format, format_errors = posted_format(posted, number, chosen)
        errors |= format_errors
        fields = {
            "format": format,
            "name": " ".join(posted.get(f"name.{number}", "").split()),
            "type": posted.get(f"type.{number}", ColumnType.TEXT),
            "required": f"required.{number}" in posted,
            "dropped": f"keep.{number}" not in posted,
        }
        if f"key.{number}" in posted:
            key.append(source)
        try:
            column = columns[source] = Column.model_validate(fields)
        except ValidationError as error:
            errors |= {f"{field}.{number}": text for field, text in error_messages(error).items()}
            continue
        if column.dropped:
            continue
        if column.name in names:
            errors[f"name.{number}"] = gettext("Another column already has this name")
        names.add(column.name)
    if not names and not errors:
        errors["keep.0"] = gettext("Keep at least one column")
    if len(key) > MAX_KEY_COLUMNS:
        errors["key"] = ngettext(
            "Choose at most %(count)s column for the key",
            "Choose at most %(count)s columns for the key",
            MAX_KEY_COLUMNS,
        )
    group = posted.get("group") or None
    if group and group not in columns:
        errors.setdefault("group", gettext("Choose a column of the file"))
    return (None, errors) if errors else (FeedSchema(columns=columns, key=key, group=group), {})


def _import_again(request: Request, feed: Feed, newest: FeedImport) -> None:
    """Enqueue the import of the newest file with the feed's current schema."""
    if newest.state == ImportState.DRAFT:
        newest.state = ImportState.QUEUED
        if newest.fetched:  # only its start is stored
            delete_file(request.db, newest)
        enqueue_import(request.db, newest)
        return
    record = create_import(request.db, feed, file_name=newest.file_name, started_by=request.user.account.id)
    move_file(request.db, newest, record.id)
    enqueue_import(request.db, record)


def _end_review(
    context: FeedResource, request: Request, end: Callable[[Session, FeedImport], None], action: str
) -> Response:
    """Apply or discard the import whose number was submitted, and record the action in the activity log."""
    feed = context.row
    form = read_form(ImportNumberForm, request.POST)  # no form_view: there is no field to correct
    record = find_import(request.db, feed, form.value.number) if form.value else None
    if record is None:
        raise HTTPUnprocessableEntity(gettext("Choose one of the feed's imports"))
    try:
        end(request.db, record)
    except ImportNotReviewableError as error:
        raise HTTPUnprocessableEntity(str(error)) from None
    request.audit(action, feed.name, number=record.number, removed=record.removed)
    return HTTPSeeOther(request.path_in("feeds", feed.id))


def requested_import(feed: Feed, request: Request) -> FeedImport:
    """Return the import whose number is in the URL; without a number the newest one."""
    number = parse_number(request.GET["number"]) if "number" in request.GET else feed.import_number
    record = find_import(request.db, feed, number)
    if record is None:
        raise HTTPNotFound
    return record


def uploaded_file(request: Request) -> tuple[str, BinaryIO | None]:
    """Return the name and the content of the uploaded file, if there is one."""
    posted = request.POST.get("file")
    if not hasattr(posted, "file"):
        return "", None
    return posted.filename, posted.file

"""`/v1/feeds`: feeds, their items (rows), and their imports."""

import shutil
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, BinaryIO, Self
from uuid import UUID

from pydantic import AfterValidator, FailFast, Field, SecretStr, TypeAdapter, ValidationError, model_validator
from pyramid.response import Response
from pyramid.view import view_config
from sqlalchemy.orm import Session

from cwz_web.api.pagination import ResponseModel, page_limit, paginate, position_after, transaction
from cwz_web.api.request_body import Body, max_items, read_body, scalar_value
from cwz_web.billing.plans import PlanLimit, check_plan_limit
from cwz_web.db.session import FOR_NO_KEY_UPDATE
from cwz_web.feeds.columns import ColumnType, FeedSchema
from cwz_web.feeds.fetch_job import request_fetch, schedule_next_fetch
from cwz_web.feeds.file_types import read_table
from cwz_web.feeds.import_guard import ReasonCode
from cwz_web.feeds.imports import (
    ImportNotReviewableError,
    approve_import,
    create_feed,
    create_import,
    discard_import,
    enqueue_import,
    find_import,
    list_imports,
    resolve_schema,
)
from cwz_web.feeds.limits import MAX_BYTES, MAX_CELL, MAX_COLUMNS, MAX_NAME, SAMPLE_ROWS, InvalidFileError
from cwz_web.feeds.models import API_FILE_NAME, Feed, FeedImport, ImportState, Item
from cwz_web.feeds.provider_sources import SourceInput, create_source
from cwz_web.feeds.queries import RowQuery, find_item, find_items, list_items
from cwz_web.feeds.reading import FileFormat, ReadOptions
from cwz_web.feeds.records import Row, Table
from cwz_web.feeds.row_writes import FeedFullError, delete_items, put_items
from cwz_web.feeds.schedules import check_cron, check_time_zone
from cwz_web.feeds.sources import find_source
from cwz_web.feeds.temporary_files import temporary_file
from cwz_web.feeds.variants import clean_key
from cwz_web.resources.api import (
    ApiFeed,
    ApiFeedCollection,
    ApiFeedImport,
    ApiFeedImportCollection,
    ApiFeedItem,
    ApiFeedItemCollection,
)
from cwz_web.resources.permissions import Permission
from cwz_web.values.formats import UNKNOWN, CurrencyCode, ValueFormat, json_number, load_formats
from cwz_web.web.forms import FORM_MESSAGES, error_messages
from cwz_web.web.problems import ProblemError
from cwz_web.web.request import Request
from cwz_web.workspaces.audit import record

MAX_ITEMS = 1000
MAX_ITEMS_BODY = 16 * 1024 * 1024

# A generated client in Python cannot have a parameter `quote`, which the API accepts as well.
QUOTE_PARAMETER = "quote_character"
MAX_SEARCH = 400
NO_NUL = r"^[^\x00]*$"


def _stored_key(key: str) -> str:
    """Return a key as an import stores it. Raises ValueError if nothing of it can be seen."""
    if not (cleaned := clean_key(key)):
        raise ValueError("Use at least one visible character")
    return cleaned


Key = Annotated[str, Field(min_length=1, max_length=MAX_CELL, pattern=NO_NUL), AfterValidator(_stored_key)]
Name = Annotated[str, Field(min_length=1, max_length=MAX_NAME, pattern=NO_NUL)]
Cell = Annotated[
    Annotated[str, Field(max_length=MAX_CELL, pattern=NO_NUL)] | int | float | bool | None, scalar_value(MAX_CELL)
]
Data = Annotated[dict[Name, Cell], Field(max_length=MAX_COLUMNS), max_items(MAX_COLUMNS)]


# Of a key in a URL; a longer one is in the body of `POST …/items`.
MAX_PATH_KEY = 2_000
_path_key = TypeAdapter[str](
    Annotated[str, Field(min_length=1, max_length=MAX_PATH_KEY, pattern=NO_NUL), AfterValidator(_stored_key)]
)


SourceValue = Annotated[str, Field(max_length=2000, pattern=NO_NUL)]
SourceSecret = Annotated[SecretStr, Field(max_length=20_000)]
FeedName = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]*$")]


class FeedSourceRequest(Body):
    """Where the rows of a feed are fetched from: a provider with its settings and credentials, and a schedule.

    `schedule` is a cron expression of five fields in `time_zone`; without one, the feed is fetched on request.
    """

    provider: Annotated[str, Field(min_length=1, max_length=31)]
    settings: Annotated[dict[str, SourceValue], Field(max_length=50)] = Field(default_factory=dict)
    credentials: Annotated[dict[str, SourceSecret], Field(max_length=50)] = Field(default_factory=dict)
    schedule: Annotated[str, Field(max_length=100), AfterValidator(check_cron)] | None = None
    time_zone: Annotated[str, Field(max_length=100), AfterValidator(check_time_zone)] = "UTC"


class FeedRequest(Body):
    """A feed without items. `currency` is that of prices that do not name one (ISO 4217).

    With `source`, its rows are fetched at once, and then on the schedule; without one, they are sent to the API.
    """

    name: FeedName
    currency: CurrencyCode | None = None
    source: FeedSourceRequest | None = None


class FeedChangeRequest(Body):
    """What to change of a feed. What is left out stays as it is; a currency of null is that of the workspace."""

    name: FeedName | None = None
    currency: CurrencyCode | None = None


class ItemRequest(Body):
    """The values of an item by column. An empty value and null are the same as no value."""

    data: Data

    def row(self) -> Row:
        """Return the values as stripped texts, without empty ones."""
        texts = {name: _as_text(value) for name, value in self.data.items()}
        return {name: text for name, text in texts.items() if text}


class KeyedItem(ItemRequest):
    """An item with its key."""

    key: Key


class ItemsRequest(Body):
    """Items to create, or to replace by their keys."""

    items: Annotated[list[KeyedItem], Field(min_length=1, max_length=MAX_ITEMS), FailFast()]

    @model_validator(mode="after")
    def _unique_keys(self) -> Self:
        seen: set[str] = set()
        for item in self.items:
            if item.key in seen:
                raise ValueError(f"The key “{item.key[:100]}” occurs more than once")
            seen.add(item.key)
        return self


class ItemKeysRequest(Body):
    """The keys of items to delete."""

    keys: Annotated[list[Key], Field(min_length=1, max_length=MAX_ITEMS), FailFast()]


class ColumnFormatsRequest(Body):
    """How the values of columns are written. What is left out or null follows from the values of the column."""

    formats: Annotated[dict[Name, ValueFormat], Field(min_length=1, max_length=MAX_COLUMNS)]


class ColumnInfo(ResponseModel):
    """A column of a feed, the type of its values, and how they are written.

    `format` is what was chosen; `detected` is what the last import found, for what was not chosen.
    """

    name: str
    type: ColumnType
    format: ValueFormat
    detected: ValueFormat


class FeedInfo(ResponseModel):
    """A feed. `key` lists the columns that identify an item; it is empty if imports match items by position.

    `currency` is that of prices that do not name one; null if it is not set, so that the workspace's counts.
    """

    id: UUID
    name: str
    items: int
    columns: list[ColumnInfo]
    key: list[str]
    currency: str | None
    changed_at: datetime | None


class FeedPage(ResponseModel):
    """A page of feeds, newest first."""

    feeds: list[FeedInfo]
    next: str | None


class ItemInfo(ResponseModel):
    """An item: a row of a feed."""

    key: str
    data: dict[str, str]
    added_at: datetime
    changed_at: datetime | None


class ItemPage(ResponseModel):
    """A page of items, in the feed's order.

    One of a search can have fewer items than the limit, or none, although `next` leads to more.
    """

    items: list[ItemInfo]
    next: str | None


class ItemWriteInfo(ResponseModel):
    """How many items were added, changed, and already equal."""

    added: int
    changed: int
    unchanged: int


class ItemDeleteInfo(ResponseModel):
    """How many items were removed; keys that do not exist are ignored."""

    removed: int


class TemplateUseInfo(ResponseModel):
    """A template that is rendered from a column; `automatic` if automatic runs do so."""

    slug: str
    name: str
    automatic: bool


class ReviewReasonInfo(ResponseModel):
    """Why an import needs or needed a review; `column` and `templates` are set if it concerns a column."""

    code: ReasonCode
    message: str
    column: str | None
    templates: list[TemplateUseInfo]


class ReadingInfo(ResponseModel):
    """How a file was read; null for what does not apply to its format. `header_row` is 0 if there is no header."""

    format: FileFormat
    encoding: str | None
    delimiter: str | None
    quote: str | None
    header_row: int | None
    sheet: str | None
    member: str | None
    row_element: str | None


class ImportInfo(ResponseModel):
    """An import: its state, its progress, and how many items it added, changed, removed, kept or skipped.

    `notes` says what was corrected or skipped while the file was read, `reading` how it was read, and `review_reasons`
    why the import needs or needed a review.
    """

    number: int
    state: ImportState
    file_name: str
    percent: int
    added: int
    changed: int
    removed: int
    unchanged: int
    invalid: int
    notes: list[str]
    reading: ReadingInfo | None
    review_reasons: list[ReviewReasonInfo]
    error_message: str | None
    started_at: datetime
    finished_at: datetime | None


class ImportPage(ResponseModel):
    """The newest imports of a feed, newest first."""

    imports: list[ImportInfo]


@view_config(context=ApiFeedCollection, request_method="GET", renderer="json", permission=Permission.API_READ)
def get_feeds(context: ApiFeedCollection, request: Request) -> dict[str, Any]:
    """List the workspace's feeds, newest first."""
    with transaction(request) as db:
        feeds, cursor = paginate(request, db, Feed)
    return _json(FeedPage(feeds=[_feed_info(feed) for feed in feeds], next=cursor))


@view_config(
    context=ApiFeedCollection, request_method="POST", permission=Permission.API_FEEDS_WRITE, require_csrf=False
)
def post_feed(context: ApiFeedCollection, request: Request) -> Response:
    """Create a feed without items, or with a source whose rows are fetched."""
    body = read_body(request, FeedRequest)
    entered = _source_input(request, body.source) if body.source else None
    with transaction(request) as db:
        check_plan_limit(db, request.services.settings, request.api_key.workspace_id, PlanLimit.FEEDS)
        feed = create_feed(db, request.api_key.workspace_id, name=body.name, file_name=API_FILE_NAME)
        feed.currency = body.currency
        if body.source and entered:
            source = create_source(
                request.services.ring, feed, entered, cron=body.source.schedule, time_zone=body.source.time_zone
            )
            db.add(source)
            db.flush()
            feed.file_name = source.file_name
            request_fetch(db, feed, source)
            schedule_next_fetch(source)
        record(db, request.api_key.workspace_id, request.actor, "feed.create", feed.name, _source_details(entered))
    return Response(json_body=_json(_feed_info(feed)), status=201)


@view_config(context=ApiFeed, request_method="GET", renderer="json", permission=Permission.API_READ)
def get_feed(context: ApiFeed, request: Request) -> dict[str, Any]:
    """Return a feed."""
    return _json(_feed_info(context.row))


@view_config(
    context=ApiFeed,
    request_method="PATCH",
    renderer="json",
    permission=Permission.API_FEEDS_WRITE,
    require_csrf=False,
)
def patch_feed(context: ApiFeed, request: Request) -> dict[str, Any]:
    """Change the name or the currency of a feed."""
    body = read_body(request, FeedChangeRequest)
    with transaction(request) as db:
        feed = _lock_feed(db, context.row)
        former_name = feed.name
        feed.name = body.name or former_name
        if "currency" in body.model_fields_set:
            feed.currency = body.currency
        details = {"to": feed.name, "currency": feed.currency}
        record(db, feed.workspace_id, request.actor, "feed.settings", former_name, details)
        return _json(_feed_info(feed))


@view_config(
    context=ApiFeed,
    name="formats",
    request_method="PUT",
    renderer="json",
    permission=Permission.API_FEEDS_WRITE,
    require_csrf=False,
)
def put_formats(context: ApiFeed, request: Request) -> dict[str, Any]:
    """Set how the values of columns are written."""
    formats = read_body(request, ColumnFormatsRequest).formats
    with transaction(request) as db:
        feed = _lock_feed(db, context.row)
        errors = {f"formats.{name}": "The feed does not have this column" for name in formats.keys() - feed.columns}
        if errors:
            raise ProblemError(422, "invalid", "The request is not valid", errors)
        sample = Table(feed.columns, [item.data for item in list_items(db, feed)])
        feed.schema = resolve_schema(feed, sample).with_formats(formats).model_dump(mode="json")
        record(db, feed.workspace_id, request.actor, "feed.columns", feed.name, {"columns": len(formats)})
        return _json(_feed_info(feed))


@view_config(context=ApiFeedItemCollection, request_method="GET", renderer="json", permission=Permission.API_READ)
def get_items(context: ApiFeedItemCollection, request: Request) -> dict[str, Any]:
    """List the feed's items, in its order: all, or those with the text `search` in a cell, or in that of `column`."""
    limit, after, query = page_limit(request), position_after(request), _row_query(request, context.feed)
    with transaction(request) as db:
        if query.is_filter:
            page = find_items(db, context.feed, query, after, limit)
            items, last = page.items, page.next_after
        else:
            items = list_items(db, context.feed, after, limit)
            last = items[-1].position if len(items) == limit else 0
    return _json(ItemPage(items=[_item_info(item) for item in items], next=str(last) if last else None))


@view_config(
    context=ApiFeedItemCollection,
    request_method="POST",
    renderer="json",
    permission=Permission.API_FEEDS_WRITE,
    require_csrf=False,
)
def post_items(context: ApiFeedItemCollection, request: Request) -> dict[str, Any]:
    """Create items, or replace the ones with the same keys."""
    body = read_body(request, ItemsRequest, MAX_ITEMS_BODY)
    return _put_rows(request, context.feed, {item.key: item.row() for item in body.items})


@view_config(
    context=ApiFeed,
    name="remove",
    request_method="POST",
    renderer="json",
    permission=Permission.API_FEEDS_WRITE,
    require_csrf=False,
)
def remove_items(context: ApiFeed, request: Request) -> dict[str, Any]:
    """Delete items by their keys."""
    keys = read_body(request, ItemKeysRequest, MAX_ITEMS_BODY).keys
    with transaction(request) as db:
        return _json(ItemDeleteInfo(removed=delete_items(db, _lock_feed(db, context.row), keys)))


@view_config(context=ApiFeedItem, request_method="GET", renderer="json", permission=Permission.API_READ)
def get_item(context: ApiFeedItem, request: Request) -> dict[str, Any]:
    """Return an item."""
    with transaction(request) as db:
        item = find_item(db, context.feed, context.key)
    if item is None:
        raise _item_not_found()
    return _json(_item_info(item))


@view_config(
    context=ApiFeedItem,
    request_method="PUT",
    renderer="json",
    permission=Permission.API_FEEDS_WRITE,
    require_csrf=False,
)
def put_item(context: ApiFeedItem, request: Request) -> dict[str, Any]:
    """Create an item, or replace the one with the same key."""
    try:
        key = _path_key.validate_python(context.key)
    except ValidationError as error:
        raise ProblemError(422, "invalid", "The request is not valid", {"key": error_messages(error)[""]}) from None
    row = read_body(request, ItemRequest, MAX_ITEMS_BODY).row()
    return _put_rows(request, context.feed, {key: row})


@view_config(context=ApiFeedItem, request_method="DELETE", permission=Permission.API_FEEDS_WRITE, require_csrf=False)
def delete_item(context: ApiFeedItem, request: Request) -> Response:
    """Delete an item."""
    with transaction(request) as db:
        if not delete_items(db, _lock_feed(db, context.feed), [clean_key(context.key)]):
            raise _item_not_found()
    return Response(status=204)


@view_config(context=ApiFeedImportCollection, request_method="GET", renderer="json", permission=Permission.API_READ)
def get_imports(context: ApiFeedImportCollection, request: Request) -> dict[str, Any]:
    """List the feed's imports, newest first."""
    with transaction(request) as db:
        return _json(ImportPage(imports=[_import_info(record) for record in list_imports(db, context.feed)]))


@view_config(
    context=ApiFeedImportCollection, request_method="POST", permission=Permission.API_FEEDS_WRITE, require_csrf=False
)
def post_import(context: ApiFeedImportCollection, request: Request) -> Response:
    """Enqueue the import of the file in the body; without a body, fetch the feed from its URL."""
    if (request.content_length or 0) > MAX_BYTES:
        raise ProblemError(413, "body_too_large", f"A file can have at most {MAX_BYTES // 1024**2} MB")
    options = _read_options(request, context.feed)
    # The file is read before the feed is locked, since this may take seconds.
    file = _posted_file(request, context.feed, options) if request.content_length else None
    with transaction(request) as db:
        feed = _lock_feed(db, context.feed)
        feed.reading = options.model_dump(exclude_none=True)
        db.flush()
        feed_import = _fetch_source(db, feed) if file is None else _import_file(db, feed, file)
        record(db, feed.workspace_id, request.actor, "feed.import", feed.name, {"number": feed_import.number})
    response = Response(json_body=_json(_import_info(feed_import)), status=202)
    response.location = f"{request.path_url.rstrip('/')}/{feed_import.number}"
    return response


@view_config(context=ApiFeedImport, request_method="GET", renderer="json", permission=Permission.API_READ)
def get_import(context: ApiFeedImport, request: Request) -> dict[str, Any]:
    """Return an import."""
    with transaction(request) as db:
        return _json(_import_info(_find_import(db, context)))


@view_config(
    context=ApiFeedImport,
    name="apply",
    request_method="POST",
    renderer="json",
    permission=Permission.API_FEEDS_WRITE,
    require_csrf=False,
)
def apply_reviewed_import(context: ApiFeedImport, request: Request) -> dict[str, Any]:
    """Apply an import that needs a review; return one that is or will be applied as it is."""
    return _end_review(context, request, approve_import, _is_approved, "feed.apply")


@view_config(
    context=ApiFeedImport,
    name="discard",
    request_method="POST",
    renderer="json",
    permission=Permission.API_FEEDS_WRITE,
    require_csrf=False,
)
def discard_reviewed_import(context: ApiFeedImport, request: Request) -> dict[str, Any]:
    """Discard an import that needs a review; return a discarded one as it is."""
    return _end_review(context, request, discard_import, _is_discarded, "feed.discard")


def _end_review(
    context: ApiFeedImport,
    request: Request,
    end: Callable[[Session, FeedImport], None],
    has_ended: Callable[[FeedImport], bool],
    action: str,
) -> dict[str, Any]:
    """Apply or discard an import, unless an earlier request did. Raises ProblemError."""
    with transaction(request) as db:
        feed_import = _find_import(db, context)
        try:
            end(db, feed_import)  # reads the import again, once the feed is locked
        except ImportNotReviewableError as error:
            if not has_ended(feed_import):
                raise ProblemError(409, "import_not_reviewable", str(error)) from None
        else:
            details = {"number": feed_import.number, "removed": feed_import.removed}
            record(db, feed_import.workspace_id, request.actor, action, context.feed.name, details)
        return _json(_import_info(feed_import))


def _source_input(request: Request, body: FeedSourceRequest) -> SourceInput:
    """Return the valid settings and credentials of a source. Raises ProblemError, which names each invalid field."""
    provider = request.services.feed_sources.get(body.provider)
    if provider is None:
        names = ", ".join(each.name for each in request.services.feed_sources)
        raise ProblemError(422, "invalid", "The request is not valid", {"source.provider": f"Use one of: {names}"})
    errors: dict[str, str] = {}
    models: list[Any] = []
    for part, model, values in (
        ("settings", provider.settings_model, body.settings),
        ("credentials", provider.credentials_model, body.credentials),
    ):
        try:
            models.append(model.model_validate({name: value for name, value in values.items() if value}))
        except ValidationError as error:
            messages = error_messages(error, FORM_MESSAGES)
            errors |= {f"source.{part}.{name}".rstrip("."): message for name, message in messages.items()}
    if errors:
        raise ProblemError(422, "invalid", "The request is not valid", errors)
    settings, credentials = models
    return SourceInput(provider, settings, credentials)


def _source_details(entered: SourceInput | None) -> dict[str, str]:
    return {"provider": entered.provider.name, "source": entered.url} if entered else {}


def _is_approved(feed_import: FeedImport) -> bool:
    is_approved = feed_import.state == ImportState.QUEUED and feed_import.confirmed
    return is_approved or feed_import.state == ImportState.APPLIED


def _is_discarded(feed_import: FeedImport) -> bool:
    return feed_import.state == ImportState.DISCARDED


def _row_query(request: Request, feed: Feed) -> RowQuery:
    """Return which items a request lists. Raises ProblemError."""
    text, column = request.GET.get("search", ""), request.GET.get("column", "")
    errors = {} if len(text) <= MAX_SEARCH else {"search": f"Use at most {MAX_SEARCH} characters"}
    if column and column not in feed.columns:
        errors["column"] = "The feed does not have this column"
    if errors:
        raise ProblemError(422, "invalid", "The request is not valid", errors)
    return RowQuery(text=text, column=column)


def _find_import(db: Session, context: ApiFeedImport) -> FeedImport:
    feed_import = find_import(db, context.feed, context.number)
    if feed_import is None:
        raise ProblemError(404, "not_found", "The feed has no import with this number")
    return feed_import


def _lock_feed(db: Session, feed: Feed) -> Feed:
    return db.get_one(Feed, (feed.workspace_id, feed.id), with_for_update=FOR_NO_KEY_UPDATE)


def _put_rows(request: Request, feed: Feed, rows: dict[str, Row]) -> dict[str, Any]:
    with transaction(request) as db:
        try:
            result = put_items(db, _lock_feed(db, feed), rows)
        except FeedFullError as error:
            raise ProblemError(422, "feed_full", str(error)) from None
    return _json(ItemWriteInfo(added=result.added, changed=result.changed, unchanged=result.unchanged))


def _read_options(request: Request, feed: Feed) -> ReadOptions:
    """Return how the file is to be read: as the feed's last one, except for the request's parameters."""
    given = {name: request.GET[name] for name in ReadOptions.model_fields if name in request.GET}
    if QUOTE_PARAMETER in request.GET:
        given["quote"] = request.GET[QUOTE_PARAMETER]
    values = {name: value for name, value in (feed.reading | given).items() if value != ""}
    try:
        return ReadOptions.model_validate(values)
    except ValidationError as error:
        raise ProblemError(422, "invalid", "The request is not valid", error_messages(error)) from None


def _posted_file(request: Request, feed: Feed, options: ReadOptions) -> BinaryIO:
    """Return the body, if it is a file that can be imported into the feed. Raises ProblemError."""
    file = temporary_file()
    shutil.copyfileobj(request.body_file, file)  # the server's body may not be seekable
    try:
        resolve_schema(feed, read_table(file, SAMPLE_ROWS, options))
    except InvalidFileError as error:
        raise ProblemError(422, "invalid_file", str(error)) from None
    return file


def _import_file(db: Session, feed: Feed, file: BinaryIO) -> FeedImport:
    feed_import = create_import(db, feed, file_name=API_FILE_NAME, file=file)
    enqueue_import(db, feed_import)
    return feed_import


def _fetch_source(db: Session, feed: Feed) -> FeedImport:
    source = find_source(db, feed.workspace_id, feed.id)
    if source is None:
        raise ProblemError(422, "no_source", "This feed has no URL; send the file as the request body")
    return request_fetch(db, feed, source)


def _feed_info(feed: Feed) -> FeedInfo:
    schema = FeedSchema.model_validate(feed.schema)
    detected = load_formats(feed.column_formats)
    return FeedInfo(
        id=feed.id,
        name=feed.name,
        items=feed.item_count,
        columns=[
            ColumnInfo(
                name=name,
                type=schema.types.get(name, ColumnType.TEXT),
                format=schema.formats.get(name, UNKNOWN),
                detected=detected.get(name, UNKNOWN),
            )
            for name in feed.columns
        ],
        key=schema.key_names,
        currency=feed.currency,
        changed_at=feed.imported_at,
    )


def _item_info(item: Item) -> ItemInfo:
    return ItemInfo(key=item.key, data=item.data, added_at=item.created_at, changed_at=item.changed_at)


def _import_info(record: FeedImport) -> ImportInfo:
    return ImportInfo(
        number=record.number,
        state=ImportState(record.state),
        file_name=record.file_name,
        percent=record.percent,
        added=record.added,
        changed=record.changed,
        removed=record.removed,
        unchanged=record.unchanged,
        invalid=record.invalid,
        notes=record.notes,
        reading=_reading_info(record.reading),
        review_reasons=[ReviewReasonInfo.model_validate(reason) for reason in record.review_reasons],
        error_message=record.error_message,
        started_at=record.created_at,
        finished_at=record.finished_at,
    )


def _reading_info(reading: dict[str, Any]) -> ReadingInfo | None:
    if not reading:
        return None
    return ReadingInfo.model_validate({name: reading.get(name) for name in ReadingInfo.model_fields})


def _json(model: ResponseModel) -> dict[str, Any]:
    return model.model_dump(mode="json")


def _item_not_found() -> ProblemError:
    return ProblemError(404, "not_found", "The feed has no item with this key")


def _as_text(value: Any) -> str:
    """Return a value as text, as an import of JSON does (feeds/json_reader.py)."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return json_number(value) if isinstance(value, int | float) else str(value).strip()

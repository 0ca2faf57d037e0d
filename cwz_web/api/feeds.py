"""`/v1/feeds`: feeds, their rows, which a shop can push, and their imports."""

import shutil
from datetime import datetime
from typing import Annotated, Any, BinaryIO, Self
from uuid import UUID

from pydantic import FailFast, Field, model_validator
from pyramid.response import Response
from pyramid.view import view_config
from sqlalchemy.orm import Session

from cwz_web.api.pagination import ResponseModel, page_limit, paginate, position_after, transaction
from cwz_web.api.request_body import Body, max_items, read_body, scalar_value
from cwz_web.billing.plans import PlanLimit, check_plan_limit
from cwz_web.db.session import FOR_NO_KEY_UPDATE
from cwz_web.feeds.columns import ColumnType, FeedSchema
from cwz_web.feeds.fetch_job import request_fetch
from cwz_web.feeds.file_types import read_table, temporary_file
from cwz_web.feeds.imports import create_feed, create_import, enqueue_import, find_import, list_imports, resolve_schema
from cwz_web.feeds.limits import MAX_BYTES, MAX_CELL, MAX_COLUMNS, MAX_NAME, SAMPLE_ROWS, InvalidFileError
from cwz_web.feeds.models import Feed, FeedImport, Item
from cwz_web.feeds.queries import find_item, list_items
from cwz_web.feeds.records import Row
from cwz_web.feeds.row_writes import FeedFullError, delete_items, put_items
from cwz_web.feeds.sources import find_source
from cwz_web.feeds.variants import MAX_KEY
from cwz_web.resources.api import (
    ApiFeed,
    ApiFeedCollection,
    ApiFeedImport,
    ApiFeedImportCollection,
    ApiFeedItem,
    ApiFeedItemCollection,
)
from cwz_web.resources.permissions import Permission
from cwz_web.web.problems import ProblemError
from cwz_web.web.request import Request
from cwz_web.workspaces.audit import record

MAX_ITEMS = 1000
MAX_ITEMS_BODY = 16 * 1024 * 1024


NO_NUL = r"^[^\x00]*$"
Key = Annotated[str, Field(min_length=1, max_length=MAX_KEY, pattern=NO_NUL)]
Name = Annotated[str, Field(min_length=1, max_length=MAX_NAME, pattern=NO_NUL)]
Cell = Annotated[
    Annotated[str, Field(max_length=MAX_CELL, pattern=NO_NUL)] | int | float | bool | None, scalar_value(MAX_CELL)
]
Data = Annotated[dict[Name, Cell], Field(max_length=MAX_COLUMNS), max_items(MAX_COLUMNS)]


class NewFeed(Body):
    """A feed without rows, to push some into."""

    name: Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]*$")]


class ItemData(Body):
    """What a row holds; an empty value, or null, is no value."""

    data: Data

    def row(self) -> Row:
        """The cells as a feed has them: texts, without the empty ones."""
        texts = {name: _as_text(value) for name, value in self.data.items()}
        return {name: text for name, text in texts.items() if text}


class PushedItem(ItemData):
    """A row under its key."""

    key: Key


class PushedItems(Body):
    """Rows to add, or to put in the place of those that have their keys."""

    items: Annotated[list[PushedItem], Field(min_length=1, max_length=MAX_ITEMS), FailFast()]

    @model_validator(mode="after")
    def _each_key_once(self) -> Self:
        keys = [item.key for item in self.items]
        if len(set(keys)) < len(keys):
            twice = next(key for key in keys if keys.count(key) > 1)
            raise ValueError(f"The key “{twice[:100]}” is there twice")
        return self


class Keys(Body):
    """The keys of rows to remove."""

    keys: Annotated[list[Key], Field(min_length=1, max_length=MAX_ITEMS), FailFast()]


class ColumnInfo(ResponseModel):
    """A column of a feed, and what its values are."""

    name: str
    kind: ColumnType


class FeedInfo(ResponseModel):
    """A feed. `key` names the columns that a row is known by; none for its place, or the key that was pushed."""

    id: UUID
    name: str
    items: int
    columns: list[ColumnInfo]
    key: list[str]
    changed_at: datetime | None


class FeedPage(ResponseModel):
    """Some of the feeds, newest first."""

    feeds: list[FeedInfo]
    next: str | None


class ItemInfo(ResponseModel):
    """A row of a feed."""

    key: str
    data: dict[str, str]
    added_at: datetime
    changed_at: datetime | None


class ItemPage(ResponseModel):
    """Some of the rows, in the feed's order."""

    items: list[ItemInfo]
    next: str | None


class Pushed(ResponseModel):
    """What became of rows that were pushed."""

    added: int
    changed: int
    unchanged: int


class Removed(ResponseModel):
    """How many rows were there to be removed."""

    removed: int


class ImportInfo(ResponseModel):
    """An import, and how far it is."""

    number: int
    state: str
    file: str
    percent: int
    added: int
    changed: int
    removed: int
    unchanged: int
    invalid: int
    trouble: str | None
    begun_at: datetime
    ended_at: datetime | None


class ImportPage(ResponseModel):
    """The newest imports of a feed, newest first."""

    imports: list[ImportInfo]


@view_config(context=ApiFeedCollection, request_method="GET", renderer="json", permission=Permission.API_READ)
def feeds(context: ApiFeedCollection, request: Request) -> dict[str, Any]:
    """The workspace's feeds, newest first."""
    with transaction(request) as db:
        found, more = paginate(request, db, Feed)
    return _json(FeedPage(feeds=[_feed(feed) for feed in found], next=more))


@view_config(
    context=ApiFeedCollection, request_method="POST", permission=Permission.API_FEEDS_WRITE, require_csrf=False
)
def make_feed(context: ApiFeedCollection, request: Request) -> Response:
    """A new feed without rows."""
    wanted = read_body(request, NewFeed)
    with transaction(request) as db:
        check_plan_limit(db, request.services.settings, request.api_key.workspace_id, PlanLimit.FEEDS)
        feed = create_feed(db, request.api_key.workspace_id, name=wanted.name, file_name="the API")
        record(db, request.api_key.workspace_id, request.actor, "feed.make", feed.name, {})
    return Response(json_body=_json(_feed(feed)), status=201)


@view_config(context=ApiFeed, request_method="GET", renderer="json", permission=Permission.API_READ)
def feed(context: ApiFeed, request: Request) -> dict[str, Any]:
    """A feed."""
    return _json(_feed(context.row))


@view_config(context=ApiFeedItemCollection, request_method="GET", renderer="json", permission=Permission.API_READ)
def items(context: ApiFeedItemCollection, request: Request) -> dict[str, Any]:
    """The feed's rows, in its order."""
    limit = page_limit(request)
    with transaction(request) as db:
        found = list_items(db, context.feed, position_after(request), limit)
    more = str(found[-1].position) if len(found) == limit else None
    return _json(ItemPage(items=[_item(item) for item in found], next=more))


@view_config(
    context=ApiFeedItemCollection,
    request_method="POST",
    renderer="json",
    permission=Permission.API_FEEDS_WRITE,
    require_csrf=False,
)
def push_items(context: ApiFeedItemCollection, request: Request) -> dict[str, Any]:
    """Add rows, or put them in the place of those that are there."""
    pushed = read_body(request, PushedItems, MAX_ITEMS_BODY)
    return _put(request, context.feed, {item.key: item.row() for item in pushed.items})


@view_config(
    context=ApiFeed,
    name="remove",
    request_method="POST",
    renderer="json",
    permission=Permission.API_FEEDS_WRITE,
    require_csrf=False,
)
def remove_items(context: ApiFeed, request: Request) -> dict[str, Any]:
    """Remove rows by their keys."""
    keys = read_body(request, Keys, MAX_ITEMS_BODY).keys
    with transaction(request) as db:
        return _json(Removed(removed=delete_items(db, _locked(db, context.row), keys)))


@view_config(context=ApiFeedItem, request_method="GET", renderer="json", permission=Permission.API_READ)
def item(context: ApiFeedItem, request: Request) -> dict[str, Any]:
    """A row."""
    with transaction(request) as db:
        found = find_item(db, context.feed, context.key)
    if found is None:
        raise _no_item()
    return _json(_item(found))


@view_config(
    context=ApiFeedItem,
    request_method="PUT",
    renderer="json",
    permission=Permission.API_FEEDS_WRITE,
    require_csrf=False,
)
def put_item(context: ApiFeedItem, request: Request) -> dict[str, Any]:
    """Add a row, or put it in the place of the one that is there."""
    if len(context.key) > MAX_KEY:
        raise ProblemError(422, "invalid", "The request is not valid", {"key": f"{MAX_KEY} characters are the most"})
    return _put(request, context.feed, {context.key: read_body(request, ItemData, MAX_ITEMS_BODY).row()})


@view_config(context=ApiFeedItem, request_method="DELETE", permission=Permission.API_FEEDS_WRITE, require_csrf=False)
def delete_item(context: ApiFeedItem, request: Request) -> Response:
    """Remove a row."""
    with transaction(request) as db:
        if not delete_items(db, _locked(db, context.feed), [context.key]):
            raise _no_item()
    return Response(status=204)


@view_config(context=ApiFeedImportCollection, request_method="GET", renderer="json", permission=Permission.API_READ)
def imports(context: ApiFeedImportCollection, request: Request) -> dict[str, Any]:
    """The feed's imports, newest first."""
    with transaction(request) as db:
        return _json(ImportPage(imports=[_import(each) for each in list_imports(db, context.feed)]))


@view_config(
    context=ApiFeedImportCollection, request_method="POST", permission=Permission.API_FEEDS_WRITE, require_csrf=False
)
def begin_import(context: ApiFeedImportCollection, request: Request) -> Response:
    """Bring the file in the body into the feed; without one, fetch the feed from its address."""
    if (request.content_length or 0) > MAX_BYTES:
        raise ProblemError(413, "body_too_large", f"A file may have {MAX_BYTES // 1024**2} MB at most")
    # Read before the feed is locked: it may take seconds.
    file = _posted_file(request, context.feed) if request.content_length else None
    with transaction(request) as db:
        feed = _locked(db, context.feed)
        begun = _of_source(db, feed) if file is None else _of_file(db, feed, file)
        record(db, feed.workspace_id, request.actor, "feed.import", feed.name, {"number": begun.number})
    response = Response(json_body=_json(_import(begun)), status=202)
    response.location = f"{request.path_url.rstrip('/')}/{begun.number}"
    return response


@view_config(context=ApiFeedImport, request_method="GET", renderer="json", permission=Permission.API_READ)
def import_status(context: ApiFeedImport, request: Request) -> dict[str, Any]:
    """How an import stands."""
    with transaction(request) as db:
        found = find_import(db, context.feed, context.number)
    if found is None:
        raise ProblemError(404, "not_found", "The feed has no import of this number")
    return _json(_import(found))


def _locked(db: Session, feed: Feed) -> Feed:
    return db.get_one(Feed, (feed.workspace_id, feed.id), with_for_update=FOR_NO_KEY_UPDATE)


def _put(request: Request, feed: Feed, rows: dict[str, Row]) -> dict[str, Any]:
    with transaction(request) as db:
        try:
            pushed = put_items(db, _locked(db, feed), rows)
        except FeedFullError as error:
            raise ProblemError(422, "feed_full", str(error)) from None
    return _json(Pushed(added=pushed.added, changed=pushed.changed, unchanged=pushed.unchanged))


def _posted_file(request: Request, feed: Feed) -> BinaryIO:
    """The body, if the feed can be brought in from it. Raises Problem."""
    file = temporary_file()
    shutil.copyfileobj(request.body_file, file)  # what a server hands over need not be a file that can be sought in
    try:
        resolve_schema(feed, read_table(file, SAMPLE_ROWS))
    except InvalidFileError as error:
        raise ProblemError(422, "bad_file", str(error)) from None
    return file


def _of_file(db: Session, feed: Feed, file: BinaryIO) -> FeedImport:
    begun = create_import(db, feed, file_name="sent to the API", file=file)
    enqueue_import(db, begun)
    return begun


def _of_source(db: Session, feed: Feed) -> FeedImport:
    source = find_source(db, feed.workspace_id, feed.id)
    if source is None:
        raise ProblemError(422, "no_source", "This feed has no address to fetch; send the file as the body")
    return request_fetch(db, feed, source)


def _feed(feed: Feed) -> FeedInfo:
    shape = FeedSchema.model_validate(feed.shape)
    kinds = shape.kinds
    return FeedInfo(
        id=feed.id,
        name=feed.name,
        items=feed.item_count,
        columns=[ColumnInfo(name=name, kind=kinds.get(name, ColumnType.TEXT)) for name in feed.columns],
        key=shape.key_names,
        changed_at=feed.imported_at,
    )


def _item(item: Item) -> ItemInfo:
    return ItemInfo(key=item.key, data=item.data, added_at=item.created_at, changed_at=item.changed_at)


def _import(record: FeedImport) -> ImportInfo:
    return ImportInfo(
        number=record.number,
        state=record.state,
        file=record.file_name,
        percent=record.percent,
        added=record.added,
        changed=record.changed,
        removed=record.removed,
        unchanged=record.unchanged,
        invalid=record.invalid,
        trouble=record.trouble,
        begun_at=record.created_at,
        ended_at=record.finished_at,
    )


def _json(answer: ResponseModel) -> dict[str, Any]:
    return answer.model_dump(mode="json")


def _no_item() -> ProblemError:
    return ProblemError(404, "not_found", "The feed has no row of this key")


def _as_text(value: Any) -> str:
    """A value as a feed of JSON would have it (feeds/json_reader.py)."""
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value).strip()

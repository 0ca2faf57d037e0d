"""`/v1/feeds`, as a shop's program meets it: feeds, rows that are pushed, and imports."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote
from uuid import UUID

import pytest
from sqlalchemy.orm import Session
from webtest import TestApp

from cwz_web.db.session import FOR_NO_KEY_UPDATE, enter_workspace
from cwz_web.feeds.models import Feed, Item
from cwz_web.generation.api_keys import Scope
from cwz_web.web.services import LOCK_SECONDS
from cwz_web.workspaces.models import AuditEntry
from tests.factories import Factory
from tests.jobs import run_feed_jobs


class Shop:
    """A program with a key that may read feeds and write to them."""

    def __init__(self, app: TestApp, make: Factory) -> None:
        self.app, self.make = app, make
        self.space = make.workspace()
        self.headers = {"Authorization": f"Bearer {make.key(self.space, Scope.READ, Scope.FEEDS_WRITE)}"}

    def get(self, path: str, status: int = 200) -> Any:
        return self.app.get(f"/v1/feeds{path}", headers=self.headers, status=status).json

    def post(self, path: str, body: Any, status: int = 200) -> Any:
        return self.app.post_json(f"/v1/feeds{path}", body, headers=self.headers, status=status).json

    def put(self, path: str, body: Any, status: int = 200) -> Any:
        return self.app.put_json(f"/v1/feeds{path}", body, headers=self.headers, status=status).json

    def delete(self, path: str, status: int = 204) -> None:
        self.app.delete(f"/v1/feeds{path}", headers=self.headers, status=status)

    def send(self, path: str, file: bytes, status: int = 202, content_type: str = "text/csv") -> Any:
        headers = self.headers | {"Content-Type": content_type}
        return self.app.post(f"/v1/feeds{path}", file, headers=headers, status=status)


@pytest.fixture
def shop(app: TestApp, make: Factory) -> Shop:
    return Shop(app, make)


@pytest.fixture
def feed(shop: Shop) -> str:
    """The id of a feed of three rows."""
    return str(shop.make.feed(shop.space).id)


def test_a_feed_is_made_filled_read_and_emptied(shop: Shop) -> None:
    made = shop.post("", {"name": "ReadWriteBucket"}, status=201)
    assert (made["name"], made["items"], made["columns"]) == ("Shelf", 0, [])
    here = f"/{made['id']}"
    rows = [{"key": "a", "data": {"title": " Mug ", "price": 9.5, "new": True, "gone": None, "empty": ""}}]
    assert shop.post(f"{here}/items", {"items": rows}) == {"added": 1, "changed": 0, "unchanged": 0}
    assert shop.get(f"{here}/items/a")["data"] == {"title": "Mug", "price": "9.5", "new": "true"}
    assert shop.post(f"{here}/items", {"items": rows}) == {"added": 0, "changed": 0, "unchanged": 1}
    assert shop.put(f"{here}/items/a", {"data": {"title": "Cup"}}) == {"added": 0, "changed": 1, "unchanged": 0}
    assert shop.put(f"{here}/items/b", {"data": {"title": "Pot"}}) == {"added": 1, "changed": 0, "unchanged": 0}
    found = shop.get(here)
    assert (found["items"], [column["name"] for column in found["columns"]]) == (2, ["title", "price", "new"])
    assert [item["key"] for item in shop.get(f"{here}/items")["items"]] == ["a", "b"]
    shop.delete(f"{here}/items/a")
    shop.delete(f"{here}/items/a", status=404)
    assert shop.post(f"{here}/remove", {"keys": ["b", "c"]}) == {"removed": 1}
    assert shop.get(here)["items"] == 0


def test_feeds_and_rows_come_in_pages(shop: Shop) -> None:
    ids = [str(shop.make.feed(shop.space).id) for _ in range(3)]
    first = shop.get("?limit=2")
    second = shop.get(f"?limit=2&after={first['next']}")
    assert [each["id"] for each in first["feeds"] + second["feeds"]] == ids[::-1]
    assert second["next"] is None
    page = shop.get(f"/{ids[0]}/items?limit=2")
    rest = shop.get(f"/{ids[0]}/items?limit=2&after={page['next']}")
    assert [item["key"] for item in page["items"] + rest["items"]] == ["1", "2", "3"]
    assert rest["next"] is None


@pytest.mark.parametrize("key", ["a b", "ä/ö", "a%2Fb", "a?b#c", "Ω" * 100, "-", "items"])
def test_a_key_may_hold_almost_anything(shop: Shop, feed: str, key: str) -> None:
    shop.put(f"/{feed}/items/{quote(key)}", {"data": {"title": "Odd"}})
    assert shop.get(f"/{feed}/items/{quote(key)}")["key"] == key
    shop.delete(f"/{feed}/items/{quote(key)}")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "items"),
        ({"items": []}, "items"),
        ({"items": [{"key": "", "data": {}}]}, "items.0.key"),
        ({"items": [{"key": "k" * 401, "data": {}}]}, "items.0.key"),
        ({"items": [{"key": "k"}]}, "items.0.data"),
        ({"items": [{"key": "k", "data": {"": "x"}}]}, "items.0.data"),
        ({"items": [{"key": "k", "data": {"a": ["x"]}}]}, "items.0.data.a"),
        ({"items": [{"key": "k", "data": {}, "more": 1}]}, "items.0.more"),
        ({"items": [{"key": "k", "data": {}}, {"key": "k", "data": {}}]}, "body"),
        ({"items": [{"key": str(number), "data": {}} for number in range(1001)]}, "items"),
    ],
)
def test_rows_that_are_none_are_named_and_nothing_is_taken(
    shop: Shop, feed: str, body: dict[str, Any], field: str
) -> None:
    problem = shop.post(f"/{feed}/items", body, status=422)
    assert list(problem["errors"]) == [field]
    assert shop.get(f"/{feed}")["items"] == 3


def test_a_surrogate_or_a_nul_is_refused(shop: Shop, feed: str) -> None:
    for key, status in (("\\ud800", 400), ("a\\u0000", 422)):
        body = f'{{"items": [{{"key": "{key}", "data": {{}}}}]}}'.encode()
        headers = shop.headers | {"Content-Type": "application/json"}
        shop.app.post(f"/v1/feeds/{feed}/items", body, headers=headers, status=status)


def test_a_file_of_curls_usual_type_is_taken_as_it_is_and_never_read_as_a_form(
    shop: Shop, feed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[object] = []
    monkeypatch.setattr("webob.request.cgi_FieldStorage", lambda *_, **__: read.append(1))
    file = b"sku,title\n1,Uno & " + b"a&" * 11_000 + b"\n2,Due\n"
    begun = shop.send(f"/{feed}/imports", file, content_type="application/x-www-form-urlencoded")
    assert begun.json["state"] == "queued"
    assert not read
    run_feed_jobs(shop.make.services)
    assert shop.get(f"/{feed}/items/1")["data"]["title"].startswith("Uno & a&a&")


def test_a_file_is_brought_in_by_a_job_that_can_be_watched(shop: Shop, feed: str) -> None:
    begun = shop.send(f"/{feed}/imports", b"sku,title\n1,Uno\n4,Quattro\n2,Two\n,Nobody\n")
    assert (begun.json["state"], begun.json["number"]) == ("queued", 2)
    status = begun.location.partition("/v1/feeds")[2]
    assert shop.get(status) == begun.json
    run_feed_jobs(shop.make.services)
    done = shop.get(status)
    counts = {name: done[name] for name in ("state", "added", "changed", "removed", "unchanged", "invalid")}
    assert counts == {"state": "applied", "added": 1, "changed": 1, "removed": 1, "unchanged": 1, "invalid": 1}
    assert done["ended_at"]
    assert [each["number"] for each in shop.get(f"/{feed}/imports")["imports"]] == [2, 1]
    assert shop.get(f"/{feed}/items/1")["data"]["title"] == "Uno"


@pytest.mark.parametrize("file", [b"\x89PNG\r\n\x1a\n" + b"\0" * 100, b"name,title\nx,y\n"])
def test_a_file_that_can_not_be_brought_in_is_refused_at_once(shop: Shop, feed: str, file: bytes) -> None:
    assert shop.send(f"/{feed}/imports", file, status=422).json["code"] == "bad_file"
    assert len(shop.get(f"/{feed}/imports")["imports"]) == 1


def test_without_an_address_a_file_has_to_come(shop: Shop, feed: str) -> None:
    assert shop.send(f"/{feed}/imports", b"", status=422).json["code"] == "no_source"


def test_what_a_key_did_is_in_the_log_by_its_name(shop: Shop, feed: str) -> None:
    shop.post("", {"name": "ReadWriteBucket"}, status=201)
    shop.send(f"/{feed}/imports", b"sku,title\n1,Uno\n2,Two\n3,Three\n")
    with shop.make.database.transaction(shop.space.id) as db:
        entries = [(entry.action, entry.actor) for entry in db.query(AuditEntry).order_by(AuditEntry.number)]
    assert [action for action, _ in entries] == ["feed.make", "feed.import"]
    assert all("Test" in actor for _, actor in entries)


def test_a_deleted_feed_is_not_there(shop: Shop, feed: str) -> None:
    with shop.make.database.transaction(shop.space.id) as db:
        db.query(Feed).one().deleted_at = datetime.now(UTC)
    shop.get(f"/{feed}", status=404)
    shop.post(f"/{feed}/items", {"items": [{"key": "4", "data": {}}]}, status=404)
    assert shop.make.count(Item, shop.space.id) == 3


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=1001", "limit=x", "after=x", "after=-1", "after=1000000000", "after=999999999999999999"]
)
def test_a_page_that_is_none_is_refused(shop: Shop, query: str) -> None:
    assert shop.get(f"?{query}", status=422)["code"] == "invalid"
    feed = shop.post("", {"name": "Rows"}, status=201)["id"]
    field = query.partition("=")[0]
    assert list(shop.get(f"/{feed}/items?{query}", status=422)["errors"]) == [field]


@pytest.mark.parametrize("after", ["", "0", "999999999"])
def test_a_page_beyond_the_last_row_is_empty(shop: Shop, after: str) -> None:
    feed = shop.post("", {"name": "Rows"}, status=201)["id"]
    assert shop.get(f"/{feed}/items?after={after}") == {"items": [], "next": None}


@pytest.fixture
def changing(shop: Shop, feed: str) -> Iterator[Session]:
    """A transaction that changes the feed for long, as an import of a million rows does."""
    with shop.make.database.session() as db, db.begin():
        enter_workspace(db, shop.space.id)
        mine = db.get_one(Feed, (shop.space.id, UUID(feed)))
        db.refresh(mine, with_for_update=FOR_NO_KEY_UPDATE)
        yield db


@pytest.mark.usefixtures("changing")
def test_while_a_feed_is_changed_for_long_who_writes_to_it_is_sent_away_and_keeps_nobody_waiting(
    shop: Shop, feed: str
) -> None:
    begun = time.monotonic()
    rows = {"items": [{"key": "a", "data": {"title": "Mug"}}]}
    answer = shop.app.post_json(f"/v1/feeds/{feed}/items", rows, headers=shop.headers, status=503)
    assert time.monotonic() - begun < LOCK_SECONDS + 5
    assert answer.json["code"] == "busy"
    assert answer.headers["Retry-After"] == "5"
    assert shop.get(f"/{feed}")["items"] == 3, "reading goes on"


@pytest.mark.usefixtures("changing")
def test_a_run_of_a_feed_that_is_being_changed_begins_with_the_rows_as_they_are(shop: Shop, feed: str) -> None:
    with shop.make.database.transaction(shop.space.id) as db:
        mine = db.get_one(Feed, (shop.space.id, UUID(feed)))
    assert shop.make.run(mine, shop.make.template(shop.space)).pending == 3

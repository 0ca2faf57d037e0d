"""`/v1/feeds`: feeds, items and imports."""

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
from cwz_web.feeds.variants import clean_key
from cwz_web.generation.api_keys import Scope
from cwz_web.web.services import LOCK_SECONDS
from cwz_web.workspaces.models import AuditEntry
from tests.factories import Factory
from tests.jobs import run_feed_jobs


class Client:
    """A client with an API key that can read and write feeds."""

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
def client(app: TestApp, make: Factory) -> Client:
    return Client(app, make)


@pytest.fixture
def feed(client: Client) -> str:
    """The id of a feed with three items."""
    return str(client.make.feed(client.space).id)


def test_change_the_name_and_the_currency_of_a_feed(client: Client, feed: str) -> None:
    def patch(body: Any, status: int = 200) -> Any:
        return client.app.patch_json(f"/v1/feeds/{feed}", body, headers=client.headers, status=status).json

    assert client.get(f"/{feed}")["currency"] is None
    assert patch({"currency": "EUR"})["currency"] == "EUR"
    changed = patch({"name": "Shop"})
    assert (changed["name"], changed["currency"]) == ("Shop", "EUR")
    assert patch({"currency": None})["currency"] is None
    assert "Use a code such as EUR" in patch({"currency": "euro"}, status=422)["errors"]["currency"]
    assert client.post("", {"name": "New", "currency": "SEK"}, status=201)["currency"] == "SEK"


def test_create_fill_read_and_empty_a_feed(client: Client) -> None:
    created = client.post("", {"name": "Shop"}, status=201)
    assert (created["name"], created["items"], created["columns"]) == ("Shop", 0, [])
    here = f"/{created['id']}"
    rows = [{"key": "a", "data": {"title": " Mug ", "price": 9.5, "new": True, "gone": None, "empty": ""}}]
    assert client.post(f"{here}/items", {"items": rows}) == {"added": 1, "changed": 0, "unchanged": 0}
    assert client.get(f"{here}/items/a")["data"] == {"title": "Mug", "price": "9.5", "new": "true"}
    assert client.post(f"{here}/items", {"items": rows}) == {"added": 0, "changed": 0, "unchanged": 1}
    assert client.put(f"{here}/items/a", {"data": {"title": "Cup"}}) == {"added": 0, "changed": 1, "unchanged": 0}
    assert client.put(f"{here}/items/b", {"data": {"title": "Pot"}}) == {"added": 1, "changed": 0, "unchanged": 0}
    feed = client.get(here)
    assert feed["items"] == 2
    assert [(column["name"], column["type"]) for column in feed["columns"]] == [
        (name, "text") for name in ("title", "price", "new")
    ]
    assert [item["key"] for item in client.get(f"{here}/items")["items"]] == ["a", "b"]
    client.delete(f"{here}/items/a")
    client.delete(f"{here}/items/a", status=404)
    assert client.post(f"{here}/remove", {"keys": ["b", "c"]}) == {"removed": 1}
    assert client.get(here)["items"] == 0


def test_feeds_and_items_are_paginated(client: Client) -> None:
    ids = [str(client.make.feed(client.space).id) for _ in range(3)]
    first = client.get("?limit=2")
    second = client.get(f"?limit=2&after={first['next']}")
    assert [feed["id"] for feed in first["feeds"] + second["feeds"]] == ids[::-1]
    assert second["next"] is None
    page = client.get(f"/{ids[0]}/items?limit=2")
    rest = client.get(f"/{ids[0]}/items?limit=2&after={page['next']}")
    assert [item["key"] for item in page["items"] + rest["items"]] == ["1", "2", "3"]
    assert rest["next"] is None


def test_items_are_searched(client: Client) -> None:
    feed = client.make.feed(client.space, b"sku,title\n1,Red mug\n2,Plate\n3,Blue MUG\nmug,Cup\n").id

    def keys(query: str) -> list[str]:
        return [item["key"] for item in client.get(f"/{feed}/items?{query}")["items"]]

    assert keys("search=mug") == ["1", "3", "mug"]
    assert keys("search=mug&column=title") == ["1", "3"]
    assert keys("column=title") == ["1", "2", "3", "mug"]
    first = client.get(f"/{feed}/items?search=mug&limit=1")
    assert keys(f"search=mug&after={first['next']}") == ["3", "mug"]
    problem = client.get(f"/{feed}/items?search={'x' * 401}&column=none", status=422)
    assert problem["errors"].keys() == {"search", "column"}


@pytest.mark.parametrize("key", ["a b", "ä/ö", "a%2Fb", "a?b#c", "Ω" * 100, "-", "items"])
def test_keys_with_special_characters(client: Client, feed: str, key: str) -> None:
    client.put(f"/{feed}/items/{quote(key)}", {"data": {"title": "Odd"}})
    assert client.get(f"/{feed}/items/{quote(key)}")["key"] == key
    client.delete(f"/{feed}/items/{quote(key)}")


@pytest.mark.parametrize(
    ("written", "stored"),
    [
        ("a\u200bb", "ab"),
        ("\ufeffab", "ab"),
        ("cafe\u0301", "caf\u00e9"),
        (" ab\u00a0", "ab"),
        ("so\u00adft", "soft"),
        ("k" * 500, clean_key("k" * 500)),
    ],
)
def test_keys_are_cleaned_as_those_of_files(client: Client, feed: str, written: str, stored: str) -> None:
    here = f"/{feed}/items"
    item = {"key": written, "data": {"title": "Cup"}}
    assert client.post(here, {"items": [item]})["added"] == 1
    assert client.put(f"{here}/{quote(written)}", {"data": {"title": "Mug"}})["changed"] == 1
    assert client.put(f"{here}/{quote(stored)}", {"data": {"title": "Mug"}})["unchanged"] == 1
    for key in (written, stored):
        assert client.get(f"{here}/{quote(key)}")["key"] == stored
    client.delete(f"{here}/{quote(written)}")
    client.post(here, {"items": [item]})
    assert client.post(f"/{feed}/remove", {"keys": [written, stored]}) == {"removed": 1}
    client.send(f"/{feed}/imports", f"sku,title\n1,A\n2,B\n3,C\n{written},Cup\n".encode())
    run_feed_jobs(client.make.services)
    assert client.get(f"/{feed}")["items"] == 4
    assert client.post(here, {"items": [item]})["added"] == 0


def test_keys_that_cannot_be_used_are_rejected(client: Client, feed: str) -> None:
    problem = client.put(f"/{feed}/items/%E2%80%8B", {"data": {}}, status=422)
    assert problem["errors"] == {"key": "Use at least one visible character"}
    client.get(f"/{feed}/items/%E2%80%8B", status=404)
    problem = client.put(f"/{feed}/items/{'k' * 2_001}", {"data": {}}, status=422)
    assert "2000" in problem["errors"]["key"]
    client.put(f"/{feed}/items/{'k' * 2_000}", {"data": {}})


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "items"),
        ({"items": []}, "items"),
        ({"items": [{"key": "", "data": {}}]}, "items.0.key"),
        ({"items": [{"key": "k" * 100_001, "data": {}}]}, "items.0.key"),
        ({"items": [{"key": " \u200b\ufeff", "data": {}}]}, "items.0.key"),
        ({"items": [{"key": "k"}]}, "items.0.data"),
        ({"items": [{"key": "k", "data": {"": "x"}}]}, "items.0.data"),
        ({"items": [{"key": "k", "data": {"a": ["x"]}}]}, "items.0.data.a"),
        ({"items": [{"key": "k", "data": {}, "more": 1}]}, "items.0.more"),
        ({"items": [{"key": "k", "data": {}}, {"key": "k", "data": {}}]}, "body"),
        ({"items": [{"key": "ab", "data": {}}, {"key": "a\u200bb", "data": {}}]}, "body"),
        ({"items": [{"key": str(number), "data": {}} for number in range(1001)]}, "items"),
    ],
)
def test_invalid_items_are_named_and_nothing_is_written(
    client: Client, feed: str, body: dict[str, Any], field: str
) -> None:
    problem = client.post(f"/{feed}/items", body, status=422)
    assert list(problem["errors"]) == [field]
    assert client.get(f"/{feed}")["items"] == 3


def test_surrogate_and_nul_are_rejected(client: Client, feed: str) -> None:
    for key, status in (("\\ud800", 400), ("a\\u0000", 422)):
        body = f'{{"items": [{{"key": "{key}", "data": {{}}}}]}}'.encode()
        headers = client.headers | {"Content-Type": "application/json"}
        client.app.post(f"/v1/feeds/{feed}/items", body, headers=headers, status=status)


def test_file_with_form_content_type_is_not_parsed_as_a_form(
    client: Client, feed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    parsed: list[object] = []
    monkeypatch.setattr("webob.request.cgi_FieldStorage", lambda *_, **__: parsed.append(1))
    file = b"sku,title\n1,Uno & " + b"a&" * 11_000 + b"\n2,Due\n"
    response = client.send(f"/{feed}/imports", file, content_type="application/x-www-form-urlencoded")
    assert response.json["state"] == "queued"
    assert not parsed
    run_feed_jobs(client.make.services)
    assert client.get(f"/{feed}/items/1")["data"]["title"].startswith("Uno & a&a&")


def test_import_file_and_poll_its_state(client: Client, feed: str) -> None:
    response = client.send(f"/{feed}/imports", b"sku,title\n1,Uno\n4,Quattro\n2,Two\n,No key\n")
    assert (response.json["state"], response.json["number"]) == ("queued", 2)
    status = response.location.partition("/v1/feeds")[2]
    assert client.get(status) == response.json
    run_feed_jobs(client.make.services)
    done = client.get(status)
    counts = {name: done[name] for name in ("state", "added", "changed", "removed", "unchanged", "invalid")}
    assert counts == {"state": "applied", "added": 1, "changed": 1, "removed": 1, "unchanged": 1, "invalid": 1}
    assert done["finished_at"]
    assert [feed_import["number"] for feed_import in client.get(f"/{feed}/imports")["imports"]] == [2, 1]
    assert client.get(f"/{feed}/items/1")["data"]["title"] == "Uno"


def test_import_that_needs_review_says_why(client: Client, feed: str) -> None:
    with client.make.database.transaction(client.space.id) as db:
        row = db.get_one(Feed, (client.space.id, UUID(feed)))
    client.make.run(row, client.make.template(client.space), {"title": "title"})
    status = client.send(f"/{feed}/imports", b"sku,name\n1,One\n").location.partition("/v1/feeds")[2]
    run_feed_jobs(client.make.services)
    held = client.get(status)
    assert held["state"] == "needs_review"
    assert held["review_reasons"] == [
        {
            "code": "rows_removed",
            "message": "The import would remove 2 of 3 rows, more than 50%",
            "column": None,
            "templates": [],
        },
        {
            "code": "column_gone",
            "message": "The column “title” is gone; the file has the new column “name”; in the last good import it had "
            "a value in 3 of 3 rows",
            "column": "title",
            "templates": [{"slug": "card", "name": "Card", "automatic": False}],
        },
    ]
    assert client.get(f"/{feed}")["items"] == 3


def test_review_is_ended_once(client: Client, feed: str) -> None:
    """Repeated requests change nothing, and the activity log has one entry for each review."""
    first, second = (client.send(f"/{feed}/imports", b"sku,title\n1,Uno\n").location for _ in range(2))
    discarded, applied = (location.partition("/v1/feeds")[2] for location in (first, second))
    problem = client.post(f"{applied}/apply", None, status=409)
    assert (problem["code"], problem["detail"]) == (
        "import_not_reviewable",
        "This import does not need a review",
    )
    run_feed_jobs(client.make.services)
    assert [client.get(path)["state"] for path in (discarded, applied)] == ["discarded", "needs_review"]
    assert client.post(f"{discarded}/discard", None) == client.get(discarded)
    assert client.post(f"{discarded}/apply", None, status=409)["code"] == "import_not_reviewable"
    assert [client.post(f"{applied}/apply", None)["state"] for _ in range(2)] == ["queued", "queued"]
    run_feed_jobs(client.make.services)
    assert client.post(f"{applied}/apply", None) == client.get(applied)
    assert client.get(f"/{feed}")["items"] == 1
    assert client.post(f"{applied}/discard", None, status=409)["code"] == "import_not_reviewable"
    client.post(f"/{feed}/imports/9/apply", None, status=404)
    assert audit_entries(client)[2:] == [("feed.apply", {"number": 3, "removed": 2})]


def test_discarded_import_changes_nothing(client: Client, feed: str) -> None:
    status = client.send(f"/{feed}/imports", b"sku,title\n1,Uno\n").location.partition("/v1/feeds")[2]
    run_feed_jobs(client.make.services)
    assert [client.post(f"{status}/discard", None)["state"] for _ in range(2)] == ["discarded", "discarded"]
    assert client.get(f"/{feed}")["items"] == 3
    assert audit_entries(client)[1:] == [("feed.discard", {"number": 2, "removed": 2})]


def audit_entries(client: Client) -> list[tuple[str, dict[str, Any]]]:
    """Return the actions of the activity log with their details, oldest first."""
    with client.make.database.transaction(client.space.id) as db:
        return [(entry.action, entry.details) for entry in db.query(AuditEntry).order_by(AuditEntry.number)]


@pytest.mark.parametrize("file", [b"\x89PNG\r\n\x1a\n" + b"\0" * 100, b"name,title\nx,y\n"])
def test_invalid_file_is_rejected_immediately(client: Client, feed: str, file: bytes) -> None:
    assert client.send(f"/{feed}/imports", file, status=422).json["code"] == "invalid_file"
    assert len(client.get(f"/{feed}/imports")["imports"]) == 1


def test_empty_import_needs_a_source(client: Client, feed: str) -> None:
    assert client.send(f"/{feed}/imports", b"", status=422).json["code"] == "no_source"


def test_audit_log_names_the_api_key(client: Client, feed: str) -> None:
    client.post("", {"name": "Shop"}, status=201)
    client.send(f"/{feed}/imports", b"sku,title\n1,Uno\n2,Two\n3,Three\n")
    with client.make.database.transaction(client.space.id) as db:
        entries = [(entry.action, entry.actor) for entry in db.query(AuditEntry).order_by(AuditEntry.number)]
    assert [action for action, _ in entries] == ["feed.create", "feed.import"]
    assert all("Test" in actor for _, actor in entries)


def test_deleted_feed_is_not_found(client: Client, feed: str) -> None:
    with client.make.database.transaction(client.space.id) as db:
        db.query(Feed).one().deleted_at = datetime.now(UTC)
    client.get(f"/{feed}", status=404)
    client.post(f"/{feed}/items", {"items": [{"key": "4", "data": {}}]}, status=404)
    assert client.make.count(Item, client.space.id) == 3


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=1001", "limit=x", "after=x", "after=-1", "after=1000000000", "after=999999999999999999"]
)
def test_invalid_cursor_and_limit_are_rejected(client: Client, query: str) -> None:
    assert client.get(f"?{query}", status=422)["code"] == "invalid"
    feed = client.post("", {"name": "Rows"}, status=201)["id"]
    field = query.partition("=")[0]
    assert list(client.get(f"/{feed}/items?{query}", status=422)["errors"]) == [field]


@pytest.mark.parametrize("after", ["", "0", "999999999"])
def test_page_beyond_the_last_item_is_empty(client: Client, after: str) -> None:
    feed = client.post("", {"name": "Rows"}, status=201)["id"]
    assert client.get(f"/{feed}/items?after={after}") == {"items": [], "next": None}


@pytest.fixture
def locked_feed(client: Client, feed: str) -> Iterator[Session]:
    """A transaction that locks the feed for long, as an import of a million rows does."""
    with client.make.database.session() as db, db.begin():
        enter_workspace(db, client.space.id)
        row = db.get_one(Feed, (client.space.id, UUID(feed)))
        db.refresh(row, with_for_update=FOR_NO_KEY_UPDATE)
        yield db


@pytest.mark.usefixtures("locked_feed")
def test_write_to_a_locked_feed_is_rejected_as_busy(client: Client, feed: str) -> None:
    started = time.monotonic()
    rows = {"items": [{"key": "a", "data": {"title": "Mug"}}]}
    response = client.app.post_json(f"/v1/feeds/{feed}/items", rows, headers=client.headers, status=503)
    assert time.monotonic() - started < LOCK_SECONDS + 5
    assert response.json["code"] == "busy"
    assert response.headers["Retry-After"] == "5"
    assert client.get(f"/{feed}")["items"] == 3, "reads are not blocked"


@pytest.mark.usefixtures("locked_feed")
def test_run_of_a_locked_feed_uses_the_committed_rows(client: Client, feed: str) -> None:
    with client.make.database.transaction(client.space.id) as db:
        row = db.get_one(Feed, (client.space.id, UUID(feed)))
    assert client.make.run(row, client.make.template(client.space)).pending == 3

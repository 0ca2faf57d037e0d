"""Feeds as people meet them: brought in, brought in again, connected to an address, held, deleted and brought back."""

import dataclasses
import json
from typing import Any

import pytest
from webtest import TestApp, Upload

from cwz_web.app import create_app
from cwz_web.feeds.models import Feed
from cwz_web.net import client
from cwz_web.net.client import Fetcher
from cwz_web.resources import Role
from cwz_web.web.services import Services
from cwz_web.workspaces.models import AuditEntry
from tests.conftest import Canary
from tests.factories import Factory, sign_in


class Office:
    """Somebody who keeps the feeds of a workspace."""

    def __init__(self, app: TestApp, make: Factory, role: Role = Role.USER) -> None:
        self.app, self.make = app, make
        self.space = make.workspace()
        sign_in(app, make.member(self.space, role))
        self.feeds = f"/w/{self.space.slug}/feeds"

    def form(self, path: str, ending: str) -> Any:
        return next(form for form in self.app.get(path).forms.values() if form.action.endswith(ending))

    def upload(self, name: str, data: bytes) -> Any:
        form = next(form for form in self.app.get(f"{self.feeds}/new").forms.values() if "file" in form.fields)
        form["file"] = Upload(name, data)
        return form.submit().follow()

    def again(self, page: Any, data: bytes, status: int = 303) -> Any:
        form = self.form(page.request.path, "/import")
        form["file"] = Upload("newer.csv", data)
        return form.submit(status=status)

    @property
    def log(self) -> list[str]:
        with self.make.database.transaction(self.space.id) as db:
            return [entry.action for entry in db.query(AuditEntry).order_by(AuditEntry.number)]


@pytest.fixture
def office(app: TestApp, make: Factory) -> Office:
    return Office(app, make)


@pytest.fixture
def connected(services: Services, make: Factory, http_server: Canary) -> Office:
    """An office whose installation may reach the server on loopback."""
    opened = dataclasses.replace(services, fetcher=Fetcher([http_server.host]))
    return Office(TestApp(create_app(opened)), make)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("shop.json", json.dumps({"products": [{"id": 1, "title": "Mug"}]}).encode()),
        ("shop.jsonl", b'{"id": 1, "title": "Mug"}\n{"id": 2, "title": "Lamp"}\n'),
        ("shop.xml", b"<l><item><id>1</id><title>Mug</title></item><item><id>2</id><title>Lamp</title></item></l>"),
        ("shop.tsv", b"id\ttitle\n1\tMug\n"),
    ],
)
def test_a_file_of_any_kind_becomes_a_feed(office: Office, name: str, data: bytes) -> None:
    page = office.upload(name, data)
    assert page.html.find("h1").text == "shop"
    assert "Mug" in page.html.table.text


def test_a_table_can_be_pasted(office: Office) -> None:
    form = next(form for form in office.app.get(f"{office.feeds}/new").forms.values() if "pasted" in form.fields)
    form["pasted"], form["name"] = "id\ttitle\n1\tMug\n2\tLamp", "Copied"
    assert "Lamp" in form.submit().follow().html.table.text
    form["pasted"] = ""
    assert "Choose a file" in form.submit(status=422).html.find(id="file-error").text


def test_a_newer_file_is_a_diff(office: Office) -> None:
    page = office.upload("shop.csv", b"sku,title\n1,Mug\n2,Lamp\n3,Bowl\n")
    page = office.again(page, b"sku,title\n1,Mug\n2,Lamp XL\n3,Bowl\n4,Vase\n").follow()
    newest = page.html.find_all("table")[-1].tbody.tr
    assert [cell.text.strip() for cell in newest.find_all("td")][1:6] == ["Applied", "1", "1", "0", "2"]
    assert "Lamp XL" in page.html.table.text
    refused = office.again(page, b"number,title\n1,Other\n", status=422)
    assert "no column “sku”" in refused.html.find(id="file-error").text
    assert office.log == ["feed.upload", "feed.import"]


BROKEN_LATE = b"".join(b'{"sku": "%d", "title": "Thing"}\n' % number for number in range(3000)) + b'{"sku": \n'


def test_a_file_that_breaks_off_late_leaves_nothing_behind(office: Office) -> None:
    """After thousands of rows have gone to the database already."""
    form = next(form for form in office.app.get(f"{office.feeds}/new").forms.values() if "file" in form.fields)
    form["file"] = Upload("shop.jsonl", BROKEN_LATE)
    page = form.submit(status=422)
    assert page.html.find(id="file-error").text == "Line 3001 is not valid JSON"
    assert office.make.count(Feed, office.space.id) == 0
    page = office.upload("shop.csv", b"sku,title\n1,Mug\n")
    refused = office.again(page, BROKEN_LATE, status=422)
    assert "Line 3001" in refused.html.find(id="file-error").text
    assert "Mug" in refused.html.table.text
    assert office.again(page, b"sku,title\n1,Bowl\n").follow().html.table.text.count("Bowl") == 1


def test_an_import_that_removes_too_much_waits_for_somebody(office: Office) -> None:
    page = office.upload("shop.csv", b"sku,title\n" + b"".join(b"%d,Thing %d\n" % (n, n) for n in range(10)))
    path = page.request.path
    page = office.again(page, b"sku,title\n1,Thing 1\n").follow()
    assert "would remove 9 of 10 rows" in page.text
    page = office.form(path, "/discard").submit().follow()
    assert "waits for you" not in page.text
    assert "10 rows" in page.text
    office.again(page, b"sku,title\n1,Thing 1\n")
    stale = office.form(path, "/apply")
    page = stale.submit().follow()
    assert "1 rows" in page.text
    assert "decided on already" in stale.submit(status=422).text
    assert office.log == ["feed.upload", "feed.import", "feed.discard", "feed.import", "feed.apply"]


def test_the_guard_and_the_name_can_be_changed(office: Office) -> None:
    page = office.upload("shop.csv", b"sku,title\n1,Mug\n2,Lamp\n")
    form = office.form(page.request.path, "/settings")
    form["name"], form["guard_percent"] = "Autumn", "100"
    assert "Autumn" in form.submit().follow().html.find("h1").text
    form["guard_percent"] = "200"
    assert form.submit(status=422).html.find(id="guard_percent-error").text == "100 is the most"


def test_a_feed_is_deleted_and_brought_back(office: Office) -> None:
    page = office.upload("shop.csv", b"sku,title\n1,Mug\n")
    path = page.request.path
    page = office.form(path, "/delete").submit().follow()
    assert "was deleted" in page.text
    assert path not in office.app.get(office.feeds).text
    page = office.form(path, "/restore").submit().follow()
    assert "was deleted" not in page.text
    assert path in office.app.get(office.feeds).text


def test_an_address_is_tried_and_connected(connected: Office, http_server: Canary) -> None:
    http_server.paths["/feed.csv?token=hush"] = (200, {"ETag": '"1"'}, b"sku,title\n1,Mug\n2,Lamp\n")
    form = next(f for f in connected.app.get(f"{connected.feeds}/connect").forms.values() if "url" in f.fields)
    form["url"], form["header"], form["secret"] = http_server.url("/feed.csv?token=hush"), "X-Key", "planted-canary"
    tried = form.submit("do", value="test")
    assert "2 rows with 2 columns" in tried.text
    assert "planted-canary" not in tried.text
    assert connected.make.count(Feed, connected.space.id) == 0
    page = form.submit("do", value="connect").follow()
    assert "Lamp" in page.text
    assert http_server.headers[-1]["X-Key"] == "planted-canary"
    for secret in ("planted-canary", "hush"):
        assert secret not in page.text
    http_server.paths["/feed.csv?token=hush"] = (200, {}, b"sku,title\n1,Mug\n2,Lamp\n3,Bowl\n")
    page = connected.form(page.request.path, "/refresh").submit().follow()
    assert "Bowl" in page.text
    schedule = connected.form(page.request.path, "/schedule")
    schedule["every"] = "60"
    assert schedule.submit().follow().html.find("option", {"value": "60"}).has_attr("selected")
    assert connected.log == ["feed.connect", "feed.refresh", "feed.schedule"]


def test_an_address_that_stops_working_says_so_on_the_feeds_page(connected: Office, http_server: Canary) -> None:
    http_server.paths["/feed.csv"] = (200, {}, b"sku,title\n1,Mug\n")
    form = next(f for f in connected.app.get(f"{connected.feeds}/connect").forms.values() if "url" in f.fields)
    form["url"] = http_server.url("/feed.csv")
    page = form.submit("do", value="connect").follow()
    del http_server.paths["/feed.csv"]
    page = connected.form(page.request.path, "/refresh").submit().follow()
    assert "status 404" in page.html.find(role="alert").text
    assert "Mug" in page.text, "the rows stay"


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"url": "http://169.254.169.254/latest/meta-data/"}, "url"),
        ({"url": "http://127.0.0.1/feed.csv"}, "url"),
        ({"url": "file:///etc/passwd"}, "url"),
        ({"url": "https://shop.example:22/"}, "url"),
        ({"url": ""}, "url"),
        ({"header": "Host"}, "header"),
        ({"header": "X-Key", "username": "me"}, "header"),
        ({"secret": "a\r\nX: y"}, "secret"),
    ],
)
def test_what_may_not_be_connected_is_refused_and_nothing_is_sent(
    office: Office, monkeypatch: pytest.MonkeyPatch, given: dict[str, str], field: str
) -> None:
    monkeypatch.setattr(client.httpcore.SyncBackend, "connect_tcp", lambda *_, **__: pytest.fail("it connected"))
    form = next(f for f in office.app.get(f"{office.feeds}/connect").forms.values() if "url" in f.fields)
    form["url"] = "http://10.1.2.3/feed.csv"
    for name, value in given.items():
        form[name] = value
    page = form.submit("do", value="connect", status=422)
    assert page.html.find(id=f"{field}-error") is not None
    assert office.make.count(Feed, office.space.id) == 0


def test_a_support_agent_fetches_again_and_changes_nothing(
    services: Services, make: Factory, http_server: Canary
) -> None:
    opened = dataclasses.replace(services, fetcher=Fetcher([http_server.host]))
    support = Office(TestApp(create_app(opened)), make, Role.SUPPORT)
    feed = make.feed(support.space)
    make.source(feed, http_server.url("/feed.csv"))
    http_server.paths["/feed.csv"] = (200, {}, b"sku,title\n1,One\n2,Two\n3,Three\n4,Four\n")
    page = support.form(f"{support.feeds}/{feed.id}", "/fetch").submit().follow()
    assert "Four" in page.text
    assert not [form for form in page.forms.values() if form.action.endswith(("/import", "/delete", "/schedule"))]


def test_a_row_is_found_by_the_beginning_of_its_key(office: Office) -> None:
    rows = b"sku,title\n" + b"".join(b"%s-%03d,Thing\n" % (kind, n) for kind in (b"mug", b"lamp") for n in range(60))
    path = office.upload("shop.csv", rows + b"100%,Percent\n").request.path

    def keys(page: Any) -> list[str]:
        return [cell.text for cell in page.html.select("tbody tr th")][: 50 if "from" not in page.request.url else None]

    page = office.app.get(f"{path}?key=lamp-")
    assert keys(page)[0] == "lamp-000"
    assert len(keys(page)) == 50
    more = page.html.find("a", string="Show the next rows")["href"]
    rest = office.app.get(f"{path}{more}", headers={"HX-Request": "true"})
    assert [cell.text for cell in rest.html.select("th")] == [f"lamp-{n:03}" for n in range(50, 60)]
    assert keys(office.app.get(f"{path}?key=100%25"))[0] == "100%"
    assert "No key begins with" in office.app.get(f"{path}?key=%25").text, "a sign is a sign, not a pattern"
    assert "No key begins with" in office.app.get(f"{path}?key=%3Cb%3E").text

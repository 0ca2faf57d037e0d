"""Feeds as people meet them: brought in, brought in again, connected to an address, held, deleted and brought back."""

import dataclasses
import json
from typing import Any

import pytest
from webtest import TestApp, Upload

from cwz_web.app import create_app
from cwz_web.feeds import sources
from cwz_web.feeds.models import Feed, FeedImport, Item
from cwz_web.net import client
from cwz_web.net.client import Fetcher
from cwz_web.runs.models import Run
from cwz_web.web.services import Services
from cwz_web.workspaces.models import AuditEntry, Role
from tests.conftest import Canary
from tests.factories import Factory, sign_in
from tests.jobs import run_feed_jobs


class FeedUser:
    """Somebody who keeps the feeds of a workspace, and a worker that is set to work when they wait."""

    def __init__(self, app: TestApp, make: Factory, role: Role = Role.USER, fetcher: Fetcher | None = None) -> None:
        self.app, self.make, self.fetcher = app, make, fetcher
        self.space = make.workspace()
        sign_in(app, make.member(self.space, role))
        self.feeds = f"/w/{self.space.slug}/feeds"

    def form(self, path: str, ending: str) -> Any:
        return next(form for form in self.app.get(path).forms.values() if form.action.endswith(ending))

    def form_with(self, path: str, field: str) -> Any:
        return next(form for form in self.app.get(path).forms.values() if field in form.fields)

    def work(self, page: Any) -> Any:
        """Let the worker work, and look at the page again."""
        run_feed_jobs(self.make.services, self.fetcher)
        return self.app.get(page.request.path)

    def send(self, name: str, data: bytes) -> Any:
        """Upload a file. Returns the page of its columns."""
        form = self.form_with(f"{self.feeds}/new", "file")
        form["file"] = Upload(name, data)
        return form.submit().follow()

    def upload(self, name: str, data: bytes) -> Any:
        """Upload a file and bring it in as it was guessed."""
        return self.work(self.confirm(self.send(name, data)).follow())

    def confirm(self, columns: Any, **fields: Any) -> Any:
        form = next(form for form in columns.forms.values() if "keep.0" in form.fields)
        for name, value in fields.items():
            form[name.replace("__", ".")] = value
        return form.submit()

    def again(self, page: Any, data: bytes) -> Any:
        form = self.form(page.request.path, "/import")
        form["file"] = Upload("newer.csv", data)
        return self.work(form.submit(status=303).follow())

    @property
    def log(self) -> list[str]:
        with self.make.database.transaction(self.space.id) as db:
            return [entry.action for entry in db.query(AuditEntry).order_by(AuditEntry.number)]


@pytest.fixture
def office(app: TestApp, make: Factory) -> FeedUser:
    return FeedUser(app, make)


@pytest.fixture
def connected(services: Services, make: Factory, http_server: Canary) -> FeedUser:
    """An office whose installation may reach the server on loopback."""
    fetcher = Fetcher([http_server.host])
    return FeedUser(TestApp(create_app(dataclasses.replace(services, fetcher=fetcher))), make, fetcher=fetcher)


def states(page: Any) -> list[list[str]]:
    """The state and the counts of the imports, newest first: new, changed, removed, unchanged, left out."""
    rows = page.html.find_all("table")[-1].tbody.find_all("tr")
    return [[cell.text.strip() for cell in row.find_all("td")][1:7] for row in rows]


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("shop.json", json.dumps({"products": [{"id": 1, "title": "Mug"}]}).encode()),
        ("shop.jsonl", b'{"id": 1, "title": "Mug"}\n{"id": 2, "title": "Lamp"}\n'),
        ("shop.xml", b"<l><item><id>1</id><title>Mug</title></item><item><id>2</id><title>Lamp</title></item></l>"),
        ("shop.tsv", b"id\ttitle\n1\tMug\n"),
    ],
)
def test_a_file_of_any_kind_becomes_a_feed(office: FeedUser, name: str, data: bytes) -> None:
    page = office.upload(name, data)
    assert page.html.find("h1").text == "shop"
    assert "Mug" in page.html.table.text


def test_a_table_can_be_pasted(office: FeedUser) -> None:
    form = office.form_with(f"{office.feeds}/new", "pasted")
    form["pasted"], form["name"] = "id\ttitle\n1\tMug\n2\tLamp", "Copied"
    page = office.work(office.confirm(form.submit().follow()).follow())
    assert "Lamp" in page.html.table.text
    form["pasted"] = ""
    assert "Choose a file" in form.submit(status=422).html.find(id="file-error").text


def test_a_file_waits_until_its_columns_have_been_looked_at(office: FeedUser) -> None:
    columns = office.send("shop.csv", b"sku,title\n1,Mug\n2,Lamp\n")
    run_feed_jobs(office.make.services)
    page = office.app.get(columns.request.path.removesuffix("/columns"))
    assert "waits to be brought in" in page.text
    assert "Nothing has been brought in yet" in page.text
    page = office.confirm(columns).follow()
    assert "is being brought in" in page.html.find(id="progress").text
    assert "HX-Refresh" not in office.app.get(f"{page.request.path}/progress").headers
    page = office.work(page)
    assert page.html.find(id="progress") is None
    assert office.app.get(f"{page.request.path}/progress").headers["HX-Refresh"] == "true"


def test_columns_are_renamed_dropped_typed_and_made_the_key(office: FeedUser) -> None:
    rows = b'nr,artikel,preis,intern\nA1,Mug,"9,90 EUR",x\nA2,Lamp,on request,y\nA3,Bowl,"5 EUR",z\n,Vase,1 EUR,w\n'
    columns = office.send("shop.csv", rows)
    guessed = [select.find("option", selected=True)["value"] for select in columns.html.select("td select")]
    assert guessed == ["text", "text", "text", "text"]
    shaped = {"name__1": "Title", "kind__2": "price", "required__2": True, "keep__3": False, "key__0": True}
    page = office.work(office.confirm(columns, **shaped).follow())
    assert [cell.text for cell in page.html.table.thead.find_all("th")] == ["Key", "nr", "Title", "preis"]
    assert [cell.text for cell in page.html.table.tbody.find_all("th")] == ["A1", "A3"]
    assert states(page) == [["Applied", "2", "0", "0", "0", "2"]]
    left = page.click("2 rows were left out")
    assert [[cell.text for cell in row.find_all(["th", "td"])][:2] for row in left.html.tbody.find_all("tr")] == [
        ["3", "“preis” is no price: on request"],
        ["5", "“nr” is empty, by which the feed knows its rows"],
    ]
    lines = left.click("Download as CSV").text.splitlines()
    assert lines[0] == "line,reason,nr,artikel,preis,intern"
    assert lines[1].startswith("3,")
    assert office.log == ["feed.upload", "feed.columns"]


def test_the_same_file_can_be_brought_in_in_another_shape(office: FeedUser) -> None:
    page = office.upload("shop.csv", b"sku,title\n1,Mug\n2,Lamp\n")
    columns = page.click("Columns")
    assert "shop.csv is brought in again" in columns.text
    page = office.work(office.confirm(columns, name__1="Name", key__0=False, key__1=True).follow())
    assert [cell.text for cell in page.html.table.tbody.find_all("th")] == ["Mug", "Lamp"]
    assert states(page)[0] == ["Applied", "2", "0", "2", "0", "0"], "other keys are other rows; nobody is asked again"
    columns = page.click("Columns")
    assert columns.html.find("input", {"name": "name.1"})["value"] == "Name"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name__1": ""}, "Please fill this in"),
        ({"name__1": "sku"}, "Another column has this name already"),
        ({"name__1": "x" * 201}, "too long"),
        ({"keep__0": False, "keep__1": False}, "Keep at least one column"),
    ],
)
def test_what_can_not_be_a_shape_is_refused_with_what_was_typed(
    office: FeedUser, fields: dict[str, Any], message: str
) -> None:
    columns = office.send("shop.csv", b"sku,title\n1,Mug\n")
    form = next(form for form in columns.forms.values() if "keep.0" in form.fields)
    form["key.1"] = True
    for name, value in fields.items():
        form[name.replace("__", ".")] = value
    refused = form.submit(status=422)
    assert message in refused.text
    assert refused.html.find("input", {"name": "key.1"}).has_attr("checked"), "what was typed stays"
    assert office.make.count(FeedImport, office.space.id) == 1


def test_a_newer_file_is_a_diff(office: FeedUser) -> None:
    page = office.upload("shop.csv", b"sku,title\n1,Mug\n2,Lamp\n3,Bowl\n")
    page = office.again(page, b"sku,title\n1,Mug\n2,Lamp XL\n3,Bowl\n4,Vase\n")
    assert states(page)[0] == ["Applied", "1", "1", "0", "2", "0"]
    assert "Lamp XL" in page.html.table.text
    form = office.form(page.request.path, "/import")
    form["file"] = Upload("newer.csv", b"number,title\n1,Other\n")
    assert "no column “sku”" in form.submit(status=422).text
    assert office.log == ["feed.upload", "feed.columns", "feed.import"]


BROKEN_LATE = b"".join(b'{"sku": "%d", "title": "Thing"}\n' % number for number in range(3000)) + b'{"sku": '


def test_a_file_that_breaks_off_late_changes_nothing(office: FeedUser) -> None:
    """After thousands of rows have gone to the database already."""
    page = office.upload("shop.jsonl", BROKEN_LATE)
    assert "The file breaks off in line 3001" in page.html.find(role="alert").text
    assert office.make.count(Item, office.space.id) == 0
    page = office.upload("shop.csv", b"sku,title\n1,Mug\n")
    failed = office.again(page, BROKEN_LATE)
    assert "breaks off in line 3001" in failed.html.find(role="alert").text
    assert "Mug" in failed.html.table.text
    assert office.again(page, b"sku,title\n1,Bowl\n").html.table.text.count("Bowl") == 1


def test_an_import_that_removes_too_much_waits_for_somebody(office: FeedUser) -> None:
    page = office.upload("shop.csv", b"sku,title\n" + b"".join(b"%d,Thing %d\n" % (n, n) for n in range(10)))
    path = page.request.path
    page = office.again(page, b"sku,title\n1,Thing 1\n")
    assert "would remove 9 of 10 rows" in page.text
    page = office.form(path, "/discard").submit().follow()
    assert "waits for you" not in page.text
    assert "10 rows" in page.text
    office.again(page, b"sku,title\n1,Thing 1\n")
    stale = office.form(path, "/apply")
    page = office.work(stale.submit().follow())
    assert "1 rows" in page.text
    assert "decided on already" in stale.submit(status=422).text
    assert office.log[2:] == ["feed.import", "feed.discard", "feed.import", "feed.apply"]


def test_the_guard_and_the_name_can_be_changed(office: FeedUser) -> None:
    page = office.upload("shop.csv", b"sku,title\n1,Mug\n2,Lamp\n")
    form = office.form(page.request.path, "/settings")
    form["name"], form["guard_percent"] = "Autumn", "100"
    assert "Autumn" in form.submit().follow().html.find("h1").text
    form["guard_percent"] = "200"
    assert form.submit(status=422).html.find(id="guard_percent-error").text == "100 is the most"


def test_a_feed_is_deleted_and_brought_back(office: FeedUser) -> None:
    page = office.upload("shop.csv", b"sku,title\n1,Mug\n")
    path = page.request.path
    page = office.form(path, "/delete").submit().follow()
    assert "was deleted" in page.text
    assert path not in office.app.get(office.feeds).text
    page = office.form(path, "/restore").submit().follow()
    assert "was deleted" not in page.text
    assert path in office.app.get(office.feeds).text


def test_an_address_is_tried_and_connected(connected: FeedUser, http_server: Canary) -> None:
    http_server.paths["/feed.csv?token=hush"] = (200, {"ETag": '"1"'}, b"sku,title\n1,Mug\n2,Lamp\n")
    form = connected.form_with(f"{connected.feeds}/connect", "url")
    form["url"], form["header"], form["secret"] = http_server.url("/feed.csv?token=hush"), "X-Key", "planted-canary"
    tried = form.submit("do", value="test")
    assert "It works: 2 columns, known by sku" in tried.text
    assert "planted-canary" not in tried.text
    assert connected.make.count(Feed, connected.space.id) == 0
    columns = form.submit("do", value="connect").follow()
    assert "Lamp" in columns.text
    page = connected.work(connected.confirm(columns).follow())
    assert "Lamp" in page.text
    assert http_server.headers[-1]["X-Key"] == "planted-canary"
    for secret in ("planted-canary", "hush"):
        assert secret not in page.text
    http_server.paths["/feed.csv?token=hush"] = (200, {}, b"sku,title\n1,Mug\n2,Lamp\n3,Bowl\n")
    page = connected.form(page.request.path, "/refresh").submit().follow()
    assert "is being fetched" in page.html.find(id="progress").text
    assert "Bowl" in connected.work(page).text
    assert connected.log == ["feed.connect", "feed.columns", "feed.refresh"]


def test_a_file_that_is_longer_than_a_look_is_fetched_whole_later(
    connected: FeedUser, http_server: Canary, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "LOOK_BYTES", 1000)
    http_server.paths["/feed.csv"] = (
        200,
        {},
        b"sku,title\n" + b"".join(b"%d,Thing %d\n" % (n, n) for n in range(40_000)),
    )
    form = connected.form_with(f"{connected.feeds}/connect", "url")
    form["url"] = http_server.url("/feed.csv")
    page = connected.work(connected.confirm(form.submit("do", value="connect").follow()).follow())
    assert "40,000 rows" in page.text


def test_a_feed_has_a_schedule(connected: FeedUser, http_server: Canary) -> None:
    http_server.paths["/feed.csv"] = (200, {}, b"sku,title\n1,Mug\n")
    form = connected.form_with(f"{connected.feeds}/connect", "url")
    form["url"], form["every"], form["at"], form["time_zone"] = (
        http_server.url("/feed.csv"),
        "day",
        "06:30",
        "Asia/Tokyo",
    )
    page = connected.work(connected.confirm(form.submit("do", value="connect").follow()).follow())
    assert "Every day at 06:30, Asia/Tokyo" in page.text
    schedule = next(f for f in page.click("Schedule").forms.values() if "cron" in f.fields)
    schedule["every"], schedule["cron"] = "cron", "30 6 * * 1-5"
    page = schedule.submit().follow()
    assert "By a cron expression 30 6 * * 1-5, Asia/Tokyo" in page.text
    for field, value, message in (
        ("cron", "* * * * *", "too often"),
        ("time_zone", "Atlantis/Capital", "Choose a time zone"),
        ("at", "25:00", "at"),
    ):
        schedule[field] = value
        refused = schedule.submit(status=422)
        assert refused.html.find(id=f"{field}-error") is not None, message
        schedule[field] = {"cron": "0 6 * * *", "time_zone": "UTC", "at": "06:00"}[field]
    schedule["every"] = ""
    assert "Only when I ask" in schedule.submit().follow().text


def test_an_address_that_stops_working_says_so_on_the_feeds_page(connected: FeedUser, http_server: Canary) -> None:
    http_server.paths["/feed.csv"] = (200, {}, b"sku,title\n1,Mug\n")
    form = connected.form_with(f"{connected.feeds}/connect", "url")
    form["url"] = http_server.url("/feed.csv")
    page = connected.work(connected.confirm(form.submit("do", value="connect").follow()).follow())
    del http_server.paths["/feed.csv"]
    page = connected.work(connected.form(page.request.path, "/refresh").submit().follow())
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
        ({"every": "cron", "cron": "every day"}, "cron"),
    ],
)
def test_what_may_not_be_connected_is_refused_and_nothing_is_sent(
    office: FeedUser, monkeypatch: pytest.MonkeyPatch, given: dict[str, str], field: str
) -> None:
    monkeypatch.setattr(client.httpcore.SyncBackend, "connect_tcp", lambda *_, **__: pytest.fail("it connected"))
    form = office.form_with(f"{office.feeds}/connect", "url")
    form["url"] = "http://10.1.2.3/feed.csv"
    for name, value in given.items():
        form[name] = value
    page = form.submit("do", value="connect", status=422)
    assert page.html.find(id=f"{field}-error") is not None
    assert office.make.count(Feed, office.space.id) == 0


def test_a_support_agent_fetches_again_and_changes_nothing(
    services: Services, make: Factory, http_server: Canary
) -> None:
    fetcher = Fetcher([http_server.host])
    app = TestApp(create_app(dataclasses.replace(services, fetcher=fetcher)))
    support = FeedUser(app, make, Role.SUPPORT, fetcher)
    feed = make.feed(support.space)
    make.source(feed, http_server.url("/feed.csv"))
    http_server.paths["/feed.csv"] = (200, {}, b"sku,title\n1,One\n2,Two\n3,Three\n4,Four\n")
    page = support.work(support.form(f"{support.feeds}/{feed.id}", "/fetch").submit().follow())
    assert "Four" in page.text
    assert not [form for form in page.forms.values() if form.action.endswith(("/import", "/delete", "/schedule"))]
    assert not page.html.find("a", string="Columns")


def test_rows_are_found_sorted_and_paged(office: FeedUser) -> None:
    rows = b"sku,title\n" + b"".join(
        b"%s-%03d,Thing %d\n" % (kind, n, 60 - n) for kind in (b"mug", b"lamp") for n in range(60)
    )
    path = office.upload("shop.csv", rows + b"100%,Percent\n").request.path

    def keys(address: str, partial: bool = False) -> list[str]:
        page = office.app.get(f"{path}{address}", headers={"HX-Request": "true"} if partial else {})
        return [cell.text for cell in page.html.select("th[scope=row] a" if not partial else "th a")]

    def first(address: str) -> list[str]:
        return [key for key in keys(address) if "-" in key or "%" in key]

    found = office.app.get(f"{path}?text=lamp-&column=+key")
    assert [cell.text for cell in found.html.table.tbody.find_all("th")][::49] == ["lamp-000", "lamp-049"]
    more = found.html.find("a", string="Look further")["href"]
    assert keys(more, partial=True) == [f"lamp-{n:03}" for n in range(50, 60)]
    assert first("?text=100%25&column=+key") == ["100%"]
    assert "No row is like that" in office.app.get(f"{path}?text=%25x").text, "a sign is a sign, not a pattern"
    assert "No row is like that" in office.app.get(f"{path}?text=%3Cb%3E&column=+key").text
    assert first("?text=THING+7&column=title") == ["mug-053", "lamp-053"]
    assert first("?sort=sku")[0] == "100%"
    assert first("?sort=-title")[0] == "mug-051"
    assert first("?text=thing+7&sort=-sku") == ["mug-053", "lamp-053"]
    assert first("?sort=nothing")[0] == "mug-000", "a column that is not there sorts nothing"
    assert first("?state=changed") == []
    assert len(first("?state=new")) == 50


def test_a_row_has_a_page_with_its_history_and_its_images(office: FeedUser) -> None:
    page = office.upload("shop.csv", b"sku,title,link\na/b c,Mug,https://shop.example/1\n2,Lamp,javascript:alert(1)\n")
    office.again(page, b"sku,title,link\na/b c,Cup,https://shop.example/1\n2,Lamp,javascript:alert(1)\n")
    page = office.again(page, b"sku,title,link\n2,Lamp,javascript:alert(1)\n3,x,\n")
    removed = office.app.get(f"{page.request.path}/row?key=a/b+c")
    assert "The row was removed" in removed.text
    cells = [
        [cell.text for cell in row.find_all("td")] for row in removed.html.find_all("table")[-1].tbody.find_all("tr")
    ]
    assert cells == [["The row was removed."], ["title", "Mug", "Cup"]]
    kept = page.click("2", href="row")
    assert kept.html.find("h1").text == "2"
    assert not [link for link in kept.html.find_all("a") if link.get("href", "").startswith("javascript")]
    assert "It has not changed since it came" in kept.text
    office.app.get(f"{page.request.path}/row?key=nobody", status=404)
    office.app.get(f"{page.request.path}/left-out?number=77", status=404)


def test_a_feed_is_followed_from_a_runs_page_and_no_longer(office: FeedUser) -> None:
    page = office.upload("shop.csv", b"sku,title\n1,Mug\n2,Lamp\n")
    template = office.make.template(office.space)
    with office.make.database.transaction(office.space.id) as db:
        feed = db.query(Feed).one()
    run = office.make.run(feed, template)
    followed = office.form(f"/w/{office.space.slug}/runs/{run.id}", "/follow").submit().follow()
    assert "its new and changed rows are rendered with this template" in followed.text
    page = office.again(page, b"sku,title\n1,Mug\n2,Lamp!\n3,Bowl\n")
    with office.make.database.transaction(office.space.id) as db:
        newest = db.query(Run).order_by(Run.id.desc()).first()
        assert newest is not None
        assert newest.total == 2
    stop = office.form(page.request.path, "/unfollow")
    assert "When it changes" not in stop.submit().follow().text
    assert "Choose one of the templates" in stop.submit(status=422).text
    assert office.log[2:] == ["feed.follow", "feed.import", "feed.unfollow"]

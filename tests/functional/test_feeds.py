"""Pages of feeds: upload, columns, imports and their review, sources, rows, deletion."""

import dataclasses
import json
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import update
from webtest import TestApp, Upload

from cwz_web.feeds import sources
from cwz_web.feeds.encodings import ENCODING_LABELS
from cwz_web.feeds.models import Feed, FeedImport, Item
from cwz_web.net import client
from cwz_web.net.client import Fetcher
from cwz_web.runs.models import Run, RunItem
from cwz_web.views import feed_import_list, feed_rows
from cwz_web.web.rate_limits import LIMITS
from cwz_web.web.services import Services
from cwz_web.workspaces.models import AuditEntry, Role
from tests.conftest import RecordingServer
from tests.factories import Factory, sign_in
from tests.jobs import run_feed_jobs
from tests.unit.feeds.test_encodings import FILES_OF_ANY_ENCODING

# The tab of the feed's page that has a form.
TABS = {"/import": "/source", "/fetch": "/source", "/retry-fetch": "/source"}
TABS |= dict.fromkeys(("/settings", "/delete", "/stop-auto-run"), "/settings")


class FeedUser:
    """A signed-in member of a workspace, with a worker that runs on demand."""

    def __init__(self, app: TestApp, make: Factory, role: Role = Role.USER, fetcher: Fetcher | None = None) -> None:
        self.app, self.make, self.fetcher = app, make, fetcher
        self.space = make.workspace()
        sign_in(app, make.member(self.space, role))
        self.feeds = f"/w/{self.space.slug}/feeds"

    def form(self, path: str, action: str) -> Any:
        tab = TABS.get(action, "")
        return next(
            form for form in self.app.get(path.removesuffix(tab) + tab).forms.values() if form.action.endswith(action)
        )

    def source(self, page: Any) -> Any:
        """Return the page that changes the source of a feed."""
        return self.app.get(f"{page.request.path}/source").click("Change source")

    def form_with(self, path: str, field: str) -> Any:
        return next(form for form in self.app.get(path).forms.values() if field in form.fields)

    def run_jobs(self, page: Any) -> Any:
        """Run the queued jobs and reload the page."""
        run_feed_jobs(self.make.services, self.fetcher)
        return self.app.get(page.request.path)

    def upload_draft(self, name: str, data: bytes) -> Any:
        """Upload a file. Returns the page of its columns."""
        form = self.form_with(f"{self.feeds}/new", "file")
        form["file"] = Upload(name, data)
        return form.submit().follow()

    def upload(self, name: str, data: bytes) -> Any:
        """Upload a file and import it with the guessed columns."""
        return self.run_jobs(self.save_columns(self.upload_draft(name, data)).follow())

    def save_columns(self, columns: Any, **fields: Any) -> Any:
        form = next(form for form in columns.forms.values() if "keep.0" in form.fields)
        for name, value in fields.items():
            form[name.replace("__", ".")] = value
        return form.submit()

    def import_newer(self, page: Any, data: bytes) -> Any:
        form = self.form(page.request.path, "/import")
        form["file"] = Upload("newer.csv", data)
        return self.run_jobs(form.submit(status=303).follow())

    @property
    def actions(self) -> list[str]:
        with self.make.database.transaction(self.space.id) as db:
            return [entry.action for entry in db.query(AuditEntry).order_by(AuditEntry.number)]


@pytest.fixture
def user(app: TestApp, make: Factory) -> FeedUser:
    return FeedUser(app, make)


@pytest.fixture
def connected(
    services: Services, make: Factory, http_server: RecordingServer, app_with: Callable[[Services], TestApp]
) -> FeedUser:
    """A user of an installation that may fetch from the loopback server."""
    fetcher = Fetcher([http_server.host, f"localhost:{http_server.port}"], admit=services.outbound.slot)
    return FeedUser(app_with(dataclasses.replace(services, fetcher=fetcher)), make, fetcher=fetcher)


def keys_of(page: Any) -> list[str]:
    """Return the keys of the rows of the grid."""
    return [link.text for link in page.html.select("th .row-head a")]


def states(page: Any) -> list[list[str]]:
    """Return the state and the counts (new, changed, removed, unchanged, invalid) of the imports, newest first."""
    rows = page.test_app.get(f"{page.request.path}/imports").html.table.tbody.find_all("tr")
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
def test_upload_every_format(user: FeedUser, name: str, data: bytes) -> None:
    page = user.upload(name, data)
    assert page.html.find("h1").text == "shop"
    assert "Mug" in page.html.table.text


def test_paste_rows(user: FeedUser) -> None:
    form = user.form_with(f"{user.feeds}/new", "pasted")
    form["pasted"], form["name"] = "id\ttitle\n1\tMug\n2\tLamp", "Copied"
    page = user.run_jobs(user.save_columns(form.submit().follow()).follow())
    assert "Lamp" in page.html.table.text
    form["pasted"] = ""
    assert "Choose a file" in form.submit(status=422).html.find(id="file-error").text


def test_draft_is_imported_after_columns_are_saved(user: FeedUser) -> None:
    columns = user.upload_draft("shop.csv", b"sku,title\n1,Mug\n2,Lamp\n")
    run_feed_jobs(user.make.services)
    page = user.app.get(columns.request.path.removesuffix("/columns"))
    assert "not imported yet" in page.text
    assert "Nothing has been imported yet" in page.text
    page = user.save_columns(columns).follow()
    assert "Importing from shop.csv" in page.html.find(id="progress").text
    assert "HX-Refresh" not in user.app.get(f"{page.request.path}/progress").headers
    page = user.run_jobs(page)
    assert page.html.find(id="progress") is None
    assert user.app.get(f"{page.request.path}/progress").headers["HX-Refresh"] == "true"


def test_columns_are_renamed_dropped_typed_and_used_as_key(user: FeedUser) -> None:
    rows = b'nr,artikel,preis,intern\nA1,Mug,"9,90 EUR",x\nA2,Lamp,on request,y\nA3,Bowl,"5 EUR",z\n,Vase,1 EUR,w\n'
    columns = user.upload_draft("shop.csv", rows)
    guessed = [select.find("option", selected=True)["value"] for select in columns.html.select("td select")]
    assert guessed == ["text", "text", "text", "text"]
    fields = {"name__1": "Title", "type__2": "price", "required__2": True, "keep__3": False, "key__0": True}
    page = user.run_jobs(user.save_columns(columns, **fields).follow())
    assert [cell.text for cell in page.html.select("thead summary span")] == ["nr", "Title", "preis"]
    assert keys_of(page) == ["A1", "A3"]
    assert states(page) == [["Completed", "2", "0", "0", "0", "2"]]
    invalid = page.click("2 invalid rows")
    assert [[cell.text for cell in row.find_all(["th", "td"])][:2] for row in invalid.html.tbody.find_all("tr")] == [
        ["3", "“preis” is not a valid price: on request"],
        ["5", "The key “nr” is empty"],
    ]
    lines = invalid.click("Download CSV").text.splitlines()
    assert lines[0] == "line,reason,nr,artikel,preis,intern"
    assert lines[1].startswith("3,")
    assert user.actions == ["feed.upload", "feed.columns"]


def test_choice_of_columns_is_previewed(user: FeedUser) -> None:
    """As htmx does it while columns are chosen; nothing is saved."""
    rows = b"nr,artikel,preis,datum\nA1,Mug,1.299,03/04/2026\nA2,Lamp,on request,\n"
    page = user.upload_draft("shop.csv", rows)
    assert [cell.text.split() for cell in page.html.select("#import-preview th")] == [
        ["nr", "Text"], ["artikel", "Text"], ["preis", "Text"], ["datum", "Date"],
    ]  # fmt: skip

    def preview(**changes: str | bool) -> list[list[str]]:
        form = next(form for form in page.forms.values() if "source.0" in form.fields)
        for name, value in changes.items():
            form[name.replace("__", ".")] = value
        html = user.app.post(f"{page.request.path}-preview", form.submit_fields(), headers={"HX-Request": "true"}).html
        return [[" ".join(cell.text.split()) for cell in row.find_all("td")] for row in html.select("tbody tr")] or [
            [html.p.text.strip()]
        ]

    form = next(form for form in page.forms.values() if "source.0" in form.fields)
    form["type.2"], form["name.1"], form["keep.0"] = "price", "Title", False
    typed = form.submit_fields()
    page = user.app.post(page.request.path, [*(field for field in typed if field[0] != "do"), ("do", "types")])
    unclear = preview()
    assert unclear[0][0] == "Mug"
    assert "1.299 can be 1.299 or 1299" in unclear[0][1]
    mug, lamp, skipped = preview(decimal__2="comma", required__2=True)
    assert mug[:2] == ["Mug", "1.299 = 1,299"]
    assert mug[2].startswith("03/04/2026 can be 4 March or 3 April")
    assert (lamp[0], lamp[2]) == ("Lamp", "–")
    assert skipped == ["The row above is skipped: “preis” is not a valid price: on request"]
    assert preview(name__1="preis") == [["No preview: Another column already has this name."]]
    assert user.actions == ["feed.upload"]


@pytest.mark.parametrize("name", FILES_OF_ANY_ENCODING)
def test_encoding_is_chosen_and_previewed(user: FeedUser, name: str) -> None:
    """The file cannot be read with the second one, which is shown; the unit tests read it with each encoding."""
    page = user.upload_draft(name, FILES_OF_ANY_ENCODING[name].encode())
    form = next(form for form in page.forms.values() if "source.0" in form.fields)
    assert {value for value, *_ in form["reading.encoding"].options} >= ENCODING_LABELS.keys()
    typed = [field for field in form.submit_fields() if field[0] not in ("do", "reading.encoding")]
    for encoding in ("cp1252", "utf-16"):
        fields = [*typed, ("reading.encoding", encoding)]
        for path, do in ((page.request.path, "types"), (f"{page.request.path}-preview", "")):
            user.app.post(path, [*fields, ("do", do)], status=200)


def test_same_file_is_imported_with_other_columns(user: FeedUser) -> None:
    page = user.upload("shop.csv", b"sku,title\n1,Mug\n2,Lamp\n")
    columns = page.click("Columns")
    assert "The rows from shop.csv are imported again" in columns.text
    page = user.run_jobs(user.save_columns(columns, name__1="Name", key__0=False, key__1=True).follow())
    assert keys_of(page) == ["Mug", "Lamp"]
    assert states(page)[0] == ["Completed", "2", "0", "2", "0", "0"], "another key needs no review"
    columns = page.click("Columns")
    assert columns.html.find("input", {"name": "name.1"})["value"] == "Name"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name__1": ""}, "Enter a value"),
        ({"name__1": "sku"}, "Another column already has this name"),
        ({"name__1": "x" * 201}, "at most 200 characters"),
        ({"keep__0": False, "keep__1": False}, "Keep at least one column"),
    ],
)
def test_invalid_columns_are_rejected_and_keep_the_typed_values(
    user: FeedUser, fields: dict[str, Any], message: str
) -> None:
    columns = user.upload_draft("shop.csv", b"sku,title\n1,Mug\n")
    form = next(form for form in columns.forms.values() if "keep.0" in form.fields)
    form["key.1"] = True
    for name, value in fields.items():
        form[name.replace("__", ".")] = value
    response = form.submit(status=422)
    assert message in response.text
    assert response.html.find("input", {"name": "key.1"}).has_attr("checked"), "typed values are kept"
    assert user.make.count(FeedImport, user.space.id) == 1


def test_newer_file_is_applied_as_a_difference(user: FeedUser, monkeypatch: pytest.MonkeyPatch) -> None:
    page = user.upload("shop.csv", b"sku,title\n1,Mug\n2,Lamp\n3,Bowl\n")
    page = user.import_newer(page, b"sku,title\n1,Mug\n2,Lamp XL\n3,Bowl\n4,Vase\n")
    assert states(page)[0] == ["Completed", "1", "1", "0", "2", "0"]
    assert "Lamp XL" in page.html.table.text
    imports = user.app.get(f"{page.request.path}/imports")
    changes = imports.click("^2$", href="changes")
    assert [cell.text for cell in changes.html.select("tbody tr > *")] == ["2", "Before: LampAfter: Lamp XL"]
    assert [cell.text for cell in changes.click("New .1.").html.select("tbody th")] == ["4"]
    assert "No rows." in changes.click("Removed .0.").text
    assert "All rows of this import are new" in imports.click("^1$", href="changes").text
    user.app.get(f"{page.request.path}/changes?number=9", status=404)
    monkeypatch.setattr(feed_import_list, "PAGE_SIZE", 1)
    monkeypatch.setattr(feed_import_list, "LISTED_IMPORTS", 2)
    full = [changes.request.path_qs, imports.request.path_qs]
    assert not [path for path in full if "Next page" in user.app.get(path).text], "no empty page follows a full one"
    form = user.form(page.request.path, "/import")
    form["file"] = Upload("newer.csv", b"number,title\n1,Other\n")
    assert "no column “sku”" in form.submit(status=422).html.find(id="file-error").text
    assert user.actions == ["feed.upload", "feed.columns", "feed.import"]


INCOMPLETE = b"".join(b'{"sku": "%d", "title": "Thing"}\n' % number for number in range(3000)) + b'{"sku": '


def test_incomplete_file_changes_nothing(user: FeedUser) -> None:
    """The error occurs after thousands of rows have been copied to the database."""
    page = user.upload("shop.jsonl", INCOMPLETE)
    assert "The file is incomplete: it ends in the middle of line 3001" in page.html.find(role="alert").text
    assert user.make.count(Item, user.space.id) == 0
    page = user.upload("shop.csv", b"sku,title\n1,Mug\n")
    failed = user.import_newer(page, INCOMPLETE)
    assert "in the middle of line 3001" in failed.html.find(role="alert").text
    assert "Mug" in failed.html.table.text
    assert user.import_newer(page, b"sku,title\n1,Bowl\n").html.table.text.count("Bowl") == 1


def test_import_that_removes_too_many_rows_needs_review(user: FeedUser) -> None:
    page = user.upload("shop.csv", b"sku,title\n" + b"".join(b"%d,Thing %d\n" % (n, n) for n in range(10)))
    path = page.request.path
    page = user.import_newer(page, b"sku,title\n1,Thing 1\n")
    assert "would remove 9 of 10 rows" in page.text
    assert "An import from newer.csv needs your review" in page.text
    page = user.form(path, "/discard").submit().follow()
    assert "needs your review" not in page.text
    assert "10 rows" in page.text
    user.import_newer(page, b"sku,title\n1,Thing 1\n")
    stale = user.form(path, "/apply")
    page = user.run_jobs(stale.submit().follow())
    assert "1 row from newer.csv" in page.text
    assert "already been applied" in stale.submit(status=422).text
    assert user.actions[2:] == ["feed.import", "feed.discard", "feed.import", "feed.apply"]


def test_review_names_reasons_and_templates(user: FeedUser) -> None:
    page = user.upload("shop.csv", b"sku,title,price\n" + b"".join(b"%d,Thing %d,5\n" % (n, n) for n in range(10)))
    with user.make.database.transaction(user.space.id) as db:
        feed = db.query(Feed).one()
    user.make.run(feed, user.make.template(user.space), {"title": "title"})
    page = user.import_newer(page, b"sku,titel,price\n" + b"".join(b"%d,Thing %d,5\n" % (n, n) for n in range(10)))
    review = page.html.find("section", {"aria-label": "Import that needs review"})
    [reason] = [" ".join(item.text.split()) for item in review.find_all("li")]
    assert reason.startswith("The column “title” is gone; the file has the new column “titel”")
    assert reason.endswith("The column is used by Card.")
    assert "Thing 1" in page.html.table.text
    columns = review.find("a", string="change the columns")
    form = next(f for f in user.app.get(columns["href"]).forms.values() if "keep.0" in f.fields)
    names = {form[f"name.{number}"].value: number for number in range(4)}
    form[f"keep.{names['title']}"], form[f"name.{names['titel']}"] = False, "title"
    page = user.run_jobs(form.submit(status=303).follow())
    assert [state for state, *_ in states(page)] == ["Completed", "Discarded", "Completed"]
    assert "Thing 1" in page.html.table.text


def test_renaming_a_used_column_needs_review(user: FeedUser) -> None:
    page = user.upload("shop.csv", b"sku,title\n1,Mug\n2,Lamp\n")
    with user.make.database.transaction(user.space.id) as db:
        feed = db.query(Feed).one()
    user.make.run(feed, user.make.template(user.space), {"title": "title"})
    page = user.run_jobs(user.save_columns(page.click("Columns"), name__1="Name").follow())
    assert "The column “title” is gone" in page.text
    assert "Card" in page.html.find("section", {"aria-label": "Import that needs review"}).text


def test_pasted_rows_do_not_look_cut_off(user: FeedUser) -> None:
    form = user.form_with(f"{user.feeds}/new", "pasted")
    form["pasted"], form["name"] = "id\ttitle\tprice\n1\tMug\t5\n2\tLamp\t", "Copied"
    page = user.run_jobs(user.save_columns(form.submit().follow()).follow())
    assert "Lamp" in page.html.table.text
    assert "cut off" not in page.text


def test_settings(user: FeedUser) -> None:
    page = user.upload("shop.csv", b"sku,title\n1,Mug\n2,Lamp\n")
    form = user.form(page.request.path, "/settings")
    form["name"], form["max_removed_percent"] = "Autumn", "100"
    assert "Autumn" in form.submit().follow().html.find("h1").text
    form["max_removed_percent"] = "200"
    assert form.submit(status=422).html.find(id="max_removed_percent-error").text == "Enter at most 100"


def test_delete_and_restore_feed(user: FeedUser) -> None:
    page = user.upload("shop.csv", b"sku,title\n1,Mug\n")
    path = page.request.path
    page = user.form(path, "/delete").submit().follow()
    assert "was deleted" in page.text
    assert path not in user.app.get(user.feeds).text
    page = user.form(path, "/restore").submit().follow()
    assert "was deleted" not in page.text
    assert path in user.app.get(user.feeds).text


def test_test_and_connect_url(connected: FeedUser, http_server: RecordingServer) -> None:
    http_server.paths["/feed.csv?token=hush"] = (200, {"ETag": '"1"'}, b"sku,title\n1,Mug\n2,Lamp\n")
    form = connected.form_with(f"{connected.feeds}/connect", "url")
    form["url"], form["header"], form["secret"] = http_server.url("/feed.csv?token=hush"), "X-Key", "planted-canary"
    tested = form.submit("do", value="test")
    assert "2 columns found, key: sku" in tested.text
    assert "planted-canary" not in tested.text
    assert connected.make.count(Feed, connected.space.id) == 0
    columns = form.submit("do", value="connect").follow()
    assert "Lamp" in columns.text
    page = connected.run_jobs(connected.save_columns(columns).follow())
    assert "Lamp" in page.text
    assert http_server.headers[-1]["X-Key"] == "planted-canary"
    for secret in ("planted-canary", "hush"):
        assert secret not in page.text
    http_server.paths["/feed.csv?token=hush"] = (200, {}, b"sku,title\n1,Mug\n2,Lamp\n3,Bowl\n")
    page = connected.form(page.request.path, "/fetch").submit().follow()
    assert "Fetching feed.csv" in page.html.find(id="progress").text
    assert "Bowl" in connected.run_jobs(page).text
    assert connected.actions == ["feed.connect", "feed.columns", "feed.fetch"]


def connect(user: FeedUser, url: str, **fields: str) -> Any:
    """Connect a URL and import its file. Returns the page of the feed."""
    form = user.form_with(f"{user.feeds}/connect", "url")
    for name, value in {"url": url, **fields}.items():
        form[name] = value
    return user.run_jobs(user.save_columns(form.submit("do", value="connect").follow()).follow())


def test_change_source(connected: FeedUser, http_server: RecordingServer) -> None:
    http_server.paths["/feed.csv?token=hush"] = (200, {}, b"sku,title\n1,Mug\n2,Lamp\n")
    http_server.paths["/new.csv?token=hush"] = (200, {}, b"sku,title\n1,Mug\n2,Lamp\n3,Bowl\n")
    page = connect(connected, http_server.url("/feed.csv?token=hush"), header="X-Key", secret="planted-canary")
    source = connected.source(page)
    form = next(f for f in source.forms.values() if "user_agent" in f.fields)
    assert form["url"].value == http_server.url("/feed.csv?token=***")
    assert form["header"].value == "X-Key"
    form["url"], form["user_agent"] = http_server.url("/new.csv?token=***"), "Shop/2"
    tested = form.submit("do", value="test")
    assert "Bowl" in tested.text
    page = connected.run_jobs(form.submit("do", value="save").follow())
    assert "Bowl" in page.html.table.text
    for seen in (source, tested, page):
        assert "planted-canary" not in seen.text
        assert "hush" not in seen.text
    assert (http_server.headers[-1]["X-Key"], http_server.headers[-1]["User-Agent"]) == ("planted-canary", "Shop/2")
    assert connected.actions == ["feed.connect", "feed.columns", "feed.source"]


INVALID_SOURCES: list[tuple[str, dict[str, str], str, str]] = [
    ("http://localhost:{port}/feed.csv", {}, "secret", "another host"),
    ("http://localhost:{port}/feed.csv?token=***", {}, "url", "Enter the value"),
    ("http://127.0.0.1:{port}/gone.csv", {}, "url", "404"),
    ("http://127.0.0.1:{port}/other.csv", {}, "url", "no column “sku”"),
    ("http://127.0.0.1:{port}/feed.csv", {"username": "me"}, "header", "not both"),
    ("http://127.0.0.1:{port}/feed.csv", {"user_agent": "ü"}, "user_agent", ""),
    ("http://127.0.0.1:8443/feed.csv", {"secret": "new"}, "url", "only the ports 80 and 443"),
]


def test_invalid_change_of_a_source_changes_nothing(connected: FeedUser, http_server: RecordingServer) -> None:
    http_server.paths["/feed.csv"] = (200, {}, b"sku,title\n1,Mug\n")
    http_server.paths["/other.csv"] = (200, {}, b"number,title\n1,Mug\n")
    page = connect(connected, http_server.url("/feed.csv"), header="X-Key", secret="planted-canary")
    for path, fields, field, message in INVALID_SOURCES:
        requests = len(http_server.seen)
        form = next(f for f in connected.source(page).forms.values() if "user_agent" in f.fields)
        assert form["url"].value == http_server.url("/feed.csv")
        for name, value in {"url": path.format(port=http_server.port), **fields}.items():
            form[name] = value
        response = form.submit("do", value="save", status=422)
        assert message in response.html.find(id=f"{field}-error").text, (path, fields)
        assert "localhost" not in path or len(http_server.seen) == requests, "nothing is sent to another host"
    again = next(f for f in connected.app.get(f"{page.request.path}/url").forms.values() if "user_agent" in f.fields)
    assert again["url"].value == http_server.url("/feed.csv")


def test_host_of_a_redirect_is_allowed_by_users(connected: FeedUser, http_server: RecordingServer) -> None:
    cdn = f"http://localhost:{http_server.port}/cdn.csv"
    http_server.paths["/cdn.csv"] = (200, {}, b"sku,title\n1,Mug\n")
    http_server.paths["/feed.csv"] = http_server.paths["/new.csv"] = (302, {"Location": cdn}, b"")
    form = connected.form_with(f"{connected.feeds}/connect", "url")
    form["url"] = http_server.url("/feed.csv")
    refused = form.submit("do", value="connect", status=422)
    assert "redirects to localhost. Allow this host below" in refused.html.find(id="url-error").text
    form = next(f for f in refused.forms.values() if "url" in f.fields)
    form["also_allow"] = True
    form = next(f for f in form.submit("do", value="test").forms.values() if "url" in f.fields)
    assert form["allowed_hosts"].value == "localhost"
    page = connected.run_jobs(connected.save_columns(form.submit("do", value="connect").follow()).follow())
    assert "Mug" in page.text
    form = next(f for f in connected.source(page).forms.values() if "user_agent" in f.fields)
    for hosts, field, message in (
        ("", "url", "redirects to localhost"),
        ("https://localhost/", "allowed_hosts", "Enter host names"),
        (" ".join(f"cdn{n}.example.net" for n in range(11)), "allowed_hosts", "at most 10 hosts"),
    ):
        form["url"], form["allowed_hosts"] = http_server.url("/new.csv"), hosts
        rejected = form.submit("do", value="save", status=422)
        assert message in rejected.html.find(id=f"{field}-error").text
    source = connected.app.get(f"{page.request.path}/url")
    form = next(f for f in source.forms.values() if "user_agent" in f.fields)
    assert form["allowed_hosts"].value == "localhost", "invalid changes change nothing"
    http_server.paths["/feed.csv"] = (302, {"Location": "http://192.0.2.7/feed.csv"}, b"")
    page = connected.run_jobs(connected.form(page.request.path, "/fetch").submit().follow())
    assert "redirects to 192.0.2.7. Allow this host under Change source" in page.text


def test_tests_of_urls_are_limited(connected: FeedUser, http_server: RecordingServer) -> None:
    form = connected.form_with(f"{connected.feeds}/connect", "url")
    form["url"] = http_server.url("/missing.csv")
    limit = min(int(limit.partition(" ")[0]) for limit in LIMITS["feed-source"].values())
    for _ in range(limit):
        form.submit("do", value="test", status=422)
    assert form.submit("do", value="test", status=429).headers["Retry-After"]
    assert len(http_server.seen) == limit


def test_file_longer_than_the_preview_is_fetched_completely(
    connected: FeedUser, http_server: RecordingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "PREVIEW_BYTES", 1000)
    http_server.paths["/feed.csv"] = (
        200,
        {},
        b"sku,title\n" + b"".join(b"%d,Thing %d\n" % (n, n) for n in range(40_000)),
    )
    form = connected.form_with(f"{connected.feeds}/connect", "url")
    form["url"] = http_server.url("/feed.csv")
    page = connected.run_jobs(connected.save_columns(form.submit("do", value="connect").follow()).follow())
    assert "40,000 rows" in page.text


def test_schedule(connected: FeedUser, http_server: RecordingServer) -> None:
    http_server.paths["/feed.csv"] = (200, {}, b"sku,title\n1,Mug\n")
    form = connected.form_with(f"{connected.feeds}/connect", "url")
    form["url"], form["frequency"], form["at"], form["time_zone"] = (
        http_server.url("/feed.csv"),
        "day",
        "06:30",
        "Asia/Tokyo",
    )
    page = connected.run_jobs(connected.save_columns(form.submit("do", value="connect").follow()).follow())
    page = connected.app.get(f"{page.request.path}/source")
    assert "Every day at 06:30, Asia/Tokyo" in page.text
    schedule = next(f for f in page.click("Schedule").forms.values() if "cron" in f.fields)
    schedule["frequency"], schedule["cron"] = "cron", "30 6 * * 1-5"
    page = schedule.submit().follow()
    assert "Cron expression 30 6 * * 1-5, Asia/Tokyo" in page.text
    for field, value, message in (
        ("cron", "* * * * *", "too often"),
        ("time_zone", "Atlantis/Capital", "Choose a time zone"),
        ("at", "25:00", "at"),
    ):
        schedule[field] = value
        response = schedule.submit(status=422)
        assert response.html.find(id=f"{field}-error") is not None, message
        schedule[field] = {"cron": "0 6 * * *", "time_zone": "UTC", "at": "06:00"}[field]
    schedule["frequency"] = ""
    assert "Schedule: Manually" in schedule.submit().follow().text


@pytest.mark.usefixtures("bracketed_german")
def test_pages_are_translated_and_stored_texts_are_english(connected: FeedUser, http_server: RecordingServer) -> None:
    connected.app.extra_environ["HTTP_ACCEPT_LANGUAGE"] = "de"
    http_server.paths["/feed.csv"] = (200, {}, b"Report\nsku,title\n1,Mug\n2,Lamp\n")
    form = connected.form_with(f"{connected.feeds}/connect", "url")
    form["url"], form["frequency"] = http_server.url("/missing.csv"), "day"
    response = form.submit("do", value="test", status=422)
    assert response.html.find(id="url-error").text == "[The server answered with status 404]"
    form["url"] = http_server.url("/feed.csv")
    columns = form.submit("do", value="connect").follow()
    skipped = "1 line above the header was skipped"
    assert columns.html.find(class_="notes").text.strip() == f"[{skipped}]"
    page = connected.run_jobs(connected.save_columns(columns).follow())
    assert "[2 rows from feed.csv, changed" in page.text
    assert page.html.find(class_="notes").text.strip() == skipped
    schedule = next(f for f in connected.app.get(f"{page.request.path}/schedule").forms.values() if "cron" in f.fields)
    assert "[Schedule: [Every day at 06:00], UTC.]" in schedule.submit().follow().text
    with connected.make.database.transaction(connected.space.id) as db:
        [entry] = db.query(AuditEntry).filter_by(action="feed.schedule")
        assert entry.details["schedule"] == "Every day at 06:00"


def test_failed_fetch_is_shown_on_the_feed_page(connected: FeedUser, http_server: RecordingServer) -> None:
    http_server.paths["/feed.csv"] = (200, {}, b"sku,title\n1,Mug\n")
    form = connected.form_with(f"{connected.feeds}/connect", "url")
    form["url"] = http_server.url("/feed.csv")
    page = connected.run_jobs(connected.save_columns(form.submit("do", value="connect").follow()).follow())
    del http_server.paths["/feed.csv"]
    page = connected.run_jobs(connected.form(page.request.path, "/fetch").submit().follow())
    assert "status 404" in page.html.find(role="alert").text
    assert "Mug" in page.text, "the rows are kept"


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
        ({"frequency": "cron", "cron": "every day"}, "cron"),
    ],
)
def test_invalid_source_is_rejected_without_connecting(
    user: FeedUser, monkeypatch: pytest.MonkeyPatch, given: dict[str, str], field: str
) -> None:
    monkeypatch.setattr(client.httpcore.SyncBackend, "connect_tcp", lambda *_, **__: pytest.fail("connected"))
    form = user.form_with(f"{user.feeds}/connect", "url")
    form["url"] = "http://10.1.2.3/feed.csv"
    for name, value in given.items():
        form[name] = value
    page = form.submit("do", value="connect", status=422)
    assert page.html.find(id=f"{field}-error") is not None
    assert user.make.count(Feed, user.space.id) == 0


def test_support_can_retry_a_fetch_but_not_edit(
    connected: FeedUser, make: Factory, http_server: RecordingServer
) -> None:
    support = FeedUser(TestApp(connected.app.app), make, Role.SUPPORT, connected.fetcher)
    feed = make.feed(support.space)
    make.source(feed, http_server.url("/feed.csv"))
    http_server.paths["/feed.csv"] = (200, {}, b"sku,title\n1,One\n2,Two\n3,Three\n4,Four\n")
    page = support.run_jobs(support.form(f"{support.feeds}/{feed.id}", "/retry-fetch").submit().follow())
    assert "Four" in page.text
    assert not [form for form in page.forms.values() if form.action.endswith(("/import", "/delete", "/schedule"))]
    assert not page.html.find("a", string="Columns")


def test_search_sort_and_paging_of_rows(user: FeedUser) -> None:
    rows = b"sku,title\n" + b"".join(
        b"%s-%03d,Thing %d\n" % (prefix, n, 60 - n) for prefix in (b"mug", b"lamp") for n in range(60)
    )
    path = user.upload("shop.csv", rows + b"100%,Percent\n").request.path

    def keys(query: str) -> list[str]:
        page = user.app.get(f"{path}{query}")
        return keys_of(page)

    def first(query: str) -> list[str]:
        return [key for key in keys(query) if "-" in key or "%" in key]

    page = user.app.get(f"{path}?search=lamp-&column=+key")
    assert keys_of(page)[::49] == ["lamp-000", "lamp-049"]
    more = page.html.find("a", string="Continue search")["hx-get"]
    assert keys_of(user.app.get(more)) == [f"lamp-{n:03}" for n in range(50, 60)]
    assert first("?search=100%25&column=+key") == ["100%"]
    assert "No rows match" in user.app.get(f"{path}?search=%25x").text, "wildcards are escaped"
    assert "No rows match" in user.app.get(f"{path}?search=%3Cb%3E&column=+key").text
    assert first("?search=THING+7&column=title") == ["mug-053", "lamp-053"]
    assert first("?sort=sku")[0] == "100%"
    assert first("?sort=-title")[0] == "mug-051"
    assert first("?search=thing+7&sort=-sku") == ["mug-053", "lamp-053"]
    assert first("?sort=nothing")[0] == "mug-000", "an unknown column is ignored"
    assert first("?state=changed") == []
    assert len(first("?state=new")) == 50


def test_columns_of_the_grid_are_hidden_and_searched_by_links_alone(user: FeedUser) -> None:
    rows = b"sku,title,photo\n1,Mug,https://shop.example/1.jpg\n2,Lamp,https://shop.example/2.jpg\n3,Cup,\n"
    page = user.upload("shop.csv", rows)

    def columns(page: Any) -> list[str]:
        return [name.text for name in page.html.select("thead summary span")]

    photo = page.html.select("tbody tr")[1].img["src"]
    assert photo.endswith("/photo?row=2&column=photo&revision=1")
    assert user.app.get(photo).content_type == "image/webp", "a placeholder, since the photo is not available"
    user.app.get(photo.replace("column=photo", "column=none"), status=404)
    page = page.click("Hide column", index=0).click("Sort descending", index=0)
    assert columns(page) == ["sku", "photo"]
    assert keys_of(page) == ["3", "2", "1"]
    assert "Hidden: title." in " ".join(page.text.split())
    forms = (f for f in page.forms.values() if "search" in f.fields)
    form = next(f for f in forms if f["search"].attrs.get("aria-label") == "Filter photo")
    form["search"] = "/2.JPG"
    page = form.submit()
    assert (keys_of(page), columns(page)) == (["2"], ["sku", "photo"])
    assert page.html.find("th", {"aria-sort": "descending"})
    assert columns(page.click("Clear filters")) == ["sku", "photo"]
    assert columns(page.click("Show all columns")) == ["sku", "title", "photo"]
    part = user.app.get(page.request.path_qs, headers={"HX-Request": "true"})
    assert part.html.find("h1") is None


def test_removed_rows_and_rows_with_findings_are_listed(user: FeedUser, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_rows, "PAGE_SIZE", 2)
    feed = user.make.feed(user.space, b"sku,title\n" + b"".join(b"%d,Thing %d\n" % (n, n) for n in range(9)))
    run = user.make.run(feed, user.make.template(user.space))
    finding = {"code": "text_shrunk", "layer": "Title", "message": "is smaller than it should be"}
    with user.make.database.transaction(user.space.id) as db:
        changed = {"state": "done", "findings": [finding]}
        db.execute(update(RunItem).where(RunItem.run_id == run.id, RunItem.key.in_(["1", "5", "8"])).values(changed))
        db.execute(update(RunItem).where(RunItem.key == "8").values(state="failed", findings=None, error="Too large"))
    path = f"{user.feeds}/{feed.id}"
    page = user.app.get(f"{path}?state=findings")
    assert keys_of(page) == ["1", "5"]
    assert keys_of(user.app.get(page.html.find("a", string="Show more rows")["hx-get"])) == ["8"]
    assert page.html.find("span", class_="warning").text == "1 finding"
    assert "is smaller than it should be" in user.app.get(f"{path}/row?key=5").text
    page = user.import_newer(user.app.get(path), b"sku,title\n" + b"".join(b"%d,Thing %d\n" % (n, n) for n in range(5)))
    page = user.app.get(f"{path}?state=removed&search=ignored")
    assert keys_of(page) == ["5", "6"]
    assert keys_of(page.click("Show more rows")) == ["7", "8"]


def test_row_page_shows_history_and_images(user: FeedUser) -> None:
    page = user.upload("shop.csv", b"sku,title,link\na/b c,Mug,https://shop.example/1\n2,Lamp,javascript:alert(1)\n")
    user.import_newer(page, b"sku,title,link\na/b c,Cup,https://shop.example/1\n2,Lamp,javascript:alert(1)\n")
    page = user.import_newer(page, b"sku,title,link\n2,Lamp,javascript:alert(1)\n3,x,\n")
    removed = user.app.get(f"{page.request.path}/row?key=a/b+c")
    assert "Row removed" in removed.text
    cells = [
        [cell.text for cell in row.find_all("td")] for row in removed.html.find_all("table")[-1].tbody.find_all("tr")
    ]
    assert cells == [["Row removed"], ["title", "Mug", "Cup"]]
    kept = page.click("^2$", href="row")
    assert kept.html.find("h1").text == "2"
    assert not [link for link in kept.html.find_all("a") if link.get("href", "").startswith("javascript")]
    assert "No changes since the row was added" in kept.text
    user.app.get(f"{page.request.path}/row?key=missing", status=404)
    user.app.get(f"{page.request.path}/invalid-rows?number=77", status=404)


def test_auto_run_is_turned_on_and_off(user: FeedUser) -> None:
    page = user.upload("shop.csv", b"sku,title\n1,Mug\n2,Lamp\n")
    template = user.make.template(user.space)
    with user.make.database.transaction(user.space.id) as db:
        feed = db.query(Feed).one()
    run = user.make.run(feed, template)
    followed = user.form(f"/w/{user.space.slug}/runs/{run.id}?tab=automation", "/auto-run").submit().follow()
    assert "new and changed rows are rendered" in followed.text
    page = user.import_newer(page, b"sku,title\n1,Mug\n2,Lamp!\n3,Bowl\n")
    with user.make.database.transaction(user.space.id) as db:
        newest = db.query(Run).order_by(Run.id.desc()).first()
        assert newest is not None
        assert newest.total == 2
    stop = user.form(page.request.path, "/stop-auto-run")
    assert "Automatic runs" not in stop.submit().follow().text
    assert "not rendered automatically" in stop.submit(status=422).text
    assert user.actions[2:] == ["auto_run.enable", "feed.import", "auto_run.disable"]


def test_secret_in_the_query_of_a_source_is_not_logged(connected: FeedUser, http_server: RecordingServer) -> None:
    """Also without a slash before the query, the activity log and the feed's name have the host only."""
    http_server.paths["/?token=hush"] = (200, {}, b"sku,title\n1,Mug\n")
    form = connected.form_with(f"{connected.feeds}/connect", "url")
    form["url"] = http_server.url("?token=hush")
    page = form.submit("do", value="connect").follow()
    assert "hush" not in page.text
    with connected.make.database.transaction(connected.space.id) as db:
        details = [entry.details for entry in db.query(AuditEntry).filter_by(action="feed.connect")]
    assert [detail["host"] for detail in details] == ["127.0.0.1"]

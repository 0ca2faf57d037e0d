"""How a feed's file is read: shown and changed on the page of columns, and over the API."""

import gzip
from pathlib import Path
from typing import Any

import pytest

from cwz_web.feeds import sources as sources_module
from tests.conftest import RecordingServer
from tests.functional.test_api_feeds import Client, client, feed
from tests.functional.test_feeds import FeedUser, connected, user
from tests.jobs import run_feed_jobs

__all__ = ["client", "connected", "feed", "user"]

CASES = Path(__file__).parents[1] / "data" / "feeds"
ROWS = "sku;name\n1;Größe\n2;Maß\n"


def reading_form(page: Any) -> Any:
    return page.forms["columns-form"]


def sources(page: Any) -> list[str]:
    """Return the columns that the page shows."""
    return [header.text for header in page.html.select("tbody th")]


def test_detected_reading_is_shown(user: FeedUser) -> None:
    page = user.upload_draft("shop.csv", ROWS.encode("cp1252"))
    assert page.html.select_one(".reading summary span").text == "CSV, Windows-1252, semicolon, header in row 1"
    automatic = {select["name"]: select.option.text for select in page.html.select(".reading select")}
    assert automatic == {
        "reading.delimiter": "Automatic (Semicolon)",
        "reading.quote": "Automatic (Double quotation mark)",
        "reading.encoding": "Automatic (Windows-1252)",
    }


def test_change_is_previewed_saved_and_kept(user: FeedUser) -> None:
    page = user.upload_draft("shop.csv", ROWS.encode("cp1252"))
    form = reading_form(page)
    form["reading.encoding"], form["reading.header_row"] = "cp1250", "0"
    preview = form.submit("do", value="preview")
    assert sources(preview) == ["Column 1", "Column 2"]
    assert "CSV, Windows-1250, semicolon, no header row" in preview.text
    feed_page = user.run_jobs(reading_form(preview).submit(status=303).follow())
    columns = feed_page.click("Columns")
    assert columns.html.find("select", {"name": "reading.encoding"}).find("option", selected=True)["value"] == "cp1250"
    newer = user.import_newer(feed_page, ROWS.encode("cp1252") + b"3;Mug\n")
    assert "4 rows" in newer.text


def test_import_with_a_changed_reading_shows_the_new_columns_first(user: FeedUser) -> None:
    form = reading_form(user.upload_draft("shop.csv", b"sku;name,de\n1;Mug,Tasse\n2;Lamp,Lampe\n"))
    form["reading.delimiter"] = "comma"
    page = form.submit(status=200)
    assert sources(page) == ["sku;name", "de"]
    assert "Check them before you import it" in page.text
    reading_form(page).submit(status=303)


def test_reading_that_does_not_fit_the_file_is_reported(user: FeedUser) -> None:
    form = reading_form(user.upload_draft("shop.csv", ROWS.encode()))
    form["reading.header_row"] = "900"
    page = form.submit("do", value="preview")
    assert "The file cannot be read with these settings" in page.text
    form = reading_form(page)
    form["reading.header_row"] = ""
    assert sources(form.submit("do", value="preview")) == ["sku", "name"]


def test_notes_of_the_file_are_shown(user: FeedUser) -> None:
    page = user.upload_draft("shop.csv", (CASES / "04-title-line-semicolon.csv").read_bytes())
    assert "1 line above the header was skipped" in page.text
    feed_page = user.run_jobs(reading_form(page).submit().follow())
    assert "1 line above the header was skipped" in feed_page.text


def test_sheet_and_row_element_can_be_chosen(user: FeedUser) -> None:
    form = reading_form(user.upload_draft("products.xlsx", (CASES / "products.xlsx").read_bytes()))
    form["reading.sheet"] = "Other"
    assert sources(form.submit("do", value="preview")) == ["id", "name"]
    xml = b"<s><a><x>1</x><y>2</y><b n='1' m='2' o='3'/><b n='2' m='2' o='3'/></a><a><x>2</x><y>3</y></a></s>"
    form = reading_form(user.upload_draft("shop.xml", xml))
    form["reading.row_element"] = "s/a/b"
    assert sources(form.submit("do", value="preview")) == ["@n", "@m", "@o"]


@pytest.mark.parametrize(
    ("case", "keys"),
    [
        ("01-groesse-cp1252.csv", ["0001", "0002"]),
        ("06-two-gzip-members.csv.gz", ["A1", "A2", "A3", "A4"]),
        ("07-yml-doctype.xml", ["12", "13"]),
        ("08-nested-item.xml", ["001", "002"]),
        ("13-bom-in-the-middle.csv", ["A1", "A2", "A3"]),
        ("products.xlsx", ["00007", "00042"]),
        ("products.xls", ["0007", "0042"]),
        ("products.ods", ["00007", "00042"]),
    ],
)
def test_files_of_shops_over_the_api(client: Client, case: str, keys: list[str]) -> None:
    created = client.post("", {"name": "Shop"}, status=201)["id"]
    status = client.send(f"/{created}/imports", (CASES / case).read_bytes()).location.partition("/v1/feeds")[2]
    run_feed_jobs(client.make.services)
    assert client.get(status)["state"] == "applied"
    assert [item["key"] for item in client.get(f"/{created}/items")["items"]] == keys


def test_options_and_notes_of_an_import_over_the_api(client: Client) -> None:
    created = client.post("", {"name": "Shop"}, status=201)["id"]
    data = gzip.compress("Export\n\nsku;name\n1;Größe\n".encode("cp1252"), mtime=0)
    path = f"/{created}/imports?encoding=cp1252&delimiter=semicolon&header_row=3"
    status = client.send(path, data).location.partition("/v1/feeds")[2]
    run_feed_jobs(client.make.services)
    done = client.get(status.partition("?")[0])
    assert done["notes"] == ["1 line above the header was skipped"]
    assert (done["reading"]["encoding"], done["reading"]["delimiter"], done["reading"]["header_row"]) == (
        "cp1252",
        ";",
        3,
    )
    # The options are kept for the next import, until they are reset.
    assert "no rows" in client.send(f"/{created}/imports", b"sku;name\n1;Mug\n", status=422).text
    client.send(f"/{created}/imports?header_row=", b"sku;name\n1;Mug\n")
    problem = client.send(f"/{created}/imports?encoding=klingon", b"sku;name\n1;Mug\n", status=422).json
    assert "encoding" in str(problem)


def test_spreadsheet_longer_than_the_preview_is_fetched_to_its_end(
    connected: FeedUser, http_server: RecordingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources_module, "PREVIEW_BYTES", 1000)
    http_server.paths["/products.xlsx"] = (200, {}, (CASES / "products.xlsx").read_bytes())
    form = connected.form_with(f"{connected.feeds}/connect", "url")
    form["url"] = http_server.url("/products.xlsx")
    page = form.submit("do", value="connect").follow()
    assert "Spreadsheet, Products, header in row 3" in page.text


def test_file_chooser_offers_every_type_that_is_read(user: FeedUser) -> None:
    offered = user.app.get(f"{user.feeds}/new").html.find(id="file")["accept"].split(",")
    extensions = "csv tsv txt json jsonl ndjson xml rss atom gz zip xlsx xls ods"
    assert {f".{extension}" for extension in extensions.split()} <= set(offered)

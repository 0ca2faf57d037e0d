from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from cwz_web.crypto import KeyRing
from cwz_web.feeds import sources
from cwz_web.feeds.limits import InvalidFileError
from cwz_web.feeds.models import FeedSource
from cwz_web.feeds.sources import (
    SecretRequiredError,
    SourceSpec,
    change_source,
    decrypt_secret,
    fetch_source,
    mask_query,
    preview_source,
    set_secret,
    unmask_query,
)
from cwz_web.net.client import Fetcher, FetchError, RedirectRefusedError
from cwz_web.web.services import Services
from tests.conftest import RecordingServer
from tests.unit.net.test_client import DrippingServer


def test_preview_reads_only_the_start_of_a_long_file(
    http_server: RecordingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "PREVIEW_BYTES", 1000)
    http_server.paths["/feed.csv"] = (200, {}, b"sku,title\n" + b"".join(b"%d,Mug\n" % n for n in range(100_000)))
    file, sample = preview_source(Fetcher([http_server.host]), SourceSpec(url=http_server.url("/feed.csv")), "")
    assert sample.columns == ["sku", "title"]
    assert all(row["title"] == "Mug" for row in sample.rows), "no row is cut in two"
    assert file.seek(0, 2) < 500_000


@pytest.mark.parametrize(
    ("body", "is_paged"),
    [(b"sku,title\n1,Mug\n", False), (b"<r><item><id>1</id></item></r>", False), (b'[{"id": 1}]', True)],
)
def test_only_json_has_more_pages(http_server: RecordingServer, body: bytes, is_paged: bool) -> None:
    """A site may send a link to its next page with each of its responses."""
    http_server.paths["/feed"] = (200, {"Link": '</feed?page=2>; rel="next"'}, body)
    _, sample = preview_source(Fetcher([http_server.host]), SourceSpec(url=http_server.url("/feed")), "")
    assert sample.notes == (["This is the first page; an import fetches all pages"] if is_paged else [])


@pytest.mark.parametrize("start", [b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\nsku,title\n"])
def test_server_that_sends_no_complete_row_in_time_is_too_slow(start: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "PREVIEW_TIMEOUT", 0.5)
    server = DrippingServer(start)
    try:
        with pytest.raises(FetchError, match="too slow"):
            preview_source(Fetcher([server.host]), SourceSpec(url=f"http://{server.host}/"), "")
    finally:
        server.close()


def test_long_invalid_file_is_not_reported_as_slow(
    http_server: RecordingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "PREVIEW_BYTES", 1000)
    http_server.paths["/feed.csv"] = (200, {}, b"<!doctype html><html>\n" + b"<p>no</p>\n" * 10_000)
    with pytest.raises(InvalidFileError, match="web page"):
        preview_source(Fetcher([http_server.host]), SourceSpec(url=http_server.url("/feed.csv")), "")


URL = "https://shop.example/feed.csv?token=hush&format=csv"


def saved_source(ring: KeyRing, url: str = URL, **more: Any) -> FeedSource:
    source = FeedSource(workspace_id=UUID(int=1), feed_id=UUID(int=2), url=url, digest="d", etag="e", failures=2)
    source.allowed_hosts = []
    source.username, source.header, source.user_agent = more.get("username", ""), more.get("header", "X-Key"), ""
    set_secret(ring, source, "planted")
    return source


@pytest.mark.parametrize(
    "url",
    [
        "https://other.example/feed.csv",
        "https://shop.example.evil.example/feed.csv",
        "http://shop.example/feed.csv",
        "https://shop.example:8443/feed.csv",
        "https://www.shop.example/feed.csv",
    ],
)
def test_secret_is_not_kept_for_another_origin(services: Services, url: str) -> None:
    source = saved_source(services.ring)
    with pytest.raises(SecretRequiredError, match="enter the password"):
        change_source(services.ring, source, SourceSpec(url=url, header="X-Key"), "")
    assert source.url == URL
    change_source(services.ring, source, SourceSpec(url=url, header="X-Key"), "other")
    assert (source.url, decrypt_secret(services.ring, source)) == (url, "other")


@pytest.mark.parametrize("url", ["https://shop.example/new.csv", "https://SHOP.example:443/feed.csv"])
def test_secret_is_kept_for_the_same_origin(services: Services, url: str) -> None:
    source = saved_source(services.ring)
    change_source(services.ring, source, SourceSpec(url=url, username="shop", user_agent="Feeds/2"), "")
    assert decrypt_secret(services.ring, source) == "planted"
    assert (source.username, source.header, source.user_agent) == ("shop", "", "Feeds/2")
    assert (source.etag, source.digest, source.failures) == (None, "", 0), "the next fetch is not conditional"


def test_secret_is_deleted_with_its_header(services: Services) -> None:
    source = saved_source(services.ring)
    change_source(services.ring, source, SourceSpec(url="https://other.example/feed.csv"), "ignored")
    assert source.encrypted_secret is None


def test_values_of_the_query_are_masked() -> None:
    assert mask_query(URL) == "https://shop.example/feed.csv?token=***&format=csv"
    assert mask_query("https://shop.example/?secret&a=&=x") == "https://shop.example/?***&a=&=***"
    assert mask_query("https://shop.example/feed.csv") == "https://shop.example/feed.csv"


@pytest.mark.parametrize(
    ("typed", "url"),
    [
        ("https://shop.example/new.csv?token=***&format=xml", "https://shop.example/new.csv?token=hush&format=xml"),
        ("https://shop.example/new.csv?a=1&token=***", "https://shop.example/new.csv?a=1&token=hush"),
        ("https://shop.example/feed.csv?token=new", "https://shop.example/feed.csv?token=new"),
        ("https://other.example/feed.csv?token=new", "https://other.example/feed.csv?token=new"),
        ("https://other.example/feed.csv?token=***", None),
        ("http://shop.example/feed.csv?token=***", None),
        ("https://shop.example/feed.csv?other=***", None),
        ("https://shop.example/feed.csv?token=***&token=***", None),
        ("https://[/?token=***", None),
    ],
)
def test_masked_values_are_kept_for_the_same_origin(services: Services, typed: str, url: str | None) -> None:
    source = saved_source(services.ring)
    if url is None:
        with pytest.raises(SecretRequiredError, match="Enter the value of each parameter"):
            unmask_query(typed, source)
    else:
        assert unmask_query(typed, source) == url


queries = st.lists(st.text("ab=*%c", max_size=6), max_size=4).map("&".join)


@given(queries)
def test_masked_url_stands_for_the_saved_one(query: str) -> None:
    source = FeedSource(
        url=f"https://shop.example/feed?{query}", username="", header="", user_agent="", allowed_hosts=[]
    )
    assert unmask_query(mask_query(source.url), source) == source.url


def test_share_link_is_stored_as_the_url_of_its_file() -> None:
    sheet = "1BxiMVs0XRA5nFMdKvBdBZjgmUUqptlbs74OgVE2upms"
    spec = SourceSpec(url=f"https://docs.google.com/spreadsheets/d/{sheet}/edit?usp=sharing#gid=12")
    assert spec.url == f"https://docs.google.com/spreadsheets/d/{sheet}/export?format=csv&gid=12"


def test_user_agent_is_sent(http_server: RecordingServer) -> None:
    http_server.paths["/feed.csv"] = (200, {}, b"sku,title\n1,Mug\n")
    for user_agent, sent in (
        ("", "ConnectWyze/1"),
        ("Shop fetcher/2 (feeds@shop.example)", "Shop fetcher/2 (feeds@shop.example)"),
    ):
        spec = SourceSpec(url=http_server.url("/feed.csv"), user_agent=user_agent)
        fetch_source(Fetcher([http_server.host]), spec, "")
        preview_source(Fetcher([http_server.host]), spec, "")
        assert [headers["User-Agent"] for headers in http_server.headers[-2:]] == [sent, sent]


@pytest.mark.parametrize("given", [{"user_agent": "a\r\nX-Key: b"}, {"user_agent": "ü"}, {"header": "User-Agent"}])
def test_unsafe_headers_are_rejected(given: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        SourceSpec(url="https://shop.example/feed.csv", **given)


def test_other_port_is_named_in_the_error() -> None:
    with pytest.raises(FetchError, match="only the ports 80 and 443 are allowed"):
        preview_source(Fetcher(), SourceSpec(url="https://shop.example:8443/feed.csv"), "")


def redirect(location: str) -> tuple[int, dict[str, str], bytes]:
    return 302, {"Location": location}, b""


def test_feed_leaves_its_site_only_for_allowed_hosts(http_server: RecordingServer) -> None:
    """Redirects and next pages, of the file and of its pages, in imports as in tests."""
    elsewhere = f"http://localhost:{http_server.port}/file"
    next_page = b'{"items": [{"id": 1}], "next": "%s"}'
    http_server.paths |= {
        "/file": (200, {}, b'{"items": [{"id": 2}]}'),
        "/redirect": redirect(elsewhere),
        "/twice": redirect("/redirect"),
        "/paged": (200, {}, next_page % elsewhere.encode()),
        "/paged-redirect": (200, {}, next_page % b"/redirect"),
    }
    fetcher = Fetcher([http_server.host, f"localhost:{http_server.port}"])
    for path, function, message in (
        ("/redirect", fetch_source, "The URL redirects to localhost. Allow this host under Change source"),
        ("/redirect", preview_source, "The URL redirects to localhost"),
        ("/twice", fetch_source, "The URL redirects to localhost"),
        ("/paged", fetch_source, "The next page is on localhost. Allow this host under Change source"),
        ("/paged", preview_source, "The next page is on localhost"),
        ("/paged-redirect", fetch_source, "The URL redirects to localhost"),
    ):
        http_server.seen.clear()
        with pytest.raises(RedirectRefusedError, match=message) as refused:
            function(fetcher, SourceSpec(url=http_server.url(path)), "")
        assert refused.value.host == "localhost"
        assert "/file" not in http_server.seen, "nothing is sent to the other host"
        function(fetcher, SourceSpec(url=http_server.url(path), allowed_hosts=("LocalHost",)), "")
        assert "/file" in http_server.seen or (path, function) == ("/paged", preview_source)

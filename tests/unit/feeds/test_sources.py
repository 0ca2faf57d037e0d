import pytest

from cwz_web.feeds import sources
from cwz_web.feeds.limits import InvalidFileError
from cwz_web.feeds.sources import SourceSpec, preview_source
from cwz_web.net.client import Fetcher, FetchError
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

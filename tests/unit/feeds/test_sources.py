"""A first look at an address: what is there, or why there is nothing, within seconds."""

import pytest

from cwz_web.feeds import sources
from cwz_web.feeds.limits import InvalidFileError
from cwz_web.feeds.sources import Place, look_at
from cwz_web.net.client import Fetcher, FetchError
from tests.conftest import Canary
from tests.unit.net.test_client import Dripping


def test_the_beginning_of_a_long_file_is_enough(http_server: Canary, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "LOOK_BYTES", 1000)
    http_server.paths["/feed.csv"] = (200, {}, b"sku,title\n" + b"".join(b"%d,Mug\n" % n for n in range(100_000)))
    file, sample = look_at(Fetcher([http_server.host]), Place(url=http_server.url("/feed.csv")), "")
    assert sample.columns == ["sku", "title"]
    assert all(row["title"] == "Mug" for row in sample.rows), "no row is cut in two"
    assert file.seek(0, 2) < 500_000


@pytest.mark.parametrize("begin", [b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\nsku,title\n"])
def test_a_server_that_sends_no_whole_row_in_time_is_called_slow(begin: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "LOOK_SECONDS", 0.5)
    server = Dripping(begin)
    try:
        with pytest.raises(FetchError, match="not even one whole row"):
            look_at(Fetcher([server.host]), Place(url=f"http://{server.host}/"), "")
    finally:
        server.close()


def test_a_long_file_that_is_none_is_not_called_slow(http_server: Canary, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "LOOK_BYTES", 1000)
    http_server.paths["/feed.csv"] = (200, {}, b"<!doctype html><html>\n" + b"<p>no</p>\n" * 10_000)
    with pytest.raises(InvalidFileError, match="web page"):
        look_at(Fetcher([http_server.host]), Place(url=http_server.url("/feed.csv")), "")

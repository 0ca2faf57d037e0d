import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cwz_web.feeds import json_pages
from cwz_web.feeds.file_types import read_table
from cwz_web.feeds.json_pages import find_next_page, join_pages, read_page
from cwz_web.feeds.limits import InvalidFileError
from cwz_web.feeds.sources import SourceSpec, fetch_source, preview_source
from cwz_web.feeds.temporary_files import temporary_file
from cwz_web.net.client import Fetcher, FetchError
from tests.conftest import RecordingServer

URL = "https://api.example/v1/products?limit=2"
ROWS = [{"id": 1}]


@pytest.mark.parametrize(
    ("page", "links", "next_url"),
    [
        (ROWS, '<https://api.example/v1/products?page=2>; rel="next"', "https://api.example/v1/products?page=2"),
        (ROWS, '</a?p=0>; rel="prev", </a?p=2>; title="x"; rel="last next"', "https://api.example/a?p=2"),
        (ROWS, "</a?p=2>; rel=next", "https://api.example/a?p=2"),
        (ROWS, '</a?p=2>; rel="prev", </b>; rel=nextish', None),
        (ROWS, '<https://api.w.org/>; rel="https://api.w.org/"', None),
        ({"next": "https://api.example/p2", "results": ROWS}, "", "https://api.example/p2"),
        ({"next": "/p2", "results": ROWS}, "", "https://api.example/p2"),
        ({"next": "?page=2", "results": ROWS}, "", "https://api.example/v1/products?page=2"),
        ({"next": None, "results": ROWS}, "", None),
        ({"next": "", "results": ROWS}, "", None),
        ({"next": "/p2", "title": "One product"}, "", None),
        ({"@odata.nextLink": "https://api.example/p2", "value": ROWS}, "", "https://api.example/p2"),
        ({"next_page_url": "https://api.example/p2", "data": ROWS}, "", "https://api.example/p2"),
        ({"_links": {"next": {"href": "/p2"}}, "items": ROWS}, "", "https://api.example/p2"),
        ({"links": {"next": "/p2"}, "data": ROWS}, "", "https://api.example/p2"),
        (
            {"links": [{"rel": "self", "href": "/"}, {"rel": "next", "href": "/p2"}], "data": ROWS},
            "",
            "https://api.example/p2",
        ),
        ({"meta": {"pagination": {"links": {"next": "/p2"}}}, "data": ROWS}, "", "https://api.example/p2"),
        ({"next_cursor": "a b+", "data": ROWS}, "", f"{URL}&cursor=a%20b%2B"),
        ({"nextPageToken": "t", "items": ROWS}, "", f"{URL}&pageToken=t"),
        ({"next_page_token": "t", "items": ROWS}, "", f"{URL}&page_token=t"),
        ({"response_metadata": {"next_cursor": "c"}, "channels": ROWS}, "", f"{URL}&cursor=c"),
        ({"response_metadata": {"next_cursor": ""}, "channels": ROWS}, "", None),
        ({"offset": "itr1/rec2", "records": ROWS}, "", f"{URL}&offset=itr1%2Frec2"),
        ({"offset": 0, "limit": 2, "records": ROWS}, "", None),
        ({"pageInfo": {"hasNextPage": True, "endCursor": "e"}, "nodes": ROWS}, "", f"{URL}&after=e"),
        ({"pageInfo": {"hasNextPage": False, "endCursor": "e"}, "nodes": ROWS}, "", None),
        ({"next_page": 2, "data": ROWS}, "", f"{URL}&page=2"),
        ({"next": 2, "data": ROWS}, "", f"{URL}&page=2"),
        ({"meta": {"current_page": 1, "last_page": 3}, "data": ROWS}, "", f"{URL}&page=2"),
        ({"meta": {"current_page": 3, "last_page": 3}, "data": ROWS}, "", None),
        ({"page": 12, "pages": 300, "authors": ["x"]}, "", None),
        ({"products": ROWS}, "", None),
        ({"products": [{"id": 1, "next": "/2"}]}, "", None),
    ],
)
def test_next_page(page: Any, links: str, next_url: str | None) -> None:
    assert find_next_page(URL, links, page) == next_url


def test_parameter_of_the_url_is_replaced() -> None:
    url = "https://api.example/v1?PageToken=first&limit=2"
    page = {"nextPageToken": "t", "items": ROWS}
    assert find_next_page(url, "", page) == "https://api.example/v1?limit=2&PageToken=t"


def test_more_pages_without_a_link_are_an_error() -> None:
    with pytest.raises(FetchError, match="more pages, but not where"):
        find_next_page(URL, "", {"has_more": True, "data": ROWS})


def join(first: bytes, *pages: bytes) -> bytes | None:
    rest = iter(pages)
    return join_pages(temporary_file(first), URL, "", lambda url, seconds: (next(rest), ""))


def test_pages_are_joined_with_the_structure_of_the_first() -> None:
    joined = join(
        b'{"data": {"items": [{"id": 1, "price": 0.10}]}, "next": "/2"}',
        b'{"data": {"items": [{"id": 2, "price": 12.500}], "total": 3}, "next": "/3"}',
        b'{"data": {"items": [{"id": 123456789012345678901, "price": 1e2}]}, "next": null}',
    )
    assert joined == (
        b'{"data":{"items":[{"id":1,"price":0.10},{"id":2,"price":12.500},'
        b'{"id":123456789012345678901,"price":1e2}]},"next":"/2"}'
    ), "numbers keep their digits"
    keyed = join(b'{"products": {"a": {"n": 1}}, "tags": [], "next": "/2"}', b'{"products": {"b": {"n": 2}}}')
    assert keyed is not None
    assert json.loads(keyed)["products"] == {"a": {"n": 1}, "b": {"n": 2}}


@pytest.mark.parametrize(
    "first", [b"sku,title\n1,One\n", b"", b'{"id": 1}\n{"id": 2}\n', b'[{"id": 1}]', b'{"a": ', b"\x1f\x8b"]
)
def test_other_files_are_left_alone(first: bytes) -> None:
    assert join(first) is None


def test_cursors_without_end_stop_at_an_empty_page() -> None:
    joined = join(b'{"data": [{"id": 1}], "next_cursor": "a"}', b'{"data": [], "next_cursor": "b"}')
    assert joined is not None
    assert json.loads(joined)["data"] == [{"id": 1}]


@pytest.mark.parametrize(
    ("pages", "limits", "message"),
    [
        ([b'{"data": [1], "next": "/2"}'] * 3, {}, "already fetched"),
        ([b'{"data": [1], "next": "/%d"}' % number for number in range(9)], {"MAX_PAGES": 5}, "more than 5 pages"),
        ([b'{"data": [1], "next": "/%d"}' % number for number in range(9)], {"MAX_TOTAL_BYTES": 60}, "more than 0 MB"),
        ([b'{"data": [1], "next": "/2"}'] * 2, {"MAX_SECONDS": 0}, "took more than 0 seconds"),
        ([b'{"data": [1], "next": "/2"}', b"<html>"], {}, "Page 2 of the file is not valid JSON"),
        ([b'{"data": [1], "next": "http://["}'], {}, "not a URL"),
        (
            [b'{"data": [1], "next": "/2"}' + b" " * 200],
            {"MAX_PAGE_BYTES": 100, "SEARCHED_BYTES": 50},
            "larger than 0 MB",
        ),
    ],
)
def test_bounds(pages: list[bytes], limits: dict[str, float], message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in limits.items():
        monkeypatch.setattr(json_pages, name, value)
    with pytest.raises(FetchError, match=message):
        join(*pages)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["next", "links", "data", "page", "last_page", "cursor", "x"]), inner, max_size=4
        )
    ),
    max_leaves=12,
)


@given(st.lists(values, min_size=1, max_size=3), st.text('<>;,="\\ relnxt/', max_size=30))
def test_any_json_is_joined_or_refused(pages: list[Any], links: str) -> None:
    rest = iter([json.dumps(page).encode() for page in pages[1:]])
    with suppress(FetchError, InvalidFileError):
        first = temporary_file(json.dumps(pages[0]).encode())
        joined = join_pages(first, URL, links, lambda url, seconds: (next(rest, b"[]"), ""))
        assert joined is None or json.loads(joined)


@given(st.lists(st.lists(st.integers(0, 99), min_size=1, max_size=3), min_size=2, max_size=5))
def test_all_rows_of_all_pages_are_joined(pages: list[list[int]]) -> None:
    bodies = [
        json.dumps({"items": [{"id": n} for n in rows], "next": f"/{number}" if number < len(pages) else None}).encode()
        for number, rows in enumerate(pages, 1)
    ]
    joined = join(*bodies)
    assert joined is not None
    assert [row["id"] for row in json.loads(joined)["items"]] == [n for rows in pages for n in rows]


def page_body(number: int, **more: Any) -> bytes:
    return json.dumps({"products": [{"id": number, "title": f"Mug {number}"}], **more}).encode()


def test_paged_source_is_fetched_completely(http_server: RecordingServer) -> None:
    link = f'<{http_server.url("/p?page=3")}>; rel="next"'
    http_server.paths["/p"] = (200, {"ETag": '"1"'}, page_body(1, next="/p?page=2"))
    http_server.paths["/p?page=2"] = (200, {"Link": link}, page_body(2))
    http_server.paths["/p?page=3"] = (200, {}, page_body(3))
    spec = SourceSpec(url=http_server.url("/p"), header="X-Key", user_agent="Shop/2")
    result = fetch_source(Fetcher([http_server.host]), spec, "planted")
    assert result.file is not None
    assert [row["id"] for row in read_table(result.file).rows] == ["1", "2", "3"]
    assert result.etag is None, "the first page's ETag says nothing of the others"
    sent = [(headers["X-Key"], headers["User-Agent"]) for headers in http_server.headers]
    assert sent == [("planted", "Shop/2")] * 3
    _, sample = preview_source(Fetcher([http_server.host]), spec, "planted")
    assert "This is the first page; an import fetches all pages" in sample.notes


def test_secret_is_not_sent_to_another_origin_of_a_page(http_server: RecordingServer) -> None:
    other = RecordingServer()
    try:
        http_server.paths["/p"] = (200, {}, page_body(1, next=other.url("/p2")))
        other.paths["/p2"] = (200, {}, page_body(2))
        spec = SourceSpec(url=http_server.url("/p"), username="shop")
        fetch_source(Fetcher([http_server.host, other.host]), spec, "planted")
        assert "Authorization" in http_server.headers[0]
        assert "Authorization" not in other.headers[0]
        with pytest.raises(FetchError, match="cannot be fetched"):
            fetch_source(Fetcher([http_server.host]), spec, "planted")
        assert len(other.seen) == 1
    finally:
        other.close()


def test_failing_page_fails_the_fetch(http_server: RecordingServer) -> None:
    http_server.paths["/p"] = (200, {}, page_body(1, next="/p2"))
    http_server.paths["/p2"] = (503, {}, b"")
    with pytest.raises(FetchError, match="status 503"):
        fetch_source(Fetcher([http_server.host]), SourceSpec(url=http_server.url("/p")), "")


def test_large_file_is_not_parsed() -> None:
    assert read_page(temporary_file(b"[" + b" " * json_pages.MAX_PAGE_BYTES + b"]")) is None

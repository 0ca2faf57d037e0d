"""The client of the API that the MCP server uses."""

from collections.abc import Callable

import anyio
import httpx
import pytest

from cwz_web.mcp import api_client
from cwz_web.mcp.api_client import ApiAnswer, ApiClient, ApiError, create_http_client

PROBLEM = {"code": "busy", "detail": "Busy", "request_id": "req_1", "errors": {"a": "b"}}


def send(handler: Callable[[httpx.Request], httpx.Response], *, is_creation: bool = False) -> ApiAnswer:
    async def run() -> ApiAnswer:
        async with create_http_client(transport=httpx.MockTransport(handler)) as http:
            client = ApiClient("https://a.example", http)
            return await client.send("key", "POST", "/templates", body={}, etag="e", is_creation=is_creation)

    return anyio.run(run)


def test_request_is_sent_again_when_the_api_asks_for_it() -> None:
    seen: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        busy = httpx.Response(503, json=PROBLEM, headers={"Retry-After": "0"})
        return busy if len(seen) < 3 else httpx.Response(200, json={"a": 1}, headers={"ETag": '"x"'})

    answer = send(handler, is_creation=True)
    assert (answer.json, answer.etag, len(seen)) == ({"a": 1}, "x", 3)
    assert len({request.headers["Idempotency-Key"] for request in seen}) == 1
    assert (seen[0].headers["Authorization"], seen[0].headers["If-Match"]) == ("Bearer key", '"e"')


@pytest.mark.parametrize("wait", ["3600", "soon", None])
def test_it_does_not_wait_for_long(wait: str | None) -> None:
    headers = {"Retry-After": wait} if wait else {}
    with pytest.raises(ApiError) as caught:
        send(lambda request: httpx.Response(503, json=PROBLEM, headers=headers))
    assert (caught.value.code, caught.value.errors, caught.value.request_id) == ("busy", {"a": "b"}, "req_1")


def test_creation_is_repeated_once_after_a_lost_connection() -> None:
    seen: list[str] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers.get("Idempotency-Key", ""))
        if len(seen) == 1:
            raise httpx.ReadError("secret", request=request)
        return httpx.Response(201, json={})

    assert send(handler, is_creation=True).status == 201
    assert seen[0] == seen[1] != ""
    seen.clear()
    with pytest.raises(ApiError) as caught:
        send(handler)
    assert caught.value.code == "unreachable"
    assert "secret" not in caught.value.detail


def test_redirect_is_not_followed_with_the_key() -> None:
    seen: list[str] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request.url.host)
        return httpx.Response(302, headers={"Location": "https://b.example/"})

    with pytest.raises(ApiError) as caught:
        send(handler)
    assert (caught.value.code, seen) == ("unexpected_response", ["a.example"])


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"code": 3}', b"\xff", b"[" * 100_000], ids=range(5))
def test_answer_of_something_else_is_an_error(body: bytes) -> None:
    with pytest.raises(ApiError) as caught:
        send(lambda request: httpx.Response(404, content=body))
    assert (caught.value.status, caught.value.code) == (404, "unexpected_response")
    with pytest.raises(ApiError):
        _ = ApiAnswer(200, b"<html>").json


def test_endless_answer_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_client, "MAX_JSON", 1000)
    with pytest.raises(ApiError) as caught:
        send(lambda request: httpx.Response(200, content=b" " * 2000))
    assert caught.value.code == "response_too_large"

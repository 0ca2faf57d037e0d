"""The client of `cwz templates`: what it sends where, how long it waits, and answers of a hostile server."""

import json
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from cwz_web.cli.templates import client as client_module
from cwz_web.cli.templates.client import MAX_ATTEMPTS, ApiError, ChangedError, Client, InvalidDocumentError
from tests.template_server import KEY, TemplateServer, client_of

ONE = UUID(int=1)


def answering(*responses: httpx.Response, requests: list[httpx.Request] | None = None, **options: Any) -> Client:
    """Return a client that receives these responses, the last one again and again."""
    left = list(responses)

    def answer(request: httpx.Request) -> httpx.Response:
        if requests is not None:
            requests.append(request)
        return left.pop(0) if len(left) > 1 else left[0]

    return client_of(answer, **options)


@pytest.mark.parametrize(
    "url",
    [
        "http://images.example",
        "ftp://images.example",
        "images.example",
        "https://user:secret@images.example",
        "https://images.example\\@evil.example",
        "https://images.example/?a=1",
        "https://images.example/#x",
        "https://exa mple.example",
        "http://127.0.0.1.evil.example",
        "https://",
        "",
    ],
)
def test_key_is_sent_only_with_tls_to_a_plain_url(url: str) -> None:
    with pytest.raises(ApiError):
        Client(url, KEY)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:6543", "http://[::1]:1", "http://localhost/", "https://a.example/x/"]
)
def test_url_of_this_machine_needs_no_tls(url: str) -> None:
    with Client(url, KEY):
        pass
    with Client("http://web:6543", KEY, allow_http=True):
        pass


@pytest.mark.parametrize("key", ["", "cwz_live_short", f"{KEY}\r\nHost: evil.example", f"{KEY} "])
def test_malformed_key_is_not_sent_or_shown(key: str) -> None:
    with pytest.raises(ApiError) as error:
        Client("https://images.example", key)
    assert not key or key not in str(error.value)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(status: int) -> None:
    requests: list[httpx.Request] = []
    target = httpx.Response(status, headers={"Location": "https://evil.example/login"})
    with (
        pytest.raises(ApiError, match=r"redirects to 'https://evil\.example/login'"),
        answering(target, requests=requests) as client,
    ):
        client.find_template("card")
    assert [request.url.host for request in requests] == ["images.example"]


def test_busy_server_is_asked_again_when_it_says() -> None:
    waits: list[float] = []
    busy = httpx.Response(429, headers={"Retry-After": "7"}, json={})
    page = httpx.Response(200, json={"templates": [], "next": None})
    with answering(busy, httpx.Response(503, json={}), page, sleep=waits.append) as client:
        assert list(client.list_templates()) == []
    assert waits == [7, 2]


def test_waits_are_bounded() -> None:
    requests: list[httpx.Request] = []
    waits: list[float] = []
    busy = answering(httpx.Response(429, json={}), requests=requests, sleep=waits.append)
    with busy as client, pytest.raises(ApiError, match="429"):
        client.find_template("card")
    assert len(requests) == MAX_ATTEMPTS
    assert sum(waits) < client_module.MAX_WAITS
    forever = httpx.Response(503, headers={"Retry-After": "86400"}, json={"detail": "Closed"})
    with answering(forever, sleep=waits.append) as client, pytest.raises(ApiError, match="Closed"):
        client.find_template("card")
    assert 86400 not in waits


def test_change_is_repeated_only_if_it_was_refused() -> None:
    requests: list[httpx.Request] = []
    with answering(httpx.Response(502, json={}), requests=requests) as client:
        with pytest.raises(ApiError):
            client.change_template(ONE, {}, "etag", publish=True)
        assert len(requests) == 1
        with pytest.raises(ApiError):
            client.create_template("Card", {})
    sent = requests[1:]
    assert len(sent) == MAX_ATTEMPTS
    assert len({request.headers["Idempotency-Key"] for request in sent}) == 1


def test_unreachable_server_is_one_sentence() -> None:
    def fail(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("Connection refused")

    with client_of(fail) as client, pytest.raises(ApiError, match=r"images\.example does not respond: Connection"):
        client.find_template("card")


@pytest.mark.parametrize(
    ("response", "message"),
    [
        (httpx.Response(200, content=b"x" * (client_module.MAX_ANSWER_BYTES + 1)), "larger than"),
        (httpx.Response(200, content=b"[" * 100_000), "nested too deeply"),
        (httpx.Response(200, content=b"<html>"), "not one of ConnectWyze"),
        (httpx.Response(200, json={"templates": [{"id": "../x"}], "next": None}), "templates.0"),
        (httpx.Response(200, json={"templates": [], "next": "again"}), "does not end"),
        (httpx.Response(200, headers={"Content-Encoding": "gzip"}, content=iter([b"\x1f\x8b"])), "compressed"),
        (httpx.Response(403, json={"detail": f"\x1b]0;evil\x07 {KEY} {'x' * 9000}"}), r"\[API key\]"),
    ],
    ids=["huge", "deep", "html", "id", "endless", "compressed", "texts"],
)
def test_hostile_answers_are_errors(response: httpx.Response, message: str) -> None:
    with pytest.raises(ApiError, match=message) as error, answering(response) as client:
        list(client.list_templates())
    assert KEY not in str(error.value)
    assert str(error.value).isprintable()
    assert len(str(error.value)) < 700


def test_endless_answer_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    read = 0

    def parts() -> Iterator[bytes]:
        nonlocal read
        while True:
            read += 1
            yield b"x" * 100_000

    with client_of(lambda _: httpx.Response(200, content=parts())) as client, pytest.raises(ApiError, match="larger"):
        client.find_template("card")
    assert read < 100
    monkeypatch.setattr(client_module, "RESPONSE_SECONDS", -1.0)
    with client_of(lambda _: httpx.Response(200, content=parts())) as client, pytest.raises(ApiError, match="longer"):
        client.find_template("card")


def test_upload_with_another_content_is_an_error() -> None:
    with answering(httpx.Response(200, content=b"evil")) as client, pytest.raises(ApiError, match="another file"):
        client.download_upload("0" * 64)


@pytest.mark.parametrize(
    ("status", "error_class"), [(412, ChangedError), (422, InvalidDocumentError), (401, ApiError), (404, ApiError)]
)
def test_problems_are_errors_of_their_own(status: int, error_class: type[ApiError]) -> None:
    problem = {"detail": "No", "errors": {"document.layers.0.x": "Enter a number"}}
    with answering(httpx.Response(status, json=problem)) as client, pytest.raises(error_class, match="No") as error:
        client.change_template(ONE, {}, "etag", publish=True)
    if isinstance(error.value, InvalidDocumentError):
        assert error.value.errors == problem["errors"]


def test_names_cannot_leave_the_path() -> None:
    requests: list[httpx.Request] = []
    with answering(httpx.Response(404, json={}), requests=requests) as client:
        assert client.find_template("../../secrets?a=b") is None
    assert requests[0].url.raw_path == b"/v1/templates/..%2F..%2Fsecrets%3Fa%3Db"


def test_pages_are_followed() -> None:
    def page(number: int, following: str | None) -> httpx.Response:
        template = {"id": str(uuid4()), "slug": f"t{number}", "name": "T", "version": 1}
        return httpx.Response(200, content=json.dumps({"templates": [template], "next": following}))

    requests: list[httpx.Request] = []
    with answering(page(1, "a&b"), page(2, None), requests=requests) as client:
        assert [info.slug for info in client.list_templates()] == ["t1", "t2"]
    assert requests[1].url.params["after"] == "a&b"


def test_server_of_the_tests_is_a_server() -> None:
    server: Callable[[httpx.Request], httpx.Response] = TemplateServer().answer
    with client_of(server) as client:
        assert client.find_template("card") is None

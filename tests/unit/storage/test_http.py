import pytest

from cwz_web.net.guard import OutboundPolicy
from cwz_web.storage import (
    BlockedAddressError,
    BucketNotFoundError,
    InvalidCredentialsError,
    InvalidSettingsError,
    ObjectExistsError,
    ObjectNotFoundError,
    PermissionDeniedError,
    StorageError,
    StorageThrottledError,
    StorageUnreachableError,
)
from cwz_web.storage.http import HttpClient
from tests.conftest import RecordingServer


def client_of(server: RecordingServer) -> HttpClient:
    return HttpClient(OutboundPolicy([server.host], [server.host]), server.url("/bucket"))


def test_request_quotes_the_key_below_the_base_url(http_server: RecordingServer) -> None:
    http_server.paths["/bucket/a%20%C3%BC.png"] = (200, {}, b"image")
    client = client_of(http_server)
    assert client.request("GET", "a ü.png").content == b"image"
    assert b"".join(client.stream("a ü.png")) == b"image"


@pytest.mark.parametrize("key", ["", "../other", "/a"])
def test_invalid_key_is_rejected_without_a_request(http_server: RecordingServer, key: str) -> None:
    with pytest.raises(InvalidSettingsError):
        client_of(http_server).request("DELETE", key)
    assert http_server.seen == []


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (401, InvalidCredentialsError),
        (403, PermissionDeniedError),
        (404, ObjectNotFoundError),
        (410, ObjectNotFoundError),
        (412, ObjectExistsError),
        (429, StorageThrottledError),
        (503, StorageThrottledError),
        (500, StorageUnreachableError),
        (507, StorageUnreachableError),
        (418, InvalidSettingsError),
        (302, InvalidSettingsError),
    ],
)
def test_error_status(http_server: RecordingServer, status: int, expected: type[StorageError]) -> None:
    http_server.paths["/bucket/a"] = (status, {"Location": http_server.url("/other")}, b"")
    with pytest.raises(expected) as error:
        client_of(http_server).request("GET", "a")
    assert type(error.value) is expected
    assert http_server.seen == ["/bucket/a"], "redirects are not followed"


def test_missing_base_url_is_a_missing_bucket(http_server: RecordingServer) -> None:
    http_server.paths["/bucket/"] = (404, {}, b"")
    with pytest.raises(BucketNotFoundError):
        client_of(http_server).request("GET", None)


def test_errors_of_the_plugin_take_precedence(http_server: RecordingServer) -> None:
    http_server.paths["/bucket/a"] = (404, {}, b"")
    outbound = OutboundPolicy([http_server.host], [http_server.host])
    client = HttpClient(outbound, http_server.url("/bucket"), errors={404: (BucketNotFoundError, "no bucket")})
    with pytest.raises(BucketNotFoundError, match="no bucket"):
        client.request("GET", "a")


@pytest.mark.parametrize("body", [b"not XML", b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>'])
def test_unexpected_xml_is_reported(http_server: RecordingServer, body: bytes) -> None:
    http_server.paths["/bucket/a"] = (200, {}, body)
    with pytest.raises(StorageUnreachableError, match="not the expected XML"):
        client_of(http_server).request_xml("GET", "a")


def test_undeclared_host_and_plain_http_are_blocked(http_server: RecordingServer) -> None:
    for outbound in (OutboundPolicy([], [http_server.host]), OutboundPolicy([http_server.host])):
        with pytest.raises(BlockedAddressError):
            HttpClient(outbound, http_server.url("/bucket")).request("GET", "a")
    assert http_server.seen == []


def test_closed_port_is_unreachable() -> None:
    outbound = OutboundPolicy(["127.0.0.1:9"], ["127.0.0.1:9"])
    with pytest.raises(StorageUnreachableError):
        HttpClient(outbound, "http://127.0.0.1:9").request("GET", "a")

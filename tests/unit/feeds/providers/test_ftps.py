"""FTPS against a server on loopback."""

import gzip
import itertools
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from cwz_web.feeds.providers.contract import (
    InvalidResponseError,
    SourceContext,
    SourcePermissionError,
    SourceUnreachableError,
)
from cwz_web.feeds.providers.ftps import FtpsProvider, FtpsSettings
from cwz_web.feeds.providers.rows import RowWriter
from cwz_web.feeds.providers.testing import SourceConformance, SourceSetup
from cwz_web.feeds.temporary_files import temporary_file
from tests.ftps_server import HOST, FakeFtps, write_certificate

ROWS = b"sku,title\n1,Mug\n2,Lamp\n"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[FakeFtps]:
    with FakeFtps(write_certificate(tmp_path)).running() as running:
        running.files["/export.csv"] = ROWS
        yield running


def setup_of(server: FakeFtps, **operator: str) -> SourceSetup:
    settings = {"host": HOST, "username": server.username, "path": "/export.csv"}
    operator = {"endpoint": server.host, "ca_file": str(server.certificate), **operator}
    return SourceSetup(FtpsProvider(), settings, {"password": server.password}, operator, [server.host])


@contextmanager
def sending(parts: Iterable[bytes], *answers: bytes) -> Iterator[SourceSetup]:
    """A server that sends answers to the first client, each before a message of that, and then these parts."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection, suppress(OSError):
                for answer in answers:
                    connection.sendall(answer)
                    connection.recv(4096)
                for part in parts:
                    connection.sendall(part)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        host = f"127.0.0.1:{listener.getsockname()[1]}"
        settings = {"host": HOST, "username": "feeds", "path": "/export.csv"}
        yield SourceSetup(FtpsProvider(), settings, {"password": "planted-canary"}, {"endpoint": host}, [host])
        thread.join(5)
        assert not thread.is_alive()


def dripping(text: bytes) -> Iterator[bytes]:
    for byte in text:
        time.sleep(0.05)
        yield bytes([byte])


class TestFtps(SourceConformance):
    host_field = "host"

    @pytest.fixture
    def setup(self, server: FakeFtps) -> SourceSetup:
        return setup_of(server)

    @pytest.fixture
    def broken(self, server: FakeFtps, setup: SourceSetup) -> Callable[[str], SourceContext[Any, Any]]:
        def fail(failure: str) -> SourceContext[Any, Any]:
            match failure:
                case "credentials":
                    return setup.context(credentials={"password": "wrong"})
                case "permission":
                    server.replies["RETR"] = f"553 not for {server.password}"
                case "missing":
                    return setup.context(settings={"path": "/gone.csv"})
                case "throttled":
                    pytest.skip("FTP has no rate limits")
                case "down":
                    return setup.context(deadline=0.0)  # the time is over
                case "garbage":
                    server.greeting = f"HTTP/1.1 400 {server.password}"
            return setup.context()

        return fail

    def test_preview(self, setup: SourceSetup) -> None:
        """A preview of a small file is the file."""
        assert len(setup.rows(is_preview=True)) == 2


def test_password_is_sent_after_tls_has_begun(server: FakeFtps) -> None:
    assert setup_of(server).rows() == [{"sku": "1", "title": "Mug"}, {"sku": "2", "title": "Lamp"}]
    assert server.plain_commands == ["AUTH"]


@pytest.mark.parametrize("reply", ["500 unknown", "502 not implemented", "421 closing"])
def test_server_without_tls_gets_no_password(server: FakeFtps, reply: str) -> None:
    server.replies["AUTH"] = reply
    with pytest.raises((InvalidResponseError, SourceUnreachableError)):
        setup_of(server).rows()
    assert server.plain_commands == ["AUTH"]


def test_certificate_of_another_host_is_refused(server: FakeFtps) -> None:
    with pytest.raises(SourceUnreachableError, match="certificate") as error:
        setup_of(server).rows(settings={"host": "other.example.com"})
    assert error.value.field == "host"
    with pytest.raises(SourceUnreachableError, match="certificate"):
        setup_of(server, ca_file="").rows()


def test_compressed_and_large_files(server: FakeFtps) -> None:
    server.files["/export.csv"] = gzip.compress(ROWS)
    assert len(setup_of(server).rows()) == 2
    server.files["/export.csv"] = b"sku,title\n" + b"".join(b"%d,Mug\n" % n for n in range(600_000))
    context, file = setup_of(server).context(is_preview=True), temporary_file()
    rows = RowWriter(file, 50)
    FtpsProvider().fetch(context, rows)
    assert rows.is_cut
    file.seek(0, 2)
    assert file.tell() < len(server.files["/export.csv"])


def test_too_large_file(server: FakeFtps, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cwz_web.feeds.providers.file_servers.MAX_BYTES", 10)
    with pytest.raises(InvalidResponseError, match="larger"):
        setup_of(server).rows()


@pytest.mark.parametrize("line", [b"220-more\r\n", b"220-" + b"x" * 8000 + b"\r\n", b"220-" + b"x" * 9000])
def test_endless_reply_is_refused(line: bytes) -> None:
    with sending(itertools.repeat(line)) as setup, pytest.raises(InvalidResponseError):
        setup.rows()


@pytest.mark.parametrize(
    ("answers", "rest"), [([], b"220-"), ([b"220 ready\r\n", b"234 go\r\n"], b"\x16\x03\x03\x40\x00")]
)
def test_reply_or_handshake_that_drips_ends_by_the_deadline(answers: list[bytes], rest: bytes) -> None:
    with sending(dripping(rest + b"x" * 80), *answers) as setup:
        started_at = time.monotonic()
        with pytest.raises(SourceUnreachableError, match="does not respond"):
            setup.rows(deadline=started_at + 0.5)
        assert time.monotonic() - started_at < 2


def test_refused_login_names_the_password(server: FakeFtps) -> None:
    server.replies["TYPE"] = "530 no"
    with pytest.raises(SourcePermissionError):
        setup_of(server).rows()


@pytest.mark.parametrize(
    "settings",
    [
        {"host": "127.0.0.1"},
        {"host": "localhost"},
        {"host": "a.example.com/x"},
        {"host": "ftp://a.example.com"},
        {"host": "a@b.example.com"},
        {"port": "0"},
        {"port": "25"},
        {"port": "65536"},
        {"port": "21\n22"},
        {"path": "/a\r\nDELE /b"},
        {"username": "a\nb"},
    ],
)
def test_invalid_settings(settings: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        FtpsSettings(**({"host": HOST, "username": "feeds", "path": "/x"} | settings))

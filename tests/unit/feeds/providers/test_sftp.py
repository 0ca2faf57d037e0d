"""SFTP against a server on loopback, and against hostile ones."""

import asyncio
import gzip
import itertools
import os
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import asyncssh
import pytest
from pydantic import ValidationError

from cwz_web.feeds.providers import sftp
from cwz_web.feeds.providers.contract import (
    InvalidResponseError,
    SourceContext,
    SourceCredentialsError,
    SourceError,
    SourceNotFoundError,
    SourcePermissionError,
    SourceUnreachableError,
)
from cwz_web.feeds.providers.rows import RowWriter
from cwz_web.feeds.providers.sftp import SftpCredentials, SftpProvider, SftpSettings
from cwz_web.feeds.providers.testing import SourceConformance, SourceSetup
from cwz_web.feeds.temporary_files import temporary_file
from tests.sftp_server import HOST, FakeSftp

ROWS = b"sku,title\n1,Mug\n2,Lamp\n"
READ_ROWS = [{"sku": "1", "title": "Mug"}, {"sku": "2", "title": "Lamp"}]
OTHER_KEY = "SHA256:" + "A" * 43


@pytest.fixture
def server() -> Iterator[FakeSftp]:
    with FakeSftp().running() as running:
        running.files["/export.csv"] = ROWS
        yield running


def setup_of(server: FakeSftp, **settings: str) -> SourceSetup:
    values = {"host": HOST, "fingerprint": server.fingerprint, "username": server.username, "path": "/export.csv"}
    credentials = {"password": server.password}
    return SourceSetup(SftpProvider(), values | settings, credentials, {"endpoint": server.host}, [server.host])


@contextmanager
def sending(parts: Iterable[bytes]) -> Iterator[SourceSetup]:
    """A server that sends these parts to each client."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with suppress(OSError):
                connection, _ = listener.accept()
                with connection:
                    for part in parts:
                        connection.sendall(part)
                    connection.recv(1 << 20)
                    connection.recv(1 << 20)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        host = f"127.0.0.1:{listener.getsockname()[1]}"
        settings = {"host": HOST, "fingerprint": OTHER_KEY, "username": "feeds", "path": "/export.csv"}
        yield SourceSetup(SftpProvider(), settings, {"password": "planted-canary"}, {"endpoint": host}, [host])
        thread.join(5)
        assert not thread.is_alive()


def dripping(text: bytes) -> Iterator[bytes]:
    for byte in text:
        time.sleep(0.05)
        yield bytes([byte])


class TestSftp(SourceConformance):
    host_field = "host"

    @pytest.fixture
    def setup(self, server: FakeSftp) -> SourceSetup:
        return setup_of(server)

    @pytest.fixture
    def broken(self, server: FakeSftp, setup: SourceSetup) -> Callable[[str], SourceContext[Any, Any]]:
        def fail(failure: str) -> SourceContext[Any, Any]:
            match failure:
                case "credentials":
                    return setup.context(credentials={"password": "wrong"})
                case "permission":
                    server.errors["/export.csv"] = asyncssh.SFTPPermissionDenied(f"not for {server.password}")
                case "missing":
                    return setup.context(settings={"path": "/gone.csv"})
                case "throttled":
                    pytest.skip("SSH has no rate limits")
                case "down":
                    return setup.context(deadline=0.0)  # the time is over
                case "garbage":
                    server.errors["/export.csv"] = asyncssh.SFTPBadMessage(server.password)
            return setup.context()

        return fail

    def test_preview(self, setup: SourceSetup) -> None:
        """A preview of a small file is the file."""
        assert len(setup.rows(is_preview=True)) == 2


class TestHostKey:
    """The key has to be confirmed before a password or a key is used."""

    def test_caller_may_be_in_an_event_loop(self, server: FakeSftp) -> None:
        async def fetch() -> None:
            assert setup_of(server).rows() == READ_ROWS

        asyncio.run(fetch())

    def test_first_test_shows_the_fingerprint(self, server: FakeSftp) -> None:
        with pytest.raises(SourceError, match="Compare it") as error:
            setup_of(server, fingerprint="").rows()
        assert server.fingerprint in str(error.value)
        assert (error.value.field, server.logins) == ("fingerprint", [])

    def test_changed_key_is_refused(self, server: FakeSftp) -> None:
        with pytest.raises(SourceError, match="another host key") as error:
            setup_of(server, fingerprint=OTHER_KEY).rows()
        assert server.fingerprint in str(error.value)
        assert (error.value.field, server.logins) == ("fingerprint", [])

    def test_any_key_of_the_server_may_be_the_confirmed_one(self) -> None:
        with FakeSftp("ssh-ed25519", "ssh-rsa", "ecdsa-sha2-nistp384").running() as server:
            server.files["/export.csv"] = ROWS
            for key in server.keys:
                assert setup_of(server, fingerprint=key.get_fingerprint()).rows() == READ_ROWS
            with pytest.raises(SourceError, match="another host key"):
                setup_of(server, fingerprint=OTHER_KEY).rows()

    @pytest.mark.parametrize("prefix", ["SHA256:", ""])
    @pytest.mark.parametrize("suffix", ["=", ""])
    def test_ways_to_write_a_fingerprint(self, server: FakeSftp, prefix: str, suffix: str) -> None:
        text = prefix + server.fingerprint.removeprefix("SHA256:") + suffix
        assert setup_of(server, fingerprint=text).context().settings.fingerprint == server.fingerprint

    def test_known_hosts_of_the_machine_are_not_used(
        self, server: FakeSftp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Nor is its configuration, which would send the connection elsewhere, or its agent."""
        folder = tmp_path / ".ssh"
        folder.mkdir()
        (folder / "config").write_text("Host *\n  Port 1\n  User other\n  ProxyCommand false\n  HostKeyAlias x\n")
        line = f"* {server.keys[0].export_public_key().decode()}"
        (folder / "known_hosts").write_text(line)
        server.user_key.write_private_key(folder / "id_ed25519")
        monkeypatch.setenv("HOME", str(tmp_path))
        with socket.socket(socket.AF_UNIX) as agent:
            agent.bind(path := os.fspath(tmp_path / "agent"))
            agent.listen()
            agent.setblocking(False)
            monkeypatch.setenv("SSH_AUTH_SOCK", path)
            with pytest.raises(SourceError, match="another host key"):
                setup_of(server, fingerprint=OTHER_KEY).rows()
            assert setup_of(server).rows() == READ_ROWS
            with pytest.raises(SourceCredentialsError):
                setup_of(server).rows(credentials={"password": "wrong"})
            with pytest.raises(BlockingIOError):
                agent.accept()
        assert set(server.logins) == {"password"}

    def test_another_fingerprint_needs_the_credentials_again(self, server: FakeSftp) -> None:
        provider, settings = SftpProvider(), setup_of(server).context().settings
        changed = settings.model_copy(update={"fingerprint": OTHER_KEY})
        assert provider.recipient(settings) != provider.recipient(changed)


class TestCredentials:
    def test_private_key(self, server: FakeSftp) -> None:
        assert setup_of(server).rows(credentials={"password": "", "key": server.private_key}) == READ_ROWS
        assert set(server.logins) == {"key"}

    @pytest.mark.parametrize("form", ["openssh", "pkcs8-pem"])
    @pytest.mark.parametrize("kind", ["ssh-ed25519", "ecdsa-sha2-nistp256", "ssh-rsa"])
    def test_forms_of_keys(self, kind: str, form: str) -> None:
        key = asyncssh.generate_private_key(kind)
        text = key.export_private_key(form).decode()
        assert SftpCredentials.model_validate({"key": f"  {text.replace(chr(10), chr(13) + chr(10))}\n"}).key
        cost: dict[str, Any] = {"rounds": 50} if form == "openssh" else {}
        encrypted = key.export_private_key(form, passphrase="secret", **cost)
        with pytest.raises(ValidationError, match="without a passphrase"):
            SftpCredentials.model_validate({"key": encrypted.decode()})

    def test_rejected_key_names_the_key(self, server: FakeSftp) -> None:
        other = asyncssh.generate_private_key("ecdsa-sha2-nistp256").export_private_key().decode()
        with pytest.raises(SourceCredentialsError) as error:
            setup_of(server).rows(credentials={"password": "", "key": other})
        assert error.value.field == "key"

    @pytest.mark.parametrize(
        ("values", "message"),
        [
            ({}, "Enter the password"),
            ({"password": "", "key": ""}, "Enter the password"),
            ({"key": "-----BEGIN OPENSSH PRIVATE KEY-----"}, "Paste the whole"),
            ({"key": "ssh-ed25519 AAAA"}, "Paste the whole"),
            ({"key": "é"}, "Paste the whole"),
        ],
    )
    def test_invalid(self, values: dict[str, str], message: str) -> None:
        with pytest.raises(ValidationError, match=message):
            SftpCredentials.model_validate(values)

    @pytest.mark.parametrize(("kind", "options"), [("ssh-dss", {}), ("ssh-rsa", {"key_size": 1024})])
    def test_weak_keys_are_refused(self, kind: str, options: dict[str, int]) -> None:
        key = asyncssh.generate_private_key(kind, **options)
        with pytest.raises(ValidationError, match="2048 bits"):
            SftpCredentials.model_validate({"key": key.export_private_key().decode()})
        server = FakeSftp()
        server.keys = [key]
        with server.running(), pytest.raises(InvalidResponseError, match="current algorithms"):
            setup_of(server).rows()
        assert server.logins == []


class TestFiles:
    def test_compressed_and_large_files(self, server: FakeSftp) -> None:
        server.files["/export.csv"] = gzip.compress(ROWS)
        assert setup_of(server).rows() == READ_ROWS
        lines = b"sku,title\n" + b"".join(b"%d,Mug\n" % n for n in range(600_000))
        server.files["/export.csv"] = lines
        file = temporary_file()
        SftpProvider().fetch(setup_of(server).context(), RowWriter(file))
        file.seek(0)
        assert file.read() == lines
        file = temporary_file()
        rows = RowWriter(file, 50)
        SftpProvider().fetch(setup_of(server).context(is_preview=True), rows)
        assert rows.is_cut
        file.seek(0)
        assert lines.startswith(start := file.read())
        assert len(start) < len(lines)

    @pytest.mark.parametrize("size", [0, 1, sftp.BLOCK_BYTES - 1, sftp.BLOCK_BYTES, sftp.BLOCK_BYTES + 1])
    def test_sizes_around_a_block(self, server: FakeSftp, size: int) -> None:
        server.files["/export.csv"] = os.urandom(size)
        file = temporary_file()
        SftpProvider().fetch(setup_of(server).context(), RowWriter(file))
        file.seek(0)
        assert file.read() == server.files["/export.csv"]

    def test_too_large_file(self, server: FakeSftp, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("cwz_web.feeds.providers.file_servers.MAX_BYTES", 10)
        with pytest.raises(InvalidResponseError, match="larger"):
            setup_of(server).rows()

    @pytest.mark.parametrize("growth", [b"3,Chair\n", b"x" * sftp.BLOCK_BYTES * 2])
    def test_file_that_grows_is_not_imported_in_part(self, server: FakeSftp, growth: bytes) -> None:
        """It is read up to its former size only, so that one that grows without end does not matter."""
        server.growth = growth
        file = temporary_file()
        with pytest.raises(SourceUnreachableError, match="changed while it was read"):
            SftpProvider().fetch(setup_of(server).context(), RowWriter(file))
        assert file.tell() == len(ROWS) + 1

    def test_folder(self, server: FakeSftp) -> None:
        server.folders.add("/export")
        with pytest.raises(SourceNotFoundError, match="folder") as error:
            setup_of(server, path="/export").rows()
        assert error.value.field == "path"

    @pytest.mark.parametrize("error", [asyncssh.SFTPFailure("no"), asyncssh.SFTPOpUnsupported("no")])
    def test_other_errors_name_the_path(self, server: FakeSftp, error: Exception) -> None:
        server.errors["/export.csv"] = error
        with pytest.raises(InvalidResponseError, match="cannot read") as found:
            setup_of(server).rows()
        assert found.value.field == "path"

    def test_account_without_sftp(self) -> None:
        server = FakeSftp()
        server.options = {"sftp_factory": None}
        with server.running(), pytest.raises(SourcePermissionError) as error:
            setup_of(server).rows()
        assert error.value.field == "username"


class TestHostileServers:
    @pytest.mark.parametrize(
        "options",
        [
            {"kex_algs": ["diffie-hellman-group14-sha1"]},
            {"kex_algs": ["diffie-hellman-group1-sha1"]},
            {"encryption_algs": ["aes128-cbc"]},
            {"encryption_algs": ["3des-cbc"]},
            {"encryption_algs": ["aes128-ctr"], "mac_algs": ["hmac-sha1"]},
            {"encryption_algs": ["aes128-ctr"], "mac_algs": ["hmac-md5"]},
            {"compression_algs": ["zlib@openssh.com"]},
        ],
    )
    def test_weak_algorithms_are_off(self, options: dict[str, Any]) -> None:
        server = FakeSftp()
        server.options = options
        with server.running(), pytest.raises(InvalidResponseError, match="current algorithms"):
            setup_of(server).rows()
        assert server.logins == []

    @pytest.mark.parametrize("part", [b"hello\r\n", b"x" * 9000, b"SSH-2.0-" + b"x" * 9000, b"\x00" * 100])
    def test_endless_banner(self, part: bytes) -> None:
        with sending(itertools.repeat(part)) as setup, pytest.raises(SourceError):
            setup.rows()

    @pytest.mark.parametrize(
        "answer",
        [
            b"SSH-1.5-old\r\n",
            b"SSH-2.0-x\r\n" + struct.pack(">I", 1 << 31) + b"x" * 100,
            b"SSH-2.0-x\r\n" + struct.pack(">IB", 12, 4) + bytes([20]) + b"x" * 10,
        ],
    )
    def test_garbage(self, answer: bytes) -> None:
        with sending([answer]) as setup, pytest.raises(InvalidResponseError):
            setup.rows()

    @pytest.mark.parametrize("start", [b"", b"SSH-2.0-x\r\n"])
    def test_drip_ends_by_the_deadline(self, start: bytes) -> None:
        with sending(itertools.chain([start], dripping(b"\x00\x00\x08\x00" + b"x" * 80))) as setup:
            started_at = time.monotonic()
            with pytest.raises(SourceUnreachableError, match="does not respond"):
                setup.rows(deadline=started_at + 0.5)
            assert time.monotonic() - started_at < 3

    def test_silence_ends_by_the_limit_of_the_login(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sftp, "LOGIN_SECONDS", 0.3)
        with sending([]) as setup, pytest.raises(SourceUnreachableError, match="does not respond"):
            setup.rows()

    @pytest.mark.parametrize("step", ["fstat", "read"])
    def test_stalled_request(self, server: FakeSftp, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
        monkeypatch.setattr(sftp, "LOGIN_SECONDS", 1.0)
        monkeypatch.setattr(sftp, "PART_SECONDS", 0.3)
        server.stalled = step
        with pytest.raises(SourceUnreachableError, match="does not respond"):
            setup_of(server).rows()

    def test_answers_of_another_length_than_requested(self, server: FakeSftp) -> None:
        server.files["/export.csv"] = b"x" * sftp.BLOCK_BYTES * 3
        server.padding = b"y"
        with pytest.raises(SourceError):
            setup_of(server).rows()
        server.padding = b""
        server.max_answer = 1000
        file = temporary_file()
        SftpProvider().fetch(setup_of(server).context(), RowWriter(file))
        file.seek(0)
        assert file.read() == server.files["/export.csv"]


@pytest.mark.parametrize(
    "settings",
    [
        {"host": "127.0.0.1"},
        {"host": "localhost"},
        {"host": "sftp://a.example.com"},
        {"host": "a@b.example.com"},
        {"port": "0"},
        {"port": "23"},
        {"port": "65536"},
        {"path": "/a\nb"},
        {"username": "a\nb"},
        {"fingerprint": "SHA256:short"},
        {"fingerprint": "MD5:16:27:ac:a5:76:28:2d:36:63:1b:56:4d:eb:df:a6:48"},
        {"fingerprint": "SHA256:" + "A" * 44},
        {"fingerprint": "SHA256:" + "A" * 42 + "\u0391"},
    ],
)
def test_invalid_settings(settings: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        SftpSettings(**({"host": HOST, "username": "feeds", "path": "/x"} | settings))

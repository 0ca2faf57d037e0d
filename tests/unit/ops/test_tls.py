"""The check of the site's own TLS, against servers of this machine."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from cwz_web.ops.checks import Finding, Level, _check_tls
from cwz_web.ops.tls import inspect_tls

Serve = Callable[..., int]


def write_certificate(file: Path, host: str, days: int) -> None:
    """Write a self-signed certificate of an IP address with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=400))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(host))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    file.write_bytes(private + certificate.public_bytes(Encoding.PEM))


@pytest.fixture
def serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    """Return a function that starts a TLS server whose certificate this machine trusts, and returns its port."""
    listeners: list[socket.socket] = []

    def start(host: str = "127.0.0.1", days: int = 90, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_2) -> int:
        file = tmp_path / "certificate.pem"
        write_certificate(file, host, days)
        monkeypatch.setenv("SSL_CERT_FILE", str(file))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        if version < ssl.TLSVersion.TLSv1_2:
            context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version = version
        context.load_cert_chain(file)
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)
        threading.Thread(target=accept, args=(listener, context), daemon=True).start()
        return int(listener.getsockname()[1])

    yield start
    for listener in listeners:
        listener.close()


def accept(listener: socket.socket, context: ssl.SSLContext) -> None:
    with suppress(OSError):
        while True:
            connection, _ = listener.accept()
            with suppress(OSError):
                context.wrap_socket(connection, server_side=True).close()


def findings(port: int) -> list[Finding]:
    context: Any = SimpleNamespace(settings=SimpleNamespace(url=f"https://127.0.0.1:{port}"))
    return list(_check_tls(context))


def test_good_server(serve: Serve) -> None:
    port = serve()
    state = inspect_tls("127.0.0.1", port)
    assert (state.version, state.accepts_old_versions) == ("TLSv1.3", False)
    assert timedelta(days=89) < state.expires_at - datetime.now(UTC) < timedelta(days=91)
    [found] = findings(port)
    assert found.level is Level.OK


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_server_that_accepts_old_versions(serve: Serve) -> None:
    old, _ = findings(serve(version=ssl.TLSVersion.TLSv1))
    assert (old.level, "TLS 1.0 or 1.1" in old.message) == (Level.ERROR, True)


@pytest.mark.parametrize(
    ("options", "level", "message"),
    [
        ({"days": 3}, Level.WARNING, "expires in"),
        ({"days": -1}, Level.ERROR, "certificate has expired"),
        ({"host": "192.0.2.1"}, Level.ERROR, "IP address mismatch"),
    ],
)
def test_certificate(serve: Serve, options: dict[str, object], level: Level, message: str) -> None:
    [found] = findings(serve(**options))
    assert (found.level, message in found.message) == (level, True), found.message


def test_server_without_tls() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=lambda: listener.accept()[0].close(), daemon=True).start()
        [found] = findings(listener.getsockname()[1])
    assert (found.level, "Cannot connect" in found.message) == (Level.ERROR, True)

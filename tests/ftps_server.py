"""An FTPS server on loopback (RFC 959, 4217): explicit TLS, one user, files in memory."""

import datetime
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

HOST = "files.example.com"


def write_certificate(folder: Path, name: str = HOST) -> Path:
    """Write a self-signed certificate with its key into a file."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    form = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    file = folder / "certificate.pem"
    pem = key.private_bytes(serialization.Encoding.PEM, *form)
    file.write_bytes(pem + certificate.public_bytes(serialization.Encoding.PEM))
    return file


class FakeFtps:
    """The server. `replies` replaces the reply to a command; `commands` are those that were sent before TLS."""

    username, password = "feeds", "planted-canary"

    def __init__(self, certificate: Path) -> None:
        self.certificate = certificate
        self.files: dict[str, bytes] = {}
        self.replies: dict[str, str] = {}
        self.plain_commands: list[str] = []
        self.greeting = "220 ready"
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.load_cert_chain(certificate)
        self._opened: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.host = f"127.0.0.1:{self._listener.getsockname()[1]}"

    @contextmanager
    def running(self) -> Iterator["FakeFtps"]:
        thread = threading.Thread(target=self._accept, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            with suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            thread.join()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._opened = [connection]
            with suppress(OSError):
                self._serve(connection)
            for opened in self._opened:
                opened.close()

    def _serve(self, connection: socket.socket) -> None:
        connection.settimeout(5)
        connection.sendall(f"{self.greeting}\r\n".encode())
        data: socket.socket | None = None
        while line := self._read_line(connection):
            command, _, argument = line.partition(" ")
            is_plain = not isinstance(connection, ssl.SSLSocket)
            if is_plain:
                self.plain_commands.append(command)
            reply = self.replies.get(command)
            if reply is None and command == "AUTH":
                connection.sendall(b"234 go\r\n")
                connection = self._tls.wrap_socket(connection, server_side=True)
                self._opened.append(connection)
                continue
            if reply is None and command == "PASV":
                data = socket.create_server(("127.0.0.1", 0))
                self._opened.append(data)
                port = data.getsockname()[1]
                reply = f"227 Entering (10,0,0,1,{port // 256},{port % 256})"  # an internal address
            if reply is None and command == "RETR":
                reply = self._send(connection, data, argument)
            if reply is None:
                answers = {"USER": "331 password", "PASS": "230 in" if argument == self.password else "530 no"}
                reply = answers.get(command, "200 ok")
            connection.sendall(f"{reply}\r\n".encode())

    def _send(self, connection: socket.socket, data: socket.socket | None, path: str) -> str:
        assert data is not None
        with data:
            if path not in self.files:
                return f"550 no {path} for {self.password}"
            connection.sendall(b"150 here\r\n")
            accepted, _ = data.accept()
            self._opened.append(accepted)
            with suppress(OSError), self._tls.wrap_socket(accepted, server_side=True) as stream:
                stream.sendall(self.files[path])
                with suppress(OSError):
                    stream.unwrap()
        return "226 sent"

    @staticmethod
    def _read_line(connection: socket.socket) -> str:
        line = b""
        while not line.endswith(b"\n"):
            byte = connection.recv(1)
            if not byte:
                return ""
            line += byte
        return line.decode().strip()

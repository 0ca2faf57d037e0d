"""FTPS: a file on a server, by FTP over TLS (RFC 4217), with the standard library.

The control connection goes to the address that the guard has checked, and so do data connections: the address in a
PASV answer is ignored. TLS is required before the password is sent, and for the file.
"""

import io
import socket
import ssl
import time
from collections.abc import Iterable, Mapping
from ftplib import FTP, FTP_TLS, Error, error_perm
from functools import partial
from typing import Annotated, Any
from urllib.parse import quote

import certifi
from pydantic import AfterValidator, Field, SecretStr

from cwz_web.feeds.providers.contract import (
    FeedSourceProvider,
    InvalidResponseError,
    SourceContext,
    SourceCredentialsError,
    SourceError,
    SourceNotFoundError,
    SourcePermissionError,
    SourceUnreachableError,
)
from cwz_web.feeds.providers.file_servers import FileCopy, check_host, check_port
from cwz_web.feeds.providers.hookspecs import hookimpl
from cwz_web.feeds.providers.rows import RowWriter
from cwz_web.i18n import gettext, gettext_noop
from cwz_web.net.client import BlockedRequestError
from cwz_web.net.deadlines import DeadlineReader
from cwz_web.plugin_fields import Fields

TIMEOUT = 15.0
CHUNK_BYTES = 256 * 1024
# ftplib reads a reply of many lines until its end, which a hostile server never sends.
MAX_REPLY_LINES = 100
MAX_REPLY_LENGTH = 64 * 1024
# Replies of the server (RFC 959, section 4.2; RFC 4217).
LOGIN_REFUSED = "530"
FILE_UNAVAILABLE = "550"
PERMISSION_REPLIES = ("532", "553", "534")
FTP_PORT = 21


class FtpsSettings(Fields):
    """The server and the file."""

    host: Annotated[str, AfterValidator(check_host)] = Field(
        title=gettext_noop("Host"), description=gettext_noop("The name of the server"), examples=["ftp.example.com"]
    )
    port: Annotated[str, AfterValidator(partial(check_port, FTP_PORT))] = Field(
        default=str(FTP_PORT),
        title=gettext_noop("Port"),
        description=gettext_noop("21, unless your provider says otherwise. TLS begins on this port (explicit TLS)"),
    )
    username: str = Field(
        title=gettext_noop("User name"),
        description=gettext_noop("Of an account that may read the file"),
        max_length=200,
    )
    path: str = Field(
        title=gettext_noop("Path of the file"),
        description=gettext_noop("CSV, JSON, XML or a spreadsheet, also gzipped or zipped"),
        examples=["/export/products.csv"],
        max_length=1000,
    )


class FtpsCredentials(Fields):
    """The password."""

    password: SecretStr = Field(
        title=gettext_noop("Password"), description=gettext_noop("It is sent after TLS has begun"), max_length=500
    )


class FtpsProvider(FeedSourceProvider[FtpsSettings, FtpsCredentials]):
    """Fetches a file from an FTPS server."""

    api_version = 1
    name = "ftps"
    label = "FTPS"
    summary = gettext_noop("A file on a server, by FTP with TLS and a password")
    icon = "server"
    help = gettext_noop("Use an account that may only read the folder of the export. Plain FTP is not supported.")
    settings_model = FtpsSettings
    credentials_model = FtpsCredentials

    def hosts(self, settings: FtpsSettings, operator: Mapping[str, str]) -> Iterable[str]:
        """Return the server. The operator's `endpoint` is for an emulator."""
        return [operator.get("endpoint") or f"{settings.host}:{settings.port}"]

    def url(self, settings: FtpsSettings) -> str:
        """Return the URL of the file."""
        return f"ftps://{settings.host}/{quote(settings.path.lstrip('/'))}"

    def fetch(self, context: SourceContext[FtpsSettings, FtpsCredentials], rows: RowWriter) -> None:
        """Copy the file."""
        settings, (server,) = context.settings, self.hosts(context.settings, context.operator)
        host, _, port = server.rpartition(":")
        client = _Client(context, settings.host)
        try:
            client.open(host, int(port))
            _log_in(client, settings.username, context.credentials.password.get_secret_value())
            client.copy(settings.path, rows)
        except BlockedRequestError:
            raise SourceUnreachableError(
                gettext("The host of %(service)s is unknown, or not on the public internet", service="FTPS"), "host"
            ) from None
        except ssl.SSLError:
            raise SourceUnreachableError(
                gettext("The certificate of the server is not valid for this host, or it does not support TLS"), "host"
            ) from None
        except error_perm as error:
            raise _explain(error) from None
        except (Error, ValueError):
            raise InvalidResponseError(gettext("The server does not speak FTP with TLS"), "host") from None
        except (OSError, EOFError):
            text = gettext("%(service)s does not respond; try again later", service="FTPS")
            raise SourceUnreachableError(text) from None
        finally:
            client.close()


class _Client(FTP_TLS):
    """A connection to a checked address. Each read, write and handshake ends at the deadline of the fetch."""

    def __init__(self, context: SourceContext[FtpsSettings, FtpsCredentials], server_name: str) -> None:
        tls = ssl.create_default_context(cafile=context.operator.get("ca_file") or certifi.where())
        super().__init__(context=tls, timeout=TIMEOUT)
        self._context, self._server_name = context, server_name
        self._reply_lines = self._reply_length = 0

    def open(self, host: str, port: int) -> None:
        """Connect to the server."""
        self._seconds()
        address = self._context.outbound.resolve_address(host, port, secure=True)
        self.host, self.port = self._server_name, port  # the name that the certificate is for
        self.sock = socket.create_connection((address, port), self._seconds())
        self.af = self.sock.family
        self._open_replies()
        self.welcome = self.getresp()

    def auth(self) -> str:
        """Begin TLS; `getmultiline` has set the time that the handshake may take."""
        reply = super().auth()
        self._open_replies()
        return reply

    def getmultiline(self) -> str:
        """Return a reply, and set how long what follows it may take. Raises ValueError for one that is too long."""
        self._reply_lines = self._reply_length = 0
        reply = super().getmultiline()
        self._set_timeout(self.sock)
        return reply

    def getline(self) -> str:
        """Return a line of a reply."""
        self._set_timeout(self.sock)
        line = super().getline()
        self._reply_lines += 1
        self._reply_length += len(line)
        if self._reply_lines > MAX_REPLY_LINES or self._reply_length > MAX_REPLY_LENGTH:
            raise ValueError("the reply is too long")
        return line

    def ntransfercmd(self, cmd: str, rest: Any = None) -> tuple[socket.socket, int | None]:
        """Open a data connection, with the TLS session of the control connection, as many servers require."""
        self.timeout = self._seconds()
        connection, size = FTP.ntransfercmd(self, cmd, rest)  # noqa: S321 - TLS begins below
        try:
            self._set_timeout(connection)
            session = self.sock.session if isinstance(self.sock, ssl.SSLSocket) else None
            return self.context.wrap_socket(connection, server_hostname=self._server_name, session=session), size
        except BaseException:
            connection.close()
            raise

    def copy(self, path: str, rows: RowWriter) -> None:
        """Copy a file, or its start for a preview."""
        self.voidcmd("TYPE I")
        copy = FileCopy(rows, is_preview=self._context.is_preview)
        with self.transfercmd(f"RETR {path}") as connection:
            while data := self._receive(connection):
                copy.write(data)
                if copy.is_enough:
                    return
        self.voidresp()

    def _receive(self, connection: socket.socket) -> bytes:
        self._set_timeout(connection)
        return connection.recv(CHUNK_BYTES)

    def _open_replies(self) -> None:
        """Read replies until the deadline: ftplib's own file has a timeout for each read, so for each byte."""
        assert self.sock is not None
        raw = self.sock.makefile("rb", buffering=0)
        remaining = self._context.deadline - time.monotonic()
        reader = io.BufferedReader(DeadlineReader(raw, self.sock, remaining))
        self.file = io.TextIOWrapper(reader, encoding=self.encoding)

    def _set_timeout(self, connection: socket.socket | None) -> None:
        assert connection is not None
        connection.settimeout(self._seconds())

    def _seconds(self) -> float:
        """Return the time that the next step may take. Raises TimeoutError at the deadline."""
        remaining = self._context.deadline - time.monotonic()
        if remaining <= 0:
            raise TimeoutError
        return min(TIMEOUT, remaining)


def _log_in(client: _Client, username: str, password: str) -> None:
    """Begin TLS, and then send the password. Raises SourceCredentialsError."""
    client.auth()
    try:
        client.login(username, password, secure=False)
    except error_perm:
        raise SourceCredentialsError(gettext("The server rejects this user name or password"), "password") from None
    client.prot_p()


def _explain(error: error_perm) -> SourceError:
    """Return the error of a refused command; what the server says is not repeated."""
    reply = str(error)[:3]
    if reply == FILE_UNAVAILABLE:
        text = gettext("The server has no such file, or the account may not read it")
        return SourceNotFoundError(text, "path")
    if reply in PERMISSION_REPLIES or reply == LOGIN_REFUSED:
        return SourcePermissionError(gettext("This account may not read the file"), "path")
    return InvalidResponseError(gettext("The server does not speak FTP with TLS"), "host")


@hookimpl
def cwz_feed_sources() -> list[FtpsProvider]:
    """Return the provider of this module."""
    return [FtpsProvider()]

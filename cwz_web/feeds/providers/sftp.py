"""SFTP: a file on a server, by SSH, with asyncssh (the extra `sftp`).

The connection goes to the address that the guard has checked. The key of the host has to have the fingerprint that the
user has confirmed before anything secret is sent; without one, the fetch fails and says which key the server has.
Nothing of the machine is used: no configuration, known hosts, keys or agent of the user that the process runs as.
"""

import asyncio
import base64
import binascii
import re
import socket
import time
from collections import deque
from collections.abc import AsyncIterator, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from contextvars import copy_context
from functools import partial
from hmac import compare_digest
from itertools import islice
from typing import Annotated, Any
from urllib.parse import quote

import asyncssh
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key
from pydantic import AfterValidator, Field, SecretStr, ValidationInfo, field_validator

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
from cwz_web.feeds.providers.file_servers import FileCopy, check_host, check_port, check_size
from cwz_web.feeds.providers.hookspecs import hookimpl
from cwz_web.feeds.providers.rows import RowWriter
from cwz_web.i18n import gettext, gettext_noop
from cwz_web.net.client import BlockedRequestError
from cwz_web.plugin_fields import Fields

SSH_PORT = 22
# How long the connection and the login may take, and then each part of the file.
LOGIN_SECONDS = 15.0
PART_SECONDS = 30.0
# Every server accepts reads of this size (draft-ietf-secsh-filexfer-02, section 3). Several are sent ahead.
BLOCK_BYTES = 32 * 1024
BLOCKS_AHEAD = 32
MIN_RSA_BITS = 2048
# What OpenSSH offers by default, without SHA-1 and 64-bit authentication codes.
KEY_EXCHANGES = [
    "mlkem768x25519-sha256",
    "curve25519-sha256",
    "curve25519-sha256@libssh.org",
    "ecdh-sha2-nistp256",
    "ecdh-sha2-nistp384",
    "ecdh-sha2-nistp521",
    "diffie-hellman-group-exchange-sha256",
    "diffie-hellman-group16-sha512",
    "diffie-hellman-group18-sha512",
    "diffie-hellman-group14-sha256",
]
CIPHERS = [
    "chacha20-poly1305@openssh.com",
    "aes256-gcm@openssh.com",
    "aes128-gcm@openssh.com",
    "aes256-ctr",
    "aes192-ctr",
    "aes128-ctr",
]
MACS = ["hmac-sha2-256-etm@openssh.com", "hmac-sha2-512-etm@openssh.com", "hmac-sha2-256", "hmac-sha2-512"]
# A server has at most one key of each type; the order decides which one it presents.
HOST_KEYS = {
    "ssh-ed25519": ["ssh-ed25519"],
    "ecdsa": ["ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521"],
    "ssh-rsa": ["rsa-sha2-512", "rsa-sha2-256"],
}
SIGNATURES = [algorithm for algorithms in HOST_KEYS.values() for algorithm in algorithms]
_fingerprint = re.compile(r"(?:SHA256:)?([A-Za-z0-9+/]{43})=?")
_NOT_SSH = gettext_noop("The server does not speak SFTP with current algorithms")
# Its log names users and hosts at the level INFO.
asyncssh.set_log_level("WARNING")


def _check_fingerprint(value: str) -> str:
    """Return a fingerprint as OpenSSH shows it. Raises ValueError."""
    match = _fingerprint.fullmatch(value)
    try:
        digest = base64.b64decode(f"{match[1]}=", validate=True) if match else b""
    except binascii.Error:
        digest = b""
    if value and not digest:
        raise ValueError(
            gettext("Enter a SHA-256 fingerprint: SHA256: and 43 characters, as ssh-keygen -l shows it for a key")
        )
    return f"SHA256:{base64.b64encode(digest).decode().rstrip('=')}" if value else ""


class SftpSettings(Fields):
    """The server, its key, and the file."""

    host: Annotated[str, AfterValidator(check_host)] = Field(
        title=gettext_noop("Host"), description=gettext_noop("The name of the server"), examples=["sftp.example.com"]
    )
    port: Annotated[str, AfterValidator(partial(check_port, SSH_PORT))] = Field(
        default=str(SSH_PORT),
        title=gettext_noop("Port"),
        description=gettext_noop("22, unless your provider says otherwise"),
    )
    fingerprint: Annotated[str, AfterValidator(_check_fingerprint)] = Field(
        default="",
        title=gettext_noop("Fingerprint of the host key"),
        description=gettext_noop(
            "Your provider publishes it. If you leave it empty, the test says which one the server has, to be compared"
        ),
        examples=["SHA256:…"],
        max_length=100,
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


class SftpCredentials(Fields):
    """A password, a private key, or both."""

    password: SecretStr | None = Field(
        default=None,
        title=gettext_noop("Password"),
        description=gettext_noop("It is sent only to a server with this host key"),
        max_length=500,
    )
    key: SecretStr | None = Field(
        default=None,
        title=gettext_noop("Private key"),
        description=gettext_noop(
            "In place of the password: an OpenSSH or PEM key without a passphrase. It is stored encrypted"
        ),
        max_length=10_000,
        json_schema_extra={"multiline": True},
        validate_default=True,
    )

    @field_validator("key")
    @classmethod
    def _check_key(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        """Reject a key that cannot be used, and missing credentials."""
        if value is not None and value.get_secret_value():
            _import_key(value.get_secret_value())
        elif not info.data.get("password"):
            raise ValueError(gettext("Enter the password, or a private key"))
        return value


def _import_key(text: str) -> asyncssh.SSHKey:
    """Return a private key. Raises ValueError; a passphrase is not supported, since its cost has no bound."""
    try:
        key = asyncssh.import_private_key(text)
    except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError, ValueError):
        raise ValueError(
            gettext("Paste the whole private key, from BEGIN to END, without a passphrase (ssh-keygen -p removes it)")
        ) from None
    if not any(algorithm.decode() in SIGNATURES for algorithm in key.sig_algorithms) or _is_weak(key):
        raise ValueError(gettext("Use a key of type Ed25519 or ECDSA, or RSA with at least 2048 bits"))
    return key


def _is_weak(key: asyncssh.SSHKey) -> bool:
    if key.algorithm != b"ssh-rsa":
        return False
    public = load_der_public_key(key.export_public_key("pkcs8-der"))
    return not isinstance(public, RSAPublicKey) or public.key_size < MIN_RSA_BITS


class SftpProvider(FeedSourceProvider[SftpSettings, SftpCredentials]):
    """Fetches a file from an SFTP server."""

    api_version = 1
    name = "sftp"
    label = "SFTP"
    summary = gettext_noop("A file on a server, by SSH with a password or a key")
    icon = "server"
    help = gettext_noop("Use an account that may only read the folder of the export.")
    settings_model = SftpSettings
    credentials_model = SftpCredentials

    def hosts(self, settings: SftpSettings, operator: Mapping[str, str]) -> Iterable[str]:
        """Return the server. The operator's `endpoint` is for an emulator."""
        return [operator.get("endpoint") or f"{settings.host}:{settings.port}"]

    def recipient(self, settings: SftpSettings) -> str:
        """Return the fingerprint: SSH knows a server by its key, so another key needs the credentials again."""
        return settings.fingerprint

    def url(self, settings: SftpSettings) -> str:
        """Return the URL of the file."""
        return f"sftp://{settings.host}/{quote(settings.path.lstrip('/'))}"

    def fetch(self, context: SourceContext[SftpSettings, SftpCredentials], rows: RowWriter) -> None:
        """Copy the file."""
        try:
            # In a thread of its own, so that the caller may be in an event loop; with the language of the caller.
            with ThreadPoolExecutor(1) as thread:
                thread.submit(copy_context().run, asyncio.run, _copy(context, rows)).result()
        except SourceError:
            raise
        except BlockedRequestError:
            raise SourceUnreachableError(
                gettext("The host of %(service)s is unknown, or not on the public internet", service="SFTP"), "host"
            ) from None
        except asyncssh.PermissionDenied:
            field = "password" if context.credentials.password else "key"
            raise SourceCredentialsError(gettext("The server rejects this user name, password or key"), field) from None
        except asyncssh.ChannelOpenError:
            raise SourcePermissionError(gettext("This account may not use SFTP"), "username") from None
        except (asyncssh.ConnectionLost, asyncssh.SFTPConnectionLost, asyncssh.SFTPNoConnection, OSError):
            text = gettext("%(service)s does not respond; try again later", service="SFTP")
            raise SourceUnreachableError(text) from None
        except asyncssh.SFTPError as error:
            raise _explain(error) from None
        except (asyncssh.Error, ValueError):
            raise InvalidResponseError(gettext(_NOT_SSH), "host") from None


class _Client(asyncssh.SSHClient):
    """Accepts a host key by its fingerprint, and has the private key of the user.

    Attributes:
        presented: The key that the server has presented, if it was not accepted.
    """

    def __init__(self, fingerprint: str, key: asyncssh.SSHKey | None) -> None:
        self._fingerprint = fingerprint
        self._keys = [key] if key else []
        self._connection: asyncssh.SSHClientConnection | None = None
        self.presented: asyncssh.SSHKey | None = None

    @property
    def exchanges_keys(self) -> bool:
        """Whether no key was exchanged yet: if the server ends the connection then, no algorithms match."""
        connection = self._connection
        return bool(
            connection and connection.get_extra_info("server_version") and connection.get_server_host_key() is None
        )

    def connection_made(self, conn: asyncssh.SSHClientConnection) -> None:
        """Remember the connection."""
        self._connection = conn

    def validate_host_public_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:
        """Return whether a key is the confirmed one."""
        if not _is_weak(key) and compare_digest(key.get_fingerprint(), self._fingerprint):
            return True
        self.presented = key
        return False

    def public_key_auth_requested(self) -> asyncssh.SSHKey | None:
        """Return the private key, once. Keys in the options would turn on those of an agent."""
        return self._keys.pop() if self._keys else None


async def _copy(context: SourceContext[SftpSettings, SftpCredentials], rows: RowWriter) -> None:
    """Copy the file, or its start for a preview."""
    async with asyncio.timeout(max(context.deadline - time.monotonic(), 0)):
        async with _connection(context) as connection:
            async with asyncio.timeout(LOGIN_SECONDS):
                sftp = await connection.start_sftp_client()
                # With a block size of 0, a read is one request: otherwise gaps of an answer are filled with zeros.
                file = await sftp.open(context.settings.path, asyncssh.FXF_READ, encoding=None, block_size=0)
                size = _size_of(await file.stat())
            copy = FileCopy(rows, is_preview=context.is_preview)
            await _copy_blocks(file, size, copy)
            if copy.is_enough:
                return
            async with asyncio.timeout(PART_SECONDS):
                ending_size = _size_of(await file.stat())
        # A file that is written at the same time would be imported in part, or with gaps.
        if {size, ending_size} != {copy.size}:
            raise SourceUnreachableError(gettext("The file changed while it was read; try again later"), "path")


async def _copy_blocks(file: Any, size: int, copy: FileCopy) -> None:
    """Copy a file of a known size block by block, and one byte more if it grew; several blocks are requested ahead."""
    starts = iter(range(0, size + 1, BLOCK_BYTES))
    pending: deque[tuple[int, asyncio.Task[bytes]]] = deque()
    try:
        while True:
            for start in islice(starts, BLOCKS_AHEAD - len(pending)):
                length = min(BLOCK_BYTES, size + 1 - start)
                pending.append((length, asyncio.ensure_future(_read_block(file, start, length))))
            if not pending:
                return
            length, reading = pending.popleft()
            async with asyncio.timeout(PART_SECONDS):
                block = await reading
            if block:
                copy.write(block)
            if len(block) < length or copy.is_enough:
                return
    finally:
        for _, reading in pending:
            reading.cancel()
        await asyncio.gather(*(reading for _, reading in pending), return_exceptions=True)


async def _read_block(file: Any, start: int, length: int) -> bytes:
    """Return a block; a shorter one ends the file. Raises InvalidResponseError for more than was requested."""
    block = b""
    while len(block) < length:
        part = await file.read(length - len(block), start + len(block))
        if not part:
            break
        block += part
    if len(block) > length:
        raise InvalidResponseError(gettext(_NOT_SSH), "host")
    return block


@asynccontextmanager
async def _connection(
    context: SourceContext[SftpSettings, SftpCredentials],
) -> AsyncIterator[asyncssh.SSHClientConnection]:
    """Yield a connection to a server with the confirmed key.

    The fingerprint may be that of any key of the server: each type is asked for, until one is the confirmed one.

    Raises:
        SourceError: No fingerprint is confirmed, or the server has no such key.
    """
    types = list(HOST_KEYS)
    presented: asyncssh.SSHKey | None = None
    while types:
        key = context.credentials.key
        client = _Client(context.settings.fingerprint, _import_key(key.get_secret_value()) if key else None)
        try:
            connection = await _connect(context, client, types)
        except asyncssh.HostKeyNotVerifiable:
            rejected = client.presented
            if rejected is None:
                raise
            presented = presented or rejected
            name = rejected.get_algorithm()
            types = [each for each in types if not name.startswith(each)]
            if not context.settings.fingerprint:
                break
            continue
        except (asyncssh.Error, SourceError, OSError):
            if presented is None:
                raise
            break  # most likely, the server has no key of another type
        try:
            yield connection
        finally:
            connection.abort()
        return
    raise _explain_key(presented, context.settings.fingerprint)


async def _connect(
    context: SourceContext[SftpSettings, SftpCredentials], client: _Client, types: list[str]
) -> asyncssh.SSHClientConnection:
    """Return a connection to the checked address of the server."""
    settings, credentials = context.settings, context.credentials
    host, _, port = next(iter(SftpProvider().hosts(settings, context.operator))).rpartition(":")
    address = context.outbound.resolve_address(host, int(port), secure=True)
    seconds = min(LOGIN_SECONDS, context.deadline - time.monotonic())
    if seconds <= 0:
        raise TimeoutError
    opened = socket.create_connection((address, int(port)), seconds)
    try:
        opened.setblocking(False)
        async with asyncio.timeout(LOGIN_SECONDS):
            return await asyncssh.connect(
                settings.host,
                int(port),
                sock=opened,
                client_factory=lambda: client,
                config=None,
                known_hosts=([], [], []),
                x509_trusted_certs=None,
                x509_trusted_cert_paths=[],
                client_keys=None,
                gss_host=None,
                username=settings.username,
                password=credentials.password.get_secret_value() if credentials.password else None,
                preferred_auth=("publickey", "password", "keyboard-interactive"),
                server_host_key_algs=[algorithm for each in types for algorithm in HOST_KEYS[each]],
                kex_algs=KEY_EXCHANGES,
                encryption_algs=CIPHERS,
                mac_algs=MACS,
                signature_algs=SIGNATURES,
                compression_algs=None,
                client_version="ConnectWyze",
            )
    except BaseException as error:
        opened.close()
        if isinstance(error, asyncssh.ConnectionLost) and client.exchanges_keys:
            raise InvalidResponseError(gettext(_NOT_SSH), "host") from None
        raise


def _size_of(attributes: asyncssh.SFTPAttrs) -> int:
    """Return the size of a file. Raises SourceError for a folder, and for a file that is too large."""
    if attributes.type == asyncssh.FILEXFER_TYPE_DIRECTORY:
        raise SourceNotFoundError(gettext("This is a folder; enter the path of a file"), "path")
    if attributes.size is None:
        raise InvalidResponseError(gettext(_NOT_SSH), "host")
    check_size(attributes.size)
    return attributes.size


def _explain_key(key: asyncssh.SSHKey | None, fingerprint: str) -> SourceError:
    """Return the error of a host key that is not confirmed. A fingerprint is a hash: it repeats nothing of a server."""
    if key is None or _is_weak(key):
        return InvalidResponseError(gettext(_NOT_SSH), "host")
    presented = key.get_fingerprint()
    if not fingerprint:
        return SourceError(
            gettext(
                "The server has the host key %(fingerprint)s. Compare it with the one that your provider publishes;"
                " only if it is the same, enter it as the fingerprint",
                fingerprint=presented,
            ),
            "fingerprint",
        )
    return SourceError(
        gettext(
            "The server has another host key than the confirmed one: %(fingerprint)s. The connection may be"
            " intercepted. Enter it as the fingerprint only if your provider says that the key was changed",
            fingerprint=presented,
        ),
        "fingerprint",
    )


def _explain(error: asyncssh.SFTPError) -> SourceError:
    """Return the error of a refused request; what the server says is not repeated."""
    if isinstance(error, asyncssh.SFTPNoSuchFile | asyncssh.SFTPNoSuchPath | asyncssh.SFTPNotADirectory):
        return SourceNotFoundError(gettext("The server has no such file"), "path")
    if isinstance(error, asyncssh.SFTPPermissionDenied):
        return SourcePermissionError(gettext("This account may not read the file"), "path")
    if isinstance(error, asyncssh.SFTPBadMessage):
        return InvalidResponseError(gettext(_NOT_SSH), "host")
    return InvalidResponseError(gettext("The server cannot read this file"), "path")


@hookimpl
def cwz_feed_sources() -> list[SftpProvider]:
    """Return the provider of this module."""
    return [SftpProvider()]

"""What the installation's own URL offers: the version of TLS, and the certificate."""

import socket
import ssl
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

TIMEOUT_SECONDS = 10.0
# RFC 8996 deprecates versions before 1.2.
OLD_VERSIONS = (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1)


@dataclass(frozen=True)
class TlsState:
    """The result of connecting to a server.

    Attributes:
        version: The version that was negotiated, such as TLSv1.3.
        expires_at: When the certificate expires.
        accepts_old_versions: Whether the server accepts a version before 1.2.
    """

    version: str
    expires_at: datetime
    accepts_old_versions: bool


def inspect_tls(host: str, port: int) -> TlsState:
    """Connect to a server as browsers do.

    Raises:
        ssl.SSLCertVerificationError: The certificate is not valid for the host.
        OSError: The server cannot be reached, or offers no TLS.
    """
    with _connect(host, port, ssl.create_default_context()) as connection:
        certificate = connection.getpeercert() or {}
        version = connection.version() or ""
    seconds = ssl.cert_time_to_seconds(str(certificate["notAfter"]))
    return TlsState(version, datetime.fromtimestamp(seconds, UTC), _accepts_old_versions(host, port))


def _accepts_old_versions(host: str, port: int) -> bool:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")  # otherwise OpenSSL itself refuses old versions
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):  # they are what is looked for
        context.minimum_version, context.maximum_version = OLD_VERSIONS
    try:
        with _connect(host, port, context):
            return True
    except OSError:
        return False


@contextmanager
def _connect(host: str, port: int, context: ssl.SSLContext) -> Iterator[ssl.SSLSocket]:
    with (
        socket.create_connection((host, port), TIMEOUT_SECONDS) as plain,
        context.wrap_socket(plain, server_hostname=host) as connection,
    ):
        yield connection

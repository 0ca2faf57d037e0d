"""What providers of a file on a server share: checks of host and port, and copying the file within its limits."""

import re

from cwz_web.feeds.limits import MAX_BYTES, PREVIEW_BYTES
from cwz_web.feeds.providers.contract import InvalidResponseError
from cwz_web.feeds.providers.rows import RowWriter
from cwz_web.i18n import gettext, number

_label = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_host = re.compile(rf"(?:{_label}\.)+[a-z](?:[a-z0-9-]{{0,61}}[a-z0-9])")
# Ports of other protocols are not for these.
FIRST_FREE_PORT = 1024


def check_host(value: str) -> str:
    """Return a host name in lower case. Raises ValueError for anything else, such as an IP address."""
    if not _host.fullmatch(value.lower()) or len(value) > 253:
        raise ValueError(
            gettext("Enter the name of the server, for example files.example.com, without a protocol or path")
        )
    return value.lower()


def check_port(default: int, value: str) -> str:
    """Return a port as a text: the default one of the protocol, or a free one. Raises ValueError."""
    port = int(value) if re.fullmatch(r"[0-9]{1,5}", value) else 0
    if port != default and not FIRST_FREE_PORT <= port < 65536:
        raise ValueError(gettext("Enter %(port)s, or a port from 1024 to 65535", port=default))
    return str(port)


class FileCopy:
    """Copies a file part by part within the limits of a feed's file, or its start for a preview.

    Args:
        rows: Receives the file.
        is_preview: The start suffices, if it can be read without the end.

    Attributes:
        size: The number of bytes that were copied.
        is_enough: Whether a preview has what it needs.
    """

    def __init__(self, rows: RowWriter, *, is_preview: bool) -> None:
        self._rows, self._is_preview = rows, is_preview
        self.size = 0
        self.is_enough = False

    def write(self, data: bytes) -> None:
        """Write the next part. Raises InvalidResponseError if the file is too large."""
        self.size += len(data)
        check_size(self.size)
        self._rows.write_part(data)
        if self._is_preview and self.size >= PREVIEW_BYTES and not self._rows.needs_end:
            self._rows.is_cut = self.is_enough = True


def check_size(size: int) -> None:
    """Raise InvalidResponseError for a file that is too large."""
    if size > MAX_BYTES:
        text = gettext("The response is larger than %(number)s MB", number=number(MAX_BYTES // 1024**2))
        raise InvalidResponseError(text)

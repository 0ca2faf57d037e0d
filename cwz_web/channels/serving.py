"""Reading the file of a channel from the storage, whole, before any of it is sent."""

import gzip
from contextlib import ExitStack
from hashlib import sha256
from typing import BinaryIO

from cwz_web.channels.models import STORED_DIGEST, Channel
from cwz_web.feeds.temporary_files import temporary_file
from cwz_web.i18n import gettext
from cwz_web.storage.contract import Bucket, StorageError

PART = 256 * 1024


class DamagedFeedError(StorageError):
    """The object of a feed is not what was written."""

    def __init__(self) -> None:
        super().__init__(gettext("The stored feed was changed. It is written again"))


class HeldFile:
    """A file that keeps something else open until it is closed: what limits the number of such files.

    Args:
        file: the file.
        held: what is closed after it.
    """

    def __init__(self, file: BinaryIO, held: ExitStack) -> None:
        self._file, self._held = file, held
        self.read, self.seek, self.tell = file.read, file.seek, file.tell

    def close(self) -> None:
        """Close both."""
        with self._held:
            self._file.close()

    def __del__(self) -> None:
        self.close()  # a response may be dropped before it is sent


def open_feed(bucket: Bucket, channel: Channel, *, is_gzipped: bool) -> BinaryIO:
    """Return the file of a channel, at its begin. The caller closes it.

    Args:
        bucket: the bucket that has it.
        channel: the channel, whose feed was written.
        is_gzipped: whether the file is wanted compressed, as it is stored.

    Raises:
        StorageError: the storage failed, or the object is not what was written.
    """
    assert channel.object_key
    file = temporary_file()
    digest, size = sha256(), 0
    for part in bucket.stream(channel.object_key):
        size += len(part)
        if size > channel.stored_size:
            break
        digest.update(part)
        file.write(part)
    # Feeds that were written by an earlier version have none.
    expected = (channel.report or {}).get(STORED_DIGEST) or digest.hexdigest()
    if size != channel.stored_size or digest.hexdigest() != expected:
        file.close()
        raise DamagedFeedError
    file.seek(0)
    if is_gzipped:
        return file
    with file:
        return _unzip(file, channel)


def _unzip(zipped: BinaryIO, channel: Channel) -> BinaryIO:
    plain, digest, size = temporary_file(), sha256(), 0
    try:
        with gzip.open(zipped) as unzipped:
            while (part := unzipped.read(PART)) and size <= channel.size:
                size += len(part)
                digest.update(part)
                plain.write(part)
    except (OSError, EOFError) as error:
        plain.close()
        raise DamagedFeedError from error
    if digest.hexdigest() != channel.digest:
        plain.close()
        raise DamagedFeedError
    plain.seek(0)
    return plain

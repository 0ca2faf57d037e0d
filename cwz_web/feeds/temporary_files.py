"""Temporary files of rows: in memory while they are small."""

import tempfile
from typing import BinaryIO

# Larger temporary files are written to disk.
IN_MEMORY = 8 * 1024 * 1024


class _TemporaryFile(tempfile.SpooledTemporaryFile[bytes]):
    """A temporary file that is closed when it is garbage-collected: a stream of rows may be dropped half-way."""

    def __del__(self) -> None:
        self.close()


def temporary_file(data: bytes = b"") -> BinaryIO:
    """Return a new temporary file, in memory while it is small."""
    file: BinaryIO = _TemporaryFile(IN_MEMORY)  # type: ignore[assignment]
    file.write(data)
    return file

"""Uploaded files of a workspace, in whichever of its connections they are stored."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from cwz_web.i18n import gettext
from cwz_web.storage.connections import upload_key
from cwz_web.storage.contract import ObjectNotFoundError, ReadBucket, StorageError, read_at_most
from cwz_web.storage.plugins import ConnectionSpec, DelegatedConnection


@dataclass(frozen=True)
class Uploads:
    """The uploads of one workspace.

    Args:
        workspace_id: The workspace.
        connections: Its connections, the likeliest first.
        open_bucket: Opens the bucket of a connection; called only as far as needed.
    """

    workspace_id: UUID
    connections: Sequence[ConnectionSpec | DelegatedConnection]
    open_bucket: Callable[[Any], ReadBucket]

    def get(self, digest: str, max_bytes: int) -> bytes:
        """Return the upload of a SHA-256 digest.

        Raises:
            ObjectNotFoundError: No connection has it.
            StorageError: No connection has it, and this is the first error of one that could not be read.
        """
        first_error: StorageError | None = None
        for connection in self.connections:
            try:
                bucket = self.open_bucket(connection)
                return read_at_most(bucket, upload_key(self.workspace_id, digest), max_bytes)
            except ObjectNotFoundError:
                continue
            except StorageError as error:
                first_error = first_error or error
        raise first_error or ObjectNotFoundError(gettext("The workspace does not have this upload"))

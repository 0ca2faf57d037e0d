"""Images that people brought in: found in whichever of the workspace's connections they were put."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from cwz_web.storage.connections import upload_key
from cwz_web.storage.contract import ObjectNotFoundError, ReadWriteBucket, StorageError, read_at_most
from cwz_web.storage.plugins import DelegatedConnection, Place


@dataclass(frozen=True)
class Uploads:
    """The originals of one workspace.

    Arguments:
        places: its connections, the likeliest first.
        open_bucket: opens one; asked for only as far as needed.
    """

    workspace_id: UUID
    places: Sequence[Place | DelegatedConnection]
    open_bucket: Callable[[Any], ReadWriteBucket]

    def get(self, digest: str, most: int) -> bytes:
        """The original of a SHA-256, of so many bytes at most.

        Raises ObjectNotFoundError when none has it, or the error of one that could not be asked, or has something larger there.
        """
        trouble: StorageError | None = None
        for place in self.places:
            try:
                return read_at_most(self.open_bucket(place), upload_key(self.workspace_id, digest), most)
            except ObjectNotFoundError:
                continue
            except StorageError as error:
                trouble = trouble or error
        raise trouble or ObjectNotFoundError("The workspace does not keep this image")

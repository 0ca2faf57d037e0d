"""The operator's own storage, for workspaces that bring none: one bucket, with a prefix for each workspace.

It is a provider without settings and secrets: those are the operator's, in the .ini file and the environment, so that
no page or export of a workspace can show them.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, BinaryIO
from uuid import UUID

from pydantic import BaseModel

from cwz_web.plugin_fields import Fields
from cwz_web.storage.contract import (
    API_VERSION,
    Bucket,
    BucketContext,
    InvalidSettingsError,
    ObjectAttributes,
    ObjectInfo,
    PresignedUpload,
    StorageProvider,
)

INCLUDED = "included"


class NoFields(Fields):
    """Nothing to enter."""


class IncludedProvider(StorageProvider[NoFields, NoFields]):
    """The provider that opens the operator's bucket.

    Args:
        target: The provider of the bucket.
        options: An instance of its settings model.
        secrets: An instance of its credentials model.
        operator: The .ini settings `cwz.storage.<provider>.*`.
        label: The name of the included storage in the interface.
    """

    api_version = API_VERSION
    name = INCLUDED
    icon = "package"
    settings_model = NoFields
    credentials_model = NoFields

    def __init__(
        self,
        target: StorageProvider[Any, Any],
        options: BaseModel,
        secrets: BaseModel,
        operator: Mapping[str, str],
        label: str,
    ) -> None:
        self._target, self._options, self._secrets, self._operator = target, options, secrets, operator
        # Class variables of other providers; an installation has one included storage.
        self.label, self.capabilities = label, target.capabilities  # type: ignore[misc]

    def hosts(self, settings: NoFields, ini: Mapping[str, str]) -> Iterable[str]:
        """Return the hosts of the operator's bucket."""
        return self._target.hosts(self._options, self._operator)

    def open(self, context: BucketContext[NoFields, NoFields]) -> Bucket:
        """Open the operator's bucket."""
        return self._target.open(BucketContext(self._options, self._secrets, self._operator, context.outbound))


class WorkspaceBucket(Bucket):
    """The part of a bucket that belongs to one workspace: any other key is rejected.

    Args:
        bucket: The whole bucket.
        workspace_id: The workspace.
    """

    def __init__(self, bucket: Bucket, workspace_id: UUID) -> None:
        self._bucket = bucket
        self._prefix = f"{workspace_id}/"

    def put(
        self,
        key: str,
        body: bytes | BinaryIO,
        *,
        content_type: str,
        cache_control: str = "",
        metadata: Mapping[str, str] | None = None,
        if_absent: bool = False,
    ) -> None:
        """See Bucket.put."""
        self._bucket.put(
            self._own(key),
            body,
            content_type=content_type,
            cache_control=cache_control,
            metadata=metadata,
            if_absent=if_absent,
        )

    def put_object(self, key: str, body: bytes, attributes: ObjectAttributes) -> None:
        """See Bucket.put_object."""
        self._bucket.put_object(self._own(key), body, attributes)

    def get(self, key: str, start: int = 0, length: int | None = None) -> bytes:
        """See Bucket.get."""
        return self._bucket.get(self._own(key), start, length)

    def head(self, key: str) -> ObjectInfo:
        """See Bucket.head."""
        return self._bucket.head(self._own(key))

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """See Bucket.list; without a prefix, the objects of the workspace."""
        return self._bucket.list(self._own(prefix or self._prefix))

    def delete(self, key: str) -> None:
        """See Bucket.delete."""
        self._bucket.delete(self._own(key))

    def stream(self, key: str) -> Iterator[bytes]:
        """See Bucket.stream."""
        return self._bucket.stream(self._own(key))

    def delete_many(self, keys: Iterable[str]) -> None:
        """See Bucket.delete_many."""
        self._bucket.delete_many([self._own(key) for key in keys])

    def presign_get(self, key: str, seconds: int) -> str:
        """See Bucket.presign_get."""
        return self._bucket.presign_get(self._own(key), seconds)

    def presign_put(self, key: str, seconds: int, *, content_type: str) -> str:
        """See Bucket.presign_put."""
        return self._bucket.presign_put(self._own(key), seconds, content_type=content_type)

    def presign_upload(self, key: str, seconds: int, attributes: ObjectAttributes) -> PresignedUpload:
        """See Bucket.presign_upload."""
        return self._bucket.presign_upload(self._own(key), seconds, attributes)

    def public_url(self, key: str) -> str:
        """See Bucket.public_url."""
        return self._bucket.public_url(self._own(key))

    def _own(self, key: str) -> str:
        if not key.startswith(self._prefix) or ".." in key.split("/"):
            raise InvalidSettingsError("This object belongs to another workspace")
        return key

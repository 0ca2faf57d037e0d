"""The web application's side of a render worker's storage: presign URLs, or read and store objects for the worker."""

from sqlalchemy.orm import Session

from cwz_web.generation.images import find_image_key
from cwz_web.imaging.decoding import MAX_BYTES
from cwz_web.imaging.encoders import Format
from cwz_web.runs.models import Run
from cwz_web.runs.protocol import (
    ObjectBody,
    ObjectMessage,
    ObjectRequest,
    ObjectResponse,
    ObjectSize,
    ObjectSizeRequest,
    PresignedUrls,
    PresignedUrlsRequest,
    ReadObjectRequest,
    RunFinished,
    RunNotFoundError,
    StorageFailure,
    StoreImageRequest,
)
from cwz_web.storage.connections import CONNECTION_DELETED
from cwz_web.storage.contract import (
    Bucket,
    ObjectNotFoundError,
    StorageError,
    StorageUnreachableError,
    find_size,
    read_at_most,
)
from cwz_web.storage.image_objects import NO_LABEL, ImageLabel, image_attributes
from cwz_web.storage.models import Connection
from cwz_web.storage.plugins import ConnectionSpec, ProviderRegistry

PRESIGNED_SECONDS = 300


def find_connection_spec(db: Session, request: ObjectMessage) -> ConnectionSpec | StorageFailure | RunFinished:
    """Find the connection that a worker's request names.

    Returns:
        The connection; or why there is none: it was removed, or the run has finished.

    Raises:
        RunNotFoundError: the run does not exist.
    """
    run = db.get(Run, (request.workspace_id, request.run_id))
    if run is None:
        raise RunNotFoundError
    if not run.is_rendering:
        return RunFinished()
    connection = db.get(Connection, (request.workspace_id, request.connection_id))
    return connection.spec if connection else StorageFailure(message=CONNECTION_DELETED, is_temporary=False)


def find_object(db: Session, request: ObjectRequest) -> ObjectRequest:
    """Return a worker's request with the key that its object has: workers name images by their digest alone.

    The file name of a readable key is checked with the message, so the key stays among the images of the workspace.
    """
    label = NO_LABEL if isinstance(request, ReadObjectRequest) else request.label
    key = find_image_key(db, request.workspace_id, request.key, label.file_name)
    return request if key == request.key else request.model_copy(update={"key": key})


def access_object(
    providers: ProviderRegistry, spec: ConnectionSpec | StorageFailure | RunFinished, request: ObjectRequest
) -> ObjectResponse:
    """Perform a render worker's object request.

    To be called outside a transaction, since the storage may be slow.

    Args:
        providers: open the connection.
        spec: what `find_connection_spec` returned.
        request: names the object; what `find_object` returned.
    """
    if isinstance(spec, StorageFailure | RunFinished):
        return spec
    try:
        bucket = providers.open(spec)
        match request:
            case PresignedUrlsRequest():
                return _presign(bucket, request.key, request.label)
            case ObjectSizeRequest():
                return ObjectSize(size=find_size(bucket, request.key))
            case ReadObjectRequest():
                return ObjectBody(body=_read(bucket, request.key))
            case StoreImageRequest():
                attributes = image_attributes(
                    request.key, request.label, content_type=_format(request.key).content_type
                )
                bucket.put_object(request.key, request.body, attributes)
                return ObjectSize(size=len(request.body))
    except StorageError as error:
        return StorageFailure(message=str(error)[:500], is_temporary=isinstance(error, StorageUnreachableError))


def _presign(bucket: Bucket, key: str, label: ImageLabel) -> PresignedUrls:
    """Presign an object's URLs. No request is sent to the storage."""
    get = bucket.presign_get(key, PRESIGNED_SECONDS)
    if "." not in key:  # an upload, which workers only read
        return PresignedUrls(get=get)
    attributes = image_attributes(key, label, content_type=_format(key).content_type)
    upload = bucket.presign_upload(key, PRESIGNED_SECONDS, attributes)
    return PresignedUrls(get=get, put=upload.url, put_headers=dict(upload.headers))


def _read(bucket: Bucket, key: str) -> bytes | None:
    try:
        return read_at_most(bucket, key, MAX_BYTES)
    except ObjectNotFoundError:
        return None


def _format(key: str) -> Format:
    return Format(key.rpartition(".")[2])

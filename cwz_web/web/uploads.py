"""Files of uploads, for pages and the API: checked, stored in the default connection and recorded; and read."""

from collections.abc import Sequence
from functools import partial
from uuid import UUID

from pyramid.response import Response
from slugify import slugify

from cwz_web.billing.plans import PlanLimit, PlanLimitError, check_plan_limit
from cwz_web.generation.models import Upload
from cwz_web.generation.uploads import (
    ReservedUpload,
    UploadError,
    clean_name,
    complete_upload,
    release_upload,
    reserve_upload,
)
from cwz_web.imaging.errors import ImagingError
from cwz_web.imaging.image_uploads import MAX_UPLOAD_BYTES
from cwz_web.imaging.uploads import EXTENSIONS, PreparedUpload, prepare_upload
from cwz_web.storage.connections import get_default_connection, upload_key
from cwz_web.storage.contract import StorageError
from cwz_web.storage.plugins import ConnectionSpec
from cwz_web.storage.uploads import Uploads
from cwz_web.web.request import Request
from cwz_web.workspaces.audit import record

# The reasons why a file is not uploaded; their messages are for people.
UPLOAD_ERRORS = (ImagingError, StorageError, UploadError, PlanLimitError)


def store_upload(
    request: Request,
    workspace_id: UUID,
    data: bytes,
    file_name: str,
    *,
    name: str = "",
    created_by: UUID | None,
    is_sample: bool = False,
) -> tuple[Upload, bool]:
    """Check a file, store it, and add it to the workspace's uploads. The request has no open transaction.

    Args:
        request: the request; it occupies a slot of those that wait for other servers, since a hostile image, and a slow
            bucket, keep a thread for seconds.
        workspace_id: the workspace.
        data: the file.
        file_name: its name, as the client states it. A font is named as it names itself.
        name: the name of the upload, which comes before.
        created_by: the account that uploads it; None for an API key.
        is_sample: whether it is one of our illustrations, which no plan refuses.

    Returns:
        The upload, and whether it is new: the same file is stored once.

    Raises:
        ImagingError: the file is not supported, damaged or too large.
        StorageError: the workspace has no storage connection, or it does not work.
        UploadError: a limit is reached, or the file is being removed from the storage.
        PlanLimitError: the plan allows no more uploads.
        SlowRequestLimitError: too many requests wait for other servers.
    """
    services = request.services
    with services.outbound.slot():
        prepared = prepare_upload(data)
        with services.database.transaction(workspace_id) as db:
            check = partial(check_plan_limit, db, services.settings, workspace_id, PlanLimit.UPLOADS)
            spec = get_default_connection(db, workspace_id).spec
            reserved = reserve_upload(
                db,
                workspace_id,
                prepared,
                name=name or prepared.title or clean_name(file_name),
                connection_id=spec.connection_id,
                created_by=created_by,
                check_limit=(lambda: None) if is_sample else check,
            )
        _put(request, spec, prepared, reserved)
    with services.database.transaction(workspace_id) as db:
        upload = complete_upload(db, workspace_id, reserved)
        record(db, workspace_id, request.actor, "upload.add", upload.name, {"digest": upload.digest})
    return upload, reserved.is_new


def _put(request: Request, spec: ConnectionSpec, prepared: PreparedUpload, reserved: ReservedUpload) -> None:
    """Store the file of a reserved upload. Raises StorageError, and releases the upload then."""
    services, workspace_id = request.services, spec.workspace_id
    try:
        # Never the type of the file: a bucket that is open to the public shows no upload in a browser.
        services.providers.open(spec).put(
            upload_key(workspace_id, prepared.source.digest),
            prepared.source.data,
            content_type="application/octet-stream",
        )
    except StorageError:
        with services.database.transaction(workspace_id) as db:
            release_upload(db, workspace_id, reserved)
        raise


def download_upload(request: Request, upload: Upload, connections: Sequence[ConnectionSpec]) -> Response:
    """Return the file of an upload as a download: no browser shows it as a page of this site.

    Args:
        request: the request, without an open transaction.
        upload: the upload.
        connections: the workspace's connections, the likeliest first.

    Raises:
        StorageError: no connection has the file, or the storage does not respond.
    """
    with request.services.outbound.slot():
        uploads = Uploads(upload.workspace_id, connections, request.services.providers.open)
        data = uploads.get(upload.digest, MAX_UPLOAD_BYTES * 2)
    response = Response(data, content_type=upload.content_type, charset=None)
    name = f"{slugify(upload.name, max_length=80) or upload.kind}.{EXTENSIONS[upload.content_type]}"
    response.content_disposition = f'attachment; filename="{name}"'
    return response

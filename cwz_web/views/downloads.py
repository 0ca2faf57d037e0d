"""Downloads of one stored object, without a thread that waits for a slow client."""

from os import SEEK_END
from tempfile import TemporaryFile
from typing import IO

from pyramid.httpexceptions import HTTPSeeOther
from pyramid.response import FileIter, Response

from cwz_web.storage.contract import Capability
from cwz_web.storage.plugins import ConnectionSpec
from cwz_web.web.request import Request
from cwz_web.web.transactions import release_connection

PRESIGNED_SECONDS = 300


def download_zip(request: Request, spec: ConnectionSpec, key: str) -> Response:
    """Return a response that downloads a stored zip file, named as the last part of its key.

    It redirects to a presigned URL where the provider supports that. Otherwise the object is copied into a temporary
    file, which the server sends on its own.

    Raises:
        StorageError: the storage does not answer, or does not have the object.
    """
    providers, workspace_id = request.services.providers, request.workspace.workspace_id
    release_connection(request)
    bucket, provider = providers.open(spec), providers.get(spec.provider)
    if provider and Capability.PRESIGNED_GET in provider.capabilities:
        return HTTPSeeOther(bucket.presign_get(key, PRESIGNED_SECONDS), cache_control="no-store")
    file: IO[bytes] = TemporaryFile()  # noqa: SIM115 - the server closes it
    with request.services.slow_requests.slot(workspace_id):
        for part in bucket.stream(key):
            file.write(part)
    return zip_response(request, file, key.rpartition("/")[2])


def zip_response(request: Request, file: IO[bytes], name: str) -> Response:
    """Return a response that downloads a zip file, which the server sends on its own and closes."""
    size = file.seek(0, SEEK_END)
    file.seek(0)
    response = Response(
        app_iter=request.environ.get("wsgi.file_wrapper", FileIter)(file),
        content_type="application/zip",
        content_length=size,
    )
    response.content_disposition = f'attachment; filename="{name}"'
    return response

"""`/v1/uploads`: images and fonts that templates use."""

import re
from datetime import datetime
from typing import Annotated, Any, NamedTuple
from urllib.parse import unquote, urlsplit
from uuid import UUID

from pydantic import Field
from pyramid.response import Response
from pyramid.view import view_config

from cwz_web.api.pagination import ResponseModel, paginate, transaction
from cwz_web.api.request_body import JSON, Body, read_body
from cwz_web.generation.brand import find_brand_uses
from cwz_web.generation.models import Upload
from cwz_web.generation.upload_uses import find_uses
from cwz_web.generation.uploads import (
    MAX_NAME,
    UploadBusyError,
    UploadInUseError,
    UploadLimitError,
    delete_upload,
    matching_uploads,
)
from cwz_web.imaging.brand_references import Kind
from cwz_web.imaging.errors import ImagingError
from cwz_web.imaging.image_uploads import MAX_UPLOAD_BYTES
from cwz_web.imaging.photo_urls import InvalidPhotoUrlError, normalize_url
from cwz_web.imaging.uploads import UploadKind
from cwz_web.net.client import FetchError
from cwz_web.resources.api import ApiUpload, ApiUploadCollection
from cwz_web.resources.permissions import Permission
from cwz_web.storage.connections import list_connections
from cwz_web.storage.contract import ObjectNotFoundError
from cwz_web.web.form_body import MULTIPART, read_multipart
from cwz_web.web.problems import ProblemError
from cwz_web.web.request import Request
from cwz_web.web.uploads import download_upload, store_upload
from cwz_web.workspaces.audit import record

FETCH_SECONDS = 20.0
FIELDS = ("file", "name")
NAME_PATTERN = rf"^[^\x00-\x1f\x7f]{{0,{MAX_NAME}}}$"


class UploadUrlRequest(Body):
    """The URL of a file that is fetched once and stored, and the upload's name; by default, that of the file.

    To send the file itself, use multipart/form-data with a field `file`.
    """

    url: Annotated[str, Field(min_length=1, max_length=2000, json_schema_extra={"format": "uri"})]
    name: Annotated[str, Field(max_length=MAX_NAME, pattern=NAME_PATTERN)] = ""


class UploadInfo(ResponseModel):
    """An uploaded image or font, as it is stored: an SVG or GIF image is stored as PNG.

    `reference` is the value of a layer's `source` or `font`, or of an image field, that shows it. `digest` is the
    SHA-256 of the stored file. `width` and `height` are null for a font.
    """

    id: UUID
    kind: UploadKind
    name: str
    content_type: str
    bytes: int
    width: int | None
    height: int | None
    digest: str
    reference: str
    created_at: datetime


class UploadPage(ResponseModel):
    """A page of uploads, newest first."""

    uploads: list[UploadInfo]
    next: str | None


class UploadUseInfo(ResponseModel):
    """A template that uses an upload: in its draft, and in versions, by their numbers."""

    template: UUID
    slug: str
    draft: bool
    versions: list[int]


class UploadBrandUseInfo(ResponseModel):
    """An entry of the brand that has an upload as its value, or, if it is a style, as its font."""

    kind: Kind
    name: str


class UploadDetails(UploadInfo):
    """An upload, the templates that use it, and the entries of the brand."""

    uses: list[UploadUseInfo]
    brand: list[UploadBrandUseInfo]


class _File(NamedTuple):
    """A file, its own name, and the name that the upload is given; empty for none."""

    data: bytes
    file_name: str
    name: str


@view_config(context=ApiUploadCollection, request_method="GET", renderer="json", permission=Permission.API_READ)
def get_uploads(context: ApiUploadCollection, request: Request) -> dict[str, Any]:
    """List the workspace's uploads, newest first, of all or of those that match `name` and `kind`."""
    kind, name = request.GET.get("kind", ""), request.GET.get("name", "")
    errors = {} if kind in ("", *UploadKind) else {"kind": f"Use {' or '.join(UploadKind)}"}
    errors |= {"name": f"Use at most {MAX_NAME} characters"} if len(name) > MAX_NAME else {}
    if errors:
        raise ProblemError(422, "invalid", "The request is not valid", errors)
    with transaction(request) as db:
        conditions = matching_uploads(UploadKind(kind) if kind else None, name)
        uploads, cursor = paginate(request, db, Upload, *conditions)
    return _json(UploadPage(uploads=[UploadInfo(**_values(upload)) for upload in uploads], next=cursor))


@view_config(
    context=ApiUploadCollection,
    request_method="POST",
    permission=Permission.API_UPLOADS_WRITE,
    require_csrf=False,
    rate_limit="upload",
)
def post_upload(context: ApiUploadCollection, request: Request) -> Response:
    """Store a file of a multipart body, or of a URL: 201; 200 for a file that the workspace has already."""
    # A fetch from a slow host and the storage share one slot.
    with request.services.outbound.slot():
        file = _fetched_file(request) if request.content_type == JSON else _posted_file(request)
        upload, is_new = _store(request, file)
    response = Response(json_body=_json(UploadInfo(**_values(upload))), status=201 if is_new else 200)
    response.location = f"{request.path_url.rstrip('/')}/{upload.id}"
    return response


@view_config(context=ApiUpload, request_method="GET", renderer="json", permission=Permission.API_READ)
def get_upload(context: ApiUpload, request: Request) -> dict[str, Any]:
    """Return an upload, and where it is used."""
    with transaction(request) as db:
        uses = [use for use in find_uses(db, context.row) if use.template.deleted_at is None]
        entries = find_brand_uses(db, context.row)
    described = [
        UploadUseInfo(template=use.template.id, slug=use.template.slug, draft=use.in_draft, versions=use.versions)
        for use in uses
        if use.in_draft or use.versions
    ]
    brand = [UploadBrandUseInfo(kind=kind, name=name) for kind, name in entries]
    return _json(UploadDetails(**_values(context.row), uses=described, brand=brand))


@view_config(context=ApiUpload, name="file", request_method="GET", permission=Permission.API_READ)
def get_upload_file(context: ApiUpload, request: Request) -> Response:
    """Return the file of an upload, as it is stored."""
    with transaction(request) as db:
        connections = [each.spec for each in list_connections(db, context.row.workspace_id)]
    try:
        return download_upload(request, context.row, connections)
    except ObjectNotFoundError:
        raise ProblemError(404, "not_found", "The file of this upload is not in the workspace's storage") from None


@view_config(context=ApiUpload, request_method="DELETE", permission=Permission.API_UPLOADS_WRITE, require_csrf=False)
def remove_upload(context: ApiUpload, request: Request) -> Response:
    """Delete an upload that no draft or published version uses. It can be restored on the page for some days."""
    with transaction(request) as db:
        upload = db.get_one(Upload, (context.row.workspace_id, context.row.id))
        try:
            delete_upload(db, upload)
        except UploadInUseError as error:
            raise ProblemError(409, "upload_in_use", str(error)) from None
        record(db, upload.workspace_id, request.actor, "upload.delete", upload.name, {})
    return Response(status=204)


def _store(request: Request, file: _File) -> tuple[Upload, bool]:
    try:
        workspace_id = request.api_key.workspace_id
        return store_upload(request, workspace_id, file.data, file.file_name, name=file.name.strip(), created_by=None)
    except ImagingError as error:
        raise _invalid_file("file" if request.content_type == MULTIPART else "url", str(error)) from None
    except UploadLimitError as error:
        raise ProblemError(422, "uploads_full", str(error)) from None
    except UploadBusyError as error:
        raise ProblemError(409, "conflict", str(error)) from None


def _posted_file(request: Request) -> _File:
    if request.content_type != MULTIPART:
        raise ProblemError(415, "unsupported_media_type", f"Send the file as {MULTIPART}, or its URL as {JSON}")
    fields = read_multipart(request)
    errors = {name: "There is no field with this name" for name in fields if name not in FIELDS}
    errors |= {name: "Give this field once" for name in FIELDS if len(fields.getall(name)) > 1}
    file: Any = fields.get("file")
    name = fields.get("name", "")
    if not hasattr(file, "file"):
        errors.setdefault("file", "Send a file")
    if not isinstance(name, str) or not re.fullmatch(NAME_PATTERN, name):
        errors.setdefault("name", f"Use a text of at most {MAX_NAME} characters, without control characters")
    if errors:
        raise ProblemError(422, "invalid", "The request is not valid", errors)
    return _File(file.file.read(MAX_UPLOAD_BYTES + 1), file.filename, name)


def _fetched_file(request: Request) -> _File:
    body = read_body(request, UploadUrlRequest)
    try:
        url = normalize_url(body.url.strip())
        fetched = request.services.fetcher.fetch(url, max_bytes=MAX_UPLOAD_BYTES, seconds=FETCH_SECONDS)
    except (InvalidPhotoUrlError, FetchError) as error:
        raise _invalid_file("url", str(error)) from None
    return _File(fetched.data or b"", unquote(urlsplit(url).path), body.name)


def _invalid_file(field: str, message: str) -> ProblemError:
    return ProblemError(422, "invalid_file", message, {field: message})


def _values(upload: Upload) -> dict[str, Any]:
    names = ("id", "kind", "name", "content_type", "width", "height", "digest", "reference", "created_at")
    return {name: getattr(upload, name) for name in names} | {"bytes": upload.size}


def _json(model: ResponseModel) -> dict[str, Any]:
    return model.model_dump(mode="json")

"""What can be done with several images of the gallery at once: a zip of them, and the list of their URLs."""

from tempfile import TemporaryFile
from typing import IO

from pyramid.httpexceptions import HTTPUnprocessableEntity
from pyramid.response import Response
from pyramid.view import view_config
from sqlalchemy import select

from cwz_web.generation.models import Image
from cwz_web.i18n import gettext
from cwz_web.ops.run_exports import image_entries, zip_objects
from cwz_web.resources.base import parse_uuid
from cwz_web.resources.permissions import Permission
from cwz_web.resources.workspace import ImageCollection
from cwz_web.storage.models import Connection
from cwz_web.views.downloads import zip_response
from cwz_web.views.images import load_image_urls
from cwz_web.web.request import Request
from cwz_web.web.transactions import release_connection

MAX_SELECTED = 100
# A zip is built while the request waits; larger ones are those of runs, which a job builds.
MAX_ZIP_BYTES = 100 * 1024**2


@view_config(context=ImageCollection, name="selection.zip", request_method="POST", permission=Permission.VIEW)
def download_selection(context: ImageCollection, request: Request) -> Response:
    """Download the selected images as a zip file."""
    images, workspace_id = selected_images(request), request.workspace.workspace_id
    if sum(image.size for image in images) > MAX_ZIP_BYTES:
        raise HTTPUnprocessableEntity(
            gettext(
                "Select fewer images: together they have at most %(megabytes)s MB. "
                "All images of a run can be downloaded on the page of the run",
                megabytes=MAX_ZIP_BYTES // 1024**2,
            )
        )
    ids = {image.connection_id for image in images}
    own = select(Connection).where(Connection.workspace_id == workspace_id, Connection.id.in_(ids))
    specs = {connection.id: connection.spec for connection in request.db.scalars(own)}
    connections, entries = [image.connection_id for image in images], image_entries(images)
    release_connection(request)
    file: IO[bytes] = TemporaryFile()  # noqa: SIM115 - the server closes it
    with request.services.slow_requests.slot(workspace_id):
        buckets = {connection_id: request.services.providers.open(spec) for connection_id, spec in specs.items()}
        files = [(entry, buckets[connection_id]) for entry, connection_id in zip(entries, connections, strict=True)]
        for part in zip_objects(files, report=lambda share: None):
            file.write(part)
    return zip_response(request, file, "images.zip")


@view_config(context=ImageCollection, name="selection.txt", request_method="POST", permission=Permission.VIEW)
def list_selected_urls(context: ImageCollection, request: Request) -> Response:
    """Show the URLs of the selected images, one a line, to browsers that do not run scripts."""
    urls = load_image_urls(request)
    texts = [urls.url(image) for image in selected_images(request)]
    return Response("\n".join(texts), content_type="text/plain", charset="utf-8")


def selected_images(request: Request) -> list[Image]:
    """Return the images that were selected, newest first. Raises HTTPUnprocessableEntity for none or too many."""
    try:
        ids = {parse_uuid(value) for value in request.POST.getall("image")}
    except KeyError:
        raise HTTPUnprocessableEntity(gettext("Select images of the list")) from None
    if len(ids) > MAX_SELECTED:
        raise HTTPUnprocessableEntity(gettext("Select at most %(number)s images", number=MAX_SELECTED))
    own = select(Image).where(Image.workspace_id == request.workspace.workspace_id, Image.id.in_(ids))
    images = list(request.db.scalars(own.order_by(Image.id.desc())))
    if not images:
        raise HTTPUnprocessableEntity(gettext("Select at least one image"))
    return images

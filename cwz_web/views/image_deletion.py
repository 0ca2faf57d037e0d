"""Deleting images of the gallery, and undoing it."""

from dataclasses import dataclass
from uuid import UUID

from pyramid.httpexceptions import HTTPConflict, HTTPSeeOther
from pyramid.response import Response
from pyramid.view import view_config

from cwz_web.generation.models import Image
from cwz_web.i18n import gettext, ngettext
from cwz_web.resources.permissions import Permission
from cwz_web.resources.workspace import ImageCollection
from cwz_web.runs.image_deletion import (
    UNDO_TIME,
    FeedUse,
    ImageInUseError,
    delete_images,
    feeds_with_images,
    restore_images,
)
from cwz_web.runs.progress import count_text
from cwz_web.views.image_selection import selected_images
from cwz_web.views.images import ImageLink, image_links
from cwz_web.web.forms import Form, read_form
from cwz_web.web.lists import list_path, sent_place
from cwz_web.web.notices import add_notice
from cwz_web.web.request import Request

MAX_SHOWN = 6


class RestoreForm(Form):
    """The deletion to undo, and the place in the list to return to."""

    batch: UUID
    list: str = ""


@dataclass(frozen=True)
class DeleteImagesPage:
    """The view model of images/delete.jinja2: the images, and where they are used.

    Attributes:
        shown: The first images with their thumbnails.
        list_query: The place in the list to return to.
        cancel_path: The list at that place.
    """

    images: list[Image]
    shown: list[ImageLink]
    uses: list[FeedUse]
    undo_minutes: int
    list_query: str
    cancel_path: str


@view_config(
    context=ImageCollection,
    name="delete",
    request_method="POST",
    renderer="images/delete.jinja2",
    permission=Permission.IMAGE_DELETE,
)
def delete_selection(context: ImageCollection, request: Request) -> DeleteImagesPage | Response:
    """Delete the selected images; those that are in an output feed only after a confirmation, which names it."""
    images, workspace_id = selected_images(request), request.workspace.workspace_id
    ids, place = [image.id for image in images], sent_place(request) or ""
    uses = [] if "confirm" in request.POST else feeds_with_images(request.db, workspace_id, ids)
    if uses:
        return DeleteImagesPage(
            images=images,
            shown=image_links(request, images[:MAX_SHOWN]),
            uses=uses,
            undo_minutes=int(UNDO_TIME.total_seconds() // 60),
            list_query=place,
            cancel_path=list_path(request, "images", place),
        )
    target = f"the image {images[0].name}" if len(images) == 1 else count_text(len(images), "image")
    notice = _deleted_text(images)
    try:
        batch = delete_images(request.db, workspace_id, ids)
    except ImageInUseError as error:
        raise HTTPConflict(str(error)) from None
    request.audit("image.delete", target, images=len(ids))
    undo = request.path_in("images", "restore")
    add_notice(request, notice, undo=undo, batch=str(batch), list=place)
    return HTTPSeeOther(list_path(request, "images", place))


@view_config(context=ImageCollection, name="restore", request_method="POST", permission=Permission.IMAGE_DELETE)
def restore_deletion(context: ImageCollection, request: Request) -> Response:
    """Undo a deletion."""
    form = read_form(RestoreForm, request.POST).value
    count = restore_images(request.db, request.workspace.workspace_id, form.batch) if form else 0
    if form is None or not count:
        raise HTTPConflict(gettext("These images were restored already, or removed from the storage"))
    request.audit("image.restore", count_text(count, "image"))
    add_notice(request, ngettext("%(count)s image restored.", "%(count)s images restored.", count))
    return HTTPSeeOther(list_path(request, "images", form.list))


def _deleted_text(images: list[Image]) -> str:
    if len(images) == 1:
        return gettext("Deleted the image %(name)s.", name=images[0].name)
    return ngettext("%(count)s image deleted.", "%(count)s images deleted.", len(images))

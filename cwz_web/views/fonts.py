"""Uploaded fonts: list, upload, remove."""

from dataclasses import dataclass
from typing import Any

from pyramid.httpexceptions import HTTPSeeOther
from pyramid.response import Response
from pyramid.view import view_config

from cwz_web.db.session import enter_workspace
from cwz_web.generation.fonts import TooManyFontsError, add_font, list_fonts
from cwz_web.generation.models import Font
from cwz_web.imaging.decoding import Source
from cwz_web.imaging.errors import InvalidFontError
from cwz_web.imaging.fonts import FAMILIES, MAX_FONT_BYTES, check_font
from cwz_web.resources.permissions import Permission
from cwz_web.resources.workspace import FontCollection, FontResource
from cwz_web.storage.connections import get_default_connection, upload_key
from cwz_web.storage.contract import StorageError
from cwz_web.web.forms import SubmittedForm, empty_form
from cwz_web.web.request import Request
from cwz_web.web.transactions import release_connection
from cwz_web.workspaces.audit import record


@dataclass(frozen=True)
class FontsPage:
    """The view model of fonts.jinja2."""

    form: SubmittedForm[Any]
    uploaded: list[Font]
    built_in: list[str]


@view_config(context=FontCollection, request_method="GET", renderer="fonts.jinja2", permission=Permission.VIEW)
def list_fonts_page(context: FontCollection, request: Request) -> FontsPage:
    """List uploaded and built-in fonts."""
    return _page(request, empty_form())


@view_config(
    context=FontCollection, request_method="POST", renderer="fonts.jinja2", permission=Permission.TEMPLATE_EDIT
)
def upload_font(context: FontCollection, request: Request) -> FontsPage | Response:
    """Upload a font. The only field is a file, which form models do not hold."""
    file = request.POST.get("file")
    data = file.file.read(MAX_FONT_BYTES + 1) if hasattr(file, "file") else b""
    form = empty_form()
    workspace_id = request.workspace.workspace_id
    try:
        if not data:
            raise InvalidFontError("Choose a TTF, OTF or WOFF2 file")
        check_font(data)
        spec = get_default_connection(request.db, workspace_id).spec
        release_connection(request)
        key = upload_key(workspace_id, Source.of(data).digest)
        with request.services.outbound.slot():
            request.services.providers.open(spec).put(key, data, content_type="application/octet-stream")
        with request.services.database.transaction(workspace_id) as db:
            font = add_font(db, workspace_id, data)
            record(db, workspace_id, request.actor, "font.add", font.name, {})
    except (InvalidFontError, TooManyFontsError, StorageError) as error:
        request.response.status = 422
        enter_workspace(request.db, workspace_id)  # the connection was released
        return _page(request, form.with_error("file", str(error)))
    return HTTPSeeOther(request.path_in("fonts"))


@view_config(context=FontResource, name="delete", request_method="POST", permission=Permission.TEMPLATE_EDIT)
def remove_font(context: FontResource, request: Request) -> Response:
    """Remove a font from the list; templates that use it keep working, since its file stays stored."""
    request.audit("font.remove", context.row.name)
    request.db.delete(context.row)
    return HTTPSeeOther(request.path_in("fonts"))


def _page(request: Request, form: SubmittedForm[Any]) -> FontsPage:
    fonts = list_fonts(request.db, request.workspace.workspace_id)
    return FontsPage(form=form, uploaded=fonts, built_in=sorted(FAMILIES))

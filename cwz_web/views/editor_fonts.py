"""The fonts that the editor shows texts in: those of the product, and the uploaded ones of the workspace."""

from typing import Any

from pyramid.view import view_config

from cwz_web.generation.uploads import list_fonts
from cwz_web.imaging.fonts import FAMILIES, list_font_files, list_scripts
from cwz_web.resources.permissions import Permission
from cwz_web.resources.workspace import TemplateResource
from cwz_web.web.rendering import static_path
from cwz_web.web.request import Request


@view_config(
    context=TemplateResource,
    name="editor-fonts",
    request_method="GET",
    renderer="json",
    permission=Permission.TEMPLATE_EDIT,
)
def list_editor_fonts(context: TemplateResource, request: Request) -> dict[str, Any]:
    """Return the fonts with the URLs of their files by weight, and the scripts that built-in fonts support."""
    uploaded = [
        {
            "reference": font.reference,
            "name": font.name,
            "isUploaded": True,
            "files": {"400": request.path_in("uploads", font.id, "file")},
            "scripts": [],
        }
        for font in list_fonts(request.db, context.row.workspace_id)
    ]
    return {"fonts": uploaded + [_describe(family) for family in sorted(FAMILIES)]}


def _describe(family: str) -> dict[str, Any]:
    files = {weight: f"{static_path()}/fonts/{path}" for weight, path in list_font_files(family).items()}
    return {
        "reference": family,
        "name": family,
        "isUploaded": False,
        "files": files,
        "scripts": list_scripts(family),
    }

"""The fonts that the editor shows texts in: those of the product, and the uploaded ones of the workspace."""

from typing import Any

from pyramid.view import view_config

from cwz_web.generation.brand import load_brand
from cwz_web.generation.drafts import load_draft
from cwz_web.generation.uploads import list_fonts
from cwz_web.imaging.brand_references import reference_to
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
    fonts = uploaded + [_describe(family) for family in sorted(FAMILIES)]
    return {"fonts": _brand_fonts(request, context, fonts) + fonts}


def _brand_fonts(request: Request, context: TemplateResource, fonts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the fonts of the brand, also those that only the draft has, by their names."""
    document = load_draft(request.db, context.row).document
    brand = document.offering(load_brand(request.db, context.row.workspace_id).brand).brand
    found = {font["reference"]: font for font in fonts}
    return [
        {**found[reference], "reference": reference_to(name), "name": f"{name} ({found[reference]['name']})"}
        for name, reference in brand.fonts.items()
        if reference in found
    ]


def _describe(family: str) -> dict[str, Any]:
    files = {weight: f"{static_path()}/fonts/{path}" for weight, path in list_font_files(family).items()}
    return {
        "reference": family,
        "name": family,
        "isUploaded": False,
        "files": files,
        "scripts": list_scripts(family),
    }

"""What the editor's panel "Elements" offers: layers of elements.json, and icons."""

import json
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from pyramid.view import view_config

from cwz_web.imaging.icons import find_icons
from cwz_web.resources.permissions import Permission
from cwz_web.resources.workspace import TemplateResource
from cwz_web.web.request import Request

# The layers are for a canvas of 1080 × 1080. Tests validate them.
ELEMENT_GROUPS: list[dict[str, Any]] = json.loads(
    (files("cwz_web") / "static" / "editor" / "elements.json").read_text()
)
MAX_ICONS = 60
MAX_SEARCH = 60


@dataclass(frozen=True)
class FoundIcons:
    """The view model of editor/_icons.jinja2."""

    icons: list[str]


@view_config(
    context=TemplateResource,
    name="editor-icons",
    request_method="GET",
    renderer="editor/_icons.jinja2",
    permission=Permission.TEMPLATE_EDIT,
)
def search_icons(context: TemplateResource, request: Request) -> FoundIcons:
    """Show icons that a text describes."""
    return FoundIcons(find_icons(request.GET.get("text", "")[:MAX_SEARCH], MAX_ICONS))

"""What the editor's panel "Elements" offers: layers of elements.json, and icons."""

import json
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from pyramid.view import view_config

from cwz_web.i18n import gettext, gettext_noop
from cwz_web.imaging.icons import find_icons
from cwz_web.resources.permissions import Permission
from cwz_web.resources.workspace import TemplateResource
from cwz_web.web.request import Request

# The layers are for a canvas of 1080 × 1080. Tests validate them.
ELEMENT_GROUPS: list[dict[str, Any]] = json.loads(
    (files("cwz_web") / "static" / "editor" / "elements.json").read_text()
)
# The messages of the file, which are extracted from here.
TEXTS = (
    gettext_noop("Text"),
    gettext_noop("Heading"),
    gettext_noop("Title"),
    gettext_noop("Body text"),
    gettext_noop("Price and old price"),
    gettext_noop("Discount badge"),
    gettext_noop("Rating"),
    gettext_noop("Button"),
    gettext_noop("Shapes"),
    gettext_noop("Rectangle"),
    gettext_noop("Ellipse"),
    gettext_noop("Line"),
    gettext_noop("Arrow"),
    gettext_noop("Star"),
    gettext_noop("Burst"),
    gettext_noop("Ribbon"),
    gettext_noop("Bubble"),
    gettext_noop("Polygon"),
    gettext_noop("Codes and stars"),
    gettext_noop("QR code"),
    gettext_noop("EAN"),
    gettext_noop("Code 128"),
    gettext_noop("Stars"),
    gettext_noop("Images and layouts"),
    gettext_noop("Image"),
    gettext_noop("Card"),
    gettext_noop("Row"),
    gettext_noop("Column"),
    gettext_noop("Photo grid"),
)
MAX_ICONS = 60
MAX_SEARCH = 60


@dataclass(frozen=True)
class FoundIcons:
    """The view model of editor/_icons.jinja2."""

    icons: list[str]


def list_element_groups() -> list[dict[str, Any]]:
    """Return the groups of elements in the language of the page. What the elements add to a template is English."""
    return [
        _translated(group, "title") | {"elements": [_translated(each, "label") for each in group["elements"]]}
        for group in ELEMENT_GROUPS
    ]


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


def _translated(part: dict[str, Any], key: str) -> dict[str, Any]:
    return part | {key: gettext(part[key])}

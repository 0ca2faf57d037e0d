"""The node class of the resource tree, and the areas of the site."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar
from uuid import UUID

from pyramid.location import lineage

if TYPE_CHECKING:
    from cwz_web.web.request import Request


@dataclass(frozen=True)
class Area:
    """What all URLs below a resource have in common.

    Attributes:
        is_api: Errors are problem details, and bodies are not forms.
        uses_api_keys: Clients authenticate with an API key; elsewhere, with a session cookie.
        uses_transaction: One transaction spans the request. Views that call other hosts open short ones on their own.
        is_embeddable: Other sites may embed the responses.
    """

    is_api: bool = False
    uses_api_keys: bool = False
    uses_transaction: bool = True
    is_embeddable: bool = False


PAGES = Area()
CALLBACKS = Area(uses_transaction=False)


class Resource:
    """A node of the tree. A subclass sets `children`, or overrides `__getitem__`."""

    children: ClassVar[dict[str, "type[Resource]"]] = {}
    # The area that begins at the resource; None for that of its parent.
    area: ClassVar[Area | None] = None

    def __init__(self, request: "Request", parent: "Resource | None" = None, name: str = "") -> None:
        self.request = request
        self.__parent__ = parent
        self.__name__ = name

    def __getitem__(self, name: str) -> "Resource":
        return self.children[name](self.request, self, name)


def area_of(resource: Resource) -> Area:
    """Return the area that a resource belongs to."""
    return next((each.area for each in lineage(resource) if each.area is not None), PAGES)


def find_area(root: type[Resource], path: str) -> Area:
    """Return the area of a path that no resource has been looked up for yet; request validation has checked it."""
    node, area = root, root.area or PAGES
    for segment in path.split("/")[1:]:
        if segment not in node.children:
            break
        node = node.children[segment]
        area = node.area or area
    return area


def parse_number(name: str) -> int:
    """Return the number that a segment of a path is. Raises KeyError if it is none, or has more than nine digits."""
    if not (name.isascii() and name.isdecimal() and len(name) < 10):
        raise KeyError(name)
    return int(name)


def parse_uuid(text: str) -> UUID:
    """Return the id that a path segment holds, in its canonical form only: one URL for one resource.

    Raises:
        KeyError: The segment is anything else, so there is no such resource.
    """
    try:
        parsed = UUID(text)
    except ValueError:
        raise KeyError(text) from None
    if str(parsed) != text:
        raise KeyError(text)
    return parsed

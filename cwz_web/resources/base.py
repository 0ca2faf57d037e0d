"""The node class of the resource tree."""

from typing import TYPE_CHECKING, ClassVar
from uuid import UUID

if TYPE_CHECKING:
    from cwz_web.web.request import Request


class Resource:
    """A node of the tree. A subclass sets `children`, or overrides `__getitem__`."""

    children: ClassVar[dict[str, "type[Resource]"]] = {}

    def __init__(self, request: "Request", parent: "Resource | None" = None, name: str = "") -> None:
        self.request = request
        self.__parent__ = parent
        self.__name__ = name

    def __getitem__(self, name: str) -> "Resource":
        return self.children[name](self.request, self, name)


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

"""The fields of a form and the parameters of a query, found in constant time."""

from collections.abc import Iterable
from functools import cached_property
from typing import Any

from webob.multidict import MultiDict


class Fields(MultiDict[str, Any]):
    """Fields in the order in which they were sent; a name can have several values, of which the last one counts.

    WebOb looks through all fields for each name, so that `dict()` of the 25,000 parameters that fit into the head of a
    request takes six seconds. Fields are not changed: a change would fail, since the index would not have it.
    """

    def __init__(self, fields: Iterable[tuple[str, Any]] = ()) -> None:
        super().__init__()
        self._items = tuple(fields.items() if isinstance(fields, MultiDict) else fields)

    @cached_property
    def _values(self) -> dict[str, list[Any]]:
        values: dict[str, list[Any]] = {}
        for name, value in self._items:
            values.setdefault(name, []).append(value)
        return values

    def __getitem__(self, key: str) -> Any:
        """Return the last value of a field."""
        return self._values[key][-1]

    def __contains__(self, key: object) -> bool:
        """Return whether a field was sent."""
        return key in self._values

    def getall(self, key: str) -> list[Any]:
        """Return all values of a field."""
        return list(self._values.get(key, ()))

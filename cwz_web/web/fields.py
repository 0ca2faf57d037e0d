"""The fields of a form and the parameters of a query, found in constant time."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any


class Fields(Mapping[str, Any]):
    """Fields in the order in which they were sent; a name can have several values, of which the last one counts.

    WebOb's MultiDict looks through all fields for each name, so that `dict()` of the 25,000 parameters that fit into
    the head of a request takes six seconds. Fields cannot be changed.
    """

    def __init__(self, fields: Iterable[tuple[str, Any]] = ()) -> None:
        self._fields = tuple(fields)
        self._values: dict[str, list[Any]] = {}
        for name, value in self._fields:
            self._values.setdefault(name, []).append(value)

    def __getitem__(self, key: str) -> Any:
        """Return the last value of a field."""
        return self._values[key][-1]

    def __iter__(self) -> Iterator[str]:
        """Iterate over the name of each field, which can repeat."""
        return (name for name, _ in self._fields)

    def __len__(self) -> int:
        """Return the number of fields."""
        return len(self._fields)

    def __contains__(self, key: object) -> bool:
        """Return whether a field was sent."""
        return key in self._values

    def items(self) -> Any:
        """Return all fields with their values, so that a name can repeat, as in WebOb's MultiDict."""
        return self._fields

    def getall(self, key: str) -> list[Any]:
        """Return all values of a field."""
        return list(self._values.get(key, ()))

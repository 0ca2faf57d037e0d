"""Which values of a field were there before, for a million rows in 8 MB."""

from collections.abc import Iterable

import numpy as np

# How many hashes are in a set before they are merged into the sorted array.
MAX_RECENT = 50_000


class UniqueValues:
    """Hashes of texts with 64 bits: in one of 30 million sets, two of a million texts have the same one."""

    def __init__(self) -> None:
        self._recent: set[int] = set()
        self._sorted = np.empty(0, np.int64)

    def find(self, hashes: set[int]) -> set[int]:
        """Return those of some hashes that are in the set."""
        found = self._recent & hashes
        if self._sorted.size:
            values = np.fromiter(hashes, np.int64, len(hashes))
            places = np.searchsorted(self._sorted, values)
            places[places == self._sorted.size] = 0
            found.update(values[self._sorted[places] == values].tolist())
        return found

    def add(self, hashes: Iterable[int]) -> None:
        """Add hashes."""
        self._recent.update(hashes)
        if len(self._recent) > MAX_RECENT:
            recent = np.fromiter(self._recent, np.int64, len(self._recent))
            self._sorted = np.concatenate([self._sorted, recent])
            self._sorted.sort()  # in place, without a copy of a million hashes
            self._recent.clear()

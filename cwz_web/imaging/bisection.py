"""Search for the largest number for which something fits."""

from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def find_largest(low: int, high: int, attempt: Callable[[int], T | None]) -> tuple[int, T] | None:
    """Find the largest number from `low` to `high` for which `attempt` succeeds, by bisection.

    The highest number is tried first, since it usually succeeds.

    Returns:
        The number and the result of the attempt, or None if all attempts returned None.
    """
    if high < low:
        return None
    if (result := attempt(high)) is not None:
        return high, result
    best = None
    high -= 1
    while low <= high:
        middle = (low + high) // 2
        if (result := attempt(middle)) is not None:
            best, low = (middle, result), middle + 1
        else:
            high = middle - 1
    return best

"""Search for the largest number for which something fits."""

import time
from collections.abc import Callable
from math import inf
from typing import TypeVar

from cwz_web.i18n import gettext_lazy
from cwz_web.imaging.errors import RenderTimeoutError

T = TypeVar("T")


def find_largest(
    low: int, high: int, attempt: Callable[[int], T | None], deadline: float = inf, guess: int | None = None
) -> tuple[int, T] | None:
    """Find the largest number from `low` to `high` for which `attempt` succeeds, by bisection.

    The highest number is tried first, since it usually succeeds.

    Args:
        low: the smallest number.
        high: the largest number.
        attempt: returns the result for a number, or None.
        deadline: the monotonic time after which no attempt begins.
        guess: about where the result is. A good one saves most of the attempts.

    Returns:
        The number and the result of the attempt, or None if all attempts returned None.

    Raises:
        RenderTimeoutError: the deadline has passed.
    """
    if high < low:
        return None
    if (result := attempt(high)) is not None:
        return high, result
    best, step = None, 1
    high -= 1
    while low <= high:
        if time.monotonic() > deadline:
            raise RenderTimeoutError(
                gettext_lazy("A text takes too long to fit into its box. Use a shorter text or a smaller box")
            )
        # Away from the guess in steps of 1, 2, 4, …; then in the middle of what is left.
        middle = guess if guess is not None and low <= guess <= high else (low + high) // 2
        if (result := attempt(middle)) is not None:
            best, low = (middle, result), middle + 1
        else:
            high = middle - 1
        if guess is not None:
            guess += step if result is not None else -step
            step *= 2
    return best

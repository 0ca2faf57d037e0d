"""What a run does about missing photos: postpone the image a few times, then render it without."""

from enum import StrEnum

# Seconds before each further attempt at an image whose photo is temporarily not available. The last attempt is about a
# minute after the first one, so that a bad minute of a photo's host spoils no image.
RETRY_DELAYS = (2.0, 10.0, 50.0)
MAX_ATTEMPTS = len(RETRY_DELAYS) + 1
# The longest wait that a host can ask for with Retry-After.
MAX_DELAY = 120.0


class OnMissingPhoto(StrEnum):
    """What happens to an image whose photo is missing.

    It is rendered and stored, unless it fails. `KEEP` keeps the row's earlier image in the output feed, `REPLACE`
    replaces it.
    """

    KEEP = "keep"
    REPLACE = "replace"
    FAIL = "fail"


def may_postpone(attempts: int) -> bool:
    """Return whether an image that was postponed so many times may be postponed again."""
    return attempts < len(RETRY_DELAYS)


def retry_delay(attempts: int, retry_after: float) -> float:
    """Return how many seconds an image waits for its next attempt.

    Args:
        attempts: how many times it was postponed before.
        retry_after: how many seconds the photo's host wants it to wait.
    """
    return max(RETRY_DELAYS[attempts], min(retry_after, MAX_DELAY))

"""The limit on concurrent slow requests."""

from contextlib import ExitStack
from uuid import UUID, uuid4

import pytest

from cwz_web.web.slow_requests import SlowRequestLimiter, SlowRequestLimitError

OURS, OTHER = uuid4(), uuid4()


def free_slots(limiter: SlowRequestLimiter, workspace_id: UUID) -> int:
    """Return how many slots the workspace can have now."""
    with ExitStack() as occupied:
        for number in range(100):
            try:
                occupied.enter_context(limiter.slot(workspace_id))
            except SlowRequestLimitError:
                return number
    raise AssertionError("there is no limit")


def test_slots_are_limited_in_total_and_by_workspace() -> None:
    limiter = SlowRequestLimiter(total=3, per_caller=2)
    with limiter.slot(OURS), limiter.slot(OURS):
        with pytest.raises(SlowRequestLimitError), limiter.slot(OURS):
            pass
        assert free_slots(limiter, OTHER) == 1
        with limiter.slot(OTHER):
            assert free_slots(limiter, uuid4()) == 0
    assert (free_slots(limiter, OURS), free_slots(limiter, OTHER)) == (2, 2)


def test_fast_block_needs_no_slot() -> None:
    limiter = SlowRequestLimiter(total=0)
    with limiter.slot(OURS, when=False):
        pass
    with pytest.raises(SlowRequestLimitError), limiter.slot(OURS, when=True):
        pass


def test_slot_is_free_after_an_error() -> None:
    limiter = SlowRequestLimiter(total=1)
    with pytest.raises(ZeroDivisionError), limiter.slot(OURS):
        1 / 0  # noqa: B018
    assert free_slots(limiter, OURS) == 1

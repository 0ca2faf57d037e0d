"""The limit on requests that wait for other servers."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from pyramid.threadlocal import manager

from cwz_web.web import outbound
from cwz_web.web.outbound import MAX_PER_CALLER, MAX_PER_TARGET, OutboundRequests
from cwz_web.web.slow_requests import SlowRequestLimitError


@contextmanager
def request_of(workspace_id: str, network: str = "203.0.113.1") -> Iterator[None]:
    """A request, as the current one."""
    request: Any = SimpleNamespace(
        has_outbound_slot=False,
        workspace_or_none=SimpleNamespace(workspace_id=workspace_id),
        remote_addr=network,
    )
    manager.push({"request": request, "registry": None})
    try:
        yield
    finally:
        manager.pop()


def occupy(requests: OutboundRequests, slots: ExitStack, workspace_id: str, network: str, target: str | None) -> None:
    """Let a request take a slot that it keeps."""
    with request_of(workspace_id, network):
        slots.enter_context(requests.slot(target))


def free_places(requests: OutboundRequests, workspace_id: str, network: str, target: str | None = None) -> int:
    """Return how many slots a caller can have now."""
    with ExitStack() as slots:
        for number in range(100):
            try:
                occupy(requests, slots, workspace_id, network, target)
            except SlowRequestLimitError:
                return number
    raise AssertionError("there is no limit")


def test_places_are_limited_by_workspace_and_by_network() -> None:
    requests = OutboundRequests()
    with ExitStack() as slots:
        for number in range(MAX_PER_CALLER):
            occupy(requests, slots, "ours", f"203.0.113.{number}", None)
        assert free_places(requests, "ours", "198.51.100.1") == 0
        assert free_places(requests, "other", "203.0.113.0") == MAX_PER_CALLER - 1
        assert free_places(requests, "other", "198.51.100.1") == MAX_PER_CALLER
    assert free_places(requests, "ours", "198.51.100.1") == MAX_PER_CALLER


def test_request_has_one_place() -> None:
    requests = OutboundRequests()
    with ExitStack() as slots:
        for number in range(MAX_PER_CALLER - 1):
            occupy(requests, slots, "ours", f"203.0.113.{number}", None)
        with request_of("ours"), requests.slot(), requests.slot("a target"), requests.slot():
            assert free_places(requests, "ours", "198.51.100.1") == 0


def test_worker_has_no_limit() -> None:
    requests = OutboundRequests()
    with ExitStack() as slots:
        for _ in range(100):
            slots.enter_context(requests.slot("a target"))


def test_slow_target_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    requests = OutboundRequests()
    assert free_places(requests, "ours", "198.51.100.1", "slow") == MAX_PER_TARGET
    monkeypatch.setattr(outbound, "SLOW_SECONDS", -1.0)
    with pytest.raises(TimeoutError), request_of("ours"), requests.slot("slow"):
        raise TimeoutError
    assert free_places(requests, "ours", "198.51.100.1", "slow") == 0
    assert free_places(requests, "ours", "198.51.100.1", "another") == MAX_PER_TARGET

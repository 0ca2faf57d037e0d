import threading
from typing import Any
from uuid import UUID

import pytest

from cwz_web.storage import PermissionDeniedError, connection_test
from cwz_web.storage.connection_test import first_error, run_connection_test

SPACE = UUID(int=7)


class ByteCache:
    """A bucket that may lack something."""

    def __init__(self, lacks: str = "") -> None:
        self.lacks = lacks
        self.kept: dict[str, bytes] = {}

    def _may(self, what: str) -> None:
        if what == self.lacks:
            raise PermissionDeniedError(f"not allowed to {what}")

    def put(self, key: str, body: bytes, **told: Any) -> None:
        self._may("write")
        self.kept[key] = body

    def get(self, key: str) -> bytes:
        self._may("read")
        return self.kept[key]

    def list(self, prefix: str) -> list[Any]:
        self._may("list")
        return [type("Info", (), {"key": key}) for key in self.kept if key.startswith(prefix)]

    def delete(self, key: str) -> None:
        self._may("delete")
        del self.kept[key]


def outcome(bucket: Any) -> list[tuple[str, bool, bool]]:
    return [(step.label, step.tried, step.trouble is None) for step in run_connection_test(lambda: bucket, SPACE)]


def test_all_steps_work_and_leave_nothing_behind() -> None:
    bucket = ByteCache()
    steps = run_connection_test(lambda: bucket, SPACE)  # type: ignore[arg-type, return-value]
    assert first_error(steps) is None
    assert bucket.kept == {}


@pytest.mark.parametrize("lacks", ["write", "read", "list", "delete"])
def test_the_step_that_fails_is_named_and_a_probe_that_was_written_goes(lacks: str) -> None:
    bucket = ByteCache(lacks)
    steps = {label.lower(): (tried, works) for label, tried, works in outcome(bucket)}
    assert steps[lacks] == (True, False)
    if lacks in ("read", "list"):
        assert steps["delete"] == (True, True)
        assert bucket.kept == {}
    if lacks == "write":
        assert steps["delete"] == (False, True)


def test_the_probe_lies_below_the_workspaces_prefix() -> None:
    bucket = ByteCache("delete")
    run_connection_test(lambda: bucket, SPACE)  # type: ignore[arg-type, return-value]
    assert all(key.startswith(f"{SPACE}/") for key in bucket.kept)


def test_a_storage_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_test, "SECONDS", 0.3)
    release_connection = threading.Event()

    class Hanging(ByteCache):
        def put(self, key: str, body: bytes, **told: Any) -> None:
            release_connection.wait(20)

    steps = run_connection_test(lambda: Hanging(), SPACE)  # type: ignore[arg-type, return-value]
    release_connection.set()
    assert "did not answer in time" in str(first_error(steps))
    assert connection_test.SECONDS < 10


def test_a_plugin_that_fails_is_no_crash_and_tells_no_secret() -> None:
    class Failing(ByteCache):
        def put(self, key: str, body: bytes, **told: Any) -> None:
            raise RuntimeError("canary-9931")

    trouble = first_error(run_connection_test(lambda: Failing(), SPACE))  # type: ignore[arg-type, return-value]
    assert "plugin of this storage failed" in str(trouble)
    assert "canary" not in str(trouble)

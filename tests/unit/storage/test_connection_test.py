import threading
from collections.abc import Iterator
from gettext import NullTranslations
from typing import Any
from uuid import UUID

import pytest

from cwz_web import i18n
from cwz_web.i18n import Language, use_locale
from cwz_web.storage import Bucket, ObjectInfo, PermissionDeniedError, connection_test
from cwz_web.storage.connection_test import error_text, first_error, run_connection_test, save_result
from cwz_web.storage.http import error_for_status
from cwz_web.storage.models import Connection

WORKSPACE_ID = UUID(int=7)


class MemoryBucket(Bucket):
    """A bucket without one permission."""

    def __init__(self, denied: str = "") -> None:
        self.denied = denied
        self.objects: dict[str, bytes] = {}

    def _check_permission(self, permission: str) -> None:
        if permission == self.denied:
            raise PermissionDeniedError(f"not allowed to {permission}")

    def put(self, key: str, body: Any, **options: Any) -> None:
        self._check_permission("write")
        self.objects[key] = body

    def get(self, key: str, start: int = 0, length: int | None = None) -> bytes:
        self._check_permission("read")
        return self.objects[key]

    def head(self, key: str) -> ObjectInfo:
        return ObjectInfo(key, len(self.objects[key]))

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        self._check_permission("list")
        return iter([ObjectInfo(key, 1) for key in self.objects if key.startswith(prefix)])

    def delete(self, key: str) -> None:
        self._check_permission("delete")
        del self.objects[key]


def test_all_steps_pass_and_the_probe_is_deleted() -> None:
    bucket = MemoryBucket()
    steps = run_connection_test(lambda: bucket, WORKSPACE_ID)
    assert first_error(steps) is None
    assert [step.label for step in steps] == ["Open bucket", "Write", "Read", "List objects", "Delete"]
    assert bucket.objects == {}


@pytest.mark.parametrize("denied", ["write", "read", "list", "delete"])
def test_failed_step_is_named_and_a_written_probe_is_deleted(denied: str) -> None:
    bucket = MemoryBucket(denied)
    steps = {step.label.split()[0].lower(): step for step in run_connection_test(lambda: bucket, WORKSPACE_ID)}
    assert steps[denied].error_message == f"not allowed to {denied}"
    assert first_error(list(steps.values())) == f"{steps[denied].label}: not allowed to {denied}"
    assert steps["delete"].has_run == (denied != "write")
    if denied != "delete":
        assert bucket.objects == {}


GERMAN = {
    "Write": "Schreiben",
    "The storage rejects these credentials; enter valid ones": "Der Speicher weist die Zugangsdaten ab",
    "The storage has an internal error (HTTP %(status)s); try again later": "Interner Fehler (HTTP %(status)s)",
}


class GermanWords(NullTranslations):
    """A catalog of some messages."""

    def gettext(self, message: str) -> str:
        return GERMAN.get(message, message)


@pytest.mark.parametrize(
    ("status", "stored", "shown"),
    [
        (401, "The storage rejects these credentials; enter valid ones", "Der Speicher weist die Zugangsdaten ab"),
        (500, "The storage has an internal error (HTTP 500); try again later", "Interner Fehler (HTTP 500)"),
    ],
)
def test_result_is_stored_in_english_and_translated_when_it_is_shown(
    monkeypatch: pytest.MonkeyPatch, status: int, stored: str, shown: str
) -> None:
    german = Language(GermanWords(), {}, {}, tuple((message, "") for message in GERMAN))
    english = Language(NullTranslations(), {}, {})
    monkeypatch.setattr(i18n, "load_language", lambda language: german if language == "de" else english)

    class RejectingBucket(MemoryBucket):
        def put(self, key: str, body: Any, **options: Any) -> None:
            raise error_for_status(status)

    connection = Connection()
    with use_locale("de"):
        save_result(connection, run_connection_test(RejectingBucket, WORKSPACE_ID))
        assert error_text(connection) == f"Schreiben: {shown}"
    assert connection.error_message == f"Write: {stored}"
    assert error_text(connection) == connection.error_message


def test_probe_key_begins_with_the_workspace() -> None:
    bucket = MemoryBucket("delete")
    run_connection_test(lambda: bucket, WORKSPACE_ID)
    assert bucket.objects
    assert all(key.startswith(f"{WORKSPACE_ID}/") for key in bucket.objects)


def test_storage_that_hangs_fails_the_step(monkeypatch: pytest.MonkeyPatch) -> None:
    assert connection_test.TIMEOUT_SECONDS < 10
    monkeypatch.setattr(connection_test, "TIMEOUT_SECONDS", 0.3)
    release = threading.Event()

    class HangingBucket(MemoryBucket):
        def put(self, key: str, body: Any, **options: Any) -> None:
            release.wait(20)

    steps = run_connection_test(HangingBucket, WORKSPACE_ID)
    release.set()
    assert "did not respond in time" in str(first_error(steps))


def test_plugin_exception_fails_the_step_without_its_message() -> None:
    class FailingBucket(MemoryBucket):
        def put(self, key: str, body: Any, **options: Any) -> None:
            raise RuntimeError("canary-9931")

    error = str(first_error(run_connection_test(FailingBucket, WORKSPACE_ID)))
    assert "plugin failed" in error
    assert "canary" not in error

"""The connection test: write, read, list and delete a probe object, and fetch one from its public URL."""

import secrets
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from uuid import UUID

import structlog

from cwz_web.i18n import gettext, gettext_noop
from cwz_web.metrics import STORAGE_ERRORS
from cwz_web.storage.contract import Bucket, StorageError
from cwz_web.storage.models import Connection
from cwz_web.storage.public_urls import PublicAccess
from cwz_web.stored_messages import translate_stored

log = structlog.get_logger()

TIMEOUT_SECONDS = 9.0
PUBLIC_URL = gettext_noop("Public URL")
PROBE = b"Written by ConnectWyze to test this connection. You can delete this object."


@dataclass(frozen=True)
class Step:
    """One step of a connection test. `error_message` is None when it passed or did not run.

    Both texts are in English, since they are stored; pages translate them.
    """

    label: str
    error_message: str | None = None
    has_run: bool = True


def save_result(connection: Connection, steps: list[Step], tested_base_url: str = "") -> None:
    """Record the result of a test that has just ended.

    Args:
        connection: The connection.
        steps: The steps of the test.
        tested_base_url: The public base URL that was tested. If it passed, it is used from now on; one that was in use
            stays so although it fails, so that published URLs do not change.
    """
    connection.error_message, connection.checked_at = first_error(steps), datetime.now(UTC)
    connection.test_steps = [asdict(step) for step in steps]
    is_proven = any(step.label == PUBLIC_URL and step.has_run and step.error_message is None for step in steps)
    if is_proven and tested_base_url == connection.public_base_url:
        connection.proven_base_url = tested_base_url


def saved_steps(connection: Connection) -> list[Step]:
    """Return the steps of the last test."""
    return [Step(**step) for step in connection.test_steps]


def run_connection_test(
    open_bucket: Callable[[], Bucket], workspace_id: UUID, public_access: PublicAccess | None = None
) -> list[Step]:
    """Write, read, list and delete a probe below the workspace's prefix, in at most ten seconds.

    Args:
        open_bucket: Opens the bucket.
        workspace_id: The workspace.
        public_access: Tests the public base URL of the connection; None without one.

    Returns:
        The steps. A failed step says what to do; it is not raised. Steps after a failed one do not run, except that a
        probe that was written is always deleted.
    """
    deadline = time.monotonic() + TIMEOUT_SECONDS
    key = f"{workspace_id}/probe/{secrets.token_hex(8)}.txt"
    pool = ThreadPoolExecutor(1)
    buckets: list[Bucket] = []
    actions: list[tuple[str, Callable[[], object]]] = [
        (gettext_noop("Open bucket"), lambda: buckets.append(open_bucket())),
        (gettext_noop("Write"), lambda: buckets[0].put(key, PROBE, content_type="text/plain")),
        (gettext_noop("Read"), lambda: _check_content(buckets[0].get(key))),
        (gettext_noop("List objects"), lambda: _check_list([info.key for info in buckets[0].list(key)], key)),
        (gettext_noop("Delete"), lambda: buckets[0].delete(key)),
    ]
    if public_access is not None:
        actions.append((PUBLIC_URL, lambda: public_access.check(buckets[0], workspace_id)))
    steps: list[Step] = []
    try:
        for label, action in actions:
            has_failed = first_error(steps) is not None
            is_written = any(step.label == "Write" and step.has_run and not step.error_message for step in steps)
            is_due = not has_failed or (label == "Delete" and is_written)
            steps.append(_run_step(pool, label, action, deadline) if is_due else Step(label, has_run=False))
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    return steps


def first_error(steps: list[Step]) -> str | None:
    """Return the first error with the name of its step, or None when the test passed."""
    return next((f"{step.label}: {step.error_message}" for step in steps if step.error_message), None)


def translate_step(step: Step) -> Step:
    """Return a step with its texts in the current locale."""
    message = translate_stored(step.error_message) if step.error_message else None
    return replace(step, label=gettext(step.label), error_message=message)


def error_text(connection: Connection) -> str:
    """Return the error of the last test with the name of its step, in the current locale; empty if it passed."""
    if connection.error_message is None:
        return ""
    failed = next((translate_step(step) for step in saved_steps(connection) if step.error_message), None)
    if failed is None:
        return connection.error_message
    return gettext("%(field)s: %(message)s", field=failed.label, message=failed.error_message)


def _run_step(pool: ThreadPoolExecutor, label: str, action: Callable[[], object], deadline: float) -> Step:
    try:
        pool.submit(action).result(max(deadline - time.monotonic(), 0.1))
    except StorageError as error:
        STORAGE_ERRORS.labels(type(error).__name__).inc()
        return Step(label, str(error))
    except FutureTimeoutError:
        return Step(label, gettext_noop("The storage did not respond in time; try again in a minute"))
    except Exception:
        log.exception("storage plugin failed", step=label)
        return Step(label, gettext_noop("The storage plugin failed; the error is in the server's log"))
    return Step(label)


def _check_content(body: bytes) -> None:
    if body != PROBE:
        message = gettext_noop("The storage returned other content than was written; check for a proxy or cache")
        raise StorageError(message)


def _check_list(keys: list[str], key: str) -> None:
    if key not in keys:
        raise StorageError(gettext_noop("The written object is missing from the list; allow listing in this bucket"))

"""The test of a connection: a probe object is written, read, listed and deleted, step by step, in bounded time."""

import secrets
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotInTime
from dataclasses import dataclass
from uuid import UUID

import structlog

from cwz_web.metrics import STORAGE_ERRORS
from cwz_web.storage.contract import Bucket, StorageError

log = structlog.get_logger()

SECONDS = 9.0
BODY = b"ConnectWyze tests this connection; this object may be deleted."


@dataclass(frozen=True)
class Step:
    """One thing that was tried. `trouble` is None when it worked; `tried` is False when it was not its turn."""

    label: str
    trouble: str | None = None
    tried: bool = True


def try_connection(open_bucket: Callable[[], Bucket], workspace_id: UUID) -> list[Step]:
    """Write, read, list and delete a probe below the workspace's prefix. Takes ten seconds at most.

    What is wrong is told, not raised: each step that failed says what to do about it.
    """
    ends = time.monotonic() + SECONDS
    key = f"{workspace_id}/probe/{secrets.token_hex(8)}.txt"
    pool = ThreadPoolExecutor(1)
    opened: list[Bucket] = []
    work: list[tuple[str, Callable[[], object]]] = [
        ("Open", lambda: opened.append(open_bucket())),
        ("Write", lambda: opened[0].put(key, BODY, content_type="text/plain")),
        ("Read", lambda: _same(opened[0].get(key))),
        ("List", lambda: _listed([info.key for info in opened[0].list(key)], key)),
        ("Delete", lambda: opened[0].delete(key)),
    ]
    steps: list[Step] = []
    try:
        for label, attempt in work:
            broken = any(step.trouble for step in steps)
            # A probe that was written is deleted in any case, so that none is left behind.
            written = any(step.label == "Write" and step.tried and not step.trouble for step in steps)
            wanted = not broken or (label == "Delete" and written)
            steps.append(_step(pool, label, attempt, ends) if wanted else Step(label, tried=False))
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    return steps


def trouble_of(steps: list[Step]) -> str | None:
    """What is wrong, in one sentence; None when everything worked."""
    return next((f"{step.label}: {step.trouble}" for step in steps if step.trouble), None)


def _step(pool: ThreadPoolExecutor, label: str, attempt: Callable[[], object], ends: float) -> Step:
    try:
        pool.submit(attempt).result(max(ends - time.monotonic(), 0.1))
    except StorageError as error:
        STORAGE_ERRORS.labels(type(error).__name__).inc()
        return Step(label, str(error))
    except NotInTime:
        return Step(label, "The storage did not answer in time; try again in a minute")
    except Exception:
        log.exception("storage plugin failed", step=label)
        return Step(label, "The plugin of this storage failed; the error was recorded")
    return Step(label)


def _same(body: bytes) -> None:
    if body != BODY:
        raise StorageError("What was read is not what was written; is there something between us and the storage?")


def _listed(keys: list[str], key: str) -> None:
    if key not in keys:
        raise StorageError("What was written is not in the list; allow listing in this bucket")

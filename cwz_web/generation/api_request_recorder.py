"""The log of API requests: kept in memory for a second, then written in batches by a thread.

A request never waits for the log. What does not fit is dropped and counted (`cwz_api_requests_unlogged_total`), and a
process that is killed loses the requests of its last second.
"""

import threading
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import structlog
from sqlalchemy import insert
from sqlalchemy.exc import SQLAlchemyError

from cwz_web.db.session import Database
from cwz_web.generation.models import ApiRequest
from cwz_web.metrics import API_REQUESTS_UNLOGGED

log = structlog.get_logger()

FLUSH_SECONDS = 1.0
MAX_PENDING = 10_000
# Of a workspace, in each process: as many successful requests, and as many errors. A key with the default limit sends
# no more.
MAX_PER_MINUTE = 600
FIRST_ERROR = 400


class RecordedRequest(NamedTuple):
    """A request as its row in the table `api_requests`."""

    workspace_id: UUID
    id: UUID
    created_at: datetime
    key_id: UUID
    method: str
    path: str
    status: int
    milliseconds: int
    response_bytes: int | None = None
    code: str | None = None
    detail: str | None = None
    errors: dict[str, str] | None = None


class ApiRequestRecorder:
    """Records requests to the API. One per process; thread-safe.

    Args:
        database: where they are written.
        is_enabled: whether the operator keeps a log of them.
    """

    def __init__(self, database: Database, *, is_enabled: bool = True) -> None:
        self.is_enabled = is_enabled
        self._database = database
        self._lock = threading.Lock()
        self._pending: list[RecordedRequest] = []
        self._minute = 0
        self._counts: Counter[tuple[UUID, bool]] = Counter()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Write what is recorded every second while the block runs, and the rest at its end."""
        stopped = threading.Event()
        thread = threading.Thread(target=self._run, args=[stopped], name="api-requests", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stopped.set()
            thread.join()
            self.flush()

    def add(self, request: RecordedRequest) -> None:
        """Record a request, or drop it if there are too many."""
        with self._lock:
            reason = self._reason_to_drop(request)
            if not reason:
                self._pending.append(request)
        if reason:
            API_REQUESTS_UNLOGGED.labels(reason).inc()

    def flush(self) -> None:
        """Write what was recorded, each workspace in a transaction of its own."""
        with self._lock:
            pending, self._pending = self._pending, []
        rows: dict[UUID, list[dict[str, Any]]] = defaultdict(list)
        for request in pending:
            rows[request.workspace_id].append(request._asdict())
        for workspace_id, own in rows.items():
            try:
                with self._database.transaction(workspace_id) as db:
                    db.execute(insert(ApiRequest), own)
            except SQLAlchemyError as error:
                API_REQUESTS_UNLOGGED.labels("database").inc(len(own))
                log.warning("api requests not logged", requests=len(own), error=type(error).__name__)

    def _reason_to_drop(self, request: RecordedRequest) -> str:
        minute = int(request.created_at.timestamp()) // 60
        if minute != self._minute:
            self._minute, self._counts = minute, Counter()
        kind = (request.workspace_id, request.status >= FIRST_ERROR)
        if self._counts[kind] >= MAX_PER_MINUTE:
            return "rate"
        if len(self._pending) >= MAX_PENDING:
            return "queue"
        self._counts[kind] += 1
        return ""

    def _run(self, stopped: threading.Event) -> None:
        while not stopped.wait(FLUSH_SECONDS):
            self.flush()

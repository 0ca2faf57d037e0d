"""Logs: structlog, lines for people in development and JSON in production, for the libraries' own lines as well.

Everything passes `scrubbing`: no body, header, query or secret is in a line. Errors go to Sentry, too, where there is
one (`error_reports.py`).
"""

import logging
import sys
from contextlib import suppress
from typing import Any, TextIO, cast

import structlog
from structlog.types import EventDict, Processor

from cwz_web.error_reports import report_error
from cwz_web.scrubbing import scrub, scrub_trace

CHATTY = (
    "httpx",
    "httpcore",
    "procrastinate",
    "pyvips",
    "waitress.queue",
    "alembic",
    "stripe",
    "urllib3",
    "sentry_sdk",
)
# What structlog itself puts into a line.
OURS = {"event", "level", "timestamp", "logger"}


def configure_logs(*, development: bool) -> None:
    """Set up structlog, the standard library's logging, and the levels of chatty libraries."""
    # Plain tracebacks: the fancy ones show local variables, and with them secrets.
    lines = structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)
    renderer: Processor = lines if development else structlog.processors.JSONRenderer()
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        report_error,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        scrub_event,
    ]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    for chatty in CHATTY:
        logging.getLogger(chatty).setLevel(logging.WARNING)
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        # Not the standard output: that belongs to a command's answer.
        logger_factory=structlog.WriteLoggerFactory(cast("TextIO", _Lines(sys.stderr))),
        cache_logger_on_first_use=True,
    )


class _Lines:
    """Where lines go. One that cannot be written, since the disk is full or nobody takes it any more, is lost: what it
    tells of has been done, and must not fail for it. The standard library's logging does the same."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, text: str) -> None:
        with suppress(OSError):
            self._file.write(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._file.flush()


def scrub_event(logger: Any, method: str, event: EventDict) -> EventDict:
    """A line without what must not leave."""
    scrubbed: EventDict = {}
    for name, value in event.items():
        if name == "exception":
            scrubbed[name] = scrub_trace(value)
        elif name.startswith("_"):  # structlog's own, for the renderer
            scrubbed[name] = value
        else:
            scrubbed[name] = scrub(value, "" if name in OURS else name)
    return scrubbed

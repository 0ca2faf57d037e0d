"""Logging: structlog, with text lines in development and JSON in production, for libraries' lines as well.

Every line passes `scrubbing`. In production the traceback of an unexpected error has its types and locations only: a
message can quote anything that a request contained. Errors are also reported to Sentry (`error_reports.py`).
"""

import logging
import sys
import traceback
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, TextIO, cast

import structlog
from structlog.types import EventDict, ExcInfo, Processor

from cwz_web.error_reports import report_error
from cwz_web.scrubbing import scrub

VERBOSE_LIBRARIES = (
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
# The keys that structlog adds to a line.
STRUCTLOG_KEYS = {"event", "level", "timestamp", "logger"}


def configure_logs(*, development: bool) -> None:
    """Configure structlog, the standard library's logging, and the levels of verbose libraries."""
    # Plain tracebacks: the rich ones show local variables, which can be secrets.
    console = structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)
    renderer: Processor = console if development else structlog.processors.JSONRenderer()
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        report_error,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info if development else structlog.processors.ExceptionRenderer(format_stack),
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
    for library in VERBOSE_LIBRARIES:
        logging.getLogger(library).setLevel(logging.WARNING)
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        # Not the standard output, which is for the output of commands.
        logger_factory=structlog.WriteLoggerFactory(cast("TextIO", _SafeStream(sys.stderr))),
        cache_logger_on_first_use=True,
    )


class _SafeStream:
    """A stream that drops a line that cannot be written, for example to a full disk or a closed pipe.

    The logged action must not fail for it. The standard library's logging does the same.
    """

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, text: str) -> None:
        with suppress(OSError):
            self._file.write(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._file.flush()


def format_stack(exc_info: ExcInfo) -> str:
    """Return the types and locations of an error and its causes, without messages and source lines."""
    return "\n".join(_stack_lines(exc_info[1], set()))


def _stack_lines(error: BaseException, seen: set[int]) -> Iterator[str]:
    """Yield the lines of an error. `seen` holds the ids of errors, since an error can be its own indirect cause."""
    seen.add(id(error))
    if error.__cause__ is not None and id(error.__cause__) not in seen:
        yield from _stack_lines(error.__cause__, seen)
        yield "  caused:"
    elif error.__context__ is not None and not error.__suppress_context__ and id(error.__context__) not in seen:
        yield from _stack_lines(error.__context__, seen)
        yield "  while it was handled:"
    for frame in traceback.StackSummary.extract(traceback.walk_tb(error.__traceback__), lookup_lines=False):
        yield f'  File "{frame.filename}", line {frame.lineno}, in {frame.name}'
    yield type(error).__qualname__
    for inner in error.exceptions if isinstance(error, BaseExceptionGroup) else ():
        yield from _stack_lines(inner, seen)


def scrub_event(logger: Any, method: str, event: EventDict) -> EventDict:
    """Remove secrets from a line (a structlog processor)."""
    scrubbed: EventDict = {}
    for name, value in event.items():
        if name.startswith("_"):  # of structlog, for the renderer
            scrubbed[name] = value
        else:
            scrubbed[name] = scrub(value, "" if name in STRUCTLOG_KEYS else name)
    return scrubbed

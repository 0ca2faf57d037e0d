"""Logs: structlog, lines for people in development and JSON in production. No body, header or query is logged."""

import logging
import sys

import structlog


def configure_logs(*, development: bool) -> None:
    """Set up structlog, and the levels of chatty libraries."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s %(message)s")
    for chatty in ("httpx", "httpcore", "procrastinate", "pyvips", "waitress.queue", "alembic"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    # Plain tracebacks: the fancy ones show local variables, and with them secrets.
    lines = structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)
    renderer = lines if development else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        # Not the standard output: that belongs to a command's answer.
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )

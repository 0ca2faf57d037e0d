"""Errors that are logged with their trace are told to Sentry as well, where the operator has one.

Only what is named here leaves: the kinds of the errors and where they were raised, which request, route, workspace and
release. No message, no variable, no line of source, nothing of the request itself: a password has no form by which it
could be recognised in a message. The log has the message, under the same request's id.
"""

import sys
from importlib.metadata import version
from types import TracebackType
from typing import Any

import sentry_sdk
from sentry_sdk.types import Event, Hint
from structlog.types import EventDict

FRAME = ("filename", "function", "module", "lineno", "in_app")
KEPT = ("event_id", "timestamp", "platform", "level", "release", "environment")
# Names in a log's line that say where to look, and whose values are ids of ours.
TAGS = ("request", "workspace", "run", "feed", "route")


def configure_error_reports(dsn: str, environment: str) -> None:
    """Tell Sentry from now on; for an empty DSN, nobody."""
    if not dsn:
        return
    sentry_sdk.init(
        dsn,
        environment=environment,
        release=f"cwz-web@{version('cwz-web')}",
        default_integrations=False,
        auto_enabling_integrations=False,
        auto_session_tracking=False,
        send_client_reports=False,
        send_default_pii=False,
        include_local_variables=False,
        include_source_context=False,
        max_request_body_size="never",
        max_breadcrumbs=0,
        http_proxy="",  # none from the environment
        https_proxy="",
        before_send=only_what_is_named,
    )


def report_error(logger: Any, method: str, event: EventDict) -> EventDict:
    """A structlog processor: a line with a trace is told to Sentry, and goes on unchanged."""
    given = event.get("exc_info")
    error = sys.exc_info() if given is True else given
    if error and method in ("error", "exception", "critical"):
        with sentry_sdk.new_scope() as scope:
            for name in TAGS:
                if name in event:
                    scope.set_tag(name, str(event[name]))
            scope.capture_exception(_as_exc_info(error))
    return event


def only_what_is_named(event: Event, hint: Hint) -> Event:
    """What leaves of an event."""
    errors = [
        {
            "type": error.get("type"),
            "module": error.get("module"),
            "stacktrace": {
                "frames": [
                    {name: frame[name] for name in FRAME if name in frame}
                    for frame in (error.get("stacktrace") or {}).get("frames", ())
                ]
            },
        }
        for error in event.get("exception", {}).get("values", ())
    ]
    kept: dict[str, Any] = {name: event[name] for name in KEPT if name in event}  # type: ignore[literal-required]
    tags = {name: value for name, value in (event.get("tags") or {}).items() if name in TAGS}
    return {**kept, "exception": {"values": errors}, "tags": tags}  # type: ignore[typeddict-item]


def _as_exc_info(
    error: BaseException | tuple[type[BaseException] | None, BaseException | None, TracebackType | None],
) -> Any:
    return (type(error), error, error.__traceback__) if isinstance(error, BaseException) else error

"""Error reports to Sentry, for errors that are logged with a traceback.

A report contains the types of the errors, where they were raised, and the ids of the request, route, workspace and
release. It contains no message, no variable, no source line and nothing of the request: a secret in a message cannot be
recognized. The log has the same error under the same request id. The `sentry-sdk` package is an extra and imported
where it is used.
"""

import sys
from importlib.metadata import version
from types import TracebackType
from typing import TYPE_CHECKING, Any

from structlog.types import EventDict

if TYPE_CHECKING:
    from sentry_sdk.types import Event, Hint

FRAME_FIELDS = ("filename", "function", "module", "lineno", "in_app")
EVENT_FIELDS = ("event_id", "timestamp", "platform", "level", "release", "environment")
# Keys of log lines whose values are ids and routes of ours.
TAGS = ("request", "workspace", "run", "feed", "route")


def configure_error_reports(dsn: str, environment: str) -> None:
    """Turn error reports on, unless the DSN is empty."""
    if not dsn:
        return
    import sentry_sdk

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
        http_proxy="",  # no proxy from the environment
        https_proxy="",
        before_send=filter_event,
    )


def report_error(logger: Any, method: str, event: EventDict) -> EventDict:
    """Report a line with a traceback to Sentry (a structlog processor; returns the line unchanged)."""
    given = event.get("exc_info")
    error = sys.exc_info() if given is True else given
    # Without a DSN nothing has imported the SDK, and nothing is reported.
    if error and method in ("error", "exception", "critical") and "sentry_sdk" in sys.modules:
        import sentry_sdk

        with sentry_sdk.new_scope() as scope:
            for name in TAGS:
                if name in event:
                    scope.set_tag(name, str(event[name]))
            scope.capture_exception(_as_exc_info(error))
    return event


def filter_event(event: "Event", hint: "Hint") -> "Event":
    """Return an event with the allowed fields only (the `before_send` hook of Sentry)."""
    errors = [
        {
            "type": error.get("type"),
            "module": error.get("module"),
            "stacktrace": {
                "frames": [
                    {name: frame[name] for name in FRAME_FIELDS if name in frame}
                    for frame in (error.get("stacktrace") or {}).get("frames", ())
                ]
            },
        }
        for error in event.get("exception", {}).get("values", ())
    ]
    fields: dict[str, Any] = {name: event[name] for name in EVENT_FIELDS if name in event}  # type: ignore[literal-required]
    tags = {name: value for name, value in (event.get("tags") or {}).items() if name in TAGS}
    return {**fields, "exception": {"values": errors}, "tags": tags}  # type: ignore[typeddict-item]


def _as_exc_info(
    error: BaseException | tuple[type[BaseException] | None, BaseException | None, TracebackType | None],
) -> Any:
    return (type(error), error, error.__traceback__) if isinstance(error, BaseException) else error

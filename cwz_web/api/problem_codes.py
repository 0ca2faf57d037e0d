"""The codes of problems (RFC 9457), and the operations of the API that answer with them."""

from collections.abc import Iterable

# The statuses of each code that a client of the API can get. A test finds the codes in the sources.
PROBLEM_STATUSES = {
    "approval_required": 403,
    "bad_request": 400,
    "body_too_large": 413,
    "busy": 503,
    "cannot_render": 422,
    "conflict": 409,
    "feed_full": 422,
    "forbidden": 403,
    "headers_too_large": 431,
    "idempotency_key_reused": 422,
    "import_not_reviewable": 409,
    "internal_error": 500,
    "invalid": 422,
    "invalid_characters": 422,
    "invalid_file": 422,
    "invalid_idempotency_key": 400,
    "invalid_json": 400,
    "invalid_signature": 403,
    "method_not_allowed": 405,
    "no_source": 422,
    "not_acceptable": 406,
    "not_found": 404,
    "not_implemented": 501,
    "not_publishable": 409,
    "nothing_to_render": 422,
    "origin_not_allowed": 403,
    "photo_missing": 422,
    "plan_limit_reached": 402,
    "precondition_failed": 412,
    "quota_exceeded": 402,
    "read_only": 402,
    "repeated_parameter": 400,
    "request_in_flight": 409,
    "request_timeout": 408,
    "storage_unavailable": 503,
    "template_not_allowed": 403,
    "too_many_requests": 429,
    "unauthorized": 401,
    "unavailable": 503,
    "unknown_feed": 422,
    "unknown_item": 422,
    "unknown_template": 422,
    "unknown_version": 422,
    "unsupported_media_type": 415,
    "image_in_use": 409,
    "upload_in_use": 409,
    "uploads_full": 422,
    "url_too_long": 414,
}

ANY_OPERATION = (
    "bad_request",
    "busy",
    "forbidden",
    "internal_error",
    "origin_not_allowed",
    "too_many_requests",
    "unauthorized",
    "unavailable",
)
WITH_JSON_BODY = ("body_too_large", "invalid", "invalid_characters", "invalid_json", "unsupported_media_type")
WITH_FILE = ("body_too_large", "invalid")
WITH_IDEMPOTENCY_KEY = ("idempotency_key_reused", "invalid_idempotency_key", "request_in_flight")


def codes_by_status(codes: Iterable[str]) -> dict[int, list[str]]:
    """Group codes by their status, both sorted."""
    by_status: dict[int, list[str]] = {}
    for code in sorted(set(codes)):
        by_status.setdefault(PROBLEM_STATUSES[code], []).append(code)
    return dict(sorted(by_status.items()))

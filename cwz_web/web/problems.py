"""Problem details of the API: `application/problem+json` (RFC 9457) with a stable `code` and the request id."""

import json
from collections.abc import Mapping

from pyramid.response import Response

from cwz_web.i18n import translate
from cwz_web.web.request import Request

PROBLEM_JSON = "application/problem+json"


class ProblemError(Exception):
    """A request that cannot be served.

    Args:
        status: The HTTP status.
        code: A stable identifier that clients can compare.
        detail: A sentence that says what happened and what to do.
        errors: A message for each invalid field.
    """

    def __init__(self, status: int, code: str, detail: str, errors: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail, self.errors = status, code, detail, dict(errors or {})


def is_api_request(request: Request) -> bool:
    """Return whether the URL is for API clients, which get JSON errors."""
    return request.area.is_api


def problem_document(problem: ProblemError, request_id: str) -> dict[str, object]:
    """Return the members of a problem (RFC 9457, section 3.1), and ours."""
    document: dict[str, object] = {
        "type": "about:blank",
        "title": Response(status=problem.status).status.partition(" ")[2],
        "status": problem.status,
        "code": problem.code,
        "detail": translate(problem.detail),
        "request_id": request_id,
    }
    errors = {name: translate(message) for name, message in problem.errors.items()}
    return document | ({"errors": errors} if errors else {})


def problem_response(request: Request, problem: ProblemError) -> Response:
    """Return a problem as a response."""
    body = json.dumps(problem_document(problem, request.id), ensure_ascii=False)
    response = Response(body, status=problem.status, charset="utf-8")
    response.content_type = PROBLEM_JSON
    if problem.status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response

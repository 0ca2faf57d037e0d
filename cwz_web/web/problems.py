"""Problems as machines read them: `application/problem+json` of RFC 9457, with a stable `code` and the request's id."""

import json
from collections.abc import Mapping

from pyramid.response import Response

from cwz_web.web.request import Request

MACHINES = ("/v1/", "/i/", "/hooks/")


class ProblemError(Exception):
    """Something is wrong with a machine's request.

    Arguments:
        status: the HTTP status.
        code: a stable word that programs can compare.
        detail: a sentence that says what would be right.
        errors: a message for each field that is wrong.
    """

    def __init__(self, status: int, code: str, detail: str, errors: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail, self.errors = status, code, detail, dict(errors or {})


def is_machine(request: Request) -> bool:
    """Whether the address is one that programs use."""
    return request.raw_path.startswith(MACHINES)


def problem_response(request: Request, problem: ProblemError) -> Response:
    """The answer that tells of a problem."""
    body: dict[str, object] = {
        "type": "about:blank",
        "title": Response(status=problem.status).status.partition(" ")[2],
        "status": problem.status,
        "code": problem.code,
        "detail": problem.detail,
        "request_id": request.id,
    }
    if problem.errors:
        body["errors"] = problem.errors
    response = Response(json.dumps(body, ensure_ascii=False), status=problem.status, charset="utf-8")
    response.content_type = "application/problem+json"
    if problem.status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response

"""Errors of the client."""

from typing import Any

import httpx


class ApiError(Exception):
    """A problem (RFC 9457) that the API answered with.

    Attributes:
        status: the HTTP status.
        code: the stable identifier of the problem, such as `quota_exceeded`; "" if the response was no problem.
        detail: what happened and what to do.
        errors: a message for each invalid field, by its path in the request.
        request_id: the identifier of the request, for support.
    """

    def __init__(self, status: int, problem: dict[str, Any]) -> None:
        self.status = status
        self.code: str = problem.get("code", "")
        self.detail: str = problem.get("detail", "")
        self.errors: dict[str, str] = problem.get("errors", {})
        self.request_id: str = problem.get("request_id", "")
        fields = "".join(f"\n  {path}: {message}" for path, message in self.errors.items())
        super().__init__(f"{status} {self.code}: {self.detail}{fields}")


class WaitTimeoutError(Exception):
    """Work that was waited for has not ended in time. It goes on."""


def raise_for_problem(response: httpx.Response) -> None:
    """Raise ApiError for a response, read already, that is no success. A redirect is none: it must not get the key."""
    if not response.is_success:
        raise ApiError(response.status_code, read_problem(response))


def read_problem(response: httpx.Response) -> dict[str, Any]:
    """Return the problem of a response; that of a proxy may have none."""
    try:
        problem = response.json()
    except ValueError:
        problem = None
    return problem if isinstance(problem, dict) else {"detail": f"The server answered {response.reason_phrase}"}

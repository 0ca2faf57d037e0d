"""Requests to the `/v1` API of an installation, with the API key of the caller."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from uuid import uuid4

import anyio
import httpx

# Of a response.
MAX_JSON, MAX_IMAGE = 8 * 2**20, 40 * 2**20
TIMEOUT = httpx.Timeout(120, connect=10)
# A request that the API could not take yet is sent again if it asks for no more than this.
MAX_ATTEMPTS, MAX_WAIT_SECONDS = 3, 10.0
JSON = "application/json"
HINTS = {
    401: "The API key is missing, wrong, expired or revoked",
    403: "The API key does not permit this",
    404: "There is no such thing in the workspace of the API key",
    429: "Too many requests: wait a minute",
}


class ApiError(Exception):
    """An answer of the API that is an error, or no usable answer.

    Attributes:
        status: The HTTP status; 0 without an answer.
        code: The stable code of the problem.
        detail: What happened.
        errors: What is wrong with the request, by path.
        request_id: The id to quote to support.
    """

    def __init__(
        self, status: int, code: str, detail: str, errors: Mapping[str, str] | None = None, request_id: str = ""
    ) -> None:
        super().__init__(f"{status} {code}")
        self.status, self.code, self.detail = status, code, detail
        self.errors = dict(errors or {})
        self.request_id = request_id


@dataclass(frozen=True)
class ApiAnswer:
    """A successful response."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def json(self) -> Any:
        """The parsed body. Raises ApiError if it is no JSON."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            raise ApiError(self.status, "unexpected_response", "The answer is no JSON: is this the API?") from None

    @property
    def etag(self) -> str:
        """The entity tag, without quotes."""
        return self.headers.get("ETag", "").removeprefix("W/").strip('"')


class ApiClient:
    """The API of one installation. It holds no API key: each call names the one of its caller."""

    def __init__(self, url: str, http: httpx.AsyncClient) -> None:
        self.url = url
        self._http = http

    async def send(
        self,
        api_key: str,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        etag: str = "",
        accept: str = JSON,
        is_creation: bool = False,
    ) -> ApiAnswer:
        """Send a request, and again while the API asks for it.

        Args:
            api_key: The key of the caller; empty for resources that are public.
            method: The HTTP method.
            path: The path below `/v1`.
            query: Parameters; those that are None or empty are left out.
            body: What to send as JSON.
            etag: The state that must not have changed.
            accept: The type of the response.
            is_creation: Whether each execution makes another thing. Then it is executed once, also if it is sent again.

        Raises:
            ApiError: The API refused the request, or did not answer.
        """
        headers = {"Accept": accept}
        if api_key:
            headers["Authorization"] = f"Bearer {api_key}"
        if etag:
            headers["If-Match"] = f'"{etag}"'
        if is_creation:
            headers["Idempotency-Key"] = str(uuid4())
        parameters = {name: value for name, value in (query or {}).items() if value not in (None, "")}
        request = self._http.build_request(
            method, f"{self.url}/v1{path}", params=parameters, json=body, headers=headers
        )
        limit = MAX_JSON if accept == JSON else MAX_IMAGE
        for attempt in range(1, MAX_ATTEMPTS + 1):
            try:
                answer = await self._send_once(request, limit)
            except ApiError:
                if attempt == 1 and is_creation:
                    continue
                raise
            wait = _wait_seconds(answer) if answer.status in (429, 503) else math.inf
            if attempt == MAX_ATTEMPTS or wait > MAX_WAIT_SECONDS:
                break
            await anyio.sleep(wait)
        if not 200 <= answer.status < 300:
            raise _problem(answer)
        return answer

    async def _send_once(self, request: httpx.Request, limit: int) -> ApiAnswer:
        body = bytearray()
        try:
            response = await self._http.send(request, stream=True)
            try:
                async for part in response.aiter_bytes():
                    body += part
                    if len(body) > limit:
                        raise ApiError(
                            response.status_code, "response_too_large", f"The answer has more than {limit:,} bytes"
                        )
            finally:
                await response.aclose()
        except httpx.HTTPError as error:
            # Not its message, which can quote the URL.
            detail = f"The installation did not answer ({type(error).__name__})"
            raise ApiError(0, "unreachable", detail) from None
        return ApiAnswer(response.status_code, bytes(body), response.headers)


def create_http_client(**options: Any) -> httpx.AsyncClient:
    """Return a client that follows no redirects and uses no proxy of the environment, which would get the API key."""
    return httpx.AsyncClient(
        timeout=TIMEOUT,
        follow_redirects=False,
        trust_env=False,
        limits=httpx.Limits(max_connections=50),
        headers={"User-Agent": "cwz-mcp"},
        **options,
    )


def _wait_seconds(answer: ApiAnswer) -> float:
    try:
        return max(0.0, float(answer.headers.get("Retry-After", "")))
    except ValueError:
        return math.inf


def _problem(answer: ApiAnswer) -> ApiError:
    """Return the error of an answer: a problem (RFC 9457), or what its status says."""
    status = answer.status
    try:
        problem = answer.json
    except ApiError:
        problem = None
    if not isinstance(problem, dict) or not isinstance(problem.get("code"), str):
        if 300 <= status < 400:
            return ApiError(status, "unexpected_response", "The URL of the installation redirects: use the target")
        return ApiError(status, "unexpected_response", HINTS.get(status, f"The answer has the status {status}"))
    errors = problem.get("errors")
    return ApiError(
        status,
        problem["code"],
        str(problem.get("detail") or problem.get("title") or HINTS.get(status, "")),
        {str(path): str(text) for path, text in errors.items()} if isinstance(errors, dict) else {},
        str(problem.get("request_id") or ""),
    )

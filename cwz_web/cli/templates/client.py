"""A client of `/v1/templates` and `/v1/uploads`.

It sends the API key to one installation only: redirects are not followed, and without TLS the installation has to be on
this machine. The server may be hostile: answers have limits of size and time, and its texts no control characters.
"""

import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from types import TracebackType
from typing import Annotated, Any, Self, TypeVar
from urllib.parse import quote
from uuid import UUID, uuid4

import httpx
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cwz_web.cli.templates.folder import MAX_DOCUMENT_BYTES, MAX_UPLOAD_BYTES
from cwz_web.cli.templates.json_files import JsonError, parse_json
from cwz_web.net.installation_urls import check_installation_url

CONNECT_SECONDS, READ_SECONDS = 10.0, 60.0
# Of a whole response: a server that sends a byte now and then never reaches the timeout between two of them.
RESPONSE_SECONDS = 180.0
MAX_ATTEMPTS = 6
# Of one wait, and of all waits of a request.
MAX_WAIT, MAX_WAITS = 60.0, 300.0
# The server did not execute these requests, so that any of them can be repeated.
REFUSED = frozenset({429, 503})
# A proxy may have passed these on, so that only what changes nothing is repeated.
UNCERTAIN = frozenset({500, 502, 504})
PAGE, MAX_PAGES = 200, 500
MAX_ANSWER_BYTES = 2 * MAX_DOCUMENT_BYTES
MAX_MESSAGE = 500
API_KEY = re.compile(r"cwz_live_[A-Za-z0-9_-]{43}")
_control = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]+")

ShortText = Annotated[str, Field(max_length=500)]
M = TypeVar("M", bound=BaseModel)


class ApiError(Exception):
    """A request failed; the message says why."""


class ChangedError(ApiError):
    """The template has another ETag than the request says."""


class InvalidDocumentError(ApiError):
    """The server does not accept a document or a file.

    Attributes:
        errors: messages by path, such as `document.layers.0.width`.
    """

    def __init__(self, message: str, errors: Mapping[str, str]) -> None:
        super().__init__(message)
        self.errors = errors


class _Answer(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class TemplateInfo(_Answer):
    """A template in the list."""

    id: UUID
    slug: ShortText
    name: ShortText
    version: Annotated[int, Field(ge=1, le=2**31)]


class RemoteTemplate(TemplateInfo):
    """A template with a document: the published one, or that of the draft."""

    has_draft: bool
    document: dict[str, Any]
    etag: str = ""


class UploadInfo(_Answer):
    """An upload."""

    name: ShortText
    content_type: ShortText
    digest: ShortText


class _Page(_Answer):
    templates: Annotated[list[TemplateInfo], Field(max_length=PAGE)]
    next: ShortText | None


class _Version(_Answer):
    document: dict[str, Any]


@dataclass(frozen=True)
class _Response:
    status: int
    headers: httpx.Headers
    body: bytes


class Client:
    """A client of one installation. Use it as a context manager.

    Args:
        url: the installation's URL.
        key: an API key.
        allow_http: whether the key may be sent without TLS.
        report_wait: called with the seconds before a request is repeated, and the reason.

    Raises:
        ApiError: the URL or the key is not valid.
    """

    def __init__(
        self,
        url: str,
        key: str,
        *,
        allow_http: bool = False,
        report_wait: Callable[[float, str], None] = lambda seconds, reason: None,
        sleep: Callable[[float], None] = time.sleep,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        if not API_KEY.fullmatch(key):
            raise ApiError("The API key is not valid: it is cwz_live_ and 43 more characters")
        try:
            self._base = check_installation_url(url, allow_http=allow_http)
        except ValueError as error:
            raise ApiError(str(error)) from None
        self._key = key
        self._report_wait, self._sleep = report_wait, sleep
        self._http = httpx.Client(
            headers={
                "Authorization": f"Bearer {key}",
                "User-Agent": "cwz-templates/1",
                "Accept": "application/json",
                # A compressed answer could be a thousand times larger than what was received.
                "Accept-Encoding": "identity",
            },
            timeout=httpx.Timeout(READ_SECONDS, connect=CONNECT_SECONDS),
            follow_redirects=False,
            transport=transport,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def list_templates(self) -> Iterator[TemplateInfo]:
        """Yield the templates that the key may read, newest first."""
        after, seen = "", {""}
        for _ in range(MAX_PAGES):
            page = self._read(_Page, "GET", f"/v1/templates?limit={PAGE}&after={quote(after, safe='')}")
            yield from page.templates
            if page.next is None:
                return
            after = page.next
            if after in seen:
                break
            seen.add(after)
        raise ApiError("The server's list of templates does not end")

    def find_template(self, name: UUID | str) -> RemoteTemplate | None:
        """Return a template as it is published, by id or slug; None if the workspace does not have it."""
        return self._find(f"/v1/templates/{quote(str(name), safe='')}")

    def find_draft(self, template_id: UUID) -> RemoteTemplate | None:
        """Return a template with its unpublished changes."""
        return self._find(f"/v1/templates/{template_id}/draft")

    def get_version(self, template_id: UUID, number: int) -> dict[str, Any] | None:
        """Return the document of a version; None if there is none."""
        answer = self._send("GET", f"/v1/templates/{template_id}/versions/{number}")
        return None if answer.status == 404 else self._parse(_Version, answer).document

    def create_template(self, name: str, document: Any) -> RemoteTemplate:
        """Create a template, published as version 1."""
        headers = {"Idempotency-Key": str(uuid4())}
        answer = self._send("POST", "/v1/templates", {"name": name, "document": document}, headers)
        return self._template(answer)

    def change_template(self, template_id: UUID, document: Any, etag: str, *, publish: bool) -> RemoteTemplate:
        """Publish a document as the next version, or store it as the draft. Raises ChangedError."""
        body = {"document": document, "publish": publish}
        return self._template(self._send("PUT", f"/v1/templates/{template_id}", body, {"If-Match": f'"{etag}"'}))

    def publish_template(self, template_id: UUID, etag: str) -> RemoteTemplate:
        """Publish the draft of a template. Raises ChangedError."""
        headers = {"If-Match": f'"{etag}"', "Idempotency-Key": str(uuid4())}
        return self._template(self._send("POST", f"/v1/templates/{template_id}/publish", headers=headers))

    def find_upload(self, digest: str) -> UploadInfo | None:
        """Return an upload by its digest; None if the workspace does not have it."""
        answer = self._send("GET", f"/v1/uploads/{digest}")
        return None if answer.status == 404 else self._parse(UploadInfo, answer)

    def download_upload(self, digest: str) -> bytes | None:
        """Return the file of an upload; None if the storage does not have it. Its digest is verified."""
        answer = self._send("GET", f"/v1/uploads/{digest}/file", max_bytes=MAX_UPLOAD_BYTES)
        if answer.status == 404:
            return None
        self._check(answer)
        if sha256(answer.body).hexdigest() != digest:
            raise ApiError(f"The server sent another file than the upload {digest[:12]}…")
        return answer.body

    def add_upload(self, data: bytes, name: str) -> UploadInfo:
        """Store an upload, as it is on its page: checked, and once."""
        files = {"file": ("upload", data)}
        headers = {"Idempotency-Key": str(uuid4())}
        return self._parse(UploadInfo, self._send("POST", "/v1/uploads", {"name": name}, headers, files=files))

    def _find(self, path: str) -> RemoteTemplate | None:
        answer = self._send("GET", path)
        return None if answer.status == 404 else self._template(answer)

    def _template(self, answer: _Response) -> RemoteTemplate:
        etag = answer.headers.get("ETag", "").removeprefix("W/").strip('"')
        if not re.fullmatch(r"[!#-~]{1,200}", etag):
            etag = ""
        return self._parse(RemoteTemplate, answer).model_copy(update={"etag": etag})

    def _read(self, model: type[M], method: str, path: str) -> M:
        return self._parse(model, self._send(method, path))

    def _parse(self, model: type[M], answer: _Response) -> M:
        self._check(answer)
        try:
            return model.model_validate(parse_json(answer.body))
        except ValidationError as error:
            place = ".".join(map(str, error.errors()[0]["loc"]))
            raise ApiError(f"The server's answer is not one of ConnectWyze: {self._clean(place)}") from None
        except JsonError as error:
            raise ApiError(f"The server's answer is not one of ConnectWyze: {error}") from None

    def _check(self, answer: _Response) -> None:
        """Raise the error of an answer that is none of success."""
        if 200 <= answer.status < 300:
            return
        if answer.status in (301, 302, 303, 307, 308):
            target = self._clean(answer.headers.get("Location", ""))
            raise ApiError(f"The server redirects to {target!r}, which is not followed. Is the URL right?")
        try:
            problem = parse_json(answer.body)
        except JsonError:
            problem = None
        problem = problem if isinstance(problem, dict) else {}
        errors = problem.get("errors")
        message = self._clean(str(problem.get("detail") or problem.get("title") or "The server's answer has no reason"))
        message = f"{message} (status {answer.status})"
        if answer.status == 412:
            raise ChangedError(message)
        if answer.status == 422 and isinstance(errors, dict):
            named = {self._clean(str(path)): self._clean(str(text)) for path, text in list(errors.items())[:50]}
            raise InvalidDocumentError(message, named)
        raise ApiError(message)

    def _send(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        *,
        files: Any = None,
        max_bytes: int = MAX_ANSWER_BYTES,
    ) -> _Response:
        """Send a request, and repeat it as long as the server is busy and repeating it is safe."""
        content: dict[str, Any] = {}
        if files is not None:
            content = {"data": body, "files": files}
        elif body is not None:
            content = {"json": body}
        is_repeatable = method == "GET" or "Idempotency-Key" in (headers or {})
        waited = 0.0
        for attempt in range(1, MAX_ATTEMPTS + 1):
            request = self._http.build_request(method, f"{self._base}{path}", headers=headers, **content)
            try:
                answer = self._receive(request, max_bytes)
                reason = f"status {answer.status}"
                is_over = answer.status not in REFUSED | (UNCERTAIN if is_repeatable else frozenset())
                wait = _retry_after(answer.headers) or 2.0 ** (attempt - 1)
            except httpx.HTTPError as error:
                answer, reason = None, self._clean(str(error) or type(error).__name__)
                is_over, wait = not (is_repeatable or isinstance(error, httpx.ConnectError)), 2.0 ** (attempt - 1)
            if is_over or attempt == MAX_ATTEMPTS or wait > MAX_WAIT or waited + wait > MAX_WAITS:
                break
            self._report_wait(wait, reason)
            self._sleep(wait)
            waited += wait
        if answer is None:
            raise ApiError(f"{self._base} does not respond: {reason}")
        return answer

    def _receive(self, request: httpx.Request, max_bytes: int) -> _Response:
        ends = time.monotonic() + RESPONSE_SECONDS
        response = self._http.send(request, stream=True)
        try:
            if response.headers.get("Content-Encoding", "identity").lower() != "identity":
                raise ApiError("The server sent a compressed answer, which was not requested")
            body = bytearray()
            for part in response.iter_raw(64 * 1024):
                body += part
                if len(body) > max_bytes:
                    raise ApiError(f"The server's answer is larger than {max_bytes // 1_000_000} MB")
                if time.monotonic() > ends:
                    raise ApiError(f"The server's answer takes longer than {RESPONSE_SECONDS:.0f} seconds")
        finally:
            response.close()
        return _Response(response.status_code, response.headers, bytes(body))

    def _clean(self, text: str) -> str:
        """Return a text of the server for the terminal: short, without control characters, and without the key."""
        return _control.sub(" ", text[: 2 * MAX_MESSAGE].replace(self._key, "[API key]"))[:MAX_MESSAGE].strip()


def clean_text(text: str) -> str:
    """Return a text for the terminal, without characters that control it or change the direction of others."""
    return _control.sub(" ", text)


def _retry_after(headers: httpx.Headers) -> float:
    """Return the seconds that the server wants the client to wait; 0 if it does not say."""
    value = headers.get("Retry-After", "")
    return float(value) if re.fullmatch(r"[0-9]{1,6}", value) else 0.0

"""waitress' parser and channel, with strict heads, limits on bodies, and our headers on the server's own errors.

- A head that two servers could read differently is refused (RFC 9112, sections 2.3, 5.2 and 6.1).
- A body is small, except at the few URLs that accept files. A large one waits until its sender is known (admission.py);
  each sender can have a few at once.
- A request that arrives too slowly is ended; when connections run short, the one that has waited longest is closed.
- Parsing takes linear time.
"""

import copy
import json
import re
import time
from concurrent.futures import Future
from functools import partial
from typing import Any, ClassVar
from weakref import WeakSet

import structlog
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser, ParsingError
from waitress.task import ErrorTask
from waitress.utilities import BadRequest, Error, RequestEntityTooLarge

from cwz_web.feeds.limits import MAX_BYTES
from cwz_web.resources.application import Root
from cwz_web.resources.base import find_area
from cwz_web.web.admission import MAX_ANONYMOUS_BODY, BodyAdmission, RequestHead
from cwz_web.web.headers import FIXED, FIXED_AND_HTTPS, NO_STORE, NON_PAGE_CSP
from cwz_web.web.problems import PROBLEM_JSON, ProblemError, problem_document
from cwz_web.web.request import new_request_id

log = structlog.get_logger()

# A file and the form around it.
MAX_FILE_BODY = MAX_BYTES + 1024 * 1024
# Large bodies in progress: of files, and of all other requests.
MAX_CONCURRENT_FILES, MAX_FILES_PER_SENDER = 12, 2
MAX_CONCURRENT_BODIES, MAX_BODIES_PER_SENDER = 32, 8
# The size line and the trailers of a chunked body.
MAX_CHUNK_LINE = 8 * 1024
# How long the head of a request may take, and how many bytes a second its body must have after that.
HEAD_SECONDS = 30.0
MIN_BYTES_PER_SECOND = 16 * 1024
PROBLEM_CODES = {
    401: "unauthorized",
    408: "request_timeout",
    413: "body_too_large",
    431: "headers_too_large",
    500: "internal_error",
    501: "not_implemented",
    503: "busy",
}
# The share of the connections that may be open before waiting ones are closed.
MAX_WAITING_SHARE = 0.8
MANY_BLANKS = re.compile(rb"[ \t]{100}")
FILE_PATHS = re.compile(r"/w/[^/]+/(?:feeds/(?:new|[^/]+/import)|uploads)|/v1/feeds/[^/]+/imports")
# Two of them would have two meanings.
SINGLE_HEADERS = (b"host", b"content-length", b"transfer-encoding")


class UnknownSender(Error):  # noqa: N818 - a response, named as waitress names its own
    """401: a large body without a valid API key or session."""

    code = 401
    reason = "Unauthorized"


class TooManyFiles(Error):  # noqa: N818
    """503: too many large bodies are being received."""

    code = 503
    reason = "Service Unavailable"

    def to_response(self, ident: str | None = None) -> tuple[str, list[tuple[str, str]], bytes]:
        """Return the response, with the time after which to try again."""
        status, headers, body = super().to_response(ident)
        return status, [*headers, ("Retry-After", "60")], body


class TooSlow(Error):  # noqa: N818
    """408: the request arrives too slowly."""

    code = 408
    reason = "Request Timeout"


class Parser(HTTPRequestParser):
    """waitress' parser; see the module.

    Attributes:
        sender: Who sends the large body, once that is known.
        is_pending: Whether the sender is being looked up.
        wants_continue: Whether the client waits for 100 Continue before it sends the body.
    """

    large_bodies: ClassVar[WeakSet["Parser"]] = WeakSet()
    adj: Any
    error: Any
    too_large: Error | None = None
    has_file = False
    sender: str | None = None
    is_pending = False
    wants_continue = False

    def __init__(self, adj: Any) -> None:
        super().__init__(adj)
        self.started = time.monotonic()

    def parse_header(self, header_plus: bytes) -> None:
        """Parse the request line and the headers, and set the body limit."""
        # waitress' header pattern backtracks on blanks in quadratic time: 128 KB took three minutes.
        if MANY_BLANKS.search(header_plus):
            raise ParsingError("A header contains too many blanks")
        check_head(header_plus)
        try:
            super().parse_header(header_plus)
        except ValueError:  # urllib.parse on `http://[`; waitress would log a traceback and close the connection
            raise ParsingError("The URL is invalid") from None
        if self.proxy_netloc and self.proxy_netloc != self.headers.get("HOST"):
            raise ParsingError("The URL names another host than the Host header")
        self.has_file = self.command == "POST" and FILE_PATHS.fullmatch(self.path) is not None
        if self.has_file:
            self.adj = copy.copy(self.adj)
            self.adj.max_request_body_size = MAX_FILE_BODY
            self.too_large = RequestEntityTooLarge(f"A file can have at most {MAX_BYTES // 1024**2} MB")
        else:
            self.too_large = RequestEntityTooLarge(f"The limit is {self.adj.max_request_body_size // 1024**2} MB")

    def received(self, data: bytes) -> int:
        """Parse more bytes of the request; replace waitress' message for a body that is too large."""
        if self.completed and self.error:
            return len(data)
        consumed: int = super().received(data)
        if isinstance(self.error, RequestEntityTooLarge):
            self.error = self.too_large
        # waitress rescans an unfinished control line from its beginning with every packet.
        elif self.chunked and len(self.body_rcv.control_line) + len(self.body_rcv.trailer) > MAX_CHUNK_LINE:
            self.refuse(BadRequest("The chunked body is invalid"))
        elif not self.completed:
            self._check_pace()
        return consumed

    def refuse(self, error: Error) -> None:
        """End the request with an error."""
        self.error, self.completed = error, True

    @property
    def needs_admission(self) -> bool:
        """Whether the body is, or has become, larger than that of an unknown sender may be."""
        is_large = max(self.content_length, self.body_bytes_received) > MAX_ANONYMOUS_BODY
        return self.headers_finished and is_large and self.sender is None and not self.completed

    def admit(self, sender: str | None) -> None:
        """Receive the rest of the body, unless its sender is unknown or has too many others in progress."""
        if sender is None:
            self.refuse(UnknownSender("Sign in, or send an API key, to send more than 1 MB"))
            return
        others = [each for each in self.large_bodies if each.has_file == self.has_file]
        limit, per_sender = (
            (MAX_CONCURRENT_FILES, MAX_FILES_PER_SENDER)
            if self.has_file
            else (MAX_CONCURRENT_BODIES, MAX_BODIES_PER_SENDER)
        )
        if len(others) >= limit or sum(each.sender == sender for each in others) >= per_sender:
            self.refuse(TooManyFiles("Too many large files are being uploaded. Try again in a minute"))
            return
        self.sender = sender
        self.large_bodies.add(self)

    def _check_pace(self) -> None:
        """Refuse a request that would occupy its connection for long."""
        seconds = time.monotonic() - self.started
        if seconds > HEAD_SECONDS + self.body_bytes_received / MIN_BYTES_PER_SECOND:
            self.refuse(TooSlow("The request arrives too slowly"))


def check_head(head: bytes) -> None:
    """Refuse a head that two servers could read differently.

    Raises:
        ParsingError: Another HTTP version than 1.0 and 1.1, a header over several lines, or a body with two lengths.
    """
    first, *lines = head.split(b"\r\n")
    version = first.rpartition(b" ")[2]
    if version not in (b"HTTP/1.0", b"HTTP/1.1"):
        raise ParsingError("Use HTTP/1.0 or HTTP/1.1")
    if any(line[:1] in (b" ", b"\t") for line in lines):
        raise ParsingError("A header continues on a second line")
    headers = [(name.lower(), value.strip(b" \t")) for name, _, value in (line.partition(b":") for line in lines)]
    found = [(name, value) for name, value in headers if name in SINGLE_HEADERS]
    names = {name for name, _ in found}
    if len(names) < len(found):
        raise ParsingError("Give Host, Content-Length and Transfer-Encoding once")
    if b"transfer-encoding" in names and (b"content-length" in names or version == b"HTTP/1.0"):
        raise ParsingError("Give either Content-Length or Transfer-Encoding, the latter with HTTP/1.1")
    if any(name == b"transfer-encoding" and b"," in value for name, value in found):
        raise ParsingError("Give one Transfer-Encoding")


class OwnErrorTask(ErrorTask):
    """Sends an error that the application never sees as it would: with all headers, to API clients as a problem."""

    def execute(self) -> None:
        """Log and send the error, and close the connection."""
        error, request_id = self.request.error, new_request_id()
        log.info("request refused", request=request_id, status=error.code, reason=error.body)
        self.response_headers += [
            *(FIXED_AND_HTTPS if self.channel.is_production else FIXED),
            ("Cache-Control", NO_STORE),
            ("Content-Security-Policy", NON_PAGE_CSP),
            ("Cross-Origin-Resource-Policy", "same-origin"),
            ("Referrer-Policy", "no-referrer"),
            ("X-Request-Id", request_id),
        ]
        path = getattr(self.request, "path", "")  # none if the head is invalid
        if find_area(Root, path).is_api:
            self._send_problem(error, request_id)
        else:
            super().execute()

    def _send_problem(self, error: Error, request_id: str) -> None:
        self.status, headers, _ = error.to_response()
        problem = ProblemError(error.code, PROBLEM_CODES.get(error.code, "bad_request"), error.body)
        body = json.dumps(problem_document(problem, request_id)).encode()
        self.response_headers += [(name, value) for name, value in headers if name != "Content-Type"]
        self.response_headers.append(("Content-Type", PROBLEM_JSON))
        self.set_close_on_finish()
        self.content_length = len(body)
        self.write(body)


class Channel(HTTPChannel):
    """A connection, which is not read while the sender of a large body is looked up.

    Args:
        admission: Looks up senders; None to admit all, for applications without users.
        is_production: Whether the site is served over https only.
    """

    parser_class = Parser
    error_task_class = OwnErrorTask

    def __init__(
        self, *args: Any, admission: BodyAdmission | None = None, is_production: bool = False, **options: Any
    ) -> None:
        self.admission, self.is_production = admission, is_production
        super().__init__(*args, **options)
        self._make_room()

    @property
    def waiting_since(self) -> float | None:
        """When the connection began to wait for a request, on the monotonic clock; None while one is served."""
        if self.requests or self.total_outbufs_len:
            return None
        parser = self.request
        if isinstance(parser, Parser):
            return None if parser.sender is not None else parser.started
        idle: float = time.time() - self.last_activity
        return time.monotonic() - idle

    def _make_room(self) -> None:
        """Close the connection that has waited longest for a request if few are left, as for a client that holds many.

        Requests of ordinary clients arrive within milliseconds, and large bodies of known senders are not counted.
        """
        channels = [each for each in self.server.active_channels.values() if isinstance(each, Channel)]
        if len(channels) <= MAX_WAITING_SHARE * self.adj.connection_limit:
            return
        waiting = [(since, each) for each in channels if each is not self and (since := each.waiting_since) is not None]
        if waiting:
            min(waiting, key=lambda pair: pair[0])[1].handle_close()

    def readable(self) -> bool:
        """Return whether to read from the connection."""
        is_pending = isinstance(self.request, Parser) and self.request.is_pending
        return not is_pending and bool(super().readable())

    def received(self, data: bytes) -> bool:
        """Parse more bytes; start to look up the sender of a large body."""
        kept: bool = super().received(data)
        parser = self.request
        if isinstance(parser, Parser) and parser.needs_admission and not parser.is_pending:
            parser.is_pending = True
            if self.admission is None:
                self._settle(parser, None)
            else:
                lookup = self.admission.submit(RequestHead(parser.command, parser.path, dict(parser.headers)))
                lookup.add_done_callback(partial(self._continue_in_loop, parser))
        return kept

    def send_continue(self) -> None:
        """Let the client send the body, unless its sender has to be looked up first."""
        if isinstance(self.request, Parser) and self.request.needs_admission:
            self.request.wants_continue, self.request.expect_continue = True, False
        else:
            super().send_continue()

    def _continue_in_loop(self, parser: Parser, lookup: "Future[str | None]") -> None:
        """Go on in the thread that serves connections."""
        self.server.trigger.pull_trigger(partial(self._settle, parser, lookup))

    def _settle(self, parser: Parser, lookup: "Future[str | None] | None") -> None:
        """Go on with a request whose sender was looked up."""
        parser.is_pending = False
        if parser is not self.request or not self.connected:
            return
        if lookup is None:
            parser.admit("")
        elif lookup.exception() is not None:
            parser.refuse(TooManyFiles("The database is unavailable. Try again in a minute"))
        else:
            parser.admit(lookup.result())
        if parser.error:
            self.received(b"\r\n")  # queues the response
        elif parser.wants_continue:
            super().send_continue()

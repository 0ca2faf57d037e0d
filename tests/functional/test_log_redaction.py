"""Canaries in every part of a request, while everything fails: neither the log nor a report to Sentry contains them."""

import gzip
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import brotli
import pytest

from cwz_web.scrubbing import REMOVED, scrub
from tests.installation import ROOT

PLANTED = "Canary-7731"
SCRIPT = """
import sys
from pathlib import Path
from webtest import TestApp
from cwz_web.app import create_app
from cwz_web.error_reports import configure_error_reports
from cwz_web.logs import configure_logs
from cwz_web.web.services import Services
from cwz_web.web import forms
from tests.conftest import make_settings
import cwz_web.api.images, cwz_web.security, cwz_web.api.stripe_hook
import structlog, logging

def main():
    configure_logs(development=False)
    configure_error_reports(sys.argv[3], "test")
    services = Services.start(make_settings(sys.argv[1], Path(sys.argv[2])))
    app = TestApp(create_app(services))

    def fail(*given, **named):
        # The worst case: the message quotes all arguments, over several lines.
        def say(value):
            request = getattr(value, "environ", None)
            if request is None:
                return repr(value) + "\\n  " + str(value)
            return repr({k: v for k, v in request.items() if isinstance(v, str)}) + repr(value.POST) + repr(value.body)
        secret_local = "Canary-7731-local"
        raise RuntimeError("wrong:\\n  " + "\\n ".join(map(say, (*given, *named.values()))))

    forms.read_form = fail
    cwz_web.api.images.read_body = fail
    cwz_web.security.find_session = fail
    page = app.get("/signin")
    token = page.forms[0]["csrf_token"].value
    app.set_cookie("tracking", "Canary-7731-cookie")
    app.post("/signin?token=Canary-7731-query", {"csrf_token": token, "email": "Canary-7731@example.org",
             "password": "Canary-7731-password", "odd": "Canary-7731 ünïcode"}, status=500)
    app.get("/account", headers={"X-Secret": "Canary-7731-header", "User-Agent": "Canary-7731-agent",
            "Referer": "https://x.example/?k=Canary-7731-referer"}, status="*")
    app.post_json("/v1/images", {"template": "Canary-7731-template", "data": {"deep": ["Canary-7731-json"]}},
                  headers={"Authorization": "Bearer cwz_live_Canary-7731-" + "k" * 31}, status="*")
    services.database.query_one = fail
    app.post_json("/v1/images", {"data": {"title": "Canary-7731-json"}},
                  headers={"Authorization": "Bearer cwz_live_Canary-7731-" + "k" * 31}, status=500)
    app.get("/i/01a210f6-4bee-70ac-8864-d4516f071e4b.png?title=Canary-7731-title&s=Canary-7731-signature", status=500)
    log = structlog.get_logger()
    log.error("by name", password="Canary-7731", bot_token="Canary-7731", nested={"client_secret": "Canary-7731"},
              rows=[{"Authorization": "Canary-7731"}], encrypted_credentials=b"Canary-7731")
    log.error("by form", said="key sk_live_Canary7731 and xoxb-Canary-7731 and whsec_Canary7731 "
              "postgresql://me:Canary-7731@db/cwz?password=Canary-7731 Canary-7731@example.org")
    logging.getLogger("library").error("by form %s", "xoxb-Canary-7731", extra={"password": "Canary-7731"})
    try:
        fail("sk_live_Can" "ary7731")  # in two: from Python 3.13 on a trace shows the lines of -c, too
    except RuntimeError:
        logging.getLogger("library").exception("a library's own")
    import sentry_sdk
    sentry_sdk.flush(5)
    services.close()

main()
"""


# The SDK compresses with Brotli where it is installed.
DECODERS: dict[str, Callable[[bytes], bytes]] = {"": bytes, "gzip": gzip.decompress, "br": brotli.decompress}


@dataclass
class Sentry:
    """A server on loopback in the place of Sentry; keeps what it receives."""

    dsn: str
    received: list[str] = field(default_factory=list)


@pytest.fixture
def sentry() -> Iterator[Sentry]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            server_state.received.append(DECODERS[self.headers.get("Content-Encoding", "")](body).decode())
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server_state = Sentry(f"http://public@127.0.0.1:{server.server_port}/1")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    yield server_state
    server.shutdown()
    server.server_close()
    thread.join()


def test_no_canary_is_logged_or_reported(app_url: str, tmp_path: Path, sentry: Sentry) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, app_url, str(tmp_path), sentry.dsn],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "Canary" not in done.stdout
    found = [line for line in done.stderr.splitlines() if "anary" in line]
    assert not found, found[0][:2000]
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    events = [part for envelope in sentry.received for part in envelope.splitlines() if '"exception"' in part]
    assert not [part for envelope in sentry.received for part in envelope.splitlines() if "anary" in part]

    # Both say enough to find the error.
    failures = [line for line in lines if line["event"] == "request failed"]
    assert len(failures) >= 3
    assert all(line["exception"].endswith("RuntimeError") for line in failures)
    assert all("in fail" in line["exception"] for line in failures)
    assert len(events) == len(failures) + 1
    reports = [json.loads(event) for event in events]
    assert {event["exception"]["values"][-1]["type"] for event in reports} == {"RuntimeError"}
    assert {frame["function"] for frame in reports[0]["exception"]["values"][-1]["stacktrace"]["frames"]} >= {"fail"}
    assert {event["tags"].get("request") for event in reports} >= {line["request"] for line in failures}
    assert "server_name" not in reports[0]
    requests = [line for line in lines if line["event"] == "request"]
    assert {"request", "route", "status", "ms", "method"} <= set(requests[0])


@pytest.mark.parametrize(
    "name", ["password", "PASSWORD_hash", "bot_token", "Cookie", "apiKey", "client_secret", "email"]
)
def test_secrets_are_removed_by_name(name: str) -> None:
    held: dict[str, Any] = {"outer": [{name: "x", "title": "Mug"}]}
    assert scrub(held) == {"outer": [{name: REMOVED, "title": "Mug"}]}


@pytest.mark.parametrize(
    "secret",
    [
        "cwz_live_" + "a" * 43,
        "sk_test_51Hxyz",
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "xoxb-123-456-abc",
        "AKIAIOSFODNN7EXAMPLE",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.sig",
        "-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----",
        "someone@example.org",
        "Bearer abcdefgh",
    ],
)
def test_secrets_are_removed_by_form(secret: str) -> None:
    assert scrub(f"before {secret} after") in (f"before {REMOVED} after", "before [removed] after")


def test_scrubbing_takes_linear_time() -> None:
    """The first text took minutes at a tenth of this length, and a client chooses the path in a log line."""
    words = ["bearer" + "a" * 500_000, "eyJ-" * 100_000, "." * 500_000 + "@", "?" + "=" * 500_000]
    script = "import json, sys; from cwz_web.scrubbing import scrub; scrub(json.load(sys.stdin))"
    subprocess.run([sys.executable, "-c", script], input=json.dumps(words), text=True, cwd=ROOT, timeout=60, check=True)


def test_other_text_is_unchanged() -> None:
    line = "feed import ended: 100 rows of /w/demo/feeds/01a210f6, 3 left out (price: no number)"
    assert scrub(line) == line

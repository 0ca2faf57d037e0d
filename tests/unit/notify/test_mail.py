"""Letters become mails, and mails leave: into a folder, by a real SMTP server, by Resend's API on loopback."""

import json
import threading
from collections.abc import Iterator
from email.message import EmailMessage as MimeMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import resend
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult

from cwz_web.notify.email_delivery import (
    EmailDeliveryError,
    FolderTransport,
    ResendTransport,
    SmtpTransport,
    UndeliverableError,
)
from cwz_web.notify.emails import EmailMessage, build_mime_message, render_html, render_text
from cwz_web.notify.tasks import EmailService, enqueue_email
from cwz_web.notify.topics import UnsubscribeLinks
from cwz_web.web.services import Services
from tests.factories import Factory
from tests.installation import free_port
from tests.mailbox import Mailbox

LINKS = UnsubscribeLinks("x" * 32, "http://localhost")
LETTER = EmailMessage(
    "News <b>", ("Hello <script>alert(1)</script> & you,", "All is well."), ("Go", "http://localhost/x?a=1&b=2")
)


def mail(to: str = "ada@example.org") -> MimeMessage:
    return build_mime_message(LETTER, to=to, sender="ConnectWyze <no-reply@example.org>")


def test_text_and_html_parts_have_same_content() -> None:
    for paragraph in LETTER.paragraphs:
        assert paragraph in render_text(LETTER)
    assert "http://localhost/x?a=1&b=2" in render_text(LETTER)
    assert "All is well." in render_html(LETTER)
    assert 'href="http://localhost/x?a=1&amp;b=2"' in render_html(LETTER)
    assert "<script>" not in render_html(LETTER)


def test_subject_cannot_inject_headers() -> None:
    letter = EmailMessage("Hello\r\nBcc: eve@example.org\r\n\r\nbody", ("x",))
    sent = build_mime_message(letter, to="ada@example.org", sender="ConnectWyze <no-reply@example.org>")
    assert sent["Bcc"] is None
    assert sent["Subject"] == "Hello Bcc: eve@example.org body"


def test_message_survives_job_arguments() -> None:
    assert EmailMessage.from_json(json.loads(json.dumps(LETTER.as_json()))) == LETTER
    plain = EmailMessage("s", ("p",))
    assert EmailMessage.from_json(json.loads(json.dumps(plain.as_json()))) == plain


def test_folder_transport_writes_file(tmp_path: Path) -> None:
    FolderTransport(tmp_path / "mail").send(mail())
    [path] = (tmp_path / "mail").iterdir()
    assert path.suffix == ".eml"
    assert b"To: ada@example.org" in path.read_bytes()


GOOD = "pass"


class Inbox:
    """What aiosmtpd hands over."""

    def __init__(self) -> None:
        self.mails: list[Any] = []
        self.refusal: str | None = None

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:  # noqa: N802
        if self.refusal:
            return self.refusal
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        self.mails.append(envelope)
        return "250 OK"


class LoginController(Controller):
    """A server that wants a user and a password."""

    def factory(self) -> SMTP:
        return SMTP(
            self.handler,
            authenticator=lambda server, session, envelope, mechanism, data: AuthResult(
                success=data.login == b"user" and data.password == GOOD.encode(), handled=False
            ),
            auth_require_tls=False,
        )


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    inbox = Inbox()
    controller = LoginController(inbox, hostname="127.0.0.1", port=free_port())
    controller.start()
    inbox.port = controller.port  # type: ignore[attr-defined]
    yield inbox
    controller.stop()


def smtp(inbox: Any, password: str = GOOD, tls: str = "none") -> SmtpTransport:
    return SmtpTransport("127.0.0.1", inbox.port, tls, "user", password)


def test_smtp_transport_sends_message(inbox: Inbox) -> None:
    smtp(inbox).send(mail())
    [envelope] = inbox.mails
    assert envelope.rcpt_tos == ["ada@example.org"]
    assert b"All is well." in envelope.content


def test_smtp_distinguishes_permanent_and_temporary_errors(inbox: Inbox) -> None:
    inbox.refusal = "550 no such user"
    with pytest.raises(UndeliverableError):
        smtp(inbox).send(mail())
    inbox.refusal = "450 try later"
    with pytest.raises(EmailDeliveryError):
        smtp(inbox).send(mail())


@pytest.mark.parametrize("how", [{"password": "wrong"}, {"tls": "starttls"}, {"tls": "tls"}])
def test_smtp_protocol_error_is_temporary(inbox: Inbox, how: dict[str, str]) -> None:
    with pytest.raises(EmailDeliveryError) as refusal:
        smtp(inbox, **how).send(mail())
    assert "wrong" not in str(refusal.value)
    assert inbox.mails == [], "never in clear when TLS was asked for"


def test_smtp_connection_error_is_temporary() -> None:
    with pytest.raises(EmailDeliveryError):
        SmtpTransport("127.0.0.1", free_port(), "none", "", "").send(mail())


@pytest.fixture
def resend_api(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """Resend's API, as far as it is used: the paid side is stood in for by a server on loopback."""
    talk: dict[str, Any] = {"status": 200, "answer": {"id": "1"}, "asked": []}

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            talk["asked"].append((self.path, self.headers["Authorization"], json.loads(body)))
            answer = json.dumps(talk["answer"]).encode()
            self.send_response(talk["status"])
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    monkeypatch.setattr(resend, "api_url", f"http://127.0.0.1:{server.server_port}")
    yield talk
    server.shutdown()
    server.server_close()
    thread.join()


def test_resend_receives_both_parts(resend_api: dict[str, Any]) -> None:
    ResendTransport("re_key").send(mail())
    [(path, authorization, body)] = resend_api["asked"]
    assert (path, authorization) == ("/emails", "Bearer re_key")
    assert body["to"] == ["ada@example.org"]
    assert "All is well." in body["text"]
    assert "All is well." in body["html"]


@pytest.mark.parametrize(("status", "name"), [(429, "rate_limit_exceeded"), (401, "missing_api_key"), (500, "x")])
def test_resend_error_is_temporary_and_hides_key(resend_api: dict[str, Any], status: int, name: str) -> None:
    resend_api["status"] = status
    resend_api["answer"] = {"statusCode": status, "name": name, "message": "re_key is no good"}
    with pytest.raises(EmailDeliveryError) as refusal:
        ResendTransport("re_key").send(mail())
    assert "re_key" not in str(refusal.value)


class Down:
    """A mail server that does not answer."""

    def send(self, mail: MimeMessage) -> None:
        raise EmailDeliveryError("down")


def test_unavailable_mail_server_delays_email(services: Services, mailbox: Mailbox) -> None:
    with services.database.transaction() as db:
        enqueue_email(db, "ada@example.org", LETTER)
    mailbox.deliver(EmailService(Down(), "ConnectWyze <x@example.org>", "http://localhost", LINKS))
    assert mailbox.waiting() == 1
    assert not mailbox.folder.exists()
    mailbox.make_due()
    assert mailbox.last("ada@example.org")["Subject"] == "News <b>"
    assert mailbox.waiting() == 0


def test_undeliverable_email_is_not_retried(services: Services, mailbox: Mailbox, inbox: Inbox) -> None:
    inbox.refusal = "550 no such user"
    with services.database.transaction() as db:
        enqueue_email(db, "ada@example.org", LETTER)
    mailbox.deliver(EmailService(smtp(inbox), "ConnectWyze <x@example.org>", "http://localhost", LINKS))
    assert mailbox.waiting() == 0


def test_rolled_back_transaction_sends_no_email(make: Factory, services: Services, mailbox: Mailbox) -> None:
    with services.database.session() as db:
        enqueue_email(db, "ada@example.org", LETTER)
        db.rollback()
    assert mailbox.emails() == []

"""Transports of email: a folder of .eml files, SMTP, or the Resend API (an extra, imported where it is used)."""

import smtplib
import ssl
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import formataddr, parseaddr
from pathlib import Path
from typing import Protocol

from cwz_web.settings import Settings

TIMEOUT_SECONDS = 20


class EmailDeliveryError(Exception):
    """A temporary failure; the job is retried. The message is for the log and contains no secret."""


class UndeliverableError(Exception):
    """A permanent failure: the recipient's server rejects the address."""


class EmailTransport(Protocol):
    """Sends MIME messages."""

    @abstractmethod
    def send(self, mail: EmailMessage) -> None:
        """Send a message.

        Raises:
            EmailDeliveryError: Retry later.
            UndeliverableError: Do not retry.
        """


@dataclass(frozen=True)
class FolderTransport:
    """Writes messages as .eml files named by time, for development."""

    folder: Path

    def send(self, mail: EmailMessage) -> None:
        """Write the file under a temporary name first, so that a reader never sees a partial one."""
        self.folder.mkdir(parents=True, exist_ok=True)
        name = f"{datetime.now(UTC):%Y%m%d-%H%M%S-%f}.eml"
        temporary = self.folder / f".{name}"
        temporary.write_bytes(mail.as_bytes())
        temporary.rename(self.folder / name)


@dataclass(frozen=True)
class SmtpTransport:
    """Sends through an SMTP server (RFC 5321), with TLS unless the operator disabled it."""

    host: str
    port: int
    tls: str
    user: str
    password: str

    def send(self, mail: EmailMessage) -> None:
        """Send over a new connection: emails are few, and an idle connection may have been closed."""
        try:
            with self._server() as server:
                server.send_message(mail)
        except smtplib.SMTPRecipientsRefused as error:
            codes = [code for code, _ in error.recipients.values()]
            raise (UndeliverableError if all(code >= 500 for code in codes) else EmailDeliveryError)(
                f"the SMTP server rejected the recipient: {codes}"
            ) from None
        except (smtplib.SMTPException, OSError) as error:
            raise EmailDeliveryError(f"SMTP: {type(error).__name__}") from None

    def check(self) -> None:
        """Check that the server accepts a connection and the credentials.

        Raises:
            EmailDeliveryError: It does not.
        """
        try:
            with self._server() as server:
                server.noop()
        except (smtplib.SMTPException, OSError) as error:
            raise EmailDeliveryError(f"SMTP: {type(error).__name__}") from None

    @contextmanager
    def _server(self) -> Iterator[smtplib.SMTP]:
        context = ssl.create_default_context()
        with (
            smtplib.SMTP_SSL(self.host, self.port, timeout=TIMEOUT_SECONDS, context=context)
            if self.tls == "tls"
            else smtplib.SMTP(self.host, self.port, timeout=TIMEOUT_SECONDS)
        ) as server:
            if self.tls == "starttls":
                server.starttls(context=context)
            if self.user:
                server.login(self.user, self.password)
            yield server


# Headers for which Resend has no parameters.
EXTRA_HEADERS = ("Auto-Submitted", "List-Unsubscribe", "List-Unsubscribe-Post")


@dataclass(frozen=True)
class ResendTransport:
    """Sends through the Resend API."""

    api_key: str

    def send(self, mail: EmailMessage) -> None:
        """Send with the Resend SDK."""
        import resend
        from resend.exceptions import NoContentError, ResendError
        from resend.http_client_requests import RequestsClient

        # The SDK keeps both in module globals; this process has one key.
        resend.api_key = self.api_key
        resend.default_http_client = RequestsClient(timeout=TIMEOUT_SECONDS)
        text, html = (mail.get_body((subtype,)) for subtype in ("plain", "html"))
        assert text is not None
        assert html is not None
        try:
            resend.Emails.send(
                {
                    "from": formataddr(parseaddr(mail["From"])),
                    "to": [mail["To"]],
                    "subject": mail["Subject"],
                    "text": text.get_content(),
                    "html": html.get_content(),
                    "headers": {name: mail[name] for name in EXTRA_HEADERS if name in mail},
                }
            )
        except (ResendError, NoContentError) as error:
            raise EmailDeliveryError(f"Resend: {type(error).__name__}") from None


def create_transport(settings: Settings) -> EmailTransport:
    """Return the transport that the settings select."""
    if settings.mail.transport == "smtp":
        password = settings.mail.smtp_password.get_secret_value()
        return SmtpTransport(
            settings.mail.smtp_host, settings.mail.smtp_port, settings.mail.smtp_tls, settings.mail.smtp_user, password
        )
    if settings.mail.transport == "resend":
        return ResendTransport(settings.mail.resend_api_key.get_secret_value())
    return FolderTransport(mail_folder(settings))


def mail_folder(settings: Settings) -> Path:
    """Return the folder of emails in development."""
    return settings.var / "mail"

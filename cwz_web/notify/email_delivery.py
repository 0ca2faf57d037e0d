"""How a mail leaves: into a folder of .eml files, by SMTP, or by Resend's API."""

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

import resend
from resend.exceptions import NoContentError, ResendError
from resend.http_client_requests import RequestsClient

from cwz_web.settings import Settings

SECONDS = 20


class EmailDeliveryError(Exception):
    """Not now; to be tried again later. The message is for the log and holds no secret."""


class UndeliverableError(Exception):
    """Never: the receiver's side refuses this address."""


class EmailTransport(Protocol):
    """One way for mail to leave."""

    @abstractmethod
    def send(self, mail: EmailMessage) -> None:
        """Hand a mail over. Raises EmailDeliveryError or Undeliverable."""


@dataclass(frozen=True)
class FolderTransport:
    """Writes mails as .eml files, named by time, for reading in development."""

    folder: Path

    def send(self, mail: EmailMessage) -> None:
        """Write the file under another name first, so that a reader never finds half of it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        name = f"{datetime.now(UTC):%Y%m%d-%H%M%S-%f}.eml"
        unfinished = self.folder / f".{name}"
        unfinished.write_bytes(mail.as_bytes())
        unfinished.rename(self.folder / name)


@dataclass(frozen=True)
class SmtpTransport:
    """Hands mails to an SMTP server (RFC 5321), over TLS unless the operator says otherwise."""

    host: str
    port: int
    tls: str
    user: str
    password: str

    def send(self, mail: EmailMessage) -> None:
        """One connection a mail: mails are few, and a kept connection dies unseen."""
        try:
            with self._server() as server:
                server.send_message(mail)
        except smtplib.SMTPRecipientsRefused as error:
            codes = [code for code, _ in error.recipients.values()]
            raise (UndeliverableError if all(code >= 500 for code in codes) else EmailDeliveryError)(
                f"the SMTP server refuses the address: {codes}"
            ) from None
        except (smtplib.SMTPException, OSError) as error:
            raise EmailDeliveryError(f"SMTP: {type(error).__name__}") from None

    def check(self) -> None:
        """See whether the server takes us. Raises EmailDeliveryError."""
        try:
            with self._server() as server:
                server.noop()
        except (smtplib.SMTPException, OSError) as error:
            raise EmailDeliveryError(f"SMTP: {type(error).__name__}") from None

    @contextmanager
    def _server(self) -> Iterator[smtplib.SMTP]:
        context = ssl.create_default_context()
        with (
            smtplib.SMTP_SSL(self.host, self.port, timeout=SECONDS, context=context)
            if self.tls == "tls"
            else smtplib.SMTP(self.host, self.port, timeout=SECONDS)
        ) as server:
            if self.tls == "starttls":
                server.starttls(context=context)
            if self.user:
                server.login(self.user, self.password)
            yield server


# Headers of a mail beside those that Resend has fields for.
PASSED_ON = ("Auto-Submitted", "List-Unsubscribe", "List-Unsubscribe-Post")


@dataclass(frozen=True)
class ResendTransport:
    """Hands mails to Resend."""

    api_key: str

    def send(self, mail: EmailMessage) -> None:
        """Through Resend's SDK."""
        # The SDK keeps both in module globals; this process has one key and no other use of it.
        resend.api_key = self.api_key
        resend.default_http_client = RequestsClient(timeout=SECONDS)
        text, html = (mail.get_body((kind,)) for kind in ("plain", "html"))
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
                    "headers": {name: mail[name] for name in PASSED_ON if name in mail},
                }
            )
        except (ResendError, NoContentError) as error:
            raise EmailDeliveryError(f"Resend: {type(error).__name__}") from None


def create_transport(settings: Settings) -> EmailTransport:
    """The way that the settings choose."""
    if settings.mail.transport == "smtp":
        password = settings.mail.smtp_password.get_secret_value()
        return SmtpTransport(settings.mail.smtp_host, settings.mail.smtp_port, settings.mail.smtp_tls, settings.mail.smtp_user, password)
    if settings.mail.transport == "resend":
        return ResendTransport(settings.mail.resend_api_key.get_secret_value())
    return FolderTransport(mail_folder(settings))


def mail_folder(settings: Settings) -> Path:
    """Where mails lie in development."""
    return settings.var / "mail"

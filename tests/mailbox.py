"""Emails of an application under test, whose email jobs are run by a real worker."""

import re
from email import message_from_bytes, policy
from email.message import EmailMessage

import psycopg

from cwz_web.notify.email_delivery import mail_folder
from cwz_web.notify.tasks import QUEUE, EmailService
from cwz_web.web.services import Services
from tests.jobs import run_jobs


class Mailbox:
    """Runs the email jobs and reads the emails."""

    def __init__(self, services: Services, app_url: str) -> None:
        self.services = services
        self.app_url = app_url
        self.folder = mail_folder(services.settings)

    def deliver(self, email_service: EmailService | None = None) -> None:
        """Run the queued email jobs."""
        email_service = email_service or EmailService.of(self.services.settings)
        context: dict[str, object] = {"database": self.services.database, "email_service": email_service}
        run_jobs(self.app_url, QUEUE, context)

    def emails(self) -> list[EmailMessage]:
        """Return all emails, oldest first."""
        self.deliver()
        paths = sorted(self.folder.glob("*.eml"))
        return [message_from_bytes(path.read_bytes(), policy=policy.default) for path in paths]  # type: ignore[misc]

    def last(self, to: str) -> EmailMessage:
        """Return the newest email to a recipient."""
        emails = [email for email in self.emails() if email["To"] == to]
        assert emails, f"no email to {to}"
        return emails[-1]

    def link(self, to: str) -> str:
        """Return the path of the link in the newest email to a recipient."""
        [url] = re.findall(r"https?://\S+", text_of(self.last(to)))
        return str(url.removeprefix(self.services.settings.url))

    def waiting(self) -> int:
        """Return the number of queued email jobs."""
        with psycopg.connect(self.app_url) as connection:
            row = connection.execute(
                "SELECT count(*) FROM procrastinate_jobs WHERE queue_name = %s AND status = 'todo'", [QUEUE]
            ).fetchone()
        assert row is not None
        return int(row[0])

    def make_due(self) -> None:
        """Make scheduled retries due now."""
        with psycopg.connect(self.app_url) as connection:
            connection.execute("UPDATE procrastinate_jobs SET scheduled_at = NULL WHERE queue_name = %s", [QUEUE])


def text_of(email: EmailMessage) -> str:
    """Return the plain text of an email."""
    return _part_of(email, "plain")


def html_of(email: EmailMessage) -> str:
    """Return the HTML of an email."""
    return _part_of(email, "html")


def _part_of(email: EmailMessage, subtype: str) -> str:
    body = email.get_body((subtype,))
    assert body is not None
    return str(body.get_content())

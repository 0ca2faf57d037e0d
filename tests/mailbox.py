"""The mails that an application under test writes: its mail jobs are run by a real worker, on demand."""

import re
from email import message_from_bytes, policy
from email.message import EmailMessage

import psycopg

from cwz_web.notify.email_delivery import mail_folder
from cwz_web.notify.tasks import QUEUE, EmailService
from cwz_web.web.services import Services
from tests.jobs import run_jobs


class Mailbox:
    """Reads what was written."""

    def __init__(self, services: Services, app_url: str) -> None:
        self.services = services
        self.app_url = app_url
        self.folder = mail_folder(services.settings)

    def deliver(self, post: EmailService | None = None) -> None:
        """Run the mail jobs that wait."""
        context = {"database": self.services.database, "post": post or EmailService.of(self.services.settings)}
        run_jobs(self.app_url, QUEUE, context)

    def mails(self) -> list[EmailMessage]:
        """Every mail so far, the oldest first."""
        self.deliver()
        paths = sorted(self.folder.glob("*.eml"))
        return [message_from_bytes(path.read_bytes(), policy=policy.default) for path in paths]  # type: ignore[misc]

    def last(self, to: str) -> EmailMessage:
        """The newest mail to an address."""
        found = [mail for mail in self.mails() if mail["To"] == to]
        assert found, f"no mail to {to}"
        return found[-1]

    def link(self, to: str) -> str:
        """The path of the link in the newest mail to an address."""
        [url] = re.findall(r"https?://\S+", text_of(self.last(to)))
        return str(url.removeprefix(self.services.settings.url))

    def waiting(self) -> int:
        """How many mail jobs wait."""
        with psycopg.connect(self.app_url) as connection:
            row = connection.execute(
                "SELECT count(*) FROM procrastinate_jobs WHERE queue_name = %s AND status = 'todo'", [QUEUE]
            ).fetchone()
        assert row is not None
        return int(row[0])

    def make_due(self) -> None:
        """Let the time pass that a repeated job waits."""
        with psycopg.connect(self.app_url) as connection:
            connection.execute("UPDATE procrastinate_jobs SET scheduled_at = NULL WHERE queue_name = %s", [QUEUE])


def text_of(mail: EmailMessage) -> str:
    """What a mail says."""
    body = mail.get_body(("plain",))
    assert body is not None
    return str(body.get_content())

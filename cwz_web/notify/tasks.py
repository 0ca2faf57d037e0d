"""Jobs that send mail: made in the transaction that has the news, run after its commit, repeated while mail is down."""

from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

import structlog
from procrastinate import JobContext
from sqlalchemy.orm import Session

from cwz_web.db.session import raw_connection
from cwz_web.jobs import LongRetry, ScheduledRetry, app
from cwz_web.notify.email_delivery import EmailTransport, UndeliverableError, delivery
from cwz_web.notify.emails import EmailMessage, build_mime_message
from cwz_web.notify.topics import UnsubscribeLinks
from cwz_web.notify.webhooks import QUEUE as WEBHOOKS_QUEUE
from cwz_web.notify.webhooks import RETRY_DELAYS
from cwz_web.settings import Settings

log = structlog.get_logger()

QUEUE = "mail"
# Somebody waits for a mail; an image of a run can wait a moment.
PRIORITY = 10
RETRY = LongRetry()


@dataclass(frozen=True)
class EmailService:
    """What the mail jobs of a worker need: the way mail leaves, the sender, and the address of the site for links."""

    way: EmailTransport
    sender: str
    url: str
    unsubscribe_links: UnsubscribeLinks

    @classmethod
    def of(cls, settings: Settings) -> "EmailService":
        """The post office that the settings describe."""
        unsubscribe_links = UnsubscribeLinks(settings.secrets.signing.get_secret_value(), settings.url)
        return cls(delivery(settings), settings.mail.sender, settings.url, unsubscribe_links)

    def send(self, to: str, letter: EmailMessage) -> None:
        """Send now. Raises EmailDeliveryError, so that the job is repeated; what can never arrive is only noted."""
        if letter.button and letter.button[1].startswith("/"):
            letter = replace(letter, button=(letter.button[0], self.url + letter.button[1]))
        if letter.topic:
            letter = replace(letter, unsubscribe=self.unsubscribe_links.link(letter.account, letter.topic))
        try:
            self.way.send(build_mime_message(letter, to=to, sender=self.sender))
        except UndeliverableError as error:
            log.warning("mail undeliverable", subject=letter.subject, reason=str(error))


@app.task(name="notify.send_letter", queue=QUEUE, priority=PRIORITY, retry=RETRY, pass_context=True)
def send_email(context: JobContext, to: str, letter: dict[str, Any]) -> None:
    """Send a letter that holds no token."""
    context.additional_context["email_service"].send(to, EmailMessage.from_json(letter))


@app.task(name="notify.deliver", queue=WEBHOOKS_QUEUE, retry=ScheduledRetry(RETRY_DELAYS), pass_context=True)
def deliver(context: JobContext, workspace_id: str, delivery_id: str) -> None:
    """Send a message to a webhook."""
    extra, last_try = context.additional_context, context.job.attempts >= len(RETRY_DELAYS)
    extra["webhooks"].deliver(extra["database"], UUID(workspace_id), UUID(delivery_id), last_try=last_try)


def enqueue_email(db: Session, to: str, letter: EmailMessage) -> None:
    """Send a letter once the transaction has committed. Not for letters with a token: a job's arguments are stored."""
    send_email.configure(connection=raw_connection(db)).defer(to=to, letter=letter.as_json())

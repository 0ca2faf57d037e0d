"""Jobs that send emails and webhooks, enqueued in the transaction of the event and retried while a service is down."""

from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

import structlog
from procrastinate import JobContext
from sqlalchemy.orm import Session

from cwz_web.db.session import raw_connection
from cwz_web.jobs import LongRetry, ScheduledRetry, app
from cwz_web.notify.email_delivery import EmailTransport, UndeliverableError, create_transport
from cwz_web.notify.emails import EmailMessage, build_mime_message
from cwz_web.notify.topics import UnsubscribeLinks
from cwz_web.notify.webhooks import QUEUE as WEBHOOKS_QUEUE
from cwz_web.notify.webhooks import RETRY_DELAYS
from cwz_web.settings import Settings

log = structlog.get_logger()

QUEUE = "email"
# A user waits for an email; rendering can wait a moment.
PRIORITY = 10
RETRY = LongRetry()


@dataclass(frozen=True)
class EmailService:
    """Sends emails: transport, sender, and the site's URL for links."""

    transport: EmailTransport
    sender: str
    url: str
    unsubscribe_links: UnsubscribeLinks

    @classmethod
    def of(cls, settings: Settings) -> "EmailService":
        """Return the service for the settings."""
        unsubscribe_links = UnsubscribeLinks(settings.secrets.signing.get_secret_value(), settings.url)
        return cls(create_transport(settings), settings.mail.sender, settings.url, unsubscribe_links)

    def send(self, to: str, message: EmailMessage) -> None:
        """Send a message now; log it if it is undeliverable.

        Raises:
            EmailDeliveryError: The job is to be retried.
        """
        if message.button and message.button[1].startswith("/"):
            message = replace(message, button=(message.button[0], self.url + message.button[1]))
        if message.topic:
            message = replace(message, unsubscribe=self.unsubscribe_links.link(message.account, message.topic))
        try:
            self.transport.send(build_mime_message(message, to=to, sender=self.sender))
        except UndeliverableError as error:
            log.warning("email undeliverable", subject=message.subject, reason=str(error))


@app.task(name="notify.send_email", queue=QUEUE, priority=PRIORITY, retry=RETRY, pass_context=True)
def send_email(context: JobContext, to: str, message: dict[str, Any]) -> None:
    """Send a message without a token."""
    context.additional_context["email_service"].send(to, EmailMessage.from_json(message))


@app.task(name="notify.deliver_webhook", queue=WEBHOOKS_QUEUE, retry=ScheduledRetry(RETRY_DELAYS), pass_context=True)
def deliver(context: JobContext, workspace_id: str, delivery_id: str) -> None:
    """Send a message to a webhook."""
    extra, last_try = context.additional_context, context.job.attempts >= len(RETRY_DELAYS)
    extra["webhooks"].deliver(extra["database"], UUID(workspace_id), UUID(delivery_id), last_try=last_try)


def enqueue_email(db: Session, to: str, message: EmailMessage) -> None:
    """Enqueue a message in the current transaction.

    Not for messages with a token, since the arguments of jobs are stored.
    """
    send_email.configure(connection=raw_connection(db)).defer(to=to, message=message.as_json())

"""`/unsubscribe`: one-click unsubscription from a topic without signing in (RFC 8058)."""

from dataclasses import dataclass
from uuid import UUID

from pyramid.httpexceptions import HTTPNotFound
from pyramid.security import NO_PERMISSION_REQUIRED
from pyramid.view import view_config

from cwz_web.accounts.models import Account
from cwz_web.i18n import gettext
from cwz_web.notify.topics import TOPIC_LABELS, Topic
from cwz_web.resources.application import Root
from cwz_web.web.request import Request

PAGE = "unsubscribe.jinja2"


@dataclass(frozen=True)
class UnsubscribePage:
    """The view model of unsubscribe.jinja2.

    Attributes:
        topic: The label of the topic.
        is_done: Whether the user has been unsubscribed.
    """

    topic: str
    is_done: bool


@view_config(context=Root, name="unsubscribe", request_method="GET", renderer=PAGE, permission=NO_PERMISSION_REQUIRED)
def unsubscribe_page(context: Root, request: Request) -> UnsubscribePage:
    """Show a button that confirms, since email scanners follow links."""
    _, topic = _read_link(request)
    return UnsubscribePage(gettext(TOPIC_LABELS[topic]), is_done=False)


@view_config(
    context=Root,
    name="unsubscribe",
    request_method="POST",
    renderer=PAGE,
    permission=NO_PERMISSION_REQUIRED,
    require_csrf=False,
)
def unsubscribe(context: Root, request: Request) -> UnsubscribePage:
    """Unsubscribe.

    The signature replaces the CSRF token, which email services do not send. The body is not read as a form: email
    services choose what they send, and everything that matters is in the signed URL.
    """
    account_id, topic = _read_link(request)
    account = request.db.get(Account, account_id, with_for_update=True)
    if account is not None and topic not in account.unsubscribed_topics:
        account.unsubscribed_topics = [*account.unsubscribed_topics, topic]
    return UnsubscribePage(gettext(TOPIC_LABELS[topic]), is_done=True)


def _read_link(request: Request) -> tuple[UUID, Topic]:
    """Return account and topic of a link. Raises HTTPNotFound if its signature is invalid."""
    account, topic, signature = (request.GET.get(name, "") for name in ("account", "topic", "s"))
    if not request.services.unsubscribe_links.is_valid(account, topic, signature):
        raise HTTPNotFound
    return UUID(account), Topic(topic)

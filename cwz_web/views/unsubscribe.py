"""`/unsubscribe`: a link in a mail that ends mails of its kind, without signing in (RFC 8058)."""

from typing import Any
from uuid import UUID

from pyramid.httpexceptions import HTTPNotFound
from pyramid.security import NO_PERMISSION_REQUIRED
from pyramid.view import view_config

from cwz_web.accounts.models import Account
from cwz_web.notify.topics import TOPIC_LABELS, Topic
from cwz_web.resources.application import Root
from cwz_web.web.request import Request

PAGE = "unsubscribe.jinja2"


@view_config(context=Root, name="unsubscribe", request_method="GET", renderer=PAGE, permission=NO_PERMISSION_REQUIRED)
def ask(context: Root, request: Request) -> dict[str, Any]:
    """Ask, since scanners of mails follow every link."""
    _, topic = _meant(request)
    return {"words": TOPIC_LABELS[topic], "is_done": False}


@view_config(
    context=Root,
    name="unsubscribe",
    request_method="POST",
    renderer=PAGE,
    permission=NO_PERMISSION_REQUIRED,
    require_csrf=False,
)
def end(context: Root, request: Request) -> dict[str, Any]:
    """No more mails about it. The signature stands in for the token of a form: mail services send none."""
    account_id, topic = _meant(request)
    account = request.db.get(Account, account_id, with_for_update=True)
    if account is not None and topic not in account.muted:
        account.muted = [*account.muted, topic]
    return {"words": TOPIC_LABELS[topic], "is_done": True}


def _meant(request: Request) -> tuple[UUID, Topic]:
    """Whom and what the link means. Raises HTTPNotFound for one that we did not make."""
    account, topic, signature = (request.GET.get(name, "") for name in ("account", "topic", "s"))
    if not request.services.unsubscribe_links.is_valid(account, topic, signature):
        raise HTTPNotFound
    return UUID(account), Topic(topic)

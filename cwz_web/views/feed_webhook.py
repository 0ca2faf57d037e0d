"""The webhook of a feed: the URL that a shop calls when products change, and the secret of its signatures."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field
from pyramid.httpexceptions import HTTPNotFound, HTTPSeeOther
from pyramid.response import Response
from pyramid.view import view_config

from cwz_web.feeds.change_webhooks import create_webhook_secret, webhook_of
from cwz_web.feeds.models import Feed, FeedSource
from cwz_web.feeds.providers.contract import ChangeWebhook
from cwz_web.feeds.sources import decrypt_webhook_secret, set_webhook_secret
from cwz_web.i18n import gettext
from cwz_web.resources.permissions import Permission
from cwz_web.resources.workspace import FeedResource
from cwz_web.views.feed_sources import source_of
from cwz_web.web.forms import FieldError, Form, Printable, SubmittedForm, empty_form, form_view
from cwz_web.web.notices import add_notice
from cwz_web.web.provider_forms import provider_label
from cwz_web.web.request import Request

PAGE = "feeds/webhook.jinja2"
MIN_SECRET_LENGTH = 16


class WebhookForm(Form):
    """Turns the webhook on, with the secret of the shop if that has one of its own, or off."""

    do: Literal["on", "off"] = "on"
    secret: Annotated[Printable, Field(max_length=200)] = ""


@dataclass(frozen=True)
class FeedWebhookPage:
    """Values of feeds/webhook.jinja2.

    Attributes:
        feed: The feed.
        source: Its source.
        shop: The name of the provider.
        webhook: How the provider calls.
        help: Where to register the URL.
        url: The URL that the provider calls.
        is_on: Whether there is a secret.
        secret: The secret of ours; empty until the user has authenticated recently.
        form: The submitted form.
    """

    feed: Feed
    source: FeedSource
    shop: str
    webhook: ChangeWebhook
    help: str
    url: str
    is_on: bool
    secret: str
    form: SubmittedForm[Any]


def _page(context: FeedResource, request: Request, form: SubmittedForm[Any]) -> FeedWebhookPage:
    feed, services = context.row, request.services
    source = source_of(feed, request.db)
    webhook = _webhook_of(request, source)
    is_shown = webhook.takes_secret and request.is_recently_authenticated
    return FeedWebhookPage(
        feed=feed,
        source=source,
        shop=provider_label(services.feed_sources.get(source.provider)),
        webhook=webhook,
        help=gettext(webhook.help),
        url=f"{services.settings.url}/hooks/feeds/{feed.workspace_id}/{feed.id}",
        is_on=source.encrypted_webhook_secret is not None,
        secret=decrypt_webhook_secret(services.ring, source) if is_shown else "",
        form=form,
    )


@view_config(context=FeedResource, name="webhook", request_method="GET", renderer=PAGE, permission=Permission.FEED_EDIT)
def show_feed_webhook(context: FeedResource, request: Request) -> FeedWebhookPage:
    """Show how to register the webhook in the shop."""
    return _page(context, request, empty_form())


@form_view(
    WebhookForm,
    _page,
    context=FeedResource,
    name="webhook",
    renderer=PAGE,
    permission=Permission.FEED_EDIT,
    requires_recent_auth=True,
)
def change_feed_webhook(context: FeedResource, request: Request, form: WebhookForm) -> Response:
    """Give the webhook a new secret, or remove it."""
    feed, ring = context.row, request.services.ring
    source = source_of(feed, request.db)
    webhook = _webhook_of(request, source)
    if form.do == "off":
        set_webhook_secret(ring, source, "")
        add_notice(request, gettext("The webhook is off. Remove it in the shop as well."))
    elif webhook.takes_secret:
        create_webhook_secret(ring, source)
        add_notice(request, gettext("The webhook has a new secret. Enter it in the shop."))
    elif len(form.secret) < MIN_SECRET_LENGTH:
        raise FieldError("secret", gettext("Copy the whole secret from the page of the shop"))
    else:
        set_webhook_secret(ring, source, form.secret)
        add_notice(request, gettext("The webhook is on."))
    request.audit("feed.webhook", feed.name, change=form.do)
    return HTTPSeeOther(request.path_in("feeds", feed.id, "webhook"))


def _webhook_of(request: Request, source: FeedSource) -> ChangeWebhook:
    """Return how the provider of a source calls. Raises HTTPNotFound if it does not."""
    webhook = webhook_of(request.services.feed_sources, source)
    if webhook is None:
        raise HTTPNotFound
    return webhook

"""Outgoing webhooks: which addresses are told of what, their secrets, and what was sent to them."""

from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

from pydantic import ConfigDict
from pyramid.httpexceptions import HTTPSeeOther, HTTPUnprocessableEntity
from pyramid.response import Response
from pyramid.view import view_config

from cwz_web.generation.signed_urls import valid_numbers
from cwz_web.notify.models import WebhookDelivery, Webhook
from cwz_web.notify.webhooks import (
    EVENT_LABELS,
    MAX_WEBHOOKS,
    PAGE,
    Event,
    WebhookUrl,
    list_deliveries,
    emit_test_event,
    list_webhooks,
    rotate_secret,
    resend_delivery,
)
from cwz_web.resources.permissions import Permission
from cwz_web.resources.workspace import WebhookCollection, WebhookResource
from cwz_web.views.images import before_id
from cwz_web.web.forms import FieldError, Filled, Form, empty_form, form_view, read_form
from cwz_web.web.request import Request
from cwz_web.workspaces.models import Workspace


class WebhookForm(Form):
    """An address. The events' fields (`event.<name>`) come beside it."""

    model_config = ConfigDict(extra="ignore")

    url: WebhookUrl


class ChangeForm(Form):
    """What to do with a webhook."""

    do: Literal["rotate", "retire", "switch-on", "switch-off", "test", "remove"]


class AgainForm(Form):
    """Which message to send again."""

    delivery: UUID


@dataclass(frozen=True)
class WebhookListPage:
    """What webhooks/list.jinja2 shows."""

    form: Filled[WebhookForm]
    webhooks: list[Webhook]
    words: dict[Event, str]
    chosen: list[Event]
    secrets: list[str]


def _list_page(context: WebhookCollection, request: Request, form: Filled[WebhookForm]) -> WebhookListPage:
    workspace = request.db.get_one(Workspace, request.workspace.workspace_id)
    chosen = [event for event in Event if f"event.{event}" in request.POST]
    return WebhookListPage(
        form=form,
        webhooks=list_webhooks(request.db, workspace.id),
        words=EVENT_LABELS,
        chosen=chosen or [Event.RUN_FINISHED, Event.RUN_FAILED],
        secrets=_secrets(request, workspace.id, valid_numbers(workspace)),
    )


@view_config(
    context=WebhookCollection, request_method="GET", renderer="webhooks/list.jinja2", permission=Permission.WEBHOOK_VIEW
)
def webhook_list(context: WebhookCollection, request: Request) -> WebhookListPage:
    """The workspace's webhooks, and a form for another one."""
    return _list_page(context, request, empty_form())


@form_view(
    WebhookForm,
    _list_page,
    context=WebhookCollection,
    renderer="webhooks/list.jinja2",
    permission=Permission.WEBHOOK_MANAGE,
)
def add_webhook(context: WebhookCollection, request: Request, form: WebhookForm) -> Response:
    """Add a webhook, and show it with its secret."""
    workspace_id = request.workspace.workspace_id
    events = [event for event in Event if f"event.{event}" in request.POST]
    if not events:
        raise FieldError("events", "Choose at least one event")
    if len(list_webhooks(request.db, workspace_id)) >= MAX_WEBHOOKS:
        raise FieldError("url", f"A workspace can have at most {MAX_WEBHOOKS} webhooks; remove one first")
    webhook = Webhook(workspace_id=workspace_id, url=form.url, events=events)
    request.db.add(webhook)
    request.db.flush()
    request.audit("webhook.add", webhook.place, events=events)
    return HTTPSeeOther(request.path_in("webhooks", webhook.id))


@view_config(
    context=WebhookResource, request_method="GET", renderer="webhooks/show.jinja2", permission=Permission.WEBHOOK_VIEW
)
def show_webhook(context: WebhookResource, request: Request) -> dict[str, Any]:
    """A webhook, and what was sent to it."""
    webhook = context.row
    deliveries = list_deliveries(request.db, webhook, before_id(request))
    return {
        "webhook": webhook,
        "words": EVENT_LABELS,
        "secrets": _secrets(request, webhook.id, webhook.secret_numbers),
        "deliveries": deliveries,
        "next": deliveries[-1].id if len(deliveries) == PAGE else None,
    }


@view_config(context=WebhookResource, request_method="POST", permission=Permission.WEBHOOK_MANAGE)
def change_webhook(context: WebhookResource, request: Request) -> Response:
    """Replace its secret, switch it off or on, try it, or remove it."""
    webhook, form = context.row, read_form(ChangeForm, request.POST)
    if form.value is None:
        raise HTTPUnprocessableEntity("Choose what to do with the webhook")
    match form.value.do:
        case "rotate":
            rotate_secret(webhook)
        case "retire":
            webhook.secret_oldest = webhook.secret_number
        case "switch-on":
            webhook.active, webhook.trouble = True, None
        case "switch-off":
            webhook.active = False
        case "test":
            emit_test_event(request.db, webhook)
        case "remove":
            request.db.delete(webhook)
    request.audit(f"webhook.{form.value.do}", webhook.place)
    return HTTPSeeOther(request.path_in("webhooks", *([] if form.value.do == "remove" else [webhook.id])))


@view_config(context=WebhookResource, name="again", request_method="POST", permission=Permission.WEBHOOK_VIEW)
def deliver_again(context: WebhookResource, request: Request) -> Response:
    """Send a message again."""
    form = read_form(AgainForm, request.POST)
    found = None
    if form.value is not None:
        found = request.db.get(WebhookDelivery, (context.row.workspace_id, form.value.delivery), with_for_update=True)
    if found is None or found.webhook_id != context.row.id:
        raise HTTPUnprocessableEntity("Choose one of the messages of this webhook")
    if found.state != "pending":
        resend_delivery(request.db, found)
    request.audit("webhook.again", context.row.place, delivery=str(found.id))
    return HTTPSeeOther(request.path_in("webhooks", context.row.id))


def _secrets(request: Request, owner_id: UUID, numbers: range) -> list[str]:
    """The secrets, for those who may see them."""
    if not request.has_permission(Permission.WEBHOOK_MANAGE):
        return []
    return request.services.webhooks.secrets_for(owner_id, numbers)

"""Webhooks: the list, a webhook with its secrets, and its deliveries."""

from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from pydantic import ConfigDict
from pyramid.httpexceptions import HTTPSeeOther, HTTPUnprocessableEntity
from pyramid.response import Response
from pyramid.view import view_config

from cwz_web.generation.signed_urls import valid_numbers
from cwz_web.notify.models import DELIVERY_STATE_LABELS, DeliveryState, Webhook, WebhookDelivery
from cwz_web.notify.webhooks import (
    EVENT_LABELS,
    MAX_WEBHOOKS,
    PAGE,
    Event,
    WebhookUrl,
    emit_test_event,
    list_deliveries,
    list_webhooks,
    resend_delivery,
    rotate_secret,
)
from cwz_web.resources.permissions import Permission
from cwz_web.resources.workspace import WebhookCollection, WebhookResource
from cwz_web.views.images import before_id
from cwz_web.web.forms import FieldError, Form, SubmittedForm, empty_form, form_view, read_form
from cwz_web.web.request import Request
from cwz_web.workspaces.models import Workspace

BADGES = {DeliveryState.PENDING: "info", DeliveryState.DELIVERED: "success", DeliveryState.FAILED: "error"}


class WebhookForm(Form):
    """A URL; the events are check boxes of their own (`event.<name>`)."""

    model_config = ConfigDict(extra="ignore")

    url: WebhookUrl


class ChangeForm(Form):
    """An action on a webhook."""

    do: Literal["rotate", "retire", "enable", "disable", "test", "delete"]


class ResendForm(Form):
    """The delivery to send again."""

    delivery: UUID


@dataclass(frozen=True)
class WebhookListPage:
    """The view model of webhooks/list.jinja2."""

    form: SubmittedForm[WebhookForm]
    webhooks: list[Webhook]
    event_labels: dict[Event, str]
    chosen: list[Event]
    secrets: list[str]


@dataclass(frozen=True)
class DeliveryRow:
    """A delivery in the table of deliveries."""

    delivery: WebhookDelivery
    label: str
    badge: str
    can_resend: bool


@dataclass(frozen=True)
class WebhookPage:
    """The view model of webhooks/show.jinja2.

    Attributes:
        next: The id before which the next page of deliveries starts; None on the last page.
    """

    webhook: Webhook
    event_labels: dict[Event, str]
    secrets: list[str]
    deliveries: list[DeliveryRow]
    next: UUID | None


def _list_page(context: WebhookCollection, request: Request, form: SubmittedForm[WebhookForm]) -> WebhookListPage:
    workspace = request.db.get_one(Workspace, request.workspace.workspace_id)
    chosen = [event for event in Event if f"event.{event}" in request.POST]
    return WebhookListPage(
        form=form,
        webhooks=list_webhooks(request.db, workspace.id),
        event_labels=EVENT_LABELS,
        chosen=chosen or [Event.RUN_FINISHED, Event.RUN_FAILED],
        secrets=_secrets(request, workspace.id, valid_numbers(workspace)),
    )


@view_config(
    context=WebhookCollection, request_method="GET", renderer="webhooks/list.jinja2", permission=Permission.WEBHOOK_VIEW
)
def list_webhooks_page(context: WebhookCollection, request: Request) -> WebhookListPage:
    """List the webhooks, with a form for a new one."""
    return _list_page(context, request, empty_form())


@form_view(
    WebhookForm,
    _list_page,
    context=WebhookCollection,
    renderer="webhooks/list.jinja2",
    permission=Permission.WEBHOOK_MANAGE,
    requires_recent_auth=True,
)
def add_webhook(context: WebhookCollection, request: Request, form: WebhookForm) -> Response:
    """Add a webhook and show its page."""
    workspace_id = request.workspace.workspace_id
    events = [event for event in Event if f"event.{event}" in request.POST]
    if not events:
        raise FieldError("events", "Choose at least one event")
    if len(list_webhooks(request.db, workspace_id)) >= MAX_WEBHOOKS:
        raise FieldError("url", f"A workspace can have at most {MAX_WEBHOOKS} webhooks. Delete one first")
    webhook = Webhook(workspace_id=workspace_id, url=form.url, events=events)
    request.db.add(webhook)
    request.db.flush()
    request.audit("webhook.add", webhook.display_url, events=events)
    return HTTPSeeOther(request.path_in("webhooks", webhook.id))


@view_config(
    context=WebhookResource, request_method="GET", renderer="webhooks/show.jinja2", permission=Permission.WEBHOOK_VIEW
)
def show_webhook(context: WebhookResource, request: Request) -> WebhookPage:
    """Show a webhook and its deliveries."""
    webhook = context.row
    deliveries = list_deliveries(request.db, webhook, before_id(request))
    return WebhookPage(
        webhook=webhook,
        event_labels={event: label for event, label in EVENT_LABELS.items() if event in webhook.events},
        secrets=_secrets(request, webhook.id, webhook.secret_numbers),
        deliveries=[_delivery_row(delivery) for delivery in deliveries],
        next=deliveries[-1].id if len(deliveries) == PAGE else None,
    )


@view_config(
    context=WebhookResource, request_method="POST", permission=Permission.WEBHOOK_MANAGE, requires_recent_auth=True
)
def change_webhook(context: WebhookResource, request: Request) -> Response:
    """Rotate a secret, enable, disable, test or delete a webhook."""
    webhook, form = context.row, read_form(ChangeForm, request.POST)
    if form.value is None:
        raise HTTPUnprocessableEntity("Choose an action")
    match form.value.do:
        case "rotate":
            rotate_secret(webhook)
        case "retire":
            webhook.oldest_secret_number = webhook.secret_number
        case "enable":
            webhook.active, webhook.error_message = True, None
        case "disable":
            webhook.active = False
        case "test":
            emit_test_event(request.db, webhook)
        case "delete":
            request.db.delete(webhook)
    request.audit(f"webhook.{form.value.do}", webhook.display_url)
    return HTTPSeeOther(request.path_in("webhooks", *([] if form.value.do == "delete" else [webhook.id])))


@view_config(
    context=WebhookResource,
    name="resend",
    request_method="POST",
    permission=Permission.WEBHOOK_VIEW,
    rate_limit="webhook-resend",
)
def resend(context: WebhookResource, request: Request) -> Response:
    """Send a delivery again."""
    form = read_form(ResendForm, request.POST)
    delivery = None
    if form.value is not None:
        delivery = request.db.get(
            WebhookDelivery, (context.row.workspace_id, form.value.delivery), with_for_update=True
        )
    if delivery is None or delivery.webhook_id != context.row.id:
        raise HTTPUnprocessableEntity("Choose a delivery of this webhook")
    if delivery.state != DeliveryState.PENDING:
        resend_delivery(request.db, delivery)
    request.audit("webhook.resend", context.row.display_url, delivery=str(delivery.id))
    return HTTPSeeOther(request.path_in("webhooks", context.row.id))


def _delivery_row(delivery: WebhookDelivery) -> DeliveryRow:
    state = DeliveryState(delivery.state)
    return DeliveryRow(delivery, DELIVERY_STATE_LABELS[state], BADGES[state], state != DeliveryState.PENDING)


def _secrets(request: Request, owner_id: UUID, numbers: range) -> list[str]:
    """Return the secrets if the user may see them, newest first; empty until they have authenticated recently."""
    if not request.has_permission(Permission.WEBHOOK_MANAGE):
        return []
    if not request.is_recently_authenticated:
        return [""] * len(numbers)
    return request.services.webhooks.secrets_for(owner_id, numbers)

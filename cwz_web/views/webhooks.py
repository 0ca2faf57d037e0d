"""Webhooks: the list, the events, a webhook with its secrets, its deliveries, and test events."""

import json
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlencode
from uuid import UUID

from pydantic import ConfigDict
from pyramid.httpexceptions import HTTPSeeOther, HTTPUnprocessableEntity
from pyramid.response import Response
from pyramid.view import view_config

from cwz_web.generation.signed_urls import valid_numbers
from cwz_web.i18n import gettext, gettext_noop, ngettext, number
from cwz_web.notify.models import DELIVERY_STATE_LABELS, DeliveryState, Webhook, WebhookDelivery
from cwz_web.notify.webhook_examples import EVENT_EXAMPLES
from cwz_web.notify.webhook_list import (
    DELIVERY_STATES,
    FAILURE_DAYS,
    MAX_FAILURES,
    ListedWebhook,
    find_deliveries,
    list_webhook_states,
)
from cwz_web.notify.webhooks import (
    EVENT_LABELS,
    MAX_WEBHOOKS,
    Event,
    WebhookUrl,
    emit_test_event,
    list_webhooks,
    message_id,
    resend_delivery,
    rotate_secret,
)
from cwz_web.resources.permissions import Permission
from cwz_web.resources.workspace import WebhookCollection, WebhookResource
from cwz_web.web.forms import FieldError, Form, SubmittedForm, empty_form, form_view, read_form, read_query
from cwz_web.web.lists import Filter, ListControls, ListForm, filter_labels, keep_url, read_list_form
from cwz_web.web.notices import add_notice
from cwz_web.web.rendering import page_view
from cwz_web.web.request import Request
from cwz_web.workspaces.models import Workspace

NOTICES = {
    "rotate": gettext_noop("Secret rotated. Messages are signed with both until you retire the previous one."),
    "retire": gettext_noop("Previous secret retired."),
    "enable": gettext_noop("Webhook enabled."),
    "disable": gettext_noop("Webhook disabled."),
    "delete": gettext_noop("Webhook deleted."),
}
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


class DeliveryListForm(ListForm):
    """Which deliveries are shown. `test` is that of the test event that was just sent."""

    state: Literal["", "failed", "pending", "delivered"] = ""
    test: UUID | Literal[""] = ""


class DeliveryQuery(Form):
    """The delivery whose result is shown."""

    delivery: UUID


@dataclass(frozen=True)
class EventExample:
    """An event of the catalog with an example message, as JSON."""

    name: str
    label: str
    message: str


@dataclass(frozen=True)
class DeliveryRow:
    """A delivery in the table of deliveries.

    Attributes:
        id: The message id, as in the header `webhook-id`.
        is_live: Whether its first attempt is awaited.
    """

    delivery: WebhookDelivery
    id: str
    label: str
    badge: str
    can_resend: bool
    is_live: bool


@dataclass(frozen=True)
class WebhookRow:
    """A webhook in the list. `failures` is empty without failed deliveries in the last days."""

    webhook: Webhook
    last: DeliveryRow | None
    failures: str


@dataclass(frozen=True)
class WebhookListPage:
    """The view model of webhooks/list.jinja2. `secrets` sign the messages to URLs that requests name."""

    webhooks: list[WebhookRow]
    catalog: list[EventExample]
    secrets: list[str]


@dataclass(frozen=True)
class NewWebhookPage:
    """The view model of webhooks/new.jinja2."""

    form: SubmittedForm[WebhookForm]
    catalog: list[EventExample]
    chosen: list[str]


@dataclass(frozen=True)
class WebhookPage:
    """The view model of webhooks/show.jinja2 and webhooks/_deliveries.jinja2.

    Attributes:
        test: The delivery of the test event that was just sent.
    """

    webhook: Webhook
    event_labels: dict[Event, str]
    secrets: list[str]
    deliveries: list[DeliveryRow]
    list: ListControls
    test: DeliveryRow | None


@dataclass(frozen=True)
class TestResult:
    """The view model of webhooks/_test.jinja2."""

    webhook: Webhook
    test: DeliveryRow | None


@view_config(
    context=WebhookCollection, request_method="GET", renderer="webhooks/list.jinja2", permission=Permission.WEBHOOK_VIEW
)
def list_webhooks_page(context: WebhookCollection, request: Request) -> WebhookListPage:
    """List the webhooks with their last deliveries, and the events."""
    workspace = request.db.get_one(Workspace, request.workspace.workspace_id)
    return WebhookListPage(
        webhooks=[_webhook_row(listed) for listed in list_webhook_states(request.db, workspace.id)],
        catalog=_catalog(),
        secrets=_secrets(request, workspace.id, valid_numbers(workspace)),
    )


def _new_page(context: WebhookCollection, request: Request, form: SubmittedForm[WebhookForm]) -> NewWebhookPage:
    chosen = [str(event) for event in Event if f"event.{event}" in request.POST]
    return NewWebhookPage(form, _catalog(), chosen or [str(Event.RUN_FINISHED), str(Event.RUN_FAILED)])


@view_config(
    context=WebhookCollection,
    name="new",
    request_method="GET",
    renderer="webhooks/new.jinja2",
    permission=Permission.WEBHOOK_MANAGE,
)
def new_webhook(context: WebhookCollection, request: Request) -> NewWebhookPage:
    """Show the form of a new webhook."""
    return _new_page(context, request, empty_form())


@form_view(
    WebhookForm,
    _new_page,
    context=WebhookCollection,
    renderer="webhooks/new.jinja2",
    permission=Permission.WEBHOOK_MANAGE,
    requires_recent_auth=True,
)
def add_webhook(context: WebhookCollection, request: Request, form: WebhookForm) -> Response:
    """Add a webhook and show its page."""
    workspace_id = request.workspace.workspace_id
    events = [event for event in Event if f"event.{event}" in request.POST]
    if not events:
        raise FieldError("events", gettext("Choose at least one event"))
    if len(list_webhooks(request.db, workspace_id)) >= MAX_WEBHOOKS:
        raise FieldError(
            "url", gettext("A workspace can have at most %(limit)s webhooks. Delete one first", limit=MAX_WEBHOOKS)
        )
    webhook = Webhook(workspace_id=workspace_id, url=form.url, events=events)
    request.db.add(webhook)
    request.db.flush()
    request.audit("webhook.add", webhook.display_url, events=events)
    return HTTPSeeOther(request.path_in("webhooks", webhook.id))


@page_view(
    "webhooks/show.jinja2", "webhooks/_deliveries.jinja2", context=WebhookResource, permission=Permission.WEBHOOK_VIEW
)
def show_webhook(context: WebhookResource, request: Request) -> WebhookPage:
    """Show a webhook and a page of its deliveries."""
    webhook, form = context.row, read_list_form(DeliveryListForm, request)
    page = find_deliveries(request.db, webhook, search=form.search, state=form.state, after=form.after or None)
    states = filter_labels(DELIVERY_STATES)
    controls = ListControls(
        noun="deliveries",
        search=form.search,
        filters=(Filter("state", gettext("State"), {"": gettext("All states"), **states}, form.state),),
        count=page.count,
        after=str(form.after),
        next_after=page.next_after,
        placeholder=gettext("Search by message ID…"),
    )
    keep_url(request, controls)
    return WebhookPage(
        webhook=webhook,
        event_labels={event: gettext(label) for event, label in EVENT_LABELS.items() if event in webhook.events},
        secrets=_secrets(request, webhook.id, webhook.secret_numbers),
        deliveries=[_delivery_row(delivery) for delivery in page.rows],
        list=controls,
        test=_find_test(context, request, form.test or None),
    )


@view_config(
    context=WebhookResource,
    name="test",
    request_method="GET",
    renderer="webhooks/_test.jinja2",
    permission=Permission.WEBHOOK_VIEW,
)
def show_test_result(context: WebhookResource, request: Request) -> TestResult:
    """Show the result of a test event again, while its first attempt is awaited."""
    return TestResult(context.row, _find_test(context, request, read_query(DeliveryQuery, request.GET).delivery))


@view_config(
    context=WebhookResource, request_method="POST", permission=Permission.WEBHOOK_MANAGE, requires_recent_auth=True
)
def change_webhook(context: WebhookResource, request: Request) -> Response:
    """Rotate a secret, enable, disable, test or delete a webhook."""
    webhook, form, query = context.row, read_form(ChangeForm, request.POST), ""
    if form.value is None:
        raise HTTPUnprocessableEntity(gettext("Choose an action"))
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
            test = emit_test_event(request.db, webhook)
            query = f"?{urlencode({'test': str(test.id)})}"
        case "delete":
            request.db.delete(webhook)
    request.audit(f"webhook.{form.value.do}", webhook.display_url)
    if form.value.do in NOTICES:
        add_notice(request, gettext(NOTICES[form.value.do]))
    return HTTPSeeOther(request.path_in("webhooks", *([] if form.value.do == "delete" else [webhook.id])) + query)


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
        raise HTTPUnprocessableEntity(gettext("Choose a delivery of this webhook"))
    if delivery.state != DeliveryState.PENDING:
        resend_delivery(request.db, delivery)
    request.audit("webhook.resend", context.row.display_url, delivery=str(delivery.id))
    add_notice(request, gettext("The message is sent again."))
    return HTTPSeeOther(request.path_in("webhooks", context.row.id))


def _catalog() -> list[EventExample]:
    return [
        EventExample(str(event), gettext(label), json.dumps(EVENT_EXAMPLES[event], indent=2, ensure_ascii=False))
        for event, label in EVENT_LABELS.items()
    ]


def _webhook_row(listed: ListedWebhook) -> WebhookRow:
    return WebhookRow(listed.webhook, _delivery_row(listed.last) if listed.last else None, _failures(listed.failures))


def _failures(count: int) -> str:
    if count == MAX_FAILURES:
        return gettext("%(count)s+ failed in %(days)s days", count=number(count), days=FAILURE_DAYS)
    if not count:
        return ""
    return ngettext("%(count)s failed in %(days)s days", "%(count)s failed in %(days)s days", count, days=FAILURE_DAYS)


def _find_test(context: WebhookResource, request: Request, delivery_id: UUID | None) -> DeliveryRow | None:
    if delivery_id is None:
        return None
    delivery = request.db.get(WebhookDelivery, (context.row.workspace_id, delivery_id))
    return _delivery_row(delivery) if delivery is not None and delivery.webhook_id == context.row.id else None


def _delivery_row(delivery: WebhookDelivery) -> DeliveryRow:
    state = DeliveryState(delivery.state)
    is_pending = state == DeliveryState.PENDING
    if is_pending and delivery.attempts:
        label, badge = gettext("Retrying"), "warning"
    else:
        label, badge = gettext(DELIVERY_STATE_LABELS[state]), BADGES[state]
    is_live = is_pending and not delivery.attempts
    return DeliveryRow(delivery, message_id(delivery), label, badge, not is_pending, is_live)


def _secrets(request: Request, owner_id: UUID, numbers: range) -> list[str]:
    """Return the secrets if the user may see them, newest first; empty until they have authenticated recently."""
    if not request.has_permission(Permission.WEBHOOK_MANAGE):
        return []
    if not request.is_recently_authenticated:
        return [""] * len(numbers)
    return request.services.webhooks.secrets_for(owner_id, numbers)

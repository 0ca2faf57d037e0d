"""The shops of a campaign: the list, and connecting one.

The form depends on the kind of shop, and the request's transaction ends before its credentials are tested: so these
views read it with `read_provider_form` and not with `form_view`, as those of storage do.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from pyramid.httpexceptions import HTTPSeeOther, HTTPUnprocessableEntity
from pyramid.response import Response
from pyramid.view import view_config

from cwz_web.campaigns.models import Campaign
from cwz_web.feeds.providers.contract import SourceError
from cwz_web.i18n import gettext
from cwz_web.net.client import FetchError
from cwz_web.resources.permissions import Permission
from cwz_web.resources.workspace import ShopCollection
from cwz_web.shops.contract import ShopProvider
from cwz_web.shops.editing import MAX_SHOPS, InvalidShopError, create_shop, list_shops, suggest_settings
from cwz_web.shops.models import Shop
from cwz_web.shops.products import ShopCounts, count_products
from cwz_web.shops.providers import SHOPS, find_provider, list_providers, open_shop
from cwz_web.shops.sync import enqueue_sync
from cwz_web.views.campaign_page import CampaignPage, CampaignTab, campaign_path, shared_values
from cwz_web.views.new_run import Choice
from cwz_web.web.forms import Form, Name, SubmittedForm
from cwz_web.web.notices import add_notice
from cwz_web.web.provider_forms import ProviderField, provider_fields, read_provider_form
from cwz_web.web.request import Request
from cwz_web.web.transactions import release_connection
from cwz_web.workspaces.audit import record

FORM_PAGE = "shops/form.jinja2"
# A user waits for the test of the credentials.
TEST_SECONDS = 20.0


class NewShopForm(Form):
    """The fields of a new shop, whatever its kind."""

    provider: str = ""
    name: Name


@dataclass(frozen=True)
class ShopState:
    """What a shop has of what it should have: in words, with the class of its badge."""

    label: str
    badge: str
    counts: ShopCounts


@dataclass(frozen=True)
class ShopLine:
    """A shop of the list."""

    shop: Shop
    path: str
    kind: str
    state: ShopState


@dataclass(frozen=True, kw_only=True)
class ShopsPage(CampaignPage):
    """Values of shops/list.jinja2; `kinds` are those that can be connected."""

    shops: list[ShopLine]
    kinds: list[Choice]
    can_connect: bool


@dataclass(frozen=True, kw_only=True)
class ShopFormPage:
    """Values of shops/form.jinja2; `shop` is None for a new one. `form_errors` have the labels of their fields."""

    campaign: Campaign
    shop: Shop | None
    provider: ShopProvider
    fields: list[ProviderField]
    form: SubmittedForm[Any]
    form_errors: list[str]
    has_secrets: bool


def describe_state(shop: Shop, counts: ShopCounts) -> ShopState:
    """Return the state of a shop."""
    if shop.error_message and (shop.is_enabled or shop.is_restoring):
        label, badge = gettext("Failed"), "error"
    elif shop.is_restoring:
        label, badge = gettext("Restoring"), "info"
    elif not shop.is_enabled:
        label, badge = gettext("Off"), ""
    elif shop.version is not None and counts.is_complete:
        label, badge = gettext("Up to date"), "success"
    elif shop.version is not None and not counts.pending:
        label, badge = gettext("Incomplete"), "warning"
    else:
        label, badge = gettext("Updating"), "info"
    return ShopState(label, badge, counts)


@view_config(context=ShopCollection, request_method="GET", renderer="shops/list.jinja2", permission=Permission.VIEW)
def show_shops(context: ShopCollection, request: Request) -> ShopsPage:
    """Show the shops of a campaign."""
    campaign = context.campaign
    shops = list_shops(request.db, campaign)
    lines = [
        ShopLine(
            shop,
            campaign_path(request, campaign, "shops", shop.id),
            SHOPS[shop.provider].label,
            describe_state(shop, count_products(request.db, shop)),
        )
        for shop in shops
    ]
    providers = list_providers(request.services.feed_sources) if len(shops) < MAX_SHOPS else []
    return ShopsPage(
        **shared_values(request, campaign, CampaignTab.SHOPS),
        shops=lines,
        kinds=[Choice(each.name, each.label, False) for each in providers],
        can_connect=bool(request.has_permission(Permission.STORAGE_MANAGE)),
    )


@view_config(
    context=ShopCollection,
    name="new",
    request_method="GET",
    renderer=FORM_PAGE,
    permission=Permission.STORAGE_MANAGE,
    requires_recent_auth=True,
)
def show_new_shop(context: ShopCollection, request: Request) -> ShopFormPage | Response:
    """Show the form that connects a shop of the chosen kind."""
    provider = find_provider(request.services.feed_sources, request.GET.get("provider", ""))
    if provider is None:
        return HTTPSeeOther(campaign_path(request, context.campaign, "shops"))
    return form_page(context.campaign, provider, SubmittedForm(None, {}, {"name": provider.label}))


@view_config(
    context=ShopCollection,
    name="new",
    request_method="POST",
    renderer=FORM_PAGE,
    permission=Permission.STORAGE_MANAGE,
    rate_limit="feed-source",
    requires_recent_auth=True,
)
def add_shop(context: ShopCollection, request: Request) -> ShopFormPage | Response:
    """Test the credentials of a shop, and add it turned off."""
    campaign = context.campaign
    provider = find_provider(request.services.feed_sources, request.POST.get("provider", ""))
    if provider is None:
        raise HTTPUnprocessableEntity(gettext("Choose a shop or a service"))
    form, entered = read_provider_form(provider, request.POST, NewShopForm, has_secrets=False)
    if entered is None or entered.credentials is None or entered.secrets is None:
        return refuse(request, form_page(campaign, provider, form))
    release_connection(request)
    try:
        check_credentials(request, provider, entered.settings, entered.credentials)
        with request.services.database.transaction(campaign.workspace_id) as db:
            current = db.get_one(Campaign, (campaign.workspace_id, campaign.id), with_for_update=True)
            content = suggest_settings(db, current, provider).model_copy(update={"name": entered.form.name})
            ring = request.services.ring
            shop = create_shop(db, ring, current, provider, entered.settings, entered.secrets, content)
            enqueue_sync(db, shop)
            details = {"campaign": str(campaign.id), "shop": str(shop.id), "url": provider.url(entered.settings)}
            record(db, campaign.workspace_id, request.actor, "shop.connect", shop.name, details)
            path = campaign_path(request, current, "shops", shop.id, "settings")
    except (FetchError, InvalidShopError) as error:
        return refuse(request, form_page(campaign, provider, with_error(form, provider, error)))
    add_notice(request, gettext("The shop is connected. Nothing is put into it before you turn it on."))
    return HTTPSeeOther(path)


def check_credentials(request: Request, provider: ShopProvider, settings: BaseModel, credentials: BaseModel) -> None:
    """Check that credentials may write images, without changing the shop. Raises FetchError."""
    with request.services.outbound.slot():
        registry = request.services.feed_sources
        open_shop(registry, provider, settings, credentials, seconds=TEST_SECONDS, is_preview=True).check()


def with_error(form: SubmittedForm[Any], provider: ShopProvider, error: Exception) -> SubmittedForm[Any]:
    """Return the form with an error beside the field that is to blame; by default, the first one."""
    names = [*provider.settings_model.model_fields, *provider.credentials_model.model_fields]
    field = error.field if isinstance(error, SourceError | InvalidShopError) else ""
    return form.with_error(field if field in names else names[0], str(error))


def refuse(request: Request, page: ShopFormPage) -> ShopFormPage:
    """Return the page of a form that is not valid."""
    request.response.status = 422
    return page


def form_page(
    campaign: Campaign, provider: ShopProvider, form: SubmittedForm[Any], shop: Shop | None = None
) -> ShopFormPage:
    """Return the page of the connection of a shop."""
    fields = [
        *provider_fields(provider.settings_model, secret=False),
        *provider_fields(provider.credentials_model, secret=True),
    ]
    labels: Mapping[str, str] = {field.name: field.label for field in fields}
    return ShopFormPage(
        campaign=campaign,
        shop=shop,
        provider=provider,
        fields=fields,
        form=form,
        form_errors=[
            gettext("%(field)s: %(message)s", field=labels[name], message=message)
            for name, message in form.errors.items()
            if name in labels
        ],
        has_secrets=shop is not None,
    )

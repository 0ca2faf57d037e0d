"""The forms of a shop: what is put into it, and its connection."""

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field
from pyramid.httpexceptions import HTTPNotFound, HTTPSeeOther
from pyramid.response import Response
from pyramid.view import view_config

from cwz_web.campaigns.joins import load_columns
from cwz_web.campaigns.models import Campaign
from cwz_web.feeds.providers.contract import SourceError
from cwz_web.i18n import gettext
from cwz_web.net.client import FetchError
from cwz_web.resources.permissions import Permission
from cwz_web.resources.workspace import ShopResource
from cwz_web.shops.contract import ShopProvider
from cwz_web.shops.editing import (
    MAX_CONDITION,
    InvalidShopError,
    ShopSettings,
    content_of,
    is_moved,
    lock_shop,
    save_shop,
)
from cwz_web.shops.models import Position
from cwz_web.shops.providers import SHOPS, decrypt_credentials, find_provider, load_settings
from cwz_web.shops.sync import enqueue_sync
from cwz_web.views.campaign_shops import FORM_PAGE, ShopFormPage, check_credentials, form_page, refuse, with_error
from cwz_web.views.channel_fields import output_labels
from cwz_web.views.new_run import Choice
from cwz_web.views.shop import ShopHead, shop_head, shop_path
from cwz_web.web.forms import FieldError, Form, Name, SubmittedForm, empty_form, form_view
from cwz_web.web.notices import add_notice
from cwz_web.web.provider_forms import read_provider_form
from cwz_web.web.request import Request
from cwz_web.web.transactions import release_connection
from cwz_web.workspaces.audit import record

SETTINGS_PAGE = "shops/settings.jinja2"


class ShopSettingsForm(Form):
    """What is put into a shop."""

    name: Name
    position: Position
    output: Annotated[int, Field(ge=0, le=100)]
    product_column: Annotated[str, Field(min_length=1, max_length=400)]
    alt_column: Annotated[str, Field(max_length=400)] = ""
    condition: Annotated[str, Field(max_length=MAX_CONDITION)] = ""


class ShopConnectionForm(Form):
    """The connection of a shop has only the fields of its kind."""


@dataclass(frozen=True, kw_only=True)
class ShopSettingsPage(ShopHead):
    """Values of shops/settings.jinja2."""

    form: SubmittedForm[Any]
    values: dict[str, str]
    positions: list[Choice]
    outputs: list[Choice]
    columns: list[Choice]
    alt_columns: list[Choice]


def _settings_page(context: ShopResource, request: Request, form: SubmittedForm[Any]) -> ShopSettingsPage:
    campaign = context.campaign
    saved = {name: str(value) for name, value in content_of(context.row).model_dump(mode="json").items()}
    values = saved | form.typed
    names = load_columns(request.db, campaign).names
    labels = output_labels(campaign.outputs)
    return ShopSettingsPage(
        **shop_head(context, request),
        form=form,
        values=values,
        positions=[Choice(each, each.label, each == values["position"]) for each in Position],
        outputs=[Choice(str(number), each, str(number) == values["output"]) for number, each in enumerate(labels)],
        columns=[Choice(name, name, name == values["product_column"]) for name in names],
        alt_columns=[Choice(name, name, name == values["alt_column"]) for name in names],
    )


@view_config(
    context=ShopResource,
    name="settings",
    request_method="GET",
    renderer=SETTINGS_PAGE,
    permission=Permission.CAMPAIGN_EDIT,
)
def show_shop_settings(context: ShopResource, request: Request) -> ShopSettingsPage:
    """Show what is put into a shop."""
    return _settings_page(context, request, empty_form())


@form_view(
    ShopSettingsForm,
    _settings_page,
    context=ShopResource,
    name="settings",
    renderer=SETTINGS_PAGE,
    permission=Permission.CAMPAIGN_EDIT,
)
def save_shop_settings(context: ShopResource, request: Request, form: ShopSettingsForm) -> Response:
    """Save what is put into a shop, and plan it again."""
    shop = lock_shop(request.db, context.row.workspace_id, context.row.id)
    if shop is None:
        raise FieldError("name", gettext("This shop was disconnected. Connect it again"))
    try:
        settings = load_settings(shop, SHOPS[shop.provider])
        content = ShopSettings.model_validate(form.model_dump())
        save_shop(request.db, request.services.ring, context.campaign, shop, settings, None, content)
    except SourceError as error:
        raise FieldError("name", str(error)) from None
    except InvalidShopError as error:
        raise FieldError(error.field, str(error)) from None
    enqueue_sync(request.db, shop)
    request.audit("shop.change", shop.name, campaign=str(shop.campaign_id), shop=str(shop.id))
    add_notice(request, gettext("The shop is saved."))
    return HTTPSeeOther(shop_path(request, shop))


@view_config(
    context=ShopResource,
    name="connection",
    request_method="GET",
    renderer=FORM_PAGE,
    permission=Permission.STORAGE_MANAGE,
    requires_recent_auth=True,
)
def show_shop_connection(context: ShopResource, request: Request) -> ShopFormPage:
    """Show the connection of a shop, without its credentials."""
    typed = {name: str(value) for name, value in context.row.settings.items()}
    return form_page(context.campaign, _provider(context, request), SubmittedForm(None, {}, typed), context.row)


@view_config(
    context=ShopResource,
    name="connection",
    request_method="POST",
    renderer=FORM_PAGE,
    permission=Permission.STORAGE_MANAGE,
    rate_limit="feed-source",
    requires_recent_auth=True,
)
def save_shop_connection(context: ShopResource, request: Request) -> ShopFormPage | Response:
    """Test another connection of a shop, and save it. The saved credentials are sent to no other shop."""
    shop, campaign, provider = context.row, context.campaign, _provider(context, request)
    form, entered = read_provider_form(provider, request.POST, ShopConnectionForm, has_secrets=True)
    if entered is None:
        return refuse(request, form_page(campaign, provider, form, shop))
    ring, path = request.services.ring, shop_path(request, shop)
    try:
        if entered.credentials is None and is_moved(shop, provider, entered.settings):
            field = next(iter(provider.credentials_model.model_fields))
            raise InvalidShopError(field, gettext("The shop has changed: enter this again"))
        credentials = entered.credentials or decrypt_credentials(ring, shop, provider)
        release_connection(request)
        check_credentials(request, provider, entered.settings, credentials)
        with request.services.database.transaction(campaign.workspace_id) as db:
            current = lock_shop(db, shop.workspace_id, shop.id)
            if current is None:
                raise InvalidShopError("", gettext("This shop was disconnected. Connect it again"))
            owner = db.get_one(Campaign, (campaign.workspace_id, campaign.id))
            save_shop(db, ring, owner, current, entered.settings, entered.secrets, content_of(current))
            enqueue_sync(db, current)
            details = {"campaign": str(campaign.id), "shop": str(shop.id), "url": provider.url(entered.settings)}
            details["secrets_replaced"] = str(entered.credentials is not None)
            record(db, campaign.workspace_id, request.actor, "shop.reconnect", current.name, details)
    except (FetchError, InvalidShopError) as error:
        return refuse(request, form_page(campaign, provider, with_error(form, provider, error), shop))
    add_notice(request, gettext("The connection of the shop is saved."))
    return HTTPSeeOther(path)


def _provider(context: ShopResource, request: Request) -> ShopProvider:
    provider = find_provider(request.services.feed_sources, context.row.provider)
    if provider is None:
        raise HTTPNotFound
    return provider

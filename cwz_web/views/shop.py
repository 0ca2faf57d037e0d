"""The page of a shop: what is in it, its products by their state, and turning it on, off, restoring and deleting it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal
from urllib.parse import urlencode
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from pyramid.httpexceptions import HTTPSeeOther, HTTPUnprocessableEntity
from pyramid.response import Response
from pyramid.view import view_config

from cwz_web.campaigns.changes import load_images
from cwz_web.campaigns.models import Campaign
from cwz_web.i18n import gettext
from cwz_web.resources.permissions import Permission
from cwz_web.resources.workspace import ShopResource
from cwz_web.shops.editing import check_again, delete_shop, enable_shop, lock_shop, pause_shop, start_restore
from cwz_web.shops.models import Position, Problem, Shop, ShopProduct
from cwz_web.shops.planning import PlanReport
from cwz_web.shops.products import ProductState, ShopCounts, count_products, list_problems, list_products, state_of
from cwz_web.shops.providers import SHOPS
from cwz_web.shops.sync import enqueue_sync
from cwz_web.views.campaign_page import campaign_path
from cwz_web.views.campaign_shops import ShopState, describe_state
from cwz_web.views.channel_fields import output_labels
from cwz_web.views.feed_page import TabLink
from cwz_web.web.forms import Form, SubmittedForm, empty_form, form_view, read_query
from cwz_web.web.notices import add_notice
from cwz_web.web.request import Request

PAGE_SIZE = 50
STATE_BADGES = {ProductState.SHOWN: "success", ProductState.PROBLEM: "error"}


class DeleteShopForm(Form):
    """Whether the images that are in the shop stay there."""

    leave: Literal["yes", ""] = ""


class ProductsQuery(BaseModel):
    """Which products are shown. `after` is the id of the last one of the page before."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    state: ProductState | Literal[""] = ""
    after: Annotated[str, Field(max_length=100, pattern=r"^[\x20-\x7e]*$")] = ""


@dataclass(frozen=True, kw_only=True)
class ShopHead:
    """What the pages of a shop share."""

    campaign: Campaign
    shop: Shop
    here: str
    kind: str
    url: str
    state: ShopState


@dataclass(frozen=True)
class ShownProblem:
    """What could not be changed: in words, in how many products, and the first ids with the paths of their rows."""

    text: str
    products: int
    paths: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class ShopStatus(ShopHead):
    """Values of shops/_status.jinja2.

    Attributes:
        is_public: whether anything of the campaign is public.
        is_working: whether products are still visited, so that the page looks again.
        report: what was found in the rows; None before they were read.
        unclear, without_product: the paths of the first rows of the report.
        problems: what could not be changed.
        can_approve: whether the user may turn the shop on and off.
    """

    is_public: bool
    is_working: bool
    report: PlanReport | None
    unclear: dict[str, str]
    without_product: dict[str, str]
    problems: list[ShownProblem]
    can_approve: bool


@dataclass(frozen=True, kw_only=True)
class ShopPage(ShopStatus):
    """Values of shops/show.jinja2."""

    position: str
    output: str
    can_edit: bool
    can_connect: bool


@dataclass(frozen=True)
class ShownProduct:
    """A product, with the path of its row, the thumbnail of its image, and what the shop said."""

    product_id: str
    row_key: str
    path: str
    thumbnail: str
    label: str
    badge: str
    note: str


@dataclass(frozen=True, kw_only=True)
class ProductsPage(ShopHead):
    """Values of shops/products.jinja2."""

    states: list[TabLink]
    products: list[ShownProduct]
    is_first: bool
    next_query: str


@dataclass(frozen=True, kw_only=True)
class ConfirmPage(ShopHead):
    """Values of shops/restore.jinja2 and shops/delete.jinja2."""

    form: SubmittedForm[Any]
    removal: str


def shop_head(context: ShopResource, request: Request) -> dict[str, Any]:
    """Return the values of ShopHead."""
    shop, provider = context.row, SHOPS[context.row.provider]
    counts = count_products(request.db, shop)
    settings = provider.settings_model.model_construct(**shop.settings)
    return {
        "campaign": context.campaign,
        "shop": shop,
        "here": shop_path(request, shop),
        "kind": provider.label,
        "url": provider.url(settings),
        "state": describe_state(shop, counts),
    }


def shop_path(request: Request, shop: Shop, *segments: object) -> str:
    """Return the path of a page of a shop."""
    return request.path_in("campaigns", shop.campaign_id, "shops", shop.id, *segments)


@view_config(context=ShopResource, request_method="GET", renderer="shops/show.jinja2", permission=Permission.VIEW)
def show_shop(context: ShopResource, request: Request) -> ShopPage:
    """Show what is, or would be, in a shop."""
    shop, outputs = context.row, output_labels(context.campaign.outputs)
    return ShopPage(
        **_status(context, request),
        position=Position(shop.position).label,
        output=outputs[shop.output] if shop.output < len(outputs) else "–",
        can_edit=bool(request.has_permission(Permission.CAMPAIGN_EDIT)),
        can_connect=bool(request.has_permission(Permission.STORAGE_MANAGE)),
    )


@view_config(
    context=ShopResource,
    name="status",
    request_method="GET",
    renderer="shops/_status.jinja2",
    permission=Permission.VIEW,
)
def show_shop_status(context: ShopResource, request: Request) -> ShopStatus:
    """Show how far a shop is; the page looks again while products are visited."""
    return ShopStatus(**_status(context, request))


def _status(context: ShopResource, request: Request) -> dict[str, Any]:
    shop, campaign, head = context.row, context.campaign, shop_head(context, request)
    counts: ShopCounts = head["state"].counts
    is_public = campaign.public_id is not None
    is_planned = shop.version is not None and shop.publication_id == campaign.public_id
    is_left = shop.is_restoring or not is_planned or (shop.is_enabled and counts.pending > 0)
    report = PlanReport.model_validate(shop.report) if shop.report else None
    return head | {
        "is_public": is_public,
        "is_working": is_left and (is_public or shop.is_restoring) and not shop.error_message,
        "report": report,
        "unclear": _row_paths(request, campaign, report.unclear_keys if report else ()),
        "without_product": _row_paths(request, campaign, report.without_product_keys if report else ()),
        "problems": [
            ShownProblem(
                problem_text(each.problem, each.code),
                each.products,
                {product: _row_path(request, campaign, key) for product, key in each.first},
            )
            for each in list_problems(request.db, shop)
        ],
        "can_approve": bool(request.has_permission(Permission.CAMPAIGN_APPROVE)),
    }


def problem_text(problem: Problem, code: str) -> str:
    """Return why a product could not be changed, with the code that the shop sent."""
    return gettext("%(problem)s (%(code)s)", problem=problem.label, code=code) if code else problem.label


def _row_paths(request: Request, campaign: Campaign, keys: Sequence[str]) -> dict[str, str]:
    return {key: _row_path(request, campaign, key) for key in keys}


def _row_path(request: Request, campaign: Campaign, key: str) -> str:
    return f"{campaign_path(request, campaign, 'row')}?{urlencode({'key': key})}"


@view_config(
    context=ShopResource,
    name="products",
    request_method="GET",
    renderer="shops/products.jinja2",
    permission=Permission.VIEW,
)
def show_products(context: ShopResource, request: Request) -> ProductsPage:
    """Show a page of the products of a shop, of all or in one state."""
    shop, query = context.row, read_query(ProductsQuery, request.GET)
    found = list_products(request.db, shop, query.state or None, query.after, PAGE_SIZE + 1)
    products, is_last = found[:PAGE_SIZE], len(found) <= PAGE_SIZE
    kept = {"state": query.state} if query.state else {}
    choices = [("", gettext("All")), *((each, each.label) for each in ProductState)]
    return ProductsPage(
        **shop_head(context, request),
        states=[
            TabLink(label, f"?{urlencode({'state': each})}" if each else "?", each == query.state)
            for each, label in choices
        ],
        products=_shown_products(request, context.campaign, products),
        is_first=not query.after,
        next_query="" if is_last else urlencode(kept | {"after": products[-1].product_id}),
    )


def _shown_products(request: Request, campaign: Campaign, products: Sequence[ShopProduct]) -> list[ShownProduct]:
    ids = {product.product_id: UUID(product.wanted["id"]) for product in products if product.wanted}
    images = load_images(request.db, campaign.workspace_id, set(ids.values())) if ids else {}
    shown = []
    for product in products:
        state, image = state_of(product), images.get(ids.get(product.product_id, UUID(int=0)))
        shown.append(
            ShownProduct(
                product_id=product.product_id,
                row_key=product.row_key,
                path=_row_path(request, campaign, product.row_key),
                thumbnail=request.services.signed_urls.thumbnail(image) if image else "",
                label=state.label,
                badge=STATE_BADGES.get(state, "info"),
                note=problem_text(Problem(product.problem), product.code) if product.problem else "",
            )
        )
    return shown


@view_config(context=ShopResource, name="enable", request_method="POST", permission=Permission.CAMPAIGN_APPROVE)
def enable(context: ShopResource, request: Request) -> Response:
    """Put images into a shop from now on."""
    shop = _lock(context, request)
    enable_shop(shop)
    text = gettext("The shop is turned on. Its images follow the public publication.")
    return _changed(request, shop, "shop.enable", text, undo="pause")


@view_config(context=ShopResource, name="pause", request_method="POST", permission=Permission.CAMPAIGN_APPROVE)
def pause(context: ShopResource, request: Request) -> Response:
    """Leave a shop as it is."""
    shop = _lock(context, request)
    pause_shop(shop)
    return _changed(request, shop, "shop.disable", gettext("The shop is turned off. Its images stay as they are."))


@view_config(
    context=ShopResource,
    name="check",
    request_method="POST",
    permission=Permission.CAMPAIGN_APPROVE,
    rate_limit="feed-fetch",
)
def check(context: ShopResource, request: Request) -> Response:
    """Compare all products with the shop."""
    shop = _lock(context, request)
    check_again(request.db, shop)
    return _changed(request, shop, "shop.check", gettext("All products are compared with the shop."))


@view_config(
    context=ShopResource,
    name="restore",
    request_method="GET",
    renderer="shops/restore.jinja2",
    permission=Permission.CAMPAIGN_APPROVE,
)
def show_restore(context: ShopResource, request: Request) -> ConfirmPage:
    """Ask whether all images of the campaign are taken out of a shop."""
    return _confirm_page(context, request, empty_form())


@view_config(context=ShopResource, name="restore", request_method="POST", permission=Permission.CAMPAIGN_APPROVE)
def restore(context: ShopResource, request: Request) -> Response:
    """Take all images of the campaign out of a shop."""
    shop = _lock(context, request)
    start_restore(request.db, shop)
    text = gettext("The shop is turned off, and gets back the images that it had before.")
    return _changed(request, shop, "shop.restore", text)


def _confirm_page(context: ShopResource, request: Request, form: SubmittedForm[Any]) -> ConfirmPage:
    removal = gettext(SHOPS[context.row.provider].removal)
    return ConfirmPage(**shop_head(context, request), form=form, removal=removal)


@view_config(
    context=ShopResource,
    name="delete",
    request_method="GET",
    renderer="shops/delete.jinja2",
    permission=Permission.CAMPAIGN_APPROVE,
)
def show_delete(context: ShopResource, request: Request) -> ConfirmPage:
    """Ask whether a shop is disconnected, and what stays in it."""
    return _confirm_page(context, request, empty_form())


@form_view(
    DeleteShopForm,
    _confirm_page,
    context=ShopResource,
    name="delete",
    renderer="shops/delete.jinja2",
    permission=Permission.CAMPAIGN_APPROVE,
    requires_recent_auth=True,
)
def delete(context: ShopResource, request: Request, form: DeleteShopForm) -> Response | ConfirmPage:
    """Disconnect a shop. Images that are in it can then not be restored."""
    shop = _lock(context, request)
    counts = count_products(request.db, shop)
    if counts.own and form.leave != "yes":
        request.response.status = 422
        message = gettext("Restore the images first, or confirm that they stay in the shop")
        return _confirm_page(context, request, SubmittedForm(None, {"leave": message}, {}))
    delete_shop(request.db, shop)
    _audit(request, shop, "shop.delete", images_left=counts.own)
    text = gettext("Disconnected the shop “%(name)s”.", name=shop.name)
    add_notice(request, text)
    return HTTPSeeOther(campaign_path(request, context.campaign, "shops"))


def _lock(context: ShopResource, request: Request) -> Shop:
    shop = lock_shop(request.db, context.row.workspace_id, context.row.id)
    if shop is None:
        raise HTTPUnprocessableEntity(gettext("This shop was disconnected. Open the list of shops again"))
    return shop


def _changed(request: Request, shop: Shop, action: str, text: str, *, undo: str = "") -> Response:
    """Enqueue a job, record what was done, say it, and return to the page of the shop."""
    enqueue_sync(request.db, shop)
    _audit(request, shop, action)
    add_notice(request, text, undo=shop_path(request, shop, undo) if undo else "")
    return HTTPSeeOther(shop_path(request, shop))


def _audit(request: Request, shop: Shop, action: str, **details: Any) -> None:
    request.audit(action, shop.name, campaign=str(shop.campaign_id), shop=str(shop.id), **details)

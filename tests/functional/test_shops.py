"""The pages of shops, without scripts; the shops are on loopback."""

import dataclasses
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import select, update
from webtest import TestApp

from cwz_web.accounts.models import LoginSession
from cwz_web.accounts.sessions import AUTHENTICATION_LIFETIME
from cwz_web.feeds.providers.plugins import SourceRegistry
from cwz_web.shops.models import Shop, ShopProduct
from cwz_web.shops.sync import SyncServices, sync_shop
from cwz_web.web.services import Services
from cwz_web.workspaces.models import AuditEntry, Role
from tests.factories import Factory, sign_in
from tests.shop_servers import FakeShopifyShop
from tests.unit.campaigns.test_publications import Setting

PRODUCTS = {str(number): [f"front-{number}", f"back-{number}"] for number in range(1, 5)}


class Browser:
    """A browser of a member, with a campaign that has a public publication."""

    def __init__(self, app: TestApp, make: Factory, server: FakeShopifyShop, role: Role = Role.ADMIN) -> None:
        self.app, self.make, self.server = app, make, server
        self.setting = Setting(make, is_active=True)
        self.space = self.setting.space
        self.setting.settle()
        sign_in(app, make.member(self.space, role))
        self.url = f"/w/{self.space.slug}/campaigns/{self.setting.campaign.id}/shops"

    def publish(self) -> None:
        self.setting.publish(self.setting.publications()[0])

    def form(self, page: Any, action: str = "") -> Any:
        """Return the form of a page that posts to a path, or the one without a path of its own."""
        return next(form for form in page.forms.values() if (form.action or "").endswith(action) == bool(action))

    def connect(self) -> Any:
        form = next(f for f in self.app.get(f"{self.url}/new?provider=shopify").forms.values() if "token" in f.fields)
        form["shop"], form["token"], form["name"] = "mugs", self.server.token, "Our shop"
        return form.submit(status=303).follow()

    def shop(self) -> Shop:
        with self.make.database.transaction(self.space.id) as db:
            return db.scalars(select(Shop)).one()

    def page(self, *segments: str) -> Any:
        return self.app.get("/".join([self.url, str(self.shop().id), *segments]))

    def press(self, name: str) -> Any:
        """Press the button of a form of the page of the shop."""
        return self.form(self.page(), f"/{name}").submit(status=303).follow()

    def sync(self) -> None:
        services = self.make.services
        own = SyncServices(
            services.database, services.feed_sources, services.ring, services.signed_urls, lambda _: None
        )
        sync_shop(own, self.space.id, self.shop().id)

    @property
    def actions(self) -> list[str]:
        with self.make.database.transaction(self.space.id) as db:
            entries = db.scalars(select(AuditEntry.action).order_by(AuditEntry.number))
            return [each for each in entries if each.startswith("shop.")]


@pytest.fixture
def server() -> Iterator[FakeShopifyShop]:
    with FakeShopifyShop(PRODUCTS).running() as running:
        running.polls = 0
        yield running


@pytest.fixture
def browser(
    services: Services,
    server: FakeShopifyShop,
    app_with: Callable[[Services], TestApp],
    monkeypatch: pytest.MonkeyPatch,
) -> Browser:
    monkeypatch.setattr("cwz_web.shops.sync.FIRST_POLL", 0)
    registry = SourceRegistry({"shopify": {"endpoint": server.url}}, allow=[server.host])
    changed = dataclasses.replace(services, feed_sources=registry)
    return Browser(app_with(changed), Factory(changed), server)


def texts(page: Any, selector: str) -> str:
    return " ".join(" ".join(found.text.split()) for found in page.html.select(selector))


def test_shop_is_connected_turned_on_and_restored(browser: Browser) -> None:
    server = browser.server
    assert "No shops yet" in browser.app.get(browser.url).text
    settings = browser.connect()
    assert "before you turn it on" in settings.text
    form = browser.form(settings, "/settings")
    assert form["product_column"].value == "sku"
    form["alt_column"], form["condition"] = "title", 'brand == "Acme"'
    assert "Nothing of the campaign is public yet" in form.submit(status=303).follow().text
    assert server.names("1") == PRODUCTS["1"]
    browser.publish()
    browser.sync()
    planned = texts(browser.page(), "#shop-status")
    assert "images added: 2, replaced: 0, removed: 0" in planned
    assert not [number for number in PRODUCTS if server.ours(number)], "nothing before it is turned on"
    assert "/restore" not in browser.page().text
    assert "hx-get" in browser.press("enable").text, "the page looks again"
    browser.sync()
    done = browser.page()
    assert "2 of 2 products show their image" in texts(done, "#shop-status")
    assert "hx-get" not in done.html.find(id="shop-status").attrs
    assert [number for number in PRODUCTS if server.ours(number)] == ["1", "3"]
    assert server.products["1"][0]["alt"] == "Red"
    assert texts(browser.app.get(browser.url), "tbody tr").startswith("Our shop Shopify Up to date 2 2")
    asked = browser.page("restore")
    assert "Restore 2 products?" in asked.text
    browser.form(asked, "/restore").submit(status=303)
    browser.sync()
    assert all(server.names(number) == PRODUCTS[number] for number in PRODUCTS)
    page = browser.page()
    assert texts(page, "#shop-status .badge") == "Off"
    assert browser.actions == ["shop.connect", "shop.change", "shop.enable", "shop.restore"]


def test_products_are_listed_by_state(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    browser.connect()
    del browser.server.products["3"]
    browser.publish()
    browser.press("enable")
    browser.sync()
    assert "The shop has no such product" in texts(browser.page(), "#shop-status .finding-groups")
    every = browser.page("products")
    assert [row.th.text for row in every.html.select("tbody tr")] == ["1", "2", "3", "4"]
    assert len(every.html.select("tbody img")) == 4
    missing = every.click("Failed")
    assert texts(missing, "tbody tr") == "3 3 Failed The shop has no such product"
    assert "No products." in every.click("To be removed").text
    monkeypatch.setattr("cwz_web.views.shop.PAGE_SIZE", 2)
    second = browser.page("products").click("Next page")
    assert [row.th.text for row in second.html.select("tbody tr")] == ["3", "4"]
    browser.app.get(f"{every.request.path}?state=no", status=422)
    browser.app.get(f"{every.request.path}?after=%C3%A4", status=422)


def test_turned_off_shop_keeps_its_images(browser: Browser) -> None:
    browser.connect()
    browser.publish()
    browser.press("enable")
    browser.sync()
    before = {number: browser.server.names(number) for number in PRODUCTS}
    browser.press("pause")
    browser.sync()
    assert {number: browser.server.names(number) for number in PRODUCTS} == before
    assert "4 products keep the images that were put into them" in texts(browser.page(), "#shop-status")
    browser.press("enable")
    browser.server.merchant_removes("2", browser.server.ours("2")[0])
    browser.press("check")
    browser.sync()
    assert len(browser.server.ours("2")) == 1


def test_errors_name_the_field_and_hide_the_secret(browser: Browser) -> None:
    form = next(f for f in browser.app.get(f"{browser.url}/new?provider=shopify").forms.values() if "token" in f.fields)
    form["shop"], form["token"] = "mugs", "shpat_wrong"
    refused = form.submit(status=422)
    assert "rejects this access token" in refused.html.find(id="token-error").text
    assert "shpat_wrong" not in refused.text
    form["token"] = browser.server.token
    browser.server.scopes = ["read_products"]
    assert "write_products" in form.submit(status=422).html.find(id="token-error").text
    form["shop"] = "evil.com/.myshopify.com"
    assert form.submit(status=422).html.find(id="shop-error")
    assert not browser.make.count(Shop, browser.space.id)
    assert browser.app.get(f"{browser.url}/new?provider=no", status=303).location.endswith("/shops")
    browser.server.scopes = ["write_products", "write_files"]
    settings = browser.form(browser.connect(), "/settings")
    settings["condition"] = "no_such > 1"
    assert "no column “no_such”" in settings.submit(status=422).html.find(id="condition-error").text
    settings["condition"], settings["name"] = "", ""
    assert settings.submit(status=422).html.find(id="name-error")


def test_saved_credentials_are_sent_to_no_other_shop(browser: Browser) -> None:
    browser.connect()
    sent = len(browser.server.sent)
    page = browser.page("connection")
    assert browser.server.token not in page.text
    form = next(f for f in page.forms.values() if "token" in f.fields)
    form["shop"] = "others"
    refused = form.submit(status=422)
    assert "enter this again" in refused.html.find(id="token-error").text
    assert len(browser.server.sent) == sent, "no request was sent"
    form["token"] = browser.server.token
    form.submit(status=303)
    assert browser.shop().settings["shop"] == "others"
    browser.publish()
    browser.press("enable")
    browser.sync()
    form = next(f for f in browser.page("connection").forms.values() if "token" in f.fields)
    form["shop"], form["token"] = "mugs", browser.server.token
    assert "Restore its images first" in form.submit(status=422).html.find(id="shop-error").text
    assert browser.shop().settings["shop"] == "others"


def test_disconnecting_says_what_stays(browser: Browser) -> None:
    browser.connect()
    browser.publish()
    browser.press("enable")
    browser.sync()
    page = browser.page("delete")
    assert "4 products have images of this campaign" in page.text
    form = browser.form(page, "/delete")
    assert "confirm that they stay" in form.submit(status=422).text
    form["leave"] = True
    listed = form.submit(status=303).follow()
    assert "Disconnected the shop" in listed.text
    assert all(len(browser.server.ours(number)) == 1 for number in PRODUCTS)
    with browser.make.database.transaction(browser.space.id) as db:
        assert not db.scalars(select(ShopProduct)).all()
    assert browser.actions[-1] == "shop.delete"


def test_users_can_operate_a_shop_but_not_see_its_credentials(browser: Browser) -> None:
    browser.connect()
    browser.publish()
    sign_in(browser.app, browser.make.member(browser.space, Role.USER))
    listed = browser.app.get(browser.url)
    assert "Connect Shopify" not in listed.text
    assert "Change connection" not in browser.page().text
    browser.press("enable")
    browser.sync()
    assert len(browser.server.ours("1")) == 1
    browser.app.get(f"{browser.url}/{browser.shop().id}/connection", status=403)
    browser.app.get(f"{browser.url}/new?provider=shopify", status=403)
    sign_in(browser.app, browser.make.member(browser.space, Role.SUPPORT))
    page = browser.page()
    assert not [form for form in page.forms.values() if "/shops/" in (form.action or "")]


def test_connecting_and_disconnecting_need_a_fresh_proof(browser: Browser) -> None:
    browser.connect()
    page = browser.page("delete")
    with browser.make.database.transaction() as db:
        db.execute(update(LoginSession).values(authenticated_at=datetime.now(UTC) - AUTHENTICATION_LIFETIME))
    assert "/account/prove" in browser.form(page, "/delete").submit(status=303).location
    assert "/account/prove" in browser.app.get(f"{browser.url}/new?provider=shopify", status=303).location
    assert browser.make.count(Shop, browser.space.id) == 1


def test_shop_of_another_campaign_is_not_found(browser: Browser) -> None:
    browser.connect()
    other = browser.make.campaign(browser.make.feed(browser.space), browser.make.template(browser.space))
    path = f"/w/{browser.space.slug}/campaigns/{other.id}/shops/{browser.shop().id}"
    browser.app.get(path, status=404)


def test_restore_without_images_needs_no_shop(browser: Browser) -> None:
    browser.connect()
    browser.publish()
    browser.sync()
    browser.server.token = "shpat_revoked"
    form = browser.form(browser.page("restore"), "/restore")
    form.submit(status=303)
    assert not browser.shop().is_restoring

"""Sources of a provider: the form, the jobs that fetch them, changes, secrets, and the API, with a shop on loopback."""

import base64
import dataclasses
import hmac
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import Mock

import pytest
from pydantic import SecretStr
from sqlalchemy import text, update
from webtest import TestApp

from cwz_web.cli.keys import rotate_keys
from cwz_web.feeds.fetch_job import fetch_feed
from cwz_web.feeds.models import Feed, FeedImport, FeedSource, Item
from cwz_web.feeds.providers.plugins import SourceRegistry
from cwz_web.feeds.providers.shopify import ShopifyProvider
from cwz_web.feeds.sources import decrypt_secret
from cwz_web.generation.api_keys import Scope
from cwz_web.net.client import FetchError
from cwz_web.web.services import Services
from tests.factories import Factory
from tests.functional.test_feeds import FeedUser
from tests.jobs import run_feed_jobs
from tests.sftp_server import HOST, FakeSftp
from tests.source_servers import FakeDownloads, FakeShopify, Reply, shopify_product, shopify_variant

CANARY = "planted-canary"
NEWER_KEY = "ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8"  # 32 bytes


class ShopUser(FeedUser):
    """A user whose installation knows a shop on loopback as mugs.myshopify.com."""

    def __init__(self, app: TestApp, make: Factory, shop: FakeShopify) -> None:
        super().__init__(app, make)
        self.shop = shop

    def connect_form(self) -> Any:
        form = self.form_with(f"{self.feeds}/connect-source?provider=shopify", "shop")
        form["shop"], form["token"] = "mugs.myshopify.com", self.shop.token
        return form

    def connect(self) -> Any:
        """Connect the shop and import its rows. Returns the page of the feed."""
        page = self.connect_form().submit("do", value="save").follow()
        return self.run_jobs(self.save_columns(page).follow())

    def fetch(self, page: Any) -> Any:
        return self.run_jobs(self.form(page.request.path, "/fetch").submit().follow())

    def change_form(self, page: Any) -> Any:
        return next(form for form in self.source(page).forms.values() if "shop" in form.fields)

    def one(self, model: Any) -> Any:
        with self.make.database.transaction(self.space.id) as db:
            return db.query(model).order_by(*model.__table__.primary_key.columns).all()[-1]

    def rows(self) -> dict[str, dict[str, str]]:
        with self.make.database.transaction(self.space.id) as db:
            return {item.data["sku"]: item.data for item in db.query(Item)}


@pytest.fixture
def shop() -> Iterator[FakeShopify]:
    products = [shopify_product(number) for number in range(1, 4)]
    with FakeDownloads().running() as downloads, FakeShopify(downloads, products).running() as server:
        server.polls = 0
        yield server


@pytest.fixture
def user(
    services: Services, shop: FakeShopify, app_with: Callable[[Services], TestApp], monkeypatch: pytest.MonkeyPatch
) -> ShopUser:
    operator = {"shopify": {"endpoint": shop.url, "download_host": shop.downloads.host}}
    allow = [shop.host, shop.downloads.host]
    changed = dataclasses.replace(services, feed_sources=SourceRegistry(operator, allow=allow))
    return ShopUser(app_with(changed), Factory(changed), shop)


def test_sources_are_chosen_where_a_feed_is_added(user: ShopUser) -> None:
    page = user.app.get(user.feeds).click("Add feed", index=0)
    assert page.html.find("h1").text == "Add a feed"
    form = page.click("Shopify").forms
    assert any("token" in each.fields for each in form.values())
    assert page.click(href="/feeds/connect$").html.find(id="url")
    assert user.app.get(f"{user.feeds}/connect-source?provider=no", status=303).location.endswith("/feeds/new")


def test_test_and_connect_a_shop(user: ShopUser) -> None:
    form = user.connect_form()
    tested = form.submit("do", value="test")
    assert "MUG-10" in tested.text or "Mug 1" in tested.text
    assert user.make.count(Feed, user.space.id) == 0
    page = user.connect()
    assert page.html.find("h1").text == "Shopify"
    assert set(user.rows()) == {"MUG-10", "MUG-11", "MUG-20", "MUG-21", "MUG-30", "MUG-31"}
    source = user.one(FeedSource)
    assert (source.provider, source.url, source.cron) == ("shopify", "https://mugs.myshopify.com", "0 6 * * *")
    assert source.settings == {"shop": "mugs", "client_id": "", "products": "active", "countries": ""}
    assert user.actions == ["feed.connect", "feed.columns"]
    tab = user.app.get(f"{page.request.path}/source")
    assert "https://mugs.myshopify.com" in tab.text
    for seen in (tested, page, tab, user.app.get(user.feeds), user.source(page)):
        assert CANARY not in seen.text


def test_errors_name_the_field(user: ShopUser) -> None:
    form = user.connect_form()
    form["token"] = "shpat_wrong"
    refused = form.submit("do", value="save", status=422)
    assert "rejects this access token" in refused.html.find(id="token-error").text
    assert refused.html.find(id="shop")["value"] == "mugs.myshopify.com"
    assert "shpat_wrong" not in refused.text
    form["shop"] = "evil.com/.myshopify.com"
    assert "name of the shop" in form.submit("do", value="save", status=422).html.find(id="shop-error").text
    form["shop"], form["token"] = "mugs", ""
    assert form.submit("do", value="save", status=422).html.find(id="token-error")
    form["token"] = user.shop.token
    user.shop.queued = [Reply({}, 404)]
    assert "no shop with this name" in form.submit("do", value="save", status=422).html.find(id="shop-error").text
    user.shop.products = []
    assert "has no rows" in form.submit("do", value="save", status=422).html.find(id="shop-error").text
    assert user.make.count(Feed, user.space.id) == 0


def test_unknown_provider_is_an_error(user: ShopUser) -> None:
    form = user.connect_form()
    form["provider"].force_value("no_such")
    form.submit("do", value="save", status=422)


def test_only_changes_are_fetched_and_merged(user: ShopUser) -> None:
    page = user.connect()
    first, second, third = user.shop.products
    first["variants"] = [shopify_variant(10, price="15.00")]  # one variant less
    first["updatedAt"] = "2999-01-01T00:00:00Z"
    user.shop.products = [first, second, shopify_product(4, updatedAt="2999-01-01T00:00:00Z")]  # the third is gone
    user.fetch(page)
    assert "updated_at:>='" in user.shop.queries[-1]
    rows = user.rows()
    assert rows["MUG-10"]["price"] == "15.00 EUR"
    assert "MUG-11" not in rows
    assert {"MUG-20", "MUG-30", "MUG-31", "MUG-40", "MUG-41"} <= rows.keys(), "what was deleted is not known yet"
    user.fetch(page)
    assert user.one(FeedImport).state == "unchanged"
    with user.make.database.transaction(user.space.id) as db:
        db.execute(update(FeedSource).values(complete_at=datetime.now(UTC) - timedelta(hours=25)))
    user.fetch(page)
    assert "updated_at" not in user.shop.queries[-1]
    assert "MUG-30" not in user.rows()
    assert "MUG-20" in user.rows()
    assert (third["id"], user.one(FeedImport).removed) == ("gid://shopify/Product/3", 2)


def test_call_of_the_shop_fetches_what_has_changed(user: ShopUser) -> None:
    page = user.connect()
    form = user.form_with(f"{page.request.path}/webhook", "secret")
    form["secret"] = secret = "the-secret-of-the-shop"
    form.submit("do", value="on", status=303)
    user.shop.products.append(shopify_product(4, updatedAt="2999-01-01T00:00:00Z"))
    body = b'{"id": 4}'
    signature = base64.b64encode(hmac.digest(secret.encode(), body, "sha256")).decode()
    path = f"/hooks/feeds/{user.space.id}/{page.request.path.rpartition('/')[2]}"
    for _ in range(3):
        user.app.post(path, body, headers={"X-Shopify-Hmac-SHA256": signature}, status=200)
    requests = len(user.shop.sent)
    user.run_jobs(page)
    assert len(user.shop.sent) == requests, "the first call waits for more"
    with user.make.database.transaction() as db:
        db.execute(text("UPDATE procrastinate_jobs SET scheduled_at = now() WHERE task_name = 'feeds.fetch_changes'"))
    user.run_jobs(page)
    assert "updated_at:>='" in user.shop.queries[-1]
    assert {"MUG-40", "MUG-10"} <= user.rows().keys()
    changing = user.change_form(page)
    changing["shop"], changing["token"] = "other", user.shop.token
    changing.submit("do", value="save", status=303)
    user.app.post(path, body, headers={"X-Shopify-Hmac-SHA256": signature}, status=401)


def test_all_rows_are_fetched_after_a_file_of_another_origin(user: ShopUser) -> None:
    page = user.connect()
    user.import_newer(page, b"id,sku,title\n10,MUG-10,Mine\n11,MUG-11,b\n20,MUG-20,c\n21,MUG-21,d\n30,MUG-30,e\n")
    user.fetch(page)
    assert "updated_at" not in user.shop.queries[-1]


def test_failures_are_shown_without_the_secret(user: ShopUser) -> None:
    page = user.connect()
    user.shop.token = "shpat_rotated"
    page = user.fetch(page)
    tab = user.app.get(f"{page.request.path}/source")
    assert "rejects this access token" in tab.text
    record, source = user.one(FeedImport), user.one(FeedSource)
    assert (record.state, source.failures, source.changes_since) == ("failed", 1, None)
    for shown in (tab.text, record.error_message, source.error_message):
        assert CANARY not in shown
    form = user.change_form(page)
    form["token"] = "shpat_rotated"
    user.run_jobs(form.submit("do", value="save").follow())
    assert user.one(FeedSource).failures == 0
    assert user.actions[-1] == "feed.source"


def test_unexpected_error_is_a_failure_without_its_text(user: ShopUser, monkeypatch: pytest.MonkeyPatch) -> None:
    page = user.connect()
    monkeypatch.setattr(ShopifyProvider, "fetch", Mock(side_effect=ValueError(CANARY)))
    page = user.fetch(page)
    tab = user.app.get(f"{page.request.path}/source")
    record, source = user.one(FeedImport), user.one(FeedSource)
    assert (record.state, source.failures) == ("failed", 1)
    for shown in (tab.text, record.error_message, source.error_message):
        assert "because of an internal error" in shown
        assert CANARY not in shown


def test_unexpected_error_of_a_connection_test_is_shown(user: ShopUser, monkeypatch: pytest.MonkeyPatch) -> None:
    form = user.change_form(user.connect())
    monkeypatch.setattr(ShopifyProvider, "fetch", Mock(side_effect=ValueError(CANARY)))
    page = form.submit("do", value="test", status=422)
    assert "because of an internal error" in page.text
    assert CANARY not in page.text


def test_change_of_settings_keeps_the_secret_for_the_same_host(user: ShopUser, services: Services) -> None:
    page = user.connect()
    form = user.change_form(page)
    form["products"] = "all"
    assert "columns found" in form.submit("do", value="test").text
    user.run_jobs(form.submit("do", value="save").follow())
    source = user.one(FeedSource)
    assert source.settings["products"] == "all"
    assert CANARY in decrypt_secret(services.ring, source)


def test_forms_of_a_url_do_not_change_a_source_of_a_provider(user: ShopUser) -> None:
    page = user.connect()
    before = user.one(FeedSource)
    user.app.get(f"{page.request.path}/url", status=404)
    form = user.form_with(f"{page.request.path}/schedule", "frequency")
    assert "secret" not in form.fields
    form["frequency"] = "hour"
    form.submit(status=303)
    after = user.one(FeedSource)
    assert (after.cron, after.encrypted_secret) == ("H * * * *", before.encrypted_secret)
    for chosen, is_listed in {"service": True, "url": False}.items():
        listed = user.app.get(f"{user.feeds}?source={chosen}").html.find(id="list")
        assert (page.request.path in str(listed)) == is_listed


def test_another_shop_needs_the_secret_again(
    services: Services, shop: FakeShopify, app_with: Callable[[Services], TestApp], user: ShopUser
) -> None:
    page = user.connect()
    requests = len(shop.sent)
    # Without the operator's endpoint, the host is made of the shop's name.
    plain = dataclasses.replace(services, feed_sources=SourceRegistry())
    app = app_with(plain)
    app.cookiejar = user.app.cookiejar
    form = next(f for f in app.get(f"{page.request.path}/connection").forms.values() if "shop" in f.fields)
    assert form["shop"].value == "mugs"
    form["shop"] = "other"
    refused = form.submit("do", value="save", status=422)
    assert "This would be sent to another shop or host" in refused.html.find(id="token-error").text
    assert len(shop.sent) == requests
    assert user.one(FeedSource).settings["shop"] == "mugs"


def test_secret_is_bound_to_its_feed_and_provider(user: ShopUser, services: Services) -> None:
    user.connect()
    source = user.one(FeedSource)
    assert CANARY.encode() not in source.encrypted_secret
    assert CANARY in decrypt_secret(services.ring, source)
    for name, value in {
        "provider": "woocommerce",
        "feed_id": source.workspace_id,
        "workspace_id": source.feed_id,
    }.items():
        copied = {column.name: getattr(source, column.name) for column in FeedSource.__table__.columns}
        with pytest.raises(FetchError, match="cannot be decrypted"):
            decrypt_secret(services.ring, FeedSource(**(copied | {name: value})))


def test_key_rotation_covers_the_secrets(user: ShopUser, services: Services) -> None:
    user.connect()
    before = user.one(FeedSource).encrypted_secret
    keys = f"{NEWER_KEY},{services.settings.secrets.encryption_keys.get_secret_value()}"
    secrets = services.settings.secrets.model_copy(update={"encryption_keys": SecretStr(keys)})
    rotated = services.settings.model_copy(update={"secrets": secrets})
    assert rotate_keys(rotated) == 0
    source = user.one(FeedSource)
    assert source.encrypted_secret != before
    assert rotated.secrets.key_ring.is_newest(source.encrypted_secret)
    assert CANARY in decrypt_secret(rotated.secrets.key_ring, source)


def test_missing_plugin_is_reported(user: ShopUser, services: Services) -> None:
    page = user.connect()
    source = user.one(FeedSource)
    context = dataclasses.replace(user.make.fetch_context, sources=SourceRegistry(blocked=["shopify"]))
    fetch_feed(context, user.space.id, source.feed_id, may_wait=True)
    assert "The feed source shopify is not installed" in user.app.get(f"{page.request.path}/source").text


def test_schedule_fetches_once(user: ShopUser) -> None:
    user.connect()
    with user.make.database.transaction(user.space.id) as db:
        db.execute(update(FeedSource).values(next_at=datetime.now(UTC) - timedelta(minutes=1)))
    source, context = user.one(FeedSource), user.make.fetch_context
    for _ in range(2):  # the job of the schedule may run twice before the shop has answered
        fetch_feed(context, user.space.id, source.feed_id)
    query = "SELECT count(*) FROM procrastinate_jobs WHERE task_name = 'feeds.fetch_provider' AND status = 'todo'"
    with user.make.database.transaction() as db:
        count = db.scalar(text(query))
    assert count == 1
    run_feed_jobs(user.make.services)
    assert user.one(FeedSource).next_at > datetime.now(UTC)


def test_host_key_of_an_sftp_server_is_confirmed(
    services: Services, app_with: Callable[[Services], TestApp], make: Factory
) -> None:
    """The first test says which key the server has; another key later is refused until it is confirmed as well."""
    with FakeSftp("ssh-ed25519").running() as server:
        server.files["/export.csv"] = b"sku,title\n1,Mug\n2,Lamp\n"
        sources = SourceRegistry({"sftp": {"endpoint": server.host}}, allow=[server.host])
        changed = dataclasses.replace(services, feed_sources=sources)
        user = FeedUser(app_with(changed), Factory(changed))

        def fill(form: Any, fingerprint: str) -> Any:
            form["host"], form["username"], form["path"] = HOST, server.username, "/export.csv"
            form["fingerprint"], form["password"] = fingerprint, server.password
            return form

        path = f"{user.feeds}/connect-source?provider=sftp"
        refused = fill(user.form_with(path, "fingerprint"), "").submit("do", value="save", status=422)
        assert server.fingerprint in refused.html.find(id="fingerprint-error").text
        assert (server.logins, user.make.count(Feed, user.space.id)) == ([], 0)
        form = fill(user.form_with(path, "fingerprint"), server.fingerprint)
        page = user.run_jobs(user.save_columns(form.submit("do", value="save").follow()).follow())
        tab = user.app.get(f"{page.request.path}/source")
        assert f"sftp://{HOST}/export.csv" in tab.text
        changing = user.form_with(f"{page.request.path}/connection", "fingerprint")
        other = FakeSftp().fingerprint
        changing["fingerprint"] = other
        refused = changing.submit("do", value="save", status=422)
        assert "enter it again" in refused.html.find(id="password-error").text
        refused = fill(changing, other).submit("do", value="save", status=422)
        assert "may be intercepted" in refused.html.find(id="fingerprint-error").text
        for seen in (refused, tab, page):
            assert CANARY not in seen.text


class TestApi:
    """`POST /v1/feeds` with a source."""

    @pytest.fixture
    def headers(self, user: ShopUser) -> dict[str, str]:
        return {"Authorization": f"Bearer {user.make.key(user.space, Scope.READ, Scope.FEEDS_WRITE)}"}

    def test_create(self, user: ShopUser, headers: dict[str, str]) -> None:
        source = {
            "provider": "shopify",
            "settings": {"shop": "mugs"},
            "credentials": {"token": user.shop.token},
            "schedule": "H * * * *",
            "time_zone": "Europe/Berlin",
        }
        created = user.app.post_json("/v1/feeds", {"name": "Mugs", "source": source}, headers=headers, status=201)
        assert CANARY not in created.text
        run_feed_jobs(user.make.services)
        listed = user.app.get(f"/v1/feeds/{created.json['id']}", headers=headers).json
        assert (listed["items"], listed["key"]) == (6, ["id"])
        saved = user.one(FeedSource)
        assert (saved.cron, saved.time_zone, saved.next_at is not None) == ("H * * * *", "Europe/Berlin", True)
        again = user.app.post(f"/v1/feeds/{created.json['id']}/imports", headers=headers, status=202)
        assert again.json["file_name"] == "mugs.myshopify.com"

    @pytest.mark.parametrize(
        ("source", "field"),
        [
            ({"provider": "magento"}, "source.provider"),
            ({"provider": "shopify", "credentials": {"token": CANARY}}, "source.settings.shop"),
            ({"provider": "shopify", "settings": {"shop": "mugs"}}, "source.credentials.token"),
            (
                {"provider": "shopify", "settings": {"shop": "a@evil.com"}, "credentials": {"token": CANARY}},
                "source.settings.shop",
            ),
            (
                {"provider": "shopify", "settings": {"shop": "mugs", "x": "1"}, "credentials": {"token": CANARY}},
                "source.settings.x",
            ),
            (
                {"provider": "shopify", "settings": {"shop": "mugs"}, "credentials": {"token": CANARY * 90}},
                "source.credentials.token",
            ),
            ({"provider": "shopify", "schedule": "* * * * *"}, "source.schedule"),
            ({"provider": "shopify", "time_zone": "Mars"}, "source.time_zone"),
        ],
    )
    def test_invalid(self, user: ShopUser, headers: dict[str, str], source: dict[str, Any], field: str) -> None:
        problem = user.app.post_json("/v1/feeds", {"name": "Mugs", "source": source}, headers=headers, status=422)
        assert field in problem.json["errors"]
        assert CANARY not in problem.text
        assert user.make.count(Feed, user.space.id) == 0

"""Images of a campaign in a shop: put into it, replaced, removed and restored, with shops on loopback."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import select, text, update

from cwz_web.campaigns.models import Campaign
from cwz_web.campaigns.publications import list_publications, roll_back
from cwz_web.campaigns.rules import Window
from cwz_web.cli.keys import SECRET_TABLES
from cwz_web.crypto import KeyRing, parse_keys
from cwz_web.feeds.models import Feed
from cwz_web.feeds.providers.plugins import SourceRegistry
from cwz_web.jobs import DEFAULT_QUEUE, SHOPS_QUEUE
from cwz_web.shops import planning, sync
from cwz_web.shops.changes import INTENT_AGE
from cwz_web.shops.editing import (
    ShopSettings,
    check_again,
    create_shop,
    delete_shop,
    enable_shop,
    pause_shop,
    start_restore,
)
from cwz_web.shops.models import Position, Shop, ShopProduct
from cwz_web.shops.products import ProductState, count_products, list_problems, list_products, state_of
from cwz_web.shops.providers import SHOPS, decrypt_credentials, reencrypt_credentials
from cwz_web.shops.sync import SyncServices, sync_shop
from tests.factories import Factory
from tests.functional.test_feed_providers import NEWER_KEY
from tests.jobs import run_jobs
from tests.shop_servers import FakeImages, FakeShopifyShop, FakeWooCommerceShop, LimitedShopifyShop
from tests.source_servers import Reply
from tests.unit.campaigns.test_publications import ROWS, Setting

PRODUCTS = {str(number): [f"front-{number}", f"back-{number}"] for number in range(1, 5)}


class ShopUser:
    """A campaign with a public publication, and a shop."""

    def __init__(self, make: Factory, server: Any, setting: Setting | None = None, **entered: Any) -> None:
        self.make, self.server = make, server
        self.setting = setting or Setting(make, is_active=True)
        self.space = self.setting.space
        self.setting.settle()
        self.provider = SHOPS["shopify" if isinstance(server, FakeShopifyShop) else "woocommerce"]
        operator = {name: {"endpoint": server.url} for name in ("shopify", "woocommerce")}
        registry = SourceRegistry(operator, allow=[server.host])
        wait = getattr(server, "wait", lambda seconds: None)
        services = make.services
        self.services = SyncServices(services.database, registry, services.ring, services.signed_urls, wait)
        self.shop = self.create(**entered)

    @property
    def secrets(self) -> dict[str, str]:
        if self.provider.name == "shopify":
            return {"token": self.server.token}
        return {"consumer_key": self.server.key, "consumer_secret": self.server.secret}

    def create(self, **entered: Any) -> Shop:
        values = {"shop": "mugs"} if self.provider.name == "shopify" else {"site": "https://shop.example"}
        settings = self.provider.settings_model.model_validate(values)
        with self.make.database.transaction(self.space.id) as db:
            campaign = db.get_one(Campaign, (self.space.id, self.setting.campaign.id))
            given = ShopSettings(**{"name": "Shop", "product_column": "sku", "alt_column": "title", **entered})
            return create_shop(db, self.services.ring, campaign, self.provider, settings, self.secrets, given)

    def publish(self, number: int = 0) -> None:
        self.setting.publish(self.setting.publications()[number])

    def act(self, action: Callable[..., None], *, with_session: bool = False) -> None:
        with self.make.database.transaction(self.space.id) as db:
            shop = db.get_one(Shop, (self.space.id, self.shop.id))
            action(db, shop) if with_session else action(shop)

    def sync(self) -> bool:
        return sync_shop(self.services, self.space.id, self.shop.id)

    def start(self) -> None:
        """Publish, enable the shop, and put the images into it."""
        self.publish()
        self.act(enable_shop)
        assert self.sync()

    def restore(self) -> None:
        self.act(start_restore, with_session=True)
        self.sync()

    def saved(self) -> Shop:
        found: Shop = self.make.reload(self.shop)
        return found

    def products(self) -> dict[str, ShopProduct]:
        with self.make.database.transaction(self.space.id) as db:
            return {each.product_id: each for each in db.scalars(select(ShopProduct))}

    def counts(self) -> Any:
        with self.make.database.transaction(self.space.id) as db:
            return count_products(db, self.saved())

    def problems(self) -> list[tuple[str, str, int]]:
        with self.make.database.transaction(self.space.id) as db:
            return [(each.problem, each.code, each.products) for each in list_problems(db, self.saved())]

    def make_due(self, age: timedelta = timedelta(0)) -> None:
        """Let the time until the next visits pass."""
        with self.make.database.transaction(self.space.id) as db:
            db.execute(update(ShopProduct).values(next_at=datetime.now(UTC)).where(ShopProduct.next_at.is_not(None)))
            for product in db.scalars(select(ShopProduct).where(ShopProduct.intent.is_not(None))):
                at = datetime.fromisoformat(str((product.intent or {})["at"])) - age
                product.intent = {**(product.intent or {}), "at": at.isoformat()}


@pytest.fixture(autouse=True)
def _no_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sync, "FIRST_POLL", 0)


@pytest.fixture(params=["shopify", "woocommerce"])
def server(request: pytest.FixtureRequest) -> Iterator[Any]:
    kind: Any = FakeShopifyShop if request.param == "shopify" else FakeWooCommerceShop
    with kind(PRODUCTS).running() as running:
        yield running


@pytest.fixture
def shopify() -> Iterator[FakeShopifyShop]:
    with FakeShopifyShop(PRODUCTS).running() as running:
        yield running


@pytest.fixture
def woocommerce() -> Iterator[FakeWooCommerceShop]:
    with FakeWooCommerceShop(PRODUCTS).running() as running:
        yield running


def assert_only_merchants(server: FakeImages) -> None:
    for number in PRODUCTS:
        assert server.names(number) == PRODUCTS[number]


def test_images_are_planned_then_added_first_and_removed_by_restore(make: Factory, server: Any) -> None:
    user = ShopUser(make, server)
    user.sync()
    assert not user.products(), "nothing is public"
    user.publish()
    assert user.sync()
    assert_only_merchants(server)
    assert (user.counts().added, user.counts().own) == (4, 0)
    with make.database.transaction(user.space.id) as db:
        listed = list_products(db, user.saved(), ProductState.ADDED)
        assert [(each.row_key, state_of(each)) for each in listed] == [(key, ProductState.ADDED) for key in "1234"]
    user.act(enable_shop)
    assert user.sync()
    for number in PRODUCTS:
        assert server.names(number)[0].startswith("*")
        assert server.names(number)[1:] == PRODUCTS[number]
    assert [image["alt"] for image in server.products["1"]] == ["Red", "front-1", "back-1"]
    assert user.counts().is_complete
    shop = user.saved()
    assert (shop.error_message, shop.synced_at is not None) == (None, True)
    assert shop.report == {
        "rows": 4,
        "products": 4,
        "without_image": 0,
        "without_product": 0,
        "without_product_keys": [],
        "unclear": 0,
        "unclear_keys": [],
    }
    sent = len(server.sent)
    assert user.sync()
    assert len(server.sent) - sent <= 2, "only the credentials are checked"
    user.restore()
    assert_only_merchants(server)
    shop = user.saved()
    assert (shop.is_enabled, shop.is_restoring, user.products()) == (False, False, {})
    user.sync()
    assert_only_merchants(server)


def test_publications_replace_images_and_windows_end(make: Factory, server: Any) -> None:
    now = datetime.now(UTC)
    window = Window(begin=now + timedelta(hours=1), end=now + timedelta(hours=2))
    user = ShopUser(make, server, Setting(make, window=window, is_active=True), position=Position.LAST)
    end, begin, current = user.setting.publications()
    user.setting.publish(current)
    user.act(enable_shop)
    user.sync()
    before = {number: server.names(number) for number in PRODUCTS}
    assert before["1"][:2] == PRODUCTS["1"]
    user.setting.publish(begin)
    user.sync()
    changed = {number for number in PRODUCTS if server.names(number) != before[number]}
    assert changed == {"1", "3"}
    assert all(len(server.ours(number)) == 1 for number in PRODUCTS)
    user.setting.publish(end)
    user.sync()
    assert {number: server.names(number) for number in PRODUCTS} == before
    assert user.counts().is_complete


def test_rows_that_leave_lose_their_image_and_get_it_back(make: Factory, shopify: FakeShopifyShop) -> None:
    user = ShopUser(make, shopify)
    user.start()
    user.setting.import_rows(ROWS.replace(b"4,Gray,Other,40\n", b"").replace(b"Red", b"Rose"))
    user.setting.settle()
    user.publish()
    user.sync()
    assert shopify.names("4") == PRODUCTS["4"]
    assert shopify.products["1"][0]["alt"] == "Rose"
    assert len(shopify.ours("1")) == 1
    assert "4" not in user.products()
    with make.database.transaction(user.space.id) as db:
        campaign = db.get_one(Campaign, (user.space.id, user.setting.campaign.id))
        roll_back(db, campaign, list_publications(db, campaign)[1])
    user.sync()
    assert len(shopify.ours("4")) == 1


def test_only_chosen_rows_and_the_first_row_of_a_product_count(make: Factory, shopify: FakeShopifyShop) -> None:
    user = ShopUser(make, shopify, condition='brand == "Acme"')
    user.start()
    assert [number for number in PRODUCTS if shopify.ours(number)] == ["1", "3"]
    other = user.create(product_column="price")
    with make.database.transaction(user.space.id) as db:
        enable_shop(db.get_one(Shop, (user.space.id, other.id)))
    sync_shop(user.services, user.space.id, other.id)
    with make.database.transaction(user.space.id) as db:
        [found] = list_problems(db, make.reload(other))
    assert (found.problem, found.products, found.first[0]) == ("missing", 4, ("10", "1"))


def test_merchants_changes_stay_and_images_removed_by_hand_come_back_on_request(make: Factory, server: Any) -> None:
    user = ShopUser(make, server)
    user.start()
    server.merchant_removes("1", server.ours("1")[0])
    server.merchant_removes("2", "back-2")
    server.merchant_adds("2", "side-2", 1)
    server.merchant_moves("3", "back-3", 0)
    user.sync()
    assert server.names("1") == PRODUCTS["1"], "nothing has changed for the product"
    user.act(check_again, with_session=True)
    user.sync()
    assert len(server.ours("1")) == 1
    user.restore()
    assert [server.names(number) for number in "123"] == [PRODUCTS["1"], ["side-2", "front-2"], PRODUCTS["3"]]


def test_merchant_changes_images_while_they_are_written(make: Factory, shopify: FakeShopifyShop) -> None:
    user = ShopUser(make, shopify)
    changed = set()

    def change(product_id: str) -> None:
        if product_id and product_id not in changed:
            changed.add(product_id)
            shopify.merchant_removes(product_id, f"back-{product_id}")
            shopify.merchant_adds(product_id, f"new-{product_id}", 0)

    shopify.before_change = change
    user.start()
    for number in PRODUCTS:
        assert len(shopify.ours(number)) == 1
        assert shopify.merchants(number) == [f"new-{number}", f"front-{number}"]
    user.restore()
    assert shopify.names("1") == ["new-1", "front-1"]
    assert all(name.startswith("*") for name in shopify.deleted)


def test_deleted_attachment_is_read_again(make: Factory, woocommerce: FakeWooCommerceShop) -> None:
    user = ShopUser(make, woocommerce)
    done = []

    def delete_attachment(product_id: str) -> None:
        if not done:
            done.append(woocommerce.library.pop(woocommerce.products[product_id][1]["id"]))

    woocommerce.before_change = delete_attachment
    user.start()
    assert woocommerce.products["1"][0]["name"].startswith("*")
    assert len([each for each in woocommerce.products["1"] if each["id"] in woocommerce.library]) == 2
    user.restore()
    assert any(each["name"].startswith("*") for each in woocommerce.library.values()), "the library keeps them"


@pytest.mark.parametrize("is_applied", [True, False])
def test_killed_worker_adds_nothing_twice(make: Factory, server: Any, is_applied: bool) -> None:
    user = ShopUser(make, server)
    user.publish()
    user.act(enable_shop)

    def kill(product_id: str) -> None:
        raise ConnectionAbortedError  # the connection is closed without an answer

    setattr(server, "after_change" if is_applied else "before_change", kill)
    assert not user.sync()
    assert user.saved().error_message
    server.after_change = server.before_change = None
    count = sum(len(server.ours(number)) for number in PRODUCTS)
    assert count == is_applied
    user.make_due()
    user.sync()
    if not is_applied:
        assert not server.ours("1"), "the request could still be at work"
    user.make_due(INTENT_AGE)
    user.sync()
    assert [len(server.ours(number)) for number in PRODUCTS] == [1, 1, 1, 1]
    assert user.counts().is_complete
    user.restore()
    assert_only_merchants(server)


def test_worker_process_is_killed_while_the_shop_works(make: Factory, shopify: FakeShopifyShop) -> None:
    user = ShopUser(make, shopify)
    user.publish()
    user.act(enable_shop)
    reached, ended = threading.Event(), threading.Event()

    def hold(_: str) -> None:
        reached.set()
        ended.wait(20)

    shopify.after_change = hold
    make.database.dispose()
    child = os.fork()
    if child == 0:
        try:
            make.database.engine.dispose(close=False)
            user.sync()
        finally:
            os._exit(0)
    assert reached.wait(20)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    shopify.after_change = None
    ended.set()
    user.sync()
    assert [len(shopify.ours(number)) for number in PRODUCTS] == [1, 1, 1, 1]
    assert shopify.mutations.count("productUpdate") == 4


def test_refused_images_are_found_and_tried_again(make: Factory, server: Any) -> None:
    user = ShopUser(make, server)
    user.publish()
    user.sync()
    product = user.products()["2"]
    assert product.wanted
    server.refused = {f"{product.wanted['id']}.jpg"}
    user.act(enable_shop)
    user.sync()
    code = "IMAGE_DOWNLOAD_FAILURE" if isinstance(server, FakeShopifyShop) else "UPLOAD_ERROR"
    assert user.problems() == [("refused", code, 1)]
    assert [len(server.ours(number)) for number in PRODUCTS] == [1, 0, 1, 1]
    assert server.names("2") == PRODUCTS["2"]
    assert user.saved().error_message is None
    first = user.products()["2"].next_at
    user.sync()
    assert user.products()["2"].next_at == first, "not before its time"
    server.refused = set()
    user.make_due()
    user.sync()
    assert user.counts().is_complete
    assert not user.problems()


def test_missing_products_are_found(make: Factory, server: Any) -> None:
    user = ShopUser(make, server)
    del server.products["3"]
    user.start()
    assert user.problems() == [("missing", "", 1)]
    assert (user.counts().shown, user.counts().wanted) == (3, 4)
    user.restore()
    assert not user.products()


def test_limits_of_the_shop_are_waited_for(make: Factory) -> None:
    with LimitedShopifyShop(PRODUCTS).running() as shop:
        shop.available = shop.maximum = 30.0
        shop.polls = 3
        user = ShopUser(make, shop)
        user.start()
        assert shop.throttled > 5
        assert [len(shop.ours(number)) for number in PRODUCTS] == [1, 1, 1, 1]
        assert shop.mutations.count("productUpdate") == 4
        assert user.saved().failures == 0


def test_shop_that_limits_for_too_long_delays_and_loses_nothing(
    make: Factory, shopify: FakeShopifyShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = ShopUser(make, shopify)
    user.publish()
    user.act(enable_shop)
    shopify.queued = [Reply(b"", 429, {"Retry-After": "3600"})] * 40
    monkeypatch.setattr(sync, "JOB_SECONDS", 0.2)
    monkeypatch.setattr(sync, "LAST_SECONDS", 0.1)
    user.sync()
    shop = user.saved()
    assert "limits the request rate" in shop.error_message
    assert (shop.failures, shop.retry_at is not None) == (1, True)
    monkeypatch.undo()
    monkeypatch.setattr(sync, "FIRST_POLL", 0)
    shopify.queued = []
    assert user.sync()
    assert user.counts().is_complete
    assert user.saved().error_message is None


def test_job_ends_in_time_and_another_one_continues(
    make: Factory, shopify: FakeShopifyShop, monkeypatch: pytest.MonkeyPatch, app_url: str
) -> None:
    user = ShopUser(make, shopify)
    user.publish()
    user.act(enable_shop)
    monkeypatch.setattr(sync, "JOB_SECONDS", 0.0)
    assert not user.sync()
    assert_only_merchants(shopify)
    monkeypatch.setattr(sync, "JOB_SECONDS", 300.0)
    services = user.services
    context: dict[str, Any] = {
        "database": services.database,
        "feed_sources": services.registry,
        "ring": services.ring,
        "signed_urls": services.signed_urls,
    }
    run_jobs(app_url, [DEFAULT_QUEUE, SHOPS_QUEUE], context)
    assert user.counts().is_complete


def find_due(make: Factory) -> list[Any]:
    with make.database.transaction() as db:
        return list(db.execute(text("SELECT shop_id FROM find_due_shops()")).scalars())


def test_publishing_enqueues_and_due_shops_are_found(make: Factory, shopify: FakeShopifyShop) -> None:
    user = ShopUser(make, shopify)

    def due() -> list[Any]:
        return find_due(make)

    user.publish()
    with make.database.transaction() as db:
        tasks = list(db.execute(text("SELECT task_name FROM procrastinate_jobs")).scalars())
    assert tasks.count("shops.sync_campaign") == 1
    assert user.sync()
    assert not due()
    user.act(enable_shop)
    assert due() == [user.shop.id]
    shopify.scopes = ["read_products"]
    user.sync()
    assert not due(), "not before its time"
    with make.database.transaction(user.space.id) as db:
        db.execute(update(Shop).values(retry_at=datetime.now(UTC)))
    assert due() == [user.shop.id]
    shopify.scopes = ["write_products", "write_files"]
    user.sync()
    assert not due()


@pytest.mark.parametrize("failure", ["scope", "credentials", "down", "garbage"])
def test_errors_say_what_to_do_and_repeat_nothing(make: Factory, server: Any, failure: str) -> None:
    user = ShopUser(make, server)
    user.publish()
    user.act(enable_shop)
    messages = {
        "scope": "may not change",
        "credentials": "rejects",
        "down": "internal error",
        "garbage": "is not the expected one",
    }
    if failure == "scope":
        server.scopes, server.can_write = ["read_products", "write_files"], False
    elif failure == "credentials":
        server.token, server.key = "shpat_other", "ck_other"
    else:
        server.queued = [Reply(b"<p>planted-canary", 503 if failure == "down" else 200)] * 20
    assert not user.sync()
    shop = user.saved()
    assert messages[failure] in shop.error_message
    assert "canary" not in shop.error_message
    assert_only_merchants(server)


def test_later_attempts_and_pauses_end_a_job(make: Factory, shopify: FakeShopifyShop) -> None:
    user = ShopUser(make, shopify)
    user.publish()
    user.act(enable_shop)
    shopify.after_change = lambda _: user.act(pause_shop)
    assert not user.sync()
    shopify.after_change = None
    assert sum(len(shopify.ours(number)) for number in PRODUCTS) == 1
    assert user.sync()
    assert sum(len(shopify.ours(number)) for number in PRODUCTS) == 1
    user.act(enable_shop)
    user.sync()
    assert [len(shopify.ours(number)) for number in PRODUCTS] == [1, 1, 1, 1]


def test_plan_of_an_earlier_attempt_writes_nothing_more(
    make: Factory, shopify: FakeShopifyShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = ShopUser(make, shopify)
    user.publish()
    user.act(enable_shop)
    monkeypatch.setattr(planning, "BATCH", 1)
    former, batches = planning.plan_products, []

    def supersede(*args: Any) -> Iterator[planning.PlannedProduct]:
        for product in former(*args):
            batches.append(product)
            if len(batches) == 3:  # two were written
                user.act(begin_attempt)
            yield product

    def begin_attempt(shop: Shop) -> None:
        shop.attempt += 1

    monkeypatch.setattr(planning, "plan_products", supersede)
    assert not user.sync()
    assert len(batches) == 3, "the job ends"
    assert sorted(user.products()) == ["1", "2"]
    assert (user.saved().version, user.saved().report) == (None, None)
    assert_only_merchants(shopify)


def test_plan_of_an_earlier_attempt_does_not_begin(make: Factory, shopify: FakeShopifyShop) -> None:
    user = ShopUser(make, shopify)
    user.publish()
    before = user.saved()
    services, key = user.services, (user.space.id, user.shop.id)
    outdated = before.attempt - 1
    assert not planning.write_plan(services.database, services.signed_urls, user.provider, *key, outdated)
    assert user.saved().plan == before.plan
    assert not user.products()
    assert planning.write_plan(services.database, services.signed_urls, user.provider, *key, before.attempt)
    assert len(user.products()) == 4


def test_conditions_of_the_day_are_planned_again_on_the_next_one(
    make: Factory, shopify: FakeShopifyShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = ShopUser(make, shopify)
    other.start()
    assert other.saved().replan_at is None
    user = ShopUser(make, shopify, condition='days_until(date("2020-02-01")) > 30')
    zone = ZoneInfo("America/New_York")
    with make.database.transaction(user.space.id) as db:
        db.get_one(Campaign, (user.space.id, user.setting.campaign.id)).time_zone = zone.key

    def set_today(day: date) -> None:
        monkeypatch.setattr("cwz_web.channels.delivery.today_in", lambda given: day if given == zone else None)

    set_today(date(2020, 1, 1))
    user.start()
    assert user.counts().shown == 4
    assert user.saved().replan_at == datetime(2020, 1, 2, tzinfo=zone)
    assert find_due(make) == [user.shop.id]
    user.sync()
    assert user.counts().shown == 4, "the day is the same one"
    set_today(date(2020, 1, 2))
    user.sync()
    assert not user.products()
    assert user.saved().replan_at == datetime(2020, 1, 3, tzinfo=zone)
    with make.database.transaction(user.space.id) as db:
        db.execute(update(Shop).values(replan_at=datetime.now(UTC) + timedelta(hours=1)))
    assert not find_due(make), "not before its time"
    user.act(pause_shop)
    with make.database.transaction(user.space.id) as db:
        db.execute(update(Shop).values(replan_at=datetime.now(UTC)))
    assert not find_due(make), "nothing is put into it"


def test_shops_without_anything_public_are_not_due(make: Factory, shopify: FakeShopifyShop) -> None:
    user = ShopUser(make, shopify)
    user.start()
    second = user.create()
    now = datetime.now(UTC)
    with make.database.transaction(user.space.id) as db:
        for shop_id, age in ((user.shop.id, 1), (second.id, 2)):
            db.execute(update(Shop).where(Shop.id == shop_id).values(retry_at=now - timedelta(minutes=age)))
    assert find_due(make) == [second.id, user.shop.id], "the longest due first"

    def delete_feed(at: datetime | None) -> None:
        with make.database.transaction(user.space.id) as db:
            db.get_one(Feed, (user.space.id, user.setting.feed.id)).deleted_at = at

    delete_feed(now)
    assert not find_due(make)
    user.act(start_restore, with_session=True)
    assert find_due(make) == [user.shop.id], "restoring goes on"
    delete_feed(None)
    assert find_due(make) == [second.id, user.shop.id]
    with make.database.transaction(user.space.id) as db:
        db.get_one(Campaign, (user.space.id, user.setting.campaign.id)).public_id = None
    assert find_due(make) == [user.shop.id]


def test_images_in_processing_are_no_failures(make: Factory, shopify: FakeShopifyShop) -> None:
    user = ShopUser(make, shopify)
    user.publish()
    user.sync()
    product = user.products()["2"]
    assert product.wanted
    shopify.refused, shopify.polls = {f"{product.wanted['id']}.jpg"}, 6
    user.act(enable_shop)
    user.sync()
    assert user.problems() == [("refused", "IMAGE_DOWNLOAD_FAILURE", 1)]
    product = user.products()["2"]
    assert product.next_at
    assert product.failures == 1
    assert product.next_at < datetime.now(UTC) + timedelta(seconds=sync.FIRST_RETRY)


def test_each_job_waits_for_images_in_processing_as_the_first_one(
    make: Factory, shopify: FakeShopifyShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sync, "FIRST_POLL", 20)  # so that a job does not wait for it
    user = ShopUser(make, shopify)
    shopify.polls = 100
    user.start()
    for _ in range(2):
        user.make_due()
        assert user.sync()
        latest = datetime.now(UTC) + timedelta(seconds=20)
        for product in user.products().values():
            assert product.next_at
            assert (product.failures, product.shown, product.next_at < latest) == (0, None, True)


def test_more_products_than_the_limit_stop_the_shop(
    make: Factory, shopify: FakeShopifyShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cwz_web.shops.planning.MAX_PRODUCTS", 2)
    user = ShopUser(make, shopify)
    user.publish()
    user.act(enable_shop)
    user.sync()
    shop = user.saved()
    assert "more than" in shop.error_message
    assert shop.retry_at is None
    assert_only_merchants(shopify)


def test_column_that_is_gone_stops_the_shop(make: Factory, shopify: FakeShopifyShop) -> None:
    user = ShopUser(make, shopify, condition='title != ""')
    with make.database.transaction(user.space.id) as db:
        db.get_one(Shop, (user.space.id, user.shop.id)).condition = 'vendor == "x"'
    user.publish()
    user.sync()
    assert "no column “vendor”" in user.saved().error_message


def test_other_workspaces_see_nothing(make: Factory, shopify: FakeShopifyShop) -> None:
    user = ShopUser(make, shopify)
    user.start()
    other = make.workspace()
    with make.database.transaction(other.id) as db:
        assert db.get(Shop, (user.space.id, user.shop.id)) is None
        assert not list(db.scalars(select(ShopProduct)))
        assert not db.execute(text("UPDATE shop_products SET alt = 'x' RETURNING alt")).all()
    assert not sync_shop(user.services, other.id, user.shop.id)


def test_credentials_are_bound_to_the_shop_and_rotated(make: Factory, shopify: FakeShopifyShop) -> None:
    user = ShopUser(make, shopify)
    second = user.create()
    with make.database.transaction(user.space.id) as db:
        copied = db.get_one(Shop, (user.space.id, second.id))
        copied.encrypted_credentials = user.shop.encrypted_credentials
    assert not sync_shop(user.services, user.space.id, second.id)
    user.publish()
    with make.database.transaction(user.space.id) as db:
        enable_shop(db.get_one(Shop, (user.space.id, second.id)))
    sync_shop(user.services, user.space.id, second.id)
    assert "enter them again" in make.reload(second).error_message
    with make.database.transaction(user.space.id) as db:
        shop = db.get_one(Shop, (user.space.id, user.shop.id))
        newer = KeyRing(
            [*parse_keys(NEWER_KEY), *parse_keys(make.services.settings.secrets.encryption_keys.get_secret_value())]
        )
        assert reencrypt_credentials(newer, shop)
        assert not reencrypt_credentials(newer, shop)
        assert decrypt_credentials(newer, shop, user.provider).model_dump()["token"].get_secret_value()
    with make.database.transaction() as db:
        found = db.execute(text(next(table.query for table in SECRET_TABLES if table.model is Shop))).all()
    assert {tuple(row) for row in found} == {(user.space.id, user.shop.id), (user.space.id, second.id)}


def test_deleted_shop_leaves_the_images(make: Factory, shopify: FakeShopifyShop) -> None:
    user = ShopUser(make, shopify)
    user.start()
    user.act(delete_shop, with_session=True)
    assert not user.products()
    assert [len(shopify.ours(number)) for number in PRODUCTS] == [1, 1, 1, 1]
    assert not user.sync()


def test_restore_finishes_though_the_campaign_was_deleted(make: Factory, shopify: FakeShopifyShop) -> None:
    user = ShopUser(make, shopify)
    user.start()
    user.act(start_restore, with_session=True)
    with make.database.transaction(user.space.id) as db:
        db.get_one(Campaign, (user.space.id, user.setting.campaign.id)).deleted_at = datetime.now(UTC)
    assert user.sync()
    assert_only_merchants(shopify)

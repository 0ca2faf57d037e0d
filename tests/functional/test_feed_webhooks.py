"""Webhooks of shops: their calls, the fetches that they enqueue, and the page that sets them up."""

import base64
import dataclasses
import hmac
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select, text, update
from webtest import TestApp

from cwz_web.accounts.models import LoginSession
from cwz_web.accounts.sessions import AUTHENTICATION_LIFETIME
from cwz_web.feeds.change_webhooks import BURST, COMPLETE_INTERVAL, fetch_changes
from cwz_web.feeds.models import Feed, FeedSource
from cwz_web.feeds.schedules import MIN_INTERVAL
from cwz_web.feeds.sources import decrypt_webhook_secret, reencrypt_source, set_webhook_secret
from cwz_web.web.rate_limits import LIMITS, RateLimiter
from cwz_web.web.services import Services
from cwz_web.workspaces.models import AuditEntry, Role
from tests.factories import Factory, sign_in

SECRET = "planted-canary-of-the-shop"
BODY = b'{"id": 1, "title": "Mug"}'
SIGNATURES = {"woocommerce": "X-WC-Webhook-Signature", "shopify": "X-Shopify-Hmac-SHA256"}
DELETIONS = {
    "woocommerce": {"X-WC-Webhook-Topic": "product.deleted"},
    "shopify": {"X-Shopify-Topic": "products/delete"},
}
SETTINGS = {"woocommerce": {"site": "https://mugs.example"}, "shopify": {"shop": "mugs"}}


def sign(body: bytes = BODY, secret: str = SECRET) -> str:
    return base64.b64encode(hmac.digest(secret.encode(), body, "sha256")).decode()


class Shop:
    """A feed of a shop whose calls are accepted."""

    def __init__(self, app: TestApp, make: Factory, provider: str = "woocommerce", *, is_on: bool = True) -> None:
        self.app, self.make, self.provider = app, make, provider
        self.space = make.workspace()
        self.feed = make.feed(self.space)
        make.source(
            self.feed, "https://mugs.example", provider=provider, settings=SETTINGS[provider], encrypted_secret=b"x"
        )
        if is_on:
            self.change(lambda source: set_webhook_secret(make.services.ring, source, SECRET))
        self.path = f"/hooks/feeds/{self.space.id}/{self.feed.id}"

    def change(self, change: Callable[[FeedSource], Any]) -> None:
        with self.make.database.transaction(self.space.id) as db:
            change(db.get_one(FeedSource, (self.space.id, self.feed.id)))

    @property
    def source(self) -> FeedSource:
        with self.make.database.transaction(self.space.id) as db:
            return db.get_one(FeedSource, (self.space.id, self.feed.id))

    def call(self, body: bytes = BODY, status: int = 200, signature: str | None = None, **headers: str) -> Any:
        sent = {SIGNATURES[self.provider]: sign(body) if signature is None else signature, **headers}
        return self.app.post(self.path, body, headers=sent, content_type="application/json", status=status)

    def jobs(self, task: str = "feeds.fetch_changes") -> list[Any]:
        """The queued jobs: whether all rows are fetched, and the seconds until they start."""
        query = text(
            "SELECT args, scheduled_at FROM procrastinate_jobs"
            " WHERE task_name = :task AND status = 'todo' AND args ->> 'feed_id' = :feed ORDER BY id"
        )
        with self.make.database.transaction() as db:
            rows = db.execute(query, {"task": task, "feed": str(self.feed.id)}).all()
        now = datetime.now(UTC)
        return [(row.args.get("is_complete"), ((row.scheduled_at or now) - now).total_seconds()) for row in rows]


@pytest.fixture(params=["woocommerce", "shopify"])
def shop(request: pytest.FixtureRequest, app: TestApp, make: Factory) -> Shop:
    return Shop(app, make, request.param)


class TestCalls:
    def test_signed_call_enqueues_one_fetch(self, shop: Shop) -> None:
        for _ in range(3):  # the same call again is harmless
            assert shop.call().body == b""
        ((is_complete, seconds),) = shop.jobs()
        assert (is_complete, seconds <= BURST.total_seconds()) == (0, True)
        assert shop.source.webhook_called_at is not None
        assert shop.make.count(AuditEntry, shop.space.id) == 0

    def test_payload_is_not_imported(self, shop: Shop) -> None:
        shop.call(b"not even JSON \xff\x00")
        assert len(shop.jobs()) == 1

    def test_deletion_fetches_all_rows_once_an_hour(self, shop: Shop) -> None:
        complete_at = datetime.now(UTC) - timedelta(minutes=20)
        shop.change(lambda source: setattr(source, "complete_at", complete_at))
        shop.call(**DELETIONS[shop.provider])
        shop.call(**DELETIONS[shop.provider])
        ((is_complete, seconds),) = shop.jobs()
        assert is_complete == 1
        assert seconds == pytest.approx((COMPLETE_INTERVAL - timedelta(minutes=20)).total_seconds(), abs=5)
        shop.call()
        assert [is_complete for is_complete, _ in shop.jobs()] == [1, 0]

    def test_least_time_between_fetches(self, shop: Shop) -> None:
        shop.change(lambda source: setattr(source, "fetched_at", datetime.now(UTC)))
        shop.call()
        ((_, seconds),) = shop.jobs()
        assert seconds == pytest.approx(MIN_INTERVAL.total_seconds(), abs=5)

    @pytest.mark.parametrize(("failures", "minutes"), [(1, 5), (3, 20), (100, 1440)])
    def test_source_that_fails_is_retried_ever_more_rarely(
        self, app: TestApp, make: Factory, failures: int, minutes: int
    ) -> None:
        shop = Shop(app, make)
        shop.change(lambda source: setattr(source, "failures", failures))
        shop.call()
        ((_, seconds),) = shop.jobs()
        assert seconds == pytest.approx(minutes * 60, abs=5)

    @pytest.mark.parametrize(
        "signature",
        [
            "",
            "x",
            "é",
            sign(secret="other"),
            sign(b"other body"),
            sign().rstrip("="),
            sign(secret=""),
            sign(secret="-"),
        ],
    )
    def test_wrong_signature(self, shop: Shop, signature: str) -> None:
        answer = shop.call(status=401, signature=signature.encode().decode("latin-1"))
        assert answer.json["code"] == "invalid_signature"
        assert shop.jobs() == []
        assert shop.source.webhook_called_at is None

    def test_header_of_another_shop_is_no_signature(self, shop: Shop) -> None:
        other = next(header for name, header in SIGNATURES.items() if name != shop.provider)
        shop.app.post(shop.path, BODY, headers={other: sign()}, status=401)

    def test_unknown_feeds_are_answered_like_wrong_signatures(self, shop: Shop) -> None:
        expected = shop.call(status=401, signature="x")
        unknown = Shop(shop.app, shop.make, shop.provider)
        unknown.path = f"/hooks/feeds/{unknown.space.id}/{uuid.uuid4()}"
        foreign = Shop(shop.app, shop.make, shop.provider)
        foreign.path = f"/hooks/feeds/{unknown.space.id}/{foreign.feed.id}"
        off = Shop(shop.app, shop.make, shop.provider, is_on=False)
        deleted = Shop(shop.app, shop.make, shop.provider)
        with shop.make.database.transaction(deleted.space.id) as db:
            db.execute(update(Feed).values(deleted_at=datetime.now(UTC)))
        other = Shop(shop.app, shop.make, shop.provider)
        other.change(lambda source: setattr(source, "provider", "airtable"))
        for each in (unknown, foreign, off, deleted, other):
            answer = each.call(status=401)
            assert answer.json | {"request_id": ""} == expected.json | {"request_id": ""}
            assert sorted(answer.headers) == sorted(expected.headers)
            assert each.jobs() == []

    @pytest.mark.parametrize("path", ["/hooks/feeds", "/hooks/feeds/x/y", "/hooks/feeds/{0}", "/hooks/feeds/{0}/{0}/x"])
    def test_other_paths(self, app: TestApp, path: str) -> None:
        app.post(path.format(uuid.uuid4()), BODY, status=404)

    def test_get_is_not_allowed(self, shop: Shop) -> None:
        shop.app.get(shop.path, status=(404, 405))

    def test_ping_of_a_new_url_is_answered_whatever_the_url(self, shop: Shop) -> None:
        for path in (shop.path, f"/hooks/feeds/{uuid.uuid4()}/{uuid.uuid4()}"):
            shop.app.post(path, b"webhook_id=12", status=200)
            shop.app.post(path, b"webhook_id=12&x=1", status=401)
        assert shop.jobs() == []
        assert shop.source.webhook_called_at is None

    def test_too_large_body(self, shop: Shop) -> None:
        shop.call(b"x" * (1024 * 1024 + 1), status=413)
        assert shop.jobs() == []
        shop.call(b"x" * (1024 * 1024))
        assert len(shop.jobs()) == 1

    @pytest.mark.parametrize("topic", ["orders/create", "product.deleted products/delete", ""])
    def test_other_topics_fetch_changes_only(self, shop: Shop, topic: str) -> None:
        shop.call(**dict.fromkeys(DELETIONS[shop.provider], topic))
        assert [is_complete for is_complete, _ in shop.jobs()] == [0]

    def test_paused_feed_is_not_fetched(self, shop: Shop) -> None:
        shop.change(lambda source: setattr(source, "paused_at", datetime.now(UTC)))
        shop.call()
        assert shop.jobs() == []
        assert shop.source.webhook_called_at is not None

    def test_call_does_not_wait_for_a_fetch_that_is_stored(self, shop: Shop) -> None:
        with shop.make.database.transaction(shop.space.id) as db:
            db.get_one(FeedSource, (shop.space.id, shop.feed.id), with_for_update=True)
            shop.call()
        assert shop.source.webhook_called_at is None
        assert len(shop.jobs()) == 1

    def test_only_unsigned_calls_are_limited(self, services: Services, app_with: Callable[[Services], TestApp]) -> None:
        limits = {f"feed-webhook.{scope}": "2 per hour" for scope in LIMITS["feed-webhook"]}
        limited = dataclasses.replace(services, limiter=RateLimiter("memory://", limits))
        shop = Shop(app_with(limited), Factory(limited))
        for _ in range(5):
            shop.call()
        shop.call(status=401, signature="x")
        shop.call(status=401, signature="x")
        shop.call(status=429, signature="x")


class TestFetch:
    """The job that a call enqueues."""

    def test_fetch_of_changes_and_of_all_rows(self, shop: Shop) -> None:
        complete_at = datetime.now(UTC)
        shop.change(lambda source: setattr(source, "complete_at", complete_at))
        context = shop.make.fetch_context
        fetch_changes(context, shop.space.id, shop.feed.id, is_complete=False)
        assert shop.source.complete_at == complete_at
        fetch_changes(context, shop.space.id, shop.feed.id, is_complete=True)
        assert shop.source.complete_at is None
        assert len(shop.jobs("feeds.fetch_provider")) == 1

    @pytest.mark.parametrize(
        "change",
        [
            lambda source: setattr(source, "paused_at", datetime.now(UTC)),
            lambda source: setattr(source, "encrypted_webhook_secret", None),
        ],
    )
    def test_changed_meanwhile(self, shop: Shop, change: Callable[[FeedSource], None]) -> None:
        shop.change(change)
        fetch_changes(shop.make.fetch_context, shop.space.id, shop.feed.id, is_complete=True)
        assert shop.jobs("feeds.fetch_provider") == []

    def test_deleted_feed(self, shop: Shop) -> None:
        with shop.make.database.transaction(shop.space.id) as db:
            db.execute(update(Feed).values(deleted_at=datetime.now(UTC)))
        fetch_changes(shop.make.fetch_context, shop.space.id, shop.feed.id, is_complete=False)
        fetch_changes(shop.make.fetch_context, shop.space.id, uuid.uuid4(), is_complete=False)
        assert shop.jobs("feeds.fetch_provider") == []


class TestPage:
    @contextmanager
    def signed_in(self, shop: Shop, role: Role = Role.USER) -> Iterator[str]:
        sign_in(shop.app, shop.make.member(shop.space, role))
        yield f"/w/{shop.space.slug}/feeds/{shop.feed.id}"

    def form(self, app: TestApp, path: str) -> Any:
        return next(form for form in app.get(path).forms.values() if form.action.endswith("/webhook"))

    def test_secret_of_ours(self, app: TestApp, make: Factory) -> None:
        shop = Shop(app, make, is_on=False)
        with self.signed_in(shop) as path:
            assert app.get(f"{path}/source").click("Webhook").request.path == f"{path}/webhook"
            page = self.form(app, f"{path}/webhook").submit("do", value="on").follow()
            secret = decrypt_webhook_secret(make.services.ring, shop.source)
            assert len(secret) == 43
            assert secret in page.text
            assert f"{make.services.settings.url}{shop.path}" in page.text
            assert "Not called yet" in page.text
            app.post(shop.path, BODY, headers={SIGNATURES["woocommerce"]: sign(secret=secret)})
            assert "Last call" in app.get(f"{path}/webhook").text
            assert "The webhook was called" in app.get(f"{path}/source").text
            self.form(app, f"{path}/webhook").submit("do", value="on")
            assert decrypt_webhook_secret(make.services.ring, shop.source) != secret
            self.form(app, f"{path}/webhook").submit("do", value="off")
            assert shop.source.encrypted_webhook_secret is None
        with make.database.transaction(shop.space.id) as db:
            entries = db.scalars(select(AuditEntry).order_by(AuditEntry.number)).all()
        assert [(entry.action, entry.details["change"]) for entry in entries] == [
            ("feed.webhook", "on"),
            ("feed.webhook", "on"),
            ("feed.webhook", "off"),
        ]
        assert secret not in str([entry.details for entry in entries])

    def test_secret_of_the_shop(self, app: TestApp, make: Factory) -> None:
        shop = Shop(app, make, "shopify", is_on=False)
        with self.signed_in(shop) as path:
            for wrong in ("", "short"):
                form = self.form(app, f"{path}/webhook")
                form["secret"] = wrong
                assert form.submit("do", value="on", status=422).html.find(id="secret-error")
            form = self.form(app, f"{path}/webhook")
            form["secret"] = SECRET
            page = form.submit("do", value="on").follow()
            assert SECRET not in page.text
            assert page.html.find(id="secret").has_attr("required")
            assert page.html.find("button", value="off").has_attr("formnovalidate")
            shop.call()
            assert SECRET not in app.get(f"{path}/source").text

    def test_secret_is_shown_after_a_fresh_proof_only(self, app: TestApp, make: Factory) -> None:
        shop = Shop(app, make)
        with self.signed_in(shop) as path:
            assert SECRET in app.get(f"{path}/webhook").text
            with make.database.transaction() as db:
                db.execute(update(LoginSession).values(authenticated_at=datetime.now(UTC) - AUTHENTICATION_LIFETIME))
            page = app.get(f"{path}/webhook")
            assert SECRET not in page.text
            assert "Confirm your identity" in page.text
            answer = self.form(app, f"{path}/webhook").submit("do", value="on")
            assert "/account/prove" in answer.location
            assert decrypt_webhook_secret(make.services.ring, shop.source) == SECRET

    def test_readers_and_other_sources_have_no_page(self, app: TestApp, make: Factory) -> None:
        shop = Shop(app, make)
        with self.signed_in(shop, Role.SUPPORT) as path:
            app.get(f"{path}/webhook", status=403)
        other = Shop(app, make)
        other.change(lambda source: setattr(source, "provider", "airtable"))
        with self.signed_in(other) as path:
            app.get(f"{path}/webhook", status=404)
            assert "/webhook" not in app.get(f"{path}/source").text


def test_secret_is_bound_to_its_feed_and_rotated(shop: Shop, services: Services) -> None:
    source = shop.source
    assert source.encrypted_webhook_secret
    assert SECRET.encode() not in source.encrypted_webhook_secret
    source.encrypted_secret = None
    assert not reencrypt_source(services.ring, source)
    other = Shop(shop.app, shop.make, shop.provider).source
    other.encrypted_webhook_secret = source.encrypted_webhook_secret
    assert decrypt_webhook_secret(services.ring, other) == ""

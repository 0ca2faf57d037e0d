"""Bringing a shop up to date with the public publication, and restoring it.

A job plans (`planning.py`), and then visits the products that differ, one after the other. Each visit reads the images
of a product, records what it is going to do, does it, and reads them again. A job ends after some minutes, or when the
shop fails; another one continues where it stopped. So a worker that is killed at any point loses nothing, and adds
nothing twice: what was being added is recognized (`changes.py`).

Jobs of a workspace's shops run one after the other. As for channels, a job that lost its worker's heartbeat can still
run beside its successor: each begins an attempt, and looks for a later one before each change.
"""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import structlog
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from cwz_web.campaigns.models import Campaign
from cwz_web.crypto import KeyRing
from cwz_web.db.session import FOR_NO_KEY_UPDATE, Database
from cwz_web.feeds.providers.contract import (
    SourceCredentialsError,
    SourceError,
    SourcePermissionError,
    SourceThrottledError,
    SourceUnreachableError,
)
from cwz_web.feeds.providers.plugins import SourceRegistry
from cwz_web.generation.image_urls import ImageUrls
from cwz_web.generation.signed_urls import SignedUrls
from cwz_web.i18n import gettext_noop
from cwz_web.jobs import SHOPS_QUEUE, defer_once
from cwz_web.shops.changes import Step, StepKind, WantedImage, next_step
from cwz_web.shops.contract import ImageRefusedError, ListChangedError, ShopConnection, ShopImage, ShopProvider
from cwz_web.shops.editing import list_shops, lock_shop
from cwz_web.shops.models import Position, Problem, Shop, ShopProduct
from cwz_web.shops.planning import (
    MAX_PRODUCTS,
    TOO_MANY,
    InvalidShopConditionError,
    TooManyProductsError,
    find_target,
    write_plan,
)
from cwz_web.shops.providers import decrypt_credentials, load_settings, open_shop, provider_of
from cwz_web.storage.image_objects import find_digest

log = structlog.get_logger()

SYNC_TASK = "shops.sync"
# A job ends after this time, and leaves the rest to the next one. The shop's last answer may take longer.
JOB_SECONDS, LAST_SECONDS = 300.0, 60.0
BATCH = 50
# Steps of a product in one visit; more would mean that something else changes it all the time.
MAX_STEPS = 12
# Seconds until an image that is being processed is looked at again, twice as many each time, in each job.
FIRST_POLL, MAX_POLL = 5, 300
# Seconds until a product is read again to which an image may have been added, but is not there.
LOST_POLL = 45
# A job waits for images at most so long, and otherwise ends.
MAX_PAUSE = 15.0
# Seconds until a product that could not be changed is visited again, four times as many each time.
FIRST_RETRY, MAX_RETRY = 60, 86_400
# After so many products in a row that could not be changed, the job ends with an error.
MAX_FAILED = 10
MAX_SHOP_RETRY = 3600
MAX_ERROR = 500
MARKER_LENGTH = 32
UNEXPECTED = gettext_noop("Writing to the shop failed. It is tried again")


@dataclass(frozen=True)
class SyncServices:
    """What a job needs.

    Attributes:
        database: the database.
        registry: opens shops.
        ring: decrypts their credentials.
        signed_urls: sign the URLs of images.
        wait: waits for so many seconds.
    """

    database: Database
    registry: SourceRegistry
    ring: KeyRing
    signed_urls: SignedUrls
    wait: Callable[[float], None] = time.sleep


class _SupersededError(Exception):
    """A later attempt has begun: this job ends."""


class _ShopStoppedError(Exception):
    """Nothing can be written until people change something; the message says what."""


def enqueue_sync(db: Session, shop: Shop) -> None:
    """Enqueue a job that brings a shop up to date, in the caller's transaction."""
    defer_once(
        db,
        SYNC_TASK,
        queue=SHOPS_QUEUE,
        queueing_lock=f"shop {shop.id}",
        # One workspace does not keep the others waiting.
        lock=f"shops of {shop.workspace_id}",
        workspace_id=str(shop.workspace_id),
        shop_id=str(shop.id),
    )


def enqueue_syncs(db: Session, campaign: Campaign) -> None:
    """Enqueue jobs for all shops of a campaign, in the caller's transaction."""
    for shop in list_shops(db, campaign):
        if not shop.is_restoring:
            enqueue_sync(db, shop)


def sync_shop(services: SyncServices, workspace_id: UUID, shop_id: UUID) -> bool:
    """Bring a shop up to date, as far as it gets within some minutes. Return whether nothing is left to do now.

    What fails is recorded and tried again; an error that is no failure of the shop is raised as well.
    """
    job: _Job | None = None
    try:
        with services.database.transaction(workspace_id) as db:
            job = _begin(db, services, workspace_id, shop_id)
        return job is not None and job.run()
    except _SupersededError:
        return False
    except SourceThrottledError as error:
        return _record_error(services, job, workspace_id, shop_id, str(error), is_progress=bool(job and job.visited))
    except _ShopStoppedError as error:
        return _record_error(services, job, workspace_id, shop_id, str(error), is_final=True)
    except SourceError as error:
        return _record_error(services, job, workspace_id, shop_id, str(error))
    except Exception:
        _record_error(services, job, workspace_id, shop_id, UNEXPECTED)
        raise


def _begin(db: Session, services: SyncServices, workspace_id: UUID, shop_id: UUID) -> "_Job | None":
    shop = lock_shop(db, workspace_id, shop_id)
    if shop is None or (not shop.is_restoring and find_target(db, workspace_id, shop_id) is None):
        return None
    shop.attempt += 1
    return _Job(services, shop)


class _Job:
    """One job of a shop."""

    def __init__(self, services: SyncServices, shop: Shop) -> None:
        self._services, self._key = services, (shop.workspace_id, shop.id)
        self.attempt = shop.attempt
        self._is_enabled, self._is_restoring = shop.is_enabled, shop.is_restoring
        self._is_first = shop.position == Position.FIRST
        self._shop = shop
        self._until = time.monotonic() + JOB_SECONDS
        self.visited = self._failed = 0
        # How often an image was being processed; a wait is no failure of the product.
        self._polls: Counter[str] = Counter()

    def run(self) -> bool:
        """Plan, and visit products until none is due or the time is over. Return whether none is."""
        provider = provider_of(self._services.registry, self._shop)
        if not self._is_restoring and not self._plan(provider):
            return False
        if not self._is_enabled and not self._is_restoring:
            return self._finish(is_planned_only=True)
        services, settings = self._services, load_settings(self._shop, provider)
        credentials = decrypt_credentials(services.ring, self._shop, provider)
        seconds = JOB_SECONDS + LAST_SECONDS
        connection = open_shop(services.registry, provider, settings, credentials, seconds=seconds, wait=services.wait)
        connection.check()
        while time.monotonic() < self._until:
            due, pause = self._find_due()
            if not due and (pause is None or pause > min(MAX_PAUSE, self._until - time.monotonic())):
                return self._finish()
            if not due and pause is not None:
                self._services.wait(max(pause, 0.1))
            for product_id in due:
                if time.monotonic() >= self._until:
                    break
                self._visit(connection, product_id)
        self._continue()
        return False

    def _plan(self, provider: ShopProvider) -> bool:
        services = self._services
        try:
            return write_plan(services.database, services.signed_urls, provider, *self._key, self.attempt)
        except InvalidShopConditionError as error:
            raise _ShopStoppedError(str(error)) from error
        except TooManyProductsError as error:
            raise _ShopStoppedError(TOO_MANY % {"max": MAX_PRODUCTS}) from error

    def _find_due(self) -> tuple[list[str], float | None]:
        """Return products to visit; without any, in how many seconds there is one. None if there is none then."""
        with self._services.database.transaction(self._key[0]) as db:
            own = (ShopProduct.workspace_id == self._key[0], ShopProduct.shop_id == self._key[1])
            now = datetime.now(UTC)
            due = select(ShopProduct.product_id).where(*own, ShopProduct.next_at <= now)
            found = list(db.scalars(due.order_by(ShopProduct.next_at, ShopProduct.product_id).limit(BATCH)))
            next_at = None if found else db.scalar(select(func.min(ShopProduct.next_at)).where(*own))
        return found, (next_at - now).total_seconds() if next_at else None

    def _visit(self, connection: ShopConnection, product_id: str) -> None:
        """Bring one product up to date. What is about this product only is recorded with it."""
        try:
            self._take_steps(connection, product_id)
            self._failed = 0
        except (SourceCredentialsError, SourcePermissionError):
            raise
        except SourceUnreachableError:
            self._postpone(product_id)  # so that it is not the first one of each job
            raise
        except SourceError:
            self._failed += 1
            self._record_problem(product_id, Problem.FAILED, "")
            if self._failed >= MAX_FAILED:
                raise
        self.visited += 1

    def _take_steps(self, connection: ShopConnection, product_id: str) -> None:
        for _ in range(MAX_STEPS):
            images = connection.read(product_id)
            if images is None:
                self._record_missing(product_id)
                return
            step = self._next_step(product_id, images)
            if step is None:
                return
            try:
                connection.change(product_id, images, step.target)
            except ImageRefusedError as error:
                self._forget_intent(product_id)
                self._record_problem(product_id, Problem.REFUSED, error.code)
                return
            except ListChangedError:
                self._forget_intent(product_id)
                continue
            if step.refused:
                return
        self._postpone(product_id)

    def _next_step(self, product_id: str, images: list[ShopImage]) -> Step | None:
        """Record the next step of a product, and return it; None if there is nothing to send."""
        with self._services.database.transaction(self._key[0]) as db:
            product = self._lock(db, product_id)
            if product is None:
                return None
            now = datetime.now(UTC)
            step = next_step(
                images,
                product.record,
                self._wanted(db, product),
                is_first=self._is_first,
                is_restored=self._is_restoring,
                now=now,
            )
            product.record = step.record
            if step.kind == StepKind.DONE:
                if product.wanted is None:
                    db.delete(product)
                    return None
                product.shown, product.next_at = product.wanted["key"], None
                product.failures, product.problem, product.code = 0, "", ""
                return None
            if step.kind == StepKind.WAIT:
                seconds = LOST_POLL if step.record.intent else min(FIRST_POLL * 2 ** self._polls[product_id], MAX_POLL)
                product.next_at = now + timedelta(seconds=seconds)
                self._polls[product_id] = min(self._polls[product_id] + 1, 10)
                return None
            product.shown = None
            if step.refused:
                _set_problem(product, Problem.REFUSED, step.refused)
            return step

    def _wanted(self, db: Session, product: ShopProduct) -> WantedImage | None:
        if product.wanted is None or self._is_restoring:
            return None
        urls = ImageUrls.load(db, product.workspace_id, self._services.signed_urls)
        url = urls.url_of(product.wanted["connection"], product.wanted["id"], product.wanted["key"])
        name, digest = url.partition("?")[0].rpartition("/")[2].lower(), find_digest(product.wanted["key"])
        # A signed URL has the id of the image in place of the key.
        marker = digest[:MARKER_LENGTH] if digest and digest in name else product.wanted["id"]
        return WantedImage(product.wanted["key"], url, marker, product.alt)

    def _record_missing(self, product_id: str) -> None:
        with self._services.database.transaction(self._key[0]) as db:
            product = self._lock(db, product_id)
            if product is not None and product.wanted is None:
                db.delete(product)
            elif product is not None:
                product.shown, product.problem, product.code = None, Problem.MISSING, ""
                product.next_at = datetime.now(UTC) + timedelta(seconds=MAX_RETRY)

    def _forget_intent(self, product_id: str) -> None:
        """Record that nothing was added."""
        with self._services.database.transaction(self._key[0]) as db:
            product = self._lock(db, product_id)
            if product is not None:
                product.record = replace(product.record, intent=None)

    def _record_problem(self, product_id: str, problem: Problem, code: str) -> None:
        with self._services.database.transaction(self._key[0]) as db:
            product = self._lock(db, product_id)
            if product is not None:
                _set_problem(product, problem, code)

    def _postpone(self, product_id: str) -> None:
        with self._services.database.transaction(self._key[0]) as db:
            product = self._lock(db, product_id)
            if product is not None:
                product.next_at = datetime.now(UTC) + timedelta(seconds=FIRST_RETRY)

    def _lock(self, db: Session, product_id: str) -> ShopProduct | None:
        """Return a product, whose row no other transaction changes. Raises _SupersededError after a later attempt."""
        attempt = db.scalar(
            select(Shop.attempt)
            .where(Shop.workspace_id == self._key[0], Shop.id == self._key[1])
            .with_for_update(read=True, key_share=True)
        )
        if attempt != self.attempt:
            raise _SupersededError
        return db.get(ShopProduct, (*self._key, product_id), with_for_update=FOR_NO_KEY_UPDATE)

    def _finish(self, *, is_planned_only: bool = False) -> bool:
        """Record that nothing is left to do now."""
        with self._services.database.transaction(self._key[0]) as db:
            shop = lock_shop(db, *self._key)
            if shop is None or shop.attempt != self.attempt:
                raise _SupersededError
            shop.synced_at = shop.synced_at if is_planned_only else datetime.now(UTC)
            shop.failures, shop.error_message, shop.retry_at = 0, None, None
            if shop.is_restoring:
                rows = select(func.count()).select_from(ShopProduct)
                own = (ShopProduct.workspace_id == self._key[0], ShopProduct.shop_id == self._key[1])
                shop.is_restoring = bool(db.scalar(rows.where(*own)))
            campaign = db.get_one(Campaign, (shop.workspace_id, shop.campaign_id))
            if not shop.is_restoring and campaign.public_id not in (None, shop.publication_id):
                enqueue_sync(db, shop)  # what was published meanwhile
        return True

    def _continue(self) -> None:
        """Leave the rest to another job."""
        with self._services.database.transaction(self._key[0]) as db:
            shop = lock_shop(db, *self._key)
            if shop is not None and shop.attempt == self.attempt:
                shop.failures, shop.error_message, shop.retry_at = 0, None, None
                enqueue_sync(db, shop)


def _set_problem(product: ShopProduct, problem: Problem, code: str) -> None:
    product.problem, product.code = problem, code
    wait = min(FIRST_RETRY * 4 ** min(product.failures, 10), MAX_RETRY)
    product.next_at = datetime.now(UTC) + timedelta(seconds=wait)
    product.failures += 1


def _record_error(
    services: SyncServices,
    job: _Job | None,
    workspace_id: UUID,
    shop_id: UUID,
    message: str,
    *,
    is_progress: bool = False,
    is_final: bool = False,
) -> bool:
    """Record why a job ended, and when to try again, unless only a change of the shop can help. Return False."""
    with services.database.transaction(workspace_id) as db:
        shop = lock_shop(db, workspace_id, shop_id)
        if shop is None or (job is not None and shop.attempt != job.attempt):
            return False
        if is_progress:  # a shop that is slow is no failure
            shop.retry_at, shop.failures, shop.error_message = (
                datetime.now(UTC) + timedelta(seconds=FIRST_POLL),
                0,
                None,
            )
            return False
        shop.error_message = message[:MAX_ERROR]
        wait = min(2 ** min(shop.failures + 4, 16), MAX_SHOP_RETRY)
        shop.retry_at = None if is_final else datetime.now(UTC) + timedelta(seconds=wait)
        shop.failures += 1
        log.warning("images not written to a shop", shop=str(shop_id), reason=shop.error_message)
    return False

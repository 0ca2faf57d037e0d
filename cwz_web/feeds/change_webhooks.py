"""Calls of shops that say that rows of a feed have changed. Nothing of a call is imported: it enqueues a fetch.

So a call that is sent again is harmless: at most one fetch of a feed is queued, and two of them are minutes apart. A
call is answered in milliseconds: shops stop calling a URL that is slow, or that refuses several calls.
"""

import base64
import hmac
import re
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from cwz_web.crypto import KeyRing
from cwz_web.feeds.fetch_job import FIRST_RETRY_DELAY, FetchContext, enqueue_provider_fetch
from cwz_web.feeds.models import Feed, FeedSource
from cwz_web.feeds.providers.contract import ChangeWebhook
from cwz_web.feeds.providers.plugins import SourceRegistry
from cwz_web.feeds.schedules import MIN_INTERVAL
from cwz_web.feeds.sources import decrypt_webhook_secret, find_source, set_webhook_secret
from cwz_web.jobs import FEEDS_QUEUE, defer_once

# Changes are often made one after the other: the first call waits for more.
BURST = timedelta(seconds=20)
# All rows are fetched after a deletion, which costs the shop more than a fetch of changes.
COMPLETE_INTERVAL = timedelta(hours=1)
MAX_RETRY_DELAY = timedelta(days=1)
CALL_RESOLUTION = timedelta(minutes=1)
# What WooCommerce sends to a new URL, without a signature. It has to be answered, and is for any URL.
_ping = re.compile(rb"webhook_id=[0-9]{1,20}")


class InvalidCallError(Exception):
    """A call is not signed with the secret of a feed, or there is no such feed: which of them is not told."""


def is_ping(body: bytes) -> bool:
    """Return whether a body is the one by which WooCommerce checks a new URL."""
    return bool(_ping.fullmatch(body))


def webhook_of(registry: SourceRegistry, source: FeedSource | None) -> ChangeWebhook | None:
    """Return how the provider of a source calls; None if it does not."""
    provider = registry.get(source.provider) if source else None
    return provider.change_webhook if provider else None


def create_webhook_secret(ring: KeyRing, source: FeedSource) -> None:
    """Give a source a new secret of ours, in place of the former one."""
    set_webhook_secret(ring, source, secrets.token_urlsafe(32))


def receive_call(
    db: Session,
    ring: KeyRing,
    registry: SourceRegistry,
    workspace_id: UUID,
    feed_id: UUID,
    headers: Mapping[str, str],
    body: bytes,
) -> None:
    """Verify a call, and enqueue a fetch.

    Args:
        db: A transaction in the workspace.
        ring: The encryption keys.
        registry: The providers.
        workspace_id: The workspace of the URL.
        feed_id: The feed of the URL.
        headers: The headers of the call, whose names are found in any case.
        body: Its body, as it was sent.

    Raises:
        InvalidCallError: The call is not one of the feed's shop.
    """
    source, feed = find_source(db, workspace_id, feed_id), db.get(Feed, (workspace_id, feed_id))
    webhook = webhook_of(registry, source)
    is_known = source is not None and webhook is not None and feed is not None and not feed.deleted_at
    secret = decrypt_webhook_secret(ring, source) if source is not None and is_known else ""
    # A signature is computed in any case, so that the time tells nothing either.
    expected = base64.b64encode(hmac.digest(secret.encode() or b"-", body, "sha256"))
    given = headers.get(webhook.signature_header, "") if webhook else ""
    is_signed = hmac.compare_digest(expected, given.encode("utf-8", "replace"))
    if source is None or webhook is None or not secret or not is_signed:
        raise InvalidCallError
    _record_call(db, source)
    if not source.paused_at:
        is_deletion = headers.get(webhook.topic_header, "") in webhook.deletions
        _enqueue_fetch(db, source, is_complete=is_deletion)


def fetch_changes(context: FetchContext, workspace_id: UUID, feed_id: UUID, *, is_complete: bool) -> None:
    """Enqueue the fetch that a call has requested, unless the feed was changed since."""
    with context.database.transaction(workspace_id) as db:
        source, feed = find_source(db, workspace_id, feed_id), db.get(Feed, (workspace_id, feed_id))
        if source is None or feed is None or feed.deleted_at or source.paused_at or not source.encrypted_webhook_secret:
            return
        if is_complete:
            source.complete_at = None
        enqueue_provider_fetch(db, source, None)


def _record_call(db: Session, source: FeedSource) -> None:
    """Store when the provider has called, unless a fetch is just being stored: a call never waits for a lock."""
    now = datetime.now(UTC)
    if source.webhook_called_at and now - source.webhook_called_at < CALL_RESOLUTION:
        return
    this = (FeedSource.workspace_id == source.workspace_id, FeedSource.feed_id == source.feed_id)
    if db.scalar(select(FeedSource.feed_id).where(*this).with_for_update(skip_locked=True, key_share=True)):
        source.webhook_called_at = now


def _enqueue_fetch(db: Session, source: FeedSource, *, is_complete: bool) -> None:
    """Enqueue a fetch, with the least time to the last one; a source that fails is retried ever more rarely."""
    now = datetime.now(UTC)
    times = [now + BURST]
    if source.fetched_at:
        times.append(source.fetched_at + MIN_INTERVAL)
    if source.failures:
        times.append(now + min(FIRST_RETRY_DELAY * 2 ** min(source.failures - 1, 12), MAX_RETRY_DELAY))
    if is_complete and source.complete_at:
        times.append(source.complete_at + COMPLETE_INTERVAL)
    defer_once(
        db,
        "feeds.fetch_changes",
        queue=FEEDS_QUEUE,
        queueing_lock=f"feed {'deletions' if is_complete else 'changes'} {source.feed_id}",
        wait=round((max(times) - now).total_seconds()),
        workspace_id=str(source.workspace_id),
        feed_id=str(source.feed_id),
        is_complete=int(is_complete),
    )

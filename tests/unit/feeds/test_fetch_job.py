import itertools
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from pydantic import ValidationError
from sqlalchemy import text

from cwz_web.feeds import tasks
from cwz_web.feeds.fetch_job import FetchContext, fetch_feed, process_import, request_fetch, schedule_next_fetch
from cwz_web.feeds.imports import create_import, list_imports
from cwz_web.feeds.models import Feed, FeedImport, FeedSource
from cwz_web.feeds.queries import list_items
from cwz_web.feeds.row_writes import delete_items
from cwz_web.feeds.sources import SourceSpec, set_secret
from cwz_web.net.client import Fetcher
from tests.conftest import RecordingServer
from tests.factories import Factory
from tests.mailbox import Mailbox, text_of


class Subscription:
    """A feed with a source on a loopback server, which the fetcher may reach."""

    def __init__(self, make: Factory, server: RecordingServer, **source: Any) -> None:
        self.make, self.server = make, server
        self.space = make.workspace()
        self.admin = make.member(self.space)
        self.feed = make.feed(self.space, b"sku,title\n1,One\n2,Two\n")
        make.source(self.feed, server.url("/feed.csv"), **source)

    def serve(self, body: bytes, status: int = 200, **headers: str) -> None:
        self.server.paths["/feed.csv"] = (status, headers, body)

    def fetch(self, allow_loopback: bool = True) -> FeedImport | None:
        """Fetch the feed as its schedule does and run the import. Returns the import, if there is one."""
        services = self.make.services
        context = FetchContext(
            services.database, Fetcher([self.server.host] if allow_loopback else []), services.ring, "http://localhost"
        )
        before = self.newest
        fetch_feed(context, self.space.id, self.feed.id)
        if self.newest.number == before.number:
            return None
        process_import(context, self.space.id, self.newest.id)
        return self.newest

    @property
    def newest(self) -> FeedImport:
        with self.make.database.transaction(self.space.id) as db:
            return list_imports(db, self.feed)[0]

    @property
    def source(self) -> FeedSource:
        with self.make.database.transaction(self.space.id) as db:
            return db.get_one(FeedSource, (self.space.id, self.feed.id))

    @property
    def rows(self) -> dict[str, str]:
        with self.make.database.transaction(self.space.id) as db:
            return {item.key: item.data["title"] for item in list_items(db, self.feed)}


@pytest.fixture
def subscription(make: Factory, http_server: RecordingServer) -> Iterator[Subscription]:
    return Subscription(make, http_server)


def test_changed_file_is_imported(subscription: Subscription) -> None:
    subscription.serve(b"sku,title\n1,One\n2,Two!\n3,Three\n", ETag='"v1"')
    record = subscription.fetch()
    assert record is not None
    assert (record.state, record.fetched, record.file_name) == ("applied", True, "feed.csv")
    assert (record.added, record.changed, record.removed) == (1, 1, 0)
    assert subscription.rows == {"1": "One", "2": "Two!", "3": "Three"}
    source = subscription.source
    assert (source.etag, source.failures, source.error_message) == ('"v1"', 0, None)


@pytest.mark.parametrize("headers", [{"ETag": '"v1"'}, {}])
def test_unchanged_file_creates_no_import(subscription: Subscription, headers: dict[str, str]) -> None:
    subscription.serve(b"sku,title\n1,One\n2,Two!\n", **headers)
    subscription.fetch()
    imports = subscription.make.count(FeedImport, subscription.space.id)
    assert subscription.fetch() is None
    assert len(subscription.server.seen) == 2
    assert subscription.make.count(FeedImport, subscription.space.id) == imports


def test_import_that_needs_review_is_emailed_to_admins(subscription: Subscription, mailbox: Mailbox) -> None:
    with subscription.make.database.transaction(subscription.space.id) as db:
        db.get_one(Feed, (subscription.space.id, subscription.feed.id)).max_removed_percent = 20
    subscription.serve(b"sku,title\n1,One\n")
    record = subscription.fetch()
    assert record is not None
    assert (record.state, record.removed) == ("needs_review", 1)
    assert subscription.rows == {"1": "One", "2": "Two"}
    [email] = mailbox.emails()
    assert email["subject"] == "An import of Feed needs your review"
    assert "The import would remove 1 of 2 rows, more than 20%." in text_of(email)
    assert subscription.fetch() is None, "the same file is not imported twice"


THOUSAND_ROWS = b"sku,title\n" + b"".join(b"%d,Thing %d\n" % (number, number) for number in range(1000))
START = THOUSAND_ROWS[: len(THOUSAND_ROWS) * 60 // 100 - 2]
COMPLETE_ROWS = START[: START.rindex(b"\n") + 1]


@pytest.mark.parametrize(
    ("body", "headers", "state"),
    [
        (COMPLETE_ROWS, {"Content-Length": ""}, "needs_review"),
        (COMPLETE_ROWS, {}, "applied"),
        (START, {"Content-Length": ""}, "needs_review"),
        (START, {}, "needs_review"),
    ],
)
def test_shorter_file_is_believed_only_if_its_length_was_stated(
    subscription: Subscription, body: bytes, headers: dict[str, str], state: str
) -> None:
    subscription.serve(THOUSAND_ROWS)
    subscription.fetch()
    subscription.serve(body, **headers)
    record = subscription.fetch()
    assert record is not None
    assert record.state == state
    kept = subscription.make.reload(subscription.feed).item_count
    assert kept == (1000 if state == "needs_review" else record.unchanged)


def test_whole_file_is_fetched_after_a_cut_off_one_with_the_same_etag(subscription: Subscription) -> None:
    subscription.serve(THOUSAND_ROWS)
    subscription.fetch()
    subscription.serve(START, ETag='"v2"')
    held = subscription.fetch()
    assert held is not None
    assert held.state == "needs_review"
    subscription.serve(THOUSAND_ROWS + b"1000,New\n", ETag='"v2"')
    whole = subscription.fetch()
    assert whole is not None
    assert (whole.state, whole.added) == ("applied", 1)
    assert subscription.make.reload(held).state == "discarded"


def test_secret_is_sent(make: Factory, http_server: RecordingServer) -> None:
    for authentication, header, value in (
        ({"username": "shop"}, "Authorization", "Basic c2hvcDpwbGFudGVk"),
        ({"header": "X-Api-Key"}, "X-Api-Key", "planted"),
    ):
        subscription = Subscription(make, http_server, **authentication)
        with make.database.transaction(subscription.space.id) as db:
            source = db.get_one(FeedSource, (subscription.space.id, subscription.feed.id))
            set_secret(make.services.ring, source, "planted")
            assert b"planted" not in source.encrypted_secret
        subscription.serve(b"sku,title\n1,One\n2,Two\n")
        subscription.fetch()
        assert http_server.headers[-1][header] == value


def test_secret_copied_to_another_feed_cannot_be_decrypted(make: Factory, http_server: RecordingServer) -> None:
    one, other = (Subscription(make, http_server, header="X-Key") for _ in range(2))
    with make.database.transaction(one.space.id) as db:
        source = db.get_one(FeedSource, (one.space.id, one.feed.id))
        set_secret(make.services.ring, source, "planted")
        copied = source.encrypted_secret
    with make.database.transaction(other.space.id) as db:
        db.get_one(FeedSource, (other.space.id, other.feed.id)).encrypted_secret = copied
    other.fetch()
    assert "enter it again" in str(other.source.error_message)
    assert http_server.seen == []


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (500, b"", "status 500"),
        (404, b"", "status 404"),
        (200, b"<!doctype html><html>", "web page"),
        (200, b"", "empty"),
        (200, b"other,columns\n1,2\n", "no column “sku”"),
    ],
)
def test_failed_fetch_is_recorded_and_keeps_the_rows(
    subscription: Subscription, status: int, body: bytes, message: str
) -> None:
    subscription.serve(body, status)
    record = subscription.fetch()
    source = subscription.source
    assert message in str(source.error_message)
    assert (source.failures, source.digest, source.etag) == (1, "", None), (
        "the file is fetched again even if it has not changed"
    )
    assert record is None or (record.state, message in str(record.error_message)) == ("failed", True)
    assert subscription.rows == {"1": "One", "2": "Two"}


def test_unchanged_invalid_file_fails_again(subscription: Subscription) -> None:
    subscription.serve(b"other,columns\n1,2\n", ETag='"v1"')
    for _ in range(2):
        subscription.fetch()
    assert subscription.source.failures == 2


def test_unchanged_file_is_imported_into_an_empty_feed(subscription: Subscription) -> None:
    subscription.serve(b"sku,title\n1,One\n", ETag='"v1"')
    subscription.fetch()
    with subscription.make.database.transaction(subscription.space.id) as db:
        delete_items(db, db.get_one(Feed, (subscription.space.id, subscription.feed.id)), ["1", "2"])
    assert subscription.rows == {}
    subscription.fetch()
    assert subscription.rows == {"1": "One"}


def test_requested_import_always_finishes(subscription: Subscription) -> None:
    services = subscription.make.services
    context = FetchContext(services.database, Fetcher([subscription.server.host]), services.ring, "http://localhost")

    def fetch_once() -> FeedImport:
        with subscription.make.database.transaction(subscription.space.id) as db:
            feed, source = db.get_one(Feed, (subscription.space.id, subscription.feed.id)), subscription.source
            record = request_fetch(db, feed, source)
            assert request_fetch(db, feed, source).id == record.id, "a second request returns the queued import"
        for _ in range(2):  # the job that fetches, then the one that imports
            process_import(context, subscription.space.id, record.id)
        return subscription.newest

    subscription.serve(b"sku,title\n1,One\n2,Two\n3,Three\n")
    assert fetch_once().state == "applied"
    assert fetch_once().state == "unchanged"
    subscription.serve(b"", 500)
    failed = fetch_once()
    assert (failed.state, failed.error_message) == ("failed", "The server answered with status 500")
    with subscription.make.database.transaction(subscription.space.id) as db:
        db.delete(db.get_one(FeedSource, (subscription.space.id, subscription.feed.id)))
        feed = db.get_one(Feed, (subscription.space.id, subscription.feed.id))
        record = create_import(db, feed, file_name="feed.csv", fetched=True)
    process_import(context, subscription.space.id, record.id)
    assert subscription.newest.error_message == "The feed no longer has a URL"


def test_deleted_feed_is_not_fetched_but_stays_scheduled(subscription: Subscription) -> None:
    with subscription.make.database.transaction(subscription.space.id) as db:
        db.get_one(Feed, (subscription.space.id, subscription.feed.id)).deleted_at = datetime.now(UTC)
        db.get_one(FeedSource, (subscription.space.id, subscription.feed.id)).cron = "0 6 * * *"
    assert subscription.fetch() is None
    assert subscription.server.seen == []
    assert subscription.source.next_at is not None


def test_import_of_a_feed_that_was_just_deleted_fails(subscription: Subscription) -> None:
    services, ids = subscription.make.services, (subscription.space.id, subscription.feed.id)
    with subscription.make.database.transaction(subscription.space.id) as db:
        feed = db.get_one(Feed, ids)
        record = request_fetch(db, feed, db.get_one(FeedSource, ids))
        feed.deleted_at = datetime.now(UTC)
    context = FetchContext(services.database, Fetcher([]), services.ring, "http://localhost")
    fetch_feed(context, *ids, record.id)  # as process_import does, which has not seen the deletion
    assert (subscription.newest.state, subscription.newest.error_message) == ("failed", "The feed was deleted")
    assert subscription.server.seen == []


def test_private_address_is_blocked_before_connecting(subscription: Subscription) -> None:
    subscription.fetch(allow_loopback=False)
    assert "cannot be fetched" in str(subscription.source.error_message)
    assert subscription.server.seen == []


def test_admins_are_emailed_after_three_failures_and_on_recovery(subscription: Subscription, mailbox: Mailbox) -> None:
    for _ in range(5):
        subscription.fetch()
    assert subscription.source.failures == 5
    mailbox.deliver()
    [email] = mailbox.emails()
    assert email["to"] == subscription.admin.email
    assert "cannot be fetched" in email["subject"]
    subscription.serve(b"sku,title\n1,One\n2,Two\n")
    subscription.fetch()
    assert subscription.source.failures == 0
    mailbox.deliver()
    assert sum("can be fetched again" in email["subject"] for email in mailbox.emails()) == 1


def test_failing_source_is_retried_with_backoff_up_to_its_schedule() -> None:
    waits = []
    before = datetime.now(UTC) - timedelta(minutes=1)
    daily = f"{before.minute} {before.hour} * * *"
    for failures in range(12):
        source = FeedSource(cron=daily, time_zone="UTC", feed_id=UUID(int=1), failures=failures)
        schedule_next_fetch(source)
        assert source.next_at is not None
        waits.append((source.next_at - datetime.now(UTC)).total_seconds() / 60)
    day, *after_failures = waits
    assert 1437 <= day <= 1450
    assert 4.9 <= after_failures[0] <= 5.6
    assert all(later > earlier for earlier, later in itertools.pairwise(after_failures[:8]))
    assert max(after_failures) <= 1450
    for paused in (FeedSource(cron=None, failures=0), FeedSource(cron=daily, failures=3, paused_at=before)):
        schedule_next_fetch(paused)
        assert paused.next_at is None


def test_paused_source_is_fetched_only_on_request(make: Factory, http_server: RecordingServer) -> None:
    subscription = Subscription(make, http_server, paused_at=datetime.now(UTC))
    subscription.serve(b"sku,title\n1,One\n")
    assert subscription.fetch() is None
    assert http_server.seen == []


def test_due_feeds_are_found_across_workspaces(make: Factory, http_server: RecordingServer) -> None:
    past, future = datetime.now(UTC) - timedelta(minutes=1), datetime.now(UTC) + timedelta(minutes=1)
    due = [Subscription(make, http_server, next_at=past) for _ in range(2)]
    Subscription(make, http_server, next_at=future)
    Subscription(make, http_server)
    with make.database.transaction() as db:
        found = {row.feed_id for row in db.execute(text("SELECT * FROM find_due_feeds()"))}
    assert found == {subscription.feed.id for subscription in due}


def test_due_feeds_are_enqueued_once(make: Factory, http_server: RecordingServer) -> None:
    subscription = Subscription(make, http_server, next_at=datetime.now(UTC))

    class Context:
        additional_context = {"database": make.database, "quotas": make.services.quotas}  # noqa: RUF012

    for _ in range(2):
        tasks.enqueue_due(Context(), 0)  # type: ignore[arg-type]
    with make.database.transaction() as db:
        jobs = db.execute(text("SELECT args FROM procrastinate_jobs WHERE task_name = 'feeds.fetch'")).all()
        db.execute(text("DELETE FROM procrastinate_jobs"))
    assert [job.args["feed_id"] for job in jobs] == [str(subscription.feed.id)]


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"url": "file:///etc/passwd"}, "url"),
        ({"url": "https://user:pass@shop.example/"}, "url"),
        ({"url": "https://shop.example\\@127.0.0.1/"}, "url"),
        ({"url": "shop.example/feed.csv"}, "url"),
        ({"header": "Host"}, "header"),
        ({"header": "Cookie"}, "header"),
        ({"header": "Content-Length"}, "header"),
        ({"header": "X-Key\r\nX: y"}, "header"),
        ({"header": "X-Key", "username": "me"}, ""),
    ],
)
def test_invalid_source_is_rejected(given: dict[str, str], field: str) -> None:
    with pytest.raises(ValidationError) as rejection:
        SourceSpec(**{"url": "https://shop.example/feed.csv", **given})
    assert {".".join(map(str, error["loc"])) for error in rejection.value.errors()} == {field}

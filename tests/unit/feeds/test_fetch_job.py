import itertools
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from pydantic import ValidationError
from sqlalchemy import text

from cwz_web.feeds import tasks
from cwz_web.feeds.fetch_job import Office, ask, bring_in, fetch_feed, plan_next
from cwz_web.feeds.imports import list_imports, new_import
from cwz_web.feeds.models import Feed, FeedImport, FeedSource
from cwz_web.feeds.queries import items_after
from cwz_web.feeds.row_writes import delete_items
from cwz_web.feeds.sources import Place, seal
from cwz_web.net.client import Fetcher
from tests.conftest import Canary
from tests.factories import Factory
from tests.mailbox import Mailbox, text_of


class Subscription:
    """A feed that comes from a server on loopback, which the operator has opened."""

    def __init__(self, make: Factory, server: Canary, **more: Any) -> None:
        self.make, self.server = make, server
        self.space = make.workspace()
        self.admin = make.member(self.space)
        self.feed = make.feed(self.space, b"sku,title\n1,One\n2,Two\n")
        make.source(self.feed, server.url("/feed.csv"), **more)

    def serve(self, body: bytes, status: int = 200, **headers: str) -> None:
        self.server.paths["/feed.csv"] = (status, headers, body)

    def refresh(self, allow: bool = True) -> FeedImport | None:
        """Fetch the feed as its schedule does, with what comes of it. Returns the import, if it began one."""
        services = self.make.services
        office = Office(
            services.database, Fetcher([self.server.host] if allow else []), services.ring, "http://localhost"
        )
        before = self.newest
        fetch_feed(office, self.space.id, self.feed.id)
        if self.newest.number == before.number:
            return None
        bring_in(office, self.space.id, self.newest.id)
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
            return {item.key: item.data["title"] for item in items_after(db, self.feed)}


@pytest.fixture
def subscription(make: Factory, http_server: Canary) -> Iterator[Subscription]:
    return Subscription(make, http_server)


def test_what_is_new_is_imported(subscription: Subscription) -> None:
    subscription.serve(b"sku,title\n1,One\n2,Two!\n3,Three\n", ETag='"v1"')
    record = subscription.refresh()
    assert record is not None
    assert (record.state, record.fetched, record.file_name) == ("applied", True, "feed.csv")
    assert (record.added, record.changed, record.removed) == (1, 1, 0)
    assert subscription.rows == {"1": "One", "2": "Two!", "3": "Three"}
    source = subscription.source
    assert (source.etag, source.failures, source.trouble) == ('"v1"', 0, None)


@pytest.mark.parametrize("headers", [{"ETag": '"v1"'}, {}])
def test_an_unchanged_feed_costs_one_request_and_no_import(subscription: Subscription, headers: dict[str, str]) -> None:
    subscription.serve(b"sku,title\n1,One\n2,Two!\n", **headers)
    subscription.refresh()
    imports = subscription.make.count(FeedImport, subscription.space.id)
    assert subscription.refresh() is None
    assert len(subscription.server.seen) == 2
    assert subscription.make.count(FeedImport, subscription.space.id) == imports


def test_a_feed_that_shrinks_waits(subscription: Subscription, mailbox: Mailbox) -> None:
    with subscription.make.database.transaction(subscription.space.id) as db:
        db.get_one(Feed, (subscription.space.id, subscription.feed.id)).guard_percent = 20
    subscription.serve(b"sku,title\n1,One\n")
    record = subscription.refresh()
    assert record is not None
    assert (record.state, record.removed) == ("held", 1)
    assert subscription.rows == {"1": "One", "2": "Two"}
    [letter] = mailbox.mails()
    assert letter["subject"] == "An import of Feed waits for you"
    assert "would remove 1 of its 2 rows" in text_of(letter)
    assert subscription.refresh() is None, "the same file does not come twice"


def test_whoever_needs_a_secret_gets_it(make: Factory, http_server: Canary) -> None:
    for place, header, sent in (
        ({"username": "shop"}, "Authorization", "Basic c2hvcDpwbGFudGVk"),
        ({"header": "X-Api-Key"}, "X-Api-Key", "planted"),
    ):
        subscription = Subscription(make, http_server, **place)
        with make.database.transaction(subscription.space.id) as db:
            source = db.get_one(FeedSource, (subscription.space.id, subscription.feed.id))
            seal(make.services.ring, source, "planted")
            assert b"planted" not in source.sealed
        subscription.serve(b"sku,title\n1,One\n2,Two\n")
        subscription.refresh()
        assert http_server.headers[-1][header] == sent


def test_a_secret_that_was_copied_to_another_feed_does_not_open_there(make: Factory, http_server: Canary) -> None:
    one, other = (Subscription(make, http_server, header="X-Key") for _ in range(2))
    with make.database.transaction(one.space.id) as db:
        source = db.get_one(FeedSource, (one.space.id, one.feed.id))
        seal(make.services.ring, source, "planted")
        stolen = source.sealed
    with make.database.transaction(other.space.id) as db:
        db.get_one(FeedSource, (other.space.id, other.feed.id)).sealed = stolen
    other.refresh()
    assert "type it in again" in str(other.source.trouble)
    assert http_server.seen == []


@pytest.mark.parametrize(
    ("status", "body", "saying"),
    [
        (500, b"", "status 500"),
        (404, b"", "status 404"),
        (200, b"<!doctype html><html>", "web page"),
        (200, b"", "empty"),
        (200, b"other,columns\n1,2\n", "no column “sku”"),
    ],
)
def test_what_goes_wrong_is_said_and_the_rows_stay(
    subscription: Subscription, status: int, body: bytes, saying: str
) -> None:
    subscription.serve(body, status)
    record = subscription.refresh()
    source = subscription.source
    assert saying in str(source.trouble)
    assert (source.failures, source.digest, source.etag) == (1, "", None), "it has to come again, changed or not"
    assert record is None or (record.state, saying in str(record.trouble)) == ("failed", True)
    assert subscription.rows == {"1": "One", "2": "Two"}


def test_a_bad_file_that_stays_the_same_goes_on_failing(subscription: Subscription) -> None:
    subscription.serve(b"other,columns\n1,2\n", ETag='"v1"')
    for _ in range(2):
        subscription.refresh()
    assert subscription.source.failures == 2


def test_a_feed_that_is_empty_takes_what_comes_even_if_it_has_not_changed(subscription: Subscription) -> None:
    subscription.serve(b"sku,title\n1,One\n", ETag='"v1"')
    subscription.refresh()
    with subscription.make.database.transaction(subscription.space.id) as db:
        delete_items(db, db.get_one(Feed, (subscription.space.id, subscription.feed.id)), ["1", "2"])
    assert subscription.rows == {}
    subscription.refresh()
    assert subscription.rows == {"1": "One"}


def test_an_import_that_is_asked_for_ends_whatever_comes(subscription: Subscription) -> None:
    services = subscription.make.services
    office = Office(services.database, Fetcher([subscription.server.host]), services.ring, "http://localhost")

    def once() -> FeedImport:
        with subscription.make.database.transaction(subscription.space.id) as db:
            feed, source = db.get_one(Feed, (subscription.space.id, subscription.feed.id)), subscription.source
            record = ask(db, feed, source)
            assert ask(db, feed, source).id == record.id, "one is on its way already"
        for _ in range(2):  # the job that fetches, and the one that brings in
            bring_in(office, subscription.space.id, record.id)
        return subscription.newest

    subscription.serve(b"sku,title\n1,One\n2,Two\n3,Three\n")
    assert once().state == "applied"
    assert once().state == "unchanged"
    subscription.serve(b"", 500)
    failed = once()
    assert (failed.state, failed.trouble) == ("failed", "The server answered with status 500")
    with subscription.make.database.transaction(subscription.space.id) as db:
        db.delete(db.get_one(FeedSource, (subscription.space.id, subscription.feed.id)))
        feed = db.get_one(Feed, (subscription.space.id, subscription.feed.id))
        record = new_import(db, feed, file_name="feed.csv", fetched=True)
    bring_in(office, subscription.space.id, record.id)
    assert subscription.newest.trouble == "The feed has no address any more"


def test_a_deleted_feed_is_not_asked_and_not_forgotten(subscription: Subscription) -> None:
    with subscription.make.database.transaction(subscription.space.id) as db:
        db.get_one(Feed, (subscription.space.id, subscription.feed.id)).deleted_at = datetime.now(UTC)
        db.get_one(FeedSource, (subscription.space.id, subscription.feed.id)).cron = "0 6 * * *"
    assert subscription.refresh() is None
    assert subscription.server.seen == []
    assert subscription.source.next_at is not None


def test_an_address_inside_is_refused_before_anything_is_sent(subscription: Subscription) -> None:
    subscription.refresh(allow=False)
    assert "may not be fetched" in str(subscription.source.trouble)
    assert subscription.server.seen == []


def test_admins_are_told_after_three_failures_and_when_it_works_again(
    subscription: Subscription, mailbox: Mailbox
) -> None:
    for _ in range(5):
        subscription.refresh()
    assert subscription.source.failures == 5
    mailbox.deliver()
    [letter] = mailbox.mails()
    assert letter["to"] == subscription.admin.email
    assert "cannot be fetched" in letter["subject"]
    subscription.serve(b"sku,title\n1,One\n2,Two\n")
    subscription.refresh()
    assert subscription.source.failures == 0
    mailbox.deliver()
    assert sum("is fetched again" in mail["subject"] for mail in mailbox.mails()) == 1


def test_a_source_that_fails_is_asked_later_and_later_but_not_later_than_its_schedule() -> None:
    waits = []
    before = datetime.now(UTC) - timedelta(minutes=1)
    daily = f"{before.minute} {before.hour} * * *"
    for failures in range(12):
        source = FeedSource(cron=daily, time_zone="UTC", feed_id=UUID(int=1), failures=failures)
        plan_next(source)
        assert source.next_at is not None
        waits.append((source.next_at - datetime.now(UTC)).total_seconds() / 60)
    day, *after_failures = waits
    assert 1437 <= day <= 1450
    assert 4.9 <= after_failures[0] <= 5.6
    assert all(later > earlier for earlier, later in itertools.pairwise(after_failures[:8]))
    assert max(after_failures) <= 1450
    source = FeedSource(cron=None, failures=0)
    plan_next(source)
    assert source.next_at is None


def test_what_is_due_is_found_across_workspaces_and_nothing_else(make: Factory, http_server: Canary) -> None:
    past, future = datetime.now(UTC) - timedelta(minutes=1), datetime.now(UTC) + timedelta(minutes=1)
    due = [Subscription(make, http_server, next_at=past) for _ in range(2)]
    Subscription(make, http_server, next_at=future)
    Subscription(make, http_server)
    with make.database.transaction() as db:
        found = {row.feed_id for row in db.execute(text("SELECT * FROM due_feeds()"))}
    assert found == {each.feed.id for each in due}


def test_due_feeds_are_enqueued_once(make: Factory, http_server: Canary) -> None:
    subscription = Subscription(make, http_server, next_at=datetime.now(UTC))

    class Context:
        additional_context = {"database": make.database, "meters": make.services.quotas}  # noqa: RUF012

    for _ in range(2):
        tasks.find_due(Context(), 0)  # type: ignore[arg-type]
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
def test_a_place_that_is_none_is_refused(given: dict[str, str], field: str) -> None:
    with pytest.raises(ValidationError) as refusal:
        Place(**{"url": "https://shop.example/feed.csv", **given})
    assert {".".join(map(str, error["loc"])) for error in refusal.value.errors()} == {field}

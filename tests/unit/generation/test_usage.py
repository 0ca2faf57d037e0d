"""Usage and quotas: exact under concurrency."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cwz_web.generation import usage
from cwz_web.generation.usage import (
    Quota,
    QuotaExceededError,
    check_room,
    count,
    month_of,
    monthly_usage,
    next_month,
    refund,
    usage_by_subject,
)
from cwz_web.workspaces.models import Workspace
from tests.factories import Factory
from tests.mailbox import Mailbox, text_of


class Counter:
    """A workspace with a quota, and a key with one."""

    def __init__(self, make: Factory, limit: int | None = None, key_limit: int | None = None) -> None:
        self.make = make
        self.space: Workspace = make.workspace()
        self.quota = Quota(self.space.id, limit, "https://site.example", uuid4(), key_limit)

    def count(self, images: int = 1) -> bool:
        """Count images. Return whether there was room."""
        try:
            with self.make.database.transaction(self.space.id) as db:
                count(db, self.quota, images)
        except QuotaExceededError:
            return False
        return True

    @property
    def used(self) -> tuple[int, int]:
        """The usage of the workspace and of the key."""
        with self.make.database.transaction(self.space.id) as db:
            used = usage_by_subject(db, self.space.id)
        return used.get(self.space.id, 0), used.get(self.quota.key_id or uuid4(), 0)


def test_200_concurrent_images_use_a_quota_of_100_exactly(make: Factory) -> None:
    counter = Counter(make, limit=100)
    with ThreadPoolExecutor(20) as pool:
        counted = list(pool.map(lambda _: counter.count(), range(200)))
    assert (sum(counted), counter.used) == (100, (100, 100))


@pytest.mark.parametrize(("limit", "key_limit"), [(3, None), (None, 3), (3, 9), (9, 3)])
def test_smaller_quota_applies_and_a_rejected_image_counts_nowhere(
    make: Factory, limit: int | None, key_limit: int | None
) -> None:
    counter = Counter(make, limit, key_limit)
    assert [counter.count() for _ in range(5)] == [True, True, True, False, False]
    assert counter.used == (3, 3)
    with pytest.raises(QuotaExceededError, match="3 images per month"):
        check_room(make.database, counter.quota)


def test_check_room_passes_while_there_is_room(make: Factory) -> None:
    counter = Counter(make, limit=2, key_limit=2)
    check_room(make.database, counter.quota)
    counter.count()
    check_room(make.database, counter.quota)
    assert counter.used == (1, 1), "checking does not count"


def test_quota_without_a_key_counts_for_the_workspace_alone(make: Factory) -> None:
    space = make.workspace()
    with make.database.transaction(space.id) as db:
        count(db, Quota(space.id, 5), 2)
        assert usage_by_subject(db, space.id) == {space.id: 2}


def test_read_only_workspace_has_no_room(make: Factory) -> None:
    quota = Quota(make.workspace().id, is_read_only=True)
    with pytest.raises(QuotaExceededError, match="read-only"):
        check_room(make.database, quota)
    with pytest.raises(QuotaExceededError, match="read-only"), make.database.transaction(quota.workspace_id) as db:
        count(db, quota)


def test_several_images_count_all_or_nothing(make: Factory) -> None:
    counter = Counter(make, limit=10)
    assert [counter.count(images) for images in (11, 6, 5, 4)] == [False, True, False, True]
    assert counter.used == (10, 10)


def test_images_without_a_quota_are_counted(make: Factory) -> None:
    counter = Counter(make)
    assert counter.count(1_000_000)
    assert counter.used == (1_000_000, 1_000_000)


def test_refunded_images_can_be_used_again(make: Factory) -> None:
    counter = Counter(make, limit=10)
    counter.count(10)
    with make.database.transaction(counter.space.id) as db:
        refund(db, counter.quota, 4, month_of())
    assert [counter.count(5), counter.count(4)] == [False, True]


def test_every_month_has_its_own_counter(make: Factory, monkeypatch: pytest.MonkeyPatch) -> None:
    counter = Counter(make, limit=1)
    assert [counter.count(), counter.count()] == [True, False]
    later = next_month(month_of())
    monkeypatch.setattr(usage, "month_of", lambda: later)
    assert [counter.count(), counter.count()] == [True, False]
    with make.database.transaction(counter.space.id) as db:
        assert monthly_usage(db, counter.space.id, counter.space.id, later) == 1


def test_admins_get_one_email_at_80_and_one_at_100_percent(make: Factory, mailbox: Mailbox) -> None:
    counter = Counter(make, limit=10)
    admin = make.member(counter.space)
    for _ in range(12):
        counter.count()
    emails = mailbox.emails()
    assert [email["to"] for email in emails] == [admin.email] * 2
    assert sorted(email["subject"].partition(": ")[2] for email in emails) == [
        "100 % of this month's images used",
        "80 % of this month's images used",
    ]
    assert any("8 of its 10 images" in text_of(email) for email in emails)
    assert all(f"/w/{counter.space.slug}/usage" in text_of(email) for email in emails)


@given(st.dates(max_value=date(9999, 11, 30)))
def test_month_contains_its_days_and_ends_where_the_next_begins(day: date) -> None:
    start = month_of(datetime(day.year, day.month, day.day, tzinfo=UTC))
    end = next_month(start)
    assert start <= day < end
    assert end.day == 1
    assert (end - start).days in (28, 29, 30, 31)

"""The month's count: exact, whatever comes at once."""

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
    counting_one,
    give_back,
    month_of,
    next_month,
    used_by,
    used_in,
)
from cwz_web.workspaces.models import Workspace
from tests.factories import Factory
from tests.mailbox import Mailbox, text_of


class Counter:
    """A workspace's counters."""

    def __init__(self, make: Factory, cap: int | None = None, key_cap: int | None = None) -> None:
        self.make = make
        self.space: Workspace = make.workspace()
        self.quota = Quota(self.space.id, cap, "https://site.example", uuid4(), key_cap)

    def count(self, images: int = 1) -> bool:
        try:
            if images == 1:
                self.render()
            else:
                with self.make.database.transaction(self.space.id) as db:
                    count(db, self.quota, images)
        except QuotaExceededError:
            return False
        return True

    def render(self, *, begins: bool = True, fails: bool = False) -> None:
        """Count an image while it is made, whose making begins to count it, or fails before or after that."""
        with counting_one(self.make.database, self.quota) as begin:
            if begins:
                begin()
            if fails:
                raise MemoryError

    @property
    def used(self) -> tuple[int, int]:
        """The workspace's count and the key's."""
        with self.make.database.transaction(self.space.id) as db:
            found = used_by(db, self.space.id)
        return found.get(self.space.id, 0), found.get(self.quota.key_id or uuid4(), 0)


def test_of_200_at_once_exactly_as_many_get_through_as_the_cap_allows(make: Factory) -> None:
    counter = Counter(make, cap=100)
    with ThreadPoolExecutor(20) as pool:
        through = list(pool.map(lambda _: counter.count(), range(200)))
    assert (sum(through), counter.used) == (100, (100, 100))


@pytest.mark.parametrize(("cap", "key_cap"), [(3, None), (None, 3), (3, 9), (9, 3)])
def test_whichever_cap_comes_first_holds_and_the_other_counts_nothing(
    make: Factory, cap: int | None, key_cap: int | None
) -> None:
    counter = Counter(make, cap, key_cap)
    assert [counter.count() for _ in range(5)] == [True, True, True, False, False]
    assert counter.used == (3, 3)
    with pytest.raises(QuotaExceededError, match="3 images a month"):
        check_room(make.database, counter.quota)


def test_a_image_counts_when_it_is_there(make: Factory) -> None:
    counter = Counter(make, cap=1)
    counter.render()
    assert counter.used == (1, 1)
    with pytest.raises(QuotaExceededError):
        counter.render()
    assert counter.used == (1, 1)


@pytest.mark.parametrize("begun", [False, True])
def test_a_image_that_fails_does_not_count_even_when_counting_has_begun(make: Factory, begun: bool) -> None:
    counter = Counter(make, cap=1)
    with pytest.raises(MemoryError):
        counter.render(begins=begun, fails=True)
    assert counter.used[0] == 0
    assert counter.count(), "there is room for another one"


def test_a_image_that_fails_beyond_the_cap_gives_nothing_back(make: Factory) -> None:
    counter = Counter(make, cap=1)
    counter.count()
    with pytest.raises(MemoryError):
        counter.render(fails=True)
    assert counter.used == (1, 1)


def test_many_at_once_count_all_or_nothing(make: Factory) -> None:
    counter = Counter(make, cap=10)
    assert [counter.count(images) for images in (11, 6, 5, 4)] == [False, True, False, True]
    assert counter.used == (10, 10)


def test_without_a_cap_anything_goes_and_is_counted(make: Factory) -> None:
    counter = Counter(make)
    assert counter.count(1_000_000)
    assert counter.used == (1_000_000, 1_000_000)


def test_what_is_given_back_can_be_used_again(make: Factory) -> None:
    counter = Counter(make, cap=10)
    counter.count(10)
    with make.database.transaction(counter.space.id) as db:
        give_back(db, counter.quota, 4, month_of())
    assert [counter.count(5), counter.count(4)] == [False, True]


def test_each_month_counts_by_itself(make: Factory, monkeypatch: pytest.MonkeyPatch) -> None:
    counter = Counter(make, cap=1)
    assert [counter.count(), counter.count()] == [True, False]
    later = next_month(month_of())
    monkeypatch.setattr(usage, "month_of", lambda: later)
    assert [counter.count(), counter.count()] == [True, False]
    with make.database.transaction(counter.space.id) as db:
        assert used_in(db, counter.space.id, counter.space.id, later) == 1


def test_admins_are_told_once_at_80_and_at_100_percent(make: Factory, mailbox: Mailbox) -> None:
    counter = Counter(make, cap=10)
    admin = make.member(counter.space)
    for _ in range(12):
        counter.count()
    letters = mailbox.mails()
    assert [letter["to"] for letter in letters] == [admin.email] * 2
    assert sorted(letter["subject"].partition(": ")[2] for letter in letters) == [
        "100 % of this month's images",
        "80 % of this month's images",
    ]
    assert any("8 of the 10 images" in text_of(letter) for letter in letters)


@given(st.dates(max_value=date(9999, 11, 30)))
def test_a_month_ends_where_the_next_one_begins(day: date) -> None:
    begins = month_of(datetime(day.year, day.month, day.day, tzinfo=UTC))
    ends = next_month(begins)
    assert begins <= day < ends
    assert ends.day == 1
    assert (ends - begins).days in (28, 29, 30, 31)

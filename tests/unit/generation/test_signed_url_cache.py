from dataclasses import replace
from uuid import UUID

import pytest

from cwz_web.generation import signed_url_cache as module
from cwz_web.generation.signed_url_cache import SignedUrlCache
from cwz_web.generation.template_cache import TemplateVersionState
from cwz_web.workspaces.access import PlanStatus

STATE = TemplateVersionState(
    UUID(int=1), UUID(int=2), 1, None, range(1, 2), "a digest", PlanStatus("free", False, False)
)
ADDRESS = "t.png?title=A&s=x"


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def time(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def test_what_an_address_showed_is_known_for_a_minute(clock: Clock) -> None:
    lately = SignedUrlCache()
    assert lately.get(ADDRESS, STATE) is None
    lately.keep(ADDRESS, STATE, "digest", "public")
    clock.now += 59
    found = lately.get(ADDRESS, replace(STATE))
    assert found is not None
    assert (found.digest, found.cache) == ("digest", "public")
    assert lately.get(ADDRESS + "&more=1", STATE) is None
    clock.now += 1
    assert lately.get(ADDRESS, STATE) is None, "a photo in it may be another one by now"


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"open_parameters": ("title",)},
        {"signing_numbers": range(2, 3)},
        {"connections": "another digest"},
        {"plan_status": PlanStatus("free", False, True)},
    ],
)
def test_any_change_of_how_things_are_has_it_looked_at_anew(change: dict[str, object]) -> None:
    lately = SignedUrlCache()
    lately.keep(ADDRESS, STATE, "digest", "public")
    assert lately.get(ADDRESS, replace(STATE, **change)) is None  # type: ignore[arg-type]


def test_an_address_that_ends_is_known_no_longer_than_that(clock: Clock) -> None:
    lately = SignedUrlCache()
    lately.keep(ADDRESS, STATE, "digest", "public", clock.now + 5)
    clock.now += 4
    assert lately.get(ADDRESS, STATE) is not None
    clock.now += 1
    assert lately.get(ADDRESS, STATE) is None
    lately.keep(ADDRESS, STATE, "digest", "public", clock.now)
    assert lately.get(ADDRESS, STATE) is None


def test_of_many_addresses_the_newest_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEPT", 3)
    lately = SignedUrlCache()
    for number in range(5):
        lately.keep(f"{ADDRESS}{number}", STATE, "digest", "public")
    assert [lately.get(f"{ADDRESS}{number}", STATE) is not None for number in range(5)] == [
        False,
        False,
        True,
        True,
        True,
    ]

"""The distribution of room among the layers of a stack."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cwz_web.imaging.layout import Flex, align, arrange, break_rows, distribute

lengths = st.integers(0, 3000)


@st.composite
def flexes(draw: st.DrawFn) -> Flex:
    minimum = draw(st.integers(0, 400))
    maximum = minimum + draw(st.integers(0, 2000))
    basis = draw(st.integers(minimum, maximum))
    return Flex(basis, minimum, maximum, draw(st.booleans()), draw(st.integers(0, 9)))


children = st.lists(flexes(), min_size=1, max_size=12)


@given(lengths, children)
def test_lengths_stay_within_their_limits(room: int, children: list[Flex]) -> None:
    for child, length in zip(children, distribute(room, children), strict=True):
        assert child.minimum <= length <= child.maximum


@given(lengths, children)
def test_room_is_exceeded_only_if_nothing_can_shrink(room: int, children: list[Flex]) -> None:
    result = distribute(room, children)
    if sum(result) > room:
        for child, length in zip(children, result, strict=True):
            assert length == child.minimum or (not child.shrink and not child.grows)


@given(lengths, children)
def test_layers_that_grow_use_the_whole_room(room: int, children: list[Flex]) -> None:
    result = distribute(room, children)
    growing = [(child, length) for child, length in zip(children, result, strict=True) if child.grows]
    if growing and sum(result) < room:
        assert all(length == child.maximum for child, length in growing)


@given(lengths, children)
def test_distribution_is_idempotent(room: int, children: list[Flex]) -> None:
    result = distribute(room, children)
    again = [
        Flex(length, child.minimum, child.maximum, child.grows, child.shrink)
        for child, length in zip(children, result, strict=True)
    ]
    assert distribute(room, again) == result


def test_layers_that_grow_become_equally_long() -> None:
    assert distribute(100, [Flex(0, grows=True), Flex(20), Flex(0, grows=True)]) == [40, 20, 40]
    assert distribute(101, [Flex(0, grows=True), Flex(20), Flex(0, grows=True)]) == [41, 20, 40]
    assert distribute(100, [Flex(0, grows=True, maximum=10), Flex(0, grows=True)]) == [10, 90]
    assert distribute(100, [Flex(0, minimum=70, grows=True), Flex(0, grows=True)]) == [70, 30]


def test_higher_numbers_shrink_first() -> None:
    assert distribute(100, [Flex(80, 10, shrink=1), Flex(80, 30, shrink=2)]) == [70, 30]
    assert distribute(130, [Flex(80, 10, shrink=1), Flex(80, 30, shrink=2)]) == [80, 50]
    assert distribute(100, [Flex(80, 0, shrink=1), Flex(80, 0, shrink=1)]) == [50, 50]
    assert distribute(100, [Flex(80), Flex(80, 30, shrink=1)]) == [80, 30]


justifications = st.sampled_from(["start", "center", "end", "space-between", "space-evenly"])


@given(lengths, st.lists(st.integers(0, 200), min_size=1, max_size=12), st.integers(0, 50), justifications)
def test_layers_keep_their_order_and_do_not_overlap(room: int, sides: list[int], gap: int, justify: str) -> None:
    starts = arrange(room, sides, gap, justify)
    for start, side, following in zip(starts, sides, starts[1:], strict=False):
        assert start + side + gap <= following
    needed = sum(sides) + gap * (len(sides) - 1)
    assert starts[0] >= 0
    assert starts[-1] + sides[-1] <= max(room, needed)


@pytest.mark.parametrize(
    ("justify", "starts"),
    [
        ("start", [0, 30]),
        ("center", [25, 55]),
        ("end", [50, 80]),
        ("space-between", [0, 80]),
        ("space-evenly", [17, 63]),
    ],
)
def test_justify(justify: str, starts: list[int]) -> None:
    assert arrange(100, [20, 20], 10, justify) == starts


def test_align() -> None:
    assert [align(100, 30, name) for name in ("start", "center", "end", "stretch")] == [0, 35, 70, 0]


@given(lengths, st.lists(st.integers(0, 200), max_size=12), st.integers(0, 50))
def test_rows_fit_and_keep_every_layer(room: int, sides: list[int], gap: int) -> None:
    rows = break_rows(room, sides, gap)
    assert [at for row in rows for at in row] == list(range(len(sides)))
    for row in rows:
        assert len(row) == 1 or sum(sides[at] for at in row) + gap * (len(row) - 1) <= room

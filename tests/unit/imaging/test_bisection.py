import pytest
from hypothesis import given
from hypothesis import strategies as st

from cwz_web.imaging.bisection import find_largest

numbers = st.integers(-3, 40)


@given(numbers, numbers, numbers, st.none() | numbers)
def test_largest_number_is_found_with_any_guess(low: int, high: int, limit: int, guess: int | None) -> None:
    found = find_largest(low, high, lambda number: "fits" if number <= limit else None, guess=guess)
    largest = min(limit, high)
    assert found == ((largest, "fits") if low <= largest else None)


@pytest.mark.parametrize(("guess", "attempts"), [(700, 3), (699, 5), (703, 5), (None, 12)])
def test_good_guess_saves_attempts(guess: int | None, attempts: int) -> None:
    tried: list[int] = []
    find_largest(0, 2000, lambda number: tried.append(number) or (True if number <= 700 else None), guess=guess)
    assert len(tried) <= attempts

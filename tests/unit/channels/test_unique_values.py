"""The set of values that a field has had."""

from hypothesis import given
from hypothesis import strategies as st

from cwz_web.channels import unique_values
from cwz_web.channels.unique_values import UniqueValues

HASHES = st.sets(st.integers(-(2**63), 2**63 - 1) | st.integers(0, 20), max_size=30)


@given(batches=st.lists(HASHES, max_size=8), limit=st.integers(0, 10))
def test_set_has_what_was_added(batches: list[set[int]], limit: int) -> None:
    values, expected = UniqueValues(), set[int]()
    unique_values.MAX_RECENT, usual = limit, unique_values.MAX_RECENT
    for batch in batches:
        assert values.find(batch) == batch & expected
        values.add(batch)
        expected |= batch
    unique_values.MAX_RECENT = usual

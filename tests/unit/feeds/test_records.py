"""Several values in one cell."""

from hypothesis import given
from hypothesis import strategies as st

from cwz_web.feeds.records import join_list
from cwz_web.imaging.lists import split_list


@given(st.lists(st.text("ab,;|\n 1", min_size=1).filter(lambda item: item.strip() == item), min_size=2, max_size=5))
def test_list_field_gets_the_values_of_a_cell(items: list[str]) -> None:
    assert split_list(join_list(items), has_commas=True) == items


def test_cell_is_written_for_people() -> None:
    assert join_list(["new", "sale"]) == "new, sale"
    assert join_list(["Home, garden", "sale"]) == "Home, garden | sale"
    assert join_list(["Home, garden"]) == "Home, garden"
    assert join_list(["https://a.example/1,2.jpg", "https://a.example/2.jpg"]) == (
        "https://a.example/1,2.jpg, https://a.example/2.jpg"
    )

"""Fields of forms and queries: as WebOb has them, and found without a search."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from webob.multidict import MultiDict

from cwz_web.web.fields import Fields
from cwz_web.web.form_body import MAX_FIELDS
from cwz_web.web.request import Request

fields = st.lists(st.tuples(st.sampled_from("abc"), st.text(max_size=2)), max_size=8)


@given(fields)
def test_fields_are_those_of_webob(sent: list[tuple[str, str]]) -> None:
    found, expected = Fields(sent), MultiDict(sent)
    assert (list(found.items()), list(found.keys()), len(found)) == (sent, list(expected.keys()), len(sent))
    assert dict(found) == dict(expected)
    for name in "abcd":
        assert (name in found, found.get(name), found.getall(name)) == (
            name in expected, expected.get(name), expected.getall(name),
        )  # fmt: skip


def test_fields_cannot_be_changed() -> None:
    found = Fields([("a", "1")])
    with pytest.raises(TypeError):
        found["b"] = "2"  # type: ignore[index]
    for name in ("add", "pop", "update"):
        assert not hasattr(found, name)
    assert list(found.items()) == [("a", "1")]


class CountedName(str):
    """A name that counts how often it is compared."""

    comparisons = 0

    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        CountedName.comparisons += 1
        return str.__eq__(self, other)


def test_names_are_not_compared_with_all_others() -> None:
    found = Fields((CountedName(number), "x") for number in range(MAX_FIELDS))
    assert len(dict(found)) == MAX_FIELDS
    assert not [name for name in found.keys() if len(found.getall(name)) > 1]  # noqa: SIM118
    assert CountedName.comparisons < 20 * MAX_FIELDS


def test_requests_have_such_fields() -> None:
    request = Request.blank("/?a=1&b=%C3%A9&a=2&c")
    assert isinstance(request.GET, Fields)
    assert isinstance(request.POST, Fields)
    assert (list(request.GET.items()), request.GET["a"]) == ([("a", "1"), ("b", "é"), ("a", "2"), ("c", "")], "2")
    assert request.params.getall("a") == ["1", "2"]

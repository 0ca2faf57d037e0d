from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cwz_web.generation.signing import Addresses

ADDRESSES = Addresses("a signing secret")
SPACE = UUID("0190b0a0-0000-7000-8000-000000000001")
PATH = "0190b0a0-0000-7000-8000-000000000002.png"
parameters = st.dictionaries(
    st.text(min_size=1, max_size=8).filter(lambda name: name != "s"), st.text(max_size=20), max_size=5
)


def signed(values: dict[str, str]) -> dict[str, str]:
    return {**values, "s": ADDRESSES.sign(SPACE, PATH, values)}


def test_a_known_signature() -> None:
    """A vector: it changes only when every signed address out there would break."""
    assert (
        ADDRESSES.sign(SPACE, PATH, {"title": "Grüße & mehr", "price": "9"})
        == "BXgd-Kl7-HNSHRRuWuUaqYuAT0UXNHywns6DLb12wco"
    )


@given(parameters)
def test_what_is_signed_is_accepted(values: dict[str, str]) -> None:
    assert ADDRESSES.is_signed(SPACE, PATH, signed(values))


@given(parameters, st.text(min_size=1, max_size=8).filter(lambda name: name != "s"), st.text(max_size=20))
def test_any_change_is_refused(values: dict[str, str], name: str, value: str) -> None:
    changed = signed(values) | {name: value}
    assert ADDRESSES.is_signed(SPACE, PATH, changed) == (values.get(name) == value)


def test_another_workspace_path_or_installation_is_refused() -> None:
    values = signed({"title": "x"})
    assert not ADDRESSES.is_signed(uuid4(), PATH, values)
    assert not ADDRESSES.is_signed(SPACE, PATH.replace("png", "jpg"), values)
    assert not Addresses("another secret").is_signed(SPACE, PATH, values)


@pytest.mark.parametrize("signature", ["", "x", "ü", "A" * 43])
def test_what_is_no_signature_is_refused(signature: str) -> None:
    assert not ADDRESSES.is_signed(SPACE, PATH, {"title": "x", "s": signature})
    assert not ADDRESSES.is_signed(SPACE, PATH, {"title": "x"})

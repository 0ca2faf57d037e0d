import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cwz_web.accounts.passwords import hash_password, verify_password

PEPPER = "pepper"


@given(st.text(min_size=1, max_size=256))
@settings(max_examples=25, deadline=None)
def test_any_password_is_its_own_and_no_other(password: str) -> None:
    stored = hash_password(password, PEPPER, cost=4)
    assert verify_password(password, stored, PEPPER)
    assert not verify_password(password + "x", stored, PEPPER)


def test_nothing_beyond_72_bytes_is_lost() -> None:
    stored = hash_password("a" * 100 + "b", PEPPER, cost=4)
    assert not verify_password("a" * 100 + "c", stored, PEPPER)


def test_another_pepper_does_not_open() -> None:
    assert not verify_password("secret", hash_password("secret", PEPPER, cost=4), "salt")


@pytest.mark.parametrize("stored", [None, "", "nonsense", "v0:$2b$12$abc"])
def test_without_a_usable_hash_nothing_verifies(stored: str | None) -> None:
    assert not verify_password("nobody has this password", stored, PEPPER)


def test_the_cost_is_twelve() -> None:
    assert hash_password("x", PEPPER).startswith("v1:$2b$12$")

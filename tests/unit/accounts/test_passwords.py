import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cwz_web.accounts.passwords import Passwords

PASSWORDS = Passwords("pepper", cost=4)


@given(st.text(min_size=1, max_size=256))
@settings(max_examples=25)
def test_any_password_is_its_own_and_no_other(password: str) -> None:
    stored = PASSWORDS.hash(password)
    assert PASSWORDS.verify(password, stored)
    assert not PASSWORDS.verify(password + "x", stored)


def test_nothing_beyond_72_bytes_is_lost() -> None:
    stored = PASSWORDS.hash("a" * 100 + "b")
    assert not PASSWORDS.verify("a" * 100 + "c", stored)


def test_another_pepper_does_not_open() -> None:
    assert not Passwords("salt", cost=4).verify("secret", PASSWORDS.hash("secret"))


@pytest.mark.parametrize("stored", [None, "", "nonsense", "v0:$2b$12$abc"])
def test_without_a_usable_hash_nothing_verifies(stored: str | None) -> None:
    assert not PASSWORDS.verify("nobody has this password", stored)


def test_the_cost_is_twelve() -> None:
    assert Passwords("pepper").hash("x").startswith("v1:$2b$12$")

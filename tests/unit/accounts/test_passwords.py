from pathlib import Path

import pytest
import zxcvbn.feedback
from babel.messages.extract import extract_from_file
from hypothesis import given, settings
from hypothesis import strategies as st

from cwz_web.accounts.password_advice import ADVICE
from cwz_web.accounts.passwords import Passwords

PASSWORDS = Passwords("pepper", cost=4)


@given(st.text(min_size=1, max_size=256))
@settings(max_examples=25)
def test_password_matches_only_its_own_hash(password: str) -> None:
    stored = PASSWORDS.hash(password)
    assert PASSWORDS.verify(password, stored)
    assert not PASSWORDS.verify(password + "x", stored)


def test_characters_after_72_bytes_count() -> None:
    stored = PASSWORDS.hash("a" * 100 + "b")
    assert not PASSWORDS.verify("a" * 100 + "c", stored)


def test_other_pepper_does_not_match() -> None:
    assert not Passwords("salt", cost=4).verify("secret", PASSWORDS.hash("secret"))


@pytest.mark.parametrize("stored", [None, "", "nonsense", "v0:$2b$12$abc"])
def test_unusable_hash_matches_no_password(stored: str | None) -> None:
    assert not PASSWORDS.verify("not the password", stored)


def test_bcrypt_cost_is_twelve() -> None:
    assert Passwords("pepper").hash("x").startswith("v1:$2b$12$")


def test_hash_of_another_cost_is_outdated() -> None:
    stored = PASSWORDS.hash("secret")
    assert Passwords("pepper", cost=5).is_outdated(stored), "the cost has grown"
    assert not PASSWORDS.is_outdated(stored)
    assert not PASSWORDS.is_outdated(None)


def test_every_advice_of_the_library_is_a_message() -> None:
    source = Path(zxcvbn.feedback.__file__)
    assert {message for _, message, _, _ in extract_from_file("python", source, {"_": None})} == set(ADVICE)

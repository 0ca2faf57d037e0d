"""ID tokens as OpenID Connect Core 1.0, 3.1.3.7 wants them: each thing that can be wrong with one."""

import time
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import KeySet, OctKey, RSAKey

from cwz_web.accounts.google import (
    EmailNotVerifiedByProviderError,
    GoogleProfile,
    GoogleSignInError,
    read_id_token,
    verified_profile,
)

KEY = RSAKey.generate_key(2048, {"kid": "k1"})
KEYS = KeySet([RSAKey.import_key(KEY.as_dict(private=False))])
GOOD = {
    "iss": "https://id.test",
    "aud": "us",
    "sub": "7",
    "nonce": "n",
    "email": "ada@example.org",
    "email_verified": True,
}


def read(claims: dict[str, Any], key: Any = KEY, header: dict[str, str] | None = None) -> dict[str, Any]:
    header = header or {"alg": "RS256", "kid": "k1"}
    now = int(time.time())
    claims = {"iat": now, "exp": now + 300} | claims
    claims = {name: value for name, value in claims.items() if value is not None}
    token = jwt.encode(header, claims, key, algorithms=[header["alg"]])
    return read_id_token(token, KEYS, issuer="https://id.test", client_id="us", nonce="n")


def test_a_good_token_is_read() -> None:
    assert verified_profile(read(GOOD)) == GoogleProfile("https://id.test", "7", "ada@example.org", "ada")
    assert read(GOOD | {"aud": ["us"], "azp": "us"})["sub"] == "7"


@pytest.mark.parametrize(
    "change",
    [
        {"iss": "https://evil.test"},
        {"aud": "others"},
        {"aud": ["others"], "azp": "us"},
        {"aud": ["us", "others"]},
        {"azp": "others"},
        {"nonce": "other"},
        {"nonce": None},
        {"sub": None},
        {"sub": ""},
        {"sub": 7},
        {"sub": "x" * 256},
        {"exp": 1_700_000_000},
        {"exp": None},
        {"iat": 4_000_000_000},
        {"iat": None},
    ],
)
def test_a_token_with_a_wrong_claim_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(GoogleSignInError):
        read(GOOD | change)


def test_a_token_by_another_key_or_algorithm_is_refused() -> None:
    stranger = RSAKey.generate_key(2048, {"kid": "k1"})
    shared = OctKey.import_key("a secret that a person else chose for us")
    for key, header in ((stranger, {"alg": "RS256", "kid": "k1"}), (shared, {"alg": "HS256", "kid": "k1"})):
        with pytest.raises(GoogleSignInError):
            read(GOOD, key, header)
    for token in ("", "a.b.c", None, "eyJhbGciOiJub25lIn0.e30."):
        with pytest.raises(GoogleSignInError):
            read_id_token(token, KEYS, issuer="https://id.test", client_id="us", nonce="n")


@pytest.mark.parametrize("vouched", [False, None, "true", "false", 1, [True]])
def test_only_true_vouches_for_an_address(vouched: object) -> None:
    with pytest.raises(EmailNotVerifiedByProviderError):
        verified_profile(GOOD | {"email_verified": vouched})


@pytest.mark.parametrize("email", [None, "", "no address", ["a@example.org"], "a@example.org,b@example.org"])
def test_an_address_that_is_none_is_refused(email: object) -> None:
    with pytest.raises(EmailNotVerifiedByProviderError):
        verified_profile(GOOD | {"email": email})


def test_a_name_that_could_not_stand_in_a_page_is_left_out() -> None:
    assert verified_profile(GOOD | {"name": "Ada\x00Lovelace"}).name == "ada"
    assert verified_profile(GOOD | {"name": 7}).name == "ada"

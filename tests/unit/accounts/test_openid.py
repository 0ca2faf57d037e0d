"""Validation of ID tokens (OpenID Connect Core 1.0, section 3.1.3.7)."""

import time
from functools import cache
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import KeySet, OctKey, RSAKey

from cwz_web.accounts.openid import (
    EmailNotVerifiedByProviderError,
    OpenIDError,
    OpenIDProfile,
    read_id_token,
    verified_profile,
)

CLAIMS = {
    "iss": "https://id.test",
    "aud": "us",
    "sub": "7",
    "nonce": "n",
    "email": "ada@example.org",
    "email_verified": True,
}


@cache
def provider_key() -> RSAKey:
    """Return the key of the provider, made with the first test: each worker imports this module."""
    return RSAKey.generate_key(2048, {"kid": "k1"})


def public_keys() -> KeySet:
    return KeySet([RSAKey.import_key(provider_key().as_dict(private=False))])


def read_claims(claims: dict[str, Any], key: Any = None, header: dict[str, str] | None = None) -> dict[str, Any]:
    header = header or {"alg": "RS256", "kid": "k1"}
    now = int(time.time())
    claims = {"iat": now, "exp": now + 300} | claims
    claims = {name: value for name, value in claims.items() if value is not None}
    token = jwt.encode(header, claims, provider_key() if key is None else key, algorithms=[header["alg"]])
    return read_id_token(token, public_keys(), issuer="https://id.test", client_id="us", nonce="n")


def test_valid_token_is_accepted() -> None:
    assert verified_profile(read_claims(CLAIMS)) == OpenIDProfile("https://id.test", "7", "ada@example.org", "ada")
    assert read_claims(CLAIMS | {"aud": ["us"], "azp": "us"})["sub"] == "7"


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
        {"sub": "a\0b"},
        {"sub": "a\nb"},
        {"sub": "a\u202eb"},
        {"exp": 1_700_000_000},
        {"exp": None},
        {"iat": 4_000_000_000},
        {"iat": None},
    ],
)
def test_wrong_claim_is_rejected(change: dict[str, Any]) -> None:
    with pytest.raises(OpenIDError):
        read_claims(CLAIMS | change)


def test_other_key_or_algorithm_is_rejected() -> None:
    other_key = RSAKey.generate_key(2048, {"kid": "k1"})
    shared_key = OctKey.import_key("a shared secret of an attacker")
    for key, header in ((other_key, {"alg": "RS256", "kid": "k1"}), (shared_key, {"alg": "HS256", "kid": "k1"})):
        with pytest.raises(OpenIDError):
            read_claims(CLAIMS, key, header)
    for token in ("", "a.b.c", None, "eyJhbGciOiJub25lIn0.e30."):
        with pytest.raises(OpenIDError):
            read_id_token(token, public_keys(), issuer="https://id.test", client_id="us", nonce="n")


@pytest.mark.parametrize("email_verified", [False, None, "true", "false", 1, [True]])
def test_email_verified_must_be_true(email_verified: object) -> None:
    with pytest.raises(EmailNotVerifiedByProviderError):
        verified_profile(CLAIMS | {"email_verified": email_verified})


@pytest.mark.parametrize("email", [None, "", "no address", ["a@example.org"], "a@example.org,b@example.org"])
def test_invalid_email_is_rejected(email: object) -> None:
    with pytest.raises(EmailNotVerifiedByProviderError):
        verified_profile(CLAIMS | {"email": email})


def test_invalid_name_is_replaced() -> None:
    assert verified_profile(CLAIMS | {"name": "Ada\x00Lovelace"}).name == "ada"
    assert verified_profile(CLAIMS | {"name": 7}).name == "ada"

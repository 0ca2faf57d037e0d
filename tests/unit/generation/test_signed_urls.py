"""Signatures of URLs."""

import base64
import hashlib
import hmac
import time
from urllib.parse import urlencode
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cwz_web.generation.signed_urls import InvalidSignedUrlError, SignedUrls, sign

SIGNED_URLS = SignedUrls("a signing secret")
SPACE = UUID("0190b0a0-0000-7000-8000-000000000001")
PATH = "0190b0a0-0000-7000-8000-000000000002.png"
VALID_NUMBERS = range(2, 4)
RESERVED = {"s", "k", "e"}
parameters = st.dictionaries(
    st.text(min_size=1, max_size=8).filter(lambda name: name not in RESERVED), st.text(max_size=20), max_size=5
)
keys = st.sampled_from([None, 2, 3])


def signed(values: dict[str, str], number: int | None = None) -> dict[str, str]:
    """Sign as a customer does, without our code; without a number, sign as the application does."""
    if number is None:
        return {**values, "s": SIGNED_URLS._signed(SPACE, PATH, values).rpartition("&s=" if values else "?s=")[2]}
    values = {**values, "k": str(number)}
    text = f"{PATH}\n{urlencode(sorted(values.items()))}".encode()
    digest = hmac.new(SIGNED_URLS.key(SPACE, number).encode(), text, hashlib.sha256).digest()
    return {**values, "s": base64.urlsafe_b64encode(digest).rstrip(b"=").decode()}


def is_valid(
    values: dict[str, str], space: UUID = SPACE, path: str = PATH, signed_urls: SignedUrls = SIGNED_URLS
) -> bool:
    try:
        signed_urls.check(space, path, values, VALID_NUMBERS)
    except InvalidSignedUrlError:
        return False
    return True


def test_known_signatures() -> None:
    """These vectors may change only if every signed URL in use may break. docs/api.md has the last one."""
    values = {"title": "Grüße & mehr", "price": "9"}
    assert signed(values)["s"] == "BXgd-Kl7-HNSHRRuWuUaqYuAT0UXNHywns6DLb12wco"
    key = b"cwz_sign_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
    assert sign(key, PATH, values | {"k": "1", "e": "1800000000"}) == "pTU87rdB4ncxLiNhJppo6HLB9j_RYXWasVsjiHjqwuE"


@given(parameters, keys)
def test_signed_url_is_accepted(values: dict[str, str], number: int | None) -> None:
    assert is_valid(signed(values, number))


@given(
    parameters, keys, st.text(min_size=1, max_size=8).filter(lambda name: name not in RESERVED), st.text(max_size=20)
)
def test_changed_parameter_is_rejected(values: dict[str, str], number: int | None, name: str, value: str) -> None:
    assert is_valid(signed(values, number) | {name: value}) == (values.get(name) == value)


@pytest.mark.parametrize("number", [None, 2])
def test_signature_of_another_workspace_path_or_installation_is_rejected(number: int | None) -> None:
    values = signed({"title": "x"}, number)
    assert is_valid(values)
    assert not is_valid(values, space=uuid4())
    assert not is_valid(values, path=PATH.replace("png", "jpg"))
    assert not is_valid(values, signed_urls=SignedUrls("another secret"))


@pytest.mark.parametrize("signature", ["", "x", "ü", "A" * 43])
def test_malformed_or_missing_signature_is_rejected(signature: str) -> None:
    assert not is_valid({"title": "x", "s": signature})
    assert not is_valid({"title": "x"})


@pytest.mark.parametrize("number", [0, 1, 4])
def test_retired_or_future_key_is_rejected(number: int) -> None:
    assert not is_valid(signed({"title": "x"}, number))


@pytest.mark.parametrize("k", ["", "-2", "2.0", "٢", "02" * 20, "x"])
def test_malformed_key_number_is_rejected(k: str) -> None:
    assert not is_valid(signed({"title": "x"}, 2) | {"k": k})


def test_signature_is_bound_to_its_key() -> None:
    values = signed({"title": "x"}, 2)
    assert not is_valid(values | {"k": "3"})
    del values["k"]
    assert not is_valid(values)


@pytest.mark.parametrize(("expiry", "valid"), [(60, True), (-1, False)])
@pytest.mark.parametrize("number", [None, 2])
def test_url_expires(expiry: int, valid: bool, number: int | None) -> None:
    assert is_valid(signed({"title": "x", "e": str(int(time.time()) + expiry)}, number)) == valid


@pytest.mark.parametrize("expiry", ["", "soon", "9" * 20, "-1", "1e12"])
def test_malformed_expiry_is_rejected(expiry: str) -> None:
    assert not is_valid(signed({"title": "x", "e": expiry}, 2))

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

ADDRESSES = SignedUrls("a signing secret")
SPACE = UUID("0190b0a0-0000-7000-8000-000000000001")
PATH = "0190b0a0-0000-7000-8000-000000000002.png"
KEYS = range(2, 4)
OWN = {"s", "k", "e"}
parameters = st.dictionaries(
    st.text(min_size=1, max_size=8).filter(lambda name: name not in OWN), st.text(max_size=20), max_size=5
)
keys = st.sampled_from([None, 2, 3])


def signed(values: dict[str, str], number: int | None = None) -> dict[str, str]:
    """As a customer signs, without any of our code; or, without a number, as we do."""
    if number is None:
        return {**values, "s": ADDRESSES._signed(SPACE, PATH, values).rpartition("&s=" if values else "?s=")[2]}
    values = {**values, "k": str(number)}
    text = f"{PATH}\n{urlencode(sorted(values.items()))}".encode()
    digest = hmac.new(ADDRESSES.key(SPACE, number).encode(), text, hashlib.sha256).digest()
    return {**values, "s": base64.urlsafe_b64encode(digest).rstrip(b"=").decode()}


def is_good(values: dict[str, str], space: UUID = SPACE, path: str = PATH, signed_urls: SignedUrls = ADDRESSES) -> bool:
    try:
        signed_urls.check(space, path, values, KEYS)
    except InvalidSignedUrlError:
        return False
    return True


def test_known_signatures() -> None:
    """Vectors: they change only when every signed address out there would break. docs/api.md has the last one."""
    values = {"title": "Grüße & mehr", "price": "9"}
    assert signed(values)["s"] == "BXgd-Kl7-HNSHRRuWuUaqYuAT0UXNHywns6DLb12wco"
    key = b"cwz_sign_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
    assert sign(key, PATH, values | {"k": "1", "e": "1800000000"}) == "pTU87rdB4ncxLiNhJppo6HLB9j_RYXWasVsjiHjqwuE"


@given(parameters, keys)
def test_what_is_signed_is_accepted(values: dict[str, str], number: int | None) -> None:
    assert is_good(signed(values, number))


@given(parameters, keys, st.text(min_size=1, max_size=8).filter(lambda name: name not in OWN), st.text(max_size=20))
def test_any_change_is_refused(values: dict[str, str], number: int | None, name: str, value: str) -> None:
    assert is_good(signed(values, number) | {name: value}) == (values.get(name) == value)


@pytest.mark.parametrize("number", [None, 2])
def test_another_workspace_path_or_installation_is_refused(number: int | None) -> None:
    values = signed({"title": "x"}, number)
    assert is_good(values)
    assert not is_good(values, space=uuid4())
    assert not is_good(values, path=PATH.replace("png", "jpg"))
    assert not is_good(values, signed_urls=SignedUrls("another secret"))


@pytest.mark.parametrize("signature", ["", "x", "ü", "A" * 43])
def test_what_is_no_signature_is_refused(signature: str) -> None:
    assert not is_good({"title": "x", "s": signature})
    assert not is_good({"title": "x"})


@pytest.mark.parametrize("number", [0, 1, 4])
def test_a_key_that_is_good_no_more_or_not_yet_is_refused(number: int) -> None:
    assert not is_good(signed({"title": "x"}, number))


@pytest.mark.parametrize("k", ["", "-2", "2.0", "٢", "02" * 20, "x"])
def test_an_odd_key_number_is_refused(k: str) -> None:
    assert not is_good(signed({"title": "x"}, 2) | {"k": k})


def test_one_key_is_not_another() -> None:
    values = signed({"title": "x"}, 2)
    assert not is_good(values | {"k": "3"})
    del values["k"]
    assert not is_good(values)


@pytest.mark.parametrize(("expiry", "good"), [(60, True), (-1, False)])
@pytest.mark.parametrize("number", [None, 2])
def test_an_address_ends_when_it_says(expiry: int, good: bool, number: int | None) -> None:
    assert is_good(signed({"title": "x", "e": str(int(time.time()) + expiry)}, number)) == good


@pytest.mark.parametrize("expiry", ["", "soon", "9" * 20, "-1", "1e12"])
def test_an_odd_expiry_is_refused(expiry: str) -> None:
    assert not is_good(signed({"title": "x", "e": expiry}, 2))

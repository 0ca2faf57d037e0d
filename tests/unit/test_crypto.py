import base64
import io
import secrets

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cwz_web import crypto
from cwz_web.crypto import DecryptionError, KeyRing, decrypt_stream, encrypt_stream, parse_keys

OLD, NEW = secrets.token_bytes(32), secrets.token_bytes(32)
RING = KeyRing([OLD])
CONTEXT = ("connections", "one", "secret")


@given(st.text(), st.lists(st.text(), max_size=4))
def test_what_is_encrypted_is_decrypted_in_its_own_context_only(secret: str, context: list[str]) -> None:
    envelope = RING.encrypt(secret, *context)
    assert RING.decrypt(envelope, *context) == secret
    assert envelope != RING.encrypt(secret, *context)
    with pytest.raises(DecryptionError):
        RING.decrypt(envelope, *context, "more")


def test_contexts_that_read_alike_are_not_the_same() -> None:
    with pytest.raises(DecryptionError):
        RING.decrypt(RING.encrypt("x", "ab", "c"), "a", "bc")


@given(st.integers(min_value=0), st.integers(min_value=1, max_value=255))
def test_any_changed_byte_is_noticed(place: int, change: int) -> None:
    envelope = bytearray(RING.encrypt("a secret", *CONTEXT))
    envelope[place % len(envelope)] ^= change
    with pytest.raises(DecryptionError):
        RING.decrypt(bytes(envelope), *CONTEXT)


@given(st.binary(max_size=80))
def test_anything_else_is_no_envelope(data: bytes) -> None:
    with pytest.raises(DecryptionError):
        RING.decrypt(data, *CONTEXT)


def test_while_a_key_is_replaced_both_open_and_the_newest_encrypts() -> None:
    before = RING.encrypt("x", *CONTEXT)
    both = KeyRing([NEW, OLD])
    assert both.decrypt(before, *CONTEXT) == "x"
    with pytest.raises(DecryptionError):
        RING.decrypt(both.encrypt("x", *CONTEXT), *CONTEXT)


def test_an_error_tells_nothing_of_the_secret() -> None:
    envelope = RING.encrypt("canary-8731", *CONTEXT)
    with pytest.raises(DecryptionError) as refusal:
        RING.decrypt(envelope, "elsewhere")
    assert "canary" not in str(refusal.value)
    assert refusal.value.__cause__ is None
    assert "canary" not in repr(RING)


def test_keys_are_read_from_the_environments_form() -> None:
    text = ", ".join(base64.urlsafe_b64encode(key).decode().rstrip("=") for key in (NEW, OLD))
    assert parse_keys(text) == [NEW, OLD]


@pytest.mark.parametrize("text", ["", ",", "short", "ü" * 43, "A" * 43, base64.b64encode(b"x" * 32).decode(), "==="])
def test_a_key_that_is_none_or_weak_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="32 random bytes"):
        parse_keys(text)


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crypto, "PIECE_BYTES", 7)


@pytest.mark.usefixtures("small_pieces")
@given(st.lists(st.binary(max_size=30), max_size=8))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_stream_is_decrypted_whatever_its_parts(parts: list[bytes]) -> None:
    sealed = b"".join(encrypt_stream(NEW, parts, b"manifest"))
    assert b"".join(decrypt_stream(NEW, io.BytesIO(sealed), b"manifest")) == b"".join(parts)
    for key, bound in ((OLD, b"manifest"), (NEW, b"another")):
        with pytest.raises(DecryptionError):
            list(decrypt_stream(key, io.BytesIO(sealed), bound))


@pytest.mark.usefixtures("small_pieces")
@given(st.binary(min_size=1, max_size=40), st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_stream_that_was_changed_cut_or_shuffled_is_noticed(content: bytes, data: st.DataObject) -> None:
    pieces = list(encrypt_stream(NEW, [content], b""))
    sealed = b"".join(pieces)
    changed = bytearray(sealed)
    changed[data.draw(st.integers(0, len(sealed) - 1))] ^= data.draw(st.integers(1, 255))
    cut = sealed[: data.draw(st.integers(0, len(sealed) - 1))]
    whole_pieces_cut = b"".join(pieces[: data.draw(st.integers(0, len(pieces) - 1))])
    longer = sealed + data.draw(st.binary(min_size=1, max_size=30))
    swapped = b"".join([pieces[1], pieces[0], *pieces[2:]]) if len(pieces) > 1 else cut
    for damaged in (bytes(changed), cut, whole_pieces_cut, longer, swapped):
        with pytest.raises(DecryptionError):
            list(decrypt_stream(NEW, io.BytesIO(damaged), b""))

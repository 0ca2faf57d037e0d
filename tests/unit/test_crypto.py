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
def test_secret_is_decrypted_in_its_own_context_only(secret: str, context: list[str]) -> None:
    envelope = RING.encrypt(secret, *context)
    assert RING.decrypt(envelope, *context) == secret
    assert envelope != RING.encrypt(secret, *context)
    with pytest.raises(DecryptionError):
        RING.decrypt(envelope, *context, "more")


def test_contexts_with_equal_concatenations_differ() -> None:
    with pytest.raises(DecryptionError):
        RING.decrypt(RING.encrypt("x", "ab", "c"), "a", "bc")


@given(st.integers(min_value=0), st.integers(min_value=1, max_value=255))
def test_modified_envelope_is_rejected(position: int, change: int) -> None:
    envelope = bytearray(RING.encrypt("a secret", *CONTEXT))
    envelope[position % len(envelope)] ^= change
    with pytest.raises(DecryptionError):
        RING.decrypt(bytes(envelope), *CONTEXT)


@given(st.binary(max_size=80))
def test_arbitrary_bytes_are_rejected(data: bytes) -> None:
    with pytest.raises(DecryptionError):
        RING.decrypt(data, *CONTEXT)


def test_during_rotation_both_keys_decrypt_and_the_newest_encrypts() -> None:
    before = RING.encrypt("x", *CONTEXT)
    both = KeyRing([NEW, OLD])
    assert both.decrypt(before, *CONTEXT) == "x"
    with pytest.raises(DecryptionError):
        RING.decrypt(both.encrypt("x", *CONTEXT), *CONTEXT)


def test_error_reveals_nothing_of_the_secret() -> None:
    envelope = RING.encrypt("canary-8731", *CONTEXT)
    with pytest.raises(DecryptionError) as error:
        RING.decrypt(envelope, "elsewhere")
    assert "canary" not in str(error.value)
    assert error.value.__cause__ is None
    assert "canary" not in repr(RING)


def test_keys_are_parsed_from_the_environment() -> None:
    text = ", ".join(base64.urlsafe_b64encode(key).decode().rstrip("=") for key in (NEW, OLD))
    assert parse_keys(text) == [NEW, OLD]


@pytest.mark.parametrize("text", ["", ",", "short", "ü" * 43, "A" * 43, base64.b64encode(b"x" * 32).decode(), "==="])
def test_malformed_or_weak_key_is_rejected(text: str) -> None:
    with pytest.raises(ValueError, match="32 random bytes"):
        parse_keys(text)


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crypto, "CHUNK_BYTES", 7)


@pytest.mark.usefixtures("small_chunks")
@given(st.lists(st.binary(max_size=30), max_size=8))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_stream_is_decrypted_with_chunks_of_any_size(chunks: list[bytes]) -> None:
    encrypted = b"".join(encrypt_stream(NEW, chunks, b"manifest"))
    assert b"".join(decrypt_stream(NEW, io.BytesIO(encrypted), b"manifest")) == b"".join(chunks)
    for key, associated_data in ((OLD, b"manifest"), (NEW, b"another")):
        with pytest.raises(DecryptionError):
            list(decrypt_stream(key, io.BytesIO(encrypted), associated_data))


@pytest.mark.usefixtures("small_chunks")
@given(st.binary(min_size=1, max_size=40), st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_modified_truncated_or_reordered_stream_is_rejected(content: bytes, data: st.DataObject) -> None:
    chunks = list(encrypt_stream(NEW, [content], b""))
    encrypted = b"".join(chunks)
    changed = bytearray(encrypted)
    changed[data.draw(st.integers(0, len(encrypted) - 1))] ^= data.draw(st.integers(1, 255))
    cut = encrypted[: data.draw(st.integers(0, len(encrypted) - 1))]
    whole_chunks_cut = b"".join(chunks[: data.draw(st.integers(0, len(chunks) - 1))])
    longer = encrypted + data.draw(st.binary(min_size=1, max_size=30))
    swapped = b"".join([chunks[1], chunks[0], *chunks[2:]]) if len(chunks) > 1 else cut
    for damaged in (bytes(changed), cut, whole_chunks_cut, longer, swapped):
        with pytest.raises(DecryptionError):
            list(decrypt_stream(NEW, io.BytesIO(damaged), b""))

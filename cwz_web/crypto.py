"""Encryption of stored secrets and of backups: AES-256-GCM (NIST SP 800-38D) with a ring of keys that can be rotated.

An envelope is `version (1 byte), key ID (8), nonce (12), ciphertext and tag`. The newest key encrypts; the key ID says
which key decrypts. The associated data binds version, key ID and a context (the row and the field of the secret), so
that a ciphertext that was copied to another row cannot be decrypted there.

Data that is too long for one envelope is a stream: chunks of 1 MiB, each encrypted under a key that is used for nothing
else (the STREAM construction of Hoang, Reyhanitabar, Rogaway and Vizár, 2015, with the nonces of age's payload: the
chunk's number, and whether it is the last). A modified, moved, repeated or missing chunk is detected.
"""

import base64
import binascii
import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import BinaryIO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

VERSION = b"\x01"
KEY_BYTES = 32
KEY_ID_BYTES = 8
NONCE_BYTES = 12
HEADER_BYTES = len(VERSION) + KEY_ID_BYTES
CHUNK_BYTES = 1024 * 1024
TAG_BYTES = 16


def derive(secret: str, info: bytes) -> bytes:
    """Return a 32-byte key, derived from a secret of the installation (HKDF-SHA256, RFC 5869).

    Args:
        secret: the secret.
        info: the purpose of the key.
    """
    return HKDF(SHA256(), length=32, salt=None, info=info).derive(secret.encode())


class DecryptionError(Exception):
    """Data is damaged, was encrypted for another context, or its key is not in the ring."""


class KeyRing:
    """The encryption keys of an installation.

    Args:
        keys: keys of 32 bytes, the newest first.
    """

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._keys = {key_id(key): AESGCM(key) for key in keys}
        self._newest = key_id(keys[0])

    def encrypt(self, secret: str, *context: str) -> bytes:
        """Return the envelope of a secret; only the same context, in the same order, decrypts it."""
        header = VERSION + self._newest
        nonce = os.urandom(NONCE_BYTES)
        return (
            header + nonce + self._keys[self._newest].encrypt(nonce, secret.encode(), _associated_data(header, context))
        )

    def decrypt(self, envelope: bytes, *context: str) -> str:
        """Return the secret of an envelope.

        Raises:
            DecryptionError: it cannot be decrypted; the message reveals nothing of the secret.
        """
        header, nonce = envelope[:HEADER_BYTES], envelope[HEADER_BYTES : HEADER_BYTES + NONCE_BYTES]
        key = self._keys.get(header[len(VERSION) :])
        if key is None or not header.startswith(VERSION):
            raise DecryptionError("No encryption key of this installation decrypts this secret")
        try:
            return key.decrypt(
                nonce, envelope[HEADER_BYTES + NONCE_BYTES :], _associated_data(header, context)
            ).decode()
        except (InvalidTag, ValueError):
            raise DecryptionError("This secret is damaged, or was encrypted for another context") from None

    def is_newest(self, envelope: bytes) -> bool:
        """Return whether the newest key encrypted the envelope."""
        return envelope[len(VERSION) : HEADER_BYTES] == self._newest


def encrypt_stream(key: bytes, chunks: Iterable[bytes], associated_data: bytes) -> Iterator[bytes]:
    """Yield the encrypted chunks of a stream.

    Args:
        key: 32 random bytes that encrypt nothing else.
        chunks: the plaintext, in chunks of any size.
        associated_data: data beside the stream that is authenticated with it.
    """
    cipher, number = AESGCM(key), 0
    buffer = bytearray()
    for chunk in chunks:
        buffer += chunk
        while len(buffer) > CHUNK_BYTES:
            yield cipher.encrypt(_nonce(number, is_last=False), bytes(buffer[:CHUNK_BYTES]), associated_data)
            del buffer[:CHUNK_BYTES]
            number += 1
    yield cipher.encrypt(_nonce(number, is_last=True), bytes(buffer), associated_data)


def decrypt_stream(key: bytes, file: BinaryIO, associated_data: bytes) -> Iterator[bytes]:
    """Yield the plaintext chunks of a stream, from the file's position to its end.

    Raises:
        DecryptionError: a chunk was modified, or chunks are missing at the end.
    """
    cipher, number = AESGCM(key), 0
    chunk = file.read(CHUNK_BYTES + TAG_BYTES)
    while True:
        following = file.read(CHUNK_BYTES + TAG_BYTES)
        try:
            yield cipher.decrypt(_nonce(number, is_last=not following), chunk, associated_data)
        except (InvalidTag, ValueError):
            raise DecryptionError("This file is damaged or truncated") from None
        if not following:
            return
        chunk, number = following, number + 1


def key_id(key: bytes) -> bytes:
    """Return the ID of a key for envelopes; it reveals nothing of the key."""
    return hashlib.sha256(b"connectwyze key id" + key).digest()[:KEY_ID_BYTES]


def parse_keys(text: str) -> list[bytes]:
    """Parse keys from the environment: base64url of 32 bytes each, the newest first, separated by commas.

    Raises:
        ValueError: a key has another length, or is not random.
    """
    keys = []
    for part in text.split(","):
        try:
            key = base64.b64decode(part.strip() + "=" * (-len(part.strip()) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            key = b""
        if len(key) != KEY_BYTES:
            raise ValueError("must contain keys of 32 random bytes in base64url, the newest first, separated by commas")
        if len(set(key)) < KEY_BYTES // 2:
            raise ValueError("is too weak: each key must be 32 random bytes")
        keys.append(key)
    return keys


def _nonce(number: int, *, is_last: bool) -> bytes:
    return number.to_bytes(NONCE_BYTES - 1, "big") + bytes([is_last])


def _associated_data(header: bytes, context: Sequence[str]) -> bytes:
    """Return the associated data; each part has its length in front, so that different contexts differ."""
    parts = [part.encode() for part in context]
    return header + b"".join(len(part).to_bytes(4, "big") + part for part in parts)

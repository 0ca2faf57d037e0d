"""Secrets at rest: AES-256-GCM (NIST SP 800-38D) by a ring of keys, so that a key can be replaced without a pause.

An envelope is `version (1 byte), key id (8), nonce (12), ciphertext and tag`. The newest key encrypts; the id in the
envelope says which one decrypts. The associated data binds version, key id and a context (whose secret it is, and in
which field), so that a ciphertext which is copied to another row does not open there.

What is too long for one envelope is a stream: pieces of a mebibyte, each encrypted by itself under a key that is used
for nothing else (the STREAM construction of Hoang, Reyhanitabar, Rogaway and Vizár, 2015, with the nonces of age's
payload: the piece's number, and whether it is the last). A piece that is changed, moved, doubled or cut off shows.
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
HEADER = len(VERSION) + KEY_ID_BYTES
PIECE_BYTES = 1024 * 1024
TAG_BYTES = 16


def derive(secret: str, info: bytes) -> bytes:
    """32 bytes for one purpose, from a secret of the installation, so that they are stored nowhere (HKDF, RFC 5869)."""
    return HKDF(SHA256(), length=32, salt=None, info=info).derive(secret.encode())


class DecryptionError(Exception):
    """The envelope is damaged, belongs somewhere else, or its key is not in the ring."""


class KeyRing:
    """The keys of an installation.

    Arguments:
        keys: keys of 32 bytes, the newest first.
    """

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._keys = {key_id(key): AESGCM(key) for key in keys}
        self._newest = key_id(keys[0])

    def encrypt(self, secret: str, *context: str) -> bytes:
        """The envelope of a secret. Only the same context, in the same order, opens it again."""
        header = VERSION + self._newest
        nonce = os.urandom(NONCE_BYTES)
        return header + nonce + self._keys[self._newest].encrypt(nonce, secret.encode(), _bound(header, context))

    def decrypt(self, envelope: bytes, *context: str) -> str:
        """The secret in an envelope. Raises DecryptionError, which says nothing of what is inside."""
        header, nonce = envelope[:HEADER], envelope[HEADER : HEADER + NONCE_BYTES]
        key = self._keys.get(header[len(VERSION) :])
        if key is None or not header.startswith(VERSION):
            raise DecryptionError("No key of this installation opens this secret")
        try:
            return key.decrypt(nonce, envelope[HEADER + NONCE_BYTES :], _bound(header, context)).decode()
        except (InvalidTag, ValueError):
            raise DecryptionError("This secret is damaged, or was copied from elsewhere") from None

    def is_newest(self, envelope: bytes) -> bool:
        """Whether the envelope was made with the newest key."""
        return envelope[len(VERSION) : HEADER] == self._newest


def encrypt_stream(key: bytes, parts: Iterable[bytes], bound: bytes) -> Iterator[bytes]:
    """The encrypted pieces of a stream.

    Arguments:
        key: 32 random bytes that encrypt nothing else.
        parts: the plain bytes, in parts of any size.
        bound: what stands beside the stream and must not be changed either.
    """
    cipher, number = AESGCM(key), 0
    waiting = bytearray()
    for part in parts:
        waiting += part
        while len(waiting) > PIECE_BYTES:
            yield cipher.encrypt(_nonce(number, last=False), bytes(waiting[:PIECE_BYTES]), bound)
            del waiting[:PIECE_BYTES]
            number += 1
    yield cipher.encrypt(_nonce(number, last=True), bytes(waiting), bound)


def decrypt_stream(key: bytes, file: BinaryIO, bound: bytes) -> Iterator[bytes]:
    """The plain pieces of a stream, from where the file stands to its end.

    Raises DecryptionError at the first piece that is not as it was made, and at the end when pieces are missing.
    """
    cipher, number = AESGCM(key), 0
    piece = file.read(PIECE_BYTES + TAG_BYTES)
    while True:
        following = file.read(PIECE_BYTES + TAG_BYTES)
        try:
            yield cipher.decrypt(_nonce(number, last=not following), piece, bound)
        except (InvalidTag, ValueError):
            raise DecryptionError("This file is damaged, or not whole") from None
        if not following:
            return
        piece, number = following, number + 1


def key_id(key: bytes) -> bytes:
    """What stands for a key in an envelope; it tells nothing of the key."""
    return hashlib.sha256(b"connectwyze key id" + key).digest()[:KEY_ID_BYTES]


def parse_keys(text: str) -> list[bytes]:
    """Keys as the environment has them: base64url of 32 bytes each, the newest first, between commas.

    Raises ValueError for anything else, and for a key that is not random.
    """
    keys = []
    for part in text.split(","):
        try:
            key = base64.b64decode(part.strip() + "=" * (-len(part.strip()) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            key = b""
        if len(key) != KEY_BYTES:
            raise ValueError("needs keys of 32 random bytes each in base64url, the newest first, between commas")
        if len(set(key)) < KEY_BYTES // 2:
            raise ValueError("is too weak: each key must be 32 random bytes")
        keys.append(key)
    return keys


def _nonce(number: int, *, last: bool) -> bytes:
    return number.to_bytes(NONCE_BYTES - 1, "big") + bytes([last])


def _bound(header: bytes, context: Sequence[str]) -> bytes:
    """The associated data; each part carries its length, so that no two contexts look the same."""
    parts = [part.encode() for part in context]
    return header + b"".join(len(part).to_bytes(4, "big") + part for part in parts)

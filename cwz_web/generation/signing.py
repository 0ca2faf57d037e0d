"""Signed image URLs: `/i/{template}.{extension}?column=value&s=signature`.

The signature is HMAC-SHA256 (RFC 2104), in base64url without padding, over the path's last part, a line feed, and the
parameters, sorted by name and encoded as application/x-www-form-urlencoded, without `s` itself. The key belongs to one
workspace and is derived from the installation's signing secret with HKDF (RFC 5869), so it is stored nowhere.
"""

import base64
import hmac
from collections.abc import Mapping
from urllib.parse import urlencode
from uuid import UUID

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

PARAMETER = "s"


def signing_key(secret: str, workspace_id: UUID) -> bytes:
    """The key of a workspace's signed URLs."""
    return HKDF(SHA256(), length=32, salt=None, info=b"signed-url/1/" + workspace_id.bytes).derive(secret.encode())


def sign(key: bytes, file_name: str, parameters: Mapping[str, str]) -> str:
    """The signature of a picture's address.

    Arguments:
        file_name: `{template}.{extension}`, as in the path.
        parameters: the query, each name once.
    """
    query = urlencode(sorted((name, value) for name, value in parameters.items() if name != PARAMETER))
    digest = hmac.digest(key, f"{file_name}\n{query}".encode(), "sha256")
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def signed_path(key: bytes, file_name: str, parameters: Mapping[str, str]) -> str:
    """The path and query of a picture's signed address."""
    query = urlencode(sorted(parameters.items()) + [(PARAMETER, sign(key, file_name, parameters))])
    return f"/i/{file_name}?{query}"


def is_signed(key: bytes, file_name: str, parameters: Mapping[str, str]) -> bool:
    """Whether the parameters carry the right signature; compared in constant time."""
    given = parameters.get(PARAMETER, "")
    return hmac.compare_digest(given.encode("utf-8", "replace"), sign(key, file_name, parameters).encode())

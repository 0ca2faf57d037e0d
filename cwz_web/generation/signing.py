"""Signed addresses of pictures: `/i/{template}.{extension}?column=value&s=signature`, and `/i/assets/…` for kept ones.

The signature is HMAC-SHA256 (RFC 2104), in base64url without padding, over the path below `/i/`, a line feed, and the
parameters, sorted by name and encoded as application/x-www-form-urlencoded, without `s` itself. The key belongs to one
workspace and is derived from the installation's signing secret with HKDF (RFC 5869), so it is stored nowhere.
"""

import base64
import hmac
from collections.abc import Mapping
from functools import lru_cache
from urllib.parse import urlencode
from uuid import UUID

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from cwz_web.generation.models import Asset
from cwz_web.imaging.encoders import Format

PARAMETER = "s"


class Addresses:
    """The installation's signed addresses: makes them and checks them.

    Arguments:
        secret: the installation's signing secret.
    """

    def __init__(self, secret: str) -> None:
        self._secret = secret
        self._key = lru_cache(maxsize=1024)(self._derive)

    def image(self, workspace_id: UUID, template_id: UUID, format: Format, data: Mapping[str, str]) -> str:
        """The path and query of a picture that is made when it is asked for."""
        return self._signed(workspace_id, f"{template_id}.{format}", data)

    def asset(self, asset: Asset) -> str:
        """The path and query of a kept picture."""
        extension = asset.key.rpartition(".")[2]
        return self._signed(asset.workspace_id, f"assets/{asset.workspace_id}/{asset.id}.{extension}", {})

    def is_signed(self, workspace_id: UUID, path: str, parameters: Mapping[str, str]) -> bool:
        """Whether the parameters carry the right signature for the path below `/i/`; compared in constant time."""
        given = parameters.get(PARAMETER, "")
        return hmac.compare_digest(given.encode("utf-8", "replace"), self.sign(workspace_id, path, parameters).encode())

    def sign(self, workspace_id: UUID, path: str, parameters: Mapping[str, str]) -> str:
        """The signature of a path below `/i/` and its parameters."""
        query = urlencode(sorted((name, value) for name, value in parameters.items() if name != PARAMETER))
        digest = hmac.digest(self._key(workspace_id), f"{path}\n{query}".encode(), "sha256")
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()

    def _signed(self, workspace_id: UUID, path: str, parameters: Mapping[str, str]) -> str:
        signature = self.sign(workspace_id, path, parameters)
        return f"/i/{path}?{urlencode([*sorted(parameters.items()), (PARAMETER, signature)])}"

    def _derive(self, workspace_id: UUID) -> bytes:
        info = b"signed-url/1/" + workspace_id.bytes
        return HKDF(SHA256(), length=32, salt=None, info=info).derive(self._secret.encode())

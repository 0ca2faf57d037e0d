"""Signed addresses of images: `/i/{template}.{extension}?column=value&k=1&s=…`, and `/i/images/…` for kept ones.

The signature is HMAC-SHA256 (RFC 2104), in base64url without padding, over the path below `/i/`, a line feed, and the
parameters, sorted by name and encoded as application/x-www-form-urlencoded, without `s` itself. `k` is the number of
the workspace's signing key, `e` the Unix time until which the address is good. The keys are derived from the
installation's signing secret with HKDF (RFC 5869), so they are stored nowhere; customers see theirs and sign with them.
Addresses without `k` are signed by us, with a key that nobody sees. docs/api.md has test vectors.
"""

import base64
import hmac
import math
import re
import time
from collections.abc import Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from cwz_web.crypto import derive
from cwz_web.generation.models import Image
from cwz_web.imaging.encoders import Format
from cwz_web.workspaces.models import Workspace

PARAMETER = "s"
KEY = "k"
EXPIRY = "e"
KEY_PREFIX = "cwz_sign_"
# Twice what a page shows it at, for fine screens.
THUMBNAIL_WIDTH = 480

_number = re.compile(r"\d{1,12}", re.ASCII)


class InvalidSignedUrlError(Exception):
    """The address is not signed, or with a key that is good no more, or its time is over. The message says which."""


def valid_numbers(workspace: Workspace) -> range:
    """The numbers of the keys with which a workspace's addresses may be signed."""
    return range(workspace.signing_oldest, workspace.signing_number + 1)


class SignedUrls:
    """The installation's signed addresses: makes them and checks them.

    Arguments:
        secret: the installation's signing secret.
        url: where people reach it.
    """

    def __init__(self, secret: str, url: str = "") -> None:
        self._secret, self._url = secret, url
        self._derived = lru_cache(maxsize=4096)(self._derive)

    def on_demand_image(self, workspace_id: UUID, template_id: UUID, format: Format, data: Mapping[str, str]) -> str:
        """The path and query of an image that is made when it is asked for."""
        return self._signed(workspace_id, f"{template_id}.{format}", data)

    def image(self, image: Image) -> str:
        """The path and query of a kept image."""
        return self._image(image.workspace_id, image.id, image.key)

    def thumbnail(self, image: Image) -> str:
        """The path and query of a small image of a kept one, for pages."""
        path = f"images/{image.workspace_id}/{image.id}.{Format.WEBP}"
        return self._signed(image.workspace_id, path, {"width": str(THUMBNAIL_WIDTH)})

    def url_of_image(self, workspace_id: UUID, image_id: UUID, key: str) -> str:
        """The whole address of a kept image that lies at a key of its storage."""
        return self._url + self._image(workspace_id, image_id, key)

    def output_feed(self, workspace: Workspace, feed_id: UUID, template_id: UUID, column: str = "") -> str:
        """The whole address of a feed with its images' addresses. It is good as long as the newest signing key is."""
        path, number = f"feeds/{workspace.id}/{feed_id}.csv", workspace.signing_number
        parameters = {"template": str(template_id), KEY: str(number)} | ({"column": column} if column else {})
        key = self.key(workspace.id, number).encode()
        return self._url + _with_signature(key, path, parameters)

    def describe(self, image: Image) -> dict[str, Any]:
        """What programs are told of a kept image; its `url` opens it for whoever has it."""
        return {
            "id": str(image.id),
            "url": self._url + self.image(image),
            "digest": image.digest,
            "width": image.width,
            "height": image.height,
            "bytes": image.size,
            "content_type": image.content_type,
        }

    def key(self, workspace_id: UUID, number: int) -> str:
        """One of the workspace's own signing keys. Its characters, in ASCII, are the key of the HMAC."""
        derived = self._derived(workspace_id, f"signing-key/{number}")
        return KEY_PREFIX + base64.urlsafe_b64encode(derived).rstrip(b"=").decode()

    def check(self, workspace_id: UUID, path: str, parameters: Mapping[str, str], numbers: range) -> float:
        """See that a path below `/i/` may be shown. Raises InvalidSignedUrlError. Signatures are compared in constant time.

        Arguments:
            numbers: the keys that are good (see valid_numbers).
        Returns the Unix time until which it may.
        """
        if KEY in parameters:
            number = int(parameters[KEY]) if _number.fullmatch(parameters[KEY]) else 0
            if number not in numbers:
                raise InvalidSignedUrlError("The key with which this address was signed is good no more")
            key = self.key(workspace_id, number).encode()
        else:
            key = self._derived(workspace_id, "signed-url/1")
        given = parameters.get(PARAMETER, "").encode("utf-8", "replace")
        if not hmac.compare_digest(given, sign(key, path, parameters).encode()):
            raise InvalidSignedUrlError("The signature does not fit this address: sign it again after any change")
        if EXPIRY not in parameters:
            return math.inf
        expiry = parameters[EXPIRY]
        if not (_number.fullmatch(expiry) and time.time() < int(expiry)):
            raise InvalidSignedUrlError("The time of this address is over")
        return float(expiry)

    def _image(self, workspace_id: UUID, image_id: UUID, key: str) -> str:
        extension = key.rpartition(".")[2]
        return self._signed(workspace_id, f"images/{workspace_id}/{image_id}.{extension}", {})

    def _signed(self, workspace_id: UUID, path: str, parameters: Mapping[str, str]) -> str:
        return _with_signature(self._derived(workspace_id, "signed-url/1"), path, parameters)

    def _derive(self, workspace_id: UUID, purpose: str) -> bytes:
        return derive(self._secret, purpose.encode() + b"/" + workspace_id.bytes)


def sign(key: bytes, path: str, parameters: Mapping[str, str]) -> str:
    """The signature of a path below `/i/` and its parameters."""
    query = urlencode(sorted((name, value) for name, value in parameters.items() if name != PARAMETER))
    digest = hmac.digest(key, f"{path}\n{query}".encode(), "sha256")
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def _with_signature(key: bytes, path: str, parameters: Mapping[str, str]) -> str:
    """The path and query of a signed address."""
    signature = sign(key, path, parameters)
    return f"/i/{path}?{urlencode([*sorted(parameters.items()), (PARAMETER, signature)])}"

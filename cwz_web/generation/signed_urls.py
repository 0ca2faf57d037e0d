"""Signed URLs of on-demand images (`/i/{template}.png?title=…&k=1&s=…`) and stored ones.

The signature is HMAC-SHA256 (RFC 2104), in base64url without padding, over the path below `/i/`, a line feed, and the
parameters, sorted by name and encoded as application/x-www-form-urlencoded, without `s` itself. `k` is the number of
the workspace's signing key, `e` the Unix time at which the URL expires. The keys are derived from the installation's
signing secret with HKDF (RFC 5869), so they are not stored; customers sign with theirs. URLs without `k` are signed by
the application, with a key that is not shown. docs/api.md has test vectors.
"""

import base64
import hmac
import re
import time
from collections.abc import Callable, Mapping
from functools import lru_cache
from urllib.parse import urlencode
from uuid import UUID

from cwz_web.crypto import derive
from cwz_web.generation.models import Image
from cwz_web.imaging.encoders import Format
from cwz_web.workspaces.models import Workspace

SIGNATURE = "s"
KEY = "k"
EXPIRY = "e"
KEY_PREFIX = "cwz_sign_"
# Twice the width at which a page shows it, for high-density screens.
THUMBNAIL_WIDTH = 480

_number = re.compile(r"\d{1,12}", re.ASCII)


class InvalidSignedUrlError(Exception):
    """A URL whose signature is missing or wrong, whose key was retired, or that has expired."""


def valid_numbers(workspace: Workspace) -> range:
    """Return the numbers of a workspace's valid signing keys."""
    return range(workspace.oldest_signing_key_number, workspace.signing_key_number + 1)


class SignedUrls:
    """Creates and checks the installation's signed URLs.

    Args:
        secret: the installation's signing secret.
        url: the URL of the site.
    """

    def __init__(self, secret: str, url: str = "") -> None:
        self._secret, self._url = secret, url
        # Deriving a key takes half of the time that an output feed needs for an image's URL.
        self._derived = lru_cache(maxsize=4096)(self._derive)

    def on_demand_image(self, workspace_id: UUID, template_id: UUID, format: Format, data: Mapping[str, str]) -> str:
        """Return the path and query of an on-demand image.

        Args:
            workspace_id: the workspace.
            template_id: the template.
            format: the format of the image.
            data: values of the template's fields, and options.
        """
        return self._signed(workspace_id, f"{template_id}.{format}", data)

    def image(self, image: Image) -> str:
        """Return the path and query of a stored image."""
        return self._image(image.workspace_id, image.id, image.key)

    def thumbnail(self, image: Image) -> str:
        """Return the path and query of a stored image's thumbnail."""
        path = f"images/{image.workspace_id}/{image.id}.{Format.WEBP}"
        return self._signed(image.workspace_id, path, {"width": str(THUMBNAIL_WIDTH)})

    def image_url(self, workspace_id: UUID) -> Callable[[UUID | str, str], str]:
        """Return a function that returns the signed URL of a workspace's image by its id and its object key.

        `ImageUrls` returns the one to publish.
        """
        folder = f"images/{workspace_id}/"
        base = f"{self._url}/i/{folder}"
        # Copied for each image, which takes less time than to begin with the key.
        begun = hmac.new(self._derived(workspace_id, "signed-url/1"), folder.encode(), "sha256")

        def url_of(image_id: UUID | str, object_key: str) -> str:
            name = f"{image_id}.{object_key.rpartition('.')[2]}"
            signature = begun.copy()
            signature.update(f"{name}\n".encode())
            return f"{base}{name}?{SIGNATURE}={_encode(signature.digest())}"

        return url_of

    def output_feed(self, workspace: Workspace, feed_id: UUID, template_id: UUID, column: str = "") -> str:
        """Return the URL of an output feed; valid until the newest signing key is retired.

        Args:
            workspace: the workspace.
            feed_id: the feed.
            template_id: the template whose images it contains.
            column: the column for the first image's URL; a new one by default.
        """
        path = f"feeds/{workspace.id}/{feed_id}.csv"
        parameters = {"template": str(template_id)} | ({"column": column} if column else {})
        return self._with_newest_key(workspace, path, parameters)

    def campaign_feed(self, workspace: Workspace, campaign_id: UUID, column: str = "") -> str:
        """Return the URL of a campaign's output feed; valid until the newest signing key is retired.

        Args:
            workspace: the workspace.
            campaign_id: the campaign.
            column: the column for the first image's URL; a new one by default.
        """
        path = f"campaigns/{workspace.id}/{campaign_id}.csv"
        return self._with_newest_key(workspace, path, {"column": column} if column else {})

    def channel_feed(self, workspace: Workspace, channel_id: UUID, extension: str) -> str:
        """Return the URL of a channel's feed; valid until the newest signing key is retired.

        Args:
            workspace: the workspace.
            channel_id: the channel.
            extension: what the name of the file ends with, such as `csv.gz`.
        """
        return self._with_newest_key(workspace, f"channels/{workspace.id}/{channel_id}.{extension}", {})

    def key(self, workspace_id: UUID, number: int) -> str:
        """Return a workspace's signing key by its number; its ASCII characters are the key of the HMAC."""
        derived = self._derived(workspace_id, f"signing-key/{number}")
        return KEY_PREFIX + base64.urlsafe_b64encode(derived).rstrip(b"=").decode()

    def check(self, workspace_id: UUID, path: str, parameters: Mapping[str, str], numbers: range) -> None:
        """Check the signature of a URL, in constant time, and that it has not expired.

        Args:
            workspace_id: the workspace that the URL belongs to.
            path: the path below `/i/`.
            parameters: the parameters of the query string, the signature included.
            numbers: the workspace's valid signing keys (see valid_numbers).

        Raises:
            InvalidSignedUrlError: The signature is wrong, its key was retired, or the URL has expired.
        """
        if KEY in parameters:
            number = int(parameters[KEY]) if _number.fullmatch(parameters[KEY]) else 0
            if number not in numbers:
                raise InvalidSignedUrlError("The signing key of this URL is not valid. Sign it with the newest key.")
            key = self.key(workspace_id, number).encode()
        else:
            key = self._derived(workspace_id, "signed-url/1")
        signature = parameters.get(SIGNATURE, "").encode("utf-8", "replace")
        if not hmac.compare_digest(signature, sign(key, path, parameters).encode()):
            raise InvalidSignedUrlError("The signature does not match this URL. Sign the URL again after every change.")
        expiry = parameters.get(EXPIRY)
        if expiry is not None and not (_number.fullmatch(expiry) and time.time() < int(expiry)):
            raise InvalidSignedUrlError("This URL has expired")

    def _with_newest_key(self, workspace: Workspace, path: str, parameters: Mapping[str, str]) -> str:
        number = workspace.signing_key_number
        key = self.key(workspace.id, number).encode()
        return self._url + _with_signature(key, path, {**parameters, KEY: str(number)})

    def _image(self, workspace_id: UUID, image_id: UUID, key: str) -> str:
        extension = key.rpartition(".")[2]
        return self._signed(workspace_id, f"images/{workspace_id}/{image_id}.{extension}", {})

    def _signed(self, workspace_id: UUID, path: str, parameters: Mapping[str, str]) -> str:
        return _with_signature(self._derived(workspace_id, "signed-url/1"), path, parameters)

    def _derive(self, workspace_id: UUID, purpose: str) -> bytes:
        return derive(self._secret, purpose.encode() + b"/" + workspace_id.bytes)


def sign(key: bytes, path: str, parameters: Mapping[str, str]) -> str:
    """Return the signature of a path below `/i/` and its parameters."""
    signed = sorted((name, value) for name, value in parameters.items() if name != SIGNATURE)
    query = urlencode(signed) if signed else ""
    return _encode(hmac.digest(key, f"{path}\n{query}".encode(), "sha256"))


def _encode(digest: bytes) -> str:
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def _with_signature(key: bytes, path: str, parameters: Mapping[str, str]) -> str:
    signature = sign(key, path, parameters)
    return f"/i/{path}?{urlencode([*sorted(parameters.items()), (SIGNATURE, signature)])}"

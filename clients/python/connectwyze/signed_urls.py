"""Signed URLs of on-demand images, made without a request."""

import base64
import hashlib
import hmac
import time
from collections.abc import Mapping
from urllib.parse import urlencode


def sign_url(
    url: str,
    template: str,
    data: Mapping[str, str],
    *,
    key: str,
    key_number: int,
    format: str = "jpg",
    expires_in: int | None = None,
) -> str:
    """Return the signed URL of an on-demand image.

    Args:
        url: the URL of the installation.
        template: the id of the template.
        data: values of its fields, and options such as `_size`.
        key: the signing key, `cwz_sign_…`. It is a secret: sign on a server.
        key_number: its number.
        format: `jpg`, `png`, `webp` or `avif`.
        expires_in: the seconds until the URL expires; by default, it does not.
    """
    path = f"{template}.{format}"
    expiry = {} if expires_in is None else {"e": str(int(time.time()) + expires_in)}
    query = urlencode(sorted({**data, **expiry, "k": str(key_number)}.items()))
    digest = hmac.new(key.encode(), f"{path}\n{query}".encode(), hashlib.sha256).digest()
    signature = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    return f"{url.rstrip('/')}/i/{path}?{query}&s={signature}"

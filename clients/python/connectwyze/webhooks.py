"""Verification of webhooks, which are signed as in Standard Webhooks (https://www.standardwebhooks.com)."""

import base64
import binascii
import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from typing import Any

PREFIX = "whsec_"
TOLERANCE_SECONDS = 300


class InvalidWebhookError(Exception):
    """A message that was not signed with the secret, or not now."""


def verify_webhook(
    body: bytes, headers: Mapping[str, str], secret: str, *, tolerance: int = TOLERANCE_SECONDS
) -> dict[str, Any]:
    """Return the message of a webhook whose signature is valid.

    Args:
        body: the body of the request as it was received. A parsed and written body has another signature.
        headers: the headers of the request.
        secret: the secret of the webhook, `whsec_…`.
        tolerance: the largest difference of the clocks, in seconds; older messages may have been recorded and replayed.

    Returns:
        The message with `type`, `timestamp` and `data`. A message can arrive twice: compare its `webhook-id`.

    Raises:
        InvalidWebhookError: A header is missing, the signature is wrong, or the message is too old or too new.
        ValueError: The secret is malformed.
    """
    lowered = {name.lower(): value for name, value in headers.items()}
    try:
        message_id, timestamp = lowered["webhook-id"], lowered["webhook-timestamp"]
        signatures = lowered["webhook-signature"]
    except KeyError as error:
        raise InvalidWebhookError(f"The header {error.args[0]} is missing") from None
    if not (timestamp.isascii() and timestamp.isdigit()) or len(timestamp) > 12:
        raise InvalidWebhookError("The header webhook-timestamp is not a Unix time")
    if abs(time.time() - int(timestamp)) > tolerance:
        raise InvalidWebhookError("The message was not signed now")
    signed = f"{message_id}.{timestamp}.".encode() + body
    expected = base64.b64encode(hmac.new(_key(secret), signed, hashlib.sha256).digest())
    candidates = [each.removeprefix("v1,").encode() for each in signatures.split() if each.startswith("v1,")]
    if not any(hmac.compare_digest(each, expected) for each in candidates):
        raise InvalidWebhookError("The signature does not match")
    message: dict[str, Any] = json.loads(body)
    return message


def _key(secret: str) -> bytes:
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except binascii.Error:
        key = b""
    if not secret.startswith(PREFIX) or not key:
        raise ValueError("A secret of a webhook begins with whsec_")
    return key

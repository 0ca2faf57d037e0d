"""Client of the ConnectWyze API.

`Client` and `AsyncClient` send requests; `connectwyze.rest.api` has a function for each operation of the OpenAPI
document, and `connectwyze.rest.models` its models.
"""

from connectwyze.client import AsyncClient, Client, RenderedImage
from connectwyze.errors import ApiError, WaitTimeoutError
from connectwyze.signed_urls import sign_url
from connectwyze.webhooks import InvalidWebhookError, verify_webhook

__all__ = [
    "ApiError",
    "AsyncClient",
    "Client",
    "InvalidWebhookError",
    "RenderedImage",
    "WaitTimeoutError",
    "sign_url",
    "verify_webhook",
]

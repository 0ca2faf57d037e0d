"""How a worker and the web application talk about a chunk: signed JSON over HTTP, to `/hooks/render`.

The signature is that of Standard Webhooks (https://www.standardwebhooks.com): HMAC-SHA256 over id, timestamp and body,
five minutes of tolerance, compared in constant time. The key is derived from the render secret.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import sha256
from typing import Annotated, Literal, Self
from uuid import UUID

import httpx
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, model_validator
from standardwebhooks.webhooks import Webhook, WebhookVerificationError
from uuid_utils.compat import uuid7

from cwz_web.generation.images import StoredImage
from cwz_web.imaging.documents import ImageTemplate
from cwz_web.imaging.encoders import Format, Output
from cwz_web.storage.plugins import DelegatedConnection, Place

PATH = "/hooks/render"
# What `image_key` and `original_key` make.
KEY = rf"^[0-9a-f-]{{36}}/(originals/[0-9a-f]{{64}}|images/[0-9a-f]{{2}}/[0-9a-f]{{64}}\.({'|'.join(Format)}))$"
TIMEOUT = httpx.Timeout(30, connect=5)


class Message(BaseModel):
    """Anything that is said: what it does not know, it refuses."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Result(Message):
    """What became of one item: an image, perhaps with a note of what is missing in it, or why there is none."""

    position: int
    kept: StoredImage | None = None
    note: Annotated[str, Field(max_length=500)] | None = None
    error: Annotated[str, Field(max_length=500)] | None = None


class AskSpecification(Message):
    """The worker asks what a chunk consists of."""

    type: Literal["specification"] = "specification"
    workspace_id: UUID
    run_id: UUID
    chunk: int


class Report(Message):
    """The worker tells what became of items."""

    type: Literal["report"] = "report"
    workspace_id: UUID
    run_id: UUID
    results: Annotated[tuple[Result, ...], Field(max_length=500)]
    seconds: Annotated[float, Field(ge=0, le=3600)] = 0.0  # that it took


class AskAddress(Message):
    """The worker asks for a signed address: to read an original of the workspace, or to store an image of it."""

    type: Literal["address"] = "address"
    workspace_id: UUID
    run_id: UUID
    connection_id: UUID
    key: Annotated[str, Field(pattern=KEY)]

    @model_validator(mode="after")
    def _own(self) -> Self:
        if not self.key.startswith(f"{self.workspace_id}/"):
            raise ValueError("An object of another workspace")
        return self


class Address(Message):
    """Signed addresses: to read an object, and to store it if it is an image."""

    read: str
    store: str | None = None


class Trouble(Message):
    """Why the storage gives no address; whether it may later."""

    message: Annotated[str, Field(max_length=500)]
    passing: bool


class Item(Message):
    """An image to render: the values of its row, and which of the outputs it is."""

    position: int
    data: dict[str, str]
    output: int = 0


class Specification(Message):
    """Everything that a worker needs for a chunk: the items that are still to do, and how and where."""

    template: ImageTemplate
    outputs: Annotated[tuple[Output, ...], Field(min_length=1)]
    places: Annotated[tuple[Place | DelegatedConnection, ...], Field(min_length=1)]  # the first is where the images go
    items: tuple[Item, ...]


class MessageRefusedError(Exception):
    """A message is not signed as it must be."""


class RunGoneError(Exception):
    """The run is not there any more."""


Asked = AskSpecification | AskAddress | Report
AnyMessage: TypeAdapter[Asked] = TypeAdapter(Annotated[Asked, Field(discriminator="type")])
Lending: TypeAdapter[Address | Trouble] = TypeAdapter(Address | Trouble)


def sign(secret: str, body: str) -> dict[str, str]:
    """The headers of a signed message."""
    identity, now = f"msg_{uuid7().hex}", datetime.now(UTC)
    return {
        "webhook-id": identity,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": _webhook(secret).sign(identity, now, body),
    }


def verify(secret: str, headers: Mapping[str, str], body: bytes) -> tuple[str, Asked]:
    """The id and the content of a signed message. Raises Refused, and pydantic's ValidationError for odd content."""
    try:
        _webhook(secret).verify(body, dict(headers), json_parse=False)
    except (WebhookVerificationError, ValueError):  # malformed headers surface as ValueError
        raise MessageRefusedError from None
    identity = {name.lower(): value for name, value in headers.items()}["webhook-id"]
    return identity, AnyMessage.validate_json(body)


class RenderClient:
    """The worker's side. Keeps its connection; safe to use from several threads.

    Arguments:
        target: the web application's base URL.
        secret: the render secret.
    """

    def __init__(self, target: str, secret: str) -> None:
        self._secret = secret
        self._client = httpx.Client(base_url=target, timeout=TIMEOUT, trust_env=False)

    def specification(self, ask: AskSpecification) -> Specification:
        """What the chunk consists of. Raises Gone, or httpx.HTTPError when the web does not answer."""
        return Specification.model_validate_json(self._send(ask))

    def address(self, ask: AskAddress) -> Address | Trouble:
        """An address to read or store an object. Raises Gone, or httpx.HTTPError when the web does not answer."""
        return Lending.validate_json(self._send(ask))

    def report(self, report: Report) -> None:
        """Tell what became of items. Raises Gone, or httpx.HTTPError when the web does not answer."""
        self._send(report)

    def _send(self, message: Asked) -> bytes:
        body = message.model_dump_json()
        headers = {"Content-Type": "application/json", **sign(self._secret, body)}
        response = self._client.post(PATH, content=body, headers=headers)
        if response.status_code == httpx.codes.NOT_FOUND:
            raise RunGoneError
        response.raise_for_status()
        return response.content


def _webhook(secret: str) -> Webhook:
    return Webhook(sha256(b"render/1/" + secret.encode()).digest())

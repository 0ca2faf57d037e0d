"""Messages between a render worker and the web application: signed JSON over HTTP, sent to `/hooks/render`.

The signature is that of Standard Webhooks (https://www.standardwebhooks.com): HMAC-SHA256 over id, timestamp and body,
with a tolerance of five minutes and a comparison in constant time. The key is derived from the render secret.
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

from cwz_web.generation.image_service import MAX_PHOTOS
from cwz_web.generation.image_sources import PhotoState
from cwz_web.generation.images import StoredImage
from cwz_web.generation.photo_processing import Processing
from cwz_web.imaging.documents import ImageTemplate
from cwz_web.imaging.encoders import Format, Output
from cwz_web.imaging.findings import MAX_FINDINGS, Finding
from cwz_web.imaging.tree_checks import MAX_PROCESSED_PHOTOS
from cwz_web.runs.missing_photos import OnMissingPhoto
from cwz_web.storage.image_names import FileName
from cwz_web.storage.image_objects import NO_LABEL, ImageLabel
from cwz_web.storage.plugins import DelegatedConnection
from cwz_web.values.formats import FormattedText, ValueFormat

PATH = "/hooks/render"
TIMEOUT = httpx.Timeout(30, connect=5)
# Of the id and the time of a message, without its body.
HEAD_SIGNATURE = "webhook-head-signature"
# Limits in bytes. An image is sent in base64, which takes four bytes for three; together with its message it must stay
# below the server's `max_request_body_size`.
MAX_MESSAGE_BYTES = 2 * 1024 * 1024
MAX_IMAGE_BYTES = 12 * 1024 * 1024
MAX_IMAGE_MESSAGE_BYTES = MAX_IMAGE_BYTES * 4 // 3 + 64 * 1024
# What `image_key` and `upload_key` return.
IMAGE_KEY = rf"[0-9a-f-]{{36}}/images/[0-9a-f]{{2}}/[0-9a-f]{{64}}\.({'|'.join(Format)})"
UPLOAD_KEY = r"[0-9a-f-]{36}/uploads/[0-9a-f]{64}"

# What the database's columns hold: 32 bits, and text without NUL.
Number = Annotated[int, Field(ge=0, lt=2**31)]
Explanation = Annotated[str, Field(max_length=500, pattern=r"^[^\x00]*$")]


class Message(BaseModel):
    """A message; unknown fields are rejected, and bytes are base64 in JSON."""

    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_bytes="base64", val_json_bytes="base64")


class ItemResult(Message):
    """The result of one item: an image, or the error that prevented it.

    Attributes:
        findings: what is wrong with the image.
        is_incomplete: whether a photo is missing in the image.
        photos: the state of its photos; None if it is not known.
        processings: its photos that image processors have changed.
        file_name: that of the label with which its image was stored.
        is_unchanged: whether the item's earlier image is kept, since its photos have not changed.
        is_postponed: whether the item waits for another attempt; `error` says why.
        retry_after: how many seconds the photo's host wants it to wait.
        attempts: how often the item had been postponed when the worker got it.
    """

    position: Number
    image: StoredImage | None = None
    findings: Annotated[tuple[Finding, ...], Field(max_length=MAX_FINDINGS)] = ()
    is_incomplete: bool = False
    photos: Annotated[tuple[PhotoState, ...], Field(max_length=MAX_PHOTOS)] | None = None
    processings: Annotated[tuple[Processing, ...], Field(max_length=MAX_PROCESSED_PHOTOS)] = ()
    file_name: FileName = ""
    is_unchanged: bool = False
    error: Explanation | None = None
    is_postponed: bool = False
    retry_after: Annotated[float, Field(ge=0, le=3600)] = 0.0
    attempts: Number = 0


class ChunkMessage(Message):
    """A message about one chunk of a run."""

    workspace_id: UUID
    run_id: UUID
    chunk: Number


class SpecificationRequest(ChunkMessage):
    """Request what is to be rendered of a chunk. The response is a `Specification`."""

    type: Literal["specification"] = "specification"


class RequeueRequest(ChunkMessage):
    """Request that the rest of a chunk waits behind other runs again."""

    type: Literal["requeue"] = "requeue"


class Report(Message):
    """Report the results of items.

    `seconds` is how long rendering them took, `retries` that of the specification.
    """

    type: Literal["report"] = "report"
    workspace_id: UUID
    run_id: UUID
    results: Annotated[tuple[ItemResult, ...], Field(max_length=500)]
    seconds: Annotated[float, Field(ge=0, le=3600)] = 0.0
    retries: Number = 0


class ObjectMessage(Message):
    """A message about one stored object of the workspace."""

    workspace_id: UUID
    run_id: UUID
    connection_id: UUID
    key: Annotated[str, Field(pattern=rf"^({IMAGE_KEY}|{UPLOAD_KEY})$")]

    @model_validator(mode="after")
    def _is_of_workspace(self) -> Self:
        if not self.key.startswith(f"{self.workspace_id}/"):
            raise ValueError("The object belongs to another workspace")
        return self


class PresignedUrlsRequest(ObjectMessage):
    """Request presigned URLs, to read an upload or to store an image. The response is `PresignedUrls`.

    `label` is about the image that may be stored.
    """

    type: Literal["presigned_urls"] = "presigned_urls"
    label: ImageLabel = NO_LABEL


class ObjectSizeRequest(ObjectMessage):
    """Request the size of an object, where the provider cannot presign URLs. The response is an `ObjectSize`."""

    type: Literal["object_size"] = "object_size"
    label: ImageLabel = NO_LABEL


class ReadObjectRequest(ObjectMessage):
    """Request an object's bytes, where the provider cannot presign URLs. The response is an `ObjectBody`."""

    type: Literal["read_object"] = "read_object"


class StoreImageRequest(ObjectMessage):
    """Store an image, where the provider cannot presign URLs. The response is an `ObjectSize`."""

    type: Literal["store_image"] = "store_image"
    key: Annotated[str, Field(pattern=rf"^{IMAGE_KEY}$")]
    body: Annotated[bytes, Field(max_length=MAX_IMAGE_BYTES)]
    label: ImageLabel = NO_LABEL


class PresignedUrls(Message):
    """URLs that read an object and, if it is an image, store it with exactly these headers."""

    get: str
    put: str | None = None
    put_headers: dict[str, str] = Field(default_factory=dict)


class ObjectSize(Message):
    """The size of an object in bytes; None when there is no such object."""

    size: int | None


class ObjectBody(Message):
    """The bytes of an object; None when there is no such object."""

    body: bytes | None


class StorageFailure(Message):
    """A storage error, and whether a later attempt may succeed."""

    message: Annotated[str, Field(max_length=500)]
    is_temporary: bool


class RunFinished(Message):
    """The run has finished: its workers need no object any more. It may be retried before they notice."""

    is_run_finished: Literal[True] = True


class RenderItem(Message):
    """An image to render: the values of its row, which of them are JSON numbers, and the index of its output.

    `photos` are the photos of an earlier image; if they have not changed, nothing is rendered. `label` is what the
    image's object says about it.
    """

    position: int
    data: dict[str, str]
    numbers: frozenset[str] = frozenset()
    output: int = 0
    photos: tuple[PhotoState, ...] = ()
    attempts: int = 0
    label: ImageLabel = NO_LABEL


class Specification(Message):
    """Everything that a render worker needs for a chunk. Images are stored in the first of the connections.

    `formats` says how the values of each field are written, `unmapped` are the fields that are empty in every row,
    `retries` is how often the run was retried.
    """

    template: ImageTemplate
    formats: dict[str, ValueFormat] = Field(default_factory=dict)
    outputs: Annotated[tuple[Output, ...], Field(min_length=1)]
    connections: Annotated[tuple[DelegatedConnection, ...], Field(min_length=1)]
    items: tuple[RenderItem, ...]
    unmapped: tuple[str, ...] = ()
    force: bool = False
    refresh_photos: bool = False
    on_missing_photo: OnMissingPhoto = OnMissingPhoto.KEEP
    retries: Number = 0

    def values_of(self, item: RenderItem) -> dict[str, str]:
        """Return the values of an item in their formats."""
        unknown = ValueFormat()
        return {
            name: FormattedText(text, self.formats.get(name, unknown), name in item.numbers)
            for name, text in item.data.items()
        }


class MessageRejectedError(Exception):
    """The message is not signed correctly, is too old, or was received before."""


class RunNotFoundError(Exception):
    """The run does not exist."""


class RunFinishedError(Exception):
    """The run has finished while its items were rendered: they have no result."""


ObjectRequest = PresignedUrlsRequest | ObjectSizeRequest | ReadObjectRequest | StoreImageRequest
ObjectResponse = PresignedUrls | ObjectSize | ObjectBody | StorageFailure | RunFinished
WorkerMessage = SpecificationRequest | RequeueRequest | Report | ObjectRequest
WORKER_MESSAGE: TypeAdapter[WorkerMessage] = TypeAdapter(Annotated[WorkerMessage, Field(discriminator="type")])
OBJECT_RESPONSE: TypeAdapter[ObjectResponse] = TypeAdapter(ObjectResponse)


def sign(secret: str, body: str) -> dict[str, str]:
    """Return the signature headers for a message.

    Args:
        secret: the render secret.
        body: the message as JSON.
    """
    message_id, now = f"msg_{uuid7().hex}", datetime.now(UTC)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": _webhook(secret).sign(message_id, now, body),
        HEAD_SIGNATURE: _webhook(secret).sign(message_id, now, ""),
    }


def has_valid_head(secret: str, headers: Mapping[str, str]) -> bool:
    """Return whether a message comes from a render worker, before its body is received.

    Args:
        secret: the render secret.
        headers: the headers, with lower-case names.
    """
    signature = headers.get(HEAD_SIGNATURE, "")
    try:
        _webhook(secret).verify(b"", {**headers, "webhook-signature": signature}, json_parse=False)
    except (WebhookVerificationError, ValueError):
        return False
    return True


def verify(secret: str, headers: Mapping[str, str], body: bytes) -> tuple[str, WorkerMessage]:
    """Check a message's signature. Return the message's id and content.

    Raises:
        MessageRejectedError: the signature is wrong or too old.
        pydantic.ValidationError: the signature is right, but the content is not a known message.
    """
    try:
        _webhook(secret).verify(body, dict(headers), json_parse=False)
    except (WebhookVerificationError, ValueError):  # malformed headers surface as ValueError
        raise MessageRejectedError from None
    message_id = {name.lower(): value for name, value in headers.items()}["webhook-id"]
    return message_id, WORKER_MESSAGE.validate_json(body)


class RenderClient:
    """The render worker's client of the web application. Keeps its connections; thread-safe.

    Every method raises RunNotFoundError, or httpx.HTTPError when the web application does not answer.

    Args:
        base_url: of the web application.
        secret: the render secret.
    """

    def __init__(self, base_url: str, secret: str) -> None:
        self._secret = secret
        self._client = httpx.Client(base_url=base_url, timeout=TIMEOUT, trust_env=False)

    def get_specification(self, request: SpecificationRequest) -> Specification:
        """Return the specification of a chunk."""
        return Specification.model_validate_json(self._send(request))

    def access_object(self, request: ObjectRequest) -> ObjectResponse:
        """Return presigned URLs of an object, or read or store it through the web application."""
        return OBJECT_RESPONSE.validate_json(self._send(request))

    def report(self, report: Report) -> None:
        """Report the results of items."""
        self._send(report)

    def requeue(self, request: RequeueRequest) -> None:
        """Requeue the rest of a chunk."""
        self._send(request)

    def _send(self, message: WorkerMessage) -> bytes:
        body = message.model_dump_json()
        headers = {"Content-Type": "application/json", **sign(self._secret, body)}
        response = self._client.post(PATH, content=body, headers=headers)
        if response.status_code == httpx.codes.NOT_FOUND:
            raise RunNotFoundError
        response.raise_for_status()
        return response.content


def _webhook(secret: str) -> Webhook:
    return Webhook(sha256(b"render/1/" + secret.encode()).digest())

"""The bodies of webhooks, for the OpenAPI document."""

from datetime import date, datetime
from typing import Literal
from uuid import UUID

from cwz_web.api.on_demand import StoredImageInfo
from cwz_web.api.pagination import ResponseModel
from cwz_web.api.publications import PublicationSummary
from cwz_web.api.request_body import Metadata
from cwz_web.api.runs import RunInfo
from cwz_web.campaigns.policy import ReasonCode
from cwz_web.imaging.findings import Finding
from cwz_web.notify.webhooks import Event


class WebhookEvent(ResponseModel):
    """What every event has in common: when it happened."""

    timestamp: datetime


class RunFinishedEvent(WebhookEvent):
    """A run has finished, and no image has failed."""

    type: Literal[Event.RUN_FINISHED]
    data: RunInfo


class RunFailedEvent(WebhookEvent):
    """A run has ended with failed images."""

    type: Literal[Event.RUN_FAILED]
    data: RunInfo


class NewImageInfo(StoredImageInfo):
    """A new image; `key` is that of its row.

    `run` is the id of its run, image request or set; null for a single image that was returned at once.
    """

    run: UUID | None
    template: UUID
    key: str
    findings: list[Finding]
    metadata: Metadata


class ImageCreatedEvent(WebhookEvent):
    """An image was stored."""

    type: Literal[Event.IMAGE_CREATED]
    data: NewImageInfo


class FailedImageInfo(ResponseModel):
    """A requested image that failed; `run` is the id of the image request, and `key` names the image."""

    run: UUID
    template: UUID
    key: str
    error: str | None
    metadata: Metadata


class ImageFailedEvent(WebhookEvent):
    """A requested image could not be rendered."""

    type: Literal[Event.IMAGE_FAILED]
    data: FailedImageInfo


class FailedFeedInfo(ResponseModel):
    """A feed whose URL could not be fetched or imported, how often in a row, and the last error."""

    feed: UUID
    name: str
    error: str | None
    failures: int


class FeedFailedEvent(WebhookEvent):
    """A feed could not be fetched or imported."""

    type: Literal[Event.FEED_FAILED]
    data: FailedFeedInfo


class QuotaInfo(ResponseModel):
    """How much of a month's quota is used, in images and in percent; `month` is its first day."""

    percent: int
    used: int
    limit: int
    month: date


class QuotaReachedEvent(WebhookEvent):
    """80% or 100% of the monthly image quota is used."""

    type: Literal[Event.QUOTA_REACHED]
    data: QuotaInfo


class PublicationEventInfo(PublicationSummary):
    """A publication of a campaign, which has the `name`; `reasons` say why it needs a decision."""

    campaign: UUID
    name: str
    reasons: list[ReasonCode]


class PublicationReadyEvent(WebhookEvent):
    """A publication of a campaign is ready, and is published at its time without a decision."""

    type: Literal[Event.PUBLICATION_READY]
    data: PublicationEventInfo


class PublicationHeldEvent(WebhookEvent):
    """A publication of a campaign waits for a decision; `reasons` say why."""

    type: Literal[Event.PUBLICATION_HELD]
    data: PublicationEventInfo


class PublicationPublishedEvent(WebhookEvent):
    """A publication of a campaign is public."""

    type: Literal[Event.PUBLICATION_PUBLISHED]
    data: PublicationEventInfo


class WrittenChannelInfo(ResponseModel):
    """A channel of a campaign whose feed changed: how many rows it has, and how many were left out."""

    id: UUID
    campaign: UUID
    name: str
    preset: str
    rows: int
    held: int
    written_at: datetime


class FailedChannelInfo(ResponseModel):
    """A channel of a campaign whose feed could not be written; the last one stays."""

    id: UUID
    campaign: UUID
    name: str
    preset: str
    error: str


class ChannelWrittenEvent(WebhookEvent):
    """The feed of a channel changed, and is served and delivered."""

    type: Literal[Event.CHANNEL_WRITTEN]
    data: WrittenChannelInfo


class ChannelFailedEvent(WebhookEvent):
    """The feed of a channel could not be written; sent once, until it is written again."""

    type: Literal[Event.CHANNEL_FAILED]
    data: FailedChannelInfo


WEBHOOK_EVENTS: dict[Event, type[WebhookEvent]] = {
    Event.RUN_FINISHED: RunFinishedEvent,
    Event.RUN_FAILED: RunFailedEvent,
    Event.IMAGE_CREATED: ImageCreatedEvent,
    Event.IMAGE_FAILED: ImageFailedEvent,
    Event.FEED_FAILED: FeedFailedEvent,
    Event.QUOTA_REACHED: QuotaReachedEvent,
    Event.PUBLICATION_READY: PublicationReadyEvent,
    Event.PUBLICATION_HELD: PublicationHeldEvent,
    Event.PUBLICATION_PUBLISHED: PublicationPublishedEvent,
    Event.CHANNEL_WRITTEN: ChannelWrittenEvent,
    Event.CHANNEL_FAILED: ChannelFailedEvent,
}

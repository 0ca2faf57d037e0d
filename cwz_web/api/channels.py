"""`/v1/campaigns/{id}/channels`: what platforms read of a campaign."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field
from pyramid.response import Response
from pyramid.view import view_config
from sqlalchemy.orm import Session

from cwz_web.api.pagination import ResponseModel, transaction
from cwz_web.api.request_body import Body, read_body
from cwz_web.campaigns.models import Campaign
from cwz_web.channels.delivery import enqueue_write, find_urls
from cwz_web.channels.editing import (
    InvalidChannelError,
    create_channel,
    delete_channel,
    list_channels,
    lock_channel,
    save_channel,
    suggest_fields,
)
from cwz_web.channels.fetch_log import LastFetch, last_fetches
from cwz_web.channels.findings import FeedReport
from cwz_web.channels.mapping import MAX_FIELDS, FieldMapping, MissingImage
from cwz_web.channels.models import Channel
from cwz_web.channels.presets import PRESETS
from cwz_web.resources.api import ApiChannel, ApiChannelCollection
from cwz_web.resources.permissions import Permission
from cwz_web.web.problems import ProblemError
from cwz_web.web.request import Request
from cwz_web.workspaces.audit import record

MAX_BODY = 1024 * 1024
ChannelName = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f]*$")]
FeedFormat = Literal["csv", "tsv", "xml", "json", "jsonl"]
Fields = Annotated[list[FieldMapping], Field(min_length=1, max_length=MAX_FIELDS)]


class ChannelSettings(Body):
    """The settings of a channel that can be left out.

    `fields` says what is written into each field of the platform, in the order of the file. `value` is the column, the
    text, the expression, or the number of the campaign's output, from 0. With a `connection`, the feed is also stored
    there, at a key that stays the same.
    """

    format: FeedFormat | None = None
    connection: UUID | None = None
    fields: Fields | None = None


class ChannelRequest(ChannelSettings):
    """The body of `POST …/channels`. Without `fields`, they are suggested by the names of the feed's columns."""

    name: ChannelName
    preset: Literal[tuple(PRESETS)]  # type: ignore[valid-type]
    gzip: bool = False
    on_missing: MissingImage = MissingImage.LAST


class ChannelChangeRequest(ChannelSettings):
    """The body of `PATCH …/channels/{id}`: what is left out stays as it is; `fields` are replaced as a whole."""

    name: ChannelName | None = None
    gzip: bool | None = None
    on_missing: MissingImage | None = None


class ChannelFetch(ResponseModel):
    """The last fetch of a feed from ConnectWyze; `program` is a family of user agents, such as `meta`."""

    program: str
    at: datetime


class ChannelInfo(ResponseModel):
    """A channel of a campaign.

    `url` serves the last feed that was written whole. `public_url` is that of the object in your storage; null without
    a connection, or if the connection has no public base URL. `written_at` is when the feed last changed;
    `up_to_date` is whether it is that of the public publication. `error_message` says why it could not be written.
    """

    id: UUID
    name: str
    preset: str
    format: FeedFormat
    gzip: bool
    on_missing: MissingImage
    connection: UUID | None
    url: str
    public_url: str | None
    written_at: datetime | None
    up_to_date: bool
    rows: int | None
    bytes: int
    last_fetch: ChannelFetch | None
    error_message: str | None
    created_at: datetime


class ChannelDetails(ChannelInfo):
    """A channel with its fields, and the report about the feed that was last written."""

    fields: list[FieldMapping]
    report: FeedReport | None


class ChannelList(ResponseModel):
    """The channels of a campaign, the oldest first."""

    channels: list[ChannelInfo]


@view_config(context=ApiChannelCollection, request_method="GET", renderer="json", permission=Permission.API_READ)
def get_channels(context: ApiChannelCollection, request: Request) -> dict[str, Any]:
    """List the channels of a campaign."""
    with transaction(request) as db:
        campaign = _campaign(db, context.campaign)
        fetches = last_fetches(db, campaign.workspace_id, campaign.id)
        found = [ChannelInfo(**_describe(request, db, campaign, each, fetches)) for each in list_channels(db, campaign)]
    return ChannelList(channels=found).model_dump(mode="json")


@view_config(
    context=ApiChannelCollection, request_method="POST", permission=Permission.API_CAMPAIGNS_WRITE, require_csrf=False
)
def post_channel(context: ApiChannelCollection, request: Request) -> Response:
    """Add a channel. Its feed is written at once if something of the campaign is public."""
    body = read_body(request, ChannelRequest, MAX_BODY)
    preset = PRESETS[body.preset]
    with transaction(request) as db:
        campaign = _campaign(db, context.campaign)
        fields = body.fields or suggest_fields(db, campaign, preset)
        try:
            channel = create_channel(
                db,
                campaign,
                preset,
                name=body.name,
                fields=fields,
                format=body.format or preset.formats[0],
                is_gzipped=body.gzip,
                on_missing=body.on_missing,
                connection_id=body.connection,
            )
        except InvalidChannelError as error:
            raise _invalid(error) from None
        enqueue_write(db, channel)
        _audit(db, request, "channel.create", channel)
        response = _response(request, db, campaign, channel, status=201)
    response.location = f"{request.path_url.rstrip('/')}/{channel.id}"
    return response


@view_config(context=ApiChannel, request_method="GET", permission=Permission.API_READ)
def get_channel(context: ApiChannel, request: Request) -> Response:
    """Return a channel with its fields and its report."""
    with transaction(request) as db:
        return _response(request, db, _campaign(db, context.campaign), context.channel)


@view_config(context=ApiChannel, request_method="PATCH", permission=Permission.API_CAMPAIGNS_WRITE, require_csrf=False)
def patch_channel(context: ApiChannel, request: Request) -> Response:
    """Change a channel; its feed is written again."""
    body = read_body(request, ChannelChangeRequest, MAX_BODY)
    with transaction(request) as db:
        campaign, channel = _campaign(db, context.campaign), _lock(db, context.channel)
        settings = {"name": body.name, "format": body.format, "is_gzipped": body.gzip, "on_missing": body.on_missing}
        changes: dict[str, Any] = {name: value for name, value in settings.items() if value is not None}
        if "connection" in body.model_fields_set:  # null removes it
            changes["connection_id"] = body.connection
        try:
            save_channel(db, campaign, channel, body.fields or channel.mappings, **changes)
        except InvalidChannelError as error:
            raise _invalid(error) from None
        enqueue_write(db, channel)
        _audit(db, request, "channel.change", channel)
        return _response(request, db, campaign, channel)


@view_config(context=ApiChannel, request_method="DELETE", permission=Permission.API_CAMPAIGNS_WRITE, require_csrf=False)
def remove_channel(context: ApiChannel, request: Request) -> Response:
    """Delete a channel; its feed is not served any more."""
    with transaction(request) as db:
        channel = _lock(db, context.channel)
        delete_channel(channel)
        _audit(db, request, "channel.delete", channel)
    return Response(status=204)


def _campaign(db: Session, campaign: Campaign) -> Campaign:
    return db.get_one(Campaign, (campaign.workspace_id, campaign.id))


def _lock(db: Session, channel: Channel) -> Channel:
    locked = lock_channel(db, channel.workspace_id, channel.id)
    if locked is None:
        raise ProblemError(404, "not_found", "There is no such channel")
    return locked


def _invalid(error: InvalidChannelError) -> ProblemError:
    return ProblemError(422, "invalid", "The request is not valid", {error.field: str(error)})


def _describe(
    request: Request, db: Session, campaign: Campaign, channel: Channel, fetches: Mapping[UUID, LastFetch]
) -> dict[str, Any]:
    urls = find_urls(db, request.services.signed_urls, channel)
    fetch, report = fetches.get(channel.id), channel.report or {}
    return {
        "id": channel.id,
        "name": channel.name,
        "preset": channel.preset,
        "format": channel.format,
        "gzip": channel.is_gzipped,
        "on_missing": channel.on_missing,
        "connection": channel.connection_id,
        "url": urls.served,
        "public_url": urls.public or None,
        "written_at": channel.written_at,
        "up_to_date": channel.is_up_to_date(campaign),
        "rows": report.get("rows"),
        "bytes": channel.size,
        "last_fetch": ChannelFetch(program=fetch.family, at=fetch.at) if fetch else None,
        "error_message": channel.error_message,
        "created_at": channel.created_at,
    }


def _response(request: Request, db: Session, campaign: Campaign, channel: Channel, status: int = 200) -> Response:
    fetches = last_fetches(db, campaign.workspace_id, campaign.id)
    described = _describe(request, db, campaign, channel, fetches)
    details = ChannelDetails(**described, fields=channel.mappings, report=channel.report)
    return Response(json_body=details.model_dump(mode="json"), status=status)


def _audit(db: Session, request: Request, action: str, channel: Channel) -> None:
    details = {"campaign": str(channel.campaign_id), "channel": str(channel.id)}
    record(db, channel.workspace_id, request.actor, action, channel.name, details)

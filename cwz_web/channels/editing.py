"""Adding channels to campaigns, changing and deleting them."""

import secrets
from collections import Counter
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from slugify import slugify
from sqlalchemy import func, select
from sqlalchemy.orm import Session
from uuid_utils.compat import uuid7

from cwz_web.campaigns.joins import load_columns
from cwz_web.campaigns.models import Campaign
from cwz_web.channels.design_images import load_design_images, output_shapes
from cwz_web.channels.field_columns import FieldColumn, InvalidMappingError, RowContext
from cwz_web.channels.mapping import MAPPINGS, MAX_FIELDS, FieldMapping, FieldSource
from cwz_web.channels.models import Channel
from cwz_web.channels.preset import FileFormat, ImageField, Preset
from cwz_web.channels.presets import PRESETS
from cwz_web.channels.suggestions import suggest_mappings
from cwz_web.db.session import FOR_NO_KEY_UPDATE
from cwz_web.i18n import gettext, number
from cwz_web.storage.models import Connection

MAX_CHANNELS = 20
TOKEN_BYTES = 18
MAX_SLUG = 60


class InvalidChannelError(ValueError):
    """A channel cannot be saved as it is; the message says why.

    Attributes:
        field: what it is about: `name`, `format`, `connection`, or `fields.<n>`, a mapping by its place.
    """

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


def list_channels(db: Session, campaign: Campaign) -> list[Channel]:
    """Return the channels of a campaign, the oldest first, without deleted ones."""
    channels = select(Channel).where(*_of(campaign)).order_by(Channel.id)
    return list(db.scalars(channels))


def create_channel(
    db: Session, campaign: Campaign, preset: Preset, *, name: str, fields: Sequence[FieldMapping], **settings: Any
) -> Channel:
    """Add a channel to a campaign, in the caller's transaction. Nothing is written yet.

    Args:
        db: the caller's transaction.
        campaign: the campaign.
        preset: the platform.
        name: for people.
        fields: the mappings.
        settings: other attributes of the channel.

    Raises:
        InvalidChannelError: it cannot be saved as it is, or the campaign has too many.
    """
    _check_count(db, campaign)
    channel = Channel(
        workspace_id=campaign.workspace_id,
        id=uuid7(),
        campaign_id=campaign.id,
        preset=preset.name,
        slug=slugify(name, max_length=MAX_SLUG) or "feed",
        token=secrets.token_urlsafe(TOKEN_BYTES),
        attempt=0,
    )
    save_channel(db, campaign, channel, fields, **{"name": name, "format": preset.formats[0], **settings})
    db.add(channel)
    db.flush()
    return channel


def _check_count(db: Session, campaign: Campaign) -> None:
    """Raise InvalidChannelError if a campaign can have no further channel."""
    count = db.scalar(select(func.count()).select_from(Channel).where(*_of(campaign))) or 0
    if count >= MAX_CHANNELS:
        message = gettext("A campaign can have at most %(max)s channels. Delete one first", max=MAX_CHANNELS)
        raise InvalidChannelError("name", message)


def lock_channel(db: Session, workspace_id: UUID, channel_id: UUID) -> Channel | None:
    """Return a channel, whose row no other transaction changes; None if it was deleted."""
    channel = db.get(Channel, (workspace_id, channel_id))
    if channel is not None:
        db.refresh(channel, with_for_update=FOR_NO_KEY_UPDATE)
    return channel if channel is not None and channel.deleted_at is None else None


def save_channel(
    db: Session, campaign: Campaign, channel: Channel, fields: Sequence[FieldMapping], **settings: Any
) -> None:
    """Check the changes of a channel, and make them, in the caller's transaction.

    Args:
        db: the caller's transaction.
        campaign: the campaign.
        channel: the channel.
        fields: its mappings.
        settings: its attributes that change.

    Raises:
        InvalidChannelError: it cannot be saved so; then nothing of it has changed.
    """
    preset = PRESETS[channel.preset]
    if "format" in settings and FileFormat(settings["format"]) not in preset.formats:
        raise InvalidChannelError("format", gettext("This platform does not read this file format"))
    connection_id = settings.get("connection_id")
    if connection_id and db.get(Connection, (campaign.workspace_id, connection_id)) is None:
        message = gettext("This storage connection does not exist any more. Choose another one")
        raise InvalidChannelError("connection", message)
    columns = load_columns(db, campaign)
    check_mappings(preset, fields, RowContext(columns.types, columns.formats), len(campaign.outputs))
    for name, value in settings.items():
        setattr(channel, name, value)
    channel.fields = MAPPINGS.dump_python(list(fields), mode="json")
    # A job that is writing the feed with the former settings finds out that it has to be written again.
    channel.attempt, channel.version = channel.attempt + 1, None


def check_mappings(preset: Preset, fields: Sequence[FieldMapping], context: RowContext, outputs: int) -> None:
    """Check the mappings of a channel.

    Args:
        preset: the platform.
        fields: the mappings.
        context: the columns of the campaign's rows.
        outputs: how many images a row has.

    Raises:
        InvalidChannelError: a mapping names what does not exist.
    """
    if len(fields) > MAX_FIELDS:
        raise InvalidChannelError("fields", gettext("A channel has at most %(max)s fields", max=number(MAX_FIELDS)))
    known = {field.name for field in preset.fields}
    seen: Counter[str] = Counter()
    for place, mapping in enumerate(fields):
        field, problem = preset.field(mapping.name), _problem(mapping, context.types, outputs)
        if seen[mapping.name] >= (field.max_images if isinstance(field, ImageField) else 1):
            problem = gettext("Each field can be there once")
        elif not preset.is_generic and mapping.name not in known:
            problem = gettext("The platform has no such field")
        try:
            FieldColumn(field, mapping, preset, context)
        except InvalidMappingError as error:
            problem = problem or str(error)
        if problem:
            raise InvalidChannelError(f"fields.{place}", problem)
        seen[mapping.name] += 1


def _problem(mapping: FieldMapping, columns: Collection[str], outputs: int) -> str:
    match mapping.source:
        case FieldSource.COLUMN if mapping.value not in columns:
            return gettext("The feed has no column “%(name)s”. Choose another one", name=mapping.value)
        case FieldSource.CONSTANT if not mapping.value:
            return gettext("Enter a text, or leave the field out")
        case FieldSource.IMAGE if mapping.value not in map(str, range(outputs)):
            return gettext("The rows have no such image. Choose another one")
    return ""


def suggest_fields(db: Session, campaign: Campaign, preset: Preset) -> list[FieldMapping]:
    """Return what a new channel of a campaign writes, by the names of its columns and the ratios of its images."""
    columns = load_columns(db, campaign)
    shapes = output_shapes(campaign, load_design_images(db, campaign), columns.names)
    return suggest_mappings(preset, columns.types, shapes, has_photos=bool(campaign.photo_column))


def delete_channel(channel: Channel) -> None:
    """Delete a channel; it can be restored. What was delivered to a bucket stays there."""
    channel.deleted_at = datetime.now(UTC)


def restore_channel(db: Session, campaign: Campaign, channel_id: UUID) -> Channel | None:
    """Restore a deleted channel of a campaign; None if there is none.

    Raises:
        InvalidChannelError: the campaign has too many by now.
    """
    channel = db.get(Channel, (campaign.workspace_id, channel_id))
    if channel is None or channel.campaign_id != campaign.id or channel.deleted_at is None:
        return None
    _check_count(db, campaign)
    channel.deleted_at, channel.version = None, None
    return channel


def extension_of(channel: Channel) -> str:
    """Return what the name of a channel's file ends with, such as `csv` or `xml.gz`."""
    return f"{channel.format}.gz" if channel.is_gzipped else str(channel.format)


def _of(campaign: Campaign) -> tuple[Any, ...]:
    return (
        Channel.workspace_id == campaign.workspace_id,
        Channel.campaign_id == campaign.id,
        Channel.deleted_at.is_(None),
    )

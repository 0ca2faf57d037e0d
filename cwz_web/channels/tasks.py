"""The jobs of channels."""

from uuid import UUID

import structlog
from procrastinate import JobContext
from sqlalchemy import select

from cwz_web.campaigns.checks import CHANNELS_TASK, enqueue_channel_check
from cwz_web.campaigns.models import Campaign
from cwz_web.channels.delivery import WRITE_TASK, WriteServices, enqueue_write, enqueue_writes, write_channel
from cwz_web.channels.models import Channel
from cwz_web.channels.publication_check import check_channels
from cwz_web.jobs import CHANNELS_QUEUE, DEFAULT_QUEUE, PREPARE_QUEUE, app

log = structlog.get_logger()

# Attempts to check the channels of a publication, in about six minutes.
CHECK_ATTEMPTS = 6
CHECK_WAIT = 3


@app.task(name=WRITE_TASK, queue=CHANNELS_QUEUE, pass_context=True)
def write(context: JobContext, workspace_id: str, channel_id: str) -> None:
    """Write the feed of a channel, and deliver it.

    What fails is enqueued again by `write_channel`, and not by a retry of the job: a newer job of the channel may be
    queued, and two with the same queueing lock cannot.
    """
    extra = context.additional_context
    services = WriteServices(extra["database"], extra["providers"], extra["signed_urls"])
    write_channel(services, UUID(workspace_id), UUID(channel_id))


@app.task(name="channels.write_campaign", queue=DEFAULT_QUEUE, pass_context=True)
def write_campaign(context: JobContext, workspace_id: str, campaign_id: str) -> None:
    """Enqueue the feeds of a campaign's channels after a publication."""
    workspace = UUID(workspace_id)
    with context.additional_context["database"].transaction(workspace) as db:
        campaign = db.get(Campaign, (workspace, UUID(campaign_id)))
        if campaign:
            enqueue_writes(db, campaign)


@app.task(name=CHANNELS_TASK, queue=PREPARE_QUEUE, pass_context=True)
def check_publication(context: JobContext, workspace_id: str, publication_id: str, attempt: int = 1) -> None:
    """Check what the channels of a campaign would write of a publication.

    A check that fails is enqueued again here, and not by a retry of the job, as for `write`.
    """
    extra, key = context.additional_context, (UUID(workspace_id), UUID(publication_id))
    transaction, is_last = extra["database"].transaction, attempt >= CHECK_ATTEMPTS
    try:
        check_channels(transaction, extra["signed_urls"], *key, is_last=is_last)
    except Exception:
        if is_last:
            raise
        log.exception("channels not checked", publication=publication_id, attempt=attempt)
        with transaction(key[0]) as db:
            enqueue_channel_check(db, *key, attempt=attempt + 1, wait=CHECK_WAIT**attempt)


@app.task(name="channels.write_workspace", queue=DEFAULT_QUEUE, pass_context=True)
def write_workspace(context: JobContext, workspace_id: str) -> None:
    """Enqueue the feeds of all channels of a workspace after images were deleted or restored."""
    workspace = UUID(workspace_id)
    with context.additional_context["database"].transaction(workspace) as db:
        channels = select(Channel).where(Channel.workspace_id == workspace, Channel.deleted_at.is_(None))
        for channel in db.scalars(channels):
            enqueue_write(db, channel)

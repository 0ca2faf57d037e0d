"""Slack messages in Block Kit (https://docs.slack.dev/block-kit): a sentence, a run's first images, a button."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import structlog
from procrastinate import JobContext
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from cwz_web.db.session import Database
from cwz_web.feeds.models import Feed
from cwz_web.generation.image_urls import ImageUrls
from cwz_web.generation.models import Image, Template
from cwz_web.generation.signed_urls import SignedUrls
from cwz_web.jobs import SLACK_QUEUE, LongRetry, app
from cwz_web.notify.slack import Slack, SlackRejectedError, decrypt_slack_token, find_slack_link
from cwz_web.notify.webhooks import Event
from cwz_web.runs.models import Run
from cwz_web.runs.progress import count_text, results_after
from cwz_web.workspaces.models import Workspace

PUBLICATION_SENTENCES = {
    Event.PUBLICATION_READY: "a publication is ready.",
    Event.PUBLICATION_HELD: "a publication waits for a decision.",
    Event.PUBLICATION_PUBLISHED: "a publication is public.",
}

# The first images of rows that show another one. The tables of campaigns are those of a higher layer.
_CHANGED_IMAGES = text("""
    SELECT key, CAST(images ->> 0 AS uuid) AS image FROM publication_changes
    WHERE workspace_id = :workspace AND publication_id = CAST(:publication AS uuid) AND differs AND kind <> 'removed'
      AND images ->> 0 IS NOT NULL
    ORDER BY position LIMIT :limit
""")

log = structlog.get_logger()

IMAGES = 3
MAX_TEXT = 2900
RETRY = LongRetry(max_wait=600, max_attempts=100)


@app.task(name="slack.post", queue=SLACK_QUEUE, retry=RETRY, pass_context=True)
def post(context: JobContext, workspace_id: str, event: str, payload: dict[str, Any]) -> None:
    """Post a message about an event."""
    extra = context.additional_context
    slack: Slack | None = extra["slack"]
    if slack is not None:
        post_event(
            extra["database"], slack, extra["ring"], extra["signed_urls"], UUID(workspace_id), Event(event), payload
        )


def post_event(
    database: Database,
    slack: Slack,
    ring: Any,
    signed_urls: SignedUrls,
    workspace_id: UUID,
    event: Event,
    payload: Mapping[str, Any],
) -> None:
    """Post a message about an event to the workspace's channel.

    A permanent error is recorded at the Slack connection.

    Args:
        database: the application's database.
        slack: the client for Slack.
        ring: decrypts the token.
        signed_urls: sign the URLs of images.
        workspace_id: the workspace.
        event: the event.
        payload: its data, as in webhooks.

    Raises:
        SlackUnavailableError: Slack does not answer, or limits the rate.
    """
    with database.transaction(workspace_id) as db:
        link = find_slack_link(db, workspace_id)
        if link is None or link.channel_id is None or link.error_message:
            return
        channel, sentence, blocks = (
            link.channel_id,
            *_message(db, signed_urls, slack.site, workspace_id, event, payload),
        )
    try:
        token = decrypt_slack_token(link, ring)
        try:
            slack.post(token, channel, sentence, blocks)
        except SlackRejectedError as error:
            if error.code != "invalid_blocks":
                raise
            # Slack could not fetch an image, perhaps because of a firewall: the text matters more.
            slack.post(token, channel, sentence, [block for block in blocks if block["type"] != "image"])
    except SlackRejectedError as error:
        log.warning("slack rejected a message", workspace=str(workspace_id), reason=error.code)
        if error.user_message is None:
            return  # concerns this message only
        with database.transaction(workspace_id) as db:
            now = find_slack_link(db, workspace_id)
            if now is not None and now.encrypted_token == link.encrypted_token:
                now.error_message = error.user_message


def _message(
    db: Session, signed_urls: SignedUrls, site: str, workspace_id: UUID, event: Event, payload: Mapping[str, Any]
) -> tuple[str, list[dict[str, Any]]]:
    """Return the notification text, and the blocks."""
    workspace = db.get_one(Workspace, workspace_id)
    base = f"{site}/w/{workspace.slug}"
    images: list[dict[str, Any]] = []
    urls = ImageUrls.load(db, workspace_id, signed_urls)
    match event:
        case Event.RUN_FINISHED | Event.RUN_FAILED:
            run = db.get(Run, (workspace_id, UUID(payload["id"])))
            names = _names(db, workspace_id, run)
            sentence = f"{names}: {payload['done']:,} images are ready"
            if payload.get("incomplete"):
                sentence += f", {payload['incomplete']:,} incomplete"
            sentence += f", {payload['failed']:,} failed." if payload["failed"] else "."
            if payload.get("findings"):
                sentence += f" The run completed with {count_text(payload['findings'], 'finding')}."
            sentence = f"{names}: {payload['error_message']}" if payload.get("error_message") else sentence
            link = ("View run", f"{base}/runs/{payload['id']}")
            for item, image in results_after(db, run, state="done", limit=IMAGES) if run else ():
                if image is not None:
                    url = urls.url(image)
                    images.append({"type": "image", "image_url": url, "alt_text": _plain(item.key) or "Image"})
        case Event.FEED_FAILED:
            sentence = f"The feed {payload.get('name', '')} could not be imported: {payload.get('error', '')}"
            link = ("View feed", f"{base}/feeds/{payload.get('feed', '')}")
        case Event.PUBLICATION_READY | Event.PUBLICATION_HELD | Event.PUBLICATION_PUBLISHED:
            sentence = f"{payload['name']}: {PUBLICATION_SENTENCES[event]}"
            sentence += f" {payload['new']:,} new, {payload['changed']:,} changed, {payload['removed']:,} removed."
            link = ("View publication", f"{base}/campaigns/{payload['campaign']}/publications/{payload['id']}")
            for row in db.execute(
                _CHANGED_IMAGES, {"workspace": workspace_id, "publication": payload["id"], "limit": IMAGES}
            ).all():
                changed = db.get(Image, (workspace_id, row.image))
                if changed is not None:
                    url = urls.url(changed)
                    images.append({"type": "image", "image_url": url, "alt_text": _plain(row.key) or "Image"})
        case Event.CHANNEL_WRITTEN | Event.CHANNEL_FAILED:
            problem = payload.get("error")
            sentence = f"The feed of {payload['name']} "
            sentence += f"could not be written: {problem}" if problem else f"has {payload['rows']:,} rows."
            link = ("View channel", f"{base}/campaigns/{payload['campaign']}/channels/{payload['id']}")
        case _:
            sentence = f"{payload.get('percent', '')} % of this month’s images are used."
            link = ("View usage", f"{base}/usage")
    said = f"*{_plain(workspace.name)}* {_plain(sentence)}"
    section = {"type": "section", "text": {"type": "mrkdwn", "text": said[:MAX_TEXT]}}
    button = {"type": "button", "text": {"type": "plain_text", "text": link[0]}, "url": link[1], "action_id": "open"}
    return _plain(f"{workspace.name}: {sentence}")[:MAX_TEXT], [
        section,
        *images,
        {"type": "actions", "elements": [button]},
    ]


def _names(db: Session, workspace_id: UUID, run: Run | None) -> str:
    if run is None:
        return "A run"
    feed = db.scalar(select(Feed.name).where(Feed.workspace_id == workspace_id, Feed.id == run.feed_id))
    template = db.scalar(
        select(Template.name).where(Template.workspace_id == workspace_id, Template.id == run.template_id)
    )
    return f"{feed or 'An image'} with {template or 'a template'}"


def _plain(text: str) -> str:
    """Escape mentions, links and markup (https://docs.slack.dev/messaging/formatting-message-text)."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("*", "∗").replace("`", "ˋ")

"""What Slack is told, in Block Kit (https://docs.slack.dev/block-kit): a sentence, a run's first images, a link."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import structlog
from procrastinate import JobContext
from sqlalchemy import select
from sqlalchemy.orm import Session

from cwz_web.db.session import Database
from cwz_web.feeds.models import Feed
from cwz_web.generation.models import Template
from cwz_web.generation.signed_urls import SignedUrls
from cwz_web.jobs import SLACK_QUEUE, LongRetry, app
from cwz_web.notify.slack import Slack, SlackRejectedError, slack_link, token_of
from cwz_web.notify.webhooks import Event
from cwz_web.runs.models import Run
from cwz_web.runs.progress import results_after
from cwz_web.workspaces.models import Workspace

log = structlog.get_logger()

IMAGES = 3
RETRY = LongRetry(longest=600, attempts=100)


@app.task(name="slack.post", queue=SLACK_QUEUE, retry=RETRY, pass_context=True)
def post(context: JobContext, workspace_id: str, event: str, about: dict[str, Any]) -> None:
    """Post one piece of news."""
    extra = context.additional_context
    slack: Slack | None = extra["slack"]
    if slack is not None:
        post_news(extra["database"], slack, extra["ring"], extra["addresses"], UUID(workspace_id), Event(event), about)


def post_news(
    database: Database,
    slack: Slack,
    ring: Any,
    signed_urls: SignedUrls,
    workspace_id: UUID,
    event: Event,
    about: Mapping[str, Any],
) -> None:
    """Post a piece of news to the workspace's channel. Raises SlackUnavailableError; what is gone for good is noted."""
    with database.transaction(workspace_id) as db:
        link = slack_link(db, workspace_id)
        if link is None or link.channel_id is None or link.trouble:
            return
        channel, text, blocks = link.channel_id, *_message(db, signed_urls, slack.site, workspace_id, event, about)
    try:
        token = token_of(link, ring)
        try:
            slack.post(token, channel, text, blocks)
        except SlackRejectedError as error:
            if error.code != "invalid_blocks":
                raise
            # Slack could not fetch an image, from behind a firewall perhaps: the words are worth more.
            slack.post(token, channel, text, [block for block in blocks if block["type"] != "image"])
    except SlackRejectedError as error:
        log.warning("slack refused", workspace=str(workspace_id), reason=error.code)
        if error.trouble is None:
            return  # this message alone
        with database.transaction(workspace_id) as db:
            now = slack_link(db, workspace_id)
            if now is not None and now.sealed == link.sealed:
                now.trouble = error.trouble


def _message(
    db: Session, signed_urls: SignedUrls, site: str, workspace_id: UUID, event: Event, about: Mapping[str, Any]
) -> tuple[str, list[dict[str, Any]]]:
    """The text for notifications, and the blocks."""
    workspace = db.get_one(Workspace, workspace_id)
    base = f"{site}/w/{workspace.slug}"
    images: list[dict[str, Any]] = []
    match event:
        case Event.RUN_FINISHED | Event.RUN_FAILED:
            run = db.get(Run, (workspace_id, UUID(about["id"])))
            names = _names(db, workspace_id, run)
            said = f"{names}: {about['done']:,} images are there"
            said += f", {about['failed']:,} could not be made." if about["failed"] else "."
            said = f"{names}: {about['trouble']}" if about.get("trouble") else said
            link = ("See the run", f"{base}/runs/{about['id']}")
            for item, image in results_after(db, run, state="done", limit=IMAGES) if run else ():
                if image is not None:
                    url = site + signed_urls.image(image)
                    images.append({"type": "image", "image_url": url, "alt_text": _plain(item.key) or "An image"})
        case Event.FEED_FAILED:
            said = f"The feed {about.get('name', '')} could not be brought in: {about.get('error', '')}"
            link = ("See the feed", f"{base}/feeds/{about.get('feed', '')}")
        case _:
            said = f"{about.get('percent', '')} % of this month’s images are made."
            link = ("See the usage", f"{base}/keys")
    text = f"*{_plain(workspace.name)}* {_plain(said)}"
    section = {"type": "section", "text": {"type": "mrkdwn", "text": text[:2900]}}
    button = {"type": "button", "text": {"type": "plain_text", "text": link[0]}, "url": link[1], "action_id": "open"}
    return _plain(f"{workspace.name}: {said}")[:2900], [section, *images, {"type": "actions", "elements": [button]}]


def _names(db: Session, workspace_id: UUID, run: Run | None) -> str:
    if run is None:
        return "A run"
    feed = db.scalar(select(Feed.name).where(Feed.workspace_id == workspace_id, Feed.id == run.feed_id))
    template = db.scalar(
        select(Template.name).where(Template.workspace_id == workspace_id, Template.id == run.template_id)
    )
    return f"{feed or 'An image'} as {template or 'a template'}"


def _plain(text: str) -> str:
    """A text in which nothing is a mention, a link or markup (https://docs.slack.dev/messaging/formatting-message-text)."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("*", "∗").replace("`", "ˋ")

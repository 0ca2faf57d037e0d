"""Slack: a workspace's link to a channel, and what we ask of Slack's API.

The bot's token is encrypted like a storage's credentials and opens with its workspace's id only. A post is a job, made
in the transaction that has the news; a token or channel that is gone ends in words on the Slack page, never in retries.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from pydantic_core import to_jsonable_python
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.oauth import AuthorizeUrlGenerator
from sqlalchemy.orm import Session

from cwz_web.crypto import DecryptionError, KeyRing
from cwz_web.db.session import raw_connection
from cwz_web.jobs import SLACK_QUEUE, app
from cwz_web.notify.models import SlackLink
from cwz_web.settings import Settings

SCOPES = ("chat:write", "chat:write.public", "channels:read")
CALLBACK = "/slack/callback"
SECONDS = 10
MAX_CHANNELS = 1000
# What Slack says when the token is good no more, and when the channel is not.
TOKEN_GONE = {
    "token_revoked",
    "invalid_auth",
    "account_inactive",
    "not_authed",
    "token_expired",
    "team_access_not_granted",
}
CHANNEL_GONE = {"channel_not_found", "is_archived", "not_in_channel", "restricted_action", "no_permission"}
REMOVED_THERE = "Slack does not accept us any more: ConnectWyze was removed there. Connect it again"
CHANNEL_CLOSED = "The channel is gone, archived, or closed to us. Choose another one"


class SlackUnavailableError(Exception):
    """Slack does not answer, or not now: later, perhaps."""


class SlackRejectedError(Exception):
    """Slack does not do it, now or later; `code` is its word for why."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code

    @property
    def trouble(self) -> str | None:
        """What a person should do about it, if there is something."""
        if self.code in TOKEN_GONE:
            return REMOVED_THERE
        return CHANNEL_CLOSED if self.code in CHANNEL_GONE else None


@dataclass(frozen=True)
class SlackInstallation:
    """A team that added us."""

    team_id: str
    team: str
    token: str


@dataclass(frozen=True)
class Slack:
    """What the installation is to Slack."""

    client_id: str
    client_secret: str
    api: str
    authorize: str
    site: str

    @classmethod
    def of(cls, settings: Settings) -> "Slack | None":
        """None where there is no Slack."""
        if not settings.slack.client_id:
            return None
        secret = settings.slack.client_secret.get_secret_value()
        return cls(settings.slack.client_id, secret, settings.slack.api, settings.slack.authorize, settings.url)

    def address(self, state: str) -> str:
        """Where a person adds us to a team (OAuth 2.0, RFC 6749)."""
        generator = AuthorizeUrlGenerator(
            client_id=self.client_id,
            scopes=SCOPES,
            redirect_uri=self.site + CALLBACK,
            authorization_url=self.authorize,
        )
        return generator.generate(state)

    def install(self, code: str) -> SlackInstallation:
        """The team and the token that a code stands for. Raises SlackUnavailableError, SlackRejectedError."""
        with _told():
            answer = self._client().oauth_v2_access(
                client_id=self.client_id,
                client_secret=self.client_secret,
                code=code,
                redirect_uri=self.site + CALLBACK,
            )
            team, token = answer["team"], answer["access_token"]
            return SlackInstallation(str(team["id"]), str(team["name"])[:100], str(token))

    def channels(self, token: str) -> dict[str, str]:
        """The team's open channels: their names by id, in order. Raises SlackUnavailableError, SlackRejectedError."""
        found: dict[str, str] = {}
        cursor = ""
        with _told():
            while len(found) < MAX_CHANNELS:
                page = self._client(token).conversations_list(limit=200, cursor=cursor, exclude_archived=True)
                found |= {str(channel["id"]): str(channel["name"]) for channel in page["channels"]}
                cursor = (page.get("response_metadata") or {}).get("next_cursor") or ""
                if not cursor:
                    break
        return dict(sorted(found.items(), key=lambda channel: channel[1]))

    def post(self, token: str, channel: str, text: str, blocks: list[dict[str, Any]]) -> None:
        """Put a message into a channel. Raises SlackUnavailableError, SlackRejectedError."""
        with _told():
            self._client(token).chat_postMessage(channel=channel, text=text, blocks=blocks, unfurl_links=False)

    def revoke(self, token: str) -> None:
        """Give the token back; one that is gone already is no trouble. Raises SlackUnavailableError."""
        try:
            with _told():
                self._client(token).auth_revoke()
        except SlackRejectedError:
            pass

    def _client(self, token: str | None = None) -> WebClient:
        client = WebClient(token=token, base_url=self.api, timeout=SECONDS)
        client.proxy = None  # the SDK takes one from the environment
        return client


def find_slack_link(db: Session, workspace_id: UUID) -> SlackLink | None:
    """The workspace's Slack, if it has one."""
    return db.get(SlackLink, workspace_id)


def save_slack_link(db: Session, workspace_id: UUID, ring: KeyRing, installed: SlackInstallation, events: list[str]) -> SlackLink:
    """Remember a team that was added; the one before is forgotten, a channel of the same team stays."""
    link = find_slack_link(db, workspace_id) or SlackLink(workspace_id=workspace_id, events=events)
    if link.team_id != installed.team_id:
        link.channel_id = link.channel = None
    link.team_id, link.team, link.trouble = installed.team_id, installed.team, None
    link.sealed = ring.encrypt(installed.token, "slack", str(workspace_id))
    db.add(link)
    db.flush()
    return link


def decrypt_slack_token(link: SlackLink, ring: KeyRing) -> str:
    """The token of a link. Raises SlackRejectedError when no key opens it."""
    try:
        return ring.decrypt(link.sealed, "slack", str(link.workspace_id))
    except DecryptionError:
        raise SlackRejectedError("not_authed") from None


def reencrypt_slack_link(link: SlackLink, ring: KeyRing) -> bool:
    """Encrypt the token with the newest key. Returns whether that changed anything. Raises DecryptionError."""
    if ring.is_newest(link.sealed):
        return False
    context = ("slack", str(link.workspace_id))
    link.sealed = ring.encrypt(ring.decrypt(link.sealed, *context), *context)
    return True


def enqueue_slack_posts(db: Session, workspace_id: UUID, event: str, happened: Iterable[Mapping[str, Any]]) -> None:
    """Post what happened once the transaction has committed, when the workspace wants that."""
    link = find_slack_link(db, workspace_id)
    if link is None or link.channel_id is None or event not in link.events:
        return
    place: Any = {"connection": raw_connection(db)}
    task = app.configure_task("slack.post", queue=SLACK_QUEUE, **place)
    for each in happened:
        task.defer(workspace_id=str(workspace_id), event=event, about=to_jsonable_python(dict(each)))


@contextmanager
def _told() -> Iterator[None]:
    """Whatever goes wrong between Slack and us becomes one of two errors, which name no secret."""
    try:
        yield
    except SlackApiError as error:
        status, code = error.response.status_code, str(error.response.get("error", ""))[:60]
        if status == 429 or status >= 500 or code in ("ratelimited", "internal_error", "fatal_error", ""):
            raise SlackUnavailableError(f"Slack: {code or status}") from None
        raise SlackRejectedError(code) from None
    except (SlackClientError, OSError, KeyError, TypeError, ValueError) as error:
        raise SlackUnavailableError(f"Slack: {type(error).__name__}") from None

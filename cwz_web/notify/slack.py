"""Slack: a workspace's link to a channel, and a client for Slack's API.

The bot's token is encrypted like storage credentials, bound to its workspace's id. A post is a job enqueued in the
transaction of the event; a revoked token or a closed channel shows an error on the Slack page and is not retried.
The `slack_sdk` package is an extra and imported where it is used.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

from pydantic_core import to_jsonable_python
from sqlalchemy.orm import Session

from cwz_web.crypto import DecryptionError, KeyRing
from cwz_web.db.session import raw_connection
from cwz_web.i18n import gettext_noop
from cwz_web.jobs import SLACK_QUEUE, app
from cwz_web.notify.models import SlackLink
from cwz_web.settings import Settings

if TYPE_CHECKING:
    from slack_sdk import WebClient

SCOPES = ("chat:write", "chat:write.public", "channels:read")
CALLBACK = "/slack/callback"
TIMEOUT_SECONDS = 10
MAX_CHANNELS = 1000
# Error codes for a token and for a channel that can no longer be used.
TOKEN_ERRORS = {
    "token_revoked",
    "invalid_auth",
    "account_inactive",
    "not_authed",
    "token_expired",
    "team_access_not_granted",
}
CHANNEL_ERRORS = {"channel_not_found", "is_archived", "not_in_channel", "restricted_action", "no_permission"}
REMOVED_IN_SLACK = gettext_noop("ConnectWyze was removed from this Slack team. Add it to Slack again")
CHANNEL_CLOSED = gettext_noop("The channel was deleted, archived or closed to ConnectWyze. Choose another channel")


class SlackUnavailableError(Exception):
    """Slack does not respond; a retry may help."""


class SlackRejectedError(Exception):
    """Slack rejects the request permanently; `code` is Slack's error code."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code

    @property
    def user_message(self) -> str | None:
        """What an admin can do about it, if anything."""
        if self.code in TOKEN_ERRORS:
            return REMOVED_IN_SLACK
        return CHANNEL_CLOSED if self.code in CHANNEL_ERRORS else None


@dataclass(frozen=True)
class SlackInstallation:
    """A Slack team that added the app."""

    team_id: str
    team: str
    token: str


@dataclass(frozen=True)
class Slack:
    """A client for Slack with the installation's app credentials."""

    client_id: str
    client_secret: str
    api: str
    authorize: str
    site: str

    @classmethod
    def of(cls, settings: Settings) -> "Slack | None":
        """Return the client, or None if the installation has no Slack app."""
        if not settings.slack.client_id:
            return None
        secret = settings.slack.client_secret.get_secret_value()
        return cls(settings.slack.client_id, secret, settings.slack.api, settings.slack.authorize, settings.url)

    def authorization_url(self, state: str) -> str:
        """Return the URL at which a user adds the app to a team (OAuth 2.0, RFC 6749)."""
        from slack_sdk.oauth import AuthorizeUrlGenerator

        generator = AuthorizeUrlGenerator(
            client_id=self.client_id,
            scopes=SCOPES,
            redirect_uri=self.site + CALLBACK,
            authorization_url=self.authorize,
        )
        return generator.generate(state)

    def install(self, code: str) -> SlackInstallation:
        """Exchange an authorization code for the team and its token.

        Raises:
            SlackUnavailableError, SlackRejectedError
        """
        with _translated_errors():
            response = self._client().oauth_v2_access(
                client_id=self.client_id,
                client_secret=self.client_secret,
                code=code,
                redirect_uri=self.site + CALLBACK,
            )
            team, token = response["team"], response["access_token"]
            return SlackInstallation(str(team["id"]), str(team["name"])[:100], str(token))

    def channels(self, token: str) -> dict[str, str]:
        """Return the names of the team's public channels by id, sorted by name.

        Raises:
            SlackUnavailableError, SlackRejectedError
        """
        names: dict[str, str] = {}
        cursor = ""
        with _translated_errors():
            while len(names) < MAX_CHANNELS:
                page = self._client(token).conversations_list(limit=200, cursor=cursor, exclude_archived=True)
                names |= {str(channel["id"]): str(channel["name"]) for channel in page["channels"]}
                cursor = (page.get("response_metadata") or {}).get("next_cursor") or ""
                if not cursor:
                    break
        return dict(sorted(names.items(), key=lambda channel: channel[1]))

    def post(self, token: str, channel: str, text: str, blocks: list[dict[str, Any]]) -> None:
        """Post a message to a channel.

        Args:
            token: The token of the team.
            channel: The channel's id.
            text: The text of the notification.
            blocks: The content, as Block Kit blocks.

        Raises:
            SlackUnavailableError: Slack does not respond, or limits the rate.
            SlackRejectedError: Slack rejects the message permanently.
        """
        with _translated_errors():
            self._client(token).chat_postMessage(channel=channel, text=text, blocks=blocks, unfurl_links=False)

    def revoke(self, token: str) -> None:
        """Revoke a token; do nothing if Slack no longer accepts it.

        Raises:
            SlackUnavailableError: Slack does not respond.
        """
        try:
            with _translated_errors():
                self._client(token).auth_revoke()
        except SlackRejectedError:
            pass

    def _client(self, token: str | None = None) -> "WebClient":
        from slack_sdk import WebClient

        client = WebClient(token=token, base_url=self.api, timeout=TIMEOUT_SECONDS)
        client.proxy = None  # the SDK reads one from the environment
        return client


def find_slack_link(db: Session, workspace_id: UUID) -> SlackLink | None:
    """Return the workspace's Slack link."""
    return db.get(SlackLink, workspace_id)


def save_slack_link(
    db: Session, workspace_id: UUID, ring: KeyRing, installed: SlackInstallation, events: list[str]
) -> SlackLink:
    """Store a team that added the app.

    The channel is kept if the team is the same.

    Args:
        db: A transaction in the workspace.
        workspace_id: The workspace.
        ring: Encrypts the token.
        installed: What Slack returned.
        events: The names of the events to post.
    """
    link = find_slack_link(db, workspace_id) or SlackLink(workspace_id=workspace_id, events=events)
    if link.team_id != installed.team_id:
        link.channel_id = link.channel = None
    link.team_id, link.team, link.error_message = installed.team_id, installed.team, None
    link.encrypted_token = ring.encrypt(installed.token, "slack", str(workspace_id))
    db.add(link)
    db.flush()
    return link


def decrypt_slack_token(link: SlackLink, ring: KeyRing) -> str:
    """Decrypt the token of a link.

    Raises:
        SlackRejectedError: No encryption key decrypts it.
    """
    try:
        return ring.decrypt(link.encrypted_token, "slack", str(link.workspace_id))
    except DecryptionError:
        raise SlackRejectedError("not_authed") from None


def reencrypt_slack_link(link: SlackLink, ring: KeyRing) -> bool:
    """Encrypt the token with the newest key; return whether it was encrypted with another one.

    Raises:
        DecryptionError: No encryption key decrypts it.
    """
    if ring.is_newest(link.encrypted_token):
        return False
    context = ("slack", str(link.workspace_id))
    link.encrypted_token = ring.encrypt(ring.decrypt(link.encrypted_token, *context), *context)
    return True


def enqueue_slack_posts(db: Session, workspace_id: UUID, event: str, payloads: Iterable[Mapping[str, Any]]) -> None:
    """Enqueue a post for each payload, if the workspace has enabled the event.

    Args:
        db: The transaction in which the jobs are stored.
        workspace_id: The workspace.
        event: The event's name.
        payloads: The data of each occurrence.
    """
    link = find_slack_link(db, workspace_id)
    if link is None or link.channel_id is None or event not in link.events:
        return
    options: Any = {"connection": raw_connection(db)}
    task = app.configure_task("slack.post", queue=SLACK_QUEUE, **options)
    for payload in payloads:
        task.defer(workspace_id=str(workspace_id), event=event, payload=to_jsonable_python(dict(payload)))


@contextmanager
def _translated_errors() -> Iterator[None]:
    """Turn every failure of a request into one of the two errors, without secrets in their messages."""
    from slack_sdk.errors import SlackApiError, SlackClientError

    try:
        yield
    except SlackApiError as error:
        status, code = error.response.status_code, str(error.response.get("error", ""))[:60]
        if status == 429 or status >= 500 or code in ("ratelimited", "internal_error", "fatal_error", ""):
            raise SlackUnavailableError(f"Slack: {code or status}") from None
        raise SlackRejectedError(code) from None
    except (SlackClientError, OSError, KeyError, TypeError, ValueError) as error:
        raise SlackUnavailableError(f"Slack: {type(error).__name__}") from None

"""What mails may be about that nobody has to get, and the link in each that ends them, without signing in.

The link is signed with a key derived from the installation's signing secret and works for ever: mails are kept for
years. Programs of mail services follow it by themselves (RFC 8058), people are asked by a page first.
"""

import base64
import hmac
from enum import StrEnum
from urllib.parse import urlencode

from cwz_web.crypto import derive

PATH = "/unsubscribe"


class Topic(StrEnum):
    """What a mail may be about. All others are essential: about a person's account, or about money."""

    FEEDS = "feeds"
    STORAGE = "storage"
    USAGE = "usage"
    RUNS = "runs"


TOPIC_LABELS = {
    Topic.FEEDS: "A feed cannot be fetched, or can be again",
    Topic.STORAGE: "A storage does not work, or works again",
    Topic.USAGE: "80 % or all of a month’s images are made",
    Topic.RUNS: "A run that you began has ended",
}


class UnsubscribeLinks:
    """Makes and checks the links.

    Arguments:
        secret: the installation's signing secret.
        url: the address of the site.
    """

    def __init__(self, secret: str, url: str) -> None:
        self._key = derive(secret, b"unsubscribe/1")
        self._url = url

    def link(self, account: str, topic: str) -> str:
        """Where a person ends a topic."""
        query = {"account": account, "topic": topic, "s": self._signature(account, topic)}
        return f"{self._url}{PATH}?{urlencode(query)}"

    def is_valid(self, account: str, topic: str, signature: str) -> bool:
        """Whether we made the link."""
        return hmac.compare_digest(self._signature(account, topic).encode(), signature.encode("utf-8", "replace"))

    def _signature(self, account: str, topic: str) -> str:
        digest = hmac.digest(self._key, f"{account}/{topic}".encode("utf-8", "replace"), "sha256")
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()

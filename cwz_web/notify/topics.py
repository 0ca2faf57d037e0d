"""Topics of optional emails, and their unsubscribe links, which work without signing in.

A link is signed with a key derived from the installation's signing secret and does not expire, since emails are kept
for years. Email clients follow it with one click (RFC 8058); a browser shows a confirmation page.
"""

import base64
import hmac
from enum import StrEnum
from urllib.parse import urlencode

from cwz_web.crypto import derive
from cwz_web.i18n import gettext_noop

PATH = "/unsubscribe"


class Topic(StrEnum):
    """A topic that a person can unsubscribe from; emails about accounts and payments have none."""

    FEEDS = "feeds"
    STORAGE = "storage"
    USAGE = "usage"
    RUNS = "runs"
    PUBLICATIONS = "publications"


TOPIC_LABELS = {
    Topic.FEEDS: gettext_noop("A feed fails to fetch, or recovers"),
    Topic.STORAGE: gettext_noop("A storage connection fails, or recovers"),
    Topic.USAGE: gettext_noop("80% or 100% of the monthly image quota is used"),
    Topic.RUNS: gettext_noop("A run you started ends"),
    Topic.PUBLICATIONS: gettext_noop("A publication of a campaign waits for a decision"),
}


class UnsubscribeLinks:
    """Creates and verifies unsubscribe links.

    Args:
        secret: The installation's signing secret.
        url: The site's URL.
    """

    def __init__(self, secret: str, url: str) -> None:
        self._key = derive(secret, b"unsubscribe/1")
        self._url = url

    def link(self, account: str, topic: str) -> str:
        """Return the URL that unsubscribes an account from a topic."""
        query = {"account": account, "topic": topic, "s": self._signature(account, topic)}
        return f"{self._url}{PATH}?{urlencode(query)}"

    def is_valid(self, account: str, topic: str, signature: str) -> bool:
        """Return whether the signature is ours."""
        return hmac.compare_digest(self._signature(account, topic).encode(), signature.encode("utf-8", "replace"))

    def _signature(self, account: str, topic: str) -> str:
        digest = hmac.digest(self._key, f"{account}/{topic}".encode("utf-8", "replace"), "sha256")
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()

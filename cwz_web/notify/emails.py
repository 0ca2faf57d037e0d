"""Emails: a message in plain values, and its MIME form with a text and an HTML part.

A message is built in the locale of its recipient, which it contains: it is sent by another process.
"""

from dataclasses import asdict, dataclass, field
from email.message import EmailMessage as MimeMessage
from email.utils import formatdate
from functools import lru_cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from uuid_utils.compat import uuid7

from cwz_web.i18n import current_locale, find_plural, gettext, use_locale
from cwz_web.notify.plain_text import without_links

PRODUCT = "ConnectWyze"


def _account_reason() -> str:
    return gettext("You receive this email because you have a %(product)s account.", product=PRODUCT)


@dataclass(frozen=True)
class EmailMessage:
    """An email to one person.

    Attributes:
        subject: One line.
        paragraphs: The text, each paragraph without markup.
        button: Label and URL, or a path on this site, of the one call to action.
        reason: Why the recipient receives it, in small print.
        topic: The topic (topics.py) that can be unsubscribed from; empty for essential emails.
        account: The id of the recipient's account, for the unsubscribe link.
        unsubscribe: The unsubscribe URL, added when the email is sent.
        locale: The locale of its texts, the current one.
    """

    subject: str
    paragraphs: tuple[str, ...]
    button: tuple[str, str] | None = None
    reason: str = field(default_factory=_account_reason)
    topic: str = ""
    account: str = ""
    unsubscribe: str = ""
    locale: str = field(default_factory=current_locale)

    def __post_init__(self) -> None:
        """Neutralize links in the text, which contains names that users have chosen; only the button is a link."""
        object.__setattr__(self, "subject", without_links(" ".join(self.subject.split())))
        object.__setattr__(self, "paragraphs", tuple(map(without_links, self.paragraphs)))
        object.__setattr__(self, "reason", without_links(self.reason))

    def as_json(self) -> dict[str, Any]:
        """Return the message as job arguments; only for messages without a token, since arguments are stored."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "EmailMessage":
        """Return the message that as_json() serialized."""
        button = value["button"]
        return cls(**value | {"paragraphs": tuple(value["paragraphs"]), "button": tuple(button) if button else None})


def build_mime_message(message: EmailMessage, *, to: str, sender: str) -> MimeMessage:
    """Return the MIME message (RFC 5322), with one-click unsubscribe headers (RFC 8058) if it has a topic."""
    mail = MimeMessage()
    mail["From"], mail["To"] = sender, to
    mail["Subject"] = " ".join(message.subject.split())
    mail["Date"] = formatdate()
    mail["Message-ID"] = f"<{uuid7()}@{sender.rpartition('@')[2].rstrip('>')}>"
    mail["Auto-Submitted"] = "auto-generated"
    if message.unsubscribe:
        mail["List-Unsubscribe"] = f"<{message.unsubscribe}>"
        mail["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    with use_locale(message.locale):
        mail.set_content(render_text(message))
        mail.add_alternative(render_html(message), subtype="html")
    return mail


def render_text(message: EmailMessage) -> str:
    """Return the plain text part, in the current locale."""
    parts = [*message.paragraphs]
    if message.button:
        label = gettext("%(button)s:", button=message.button[0])
        parts.append(f"{label}\n{message.button[1]}")
    footer = [PRODUCT, message.reason]
    if message.unsubscribe:
        footer.append(gettext("Unsubscribe: %(url)s", url=message.unsubscribe))
    return "\n\n".join([*parts, "\n".join(["-- ", *footer])]) + "\n"


def render_html(message: EmailMessage) -> str:
    """Return the HTML part, in the current locale."""
    return _environment().get_template("email.html").render(message=message, product=PRODUCT)


@lru_cache(maxsize=1)
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("cwz_web.notify", "."),
        autoescape=True,
        undefined=StrictUndefined,
        extensions=["jinja2.ext.i18n"],
    )
    environment.install_gettext_callables(gettext, find_plural, newstyle=True)  # type: ignore[attr-defined]
    return environment

"""A letter: what we write to a person, and how it becomes a mail with a text and an HTML part."""

from dataclasses import asdict, dataclass
from email.message import EmailMessage as MimeMessage
from email.utils import formatdate
from functools import lru_cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from uuid_utils.compat import uuid7

PRODUCT = "ConnectWyze"


@dataclass(frozen=True)
class EmailMessage:
    """Plain words to one person.

    Arguments:
        subject: one line.
        paragraphs: what it says, each without markup.
        button: the one thing to do, as label and URL, or path on this site; or None.
        reason: why this person gets it, in small print.
        topic: what it is about (topics.py); empty for what everybody has to get.
        account: the id of the person's account, for whom the topic can be ended.
        unsubscribe: the link that ends it, put in when the mail leaves.
    """

    subject: str
    paragraphs: tuple[str, ...]
    button: tuple[str, str] | None = None
    reason: str = "You get this mail because of your account at ConnectWyze."
    topic: str = ""
    account: str = ""
    unsubscribe: str = ""

    def as_json(self) -> dict[str, Any]:
        """For a job's arguments. Only for letters that hold no token."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "EmailMessage":
        """What as_json() wrote."""
        button = value["button"]
        return cls(**value | {"paragraphs": tuple(value["paragraphs"]), "button": tuple(button) if button else None})


def build_mime_message(letter: EmailMessage, *, to: str, sender: str) -> MimeMessage:
    """The mail of a letter (RFC 5322) from a sender to one address; one that can be ended says how (RFC 8058)."""
    mail = MimeMessage()
    mail["From"], mail["To"] = sender, to
    mail["Subject"] = " ".join(letter.subject.split())
    mail["Date"] = formatdate()
    mail["Message-ID"] = f"<{uuid7()}@{sender.rpartition('@')[2].rstrip('>')}>"
    mail["Auto-Submitted"] = "auto-generated"
    if letter.unsubscribe:
        mail["List-Unsubscribe"] = f"<{letter.unsubscribe}>"
        mail["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    mail.set_content(render_text(letter))
    mail.add_alternative(render_html(letter), subtype="html")
    return mail


def render_text(letter: EmailMessage) -> str:
    """The letter for a reader without HTML."""
    parts = [*letter.paragraphs]
    if letter.button:
        parts.append(f"{letter.button[0]}:\n{letter.button[1]}")
    small = [PRODUCT, letter.reason]
    if letter.unsubscribe:
        small.append(f"No more mails about this: {letter.unsubscribe}")
    return "\n\n".join([*parts, "\n".join(["-- ", *small])]) + "\n"


def render_html(letter: EmailMessage) -> str:
    """The letter as HTML."""
    return _environment().get_template("letter.html").render(letter=letter, product=PRODUCT)


@lru_cache(maxsize=1)
def _environment() -> Environment:
    return Environment(loader=PackageLoader("cwz_web.notify", "."), autoescape=True, undefined=StrictUndefined)

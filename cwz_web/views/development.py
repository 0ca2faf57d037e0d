"""`/dev/mail`: the emails of a development installation. In production the page does not exist."""

import re
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

from pyramid.httpexceptions import HTTPNotFound
from pyramid.security import NO_PERMISSION_REQUIRED
from pyramid.view import view_config

from cwz_web.notify.email_delivery import mail_folder
from cwz_web.resources.application import DevelopmentRoot
from cwz_web.web.request import Request

MAX_EMAILS = 50
FILE_NAME = re.compile(r"\A[0-9-]{10,40}\.eml\Z")
LINK = re.compile(r"https?://\S+")


@dataclass(frozen=True)
class MailPage:
    """What development/mail.jinja2 shows: the newest emails by file name, and the text of the selected one."""

    emails: dict[str, EmailMessage]
    selected: EmailMessage | None
    selected_name: str
    text: str
    links: list[str]


@view_config(
    context=DevelopmentRoot,
    name="mail",
    request_method="GET",
    renderer="development/mail.jinja2",
    permission=NO_PERMISSION_REQUIRED,
)
def mail_page(context: DevelopmentRoot, request: Request) -> MailPage:
    """Show the newest emails, and the selected one in full."""
    folder = mail_folder(request.services.settings)
    names = sorted((path.name for path in folder.glob("*.eml")), reverse=True)[:MAX_EMAILS]
    selected_name = request.GET.get("name", "")
    if selected_name and (not FILE_NAME.match(selected_name) or selected_name not in names):
        raise HTTPNotFound
    emails = {name: _read_email(folder / name) for name in names}
    selected = emails.get(selected_name)
    text = _plain_text(selected) if selected else ""
    return MailPage(emails, selected, selected_name, text, LINK.findall(text))


def _read_email(path: Path) -> EmailMessage:
    message = message_from_bytes(path.read_bytes(), policy=policy.default)
    assert isinstance(message, EmailMessage)
    return message


def _plain_text(message: EmailMessage) -> str:
    body = message.get_body(("plain",))
    return str(body.get_content()) if body else ""

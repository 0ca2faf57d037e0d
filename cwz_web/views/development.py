"""`/dev/mail`: the mails that were written, for development. In production there is no such address."""

import re
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

from pyramid.httpexceptions import HTTPNotFound
from pyramid.security import NO_PERMISSION_REQUIRED
from pyramid.view import view_config

from cwz_web.notify.email_delivery import mail_folder
from cwz_web.resources.application import DevelopmentRoot
from cwz_web.web.request import Request

MOST = 50
NAME = re.compile(r"\A[0-9-]{10,40}\.eml\Z")
LINK = re.compile(r"https?://\S+")


@view_config(
    context=DevelopmentRoot,
    name="mail",
    request_method="GET",
    renderer="development/mail.jinja2",
    permission=NO_PERMISSION_REQUIRED,
)
def mail_page(context: DevelopmentRoot, request: Request) -> dict[str, Any]:
    """The newest mails; one of them in full."""
    folder = mail_folder(request.services.settings)
    names = sorted((path.name for path in folder.glob("*.eml")), reverse=True)[:MOST]
    shown = request.GET.get("name")
    if shown is not None and (not NAME.match(shown) or shown not in names):
        raise HTTPNotFound
    mails = {name: _read(folder / name) for name in names}
    text = mails[shown].get_body(("plain",)).get_content() if shown else None  # type: ignore[union-attr]
    return {"mails": mails, "shown": shown, "text": text, "links": LINK.findall(text or "")}


def _read(path: Any) -> EmailMessage:
    message = message_from_bytes(path.read_bytes(), policy=policy.default)
    assert isinstance(message, EmailMessage)
    return message

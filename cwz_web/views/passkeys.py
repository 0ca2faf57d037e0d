"""`/account/passkeys`: add, list and remove passkeys."""

from dataclasses import dataclass

import structlog
from pyramid.httpexceptions import HTTPNotFound, HTTPSeeOther
from pyramid.response import Response
from pyramid.view import view_config

from cwz_web.accounts.models import Account, Passkey
from cwz_web.accounts.passkeys import PasskeyError, list_passkeys, remove_passkey
from cwz_web.i18n import gettext_noop
from cwz_web.resources.application import PasskeyCollection, PasskeyResource
from cwz_web.resources.base import parse_uuid
from cwz_web.resources.permissions import Permission
from cwz_web.web.forms import FieldError, Form, Name, SubmittedForm, empty_form, form_view
from cwz_web.web.notices import find_done_notice
from cwz_web.web.passkeys import Challenge, Credential, has_passkeys, passkey_service
from cwz_web.web.request import Request
from cwz_web.workspaces.audit import record_in_all_workspaces

log = structlog.get_logger()

PAGE = "account/passkeys.jinja2"
PATH = "/account/passkeys"
NOTICES = {
    "added": gettext_noop("Passkey added. You can now sign in with it."),
    "removed": gettext_noop("Passkey removed."),
}


class AddForm(Form):
    """The name of a new passkey, and the response to the challenge, which the script of the page filled in."""

    name: Name
    challenge: Challenge
    credential: Credential


@dataclass(frozen=True)
class PasskeyPage:
    """The view model of account/passkeys.jinja2.

    Attributes:
        is_available: Whether passkeys can be used at this URL.
        origin: The URL of the site at which they can be used, or None.
    """

    form: SubmittedForm[AddForm]
    passkeys: list[Passkey]
    is_available: bool
    origin: str | None
    notice: str | None


def _page(context: PasskeyCollection, request: Request, form: SubmittedForm[AddForm]) -> PasskeyPage:
    service = request.services.passkeys
    return PasskeyPage(
        form=form,
        passkeys=list_passkeys(request.db, request.user.account),
        is_available=has_passkeys(request),
        origin=service.party.origin if service else None,
        notice=find_done_notice(request, NOTICES),
    )


@view_config(context=PasskeyCollection, request_method="GET", renderer=PAGE, permission=Permission.SIGNED_IN)
def passkey_page(context: PasskeyCollection, request: Request) -> PasskeyPage:
    """List the user's passkeys."""
    return _page(context, request, empty_form())


@view_config(
    context=PasskeyCollection,
    name="challenge",
    request_method="POST",
    permission=Permission.SIGNED_IN,
    rate_limit="passkey-challenge",
    requires_recent_auth=True,
)
def challenge_new_passkey(context: PasskeyCollection, request: Request) -> Response:
    """Return what the browser needs to create a passkey, as JSON."""
    user = request.user
    service = passkey_service(request)
    return Response(json_body=service.registration_options(request.db, user.account, str(user.session.id)))


@form_view(
    AddForm,
    _page,
    context=PasskeyCollection,
    renderer=PAGE,
    permission=Permission.SIGNED_IN,
    rate_limit="passkey",
    requires_recent_auth=True,
)
def add_new_passkey(context: PasskeyCollection, request: Request, form: AddForm) -> Response:
    """Add a passkey."""
    user = request.user
    try:
        passkey_service(request).add(
            request.db,
            user.account,
            name=form.name,
            challenge=form.challenge,
            credential=form.credential,
            binding=str(user.session.id),
        )
    except PasskeyError as error:
        raise FieldError("passkey", str(error)) from None
    _record(request, user.account, "account.passkey-add", form.name)
    return HTTPSeeOther(f"{PATH}?done=added")


@view_config(
    context=PasskeyResource,
    name="remove",
    request_method="POST",
    permission=Permission.SIGNED_IN,
    requires_recent_auth=True,
)
def remove_own_passkey(context: PasskeyResource, request: Request) -> Response:
    """Remove a passkey."""
    session, account = request.user.session, request.user.account
    removed = remove_passkey(request.db, session, parse_uuid(context.__name__))
    if removed is None:
        raise HTTPNotFound
    _record(request, account, "account.passkey-remove", removed.name)
    return HTTPSeeOther(f"{PATH}?done=removed")


def _record(request: Request, account: Account, action: str, name: str) -> None:
    """Record a change in the server's log, and in the activity log of each of the user's workspaces."""
    log.info(action, account=str(account.id), ip_address=request.remote_addr)
    record_in_all_workspaces(request.db, request.actor, action, name)

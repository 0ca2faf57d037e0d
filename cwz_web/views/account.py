"""`/account`: what a person decides about themselves."""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, Literal

import structlog
from pydantic import StringConstraints
from pyramid.httpexceptions import HTTPNotFound, HTTPSeeOther
from pyramid.response import Response
from pyramid.view import view_config

from cwz_web.accounts.credentials import (
    ReauthenticationError,
    change_password,
    pending_email,
    reauthenticate,
    verify_identity,
)
from cwz_web.accounts.deletion import cancel_deletion, schedule_deletion
from cwz_web.accounts.google import list_identities, unlink_google
from cwz_web.accounts.passwords import weakness
from cwz_web.accounts.second_factor import count_recovery_codes
from cwz_web.accounts.sessions import (
    end_all_sessions,
    end_session,
    is_recently_authenticated,
    list_sessions,
    session_token,
)
from cwz_web.accounts.tasks import enqueue_email_confirmation
from cwz_web.notify.topics import TOPIC_LABELS, Topic
from cwz_web.resources.application import AccountRoot, SessionCollection, SessionResource
from cwz_web.resources.base import parse_uuid
from cwz_web.resources.permissions import Permission
from cwz_web.security import set_session_cookie
from cwz_web.web.forms import Email, Filled, Form, Name, NewPassword, TypedPassword, empty_form, read_form
from cwz_web.web.request import Request
from cwz_web.workspaces.account_deletion import workspace_outcomes
from cwz_web.workspaces.export import export_account

log = structlog.get_logger()

PAGE = "account/show.jinja2"
PROVE_PAGE = "account/prove.jinja2"
DELETE_PAGE = "account/delete.jinja2"
NOT_YOURS = "This is not your password"
SIGN_IN_AGAIN = "Sign in with Google again first, then do this within 15 minutes"
NEWS = {
    "mails": "The mails are chosen.",
    "profile": "Your name is changed.",
    "password": "Your password is changed, and every other browser is signed out.",
    "email": "Your new address is confirmed.",
    "asked-email": "We wrote to the new address. Follow the link in that mail to confirm it.",
    "ended": "That browser is signed out.",
    "all-ended": "Every other browser is signed out.",
    "google-linked": "Google is linked: you can sign in with it from now on.",
    "google-unlinked": "Google is not linked any more.",
    "google-taken": "This Google account belongs to another account here.",
    "kept": "Good to have you: your account stays.",
}


class ProfileForm(Form):
    """How a person is called."""

    name: Name


class MailsForm(Form):
    """The topics that somebody wants mails about."""

    feeds: Literal["on", ""] = ""
    storage: Literal["on", ""] = ""
    usage: Literal["on", ""] = ""
    runs: Literal["on", ""] = ""


class PasswordForm(Form):
    """The password of today and the one of tomorrow."""

    current: TypedPassword | None = None
    password: NewPassword


class NewAddressForm(Form):
    """Another address."""

    email: Email
    email_password: TypedPassword | None = None


class ProofForm(Form):
    """A proof, and nothing else."""

    proof: TypedPassword | None = None


class DeleteForm(Form):
    """The own address, typed to mean it."""

    confirm: Annotated[str, StringConstraints(max_length=254)]
    proof: TypedPassword | None = None


@view_config(context=AccountRoot, request_method="GET", renderer=PAGE, permission=Permission.SIGNED_IN)
def account_page(context: AccountRoot, request: Request) -> dict[str, Any]:
    """Name, address, password, Google, second factor, sessions, export, deletion."""
    return _page(request, empty_form())


@view_config(context=AccountRoot, name="profile", request_method="POST", renderer=PAGE, permission=Permission.SIGNED_IN)
def change_profile(context: AccountRoot, request: Request) -> Any:
    """Another name."""
    form = read_form(ProfileForm, request.POST)
    if form.value is None:
        return _again(request, form)
    request.user.account.name = form.value.name
    return HTTPSeeOther("/account?done=profile")


@view_config(context=AccountRoot, name="mails", request_method="POST", renderer=PAGE, permission=Permission.SIGNED_IN)
def choose_mails(context: AccountRoot, request: Request) -> Any:
    """Which mails come beside those that everybody gets."""
    form = read_form(MailsForm, request.POST)
    if form.value is None:
        return _again(request, form)
    request.user.account.muted = [topic.value for topic in Topic if not getattr(form.value, topic)]
    return HTTPSeeOther("/account?done=mails#mails")


@view_config(
    context=AccountRoot,
    name="password",
    request_method="POST",
    renderer=PAGE,
    permission=Permission.SIGNED_IN,
    rate_limit="reauthentication",
)
def set_password(context: AccountRoot, request: Request) -> Any:
    """Another password, or a first one; every other session ends."""
    form = read_form(PasswordForm, request.POST)
    account = request.user.account
    if form.value is not None and (advice := weakness(form.value.password, account.name, account.email)):
        form = form.with_error("password", advice)
    form = _proved(request, form, "current", lambda value: value.current)
    if form.value is None:
        return _again(request, form)
    session = request.user.session
    change_password(request.db, session, form.value.password, request.services.passwords)
    log.info("password changed", account=str(account.id), address=request.remote_addr)
    return _renewed(request, HTTPSeeOther("/account?done=password"))


@view_config(
    context=AccountRoot,
    name="email",
    request_method="POST",
    renderer=PAGE,
    permission=Permission.SIGNED_IN,
    rate_limit="new-email",
)
def ask_for_address(context: AccountRoot, request: Request) -> Any:
    """Another address, which counts once its owner has followed a link."""
    form = read_form(NewAddressForm, request.POST)
    form = _proved(request, form, "email_password", lambda value: value.email_password)
    if form.value is None:
        return _again(request, form)
    enqueue_email_confirmation(request.db, request.user.account, form.value.email)
    return HTTPSeeOther("/account?done=asked-email")


@view_config(
    context=AccountRoot,
    name="unlink-google",
    request_method="POST",
    renderer=PAGE,
    permission=Permission.SIGNED_IN,
)
def unlink(context: AccountRoot, request: Request) -> Any:
    """No more sign-in with Google; only for those who have a password."""
    account = request.user.account
    if account.password_hash is None:
        return _again(request, Filled(None, {"google": "Set a password first: you could not sign in any more"}, {}))
    unlink_google(request.db, account)
    log.info("google unlinked", account=str(account.id), address=request.remote_addr)
    return HTTPSeeOther("/account?done=google-unlinked")


@view_config(
    context=AccountRoot, name="prove", request_method="GET", renderer=PROVE_PAGE, permission=Permission.SIGNED_IN
)
def prove_page(context: AccountRoot, request: Request) -> dict[str, Any]:
    """Ask again who somebody is, before something that matters."""
    return {"form": empty_form(), "account": request.user.account}


@view_config(
    context=AccountRoot,
    name="prove",
    request_method="POST",
    renderer=PROVE_PAGE,
    permission=Permission.SIGNED_IN,
    rate_limit="reauthentication",
)
def prove_form(context: AccountRoot, request: Request) -> Any:
    """Take the proof, which counts for the next minutes."""
    form = read_form(ProofForm, request.POST)
    try:
        reauthenticate(request.user.session, form.value.proof or "" if form.value else "", request.services.passwords)
    except ReauthenticationError:
        request.response.status = 422
        form = form.with_error("proof", NOT_YOURS)
        return {"form": form, "account": request.user.account}
    return HTTPSeeOther("/account#sessions")


@view_config(context=SessionResource, name="end", request_method="POST", permission=Permission.SIGNED_IN)
def end_one(context: SessionResource, request: Request) -> Response:
    """Sign one browser out."""
    person = request.user
    if not is_recently_authenticated(person.session):
        return HTTPSeeOther("/account/prove")
    if not end_session(request.db, person.account.id, parse_uuid(context.__name__)):
        raise HTTPNotFound
    return HTTPSeeOther("/account?done=ended#sessions")


@view_config(context=SessionCollection, name="end-all", request_method="POST", permission=Permission.SIGNED_IN)
def end_others(context: SessionCollection, request: Request) -> Response:
    """Sign every other browser out."""
    person = request.user
    if not is_recently_authenticated(person.session):
        return HTTPSeeOther("/account/prove")
    end_all_sessions(request.db, person.account, keep=person.session.id)
    log.info("signed out everywhere", account=str(person.account.id))
    return _renewed(request, HTTPSeeOther("/account?done=all-ended#sessions"))


@view_config(context=AccountRoot, name="export", request_method="GET", permission=Permission.SIGNED_IN)
def export(context: AccountRoot, request: Request) -> Response:
    """Everything that is tied to the account, as a JSON file."""
    response = Response(json_body=_plain(export_account(request.db, request.user.account)))
    response.content_disposition = 'attachment; filename="connectwyze-account.json"'
    return response


@view_config(
    context=AccountRoot, name="delete", request_method="GET", renderer=DELETE_PAGE, permission=Permission.SIGNED_IN
)
def delete_page(context: AccountRoot, request: Request) -> dict[str, Any]:
    """What a deletion means."""
    return _delete_page(request, empty_form())


@view_config(
    context=AccountRoot,
    name="delete",
    request_method="POST",
    renderer=DELETE_PAGE,
    permission=Permission.SIGNED_IN,
    rate_limit="reauthentication",
)
def delete_account(context: AccountRoot, request: Request) -> Any:
    """Begin the thirty days."""
    form = read_form(DeleteForm, request.POST)
    account = request.user.account
    if form.value is not None and form.value.confirm.lower() != account.email.lower():
        form = form.with_error("confirm", f"Type {account.email} to confirm")
    form = _proved(request, form, "proof", lambda value: value.proof)
    if form.value is None:
        request.response.status = 422
        return _delete_page(request, form)
    schedule_deletion(request.db, request.user.session, f"{request.services.settings.url}/account/delete")
    log.info("deletion begun", account=str(account.id), address=request.remote_addr)
    return _renewed(request, HTTPSeeOther("/account/delete"))


@view_config(context=AccountRoot, name="keep", request_method="POST", permission=Permission.SIGNED_IN)
def keep_account(context: AccountRoot, request: Request) -> Response:
    """No deletion after all."""
    account = request.user.account
    if account.delete_at is not None:
        cancel_deletion(request.db, account)
    return HTTPSeeOther("/account?done=kept")


def reauthentication_error(request: Request, given: str | None) -> str | None:
    """What to say when the person has not proved, here and now, who they are; None when they have."""
    session = request.user.session
    try:
        verify_identity(session, given or "", request.services.passwords)
    except ReauthenticationError:
        return NOT_YOURS if session.account.password_hash else SIGN_IN_AGAIN
    return None


def _proved(request: Request, form: Filled[Any], field: str, given: Callable[[Any], str | None]) -> Filled[Any]:
    """The form, refused beside its password when the person has not proved who they are."""
    if form.value is None:
        return form
    error = reauthentication_error(request, given(form.value))
    return form.with_error(field, error) if error else form


def _renewed(request: Request, response: Response) -> Response:
    """Keep this browser signed in over the end of every other session."""
    person = request.user
    token = session_token(person.session.id, person.account, request.services.browser_tokens)
    set_session_cookie(request, response, token)
    return response


def _again(request: Request, form: Filled[Any]) -> dict[str, Any]:
    request.response.status = 422
    return _page(request, form)


def _page(request: Request, form: Filled[Any]) -> dict[str, Any]:
    person = request.user
    return {
        "form": form,
        "account": person.account,
        "current": person.session.id,
        "sessions": list_sessions(request.db, person.account.id),
        "pending": pending_email(request.db, person.account),
        "google": request.services.google is not None,
        "identities": list_identities(request.db, person.account),
        "topics": TOPIC_LABELS,
        "codes_left": count_recovery_codes(request.db, person.account),
        "news": NEWS.get(request.GET.get("done", "")),
    }


def _delete_page(request: Request, form: Filled[Any]) -> dict[str, Any]:
    account = request.user.account
    return {"form": form, "account": account, "fates": workspace_outcomes(request.db, account.id)}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, datetime):
        return value.isoformat()
    return value if value is None or isinstance(value, bool | int | float) else str(value)

"""`/account`: profile, credentials, notifications, sessions, export and deletion."""

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
INCORRECT = "Incorrect password"
SIGN_IN_AGAIN = "Sign in with Google again, then retry within 15 minutes"
NOTICES = {
    "mails": "Email notifications saved.",
    "profile": "Name saved.",
    "password": "Password changed. All other browsers were signed out.",
    "email": "Your new email address is confirmed.",
    "asked-email": "We sent a link to your new email address. Open it to confirm the address.",
    "ended": "The browser was signed out.",
    "all-ended": "All other browsers were signed out.",
    "google-linked": "Google linked. You can now sign in with Google.",
    "google-unlinked": "Google unlinked.",
    "google-taken": "This Google account is linked to another ConnectWyze account.",
    "kept": "The deletion of your account was canceled.",
}


class ProfileForm(Form):
    """The display name."""

    name: Name


class MailsForm(Form):
    """The topics of email notifications."""

    feeds: Literal["on", ""] = ""
    storage: Literal["on", ""] = ""
    usage: Literal["on", ""] = ""
    runs: Literal["on", ""] = ""


class PasswordForm(Form):
    """The current and the new password."""

    current: TypedPassword | None = None
    password: NewPassword


class NewAddressForm(Form):
    """A new email address, and the password."""

    email: Email
    email_password: TypedPassword | None = None


class ProofForm(Form):
    """The password, to confirm a sensitive action."""

    proof: TypedPassword | None = None


class DeleteForm(Form):
    """The account's email address to confirm the deletion, and the password."""

    confirm: Annotated[str, StringConstraints(max_length=254)]
    proof: TypedPassword | None = None


@view_config(context=AccountRoot, request_method="GET", renderer=PAGE, permission=Permission.SIGNED_IN)
def account_page(context: AccountRoot, request: Request) -> dict[str, Any]:
    """Show the account page."""
    return _page(request, empty_form())


@view_config(context=AccountRoot, name="profile", request_method="POST", renderer=PAGE, permission=Permission.SIGNED_IN)
def change_profile(context: AccountRoot, request: Request) -> Any:
    """Change the name."""
    form = read_form(ProfileForm, request.POST)
    if form.value is None:
        return _again(request, form)
    request.user.account.name = form.value.name
    return HTTPSeeOther("/account?done=profile")


@view_config(context=AccountRoot, name="mails", request_method="POST", renderer=PAGE, permission=Permission.SIGNED_IN)
def choose_mails(context: AccountRoot, request: Request) -> Any:
    """Choose email notifications."""
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
    """Change or set the password, and end every other session."""
    form = read_form(PasswordForm, request.POST)
    account = request.user.account
    if form.value is not None and (advice := weakness(form.value.password, account.name, account.email)):
        form = form.with_error("password", advice)
    form = _verified(request, form, "current", lambda value: value.current)
    if form.value is None:
        return _again(request, form)
    session = request.user.session
    change_password(request.db, session, form.value.password, request.services.passwords)
    log.info("password changed", account=str(account.id), address=request.remote_addr)
    return _with_new_cookie(request, HTTPSeeOther("/account?done=password"))


@view_config(
    context=AccountRoot,
    name="email",
    request_method="POST",
    renderer=PAGE,
    permission=Permission.SIGNED_IN,
    rate_limit="new-email",
)
def request_email_change(context: AccountRoot, request: Request) -> Any:
    """Send a link to a new email address, which takes effect once confirmed."""
    form = read_form(NewAddressForm, request.POST)
    form = _verified(request, form, "email_password", lambda value: value.email_password)
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
    """Unlink Google from an account that has a password."""
    account = request.user.account
    if account.password_hash is None:
        return _again(request, Filled(None, {"google": "Set a password before you unlink Google"}, {}))
    unlink_google(request.db, account)
    log.info("google unlinked", account=str(account.id), address=request.remote_addr)
    return HTTPSeeOther("/account?done=google-unlinked")


@view_config(
    context=AccountRoot, name="prove", request_method="GET", renderer=PROVE_PAGE, permission=Permission.SIGNED_IN
)
def prove_page(context: AccountRoot, request: Request) -> dict[str, Any]:
    """Show the form that authenticates the user again."""
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
    """Authenticate the user again."""
    form = read_form(ProofForm, request.POST)
    try:
        reauthenticate(request.user.session, form.value.proof or "" if form.value else "", request.services.passwords)
    except ReauthenticationError:
        request.response.status = 422
        form = form.with_error("proof", INCORRECT)
        return {"form": form, "account": request.user.account}
    return HTTPSeeOther("/account#sessions")


@view_config(context=SessionResource, name="end", request_method="POST", permission=Permission.SIGNED_IN)
def end_one(context: SessionResource, request: Request) -> Response:
    """Sign out one browser."""
    person = request.user
    if not is_recently_authenticated(person.session):
        return HTTPSeeOther("/account/prove")
    if not end_session(request.db, person.account.id, parse_uuid(context.__name__)):
        raise HTTPNotFound
    return HTTPSeeOther("/account?done=ended#sessions")


@view_config(context=SessionCollection, name="end-all", request_method="POST", permission=Permission.SIGNED_IN)
def end_others(context: SessionCollection, request: Request) -> Response:
    """Sign out all other browsers."""
    person = request.user
    if not is_recently_authenticated(person.session):
        return HTTPSeeOther("/account/prove")
    end_all_sessions(request.db, person.account, keep=person.session.id)
    log.info("signed out everywhere", account=str(person.account.id))
    return _with_new_cookie(request, HTTPSeeOther("/account?done=all-ended#sessions"))


@view_config(context=AccountRoot, name="export", request_method="GET", permission=Permission.SIGNED_IN)
def export(context: AccountRoot, request: Request) -> Response:
    """Download the user's personal data as JSON."""
    response = Response(json_body=_plain(export_account(request.db, request.user.account)))
    response.content_disposition = 'attachment; filename="connectwyze-account.json"'
    return response


@view_config(
    context=AccountRoot, name="delete", request_method="GET", renderer=DELETE_PAGE, permission=Permission.SIGNED_IN
)
def delete_page(context: AccountRoot, request: Request) -> dict[str, Any]:
    """Show the effects of deleting the account."""
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
    """Schedule the deletion in thirty days."""
    form = read_form(DeleteForm, request.POST)
    account = request.user.account
    if form.value is not None and form.value.confirm.lower() != account.email.lower():
        form = form.with_error("confirm", f"Type {account.email} to confirm")
    form = _verified(request, form, "proof", lambda value: value.proof)
    if form.value is None:
        request.response.status = 422
        return _delete_page(request, form)
    schedule_deletion(request.db, request.user.session, f"{request.services.settings.url}/account/delete")
    log.info("account deletion scheduled", account=str(account.id), address=request.remote_addr)
    return _with_new_cookie(request, HTTPSeeOther("/account/delete"))


@view_config(context=AccountRoot, name="keep", request_method="POST", permission=Permission.SIGNED_IN)
def keep_account(context: AccountRoot, request: Request) -> Response:
    """Cancel the scheduled deletion."""
    account = request.user.account
    if account.delete_at is not None:
        cancel_deletion(request.db, account)
    return HTTPSeeOther("/account?done=kept")


def reauthentication_error(request: Request, given: str | None) -> str | None:
    """Return the error message if the user is not verified, or None."""
    session = request.user.session
    try:
        verify_identity(session, given or "", request.services.passwords)
    except ReauthenticationError:
        return INCORRECT if session.account.password_hash else SIGN_IN_AGAIN
    return None


def _verified(request: Request, form: Filled[Any], field: str, given: Callable[[Any], str | None]) -> Filled[Any]:
    """Return the form, with an error beside the password if the user is not verified."""
    if form.value is None:
        return form
    error = reauthentication_error(request, given(form.value))
    return form.with_error(field, error) if error else form


def _with_new_cookie(request: Request, response: Response) -> Response:
    """Set a new session cookie after all other sessions have ended."""
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
        "news": NOTICES.get(request.GET.get("done", "")),
    }


def _delete_page(request: Request, form: Filled[Any]) -> dict[str, Any]:
    account = request.user.account
    return {"form": form, "account": account, "outcomes": workspace_outcomes(request.db, account.id)}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, datetime):
        return value.isoformat()
    return value if value is None or isinstance(value, bool | int | float) else str(value)

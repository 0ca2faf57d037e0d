"""`/account`: profile, credentials, notifications, sessions, export and deletion."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, TypeAlias
from urllib.parse import urlencode
from uuid import UUID

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
from cwz_web.accounts.models import Account, ExternalIdentity, LoginSession, Passkey
from cwz_web.accounts.passkeys import Ceremony, PasskeyError, list_passkeys
from cwz_web.accounts.passwords import weakness
from cwz_web.accounts.second_factor import count_recovery_codes
from cwz_web.accounts.sessions import (
    end_all_sessions,
    end_session,
    list_sessions,
    session_token,
)
from cwz_web.accounts.tasks import enqueue_email_confirmation
from cwz_web.i18n import LOCALES, gettext, gettext_noop, locale_names
from cwz_web.notify.topics import TOPIC_LABELS, Topic
from cwz_web.resources.application import AccountRoot, SessionCollection, SessionResource
from cwz_web.resources.base import parse_uuid
from cwz_web.resources.permissions import Permission
from cwz_web.security import set_session_cookie
from cwz_web.web.forms import (
    Email,
    FieldError,
    Form,
    Name,
    NewPassword,
    SubmittedForm,
    TypedPassword,
    empty_form,
    form_view,
)
from cwz_web.web.login_flow import remember_device
from cwz_web.web.notices import find_done_notice
from cwz_web.web.passkeys import PasskeyForm, has_passkeys, passkey_service
from cwz_web.web.request import Request
from cwz_web.web.urls import safe_next
from cwz_web.workspaces.account_deletion import WorkspaceOutcome, workspace_outcomes
from cwz_web.workspaces.export import export_account

log = structlog.get_logger()

PAGE = "account/show.jinja2"
PROVE_PAGE = "account/prove.jinja2"
DELETE_PAGE = "account/delete.jinja2"
INCORRECT = gettext_noop("Incorrect password")
EMAIL_HELP = gettext_noop("Takes effect once you confirm the new address.")
SIGN_IN_AGAIN = gettext_noop("Sign in with Google again, then retry within 15 minutes")
NOTICES = {
    "mails": gettext_noop("Email notifications saved."),
    "profile": gettext_noop("Profile saved."),
    "password": gettext_noop("Password changed. All other browsers were signed out."),
    "email": gettext_noop("Your new email address is confirmed."),
    "email-requested": gettext_noop("We sent a link to your new email address. Open it to confirm the address."),
    "ended": gettext_noop("The browser was signed out."),
    "all-ended": gettext_noop("All other browsers were signed out."),
    "google-linked": gettext_noop("Google linked. You can now sign in with Google."),
    "google-unlinked": gettext_noop("Google unlinked."),
    "google-taken": gettext_noop("This Google account is linked to another ConnectWyze account."),
    "kept": gettext_noop("The deletion of your account was canceled."),
}


class ProfileForm(Form):
    """The display name, and the locale; none follows the browser."""

    name: Name
    locale: Literal["", *LOCALES] = ""  # type: ignore[valid-type]


class MailsForm(Form):
    """The topics of email notifications."""

    feeds: Literal["on", ""] = ""
    storage: Literal["on", ""] = ""
    usage: Literal["on", ""] = ""
    runs: Literal["on", ""] = ""
    publications: Literal["on", ""] = ""


class PasswordForm(Form):
    """The current and the new password."""

    current: TypedPassword | None = None
    password: NewPassword


class NewAddressForm(Form):
    """A new email address, and the password."""

    email: Email
    email_password: TypedPassword | None = None


class ProofForm(Form):
    """The password, to confirm a sensitive action, and the path to redirect to afterwards."""

    proof: TypedPassword | None = None
    next: str = "/account"


class DeleteForm(Form):
    """The account's email address to confirm the deletion, and the password."""

    confirm: Annotated[str, StringConstraints(max_length=254)]
    proof: TypedPassword | None = None


AccountPageForm: TypeAlias = (
    SubmittedForm[ProfileForm]
    | SubmittedForm[MailsForm]
    | SubmittedForm[PasswordForm]
    | SubmittedForm[NewAddressForm]
    | SubmittedForm[Form]
)


@dataclass(frozen=True)
class TopicChoice:
    """A check box of the email notifications."""

    topic: Topic
    label: str
    is_on: bool


@dataclass(frozen=True)
class AccountPage:
    """The view model of account/show.jinja2.

    Attributes:
        email_help: Whether a new email address waits for confirmation.
        current_session: The id of the session of this browser.
        has_google: Whether the installation offers sign-in with Google.
        codes_left: The number of unused recovery codes.
    """

    form: AccountPageForm
    account: Account
    has_password: bool
    email_help: str
    current_session: UUID
    sessions: list[LoginSession]
    has_google: bool
    identities: list[ExternalIdentity]
    passkeys: list[Passkey]
    topics: list[TopicChoice]
    codes_left: int
    is_operator: bool
    notice: str | None
    locales: dict[str, str]


@dataclass(frozen=True)
class ProvePage:
    """The view model of account/prove.jinja2.

    Attributes:
        has_passkeys: Whether the account has a passkey that can be used here.
        provider_path: The URL of the identity provider that vouches for the user, or None.
        next: The path to redirect to afterwards.
    """

    form: SubmittedForm[ProofForm] | SubmittedForm[PasskeyForm]
    provider_path: str | None
    has_password: bool
    has_passkeys: bool
    has_google: bool
    next: str


@dataclass(frozen=True)
class DeletePage:
    """The view model of account/delete.jinja2.

    Attributes:
        delete_at: When the account is deleted, or None if no deletion is scheduled.
        outcomes: The effect on each of the user's workspaces.
    """

    form: SubmittedForm[DeleteForm]
    email: str
    has_password: bool
    delete_at: datetime | None
    outcomes: list[WorkspaceOutcome]


def _account_page(context: AccountRoot, request: Request, form: AccountPageForm) -> AccountPage:
    account, session = request.user.account, request.user.session
    pending = pending_email(request.db, account)
    return AccountPage(
        form=form,
        account=account,
        has_password=account.password_hash is not None,
        email_help=gettext("Waiting for confirmation of %(email)s.", email=pending) if pending else gettext(EMAIL_HELP),
        current_session=session.id,
        sessions=list_sessions(request.db, account.id),
        has_google=request.services.google is not None,
        identities=list_identities(request.db, account),
        passkeys=list_passkeys(request.db, account),
        topics=[
            TopicChoice(topic, gettext(label), topic not in account.unsubscribed_topics)
            for topic, label in TOPIC_LABELS.items()
        ],
        codes_left=count_recovery_codes(request.db, account),
        is_operator=request.root.is_operator(),
        notice=find_done_notice(request, NOTICES),
        locales=locale_names(),
    )


def _prove_page(
    context: AccountRoot, request: Request, form: SubmittedForm[ProofForm] | SubmittedForm[PasskeyForm]
) -> ProvePage:
    account, session = request.user.account, request.user.session
    next_path = safe_next(request.params.get("next", "/account"))
    start = f"/signin/sso/{session.sso_workspace_id}/start?{urlencode({'next': next_path})}"
    return ProvePage(
        form=form,
        provider_path=None if session.is_own else start,
        has_password=account.password_hash is not None,
        has_passkeys=has_passkeys(request) and bool(list_passkeys(request.db, account)),
        has_google=bool(list_identities(request.db, account)),
        next=next_path,
    )


def _delete_page(context: AccountRoot, request: Request, form: SubmittedForm[DeleteForm]) -> DeletePage:
    account = request.user.account
    return DeletePage(
        form=form,
        email=account.email,
        has_password=account.password_hash is not None,
        delete_at=account.delete_at,
        outcomes=workspace_outcomes(request.db, account.id),
    )


@view_config(context=AccountRoot, request_method="GET", renderer=PAGE, permission=Permission.SIGNED_IN)
def account_page(context: AccountRoot, request: Request) -> AccountPage:
    """Show the account page."""
    return _account_page(context, request, empty_form())


@form_view(
    ProfileForm, _account_page, context=AccountRoot, name="profile", renderer=PAGE, permission=Permission.SIGNED_IN
)
def change_profile(context: AccountRoot, request: Request, form: ProfileForm) -> Response:
    """Change the name and the locale."""
    request.user.account.name, request.user.account.locale = form.name, form.locale or None
    return HTTPSeeOther("/account?done=profile")


@form_view(MailsForm, _account_page, context=AccountRoot, name="mails", renderer=PAGE, permission=Permission.SIGNED_IN)
def choose_mails(context: AccountRoot, request: Request, form: MailsForm) -> Response:
    """Choose email notifications."""
    request.user.account.unsubscribed_topics = [topic.value for topic in Topic if not getattr(form, topic)]
    return HTTPSeeOther("/account?done=mails#mails")


@form_view(
    PasswordForm,
    _account_page,
    context=AccountRoot,
    name="password",
    renderer=PAGE,
    permission=Permission.SIGNED_IN,
    rate_limit="reauthentication",
    requires_recent_auth="view",
)
def set_password(context: AccountRoot, request: Request, form: PasswordForm) -> Response:
    """Change or set the password, and end every other session."""
    account = request.user.account
    if advice := weakness(form.password, account.name, account.email):
        raise FieldError("password", advice)
    require_identity(request, "current", form.current)
    change_password(request.db, request.user.session, form.password, request.services.passwords)
    log.info("password changed", account=str(account.id), ip_address=request.remote_addr)
    return _with_new_cookie(request, HTTPSeeOther("/account?done=password"))


@form_view(
    NewAddressForm,
    _account_page,
    context=AccountRoot,
    name="email",
    renderer=PAGE,
    permission=Permission.SIGNED_IN,
    rate_limit="new-email",
    requires_recent_auth="view",
)
def request_email_change(context: AccountRoot, request: Request, form: NewAddressForm) -> Response:
    """Send a link to a new email address, which takes effect once confirmed."""
    require_identity(request, "email_password", form.email_password)
    enqueue_email_confirmation(request.db, request.user.account, form.email)
    return HTTPSeeOther("/account?done=email-requested")


@form_view(
    Form,
    _account_page,
    context=AccountRoot,
    name="unlink-google",
    renderer=PAGE,
    permission=Permission.SIGNED_IN,
    requires_recent_auth=True,
)
def unlink(context: AccountRoot, request: Request, form: Form) -> Response:
    """Unlink Google from an account that has a password."""
    account = request.user.account
    if account.password_hash is None:
        raise FieldError("google", gettext("Set a password before you unlink Google"))
    unlink_google(request.db, account)
    log.info("google unlinked", account=str(account.id), ip_address=request.remote_addr)
    return HTTPSeeOther("/account?done=google-unlinked")


@view_config(
    context=AccountRoot, name="prove", request_method="GET", renderer=PROVE_PAGE, permission=Permission.SESSION
)
def prove_page(context: AccountRoot, request: Request) -> ProvePage:
    """Show the form that authenticates the user again."""
    return _prove_page(context, request, empty_form())


@form_view(
    ProofForm,
    _prove_page,
    context=AccountRoot,
    name="prove",
    renderer=PROVE_PAGE,
    permission=Permission.SIGNED_IN,
    rate_limit="reauthentication",
)
def prove_identity(context: AccountRoot, request: Request, form: ProofForm) -> Response:
    """Authenticate the user again."""
    try:
        reauthenticate(request.user.session, form.proof or "", request.services.passwords)
    except ReauthenticationError:
        raise FieldError("proof", gettext(INCORRECT)) from None
    return HTTPSeeOther(safe_next(form.next))


@view_config(
    context=AccountRoot,
    name="prove-challenge",
    request_method="POST",
    permission=Permission.SIGNED_IN,
    rate_limit="passkey-challenge",
)
def challenge_own_passkey(context: AccountRoot, request: Request) -> Response:
    """Return a challenge for the user's passkeys, as JSON."""
    user = request.user
    options = passkey_service(request).authentication_options(
        request.db, Ceremony.PROVE, user.account, str(user.session.id)
    )
    return Response(json_body=options)


@form_view(
    PasskeyForm,
    _prove_page,
    context=AccountRoot,
    name="prove-passkey",
    renderer=PROVE_PAGE,
    permission=Permission.SIGNED_IN,
    rate_limit="passkey",
)
def prove_with_passkey(context: AccountRoot, request: Request, form: PasskeyForm) -> Response:
    """Authenticate the user again with a passkey."""
    session = request.user.session
    try:
        passkey_service(request).authenticate(
            request.db,
            Ceremony.PROVE,
            session.account,
            challenge=form.challenge,
            credential=form.credential,
            binding=str(session.id),
        )
    except PasskeyError as error:
        raise FieldError("passkey", str(error)) from None
    session.authenticated_at = datetime.now(UTC)
    return HTTPSeeOther(safe_next(form.next))


@view_config(
    context=SessionResource,
    name="end",
    request_method="POST",
    permission=Permission.SIGNED_IN,
    requires_recent_auth=True,
)
def end_one(context: SessionResource, request: Request) -> Response:
    """Sign out one browser."""
    user = request.user
    if not end_session(request.db, user.account.id, parse_uuid(context.__name__)):
        raise HTTPNotFound
    return HTTPSeeOther("/account?done=ended#sessions")


@view_config(
    context=SessionCollection,
    name="end-all",
    request_method="POST",
    permission=Permission.SIGNED_IN,
    requires_recent_auth=True,
)
def end_others(context: SessionCollection, request: Request) -> Response:
    """Sign out all other browsers."""
    user = request.user
    end_all_sessions(request.db, user.account, keep=user.session.id)
    log.info("signed out everywhere", account=str(user.account.id))
    return _with_new_cookie(request, HTTPSeeOther("/account?done=all-ended#sessions"))


@view_config(
    context=AccountRoot,
    name="export",
    request_method="GET",
    permission=Permission.SIGNED_IN,
    rate_limit="account-export",
    requires_recent_auth=True,
)
def export(context: AccountRoot, request: Request) -> Response:
    """Download the user's personal data as JSON."""
    response = Response(json_body=_plain(export_account(request.db, request.user.account)))
    response.content_disposition = 'attachment; filename="connectwyze-account.json"'
    return response


@view_config(
    context=AccountRoot, name="delete", request_method="GET", renderer=DELETE_PAGE, permission=Permission.SIGNED_IN
)
def delete_page(context: AccountRoot, request: Request) -> DeletePage:
    """Show the effects of deleting the account."""
    return _delete_page(context, request, empty_form())


@form_view(
    DeleteForm,
    _delete_page,
    context=AccountRoot,
    name="delete",
    renderer=DELETE_PAGE,
    permission=Permission.SIGNED_IN,
    rate_limit="reauthentication",
    requires_recent_auth="view",
)
def delete_account(context: AccountRoot, request: Request, form: DeleteForm) -> Response:
    """Schedule the deletion in thirty days."""
    account = request.user.account
    if form.confirm.lower() != account.email.lower():
        raise FieldError("confirm", gettext("Type %(email)s to confirm", email=account.email))
    require_identity(request, "proof", form.proof)
    schedule_deletion(request.db, request.user.session, f"{request.services.settings.url}/account/delete")
    log.info("account deletion scheduled", account=str(account.id), ip_address=request.remote_addr)
    return _with_new_cookie(request, HTTPSeeOther("/account/delete"))


@view_config(context=AccountRoot, name="keep", request_method="POST", permission=Permission.SIGNED_IN)
def keep_account(context: AccountRoot, request: Request) -> Response:
    """Cancel the scheduled deletion."""
    account = request.user.account
    if account.delete_at is not None:
        cancel_deletion(request.db, account)
    return HTTPSeeOther("/account?done=kept")


def require_identity(request: Request, field: str, password: str | None) -> None:
    """Verify the user before a sensitive action.

    Args:
        field: The name of the password's field.

    Raises:
        FieldError: The password is incorrect, or an account without one did not sign in recently.
    """
    session = request.user.session
    try:
        verify_identity(session, password or "", request.services.passwords)
    except ReauthenticationError:
        message = INCORRECT if session.account.password_hash else SIGN_IN_AGAIN
        raise FieldError(field, gettext(message)) from None


def _with_new_cookie(request: Request, response: Response) -> Response:
    """Set a new session cookie after all other sessions have ended, and keep this browser a known device."""
    user = request.user
    token = session_token(user.session.id, user.account, request.services.browser_tokens)
    set_session_cookie(request, response, token)
    remember_device(request, response, user.account)
    return response


def _plain(value: Any) -> Any:
    """Return a value of the export as JSON."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, datetime):
        return value.isoformat()
    return value if value is None or isinstance(value, bool | int | float) else str(value)

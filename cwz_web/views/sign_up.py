"""Sign-up, and the links in emails: verification, password reset, new email address.

A link opens a page with a button, which sends a POST request: email scanners follow links. The page of a verification
sends it with a script in the browser that signed up, whose cookie a scanner does not have.
"""

from dataclasses import dataclass
from typing import Literal

import structlog
from pyramid.httpexceptions import HTTPSeeOther
from pyramid.response import Response
from pyramid.security import NO_PERMISSION_REQUIRED
from pyramid.view import view_config

from cwz_web.accounts.credentials import ReauthenticationError, change_email, is_session_of, reset_password
from cwz_web.accounts.google import list_identities
from cwz_web.accounts.models import LoginSession
from cwz_web.accounts.passkeys import list_passkeys
from cwz_web.accounts.passwords import weakness
from cwz_web.accounts.registration import BrowserMismatchError, is_sign_up_browser, sign_up, verify_email
from cwz_web.accounts.tasks import enqueue_password_reset, enqueue_sign_up_email
from cwz_web.accounts.tokens import InvalidTokenError, Purpose, find_token
from cwz_web.i18n import gettext, gettext_noop
from cwz_web.resources.application import Root
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
    read_form,
)
from cwz_web.web.locales import requested_locale
from cwz_web.web.login_flow import continue_sign_in, remember_device
from cwz_web.web.request import Request
from cwz_web.workspaces.single_sign_on import keep_requirement

log = structlog.get_logger()

SIGN_UP_PAGE = "sign_up.jinja2"
CHECK_EMAIL_PAGE = "check_email.jinja2"
FORGOT_PAGE = "forgot.jinja2"
VERIFY_PAGE = "verify.jinja2"
RESET_PAGE = "reset.jinja2"
NEW_EMAIL_PAGE = "new_email.jinja2"
BAD_LINK_PAGE = "bad_link.jinja2"
NOT_OWNER = gettext_noop("Incorrect password. Enter the password of the account that asked for this change")
BROWSER_MISMATCH = gettext_noop("Incorrect password. Enter the password that you chose when you signed up")


class SignUpForm(Form):
    """Name, email address and password of a new account."""

    name: Name
    email: Email
    password: NewPassword


class EmailForm(Form):
    """An email address."""

    email: Email


class VerifyForm(Form):
    """The token, and the password if another browser signed up."""

    token: str
    password: TypedPassword | None = None


class ResetForm(Form):
    """The token, a new password, and whether to unlink every Google account and to remove every passkey."""

    token: str
    password: NewPassword
    unlink_google: Literal["on", ""] = ""
    remove_passkeys: Literal["on", ""] = ""


class NewEmailForm(Form):
    """The token of a new email address, and the password if the browser has no session of the account."""

    token: str
    password: TypedPassword | None = None


@dataclass(frozen=True)
class SignUpPage:
    """The view model of sign_up.jinja2.

    Attributes:
        has_google: Whether the installation offers sign-in with Google.
    """

    form: SubmittedForm[SignUpForm]
    has_google: bool


@dataclass(frozen=True)
class CheckEmailPage:
    """The view model of check_email.jinja2, which is the same whether the email address has an account.

    Attributes:
        email: The email address as it was entered.
        can_resend: Whether to offer to send the email of a sign-up again.
        is_reset: Whether the email resets a password; only an address with an account gets one.
    """

    email: str
    can_resend: bool = False
    is_reset: bool = False


@dataclass(frozen=True)
class VerifyPage:
    """The view model of verify.jinja2.

    Attributes:
        needs_password: Whether another browser signed up, so that this one has to know the password.
        is_sent_by_script: Whether a script presses the button. Not if another account is signed in: it would be signed
            out.
    """

    form: SubmittedForm[VerifyForm]
    token: str
    needs_password: bool
    is_sent_by_script: bool


@dataclass(frozen=True)
class ForgotPage:
    """The view model of forgot.jinja2."""

    form: SubmittedForm[EmailForm]


@dataclass(frozen=True)
class ResetPage:
    """The view model of reset.jinja2.

    Attributes:
        email: The email address of the account.
        google_accounts: The addresses of the linked Google accounts.
        passkeys: The names of the passkeys.
    """

    form: SubmittedForm[ResetForm]
    token: str
    email: str
    google_accounts: list[str]
    passkeys: list[str]


@dataclass(frozen=True)
class NewEmailPage:
    """The view model of new_email.jinja2.

    Attributes:
        email: The new email address.
        needs_proof: Whether the browser has no session of the account, so that its user has to prove to be the owner.
        has_password: Whether a password can prove it; otherwise the user signs in with Google first.
        user_email: The email address of another account that is signed in, or None.
    """

    form: SubmittedForm[NewEmailForm]
    token: str
    email: str
    needs_proof: bool
    has_password: bool
    user_email: str | None


@dataclass(frozen=True)
class BadLinkPage:
    """The view model of bad_link.jinja2.

    Attributes:
        path: The page where the user can get a new link.
        label: The label of the button that opens it.
    """

    path: str
    label: str


def _sign_up_page(context: Root, request: Request, form: SubmittedForm[SignUpForm]) -> SignUpPage:
    return SignUpPage(form, has_google=request.services.google is not None)


def _verify_page(context: Root, request: Request, form: SubmittedForm[VerifyForm]) -> VerifyPage | BadLinkPage:
    try:
        _, account = find_token(request.db, _token(request), Purpose.VERIFY)
    except InvalidTokenError:
        return _bad_verification_link(request)
    is_same_browser = is_sign_up_browser(account, request.visitor_id)
    return VerifyPage(
        form=form,
        token=_token(request),
        needs_password=not is_same_browser,
        # Not after an error, which would repeat.
        is_sent_by_script=is_same_browser and request.identity is None and request.method == "GET",
    )


def _forgot_page(context: Root, request: Request, form: SubmittedForm[EmailForm]) -> ForgotPage:
    return ForgotPage(form)


def _reset_page(context: Root, request: Request, form: SubmittedForm[ResetForm]) -> ResetPage | BadLinkPage:
    try:
        _, account = find_token(request.db, _token(request), Purpose.RESET)
    except InvalidTokenError:
        return _bad_reset_link(request)
    google_accounts = sorted(identity.email for identity in list_identities(request.db, account))
    passkeys = [passkey.name for passkey in list_passkeys(request.db, account)]
    return ResetPage(form, _token(request), account.email, google_accounts, passkeys)


def _new_email_page(context: Root, request: Request, form: SubmittedForm[NewEmailForm]) -> NewEmailPage | BadLinkPage:
    try:
        token, account = find_token(request.db, _token(request), Purpose.EMAIL)
    except InvalidTokenError:
        return _bad_new_email_link(request)
    assert token.email is not None, "tokens of this purpose have an email address"
    needs_proof = not is_session_of(_session(request), account)
    return NewEmailPage(
        form=form,
        token=_token(request),
        email=token.email,
        needs_proof=needs_proof,
        has_password=account.password_hash is not None,
        user_email=request.user.account.email if needs_proof and request.identity else None,
    )


@view_config(
    context=Root, name="signup", request_method="GET", renderer=SIGN_UP_PAGE, permission=NO_PERMISSION_REQUIRED
)
def sign_up_page(context: Root, request: Request) -> SignUpPage | Response:
    """Show the sign-up form, or redirect a signed-in user."""
    return HTTPSeeOther("/") if request.identity else _sign_up_page(context, request, empty_form())


@form_view(
    SignUpForm,
    _sign_up_page,
    context=Root,
    name="signup",
    renderer=SIGN_UP_PAGE,
    permission=NO_PERMISSION_REQUIRED,
    rate_limit="sign-up",
)
def create_account(context: Root, request: Request, form: SignUpForm) -> CheckEmailPage:
    """Create the account; the response is the same if the address already has one, to not reveal accounts."""
    if advice := weakness(form.password, form.name, form.email):
        raise FieldError("password", advice)
    sign_up(
        request.db,
        email=form.email,
        name=form.name,
        password=form.password,
        browser=request.visitor_id,
        passwords=request.services.passwords,
        locale=requested_locale(request),
    )
    enqueue_sign_up_email(request.db, form.email)
    request.override_renderer = CHECK_EMAIL_PAGE
    return CheckEmailPage(form.email, can_resend=True)


@view_config(
    context=Root,
    name="resend",
    request_method="POST",
    renderer=CHECK_EMAIL_PAGE,
    permission=NO_PERMISSION_REQUIRED,
    rate_limit="resend",
)
def resend_email(context: Root, request: Request) -> CheckEmailPage | Response:
    """Resend the email of a sign-up; the response does not reveal whether there is an account.

    The form has no visible field that could show an error: an invalid address leads back to the sign-up form.
    """
    form = read_form(EmailForm, request.POST)
    if form.value is None:
        return HTTPSeeOther("/signup")
    enqueue_sign_up_email(request.db, form.value.email)
    return CheckEmailPage(form.value.email)


@view_config(context=Root, name="verify", request_method="GET", renderer=VERIFY_PAGE, permission=NO_PERMISSION_REQUIRED)
def verify_page(context: Root, request: Request) -> VerifyPage | BadLinkPage:
    """Show the button that verifies an email address; a script presses it in the browser that signed up."""
    return _verify_page(context, request, empty_form())


@form_view(
    VerifyForm,
    _verify_page,
    context=Root,
    name="verify",
    renderer=VERIFY_PAGE,
    permission=NO_PERMISSION_REQUIRED,
    rate_limit="link",
)
def verify_email_address(context: Root, request: Request, form: VerifyForm) -> BadLinkPage | Response:
    """Verify an email address, and sign in: the browser signed up, or its user has just entered the password."""
    try:
        account = verify_email(
            request.db,
            form.token,
            browser=request.visitor_id,
            password=form.password,
            passwords=request.services.passwords,
        )
    except InvalidTokenError:
        return _bad_verification_link(request)
    except BrowserMismatchError:
        raise FieldError("password", gettext(BROWSER_MISMATCH)) from None
    log.info("email address verified", account=str(account.id))
    return continue_sign_in(request, request.db, account, "/")


@view_config(context=Root, name="forgot", request_method="GET", renderer=FORGOT_PAGE, permission=NO_PERMISSION_REQUIRED)
def forgot_page(context: Root, request: Request) -> ForgotPage:
    """Show the form for a reset link."""
    return _forgot_page(context, request, empty_form())


@form_view(
    EmailForm,
    _forgot_page,
    context=Root,
    name="forgot",
    renderer=FORGOT_PAGE,
    permission=NO_PERMISSION_REQUIRED,
    rate_limit="reset",
)
def send_reset_link(context: Root, request: Request, form: EmailForm) -> CheckEmailPage:
    """Send a reset link; the response is the same without an account, to not reveal accounts."""
    enqueue_password_reset(request.db, form.email)
    request.override_renderer = CHECK_EMAIL_PAGE
    return CheckEmailPage(form.email, is_reset=True)


@view_config(context=Root, name="reset", request_method="GET", renderer=RESET_PAGE, permission=NO_PERMISSION_REQUIRED)
def reset_page(context: Root, request: Request) -> ResetPage | BadLinkPage:
    """Show the form for a new password."""
    return _reset_page(context, request, empty_form())


@form_view(
    ResetForm,
    _reset_page,
    context=Root,
    name="reset",
    renderer=RESET_PAGE,
    permission=NO_PERMISSION_REQUIRED,
    rate_limit="link",
)
def set_new_password(context: Root, request: Request, form: ResetForm) -> BadLinkPage | Response:
    """Set a new password and end every session."""
    try:
        _, account = find_token(request.db, form.token, Purpose.RESET)
        if advice := weakness(form.password, account.name, account.email):
            raise FieldError("password", advice)
        reset_password(
            request.db,
            form.token,
            form.password,
            request.services.passwords,
            unlink_google_accounts=form.unlink_google == "on",
            remove_passkeys=form.remove_passkeys == "on",
        )
    except InvalidTokenError:
        return _bad_reset_link(request)
    log.info("password reset", account=str(account.id), ip_address=request.remote_addr)
    response = HTTPSeeOther("/signin?done=reset")
    remember_device(request, response, account)
    return response


@view_config(
    context=Root, name="email", request_method="GET", renderer=NEW_EMAIL_PAGE, permission=NO_PERMISSION_REQUIRED
)
def new_email_page(context: Root, request: Request) -> NewEmailPage | BadLinkPage:
    """Show the button that confirms a new email address."""
    return _new_email_page(context, request, empty_form())


@form_view(
    NewEmailForm,
    _new_email_page,
    context=Root,
    name="email",
    renderer=NEW_EMAIL_PAGE,
    permission=NO_PERMISSION_REQUIRED,
    rate_limit="link",
)
def confirm_new_email(context: Root, request: Request, form: NewEmailForm) -> BadLinkPage | Response:
    """Confirm a new email address."""
    try:
        _, account = find_token(request.db, form.token, Purpose.EMAIL)
        previous_email = account.email
        change_email(
            request.db,
            form.token,
            session=_session(request),
            password=form.password,
            passwords=request.services.passwords,
        )
    except InvalidTokenError:
        return _bad_new_email_link(request)
    except ReauthenticationError:
        raise FieldError("password", gettext(NOT_OWNER)) from None
    keep_requirement(request.db, account, previous_email)
    log.info("email address changed", account=str(account.id), ip_address=request.remote_addr)
    is_own = is_session_of(_session(request), account)
    return HTTPSeeOther("/account?done=email" if is_own else "/signin?done=email")


def _session(request: Request) -> LoginSession | None:
    return request.user.session if request.identity else None


def _token(request: Request) -> str:
    """Return the token of the link, or of the page's form."""
    fields = request.POST if request.method == "POST" else request.GET
    return str(fields.get("token", ""))


def _bad_verification_link(request: Request) -> BadLinkPage:
    return _bad_link(request, "/signup", gettext("Sign up again"))


def _bad_reset_link(request: Request) -> BadLinkPage:
    return _bad_link(request, "/forgot", gettext("Request a new link"))


def _bad_new_email_link(request: Request) -> BadLinkPage:
    return _bad_link(request, "/account", gettext("Open account settings"))


def _bad_link(request: Request, path: str, label: str) -> BadLinkPage:
    request.override_renderer = BAD_LINK_PAGE
    request.response.status = 404 if request.method == "GET" else 422
    return BadLinkPage(path, label)

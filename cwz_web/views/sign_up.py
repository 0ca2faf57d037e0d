"""Sign-up, and the links in emails: verification, password reset, new email address.

A link opens a page with a button, which sends a POST request: email scanners follow links.
"""

from typing import Any

import structlog
from pyramid.httpexceptions import HTTPSeeOther
from pyramid.security import NO_PERMISSION_REQUIRED
from pyramid.view import view_config

from cwz_web.accounts.credentials import change_email, reset_password
from cwz_web.accounts.passwords import weakness
from cwz_web.accounts.registration import BrowserMismatchError, is_sign_up_browser, sign_up, verify_email
from cwz_web.accounts.tasks import enqueue_password_reset, enqueue_sign_up_email
from cwz_web.accounts.tokens import InvalidTokenError, Purpose, find_token
from cwz_web.resources.application import Root
from cwz_web.web.forms import Email, Form, Name, NewPassword, TypedPassword, empty_form, read_form
from cwz_web.web.request import Request

log = structlog.get_logger()

SIGN_UP = "sign_up.jinja2"
CHECK_MAIL = "check_mail.jinja2"
FORGOT = "forgot.jinja2"
VERIFY = "verify.jinja2"
RESET = "reset.jinja2"
EMAIL = "new_email.jinja2"
BAD_LINK = "bad_link.jinja2"


class SignUpForm(Form):
    """Name, email address and password of a new account."""

    name: Name
    email: Email
    password: NewPassword


class AddressForm(Form):
    """An email address."""

    email: Email


class ConfirmForm(Form):
    """The token, and the password if another browser signed up."""

    token: str
    password: TypedPassword | None = None


class ResetForm(Form):
    """A new password."""

    token: str
    password: NewPassword


@view_config(context=Root, name="signup", request_method="GET", renderer=SIGN_UP, permission=NO_PERMISSION_REQUIRED)
def sign_up_page(context: Root, request: Request) -> Any:
    """Show the sign-up form."""
    return HTTPSeeOther("/") if request.identity else _sign_up_page(request, empty_form())


@view_config(
    context=Root,
    name="signup",
    request_method="POST",
    renderer=SIGN_UP,
    permission=NO_PERMISSION_REQUIRED,
    rate_limit="sign-up",
)
def sign_up_form(context: Root, request: Request) -> Any:
    """Create the account; the response is the same if the address already has one, to not reveal accounts."""
    form = read_form(SignUpForm, request.POST)
    if form.value is not None and (advice := weakness(form.value.password, form.value.name, form.value.email)):
        form = form.with_error("password", advice)
    if form.value is None:
        request.response.status = 422
        return _sign_up_page(request, form)
    typed = form.value
    sign_up(
        request.db,
        email=typed.email,
        name=typed.name,
        password=typed.password,
        browser=request.visitor_id,
        passwords=request.services.passwords,
    )
    enqueue_sign_up_email(request.db, typed.email)
    request.override_renderer = CHECK_MAIL
    return {"email": typed.email, "again": True}


@view_config(
    context=Root,
    name="resend",
    request_method="POST",
    renderer=CHECK_MAIL,
    permission=NO_PERMISSION_REQUIRED,
    rate_limit="resend",
)
def resend(context: Root, request: Request) -> Any:
    """Resend the email; the response does not reveal whether there is an account."""
    form = read_form(AddressForm, request.POST)
    if form.value is None:
        return HTTPSeeOther("/signup")
    enqueue_sign_up_email(request.db, form.value.email)
    return {"email": form.value.email, "again": False}


@view_config(context=Root, name="verify", request_method="GET", renderer=VERIFY, permission=NO_PERMISSION_REQUIRED)
def verify_page(context: Root, request: Request) -> Any:
    """Show the button that verifies an email address."""
    try:
        _, account = find_token(request.db, _token(request), Purpose.VERIFY)
    except InvalidTokenError:
        return _bad_link(request, "/signup", "Sign up again")
    elsewhere = not is_sign_up_browser(account, request.visitor_id)
    return {"form": empty_form(), "token": _token(request), "elsewhere": elsewhere}


@view_config(
    context=Root,
    name="verify",
    request_method="POST",
    renderer=VERIFY,
    permission=NO_PERMISSION_REQUIRED,
    rate_limit="verification",
)
def verify_form(context: Root, request: Request) -> Any:
    """Verify an email address."""
    form = read_form(ConfirmForm, request.POST)
    try:
        account = verify_email(
            request.db,
            _token(request),
            browser=request.visitor_id,
            password=form.value.password if form.value else None,
            passwords=request.services.passwords,
        )
    except InvalidTokenError:
        return _bad_link(request, "/signup", "Sign up again")
    except BrowserMismatchError:
        request.response.status = 422
        form = form.with_error("password", "Incorrect password. Enter the password that you chose when you signed up")
        return {"form": form, "token": _token(request), "elsewhere": True}
    log.info("email address verified", account=str(account.id))
    return HTTPSeeOther("/signin?done=verified")


@view_config(context=Root, name="forgot", request_method="GET", renderer=FORGOT, permission=NO_PERMISSION_REQUIRED)
def forgot_page(context: Root, request: Request) -> dict[str, Any]:
    """Show the form for a reset link."""
    return {"form": empty_form()}


@view_config(
    context=Root,
    name="forgot",
    request_method="POST",
    renderer=FORGOT,
    permission=NO_PERMISSION_REQUIRED,
    rate_limit="reset",
)
def forgot_form(context: Root, request: Request) -> Any:
    """Send a reset link; the response is the same without an account, to not reveal accounts."""
    form = read_form(AddressForm, request.POST)
    if form.value is None:
        request.response.status = 422
        return {"form": form}
    enqueue_password_reset(request.db, form.value.email)
    request.override_renderer = CHECK_MAIL
    return {"email": form.value.email, "again": False}


@view_config(context=Root, name="reset", request_method="GET", renderer=RESET, permission=NO_PERMISSION_REQUIRED)
def reset_page(context: Root, request: Request) -> Any:
    """Show the form for a new password."""
    try:
        find_token(request.db, _token(request), Purpose.RESET)
    except InvalidTokenError:
        return _bad_link(request, "/forgot", "Request a new link")
    return {"form": empty_form(), "token": _token(request)}


@view_config(
    context=Root,
    name="reset",
    request_method="POST",
    renderer=RESET,
    permission=NO_PERMISSION_REQUIRED,
    rate_limit="verification",
)
def reset_form(context: Root, request: Request) -> Any:
    """Set a new password and end every session."""
    form = read_form(ResetForm, request.POST)
    try:
        _, account = find_token(request.db, _token(request), Purpose.RESET)
        if form.value is not None and (advice := weakness(form.value.password, account.name, account.email)):
            form = form.with_error("password", advice)
        if form.value is None:
            request.response.status = 422
            return {"form": form, "token": _token(request)}
        reset_password(request.db, _token(request), form.value.password, request.services.passwords)
    except InvalidTokenError:
        return _bad_link(request, "/forgot", "Request a new link")
    log.info("password reset", account=str(account.id), address=request.remote_addr)
    return HTTPSeeOther("/signin?done=reset")


@view_config(context=Root, name="email", request_method="GET", renderer=EMAIL, permission=NO_PERMISSION_REQUIRED)
def new_email_page(context: Root, request: Request) -> Any:
    """Show the button that confirms a new email address."""
    try:
        token, _ = find_token(request.db, _token(request), Purpose.EMAIL)
    except InvalidTokenError:
        return _bad_link(request, "/account", "Open account settings")
    return {"token": _token(request), "email": token.email}


@view_config(
    context=Root,
    name="email",
    request_method="POST",
    permission=NO_PERMISSION_REQUIRED,
    rate_limit="verification",
    renderer=EMAIL,
)
def new_email_form(context: Root, request: Request) -> Any:
    """Confirm a new email address."""
    try:
        account = change_email(request.db, _token(request))
    except InvalidTokenError:
        return _bad_link(request, "/account", "Open account settings")
    log.info("email address changed", account=str(account.id), address=request.remote_addr)
    return HTTPSeeOther("/account?done=email" if request.identity else "/signin?done=email")


def _sign_up_page(request: Request, form: Any) -> dict[str, Any]:
    return {"form": form, "google": request.services.google is not None}


def _token(request: Request) -> str:
    return str(request.params.get("token", ""))


def _bad_link(request: Request, path: str, label: str) -> dict[str, Any]:
    request.override_renderer = BAD_LINK
    request.response.status = 404 if request.method == "GET" else 422
    return {"path": path, "label": label}

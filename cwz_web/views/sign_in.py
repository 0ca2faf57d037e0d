"""Sign-in and sign-out: password, second factor, and linking Google to an existing account."""

from datetime import timedelta
from typing import Annotated, Any

import structlog
from pydantic import StringConstraints
from pyramid.httpexceptions import HTTPSeeOther
from pyramid.response import Response
from pyramid.security import NO_PERMISSION_REQUIRED
from pyramid.view import view_config

from cwz_web.accounts.google import GoogleProfile
from cwz_web.accounts.registration import EmailNotVerifiedError, SignInError, authenticate
from cwz_web.accounts.second_factor import WrongCodeError, check_second_factor
from cwz_web.accounts.sessions import end_session
from cwz_web.demo import demo_password
from cwz_web.demo.contents import EMAIL
from cwz_web.resources.application import Root, SignInRoot
from cwz_web.resources.permissions import Permission
from cwz_web.security import cookie_name, set_cookie, set_session_cookie
from cwz_web.web.forms import Code, Filled, Form, TypedPassword, empty_form, read_form
from cwz_web.web.login_flow import complete_sign_in, continue_sign_in, find_step_account
from cwz_web.web.request import Request
from cwz_web.web.urls import safe_next

log = structlog.get_logger()

PAGE = "sign_in.jinja2"
CODE_PAGE = "sign_in_code.jinja2"
LINK_PAGE = "sign_in_link.jinja2"
PROOF = "google-proof"
PROOF_LIFETIME = timedelta(minutes=10)
# One message for both fields: it does not reveal whether the account exists.
INVALID_CREDENTIALS = "Incorrect email address or password"
# Shown after a redirect to the sign-in page.
NOTICES = {
    "verified": "Your email address is confirmed. Sign in to continue.",
    "reset": "Your password was changed, and all browsers were signed out. Sign in with your new password.",
    "email": "Your new email address is confirmed. Use it to sign in.",
    "google": "Sign-in with Google failed. Try again, or sign in with your password.",
    "unproved": "Google has not verified your email address. Sign in with your password instead.",
    "signed-out": "You have been signed out.",
}


class SignInForm(Form):
    """Email address and password."""

    email: Annotated[str, StringConstraints(min_length=1, max_length=254)]
    password: TypedPassword
    next: str = "/"


class CodeForm(Form):
    """An authentication code or a recovery code."""

    code: Code


class LinkForm(Form):
    """The password of the account to link."""

    password: TypedPassword


@view_config(context=SignInRoot, request_method="GET", renderer=PAGE, permission=NO_PERMISSION_REQUIRED)
def sign_in_page(context: SignInRoot, request: Request) -> Any:
    """Show the sign-in form, or redirect a signed-in user."""
    if request.identity is not None:
        return HTTPSeeOther(safe_next(request.GET.get("next", "/")))
    return _page(request, empty_form())


@view_config(
    context=SignInRoot,
    request_method="POST",
    renderer=PAGE,
    permission=NO_PERMISSION_REQUIRED,
    rate_limit="sign-in",
)
def sign_in_form(context: SignInRoot, request: Request) -> Any:
    """Authenticate with the password."""
    form = read_form(SignInForm, request.POST)
    if form.value is not None:
        typed = form.value
        try:
            account = authenticate(
                request.db, email=typed.email, password=typed.password, passwords=request.services.passwords
            )
        except SignInError:
            log.warning("sign-in refused", address=request.remote_addr)
            form = form.with_error("password", INVALID_CREDENTIALS)
        except EmailNotVerifiedError:
            request.override_renderer = "check_mail.jinja2"
            return {"email": typed.email, "again": True}
        else:
            return continue_sign_in(request, request.db, account, safe_next(typed.next))
    request.response.status = 422
    return _page(request, form)


@view_config(
    context=SignInRoot, name="code", request_method="GET", renderer=CODE_PAGE, permission=NO_PERMISSION_REQUIRED
)
def code_page(context: SignInRoot, request: Request) -> Any:
    """Show the form for the second factor."""
    return {"form": empty_form()} if find_step_account(request, request.db) else HTTPSeeOther("/signin")


@view_config(
    context=SignInRoot,
    name="code",
    request_method="POST",
    renderer=CODE_PAGE,
    permission=NO_PERMISSION_REQUIRED,
    rate_limit="second-factor",
)
def code_form(context: SignInRoot, request: Request) -> Any:
    """Verify the second factor."""
    account = find_step_account(request, request.db)
    if account is None:
        return HTTPSeeOther("/signin")
    form = read_form(CodeForm, request.POST)
    if form.value is not None:
        try:
            check_second_factor(request.db, account, form.value.code, request.services.ring)
        except WrongCodeError:
            log.warning("second factor refused", account=str(account.id), address=request.remote_addr)
            form = form.with_error("code", "This code is not valid or has been used. Enter the next code")
        else:
            google = GoogleProfile.from_claims(request.login_step)
            return complete_sign_in(request, request.db, account, safe_next(request.login_step["next"]), google)
    request.response.status = 422
    return {"form": form}


@view_config(
    context=SignInRoot, name="link", request_method="GET", renderer=LINK_PAGE, permission=NO_PERMISSION_REQUIRED
)
def link_page(context: SignInRoot, request: Request) -> Any:
    """Ask for the password of the account that has the Google account's email address."""
    person = _pending_profile(request)
    return {"form": empty_form(), "person": person} if person else HTTPSeeOther("/signin")


@view_config(
    context=SignInRoot,
    name="link",
    request_method="POST",
    renderer=LINK_PAGE,
    permission=NO_PERMISSION_REQUIRED,
    rate_limit="sign-in",
)
def link_form(context: SignInRoot, request: Request) -> Any:
    """Link Google and sign in."""
    person = _pending_profile(request)
    if person is None:
        return HTTPSeeOther("/signin")
    form = read_form(LinkForm, request.POST)
    if form.value is not None:
        try:
            account = authenticate(
                request.db, email=person.email, password=form.value.password, passwords=request.services.passwords
            )
        except (SignInError, EmailNotVerifiedError):
            form = form.with_error("password", "Incorrect password")
        else:
            response = continue_sign_in(request, request.db, account, "/", person)
            set_cookie(request, response, PROOF, None)
            return response
    request.response.status = 422
    return {"form": form, "person": person}


@view_config(context=Root, name="signout", request_method="POST", permission=Permission.SIGNED_IN)
def sign_out(context: Root, request: Request) -> Response:
    """End the browser's session."""
    person = request.user
    end_session(request.db, person.account.id, person.session.id)
    log.info("signed out", account=str(person.account.id))
    response = HTTPSeeOther("/signin?done=signed-out")
    response.headers["Clear-Site-Data"] = '"cache", "storage"'
    set_session_cookie(request, response, None)
    return response


def redirect_to_password(request: Request, person: GoogleProfile) -> Response:
    """Redirect to the page that asks for the password before Google is linked."""
    response = HTTPSeeOther("/signin/link")
    token = request.services.browser_tokens.sign(PROOF, PROOF_LIFETIME, **person.as_claims())
    set_cookie(request, response, PROOF, token, PROOF_LIFETIME)
    return response


def _pending_profile(request: Request) -> GoogleProfile | None:
    token = request.cookies.get(cookie_name(request, PROOF))
    claims = request.services.browser_tokens.read(PROOF, token) if token else None
    return GoogleProfile.from_claims(claims) if claims else None


def demo_credentials(request: Request) -> tuple[str, str] | None:
    """Return the demo's email address and password, if the demo is enabled."""
    settings = request.services.settings
    return (EMAIL, demo_password(settings.secrets.signing.get_secret_value())) if settings.demo else None


def _page(request: Request, form: Filled[SignInForm]) -> dict[str, Any]:
    services = request.services
    return {
        "form": form,
        "next": safe_next(request.params.get("next", "/")),
        "demo": demo_credentials(request),
        "google": services.google is not None,
        "news": NOTICES.get(request.GET.get("done", "")),
    }

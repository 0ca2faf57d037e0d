"""Sign-in and sign-out: password, second factor, and linking Google to an existing account."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import structlog
from pydantic import StringConstraints
from pyramid.httpexceptions import HTTPForbidden, HTTPSeeOther
from pyramid.response import Response
from pyramid.security import NO_PERMISSION_REQUIRED
from pyramid.view import view_config

from cwz_web.accounts.models import Account, Method, Passkey
from cwz_web.accounts.openid import OpenIDProfile
from cwz_web.accounts.passkeys import Ceremony, PasskeyError, list_passkeys
from cwz_web.accounts.registration import EmailNotVerifiedError, SignInError, authenticate
from cwz_web.accounts.second_factor import WrongCodeError, check_second_factor
from cwz_web.accounts.sessions import end_session
from cwz_web.demo import demo_password
from cwz_web.demo.contents import EMAIL
from cwz_web.i18n import gettext, gettext_noop
from cwz_web.resources.application import Root, SignInRoot
from cwz_web.resources.permissions import Permission
from cwz_web.security import set_cookie, set_session_cookie
from cwz_web.views.sign_up import CHECK_EMAIL_PAGE, CheckEmailPage
from cwz_web.web.forms import Code, FieldError, Form, SubmittedForm, TypedPassword, empty_form, form_view
from cwz_web.web.login_flow import (
    GOOGLE_PROFILE,
    GOOGLE_PROFILE_LIFETIME,
    complete_sign_in,
    continue_sign_in,
    find_pending_profile,
    find_step_account,
)
from cwz_web.web.notices import find_done_notice
from cwz_web.web.passkeys import PasskeyForm, has_passkeys, passkey_service
from cwz_web.web.request import Request
from cwz_web.web.urls import safe_next

log = structlog.get_logger()

PAGE = "sign_in.jinja2"
CODE_PAGE = "sign_in_code.jinja2"
LINK_PAGE = "sign_in_link.jinja2"
# One message for both fields: it does not reveal whether the account exists.
INVALID_CREDENTIALS = gettext_noop("Incorrect email address or password")
INVALID_CODE = gettext_noop("This code is not valid or has been used. Enter the next code")
# Shown after a redirect to the sign-in page.
NOTICES = {
    "reset": gettext_noop(
        "Your password was changed, and all browsers were signed out. Sign in with your new password."
    ),
    "email": gettext_noop("Your new email address is confirmed. Use it to sign in."),
    "google": gettext_noop("Sign-in with Google failed. Try again, or sign in with your password."),
    "google-unverified": gettext_noop(
        "Google has not verified your email address. Sign in with your password instead."
    ),
    "signed-out": gettext_noop("You have been signed out."),
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


@dataclass(frozen=True)
class DemoCredentials:
    """Email address and password of the demo's user."""

    email: str
    password: str


@dataclass(frozen=True)
class SignInPage:
    """The view model of sign_in.jinja2.

    Attributes:
        has_passkeys: Whether passkeys can be used at this URL.
        next: The path to redirect to afterwards.
        demo: The credentials of the demo, or None if it is disabled.
        has_google: Whether the installation offers sign-in with Google.
    """

    form: SubmittedForm[SignInForm] | SubmittedForm[PasskeyForm]
    next: str
    demo: DemoCredentials | None
    has_passkeys: bool
    has_google: bool
    notice: str | None


@dataclass(frozen=True)
class CodePage:
    """The view model of sign_in_code.jinja2.

    Attributes:
        has_passkeys: Whether the account has a passkey, which replaces the code.
    """

    form: SubmittedForm[CodeForm] | SubmittedForm[PasskeyForm]
    has_passkeys: bool


@dataclass(frozen=True)
class LinkPage:
    """The view model of sign_in_link.jinja2.

    Attributes:
        email: The email address of the Google account and of the account to link.
    """

    form: SubmittedForm[LinkForm]
    email: str


def _sign_in_page(
    context: SignInRoot, request: Request, form: SubmittedForm[SignInForm] | SubmittedForm[PasskeyForm]
) -> SignInPage:
    return SignInPage(
        form=form,
        next=safe_next(request.params.get("next", "/")),
        demo=demo_credentials(request),
        has_passkeys=has_passkeys(request),
        has_google=request.services.google is not None,
        notice=find_done_notice(request, NOTICES),
    )


def _code_page(
    context: SignInRoot, request: Request, form: SubmittedForm[CodeForm] | SubmittedForm[PasskeyForm]
) -> CodePage | Response:
    account = find_step_account(request, request.db)
    if account is None:
        return HTTPSeeOther("/signin")
    return CodePage(form, has_passkeys(request) and bool(list_passkeys(request.db, account)))


def _link_page(context: SignInRoot, request: Request, form: SubmittedForm[LinkForm]) -> LinkPage | Response:
    profile = find_pending_profile(request)
    return LinkPage(form, profile.email) if profile else HTTPSeeOther("/signin")


@view_config(context=SignInRoot, request_method="GET", renderer=PAGE, permission=NO_PERMISSION_REQUIRED)
def sign_in_page(context: SignInRoot, request: Request) -> SignInPage | Response:
    """Show the sign-in form, or redirect a signed-in user."""
    if request.identity is not None:
        return HTTPSeeOther(safe_next(request.GET.get("next", "/")))
    return _sign_in_page(context, request, empty_form())


@form_view(
    SignInForm,
    _sign_in_page,
    context=SignInRoot,
    renderer=PAGE,
    permission=NO_PERMISSION_REQUIRED,
    rate_limit="sign-in",
)
def sign_in(context: SignInRoot, request: Request, form: SignInForm) -> CheckEmailPage | Response:
    """Authenticate with the password."""
    try:
        account = authenticate(
            request.db, email=form.email, password=form.password, passwords=request.services.passwords
        )
    except SignInError:
        log.warning("sign-in failed", ip_address=request.remote_addr)
        raise FieldError("password", gettext(INVALID_CREDENTIALS)) from None
    except EmailNotVerifiedError:
        request.override_renderer = CHECK_EMAIL_PAGE
        return CheckEmailPage(form.email, can_resend=True)
    return continue_sign_in(request, request.db, account, safe_next(form.next))


@view_config(
    context=SignInRoot, name="code", request_method="GET", renderer=CODE_PAGE, permission=NO_PERMISSION_REQUIRED
)
def code_page(context: SignInRoot, request: Request) -> CodePage | Response:
    """Show the form for the second factor."""
    return _code_page(context, request, empty_form())


@form_view(
    CodeForm,
    _code_page,
    context=SignInRoot,
    name="code",
    renderer=CODE_PAGE,
    permission=NO_PERMISSION_REQUIRED,
    rate_limit="second-factor",
)
def verify_code(context: SignInRoot, request: Request, form: CodeForm) -> Response:
    """Verify the second factor and complete the sign-in."""
    return _complete_step(request, lambda account: _check_code(request, form, account))


@view_config(
    context=SignInRoot,
    name="passkey-challenge",
    request_method="POST",
    permission=NO_PERMISSION_REQUIRED,
    rate_limit="passkey-challenge",
)
def challenge_passkey(context: SignInRoot, request: Request) -> Response:
    """Return a challenge for any passkey of this site, as JSON."""
    service = passkey_service(request)
    return Response(
        json_body=service.authentication_options(request.db, Ceremony.SIGN_IN, None, request.visitor_id),
    )


@form_view(
    PasskeyForm,
    _sign_in_page,
    context=SignInRoot,
    name="passkey",
    renderer=PAGE,
    permission=NO_PERMISSION_REQUIRED,
    rate_limit="passkey",
)
def sign_in_with_passkey(context: SignInRoot, request: Request, form: PasskeyForm) -> Response:
    """Authenticate with a passkey, which is two factors: no code is asked for."""
    passkey = _check_passkey(request, form, Ceremony.SIGN_IN, None, request.visitor_id)
    next_path = safe_next(form.next)
    return complete_sign_in(request, request.db, passkey.account, next_path, method=Method.PASSKEY, passkey=passkey)


@view_config(
    context=SignInRoot,
    name="code-challenge",
    request_method="POST",
    permission=NO_PERMISSION_REQUIRED,
    rate_limit="passkey-challenge",
)
def challenge_second_factor(context: SignInRoot, request: Request) -> Response:
    """Return a challenge for the passkeys of the account that signs in, as JSON."""
    account = find_step_account(request, request.db)
    if account is None:
        raise HTTPForbidden
    options = passkey_service(request).authentication_options(
        request.db, Ceremony.SECOND_FACTOR, account, _step_binding(request)
    )
    return Response(json_body=options)


@form_view(
    PasskeyForm,
    _code_page,
    context=SignInRoot,
    name="code-passkey",
    renderer=CODE_PAGE,
    permission=NO_PERMISSION_REQUIRED,
    rate_limit="passkey",
)
def verify_second_factor_passkey(context: SignInRoot, request: Request, form: PasskeyForm) -> Response:
    """Verify a passkey in place of the code, and complete the sign-in."""
    return _complete_step(
        request,
        lambda account: _check_passkey(request, form, Ceremony.SECOND_FACTOR, account, _step_binding(request)),
    )


@view_config(
    context=SignInRoot, name="link", request_method="GET", renderer=LINK_PAGE, permission=NO_PERMISSION_REQUIRED
)
def link_page(context: SignInRoot, request: Request) -> LinkPage | Response:
    """Show the form for the password of the account that has the Google account's email address."""
    return _link_page(context, request, empty_form())


@form_view(
    LinkForm,
    _link_page,
    context=SignInRoot,
    name="link",
    renderer=LINK_PAGE,
    permission=NO_PERMISSION_REQUIRED,
    rate_limit="sign-in",
)
def link_google_account(context: SignInRoot, request: Request, form: LinkForm) -> Response:
    """Link Google to the account and sign in."""
    profile = find_pending_profile(request)
    if profile is None:
        return HTTPSeeOther("/signin")
    try:
        account = authenticate(
            request.db, email=profile.email, password=form.password, passwords=request.services.passwords
        )
    except (SignInError, EmailNotVerifiedError):
        raise FieldError("password", gettext("Incorrect password")) from None
    response = continue_sign_in(request, request.db, account, "/", profile)
    set_cookie(request, response, GOOGLE_PROFILE, None)
    return response


@view_config(context=Root, name="signout", request_method="POST", permission=Permission.SESSION)
def sign_out(context: Root, request: Request) -> Response:
    """End the browser's session."""
    user = request.user
    end_session(request.db, user.account.id, user.session.id)
    log.info("signed out", account=str(user.account.id))
    response = HTTPSeeOther("/signin?done=signed-out")
    response.headers["Clear-Site-Data"] = '"cache", "storage"'
    set_session_cookie(request, response, None)
    return response


def _check_passkey(
    request: Request, form: PasskeyForm, ceremony: Ceremony, account: Account | None, binding: str
) -> Passkey:
    """Return the passkey. Raises FieldError if it was not accepted."""
    try:
        return passkey_service(request).authenticate(
            request.db, ceremony, account, challenge=form.challenge, credential=form.credential, binding=binding
        )
    except PasskeyError as error:
        log.warning("passkey failed", ceremony=ceremony, ip_address=request.remote_addr)
        raise FieldError("passkey", str(error)) from None


def _check_code(request: Request, form: CodeForm, account: Account) -> None:
    """Check an authentication code or a recovery code. Raises FieldError if it was not accepted."""
    try:
        check_second_factor(request.db, account, form.code, request.services.ring)
    except WrongCodeError:
        log.warning("second factor failed", account=str(account.id), ip_address=request.remote_addr)
        raise FieldError("code", gettext(INVALID_CODE)) from None


def _complete_step(request: Request, check: Callable[[Account], Passkey | None]) -> Response:
    """Check the second factor of the account that completed the first step, and complete the sign-in.

    Args:
        check: Checks the second factor, and returns the passkey that replaced the code.
    """
    account = find_step_account(request, request.db)
    if account is None:
        return HTTPSeeOther("/signin")
    passkey, step = check(account), request.login_step
    google, method = OpenIDProfile.from_claims(step), Method(step.get("method", Method.PASSWORD))
    return complete_sign_in(request, request.db, account, safe_next(step["next"]), google, method, passkey)


def _step_binding(request: Request) -> str:
    """Return what binds a challenge to the browser and to the sign-in that waits for the second factor."""
    return f"{request.visitor_id}/{request.login_step['sub']}"


def redirect_to_password(request: Request, profile: OpenIDProfile) -> Response:
    """Redirect to the page that asks for the password before Google is linked."""
    response = HTTPSeeOther("/signin/link")
    token = request.services.browser_tokens.sign(GOOGLE_PROFILE, GOOGLE_PROFILE_LIFETIME, **profile.as_claims())
    set_cookie(request, response, GOOGLE_PROFILE, token, GOOGLE_PROFILE_LIFETIME)
    return response


def demo_credentials(request: Request) -> DemoCredentials | None:
    """Return the credentials of the demo's user, or None if the demo is disabled."""
    settings = request.services.settings
    if not settings.demo:
        return None
    return DemoCredentials(EMAIL, demo_password(settings.secrets.signing.get_secret_value()))

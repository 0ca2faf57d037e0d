"""Sign-in with Google: the redirect and the callback. No transaction is open while the provider is called."""

from dataclasses import replace

import structlog
from pyramid.httpexceptions import HTTPNotFound, HTTPSeeOther
from pyramid.response import Response
from pyramid.security import NO_PERMISSION_REQUIRED
from pyramid.view import view_config

from cwz_web.accounts.google import PasswordRequiredError, sign_in_with_google
from cwz_web.accounts.models import LoginSession, Method
from cwz_web.accounts.openid import EmailNotVerifiedByProviderError, OpenIDError, OpenIDProfile, OpenIDProvider
from cwz_web.accounts.sessions import is_recently_authenticated
from cwz_web.resources.application import GoogleSignIn
from cwz_web.security import find_browser_session, set_cookie
from cwz_web.views.sign_in import redirect_to_password
from cwz_web.web.authorization import (
    AuthorizationCallback,
    AuthorizationFlow,
    check_start,
    fetch_profile,
    read_callback,
    redirect_to_provider,
)
from cwz_web.web.locales import requested_locale
from cwz_web.web.login_flow import continue_sign_in
from cwz_web.web.recent_auth import proof_path
from cwz_web.web.request import Request

log = structlog.get_logger()

FLOW = AuthorizationFlow("google")


@view_config(
    context=GoogleSignIn,
    request_method="GET",
    permission=NO_PERMISSION_REQUIRED,
    rate_limit="google",
    requires_recent_auth="view",
)
def redirect_to_google(context: GoogleSignIn, request: Request) -> Response:
    """Redirect to the provider; with `?link=1`, to link Google to the signed-in account."""
    check_start(request)
    link = ""
    if request.GET.get("link"):
        with request.services.database.transaction() as db:
            session = find_browser_session(request, db)
            if session is not None and not session.is_own:
                session = None
            if session is not None and not is_recently_authenticated(session):
                return HTTPSeeOther(proof_path("/account#google"))
            link = str(session.id) if session else ""
    try:
        return redirect_to_provider(request, replace(FLOW, binding=link), _provider(request))
    except OpenIDError as error:
        return _failed(error)


@view_config(
    context=GoogleSignIn, name="callback", request_method="GET", permission=NO_PERMISSION_REQUIRED, rate_limit="google"
)
def handle_callback(context: GoogleSignIn, request: Request) -> Response:
    """Handle the callback; its state must match the cookie of the same browser."""
    try:
        callback = read_callback(request, FLOW)
        profile = fetch_profile(request, FLOW, _provider(request), callback)
        response = _sign_in(request, profile, callback)
    except OpenIDError as error:
        return _failed(error)
    except EmailNotVerifiedByProviderError:
        return HTTPSeeOther("/signin?done=google-unverified")
    set_cookie(request, response, FLOW.cookie, None)
    return response


def _sign_in(request: Request, profile: OpenIDProfile, callback: AuthorizationCallback) -> Response:
    with request.services.database.transaction() as db:
        session = find_browser_session(request, db)
        linking = session if session and str(session.id) == callback.binding else None
        try:
            account = sign_in_with_google(db, profile, signed_in=linking, locale=requested_locale(request))
        except PasswordRequiredError:
            return redirect_to_password(request, profile)
        if linking is not None:
            return HTTPSeeOther(f"/account?done={_link_result(linking, account.id)}")
        return continue_sign_in(request, db, account, callback.next_path, method=Method.GOOGLE)


def _link_result(session: LoginSession, account_id: object) -> str:
    return "google-linked" if session.account_id == account_id else "google-taken"


def _provider(request: Request) -> OpenIDProvider:
    google: OpenIDProvider | None = request.services.google
    if google is None:
        raise HTTPNotFound
    return google


def _failed(error: OpenIDError) -> Response:
    log.warning("sign-in with Google failed", reason=str(error))
    return HTTPSeeOther("/signin?done=google")

"""Sign-in with Google: the redirect and the callback. No transaction is open while the provider is called."""

from dataclasses import asdict, dataclass
from datetime import timedelta
from hmac import compare_digest

import structlog
from pyramid.httpexceptions import HTTPBadRequest, HTTPNotFound, HTTPSeeOther
from pyramid.response import Response
from pyramid.security import NO_PERMISSION_REQUIRED
from pyramid.view import view_config

from cwz_web.accounts.google import PasswordRequiredError, sign_in_with_google
from cwz_web.accounts.models import LoginSession, Method
from cwz_web.accounts.openid import (
    AuthorizationRequest,
    EmailNotVerifiedByProviderError,
    OpenIDError,
    OpenIDProfile,
    OpenIDProvider,
)
from cwz_web.accounts.sessions import is_recently_authenticated
from cwz_web.resources.application import GoogleSignIn
from cwz_web.security import cookie_name, find_browser_session, set_cookie
from cwz_web.views.sign_in import redirect_to_password
from cwz_web.web.login_flow import continue_sign_in
from cwz_web.web.recent_auth import proof_path
from cwz_web.web.request import Request
from cwz_web.web.urls import safe_next, single_parameter

log = structlog.get_logger()

AUTHORIZATION = "google"
AUTHORIZATION_LIFETIME = timedelta(minutes=10)


@dataclass(frozen=True)
class PendingSignIn:
    """A sign-in that waits for the provider, kept in a signed cookie.

    Attributes:
        next_path: The path to redirect to afterwards.
        session_id: The session whose account Google is linked to; empty for a sign-in.
    """

    authorization: AuthorizationRequest
    next_path: str
    session_id: str


@view_config(
    context=GoogleSignIn,
    request_method="GET",
    permission=NO_PERMISSION_REQUIRED,
    rate_limit="google",
    requires_recent_auth="view",
)
def redirect_to_google(context: GoogleSignIn, request: Request) -> Response:
    """Redirect to the provider; with `?link=1`, to link Google to the signed-in account."""
    if request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
        raise HTTPBadRequest("Start on the sign-in page")
    link = ""
    if request.GET.get("link"):
        with request.services.database.transaction() as db:
            session = find_browser_session(request, db)
            if session is not None and not session.is_own:
                session = None
            if session is not None and not is_recently_authenticated(session):
                return HTTPSeeOther(proof_path("/account#google"))
            link = str(session.id) if session else ""
    authorization = AuthorizationRequest.create()
    try:
        with request.services.outbound.place():
            url = _provider(request).authorization_url(authorization)
    except OpenIDError as error:
        return _failed(error)
    response = HTTPSeeOther(url)
    token = request.services.browser_tokens.sign(
        AUTHORIZATION,
        AUTHORIZATION_LIFETIME,
        **asdict(authorization),
        next=safe_next(request.GET.get("next", "/")),
        link=link,
    )
    set_cookie(request, response, AUTHORIZATION, token, AUTHORIZATION_LIFETIME)
    return response


@view_config(
    context=GoogleSignIn, name="callback", request_method="GET", permission=NO_PERMISSION_REQUIRED, rate_limit="google"
)
def handle_callback(context: GoogleSignIn, request: Request) -> Response:
    """Handle the callback; its state must match the cookie of the same browser."""
    pending = _pending_sign_in(request)
    state, code = single_parameter(request, "state"), single_parameter(request, "code")
    if pending is None or state is None or not compare_digest(state.encode(), pending.authorization.state.encode()):
        return _failed(OpenIDError("callback: state does not match, or has expired"))
    if code is None:
        return _failed(OpenIDError("callback: no code"))
    try:
        with request.services.outbound.place():
            profile = _provider(request).fetch_profile(pending.authorization, code, single_parameter(request, "iss"))
        response = _sign_in(request, profile, pending)
    except OpenIDError as error:
        return _failed(error)
    except EmailNotVerifiedByProviderError:
        return HTTPSeeOther("/signin?done=google-unverified")
    set_cookie(request, response, AUTHORIZATION, None)
    return response


def _pending_sign_in(request: Request) -> PendingSignIn | None:
    """Return the sign-in that this browser has started, or None if its cookie is missing, forged or expired."""
    token = request.cookies.get(cookie_name(request, AUTHORIZATION))
    claims = request.services.browser_tokens.read(AUTHORIZATION, token) if token else None
    if claims is None:
        return None
    authorization = AuthorizationRequest(claims["state"], claims["nonce"], claims["verifier"])
    return PendingSignIn(authorization, next_path=claims["next"], session_id=claims["link"])


def _sign_in(request: Request, profile: OpenIDProfile, pending: PendingSignIn) -> Response:
    with request.services.database.transaction() as db:
        session = find_browser_session(request, db)
        linking = session if session and str(session.id) == pending.session_id else None
        try:
            account = sign_in_with_google(db, profile, signed_in=linking)
        except PasswordRequiredError:
            return redirect_to_password(request, profile)
        if linking is not None:
            return HTTPSeeOther(f"/account?done={_link_result(linking, account.id)}")
        return continue_sign_in(request, db, account, pending.next_path, method=Method.GOOGLE)


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

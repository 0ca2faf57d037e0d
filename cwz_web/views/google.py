"""To Google and back. No transaction stays open while we talk to the provider."""

from dataclasses import asdict
from datetime import timedelta
from hmac import compare_digest
from typing import Any

import structlog
from pyramid.httpexceptions import HTTPBadRequest, HTTPNotFound, HTTPSeeOther
from pyramid.response import Response
from pyramid.security import NO_PERMISSION_REQUIRED
from pyramid.view import view_config

from cwz_web.accounts.google import (
    AuthorizationRequest,
    EmailNotVerifiedByProviderError,
    GoogleProfile,
    GoogleProvider,
    GoogleSignInError,
    PasswordRequiredError,
    sign_in_with_google,
)
from cwz_web.accounts.models import LoginSession
from cwz_web.resources.application import GoogleSignIn
from cwz_web.security import cookie_name, find_browser_session, set_cookie
from cwz_web.views.sign_in import ask_for_proof
from cwz_web.web.login_flow import continue_sign_in
from cwz_web.web.request import Request
from cwz_web.web.urls import safe_next

log = structlog.get_logger()

AUTHORIZATION = "google"
AUTHORIZATION_LIFETIME = timedelta(minutes=10)


@view_config(context=GoogleSignIn, request_method="GET", permission=NO_PERMISSION_REQUIRED, rate_limit="google")
def leave(context: GoogleSignIn, request: Request) -> Response:
    """Send the browser to the provider. `?link=1` means: for the account that is signed in here."""
    if request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
        raise HTTPBadRequest("Begin on the sign-in page")
    authorization = AuthorizationRequest.create()
    try:
        address = _provider(request).address(authorization)
    except GoogleSignInError as error:
        return _failed(error)
    link = ""
    if request.GET.get("link"):
        with request.services.database.transaction() as db:
            session = find_browser_session(request, db)
            link = str(session.id) if session else ""
    claims = {"next": safe_next(request.GET.get("next", "/")), "link": link}
    response = HTTPSeeOther(address)
    token = request.services.browser_tokens.sign(
        AUTHORIZATION, AUTHORIZATION_LIFETIME, **asdict(authorization), **claims
    )
    set_cookie(request, response, AUTHORIZATION, token, AUTHORIZATION_LIFETIME)
    return response


@view_config(
    context=GoogleSignIn, name="callback", request_method="GET", permission=NO_PERMISSION_REQUIRED, rate_limit="google"
)
def come_back(context: GoogleSignIn, request: Request) -> Response:
    """Take the provider's answer. The state must be the one that this very browser left with."""
    token = request.cookies.get(cookie_name(request, AUTHORIZATION))
    claims = request.services.browser_tokens.read(AUTHORIZATION, token) if token else None
    state, code = _one(request, "state"), _one(request, "code")
    if claims is None or state is None or not compare_digest(state.encode(), claims["state"].encode()):
        return _failed(GoogleSignInError("another browser, or too late"))
    if code is None:
        return _failed(GoogleSignInError("the person or the provider refused"))
    try:
        authorization = AuthorizationRequest(claims["state"], claims["nonce"], claims["verifier"])
        person = _provider(request).person(authorization, code, _one(request, "iss"))
        response = _enter(request, person, claims)
    except GoogleSignInError as error:
        return _failed(error)
    except EmailNotVerifiedByProviderError:
        return HTTPSeeOther("/signin?done=unproved")
    set_cookie(request, response, AUTHORIZATION, None)
    return response


def _enter(request: Request, person: GoogleProfile, claims: dict[str, Any]) -> Response:
    with request.services.database.transaction() as db:
        session = find_browser_session(request, db)
        linking = session if session and str(session.id) == claims["link"] else None
        try:
            account = sign_in_with_google(db, person, signed_in=linking)
        except PasswordRequiredError:
            return ask_for_proof(request, person)
        if linking is not None:
            return HTTPSeeOther(f"/account?done={_outcome(linking, account.id)}")
        return continue_sign_in(request, db, account, claims["next"])


def _outcome(session: LoginSession, account_id: object) -> str:
    return "google-linked" if session.account_id == account_id else "google-taken"


def _provider(request: Request) -> GoogleProvider:
    google: GoogleProvider | None = request.services.google
    if google is None:
        raise HTTPNotFound
    return google


def _one(request: Request, name: str) -> str | None:
    """A parameter that came exactly once."""
    values = request.GET.getall(name)
    return values[0] if len(values) == 1 else None


def _failed(error: GoogleSignInError) -> Response:
    log.warning("sign-in with Google failed", reason=str(error))
    return HTTPSeeOther("/signin?done=google")

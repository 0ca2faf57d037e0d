"""The sign-in flow after the first proof of identity: the second factor, then a session in a known device."""

from datetime import timedelta
from uuid import UUID

import structlog
from pyramid.httpexceptions import HTTPSeeOther
from pyramid.response import Response
from sqlalchemy.orm import Session

from cwz_web.accounts.devices import LIFETIME, PURPOSE, KnownDevice
from cwz_web.accounts.google import link_google
from cwz_web.accounts.models import Account, Method, Passkey
from cwz_web.accounts.openid import OpenIDProfile
from cwz_web.accounts.sessions import end_session, start_session
from cwz_web.security import cookie_name, find_browser_session, set_cookie, set_session_cookie
from cwz_web.web.request import LOGIN_STEP, Request

log = structlog.get_logger()

STEP_LIFETIME = timedelta(minutes=10)
# The cookie, and the purpose of the token in it, of a Google profile that waits for the account's password.
GOOGLE_PROFILE = "google-proof"
GOOGLE_PROFILE_LIFETIME = timedelta(minutes=10)


def continue_sign_in(
    request: Request,
    db: Session,
    account: Account,
    next_path: str,
    google: OpenIDProfile | None = None,
    method: Method = Method.PASSWORD,
) -> Response:
    """Redirect to the page for the authentication code, or start the session if the account has no second factor.

    Args:
        db: The transaction; the callback of Google opens its own.
        next_path: The path to redirect to afterwards.
        google: The Google profile to link to the account when sign-in is complete.
        method: How the user authenticated.
    """
    if not account.has_second_factor:
        return complete_sign_in(request, db, account, next_path, google, method)
    claims = google.as_claims() if google else {}
    token = request.services.browser_tokens.sign(
        LOGIN_STEP, STEP_LIFETIME, sub=str(account.id), epoch=account.epoch, next=next_path, method=method, **claims
    )
    response = HTTPSeeOther("/signin/code")
    set_cookie(request, response, "step", token, STEP_LIFETIME)
    return response


def complete_sign_in(
    request: Request,
    db: Session,
    account: Account,
    next_path: str,
    google: OpenIDProfile | None = None,
    method: Method = Method.PASSWORD,
    passkey: Passkey | None = None,
) -> Response:
    """Start a session, in place of the one that the browser had, and redirect to the next page."""
    if google is not None:
        link_google(db, account, google)
    response = HTTPSeeOther(next_path)
    _replace_session(request, db, response, account, method, passkey_id=passkey.id if passkey else None)
    set_cookie(request, response, "step", None)
    remember_device(request, response, account)
    return response


def start_provider_session(
    request: Request, db: Session, account: Account, workspace_id: UUID, next_path: str
) -> Response:
    """Open a workspace whose identity provider vouches for the user, and redirect to the next page.

    A session in which the owner of the account has signed in remains, and is extended. A new one opens the workspace
    only. The browser does not become a known device: the provider does not vouch for the owner of the account.
    """
    session, response = find_browser_session(request, db), HTTPSeeOther(next_path)
    if session is not None and session.is_own and session.account_id == account.id:
        session.sso_workspace_id = workspace_id
        return response
    _replace_session(request, db, response, account, Method.SINGLE_SIGN_ON, sso_workspace_id=workspace_id)
    return response


def find_step_account(request: Request, db: Session) -> Account | None:
    """Return the account that completed the first step in this browser, unless it has changed since."""
    if request.login_step is None:
        return None
    account = db.get(Account, UUID(request.login_step["sub"]))
    return account if account and account.epoch == request.login_step["epoch"] else None


def find_device(request: Request) -> KnownDevice | None:
    """Return the known device of the browser's cookie, or None."""
    token = request.cookies.get(cookie_name(request, PURPOSE))
    return KnownDevice.from_token(token, request.services.browser_tokens) if token else None


def remember_device(request: Request, response: Response, account: Account) -> None:
    """Make the browser a known device of an account whose owner has authenticated."""
    device = (find_device(request) or KnownDevice()).with_account(account)
    set_cookie(request, response, PURPOSE, device.to_token(request.services.browser_tokens), LIFETIME)


def find_pending_profile(request: Request) -> OpenIDProfile | None:
    """Return the Google profile that waits for the password of the account with its email address, or None."""
    token = request.cookies.get(cookie_name(request, GOOGLE_PROFILE))
    claims = request.services.browser_tokens.read(GOOGLE_PROFILE, token) if token else None
    return OpenIDProfile.from_claims(claims) if claims else None


def _replace_session(
    request: Request,
    db: Session,
    response: Response,
    account: Account,
    method: Method,
    *,
    sso_workspace_id: UUID | None = None,
    passkey_id: UUID | None = None,
) -> None:
    """Start a session in place of the one that the browser had."""
    previous = find_browser_session(request, db)
    if previous is not None:
        end_session(db, previous.account_id, previous.id)
    _, token = start_session(
        db,
        account,
        request.services.browser_tokens,
        ip_address=request.remote_addr or "",
        user_agent=request.user_agent or "",
        method=method,
        sso_workspace_id=sso_workspace_id,
        passkey_id=passkey_id,
    )
    log.info("signed in", account=str(account.id), method=method, ip_address=request.remote_addr)
    set_session_cookie(request, response, token)

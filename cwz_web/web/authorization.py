"""Authorization requests to OpenID providers: the redirect, and the signed cookie that the callback has to match.

No transaction is open while a provider is called.
"""

from dataclasses import asdict, dataclass
from datetime import timedelta
from hmac import compare_digest

from pyramid.httpexceptions import HTTPBadRequest, HTTPSeeOther
from pyramid.response import Response

from cwz_web.accounts.openid import AuthorizationRequest, OpenIDError, OpenIDProfile, OpenIDProvider
from cwz_web.i18n import gettext
from cwz_web.security import cookie_name, set_cookie
from cwz_web.web.request import Request
from cwz_web.web.urls import safe_next, single_parameter

LIFETIME = timedelta(minutes=10)


@dataclass(frozen=True)
class AuthorizationFlow:
    """The authorization requests of one kind of provider.

    Attributes:
        cookie: The name of the cookie, and the purpose of the token in it.
        binding: What the request is for; a callback for something else is refused. None to accept each.
        target: The workspace whose provider is called, as the limit of outbound requests counts it; None for Google.
    """

    cookie: str
    binding: str | None = None
    target: str | None = None


@dataclass(frozen=True)
class AuthorizationCallback:
    """A callback whose state matches the cookie of the browser.

    Attributes:
        issuer: The `iss` parameter, if there is one (RFC 9207).
        next_path: The path to redirect to afterwards.
        binding: What the request is for.
    """

    authorization: AuthorizationRequest
    code: str
    issuer: str | None
    next_path: str
    binding: str


def check_start(request: Request) -> None:
    """Raise HTTPBadRequest if another site starts a sign-in."""
    if request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
        raise HTTPBadRequest(gettext("Start on the sign-in page"))


def redirect_to_provider(request: Request, flow: AuthorizationFlow, client: OpenIDProvider) -> Response:
    """Redirect to the provider, and remember the request in a signed cookie.

    Raises:
        OpenIDError: The provider did not respond correctly.
    """
    authorization = AuthorizationRequest.create()
    with request.services.outbound.slot(flow.target):
        response = HTTPSeeOther(client.authorization_url(authorization))
    claims = {"next": safe_next(request.GET.get("next", "/")), "binding": flow.binding or ""}
    token = request.services.browser_tokens.sign(flow.cookie, LIFETIME, **asdict(authorization), **claims)
    set_cookie(request, response, flow.cookie, token, LIFETIME)
    return response


def read_callback(request: Request, flow: AuthorizationFlow) -> AuthorizationCallback:
    """Return the callback of a request that this browser has started.

    Raises:
        OpenIDError: The cookie is missing, forged or expired, or the callback does not match it, or has no code.
    """
    token = request.cookies.get(cookie_name(request, flow.cookie))
    claims = request.services.browser_tokens.read(flow.cookie, token) if token else None
    state, code = single_parameter(request, "state"), single_parameter(request, "code")
    if claims is None or state is None or not compare_digest(state.encode(), claims["state"].encode()):
        raise OpenIDError("callback: state does not match, or has expired")
    if flow.binding not in (None, claims["binding"]):
        raise OpenIDError("callback: of another request")
    if code is None:
        raise OpenIDError("callback: no code")
    authorization = AuthorizationRequest(claims["state"], claims["nonce"], claims["verifier"])
    issuer = single_parameter(request, "iss")
    return AuthorizationCallback(authorization, code, issuer, claims["next"], claims["binding"])


def fetch_profile(
    request: Request, flow: AuthorizationFlow, client: OpenIDProvider, callback: AuthorizationCallback
) -> OpenIDProfile:
    """Exchange the code of a callback for the user's profile.

    Raises:
        OpenIDError: The provider did not respond correctly.
        EmailNotVerifiedByProviderError: The provider does not confirm the email address.
    """
    with request.services.outbound.slot(flow.target):
        return client.fetch_profile(callback.authorization, callback.code, callback.issuer)

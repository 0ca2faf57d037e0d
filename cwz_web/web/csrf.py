"""CSRF protection: a token bound to the browser's session, and a check of the request's origin.

The token is an HMAC-SHA256 of the session id or, before sign-in, of a random cookie; a cookie that an attacker plants
is useless without the secret. URLs that use no cookie (/v1, /hooks) are exempt.
"""

import hmac
from urllib.parse import urlsplit

from pyramid.config import Configurator
from pyramid.exceptions import BadCSRFOrigin
from pyramid.interfaces import ICSRFStoragePolicy
from zope.interface import implementer

from cwz_web.security import SignedInUser
from cwz_web.web.forms import CSRF_FIELD
from cwz_web.web.request import Request

HEADER = "X-CSRF-Token"


@implementer(ICSRFStoragePolicy)
class SessionBoundToken:
    """Pyramid's storage policy without storage: the token is derived from the session and a secret."""

    def get_csrf_token(self, request: Request) -> str:
        secret = request.services.settings.secrets.csrf.get_secret_value()
        return hmac.new(secret.encode(), _binding(request).encode(), "sha256").hexdigest()

    def new_csrf_token(self, request: Request) -> str:
        return self.get_csrf_token(request)

    def check_csrf_token(self, request: Request, supplied_token: str) -> bool:
        _check_origin(request)
        given = supplied_token.encode("utf-8", "replace")
        return hmac.compare_digest(given, self.get_csrf_token(request).encode())


def _binding(request: Request) -> str:
    """Return what the token is bound to: the session of a signed-in user, else the visitor id."""
    identity = request.identity
    if isinstance(identity, SignedInUser):
        return f"session:{identity.session.id}"
    return f"visitor:{request.visitor_id}"


def _check_origin(request: Request) -> None:
    """Raise BadCSRFOrigin unless the request comes from our own pages.

    Browsers send Sec-Fetch-Site and Origin. A request without both comes from no current browser; its token is still
    checked.
    """
    if request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
        raise BadCSRFOrigin("The request comes from another site")
    origin = request.headers.get("Origin")
    ours = {request.services.settings.url}
    if request.services.settings.development:
        ours.add(request.host_url)  # request_validation.py has checked the host
    if origin is not None and origin not in ours and urlsplit(origin).netloc:
        raise BadCSRFOrigin(f"The request comes from {origin}")
    # A page with a token sends no referrer, and so its forms have no origin; only the browser sets Sec-Fetch-Site.
    if origin == "null" and request.headers.get("Sec-Fetch-Site") != "same-origin":
        raise BadCSRFOrigin("The request has an opaque origin")


def includeme(config: Configurator) -> None:
    """Require the token of every unsafe method, except in views with `require_csrf=False`, which use no cookie."""
    config.set_csrf_storage_policy(SessionBoundToken())
    # Pyramid's origin check trusts the Host header and is skipped over http; ours is above.
    config.set_default_csrf_options(require_csrf=True, token=CSRF_FIELD, header=HEADER, check_origin=False)

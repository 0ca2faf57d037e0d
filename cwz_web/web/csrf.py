"""Against forged requests: a token that is bound to the browser's session, and a look at where the request comes from.

The token is HMAC-SHA256 over the session's id, or, before sign-in, over a random cookie of its own; a cookie that an
attacker plants is of no use without the secret. Addresses that take no cookie (/v1, /hooks) are exempt.
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
class BoundToken:
    """Pyramid's storage policy, without storage: the token follows from the session and a secret."""

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
    """What the token is bound to: the session of who is signed in, else a random value in a cookie."""
    identity = request.identity
    if isinstance(identity, SignedInUser):
        return f"session:{identity.session.id}"
    return f"visitor:{request.visitor_id}"


def _check_origin(request: Request) -> None:
    """Raise BadCSRFOrigin unless the request comes from our own pages.

    Browsers say so in Sec-Fetch-Site, and in Origin. A request that has neither comes from no browser of today; the
    token still decides about it.
    """
    if request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
        raise BadCSRFOrigin("The request comes from another site")
    origin = request.headers.get("Origin")
    ours = {request.services.settings.url}
    if request.services.settings.development:
        ours.add(request.host_url)  # intake.py has seen that the host is ours
    if origin is not None and origin not in ours and urlsplit(origin).netloc:
        raise BadCSRFOrigin(f"The request comes from {origin}")
    if origin == "null":
        raise BadCSRFOrigin("The request hides where it comes from")


def includeme(config: Configurator) -> None:
    """Every view that changes something takes the token, unless it says `require_csrf=False` (it takes no cookie)."""
    config.set_csrf_storage_policy(BoundToken())
    # Pyramid's own look at the origin trusts the Host header and is skipped over http; ours is above.
    config.set_default_csrf_options(require_csrf=True, token=CSRF_FIELD, header=HEADER, check_origin=False)

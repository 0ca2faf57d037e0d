"""What the views of passkeys share: their form, and whether this URL can have passkeys."""

from typing import Annotated

from pydantic import StringConstraints
from pyramid.httpexceptions import HTTPNotFound

from cwz_web.accounts.passkeys import PasskeyService
from cwz_web.web.forms import Form
from cwz_web.web.request import Request

# A response with the certificates of an attestation has some kilobytes.
MAX_CREDENTIAL_LENGTH = 16_384
MAX_CHALLENGE_LENGTH = 1024

Challenge = Annotated[str, StringConstraints(min_length=1, max_length=MAX_CHALLENGE_LENGTH)]
Credential = Annotated[str, StringConstraints(min_length=1, max_length=MAX_CREDENTIAL_LENGTH)]


class PasskeyForm(Form):
    """The response to a challenge, which the script of the page filled in, and the path to redirect to afterwards."""

    challenge: Challenge
    credential: Credential
    next: str = "/"


def has_passkeys(request: Request) -> bool:
    """Return whether passkeys can be used at this URL; a development installation has another one without."""
    service = request.services.passkeys
    return service is not None and service.party.origin == request.host_url


def passkey_service(request: Request) -> PasskeyService:
    """Return the ceremonies of passkeys. Raises HTTPNotFound if the site's URL has no host name."""
    service = request.services.passkeys
    if service is None:
        raise HTTPNotFound
    return service

"""`POST /hooks/stripe`: events of Stripe. Each is verified and recorded once; a job processes it."""

from pyramid.httpexceptions import HTTPNotFound
from pyramid.response import Response
from pyramid.security import NO_PERMISSION_REQUIRED
from pyramid.view import view_config

from cwz_web.billing.stripe_api import InvalidSignatureError
from cwz_web.billing.subscriptions import record_event
from cwz_web.resources.application import HooksRoot
from cwz_web.web.problems import ProblemError
from cwz_web.web.request import Request

MAX_BODY = 1024 * 1024


@view_config(
    context=HooksRoot, name="stripe", request_method="POST", permission=NO_PERMISSION_REQUIRED, require_csrf=False
)
def stripe_hook(context: HooksRoot, request: Request) -> Response:
    """Verify and record one event."""
    services = request.services
    if services.billing is None:
        raise HTTPNotFound
    if (request.content_length or 0) > MAX_BODY:
        raise ProblemError(413, "body_too_large", "The event is too large")
    try:
        event = services.billing.stripe.read_event(request.body, request.headers.get("Stripe-Signature", ""))
    except InvalidSignatureError:
        raise ProblemError(
            401, "invalid_signature", "The event is not signed by Stripe for this site, or is old"
        ) from None
    with services.database.transaction() as db:
        record_event(db, event)
    return Response(status=204)

"""Pages for everybody: what this is, what it costs, what it promises, and who answers for it."""

from datetime import UTC, datetime, time, timedelta
from functools import lru_cache
from typing import Any

import structlog
from pyramid.httpexceptions import HTTPNotFound, HTTPSeeOther
from pyramid.response import Response
from pyramid.security import NO_PERMISSION_REQUIRED
from pyramid.view import view_config

from cwz_web.billing.stripe_api import Price, StripeUnavailableError
from cwz_web.demo.starters import NAMES, RenderedOriginals, open_starter
from cwz_web.generation.image_service import ImageService
from cwz_web.imaging.encoders import Format, Output
from cwz_web.resources.application import Root, WellKnown
from cwz_web.security_claims import claims, limits
from cwz_web.settings import Plan
from cwz_web.views.sign_in import demo_of
from cwz_web.web.request import Request
from cwz_web.web.transactions import release_connection

log = structlog.get_logger()

# Width of the images on the front page, in pixels: twice what is shown, for fine screens.
SHOWN = 720
SHOWCASE = ("product-ad", "social-card", "event-invitation", "listing", "quote", "sale-badge")
EXPIRES = timedelta(days=180)


@view_config(context=Root, request_method="GET", renderer="public/landing.jinja2", permission=NO_PERMISSION_REQUIRED)
def landing(context: Root, request: Request) -> Any:
    """To the first workspace; for visitors, what this is."""
    if request.identity is not None:
        known = request.identity.workspaces
        return HTTPSeeOther(f"/w/{known[0].slug}" if known else "/w")
    shown = [(name, NAMES[name], open_starter(name).document.canvas) for name in SHOWCASE]
    return {"demo": demo_of(request), "shown": shown}


@view_config(context=Root, name="showcase", request_method="GET", permission=NO_PERMISSION_REQUIRED)
def showcase(context: Root, request: Request) -> Response:
    """A starter template with its sample values, rendered by the engine: the front page shows what it talks of."""
    name = request.GET.get("name", "")
    if name not in SHOWCASE:
        raise HTTPNotFound
    digest, image = _rendered(request.services.image_service, name)
    response = Response(content_type=Format.WEBP.content_type, conditional_response=True)
    response.etag = digest
    response.headers["Cache-Control"] = "public, max-age=86400"
    response.body = image
    return response


@view_config(
    context=Root,
    name="pricing",
    request_method="GET",
    renderer="public/pricing.jinja2",
    permission=NO_PERMISSION_REQUIRED,
)
def pricing(context: Root, request: Request) -> dict[str, Any]:
    """The plans; without billing, that there are none."""
    settings = request.services.settings
    signed_in = request.identity is not None
    release_connection(request)  # Stripe may be asked
    return {"plans": _plans(request) if settings.billing.enabled else [], "signed_in": signed_in, "settings": settings}


@view_config(
    context=Root,
    name="security",
    request_method="GET",
    renderer="public/security.jinja2",
    permission=NO_PERMISSION_REQUIRED,
)
def security(context: Root, request: Request) -> dict[str, Any]:
    """What the software promises, where it keeps it, which test shows it; and what it does not promise."""
    return {"claims": claims(), "limits": limits(), "operator": request.services.settings.operator}


@view_config(
    context=Root,
    name="privacy",
    request_method="GET",
    renderer="public/privacy.jinja2",
    permission=NO_PERMISSION_REQUIRED,
)
def privacy(context: Root, request: Request) -> dict[str, Any]:
    """What is kept of people, why, for how long, and who else gets it."""
    settings = request.services.settings
    return {"operator": settings.operator, "settings": settings, "processors": _processors(request)}


@view_config(
    context=Root, name="terms", request_method="GET", renderer="public/terms.jinja2", permission=NO_PERMISSION_REQUIRED
)
def terms(context: Root, request: Request) -> dict[str, Any]:
    """On which terms the operator offers this."""
    settings = request.services.settings
    return {"operator": settings.operator, "settings": settings}


@view_config(context=WellKnown, name="security.txt", request_method="GET", permission=NO_PERMISSION_REQUIRED)
def security_txt(context: WellKnown, request: Request) -> Response:
    """Where to report a weakness (RFC 9116)."""
    settings = request.services.settings
    operator = settings.operator
    if not operator.security_contact:
        raise HTTPNotFound
    contact = operator.security_contact
    ends = operator.security_expires or (datetime.now(UTC) + EXPIRES).date()
    lines = (
        f"Contact: {contact if ':' in contact else f'mailto:{contact}'}",
        f"Expires: {datetime.combine(ends, time(), UTC).isoformat().replace('+00:00', 'Z')}",
        "Preferred-Languages: en",
        f"Canonical: {settings.url}/.well-known/security.txt",
        f"Policy: {settings.url}/security",
    )
    return Response("".join(f"{line}\n" for line in lines), content_type="text/plain", charset="utf-8")


@lru_cache(maxsize=len(SHOWCASE))
def _rendered(image_service: ImageService, name: str) -> tuple[str, bytes]:
    """A starter's digest and image; rendered once a process."""
    starter = open_starter(name)
    order = image_service.order(RenderedOriginals(starter), starter.document, {}, Output(format=Format.WEBP))
    return order.digest, image_service.preview(order, SHOWN)


def _plans(request: Request) -> list[tuple[Plan, list[Price]]]:
    settings = request.services.settings
    try:
        known = request.billing.stripe.list_prices()
    except StripeUnavailableError as error:
        log.warning("no prices", reason=str(error))
        known = {}
    return [(plan, [known[key] for key in plan.prices if key in known]) for plan in settings.plan.values()]


def _processors(request: Request) -> list[tuple[str, str, str]]:
    """Who else gets data, for what, and where they are: as this installation is set up."""
    services, settings = request.services, request.services.settings
    known = [
        (settings.operator.hosting, "Runs the servers and the database", "") if settings.operator.hosting else None,
        ("Stripe Payments Europe, Ltd.", "Takes payments: name, address, means of payment, invoices", "Ireland, USA")
        if settings.billing.enabled
        else None,
        ("Resend, Inc.", "Sends our mails: addresses and the mails themselves", "USA")
        if settings.mail.transport == "resend"
        else None,
        ("Functional Software, Inc. (Sentry)", "Is told of errors: kinds and places, no content", "USA")
        if settings.monitoring.sentry_dsn.get_secret_value()
        else None,
        ("Slack Technologies, LLC", "Gets messages about runs, when a workspace adds it", "USA")
        if services.slack
        else None,
        ("Google Ireland Limited", "Confirms who somebody is, when they sign in with Google", "Ireland, USA")
        if services.google
        else None,
        *((name.strip(), "", "") for name in settings.operator.processors.split(";") if name.strip()),
    ]
    return [each for each in known if each is not None]

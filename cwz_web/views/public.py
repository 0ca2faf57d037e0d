"""Public pages: pricing, security, privacy, terms, imprint and security.txt.

A page that the settings are not complete for does not exist: the public sees no gaps (`Settings.public_pages`).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

import structlog
from pyramid.httpexceptions import HTTPNotFound
from pyramid.response import Response
from pyramid.security import NO_PERMISSION_REQUIRED
from pyramid.view import view_config

from cwz_web.billing.stripe_api import Price, StripeUnavailableError
from cwz_web.i18n import gettext, long_date
from cwz_web.resources.application import Root, WellKnown
from cwz_web.security_claims import SecurityClaims, load_claims
from cwz_web.settings import PRICING, Operator, Settings
from cwz_web.storage.plugins import LOCAL
from cwz_web.views.plan_features import list_plan_features
from cwz_web.web.request import Request
from cwz_web.web.transactions import release_connection

log = structlog.get_logger()

SECURITY_TXT_LIFETIME = timedelta(days=180)


@dataclass(frozen=True)
class PlanCard:
    """A plan on the pricing page."""

    label: str
    prices: list[Price]
    is_free: bool
    features: list[str]


@dataclass(frozen=True)
class PricingPage:
    """What public/pricing.jinja2 shows."""

    plans: list[PlanCard]
    settings: Settings
    next_url: str
    next_label: str


@dataclass(frozen=True)
class SecurityPage:
    """What public/security.jinja2 shows."""

    claims: SecurityClaims
    operator: Operator
    contact_url: str
    reviewed: str
    certifications: list[str]


@dataclass(frozen=True)
class Subprocessor:
    """A company that receives data, for which purpose, and its country."""

    name: str
    purpose: str = ""
    country: str = ""


@dataclass(frozen=True)
class PrivacyPage:
    """What public/privacy.jinja2 shows."""

    operator: Operator
    settings: Settings
    subprocessors: list[Subprocessor]
    since: str


@dataclass(frozen=True)
class TermsPage:
    """What public/terms.jinja2 shows."""

    operator: Operator
    settings: Settings
    since: str


@dataclass(frozen=True)
class ImprintPage:
    """What public/imprint.jinja2 shows."""

    operator: Operator


@view_config(
    context=Root,
    name="pricing",
    request_method="GET",
    renderer="public/pricing.jinja2",
    permission=NO_PERMISSION_REQUIRED,
)
def pricing(context: Root, request: Request) -> PricingPage:
    """Show the plans of the installation."""
    settings = _require_page(request, PRICING)
    is_signed_in = request.identity is not None
    release_connection(request)  # the prices come from Stripe
    return PricingPage(
        _plan_cards(request),
        settings,
        next_url="/w" if is_signed_in else "/signup",
        next_label=gettext("Open your workspaces") if is_signed_in else gettext("Get started"),
    )


@view_config(
    context=Root,
    name="security",
    request_method="GET",
    renderer="public/security.jinja2",
    permission=NO_PERMISSION_REQUIRED,
)
def security(context: Root, request: Request) -> SecurityPage:
    """Show the security claims with their code and tests, and what the software does not do."""
    operator = request.services.settings.operator
    return SecurityPage(
        load_claims(),
        operator,
        _security_contact_url(operator),
        reviewed=_long_date(operator.security_reviewed),
        certifications=_listed(operator.certifications),
    )


@view_config(
    context=Root,
    name="privacy",
    request_method="GET",
    renderer="public/privacy.jinja2",
    permission=NO_PERMISSION_REQUIRED,
)
def privacy(context: Root, request: Request) -> PrivacyPage:
    """Show the privacy policy, as this installation is configured."""
    settings = _require_page(request, "privacy")
    return PrivacyPage(settings.operator, settings, _subprocessors(request), _english_date(settings.operator.since))


@view_config(
    context=Root, name="terms", request_method="GET", renderer="public/terms.jinja2", permission=NO_PERMISSION_REQUIRED
)
def terms(context: Root, request: Request) -> TermsPage:
    """Show the terms of service."""
    settings = _require_page(request, "terms")
    return TermsPage(settings.operator, settings, _long_date(settings.operator.since))


@view_config(
    context=Root,
    name="imprint",
    request_method="GET",
    renderer="public/imprint.jinja2",
    permission=NO_PERMISSION_REQUIRED,
)
def imprint(context: Root, request: Request) -> ImprintPage:
    """Show who operates the installation."""
    return ImprintPage(_require_page(request, "imprint").operator)


@view_config(context=WellKnown, name="security.txt", request_method="GET", permission=NO_PERMISSION_REQUIRED)
def security_txt(context: WellKnown, request: Request) -> Response:
    """Return the contact for vulnerability reports (RFC 9116)."""
    settings = request.services.settings
    operator = settings.operator
    if not operator.security_contact:
        raise HTTPNotFound
    expires = operator.security_expires or (datetime.now(UTC) + SECURITY_TXT_LIFETIME).date()
    lines = [
        f"Contact: {_security_contact_url(operator)}",
        f"Expires: {datetime.combine(expires, time(), UTC).isoformat().replace('+00:00', 'Z')}",
        "Preferred-Languages: en",
        f"Canonical: {settings.url}/.well-known/security.txt",
        f"Policy: {settings.url}/security",
        *_security_comments(operator),
    ]
    return Response("".join(f"{line}\n" for line in lines), content_type="text/plain", charset="utf-8")


def _require_page(request: Request, page: str) -> Settings:
    """Return the settings. Raises HTTPNotFound if they are not complete for a page."""
    settings = request.services.settings
    if page not in settings.public_pages:
        raise HTTPNotFound
    return settings


def _plan_cards(request: Request) -> list[PlanCard]:
    settings = request.services.settings
    try:
        prices = request.billing.stripe.list_prices()
    except StripeUnavailableError as error:
        log.warning("prices unavailable", reason=str(error))
        prices = {}
    return [
        PlanCard(
            plan.label,
            [prices[key] for key in plan.prices if key in prices],
            is_free=not plan.prices,
            features=list_plan_features(plan, settings.retention.history_days),
        )
        for plan in settings.plan.values()
    ]


def _subprocessors(request: Request) -> list[Subprocessor]:
    """Return the companies that receive data, as this installation is configured."""
    services, settings = request.services, request.services.settings
    operator = settings.operator
    storage = services.providers.get(settings.included_storage.provider)
    configured = (
        (operator.hosting, Subprocessor(operator.hosting, "Hosts the servers and the database")),
        (
            storage and storage.name != LOCAL,  # no other company receives the images
            Subprocessor(storage.label if storage else "", "Stores images of workspaces that use the included storage"),
        ),
        (
            settings.billing.enabled,
            Subprocessor(
                "Stripe Payments Europe, Ltd.",
                "Processes payments: name, address, payment method, invoices",
                "Ireland, USA",
            ),
        ),
        (
            settings.mail.transport == "resend",
            Subprocessor("Resend, Inc.", "Sends our emails: email addresses and contents", "USA"),
        ),
        (
            settings.monitoring.sentry_dsn.get_secret_value(),
            Subprocessor(
                "Functional Software, Inc. (Sentry)", "Receives error reports: types and locations, no content", "USA"
            ),
        ),
        (
            services.slack,
            Subprocessor("Slack Technologies, LLC", "Receives messages about runs, if a workspace connects it", "USA"),
        ),
        (
            services.google,
            Subprocessor("Google Ireland Limited", "Verifies users who sign in with Google", "Ireland, USA"),
        ),
    )
    others = [Subprocessor(name) for name in _listed(operator.processors)]
    return [subprocessor for is_used, subprocessor in configured if is_used] + others


def _security_comments(operator: Operator) -> Iterator[str]:
    """Yield what the page says as well, for those who read the file only (RFC 9116, section 2.3: comments)."""
    if operator.security_reviewed:
        yield f"# Last reviewed: {operator.security_reviewed}"
    yield "# Report: what is affected, the steps to reproduce it, what an attacker gains, and how to credit you"
    yield f"# Disclosure: after {operator.disclosure_days} days, or as soon as a fix is released"
    yield "# Bounty: none; we credit you if you want"
    if operator.certifications:
        yield f"# Certifications on the roadmap: {'; '.join(_listed(operator.certifications))}"
    if operator.enterprise_contact:
        yield f"# Enterprise: mailto:{operator.enterprise_contact}"


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(";") if part.strip()]


def _security_contact_url(operator: Operator) -> str:
    contact = operator.security_contact
    return contact if ":" in contact or not contact else f"mailto:{contact}"


def _long_date(day: date | None) -> str:
    return long_date(day) if day else ""


def _english_date(day: date | None) -> str:
    """Return a date for the privacy policy, which is in English only."""
    return day.strftime("%-d %B %Y") if day else ""

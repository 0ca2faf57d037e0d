"""Response headers: the request id, a Content-Security-Policy with a nonce, and other security headers.

htmx runs with its `hx-csp` extension: an element with another `hx-nonce` than the page's is inert, and only the Trusted
Types policy `htmx` can write HTML into the page. A page can allow more policies (`Request.trusted_types`).
"""

from pyramid.config import Configurator
from pyramid.response import Response

from cwz_web.generation.signed_urls import SIGNATURE
from cwz_web.web.forms import CSRF_FIELD
from cwz_web.web.request import Handler, Request
from cwz_web.web.static_errors import static_error_response

# views/csp_reports.py
CSP_REPORT_PATH = "/csp-reports"
REPORTING_ENDPOINTS = ("Reporting-Endpoints", f'csp="{CSP_REPORT_PATH}"')
CSP = (
    "default-src 'none'; script-src 'nonce-{nonce}' 'strict-dynamic'; style-src 'self'; img-src 'self';"
    " font-src 'self'; connect-src 'self'; form-action {targets}; base-uri 'none'; frame-ancestors 'none';"
    " require-trusted-types-for 'script'; trusted-types {policies}"
    f"; report-uri {CSP_REPORT_PATH}; report-to csp"
)
CSP_DIRECTIVES = frozenset({part.split()[0] for part in CSP.split(";")} | {"script-src-elem", "style-src-elem"})
# For an image or document that is opened on its own: the browser shows it in a page with styles only.
NON_PAGE_CSP = (
    "default-src 'none'; img-src 'self'; style-src 'unsafe-inline'; form-action 'none'; base-uri 'none';"
    " frame-ancestors 'none'"
)
FIXED = (
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),  # for browsers without frame-ancestors
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
)
HSTS = ("Strict-Transport-Security", "max-age=63072000; includeSubDomains")
FIXED_AND_HTTPS = (*FIXED, HSTS)
# Parameters that let their holder do something: of links in emails, and of redirects from identity providers.
SECRET_PARAMETERS = frozenset({"token", "code", "state", CSRF_FIELD, SIGNATURE})
NO_STORE = "private, no-store"


def headers_tween(handler: Handler, registry: object) -> Handler:
    """Add the headers to every response, errors included; answer errors that no error view has answered."""

    def with_headers(request: Request) -> Response:
        try:
            response = handler(request)
        except Exception as error:
            response = static_error_response(request, error)
        is_page = response.content_type == "text/html"
        # No view sets one of these; `response.headers` would search the list for each.
        response.headerlist += [
            ("X-Request-Id", request.id),
            ("Cross-Origin-Resource-Policy", "cross-origin" if request.area.is_embeddable else "same-origin"),
            ("Content-Security-Policy", _csp(request) if is_page else NON_PAGE_CSP),
            ("Referrer-Policy", _referrer_policy(request)),
            *(FIXED if request.services.settings.development else FIXED_AND_HTTPS),
        ]
        response.headers.setdefault("Cache-Control", NO_STORE)
        if is_page:  # a page and its partial share a URL
            response.vary = "HX-Request"
            response.headerlist.append(REPORTING_ENDPOINTS)
        return response

    return with_headers


def _referrer_policy(request: Request) -> str:
    """Return the policy: a page whose URL is a secret sends it to no page, not even to one of ours."""
    names = {pair.partition("=")[0] for pair in request.query_string.split("&")}
    return "no-referrer" if names & SECRET_PARAMETERS else "same-origin"


def _csp(request: Request) -> str:
    targets = " ".join(["'self'", *request.form_targets])
    policies = " ".join(["htmx", *request.trusted_types])
    return CSP.format(nonce=request.csp_nonce, targets=targets, policies=policies)


def includeme(config: Configurator) -> None:
    """Install the tween."""
    config.add_tween("cwz_web.web.headers.headers_tween")

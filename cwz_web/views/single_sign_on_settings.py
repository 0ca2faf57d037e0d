"""`/w/{slug}/single-sign-on`: the identity provider of a workspace and its email domains."""

from dataclasses import dataclass
from typing import Annotated, TypeAlias
from urllib.parse import urlencode

from pydantic import AfterValidator, StringConstraints
from pyramid.httpexceptions import HTTPSeeOther
from pyramid.response import Response
from pyramid.view import view_config

from cwz_web.db.session import enter_workspace
from cwz_web.i18n import gettext, gettext_noop
from cwz_web.net.dns import DnsError
from cwz_web.resources.permissions import Permission
from cwz_web.resources.workspace import EmailDomainCollection, EmailDomainResource, SingleSignOnSettings
from cwz_web.web.forms import FieldError, Form, Printable, SubmittedForm, empty_form, form_view
from cwz_web.web.notices import find_done_notice
from cwz_web.web.request import Request
from cwz_web.web.transactions import release_connection
from cwz_web.workspaces.models import EmailDomain, IdentityProvider, Role
from cwz_web.workspaces.single_sign_on import (
    DEFAULT_ROLES,
    ProviderSettings,
    SingleSignOnError,
    add_domain,
    check_issuer,
    find_provider,
    has_been_used,
    has_record,
    list_domains,
    mark_verified,
    normalize_domain,
    record_name,
    record_value,
    redirect_uri_of,
    remove_domain,
    remove_provider,
    save_provider,
)

PAGE = "workspaces/single_sign_on.jinja2"
NOTICES = {
    "saved": gettext_noop("Single sign-on saved."),
    "removed": gettext_noop("Single sign-on removed."),
    "added": gettext_noop("Domain added. Create its TXT record at your DNS provider, then verify the domain."),
    "tested": gettext_noop("You signed in through the identity provider."),
    "verified": gettext_noop("Domain verified."),
    "domain-removed": gettext_noop("Domain removed."),
}


class ProviderForm(Form):
    """The identity provider; without a client secret, the saved one is kept."""

    issuer: Annotated[str, StringConstraints(min_length=1, max_length=500)]
    client_id: Annotated[str, StringConstraints(min_length=1, max_length=500)]
    client_secret: Printable = ""
    default_role: Role
    is_required: bool = False


class DomainForm(Form):
    """A domain of email addresses."""

    domain: Annotated[str, StringConstraints(max_length=300), AfterValidator(normalize_domain)]


SettingsForm: TypeAlias = SubmittedForm[ProviderForm] | SubmittedForm[DomainForm] | SubmittedForm[Form]


@dataclass(frozen=True)
class DomainRow:
    """A domain with the TXT record that verifies it."""

    row: EmailDomain
    name: str
    value: str


@dataclass(frozen=True)
class SingleSignOnPage:
    """The view model of workspaces/single_sign_on.jinja2.

    Attributes:
        provider: The saved provider, or None.
        redirect_uri: The callback URL to register at the provider.
        start_path: The URL that signs in through the provider, to test it.
        roles: The roles that members who join can have.
    """

    form: SettingsForm
    provider: IdentityProvider | None
    redirect_uri: str
    start_path: str
    roles: tuple[Role, ...]
    domains: list[DomainRow]
    notice: str | None


Context: TypeAlias = SingleSignOnSettings | EmailDomainCollection | EmailDomainResource


def _page(context: Context, request: Request, form: SettingsForm) -> SingleSignOnPage:
    workspace_id = request.workspace.workspace_id
    tested = urlencode({"next": f"{request.path_in('single-sign-on')}?done=tested"})
    return SingleSignOnPage(
        form=form,
        provider=find_provider(request.db, workspace_id),
        redirect_uri=redirect_uri_of(request.services.settings.url, workspace_id),
        start_path=f"/signin/sso/{workspace_id}/start?{tested}",
        roles=DEFAULT_ROLES,
        domains=[
            DomainRow(domain, record_name(domain), record_value(domain))
            for domain in list_domains(request.db, workspace_id)
        ],
        notice=find_done_notice(request, NOTICES),
    )


@view_config(context=SingleSignOnSettings, request_method="GET", renderer=PAGE, permission=Permission.SETTINGS_MANAGE)
def single_sign_on_page(context: SingleSignOnSettings, request: Request) -> SingleSignOnPage:
    """Show the identity provider and the email domains."""
    return _page(context, request, empty_form())


@form_view(
    ProviderForm,
    _page,
    context=SingleSignOnSettings,
    renderer=PAGE,
    permission=Permission.SETTINGS_MANAGE,
    requires_recent_auth=True,
)
def save(context: SingleSignOnSettings, request: Request, form: ProviderForm) -> Response:
    """Save the identity provider."""
    workspace_id = request.workspace.workspace_id
    try:
        issuer = check_issuer(form.issuer, request.services.provider_outbound)
    except ValueError as error:
        raise FieldError("issuer", str(error)) from None
    if form.default_role not in DEFAULT_ROLES:
        raise FieldError(
            "default_role", gettext("Choose another role. Admins are invited, or promoted by another admin")
        )
    entered = ProviderSettings(issuer, form.client_id, form.client_secret or None, form.default_role, form.is_required)
    try:
        save_provider(request.db, workspace_id, request.services.ring, entered, admin=request.user.session)
    except SingleSignOnError as error:
        raise FieldError("client_secret", str(error)) from None
    if form.is_required:
        _check_requirement(request)
    request.audit(
        "sso.save", issuer, client_id=form.client_id, default_role=form.default_role, is_required=form.is_required
    )
    return _back(request, "saved")


@form_view(
    Form,
    _page,
    context=SingleSignOnSettings,
    name="remove",
    renderer=PAGE,
    permission=Permission.SETTINGS_MANAGE,
    requires_recent_auth=True,
)
def remove(context: SingleSignOnSettings, request: Request, form: Form) -> Response:
    """Remove the identity provider; its users sign in with their own credentials."""
    provider = find_provider(request.db, request.workspace.workspace_id)
    if provider is None:
        raise FieldError("provider", gettext("Single sign-on is not set up"))
    remove_provider(request.db, provider, admin=request.user.session)
    request.audit("sso.remove", provider.issuer)
    return _back(request, "removed")


@form_view(
    DomainForm,
    _page,
    context=EmailDomainCollection,
    renderer=PAGE,
    permission=Permission.SETTINGS_MANAGE,
    requires_recent_auth=True,
)
def add_email_domain(context: EmailDomainCollection, request: Request, form: DomainForm) -> Response:
    """Add a domain, which counts once it is verified."""
    try:
        domain = add_domain(request.db, request.workspace.workspace_id, form.domain)
    except SingleSignOnError as error:
        raise FieldError("domain", str(error)) from None
    request.audit("sso.domain-add", domain.domain)
    return _back(request, "added")


@form_view(
    Form,
    _page,
    context=EmailDomainResource,
    name="verify",
    renderer=PAGE,
    permission=Permission.SETTINGS_MANAGE,
    rate_limit="domain",
    requires_recent_auth=True,
)
def verify_email_domain(context: EmailDomainResource, request: Request, form: Form) -> Response:
    """Look up the TXT record of a domain. The request's transaction ends first."""
    domain, workspace_id = context.row, request.workspace.workspace_id
    release_connection(request)
    try:
        with request.services.outbound.slot():
            is_verified = has_record(domain, request.services.txt_resolver.lookup)
        message = gettext(
            "The TXT record %(name)s was not found. A new record can take an hour to be visible",
            name=record_name(domain),
        )
    except DnsError as error:
        is_verified, message = False, str(error)
    finally:
        enter_workspace(request.db, workspace_id)
    if not is_verified:
        raise FieldError(str(domain.id), message)
    try:
        mark_verified(request.db, workspace_id, domain.domain)
    except SingleSignOnError as error:
        raise FieldError(str(domain.id), str(error)) from None
    request.audit("sso.domain-verify", domain.domain)
    return _back(request, "verified")


@form_view(
    Form,
    _page,
    context=EmailDomainResource,
    name="remove",
    renderer=PAGE,
    permission=Permission.SETTINGS_MANAGE,
    requires_recent_auth=True,
)
def remove_email_domain(context: EmailDomainResource, request: Request, form: Form) -> Response:
    """Remove a domain; its users can no longer sign in through the provider."""
    try:
        remove_domain(request.db, context.row, admin=request.user.session)
    except SingleSignOnError as error:
        raise FieldError(str(context.row.id), str(error)) from None
    request.audit("sso.domain-remove", context.row.domain)
    return _back(request, "domain-removed")


def _check_requirement(request: Request) -> None:
    """Check that requiring single sign-on does not lock members out. Raises FieldError.

    A user has signed in through the provider, and this admin can still open the workspace.
    """
    workspace_id, session = request.workspace.workspace_id, request.user.session
    if not any(domain.verified_at for domain in list_domains(request.db, workspace_id)):
        raise FieldError("is_required", gettext("Verify a domain first"))
    if not has_been_used(request.db, workspace_id):
        raise FieldError("is_required", gettext("Sign in through the identity provider once before you require it"))
    if session.sso_workspace_id != workspace_id and not session.has_second_factor:
        raise FieldError("is_required", gettext("Turn on two-factor authentication for your own account first"))


def _back(request: Request, done: str) -> Response:
    return HTTPSeeOther(f"{request.path_in('single-sign-on')}?done={done}")

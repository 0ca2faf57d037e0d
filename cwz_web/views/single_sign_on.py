"""Single sign-on: find the identity provider of an email address, redirect to it, and the callback.

No transaction is open while the provider is called.
"""

from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit
from uuid import UUID

import structlog
from pyramid.httpexceptions import HTTPNotFound, HTTPSeeOther
from pyramid.response import Response
from pyramid.security import NO_PERMISSION_REQUIRED
from pyramid.view import view_config

from cwz_web.accounts.openid import EmailNotVerifiedByProviderError, OpenIDError, OpenIDProfile, OpenIDProvider
from cwz_web.billing.plans import PlanLimit, PlanLimitError, check_plan_limit
from cwz_web.crypto import DecryptionError
from cwz_web.i18n import gettext, gettext_noop
from cwz_web.resources.application import SingleSignOn, WorkspaceSignOn
from cwz_web.security import set_cookie
from cwz_web.web.authorization import (
    AuthorizationFlow,
    check_start,
    fetch_profile,
    read_callback,
    redirect_to_provider,
)
from cwz_web.web.forms import Email, FieldError, Form, SubmittedForm, empty_form, form_view
from cwz_web.web.locales import requested_locale
from cwz_web.web.login_flow import start_provider_session
from cwz_web.web.notices import find_done_notice
from cwz_web.web.request import Request
from cwz_web.web.urls import safe_next
from cwz_web.workspaces.models import IdentityProvider
from cwz_web.workspaces.single_sign_on import (
    RemovedMemberError,
    SingleSignOnError,
    domain_of,
    find_account,
    find_provider,
    find_workspace_of_email,
    is_member,
    join,
    open_provider,
    remember_identity,
)

log = structlog.get_logger()

FIND_PAGE = "sso.jinja2"
CONTINUE_PAGE = "sso_continue.jinja2"
COOKIE = "sso"
NOTICES = {
    "failed": gettext_noop("Single sign-on failed. Try again, or ask an admin of your workspace."),
    "unverified": gettext_noop(
        "Your identity provider does not confirm your email address (claim email_verified). Ask an admin."
    ),
    "domain": gettext_noop(
        "Your workspace has not verified the domain of your email address. Ask an admin of your workspace."
    ),
    "removed": gettext_noop("An admin removed you from this workspace. Ask an admin to invite you again."),
    "full": gettext_noop("The plan of your workspace allows no more members. Ask an admin of your workspace."),
}


class EmailForm(Form):
    """The email address of a user, and the path to redirect to afterwards."""

    email: Email
    next: str = "/"


@dataclass(frozen=True)
class FindPage:
    """The view model of sso.jinja2.

    Attributes:
        next: The path to redirect to afterwards.
    """

    form: SubmittedForm[EmailForm]
    next: str


@dataclass(frozen=True)
class ContinuePage:
    """The view model of sso_continue.jinja2.

    Attributes:
        host: The host of the identity provider.
        path: The URL that redirects to it.
        notice: What went wrong before, or None.
    """

    host: str
    path: str
    notice: str | None


def _find_page(context: SingleSignOn, request: Request, form: SubmittedForm[EmailForm]) -> FindPage:
    return FindPage(form, safe_next(request.params.get("next", "/")))


@view_config(context=SingleSignOn, request_method="GET", renderer=FIND_PAGE, permission=NO_PERMISSION_REQUIRED)
def find_page(context: SingleSignOn, request: Request) -> FindPage:
    """Ask for the email address."""
    return _find_page(context, request, empty_form())


@form_view(
    EmailForm,
    _find_page,
    context=SingleSignOn,
    renderer=FIND_PAGE,
    permission=NO_PERMISSION_REQUIRED,
    rate_limit="single-sign-on",
)
def find_provider_of_email(context: SingleSignOn, request: Request, form: EmailForm) -> Response:
    """Redirect to the page of the provider that is responsible for the domain of the email address."""
    with request.services.database.transaction() as db:
        workspace_id = find_workspace_of_email(db, form.email)
    if workspace_id is None:
        message = gettext(
            "Single sign-on is not set up for %(domain)s. Sign in with your password instead",
            domain=domain_of(form.email),
        )
        raise FieldError("email", message)
    return HTTPSeeOther(f"/signin/sso/{workspace_id}?{urlencode({'next': safe_next(form.next)})}")


@view_config(context=WorkspaceSignOn, request_method="GET", renderer=CONTINUE_PAGE, permission=NO_PERMISSION_REQUIRED)
def continue_page(context: WorkspaceSignOn, request: Request) -> ContinuePage:
    """Show which provider the user is redirected to; a form may not redirect to another site itself."""
    provider = _load_provider(request, context.workspace_id)
    query = urlencode({"next": safe_next(request.GET.get("next", "/"))})
    return ContinuePage(
        host=str(urlsplit(provider.issuer).hostname),
        path=f"/signin/sso/{context.workspace_id}/start?{query}",
        notice=find_done_notice(request, NOTICES),
    )


@view_config(
    context=WorkspaceSignOn,
    name="start",
    request_method="GET",
    permission=NO_PERMISSION_REQUIRED,
    rate_limit="single-sign-on",
)
def redirect_to_own_provider(context: WorkspaceSignOn, request: Request) -> Response:
    """Redirect to the provider."""
    check_start(request)
    client = _client(request, _load_provider(request, context.workspace_id))
    try:
        return redirect_to_provider(request, _flow(context), client)
    except OpenIDError as error:
        return _failed(context, error)


@view_config(
    context=WorkspaceSignOn,
    name="callback",
    request_method="GET",
    permission=NO_PERMISSION_REQUIRED,
    rate_limit="single-sign-on",
)
def handle_callback(context: WorkspaceSignOn, request: Request) -> Response:
    """Handle the callback; workspace and state must match the cookie of the same browser."""
    flow = _flow(context)
    try:
        callback = read_callback(request, flow)
        provider = _load_provider(request, context.workspace_id)
        profile = fetch_profile(request, flow, _client(request, provider), callback)
        response = _sign_in(request, provider, profile, callback.next_path)
    except OpenIDError as error:
        return _failed(context, error)
    except EmailNotVerifiedByProviderError:
        return _back(context, "unverified")
    except RemovedMemberError:
        return _back(context, "removed")
    except SingleSignOnError:
        return _back(context, "domain")
    except PlanLimitError:
        return _back(context, "full")
    set_cookie(request, response, COOKIE, None)
    return response


def _sign_in(request: Request, known: IdentityProvider, profile: OpenIDProfile, next_path: str) -> Response:
    """Sign a user of the provider in; without a membership, they join first.

    Raises:
        OpenIDError: The provider was changed since it was asked.
        RemovedMemberError: An admin removed the member, and has not invited them again.
        SingleSignOnError: The domain of the email address is not verified.
        PlanLimitError: The plan allows no more members.
    """
    workspace_id = known.workspace_id
    with request.services.database.transaction(workspace_id) as db:
        provider = find_provider(db, workspace_id)
        if provider is None or (provider.issuer, provider.client_id) != (known.issuer, known.client_id):
            raise OpenIDError("callback: the provider was changed")
        account = find_account(db, workspace_id, profile, requested_locale(request))
        if not is_member(db, workspace_id, account):
            check_plan_limit(db, request.services.settings, workspace_id, PlanLimit.MEMBERS)
            join(db, provider, account, profile, request.remote_addr or "")
        remember_identity(db, workspace_id, account, profile)
        return start_provider_session(request, db, account, workspace_id, next_path)


def _load_provider(request: Request, workspace_id: UUID) -> IdentityProvider:
    """Return the provider of a workspace. Raises HTTPNotFound if it has none, or was deleted."""
    with request.services.database.transaction(workspace_id) as db:
        provider = find_provider(db, workspace_id)
    if provider is None:
        raise HTTPNotFound
    return provider


def _client(request: Request, provider: IdentityProvider) -> OpenIDProvider:
    services = request.services
    try:
        return open_provider(provider, services.ring, services.settings.url, services.provider_outbound)
    except DecryptionError:
        log.error("client secret cannot be decrypted", workspace=str(provider.workspace_id))
        raise HTTPNotFound from None


def _flow(context: WorkspaceSignOn) -> AuthorizationFlow:
    return AuthorizationFlow(COOKIE, binding=str(context.workspace_id), target=str(context.workspace_id))


def _failed(context: WorkspaceSignOn, error: OpenIDError) -> Response:
    log.warning("single sign-on failed", workspace=str(context.workspace_id), reason=str(error))
    return _back(context, "failed")


def _back(context: WorkspaceSignOn, done: str) -> Response:
    return HTTPSeeOther(f"/signin/sso/{context.workspace_id}?done={done}")

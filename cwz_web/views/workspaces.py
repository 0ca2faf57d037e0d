"""Workspaces: list, creation, setup and settings."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, TypeAlias
from uuid import UUID

from pydantic import BeforeValidator
from pyramid.httpexceptions import HTTPSeeOther
from pyramid.response import Response
from pyramid.view import view_config
from sqlalchemy.orm import Session

from cwz_web.billing.plans import PlanLimit, check_plan_limit
from cwz_web.demo.samples import add_sample_feed, add_sample_template
from cwz_web.feeds.models import Feed
from cwz_web.feeds.queries import list_feeds
from cwz_web.generation.models import Template
from cwz_web.generation.templates import list_templates
from cwz_web.resources.permissions import Permission
from cwz_web.resources.workspace import WorkspaceCollection, WorkspaceResource
from cwz_web.storage.connections import connect_included_storage, create_connection, has_storage
from cwz_web.storage.contract import StorageError, StorageProvider
from cwz_web.storage.plugins import ProviderRegistry
from cwz_web.values.formats import CurrencyCode, LocaleCode
from cwz_web.web.forms import FieldError, Form, Name, Slug, SubmittedForm, empty_form, form_view, read_form
from cwz_web.web.rate_limit_subjects import RESEND_INVITATION
from cwz_web.web.request import Request
from cwz_web.workspaces.access import Access
from cwz_web.workspaces.audit import record
from cwz_web.workspaces.creation import SlugTakenError, create_workspace, suggest_slug, validate_slug
from cwz_web.workspaces.deletion import GRACE, Deletion, list_deletions
from cwz_web.workspaces.invitations import OpenInvitation, find_open_invitation, list_open_invitations
from cwz_web.workspaces.models import Workspace
from cwz_web.workspaces.tasks import enqueue_invitation

LIST_PAGE = "workspaces/list.jinja2"
NEW_PAGE = "workspaces/new.jinja2"
SETTINGS_PAGE = "workspaces/settings.jinja2"
SETUP_PAGE = "workspaces/setup.jinja2"
LIST_NOTICES = {"deleted": "Workspace deleted.", "invitation": "Invitation sent. Open the link in the email to join."}


class WorkspaceForm(Form):
    """A new workspace; without a slug, it is derived from the name."""

    name: Name
    slug: Annotated[Slug | None, BeforeValidator(lambda text: text.strip() or None)] = None


class SettingsForm(Form):
    """Workspace settings."""

    name: Name
    second_factor_required: bool = False
    locale: Annotated[LocaleCode | None, BeforeValidator(lambda text: text.strip() or None)] = None
    currency: Annotated[CurrencyCode | None, BeforeValidator(lambda text: text.strip().upper() or None)] = None


class InvitationForm(Form):
    """The invitation whose email is sent again."""

    invitation: UUID


class StorageForm(Form):
    """The storage provider."""

    provider: str


SetupForm: TypeAlias = SubmittedForm[StorageForm] | SubmittedForm[Form]


@dataclass(frozen=True)
class WorkspaceListPage:
    """The view model of workspaces/list.jinja2.

    Attributes:
        can_create: Whether the user can create a workspace.
        invitations: The user's open invitations.
        email: The address to which their emails were sent.
        deletions: The deleted workspaces that the user can restore.
        notice: What has just happened, or None.
    """

    workspaces: tuple[Access, ...]
    can_create: bool
    invitations: list[OpenInvitation]
    email: str
    deletions: list[Deletion]
    notice: str | None


@dataclass(frozen=True)
class NewWorkspacePage:
    """The view model of workspaces/new.jinja2.

    Attributes:
        slug_help: The help text of the slug's field.
    """

    form: SubmittedForm[WorkspaceForm]
    slug_help: str


@dataclass(frozen=True)
class SetupPage:
    """The view model of workspaces/setup.jinja2.

    Attributes:
        providers: The storage providers that work without settings.
        is_complete: Whether all steps are done.
    """

    form: SetupForm
    providers: list[StorageProvider[Any, Any]]
    has_storage: bool
    has_feed: bool
    has_template: bool
    is_complete: bool


@dataclass(frozen=True)
class SettingsPage:
    """The view model of workspaces/settings.jinja2.

    Attributes:
        requires_second_factor: Whether the check box is ticked.
        restore_days: For how many days a deleted workspace can be restored.
    """

    form: SubmittedForm[SettingsForm]
    requires_second_factor: bool
    locale: str
    currency: str
    restore_days: int
    notice: str | None


def _new_page(context: WorkspaceCollection, request: Request, form: SubmittedForm[WorkspaceForm]) -> NewWorkspacePage:
    url = request.services.settings.url
    return NewWorkspacePage(
        form, f"Part of every URL: {url}/w/… Leave empty to derive it from the name. It cannot be changed later."
    )


def _setup_page(context: WorkspaceResource, request: Request, form: SetupForm) -> SetupPage:
    workspace_id = request.workspace.workspace_id
    steps = (
        has_storage(request.db, workspace_id),
        bool(list_feeds(request.db, workspace_id)),
        bool(list_templates(request.db, workspace_id)),
    )
    return SetupPage(form, _ready_providers(request), *steps, is_complete=all(steps))


def _settings_page(context: WorkspaceResource, request: Request, form: SubmittedForm[SettingsForm]) -> SettingsPage:
    is_ticked = "second_factor_required" in form.typed if form.typed else request.workspace.second_factor_required
    workspace = request.db.get_one(Workspace, request.workspace.workspace_id)
    return SettingsPage(
        form=form,
        requires_second_factor=is_ticked,
        locale=workspace.locale or "",
        currency=workspace.currency or "",
        restore_days=GRACE.days,
        notice="Settings saved." if request.GET.get("done") == "saved" and not form.errors else None,
    )


@view_config(context=WorkspaceCollection, request_method="GET", renderer=LIST_PAGE, permission=Permission.SESSION)
def workspace_list(context: WorkspaceCollection, request: Request) -> WorkspaceListPage:
    """List the user's workspaces."""
    user = request.user
    is_own = user.session.is_own  # an identity provider does not learn of other workspaces
    return WorkspaceListPage(
        workspaces=user.workspaces,
        can_create=is_own,
        invitations=list_open_invitations(request.db, user.account) if is_own else [],
        deletions=list_deletions(request.db, user.account.id) if is_own else [],
        email=user.account.email,
        notice=LIST_NOTICES.get(request.GET.get("done", "")),
    )


@view_config(
    context=WorkspaceCollection,
    name=RESEND_INVITATION,
    request_method="POST",
    permission=Permission.SIGNED_IN,
    rate_limit="invitation",
)
def email_open_invitation(context: WorkspaceCollection, request: Request) -> Response:
    """Send the email of one of the user's open invitations again; its previous link becomes invalid.

    The form is a button without a field that could show an error: if the invitation has ended, the list without it
    follows.
    """
    form = read_form(InvitationForm, request.POST)
    found = find_open_invitation(request.db, request.user.account, form.value.invitation) if form.value else None
    if found is None:
        return HTTPSeeOther("/w")
    enqueue_invitation(request.db, found[0])
    return HTTPSeeOther("/w?done=invitation")


@view_config(
    context=WorkspaceCollection, name="new", request_method="GET", renderer=NEW_PAGE, permission=Permission.SIGNED_IN
)
def new_workspace_page(context: WorkspaceCollection, request: Request) -> NewWorkspacePage:
    """Show the form for a new workspace."""
    return _new_page(context, request, empty_form())


@form_view(
    WorkspaceForm,
    _new_page,
    context=WorkspaceCollection,
    name="new",
    renderer=NEW_PAGE,
    permission=Permission.SIGNED_IN,
    rate_limit="workspace",
)
def add_workspace(context: WorkspaceCollection, request: Request, form: WorkspaceForm) -> Response:
    """Create a workspace and redirect to its setup."""
    slug = form.slug or _derive_slug(form.name)
    try:
        workspace = create_workspace(request.db, request.user.account, name=form.name, slug=slug)
    except SlugTakenError:
        raise FieldError("slug", f"The URL “{slug}” is taken. Choose another one") from None
    record(request.db, workspace.id, request.actor, "workspace.create", workspace.name)
    connect_included_storage(request.db, workspace.id, request.services.ring, request.services.providers)
    return HTTPSeeOther(f"/w/{workspace.slug}/setup")


@view_config(
    context=WorkspaceResource,
    name="setup",
    request_method="GET",
    renderer=SETUP_PAGE,
    permission=Permission.SETTINGS_MANAGE,
)
def setup_page(context: WorkspaceResource, request: Request) -> SetupPage:
    """Show the setup steps: storage, feed, template."""
    return _setup_page(context, request, empty_form())


@form_view(
    StorageForm,
    _setup_page,
    context=WorkspaceResource,
    name="setup-storage",
    renderer=SETUP_PAGE,
    permission=Permission.STORAGE_MANAGE,
    requires_recent_auth=True,
)
def set_up_storage(context: WorkspaceResource, request: Request, form: StorageForm) -> Response:
    """Connect a provider that needs no settings."""
    provider = next((provider for provider in _ready_providers(request) if provider.name == form.provider), None)
    if provider is None:
        raise FieldError("provider", "Choose an option")
    if not has_storage(request.db, request.workspace.workspace_id):
        create_connection(
            request.db,
            request.workspace.workspace_id,
            request.services.ring,
            provider=provider.name,
            name=provider.label,
        )
        request.audit("storage.connect", provider.label)
    return HTTPSeeOther(request.path_in("setup"))


@form_view(
    Form,
    _setup_page,
    context=WorkspaceResource,
    name="setup-feed",
    renderer=SETUP_PAGE,
    permission=Permission.FEED_EDIT,
)
def set_up_feed(context: WorkspaceResource, request: Request, form: Form) -> Response:
    """Add the sample feed."""
    check_plan_limit(request.db, request.services.settings, request.workspace.workspace_id, PlanLimit.FEEDS)
    return _add_sample(request, "feed", add_sample_feed)


@form_view(
    Form,
    _setup_page,
    context=WorkspaceResource,
    name="setup-template",
    renderer=SETUP_PAGE,
    permission=Permission.TEMPLATE_EDIT,
)
def set_up_template(context: WorkspaceResource, request: Request, form: Form) -> Response:
    """Add the sample template."""
    return _add_sample(request, "template", add_sample_template)


@view_config(
    context=WorkspaceResource,
    name="settings",
    request_method="GET",
    renderer=SETTINGS_PAGE,
    permission=Permission.SETTINGS_MANAGE,
)
def settings_page(context: WorkspaceResource, request: Request) -> SettingsPage:
    """Show the workspace settings."""
    return _settings_page(context, request, empty_form())


@form_view(
    SettingsForm,
    _settings_page,
    context=WorkspaceResource,
    name="settings",
    renderer=SETTINGS_PAGE,
    permission=Permission.SETTINGS_MANAGE,
    requires_recent_auth=True,
)
def save_settings(context: WorkspaceResource, request: Request, form: SettingsForm) -> Response:
    """Save the settings. An admin needs a second factor to require it, or would lose access."""
    if form.second_factor_required and not request.user.account.has_second_factor:
        raise FieldError("second_factor_required", "Turn on two-factor authentication for your own account first")
    workspace = request.db.get_one(Workspace, request.workspace.workspace_id)
    workspace.name = form.name
    workspace.second_factor_required = form.second_factor_required
    workspace.locale, workspace.currency = form.locale, form.currency
    request.audit(
        "workspace.settings",
        form.name,
        second_factor_required=form.second_factor_required,
        locale=form.locale,
        currency=form.currency,
    )
    return HTTPSeeOther(f"{request.path_in('settings')}?done=saved")


def works_without_settings(provider: StorageProvider[Any, Any]) -> bool:
    """Return whether a provider has no required settings or credentials."""
    models = (provider.settings_model, provider.credentials_model)
    return not any(field.is_required() for model in models for field in model.model_fields.values())


def _ready_providers(request: Request) -> list[StorageProvider[Any, Any]]:
    """Return the providers that work without settings."""
    return [provider for provider in request.services.providers if works_without_settings(provider)]


def _derive_slug(name: str) -> str:
    """Return a slug for a name. Raises FieldError if the name has too few letters and digits, or is reserved."""
    slug = suggest_slug(name)
    try:
        return validate_slug(slug)
    except ValueError as error:
        raise FieldError("slug", f"Enter a URL: “{slug}”, derived from the name, is not valid. {error}") from None


def _add_sample(
    request: Request, step: str, add: Callable[[Session, UUID, ProviderRegistry], Feed | Template]
) -> Response:
    """Add the sample of a setup step. Raises FieldError if the storage fails."""
    try:
        sample = add(request.db, request.workspace.workspace_id, request.services.providers)
    except StorageError as error:
        raise FieldError(step, str(error)) from None
    request.audit(f"{step}.sample", sample.name)
    return HTTPSeeOther(request.path_in("setup"))

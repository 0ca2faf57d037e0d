"""Workspaces: list, creation, setup and settings."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

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
from cwz_web.storage.connections import create_connection, has_storage
from cwz_web.storage.contract import StorageError, StorageProvider
from cwz_web.storage.plugins import ProviderRegistry
from cwz_web.views.members import join_workspace
from cwz_web.web.forms import Filled, Form, Name, Slug, empty_form, read_form
from cwz_web.web.request import Request
from cwz_web.workspaces.audit import record
from cwz_web.workspaces.creation import SlugTakenError, create_workspace, suggest_slug
from cwz_web.workspaces.deletion import list_deletions
from cwz_web.workspaces.invitations import find_open_invitation, list_open_invitations
from cwz_web.workspaces.models import Workspace

NEW = "workspaces/new.jinja2"
SETTINGS = "workspaces/settings.jinja2"
SETUP = "workspaces/setup.jinja2"


class WorkspaceForm(Form):
    """A new workspace."""

    name: Name
    slug: Slug


class SettingsForm(Form):
    """Workspace settings."""

    name: Name
    second_factor_required: bool = False


class JoinForm(Form):
    """The invitation to accept."""

    invitation: UUID


class StorageForm(Form):
    """The storage provider."""

    provider: str


@view_config(
    context=WorkspaceCollection,
    request_method="GET",
    renderer="workspaces/list.jinja2",
    permission=Permission.SIGNED_IN,
)
def workspace_list(context: WorkspaceCollection, request: Request) -> dict[str, Any]:
    """List the user's workspaces."""
    person = request.user
    return {
        "workspaces": person.workspaces,
        "invitations": list_open_invitations(request.db, person.account),
        "deletions": list_deletions(request.db, person.account.id),
        "deleted": request.GET.get("done") == "deleted",
    }


@view_config(context=WorkspaceCollection, name="join", request_method="POST", permission=Permission.SIGNED_IN)
def join(context: WorkspaceCollection, request: Request) -> Response:
    """Accept one of the user's open invitations."""
    form = read_form(JoinForm, request.POST)
    found = find_open_invitation(request.db, request.user.account, form.value.invitation) if form.value else None
    if found is None:
        return HTTPSeeOther("/w")
    return HTTPSeeOther(f"/w/{join_workspace(request, *found).slug}")


@view_config(
    context=WorkspaceCollection, name="new", request_method="GET", renderer=NEW, permission=Permission.SIGNED_IN
)
def new_page(context: WorkspaceCollection, request: Request) -> dict[str, Any]:
    """Show the form for a new workspace."""
    return {"form": empty_form()}


@view_config(
    context=WorkspaceCollection,
    name="new",
    request_method="POST",
    renderer=NEW,
    permission=Permission.SIGNED_IN,
    rate_limit="workspace",
)
def new_form(context: WorkspaceCollection, request: Request) -> Any:
    """Create a workspace and redirect to its setup."""
    form = read_form(WorkspaceForm, request.POST)
    if form.value is None and set(form.errors) == {"slug"} and not form.typed.get("slug", "").strip():
        # The slug is optional: derive it from the name.
        form = read_form(WorkspaceForm, _with(request.POST, "slug", suggest_slug(form.typed["name"])))
    if form.value is not None:
        account = request.user.account
        try:
            workspace = create_workspace(request.db, account, name=form.value.name, slug=form.value.slug)
        except SlugTakenError:
            form = form.with_error("slug", "This URL is taken. Choose another one")
        else:
            record(request.db, workspace.id, request.actor, "workspace.create", workspace.name)
            return HTTPSeeOther(f"/w/{workspace.slug}/setup")
    request.response.status = 422
    return {"form": form}


@view_config(
    context=WorkspaceResource,
    name="setup",
    request_method="GET",
    renderer=SETUP,
    permission=Permission.SETTINGS_MANAGE,
)
def setup_page(context: WorkspaceResource, request: Request) -> dict[str, Any]:
    """Show the setup steps: storage, feed, template."""
    return _setup_page(request, empty_form())


@view_config(
    context=WorkspaceResource,
    name="setup-storage",
    request_method="POST",
    renderer=SETUP,
    permission=Permission.STORAGE_MANAGE,
)
def setup_storage(context: WorkspaceResource, request: Request) -> Any:
    """Connect a provider that needs no settings."""
    form = read_form(StorageForm, request.POST)
    chosen = next((p for p in _ready_providers(request) if form.value and p.name == form.value.provider), None)
    if chosen is None:
        return _setup_again(request, form.with_error("provider", "Choose an option"))
    if not has_storage(request.db, request.workspace.workspace_id):
        create_connection(
            request.db,
            request.workspace.workspace_id,
            request.services.ring,
            provider=chosen.name,
            name=chosen.label,
        )
        request.audit("storage.connect", chosen.label)
    return HTTPSeeOther(request.path_in("setup"))


@view_config(
    context=WorkspaceResource,
    name="setup-feed",
    request_method="POST",
    renderer=SETUP,
    permission=Permission.FEED_EDIT,
)
def setup_feed(context: WorkspaceResource, request: Request) -> Any:
    """Add the sample feed."""
    check_plan_limit(request.db, request.services.settings, request.workspace.workspace_id, PlanLimit.FEEDS)
    return _add_sample(request, "feed", add_sample_feed)


@view_config(
    context=WorkspaceResource,
    name="setup-template",
    request_method="POST",
    renderer=SETUP,
    permission=Permission.TEMPLATE_EDIT,
)
def setup_template(context: WorkspaceResource, request: Request) -> Any:
    """Add the sample template."""
    return _add_sample(request, "template", add_sample_template)


@view_config(
    context=WorkspaceResource,
    name="settings",
    request_method="GET",
    renderer=SETTINGS,
    permission=Permission.SETTINGS_MANAGE,
)
def settings_page(context: WorkspaceResource, request: Request) -> dict[str, Any]:
    """Show the workspace settings."""
    return {"form": empty_form(), "saved": request.GET.get("done") == "saved"}


@view_config(
    context=WorkspaceResource,
    name="settings",
    request_method="POST",
    renderer=SETTINGS,
    permission=Permission.SETTINGS_MANAGE,
)
def settings_form(context: WorkspaceResource, request: Request) -> Any:
    """Save the settings. An admin needs a second factor to require it, or would lose access."""
    form = read_form(SettingsForm, request.POST)
    required = form.value is not None and form.value.second_factor_required
    if required and not request.user.account.has_second_factor:
        form = form.with_error("second_factor_required", "Turn on two-factor authentication for your own account first")
    if form.value is None:
        request.response.status = 422
        return {"form": form, "saved": False}
    workspace = request.db.get_one(Workspace, request.workspace.workspace_id)
    workspace.name = form.value.name
    workspace.second_factor_required = form.value.second_factor_required
    request.audit("workspace.settings", form.value.name, second_factor_required=form.value.second_factor_required)
    return HTTPSeeOther(f"{request.path_in('settings')}?done=saved")


def _add_sample(request: Request, kind: str, add: Callable[[Session, UUID, ProviderRegistry], Feed | Template]) -> Any:
    try:
        made = add(request.db, request.workspace.workspace_id, request.services.providers)
    except StorageError as error:
        return _setup_again(request, empty_form().with_error(kind, str(error)))
    request.audit(f"{kind}.sample", made.name)
    return HTTPSeeOther(request.path_in("setup"))


def works_without_settings(provider: StorageProvider[Any, Any]) -> bool:
    """Return whether a provider has no required settings or credentials."""
    models = (provider.settings_model, provider.credentials_model)
    return not any(field.is_required() for model in models for field in model.model_fields.values())


def _ready_providers(request: Request) -> list[StorageProvider[Any, Any]]:
    """Return the providers that work without settings."""
    return [provider for provider in request.services.providers if works_without_settings(provider)]


def _setup_page(request: Request, form: Filled[Any]) -> dict[str, Any]:
    workspace_id = request.workspace.workspace_id
    return {
        "form": form,
        "providers": _ready_providers(request),
        "storage": has_storage(request.db, workspace_id),
        "feeds": list_feeds(request.db, workspace_id),
        "templates": list_templates(request.db, workspace_id),
    }


def _setup_again(request: Request, form: Filled[Any]) -> dict[str, Any]:
    request.response.status = 422
    return _setup_page(request, form)


def _with(posted: Any, name: str, value: str) -> Any:
    changed = posted.copy()
    changed[name] = value
    return changed

"""Workspaces: list, creation and settings."""

from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

from pydantic import BeforeValidator
from pyramid.httpexceptions import HTTPSeeOther
from pyramid.response import Response
from pyramid.view import view_config

from cwz_web.feeds.schedules import time_zones
from cwz_web.i18n import gettext, gettext_noop
from cwz_web.ops.retention import RetentionPolicy
from cwz_web.resources.permissions import Permission
from cwz_web.resources.workspace import WorkspaceCollection, WorkspaceResource
from cwz_web.storage.connections import connect_ready_storage
from cwz_web.values.formats import LocaleCode
from cwz_web.views.retention_periods import RetentionPeriod, list_retention_periods
from cwz_web.web.forms import (
    MAX_NAME_LENGTH,
    FieldError,
    Form,
    Name,
    OptionalCurrency,
    Slug,
    SubmittedForm,
    TimeZoneName,
    empty_form,
    form_view,
    read_form,
)
from cwz_web.web.notices import find_done_notice
from cwz_web.web.rate_limit_subjects import RESEND_INVITATION
from cwz_web.web.request import Request
from cwz_web.workspaces.access import Access
from cwz_web.workspaces.audit import record
from cwz_web.workspaces.creation import SlugTakenError, create_workspace, suggest_slugs
from cwz_web.workspaces.deletion import GRACE, Deletion, list_deletions
from cwz_web.workspaces.invitations import OpenInvitation, find_open_invitation, list_open_invitations
from cwz_web.workspaces.models import Workspace
from cwz_web.workspaces.tasks import enqueue_invitation

LIST_PAGE = "workspaces/list.jinja2"
NEW_PAGE = "workspaces/new.jinja2"
SETTINGS_PAGE = "workspaces/settings.jinja2"
LIST_NOTICES = {
    "deleted": gettext_noop("Workspace deleted."),
    "invitation": gettext_noop("Invitation sent. Open the link in the email to join."),
}


class WorkspaceForm(Form):
    """A new workspace; without a slug, it is derived from the name."""

    name: Name
    slug: Annotated[Slug | None, BeforeValidator(lambda text: text.strip() or None)] = None


class SettingsForm(Form):
    """Workspace settings."""

    name: Name
    second_factor_required: bool = False
    locale: Annotated[LocaleCode | None, BeforeValidator(lambda text: text.strip() or None)] = None
    currency: OptionalCurrency = None
    time_zone: TimeZoneName | None = None


class InvitationForm(Form):
    """The invitation whose email is sent again."""

    invitation: UUID


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
        name: The name in the form: the submitted one, or a suggestion for the first workspace of a user.
        slug_help: The help text of the slug's field.
        is_first: Whether the user has no workspace yet.
    """

    form: SubmittedForm[WorkspaceForm]
    name: str
    slug_help: str
    is_first: bool


@dataclass(frozen=True)
class SettingsPage:
    """The view model of workspaces/settings.jinja2.

    Attributes:
        requires_second_factor: Whether the check box is ticked.
        restore_days: For how many days a deleted workspace can be restored.
        retention: How long data is kept.
    """

    form: SubmittedForm[SettingsForm]
    requires_second_factor: bool
    locale: str
    currency: str
    time_zone: str
    time_zones: list[str]
    restore_days: int
    retention: list[RetentionPeriod]
    notice: str | None


def _new_page(context: WorkspaceCollection, request: Request, form: SubmittedForm[WorkspaceForm]) -> NewWorkspacePage:
    user = request.user
    first = gettext("%(name)s’s workspace", name=user.account.name)[:MAX_NAME_LENGTH]
    return NewWorkspacePage(
        form,
        name=form.typed.get("name", "" if user.workspaces else first),
        slug_help=gettext(
            "Part of every URL: %(url)s/w/… Leave empty to derive it from the name. It cannot be changed later.",
            url=request.services.settings.url,
        ),
        is_first=not user.workspaces,
    )


def _settings_page(context: WorkspaceResource, request: Request, form: SubmittedForm[SettingsForm]) -> SettingsPage:
    is_ticked = "second_factor_required" in form.typed if form.typed else request.workspace.second_factor_required
    workspace = request.db.get_one(Workspace, request.workspace.workspace_id)
    return SettingsPage(
        form=form,
        requires_second_factor=is_ticked,
        locale=workspace.locale or "",
        currency=workspace.currency or "",
        time_zone=form.typed.get("time_zone", workspace.time_zone),
        time_zones=time_zones(),
        restore_days=GRACE.days,
        retention=list_retention_periods(
            RetentionPolicy.from_settings(request.services.settings), request.workspace.plan_status.plan
        ),
        notice=gettext("Settings saved.") if request.GET.get("done") == "saved" and not form.errors else None,
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
        notice=find_done_notice(request, LIST_NOTICES),
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
    services = request.services
    workspace = _create_workspace(request, form)
    record(request.db, workspace.id, request.actor, "workspace.create", workspace.name)
    # Where a plan limits connections, people choose how to use them; the operator's storage does not count.
    only_included = services.settings.billing.enabled
    connect_ready_storage(request.db, workspace.id, services.ring, services.providers, only_included=only_included)
    return HTTPSeeOther(f"/w/{workspace.slug}/setup")


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
        message = gettext("Turn on two-factor authentication for your own account first")
        raise FieldError("second_factor_required", message)
    workspace = request.db.get_one(Workspace, request.workspace.workspace_id)
    workspace.name = form.name
    workspace.second_factor_required = form.second_factor_required
    workspace.locale, workspace.currency = form.locale, form.currency
    workspace.time_zone = form.time_zone or workspace.time_zone
    request.audit(
        "workspace.settings",
        form.name,
        second_factor_required=form.second_factor_required,
        locale=form.locale,
        currency=form.currency,
        time_zone=workspace.time_zone,
    )
    return HTTPSeeOther(f"{request.path_in('settings')}?done=saved")


def _create_workspace(request: Request, form: WorkspaceForm) -> Workspace:
    """Create a workspace with the chosen slug, or with the first one for its name that is not taken."""
    account = request.user.account
    for slug in [form.slug] if form.slug else suggest_slugs(form.name):
        try:
            return create_workspace(request.db, account, name=form.name, slug=slug)
        except SlugTakenError:
            continue
    raise FieldError("slug", gettext("The URL “%(slug)s” is taken. Choose another one", slug=slug))

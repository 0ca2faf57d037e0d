"""Members, invitations and roles of a workspace."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from pyramid.httpexceptions import HTTPSeeOther
from pyramid.response import Response
from pyramid.security import NO_PERMISSION_REQUIRED
from pyramid.view import view_config

from cwz_web.accounts.models import Account
from cwz_web.billing.plans import PlanLimit, PlanLimitError, check_plan_limit
from cwz_web.generation.api_keys import list_valid_keys_of
from cwz_web.i18n import gettext, gettext_noop, translate_labels
from cwz_web.resources.application import Root
from cwz_web.resources.permissions import PERMISSION_LABELS, ROLE_PERMISSIONS, Permission
from cwz_web.resources.workspace import InvitationResource, MemberCollection, MemberResource
from cwz_web.web.forms import Email, FieldError, Form, SubmittedForm, empty_form, form_view
from cwz_web.web.lists import Filter, ListControls, ListForm, choose_sort, keep_url, list_path, read_list_form
from cwz_web.web.notices import add_notice, find_done_notice
from cwz_web.web.rendering import page_view
from cwz_web.web.request import Request
from cwz_web.workspaces.audit import record
from cwz_web.workspaces.invitations import (
    InvitationError,
    accept_invitation,
    find_invitation,
    invite,
    list_invitations,
    revoke_invitation,
)
from cwz_web.workspaces.members import (
    MEMBER_SORTS,
    LastAdminError,
    Member,
    change_role,
    email_admins,
    end_membership,
    find_member,
    find_members,
    keys_of_former_member,
    remove_member,
)
from cwz_web.workspaces.models import Invitation, Role, Workspace
from cwz_web.workspaces.tasks import enqueue_invitation

PAGE = "members/list.jinja2"
LIST = "members/_list.jinja2"
LEAVE_PAGE = "leave.jinja2"
INVITATION_PAGE = "invitation.jinja2"
LAST_ADMIN = gettext_noop("This is the only admin. Make another member an admin first")
NOTICES = {
    "invited": gettext_noop("Invitation sent."),
    "removed": gettext_noop("Member removed."),
    "revoked": gettext_noop("Invitation revoked."),
}


class MemberListForm(ListForm):
    """Which members are shown."""

    role: Role | Literal[""] = ""


class InviteForm(Form):
    """Email address and role of an invitation."""

    email: Email
    role: Role


class RoleForm(Form):
    """The new role, and the place in the list."""

    role: Role
    list: str = ""


class AcceptForm(Form):
    """The token of the invitation to accept."""

    token: str = ""


MemberPageForm: TypeAlias = SubmittedForm[InviteForm] | SubmittedForm[RoleForm] | SubmittedForm[Form]


@dataclass(frozen=True)
class MemberRow:
    """A member in the list; `initials` are shown in the avatar."""

    member: Member
    initials: str
    path: str
    is_user: bool


@dataclass(frozen=True)
class MemberListPage:
    """The view model of members/list.jinja2 and members/_list.jinja2.

    Attributes:
        is_form_open: Whether the invitation form is open: it has errors.
    """

    form: MemberPageForm
    members: list[MemberRow]
    invitations: list[Invitation]
    roles: list[Role]
    permission_labels: Mapping[Permission, str]
    permissions: Mapping[Role, frozenset[Permission]]
    can_manage: bool
    is_form_open: bool
    notice: str | None
    list: ListControls


@dataclass(frozen=True)
class LeavePage:
    """The view model of leave.jinja2."""

    form: SubmittedForm[Form]


@dataclass(frozen=True)
class InvitationPage:
    """The view model of invitation.jinja2.

    Attributes:
        invitation: The open invitation of the token, or None; `invited_to` and `role` belong to it.
        user_email: The email address of the signed-in user, or None.
        is_for_user: Whether the invitation is for that address.
    """

    form: SubmittedForm[AcceptForm]
    token: str
    invitation: Invitation | None
    invited_to: Workspace | None
    role: Role | None
    user_email: str | None
    is_for_user: bool


def _member_page(context: MemberCollection | MemberResource, request: Request, form: MemberPageForm) -> MemberListPage:
    workspace_id, filters = request.workspace.workspace_id, read_list_form(MemberListForm, request)
    sort = choose_sort(MEMBER_SORTS, filters.sort)
    page = find_members(
        request.db,
        workspace_id,
        search=filters.search,
        role=filters.role or None,
        sort=sort,
        after=filters.after or None,
    )
    roles = {"": gettext("All roles"), **{role.value: role.label for role in Role}}
    controls = ListControls(
        noun="members",
        search=filters.search,
        filters=(Filter("role", gettext("Role"), roles, str(filters.role)),),
        sorts=MEMBER_SORTS,
        sort=sort,
        count=page.count,
        after=str(filters.after),
        next_after=page.next_after,
        placeholder=gettext("Search by name or email…"),
    )
    invitations = list_invitations(request.db, workspace_id)
    return MemberListPage(
        form=form,
        members=[_member_row(request, member) for member in page.rows],
        list=controls,
        invitations=invitations,
        roles=list(Role),
        permission_labels=translate_labels(PERMISSION_LABELS),
        permissions=ROLE_PERMISSIONS,
        can_manage=bool(request.has_permission(Permission.MEMBER_MANAGE)),
        is_form_open=bool(form.errors.keys() & InviteForm.model_fields.keys()),
        notice=find_done_notice(request, NOTICES),
    )


def _member_row(request: Request, member: Member) -> MemberRow:
    account = member.account
    is_user = account.id == request.user.account.id
    return MemberRow(member, initials(account.name), request.path_in("members", account.id), is_user)


def initials(name: str) -> str:
    """Return the first letters of the first and the last word of a name; a question mark if there are none."""
    letters = [letter for word in name.split() if (letter := next(filter(str.isalnum, word), ""))]
    return "".join(letters[:1] + letters[1:][-1:]).upper() or "?"


def _leave_page(context: MemberCollection, request: Request, form: SubmittedForm[Form]) -> LeavePage:
    return LeavePage(form)


def _invitation_page(context: Root, request: Request, form: SubmittedForm[AcceptForm]) -> InvitationPage:
    token = str(request.params.get("token", ""))
    found = find_invitation(request.db, token)
    if found is None and request.method == "GET":
        request.response.status = 404
    invitation, workspace = found or (None, None)
    user_email = request.user.account.email if request.identity else None
    return InvitationPage(
        form=form,
        token=token,
        invitation=invitation,
        invited_to=workspace,
        role=Role(invitation.role) if invitation else None,
        user_email=user_email,
        is_for_user=bool(invitation and user_email and invitation.email.lower() == user_email.lower()),
    )


@page_view(PAGE, LIST, context=MemberCollection, permission=Permission.MEMBER_VIEW)
def member_page(context: MemberCollection, request: Request) -> MemberListPage:
    """Show members, pending invitations and the permissions of each role."""
    page = _member_page(context, request, empty_form())
    keep_url(request, page.list)
    return page


@form_view(
    InviteForm,
    _member_page,
    context=MemberCollection,
    renderer=PAGE,
    permission=Permission.MEMBER_MANAGE,
    rate_limit="invitation",
    requires_recent_auth=True,
)
def invite_member(context: MemberCollection, request: Request, form: InviteForm) -> Response:
    """Invite a person by email."""
    workspace_id = request.workspace.workspace_id
    try:
        check_plan_limit(request.db, request.services.settings, workspace_id, PlanLimit.MEMBERS)
        invitation = invite(request.db, workspace_id, email=form.email, role=form.role, invited_by=request.user.account)
    except (InvitationError, PlanLimitError) as error:
        raise FieldError("email", str(error)) from None
    enqueue_invitation(request.db, invitation)
    request.audit("member.invite", invitation.email, role=invitation.role)
    return _back(request, "invited")


@view_config(
    context=InvitationResource,
    name="resend",
    request_method="POST",
    permission=Permission.MEMBER_MANAGE,
    rate_limit="invitation",
    requires_recent_auth=True,
)
def resend_invitation(context: InvitationResource, request: Request) -> Response:
    """Renew an invitation and resend its email; the previous link becomes invalid."""
    old = context.row
    if old.ended_at is None:
        if not old.is_open:  # an open invitation is already counted
            check_plan_limit(request.db, request.services.settings, old.workspace_id, PlanLimit.MEMBERS)
        renewed = invite(
            request.db,
            old.workspace_id,
            email=old.email,
            role=Role(old.role),
            invited_by=request.user.account,
        )
        enqueue_invitation(request.db, renewed)
        request.audit("member.invite", renewed.email, role=renewed.role)
    return _back(request, "invited")


@view_config(
    context=InvitationResource,
    name="revoke",
    request_method="POST",
    permission=Permission.MEMBER_MANAGE,
    requires_recent_auth=True,
)
def revoke(context: InvitationResource, request: Request) -> Response:
    """Revoke an invitation."""
    revoke_invitation(context.row)
    request.audit("member.invite-revoke", context.row.email)
    return _back(request, "revoked")


@form_view(
    RoleForm,
    _member_page,
    part=LIST,
    context=MemberResource,
    name="role",
    renderer=PAGE,
    permission=Permission.MEMBER_MANAGE,
    requires_recent_auth=True,
)
def change_member_role(context: MemberResource, request: Request, form: RoleForm) -> Response:
    """Change a member's role."""
    member = context.row
    previous_role = member.role
    try:
        change_role(request.db, member.membership, form.role)
    except LastAdminError:
        raise FieldError(str(member.account.id), gettext(LAST_ADMIN)) from None
    path = list_path(request, "members", form.list)
    if form.role == previous_role:
        return HTTPSeeOther(path)
    request.audit("member.role", member.account.email, role=form.role, previous_role=previous_role)
    undo = request.path_in("members", member.account.id, "role")
    text = gettext("%(name)s is now %(role)s.", name=member.account.name, role=form.role.label)
    add_notice(request, text, undo=undo, role=previous_role, list=form.list)
    return HTTPSeeOther(path)


@form_view(
    Form,
    _member_page,
    context=MemberResource,
    name="remove",
    renderer=PAGE,
    permission=Permission.MEMBER_MANAGE,
    requires_recent_auth=True,
)
def remove_from_workspace(context: MemberResource, request: Request, form: Form) -> Response:
    """Remove a member."""
    member = context.row
    try:
        remove_member(request.db, member.membership)
    except LastAdminError:
        raise FieldError(str(member.account.id), gettext(LAST_ADMIN)) from None
    request.audit("member.remove", member.account.email)
    _warn_about_keys(request, member.account)
    return _back(request, "removed")


@view_config(
    context=MemberCollection, name="leave", request_method="GET", renderer=LEAVE_PAGE, permission=Permission.VIEW
)
def leave_page(context: MemberCollection, request: Request) -> LeavePage:
    """Show the confirmation page for leaving."""
    return _leave_page(context, request, empty_form())


@form_view(
    Form,
    _leave_page,
    context=MemberCollection,
    name="leave",
    renderer=LEAVE_PAGE,
    permission=Permission.VIEW,
    requires_recent_auth=True,
)
def leave_workspace(context: MemberCollection, request: Request, form: Form) -> Response:
    """Leave the workspace."""
    account = request.user.account
    member = find_member(request.db, request.workspace.workspace_id, account.id)
    assert member is not None
    try:
        end_membership(request.db, member.membership)
    except LastAdminError:
        raise FieldError("leave", gettext("You are the only admin. Make another member an admin first")) from None
    request.audit("member.leave", account.email)
    _warn_about_keys(request, account)
    return HTTPSeeOther("/")


@view_config(
    context=Root, name="invitation", request_method="GET", renderer=INVITATION_PAGE, permission=NO_PERMISSION_REQUIRED
)
def invitation_page(context: Root, request: Request) -> InvitationPage:
    """Show the invitation of a link."""
    return _invitation_page(context, request, empty_form())


@form_view(
    AcceptForm,
    _invitation_page,
    context=Root,
    name="invitation",
    renderer=INVITATION_PAGE,
    permission=Permission.SIGNED_IN,
    rate_limit="link",
)
def accept(context: Root, request: Request, form: AcceptForm) -> Response:
    """Accept an invitation."""
    found = find_invitation(request.db, form.token)
    if found is None:
        raise FieldError("token", gettext("This invitation is no longer valid"))
    invitation, workspace = found
    account = request.user.account
    try:
        accept_invitation(request.db, invitation, account)
    except InvitationError as error:
        raise FieldError("token", str(error)) from None
    record(request.db, workspace.id, request.actor, "member.join", account.email, {"role": invitation.role})
    return HTTPSeeOther(f"/w/{workspace.slug}")


def _warn_about_keys(request: Request, account: Account) -> None:
    """Email the admins about the API keys that a former member created, and may have kept a copy of."""
    workspace = request.workspace
    keys = list_valid_keys_of(request.db, workspace.workspace_id, account.id)
    if keys:
        url = f"{request.services.settings.url}{request.path_in('keys')}"
        names = [f"{key.name} ({key.prefix}…)" for key in keys]
        email_admins(
            request.db,
            workspace.workspace_id,
            lambda: keys_of_former_member(workspace.name, account.name, names, url),
        )


def _back(request: Request, done: str) -> Response:
    return HTTPSeeOther(f"{request.path_in('members')}?done={done}")

"""Members, invitations and roles of a workspace."""

from typing import Any

from pyramid.httpexceptions import HTTPSeeOther
from pyramid.response import Response
from pyramid.security import NO_PERMISSION_REQUIRED
from pyramid.view import view_config

from cwz_web.billing.plans import PlanLimit, PlanLimitError, check_plan_limit
from cwz_web.resources.application import Root
from cwz_web.resources.permissions import PERMISSION_LABELS, ROLE_PERMISSIONS, Permission
from cwz_web.resources.workspace import InvitationResource, MemberCollection, MemberResource
from cwz_web.web.forms import Email, Filled, Form, empty_form, read_form
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
from cwz_web.workspaces.members import LastAdminError, change_role, find_member, list_members, remove_member
from cwz_web.workspaces.models import Invitation, Role, Workspace
from cwz_web.workspaces.tasks import enqueue_invitation

PAGE = "members.jinja2"
INVITATION = "invitation.jinja2"
LAST_ADMIN = "This is the only admin. Make another member an admin first"
NOTICES = {
    "invited": "Invitation sent.",
    "role": "Role changed.",
    "removed": "Member removed.",
    "revoked": "Invitation revoked.",
}


class InviteForm(Form):
    """Email address and role of an invitation."""

    email: Email
    role: Role


class RoleForm(Form):
    """The new role."""

    role: Role


@view_config(context=MemberCollection, request_method="GET", renderer=PAGE, permission=Permission.MEMBER_VIEW)
def member_page(context: MemberCollection, request: Request) -> dict[str, Any]:
    """Show members, pending invitations and the permissions of each role."""
    return _page(request, empty_form())


@view_config(
    context=MemberCollection,
    request_method="POST",
    renderer=PAGE,
    permission=Permission.MEMBER_MANAGE,
    rate_limit="invitation",
)
def invite_form(context: MemberCollection, request: Request) -> Any:
    """Invite a person by email."""
    form = read_form(InviteForm, request.POST)
    if form.value is not None:
        workspace_id = request.workspace.workspace_id
        try:
            check_plan_limit(request.db, request.services.settings, workspace_id, PlanLimit.MEMBERS)
            invitation = invite(
                request.db,
                workspace_id,
                email=form.value.email,
                role=form.value.role,
                invited_by=request.user.account,
            )
        except (InvitationError, PlanLimitError) as error:
            form = form.with_error("email", str(error))
        else:
            enqueue_invitation(request.db, invitation)
            request.audit("member.invite", invitation.email, role=invitation.role)
            return _back(request, "invited")
    return _again(request, form)


@view_config(
    context=InvitationResource,
    name="resend",
    request_method="POST",
    permission=Permission.MEMBER_MANAGE,
    rate_limit="invitation",
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


@view_config(context=InvitationResource, name="revoke", request_method="POST", permission=Permission.MEMBER_MANAGE)
def revoke(context: InvitationResource, request: Request) -> Response:
    """Revoke an invitation."""
    revoke_invitation(context.row)
    request.audit("member.invite-revoke", context.row.email)
    return _back(request, "revoked")


@view_config(
    context=MemberResource, name="role", request_method="POST", renderer=PAGE, permission=Permission.MEMBER_MANAGE
)
def role_form(context: MemberResource, request: Request) -> Any:
    """Change a member's role."""
    member = context.row
    form = read_form(RoleForm, request.POST)
    if form.value is None:
        return _again(request, form)
    previous_role, role = member.role, form.value.role
    try:
        change_role(request.db, member.membership, role)
    except LastAdminError:
        return _again(request, form.with_error(str(member.account.id), LAST_ADMIN))
    request.audit("member.role", member.account.email, role=role, previous_role=previous_role)
    return _back(request, "role")


@view_config(
    context=MemberResource, name="remove", request_method="POST", renderer=PAGE, permission=Permission.MEMBER_MANAGE
)
def remove_form(context: MemberResource, request: Request) -> Any:
    """Remove a member."""
    member = context.row
    try:
        remove_member(request.db, member.membership)
    except LastAdminError:
        return _again(request, empty_form().with_error(str(member.account.id), LAST_ADMIN))
    request.audit("member.remove", member.account.email)
    return _back(request, "removed")


@view_config(
    context=MemberCollection, name="leave", request_method="GET", renderer="leave.jinja2", permission=Permission.VIEW
)
def leave_page(context: MemberCollection, request: Request) -> dict[str, Any]:
    """Show the confirmation page for leaving."""
    return {"form": empty_form()}


@view_config(
    context=MemberCollection, name="leave", request_method="POST", renderer="leave.jinja2", permission=Permission.VIEW
)
def leave_form(context: MemberCollection, request: Request) -> Any:
    """Leave the workspace."""
    account = request.user.account
    member = find_member(request.db, request.workspace.workspace_id, account.id)
    assert member is not None
    try:
        remove_member(request.db, member.membership)
    except LastAdminError:
        request.response.status = 422
        return {"form": empty_form().with_error("leave", "You are the only admin. Make another member an admin first")}
    request.audit("member.leave", account.email)
    return HTTPSeeOther("/")


@view_config(
    context=Root, name="invitation", request_method="GET", renderer=INVITATION, permission=NO_PERMISSION_REQUIRED
)
def invitation_page(context: Root, request: Request) -> dict[str, Any]:
    """Show the invitation of a link."""
    return _invitation_page(request, empty_form())


@view_config(
    context=Root,
    name="invitation",
    request_method="POST",
    renderer=INVITATION,
    permission=Permission.SIGNED_IN,
    rate_limit="verification",
)
def invitation_form(context: Root, request: Request) -> Any:
    """Accept an invitation."""
    found = find_invitation(request.db, _token(request))
    form = empty_form()
    if found is not None:
        try:
            return HTTPSeeOther(f"/w/{join_workspace(request, *found).slug}")
        except InvitationError as error:
            form = form.with_error("token", str(error))
    request.response.status = 422
    return _invitation_page(request, form)


def join_workspace(request: Request, invitation: Invitation, workspace: Workspace) -> Workspace:
    """Add the signed-in user as a member. Raises InvitationError."""
    account = request.user.account
    accept_invitation(request.db, invitation, account)
    record(request.db, workspace.id, request.actor, "member.join", account.email, {"role": invitation.role})
    return workspace


def _invitation_page(request: Request, form: Filled[Any]) -> dict[str, Any]:
    found = find_invitation(request.db, _token(request))
    if found is None and request.method == "GET":
        request.response.status = 404
    invitation, workspace = found or (None, None)
    return {
        "form": form,
        "token": _token(request),
        "invitation": invitation,
        "invited_to": workspace,
        "role": Role(invitation.role) if invitation else None,
    }


def _token(request: Request) -> str:
    return str(request.params.get("token", ""))


def _back(request: Request, done: str) -> Response:
    return HTTPSeeOther(f"{request.path_in('members')}?done={done}")


def _again(request: Request, form: Filled[Any]) -> dict[str, Any]:
    request.response.status = 422
    return _page(request, form)


def _page(request: Request, form: Filled[Any]) -> dict[str, Any]:
    workspace_id = request.workspace.workspace_id
    return {
        "form": form,
        "members": list_members(request.db, workspace_id),
        "invitations": list_invitations(request.db, workspace_id),
        "roles": list(Role),
        "words": PERMISSION_LABELS,
        "permissions": ROLE_PERMISSIONS,
        "news": NOTICES.get(request.GET.get("done", "")),
    }

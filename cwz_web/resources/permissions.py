"""Permissions: what a view can require, and which role or API-key scope grants it."""

from enum import StrEnum
from uuid import UUID

from cwz_web.generation.api_keys import Scope
from cwz_web.i18n import gettext_noop
from cwz_web.workspaces.models import Role


class Permission(StrEnum):
    """What a view can require."""

    SESSION = "session"
    SIGNED_IN = "signed-in"
    GENERATE = "image.generate"
    API_READ = "api.read"
    API_FEEDS_WRITE = "api.feeds.write"
    API_IMAGES_WRITE = "api.images.write"
    API_UPLOADS_WRITE = "api.uploads.write"
    API_BRAND_WRITE = "api.brand.write"
    API_TEMPLATES_WRITE = "api.templates.write"
    API_CAMPAIGNS_WRITE = "api.campaigns.write"
    API_LAYERS_OVERRIDE = "api.layers.override"
    VIEW = "workspace.view"
    FEED_EDIT = "feed.edit"
    TEMPLATE_EDIT = "template.edit"
    COMMENT = "template.comment"
    COMMENT_MANAGE = "template.comment_manage"
    CAMPAIGN_EDIT = "campaign.edit"
    CAMPAIGN_APPROVE = "campaign.approve"
    RUN_START = "run.start"
    RUN_RETRY = "run.retry"
    IMAGE_DELETE = "image.delete"
    KEY_MANAGE = "key.manage"
    REQUEST_LOG_VIEW = "request_log.view"
    WEBHOOK_VIEW = "webhook.view"
    WEBHOOK_MANAGE = "webhook.manage"
    MEMBER_VIEW = "member.view"
    MEMBER_MANAGE = "member.manage"
    AUDIT_VIEW = "audit.view"
    STORAGE_VIEW = "storage.view"
    STORAGE_MANAGE = "storage.manage"
    SETTINGS_MANAGE = "settings.manage"
    BILLING_MANAGE = "billing.manage"
    DELETE = "workspace.delete"
    OPERATE = "operate"


P = Permission
SCOPE_PERMISSIONS: dict[Scope, Permission] = {
    Scope.GENERATE: P.GENERATE,
    Scope.READ: P.API_READ,
    Scope.FEEDS_WRITE: P.API_FEEDS_WRITE,
    Scope.IMAGES_WRITE: P.API_IMAGES_WRITE,
    Scope.UPLOADS_WRITE: P.API_UPLOADS_WRITE,
    Scope.BRAND_WRITE: P.API_BRAND_WRITE,
    Scope.TEMPLATES_WRITE: P.API_TEMPLATES_WRITE,
    Scope.CAMPAIGNS_WRITE: P.API_CAMPAIGNS_WRITE,
    Scope.LAYERS_OVERRIDE: P.API_LAYERS_OVERRIDE,
}
API_PERMISSIONS = frozenset(SCOPE_PERMISSIONS.values())
# The permissions that a role can have, as the members page lists them.
PERMISSION_LABELS: dict[Permission, str] = {
    P.VIEW: gettext_noop("View feeds, templates, runs, images, uploads and the brand"),
    P.FEED_EDIT: gettext_noop("Add and edit feeds"),
    P.TEMPLATE_EDIT: gettext_noop("Edit templates, uploads and the brand"),
    P.COMMENT: gettext_noop("Comment on templates"),
    P.COMMENT_MANAGE: gettext_noop("Delete comments of other members"),
    P.RUN_START: gettext_noop("Start runs"),
    P.CAMPAIGN_EDIT: gettext_noop("Add and edit campaigns"),
    P.CAMPAIGN_APPROVE: gettext_noop("Approve, publish and restore publications"),
    P.IMAGE_DELETE: gettext_noop("Delete images"),
    P.RUN_RETRY: gettext_noop("Retry failed runs and imports"),
    P.MEMBER_VIEW: gettext_noop("View members"),
    P.AUDIT_VIEW: gettext_noop("View the activity log"),
    P.STORAGE_VIEW: gettext_noop("View and test storage connections"),
    P.MEMBER_MANAGE: gettext_noop("Invite and remove members, change roles"),
    P.REQUEST_LOG_VIEW: gettext_noop("View the requests to the API"),
    P.WEBHOOK_VIEW: gettext_noop("View webhooks and resend deliveries"),
    P.KEY_MANAGE: gettext_noop("Create and revoke API keys"),
    P.WEBHOOK_MANAGE: gettext_noop("Add webhooks and rotate their secrets"),
    P.STORAGE_MANAGE: gettext_noop("Connect storage and shops, and replace their credentials"),
    P.SETTINGS_MANAGE: gettext_noop("Change workspace settings"),
    P.BILLING_MANAGE: gettext_noop("View and change the plan and invoices"),
    P.DELETE: gettext_noop("Export or delete the workspace"),
}
ROLE_PERMISSIONS: dict[Role, frozenset[Permission]] = {
    Role.ADMIN: frozenset(PERMISSION_LABELS),
    Role.SUPPORT: frozenset(
        {
            P.VIEW,
            P.COMMENT,
            P.RUN_RETRY,
            P.MEMBER_VIEW,
            P.AUDIT_VIEW,
            P.STORAGE_VIEW,
            P.REQUEST_LOG_VIEW,
            P.WEBHOOK_VIEW,
        }
    ),
    Role.USER: frozenset(
        {
            P.VIEW,
            P.COMMENT,
            P.FEED_EDIT,
            P.TEMPLATE_EDIT,
            P.RUN_START,
            P.IMAGE_DELETE,
            P.CAMPAIGN_EDIT,
            P.CAMPAIGN_APPROVE,
        }
    ),
}
# What remains when a plan is unpaid: view, pay, export and delete.
READ_ONLY_PERMISSIONS = frozenset(
    {
        P.VIEW,
        P.MEMBER_VIEW,
        P.AUDIT_VIEW,
        P.STORAGE_VIEW,
        P.REQUEST_LOG_VIEW,
        P.WEBHOOK_VIEW,
        P.API_READ,
        P.BILLING_MANAGE,
        P.DELETE,
    }
)


# The principal of every session, also of one that an identity provider started: it has no access to the account.
SESSION_PRINCIPAL = "system.Session"


def member_principal(workspace_id: UUID, role: Role) -> str:
    """Return the principal of a member; an identity carries one per workspace, so an ACL costs no query."""
    return f"workspace:{workspace_id}:{role}"


def api_principal(workspace_id: UUID) -> str:
    """Return the principal of a workspace's API keys."""
    return f"api:{workspace_id}"

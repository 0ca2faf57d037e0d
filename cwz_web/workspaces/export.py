"""Export of a user's personal data, without hashes and secrets."""

from typing import Any

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from cwz_web.accounts.google import list_identities
from cwz_web.accounts.models import Account, LoginSession, account_columns
from cwz_web.accounts.passkeys import list_passkeys
from cwz_web.accounts.second_factor import count_recovery_codes
from cwz_web.db.session import enter_workspace
from cwz_web.workspaces.access import Access, list_workspaces
from cwz_web.workspaces.models import AuditEntry, ProviderIdentity

# A text query instead of the model, since templates depend on this package.
_COMMENTS = text(
    "SELECT c.created_at, t.name, c.layer, c.text FROM template_comments c"
    " JOIN templates t ON t.workspace_id = c.workspace_id AND t.id = c.template_id"
    " WHERE c.workspace_id = :workspace AND c.author_id = :account ORDER BY c.id"
)


def export_account(db: Session, account: Account) -> dict[str, Any]:
    """Return the account, its sessions and credentials, and its workspaces with the audit entries in each."""
    sessions = db.scalars(
        select(LoginSession).where(LoginSession.account_id == account.id).order_by(LoginSession.created_at)
    )
    return {
        "account": {**account_columns(account), "recovery_codes_left": count_recovery_codes(db, account)},
        "google": [
            {"subject": identity.subject, "email": identity.email, "linked_at": identity.created_at}
            for identity in list_identities(db, account)
        ],
        "passkeys": [
            {"name": passkey.name, "added_at": passkey.created_at, "last_used_at": passkey.last_used_at}
            for passkey in list_passkeys(db, account)
        ],
        "sessions": [
            {
                "at": session.created_at,
                "method": session.method,
                "last_seen_at": session.last_seen_at,
                "ended_at": session.ended_at,
                "ip_address": session.ip_address,
                "browser": session.user_agent,
            }
            for session in sessions
        ],
        "workspaces": [_export_workspace(db, account, access) for access in list_workspaces(db, account.id)],
    }


def _export_workspace(db: Session, account: Account, access: Access) -> dict[str, Any]:
    enter_workspace(db, access.workspace_id)
    entries = db.scalars(
        select(AuditEntry)
        .where(AuditEntry.workspace_id == access.workspace_id, AuditEntry.actor_id == account.id)
        .order_by(AuditEntry.number)
    )
    identities = db.scalars(
        select(ProviderIdentity)
        .where(ProviderIdentity.workspace_id == access.workspace_id, ProviderIdentity.account_id == account.id)
        .order_by(ProviderIdentity.created_at)
    )
    return {
        "slug": access.slug,
        "name": access.name,
        "role": access.role,
        "single_sign_on": [
            {
                "issuer": identity.issuer,
                "subject": identity.subject,
                "email": identity.email,
                "linked_at": identity.created_at,
            }
            for identity in identities
        ],
        "comments": [
            {"at": comment.created_at, "template": comment.name, "layer": comment.layer, "text": comment.text}
            for comment in db.execute(_COMMENTS, {"workspace": access.workspace_id, "account": account.id})
        ],
        "activity": [
            {
                "at": entry.at,
                "action": entry.action,
                "target": entry.target,
                "details": entry.details,
                "ip_address": entry.ip_address,
            }
            for entry in entries
        ],
    }

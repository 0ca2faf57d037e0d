"""Conflicts of two requests at once: what a violated constraint of the database means to users.

Views check for duplicates first, and say so at the field. Of two requests that do so at the same moment, the database
refuses the second one; its answer is here, in one place for all views.
"""

import psycopg
from sqlalchemy.exc import IntegrityError

from cwz_web.web.problems import ProblemError

# By the name of a unique constraint or index; tests/functional/test_conflicts.py compares them with the database.
CONFLICTS = {
    "pk_external_identities": "This Google account was just linked. Reload the page",
    "pk_feed_sources": "A source was just added to this feed. Reload the page",
    "pk_item_versions": "Another import changed this feed. Try again",
    "pk_identity_providers": "Single sign-on was just set up. Reload the page",
    "pk_items": "Another import changed this feed. Try again",
    "pk_memberships": "This person is already a member. Reload the page",
    "pk_provider_identities": "You were just signed in by another request. Sign in again",
    "pk_removed_members": "This member was just removed. Reload the page",
    "pk_slack_links": "Slack was just connected. Reload the page",
    "pk_subscriptions": "The workspace already has a subscription. Reload the page",
    "pk_template_steps": "This template was changed in another window. Reload the page",
    "pk_tombstones": "This was just deleted",
    "pk_used_challenges": "This was used before. Try again",
    "uq_accounts_email_lower": "This email address was just taken by another account. Use another one, or sign in",
    "uq_auto_runs_workspace_id_feed_id_template_id": "Automatic runs were just set up. Reload the page",
    "uq_connections_default": "Another connection was just made the default. Reload the page",
    "uq_email_domains_verified": "Another workspace has just verified this domain. Remove it there first",
    "uq_email_domains_workspace_id_domain": "This domain was just added. Reload the page",
    "uq_feed_imports_workspace_id_feed_id_number": "Another import of this feed was just started. Try again",
    "uq_images_workspace_id_digest": "This image was just rendered. Try again",
    "uq_invitations_open": "This person was just invited. Reload the page",
    "uq_items_workspace_id_feed_id_key": "An item with this key was just added. Try again",
    "uq_passkeys_credential_id": "This passkey was just added. Reload the page",
    "uq_subscriptions_customer": "The workspace already has a subscription. Reload the page",
    "uq_template_versions_workspace_id_template_id_number": "This template was just published. Reload the page",
    "uq_templates_workspace_id_slug": "A template with this name was just added. Reload the page",
    "uq_tokens_account_id_purpose": "An email was just requested. Try again",
    "uq_workspaces_slug": "A workspace with this URL was just created. Choose another one",
}
CHANGED = "This was changed or deleted at the same moment. Reload the page and try again"


def conflict_of(error: IntegrityError | psycopg.IntegrityError) -> ProblemError | None:
    """Return the answer to a violated unique or foreign key; None for other constraints, which are our mistake."""
    cause = error.orig if isinstance(error, IntegrityError) else error
    if isinstance(cause, psycopg.errors.UniqueViolation):
        return ProblemError(409, "conflict", CONFLICTS.get(cause.diag.constraint_name or "", CHANGED))
    if isinstance(cause, psycopg.errors.ForeignKeyViolation):
        return ProblemError(409, "conflict", CHANGED)
    return None

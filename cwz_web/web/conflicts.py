"""Conflicts of two requests at once: what a violated constraint of the database means to users.

Views check for duplicates first, and say so at the field. Of two requests that do so at the same moment, the database
refuses the second one; its answer is here, in one place for all views.
"""

import psycopg
from sqlalchemy.exc import IntegrityError

from cwz_web.i18n import gettext, gettext_noop
from cwz_web.web.problems import ProblemError

# By the name of a unique constraint or index; tests/functional/test_conflicts.py compares them with the database.
CONFLICTS = {
    "pk_external_identities": gettext_noop("This Google account was just linked. Reload the page"),
    "pk_feed_sources": gettext_noop("A source was just added to this feed. Reload the page"),
    "pk_item_versions": gettext_noop("Another import changed this feed. Try again"),
    "pk_identity_providers": gettext_noop("Single sign-on was just set up. Reload the page"),
    "pk_items": gettext_noop("Another import changed this feed. Try again"),
    "pk_memberships": gettext_noop("This person is already a member. Reload the page"),
    "pk_provider_identities": gettext_noop("You were just signed in by another request. Sign in again"),
    "pk_removed_members": gettext_noop("This member was just removed. Reload the page"),
    "pk_slack_links": gettext_noop("Slack was just connected. Reload the page"),
    "pk_subscriptions": gettext_noop("The workspace already has a subscription. Reload the page"),
    "pk_template_steps": gettext_noop("This template was changed in another window. Reload the page"),
    "pk_tombstones": gettext_noop("This was just deleted"),
    "pk_used_challenges": gettext_noop("This was used before. Try again"),
    "uq_accounts_email_lower": gettext_noop(
        "This email address was just taken by another account. Use another one, or sign in"
    ),
    "uq_auto_runs_workspace_id_feed_id_template_id": gettext_noop("Automatic runs were just set up. Reload the page"),
    "uq_connections_default": gettext_noop("Another connection was just made the default. Reload the page"),
    "uq_email_domains_verified": gettext_noop("Another workspace has just verified this domain. Remove it there first"),
    "uq_email_domains_workspace_id_domain": gettext_noop("This domain was just added. Reload the page"),
    "uq_feed_imports_workspace_id_feed_id_number": gettext_noop(
        "Another import of this feed was just started. Try again"
    ),
    "uq_images_workspace_id_digest": gettext_noop("This image was just rendered. Try again"),
    "uq_invitations_open": gettext_noop("This person was just invited. Reload the page"),
    "uq_items_workspace_id_feed_id_key": gettext_noop("An item with this key was just added. Try again"),
    "uq_passkeys_credential_id": gettext_noop("This passkey was just added. Reload the page"),
    "uq_subscriptions_customer": gettext_noop("The workspace already has a subscription. Reload the page"),
    "uq_template_versions_workspace_id_template_id_number": gettext_noop(
        "This template was just published. Reload the page"
    ),
    "uq_templates_workspace_id_slug": gettext_noop("A template with this name was just added. Reload the page"),
    "uq_tokens_account_id_purpose": gettext_noop("An email was just requested. Try again"),
    "uq_workspaces_slug": gettext_noop("A workspace with this URL was just created. Choose another one"),
}
CHANGED = gettext_noop("This was changed or deleted at the same moment. Reload the page and try again")


def conflict_of(error: IntegrityError | psycopg.IntegrityError) -> ProblemError | None:
    """Return the answer to a violated unique or foreign key; None for other constraints, which are our mistake."""
    cause = error.orig if isinstance(error, IntegrityError) else error
    if isinstance(cause, psycopg.errors.UniqueViolation):
        return ProblemError(409, "conflict", gettext(CONFLICTS.get(cause.diag.constraint_name or "", CHANGED)))
    if isinstance(cause, psycopg.errors.ForeignKeyViolation):
        return ProblemError(409, "conflict", gettext(CHANGED))
    return None

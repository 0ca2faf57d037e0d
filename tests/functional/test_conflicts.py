"""Two requests at once: every unique key has an answer, and requests that race for one do not fail with 500."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from pyramid.router import Router
from sqlalchemy import event, text
from sqlalchemy.exc import IntegrityError, NoResultFound
from sqlalchemy.orm import Session
from sqlalchemy.orm.exc import StaleDataError
from webtest import TestApp

from cwz_web.db.session import Database
from cwz_web.ops.exports import ExportPendingError, request_export
from cwz_web.ops.models import Export
from cwz_web.web.conflicts import CHANGED, CONFLICTS, conflict_of
from cwz_web.workspaces.invitations import create_token, invite
from cwz_web.workspaces.members import find_member, remove_member
from cwz_web.workspaces.models import Invitation, Membership, Role
from tests.factories import Factory, sign_in
from tests.functional.test_access import all_pages

# Unique keys that no two requests can hit with one value, each with its reason.
NO_CONFLICT = {
    "uq_api_keys_digest": "of a random key",
    "uq_template_links_digest": "of a random token",
    "uq_invitations_digest": "of a random token",
    "uq_tokens_digest": "of a random token",
    "pk_recovery_codes": "of random codes",
    "pk_audit_entries": "an advisory lock serializes the numbers",
    "pk_backups": "only jobs write it, ON CONFLICT DO NOTHING",
    "pk_billing_records": "upsert",
    "pk_idempotency_keys": "upsert",
    "pk_usage": "upsert",
    "pk_usage_days": "upsert",
    "pk_image_totals": "upsert",
    "pk_processed_photos": "upsert",
    "pk_brands": "ON CONFLICT DO NOTHING",
    "pk_render_messages": "ON CONFLICT DO NOTHING",
    "pk_stripe_events": "ON CONFLICT DO NOTHING",
    "pk_sort_index": "only jobs write it, under the feed's lock",
    "pk_file_parts": "belongs to a new import",
    "pk_invalid_rows": "belongs to a new import",
    "pk_added_rows": "belongs to a new import",
    "pk_campaign_rows": "written under the campaign's advisory lock",
    "pk_publication_rows": "written under the campaign's advisory lock",
    "pk_publication_changes": "written under the campaign's advisory lock",
    "pk_feed_fetches": "upsert",
    "pk_shop_products": "upsert",
    "pk_leaving_images": "ON CONFLICT DO NOTHING",
    "uq_publications_workspace_id_campaign_id_number": "created under the campaign's advisory lock",
    "pk_run_items": "belongs to a new run",
    "uq_uploads_workspace_id_digest": "an advisory lock serializes uploads",
}
IMPORTS = {
    "FeedCollection/new", "FeedCollection/connect", "FeedResource/import", "FeedResource/apply", "FeedResource/url",
    "FeedResource/columns", "WorkspaceResource/setup-feed", "ApiFeedCollection/", "ApiFeedImportCollection/",
    "FeedCollection/connect-source", "FeedResource/connection",
}  # fmt: skip
ROW_WRITES = {"ApiFeed/remove", "ApiFeedItem/", "ApiFeedItemCollection/"}
NEW_TEMPLATES = {
    "TemplateCollection/new", "TemplateCollection/import", "TemplateResource/duplicate", "TemplateResource/restore",
}  # fmt: skip
REPLACEMENTS = {"UploadResource/replace", "UploadResource/undo-replace"}
PUBLISHING = {"TemplateResource/publish", "TemplateResource/document", "TemplateResource/versions"} | REPLACEMENTS
NEW_IMAGES = {"ApiImageCollection/", "HooksRoot/render"}
USES_OF_PASSKEYS = {
    "PasskeyCollection/",
    "SignInRoot/passkey",
    "SignInRoot/code-passkey",
    "AccountRoot/prove-passkey",
}
# The views that can hit a key when two requests race.
VIEWS = {
    "pk_external_identities": {"GoogleSignIn/callback", "SignInRoot/", "SignInRoot/code", "SignInRoot/link"},
    "pk_feed_sources": {"FeedCollection/connect", "FeedCollection/connect-source", "ApiFeedCollection/"},
    "pk_item_versions": IMPORTS | ROW_WRITES,
    "pk_identity_providers": {"SingleSignOnSettings/"},
    "pk_items": IMPORTS | ROW_WRITES,
    "pk_memberships": {"Root/invitation", "WorkspaceSignOn/callback"},
    "pk_provider_identities": {"WorkspaceSignOn/callback"},
    "pk_removed_members": {"MemberResource/remove"},
    "pk_slack_links": {"SlackCallback/callback"},
    "pk_subscriptions": {"BillingResource/", "HooksRoot/stripe"},
    "pk_template_steps": {"TemplateResource/design", "TemplateResource/upload"} | REPLACEMENTS,
    "pk_used_challenges": USES_OF_PASSKEYS,
    "pk_tombstones": {"WorkspaceResource/delete", "AccountRoot/delete"},
    "uq_accounts_email_lower": {"Root/signup", "Root/email", "GoogleSignIn/callback", "WorkspaceSignOn/callback"},
    "uq_auto_runs_workspace_id_feed_id_template_id": {"RunResource/auto-run"},
    "uq_connections_default": {
        "ConnectionCollection/new",
        "ConnectionResource/default",
        "WorkspaceResource/setup-storage",
    },
    "uq_email_domains_verified": {"EmailDomainResource/verify"},
    "uq_email_domains_workspace_id_domain": {"EmailDomainCollection/"},
    "uq_feed_imports_workspace_id_feed_id_number": IMPORTS,
    "uq_images_workspace_id_digest": NEW_IMAGES,
    "uq_invitations_open": {"MemberCollection/"},
    "uq_items_workspace_id_feed_id_key": IMPORTS | ROW_WRITES,
    "uq_passkeys_credential_id": {"PasskeyCollection/"},
    "uq_subscriptions_customer": {"BillingResource/", "HooksRoot/stripe"},
    "uq_template_versions_workspace_id_template_id_number": PUBLISHING | NEW_TEMPLATES,
    "uq_templates_workspace_id_slug": NEW_TEMPLATES,
    "uq_tokens_account_id_purpose": {"Root/forgot", "Root/resend", "Root/signup", "AccountRoot/email"},
    "uq_workspaces_slug": {"WorkspaceCollection/new", "WorkspaceResource/settings"},
}
UNIQUE_KEYS = text(
    """
    SELECT index.relname FROM pg_index
    JOIN pg_class index ON index.oid = indexrelid
    JOIN pg_class rel ON rel.oid = indrelid
    WHERE indisunique AND rel.relnamespace = 'public'::regnamespace
      AND rel.relname NOT LIKE 'procrastinate%' AND rel.relname <> 'alembic_version'
      -- a primary key that is a random id, alone or in its workspace
      AND NOT (indisprimary AND pg_get_indexdef(indexrelid) ~ '\\((workspace_id, )?id\\)'
               AND (SELECT atttypid FROM pg_attribute WHERE attrelid = indrelid AND attname = 'id') = 'uuid'::regtype)
    """
)


def test_every_unique_key_has_an_answer(database: Database) -> None:
    with database.transaction() as db:
        keys = set(db.scalars(UNIQUE_KEYS))
    # A tombstone has the id of what was deleted.
    assert keys | {"pk_tombstones"} == CONFLICTS.keys() | NO_CONFLICT.keys()
    assert not CONFLICTS.keys() & NO_CONFLICT.keys()


def test_views_of_each_key_exist(wsgi_paid: Router) -> None:
    names = {f"{page.context.__name__}/{page.name}" for page in all_pages(wsgi_paid)}
    assert VIEWS.keys() == CONFLICTS.keys()
    assert set().union(*VIEWS.values()) - names == set()


@pytest.mark.parametrize("name", [*CONFLICTS, "uq_of_a_later_migration"])
def test_violation_of_a_unique_key_is_a_conflict(database: Database, name: str) -> None:
    violation = text(f"DO $$ BEGIN RAISE unique_violation USING CONSTRAINT = '{name}'; END $$")
    with pytest.raises(IntegrityError) as caught, database.transaction() as db:
        db.execute(violation)
    problem = conflict_of(caught.value)
    assert problem is not None
    assert (problem.status, problem.code, problem.detail) == (409, "conflict", CONFLICTS.get(name, CHANGED))


@pytest.mark.parametrize(("condition", "status"), [("foreign_key_violation", 409), ("check_violation", None)])
def test_other_violations(database: Database, condition: str, status: int | None) -> None:
    with pytest.raises(IntegrityError) as caught, database.transaction() as db:
        db.execute(text(f"DO $$ BEGIN RAISE {condition}; END $$"))
    problem = conflict_of(caught.value)
    assert (problem and problem.status) == status


@contextmanager
def rival(action: Callable[[], object]) -> Iterator[None]:
    """Let another transaction commit after the checks of the next one, and before it writes."""
    pending = [action]

    def interfere(*_: object) -> None:
        if pending:
            pending.pop()()

    event.listen(Session, "before_flush", interfere)
    try:
        yield
        assert not pending
    finally:
        event.remove(Session, "before_flush", interfere)


def test_two_invitations_at_once(app: TestApp, make: Factory) -> None:
    space = make.workspace()
    admin = make.member(space)
    sign_in(app, admin)
    form = next(form for form in app.get(f"/w/{space.slug}/members").forms.values() if "email" in form.fields)

    def invite_too() -> None:
        with make.database.transaction(space.id) as db:
            invite(db, space.id, email="new@example.org", role=Role.USER, invited_by=admin)

    form["email"] = "New@example.org"
    with rival(invite_too):
        page = form.submit(status=409)
    assert page.html.h1.text == CONFLICTS["uq_invitations_open"]
    assert make.count(Invitation, space.id) == 1


def test_two_acceptances_at_once(app: TestApp, make: Factory) -> None:
    """With the link, and as the member that an admin has added in between."""
    space = make.workspace()
    invited = make.account()
    with make.database.transaction(space.id) as db:
        token = create_token(invite(db, space.id, email=invited.email, role=Role.USER, invited_by=make.member(space)))
    sign_in(app, invited)
    form = next(form for form in app.get(f"/invitation?token={token}").forms.values() if "token" in form.fields)

    def join() -> None:
        with make.database.transaction(space.id) as db:
            db.add(Membership(workspace_id=space.id, account_id=invited.id, role=Role.USER))

    with rival(join):
        page = form.submit(status=409)
    assert page.html.h1.text == CONFLICTS["pk_memberships"]


def test_leaving_while_being_removed(make: Factory) -> None:
    space = make.workspace()
    make.member(space)
    leaving = make.member(space)
    with make.database.transaction(space.id) as first:
        seen = find_member(first, space.id, leaving.id)
        with make.database.transaction(space.id) as second:
            removed = find_member(second, space.id, leaving.id)
            assert seen
            assert removed
            remove_member(second, removed.membership)
        with pytest.raises(StaleDataError):
            remove_member(first, seen.membership)


@pytest.mark.parametrize(("error", "status"), [(StaleDataError(), 409), (NoResultFound(), 404)])
def test_row_that_was_deleted_meanwhile(
    app: TestApp, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr("cwz_web.views.sign_in.empty_form", fail)
    assert app.get("/signin", status=status).html.h1.text == (CHANGED if status == 409 else "Page not found")


def test_one_export_at_a_time(make: Factory) -> None:
    space = make.workspace()
    admin = make.member(space)

    def export() -> None:
        with make.database.transaction(space.id) as db:
            request_export(db, space.id, admin.id, with_images=False)

    with ThreadPoolExecutor(4) as pool:
        outcomes = [pool.submit(export) for _ in range(8)]
    errors = [outcome.exception() for outcome in outcomes]
    assert errors.count(None) == 1
    assert {type(error) for error in errors if error} == {ExportPendingError}
    assert make.count(Export, space.id) == 1

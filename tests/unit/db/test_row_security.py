"""Row-level security: its policies in the catalog, and queries without any filter of the application."""

from datetime import UTC, datetime

import pytest
from sqlalchemy import create_engine, select, text
from sqlalchemy.exc import DBAPIError, ProgrammingError
from sqlalchemy.orm import Session

from cwz_web.accounts.models import Account
from cwz_web.billing.models import BillingRecord, Subscription
from cwz_web.billing.stripe_api import BillingEntry
from cwz_web.campaigns.models import CampaignRow, LeavingImage, PublicationChange, PublicationRow
from cwz_web.channels.models import FeedFetch
from cwz_web.db.base import Base
from cwz_web.feeds.imports import list_imports
from cwz_web.feeds.models import AddedRow, Feed, Item
from cwz_web.feeds.row_writes import put_items
from cwz_web.feeds.sort_index import build_sort_index
from cwz_web.generation.brand import save_brand
from cwz_web.generation.comments import add_comment
from cwz_web.generation.drafts import save_draft
from cwz_web.generation.models import ApiKey, ApiRequest, IdempotencyKey, Template
from cwz_web.generation.photo_processing import Processing, record_processings
from cwz_web.generation.template_links import create_link
from cwz_web.generation.templates import load_design
from cwz_web.generation.usage import Quota, count
from cwz_web.imaging.brand import NO_BRAND
from cwz_web.notify.models import SlackLink, Webhook
from cwz_web.notify.webhooks import Event, emit
from cwz_web.ops.models import Export
from cwz_web.runs.auto_runs import start_auto_run
from cwz_web.runs.image_deletion import delete_images
from cwz_web.runs.models import Run
from cwz_web.shops.models import ShopProduct
from cwz_web.web.services import Services
from cwz_web.workspaces.audit import Actor, record
from cwz_web.workspaces.invitations import invite
from cwz_web.workspaces.models import EmailDomain, IdentityProvider, ProviderIdentity, RemovedMember, Role, Workspace
from tests.factories import Factory

PROTECTED_TABLES = """
    SELECT c.relname, c.relrowsecurity, c.relforcerowsecurity,
           (SELECT array_agg(pg_get_expr(p.polqual, p.polrelid)) FROM pg_policy p
            WHERE p.polrelid = c.oid AND p.polname = 'tenant' AND p.polpermissive AND p.polcmd = '*') AS reads,
           (SELECT array_agg(pg_get_expr(p.polwithcheck, p.polrelid)) FROM pg_policy p
            WHERE p.polrelid = c.oid AND p.polname = 'tenant') AS writes
    FROM pg_class c WHERE c.relkind IN ('r', 'p') AND c.relnamespace = 'public'::regnamespace
      AND (c.relname = 'workspaces' OR EXISTS (
          SELECT 1 FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'workspace_id' AND NOT a.attisdropped))
"""


def test_every_table_of_a_workspace_has_the_tenant_policy(services: Services) -> None:
    with services.database.transaction() as db:
        tables = db.execute(text(PROTECTED_TABLES)).all()
    mapped = {table.name for table in Base.metadata.tables.values() if "workspace_id" in table.columns} | {"workspaces"}
    assert {table.relname for table in tables} == mapped
    for table in tables:
        column = "id" if table.relname == "workspaces" else "workspace_id"
        expected = f"({column} = (NULLIF(current_setting('cwz.workspace_id'::text, true), ''::text))::uuid)"
        assert table.relrowsecurity, table.relname
        assert table.relforcerowsecurity, table.relname
        assert table.reads == table.writes == [expected], table.relname


def test_other_policies_are_for_the_owner_only(services: Services) -> None:
    query = """SELECT polrelid::regclass::text, polname, polcmd, polroles::regrole[]::text[] AS roles
               FROM pg_policy WHERE polname NOT IN ('tenant', 'backup')"""
    with services.database.transaction() as db:
        others = {row.polrelid: row for row in db.execute(text(query))}
    assert set(others) == {
        "workspaces",
        "memberships",
        "templates",
        "api_keys",
        "invitations",
        "connections",
        "feeds",
        "feed_sources",
        "runs",
        "run_items",
        "subscriptions",
        "slack_links",
        "billing_records",
        "campaigns",
        "exports",
        "identity_providers",
        "email_domains",
        "template_links",
        "shops",
        "shop_products",
    }
    # A function of the owner deletes billing records after seven years.
    retention = others.pop("billing_records")
    assert (retention.polname, retention.polcmd, retention.roles) == ("retention", "*", ["cwz_owner"])
    assert all(
        (row.polname, row.polcmd, row.roles) == ("cross_workspace", "r", ["cwz_owner"]) for row in others.values()
    )


def test_backup_session_opens_all_rows_to_the_owner_only(make: Factory) -> None:
    fill(make, make.workspace())
    policies = """SELECT c.relname, p.polcmd, p.polroles::regrole[]::text[] AS roles FROM pg_class c
                    LEFT JOIN pg_policy p ON p.polrelid = c.oid AND p.polname = 'backup'
                    WHERE c.relforcerowsecurity"""
    with make.database.transaction() as db:
        for table in db.execute(text(policies)):
            assert (table.polcmd, table.roles) == ("r", ["cwz_owner"]), table.relname
        db.execute(text("SELECT set_config('cwz.backup_session', 'on', true)"))
        for table in (table for table in Base.metadata.sorted_tables if "workspace_id" in table.columns):
            assert db.execute(select(table)).all() == [], table.name


def test_application_role_cannot_bypass_row_security(services: Services) -> None:
    with services.database.transaction() as db:
        role = db.execute(
            text("SELECT rolsuper, rolbypassrls, rolcreaterole, rolcreatedb FROM pg_roles WHERE rolname = current_user")
        ).one()
        owned = db.scalar(
            text(
                "SELECT count(*) FROM pg_class"
                " WHERE relowner = current_user::regrole AND relnamespace = 'public'::regnamespace"
            )
        )
        member = db.scalar(text("SELECT pg_has_role('cwz_owner', 'MEMBER')"))
    assert not any(role)
    assert owned == 0
    assert member is False


def test_tables_are_empty_without_a_workspace(make: Factory) -> None:
    make.feed(make.workspace())
    with make.database.transaction() as db:
        assert db.scalars(select(Feed)).all() == []


def test_query_without_filter_returns_one_workspace_only(make: Factory) -> None:
    one, other = make.workspace(), make.workspace()
    make.feed(one, name="mine")
    make.feed(other, name="theirs")
    with make.database.transaction(one.id) as db:
        assert [feed.name for feed in db.scalars(select(Feed))] == ["mine"]
        assert db.query(Item).count() == 3


def test_no_table_returns_rows_of_another_workspace(make: Factory) -> None:
    """Every table of a workspace, selected without a filter, returns the entered workspace's rows or none."""
    one, other = make.workspace(), make.workspace()
    fill(make, other)
    tables = [table for table in Base.metadata.sorted_tables if "workspace_id" in table.columns]
    for entered, expected in ((other.id, {other.id}), (one.id, set()), (None, set())):
        with make.database.transaction(entered) as db:
            for table in tables:
                seen = set(db.scalars(select(table.c.workspace_id)))
                assert seen - {one.id} == expected, f"{table.name}, from {entered}"


def fill(make: Factory, space: Workspace) -> None:
    """Add a row to every table of a workspace; the test above fails for a missing table."""
    admin = make.member(space)
    feed, template = make.feed(space), make.template(space)
    make.image(template)
    deleted = make.image(template)
    make.key(space)
    make.font(space)
    make.import_to_review(feed)
    make.import_with_invalid_row(feed)
    make.source(feed)
    run, campaign = make.run(feed, template), make.campaign(feed, template)
    publication = make.publication(campaign)
    make.channel(campaign)
    shop = make.shop(campaign)
    with make.database.transaction(space.id) as db:
        invite(db, space.id, email="guest@example.org", role=Role.USER, invited_by=admin)
        save_draft(db, db.get_one(Template, (space.id, template.id)), load_design(db, template).document, "nothing")
        shown = db.get_one(Template, (space.id, template.id))
        create_link(db, shown, version=None, sample="", values={}, days=7, created_by=admin)
        add_comment(db, shown, layer="", text="Larger", author=admin)
        start_auto_run(db, db.get_one(Run, (space.id, run.id)))
        put_items(db, db.get_one(Feed, (space.id, feed.id)), {"1": {"title": "Other"}})
        build_sort_index(db, space.id, feed.id, "title")
        db.add(AddedRow(workspace_id=space.id, import_id=list_imports(db, feed)[0].id, key="1"))
        count(db, Quota(space.id))
        delete_images(db, space.id, [deleted.id])
        save_brand(db, space.id, NO_BRAND, 0)
        record_processings(db, space.id, [Processing(digest="0" * 64, cost=1)])
        hook = Webhook(workspace_id=space.id, url="https://shop.example/hook", events=[Event.RUN_FINISHED])
        db.add(hook)
        db.flush()
        emit(db, space.id, Event.RUN_FINISHED, {"id": run.id})
        db.add(Subscription(workspace_id=space.id, customer=f"cus_{space.id}"))
        bill = BillingEntry("in_1", "invoice", None, "paid", 1, 1, "eur", datetime.now(UTC))
        db.add(BillingRecord(workspace_id=space.id, **vars(bill)))
        db.add(SlackLink(workspace_id=space.id, team="T", team_id="T1", encrypted_token=b"x", events=[]))
        db.add(Export(workspace_id=space.id, with_images=False, state="expired"))
        add_single_sign_on(db, space, admin)
        key = db.scalars(select(ApiKey.id)).one()
        db.add(ApiRequest(workspace_id=space.id, key_id=key, method="GET", path="/v1/runs", status=200, milliseconds=1))
        db.add(IdempotencyKey(workspace_id=space.id, lineage_id=space.id, key="k", fingerprint="f"))
        row = {"workspace_id": space.id, "campaign_id": campaign.id, "key": "1"}
        db.add(CampaignRow(**row, designs=[1], plan=1, item_revision=1))
        db.add(PublicationRow(**row, since=1, data={}, designs=[1], images={}))
        change = {"publication_id": publication.id, "position": 1, "key": "1", "kind": "new"}
        db.add(PublicationChange(workspace_id=space.id, **change))
        fetch = {"campaign_id": campaign.id, "source_id": campaign.id, "family": "meta", "minute": datetime.now(UTC)}
        db.add(LeavingImage(workspace_id=space.id, campaign_id=campaign.id, image_id=deleted.id))
        db.add(FeedFetch(workspace_id=space.id, **fetch))
        db.add(ShopProduct(workspace_id=space.id, shop_id=shop.id, product_id="1", row_key="1", plan=1))
        record(db, space.id, Actor(admin.id, admin.email, ""), "feed.upload", feed.name)


def add_single_sign_on(db: Session, space: Workspace, account: Account) -> None:
    settings = {"client_id": "id", "encrypted_client_secret": b"x", "default_role": Role.USER, "is_required": False}
    db.add(IdentityProvider(workspace_id=space.id, issuer="https://id.test", **settings))
    db.add(EmailDomain(workspace_id=space.id, domain=f"{space.slug}.test", token="t", verified_at=datetime.now(UTC)))
    identity = {"issuer": "https://id.test", "subject": "1", "email": account.email}
    db.add(ProviderIdentity(workspace_id=space.id, account_id=account.id, **identity))
    db.add(RemovedMember(workspace_id=space.id, email_digest="x"))


def test_insert_into_another_workspace_is_rejected(make: Factory) -> None:
    one, other = make.workspace(), make.workspace()
    feed = Feed(workspace_id=other.id, name="smuggled", file_name="f", columns=[], item_count=0)
    with pytest.raises(ProgrammingError, match="row-level security"), make.database.transaction(one.id) as db:
        db.add(feed)


def test_update_to_another_workspace_is_rejected(make: Factory) -> None:
    one, other = make.workspace(), make.workspace()
    make.feed(one)
    with pytest.raises(DBAPIError), make.database.transaction(one.id) as db:
        db.execute(text("UPDATE feeds SET workspace_id = :other"), {"other": other.id})


def test_foreign_key_to_another_workspace_is_rejected(make: Factory) -> None:
    one, other = make.workspace(), make.workspace()
    theirs = make.feed(other)
    with pytest.raises(DBAPIError, match="feed of items does not exist"), make.database.transaction(one.id) as db:
        db.add(Item(workspace_id=one.id, feed_id=theirs.id, position=1, key="x", data={}))


def test_entered_workspace_ends_with_the_transaction(make: Factory) -> None:
    space = make.workspace()
    make.feed(space)
    engine = create_engine(make.database.engine.url, pool_size=1, max_overflow=0)
    try:
        with engine.begin() as connection:
            connection.execute(text("SELECT set_config('cwz.workspace_id', :id, true)"), {"id": str(space.id)})
            assert connection.scalar(text("SELECT count(*) FROM feeds")) == 1
        with engine.begin() as connection:
            assert connection.scalar(text("SELECT count(*) FROM feeds")) == 0
    finally:
        engine.dispose()


def test_cross_workspace_functions_are_safe_and_for_the_application_only(services: Services) -> None:
    query = """SELECT p.proname, p.proconfig, EXISTS (
                 SELECT 1 FROM aclexplode(p.proacl) a WHERE a.grantee = 0) AS open_to_all
               FROM pg_proc p WHERE p.prosecdef AND p.pronamespace = 'public'::regnamespace"""
    with services.database.transaction() as db:
        functions = db.execute(text(query)).all()
    assert {function.proname for function in functions} == {
        "memberships_of",
        "workspace_outcomes_of",
        "find_api_key",
        "find_template_state",
        "workspace_of_invitation",
        "workspace_of_slug",
        "workspace_of_template_link",
        "open_invitations_of",
        "all_connections",
        "find_due_campaigns",
        "find_due_feeds",
        "find_due_shops",
        "all_shops",
        "feed_sources_with_secrets",
        "orphaned_chunks",
        "orphaned_runs",
        "plan_status_of",
        "all_identity_providers",
        "provider_workspace_of",
        "workspace_of_domain",
        "all_slack_links",
        "find_stripe_customers",
        "delete_old_billing_records",
        "deletions_of",
        "all_workspaces",
        "expired_exports",
        "delete_audit_entries",
    }
    for function in functions:
        assert function.proconfig == ["search_path=pg_catalog, public"], function.proname
        assert not function.open_to_all, function.proname

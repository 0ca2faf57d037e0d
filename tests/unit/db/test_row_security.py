"""The second wall, looked at in the database's own catalogue and tried without the first."""

from datetime import UTC, datetime

import pytest
from sqlalchemy import create_engine, select, text
from sqlalchemy.exc import DBAPIError, ProgrammingError

from cwz_web.billing.models import BillingRecord, Subscription
from cwz_web.billing.stripe_api import BillingEntry
from cwz_web.db.base import Base
from cwz_web.feeds.models import Feed, Item
from cwz_web.feeds.row_writes import put_items
from cwz_web.feeds.sort_index import build_sort_index
from cwz_web.generation.drafts import save_draft
from cwz_web.generation.models import IdempotencyKey, Template
from cwz_web.generation.templates import open_design
from cwz_web.generation.usage import Quota, count
from cwz_web.notify.models import SlackLink, Webhook
from cwz_web.notify.webhooks import Event, emit
from cwz_web.ops.models import Export
from cwz_web.runs.auto_runs import start_auto_run
from cwz_web.runs.models import Run
from cwz_web.web.services import Services
from cwz_web.workspaces.audit import Actor, record
from cwz_web.workspaces.invitations import invite
from cwz_web.workspaces.models import Role, Workspace
from tests.factories import Factory

WALLED = """
    SELECT c.relname, c.relrowsecurity, c.relforcerowsecurity,
           (SELECT array_agg(pg_get_expr(p.polqual, p.polrelid)) FROM pg_policy p
            WHERE p.polrelid = c.oid AND p.polname = 'tenant' AND p.polpermissive AND p.polcmd = '*') AS reads,
           (SELECT array_agg(pg_get_expr(p.polwithcheck, p.polrelid)) FROM pg_policy p
            WHERE p.polrelid = c.oid AND p.polname = 'tenant') AS writes
    FROM pg_class c WHERE c.relkind IN ('r', 'p') AND c.relnamespace = 'public'::regnamespace
      AND (c.relname = 'workspaces' OR EXISTS (
          SELECT 1 FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'workspace_id' AND NOT a.attisdropped))
"""


def test_every_table_of_a_workspace_is_behind_the_wall(services: Services) -> None:
    with services.database.transaction() as db:
        tables = db.execute(text(WALLED)).all()
    mapped = {table.name for table in Base.metadata.tables.values() if "workspace_id" in table.columns} | {"workspaces"}
    assert {table.relname for table in tables} == mapped
    for table in tables:
        column = "id" if table.relname == "workspaces" else "workspace_id"
        expected = f"({column} = (NULLIF(current_setting('cwz.workspace_id'::text, true), ''::text))::uuid)"
        assert table.relrowsecurity, table.relname
        assert table.relforcerowsecurity, table.relname
        assert table.reads == table.writes == [expected], table.relname


def test_no_other_policy_opens_a_table_to_the_application(services: Services) -> None:
    query = """SELECT polrelid::regclass::text, polname, polcmd, polroles::regrole[]::text[] AS roles
               FROM pg_policy WHERE polname NOT IN ('tenant', 'backing_up')"""
    with services.database.transaction() as db:
        others = {row.polrelid: row for row in db.execute(text(query))}
    assert set(others) == {
        "workspaces",
        "memberships",
        "templates",
        "api_keys",
        "invitations",
        "connections",
        "feed_sources",
        "runs",
        "run_items",
        "subscriptions",
        "slack_links",
        "billing_records",
        "exports",
    }
    # What seven years have passed over is dropped by its owner's function.
    forgetting = others.pop("billing_records")
    assert (forgetting.polname, forgetting.polcmd, forgetting.roles) == ("forgetting", "*", ["cwz_owner"])
    assert all((row.polname, row.polcmd, row.roles) == ("crossing", "r", ["cwz_owner"]) for row in others.values())


def test_a_backup_sees_every_table_and_the_application_no_more_by_its_setting(make: Factory) -> None:
    fill(make, make.workspace())
    backing_up = """SELECT c.relname, p.polcmd, p.polroles::regrole[]::text[] AS roles FROM pg_class c
                    LEFT JOIN pg_policy p ON p.polrelid = c.oid AND p.polname = 'backing_up'
                    WHERE c.relforcerowsecurity"""
    with make.database.transaction() as db:
        for table in db.execute(text(backing_up)):
            assert (table.polcmd, table.roles) == ("r", ["cwz_owner"]), table.relname
        db.execute(text("SELECT set_config('cwz.backing_up', 'on', true)"))
        for table in (table for table in Base.metadata.sorted_tables if "workspace_id" in table.columns):
            assert db.execute(select(table)).all() == [], table.name


def test_the_applications_role_can_not_go_round_the_wall(services: Services) -> None:
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


def test_without_a_workspace_the_tables_read_as_empty(make: Factory) -> None:
    make.feed(make.workspace())
    with make.database.transaction() as db:
        assert db.scalars(select(Feed)).all() == []


def test_a_query_without_where_sees_one_workspace_only(make: Factory) -> None:
    one, other = make.workspace(), make.workspace()
    make.feed(one, name="mine")
    make.feed(other, name="theirs")
    with make.database.transaction(one.id) as db:
        assert [feed.name for feed in db.scalars(select(Feed))] == ["mine"]
        assert db.query(Item).count() == 3


def test_without_any_scoping_of_ours_no_table_shows_another_workspaces_rows(make: Factory) -> None:
    """Every table of a workspace, read without a WHERE: the wall answers with nothing, or with one's own rows."""
    one, other = make.workspace(), make.workspace()
    fill(make, other)
    tables = [table for table in Base.metadata.sorted_tables if "workspace_id" in table.columns]
    for entered, expected in ((other.id, {other.id}), (one.id, set()), (None, set())):
        with make.database.transaction(entered) as db:
            for table in tables:
                seen = set(db.scalars(select(table.c.workspace_id)))
                assert seen - {one.id} == expected, f"{table.name}, from {entered}"


def fill(make: Factory, space: Workspace) -> None:
    """A row of everything that a workspace can own; the test above fails for a table that is forgotten here."""
    admin = make.member(space)
    feed, template = make.feed(space), make.template(space)
    make.image(template)
    make.key(space)
    make.font(space)
    make.held_import(feed)
    make.left_out(feed)
    make.source(feed)
    run = make.run(feed, template)
    with make.database.transaction(space.id) as db:
        invite(db, space.id, email="guest@example.org", role=Role.USER, invited_by=admin)
        save_draft(db, db.get_one(Template, (space.id, template.id)), open_design(db, template).document, "nothing")
        start_auto_run(db, db.get_one(Run, (space.id, run.id)))
        put_items(db, db.get_one(Feed, (space.id, feed.id)), {"1": {"title": "Other"}})
        build_sort_index(db, space.id, feed.id, "title")
        count(db, Quota(space.id))
        hook = Webhook(workspace_id=space.id, url="https://shop.example/hook", events=[Event.RUN_FINISHED])
        db.add(hook)
        db.flush()
        emit(db, space.id, Event.RUN_FINISHED, {"id": run.id})
        db.add(Subscription(workspace_id=space.id, customer=f"cus_{space.id}"))
        bill = BillingEntry("in_1", "invoice", None, "paid", 1, 1, "eur", datetime.now(UTC))
        db.add(BillingRecord(workspace_id=space.id, **vars(bill)))
        db.add(SlackLink(workspace_id=space.id, team="T", team_id="T1", sealed=b"x", events=[]))
        db.add(Export(workspace_id=space.id, with_images=False, state="expired"))
        db.add(IdempotencyKey(workspace_id=space.id, key="k", fingerprint="f"))
        record(db, space.id, Actor(admin.id, admin.email, ""), "feed.upload", feed.name)


def test_writing_into_another_workspace_is_refused(make: Factory) -> None:
    one, other = make.workspace(), make.workspace()
    feed = Feed(workspace_id=other.id, name="smuggled", file_name="f", columns=[], item_count=0)
    with pytest.raises(ProgrammingError, match="row-level security"), make.database.transaction(one.id) as db:
        db.add(feed)


def test_moving_a_row_to_another_workspace_is_refused(make: Factory) -> None:
    one, other = make.workspace(), make.workspace()
    make.feed(one)
    with pytest.raises(DBAPIError), make.database.transaction(one.id) as db:
        db.execute(text("UPDATE feeds SET workspace_id = :other"), {"other": other.id})


def test_a_reference_can_not_point_across(make: Factory) -> None:
    one, other = make.workspace(), make.workspace()
    theirs = make.feed(other)
    with pytest.raises(DBAPIError, match="foreign key"), make.database.transaction(one.id) as db:
        db.add(Item(workspace_id=one.id, feed_id=theirs.id, position=1, key="x", data={}))


def test_the_setting_ends_with_its_transaction(make: Factory) -> None:
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


def test_functions_that_cross_are_for_the_application_only_and_safe(services: Services) -> None:
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
        "open_invitations_of",
        "all_connections",
        "due_feeds",
        "sealed_feeds",
        "lost_chunks",
        "lost_runs",
        "plan_status_of",
        "sealed_slack_links",
        "customers",
        "forget_billing_records",
        "deletions_of",
        "all_workspaces",
        "undone_exports",
        "forget_audit",
    }
    for function in functions:
        assert function.proconfig == ["search_path=pg_catalog, public"], function.proname
        assert not function.open_to_all, function.proname

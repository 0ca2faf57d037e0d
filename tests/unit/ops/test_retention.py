"""Retention: which old records are deleted, and which stay."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import func, select, text

from cwz_web.campaigns.models import Campaign, PublicationChange, PublicationRow
from cwz_web.db.pagination import first_id
from cwz_web.feeds.models import Feed, FeedImport, Item, ItemVersion
from cwz_web.generation.models import ApiKey, ApiRequest, UsageDay
from cwz_web.notify.models import Webhook, WebhookDelivery
from cwz_web.ops import retention
from cwz_web.ops.retention import RetentionPolicy, delete_expired_records, delete_old_api_requests
from cwz_web.web.services import Services
from cwz_web.workspaces.audit import Actor, find_chain_break, record
from cwz_web.workspaces.models import AuditEntry, Workspace
from tests.conftest import make_settings
from tests.factories import Factory
from tests.unit.db.test_row_security import fill


def days_ago(days: int) -> datetime:
    return datetime.now(UTC) - timedelta(days=days)


def policy(plan_history: dict[str, int] | None = None, **days: int) -> RetentionPolicy:
    defaults = {"audit": 100, "history": 40, "deliveries": 10, "usage": 90, "deleted": 30, "exports": 7, "requests": 7}
    return RetentionPolicy(**(defaults | days), plan_history=plan_history or {})


def test_old_records_are_deleted_and_recent_ones_stay(make: Factory, services: Services) -> None:
    space, other = make.workspace(), make.workspace()
    for each in (space, other):
        fill(make, each)
        with make.database.transaction(each.id) as db:
            feed_id = db.scalars(select(Feed.id)).first()
            for age in (39, 41):
                db.add(
                    ItemVersion(
                        workspace_id=each.id,
                        feed_id=feed_id,
                        key=f"old {age}",
                        revision=1,
                        data={},
                        removed=True,
                        replaced_at=days_ago(age),
                    )
                )
                db.add(UsageDay(workspace_id=each.id, day=days_ago(age + 50).date(), used=1))
            db.execute(
                text("UPDATE webhook_deliveries SET created_at = now() - interval '11 days', state = 'delivered'")
            )
            db.execute(text("UPDATE feed_imports SET created_at = now() - interval '50 days'"))
    delete_expired_records(services.database, policy())
    for each in (space, other):
        with make.database.transaction(each.id) as db:
            assert {v.key for v in db.scalars(select(ItemVersion)) if v.key.startswith("old")} == {"old 39"}
            assert days_ago(91).date() not in db.scalars(select(UsageDay.day)).all()
            assert days_ago(89).date() in db.scalars(select(UsageDay.day)).all()
            assert db.scalars(select(WebhookDelivery)).all() == []
            assert db.scalars(select(Webhook)).all() != []
            # Each feed keeps the import of its rows, and one that needs a decision.
            newest = db.execute(select(FeedImport.feed_id, func.max(FeedImport.number)).group_by(FeedImport.feed_id))
            left = db.scalars(select(FeedImport)).all()
            assert {(r.feed_id, r.number) for r in left if r.state not in ("needs_review", "draft")} <= set(
                map(tuple, newest)
            )


def test_failed_jobs_are_kept_for_a_month(services: Services) -> None:
    for days in (29, 31):
        with services.database.transaction() as db:
            job = db.scalar(
                text(
                    "INSERT INTO procrastinate_jobs (queue_name, task_name, status, priority)"
                    " VALUES ('mail', 'x', 'failed', :days) RETURNING id"
                ),
                {"days": days},
            )
            db.execute(
                text("INSERT INTO procrastinate_events (job_id, type, at) VALUES (:id, 'failed', :at)"),
                {"id": job, "at": days_ago(days)},
            )
    assert delete_expired_records(services.database, policy())["procrastinate_jobs"] == 1
    with services.database.transaction() as db:
        assert list(db.scalars(text("SELECT priority FROM procrastinate_jobs"))) == [29]


def test_plan_shortens_the_history_only() -> None:
    terms = policy({"free": 30, "pro": 180, "scale": 1000}, history=365)
    assert [terms.history_days(plan) for plan in ("free", "pro", "scale", "removed")] == [30, 180, 365, 30]
    assert policy(history=365).history_days("free") == 365


def test_policy_from_settings(app_url: str, services: Services) -> None:
    settings = make_settings(app_url, services.settings.var, retention={"history_days": 60, "audit_days": 200})
    from_settings = RetentionPolicy.from_settings(settings)
    assert (from_settings.history, from_settings.audit, from_settings.plan_history) == (60, 200, {})


def entries(make: Factory, space: Workspace, ages: list[int]) -> None:
    """Add an audit entry for each age in days."""
    with make.database.transaction(space.id) as db:
        for _ in ages:
            record(db, space.id, Actor(None, "test", ""), "test.do", "thing")


def test_old_audit_entries_are_deleted_and_the_chain_stays_valid(
    make: Factory, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = make.workspace()
    clock = SimpleNamespace(age=0)

    class Clock(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return days_ago(clock.age)

    monkeypatch.setattr("cwz_web.workspaces.audit.datetime", Clock)
    for clock.age in (400, 300, 99, 91, 5):
        entries(make, space, [clock.age])

    def numbers() -> list[int]:
        with make.database.transaction(space.id) as db:
            assert find_chain_break(db, space.id) is None
            return list(db.scalars(select(AuditEntry.number).order_by(AuditEntry.number)))

    assert numbers() == [1, 2, 3, 4, 5]
    delete_expired_records(services.database, policy(audit=350))
    assert numbers() == [2, 3, 4, 5]
    delete_expired_records(services.database, policy(audit=100))
    assert numbers() == [3, 4, 5]
    entries(make, space, [0])
    assert numbers() == [3, 4, 5, 6]
    # The function never deletes the last ninety days.
    with make.database.transaction(space.id) as db:
        assert db.scalar(select(func.delete_audit_entries(datetime.now(UTC)))) == 2
    assert numbers() == [5, 6]
    with make.database.transaction(space.id) as db:
        db.execute(text("UPDATE workspaces SET audit_chain_digest = 'x'"))
        assert find_chain_break(db, space.id) == 5


def test_newest_audit_entry_is_never_deleted(
    make: Factory, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = make.workspace()

    class Clock(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return days_ago(500)

    monkeypatch.setattr("cwz_web.workspaces.audit.datetime", Clock)
    entries(make, space, [500])
    delete_expired_records(services.database, policy())
    monkeypatch.undo()
    entries(make, space, [0])
    with make.database.transaction(space.id) as db:
        assert list(db.scalars(select(AuditEntry.number).order_by(AuditEntry.number))) == [1, 2]
        assert find_chain_break(db, space.id) is None


def test_rows_of_deleted_feeds_are_deleted_after_a_month(make: Factory, services: Services) -> None:
    space = make.workspace()
    young, old, there = make.feed(space), make.feed(space), make.feed(space)
    run = make.run(old, make.template(space))
    with make.database.transaction(space.id) as db:
        for feed, days in ((young, 29), (old, 31)):
            db.execute(text("UPDATE feeds SET deleted_at = :at WHERE id = :id"), {"at": days_ago(days), "id": feed.id})
    delete_expired_records(services.database, policy())
    with make.database.transaction(space.id) as db:
        left = set(db.scalars(select(Item.feed_id)))
        assert db.get(Feed, (space.id, old.id)) is not None  # the feed itself stays for its runs
        assert db.scalar(text("SELECT count(*) FROM runs WHERE id = :id"), {"id": run.id}) == 1
    assert left == {young.id, there.id}


def test_deleted_campaigns_and_those_of_deleted_feeds_are_purged_after_a_month(
    make: Factory, services: Services
) -> None:
    space = make.workspace()
    template, gone = make.template(space), make.feed(space)
    young, old, there = (make.campaign(make.feed(space), template) for _ in range(3))
    of_gone = make.campaign(gone, template)
    kept = [make.publication(campaign) for campaign in (young, old, there, of_gone)]
    with make.database.transaction(space.id) as db:
        for campaign, days in ((young, 29), (old, 31)):
            db.merge(campaign).deleted_at = days_ago(days)
        db.merge(gone).deleted_at = days_ago(31)
        for campaign, publication in zip((young, old, there, of_gone), kept, strict=True):
            row = PublicationRow(key="1", since=0, data={}, designs=[1], images={})
            row.workspace_id, row.campaign_id = space.id, campaign.id
            change = PublicationChange(position=1, key="1", kind="new")
            change.workspace_id, change.publication_id = space.id, publication.id
            db.add_all([row, change])
    assert delete_expired_records(services.database, policy())["campaigns"] == 2
    with make.database.transaction(space.id) as db:
        assert set(db.scalars(select(Campaign.id))) == {young.id, there.id}
        assert set(db.scalars(select(PublicationRow.campaign_id))) == {young.id, there.id}
        assert set(db.scalars(select(PublicationChange.publication_id))) == {kept[0].id, kept[2].id}


def test_api_requests_are_deleted_by_age_and_number(
    make: Factory, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    space, other = make.workspace(), make.workspace()
    for each, ages in ((space, (8, 3, 2, 1)), (other, (8, 1))):
        make.key(each)
        with make.database.transaction(each.id) as db:
            key_id = db.scalars(select(ApiKey.id)).one()
            values = {"key_id": key_id, "method": "GET", "status": 200, "milliseconds": 1}
            db.add_all(
                ApiRequest(workspace_id=each.id, id=first_id(days_ago(age)), path=f"/{age}", **values) for age in ages
            )
    monkeypatch.setattr(retention, "MAX_API_REQUESTS", 2)
    assert delete_old_api_requests(services.database, 7) == 3
    for each, paths in ((space, {"/2", "/1"}), (other, {"/1"})):
        with make.database.transaction(each.id) as db:
            assert set(db.scalars(select(ApiRequest.path))) == paths

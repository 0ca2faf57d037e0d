"""Campaigns: from rules to what is public, with real rendering."""

from collections.abc import Iterable
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from cwz_web.campaigns.decisions import Decision, Verdict, apply_stored_decision, decide
from cwz_web.campaigns.editing import create_campaign, save_rules
from cwz_web.campaigns.models import Campaign, Publication, PublicationChange, PublicationState
from cwz_web.campaigns.planning import count_by_design
from cwz_web.campaigns.policy import PublishPolicy
from cwz_web.campaigns.progress import (
    CampaignStoppedError,
    advance_steps,
    decide_for_campaign,
    pause_campaign,
    request_publication,
    resume_campaign,
    stop_campaign,
)
from cwz_web.campaigns.publications import (
    PAUSED,
    NotPublishableError,
    approve,
    delete_old,
    discard,
    get_public,
    list_publications,
    publish,
    roll_back,
)
from cwz_web.campaigns.rules import Design, DesignRule, Window
from cwz_web.campaigns.targets import find_targets
from cwz_web.channels.campaign_feed import write_campaign_feed
from cwz_web.db.session import lock_name
from cwz_web.feeds.models import Feed
from cwz_web.generation.image_urls import ImageUrls
from cwz_web.generation.models import Template
from cwz_web.imaging.encoders import Output
from cwz_web.runs.image_deletion import delete_images, restore_images
from cwz_web.runs.models import Run
from cwz_web.workspaces.audit import Actor
from cwz_web.workspaces.models import AuditEntry, Workspace
from tests.factories import Factory, small_document
from tests.rendering import SIGNED_URLS, count_of, work

API_KEY = Actor(None, "API key", "")
ROWS = b"sku,title,brand,price\n1,Red,Acme,10\n2,Blue,Zenith,20\n3,Green,Acme,30\n4,Gray,Other,40\n"


class Setting:
    """A feed with a campaign of three rules: Acme in a window, Zenith, and all others.

    Args:
        make: the factory.
        is_settled: whether the images of the first publication are rendered.
        window: the window of the first rule.
        settings: those of the campaign.
    """

    space: Workspace
    feed: Feed
    templates: list[Template]
    campaign: Campaign

    def __init__(
        self, make: Factory, *, is_settled: bool = False, window: Window | None = None, **settings: Any
    ) -> None:
        self.make = make
        name = repr(("Setting", settings))
        saver = make.row_saver if is_settled and window is None else None
        if saver and (ids := saver.restore(name)):
            self._load(ids)
            return
        is_first = saver is not None and saver.is_empty()
        self._create(window, settings)
        if is_settled:
            self.settle()
        if saver and is_first:
            rows = (self.space, self.feed, self.campaign, *self.templates)
            saver.save(name, [row.id for row in rows])

    def _load(self, ids: list[UUID]) -> None:
        """Load what was restored."""
        space_id, feed_id, campaign_id, *template_ids = ids
        with self.make.database.transaction(space_id) as db:
            self.space = db.get_one(Workspace, space_id)
            self.feed = db.get_one(Feed, (space_id, feed_id))
            self.campaign = db.get_one(Campaign, (space_id, campaign_id))
            self.templates = [db.get_one(Template, (space_id, id_)) for id_ in template_ids]
            # They are made of ids, which are others now.
            self.campaign.prepared_designs = find_targets(db, self.campaign).fingerprints

    def _create(self, window: Window | None, settings: dict[str, Any]) -> None:
        make = self.make
        self.space = make.workspace()
        self.feed = make.feed(self.space, ROWS)
        self.templates = [
            make.template(self.space, small_document(canvas={"width": 300, "height": 200, "background": color}), name)
            for name, color in (("Sale", "#aa0000"), ("Brand", "#00aa00"), ("Plain", "#ffffff"))
        ]
        rules = [
            self.rule(1, "Acme", 'brand == "Acme"', window),
            self.rule(2, "Zenith", 'brand == "Zenith"'),
            self.rule(3, "All others"),
        ]
        with make.database.transaction(self.space.id) as db:
            self.campaign = create_campaign(
                db, db.merge(self.feed), name="Ads", rules=rules, outputs=[Output()], **settings
            )
            request_publication(db, self.campaign)

    def rule(self, number: int, name: str, condition: str = "", window: Window | None = None) -> DesignRule:
        mapping = {"title": "title", "image": ""}
        design = Design(number=number, template=self.templates[number - 1].id, mapping=mapping)
        return DesignRule(number=number, name=name, condition=condition, window=window, designs=[design])

    def advance(self) -> list[Run]:
        """Bring the campaign up to date, and return the runs that it has started, rendered."""
        for step in advance_steps(self.make.services.quotas):
            with self.make.database.transaction(self.space.id) as db:
                self.campaign = db.get_one(Campaign, (self.space.id, self.campaign.id))
                step(db, self.campaign)
        with self.make.database.transaction(self.space.id) as db:
            runs = list(
                db.scalars(
                    select(Run).where(
                        Run.workspace_id == self.space.id, Run.campaign_id.is_not(None), Run.finished_at.is_(None)
                    )
                )
            )
        return [work(self.make, run) for run in runs]

    def settle(self) -> int:
        """Bring the campaign up to date until nothing is left to render. Return how many images were rendered."""
        rendered = 0
        while runs := self.advance():
            rendered += sum(run.total for run in runs)
        return rendered

    def publications(self) -> list[Publication]:
        with self.make.database.transaction(self.space.id) as db:
            return list_publications(db, self.make.reload(self.campaign))

    def publish(self, publication: Publication) -> None:
        with self.make.database.transaction(self.space.id) as db:
            campaign = db.get_one(Campaign, (self.space.id, self.campaign.id))
            publish(db, campaign, db.merge(publication))

    def approve(self, publication: Publication) -> None:
        with self.make.database.transaction(self.space.id) as db:
            campaign = db.get_one(Campaign, (self.space.id, self.campaign.id))
            approve(db, campaign, db.get_one(Publication, (self.space.id, publication.id)), self.space.id)

    def changes(self, publication: Publication) -> dict[str, PublicationChange]:
        with self.make.database.transaction(self.space.id) as db:
            changes = select(PublicationChange).where(
                PublicationChange.workspace_id == self.space.id, PublicationChange.publication_id == publication.id
            )
            return {change.key: change for change in db.scalars(changes)}

    def output_feed(self) -> dict[str, dict[str, str]]:
        """Return the public rows by key."""
        with self.make.database.transaction(self.space.id) as db:
            campaign = db.get_one(Campaign, (self.space.id, self.campaign.id))
            public = get_public(db, campaign)
            assert public
            urls = ImageUrls.load(db, self.space.id, SIGNED_URLS)
            with write_campaign_feed(db, campaign, public, "", urls) as file:
                header, *lines = file.read().decode().splitlines()
        rows: Iterable[dict[str, str]] = (dict(zip(header.split(","), line.split(","), strict=True)) for line in lines)
        return {row["sku"]: row for row in rows}

    def import_rows(self, data: bytes) -> None:
        self.make.import_rows(self.feed, data)


def test_rows_get_the_design_of_the_first_rule_that_takes_them(make: Factory) -> None:
    setting = Setting(make)
    assert setting.settle() == 4
    assert count_of(make, setting.space.id) == 4
    (publication,) = setting.publications()
    assert publication.state == PublicationState.HELD
    assert publication.design_counts == {"1": 2, "2": 1, "3": 1}
    assert (publication.rows, publication.new, publication.missing) == (4, 4, 0)
    assert dict(count_by_design(setting.campaign, [1, 2, 3])) == {1: 2, 2: 1, 3: 1}
    setting.publish(publication)
    feed = setting.output_feed()
    assert [row["design_rule"] for row in feed.values()] == ["Acme", "Zenith", "Acme", "All others"]
    assert all(row["image_url"] for row in feed.values())
    assert setting.settle() == 0
    assert len(setting.publications()) == 1


def test_import_renders_only_changed_rows_and_publication_switches_whole(make: Factory) -> None:
    setting = Setting(make, is_settled=True, is_active=True)
    setting.publish(setting.publications()[0])
    before = setting.output_feed()
    setting.import_rows(ROWS.replace(b"Red", b"Rose").replace(b"4,Gray,Other,40\n", b"5,Black,Acme,50\n"))
    assert setting.settle() == 2
    assert setting.output_feed() == before
    publication = setting.publications()[0]
    assert (publication.new, publication.changed, publication.removed, publication.unchanged) == (1, 1, 1, 2)
    assert {key: change.kind for key, change in setting.changes(publication).items()} == {
        "1": "changed",
        "4": "removed",
        "5": "new",
    }
    setting.publish(publication)
    after = setting.output_feed()
    assert after["1"]["title"] == "Rose"
    assert after["1"]["image_url"] != before["1"]["image_url"]
    assert after["2"] == before["2"]
    assert "4" not in after
    with make.database.transaction(setting.space.id) as db:
        campaign = db.get_one(Campaign, (setting.space.id, setting.campaign.id))
        roll_back(db, campaign, db.merge(setting.publications()[1]))
    assert setting.output_feed() == before
    assert setting.settle() == 0
    assert not setting.campaign.is_active


def test_window_is_rendered_before_it_begins_and_switches_without_rendering(make: Factory) -> None:
    now = datetime.now(UTC)
    window = Window(begin=now + timedelta(hours=1), end=now + timedelta(hours=2))
    setting = Setting(make, window=window, is_active=True)
    assert setting.settle() == 6  # the two rows of the window with both designs
    end, begin, current = setting.publications()
    assert current.design_counts == {"2": 1, "3": 3}
    assert (begin.publish_at, begin.design_counts) == (window.begin, {"1": 2, "2": 1, "3": 1})
    assert (begin.changed, begin.unchanged) == (2, 2)
    assert (end.publish_at, end.design_counts, end.timeline) == (window.end, {"2": 1, "3": 3}, current.timeline)
    assert setting.settle() == 0


def test_rejected_row_keeps_what_is_public(make: Factory) -> None:
    setting = Setting(make, is_settled=True, is_active=True)
    setting.publish(setting.publications()[0])
    before = setting.output_feed()
    setting.import_rows(ROWS.replace(b"Red", b"Rose").replace(b"Green", b"Lime"))
    setting.settle()
    with make.database.transaction(setting.space.id) as db:
        campaign = db.get_one(Campaign, (setting.space.id, setting.campaign.id))
        publication = list_publications(db, campaign)[0]
        assert decide(db, campaign, publication, decision(Verdict.FORMER, column="title", value="rose")) == 1
        assert (publication.changed, publication.kept, publication.unchanged) == (1, 1, 3)
        assert approve(db, campaign, publication, setting.space.id)
        publish(db, campaign, publication)
    after = setting.output_feed()
    assert after["1"]["image_url"] == before["1"]["image_url"]
    assert after["3"]["image_url"] != before["3"]["image_url"]
    assert setting.settle() == 0


def test_publication_of_a_later_phase_discards_what_waits_for_an_earlier_one(make: Factory) -> None:
    now = datetime.now(UTC)
    setting = Setting(make, window=Window(begin=now + timedelta(hours=1), end=now + timedelta(hours=2)), is_active=True)
    setting.settle()
    end, begin, current = setting.publications()
    setting.publish(begin)
    states = {each.number: each.state for each in setting.publications()}
    assert states == {
        current.number: PublicationState.DISCARDED,
        begin.number: PublicationState.PUBLISHED,
        end.number: PublicationState.HELD,
    }


def test_what_shows_the_same_as_an_approved_publication_needs_no_decision(make: Factory) -> None:
    now = datetime.now(UTC)
    setting = Setting(make, window=Window(begin=now + timedelta(hours=1), end=now + timedelta(hours=2)), is_active=True)
    setting.settle()
    _, begin, current = setting.publications()
    setting.approve(current)
    states = [each.state for each in setting.publications()]
    assert states == [PublicationState.SCHEDULED, PublicationState.HELD, PublicationState.SCHEDULED]
    assert setting.settle() == 0
    assert setting.campaign.public_id == current.id
    setting.approve(begin)
    assert [each.state for each in setting.publications()[:2]] == [PublicationState.SCHEDULED] * 2


def test_window_that_goes_back_to_what_is_public_needs_no_decision(make: Factory) -> None:
    setting = Setting(make, is_settled=True, is_active=True)
    setting.publish(setting.publications()[0])
    now = datetime.now(UTC)
    window = Window(begin=now + timedelta(hours=1), end=now + timedelta(hours=2))
    with make.database.transaction(setting.space.id) as db:
        campaign = db.get_one(Campaign, (setting.space.id, setting.campaign.id))
        sale = Design(number=4, template=setting.templates[0].id, mapping={"title": "brand", "image": ""})
        rule = DesignRule(number=4, name="Sale", window=window, designs=[sale])
        save_rules(db, campaign, [rule, *campaign.design_rules])
        request_publication(db, campaign)
    setting.settle()
    end, begin, current, _ = setting.publications()
    assert (current.state, current.changed) == (PublicationState.PUBLISHED, 0), "readers see nothing else"
    assert (end.publish_at, end.state, end.reasons) == (window.end, PublicationState.SCHEDULED, [])
    assert (begin.publish_at, begin.state) == (window.begin, PublicationState.HELD)


def test_approved_end_of_a_window_stays_until_another_one_is_approved(make: Factory) -> None:
    now = datetime.now(UTC)
    setting = Setting(make, window=Window(begin=now + timedelta(hours=1), end=now + timedelta(hours=2)), is_active=True)
    setting.settle()
    end, begin, current = setting.publications()
    setting.approve(current)
    setting.approve(begin)
    setting.import_rows(ROWS.replace(b"Red", b"Rose"))
    assert setting.settle() == 2  # in both designs
    new_end, new_begin, new_current = setting.publications()[:3]
    states = {each.number: each.state for each in setting.publications()}
    assert states == {
        current.number: PublicationState.PUBLISHED,
        **dict.fromkeys((begin.number, end.number), PublicationState.SCHEDULED),
        **dict.fromkeys((new_current.number, new_begin.number, new_end.number), PublicationState.HELD),
    }
    setting.approve(new_begin)
    states = {each.number: each.state for each in setting.publications()}
    assert (states[begin.number], states[new_begin.number]) == (PublicationState.DISCARDED, PublicationState.SCHEDULED)
    assert (states[end.number], states[new_end.number]) == (PublicationState.SCHEDULED, PublicationState.HELD)
    with make.database.transaction(setting.space.id) as db:  # two hours pass, and no member looks at the newer one
        campaign = db.get_one(Campaign, (setting.space.id, setting.campaign.id))
        past = Window(begin=now - timedelta(hours=1), end=now - timedelta(minutes=1))
        campaign.rules = [setting.rule(1, "Acme", 'brand == "Acme"', past).model_dump(mode="json"), *campaign.rules[1:]]
        for each in list_publications(db, campaign):
            each.publish_at = past.end if each.publish_at == end.publish_at else each.publish_at and past.begin
    assert setting.settle() == 0
    assert setting.campaign.public_id == end.id
    waiting = setting.make.reload(new_end)
    assert (waiting.state, waiting.base_id) == (PublicationState.HELD, end.id)
    assert (waiting.changed, waiting.unchanged) == (1, 3)
    assert setting.make.reload(new_current).state == PublicationState.DISCARDED


def decision(verdict: Verdict, **rows: Any) -> Decision:
    return Decision(verdict=verdict, actor=API_KEY, **rows)


def decide_about(setting: Setting, about: Decision) -> int | None:
    """Decide about rows of the newest publication."""
    with setting.make.database.transaction(setting.space.id) as db:
        campaign = db.get_one(Campaign, (setting.space.id, setting.campaign.id))
        return decide(db, campaign, list_publications(db, campaign)[0], about)


def audited_rows(setting: Setting) -> list[int]:
    """Return the rows of the decisions in the audit log."""
    with setting.make.database.transaction(setting.space.id) as db:
        entries = db.scalars(select(AuditEntry).where(AuditEntry.action == "publication.decide"))
        return [entry.details["rows"] for entry in entries]


@pytest.fixture
def small_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let requests decide about at most three rows, and jobs about two at a time."""
    monkeypatch.setattr("cwz_web.campaigns.decisions.MAX_DECIDED", 3)
    monkeypatch.setattr("cwz_web.campaigns.decisions.BATCH", 2)


@pytest.mark.usefixtures("small_requests")
def test_job_applies_a_decision_about_many_rows(make: Factory) -> None:
    setting = Setting(make, is_settled=True)
    assert decide_about(setting, decision(Verdict.ORIGINAL, designs=[1])) == 2, "few rows are decided at once"
    assert decide_about(setting, decision(Verdict.ORIGINAL, comment="Logo")) is None
    waiting = setting.publications()[0]
    assert waiting.state == PublicationState.DECIDING
    assert {change.state for change in setting.changes(waiting).values()} == {"ok", "original"}
    with pytest.raises(NotPublishableError, match="is being applied"):
        decide_about(setting, decision(Verdict.RESET, keys=["1"]))
    with pytest.raises(NotPublishableError, match="is being applied"):
        setting.publish(waiting)
    setting.settle()
    (decided,) = setting.publications()
    assert decided.state == PublicationState.HELD
    assert decided.decision
    assert decided.decision["rows"] == 4
    assert decided.decision["actor"] == {"account_id": None, "label": "", "ip_address": ""}
    assert {change.state for change in setting.changes(decided).values()} == {"original"}
    assert audited_rows(setting) == [4]
    setting.settle()
    assert audited_rows(setting) == [4]
    setting.publish(decided)
    assert [row["image_url"] for row in setting.output_feed().values()] == [""] * 4, "the rows have no photo"


@pytest.mark.usefixtures("small_requests")
def test_decision_is_applied_once_if_its_job_is_killed(make: Factory) -> None:
    setting = Setting(make, is_settled=True)
    decide_about(setting, decision(Verdict.ORIGINAL))
    reports = []

    def kill(done: int, total: int) -> None:
        reports.append((done, total))
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), make.database.transaction(setting.space.id) as db:
        apply_stored_decision(db, db.get_one(Campaign, (setting.space.id, setting.campaign.id)), kill)
    assert reports == [(0, 4), (2, 4)]
    waiting = setting.publications()[0]
    assert waiting.state == PublicationState.DECIDING
    assert waiting.timeline == setting.campaign.timeline
    assert {change.state for change in setting.changes(waiting).values()} == {"ok"}
    setting.settle()
    assert audited_rows(setting) == [4]
    assert make.reload(setting.campaign).timeline == waiting.timeline + 1


@pytest.mark.usefixtures("small_requests")
def test_job_reports_how_far_a_decision_is(make: Factory) -> None:
    setting = Setting(make, is_settled=True)
    decide_about(setting, decision(Verdict.ORIGINAL))
    stored = []

    def transaction(workspace_id: UUID) -> AbstractContextManager[Session]:
        stored.append(setting.publications()[0].decision)
        return make.database.transaction(workspace_id)

    with make.database.transaction(setting.space.id) as db:
        decide_for_campaign(db, db.get_one(Campaign, (setting.space.id, setting.campaign.id)), transaction)
    assert [(each["done"], each["total"]) for each in stored if each] == [(0, 0), (0, 4)]


@pytest.mark.usefixtures("small_requests")
def test_decision_about_a_discarded_publication_is_not_applied(make: Factory) -> None:
    setting = Setting(make, is_settled=True)
    decide_about(setting, decision(Verdict.ORIGINAL))

    def discard_meanwhile(done: int, _: int) -> None:
        with make.database.transaction(setting.space.id) as db:
            if not done:
                discard(db, setting.campaign, db.merge(setting.publications()[0]))

    with make.database.transaction(setting.space.id) as db:
        apply_stored_decision(db, db.get_one(Campaign, (setting.space.id, setting.campaign.id)), discard_meanwhile)
    (discarded,) = setting.publications()
    assert discarded.state == PublicationState.DISCARDED
    assert {change.state for change in setting.changes(discarded).values()} == {"ok"}
    assert audited_rows(setting) == []


@pytest.mark.usefixtures("small_requests")
def test_next_publication_takes_the_place_of_one_that_is_decided(make: Factory) -> None:
    setting = Setting(make, is_settled=True, is_active=True)
    decide_about(setting, decision(Verdict.ORIGINAL))
    with make.database.transaction(setting.space.id) as db:
        db.get_one(Campaign, (setting.space.id, setting.campaign.id)).timeline += 1  # a preparation was faster
    setting.settle()
    newest, former = setting.publications()
    assert (newest.state, former.state) == (PublicationState.HELD, PublicationState.DISCARDED)
    assert audited_rows(setting) == []


def test_decision_waits_for_another_job_of_the_campaign(make: Factory) -> None:
    setting = Setting(make, is_settled=True)
    with make.database.transaction(setting.space.id) as other:
        lock_name(other, f"campaign {setting.campaign.id}")
        assert decide_about(setting, decision(Verdict.ORIGINAL, keys=["1"])) is None
    setting.settle()
    assert audited_rows(setting) == [1]


def test_pause_holds_what_is_scheduled_and_resuming_schedules_it(make: Factory) -> None:
    now = datetime.now(UTC)
    policy = PublishPolicy(auto_publish=True, max_changed_percent=100).model_dump(mode="json")
    window = Window(begin=now + timedelta(hours=1), end=now + timedelta(hours=2))
    setting = Setting(make, window=window, is_active=True, policy=policy)
    setting.settle()
    end, begin, current = setting.publications()
    assert [each.state for each in (current, begin, end)] == ["published", "scheduled", "scheduled"]
    with make.database.transaction(setting.space.id) as db:
        campaign = db.get_one(Campaign, (setting.space.id, setting.campaign.id))
        assert [each.id for each in pause_campaign(db, campaign)] == [begin.id, end.id]
    setting.settle()
    assert [each.state for each in setting.publications()] == ["held", "held", "published"]
    assert setting.publications()[1].reasons == [PAUSED]
    with make.database.transaction(setting.space.id) as db:
        resume_campaign(db, db.get_one(Campaign, (setting.space.id, setting.campaign.id)))
    setting.settle()
    assert [each.state for each in setting.publications()] == ["scheduled", "scheduled", "published"]


def test_decision_during_a_pause_needs_an_approval(make: Factory) -> None:
    now = datetime.now(UTC)
    policy = PublishPolicy(auto_publish=True, max_changed_percent=100).model_dump(mode="json")
    setting = Setting(make, window=Window(begin=now + timedelta(hours=1)), is_active=True, policy=policy)
    setting.settle()
    with make.database.transaction(setting.space.id) as db:
        pause_campaign(db, db.get_one(Campaign, (setting.space.id, setting.campaign.id)))
    assert decide_about(setting, decision(Verdict.ORIGINAL, keys=["1"])) == 1
    with make.database.transaction(setting.space.id) as db:
        resume_campaign(db, db.get_one(Campaign, (setting.space.id, setting.campaign.id)))
    setting.settle()
    assert {each.number: each.state for each in setting.publications()}[2] == PublicationState.HELD


def test_publication_with_deleted_images_cannot_be_restored(make: Factory) -> None:
    setting = Setting(make, is_settled=True, is_active=True)
    setting.publish(setting.publications()[0])
    setting.import_rows(ROWS.replace(b"Red", b"Rose"))
    setting.settle()
    setting.publish(setting.publications()[0])
    change = setting.changes(setting.publications()[0])["1"]
    assert change.images
    assert change.base_images

    def restore() -> None:
        with make.database.transaction(setting.space.id) as db:
            campaign = db.get_one(Campaign, (setting.space.id, setting.campaign.id))
            roll_back(db, campaign, list_publications(db, campaign)[-1])
            db.rollback()

    with make.database.transaction(setting.space.id) as db:
        delete_images(db, setting.space.id, [UUID(change.images[0])])
    restore()  # it does not show the image of the later one
    with make.database.transaction(setting.space.id) as db:
        batch = delete_images(db, setting.space.id, [UUID(change.base_images[0])])
    with pytest.raises(NotPublishableError, match="were deleted since"):
        restore()
    with make.database.transaction(setting.space.id) as db:
        restore_images(db, setting.space.id, batch)
    restore()


def test_request_with_other_rules_during_a_preparation_is_met(make: Factory, monkeypatch: pytest.MonkeyPatch) -> None:
    setting = Setting(make)

    def save_meanwhile(db: Session, campaign: Campaign) -> None:
        monkeypatch.undo()
        with make.database.transaction(setting.space.id) as other:
            row = other.get_one(Campaign, (setting.space.id, setting.campaign.id))
            save_rules(other, row, [setting.rule(3, "All rows")])
            request_publication(other, row)
        delete_old(db, campaign)

    while setting.advance():
        monkeypatch.setattr("cwz_web.campaigns.progress.delete_old", save_meanwhile)
    assert setting.campaign.is_requested
    assert setting.settle() == 3
    newest, _ = setting.publications()
    assert newest.design_counts == {"3": 4}


@pytest.mark.parametrize("is_approved", [True, False])
def test_window_that_begins_publishes_what_was_approved_for_it(make: Factory, is_approved: bool) -> None:
    now = datetime.now(UTC)
    window = Window(begin=now + timedelta(hours=1), end=now + timedelta(hours=2))
    setting = Setting(make, window=window, is_active=True)
    setting.settle()
    with make.database.transaction(setting.space.id) as db:
        campaign = db.get_one(Campaign, (setting.space.id, setting.campaign.id))
        end, begin, current = list_publications(db, campaign)
        publish(db, campaign, current)
        if is_approved:
            approve(db, campaign, begin, setting.space.id)
        # An hour passes.
        opened = Window(begin=now - timedelta(minutes=1), end=window.end)
        campaign.rules = [
            setting.rule(1, "Acme", 'brand == "Acme"', opened).model_dump(mode="json"),
            *campaign.rules[1:],
        ]
        begin.publish_at = opened.begin
    assert setting.settle() == 0
    states = {each.id: each.state for each in setting.publications()}
    assert states == {
        end.id: PublicationState.SCHEDULED,  # it shows what was public before the window
        begin.id: PublicationState.PUBLISHED if is_approved else PublicationState.HELD,
        current.id: PublicationState.PUBLISHED,
    }
    assert setting.campaign.public_id == (begin.id if is_approved else current.id)


def test_window_is_published_although_the_campaign_is_stopped(make: Factory) -> None:
    now = datetime.now(UTC)
    policy = PublishPolicy(auto_publish=True, max_changed_percent=100).model_dump(mode="json")
    setting = Setting(make, window=Window(begin=now + timedelta(hours=1)), is_active=True, policy=policy)
    setting.settle()
    with make.database.transaction(setting.space.id) as db:
        db.get_one(Template, (setting.space.id, setting.templates[2].id)).deleted_at = now
    key = (setting.space.id, setting.campaign.id)
    with pytest.raises(CampaignStoppedError) as stopped:
        setting.advance()

    def stop() -> Campaign:
        with make.database.transaction(setting.space.id) as db:
            setting.campaign = db.get_one(Campaign, key)
            stop_campaign(db, setting.campaign, str(stopped.value))
        return setting.campaign

    campaign, begin = stop(), setting.publications()[0]
    assert campaign.error_message
    assert (begin.state, campaign.next_at) == (PublicationState.SCHEDULED, begin.publish_at)
    with make.database.transaction(setting.space.id) as db:
        db.merge(begin).publish_at = now  # an hour passes
    assert stop().public_id == begin.id


def test_rows_that_rules_cannot_decide_count_once_among_the_reasons(make: Factory) -> None:
    setting = Setting(make, policy={"auto_publish": True})
    with make.database.transaction(setting.space.id) as db:
        rules = [setting.rule(1, "One", "amount(title) > 3"), setting.rule(2, "Two", "amount(brand) > 3")]
        campaign = db.get_one(Campaign, (setting.space.id, setting.campaign.id))
        save_rules(db, campaign, [*rules, setting.rule(3, "All others")])
    setting.settle()
    (publication,) = setting.publications()
    assert publication.reasons == [{"code": "unclear", "value": 4, "limit": 0}]

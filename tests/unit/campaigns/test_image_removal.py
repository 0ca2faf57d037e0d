"""Images that left every publication are planned for removal, and removed after a grace period."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select, text, update

from cwz_web.campaigns import publications
from cwz_web.campaigns.image_removal import remove_left_images
from cwz_web.campaigns.models import Campaign, LeavingImage
from cwz_web.generation.models import Image
from cwz_web.runs.image_deletion import delete_images
from cwz_web.workspaces.models import AuditEntry
from tests.factories import Factory
from tests.rendering import work
from tests.unit.campaigns.test_publications import ROWS, Setting


class Removal:
    """A campaign whose only publications are the newest two."""

    def __init__(self, make: Factory, monkeypatch: pytest.MonkeyPatch, **settings: Any) -> None:
        monkeypatch.setattr(publications, "KEPT_PUBLICATIONS", 1)
        self.make, self.setting = make, Setting(make, is_settled=True, is_active=True, **settings)
        self.setting.publish(self.setting.publications()[0])

    def change(self, old: bytes, new: bytes) -> None:
        self.setting.import_rows(ROWS.replace(old, new))
        self.setting.settle()
        self.setting.publish(self.setting.publications()[0])

    def run(self, days: float = 0) -> int:
        return remove_left_images(self.make.database, self.setting.space.id, datetime.now(UTC) + timedelta(days=days))

    def images(self) -> int:
        return self.make.count(Image, self.setting.space.id)

    def leaving(self) -> int:
        return self.make.count(LeavingImage, self.setting.space.id)

    def leave(self) -> None:
        """Replace the image of a row twice, so that the first one is in no kept publication."""
        self.change(b"Red", b"Rose")
        self.change(b"Red", b"Ruby")
        with self.make.database.transaction(self.setting.space.id) as db:
            publications.delete_old(db, db.get_one(Campaign, (self.setting.space.id, self.setting.campaign.id)))

    def campaign(self) -> Campaign:
        reloaded: Campaign = self.make.reload(self.setting.campaign)
        return reloaded


def test_images_are_planned_counted_and_removed_after_the_grace_period(
    make: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    removal = Removal(make, monkeypatch)
    removal.leave()
    before = removal.images()
    assert removal.run() == 0
    planned = removal.leaving()
    assert planned >= 1
    stored = removal.campaign().stored
    assert stored
    assert (stored["images"], stored["leaving"]) == (before, planned)
    assert 0 < stored["leaving_size"] < stored["size"]
    assert removal.run(29) == 0
    assert removal.run(31) == planned
    assert (removal.images(), removal.leaving()) == (before - planned, 0)
    with make.database.transaction(removal.setting.space.id) as db:
        [entry] = db.scalars(select(AuditEntry).where(AuditEntry.action == "campaign.remove_images"))
        assert entry.details["images"] == planned
        assert db.scalar(text("SELECT count(*) FROM procrastinate_jobs WHERE task_name = 'runs.purge_images'")) == 1
    assert all(row["image_url"] for row in removal.setting.output_feed().values())


def test_images_that_are_shown_are_never_removed(make: Factory, monkeypatch: pytest.MonkeyPatch) -> None:
    removal = Removal(make, monkeypatch)
    before = removal.images()
    assert (removal.run(), removal.run(1000)) == (0, 0)
    assert (removal.images(), removal.leaving()) == (before, 0)


def test_image_that_is_shown_again_before_it_is_deleted_is_kept(make: Factory, monkeypatch: pytest.MonkeyPatch) -> None:
    removal = Removal(make, monkeypatch)
    removal.leave()
    before = removal.images()
    with make.database.transaction(removal.setting.space.id) as db:
        for image in db.scalars(select(Image)).all():  # as if a publication showed each of them since it was noted
            db.add(LeavingImage(workspace_id=image.workspace_id, campaign_id=removal.campaign().id, image_id=image.id))
    monkeypatch.setattr("cwz_web.campaigns.image_removal._plan_removal", lambda *_: None)
    shown = {row["image_url"] for row in removal.setting.output_feed().values()}
    assert removal.run(31) == before - removal.images() > 0
    assert {row["image_url"] for row in removal.setting.output_feed().values()} == shown
    assert removal.leaving() == 0


def test_images_that_are_shown_again_are_crossed_out(make: Factory, monkeypatch: pytest.MonkeyPatch) -> None:
    removal = Removal(make, monkeypatch)
    removal.leave()
    removal.run()
    assert removal.leaving()
    removal.setting.import_rows(ROWS)
    removal.setting.settle()
    removal.setting.publish(removal.setting.publications()[0])
    before = removal.images()
    removal.run(31)
    feed = removal.setting.output_feed()
    assert all(row["image_url"] for row in feed.values())
    assert removal.images() <= before


def test_image_of_a_run_without_a_campaign_is_kept(make: Factory, monkeypatch: pytest.MonkeyPatch) -> None:
    removal = Removal(make, monkeypatch)
    template = removal.setting.templates[0]
    work(make, make.run(removal.setting.feed, template, {"title": "title", "image": ""}))
    removal.leave()
    with make.database.transaction(removal.setting.space.id) as db:
        of_run = set(
            db.scalars(
                text("SELECT image_id FROM run_items i JOIN runs r ON r.id = i.run_id WHERE campaign_id IS NULL")
            )
        )
    removal.run()
    removal.run(31)
    with make.database.transaction(removal.setting.space.id) as db:
        assert of_run <= set(db.scalars(select(Image.id)))


def test_campaign_that_keeps_its_images_plans_only(make: Factory, monkeypatch: pytest.MonkeyPatch) -> None:
    removal = Removal(make, monkeypatch, image_days=0)
    removal.leave()
    removal.run()
    assert removal.leaving()
    assert removal.run(10_000) == 0


def test_deleted_image_is_crossed_out(make: Factory, monkeypatch: pytest.MonkeyPatch) -> None:
    removal = Removal(make, monkeypatch)
    removal.leave()
    removal.run()
    with make.database.transaction(removal.setting.space.id) as db:
        delete_images(db, removal.setting.space.id, list(db.scalars(select(LeavingImage.image_id))))
    removal.run()
    assert removal.leaving() == 0


def test_images_wait_for_runs_in_progress(make: Factory, monkeypatch: pytest.MonkeyPatch) -> None:
    removal = Removal(make, monkeypatch)
    removal.leave()
    with make.database.transaction(removal.setting.space.id) as db:
        db.execute(update(Campaign).values(is_requested=True))
        db.execute(text("UPDATE runs SET finished_at = NULL"))
    removal.run()
    assert removal.leaving() == 0

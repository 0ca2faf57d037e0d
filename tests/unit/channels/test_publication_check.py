"""What channels would write of a publication, and what a campaign's policy makes of it."""

from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import func, select, text, update

from cwz_web.campaigns.checks import group_findings, read_groups
from cwz_web.campaigns.decisions import Verdict, decide
from cwz_web.campaigns.models import Campaign, Publication, PublicationState
from cwz_web.campaigns.progress import request_publication
from cwz_web.campaigns.publications import list_publications
from cwz_web.channels import feed, publication_check, tasks
from cwz_web.channels.checks import PolicyCode
from cwz_web.channels.delivery import WriteServices, write_channel
from cwz_web.channels.image_counts import ImageCounts, count_image_issues
from cwz_web.channels.mapping import FieldMapping, FieldSource
from cwz_web.channels.models import Channel
from cwz_web.channels.publication_check import ChannelCheck, check_channels, read_checks
from cwz_web.generation.models import Image
from cwz_web.imaging.encoders import MAX_FILE_BYTES, Output
from cwz_web.runs.image_deletion import delete_images
from cwz_web.runs.models import RunItem
from tests.factories import Factory
from tests.unit.campaigns.test_publications import ROWS, Setting, decision
from tests.unit.channels.feeds import image

FIELDS = [FieldMapping(name="image", source=FieldSource.IMAGE, value="0")]


class Checked:
    """An active campaign with a channel, which publishes on its own what is within its policy."""

    def __init__(self, make: Factory, **policy: Any) -> None:
        self.make = make
        given = {"auto_publish": True, "max_changed_percent": 100, "max_missing": 100, **policy}
        self.setting = Setting(make, is_active=True, policy=given)
        self.channel: Channel = make.channel(self.setting.campaign, FIELDS)

    def newest(self) -> Publication:
        return self.setting.publications()[0]

    def check(self) -> list[ChannelCheck] | None:
        transaction, signed_urls = self.make.database.transaction, self.make.services.signed_urls
        return check_channels(transaction, signed_urls, self.setting.space.id, self.newest().id)

    def write(self) -> None:
        services = self.make.services
        own = WriteServices(services.database, services.providers, services.signed_urls)
        assert write_channel(own, self.setting.space.id, self.channel.id)

    def use_google(self) -> None:
        with self.make.database.transaction(self.setting.space.id) as db:
            stored = db.get_one(Channel, (self.setting.space.id, self.channel.id))
            stored.preset, stored.fields = "google", [image("image_link").model_dump(mode="json")]

    def image_of(self, key: str) -> UUID:
        with self.make.database.transaction(self.setting.space.id) as db:
            own = (RunItem.workspace_id == self.setting.space.id, RunItem.key == key)
            return db.execute(select(RunItem.image_id).where(*own)).scalars().one()

    def set_image_size(self, key: str, size: int) -> UUID:
        image_id = self.image_of(key)
        with self.make.database.transaction(self.setting.space.id) as db:
            db.get_one(Image, (self.setting.space.id, image_id)).size = size
        return image_id

    def check_images(self) -> ImageCounts:
        """Count what Google, or the generic preset, wants otherwise of the images of the newest publication."""
        with self.make.database.transaction(self.setting.space.id) as db:
            campaign = db.get_one(Campaign, (self.setting.space.id, self.setting.campaign.id))
            channel = db.get_one(Channel, (self.setting.space.id, self.channel.id))
            publication = list_publications(db, campaign)[0]
            return count_image_issues(db, campaign, publication, channel.platform, channel.mappings)

    def break_channel(self) -> None:
        """Let the channel leave out all rows, as a platform's required field would."""
        with self.make.database.transaction(self.setting.space.id) as db:
            stored = db.get_one(Channel, (self.setting.space.id, self.channel.id))
            stored.fields = [{"name": "x", "source": "expression", "value": "1 +"}]


def test_checks_are_stored_and_block_nothing_by_default(make: Factory) -> None:
    checked = Checked(make)
    checked.setting.settle()
    assert checked.newest().state == PublicationState.PUBLISHED
    assert read_checks(checked.newest()) is None
    [found] = checked.check() or []
    assert (found.channel, found.rows, found.held, found.new_errors, found.problem) == (checked.channel.id, 4, 0, 0, "")
    assert read_checks(checked.newest()) == [found]


def test_publication_waits_until_its_channels_are_checked(make: Factory) -> None:
    checked = Checked(make, hold_channel_errors=True)
    checked.setting.settle()
    waiting = checked.newest()
    assert (waiting.state, [reason["code"] for reason in waiting.reasons]) == (PublicationState.HELD, ["checking"])
    assert checked.check()
    assert checked.newest().state == PublicationState.SCHEDULED
    checked.setting.settle()
    assert checked.newest().state == PublicationState.PUBLISHED


def test_channel_with_new_errors_holds_the_publication(make: Factory) -> None:
    checked = Checked(make, hold_channel_errors=True)
    checked.setting.settle()
    checked.check()
    checked.setting.settle()
    checked.write()
    checked.break_channel()
    checked.setting.import_rows(ROWS.replace(b"Red", b"Rose"))
    checked.setting.settle()
    [found] = checked.check() or []
    assert (found.new_errors, found.problem[:33]) == (4, "The field “x” cannot be written: ")
    held = checked.newest()
    assert (held.state, held.reasons) == (
        PublicationState.HELD,
        [{"code": "channels", "value": 4, "limit": 0}],
    )
    checked.setting.settle()
    assert checked.newest().state == PublicationState.HELD


def test_images_that_a_platform_refuses_hold_the_publication(make: Factory) -> None:
    checked = Checked(make, hold_refused_images=True)
    checked.use_google()
    checked.setting.settle()
    assert checked.newest().reasons == [{"code": "checking", "value": 0, "limit": 0}]
    large, allowed = checked.set_image_size("2", 16_000_001), checked.set_image_size("3", 16_000_000)
    assert large != allowed
    [found] = checked.check() or []
    assert (found.refused, found.new_refused) == (4, 4)
    issues = {(each.code, each.rows, each.key) for each in found.images if "Plain" not in each.message}
    codes = (PolicyCode.TOO_SMALL, PolicyCode.OVERLAY, PolicyCode.BACKGROUND)
    of_designs = {(code, *rows) for code in codes for rows in ((2, "1"), (1, "2"))}
    assert issues == {*of_designs, (PolicyCode.TOO_MANY_BYTES, 1, "2")}
    assert all(each.field == "image_link" for each in found.images)
    held = checked.newest()
    assert (held.state, held.reasons) == (PublicationState.HELD, [{"code": "images", "value": 4, "limit": 0}])
    checked.setting.approve(held)
    checked.setting.settle()
    # What was approved holds nothing again.
    checked.setting.import_rows(ROWS.replace(b"Red", b"Rose"))
    checked.setting.settle()
    [found] = checked.check() or []
    assert (found.refused, found.new_refused) == (4, 0)
    checked.setting.settle()
    assert checked.newest().state == PublicationState.PUBLISHED
    checked.setting.import_rows(ROWS.replace(b"Red", b"Rose") + b"5,Mug,Zenith,10\n")
    checked.setting.settle()
    [found] = checked.check() or []
    assert (found.new_refused, checked.newest().state) == (1, PublicationState.HELD)


def test_deleted_images_and_photos_are_not_refused(make: Factory) -> None:
    checked = Checked(make, auto_publish=False)
    checked.setting.settle()
    assert checked.check_images() == ImageCounts()  # the generic preset has no rules
    checked.use_google()
    with make.database.transaction(checked.setting.space.id) as db:
        delete_images(db, checked.setting.space.id, [checked.image_of("1")])
    assert checked.check_images().refused == 3
    with make.database.transaction(checked.setting.space.id) as db:
        campaign = db.get_one(Campaign, (checked.setting.space.id, checked.setting.campaign.id))
        decide(db, campaign, list_publications(db, campaign)[0], decision(Verdict.ORIGINAL, keys=["2"]))
    assert checked.check_images().refused == 2


def test_channel_whose_check_fails_is_checked_again_and_then_holds_the_publication(
    make: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked = Checked(make, hold_channel_errors=True)
    checked.setting.settle()
    notified: list[Publication] = []
    monkeypatch.setattr(publication_check, "notify_held", lambda _db, _campaign, held: notified.append(held))

    def fail(*args: Any) -> ChannelCheck:
        raise RuntimeError

    monkeypatch.setattr(publication_check, "_check", fail)
    extra = {"database": make.database, "signed_urls": make.services.signed_urls}
    key = {"workspace_id": str(checked.setting.space.id), "publication_id": str(checked.newest().id)}
    context: Any = SimpleNamespace(additional_context=extra)
    tasks.check_publication(context, **key)
    assert (checked.newest().channel_checks, notified) == (None, [])
    tasks.check_publication(context, **key, attempt=tasks.CHECK_ATTEMPTS)
    [found] = read_checks(checked.newest()) or []
    assert (found.problem, found.new_errors) == (publication_check.UNCHECKED, 4)
    assert (checked.newest().state, len(notified)) == (PublicationState.HELD, 1)
    assert checked.newest().reasons == [{"code": "channels", "value": 4, "limit": 0}]
    # Nothing is known about its images either.
    assert found.new_refused == 4


def test_publication_that_changes_meanwhile_is_checked_again(make: Factory, monkeypatch: pytest.MonkeyPatch) -> None:
    checked = Checked(make, hold_channel_errors=True)
    checked.setting.settle()
    check = publication_check._check

    def changed(*args: Any) -> ChannelCheck:
        with make.database.transaction(checked.setting.space.id) as db:
            db.get_one(Publication, (checked.setting.space.id, checked.newest().id)).timeline += 1
        return check(*args)

    monkeypatch.setattr(publication_check, "_check", changed)
    assert checked.check() is None
    assert checked.newest().channel_checks is None


def test_campaign_without_channels_does_not_wait_long(make: Factory) -> None:
    checked = Checked(make, hold_channel_errors=True)
    with make.database.transaction(checked.setting.space.id) as db:
        db.delete(db.get_one(Channel, (checked.setting.space.id, checked.channel.id)))
    checked.setting.settle()
    assert checked.check() == []
    assert checked.newest().state == PublicationState.SCHEDULED


def test_feed_that_is_too_large_is_a_problem_of_the_channel(make: Factory, monkeypatch: pytest.MonkeyPatch) -> None:
    checked = Checked(make)
    checked.setting.settle()
    monkeypatch.setattr(feed, "MAX_BYTES", 20)
    [found] = checked.check() or []
    assert (found.new_errors, found.problem) == (4, feed.TOO_LARGE)
    services = make.services
    own = WriteServices(services.database, services.providers, services.signed_urls)
    assert not write_channel(own, checked.setting.space.id, checked.channel.id)
    assert make.reload(checked.channel).error_message == feed.TOO_LARGE
    with make.database.transaction() as db:
        queued = "SELECT count(*) FROM procrastinate_jobs WHERE task_name = 'channels.write'"
        assert db.scalar(text(queued)) == 0, "only a change helps"


def test_files_that_cannot_be_as_small_as_the_platform_takes_are_faults_of_their_rows(make: Factory) -> None:
    checked = Checked(make)
    checked.setting.settle()
    sizes: dict[int, int] = {}
    for max_bytes in (1000, MAX_FILE_BYTES, 6000):
        with make.database.transaction(checked.setting.space.id) as db:
            campaign = db.get_one(Campaign, (checked.setting.space.id, checked.setting.campaign.id))
            campaign.outputs = [Output(scale=3, max_bytes=max_bytes).model_dump(mode="json")]
            request_publication(db, campaign)
        checked.setting.settle()
        with make.database.transaction(checked.setting.space.id) as db:
            newest = list_publications(db, campaign)[0]
            group_findings(db, newest)
            faults = sum(each.rows for each in read_groups(newest) or [] if each.code == "failed")
            sizes[max_bytes] = db.scalar(select(func.max(Image.size)).where(Image.width == 900)) or 0
            db.execute(update(Image).values(width=1))
        assert faults == (4 if max_bytes == 1000 else 0)
    assert sizes[1000] == 0
    assert 0 < sizes[6000] <= 6000 < sizes[MAX_FILE_BYTES]

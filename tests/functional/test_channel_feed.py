"""The feed of a channel: written with a publication, served at a signed URL, and delivered to a bucket."""

import csv
import dataclasses
import gzip
import json
import os
import signal
from io import StringIO
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import boto3
import pytest
import requests
from pyramid.router import Router
from sqlalchemy import select, text, update
from webtest import TestApp

from cwz_web.api import signed_urls
from cwz_web.campaigns.models import Campaign
from cwz_web.campaigns.publications import list_publications, roll_back
from cwz_web.channels import delivery
from cwz_web.channels.delivery import WriteServices, stable_key, write_channel
from cwz_web.channels.editing import delete_channel, extension_of, save_channel
from cwz_web.channels.fetch_log import last_fetches
from cwz_web.channels.mapping import FieldMapping, FieldSource
from cwz_web.channels.models import Channel, FeedFetch
from cwz_web.db.session import Database
from cwz_web.feeds.models import Feed
from cwz_web.jobs import CHANNELS_QUEUE
from cwz_web.notify.models import Webhook, WebhookDelivery
from cwz_web.notify.webhooks import Event
from cwz_web.storage.connections import create_connection, get_default_connection, set_default_connection
from cwz_web.storage.contract import Bucket, StorageUnreachableError
from cwz_web.storage.models import Connection
from cwz_web.storage.plugins import ProviderRegistry
from cwz_web.web.services import Services
from cwz_web.workspaces.models import Workspace
from tests.emulators import BUCKET, host_of, moto_server
from tests.factories import Factory
from tests.functional.test_storage import KEY, SECRET
from tests.jobs import run_jobs
from tests.unit.campaigns.test_publications import ROWS, Setting

FIELDS = [
    FieldMapping(name="id", source=FieldSource.KEY),
    FieldMapping(name="title", source=FieldSource.COLUMN, value="title"),
    FieldMapping(name="image", source=FieldSource.IMAGE, value="0"),
]


class Reader:
    """A campaign with a channel, and a client of its feed."""

    def __init__(self, make: Factory, wsgi: Router) -> None:
        self.make, self.app = make, TestApp(wsgi)
        self.setting = Setting(make, is_settled=True, is_active=True)
        self.space = self.setting.space
        with make.database.transaction(self.space.id) as db:
            self.connection_id = get_default_connection(db, self.space.id).id
        self.channel = make.channel(self.setting.campaign, FIELDS, connection_id=self.connection_id)

    @property
    def services(self) -> WriteServices:
        services = self.make.services
        return WriteServices(services.database, services.providers, services.signed_urls)

    @property
    def bucket(self) -> Bucket:
        with self.make.database.transaction(self.space.id) as db:
            spec = get_default_connection(db, self.space.id).spec
        return self.make.services.providers.open(spec)

    def keys(self) -> list[str]:
        return [info.key for info in self.bucket.list(f"{self.space.id}/feeds/")]

    def publish_next(self) -> None:
        self.setting.publish(self.setting.publications()[0])

    def write(self) -> bool:
        return write_channel(self.services, self.space.id, self.channel.id)

    def change(self, fields: list[FieldMapping] | None = None, **settings: Any) -> None:
        with self.make.database.transaction(self.space.id) as db:
            channel = db.get_one(Channel, (self.space.id, self.channel.id))
            campaign = db.get_one(Campaign, (self.space.id, channel.campaign_id))
            save_channel(db, campaign, channel, fields or FIELDS, **settings)

    def saved(self) -> Channel:
        reloaded: Channel = self.make.reload(self.channel)
        return reloaded

    def url(self, extension: str = "", channel: UUID | None = None, space: Workspace | None = None) -> str:
        signed_urls, found = self.make.services.signed_urls, self.saved()
        with self.make.database.transaction(self.space.id) as db:
            workspace = space or db.get_one(Workspace, self.space.id)
        url = signed_urls.channel_feed(workspace, channel or found.id, extension or extension_of(found))
        parts = urlsplit(url)
        return f"{parts.path}?{parts.query}"

    def rows(self) -> list[dict[str, str]]:
        return list(csv.DictReader(StringIO(self.app.get(self.url()).text)))

    def delivered(self) -> bytes:
        return self.bucket.get(stable_key(self.saved()))


@pytest.fixture
def reader(make: Factory, wsgi: Router) -> Reader:
    return Reader(make, wsgi)


def test_feed_is_written_with_the_publication_served_and_delivered(reader: Reader, make: Factory) -> None:
    reader.app.get(reader.url(), status=404)
    assert not reader.write()
    reader.publish_next()
    waiting = reader.app.get(reader.url(), status=503)
    assert waiting.headers["Retry-After"] == "60"
    assert reader.write()
    answer = reader.app.get(reader.url())
    assert (answer.content_type, answer.headers["Cache-Control"]) == ("text/csv", "no-cache")
    rows = reader.rows()
    assert [row["id"] for row in rows] == ["1", "2", "3", "4"]
    assert [row["title"] for row in rows] == ["Red", "Blue", "Green", "Gray"]
    parts = urlsplit(rows[0]["image"])
    assert reader.app.get(f"{parts.path}?{parts.query}").body.startswith(b"\xff\xd8")
    assert reader.delivered() == answer.body
    head = reader.bucket.head(stable_key(reader.saved()))
    assert head.content_type.startswith("text/csv")
    channel = reader.saved()
    assert (channel.report["rows"], channel.size, channel.error_message) == (4, len(answer.body), None)
    assert not reader.write(), "the same publication is not written again"


def test_feed_follows_the_public_url_of_its_images_and_is_delivered_only_if_it_changes(
    reader: Reader, make: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    delivered: list[str] = []
    deliver = delivery._deliver

    def count(*args: Any) -> None:
        delivered.append(reader.saved().version or "")
        deliver(*args)

    def prove(connection_id: UUID, base_url: str) -> None:
        with make.database.transaction(reader.space.id) as db:
            db.get_one(Connection, (reader.space.id, connection_id)).proven_base_url = base_url

    monkeypatch.setattr(delivery, "_deliver", count)
    reader.publish_next()
    assert reader.write()
    assert "/i/images/" in reader.rows()[0]["image"]
    prove(reader.connection_id, "https://cdn.example")
    assert reader.write()
    assert reader.rows()[0]["image"].startswith(f"https://cdn.example/{reader.space.id}/images/")
    assert (reader.delivered().count(b"https://cdn.example"), len(delivered)) == (4, 2)
    # The URLs of another connection are in no row.
    with make.database.transaction(reader.space.id) as db:
        settings = {"region": "us-east-1", "bucket": BUCKET, "endpoint": "standard"}
        secrets = {"access_key_id": KEY, "secret_access_key": SECRET}
        own = {"provider": "s3", "name": "Other", "settings": settings, "secrets": secrets}
        other = create_connection(db, reader.space.id, make.services.ring, **own).id
        set_default_connection(db, db.get_one(Connection, (reader.space.id, reader.connection_id)))
    for base_url in ("https://other.example", ""):
        prove(other, base_url)
        assert reader.write()
    assert len(delivered) == 2
    # An object that was removed is delivered again.
    reader.bucket.delete_many([stable_key(reader.saved())])
    prove(other, "https://other.example")
    assert reader.write()
    assert (reader.delivered().count(b"https://cdn.example"), len(delivered)) == (4, 3)


def test_feed_switches_with_publications_and_back(reader: Reader, make: Factory) -> None:
    setting = reader.setting
    reader.publish_next()
    reader.write()
    before = reader.delivered()
    setting.import_rows(ROWS.replace(b"Red", b"Rose"))
    setting.settle()
    assert not reader.write(), "what is not public is not written"
    reader.publish_next()
    assert reader.app.get(reader.url()).body == before, "the last good file is served until the next one is written"
    assert reader.write()
    assert b"Rose" in reader.delivered()
    with make.database.transaction(reader.space.id) as db:
        campaign = db.get_one(Campaign, (reader.space.id, setting.campaign.id))
        first = next(each for each in list_publications(db, campaign) if each.number == 1)
        roll_back(db, campaign, first)
    assert reader.write()
    assert reader.delivered() == before == reader.app.get(reader.url()).body
    prefix, keys = f"{reader.space.id}/feeds/{reader.channel.id}/", reader.keys()
    assert len([key for key in keys if key.startswith(prefix)]) == 1, "older files are deleted"


def test_publishing_enqueues_the_channels(reader: Reader, make: Factory) -> None:
    reader.publish_next()
    with make.database.transaction() as db:
        [arguments] = db.scalars(
            text("SELECT args FROM procrastinate_jobs WHERE task_name = 'channels.write_campaign'")
        ).all()
    assert arguments["campaign_id"] == str(reader.setting.campaign.id)


def test_compressed_feeds(reader: Reader) -> None:
    reader.publish_next()
    reader.write()
    plain = reader.app.get(reader.url()).body
    encoded = reader.app.get(reader.url(), headers={"Accept-Encoding": "gzip"})
    assert (encoded.headers["ETag"][-6:], encoded.headers["Vary"]) == ('-gzip"', "Accept-Encoding")
    assert encoded.body == plain, "WebTest decompresses it"
    zipped = reader.app.get(reader.url("csv.gz"), headers={"Accept-Encoding": "identity"})
    assert (zipped.content_type, zipped.headers.get("Content-Encoding")) == ("application/gzip", None)
    assert gzip.decompress(zipped.body) == plain
    reader.change(is_gzipped=True)
    reader.write()
    assert stable_key(reader.saved()).endswith("/shop.csv.gz")
    assert gzip.decompress(reader.delivered()) == plain


def test_unchanged_feed_is_not_sent_again(reader: Reader) -> None:
    reader.publish_next()
    reader.write()
    first = reader.app.get(reader.url())
    for known in (
        {"If-None-Match": first.headers["ETag"]},
        {"If-Modified-Since": first.headers["Last-Modified"]},
        {"If-None-Match": "*"},
    ):
        assert reader.app.get(reader.url(), headers=known, status=304).body == b""
    reader.app.get(reader.url(), headers={"If-None-Match": '"other"'}, status=200)
    reader.app.get(reader.url(), headers={"If-Modified-Since": "Mon, 01 Jan 2024 00:00:00 GMT"}, status=200)
    head = reader.app.head(reader.url())
    assert int(head.headers["Content-Length"]) == len(first.body)
    reader.setting.import_rows(ROWS.replace(b"Red", b"Rose"))
    reader.setting.settle()
    reader.publish_next()
    reader.write()
    reader.app.get(reader.url(), headers={"If-None-Match": first.headers["ETag"]}, status=200)


def test_other_formats_have_urls_of_their_own(reader: Reader) -> None:
    reader.publish_next()
    reader.change(format="jsonl")
    reader.write()
    answer = reader.app.get(reader.url())
    assert [json.loads(line)["id"] for line in answer.text.splitlines()] == ["1", "2", "3", "4"]
    reader.app.get(reader.url("csv"), status=404)
    reader.app.get(reader.url("exe"), status=404)


def test_signatures_ids_and_deleted_channels(reader: Reader, make: Factory) -> None:
    reader.publish_next()
    reader.write()
    url, other = reader.url(), make.workspace()
    for wrong in (
        url.replace("&s=", "&s=x"),
        url.partition("?")[0],
        url + "&column=title",
        url.replace("k=1", "k=2"),
        url.replace(str(reader.space.id), str(other.id)),
        url.replace("/channels/", "/campaigns/"),
        url.replace(".csv?", ".csv.gz?"),
    ):
        assert reader.app.get(wrong, status=403).json["code"] == "invalid_signature"
    assert not make.count(FeedFetch, reader.space.id)
    reader.app.get(reader.url(channel=uuid4()), status=404)
    reader.app.get(reader.url(space=other), status=404)
    for model in (Campaign, Feed):
        with make.database.transaction(reader.space.id) as db:
            db.execute(update(model).values(deleted_at="2026-01-01T00:00:00Z"))
        reader.app.get(url, status=404)
        assert not reader.write()
        with make.database.transaction(reader.space.id) as db:
            db.execute(update(model).values(deleted_at=None))
    reader.app.get(url, status=200)
    with make.database.transaction(reader.space.id) as db:
        delete_channel(db.get_one(Channel, (reader.space.id, reader.channel.id)))
    reader.app.get(url, status=404)
    assert not reader.write()


def test_retired_signing_key_revokes_the_url(reader: Reader, make: Factory) -> None:
    reader.publish_next()
    reader.write()
    url = reader.url()
    reader.app.get(url, status=200)
    with make.database.transaction(reader.space.id) as db:
        workspace = db.get_one(Workspace, reader.space.id)
        workspace.signing_key_number = workspace.oldest_signing_key_number = 2
    assert reader.app.get(url, status=403).json["code"] == "invalid_signature"
    reader.app.get(reader.url(), status=200)


def test_damaged_object_is_never_sent_and_is_written_again(reader: Reader) -> None:
    reader.publish_next()
    reader.write()
    good, key = reader.app.get(reader.url()).body, reader.saved().object_key
    assert key
    zipped = reader.bucket.get(key)
    for damaged in (zipped[:-5], zipped + b"x", b"x" * len(zipped), zipped[:-8] + b"\0" * 8, None):
        if damaged is None:
            reader.bucket.delete(key)
        else:
            reader.bucket.put(key, damaged, content_type="application/gzip")
        answer = reader.app.get(reader.url(), status=503)
        assert (answer.json["code"], answer.headers["Retry-After"]) == ("storage_unavailable", "60")
        reader.bucket.delete(key)
        reader.change()
        assert reader.write()
        assert reader.app.get(reader.url()).body == good


def test_storage_that_fails_delays_the_feed_and_keeps_the_last_one(
    reader: Reader, make: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader.publish_next()
    reader.write()
    before, bucket = reader.delivered(), reader.bucket
    reader.setting.import_rows(ROWS.replace(b"Red", b"Rose"))
    reader.setting.settle()
    reader.publish_next()

    def fail(*args: Any, **options: Any) -> None:
        raise StorageUnreachableError("The storage does not respond")

    with monkeypatch.context() as patch:
        patch.setattr(type(bucket), "put", fail)
        assert not reader.write()
        assert not reader.write()
        assert (reader.saved().error_message, reader.saved().failures) == ("The storage does not respond", 2)
        with make.database.transaction() as db:
            queued = "SELECT extract(epoch FROM scheduled_at - now()) FROM procrastinate_jobs WHERE task_name = :task"
            [wait] = db.scalars(text(queued), {"task": delivery.WRITE_TASK})
        assert 0 < wait < 3, "it is tried again"
        assert reader.app.get(reader.url()).body == before == reader.delivered()
        patch.setattr(type(bucket), "stream", fail)
        reader.app.get(reader.url(), status=503)
    assert reader.write()
    assert b"Rose" in reader.delivered()
    assert (reader.saved().error_message, reader.saved().failures) == (None, 0)


def test_mapping_that_cannot_be_used_keeps_the_last_feed(reader: Reader, make: Factory) -> None:
    reader.publish_next()
    reader.write()
    before = reader.delivered()
    with make.database.transaction(reader.space.id) as db:
        broken = [{"name": "x", "source": "expression", "value": "1 +"}]
        db.execute(update(Channel).values(fields=broken, version=None))
    assert not reader.write()
    assert (reader.saved().error_message or "").startswith("The field “x” cannot be written: ")
    assert reader.app.get(reader.url()).body == before == reader.delivered()


def test_job_that_was_overtaken_has_the_feed_written_again(
    reader: Reader, make: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker without a heartbeat wakes up after its successor, and puts the older publication over the newer one."""
    reader.publish_next()
    deliver, setting = delivery._deliver, reader.setting

    def overtaken(*args: Any) -> None:
        monkeypatch.setattr(delivery, "_deliver", deliver)
        setting.import_rows(ROWS.replace(b"Red", b"Rose"))
        setting.settle()
        reader.publish_next()
        assert reader.write()
        assert b"Rose" in reader.delivered()
        deliver(*args)
        assert b"Rose" not in reader.delivered()

    monkeypatch.setattr(delivery, "_deliver", overtaken)
    assert not reader.write()
    assert reader.write(), "it was enqueued again"
    assert b"Rose" in reader.delivered()
    with make.database.transaction() as db:
        queued = "SELECT count(*) FROM procrastinate_jobs WHERE task_name = 'channels.write'"
        assert db.scalar(text(queued)) == 1


def test_change_while_a_job_writes_is_written_too(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    reader.publish_next()
    deliver = delivery._deliver

    def changed(*args: Any) -> None:
        monkeypatch.setattr(delivery, "_deliver", deliver)
        reader.change(FIELDS[:1])
        deliver(*args)

    monkeypatch.setattr(delivery, "_deliver", changed)
    reader.write()
    assert reader.write()
    assert list(reader.rows()[0]) == ["id"]


def test_fetches_are_counted_by_family_and_minute(reader: Reader, make: Factory) -> None:
    reader.publish_next()
    reader.write()
    meta = {"User-Agent": "facebookexternalhit/1.1"}
    first = reader.app.get(reader.url(), headers=meta)
    reader.app.get(reader.url(), headers={**meta, "If-None-Match": first.headers["ETag"]}, status=304)
    reader.app.get(reader.url(), headers={"User-Agent": "x" * 2000 + "google"})
    make.services.feed_fetches.flush()
    reader.app.get(reader.url(), headers=meta)
    make.services.feed_fetches.flush()
    with make.database.transaction(reader.space.id) as db:
        counts = list(db.scalars(select(FeedFetch)))
        last = last_fetches(db, reader.space.id, reader.setting.campaign.id)
    assert {each.family for each in counts} == {"meta", "other"}
    found = [each for each in counts if each.family == "meta"]
    assert len(found) <= 2, "a minute can end meanwhile"
    sums = [sum(getattr(each, name) for each in found) for name in ("fetches", "failed", "size")]
    assert sums == [3, 0, 2 * len(first.body)]
    assert last[reader.channel.id].family in ("meta", "other")


def test_log_that_fails_does_not_disturb_the_response(
    reader: Reader, make: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader.publish_next()
    reader.write()
    reader.app.get(reader.url())
    monkeypatch.setattr(make.services.feed_fetches, "_database", make.services.database)
    with make.database.transaction(reader.space.id) as db:
        db.execute(update(Campaign).values(name="x"))
    make.services.feed_fetches.add(
        reader.space.id, uuid4(), uuid4(), user_agent="x", status=200, size=1
    )  # of a campaign that does not exist
    make.services.feed_fetches.flush()
    reader.app.get(reader.url(), status=200)


def test_killed_worker_leaves_the_old_file_whole(reader: Reader, make: Factory) -> None:
    reader.publish_next()
    reader.write()
    before = reader.delivered()
    reader.setting.import_rows(ROWS.replace(b"Red", b"Rose"))
    reader.setting.settle()
    reader.publish_next()
    child = os.fork()
    if not child:  # the worker, which is killed just before it replaces the object
        delivery._deliver = lambda *args: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[assignment]
        services = dataclasses.replace(
            reader.services, database=Database(make.services.settings.database.url.get_secret_value())
        )
        write_channel(services, reader.space.id, reader.channel.id)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL
    assert reader.delivered() == before == reader.app.get(reader.url()).body
    assert reader.write(), "the job runs again"
    assert b"Rose" in reader.delivered()


def test_bucket_answers_while_the_application_does_not(make: Factory, services: Services) -> None:
    """The feed and its images are read from the object store alone, as a platform does while our server is off."""
    with moto_server() as url:
        client = boto3.client(
            "s3", endpoint_url=url, region_name="us-east-1", aws_access_key_id=KEY, aws_secret_access_key=SECRET
        )
        objects = f"arn:aws:s3:::{BUCKET}/*"
        everyone = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": objects}
        client.put_bucket_policy(Bucket=BUCKET, Policy=json.dumps({"Version": "2012-10-17", "Statement": [everyone]}))
        operator = {**services.settings.storage, "s3": {"endpoint": url}}
        providers = ProviderRegistry(operator, allow=[host_of(url)], ring=services.ring)
        maker = Factory(dataclasses.replace(services, providers=providers))
        setting = Setting(maker)
        with make.database.transaction(setting.space.id) as db:
            connection = create_connection(
                db,
                setting.space.id,
                services.ring,
                provider="s3",
                name="Our bucket",
                settings={"region": "us-east-1", "bucket": BUCKET, "endpoint": "standard"},
                secrets={"access_key_id": KEY, "secret_access_key": SECRET},
            )
            connection.proven_base_url = f"{url}/{BUCKET}"
            set_default_connection(db, connection)
        setting.settle()
        setting.publish(setting.publications()[0])
        channel = make.channel(setting.campaign, FIELDS, connection_id=connection.id)
        own = WriteServices(services.database, providers, services.signed_urls)
        assert write_channel(own, setting.space.id, channel.id), make.reload(channel).error_message
        answer = requests.get(f"{url}/{BUCKET}/{stable_key(make.reload(channel))}", timeout=10)
        assert answer.status_code == 200
        assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
        assert answer.headers["Cache-Control"] == "public, max-age=300"
        assert "Content-Encoding" not in answer.headers
        rows = list(csv.DictReader(StringIO(answer.text)))
        assert [row["title"] for row in rows] == ["Red", "Blue", "Green", "Gray"]
        for row in rows:
            assert row["image"].startswith(f"{url}/{BUCKET}/{setting.space.id}/images/")
            assert requests.get(row["image"], timeout=10).content.startswith(b"\xff\xd8")


def test_webhooks_are_notified_of_changes_and_of_the_first_failure(
    reader: Reader, make: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    with make.database.transaction(reader.space.id) as db:
        events = [Event.CHANNEL_WRITTEN, Event.CHANNEL_FAILED]
        db.add(Webhook(workspace_id=reader.space.id, url="https://shop.example/hook", events=events))
    reader.publish_next()
    reader.write()
    reader.change()
    reader.write()

    def fail(*args: Any, **options: Any) -> None:
        raise StorageUnreachableError("The storage does not respond")

    reader.change(FIELDS[:1])
    with monkeypatch.context() as patch:
        patch.setattr(type(reader.bucket), "put", fail)
        reader.write()
        reader.write()
    with make.database.transaction(reader.space.id) as db:
        bodies = [json.loads(each.body) for each in db.scalars(select(WebhookDelivery).order_by(WebhookDelivery.id))]
    assert [body["type"] for body in bodies] == ["channel.written", "channel.failed"], "an equal feed is no change"
    assert (bodies[0]["data"]["rows"], bodies[1]["data"]["error"]) == (4, "The storage does not respond")


def test_feed_without_rows_does_not_replace_one_with_rows(reader: Reader, make: Factory) -> None:
    reader.publish_next()
    reader.write()
    before = reader.delivered()
    with make.database.transaction(reader.space.id) as db:
        own = [{"name": "id", "source": "key", "value": ""}]
        db.execute(update(Channel).values(preset="google", format="csv", fields=own, version=None))
    assert not reader.write()
    saved = reader.saved()
    assert (saved.error_message, saved.report["rows"]) == (delivery.EMPTY, 0)
    assert saved.report["findings"], "the page says why"
    assert reader.delivered() == before == reader.app.get(reader.url()).body


def test_reader_enqueues_nothing_while_a_channel_waits_for_a_change(reader: Reader, make: Factory) -> None:
    reader.publish_next()
    with make.database.transaction(reader.space.id) as db:
        db.execute(update(Channel).values(fields=[{"name": "x", "source": "expression", "value": "1 +"}]))
    count = "SELECT count(*) FROM procrastinate_jobs WHERE task_name = 'channels.write'"
    assert not reader.write()
    reader.app.get(reader.url(), status=503)
    with make.database.transaction() as db:
        assert db.scalar(text(count)) == 0


def test_channel_that_waits_for_its_storage_does_not_hold_others_of_the_workspace(
    reader: Reader, make: Factory
) -> None:
    other = make.channel(reader.setting.campaign, FIELDS)
    with make.database.transaction(reader.space.id) as db:
        delivery.enqueue_write(db, db.get_one(Channel, (reader.space.id, reader.channel.id)), wait=300)
        delivery.enqueue_write(db, db.get_one(Channel, (reader.space.id, other.id)))
    with make.database.transaction() as db:
        jobs = db.execute(
            text("SELECT lock, priority, queue_name FROM procrastinate_jobs WHERE task_name = :task ORDER BY id"),
            {"task": delivery.WRITE_TASK},
        ).all()
    lock = f"channels of {reader.space.id}"
    assert jobs == [(lock, -1, CHANNELS_QUEUE), (lock, 0, CHANNELS_QUEUE)]
    services = make.services
    context: dict[str, object] = {
        "database": services.database,
        "providers": services.providers,
        "signed_urls": services.signed_urls,
    }
    run_jobs(services.settings.database.url.get_secret_value(), CHANNELS_QUEUE, context)
    with make.database.transaction() as db:
        assert db.scalar(text("SELECT count(*) FROM procrastinate_jobs WHERE task_name = 'channels.write'")) == 1


def test_damaged_object_of_the_same_size_is_not_sent_compressed_and_is_stored_again(reader: Reader) -> None:
    reader.publish_next()
    reader.write()
    key = reader.saved().object_key
    assert key
    good = reader.bucket.get(key)
    reader.bucket.put(key, b"x" * len(good), content_type="application/gzip")
    reader.app.get(reader.url("csv.gz"), status=503)
    assert reader.write()
    assert reader.app.get(reader.url("csv.gz"), headers={"Accept-Encoding": "identity"}).body == good


def test_readers_of_large_feeds_without_compression_are_limited(
    reader: Reader, make: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signed_urls, "LARGE_FEED", 10)
    reader.publish_next()
    reader.write()
    limiter = make.services.unpacked_feeds
    for _ in range(3):
        reader.app.get(reader.url(), status=200)
    with limiter.slot(reader.space.id), limiter.slot(reader.space.id):
        busy = reader.app.get(reader.url(), status=503)
        assert busy.headers["Retry-After"]
        reader.app.get(reader.url(), headers={"Accept-Encoding": "gzip"}, status=200)
    reader.app.get(reader.url(), status=200)

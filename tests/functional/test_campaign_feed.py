"""The output feed of a campaign: the rows of its public publication, at a signed URL."""

import csv
from io import StringIO
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import pytest
from pyramid.router import Router
from sqlalchemy import update
from webtest import TestApp

from cwz_web.campaigns.decisions import Decision, Verdict, decide
from cwz_web.campaigns.models import Campaign, Publication
from cwz_web.campaigns.publications import discard, list_publications, roll_back
from cwz_web.feeds.models import Feed
from cwz_web.runs.image_deletion import delete_images, restore_images
from cwz_web.workspaces.models import Workspace
from tests.factories import Factory
from tests.unit.campaigns.test_publications import API_KEY, ROWS, Setting


class Reader:
    """A campaign, and a client of its output feed."""

    def __init__(self, make: Factory, wsgi: Router) -> None:
        self.make, self.app, self.setting = make, TestApp(wsgi), Setting(make, is_settled=True, is_active=True)

    def url(self, column: str = "", campaign: UUID | None = None) -> str:
        with self.make.database.transaction(self.setting.space.id) as db:
            workspace = db.get_one(Workspace, self.setting.space.id)
        signed = self.make.services.signed_urls.campaign_feed(workspace, campaign or self.setting.campaign.id, column)
        parts = urlsplit(signed)
        return f"{parts.path}?{parts.query}"

    def body(self) -> bytes:
        return bytes(self.app.get(self.url()).body)

    def rows(self, column: str = "") -> list[dict[str, str]]:
        return list(csv.DictReader(StringIO(self.app.get(self.url(column)).text)))

    def publish_next(self) -> Publication:
        publication = self.setting.publications()[0]
        self.setting.publish(publication)
        return publication


@pytest.fixture
def reader(make: Factory, wsgi: Router) -> Reader:
    return Reader(make, wsgi)


def test_nothing_is_found_before_anything_is_public(reader: Reader, make: Factory) -> None:
    reader.app.get(reader.url(), status=404)
    reader.publish_next()
    answer = reader.app.get(reader.url())
    assert (answer.content_type, answer.headers["Cache-Control"]) == ("text/csv", "no-cache")
    rows = reader.rows()
    assert [row["sku"] for row in rows] == ["1", "2", "3", "4"]
    assert [row["design_rule"] for row in rows] == ["Acme", "Zenith", "Acme", "All others"]
    parts = urlsplit(rows[0]["image_url"])
    assert reader.app.get(f"{parts.path}?{parts.query}").body.startswith(b"\xff\xd8")
    assert list(reader.rows("title")[0]) == ["sku", "title", "brand", "price", "design_rule", "design_label"]
    reader.app.get(reader.url(campaign=uuid4()), status=404)
    for model in (Campaign, Feed):
        with make.database.transaction(reader.setting.space.id) as db:
            db.execute(update(model).values(deleted_at="2026-01-01T00:00:00Z"))
        reader.app.get(reader.url(), status=404)
        with make.database.transaction(reader.setting.space.id) as db:
            db.execute(update(model).values(deleted_at=None))
        reader.app.get(reader.url())


def test_changed_photo_column_is_not_public(reader: Reader, make: Factory) -> None:
    reader.publish_next()
    tag = {"If-None-Match": reader.app.get(reader.url()).headers["ETag"]}
    with make.database.transaction(reader.setting.space.id) as db:
        db.execute(update(Campaign).values(photo_column="title"))
    reader.app.get(reader.url(), headers=tag, status=304)


def test_column_of_the_feed_with_the_name_of_the_rule_is_there_once(reader: Reader) -> None:
    data = ROWS.replace(b"price", b"design_rule")
    reader.setting.import_rows(data)
    reader.setting.settle()
    reader.publish_next()
    header = reader.app.get(reader.url()).text.splitlines()[0].split(",")
    assert header == ["sku", "title", "brand", "design_rule", "image_url", "design_label"]
    assert reader.rows()[0]["design_rule"] == "Acme"


def test_feed_switches_whole_and_back_to_the_same_bytes(reader: Reader, make: Factory) -> None:
    setting = reader.setting
    reader.publish_next()
    before = reader.body()
    setting.import_rows(ROWS.replace(b"Red", b"Rose").replace(b"4,Gray,Other,40\n", b"5,Black,Acme,50\n"))
    setting.settle()
    assert reader.body() == before, "rendered images are not public"
    with make.database.transaction(setting.space.id) as db:
        campaign = db.get_one(Campaign, (setting.space.id, setting.campaign.id))
        waiting = list_publications(db, campaign)[0]
        assert decide(db, campaign, waiting, Decision(verdict=Verdict.FORMER, actor=API_KEY, keys=["1"])) == 1
    assert reader.body() == before, "a decision is not public"
    reader.publish_next()
    after = reader.body()
    assert [row["sku"] for row in reader.rows()] == ["1", "2", "3", "5"]
    with make.database.transaction(setting.space.id) as db:
        campaign = db.get_one(Campaign, (setting.space.id, setting.campaign.id))
        first = next(each for each in list_publications(db, campaign) if each.number == 1)
        roll_back(db, campaign, first)
    assert reader.body() == before != after


def test_discarded_publication_leaves_what_is_public(reader: Reader, make: Factory) -> None:
    setting = reader.setting
    reader.publish_next()
    before = reader.body()
    setting.import_rows(ROWS.replace(b"Red", b"Rose"))
    setting.settle()
    with make.database.transaction(setting.space.id) as db:
        campaign = db.get_one(Campaign, (setting.space.id, setting.campaign.id))
        discard(db, campaign, list_publications(db, campaign)[0])
    setting.settle()
    assert reader.body() == before


def test_deleted_image_leaves_an_empty_cell(reader: Reader, make: Factory) -> None:
    setting = reader.setting
    reader.publish_next()
    before = reader.body()
    tag = {"If-None-Match": reader.app.get(reader.url()).headers["ETag"]}
    image = UUID(reader.rows()[0]["image_url"].partition("?")[0].rpartition("/")[2].partition(".")[0])
    with make.database.transaction(setting.space.id) as db:
        batch = delete_images(db, setting.space.id, [image])
    assert reader.app.get(reader.url(), headers=tag).status_int == 200
    rows = reader.rows()
    assert [bool(row["image_url"]) for row in rows] == [False, True, True, True]
    assert rows[0]["title"] == "Red"
    assert reader.rows("title")[0]["title"] == "Red", "a column of the feed keeps its value"
    with make.database.transaction(setting.space.id) as db:
        restore_images(db, setting.space.id, batch)
    assert reader.body() == before


def test_unchanged_feed_is_not_sent_again(reader: Reader) -> None:
    reader.publish_next()
    tag = {"If-None-Match": reader.app.get(reader.url()).headers["ETag"]}
    assert reader.app.get(reader.url(), headers=tag, status=304).body == b""
    assert reader.app.get(reader.url("title"), headers=tag).status_int == 200
    head = reader.app.head(reader.url())
    assert int(head.headers["Content-Length"]) == len(reader.body())
    reader.setting.import_rows(ROWS.replace(b"Red", b"Rose"))
    reader.setting.settle()
    reader.app.get(reader.url(), headers=tag, status=304)
    reader.publish_next()
    assert reader.app.get(reader.url(), headers=tag).status_int == 200


def test_rate_limit_counts_written_feeds_only(reader: Reader) -> None:
    reader.publish_next()
    tag = {"If-None-Match": reader.app.get(reader.url()).headers["ETag"]}
    for _ in range(29):
        reader.app.get(reader.url(), headers=tag, status=304)
        reader.app.get(reader.url(), status=200)
    assert int(reader.app.get(reader.url(), status=429).headers["Retry-After"]) > 0
    reader.app.get(reader.url(), headers=tag, status=304)


def test_invalid_signatures_and_other_workspaces_are_rejected(reader: Reader, make: Factory) -> None:
    reader.publish_next()
    url, other = reader.url(), make.workspace()
    for wrong in (
        url.replace("&s=", "&s=x"),
        url.partition("?")[0],
        url + "&column=title",
        url.replace("k=1", "k=2"),
        url.replace(str(reader.setting.space.id), str(other.id)),
        url.replace("/campaigns/", "/feeds/"),
    ):
        assert reader.app.get(wrong, status=403).json["code"] == "invalid_signature"
    signed = make.services.signed_urls.campaign_feed(other, reader.setting.campaign.id)
    parts = urlsplit(signed)
    reader.app.get(f"{parts.path}?{parts.query}", status=404)
    with make.database.transaction(reader.setting.space.id) as db:
        db.execute(update(Workspace).values(signing_key_number=2, oldest_signing_key_number=2))
    reader.app.get(url, status=403)
    assert reader.body()

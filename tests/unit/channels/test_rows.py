"""The rows of a publication, read in a stream."""

from sqlalchemy import select

from cwz_web.campaigns.decisions import Verdict, decide
from cwz_web.campaigns.models import Campaign
from cwz_web.campaigns.publications import list_publications
from cwz_web.channels.rows import PAGE, ChannelRow, read_rows
from cwz_web.generation.image_urls import ImageUrls
from cwz_web.runs.image_deletion import delete_images
from cwz_web.runs.models import RunItem
from tests.factories import Factory
from tests.rendering import SIGNED_URLS
from tests.unit.campaigns.test_publications import ROWS, Setting, decision


def rows_of(setting: Setting) -> dict[str, ChannelRow]:
    with setting.make.database.transaction(setting.space.id) as db:
        campaign = db.get_one(Campaign, (setting.space.id, setting.campaign.id))
        publication = list_publications(db, campaign)[0]
        urls = ImageUrls.load(db, setting.space.id, SIGNED_URLS)
        rows = list(read_rows(db, campaign, publication, urls))
    assert [row.key for row in rows] == sorted(row.key for row in rows)
    return {row.key: row for row in rows}


def test_rows_have_the_images_that_they_show(make: Factory) -> None:
    setting = Setting(make, photo_column="title")
    setting.settle()
    rows = rows_of(setting)
    assert list(rows) == ["1", "2", "3", "4"]
    assert (rows["2"].data["brand"], rows["2"].rule, rows["2"].photo) == ("Zenith", "Zenith", "Blue")
    assert len({url for row in rows.values() for url in row.images}) == 4
    with make.database.transaction(setting.space.id) as db:
        campaign = db.get_one(Campaign, (setting.space.id, setting.campaign.id))
        publication = list_publications(db, campaign)[0]
        assert decide(db, campaign, publication, decision(Verdict.ORIGINAL, keys=["2"])) == 1
    row = rows_of(setting)["2"]
    assert (row.images, row.shows_photo) == ([], True)


def test_deleted_image_and_long_stream(make: Factory) -> None:
    setting = Setting(make)
    lines = b"".join(b"%04d,Mug,Zenith,10\n" % number for number in range(PAGE + 10))
    setting.import_rows(ROWS + lines)
    setting.settle()
    with make.database.transaction(setting.space.id) as db:
        campaign = db.get_one(Campaign, (setting.space.id, setting.campaign.id))
        publication = list_publications(db, campaign)[0]
        urls = ImageUrls.load(db, setting.space.id, SIGNED_URLS)
        rows = read_rows(db, campaign, publication, urls)
        assert next(rows).key == "0000"
        rows.close()  # the transaction can be used again
        image_id = db.scalar(select(RunItem.image_id).where(RunItem.key == "0001"))
        assert len(list(read_rows(db, campaign, publication, urls))) == PAGE + 14
        delete_images(db, setting.space.id, [image_id])
        found = {row.key: row.images for row in read_rows(db, campaign, publication, urls)}
        assert (found["0000"], found["0509"]) == ([None], [None])
        assert None not in found["1"]

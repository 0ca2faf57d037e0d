"""The rows of a publication, read in a stream."""

from contextlib import closing

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from cwz_web.campaigns.decisions import Verdict, decide
from cwz_web.campaigns.models import Campaign, PublicationRow
from cwz_web.campaigns.publications import list_publications
from cwz_web.channels import rows
from cwz_web.channels.rows import RowPage, read_rows
from cwz_web.generation.image_urls import ImageUrls
from cwz_web.runs.image_deletion import delete_images
from cwz_web.runs.models import RunItem
from cwz_web.values.formats import is_json_number
from tests.factories import Factory
from tests.rendering import SIGNED_URLS
from tests.unit.campaigns.test_publications import ROWS, Setting, decision


def read_pages(db: Session, setting: Setting, *columns: str) -> list[RowPage]:
    campaign = db.get_one(Campaign, (setting.space.id, setting.campaign.id))
    publication = list_publications(db, campaign)[0]
    return list(read_rows(db, campaign, publication, ImageUrls.load(db, setting.space.id, SIGNED_URLS), columns))


def test_rows_have_the_images_that_they_show(make: Factory) -> None:
    setting = Setting(make, is_settled=True, photo_column="title")
    with make.database.transaction(setting.space.id) as db:
        (page,) = read_pages(db, setting, "brand", "unknown")
        assert page.keys == ("1", "2", "3", "4")
        assert (page.column("brand")[1], page.names[1][0], page.photos[1]) == ("Zenith", "Zenith", "Blue")
        assert (set(page.column("unknown")), set(page.column("price"))) == ({""}, {""})
        assert len(set(page.images[0])) == 4
        campaign = db.get_one(Campaign, (setting.space.id, setting.campaign.id))
        assert decide(db, campaign, list_publications(db, campaign)[0], decision(Verdict.ORIGINAL, keys=["2"])) == 1
    with make.database.transaction(setting.space.id) as db:
        (page,) = read_pages(db, setting)
        assert (page.images[0][1], page.shows_photo[1], page.shows_photo[0]) == (None, True, False)


@pytest.mark.parametrize("selected", [10, 1])
def test_numbers_and_long_cells(make: Factory, monkeypatch: pytest.MonkeyPatch, selected: int) -> None:
    monkeypatch.setattr(rows, "MAX_SELECTED", selected)
    setting = Setting(make, is_settled=True)
    long = "x" * 100_000  # is compressed, and stored apart
    data = {"2": {"price": "12.50", "a": long}, "3": {"price": 12.5, "a": "1"}}
    with make.database.transaction(setting.space.id) as db:
        for key, cells in data.items():
            own = (PublicationRow.workspace_id == setting.space.id, PublicationRow.key == key)
            db.execute(update(PublicationRow).where(*own).values(data=cells))
        pages = read_pages(db, setting, "price", "a")
    prices = [price for page in pages for price in page.column("price")]
    assert (prices[1:3], list(map(is_json_number, prices))) == (["12.50", "12.5"], [False, False, True, False])
    assert [cell for page in pages for cell in page.column("a")] == ["", long, "1", ""]


def test_deleted_image_and_long_stream(make: Factory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "PAGE", 60)
    setting = Setting(make)
    lines = b"".join(b"%04d,Mug,Zenith,10\n" % number for number in range(130))
    setting.import_rows(ROWS + lines)
    setting.settle()
    with make.database.transaction(setting.space.id) as db:
        campaign = db.get_one(Campaign, (setting.space.id, setting.campaign.id))
        publication = list_publications(db, campaign)[0]
        urls = ImageUrls.load(db, setting.space.id, SIGNED_URLS)
        with closing(read_rows(db, campaign, publication, urls, ())) as pages:
            assert next(pages).keys[0] == "0000"
        # The transaction can be used again.
        image_id = db.scalar(select(RunItem.image_id).where(RunItem.key == "0001"))
        pages = read_pages(db, setting, "title")
        keys = [key for page in pages for key in page.keys]
        assert (len(keys), keys) == (134, sorted(keys))
        assert [len(page) for page in pages] == [50, 60, 24]
        monkeypatch.setattr(rows, "PAGE_TEXT", 2500)
        assert {len(page) for page in read_pages(db, setting, "title")[1:-1]} == {12}
        delete_images(db, setting.space.id, [image_id])
        found = {
            key: url for page in read_pages(db, setting) for key, url in zip(page.keys, page.images[0], strict=True)
        }
        assert (found["0000"], found["0129"]) == (None, None)
        assert found["1"]

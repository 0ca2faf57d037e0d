"""What is found in the images of a publication, and how much changed rows differ."""

from uuid import uuid4

from sqlalchemy import update

from cwz_web.campaigns.changes import ChangeQuery, find_changes
from cwz_web.campaigns.checks import group_findings, measure_differences, read_groups
from cwz_web.campaigns.decisions import Decision, Verdict, decide
from cwz_web.campaigns.models import Campaign, Publication, PublicationChange
from tests.factories import Factory
from tests.unit.campaigns.test_publications import API_KEY, ROWS, Setting


def check(setting: Setting, publication: Publication) -> list[tuple[str, str, int | None, int, list[str]]]:
    with setting.make.database.transaction(setting.space.id) as db:
        publication = db.get_one(Publication, (setting.space.id, publication.id))
        assert read_groups(publication) is None
        group_findings(db, publication)
        groups = read_groups(publication)
    return [(group.code, group.layer, group.design, group.rows, group.keys) for group in groups or ()]


def test_findings_are_grouped_by_what_was_found(make: Factory) -> None:
    long = b"Word " * 80
    setting = Setting(make)
    setting.import_rows(ROWS.replace(b"Red", long).replace(b"Green", long).replace(b"Blue", long))
    setting.settle()
    publication = setting.publications()[0]
    assert check(setting, publication) == [
        ("overflow", "Title", 1, 2, ["1", "3"]),
        ("photo_missing", "Image", 1, 2, ["1", "3"]),
        ("overflow", "Title", 2, 1, ["2"]),
        ("photo_missing", "Image", 2, 1, ["2"]),
        ("photo_missing", "Image", 3, 1, ["4"]),
    ]
    with make.database.transaction(setting.space.id) as db:
        campaign = db.get_one(Campaign, (setting.space.id, setting.campaign.id))
        decide(db, campaign, db.merge(publication), Decision(verdict=Verdict.ACCEPT, actor=API_KEY, keys=["1"]))
    assert check(setting, publication) == [
        ("overflow", "Title", 1, 1, ["3"]),
        ("overflow", "Title", 2, 1, ["2"]),
        ("photo_missing", "Image", 1, 1, ["3"]),
        ("photo_missing", "Image", 2, 1, ["2"]),
        ("photo_missing", "Image", 3, 1, ["4"]),
    ], "what was decided is no finding any more"


def test_most_changed_rows_come_first(make: Factory) -> None:
    setting = Setting(make, is_settled=True, is_active=True)
    setting.publish(setting.publications()[0])
    setting.import_rows(ROWS.replace(b"Red", b"Ted").replace(b"3,Green,Acme", b"3,Green,Zenith"))
    setting.settle()
    publication = setting.publications()[0]
    arguments = (make.database.transaction, make.services.providers, setting.space.id, publication.id)
    assert measure_differences(*arguments) == 2
    assert measure_differences(*arguments) == 0, "what is measured is not measured again"
    with make.database.transaction(setting.space.id) as db:
        campaign = db.get_one(Campaign, (setting.space.id, setting.campaign.id))
        publication = db.get_one(Publication, (setting.space.id, publication.id))
        query = ChangeQuery(by_difference=True)
        page = find_changes(db, campaign, publication, query, limit=1)
        assert [change.key for change in page.changes] == ["3"]
        assert page.changes[0].difference is not None
        assert page.changes[0].difference > 500, "another design has another background"
        assert page.next_after
        second = find_changes(db, campaign, publication, query, page.next_after, limit=1)
        assert [(change.key, second.next_after) for change in second.changes] == [("1", None)]
        assert 0 < (second.changes[0].difference or 0) < 200
        lost = {"difference": None, "images": [str(uuid4())]}
        db.execute(update(PublicationChange).where(PublicationChange.publication_id == publication.id).values(lost))
    assert measure_differences(*arguments) == 0, "images that were deleted since are left out"
    assert {change.difference for change in setting.changes(publication).values()} == {None}

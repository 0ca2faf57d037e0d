"""The pages of a publication: what differs, decisions, approval, going back, all rows, and why a row has its design."""

import re
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

import pytest
from webtest import TestApp

from cwz_web.campaigns.changes import find_rows
from cwz_web.campaigns.checks import group_findings, measure_differences
from cwz_web.campaigns.models import Campaign, Publication, PublicationState
from cwz_web.campaigns.policy import PublishPolicy
from cwz_web.channels.checks import PolicyCode
from cwz_web.channels.image_counts import ImageIssue
from cwz_web.channels.models import Channel
from cwz_web.channels.publication_check import ChannelCheck
from cwz_web.views import publications
from cwz_web.workspaces.models import AuditEntry, Role
from tests.factories import Factory, sign_in
from tests.unit.campaigns.test_publications import ROWS, Setting
from tests.unit.channels.feeds import image


class Pages(Setting):
    """A campaign with a publication that waits, and a member who can approve it."""

    def __init__(self, app: TestApp, make: Factory, role: Role = Role.ADMIN, **settings: Any) -> None:
        super().__init__(make, is_settled=True, **settings)
        self.app = app
        self.account = make.member(self.space, role)
        sign_in(app, self.account)

    @property
    def newest(self) -> Publication:
        return self.publications()[0]

    def path(self, publication: Publication | None = None) -> str:
        publication = publication or self.newest
        return f"/w/{self.space.slug}/campaigns/{self.campaign.id}/publications/{publication.id}"

    def get(self, name: str = "", publication: Publication | None = None, status: int = 200, **query: str) -> Any:
        path = self.path(publication) + (f"/{name}" if name else "")
        return self.app.get(f"{path}?{urlencode(query)}" if query else path, status=status)

    def post(self, name: str, publication: Publication | None = None, status: int = 303, **fields: Any) -> Any:
        token = self.app.get(f"/w/{self.space.slug}/feeds").html.find("input", {"name": "csrf_token"})["value"]
        return self.app.post(f"{self.path(publication)}/{name}", {"csrf_token": token, **fields}, status=status)

    def check(self) -> None:
        """Check the images of the newest publication, as the job does."""
        with self.make.database.transaction(self.space.id) as db:
            group_findings(db, db.merge(self.newest))
        measure_differences(self.make.database.transaction, self.make.services.providers, self.space.id, self.newest.id)

    def approve(self, publication: Publication | None = None, status: int = 303) -> Any:
        publication = publication or self.newest
        return self.post("approve", publication, status, state=str(publication.timeline))

    def change_feed(self) -> None:
        """Publish the first publication, and prepare the second one: a new, a removed and two changed rows."""
        self.publish(self.newest)
        rows = (
            ROWS.replace(b"Red", b"Rose").replace(b"Green", b"Lime").replace(b"4,Gray,Other,40\n", b"5,Black,Acme,5\n")
        )
        self.import_rows(rows)
        self.settle()


def counts(page: Any) -> dict[str, str]:
    return {each.dt.text: each.dd.text for each in page.html.select(".publication-numbers > div")}


def keys(page: Any) -> list[str]:
    return [each.a.text for each in page.html.select(".change-text")]


def actions(make: Factory, pages: Pages) -> list[str]:
    with make.database.transaction(pages.space.id) as db:
        entries = db.query(AuditEntry).filter(AuditEntry.workspace_id == pages.space.id).order_by(AuditEntry.number)
        return [entry.action for entry in entries if entry.action.startswith("publication.")]


def test_first_publication_is_approved_and_public(app: TestApp, make: Factory) -> None:
    pages = Pages(app, make)
    page = pages.get()
    assert "Publication 1" in page.html.h1.text
    assert "Needs review" in page.html.main.text
    assert "This campaign is published only after a decision" in page.text
    numbers = counts(page)
    assert (numbers["Rows"], numbers["New"], numbers["Changed"], numbers["Removed"]) == ("4", "4", "0", "0")
    assert keys(page) == ["1", "2", "3", "4"]
    sources = [image["src"] for image in page.html.select(".change-image img")]
    assert len(sources) == 4
    assert all(app.get(source).content_type == "image/webp" for source in sources)
    page = pages.approve().follow()
    assert "Public now" in page.text
    assert "Publication 1 is public" in page.text
    assert pages.newest.state == PublicationState.PUBLISHED
    assert pages.newest.published_by == pages.account.id
    assert len(pages.output_feed()) == 4
    assert actions(make, pages) == ["publication.approve"]
    pages.approve(status=422)
    pages.post("discard", status=422)
    assert actions(make, pages) == ["publication.approve"]


def test_difference_has_filters_and_pages(app: TestApp, make: Factory, monkeypatch: pytest.MonkeyPatch) -> None:
    pages = Pages(app, make, is_active=True)
    pages.change_feed()
    page = pages.get()
    numbers = counts(page)
    assert (numbers["New"], numbers["Changed"], numbers["Removed"], numbers["Unchanged"]) == ("1", "2", "1", "1")
    assert keys(page) == ["1", "3", "4", "5"]
    assert "Compared with publication 1" in re.sub(r"\s+", " ", page.html.main.text)
    assert keys(pages.get(kind="new")) == ["5"]
    assert keys(pages.get(kind="removed")) == ["4"]
    assert keys(pages.get(kind="changed", column="title", search="LIME")) == ["3"]
    assert keys(pages.get(column="title", search="gray")) == ["4"], "a removed row is found by its former cells"
    assert keys(pages.get(search="5")) == ["5"]
    assert keys(pages.get(design="1", kind="changed")) == ["1", "3"]
    assert keys(pages.get(state="failed")) == []
    assert keys(pages.get(sort="difference")) == [], "nothing was measured yet"
    pages.check()
    measured = pages.get(sort="difference")
    assert sorted(keys(measured)) == ["1", "3"]
    assert "of the pixels" in measured.text
    assert keys(pages.get(kind="nonsense", design="x", after="-1", sort="1")) == ["1", "3", "4", "5"]
    monkeypatch.setattr(publications.find_changes, "__defaults__", ((0, 0), 3))
    first = pages.get()
    assert keys(first) == ["1", "3", "4"]
    more = first.html.select_one(".change-list .more a")["href"]
    assert keys(app.get(more)) == ["5"]
    assert not app.get(more).html.select(".more")


def test_decisions_change_what_is_published(app: TestApp, make: Factory) -> None:
    pages = Pages(app, make, is_active=True)
    pages.change_feed()
    before = pages.output_feed()
    page = pages.post("decide", rows="selected", key=["1"], verdict="former", comment="Wrong red").follow()
    assert "Keep the public image: decided for 1 row" in page.text
    assert (counts(page)["Changed"], counts(page)["Image kept"]) == ("1", "1")
    detail = pages.get("change", key="1")
    assert "Wrong red" in detail.text
    assert pages.account.name in detail.html.main.text
    undo = page.html.select_one("[data-notice] form")
    fields = {field["name"]: field["value"] for field in undo.select("input")}
    page = app.post(undo["action"], fields).follow()
    assert counts(page)["Changed"] == "2"
    page = pages.post("decide?kind=changed", rows="matching", column="title", value="rose", verdict="former").follow()
    assert page.request.query_string == "kind=changed", "the list keeps its filters"
    assert counts(page)["Changed"] == "1"
    page = pages.post("decide", rows="matching", design="1", verdict="accept").follow()
    assert "Accept: decided for 3 rows" in page.text
    pages.post("decide", rows="selected", key=["1", "3"], verdict="former")
    pages.approve()
    after = pages.output_feed()
    assert [after[key]["image_url"] == before[key]["image_url"] for key in ("1", "2", "3")] == [True] * 3
    assert set(actions(make, pages)) == {"publication.decide", "publication.approve"}


def test_decision_about_many_rows_is_left_to_a_job(
    app: TestApp, make: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cwz_web.campaigns.decisions.MAX_DECIDED", 1)
    pages = Pages(app, make, is_active=True)
    page = pages.post("decide", rows="matching", design="1", verdict="original").follow()
    status = page.html.select_one("#decision")
    assert "Applying a decision: Show the original photo" in status.text
    assert "Acme" in status.text
    assert "Applying a decision" in page.html.select_one(".head .badge").text
    assert not page.html.select("form[action$=approve], form[action*=decide]")
    assert status["hx-get"] in app.get(status["hx-get"]).text
    pages.post("decide", status=422, rows="selected", key="1", verdict="accept")
    pages.approve(status=422)
    pages.settle()
    assert pages.get("decision", status=303).location.endswith(pages.path())
    assert app.get(status["hx-get"], headers={"HX-Request": "true"}).headers["HX-Refresh"] == "true"
    page = pages.get()
    assert "Show the original photo: decided for 2 rows" in " ".join(page.html.select_one("#decision").text.split())
    assert actions(make, pages) == ["publication.request_decision", "publication.decide"]
    undo = page.html.select_one("#decision form")
    app.post(undo["action"], {field["name"]: field["value"] for field in undo.select("input")})
    pages.settle()
    page = pages.get()
    assert "Undo decision: decided for 2 rows" in " ".join(page.html.select_one("#decision").text.split())
    assert not page.html.select("#decision form")
    pages.approve()
    assert not pages.get().html.select("#decision")


INVALID_DECISIONS: list[dict[str, Any]] = [
    {"rows": "selected", "verdict": "accept"},
    {"rows": "matching", "verdict": "accept"},
    {"rows": "matching", "verdict": "accept", "value": "x"},
    {"rows": "matching", "verdict": "accept", "column": "nothing", "value": "x"},
    {"rows": "matching", "verdict": "accept", "design": "99"},
    {"rows": "selected", "verdict": "explode", "key": "1"},
    {"rows": "selected", "verdict": "accept", "keys": "{"},
    {"rows": "selected", "verdict": "accept", "keys": "[1]"},
    {"rows": "selected", "verdict": "accept", "key": [str(number) for number in range(1001)]},
    {"rows": "selected", "verdict": "accept", "key": "1", "comment": "x" * 501},
]


def test_invalid_decisions_are_refused(app: TestApp, make: Factory) -> None:
    pages = Pages(app, make)
    for fields in INVALID_DECISIONS:
        pages.post("decide", status=422, **fields)
        assert pages.newest.timeline == pages.campaign.timeline, fields
        assert actions(make, pages) == [], fields


def test_unknown_keys_decide_about_nothing(app: TestApp, make: Factory) -> None:
    pages = Pages(app, make)
    page = pages.post("decide", rows="selected", key=["'; DROP TABLE items; --", "<b>", "\u202e"], verdict="accept")
    assert "decided for 0 rows" in page.follow().text


def test_new_row_cannot_keep_a_public_image(app: TestApp, make: Factory) -> None:
    pages = Pages(app, make)
    page = pages.post("decide", rows="selected", key="1", verdict="former").follow()
    assert "decided for 0 rows" in page.text
    assert counts(page)["Without image"] == "0"


def test_published_and_discarded_publications_take_no_decision(app: TestApp, make: Factory) -> None:
    pages = Pages(app, make, is_active=True)
    pages.change_feed()
    second, first = pages.publications()
    for publication in (first, second):
        if publication is second:
            pages.post("discard", second)
        pages.post("decide", publication, status=422, rows="selected", key="1", verdict="accept")
        pages.approve(publication, status=422)
        assert "verdict" not in pages.get(publication=publication).text
    assert actions(make, pages) == ["publication.discard"]
    assert "Discarded" in pages.get(publication=second).text
    pages.post("roll-back", second, status=422)
    assert "never public" in pages.get("roll-back", second).text


def test_roll_back_renders_nothing_and_pauses_the_feed(app: TestApp, make: Factory) -> None:
    pages = Pages(app, make, is_active=True)
    before_second = pages.newest
    pages.change_feed()
    before = pages.output_feed()
    second = pages.newest
    pages.approve(second)
    assert pages.output_feed() != before
    page = pages.get(publication=before_second).click("Roll back to this publication")
    assert "Nothing is rendered" in page.text
    assert "Following the feed is paused" in page.text
    pages.post("roll-back", before_second)
    assert pages.output_feed() == before
    assert pages.settle() == 0
    assert not make.reload(pages.campaign).is_active
    assert "publication.roll_back" in actions(make, pages)
    pages.post("roll-back", before_second, status=422)


def test_two_members_approve(app: TestApp, make: Factory) -> None:
    pages = Pages(app, make, policy=PublishPolicy(approvals=2).model_dump())
    page = pages.approve().follow()
    assert "Another member has to approve it too" in page.text
    assert pages.account.name in page.html.main.text
    assert "1 of 2 approvals" in page.text
    assert pages.newest.state == PublicationState.HELD
    pages.approve()
    assert pages.newest.state == PublicationState.HELD, "the same member counts once"
    sign_in(app, make.member(pages.space, Role.ADMIN))
    assert "Approve and publish" in pages.get().text
    pages.approve()
    assert pages.newest.state == PublicationState.PUBLISHED


def test_what_was_reviewed_is_what_is_approved(app: TestApp, make: Factory) -> None:
    pages = Pages(app, make)
    reviewed = pages.newest
    pages.post("decide", rows="selected", key="1", verdict="original")
    pages.post("approve", status=422, state=str(reviewed.timeline))
    assert pages.newest.state == PublicationState.HELD


def test_change_shows_both_images_and_their_difference(app: TestApp, make: Factory) -> None:
    pages = Pages(app, make, is_active=True)
    pages.change_feed()
    page = pages.get("change", key="1")
    images = [image["src"] for image in page.html.select(".compared img")]
    assert [app.get(source).content_type for source in images] == ["image/jpeg", "image/jpeg", "image/png"]
    heat = app.get(images[2])
    assert app.get(images[2], headers={"If-None-Match": heat.headers["ETag"]}, status=304)
    rows = [[cell.text for cell in row.select("th, td")] for row in page.html.select(".cells tbody tr")]
    assert rows[0] == ["title", "Red", "Rose"]
    assert page.html.select_one("nav[aria-label=Changes] a").text.strip() == "Next"
    assert "run" in page.html.main.text
    assert pages.get("change", key="4").html.select(".badge")[0].text == "Removed"
    pages.get("change", key="2", status=404)
    pages.get("change", key="nothing", status=404)
    pages.get("change", status=422)
    pages.get("heat", key="5", status=404)
    pages.get("heat", key="1", threshold="256", status=422)
    pages.get("heat", key="1", output="7", status=404)


def test_contact_sheet_has_all_rows(app: TestApp, make: Factory, monkeypatch: pytest.MonkeyPatch) -> None:
    pages = Pages(app, make)

    def cells(page: Any) -> list[str]:
        return [each.select_one(".sheet-text").text for each in page.html.select(".sheet > li")]

    page = pages.get("sheet")
    assert cells(page) == ["1", "2", "3", "4"]
    assert "4 rows" in page.text
    assert len(page.html.select(".sheet img")) == 4
    assert cells(pages.get("sheet", design="1")) == ["1", "3"]
    assert "2 rows" in pages.get("sheet", design="1").text
    assert cells(pages.get("sheet", column="brand", search="zenith")) == ["2"]
    assert cells(pages.get("sheet", faulty="1")) == []
    monkeypatch.setitem(find_rows.__kwdefaults__, "limit", 3)
    first = pages.get("sheet")
    assert cells(first) == ["1", "2", "3"]
    assert cells(app.get(first.html.select_one(".more a")["href"])) == ["4"]
    link = page.html.select_one(".sheet a")["href"]
    assert "Takes the row" in app.get(link).text


def test_check_groups_findings_of_all_rows(app: TestApp, make: Factory) -> None:
    pages = Pages(app, make, is_active=True)
    assert "are being checked" in pages.get("check").text
    pages.check()
    assert "Image: Photo missing" in pages.get("check").text
    pages.import_rows(ROWS.replace(b"Red", b"Word " * 80).replace(b"Blue", b"Word " * 80))
    pages.settle()
    pages.check()
    page = pages.get("check")
    groups = [[each.h2.text, each.select_one(".badge").text] for each in page.html.select(".finding-groups > li")]
    assert groups == [
        ["Image: Photo missing", "2 rows"],
        ["Title: Text does not fit", "1 row"],
        ["Title: Text does not fit", "1 row"],
        ["Image: Photo missing", "1 row"],
        ["Image: Photo missing", "1 row"],
    ]
    first = page.html.select(".finding-groups > li")[1]
    assert [link.text.strip() for link in first.select(".sheet a")] == ["1"]
    assert counts(page)["Findings"] == "6"


def test_row_says_which_rule_took_it_and_why(app: TestApp, make: Factory) -> None:
    pages = Pages(app, make)
    here = f"/w/{pages.space.slug}/campaigns/{pages.campaign.id}/row"
    page = app.get(f"{here}?key=2")
    rules = [re.sub(r"\s+", " ", each.text.strip()) for each in page.html.select(".explained-rules > li")]
    assert "The row does not meet its condition." in rules[0]
    assert "brandZenith" in rules[0].replace(" ", ""), "the values that the rule compares"
    assert "Takes the row" in rules[1]
    assert "Would take the row, but “Zenith” comes first." in rules[2]
    assert len(page.html.select(".gallery img")) == 1
    of_feed = app.get(f"/w/{pages.space.slug}/feeds/{pages.feed.id}/row?key=2")
    assert "Would take the row" in of_feed.click("Design and images in Ads").text
    app.get(f"{here}?key=nothing", status=404)
    app.get(here, status=404)


def test_hostile_keys_and_cells(app: TestApp, make: Factory) -> None:
    pages = Pages(app, make, is_active=True)
    key = '<img src=x onerror=alert(1)>" & ?#'
    quoted = key.replace('"', '""')
    pages.import_rows(ROWS + f'"{quoted}",<script>x</script>,Acme,1\n'.encode())
    pages.settle()
    page = pages.get(search="<IMG")
    assert keys(page) == [key]
    assert "<img src=x" not in page.text
    assert "<script>x" not in page.text
    for link in page.html.select(".change-text a"):
        assert key in app.get(link["href"]).html.h1.text
    sheet = pages.get("sheet", search="<img")
    assert app.get(sheet.html.select_one(".sheet a")["href"]).html.h1.text == key
    assert "decided for 1 row" in pages.post("decide", rows="selected", key=key, verdict="original").follow().text


def test_other_workspaces_and_campaigns_are_not_found(app: TestApp, make: Factory) -> None:
    pages = Pages(app, make)
    other = Setting(make, is_settled=True)
    foreign = other.publications()[0]
    second = make.campaign(pages.feed, pages.templates[0])
    own = make.publication(second)
    for publication in (foreign, own):
        pages.get(publication=publication, status=404)
        for name in ("sheet", "change", "roll-back", "heat"):
            pages.get(name, publication, status=404, key="1")
        for name in ("approve", "discard", "decide", "roll-back"):
            pages.post(name, publication, status=404, state="0", verdict="accept", key="1", rows="selected")
    app.get(f"/w/{pages.space.slug}/campaigns/{other.campaign.id}/row?key=1", status=404)
    app.get(f"{pages.path()[:-36]}{uuid4()}", status=404)
    with make.database.transaction(other.space.id) as db:
        assert db.get_one(Publication, (other.space.id, foreign.id)).state == PublicationState.HELD
        assert db.get_one(Campaign, (other.space.id, other.campaign.id)).public_id is None


def test_members_without_the_permission_see_and_do_not_decide(app: TestApp, make: Factory) -> None:
    pages = Pages(app, make, role=Role.SUPPORT)
    page = pages.get()
    assert keys(page) == ["1", "2", "3", "4"]
    assert not page.html.select("main form[method=post]")
    pages.approve(status=403)
    pages.post("decide", status=403, rows="selected", key="1", verdict="accept")


def test_images_that_channels_refuse_are_shown(app: TestApp, make: Factory) -> None:
    pages = Pages(app, make)
    issue = ImageIssue(
        field="image_link", code=PolicyCode.TOO_SMALL, message="Choose a larger size", rows=3, key="a/b&c"
    )
    check = ChannelCheck(channel=uuid4(), name="Shop", rows=4, refused=3, new_refused=2, images=(issue,))
    with make.database.transaction(pages.space.id) as db:
        db.merge(pages.newest).channel_checks = [check.model_dump(mode="json")]
    page = pages.get("check").html
    [line] = page.select("tbody tr")
    assert " ".join(line.text.split()) == "Shop 4 0 0 0 3 2"
    [found] = page.select(".finding-groups li")
    text = "image_link Choose a larger size Too few pixels 3 rows · First row: a/b&c"
    assert " ".join(found.text.split()) == text
    assert found.a["href"].endswith(f"/campaigns/{pages.campaign.id}/row?key=a/b%26c")


def test_files_are_limited_to_what_a_platform_takes(app: TestApp, make: Factory) -> None:
    pages = Pages(app, make)
    channel = make.channel(pages.campaign)
    issue = {"field": "image_link", "code": PolicyCode.TOO_MANY_BYTES, "message": "Too large", "rows": 1, "key": "1"}
    check = ChannelCheck(channel=channel.id, name="Shop", rows=4, images=(ImageIssue.model_validate(issue),))
    with make.database.transaction(pages.space.id) as db:
        stored = db.get_one(Channel, (pages.space.id, channel.id))
        stored.preset, stored.fields = "idealo", [image("imageUrls").model_dump(mode="json")]
        db.merge(pages.newest).channel_checks = [check.model_dump(mode="json")]
    page = pages.get("check")
    form = next(form for form in page.forms.values() if form.action.endswith("/limit"))
    assert "rendered again" in form.submit(status=303).follow().text
    assert [output["max_bytes"] for output in make.reload(pages.campaign).outputs] == [1_000_000]
    assert "/limit" not in pages.get("check").text
    form.submit(status=422)
    with make.database.transaction(pages.space.id) as db:
        assert db.query(AuditEntry).filter_by(action="campaign.change").count() == 1

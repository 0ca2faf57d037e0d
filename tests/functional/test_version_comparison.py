"""Named versions, and the comparison of two versions or of a version and the draft."""

from typing import Any

import pytest
from webtest import TestApp

from cwz_web.generation.drafts import save_draft
from cwz_web.generation.models import Template
from cwz_web.generation.templates import publish
from cwz_web.imaging.documents import ImageTemplate
from cwz_web.views import version_comparison
from cwz_web.workspaces.models import AuditEntry, Role
from tests.factories import Factory, sign_in, small_document


class History:
    """A template with two versions and a draft, which differ in the position of their layer."""

    def __init__(self, app: TestApp, make: Factory) -> None:
        self.app, self.make = app, make
        self.space = make.workspace()
        self.template = make.template(self.space)
        sign_in(app, make.member(self.space, Role.USER))
        self.here = f"/w/{self.space.slug}/templates/{self.template.id}"
        with make.database.transaction(self.space.id) as db:
            template = db.get_one(Template, (self.space.id, self.template.id))
            publish(db, template, document(x=30))
            save_draft(db, template, document(x=40, sizes=[{"name": "story", "width": 90, "height": 160}]), "move")

    def compare(self, query: str = "", status: int = 200) -> Any:
        return self.app.get(f"{self.here}/compare?{query}", status=status)

    def post(self, path: str, status: int = 303, **fields: str) -> Any:
        token = self.compare().html.find("input", {"name": "csrf_token"})["value"]
        return self.app.post(f"{self.here}/{path}", {"csrf_token": token, **fields}, status=status)


def document(x: int, **more: Any) -> ImageTemplate:
    made = small_document(**more)
    made["layers"][0]["x"] = x
    return ImageTemplate.model_validate(made)


@pytest.fixture
def history(app: TestApp, make: Factory) -> History:
    return History(app, make)


def rows(page: Any) -> list[list[str]]:
    return [[cell.text for cell in row.select("th, td")] for row in page.html.select(".changes tbody tr")]


def test_draft_is_compared_with_the_published_version(history: History) -> None:
    page = history.compare()
    assert [page.forms[1][name].value for name in ("before", "after")] == ["2", "draft"]
    assert ["Layer Image", "X", "30", "40"] in rows(page)
    assert ["Size story", "Added"] in rows(page)
    sources = [image["src"] for image in page.html.select(".compared img")]
    assert len(sources) == 3
    assert all(history.app.get(source).content_type == "image/jpeg" for source in sources)
    assert "Only in Draft" in page.text


@pytest.mark.usefixtures("bracketed_german")
def test_changes_are_translated(history: History) -> None:
    history.app.extra_environ["HTTP_ACCEPT_LANGUAGE"] = "de"
    page = history.compare()
    assert ["[Layer Image]", "[X]", "30", "40"] in rows(page)
    assert ["[Size story]", "[Added]"] in rows(page)
    assert "[Only in [Draft]]" in page.text


def test_two_versions_on_rows_of_a_feed(history: History) -> None:
    feed = history.make.feed(history.space, b"sku,title\n1,First product\n2,Second product\n")
    page = history.compare(f"before=1&after=2&feed={feed.id}&rows=2,+1,2")
    assert [heading.text for heading in page.html.select(".compared h3")] == ["Default values", "Row 2", "Row 1"]
    sources = [image["src"] for image in page.html.select(".compared img")]
    assert len({history.app.get(source).body for source in sources}) == 6


@pytest.mark.parametrize(
    ("typed", "message"),
    [("1,2,3,4,5,6", "at most 5 row numbers"), ("one", "at most 5 row numbers"), ("3", "Row 3 does not exist")],
)
def test_invalid_rows_are_explained(history: History, typed: str, message: str) -> None:
    feed = history.make.feed(history.space, b"sku,title\n1,First product\n2,Second product\n")
    page = history.compare(f"feed={feed.id}&rows={typed}")
    assert message in page.html.find(id="rows-error").text


def test_difference_shows_heat_image_and_share(history: History) -> None:
    page = history.compare("before=1&after=2&mode=difference")
    [image] = page.html.select(".heat img")
    assert "% of the pixels changed" in page.html.select_one(".heat figcaption").text
    answer = history.app.get(image["src"])
    assert (answer.content_type, answer.headers["Cache-Control"]) == ("image/png", "private, no-cache")
    history.app.get(image["src"], headers={"If-None-Match": answer.headers["ETag"]}, status=304)
    same = history.compare("before=2&after=2&mode=difference")
    assert "No pixel changed" in same.text
    assert "have the same design" in same.text


def test_shares_that_a_page_does_not_compute_have_a_link(history: History, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(version_comparison, "MAX_DIFFERENCES", 0)
    page = history.compare("before=1&after=2&mode=difference")
    link = page.html.select_one(".heat figcaption a")["href"]
    monkeypatch.undo()
    assert "% of the pixels changed" in history.app.get(link).text


@pytest.mark.parametrize("path", ["compare", "difference"])
@pytest.mark.parametrize("query", ["before=9&after=1", "before=0&after=1", "before=x&after=1", "before=1&after=2&x=1"])
def test_unknown_revisions_are_rejected(history: History, path: str, query: str) -> None:
    history.app.get(f"{history.here}/{path}?{query}", status=[404, 422])


def test_difference_in_a_size_of_one_revision_is_rejected(history: History) -> None:
    history.app.get(f"{history.here}/difference?before=1&after=draft&size=story", status=422)


def test_feed_of_another_workspace_is_ignored(history: History) -> None:
    other = history.make.workspace()
    feed = history.make.feed(other, b"sku,title\n1,Theirs\n")
    page = history.compare(f"feed={feed.id}")
    assert next(image["alt"] for image in page.html.select(".compared img")).endswith("Default values")
    assert str(feed.id) not in "".join(image["src"] for image in page.html.select(".compared img"))


def test_version_gets_a_name(history: History) -> None:
    history.post("version-name", version="1", name="<b>Launch</b>")
    page = history.app.get(f"{history.here}/versions")
    assert "Version 1, <b>Launch</b>" in page.html.text
    assert "<b>Launch" not in page.text
    assert "Version 1, <b>Launch</b>" in history.compare().html.find("select", id="before").text
    for fields in ({"version": "9"}, {"version": "1", "name": "x" * 61}, {"version": "1", "name": "a\nb"}):
        history.post("version-name", status=422, **fields)
    with history.make.database.transaction(history.space.id) as db:
        [entry] = db.query(AuditEntry)
        assert (entry.action, entry.details) == ("template.version_name", {"version": 1, "name": "<b>Launch</b>"})

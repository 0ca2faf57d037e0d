"""From an uploaded feed to images, with forms only: no JavaScript."""

import re
from pathlib import Path
from typing import Any

import pytest
from pyramid.router import Router
from pyramid_jinja2 import IJinja2Environment
from webtest import TestApp

from cwz_web.feeds.imports import create_feed, create_import
from cwz_web.feeds.models import ImportState
from cwz_web.generation.models import TemplateVersion
from cwz_web.imaging.encoders import Output
from cwz_web.runs import missing_photos
from cwz_web.storage.models import Connection
from cwz_web.views.runs import TAB_LABELS
from cwz_web.workspaces.models import Role, Workspace
from tests.factories import Factory, sign_in, small_document, token_of
from tests.jobs import run_feed_jobs
from tests.rendering import work

DATA = Path(__file__).parent.parent / "data"
HTMX = {"HX-Request": "true", "HX-Request-Type": "partial"}


@pytest.fixture
def space(app: TestApp, make: Factory) -> Workspace:
    space = make.workspace()
    sign_in(app, make.member(space))
    return space


def upload(app: TestApp, space: Workspace, data: bytes, file_name: str = "shop.csv", status: int = 303) -> Any:
    form = app.get(f"/w/{space.slug}/feeds/new").forms[1]
    form["file"] = (file_name, data)
    return form.submit(status=status)


def test_images_from_an_uploaded_feed(
    app: TestApp, make: Factory, space: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(missing_photos, "RETRY_DELAYS", ())
    make.template(space)
    data = (DATA / "shopify-apparel.csv").read_bytes().replace(b"burst.shopifycdn.com", b"photos.invalid")
    columns = upload(app, space, data, "shopify-apparel.csv").follow()
    assert "Treat rows with the same “Handle” as variants of one product" in columns.text
    feed = columns.forms[1].submit(status=303).location
    run_feed_jobs(make.services)
    page = app.get(feed)
    assert page.html.h1.text == "shopify-apparel"
    assert len(page.html.find("table", class_="rows").tbody.find_all("tr")) == 22
    new = app.get(
        page.html.find("a", string=re.compile("Render images"))["href"]
        if page.html.find("a", string=re.compile("Render images"))
        else f"/w/{space.slug}/runs/new"
    )
    form = new.forms["run-form"]
    assert form["map.title"].value == "Title"
    plan = form.submit()
    assert "22 images to render" in plan.html.find(id="plan-title").text
    run_page = plan.forms["run-form"].submit("confirm", status=303).follow()
    assert "0 of 22" in run_page.text
    assert run_page.html.find(id="results")["hx-trigger"] == "every 1s"
    from cwz_web.runs.models import Run

    with make.database.transaction(space.id) as db:
        run = db.query(Run).one()
    work(make, run)
    part = app.get(f"/w/{space.slug}/runs/{run.id}", headers=HTMX)
    assert part.text.lstrip().startswith('<div id="results"')
    assert re.fullmatch(r"Completed, \d+ findings", part.html.find(class_="badge").text)
    assert "22 incomplete" in part.text
    findings = app.get(f"/w/{space.slug}/runs/{run.id}?tab=findings", headers=HTMX)
    assert "Image has no image: this URL cannot be fetched: its host is unknown" in " ".join(findings.text.split())
    assert len(findings.html.find("section", attrs={"aria-label": "Incomplete images"}).find_all("li")) == 10
    link = findings.html.find("ul", attrs={"aria-label": "Findings"}).a
    with_finding = app.get(link["href"])
    assert len(with_finding.html.select(".result-rows img")) == int(link.strong.text)
    assert "Image has no image" in with_finding.html.find("ul", attrs={"aria-label": "Filters in use"}).text
    assert app.get(f"/w/{space.slug}/runs/{run.id}?code=unknown").html.select(".result-rows img") == []
    assert "hx-trigger" not in part.text
    assert part.headers["Vary"]
    images = part.html.find_all("img")
    assert len(images) == 22
    assert app.get(images[0]["src"]).content_type == "image/webp"
    image = app.get(part.html.select_one(".result-rows ul a")["href"])
    assert "300 × 200" in image.text
    assert [cell.text for cell in image.html.find("section", attrs={"aria-label": "Fields"}).find_all("th")][:1] == [
        "Title"
    ]
    assert image.html.find("section", attrs={"aria-label": "Findings"}).li.text.startswith("Image has no image")
    assert len(app.get(f"/w/{space.slug}/images").html.find_all("img")) > 10
    assert "0 of 22" in app.get(f"/w/{space.slug}").text


def test_numbers_of_a_run_say_what_they_count(app: TestApp, make: Factory, space: Workspace) -> None:
    feed = make.feed(space, b"sku,title\n1,Bowl\n2,Bowl\n3,\n")
    run = make.run(feed, make.template(space))  # no column fills the photo, which is a finding of each image
    work(make, run)
    page = app.get(f"/w/{space.slug}/runs/{run.id}")
    progress = " ".join(page.html.find(attrs={"aria-label": "Progress"}).p.text.split())
    assert progress.startswith("Completed, 4 findings 2 of 3 images, 1 incomplete, 1 identical to another in")
    tabs = [tab.text for tab in page.html.select(".tabs a")]
    assert "Findings (4)" in tabs, "the incomplete image is not counted beside its finding"
    filters = [each.text.strip() for each in page.html.find(attrs={"aria-label": "Images by state"}).find_all("a")]
    assert filters == ["All (3)", "Ready (2)", "With findings (3)", "Incomplete (1)"]
    cards = [" ".join(card.h2.text.split()) for card in page.html.select(".result-rows > li")]
    assert cards == ["1 Bowl", "2 Bowl", "3"], "the title is beside the key"


def test_rows_left_out_of_a_canceled_run_are_no_findings(app: TestApp, make: Factory, space: Workspace) -> None:
    run = make.run(make.feed(space), make.template(space))
    path = f"/w/{space.slug}/runs/{run.id}"
    page = app.get(path)
    next(form for form in page.forms.values() if form.action.endswith("/cancel")).submit(status=303)
    assert "Findings" in [tab.text for tab in app.get(path).html.select(".tabs a")]


def test_invalid_file_is_rejected_and_not_stored(app: TestApp, space: Workspace) -> None:
    page = upload(app, space, b"\x89PNG\r\n\x1a\n\x00", status=422)
    assert "This is an image" in page.html.find(id="file-error").text
    assert "No feeds yet" in app.get(f"/w/{space.slug}/feeds").text
    form = app.get(f"/w/{space.slug}/feeds/new").forms[1]
    assert "Choose a file" in form.submit(status=422).html.find(id="file-error").text


def test_markup_in_cells_is_escaped(app: TestApp, space: Workspace) -> None:
    markup = b"sku,<script>alert(1)</script>\n<img src=x onerror=alert(2)>,{{ 7*7 }}\n"
    page = upload(app, space, markup, "<b>x.csv").follow()
    assert "<script>alert" not in page.text
    assert "<img src=x" not in page.text
    assert "{{ 7*7 }}" in page.text
    assert "<b>x" not in page.text


def test_next_rows_are_a_partial_for_htmx_and_a_page_otherwise(app: TestApp, make: Factory, space: Workspace) -> None:
    feed = make.feed(space, b"sku\n" + b"\n".join(b"n%d" % n for n in range(70)))
    first = app.get(f"/w/{space.slug}/feeds/{feed.id}")
    more = first.html.find("a", string="Show more rows")
    part = app.get(more["href"], headers=HTMX)
    whole = app.get(more["href"])
    assert "<html" not in part.text
    assert "<html" in whole.text
    for page in (part, whole):
        assert "n50" in page.text
        assert "n49<" not in page.text
        assert page.headers["Vary"] == "HX-Request"
    assert "<html" in app.get(f"/w/{space.slug}/feeds/{feed.id}", headers=HTMX | {"HX-Boosted": "true"}).text


@pytest.mark.parametrize("after", ["-1", "x", "99999999999999999999", "1e3", "٣"])
def test_invalid_position_shows_the_first_rows(app: TestApp, make: Factory, space: Workspace, after: str) -> None:
    feed = make.feed(space)
    assert "One" in app.get(f"/w/{space.slug}/feeds/{feed.id}", {"after": after}).text


def test_mapping_is_guessed_for_another_feed_and_kept_otherwise(app: TestApp, make: Factory, space: Workspace) -> None:
    template = make.template(space)
    one, two = make.feed(space, b"title,other\nA,B\n"), make.feed(space, b"name,photo\nC,https://x.example/1.jpg\n")
    page = app.get(f"/w/{space.slug}/runs/new", {"feed": str(one.id)})
    assert page.forms["run-form"]["map.title"].value == "title"
    sent = {
        "feed": str(two.id),
        "template": str(template.id),
        "mapped": f"{one.id} {template.id}",
        "map.title": "title",
    }
    part = app.get(f"/w/{space.slug}/runs/new", sent, headers=HTMX)
    assert part.html.find(id="map.title").find("option", selected=True)["value"] == "name"
    assert part.html.find(id="map.image").find("option", selected=True)["value"] == "photo"
    sent |= {"mapped": f"{two.id} {template.id}", "map.title": "photo"}
    part = app.get(f"/w/{space.slug}/runs/new", sent, headers=HTMX)
    assert part.html.find(id="map.title").find("option", selected=True)["value"] == "photo"


def test_feed_without_rows_is_not_the_first_choice(app: TestApp, make: Factory) -> None:
    space = make.workspace()
    feed, _ = make.feed(space, name="Filled"), make.template(space)
    with make.database.transaction(space.id) as db:
        empty = create_feed(db, space.id, name="Empty", file_name="empty.csv").id
    sign_in(app, make.member(space))
    new_run = f"/w/{space.slug}/runs/new"
    assert app.get(new_run).html.select_one("#feed option[selected]")["value"] == str(feed.id)
    assert app.get(new_run, {"feed": str(empty)}).html.select_one("#feed option[selected]")["value"] == str(empty)


def test_run_of_an_unknown_feed_is_rejected(app: TestApp, make: Factory, space: Workspace) -> None:
    make.template(space)
    make.feed(space)
    theirs = make.feed(make.workspace())
    form = app.get(f"/w/{space.slug}/runs/new").forms["run-form"]
    form["feed"].force_value(str(theirs.id))
    page = form.submit(status=422)
    assert "This feed does not exist" in page.html.find(id="feed-error").text
    form["feed"].force_value("x")
    assert "Choose an option" in form.submit(status=422).html.find(id="feed-error").text


def test_template_preview_uses_other_values(app: TestApp, make: Factory, space: Workspace) -> None:
    template = make.template(space)
    path = f"/w/{space.slug}/templates/{template.id}"
    plain = app.get(path).html.find("img", width="300")["src"]
    part = app.get(path, {"title": "Other words"}, headers=HTMX)
    changed = part.html.img["src"]
    assert changed != plain
    assert app.get(changed).body != app.get(plain).body


def test_document_is_published_as_a_new_version(app: TestApp, make: Factory, space: Workspace) -> None:
    template = make.template(space)
    form = app.get(f"/w/{space.slug}/templates/{template.id}/document").forms[1]
    form["document"] = form["document"].value.replace('"width": 300', '"width": 444')
    assert "version 2" in form.submit(status=303).follow().text or make.reload(template).version == 2
    assert make.reload(template).version == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not valid JSON"),
        ("[]", "an object, in braces"),
        ('{"canvas": {"width": 99999, "height": 1}, "layers": []}', "canvas.width"),
        ("[" * 100_000, "not valid JSON"),
    ],
)
def test_invalid_document_is_rejected_and_kept_in_the_form(
    app: TestApp, make: Factory, space: Workspace, text: str, message: str
) -> None:
    template = make.template(space)
    form = app.get(f"/w/{space.slug}/templates/{template.id}/document").forms[1]
    form["document"] = text
    page = form.submit(status=422)
    assert message in page.html.find(class_="problem").text
    assert page.html.textarea.text.strip() == text
    assert make.count(TemplateVersion, space.id) == 1


def test_key_is_shown_once_and_works_until_it_is_revoked(app: TestApp, make: Factory, space: Workspace) -> None:
    form = app.get(f"/w/{space.slug}/keys/new").forms[1]
    form["name"] = "Shop"
    page = form.submit()
    [plain] = set(re.findall(r"cwz_live_[A-Za-z0-9_-]{43}", page.text))
    again = app.get(f"/w/{space.slug}/keys")
    assert plain not in again.text
    template = make.template(space)
    from tests.factories import api

    assert api(TestApp(app.app), plain, {"template": template.slug}).content_type == "image/png"
    next(form for form in again.forms.values() if form.action.endswith("/revoke")).submit(status=303)
    assert api(TestApp(app.app), plain, {"template": template.slug}, status=401).json["code"] == "unauthorized"
    assert "Revoked" in app.get(f"/w/{space.slug}/keys").text


def test_empty_pages_offer_the_next_step(app: TestApp, make: Factory, space: Workspace) -> None:
    for page, text in {
        "": "Next step to your first images: add your data.",
        "/feeds": "No feeds yet",
        "/templates": "No templates yet",
        "/runs": "No runs yet",
        "/images": "No images yet",
        "/runs/new": "Add a feed first",
    }.items():
        assert text in app.get(f"/w/{space.slug}{page}").text


def test_overview_lists_what_needs_attention(app: TestApp, make: Factory, space: Workspace) -> None:
    assert "Needs attention" not in app.get(f"/w/{space.slug}").text
    feed = make.feed(space)
    with make.database.transaction(space.id) as db:
        create_import(db, db.merge(feed), file_name="late.csv", state=ImportState.FAILED)
        connection = db.query(Connection).one()
        connection.error_message = "The bucket does not exist"
        name = connection.name
    page = app.get(f"/w/{space.slug}")
    problems = page.html.find("ul", class_="problems").find_all("li")
    assert [problem.a.text for problem in problems] == [
        f"{feed.name}: the last import failed",
        f"{name}: The bucket does not exist",
    ]
    assert problems[0].a["href"] == f"/w/{space.slug}/feeds/{feed.id}"
    assert problems[0].time["title"].endswith("UTC")
    all_feeds = page.html.find("a", string="All feeds that need attention")["href"]
    assert [row.th.a.text for row in app.get(all_feeds).html.tbody.find_all("tr")] == [feed.name]
    user = TestApp(app.app)
    sign_in(user, make.member(space, role=Role.USER))
    assert "The bucket does not exist" not in user.get(f"/w/{space.slug}").text


def test_run_page_shows_the_sizes_of_a_row_together(app: TestApp, make: Factory, space: Workspace) -> None:
    template = make.template(space, small_document(sizes=[{"name": "tall", "width": 100, "height": 300}]))
    run = make.run(make.feed(space), template, None, Output(), Output(size="tall"))
    work(make, run)
    path = f"/w/{space.slug}/runs/{run.id}"
    page = app.get(path)
    rows = page.html.select(".result-rows > li")
    assert [[each.text for each in row.select("ul > li a span")] for row in rows] == [
        ["default, 300 × 200", "tall, 100 × 300"]
    ] * 3
    assert [link.text.partition(" (")[0] for link in page.html.select(".tabs a")] == list(TAB_LABELS.values())
    assert app.get(f"{path}?tab=findings").html.find("ul", attrs={"aria-label": "Findings"})
    assert app.get(f"{path}?tab=output-feed&column=sku").html.find("option", selected=True).text == "sku"
    assert app.get(f"{path}?tab=nonsense").html.select(".result-rows")


def test_overview_shows_running_runs_live(app: TestApp, make: Factory, space: Workspace) -> None:
    run = make.run(make.feed(space), make.template(space))
    app.post(f"/w/{space.slug}/runs/{run.id}/cancel", {"csrf_token": token_of(app, f"/w/{space.slug}")}, status=303)
    app.post(f"/w/{space.slug}/runs/{run.id}/retry", {"csrf_token": token_of(app, f"/w/{space.slug}")}, status=303)
    activity = app.get(f"/w/{space.slug}").html.find("ul", class_="activity-list")
    assert [item.p.strong.text for item in activity.find_all("li")] == ["Feed", "Feed"]
    part = app.get(f"/w/{space.slug}", headers=HTMX)
    assert "<html" not in part.text
    assert part.html.find(id="latest-runs")["hx-trigger"] == "every 2s"
    work(make, run)
    assert "hx-trigger" not in app.get(f"/w/{space.slug}", headers=HTMX).html.find(id="latest-runs").attrs


def test_small_documents_are_valid() -> None:
    assert small_document()["layers"]


def test_template_is_compiled_once_for_all_that_name_it(wsgi: Router) -> None:
    environment = wsgi.registry.getUtility(IJinja2Environment, name=".jinja2")
    of_one, of_another = (environment.get_template("_fields.jinja2", parent) for parent in ("a.jinja2", "b/c.jinja2"))
    assert of_one is of_another

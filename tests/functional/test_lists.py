"""The lists of a workspace, without scripts: search, filters, order, pages, actions, and the number of queries."""

from datetime import UTC, datetime, timedelta
from io import BytesIO
from typing import Any
from uuid import uuid4
from zipfile import ZipFile

import pytest
from sqlalchemy import update
from webtest import TestApp

from cwz_web.db.pagination import first_id
from cwz_web.feeds import feed_list
from cwz_web.generation.api_keys import Scope
from cwz_web.generation.models import Image
from cwz_web.runs import run_list, template_uses
from cwz_web.runs.auto_runs import start_auto_run
from cwz_web.runs.models import Run, RunItem
from cwz_web.views import image_selection
from cwz_web.workspaces.models import Role, Workspace
from tests.factories import Factory, local_bucket, put_cookie, record_queries, sign_in


@pytest.fixture
def space(app: TestApp, make: Factory) -> Workspace:
    space = make.workspace()
    sign_in(app, make.member(space, Role.USER))
    return space


def names(page: Any, selector: str) -> list[str]:
    return [found.text.strip() for found in page.html.select(selector)]


def count_queries(app: TestApp, make: Factory, path: str) -> int:
    with record_queries(make.database) as queries:
        app.get(path)
    return len(queries)


CARD = ".template-list strong"


def test_templates(app: TestApp, make: Factory, space: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    here = f"/w/{space.slug}/templates"
    feed = make.feed(space, name="Products")
    used = make.template(space, name="Sale")
    run = make.run(feed, used)
    with make.database.transaction(space.id) as db:
        start_auto_run(db, db.merge(run))
    few = count_queries(app, make, here)
    for name in ("Poster", "poster", "10%"):
        make.template(space, name=name)
    assert count_queries(app, make, here) == few
    page = app.get(here)
    assert names(page, CARD) == ["10%", "poster 2", "Poster", "Sale"]
    assert "Automatic for Products" in page.text
    assert "4 templates" in page.text
    assert names(app.get(f"{here}?sort=name"), CARD) == ["10%", "Poster", "poster 2", "Sale"]
    assert names(app.get(f"{here}?sort=used"), CARD)[0] == "Sale"
    assert names(app.get(f"{here}?search=%25"), CARD) == ["10%"], "a percent sign is a character like any other"
    assert "No templates match" in app.get(f"{here}?search=nothing").text
    monkeypatch.setattr(template_uses, "TEMPLATE_PAGE", 3)
    first = app.get(f"{here}?sort=name")
    assert names(first.click("Next page"), CARD) == ["Sale"]


def test_actions_on_a_template_return_to_the_place_in_the_list(app: TestApp, make: Factory, space: Workspace) -> None:
    make.template(space, name="Sale")
    here = f"/w/{space.slug}/templates?search=sale"

    def form(page: Any, action: str) -> Any:
        return next(form for form in page.forms.values() if form.action.endswith(action))

    page = form(app.get(here), "/duplicate").submit()
    assert page.location.endswith("/templates?search=sale")
    page = page.follow()
    assert names(page, CARD) == ["Sale 2", "Sale"]
    rename = form(page, "/name")
    rename["name"] = "Sale of the week"
    page = rename.submit().follow()
    page = form(page, "/delete").submit().follow()
    assert names(page, CARD) == ["Sale"]
    page = app.get(f"{here}&state=deleted")
    assert names(page, CARD) == ["Sale of the week"]
    form(page, "/restore").submit()
    assert names(app.get(here), CARD) == ["Sale of the week", "Sale"]


def test_search_while_typing_returns_the_rows_with_the_url(app: TestApp, make: Factory, space: Workspace) -> None:
    make.template(space)
    path = f"/w/{space.slug}/templates"
    answer = app.get(f"{path}?search=card&state=&sort=newest", headers={"HX-Request": "true"})
    assert "<h1>" not in answer.text
    assert answer.headers["HX-Replace-Url"] == f"{path}?search=card"


RUN = "tbody th a"


def test_runs(app: TestApp, make: Factory, space: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    here = f"/w/{space.slug}/runs"
    products, events = make.feed(space, name="Products"), make.feed(space, name="Events")
    card, poster = make.template(space, name="Card"), make.template(space, name="Poster")
    make.run(products, card)
    make.image_run(card)
    few = count_queries(app, make, here)
    make.run(products, poster)
    make.run(events, poster)
    assert count_queries(app, make, here) == few
    page = app.get(here)
    assert names(page, RUN) == ["Events with Poster", "Products with Poster", "Products with Card"]
    assert "3 runs" in page.text
    assert names(app.get(f"{here}?feed={products.id}&template={poster.id}"), RUN) == ["Products with Poster"]
    assert len(names(app.get(f"{here}?feed=nonsense"), RUN)) == 3, "what cannot be read is no filter"
    assert names(app.get(f"{here}?search=event"), RUN) == ["Events with Poster"]
    assert len(names(app.get(f"{here}?state=running"), RUN)) == 3
    page = app.get(f"{here}?state=failed&feed={products.id}")
    assert "No runs match" in page.text
    assert names(page, ".chips a") == ["Remove filter State: With errors", "Remove filter Feed: Products"]
    by_name = app.get(here).click("^Run$")
    assert names(by_name, RUN) == ["Events with Poster", "Products with Card", "Products with Poster"]
    assert by_name.html.find("th", {"aria-sort": "ascending"}).text.strip() == "Run"
    monkeypatch.setattr(run_list, "RUN_PAGE", 2)
    backwards = by_name.click("^Run$")
    assert names(backwards, RUN) == ["Products with Poster", "Products with Card"]
    assert names(backwards.click("Next page"), RUN) == ["Events with Poster"]
    monkeypatch.setattr(run_list, "RUN_PAGE", 1)
    page = app.get(f"{here}?template={poster.id}").click("Next page")
    assert names(page, RUN) == ["Products with Poster"]
    assert "Next page" not in page.text


def test_feeds(app: TestApp, make: Factory, space: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    here = f"/w/{space.slug}/feeds"
    products = make.feed(space, name="Products")
    few = count_queries(app, make, here)
    make.source(make.feed(space, name="Events"), url="https://shop.example/events.csv?token=secret", cron="H 6 * * *")
    make.import_to_review(make.feed(space, name="Addresses"))
    make.import_with_invalid_row(make.feed(space, name="Stores"))
    template = make.template(space)
    run, image = make.run(products, template), make.image(template)
    with make.database.transaction(space.id) as db:
        item = db.get_one(RunItem, (space.id, run.id, 1))
        item.image_id, item.state = image.id, "done"
    assert count_queries(app, make, here) == few
    page = app.get(here)
    assert names(page, RUN) == ["Stores", "Addresses", "Events", "Products"]
    assert names(page, ".badge") == ["Up to date", "Needs review", "Up to date", "Up to date", "0%"]
    assert [text for text in names(page, ".sub.issue") if text] == ["1 invalid row"]
    assert "3 added" in page.text
    assert "secret" not in page.text
    assert len(page.html.select(".row-thumbs img")) == 1
    assert names(app.get(f"{here}?sort=name"), RUN) == ["Addresses", "Events", "Products", "Stores"]
    assert names(app.get(f"{here}?state=attention"), RUN) == ["Addresses"]
    assert names(app.get(f"{here}?source=url"), RUN) == ["Events"]
    assert names(app.get(f"{here}?source=file&search=s"), RUN) == ["Stores", "Addresses", "Products"]
    assert "No feeds match" in app.get(f"{here}?source=api").text
    forms = app.get(f"{here}?source=url").forms.values()
    paused = next(form for form in forms if form.action.endswith("/pause")).submit().follow()
    assert paused.request.path_qs.endswith("/feeds?source=url")
    assert "Paused “Events”." in paused.text
    assert names(app.get(f"{here}?state=paused"), RUN) == ["Events"]
    source = paused.click("Events").click("Source")
    assert "The feed is not fetched on its schedule" in source.text
    next(form for form in source.forms.values() if form.action.endswith("/resume")).submit()
    assert names(app.get(f"{here}?state=paused"), RUN) == []
    app.post(f"{here}/{products.id}/delete", {"csrf_token": token(page)})
    assert names(app.get(f"{here}?state=deleted"), RUN) == ["Products"]
    monkeypatch.setattr(feed_list, "FEED_PAGE", 2)
    assert names(app.get(f"{here}?sort=rows").click("Next page"), RUN) == ["Events"]


def test_feeds_show_their_last_imports_and_their_last_run(app: TestApp, make: Factory, space: Workspace) -> None:
    feed = make.feed(space, name="Products")
    here, template = f"/w/{space.slug}/feeds", make.template(space)
    assert not app.get(here).html.select(".sparkline"), "one import is no history"
    make.import_with_invalid_row(feed, b"sku,title\n1,Uno\n2,Dos\n3,Three\n4,Four\n")
    make.import_to_review(feed)
    make.import_with_invalid_row(feed, b"sku,title\n1,Uno\n2,Dos\n3,Three\n4,Four\n")
    make.run(feed, template)
    last = make.run(feed, template)
    with make.database.transaction(space.id) as db:
        run = db.get_one(Run, (space.id, last.id))
        run.done, run.findings, run.finished_at = run.total, 2, datetime.now(UTC)
    page = app.get(here)
    assert names(page, ".sparkline title") == ["Rows changed by the last 3 imports: 3, 3, 0"]
    (link,) = page.html.select("a.last-run")
    assert link.text.strip() == "Completed, 2 findings"
    assert "2 findings" in app.get(link["href"]).text
    assert link["href"].endswith(f"/runs/{last.id}?tab=findings")


@pytest.mark.parametrize(("cookie", "density"), [("compact", "compact"), ("tiny", "comfortable")])
def test_density_of_tables(app: TestApp, make: Factory, space: Workspace, cookie: str, density: str) -> None:
    make.feed(space)
    make.template(space)
    put_cookie(app, "density", cookie)
    page = app.get(f"/w/{space.slug}/feeds")
    assert page.html.html["data-density"] == density
    assert page.html.find(class_="density")["aria-pressed"] == str(density == "compact").lower()
    assert not app.get(f"/w/{space.slug}/templates").html.find(class_="density"), "cards have no density"


def test_selected_images(app: TestApp, make: Factory, space: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    here = f"/w/{space.slug}/images"
    template, foreign = make.template(space), make.image(make.template(make.workspace()))
    first, second, missing = (make.image(template) for _ in range(3))
    for image in (first, second):
        local_bucket(make.services).put(image.key, image.digest.encode(), content_type="image/jpeg")
    fields = {
        "csrf_token": token(app.get(here)),
        "image": [str(image.id) for image in (first, second, missing, foreign)],
    }
    answer = app.post(f"{here}/selection.zip", fields)
    archive = ZipFile(BytesIO(answer.body))
    contents = [archive.read(name).decode() for name in archive.namelist()]
    assert contents[:2] == [second.digest, first.digest]
    assert contents[2].startswith("00001-image-3x2"), "the missing image is named"
    urls = app.post(f"{here}/selection.txt", fields).text.splitlines()
    shown = [field["data-url"] for field in app.get(here).html.select("input[name=image]")]
    assert urls == shown
    assert len(urls) == 3
    for sent in ([], ["nonsense"], [str(foreign.id)], [str(uuid4()) for _ in range(101)]):
        app.post(f"{here}/selection.zip", fields | {"image": sent}, status=422)
    monkeypatch.setattr(image_selection, "MAX_ZIP_BYTES", 20)
    assert "Select fewer images" in app.post(f"{here}/selection.zip", fields, status=422).text


def test_images_are_deleted_and_restored(app: TestApp, make: Factory, space: Workspace) -> None:
    here = f"/w/{space.slug}/images"
    feed, template = make.feed(space, name="Products"), make.template(space)
    first, second = (make.image(template) for _ in range(2))
    fields = {"csrf_token": token(app.get(here)), "image": str(first.id), "list": "created=7"}
    url = f"/i/images/{space.id}/{first.id}.jpg"
    listed = app.post(f"{here}/delete", fields, status=303).follow()
    assert listed.request.path_qs == f"{here}?created=7"
    assert f"{first.id}" not in listed.html.find(id="list").decode()
    app.get(f"{here}/{first.id}", status=404)
    app.get(url, status=(403, 404))
    undo = next(form for form in listed.forms.values() if form.action == f"{here}/restore")
    assert str(first.id) in undo.submit(status=303).follow().text
    app.post(f"{here}/restore", dict(undo.submit_fields()), status=409)
    with make.database.transaction(space.id) as db:
        run = make.run(feed, template)
        item = db.get_one(RunItem, (space.id, run.id, 1))
        item.image_id, item.state = second.id, "done"
        db.get_one(Run, (space.id, run.id)).done = 1
    assert "Products" in app.get(f"{here}/{second.id}").html.dl.text
    asked = app.post(f"{here}/delete", fields | {"image": str(second.id)})
    assert "Output feeds have these images" in asked.text
    assert asked.html.find("a", string="Cancel")["href"] == f"{here}?created=7"
    assert make.count(Image, space.id) == 2
    form = next(form for form in asked.forms.values() if form.action == f"{here}/delete")
    form.submit("confirm", status=303)
    assert make.count(Image, space.id) == 1
    page = app.get(f"/w/{space.slug}/runs/{run.id}?state=done")
    assert "1 image deleted" in page.text
    assert "Rows without an image" not in page.text


def test_image_is_deleted_through_the_api(app: TestApp, make: Factory, space: Workspace) -> None:
    image = make.image(make.template(space))
    path = f"/v1/images/{image.id}"
    reader = {"Authorization": f"Bearer {make.key(space, Scope.READ, Scope.GENERATE)}"}
    writer = {"Authorization": f"Bearer {make.key(space, Scope.IMAGES_WRITE)}"}
    app.delete(path, headers=reader, status=403)
    app.delete(path, headers=writer, status=204)
    app.delete(path, headers=writer, status=404)


def token(page: Any) -> str:
    return str(page.html.find("input", {"name": "csrf_token"})["value"])


def test_images(app: TestApp, make: Factory, space: Workspace) -> None:
    here = f"/w/{space.slug}/images"
    feed, template = make.feed(space, name="Products"), make.template(space)
    run = make.run(feed, template)
    of_run, old, wide = (make.image(template) for _ in range(3))
    few = count_queries(app, make, here)
    with make.database.transaction(space.id) as db:
        item = db.get_one(RunItem, (space.id, run.id, 1))
        item.image_id, item.state = of_run.id, "done"
        for image, values in (
            (of_run, {"name": "of run"}),
            (wide, {"name": "wide", "width": 1200, "height": 630, "content_type": "image/png"}),
            (old, {"name": "old", "id": first_id(datetime.now(UTC) - timedelta(days=8))}),
        ):
            db.execute(update(Image).where(Image.id == image.id).values(values))
    make.run(feed, template)
    assert count_queries(app, make, here) == few

    def found(query: str) -> list[str]:
        return names(app.get(f"{here}?{query}"), ".caption span:first-child")

    assert found("") == ["wide", "of run", "old"]
    assert found(f"feed={feed.id}") == found(f"run={run.id}") == ["of run"]
    assert found(f"feed={feed.id}&format=png") == []
    assert found("size=1200x630") == found("format=png") == ["wide"]
    assert found("created=7") == ["wide", "of run"]
    assert len(found("size=0x9&format=doc&created=8&run=1")) == 3, "what cannot be read is no filter"
    assert names(app.get(f"{here}?run={run.id}&created=30"), ".chips a")[1] == "Remove filter Created: Last 30 days"

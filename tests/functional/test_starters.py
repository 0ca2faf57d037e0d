"""The gallery of starters, without scripts: filters, previews with the rows of a feed, and new templates."""

from typing import Any

import pytest
from sqlalchemy import text
from webtest import TestApp

from cwz_web.demo.starters import list_starters
from cwz_web.generation.models import Template
from cwz_web.workspaces.models import Role, Workspace
from tests.factories import Factory, sign_in

PRODUCTS = b"sku,title,image,price,rating\n1,,,5,1\n2,Lamp,https://photos.example/lamp.jpg,64 EUR,4\n3,Mug,https://x.example/m.jpg,9,5\n"


@pytest.fixture
def space(app: TestApp, make: Factory) -> Workspace:
    space = make.workspace()
    sign_in(app, make.member(space, Role.USER))
    return space


@pytest.fixture
def base(space: Workspace) -> str:
    return f"/w/{space.slug}/templates"


def tiles(page: Any) -> dict[str, Any]:
    """The starters of a gallery by name."""
    return {tile.select_one("strong").text: tile for tile in page.html.select(".starters li")}


def test_gallery_shows_all_starters_or_those_of_a_category(app: TestApp, base: str) -> None:
    page = app.get(f"{base}/new")
    assert list(tiles(page)) == [entry.name for entry in list_starters().values()]
    page = page.click("Certificate", index=0)
    assert list(tiles(page)) == ["Certificate", "Modern certificate"]
    [current] = page.html.select("nav[aria-label=Categories] [aria-current]")
    assert current.text == "Certificate"
    assert len(tiles(app.get(f"{base}/new?category=nothing&feed=x"))) == len(list_starters())
    banner = tiles(app.get(f"{base}/new?category=banner"))["Product banner"]
    assert "size=rectangle" in banner.img["src"], "the first size is too flat for a tile"


@pytest.mark.usefixtures("bracketed_german")
def test_new_template_has_the_english_name_of_its_starter(
    app: TestApp, base: str, make: Factory, space: Workspace
) -> None:
    app.extra_environ["HTTP_ACCEPT_LANGUAGE"] = "de"
    page = app.get(f"{base}/new?category=quote")
    [current] = page.html.select("[aria-current=page]")[-1:]
    assert current.text == "[Social]"
    assert tiles(page)["Quote"].select_one(".muted").text.startswith("[Social], [")
    page = page.click("Quote", index=0)
    assert page.html.select_one(".head + p").text == "[A sentence and the person who said it]"
    page.forms[1].submit("starter", status=303)
    with make.database.transaction(space.id) as db:
        assert [template.name for template in db.query(Template)] == ["Quote"]


def test_images_of_samples_are_kept_by_browsers(app: TestApp, base: str) -> None:
    page = app.get(f"{base}/new")
    images = page.html.select(".starters img")
    assert all(image["loading"] == "lazy" and image["width"] and image["height"] for image in images)
    answer = app.get(images[0]["src"])
    assert answer.content_type == "image/webp"
    assert "immutable" in answer.headers["Cache-Control"]
    app.get(images[0]["src"], headers={"If-None-Match": answer.headers["ETag"]}, status=304)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("starter?name=../../etc/passwd", 404),
        ("starter-image?name=nothing", 404),
        ("starter-image?name=launch&size=huge", 404),
        ("starter-image?name=launch&row=99", 404),
        ("starter-image?name=launch&row=-1", 422),
        ("starter-image?name=launch&width=9999", 422),
        ("starter-preview?name=launch", 422),
        (f"starter-preview?name=launch&feed=00000000-0000-0000-0000-000000000000&row={2**63}", 422),
        ("starter-preview?name=launch&feed=00000000-0000-0000-0000-000000000000", 404),
    ],
)
def test_invalid_url(app: TestApp, base: str, path: str, status: int) -> None:
    app.get(f"{base}/{path}", status=status)


def test_gallery_shows_the_newest_feed_and_says_which_starters_it_does_not_fit(
    app: TestApp, make: Factory, space: Workspace, base: str
) -> None:
    make.feed(space, PRODUCTS, name="Products")
    page = app.get(f"{base}/new")
    assert page.html.select_one("#feed [selected]").text == "Products"
    shown = tiles(page)
    assert "Sample data" not in shown["Catalog card"].text
    assert "row=2" in shown["Catalog card"].img["src"], "the first row has neither a title nor an image"
    assert "Sample data: no column for Review" in shown["Customer review"].text
    assert "starter-image" in shown["Customer review"].img["src"]
    chooser = next(form for form in page.forms.values() if "feed" in form.fields)
    chooser["feed"] = "sample"
    assert "starter-preview" not in chooser.submit().text


def test_preview_shows_the_row_of_the_feed(app: TestApp, make: Factory, space: Workspace, base: str) -> None:
    feed = make.feed(space, b"sku,title\n1,Reading lamp\n2,Mug\n")
    path = f"{base}/starter-preview?name=banner-sale&feed={feed.id}&row="
    first, second = app.get(f"{path}1"), app.get(f"{path}2")
    assert first.content_type == "image/webp"
    assert "private" in first.headers["Cache-Control"]
    assert first.body != second.body
    app.get(f"{path}2", headers={"If-None-Match": second.headers["ETag"]}, status=304)
    app.get(f"{path}3", status=404)


def test_feed_of_another_workspace_is_not_shown(app: TestApp, make: Factory, base: str) -> None:
    feed = make.feed(make.workspace(), b"sku,title\n1,Secret\n")
    app.get(f"{base}/starter-preview?name=banner-sale&feed={feed.id}&row=1", status=404)
    page = app.get(f"{base}/starter?name=banner-sale&feed={feed.id}")
    assert "starter-preview" not in page.text


def test_page_of_a_starter_shows_rows_in_all_sizes(app: TestApp, make: Factory, space: Workspace, base: str) -> None:
    page = app.get(f"{base}/starter?name=banner-sale")
    entry = list_starters()["banner-sale"]
    assert len(page.html.select(".sizes img")) == entry.rows * len(entry.sizes)
    feed = make.feed(space, PRODUCTS)
    page = app.get(f"{base}/starter?name=banner-sale&feed={feed.id}")
    assert [heading.text for heading in page.html.select("h2")][:2] == ["Row 2", "Row 3"]
    page = app.get(f"{base}/starter?name=review-card&feed={feed.id}")
    assert "No column for Review" in page.html.select_one("[role=status]").text
    assert "starter-preview" not in page.text


def test_new_template_from_starter(app: TestApp, base: str) -> None:
    page = app.get(f"{base}/starter?name=lookbook")
    form = next(form for form in page.forms.values() if "starter" in form.fields)
    designer = app.get(form.submit("starter").location.replace("/editor", "/design"))
    assert designer.html.select(".finding") == []
    library = app.get(f"{base.rpartition('/')[0]}/uploads")
    names = [name.text for name in library.html.select("#uploads strong")]
    assert names, "its illustrations can be found and replaced"
    assert all(name.endswith(" (sample)") for name in names)
    assert "Used in 1 template" in library.text
    assert app.get(designer.html.find(id="stage-image")["src"]).content_type == "image/jpeg"
    found = app.get(f"{base}/new?search=lookb").html.select(".starters strong")
    assert [name.text for name in found] == ["Lookbook"]
    assert "No starter matches" in app.get(f"{base}/new?search=nothing").text
    gallery = app.get(f"{base}/new")
    form = next(form for form in gallery.forms.values() if "starter" in form.fields)
    assert "/editor" in form.submit("starter", value="blank").location
    story = next(form for form in gallery.forms.values() if "size" in form.fields).submit("size", value="1080x1920")
    document = app.get(f"{story.location.removesuffix('/editor')}/template.json").json
    assert (document["canvas"]["width"], document["canvas"]["height"]) == (1080, 1920)


def test_starter_without_storage_shows_error(app: TestApp, make: Factory, space: Workspace, base: str) -> None:
    with make.database.transaction(space.id) as db:
        db.execute(text("UPDATE connections SET is_default = false"))
    page = app.get(f"{base}/starter?name=quote")
    form = next(form for form in page.forms.values() if "starter" in form.fields)
    page = form.submit("starter", status=422)
    assert page.html.select_one(".banner") is not None
    assert make.count(Template, space.id) == 0

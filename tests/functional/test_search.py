"""The search of a workspace."""

import pytest
from webtest import TestApp

from cwz_web.views import search
from cwz_web.views.search import DOCS
from cwz_web.workspaces.models import Role
from tests.factories import Factory, sign_in

HTMX = {"HX-Request": "true", "HX-Request-Type": "partial"}


def test_pages_templates_feeds_and_rows_are_found(app: TestApp, make: Factory) -> None:
    space, other = make.workspace(), make.workspace()
    sign_in(app, make.member(space, Role.USER))
    template, feed = make.template(space, name="Sale 50%"), make.feed(space, b"sku,title\nMUG-1,Mug\n", name="Autumn")
    make.feed(other, b"sku,title\nMUG-1,Mug\n", name="Autumn of another shop")

    def find(text: str) -> list[tuple[str, str]]:
        page = app.get(f"/w/{space.slug}/search", {"q": text}, headers=HTMX)
        assert "<html" not in page.text
        links = [(link.span.text, link["href"].removeprefix(f"/w/{space.slug}")) for link in page.html.find_all("a")]
        return [link for link in links if not link[1].startswith("/images?")]

    assert find("50%") == [("Sale 50%", f"/templates/{template.id}")]
    assert find("%%") == []
    assert find("autumn") == [("Autumn", f"/feeds/{feed.id}")]
    assert find("MUG-1") == [("MUG-1", f"/feeds/{feed.id}/row?key=MUG-1")]
    assert find("members") == [], "a page that the role cannot open"
    assert ("Templates", "/templates") in find("templ")
    assert {("Overview", ""), ("New template", "/templates/new")} <= {*find("")}
    assert find("mug") == [("Mug · MUG-1", f"/feeds/{feed.id}/row?key=MUG-1")]
    run = make.run(feed, template)
    assert find("sale 50%")[1][1] == f"/runs/{run.id}"
    app.get(f"/w/{other.slug}/search", status=404)
    assert "<html" in app.get(f"/w/{space.slug}/search", {"q": "<b>"}).text


def test_rows_are_found_by_title_and_images_by_name(
    app: TestApp, make: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = make.workspace()
    sign_in(app, make.member(space, Role.USER))
    rows = b"".join(b"%d,Mug number %d\n" % (n, n) for n in range(1, 9))
    feed = make.feed(space, b"sku,product_name\n" + rows, name="Autumn")
    make.feed(space, b"sku,stock\n1,Mug\n", name="Stock")
    image = make.image(make.template(space))

    def find(text: str) -> dict[str, str]:
        results = app.get(f"/w/{space.slug}/search", {"q": text}, headers=HTMX).html.select(".search-results a")
        return {link["href"].removeprefix(f"/w/{space.slug}"): link.span.text for link in results}

    assert find("NUMBER 7")[f"/feeds/{feed.id}/row?key=7"] == "Mug number 7 · 7"
    found = [path for path in find("mug n") if path.startswith("/feeds")]
    assert len(found) == search.MAX_RESULTS, "and not the stock, which names no row"
    assert not [path for path in find("m") if "/row" in path], "one letter is in most rows"
    page = app.get(f"/w/{space.slug}/search", {"q": "image"}, headers=HTMX)
    (found_image,) = page.html.select(f"a[href$='/images/{image.id}']")
    assert found_image.img["src"]
    newer = make.feed(space, b"sku,title\nx,Jug\n", name="Winter")
    monkeypatch.setattr(search, "TITLE_SECONDS", 0)
    assert f"/feeds/{newer.id}/row?key=x" in find("jug")
    assert not [path for path in find("mug n") if path.startswith("/feeds")], "the time was over after the newest feed"


def test_found_pages_of_the_documentation_exist(app: TestApp) -> None:
    pages = {path: app.get(path).html for path in {url.partition("#")[0] for url in DOCS.values()}}
    for url in DOCS.values():
        path, _, anchor = url.partition("#")
        assert not anchor or pages[path].find(id=anchor), url

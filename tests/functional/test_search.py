"""The search of a workspace."""

from webtest import TestApp

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
    run = make.run(feed, template)
    assert find("sale 50%")[1][1] == f"/runs/{run.id}"
    app.get(f"/w/{other.slug}/search", status=404)
    assert "<html" in app.get(f"/w/{space.slug}/search", {"q": "<b>"}).text


def test_found_pages_of_the_documentation_exist(app: TestApp) -> None:
    for url in DOCS.values():
        path, _, anchor = url.partition("#")
        page = app.get(path).html
        assert not anchor or page.find(id=anchor), url

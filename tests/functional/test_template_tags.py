"""Tags of templates: changed with undo, refused with the reason, and a filter of the list."""

from typing import Any

import pytest
from webtest import TestApp

from cwz_web.views.template_tags import split_tags
from cwz_web.workspaces.models import Role
from tests.factories import Factory, sign_in


class Shelf:
    """The list of templates of a workspace, with a user."""

    def __init__(self, app: TestApp, make: Factory, role: Role = Role.USER) -> None:
        self.app, self.space = app, make.workspace()
        self.template, self.other = make.template(self.space, name="Autumn"), make.template(self.space, name="Spring")
        sign_in(app, make.member(self.space, role))
        self.path = f"/w/{self.space.slug}/templates"

    def save(self, text: str, **options: Any) -> Any:
        page = self.app.get(f"{self.path}/{self.template.id}")
        form = next(form for form in page.forms.values() if form.action.endswith("/tags"))
        form["tags"] = text
        return form.submit(**options)

    def names(self, **query: str) -> list[str]:
        return [name.text for name in self.app.get(self.path, query).html.select(".template-list .caption strong")]

    def tags(self) -> list[str]:
        return [tag.text for tag in self.app.get(f"{self.path}/{self.template.id}").html.select(".head .card-tags a")]


@pytest.fixture
def shelf(app: TestApp, make: Factory) -> Shelf:
    return Shelf(app, make)


def test_list_is_filtered_by_tag(shelf: Shelf) -> None:
    assert "All tags" not in shelf.app.get(shelf.path).text
    page = shelf.save(" Sale,  Black   Friday, sale,, ").follow()
    assert shelf.tags() == ["Sale", "Black Friday"]
    assert shelf.names() == ["Spring", "Autumn"]
    assert shelf.names(tag="Black Friday") == ["Autumn"]
    assert shelf.names(tag="Friday") == []
    link = shelf.app.get(f"{shelf.path}/{shelf.template.id}").html.select_one(".head .card-tags a")
    assert "Autumn" in shelf.app.get(link["href"]).text
    options = [option.text for option in shelf.app.get(shelf.path).html.select("#filter-tag option")]
    assert options == ["All tags", "Black Friday", "Sale"]
    undo = next(form for form in page.forms.values() if form.action.endswith("/tags") and not form["tags"].value)
    undo.submit()
    assert shelf.tags() == []


@pytest.mark.parametrize(
    ("text", "saying"),
    [
        (", ".join(map(str, range(11))), "Enter at most 10 tags"),
        ("x" * 31, "has more than 30 characters"),
        ("a\x07b", "letters, digits"),
        ("x" * 400, "Enter at most"),
    ],
)
def test_unusable_tags_are_refused(shelf: Shelf, text: str, saying: str) -> None:
    shelf.save("Sale")
    assert saying in shelf.save(text, status=422).text
    assert shelf.tags() == ["Sale"]


def test_copy_has_the_tags(shelf: Shelf) -> None:
    shelf.save("Sale")
    page = shelf.app.get(f"{shelf.path}/{shelf.template.id}")
    next(form for form in page.forms.values() if form.action.endswith("/duplicate")).submit()
    assert shelf.names(tag="Sale") == ["Autumn 2", "Autumn"]


def test_support_agent_sees_tags_only(app: TestApp, make: Factory) -> None:
    shelf = Shelf(app, make, Role.SUPPORT)
    path = f"{shelf.path}/{shelf.template.id}"
    page = app.get(path)
    assert not [form for form in page.forms.values() if form.action.endswith("/tags")]
    token = app.get("/account").forms[0]["csrf_token"].value
    app.post(f"{path}/tags", {"tags": "x", "csrf_token": token}, status=403)


def test_tag_of_another_workspace_is_no_option(app: TestApp, make: Factory) -> None:
    other = Shelf(app, make)
    other.save("Secret project")
    shelf = Shelf(app, make)
    shelf.save("Sale")
    assert "Secret project" not in app.get(shelf.path).text
    assert shelf.names(tag="Secret project") == []


def test_texts_are_split_into_tags() -> None:
    assert split_tags("") == split_tags(" , ") == []
    assert split_tags("Straße, STRASSE, b") == ["Straße", "b"]


def test_other_blanks_are_blanks(shelf: Shelf) -> None:
    """As in a text that is pasted: no-break spaces, and line breaks."""
    shelf.save("Black\u00a0Friday, Sale\r\n2026")
    assert shelf.tags() == ["Black Friday", "Sale 2026"]

"""Comments on the layers of a template: what changes them, and what other tenants and scripts in them can do."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from pyramid.router import Router
from sqlalchemy import delete, select, update
from webtest import TestApp

from cwz_web.accounts.models import Account
from cwz_web.generation import comments
from cwz_web.generation.models import TemplateComment
from cwz_web.workspaces.export import export_account
from cwz_web.workspaces.models import AuditEntry, Role, Workspace
from tests.factories import Factory, sign_in

SCRIPT = "<script>alert(1)</script><img src=x onerror=alert(1)>{{ 7 * 7 }}"


class Discussion:
    """A template, and a member who comments on it."""

    def __init__(self, app: TestApp, make: Factory, role: Role = Role.SUPPORT) -> None:
        self.app, self.make = app, make
        self.space = make.workspace()
        self.template = make.template(self.space)
        self.author = make.member(self.space, role)
        sign_in(app, self.author)
        self.here = f"/w/{self.space.slug}/templates/{self.template.id}"

    def page(self, query: str = "", **headers: str) -> Any:
        return self.app.get(f"{self.here}/comments{query}", headers=headers)

    def post(self, path: str, status: int = 303, headers: dict[str, str] | None = None, **fields: str) -> Any:
        token = self.app.get("/w").html.find("input", {"name": "csrf_token"})["value"]
        form = {"csrf_token": token, **fields}
        return self.app.post(f"{self.here}/{path}", form, headers=headers, status=status)

    def stored(self) -> list[TemplateComment]:
        with self.make.database.transaction(self.space.id) as db:
            return list(db.scalars(select(TemplateComment).order_by(TemplateComment.id)))

    def audit_entries(self) -> list[AuditEntry]:
        with self.make.database.transaction(self.space.id) as db:
            return list(db.scalars(select(AuditEntry).order_by(AuditEntry.number)))


@pytest.fixture
def discussion(app: TestApp, make: Factory) -> Discussion:
    return Discussion(app, make)


def test_member_who_can_only_view_comments_on_a_layer(discussion: Discussion) -> None:
    answer = discussion.post("comments", layer="Title", text="Larger, please")
    assert answer.location.endswith("/comments?layer=Title")
    [item] = answer.follow().html.select(".comment-list li")
    assert "Larger, please" in item.text
    assert discussion.author.name in item.text
    assert "just now" in item.text
    versions = discussion.app.get(f"{discussion.here}/versions")
    assert "Larger, please" in versions.html.select_one(".comment-list").text


def test_comments_of_the_selected_layer_come_first(discussion: Discussion) -> None:
    discussion.post("comments", layer="Title", text="On the title")
    discussion.post("comments", text="On everything")
    texts = [item.text for item in discussion.page("?layer=Title").html.select(".comment-text")]
    assert texts == ["On the title", "On everything"]


def test_comment_is_resolved_and_reopened_once(discussion: Discussion) -> None:
    discussion.post("comments", text="Larger, please")
    [comment] = discussion.stored()
    for _ in range(2):
        page = discussion.post("resolve-comment", comment=str(comment.id)).follow()
    [item] = page.html.select(".comment-list li")
    assert f"Resolved just now by {discussion.author.name}" in item.text
    for _ in range(2):
        page = discussion.post("reopen-comment", comment=str(comment.id)).follow()
    [item] = page.html.select(".comment-list li")
    assert "Resolved" not in item.text
    entries = discussion.audit_entries()
    actions = ["template.comment", "template.comment_resolve", "template.comment_reopen"]
    assert [entry.action for entry in entries] == actions
    assert "Larger" not in str([entry.details for entry in entries])


def test_author_edits_and_deletes_a_comment(discussion: Discussion) -> None:
    discussion.post("comments", layer="Title", text="Larger")
    [comment] = discussion.stored()
    refused = discussion.post("edit-comment", 422, comment=str(comment.id), text=" ")
    form = refused.html.select_one(".comment-list details[open]")
    assert "Enter a value" in form.text
    assert len(refused.html.find_all(class_="error")) == 1
    page = discussion.post("edit-comment", comment=str(comment.id), text="Smaller").follow()
    [item] = page.html.select(".comment-list li")
    assert (item.select_one(".comment-text").text, ", edited" in item.text) == ("Smaller", True)
    page = discussion.post("delete-comment", comment=str(comment.id)).follow()
    assert "No comments" in page.text
    assert discussion.stored() == []
    actions = [entry.action for entry in discussion.audit_entries()]
    assert actions == ["template.comment", "template.comment_edit", "template.comment_delete"]


def test_only_admins_delete_comments_of_others_and_cannot_edit_them(discussion: Discussion) -> None:
    discussion.post("comments", text="Larger")
    [comment] = discussion.stored()
    for role, status in ((Role.USER, 403), (Role.ADMIN, 303)):
        discussion.app.reset()
        sign_in(discussion.app, discussion.make.member(discussion.space, role))
        item = discussion.page().html.select_one(".comment-list li")
        labels = [summary.text.strip() for summary in item.find_all("summary")]
        assert labels == (["Delete"] if role is Role.ADMIN else [])
        discussion.post("edit-comment", 403, comment=str(comment.id), text="Forged")
        assert [each.text for each in discussion.stored()] == ["Larger"]
        discussion.post("delete-comment", status, comment=str(comment.id))
    assert discussion.stored() == []


def test_comments_on_a_deleted_layer_stay_readable(discussion: Discussion) -> None:
    with discussion.make.database.transaction(discussion.space.id) as db:
        template = db.merge(discussion.template)
        comments.add_comment(db, template, layer="Gone", text="Larger", author=db.merge(discussion.author))
    item = discussion.page("?layer=Gone").html.select_one(".comment-list li")
    assert "on Gone, which is no longer in the template" in " ".join(item.text.split())
    assert item.find("a") is None
    assert "Larger" in item.text


def test_editor_knows_how_many_comments_are_open(discussion: Discussion) -> None:
    discussion.app.reset()
    sign_in(discussion.app, discussion.make.member(discussion.space, Role.USER))
    for text in ("One", "Two", "Three"):
        discussion.post("comments", layer="Title", text=text)
    discussion.post("comments", text="On everything")
    discussion.post("resolve-comment", comment=str(discussion.stored()[0].id))
    start = discussion.app.get(f"{discussion.here}/editor").html.find(id="editor-start")
    assert json.loads(start.string)["openComments"] == {"Title": 2}


def test_editor_gets_the_part_of_the_page(discussion: Discussion) -> None:
    htmx = {"HX-Request": "true"}
    answer = discussion.post("comments", headers=htmx, layer="Title", text="Larger")
    assert "<html" not in discussion.page("?layer=Title", **htmx).text
    assert answer.status_int == 303
    refused = discussion.post("comments", 422, headers=htmx, layer="Gone", text="Larger")
    assert "<html" not in refused.text
    assert "no longer exists" in refused.text


def test_text_is_never_markup(discussion: Discussion) -> None:
    discussion.post("comments", text=SCRIPT)
    for page in (
        discussion.page(),
        discussion.page(**{"HX-Request": "true"}),
        discussion.app.get(f"{discussion.here}/versions"),
    ):
        assert page.html.select_one(".comment-text").text == SCRIPT
        assert SCRIPT not in page.text
        assert page.html.find("img", {"src": "x"}) is None


@pytest.mark.parametrize("fields", [{}, {"text": " "}, {"text": "x" * 2001}, {"text": "a", "layer": "Gone"}])
def test_invalid_comments_are_refused(discussion: Discussion, fields: dict[str, str]) -> None:
    page = discussion.post("comments", 422, **fields)
    assert page.html.find(class_="error") is not None
    assert discussion.stored() == []


def test_number_of_comments_is_limited(discussion: Discussion, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comments, "MAX_COMMENTS", 1)
    discussion.post("comments", text="One")
    assert "at most 1 comments" in discussion.post("comments", 422, text="Two").text


def test_comments_of_other_templates_and_workspaces_are_out_of_reach(discussion: Discussion, app: TestApp) -> None:
    other = Discussion(TestApp(app.app), discussion.make)
    other.post("comments", text="Theirs")
    [theirs] = other.stored()
    assert "Theirs" not in discussion.page().text
    for change in ("resolve-comment", "reopen-comment", "delete-comment"):
        discussion.post(change, 422, comment=str(theirs.id))
    discussion.post("edit-comment", 422, comment=str(theirs.id), text="Forged")
    discussion.post("comments", text="Ours")
    [ours] = discussion.stored()
    second = discussion.make.template(discussion.space, name="Second")
    discussion.here = f"/w/{discussion.space.slug}/templates/{second.id}"
    discussion.post("resolve-comment", 422, comment=str(ours.id))
    discussion.post("delete-comment", 422, comment=str(ours.id))
    discussion.here = other.here
    discussion.app.get(f"{other.here}/comments", status=404)
    discussion.post("comments", 404, text="Smuggled")
    assert [each.resolved_at for each in (*other.stored(), *discussion.stored())] == [None, None]


def test_read_only_workspace_shows_comments_without_a_form(wsgi_paid: Router, make: Factory) -> None:
    discussion = Discussion(TestApp(wsgi_paid), make)
    discussion.post("comments", text="Larger")
    with make.database.transaction(discussion.space.id) as db:
        db.execute(update(Workspace).values(read_only_from=datetime.now(UTC)))
    page = discussion.page()
    assert "Larger" in page.text
    assert page.html.find("textarea") is None
    assert page.html.select(".comment-list form") == []
    discussion.post("comments", 402, text="More")


def test_comment_outlives_its_author_without_a_name(discussion: Discussion) -> None:
    discussion.post("comments", text="Larger")
    reader = discussion.make.member(discussion.space, Role.USER)
    with discussion.make.database.transaction() as db:
        db.execute(delete(Account).where(Account.id == discussion.author.id))
    app = TestApp(discussion.app.app)
    sign_in(app, reader)
    assert "Former member" in app.get(f"{discussion.here}/comments").html.select_one(".comment-list").text


def test_export_of_an_account_has_its_comments(discussion: Discussion) -> None:
    discussion.post("comments", layer="Title", text="Larger")
    with discussion.make.database.transaction() as db:
        [space] = export_account(db, db.get_one(Account, discussion.author.id))["workspaces"]
    [comment] = space["comments"]
    assert (comment["template"], comment["layer"], comment["text"]) == ("Card", "Title", "Larger")

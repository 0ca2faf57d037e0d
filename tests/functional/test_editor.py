"""The editor's requests: operations on the draft, and the tiles that answer them."""

import dataclasses
import json
from collections.abc import Callable
from datetime import UTC, datetime
from email import message_from_bytes
from email.message import Message
from gettext import NullTranslations
from hashlib import sha256
from typing import Any

import pytest
import pyvips
from webtest import TestApp, TestResponse

from cwz_web import i18n
from cwz_web.feeds.imports import create_feed
from cwz_web.feeds.models import Feed
from cwz_web.generation.drafts import load_draft
from cwz_web.generation.models import Template
from cwz_web.generation.templates import load_design
from cwz_web.i18n import load_language
from cwz_web.imaging.documents import MAX_TABLE_ENTRIES, ImageTemplate
from cwz_web.runs import stress_rows
from cwz_web.views import editor
from cwz_web.web.rate_limits import RateLimiter
from cwz_web.web.services import Services
from cwz_web.workspaces.models import AuditEntry, Role
from tests.factories import Factory, jpeg, sign_in, small_document, token_of


class Desk:
    """A template that a signed-in user edits."""

    def __init__(self, app: TestApp, make: Factory, role: Role = Role.USER) -> None:
        self.app, self.make = app, make
        self.space = make.workspace()
        self.template = make.template(self.space)
        sign_in(app, make.member(self.space, role))
        self.here = f"/w/{self.space.slug}/templates/{self.template.id}"
        self.base = editor.digest_of(ImageTemplate.model_validate(small_document()))
        self.token = token_of(app, f"/w/{self.space.slug}")

    def post(self, status: int = 200, token: str | None = None, **values: Any) -> TestResponse:
        body = {"base": self.base, **values}
        headers = {"X-CSRF-Token": token or self.token}
        return self.app.post_json(f"{self.here}/operations", body, headers=headers, status=status)

    def edit(self, status: int = 200, **values: Any) -> dict[str, Any]:
        """Send a request and return the state that answers it; later requests are based on it."""
        state, _ = read(self.post(status, **values))
        self.base = state["base"]
        return state

    def replace(
        self, path: str, value: Any, change: str = "change", status: int = 200, op: str = "replace"
    ) -> dict[str, Any]:
        operations = [{"op": op, "path": path, "value": value}]
        return self.edit(status, operations=operations, change=change)

    @property
    def draft(self) -> ImageTemplate:
        with self.make.database.transaction(self.space.id) as db:
            return load_draft(db, db.get_one(Template, (self.space.id, self.template.id))).document

    @property
    def published(self) -> ImageTemplate:
        with self.make.database.transaction(self.space.id) as db:
            return load_design(db, db.get_one(Template, (self.space.id, self.template.id))).document

    @property
    def log(self) -> list[str]:
        with self.make.database.transaction(self.space.id) as db:
            return [entry.action for entry in db.query(AuditEntry).order_by(AuditEntry.number)]


def read(response: TestResponse) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Return the state and the files of an answer, which is a form (RFC 7578)."""
    message = message_from_bytes(
        b"Content-Type: " + response.headers["Content-Type"].encode() + b"\n\n" + response.body
    )
    parts: dict[str, bytes] = {}
    for part in message.get_payload():
        assert isinstance(part, Message)
        content = part.get_payload(decode=True)
        assert isinstance(content, bytes)
        parts[str(part.get_param("name", header="Content-Disposition"))] = content
    return json.loads(parts.pop("state")), parts


def properties_form(desk: Desk, layer: str) -> dict[str, str]:
    """Return the form of a layer as the panel shows it."""
    page = desk.app.get(f"{desk.here}/editor-properties?layer={layer}")
    form = next(each for each in page.forms.values() if "text" in each.fields)
    return {name: value for name, value in form.submit_fields() if name != "csrf_token"}


@pytest.fixture
def desk(app: TestApp, make: Factory) -> Desk:
    return Desk(app, make)


def test_page_starts_with_the_draft(desk: Desk) -> None:
    page = desk.app.get(f"{desk.here}/editor")
    start = json.loads(page.html.find(id="editor-start").string)
    assert start["document"] == desk.draft.canonical()
    assert start["base"] == desk.base
    assert "trusted-types htmx default" in page.headers["Content-Security-Policy"]
    assert "default" not in desk.app.get(desk.here).headers["Content-Security-Policy"].partition("trusted-types")[2]


def test_text_of_a_template_cannot_end_the_script_element(desk: Desk) -> None:
    desk.replace("/layers/0/name", "</script><b>x")
    page = desk.app.get(f"{desk.here}/editor")
    assert "</script><b>" not in page.text
    assert json.loads(page.html.find(id="editor-start").string)["document"]["layers"][0]["name"] == "</script><b>x"


def test_operations_change_the_draft_and_nothing_else(desk: Desk) -> None:
    state = desk.replace("/canvas/width", 320)
    assert (desk.draft.canvas.width, desk.published.canvas.width) == (320, 300)
    assert (state["hasDraft"], state["canUndo"], state["canRedo"]) == (True, True, False)
    assert state["document"] is None, "the script knows it already"
    assert desk.log[-1] == "template.draft"


def test_answer_has_each_tile_once(desk: Desk) -> None:
    state, files = read(desk.post())
    digests = {layer["tile"]["digest"] for layer in state["layers"] if layer["tile"]} | {state["background"]["digest"]}
    assert set(files) == digests
    assert all(file.startswith(b"\x89PNG") for file in files.values())
    _, files = read(desk.post(have=sorted(digests)))
    assert not files


def test_only_the_changed_layer_is_answered(desk: Desk) -> None:
    state, files = read(desk.post())
    have = sorted(files)
    titles = [layer["name"] for layer in state["layers"]]
    at = titles.index("Title")
    operations = [{"op": "replace", "path": f"/layers/{at}/text", "value": "Another"}]
    state, files = read(desk.post(operations=operations, have=have))
    assert set(files) == {state["layers"][at]["tile"]["digest"]}


def test_a_document_that_is_not_what_the_script_expects_is_answered(desk: Desk) -> None:
    override = {"op": "add", "path": "/layers/0/pins", "value": {"horizontal": "right"}}
    state = desk.edit(operations=[override])
    assert state["document"]["layers"][0]["pins"] == {"horizontal": "right", "vertical": "top"}


def test_change_of_another_document_is_refused_with_the_new_one(desk: Desk) -> None:
    first = desk.base
    desk.replace("/canvas/width", 320)
    state, _ = read(desk.post(409, base=first, operations=[{"op": "replace", "path": "/canvas/height", "value": 99}]))
    assert state["document"]["canvas"]["width"] == 320
    assert desk.draft.canvas.height != 99


@pytest.mark.parametrize("action", ["undo", "publish", "discard"])
def test_action_on_another_document_is_refused(desk: Desk, action: str) -> None:
    first = desk.base
    desk.replace("/canvas/width", 320)
    desk.post(409, base=first, action=action)
    assert (desk.draft.canvas.width, desk.published.canvas.width) == (320, 300)


@pytest.mark.parametrize(
    ("operation", "message"),
    [
        ({"op": "replace", "path": "/canvas/width", "value": -1}, "canvas.width"),
        ({"op": "replace", "path": "/canvas/background", "value": "red"}, "#rrggbb"),
        ({"op": "remove", "path": "/layers/99"}, "99"),
        ({"op": "add", "path": "/nothing/here", "value": 1}, "nothing"),
        ({"op": "replace", "path": "", "value": []}, ""),
        ({"op": "test", "path": "/canvas/width", "value": 1}, ""),
        ({"op": "add", "path": "/layers/x", "value": 1}, ""),
    ],
)
def test_invalid_operation_changes_nothing_and_says_why(desk: Desk, operation: dict[str, Any], message: str) -> None:
    before = desk.draft
    operations = [{"op": "replace", "path": "/canvas/height", "value": 77}, operation]
    problem = desk.post(422, operations=operations).json
    assert message in problem["detail"]
    assert desk.draft == before


@pytest.mark.parametrize(
    "values",
    [
        {"operations": [{"op": "copy", "from": "/layers", "path": "/layers/0"}]},
        {"operations": [{"op": "move", "from": "/layers/0", "path": "/layers/1"}]},
        {"operations": [{"op": "remove", "path": "/layers/0"}] * 1001},
        {"operations": [{"op": "remove", "path": "layers"}]},
        {"action": "delete"},
        {"base": "nothing"},
        {"unknown": 1},
        {"row": 0},
        {"have": ["../../x"]},
    ],
)
def test_request_of_another_form_is_refused(desk: Desk, values: dict[str, Any]) -> None:
    assert desk.post(422, **values).json["code"] == "invalid_request"


def test_large_request_is_refused(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(editor, "MAX_BODY", 1000)
    desk.post(413, change="x" * 2000)


def test_form_of_the_designer_changes_the_draft(desk: Desk) -> None:
    state = desk.edit(form={"do": "add", "type": "text"})
    assert state["layer"] == "Text"
    assert state["document"]["layers"][-1]["name"] == "Text"
    problem = desk.post(422, form={"do": "properties", "name": "Text", "x": "far"}, layer="Text").json
    assert "x" in problem["errors"]


def test_form_that_shows_old_values_changes_only_what_its_user_changed(desk: Desk) -> None:
    shown = properties_form(desk, "Title")
    desk.replace("/layers/1/text", "Sale")
    desk.replace("/layers/1/underline", value=True, op="add")
    desk.edit(form=shown | {"size": "44"}, changed=["size"], layer="Title")
    title = desk.draft.find_layer("Title")
    assert title is not None
    assert (title.text, title.underline, title.size) == ("Sale", True, 44)  # type: ignore[union-attr]
    desk.edit(form=shown, changed=["underline"], layer="Title")
    assert desk.draft.find_layer("Title").underline is False  # type: ignore[union-attr]


def test_form_of_a_size_that_was_removed_does_not_change_the_default_size(desk: Desk) -> None:
    before = desk.draft
    for form in ({"do": "canvas", "width": "640"}, {"do": "properties", "x": "5"}):
        answer = desk.post(422, form=form, changed=[*form], layer="Title", size="story").json
        assert answer["detail"] == "The size “story” no longer exists"
        url = f"{desk.here}/design?layer=Title&size=story"
        page = desk.app.post(url, {"csrf_token": desk.token, **form}, status=422)
        assert "The size “story” no longer exists" in page
    assert desk.draft == before


def test_form_of_a_layer_that_was_removed_names_it(desk: Desk) -> None:
    for form in ({"do": "properties", "x": "5"}, {"do": "bind", "property": "color", "expression": "title"}):
        answer = desk.post(422, form=form, changed=[*form], layer="Old").json
        assert answer["detail"] == "The layer “Old” no longer exists"
    desk.edit(form={"do": "add", "type": "text"}, changed=[], layer="Old")
    assert desk.draft.layers[-1].name == "Text"


def test_form_of_a_table_with_all_its_entries_changes_the_draft(desk: Desk) -> None:
    entries = {f"key {number:03}": "old" for number in range(MAX_TABLE_ENTRIES)}
    desk.replace("/tables", {"colors": entries}, op="add")
    page = desk.app.get(f"{desk.here}/editor-properties")
    form = next(each for each in page.forms.values() if "199.key" in each.fields)
    values = {name: value for name, value in form.submit_fields() if name != "csrf_token"}
    desk.edit(form=values | {"199.value": "new"}, changed=["199.value"])
    assert desk.draft.tables["colors"] == entries | {"key 199": "new"}


def test_page_without_the_script_changes_only_what_its_user_changed(desk: Desk) -> None:
    page = desk.app.get(f"{desk.here}/design?layer=Title")
    form = next(each for each in page.forms.values() if "text" in each.fields)
    desk.replace("/layers/1/text", "Sale")
    form["size"] = "4"
    refused = form.submit(status=422)
    form = next(each for each in refused.forms.values() if "text" in each.fields)
    form["size"] = "44"
    form["underline"] = True
    form.submit(status=303)
    title = desk.draft.find_layer("Title")
    assert title is not None
    assert (title.text, title.underline, title.size) == ("Sale", True, 44)  # type: ignore[union-attr]
    desk.app.post(f"{desk.here}/design", {"csrf_token": desk.token, "do": "canvas", "shown": "{"}, status=422)


def test_condition_that_replaces_that_of_another_window_says_so(desk: Desk) -> None:
    page = desk.app.get(f"{desk.here}/editor-properties?layer=Title")
    form = next(each for each in page.forms.values() if "expression" in each.fields)
    values = {name: form[name].value for name in ("do", "was", "expression")}
    state = desk.edit(form=values | {"expression": "filled(title)"}, layer="Title")
    assert (state["condition"], state["replaced"]) == ("filled(title)", False)
    state = desk.edit(form=values | {"expression": "empty(title)"}, layer="Title")
    assert (state["condition"], state["replaced"]) == ("empty(title)", True)
    state = desk.edit(form=values | {"was": state["condition"], "expression": "title == ''"}, layer="Title")
    assert not state["replaced"]
    desk.edit(action="undo")
    title = desk.draft.find_layer("Title")
    assert title is not None
    assert title.show_if == "filled(title)"
    assert desk.edit(form=values | {"expression": "filled(title)"}, layer="Title")["replaced"] is False


def test_condition_that_replaces_that_of_another_page_is_undone_by_its_notice(desk: Desk) -> None:
    page = desk.app.get(f"{desk.here}/design?layer=Title")
    for text in ("filled(title)", "empty(title)"):
        form = next(each for each in page.forms.values() if "expression" in each.fields)
        form["expression"] = text
        answer = form.submit(status=303).follow()
        assert bool(answer.html.select("[data-notice]")) == (text == "empty(title)")
    undo = next(
        form
        for form in answer.forms.values()
        if form.action.partition("?")[0].endswith("/undo") and "step" in form.fields
    )
    assert "replaced" in answer.html.select_one("[data-notice]").text
    undo.submit(status=303)
    title = desk.draft.find_layer("Title")
    assert title is not None
    assert title.show_if == "filled(title)"


def test_change_after_a_size_is_for_the_stored_document(desk: Desk) -> None:
    """PostgreSQL reorders the keys of a size's overrides, which are the names of layers."""
    layer = small_document()["layers"][0]
    for name in ("Long name", "A"):
        desk.edit(operations=[{"op": "add", "path": "/layers/-", "value": layer | {"name": name}}])
    desk.edit(form={"do": "add-size", "width": "1080", "height": "1920"})
    desk.edit(form={"do": "add-size", "width": "1200", "height": "628"})
    assert [size.width for size in desk.draft.sizes] == [1080, 1200]


def test_undo_and_redo(desk: Desk) -> None:
    desk.replace("/canvas/width", 320)
    state = desk.edit(action="undo")
    assert (state["document"]["canvas"]["width"], state["canRedo"], state["hasDraft"]) == (300, True, False)
    assert desk.edit(action="redo")["document"]["canvas"]["width"] == 320


def test_publish_keeps_undo(desk: Desk) -> None:
    desk.replace("/canvas/width", 320)
    state = desk.edit(action="publish")
    assert (state["version"], state["hasDraft"], state["canUndo"]) == (2, False, True)
    assert desk.published.canvas.width == 320
    assert desk.log[-1] == "template.edit"


def test_change_after_undoing_a_published_one_is_kept(desk: Desk) -> None:
    desk.replace("/canvas/width", 320)
    desk.edit(action="publish")
    desk.edit(action="undo")
    state = desk.replace("/canvas/width", 340, "other change")
    assert (state["hasDraft"], desk.draft.canvas.width, desk.published.canvas.width) == (True, 340, 320)
    assert desk.edit(action="undo")["document"]["canvas"]["width"] == 300
    desk.edit(action="redo")
    desk.edit(action="publish")
    assert desk.published.canvas.width == 340
    assert not desk.edit()["hasDraft"]


def test_discard_can_be_undone(desk: Desk) -> None:
    desk.replace("/canvas/width", 320)
    assert desk.edit(action="discard")["document"]["canvas"]["width"] == 300
    assert desk.log[-1] == "template.discard"
    assert desk.edit(action="undo")["document"]["canvas"]["width"] == 320


def test_row_of_a_feed_is_shown(desk: Desk) -> None:
    feed = desk.make.feed(desk.space)
    state = desk.edit(feed=str(feed.id), row=2)
    assert state["values"]["title"] == "Two"
    other = desk.make.feed(desk.make.workspace())
    assert desk.edit(feed=str(other.id), row=2)["values"]["title"] != "Two"


def test_row_of_a_deleted_feed_is_not_shown(desk: Desk) -> None:
    feed = desk.make.feed(desk.space)
    with desk.make.database.transaction(desk.space.id) as db:
        db.get_one(Feed, (desk.space.id, feed.id)).deleted_at = datetime.now(UTC)
    assert desk.edit(feed=str(feed.id), row=2)["values"]["title"] != "Two"


def test_findings_are_answered_when_asked_for(desk: Desk) -> None:
    assert desk.edit()["findings"] is None
    at = [layer.name for layer in desk.draft.layers].index("Title")
    desk.replace(f"/layers/{at}/text", "word " * 200)
    assert desk.edit(checks=True)["findings"]


def test_layer_that_is_not_shown_is_named(desk: Desk) -> None:
    name = desk.draft.layers[0].name
    state = desk.replace("/layers/0/show_if", "false")
    assert [each["name"] for each in state["absent"]] == [name]
    assert name not in [layer["name"] for layer in state["layers"]]


def test_support_cannot_edit(app: TestApp, make: Factory) -> None:
    desk = Desk(app, make, Role.SUPPORT)
    app.get(f"{desk.here}/editor", status=403)
    app.get(f"{desk.here}/editor-properties", status=403)
    desk.post(403, operations=[{"op": "replace", "path": "/canvas/width", "value": 320}])


def test_request_without_the_token_is_refused(desk: Desk) -> None:
    desk.post(400, token="0" * 64, operations=[{"op": "replace", "path": "/canvas/width", "value": 320}])
    assert desk.draft.canvas.width == 300


def test_template_of_another_workspace_is_not_found(desk: Desk) -> None:
    other = desk.make.template(desk.make.workspace())
    desk.here = f"/w/{desk.space.slug}/templates/{other.id}"
    desk.post(404)


def test_properties_of_a_layer(desk: Desk) -> None:
    name = desk.draft.layers[0].name
    panel = desk.app.get(f"{desk.here}/editor-properties", {"layer": name})
    assert "hx-post" not in panel.text
    assert panel.html.find(id="p-name")["value"] == name


def test_properties_show_a_formatted_text_that_is_edited_on_the_canvas(desk: Desk) -> None:
    box = {"type": "text", "name": "Price", "x": 0, "y": 0, "width": 100, "height": 50, "size": 20}
    spans = [{"text": "€79 "}, {"text": "€99", "strike": True}]
    desk.post(operations=[{"op": "add", "path": "/layers/-", "value": box | {"spans": spans}}])
    panel = desk.app.get(f"{desk.here}/editor-properties", {"layer": "Price"}).html
    text = panel.find(id="p-text")
    assert (text.string, "name" in text.attrs, "readonly" in text.attrs) == ("€79 €99", False, True)
    assert panel.select_one("[data-edit-text]").string == "Edit on canvas"
    assert panel.find(id="p-max_size").find_parent(class_="field").has_attr("hidden")


def test_template_is_renamed_in_the_bar(desk: Desk) -> None:
    headers = {"HX-Request": "true"}
    form = {"csrf_token": desk.token, "name": " Autumn "}
    renamed = desk.app.post(f"{desk.here}/name", form, headers=headers).html
    assert renamed.find(id="template-name-input")["value"] == "Autumn"
    refused = desk.app.post(f"{desk.here}/name", form | {"name": ""}, headers=headers, status=422).html
    assert refused.find(id="name-error").string
    assert desk.app.get(f"{desk.here}/editor").html.h1.string == "Autumn"
    assert desk.log.count("template.rename") == 1
    desk.app.post(f"{desk.here}/name", form, headers=headers)
    assert desk.log.count("template.rename") == 1


def test_fonts_are_listed_with_files_that_are_sent(desk: Desk) -> None:
    font = desk.make.font(desk.space)
    uploaded, *built_in = desk.app.get(f"{desk.here}/editor-fonts").json["fonts"]
    assert uploaded["reference"] == font.reference
    assert sha256(desk.app.get(uploaded["files"]["400"]).body).hexdigest() == font.digest
    lora = next(font for font in built_in if font["reference"] == "Lora")
    assert {"400", "700", "700 italic"} <= lora["files"].keys()
    assert "Cyrillic" in lora["scripts"]
    assert desk.app.get(lora["files"]["700 italic"]).body[:4] == b"\0\1\0\0"


def test_rows_are_found_by_their_text(desk: Desk) -> None:
    feed = desk.make.feed(desk.space)
    found = desk.app.get(f"{desk.here}/editor-rows", {"feed": str(feed.id), "text": "tw"})
    assert [button["data-row"] for button in found.html.select("[data-row]")] == ["2"]
    assert (
        "No row contains this text"
        in desk.app.get(f"{desk.here}/editor-rows", {"feed": str(feed.id), "text": "zz"}).text
    )


def test_row_is_named_by_its_title(desk: Desk) -> None:
    feed = desk.make.feed(desk.space, b"sku,photo,title\n1,https://shop.example/a.jpg,Mug\n")
    found = desk.app.get(f"{desk.here}/editor-rows", {"feed": str(feed.id)})
    assert found.html.select_one(".row-values").string == "Mug · 1"


def test_columns_are_offered_as_fields(desk: Desk) -> None:
    feed = desk.make.feed(desk.space, b"sku,product name,list price\n1,Mug,24 EUR\n")
    fields = desk.app.get(f"{desk.here}/editor-columns", {"feed": str(feed.id)}).json["fields"]
    assert {"sku", "old_price"} <= {field["name"] for field in fields}
    desk.edit(operations=[{"op": "add", "path": "/fields/-", "value": fields[-1]}])
    assert desk.draft.fields[-1].label == fields[-1]["label"]
    left = desk.app.get(f"{desk.here}/editor-columns", {"feed": str(feed.id)}).json["fields"]
    assert left == fields[:-1]


def test_difficult_rows_are_shown_in_a_size(desk: Desk) -> None:
    feed = desk.make.feed(desk.space, b"sku,title\n1,One\n2,A much longer title\n3,\n")
    strip = desk.app.get(f"{desk.here}/editor-stress", {"feed": str(feed.id)})
    assert [button["data-row"] for button in strip.html.select("[data-row]")] == ["1", "2", "3"]
    image = strip.html.find("img")["src"]
    assert desk.app.get(image).content_type == "image/jpeg"


@pytest.mark.parametrize(
    ("document", "data", "hint"),
    [
        (small_document(fields=[], layers=[]), b"sku,title\n1,One\n", "This template has no fields"),
        (small_document(), b"", "Products has no rows. Import some"),
        (small_document(), b"sku,other\n1,One\n", "No column of Products fits a field of this template (Title"),
    ],
    ids=["no fields", "no rows", "no columns"],
)
def test_strip_without_rows_says_what_to_do(desk: Desk, document: Any, data: bytes, hint: str) -> None:
    template = desk.make.template(desk.space, document, name="Other")
    if data:
        feed = desk.make.feed(desk.space, data, "Products")
    else:
        with desk.make.database.transaction(desk.space.id) as db:
            feed = create_feed(db, desk.space.id, name="Products", file_name="feed.csv")
    strip = desk.app.get(f"/w/{desk.space.slug}/templates/{template.id}/editor-stress", {"feed": str(feed.id)})
    assert hint in strip.html.text
    assert not strip.html.find("ul")


def test_changes_and_previews_are_limited(app_with: Callable[[Services], TestApp], make: Factory) -> None:
    limits = {"editor.user": "2 per minute", "preview.user": "2 per minute"}
    services = dataclasses.replace(make.services, limiter=RateLimiter("memory://", limits))
    desk = Desk(app_with(services), make)
    for _ in range(2):
        desk.app.get(f"{desk.here}/preview")
        desk.edit()
    answer = desk.post(status=429)
    assert 0 < int(answer.headers["Retry-After"]) <= 60
    for name in ("preview", "editor-findings", "editor-photo", "compare", "difference"):
        desk.app.get(f"{desk.here}/{name}", status=429)


def test_large_rows_are_not_all_read(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stress_rows, "STEP", 2)
    monkeypatch.setattr(stress_rows, "SCANNED_CHARACTERS", 30)
    rows = [f"{number},{'wide ' * 2}" for number in range(1, 9)]
    feed = desk.make.feed(desk.space, "\n".join(["sku,title", *rows]).encode())
    strip = desk.app.get(f"{desk.here}/editor-stress", {"feed": str(feed.id)})
    assert "Among the first 4 of 8 rows" in strip.text


def test_issues_of_a_row(desk: Desk) -> None:
    feed = desk.make.feed(desk.space, b"sku,title\n1,One\n2," + b"word " * 300 + b"\n")
    for row, has_issues in ((1, False), (2, True)):
        answer = desk.app.get(f"{desk.here}/editor-findings", {"feed": str(feed.id), "row": row}).json
        assert any(message.startswith("Title") for message in answer["messages"]) == has_issues


@pytest.mark.parametrize("name", ["editor-columns", "editor-rows", "editor-stress"])
def test_feed_of_another_workspace_is_not_found(desk: Desk, name: str) -> None:
    feed = desk.make.feed(desk.make.workspace())
    desk.app.get(f"{desk.here}/{name}", {"feed": str(feed.id)}, status=404)
    desk.app.get(f"{desk.here}/{name}", {"feed": "x"}, status=422)


def test_whole_photo_of_a_layer_is_shown_for_its_crop(desk: Desk) -> None:
    upload = desk.make.upload(desk.space, jpeg(60, 40))
    photo = {"type": "image", "name": "Photo", "source": upload.reference, "width": 20, "height": 80, "rotation": 30}
    desk.edit(operations=[{"op": "add", "path": "/layers/0", "value": photo}])
    shown = pyvips.Image.new_from_buffer(desk.app.get(f"{desk.here}/editor-photo?layer=Photo").body, "")
    assert shown.width / shown.height == pytest.approx(60 / 40, rel=0.01)
    for query, status in (("layer=Title", 404), ("layer=None", 404), ("", 422), ("layer=Photo&row=x", 422)):
        desk.app.get(f"{desk.here}/editor-photo?{query}", status=status)


@pytest.mark.parametrize(
    "body",
    [
        '{"base": "%s", "operations": [{"op": "replace", "path": "/layers/0/name", "value": "a\\u0000b"}]}',
        '{"base": "%s", "operations": [{"op": "replace", "path": "/layers/0/name", "value": "\\ud800"}]}',
        '{"base": "%s", "change": "\\u0000", "operations": [{"op": "replace", "path": "/canvas/width", "value": 5}]}',
        '{"base": "%s", "form": {"do": "add", "type": "\\u0000"}}',
        '{"base": "%s", "form": {"do": "properties", "name": "\\u0000"}, "layer": "Title"}',
        '{"base": "%s", "operations": [{"op": "add", "path": "/layers/0/x", "value": ' + "[" * 900 + "]" * 900 + "}]}",
        '{"base": "%s", "operations": [{"op": "add", "path": "/layers/~2", "value": 1}]}',
        '{"base": "%s", "operations": [{"op": "replace", "path": "/canvas/width", "value": 1e400}]}',
        "[]",
        "{",
        "",
    ],
)
def test_hostile_body_is_refused(desk: Desk, body: str) -> None:
    before = desk.draft
    headers = {"X-CSRF-Token": desk.token, "Content-Type": "application/json"}
    text = body.replace("%s", desk.base)
    answer = desk.app.post(f"{desk.here}/operations", text, headers=headers, status="*")
    assert answer.status_int == 422
    assert desk.draft == before


def test_icons_are_searched_in_the_editor(desk: Desk) -> None:
    found = desk.app.get(f"{desk.here}/editor-icons", {"text": "shopping cart"})
    assert found.html.select("button[data-icon]")[0]["data-icon"] == "shopping-cart"
    assert len(desk.app.get(f"{desk.here}/editor-icons", {"text": "e"}).html.select("svg")) == 60
    assert "No icons match" in desk.app.get(f"{desk.here}/editor-icons", {"text": "../../package"}).text


class Marked(NullTranslations):
    """Translations that differ from English."""

    def gettext(self, message: str) -> str:
        return f"⟦{message}⟧"


def test_findings_are_in_the_language_of_the_user(app: TestApp, make: Factory, monkeypatch: pytest.MonkeyPatch) -> None:
    languages = {"de": i18n.Language(Marked(), {}, {})}
    monkeypatch.setattr(i18n, "load_language", lambda name: languages.get(name) or load_language(name))
    desk = Desk(app, make)
    desk.replace("/layers/1/text", "too long " * 50)
    found: dict[str, list[str]] = {}
    # The layer is rendered once, and cached with its findings.
    for language in ("de", "en"):
        app.extra_environ["HTTP_ACCEPT_LANGUAGE"] = language
        found[language] = [finding["message"] for finding in desk.edit(checks=True)["findings"]]
    assert "does not fit into its box and is cut" in found["en"]
    assert "⟦does not fit into its box and is cut⟧" in found["de"]
    assert "⟦has no image: ⟦The row has no image⟧⟧" in found["de"]

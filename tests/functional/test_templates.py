"""Templates and their designer, as a browser without scripts meets them; htmx is in tests/browser."""

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import pyvips
from sqlalchemy import text
from webtest import TestApp, Upload

from cwz_web.generation.drafts import load_draft, lock_draft, save_draft
from cwz_web.generation.models import Template
from cwz_web.imaging import document_length
from cwz_web.imaging.decoding import read_image_size
from cwz_web.imaging.documents import ImageTemplate
from cwz_web.imaging.image_uploads import MAX_UPLOAD_BYTES
from cwz_web.storage.connections import upload_key
from cwz_web.web.outbound import OutboundRequests
from cwz_web.web.slow_requests import SlowRequestLimitError
from cwz_web.workspaces.models import AuditEntry, Role
from tests.factories import FONT, Factory, api, jpeg, local_bucket, nested_document, sign_in, small_document, small_font


class Studio:
    """A workspace with a template, and a user who designs it."""

    def __init__(self, app: TestApp, make: Factory, role: Role = Role.USER) -> None:
        self.app, self.make = app, make
        self.space = make.workspace()
        self.template = make.template(self.space)
        sign_in(app, make.member(self.space, role))
        self.base = f"/w/{self.space.slug}/templates"
        self.here = f"{self.base}/{self.template.id}"

    def page(self, query: str = "") -> Any:
        return self.app.get(f"{self.here}/design?{query}")

    def form(self, page: Any, do: str) -> Any:
        """The form of a page that asks for a change."""
        forms = (form for form in page.forms.values() if "do" in form.fields)
        return next(form for form in forms if form.fields["do"][0].value == do)

    def open(self, document: dict[str, Any]) -> None:
        """Design another template."""
        self.template = self.make.template(self.space, document=document)
        self.here = f"{self.base}/{self.template.id}"

    @property
    def document(self) -> ImageTemplate:
        """What is published."""
        return ImageTemplate.model_validate_json(self.app.get(f"{self.here}/template.json").body)

    @property
    def log(self) -> list[str]:
        with self.make.database.transaction(self.space.id) as db:
            return [entry.action for entry in db.query(AuditEntry).order_by(AuditEntry.number)]


@pytest.fixture
def studio(app: TestApp, make: Factory) -> Studio:
    return Studio(app, make)


def change(studio: Studio, layer: str = "Title", status: int = 303, **typed: str) -> Any:
    form = studio.form(studio.page(f"layer={layer}"), "properties")
    for name, value in typed.items():
        form[name] = value
    answer = form.submit(status=status)
    return answer.follow() if status == 303 else answer


def test_background_of_a_size_can_be_its_own_and_errors_are_beside_it(studio: Studio) -> None:
    studio.open(small_document(sizes=[{"name": "square", "width": 200, "height": 200}]))
    form = studio.form(studio.page("size=square"), "canvas")
    assert "background" not in form.fields
    form["background.type"] = "linear"
    form = studio.form(form.submit().follow(), "canvas")
    form["background.end"] = "red"
    page = form.submit(status=422)
    assert page.html.find(id="background.end-error").text == "Enter a color as #rrggbb or #rrggbbaa"
    form["background.end"], form["background.type"] = "#ff0000", "none"
    assert studio.form(form.submit().follow(), "canvas")["background.type"].value == "none"


def test_form_makes_no_document_that_could_not_be_imported(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    page = studio.page()
    monkeypatch.setattr(document_length, "MAX_DOCUMENT_LENGTH", 500)
    for layer in ("", "Title"):
        token = page.html.find("input", {"name": "csrf_token"})["value"]
        typed = {"csrf_token": token, "do": "add", "type": "text"}
        refused = studio.app.post(f"{studio.here}/design?layer={layer}", typed, status=422)
        assert (
            refused.html.find(role="alert").text
            == "A template can have at most 500 characters. Remove layers or tables"
        )
    assert studio.log == []


def test_change_stays_draft_until_published(studio: Studio) -> None:
    page = change(studio, x="33")
    assert "Draft saved, not published" in page.text
    assert studio.form(page, "properties")["x"].value == "33"
    assert studio.document.find_layer("Title").x != 33  # type: ignore[union-attr]
    publish = next(form for form in page.forms.values() if form.action.partition("?")[0].endswith("/publish"))
    page = publish.submit().follow()
    assert "Version 2 is published" in page.text
    assert studio.document.find_layer("Title").x == 33  # type: ignore[union-attr]
    assert studio.log == ["template.draft", "template.edit"]


def test_change_waits_for_another_and_keeps_it(studio: Studio) -> None:
    form = studio.form(studio.page("layer=Title"), "properties")
    form["x"] = "48"
    waits = text(
        "SELECT count(*) AS found FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    with ThreadPoolExecutor() as threads:
        with studio.make.database.transaction(studio.space.id) as db:
            template = db.get_one(Template, (studio.space.id, studio.template.id))
            raw = lock_draft(db, template).canonical()
            save_draft(db, template, ImageTemplate.model_validate(raw | {"canvas": raw["canvas"] | {"height": 77}}), "")
            answer = threads.submit(form.submit, status=303)
            while not studio.make.database.query_one(waits).found:  # type: ignore[union-attr]
                assert not answer.done(), "The form did not wait for the other change"
        answer.result()
    with studio.make.database.transaction(studio.space.id) as db:
        document = load_draft(db, db.get_one(Template, (studio.space.id, studio.template.id))).document
    assert (document.canvas.height, document.find_layer("Title").x) == (77, 48)  # type: ignore[union-attr]


def test_invalid_value_shows_error_and_keeps_input(studio: Studio) -> None:
    change(studio, x="33")
    page = change(studio, status=422, size="tall", x="44")
    assert page.html.find(id="size-error").text == "Enter a whole number"
    assert page.html.find(id="p-size")["value"] == "tall"
    assert page.html.find(id="p-x")["value"] == "44"
    assert studio.form(studio.page("layer=Title"), "properties")["x"].value == "33", "nothing of it is kept"


def test_undo_and_redo_buttons(studio: Studio) -> None:
    def press(page: Any, name: str) -> Any:
        form = next(form for form in page.forms.values() if form.action.partition("?")[0].endswith(f"/{name}"))
        return form.submit().follow()

    def x(page: Any) -> str:
        return str(page.html.find(id="p-x")["value"])

    before = x(studio.page("layer=Title"))
    page = change(studio, x="33")
    stale = page
    page = press(page, "undo")
    assert x(page) == before
    assert x(press(stale, "undo")) == before, "a button that is pressed twice works once"
    page = press(page, "redo")
    assert x(page) == "33"
    assert x(press(page, "discard")) == before
    assert "Version 1 is published" in studio.page().text


def test_layer_actions(studio: Studio) -> None:
    def names(page: Any) -> list[str]:
        return [link.text.strip() for link in page.html.select(".layer-head a")]

    def do(what: str, **more: str) -> Any:
        token = studio.page().html.find("input", {"name": "csrf_token"})["value"]
        return studio.app.post(f"{studio.here}/design", {"csrf_token": token, "do": what, **more}).follow()

    assert names(studio.page()) == ["Title", "Image"], "the highest first"
    page = do("add", type="rating")
    assert names(page) == ["Stars", "Title", "Image"]
    assert page.html.find(id="p-stars") is not None, "the new one is chosen"
    assert names(do("move", layer="Stars", to="0")) == ["Title", "Image", "Stars"]
    assert names(do("duplicate", layer="Title")) == ["Title 2", "Title", "Image", "Stars"]
    assert names(do("remove", layer="Title 2")) == ["Title", "Image", "Stars"]
    hidden = do("hide", layer="Title").html.select('.layer-head button[value="hide"]')
    assert [button["aria-pressed"] for button in hidden] == ["true", "false", "false"]
    do("lock", layer="Image")
    assert studio.page("layer=Image").html.select_one(".properties fieldset").has_attr("disabled")
    assert studio.log == ["template.draft"], "one entry for a draft, not one for each stroke"


def test_layers_in_groups_and_stacks(studio: Studio) -> None:
    studio.open(nested_document())

    def do(what: str, **more: str) -> Any:
        token = studio.page().html.find("input", {"name": "csrf_token"})["value"]
        query = f"layer={more.get('layer', '')}"
        return studio.app.post(f"{studio.here}/design?{query}", {"csrf_token": token, "do": what, **more}).follow()

    def listed(page: Any, within: str = "") -> list[str]:
        lists = page.html.select(".layer-list")
        found = next(each for each in lists if each.get("aria-label", "") == (f"Layers in {within}" if within else ""))
        return [item.select_one(".layer-head a").text.strip() for item in found.find_all("li", recursive=False)]

    page = studio.page("layer=Card")
    assert listed(page) == ["Corner", "Note", "Badge", "Card", "Ground"], "the highest first"
    assert listed(page, "Card") == ["Title", "Prices", "Tags", "Stars"], "in the order of the stack"
    assert listed(page, "Badge") == ["Label", "Disc"]
    assert page.html.find(id="p-gap")["value"] == "8"
    assert "New layers are added to Card" in page.text

    page = studio.page("layer=Price")
    assert page.html.find(id="p-x") is None, "a stack places it"
    assert not page.html.find(id="selected-layer").has_attr("data-movable")
    button = page.html.find("button", {"title": "Move down"})
    assert listed(do("move", layer="Price", to=button["value"]), "Prices") == ["Old price", "Price"]

    star = studio.page("layer=Star").html.find(id="selected-layer")
    assert star.has_attr("data-movable")
    assert [star.rect[name] for name in ("x", "y", "width", "height")] == ["5", "5", "60", "40"]
    assert star.parent["transform"].startswith("translate(20 10) translate(12 "), "relative to its group"

    assert listed(do("duplicate", layer="Badge"), "Badge 2") == ["Label 2", "Disc 2"]
    assert listed(do("add", layer="Stars", type="stack"), "Stars") == ["Stack", "Star"]
    assert listed(do("wrap-stack", layer="Note"), "Stack 2") == ["Note"]
    boxes = studio.page("layer=Badge").html.find("input", {"name": "boxes"})["value"]
    assert json.loads(boxes)["Disc"] == [240, 0, 60, 40]
    assert "Disc" in listed(do("unwrap", layer="Badge", boxes=boxes))
    page = studio.page("layer=Disc").html.find(id="selected-layer")
    assert [page.rect[name] for name in ("x", "y", "width", "height")] == ["240", "0", "60", "40"]
    assert "Card" not in listed(do("remove", layer="Card"))


def test_unchanged_form_of_a_stack_saves_no_draft(studio: Studio) -> None:
    studio.open(nested_document())
    page = change(studio, "Card")
    assert "Version 1 is published" in page.text
    page = change(studio, "Card", gap="20", direction="column")
    assert "Draft saved" in page.text
    assert [link.text.strip() for link in page.html.select(".layer-head a")].count("Old price") == 1


def test_invalid_combination_is_explained_above_the_form(studio: Studio) -> None:
    studio.open(nested_document())
    form = studio.form(studio.page("layer=Card"), "properties")
    form["wrap"].checked = True
    assert "Only a row can wrap" in form.submit(status=422).html.select_one('.error[role="alert"]').text


def test_sizes_share_layers_with_own_positions(studio: Studio) -> None:
    form = studio.form(studio.page(), "add-size")
    form["width"], form["height"] = "200", "400"
    page = form.submit().follow()
    assert page.html.find(id="stage-image")["height"] == "400"
    form = studio.form(studio.page("layer=Title&size=200x400"), "properties")
    form["x"] = "5"
    form.submit()
    assert studio.page("layer=Title&size=200x400").html.find(id="p-x")["value"] == "5"
    assert studio.page("layer=Title").html.find(id="p-x")["value"] != "5"
    assert (
        studio.form(studio.page("size=200x400"), "remove-size").submit().follow().html.find(id="stage-image")["height"]
        == "200"
    )


def panel_form(page: Any, do: str, old: str) -> Any:
    """Return the form of a panel for what has this name, or for a new one."""
    forms = (form for form in page.forms.values() if "old" in form.fields and form.fields["do"][0].value == do)
    return next(form for form in forms if form["old"].value == old)


def test_fields_are_edited_and_used_field_stays(studio: Studio) -> None:
    form = panel_form(studio.page(), "field", "")
    form["name"], form["label"], form["default"], form["currency"] = "price", "Price", "5", "EUR"
    page = form.submit().follow()
    assert panel_form(page, "field", "price")["currency"].value == "EUR"
    refused = panel_form(page, "field", "title").submit("change", value="remove", status=422)
    assert "uses the unknown field title" in refused.text
    page = panel_form(page, "field", "price").submit("change", value="remove").follow()
    assert panel_form(page, "field", "title")["label"].value
    form = panel_form(page, "field", "")
    form["name"] = "title"
    assert "Two fields have the same name" in form.submit(status=422).text


def test_computed_fields_and_tables_are_edited_with_live_results(studio: Studio) -> None:
    form = panel_form(studio.page(), "table", "")
    form["name"], form["0.key"], form["0.value"] = "words", "Hello", "Hallo"
    form = panel_form(form.submit().follow(), "computed", "")
    form["name"], form["value"] = "word", 'translate("Hello", "words") + "!"'
    page = form.submit().follow()
    assert "Hallo!" in page.html.find(id="computed-word").find("summary").text
    form = panel_form(page, "computed", "word")
    form["value"] = "length("
    refused = form.submit(status=422)
    assert "The expression is not complete" in refused.text or "is not closed" in refused.text
    assert panel_form(refused, "computed", "word")["value"].value == "length("
    page = panel_form(page, "computed", "word").submit("change", value="remove").follow()
    assert page.html.find(id="computed-word") is None


def condition_form(page: Any, *, is_text: bool = False) -> Any:
    forms = (form for form in page.forms.values() if "do" in form.fields and form.fields["do"][0].value == "condition")
    return next(form for form in forms if ("expression" in form.fields) == is_text)


def test_condition_is_built_without_scripts(studio: Studio) -> None:
    page = studio.page("layer=Title")
    assert "Always shown" in page.html.find(id="panel-condition").text
    page = condition_form(page).submit("change", value="add-group").follow()
    form = condition_form(page)
    form["row.0.0.operator"].force_value("equal")
    refused = form.submit(status=422)
    assert "Enter a value" in refused.html.find(id="row.0.0.error").text
    form = condition_form(refused)
    form["row.0.0.value"] = "Goodbye"
    page = form.submit().follow()
    assert "Hidden for this row" in page.html.find(id="panel-condition").text
    page = condition_form(page).submit("change", value="add-row:0").follow()
    form = condition_form(page)
    form["group.0.match"] = "any"
    page = form.submit().follow()
    assert "Shown for this row" in page.html.find(id="panel-condition").text
    form = condition_form(page, is_text=True)
    assert form["expression"].value == 'same(title, "Goodbye") || filled(title)'
    form["expression"] = "length(title) > 2 + 1"
    page = form.submit().follow()
    assert "more than rows can show" in page.html.find(id="panel-condition").text
    form = condition_form(page, is_text=True)
    form["expression"] = "title >"
    refused = form.submit(status=422)
    assert condition_form(refused, is_text=True)["expression"].value == "title >"
    assert "not complete" in refused.html.find(id="condition-error").text


def test_property_is_bound_with_a_default(studio: Studio) -> None:
    def form_of(page: Any, name: str) -> Any:
        forms = (form for form in page.forms.values() if "property" in form.fields)
        return next(form for form in forms if form.id == name or form["property"].value == name)

    page = studio.page("layer=Title")
    form = next(form for form in page.forms.values() if "property" in form.fields)
    form["property"], form["expression"] = "size", "length(title) * 10"
    page = form.submit().follow()
    form = form_of(page, "size")
    form["default"] = "31"
    page = form.submit().follow()
    panel = page.html.find(id="panel-bound")
    assert panel.find(class_="live-result").text.strip() == "For this row: 50"
    form = form_of(page, "size")
    assert form["default"].value == "31"
    form["expression"] = "nothing"
    refused = form.submit(status=422)
    assert "unknown field nothing" in refused.html.find(id="bound.size.error").text
    page = form_of(page, "size").submit("change", value="unbind").follow()
    assert page.html.find(id="panel-bound").find(class_="live-result") is None


def test_preview_shows_draft_with_feed_row(studio: Studio) -> None:
    feed = studio.make.feed(studio.space, b"sku,title\n1,First product\n2,Second product\n")
    change(studio, text="{{ title | upper }}")
    images = set()
    for query in ("", f"feed={feed.id}&row=1", f"feed={feed.id}&row=2"):
        page = studio.page(query)
        source = page.html.find(id="stage-image")["src"]
        answer = studio.app.get(source)
        assert answer.content_type == "image/jpeg"
        assert answer.headers["Cache-Control"] == "private, no-cache"
        images.add(answer.body)
        studio.app.get(source, headers={"If-None-Match": answer.headers["ETag"]}, status=304)
    assert len(images) == 3
    assert studio.app.get(f"{studio.here}/preview?version=1").body not in images


def test_findings_are_shown_beside_their_layer(studio: Studio) -> None:
    page = change(studio, text="Much too long for such a small box, and longer still " * 3, color="#fefefe")
    item = next(item for item in page.html.select(".layer-list li") if "Title" in item.select_one(".layer-head a").text)
    findings = [finding.text.strip() for finding in item.select(".finding")]
    assert any("does not fit" in finding for finding in findings)
    assert any("hard to read" in finding for finding in findings)


def test_invalid_barcode_keeps_designer_usable(studio: Studio) -> None:
    token = studio.page().html.find("input", {"name": "csrf_token"})["value"]
    page = studio.app.post(f"{studio.here}/design", {"csrf_token": token, "do": "add", "type": "code"}).follow()
    form = studio.form(page, "properties")
    form["code"], form["content"] = "ean13", "soon"
    page = form.submit().follow()
    assert "12 or 13 digits" in page.html.select_one(".layer-list").text


@pytest.mark.parametrize(
    "query",
    [
        *("version=99", "version=0", f"version={2**31}", "size=gone", "feed=x", "width=1", "width=99999", "more=1"),
        f"row={2**63}",
    ],
)
def test_invalid_preview_query_is_rejected(studio: Studio, query: str) -> None:
    studio.app.get(f"{studio.here}/preview?{query}", status=[404, 422])


def test_versions_show_previews_and_can_be_restored(studio: Studio) -> None:
    page = studio.app.get(f"{studio.here}/document")
    form = page.forms[1] if "document" in page.forms[1].fields else page.forms[0]
    document = json.loads(form["document"].value)
    document["canvas"]["width"] = 400
    form["document"] = json.dumps(document)
    form.submit(status=303)
    page = studio.app.get(f"{studio.here}/versions")
    assert [image["width"] for image in page.html.select(".version img")] == ["400", "300"]
    for image in page.html.select(".version img"):
        assert studio.app.get(image["src"]).content_type == "image/jpeg"
    back = next(form for form in page.forms.values() if "version" in form.fields and "name" not in form.fields)
    assert "Version 3" in back.submit().follow().text
    assert studio.document.canvas.width == 300
    token = page.html.find("input", {"name": "csrf_token"})["value"]
    for version in ("9", "x", "0"):
        studio.app.post(f"{studio.here}/versions", {"csrf_token": token, "version": version}, status=422)
    assert studio.log == ["template.edit", "template.rollback"]


def test_exported_template_can_be_imported(studio: Studio) -> None:
    exported = studio.app.get(f"{studio.here}/template.json")
    assert exported.headers["Content-Disposition"] == 'attachment; filename="card.json"'
    form = next(form for form in studio.app.get(f"{studio.base}/new").forms.values() if "file" in form.fields)
    form["file"], form["name"] = Upload("card.json", exported.body), "Imported"
    page = form.submit().follow()
    assert "Imported" in page.text
    brought = page.request.path.removesuffix("/editor")
    assert studio.app.get(f"{brought}/template.json").body == exported.body


@pytest.mark.parametrize(
    ("data", "saying"),
    [
        (b"", "Choose a JSON file"),
        (b"\xff\xfe not json", "not valid JSON"),
        (b"[1, 2]", "an object, in braces"),
        (b'{"layer": []}', "layer: Unknown key. Did you mean"),
        (b'{"version": 9, "canvas": {"width": 1, "height": 1}, "layers": []}', "version"),
        (b"[" * 100_000, "JSON"),
        (b'{"a": "' + b"x" * 600_000 + b'"}', "at most 500,000 characters. Remove layers or tables"),
        (b'["' + "ä".encode() * 300_000 + b'"]', "an object, in braces"),  # 300,000 characters
    ],
)
def test_invalid_template_file_is_rejected_with_message(studio: Studio, data: bytes, saying: str) -> None:
    form = next(form for form in studio.app.get(f"{studio.base}/new").forms.values() if "file" in form.fields)
    form["file"], form["name"] = Upload("card.json", data), "Broken"
    page = form.submit(status=422)
    assert saying in page.html.find(id="file-error").text
    assert page.html.find(id="name")["value"] == "Broken"


def test_template_is_renamed_duplicated_deleted_and_restored(studio: Studio) -> None:
    app, key = studio.app, studio.make.key(studio.space)

    def submit(ending: str, **typed: str) -> Any:
        page = app.get(studio.here)
        form = next(form for form in page.forms.values() if form.action.endswith(ending))
        for name, value in typed.items():
            form[name] = value
        return form.submit().follow()

    assert "Autumn card" in submit("/name", name="Autumn card")
    assert "Autumn card 2" in submit("/duplicate")
    image = app.get(studio.here).html.select_one("figure img")["src"]
    app.get(image)
    api(app, key, {"template": "card"}, status=200)
    page = submit("/delete")
    assert "was deleted" in page.text
    app.get(image, status=404)
    api(app, key, {"template": "card"}, status=422)
    assert "Autumn card</strong>" not in app.get(studio.base).text
    assert f'value="{studio.template.id}"' not in app.get(f"/w/{studio.space.slug}/runs/new").text
    assert "was deleted" not in submit("/restore").text
    app.get(image)
    api(app, key, {"template": "card"}, status=200)
    assert studio.log == ["template.rename", "template.create", "template.delete", "template.restore"]


def test_support_agent_cannot_edit_templates(app: TestApp, make: Factory) -> None:
    studio = Studio(app, make, Role.SUPPORT)
    page = app.get(studio.here)
    assert "Design" not in [link.text.strip() for link in page.html.select(".head a")]
    app.get(f"{studio.here}/versions")
    app.get(f"{studio.here}/preview")
    app.get(f"{studio.here}/design", status=403)


def test_uploaded_font_can_be_chosen(studio: Studio) -> None:
    studio.make.font(studio.space)
    options = studio.page("layer=Title").html.find(id="p-font").select("optgroup")[0].select("option")
    assert [option.text for option in options] == ["Caveat Bold"]
    change(studio, font=options[0]["value"])
    assert studio.log == ["template.draft"]


def upload_image(studio: Studio, name: str, data: bytes, status: int) -> Any:
    page = studio.page("layer=Image")
    assert page.html.find(id="file")["aria-describedby"] == "file-help"
    form = next(f for f in page.forms.values() if "/upload?" in f.action)
    form["file"] = Upload(name, data)
    return form.submit(status=status)


def test_uploads_leave_threads_to_other_requests(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    def slot(*_: object) -> None:
        raise SlowRequestLimitError

    page = studio.page("layer=Image")
    uploads = studio.app.get(f"/w/{studio.space.slug}/uploads")
    monkeypatch.setattr(OutboundRequests, "slot", slot)
    form = next(f for f in page.forms.values() if "/upload?" in f.action)
    form["file"] = Upload("photo.jpg", jpeg())
    assert form.submit(status=503).headers["Retry-After"]
    form = next(f for f in uploads.forms.values() if "file" in f.fields)
    form["file"] = [Upload("caveat.ttf", FONT.read_bytes())]
    assert form.submit(status=503).headers["Retry-After"]


def test_svg_is_uploaded_as_png_and_shown(studio: Studio) -> None:
    logo = b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 4 2"><rect width="4" height="2" fill="#f00"/></svg>'
    page = upload_image(studio, "logo.svg", logo, 303).follow()
    upload, digest = studio.form(page, "properties")["source"].value.split(":")
    stored = local_bucket(studio.make.services).get(upload_key(studio.space.id, digest))
    assert (upload, read_image_size(stored), stored[:4]) == ("upload", (2048, 1024), b"\x89PNG")
    shown = pyvips.Image.new_from_buffer(studio.app.get(page.html.find(id="stage-image")["src"]).body, "")
    assert shown(shown.width * 3 // 4, shown.height // 2)[:3] == pytest.approx([255, 0, 0], abs=4)
    assert studio.log == ["upload.add", "template.draft"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "Choose an image"),
        (b"%PDF-1.7", "a PDF document"),
        (b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 1"><script>alert(1)</script></svg>', "<script>"),
        (b"<svg " + bytes(MAX_UPLOAD_BYTES), "larger than 16 MB"),
        (small_font(), "This file is a font"),
    ],
    ids=["empty", "pdf", "script", "large", "font"],
)
def test_invalid_image_is_rejected_with_message(studio: Studio, data: bytes, message: str) -> None:
    page = upload_image(studio, "logo.svg", data, 422)
    assert page.html.find(id="file")["aria-describedby"] == "file-error"
    assert message in page.html.find(id="file-error").text
    assert studio.form(page, "properties")["source"].value == "{{ image }}"
    assert "template.draft" not in studio.log


def test_image_is_uploaded_for_an_image_layer_only(studio: Studio) -> None:
    page = studio.page("layer=Image")
    form = next(f for f in page.forms.values() if "/upload?" in f.action)
    form.action = f"{studio.here}/upload?layer=Title"
    form["file"] = Upload("photo.jpg", jpeg())
    assert "Select an image layer" in form.submit(status=422).text


def test_published_schema_matches_engine(app: TestApp, make: Factory) -> None:
    answer = app.get("/v1/schemas/template")
    assert answer.content_type == "application/schema+json"
    schema = answer.json
    assert schema["$schema"].endswith("2020-12/schema")
    assert set(schema["required"]) == {"canvas", "layers"}
    assert schema["additionalProperties"] is False


def test_api_renders_other_size_and_scale(app: TestApp, make: Factory) -> None:
    space = make.workspace()
    sizes = [{"name": "tall", "width": 100, "height": 300}]
    make.template(space, small_document(sizes=sizes))
    key = make.key(space)
    described = api(app, key, {"template": "card", "size": "tall", "scale": 2}, accept="application/json", status=201)
    assert (described.json["width"], described.json["height"]) == (200, 600)
    refused = api(app, key, {"template": "card", "size": "wide"}, status=422)
    assert "The template has: default, tall" in refused.json["detail"]
    api(app, key, {"template": "card", "scale": 4}, status=422)


def test_run_form_shows_findings_before_start(app: TestApp, make: Factory) -> None:
    studio = Studio(app, make)
    rows = b"sku,title\n" + b"".join(b"%d,%s\n" % (n, b"Long words " * (30 if n % 2 else 0) + b"x") for n in range(6))
    feed = make.feed(studio.space, rows)
    asked = f"feed={feed.id}&template={studio.template.id}&map.title=title&format=jpg"
    page = app.get(f"/w/{studio.space.slug}/runs/checks?{asked}")
    rows = page.html.find("ul", class_="checked-rows").find_all("li")
    assert ["does not fit" in row.text for row in rows] == [False, True], "the shortest and the longest title"
    assert "1 of 2" in page.html.find(id="checks").text
    images = [app.get(row.img["src"]) for row in rows]
    assert {image.content_type for image in images} == {"image/jpeg"}
    assert images[0].body != images[1].body
    part = app.get(f"/w/{studio.space.slug}/runs/checks?{asked}", headers={"HX-Request": "true"})
    assert "<html" not in part.text
    app.get(f"/w/{studio.space.slug}/runs/checks?feed=x", status=422)
    app.get(f"/w/{studio.space.slug}/runs/checks?{asked}&quality=900")  # the plan says what is wrong with it
    app.get(f"/w/{studio.space.slug}/runs/row-image?{asked}&row=900", status=404)
    app.get(f"/w/{studio.space.slug}/runs/row-image?{asked}&row=x", status=422)


def test_run_form_shows_its_plan(app: TestApp, make: Factory) -> None:
    studio = Studio(app, make)
    feed = make.feed(studio.space)
    asked = f"/w/{studio.space.slug}/runs/plan?feed={feed.id}&template={studio.template.id}"
    plan = app.get(f"{asked}&format.png=on&format.jpg=on")
    assert "6 images to render" in plan.text
    assert plan.html.find("button")["name"] == "confirm"
    assert "Enter at most 100" in app.get(f"{asked}&quality=900").html.find(role="alert").text
    assert "This feed does not exist" in app.get(asked.replace(str(feed.id), str(feed.workspace_id))).text
    make.import_with_invalid_row(feed)
    assert app.get(asked).click("view reasons", index=0).html.find("h1").text == "Invalid rows"

"""The page of the brand: what a change shows first, what it does, and what the roles may do."""

import json
from typing import Any

import pytest
from webtest import TestApp
from webtest import Upload as File

from cwz_web.generation.brand import load_brand, save_brand
from cwz_web.generation.models import Template
from cwz_web.generation.templates import load_design
from cwz_web.imaging.brand import Brand
from cwz_web.runs.auto_runs import start_auto_run
from cwz_web.runs.models import Run
from cwz_web.workspaces.models import AuditEntry, Role
from tests.factories import Factory, jpeg, sign_in, small_document, token_of

STYLE = {"font": "brand:body", "weight": 700, "size": 40, "color": "brand:primary", "line_height": 1.2}
BRAND = {"colors": {"primary": "#ff5500", "ink": "#11223380"}, "fonts": {"body": "Inter"}, "styles": {"title": STYLE}}


class Studio:
    """A workspace with a brand, and a user on its page."""

    def __init__(self, app: TestApp, make: Factory, role: Role = Role.USER) -> None:
        self.app, self.make = app, make
        self.space = make.workspace()
        self.account = make.member(self.space, role)
        sign_in(app, self.account)
        self.path = f"/w/{self.space.slug}/brand"
        with make.database.transaction(self.space.id) as db:
            save_brand(db, self.space.id, Brand.model_validate(BRAND), 0)

    def template(self) -> Template:
        document = small_document(brand=BRAND)
        document["layers"][1] |= {**STYLE, "style": "brand:title"}
        return self.make.template(self.space, document)

    def form(self) -> Any:
        page = self.app.get(self.path)
        return next(form for form in page.forms.values() if "revision" in form.fields)

    @property
    def brand(self) -> Brand:
        with self.make.database.transaction(self.space.id) as db:
            return load_brand(db, self.space.id).brand

    @property
    def log(self) -> list[str]:
        with self.make.database.transaction(self.space.id) as db:
            return [entry.action for entry in db.query(AuditEntry).order_by(AuditEntry.number)]


@pytest.fixture
def studio(app: TestApp, make: Factory) -> Studio:
    return Studio(app, make)


def test_a_change_that_concerns_no_template_is_saved_at_once(studio: Studio) -> None:
    logo = studio.make.upload(studio.space, jpeg(), "Logo")
    form = studio.form()
    form["colors.2.name"], form["colors.2.value"] = "Sea Green", "#00aa55"
    form["logos.0.name"], form["logos.0.value"] = "logo", logo.reference
    page = form.submit().follow()
    assert page.html.select_one("img.brand-logo")["alt"] == "Logo"
    assert studio.brand.colors == {**BRAND["colors"], "sea-green": "#00aa55"}
    assert studio.brand.logos == {"logo": logo.reference}
    assert studio.brand.styles["title"].size == 40
    assert studio.log == ["brand.change"]


@pytest.mark.usefixtures("bracketed_german")
def test_page_and_errors_are_translated(studio: Studio) -> None:
    studio.app.extra_environ["HTTP_ACCEPT_LANGUAGE"] = "de"
    form = studio.form()
    form["colors.2.name"], form["colors.2.value"] = "ink", "#00aa55"
    page = form.submit(status=422)
    assert page.html.select_one("h1").text == "[Brand]"
    assert page.html.find(id="colors.2.name-error").text == "[Another of the colors has this name]"
    groups = [group["label"] for group in page.html.select("select")[0].select("optgroup")]
    assert groups == ["[Built-in fonts]"], "a font of the brand is no other font of the brand"


def test_a_change_shows_first_what_it_concerns(studio: Studio) -> None:
    template, feed = studio.template(), studio.make.feed(studio.space)
    run = studio.make.run(feed, template)
    with studio.make.database.transaction(studio.space.id) as db:
        row = db.get_one(Run, (studio.space.id, run.id))
        start_auto_run(db, row)
        row.done, row.finished_at = row.total, row.created_at
        images = row.total
    form = studio.form()
    form["colors.0.value"] = "#00aa55"
    plan = form.submit()
    assert "Change the brand in 1 template" in plan.text
    assert f"Up to {images} images of finished runs" in plan.text
    assert "are started again. 1 automatic run uses" in " ".join(plan.html.text.split())
    assert studio.brand.colors["primary"] == "#ff5500"
    confirm = next(form for form in plan.forms.values() if "confirm" in form.fields)
    confirm["publish"] = True
    assert "Version 2 was published" in confirm.submit().text
    assert studio.brand.colors["primary"] == "#00aa55"
    with studio.make.database.transaction(studio.space.id) as db:
        document = load_design(db, db.get_one(Template, (studio.space.id, template.id))).document
    assert document.brand.colors == {"primary": "#00aa55"}
    assert studio.log[-2:] == ["template.edit", "brand.change"]


def test_a_renamed_color_is_renamed_in_styles_and_templates(studio: Studio) -> None:
    template = studio.template()
    form = studio.form()
    form["colors.0.name"] = "accent"
    plan = form.submit()
    next(form for form in plan.forms.values() if "confirm" in form.fields).submit()
    assert (list(studio.brand.colors), studio.brand.styles["title"].color) == (["accent", "ink"], "brand:accent")
    page = studio.app.get(f"/w/{studio.space.slug}/templates/{template.id}/design?layer=Title")
    assert page.html.select_one("#p-color")["value"] == "brand:accent"
    assert page.html.select_one('[data-color="p-color"]')["value"] == "#ff5500"


def test_removing_a_color_that_a_style_uses_is_refused(studio: Studio) -> None:
    form = studio.form()
    form["colors.0.remove"] = True
    page = form.submit(status=422)
    assert "The style “title” uses the color “brand:primary”, which the brand does not have" in page.text


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"colors.1.value": "red"}, "Enter a color as #rrggbb"),
        ({"colors.1.value": "brand:primary"}, "Enter a color as #rrggbb"),
        ({"colors.0.name": ""}, "Enter a name"),
        ({"colors.1.name": "Primary"}, "Another of the colors has this name"),
        ({"styles.0.size": "4"}, "Enter at least 6"),
        ({"styles.0.color": "brand:gone"}, "which the brand does not have"),
        ({"revision": "7"}, "The brand was changed in the meantime"),
        ({"revision": "x"}, "The brand was changed in the meantime"),
    ],
)
def test_invalid_changes_are_refused(studio: Studio, fields: dict[str, str], message: str) -> None:
    form = studio.form()
    for name, value in fields.items():
        form[name] = value
    assert message in form.submit(status=422).text
    assert studio.brand == Brand.model_validate(BRAND)


def test_hostile_values_are_refused(studio: Studio) -> None:
    token = token_of(studio.app, "/account")
    other = studio.make.upload(studio.make.workspace(), jpeg())
    for name, value, message in (
        ("logos.0", other.reference, "is not an uploaded image of this workspace"),
        ("logos.0", "https://169.254.169.254/", "Choose an upload"),
        ("fonts.0", "../../etc/passwd", "Unknown font"),
        ("colors.0", "#000000;background:url(//x)", "Enter a color as #rrggbb"),
    ):
        fields = {"csrf_token": token, "revision": "1", f"{name}.name": "<script>x", f"{name}.value": value}
        page = studio.app.post(studio.path, fields, status=422)
        assert message in page.text
        assert "<script>x" not in page.text


def test_templates_with_other_values_are_updated_on_request(studio: Studio) -> None:
    template = studio.template()
    with studio.make.database.transaction(studio.space.id) as db:
        save_brand(db, studio.space.id, Brand.model_validate(BRAND | {"fonts": {"body": "Lora"}}), 1)
    page = studio.app.get(studio.path)
    assert "1 template has other values of the brand" in " ".join(page.html.text.split())
    update = next(form for form in page.forms.values() if form.action.endswith("/brand/update")).submit()
    assert template.name in update.text
    assert "other values of the brand" not in studio.app.get(studio.path).text
    assert studio.log[-2:] == ["template.draft", "brand.update"]


def test_support_views_the_brand_and_does_not_change_it(app: TestApp, make: Factory) -> None:
    studio = Studio(app, make, Role.SUPPORT)
    page = app.get(studio.path)
    assert page.html.select_one("form.brand-form fieldset").has_attr("disabled")
    assert "Save brand" not in page.text
    for path in ("", "/update"):
        app.post(studio.path + path, {"csrf_token": token_of(app, "/account")}, status=403)


def test_an_imported_template_takes_the_values_of_entries_that_the_workspace_has(studio: Studio) -> None:
    document = small_document(brand={"colors": {"primary": "#000000", "own": "#123456"}})
    document["canvas"]["background"] = "brand:own"
    document["layers"][1]["color"] = "brand:primary"
    document["layers"][0]["background"] = "brand:ink"
    fields = [("csrf_token", token_of(studio.app, "/account")), ("name", "Imported")]
    fields.append(("file", File("template.json", json.dumps(document).encode())))
    path = f"/w/{studio.space.slug}/templates/import"
    studio.app.post(path, fields, status=303, content_type="multipart/form-data")
    with studio.make.database.transaction(studio.space.id) as db:
        imported = load_design(db, db.query(Template).filter_by(name="Imported").one()).document
    assert imported.brand.colors == {"own": "#123456", "primary": "#ff5500", "ink": "#11223380"}


def test_forms_of_the_designer_refer_to_the_brand(studio: Studio) -> None:
    template = studio.make.template(studio.space)
    path = f"/w/{studio.space.slug}/templates/{template.id}/design?layer=Title"
    form = next(form for form in studio.app.get(path).forms.values() if "style" in form.fields)
    form["style"] = "brand:title"
    form.submit()
    page = studio.app.get(path)
    form = next(form for form in page.forms.values() if "style" in form.fields)
    assert [form[name].value for name in ("font", "weight", "size", "color")] == [
        "brand:body",
        "700",
        "40",
        "brand:primary",
    ]
    form["color"] = "brand:gone"
    refused = form.submit(status=422)
    assert "color “brand:gone”, which the brand does not have" in refused.text

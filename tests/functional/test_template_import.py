"""Import of templates of other services: a report first, then a draft."""

import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from webtest import TestApp
from webtest import Upload as File

from cwz_web.generation.drafts import has_draft, load_draft
from cwz_web.generation.models import Template
from cwz_web.generation.templates import load_design
from cwz_web.workspaces.models import AuditEntry, Role
from tests.factories import Factory, sign_in, small_document, token_of
from tests.source_servers import FakeDownloads

DATA = Path(__file__).parent.parent / "data" / "importers"


class Person:
    """A user of a workspace, in front of the page of new templates."""

    def __init__(self, app: TestApp, make: Factory) -> None:
        self.app, self.make = app, make
        self.space = make.workspace()
        sign_in(app, make.member(self.space, Role.USER))
        self.path = f"/w/{self.space.slug}/templates"

    def send(self, status: int = 200, file: str | None = None, **typed: str) -> Any:
        fields: list[tuple[str, Any]] = [("csrf_token", token_of(self.app, "/account")), *typed.items()]
        if file is not None:
            fields.append(("file", File("template.json", (DATA / f"{file}.json").read_bytes())))
        return self.app.post(f"{self.path}/import", fields, status=status, content_type="multipart/form-data")

    def templates(self) -> list[Template]:
        with self.make.database.transaction(self.space.id) as db:
            return list(db.scalars(select(Template)))


@pytest.fixture
def person(app: TestApp, make: Factory) -> Person:
    return Person(app, make)


def test_report_comes_first_and_saving_makes_a_draft(person: Person) -> None:
    report = person.send(file="bannerbear-v5-template")
    assert [heading.text for heading in report.html.select("main h2")] == ["Converted", "Changed", "Left out"]
    rows = {row.th.text.strip() for row in report.html.select("tbody tr")}
    assert {"Photo", "Price font-family", "Title skewX", "Sparkle"} <= rows
    assert person.templates() == [], "nothing is saved before the person has seen the report"
    form = next(form for form in report.forms.values() if "save" in form.fields)
    assert form["name"].value == "Autumn sale"
    saved = form.submit("save", status=303)
    [template] = person.templates()
    assert saved.location.endswith(f"{person.path}/{template.id}/editor")
    assert has_draft(template)
    with person.make.database.transaction(person.space.id) as db:
        assert load_design(db, template).document.layers == (), "images show the draft after it is published"
        draft = load_draft(db, template).document
        [entry] = db.scalars(select(AuditEntry).where(AuditEntry.action == "template.create"))
    assert [field.name for field in draft.fields] == ["photo", "title", "price", "stars", "link", "maker"]
    assert entry.details == {"imported_from": "Bannerbear"}
    assert "Stoneware mugs" in person.app.get(saved.location).text


def test_json_without_a_size_needs_one(person: Person) -> None:
    text = (DATA / "placid-template.json").read_text()
    refused = person.send(422, document=text)
    assert "has no size" in refused.html.find(id="file-error").text
    assert refused.html.find("textarea", id="document").text.strip() == text.strip()
    report = person.send(document=text, width="1080", height="1350")
    form = next(form for form in report.forms.values() if "save" in form.fields)
    form["name"] = "Episodes"
    form.submit("save", status=303)
    [template] = person.templates()
    assert template.name == "Episodes"
    with person.make.database.transaction(person.space.id) as db:
        canvas = load_draft(db, template).document.canvas
    assert (canvas.width, canvas.height) == (1080, 1350)


def test_document_of_our_own_is_imported_at_once(person: Person) -> None:
    text = json.dumps(small_document())
    assert person.send(422, document=text).html.find(id="name-error")
    person.send(303, document=text, name="Mine")
    [template] = person.templates()
    assert not has_draft(template)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "Choose a JSON file, or paste its text"),
        ("[" * 10_000, "This is not valid JSON"),
        ('{"width": NaN, "height": 5, "config": {"objects": []}}', "cannot be read"),
        ('{"width": "900", "height": [], "config": {"objects": {}}}', "cannot be read"),
        ('{"config": {"objects": ' + "[" * 900 + "]" * 900 + "}}", "cannot be read"),
        (json.dumps({"config": {"objects": [{"type": "text"}] * 5000}}), "limit of 100"),
        ('{"width": 1e400, "height": 5, "config": {"objects": []}}', "cannot be read"),
        ('{"width": 9' + "9" * 5000 + "}", "This is not valid JSON"),
    ],
)
def test_hostile_json_is_a_message(person: Person, text: str, message: str) -> None:
    refused = person.send(422, document=text, name="x")
    assert message in refused.html.find(id="file-error").text
    assert person.templates() == []


def test_large_file_is_refused(person: Person) -> None:
    fields = [("csrf_token", token_of(person.app, "/account")), ("name", "x")]
    fields.append(("file", File("large.json", b'{"a": "' + b"x" * 10_000_000 + b'"}')))
    refused = person.app.post(f"{person.path}/import", fields, status=422, content_type="multipart/form-data")
    assert "at most 500,000 characters" in refused.html.find(id="file-error").text


def test_texts_of_the_json_are_shown_as_texts(person: Person) -> None:
    layer = {"type": "<b>x</b>", "name": "<script>alert(1)</script>\x00\u202e", "left": "{{ 7 * 7 }}"}
    text = json.dumps(
        {"name": "<i>", "width": 9, "height": 9, "config": {"objects": [layer, layer | {"type": "text"}]}}
    )
    page = person.send(document=text)
    assert page.html.find("script", string="alert(1)") is None
    assert "&lt;script&gt;" in page.text
    assert "49" not in page.html.find("table").text
    form = next(form for form in page.forms.values() if "save" in form.fields)
    form.submit("save", status=303)


def test_request_is_shown_as_one_of_ours(person: Person) -> None:
    body = {
        "template_uuid": "a",
        "layers": {"title": {"text": "</code><b>Hi</b>", "blur": 1}},
        "transfer": {"key": "k"},
    }
    page = person.send(document=json.dumps(body))
    assert json.loads(page.html.select_one("pre code").text)["data"] == {"title": "</code><b>Hi</b>"}
    assert {row.th.text.strip() for row in page.html.select("tbody tr")} >= {"title blur", "Request transfer"}
    assert person.templates() == []
    assert "“layers” has a value" in person.send(422, document='{"template_uuid": 1, "layers": 1}').text


def test_import_fetches_nothing(person: Person) -> None:
    """Not from private addresses either: the image is fetched when one is rendered, by the guarded client."""
    with FakeDownloads().running() as server:
        urls = [
            f"{server.url}/a.png",
            "http://169.254.169.254/latest/meta-data",
            "http://[::1]/",
            "http://10.0.0.1/a.png",
        ]
        objects = [{"type": "image", "name": f"photo {at}", "background-image": url} for at, url in enumerate(urls)]
        text = json.dumps({"name": "Private", "width": 90, "height": 90, "config": {"objects": objects}})
        report = person.send(document=text)
        form = next(form for form in report.forms.values() if "save" in form.fields)
        person.app.get(form.submit("save", status=303).location)
        [template] = person.templates()
        with person.make.database.transaction(person.space.id) as db:
            assert [field.default for field in load_draft(db, template).document.fields] == urls
        assert server.sent == []


def test_viewer_cannot_import(app: TestApp, make: Factory) -> None:
    space = make.workspace()
    sign_in(app, make.member(space, Role.SUPPORT))
    token = token_of(app, "/account")
    app.post(f"/w/{space.slug}/templates/import", {"csrf_token": token, "document": "{}"}, status=403)

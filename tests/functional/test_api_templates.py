"""`/v1/templates`: documents are created, changed, published and deleted."""

from typing import Any

import pytest
from sqlalchemy import select
from webtest import TestApp

from cwz_web.generation.api_keys import Scope
from cwz_web.generation.drafts import has_draft, lock_draft, save_draft
from cwz_web.generation.models import Template
from cwz_web.imaging.documents import ImageTemplate
from cwz_web.workspaces.models import AuditEntry
from tests.factories import Factory, small_document

PATH = "/v1/templates"


class Client:
    """A client with an API key that can read and change templates."""

    def __init__(self, app: TestApp, make: Factory) -> None:
        self.app, self.make = app, make
        self.space = make.workspace()
        self.headers = {"Authorization": f"Bearer {make.key(self.space, Scope.READ, Scope.TEMPLATES_WRITE)}"}

    def get(self, path: str = "", status: int = 200) -> Any:
        return self.app.get(f"{PATH}{path}", headers=self.headers, status=status)

    def post(self, body: Any, path: str = "", status: int = 201) -> Any:
        return self.app.post_json(f"{PATH}{path}", body, headers=self.headers, status=status)

    def put(self, template: Any, body: Any, status: int = 200, **headers: str) -> Any:
        return self.app.put_json(f"{PATH}/{template}", body, headers=self.headers | headers, status=status)

    @property
    def log(self) -> list[str]:
        with self.make.database.transaction(self.space.id) as db:
            return list(db.scalars(select(AuditEntry.action).order_by(AuditEntry.number)))


@pytest.fixture
def client(app: TestApp, make: Factory) -> Client:
    return Client(app, make)


def with_color(color: str) -> dict[str, Any]:
    return small_document(canvas={"width": 300, "height": 200, "background": color})


def test_document_is_created_and_read_as_it_was_written(client: Client) -> None:
    created = client.post({"name": "Sale card", "document": small_document()})
    assert created.location.endswith(f"{PATH}/{created.json['id']}")
    read = client.get("/sale-card")
    assert read.json == created.json
    assert read.etag == created.etag
    assert read.json["version"] == 1
    assert read.json["layers"] == [
        {"name": "Image", "type": "image", "open": []},
        {"name": "Title", "type": "text", "open": []},
    ]
    assert ImageTemplate.model_validate(read.json["document"]) == ImageTemplate.model_validate(small_document())
    assert client.log == ["template.create"]


def test_errors_name_the_place_in_the_document(client: Client) -> None:
    document = small_document()
    document["layers"][1] |= {"x": "left", "collor": "#000000"}
    problem = client.post({"name": "Card", "document": document}, status=422).json
    assert problem["errors"] == {
        "document.layers.1.x": "Enter a whole number (layer “Title”)",
        "document.layers.1.collor": "Unknown key. Did you mean “color”? (layer “Title”)",
    }
    assert client.post({"name": "Card", "document": []}, status=422).json["errors"] == {
        "document": "Use an object: {…}"
    }
    deep: Any = "end"
    for _ in range(150):
        deep = {"a": deep}
    assert client.post({"name": "Card", "document": deep}, status=422).json["code"] == "invalid"
    assert client.get().json["templates"] == []


def test_too_long_document_is_refused(client: Client) -> None:
    document = small_document(fields=[{"name": "a", "label": "A", "default": "x" * 600_000}])
    problem = client.post({"name": "Card", "document": document}, status=422).json
    assert list(problem["errors"]) == ["document"]


def test_each_change_is_a_version_and_the_same_document_is_none(client: Client) -> None:
    template = client.post({"name": "Card", "document": small_document()}).json["id"]
    changed = client.put(template, {"document": with_color("#ff0000"), "name": "Red card"})
    assert (changed.json["version"], changed.json["name"], changed.json["slug"]) == (2, "Red card", "card")
    assert client.put(template, {"document": with_color("#ff0000")}).json["version"] == 2
    versions = client.get(f"/{template}/versions").json["versions"]
    assert [version["number"] for version in versions] == [2, 1]
    first = client.get(f"/{template}/versions/1").json
    assert "background" not in first["document"]["canvas"], "white is the default"
    client.get(f"/{template}/versions/3", status=404)
    client.get(f"/{template}/versions/x", status=404)
    assert client.log[:3] == ["template.create", "template.rename", "template.edit"]


def test_change_of_an_earlier_state_is_refused(client: Client) -> None:
    created = client.post({"name": "Card", "document": small_document()})
    template, etag = created.json["id"], created.headers["ETag"]
    client.put(template, {"document": with_color("#ff0000")}, **{"If-Match": etag})
    problem = client.put(template, {"document": with_color("#00ff00")}, 412, **{"If-Match": etag}).json
    assert problem["code"] == "precondition_failed"
    client.app.delete(f"{PATH}/{template}", headers=client.headers | {"If-Match": etag}, status=412)
    assert client.get(f"/{template}").json["document"]["canvas"]["background"] == "#ff0000"


def test_change_in_the_editor_changes_the_etag(client: Client) -> None:
    created = client.post({"name": "Card", "document": small_document()})
    with client.make.database.transaction(client.space.id) as db:
        template = db.scalars(select(Template)).one()
        lock_draft(db, template)
        save_draft(db, template, ImageTemplate.model_validate(with_color("#0000ff")), "canvas")
    body = {"document": with_color("#ff0000")}
    client.put(created.json["id"], body, 412, **{"If-Match": created.headers["ETag"]})


def test_draft_is_published_later(client: Client) -> None:
    template = client.post({"name": "Card", "document": small_document()}).json["id"]
    stored = client.put(template, {"document": with_color("#ff0000"), "publish": False}).json
    assert (stored["version"], stored["has_draft"]) == (1, True)
    assert stored["document"]["canvas"]["background"] == "#ff0000"
    assert "background" not in client.get(f"/{template}").json["document"]["canvas"]
    assert client.get(f"/{template}/draft").json == stored
    published = client.post({}, f"/{template}/publish", status=200).json
    assert (published["version"], published["has_draft"]) == (2, False)
    assert client.post({}, f"/{template}/publish", status=200).json["version"] == 2
    assert client.log == ["template.create", "template.edit"]


def test_published_document_ends_the_draft_of_the_editor(client: Client) -> None:
    template = client.post({"name": "Card", "document": small_document()}).json["id"]
    client.put(template, {"document": with_color("#ff0000"), "publish": False})
    client.put(template, {"document": with_color("#00ff00")})
    with client.make.database.transaction(client.space.id) as db:
        assert not has_draft(db.scalars(select(Template)).one())


def test_deleted_template_is_not_found(client: Client) -> None:
    template = client.post({"name": "Card", "document": small_document()}).json["id"]
    client.app.delete(f"{PATH}/{template}", headers=client.headers, status=204)
    client.get(f"/{template}", status=404)
    client.put(template, {"document": small_document()}, 404)
    assert client.log[:2] == ["template.create", "template.delete"]


def test_key_changes_only_what_it_may(client: Client, make: Factory) -> None:
    own, other = make.template(client.space), make.template(client.space, name="Other")
    reading = {"Authorization": f"Bearer {make.key(client.space, Scope.READ)}"}
    client.app.put_json(f"{PATH}/{own.id}", {"document": small_document()}, headers=reading, status=403)
    limited = make.key(client.space, Scope.READ, Scope.TEMPLATES_WRITE, templates=[str(own.id)])
    client.headers = {"Authorization": f"Bearer {limited}"}
    client.put(own.id, {"document": with_color("#ff0000")})
    client.put(other.id, {"document": small_document()}, 404)
    assert client.post({"name": "New", "document": small_document()}, status=403).json["code"] == "template_not_allowed"
    foreign = make.template(make.workspace())
    client.put(foreign.id, {"document": small_document()}, 404)


def test_document_uses_the_brand_of_its_workspace(client: Client) -> None:
    key = client.make.key(client.space, Scope.BRAND_WRITE)
    brand = {"colors": {"primary": "#ff5500"}, "fonts": {}, "logos": {}, "styles": {}}
    client.app.put_json("/v1/brand", {"brand": brand}, headers={"Authorization": f"Bearer {key}"})
    document = small_document()
    document["layers"][1] |= {"color": "brand:primary"}
    created = client.post({"name": "Card", "document": document}).json
    assert created["document"]["brand"]["colors"] == {"primary": "#ff5500"}

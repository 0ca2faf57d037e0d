"""`POST /v1/templates/{id}/preview`: drafts, versions and documents; nothing is stored or counted."""

from typing import Any

import pytest
import pyvips
from pyramid.router import Router
from sqlalchemy import select
from webtest import TestApp

from cwz_web.generation.api_keys import Scope
from cwz_web.generation.drafts import lock_draft, save_draft
from cwz_web.generation.models import Image, Template
from cwz_web.imaging.documents import ImageTemplate
from tests.factories import Factory, small_document
from tests.functional.test_api_key_limits import Program


def with_background(color: str, **more: Any) -> dict[str, Any]:
    return small_document(canvas={"width": 300, "height": 200, "background": color}, **more)


class Client(Program):
    """A client that can change templates."""

    def preview(self, status: int = 200, **body: Any) -> Any:
        return self.send(body, status, path=f"/v1/templates/{self.template.slug}/preview")

    def color(self, **body: Any) -> list[int]:
        image = pyvips.Image.new_from_buffer(self.preview(**body).body, "")
        return [round(value) for value in image(0, 199)]


@pytest.fixture
def client(wsgi: Router, make: Factory) -> Client:
    return Client(wsgi, make, Scope.TEMPLATES_WRITE)


def test_draft_is_shown_without_publishing(client: Client, make: Factory) -> None:
    assert client.color() == [255, 255, 255]
    with make.database.transaction(client.space.id) as db:
        template = db.scalars(select(Template)).one()
        lock_draft(db, template)
        save_draft(db, template, ImageTemplate.model_validate(with_background("#0000ff")), "canvas")
    assert client.color() == [0, 0, 255]
    assert client.color(version=1) == [255, 255, 255]
    assert client.color(document=with_background("#00ff00")) == [0, 255, 0]
    with make.database.transaction(client.space.id) as db:
        assert db.scalars(select(Template)).one().version == 1
    assert client.used == make.count(Image, client.space.id) == 0


def test_preview_has_values_layers_and_findings(client: Client) -> None:
    plain, other = client.preview(), client.preview(data={"title": "Other"})
    assert plain.content_type == "image/png"
    assert other.body != plain.body
    document = with_background("#ffffff")
    document["layers"][1]["open"] = ["hidden"]
    hidden = client.preview(document=document, layers={"Title": {"hidden": True}})
    assert hidden.body != client.preview(document=document).body
    found = client.preview(data={"image": "nowhere"})
    assert "photo_missing" in found.headers["Findings"]
    assert client.preview(format="jpg").content_type == "image/jpeg"


def test_preview_is_reduced(client: Client) -> None:
    wide = small_document(canvas={"width": 3000, "height": 300})
    assert pyvips.Image.new_from_buffer(client.preview(document=wide).body, "").width == 1000
    assert pyvips.Image.new_from_buffer(client.preview(document=wide, width=100).body, "").width == 100
    assert list(client.preview(422, width=1001).json["errors"]) == ["width"]


def test_wrong_preview_is_refused(client: Client) -> None:
    assert client.preview(422, version=2).json["code"] == "unknown_version"
    assert client.preview(422, size="nothing").json["code"] == "cannot_render"
    assert "body" in client.preview(422, version=1, document=small_document()).json["errors"]
    document = small_document()
    document["layers"][1]["x"] = "left"
    assert list(client.preview(422, document=document).json["errors"]) == ["document.layers.1.x"]
    assert "layers.Title.color" in client.preview(422, layers={"Title": {"color": "#ff0000"}}).json["errors"]


def test_preview_needs_the_scope_for_templates(wsgi: Router, make: Factory) -> None:
    Client(wsgi, make, Scope.READ, Scope.GENERATE).preview(403)
    own = Client(wsgi, make, Scope.TEMPLATES_WRITE)
    own.template = make.template(make.workspace())
    own.send({}, 404, path=f"/v1/templates/{own.template.id}/preview")


def test_thumbnail_is_small_and_revalidated(wsgi: Router, make: Factory) -> None:
    reader = Client(wsgi, make, Scope.READ)
    wide = make.template(reader.space, small_document(canvas={"width": 800, "height": 200}), "Wide")
    path, headers = f"/v1/templates/{wide.slug}/thumbnail", {"Authorization": f"Bearer {reader.plain}"}
    shown = TestApp(wsgi).get(path, headers=headers)
    image = pyvips.Image.new_from_buffer(shown.body, "")
    assert (image.width, image.height) == (400, 100)
    assert shown.headers["Cache-Control"] == "private, no-cache"
    again = TestApp(wsgi).get(path, headers=headers | {"If-None-Match": shown.headers["ETag"]}, status=304)
    assert again.body == b""
    assert reader.used == 0
    limited = make.key(reader.space, Scope.READ, templates=[str(reader.template.id)])
    TestApp(wsgi).get(path, headers={"Authorization": f"Bearer {limited}"}, status=404)

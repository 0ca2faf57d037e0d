"""`POST /v1/images` with `layers`: open properties, scopes, errors, digests, and images rendered later."""

from typing import Any

import pytest
import pyvips
from pyramid.router import Router
from webtest import TestApp

from cwz_web.generation.api_keys import Scope
from cwz_web.generation.models import Image, Template
from cwz_web.runs.models import Run
from tests.factories import Factory, small_document
from tests.functional.test_api_key_limits import Program
from tests.functional.test_image_requests import ASYNC, get, render

JSON = {"Accept": "application/json"}
RED = {"Title": {"color": "#ff0000"}}


def document_with_open(*names: str) -> dict[str, Any]:
    document = small_document()
    document["layers"][1]["open"] = list(names)
    return document


def png() -> bytes:
    data: bytes = pyvips.Image.black(8, 8, bands=3).pngsave_buffer()
    return data


class Client(Program):
    """A client with a template that opens the color and the visibility of its title."""

    def __init__(self, wsgi: Any, make: Factory, *scopes: Scope) -> None:
        super().__init__(wsgi, make, *scopes)
        self.template: Template = make.template(self.space, document_with_open("color", "hidden"), "Open")

    def image(self, status: int = 200, headers: dict[str, str] | None = None, **more: Any) -> Any:
        return self.send({"template": self.template.slug, **more}, status, **(headers or {}))


@pytest.fixture
def client(wsgi: Router, make: Factory) -> Client:
    return Client(wsgi, make)


def test_open_property_changes_the_image_and_its_digest(client: Client) -> None:
    plain, red, again = client.image(), client.image(layers=RED), client.image(layers=RED)
    assert red.body != plain.body
    assert red.headers["ETag"] != plain.headers["ETag"]
    assert (again.body, again.headers["ETag"], again.headers["Cached"]) == (red.body, red.headers["ETag"], "true")
    same = client.image(layers={"Title": {"color": "#111111", "hidden": False}})
    assert same.headers["ETag"] == plain.headers["ETag"], "these are the values of the template"
    assert client.used == 2


def test_override_is_that_of_the_request_alone(client: Client) -> None:
    plain = client.image().body
    client.image(layers={"Title": {"hidden": True}})
    assert client.image().body == plain


def test_errors_name_layer_and_property(client: Client) -> None:
    def errors(layers: Any) -> dict[str, str]:
        found: dict[str, str] = client.image(422, layers=layers).json["errors"]
        return found

    assert "#rrggbb" in errors({"Title": {"color": "red"}})["layers.Title.color"]
    assert "Open are: color, hidden" in errors({"Title": {"size": 12}})["layers.Title.size"]
    assert "Did you mean “Title”?" in errors({"Titel": {"size": 12}})["layers.Titel"]
    assert "Enter true or false" in errors({"Title": {"hidden": "perhaps"}})["layers.Title.hidden"]
    assert list(errors({"Title": "red"})) == ["layers.Title"]
    assert list(errors([])) == ["layers"]
    assert list(errors({f"L{number}": {} for number in range(51)})) == ["layers"]
    assert list(errors({"Title": {f"p{number}": 1 for number in range(41)}})) == ["layers.Title"]
    assert "at most 20000 characters" in errors({"Title": {"color": "x" * 20_000}})["layers"]
    assert client.used == 0


def test_scope_permits_all_properties(wsgi: Router, make: Factory) -> None:
    for scope in (Scope.LAYERS_OVERRIDE, Scope.ADMIN):
        trusted = Client(wsgi, make, Scope.GENERATE, scope)
        larger = trusted.image(
            layers={"Title": {"size": 40, "shadow": {"color": "#00ff00", "x": 1, "y": 1, "blur": 0}}}
        )
        assert larger.body != trusted.image().body
        problem = trusted.image(422, layers={"Title": {"shadow": {"collor": "#00ff00"}}}).json
        assert "layers.Title.shadow.collor" in problem["errors"]


def test_scope_alone_renders_nothing(wsgi: Router, make: Factory) -> None:
    Client(wsgi, make, Scope.LAYERS_OVERRIDE).image(403)


def test_override_does_not_reach_an_upload_of_another_workspace(wsgi: Router, make: Factory) -> None:
    other = make.workspace()
    upload = make.upload(other, png())
    trusted = Client(wsgi, make, Scope.GENERATE, Scope.LAYERS_OVERRIDE)
    layers = {"Image": {"source": f"upload:{upload.digest}"}}
    rendered = trusted.image(layers=layers)
    assert "photo_missing" in rendered.headers["Findings"]
    named = trusted.image(data={"image": f"upload:{upload.digest}"})
    assert "photo_missing" in named.headers["Findings"]


def test_override_does_not_reach_inner_hosts(wsgi: Router, make: Factory) -> None:
    trusted = Client(wsgi, make, Scope.GENERATE, Scope.LAYERS_OVERRIDE)
    rendered = trusted.image(layers={"Image": {"source": "http://169.254.169.254/latest/meta-data"}})
    assert "photo_missing" in rendered.headers["Findings"]


def test_override_is_part_of_the_idempotent_request(client: Client) -> None:
    once = {"Idempotency_Key": "once"}
    first = client.image(headers=once, layers=RED)
    assert client.image(headers=once, layers=RED).headers["Idempotent-Replayed"] == "true"
    problem = client.image(422, headers=once, layers={"Title": {"color": "#00ff00"}}).json
    assert problem["code"] == "idempotency_key_reused"
    assert first.headers["ETag"] == client.image(layers=RED).headers["ETag"]


def test_image_rendered_later_has_the_overrides(client: Client, make: Factory) -> None:
    at_once = client.image(201, headers=JSON, layers=RED).json
    later = client.image(202, headers=ASYNC, layers=RED)
    render(make, client.space, later.json["id"])
    assert get(client, later.location).json["image"]["digest"] == at_once["digest"]
    assert make.count(Image, client.space.id) == 1
    client.image(422, headers=ASYNC, layers={"Title": {"size": 12}})
    assert make.count(Run, client.space.id) == 1


def test_template_lists_its_open_properties(wsgi: Router, make: Factory) -> None:
    reader = Client(wsgi, make, Scope.READ)
    headers = {"Authorization": f"Bearer {reader.plain}"}
    details = TestApp(wsgi).get(f"/v1/templates/{reader.template.id}", headers=headers).json
    image, title = details["layers"]
    assert image["open"] == []
    assert [(each["name"], each["value"]) for each in title["open"]] == [("color", "#111111"), ("hidden", False)]
    assert title["open"][1]["json_schema"]["type"] == "boolean"
    assert details["document"]["layers"][1]["open"] == ["color", "hidden"]

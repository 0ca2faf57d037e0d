"""Dry runs of `POST /v1/images`: findings, cost and contents; nothing is rendered, stored or counted."""

from typing import Any

import pytest
from pyramid.router import Router

from cwz_web.api import dry_runs, images
from cwz_web.generation.models import Image
from cwz_web.imaging.engine import Plan
from cwz_web.runs.models import Run
from tests.factories import Factory, small_document
from tests.functional.test_api_key_limits import Program
from tests.functional.test_image_requests import ASYNC

JSON = {"Accept": "application/json"}


class Client(Program):
    """A client with a template that computes a field."""

    def __init__(self, wsgi: Any, make: Factory, **terms: Any) -> None:
        super().__init__(wsgi, make, **terms)
        document = small_document(sizes=[{"name": "square", "width": 100, "height": 100}])
        document["computed"] = [{"name": "greeting", "value": '"Hello " + title'}]
        document["layers"][1]["text"] = "{{ greeting }}!"
        self.template = make.template(self.space, document, "Greeting")

    def try_out(self, status: int = 200, **more: Any) -> Any:
        return self.send({"template": self.template.slug, "dry_run": True, **more}, status).json

    def create(self, status: int, **more: Any) -> Any:
        return self.send({"template": self.template.slug, **more}, status, **JSON).json


@pytest.fixture
def client(wsgi: Router, make: Factory) -> Client:
    return Client(wsgi, make)


def test_dry_run_says_what_the_request_would_do(client: Client, make: Factory, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(Plan, "render", None)
        tried = client.try_out(data={"title": "Ada", "image": "nowhere"}, metadata={"order": 7})
    assert (tried["dry_run"], tried["cost"], tried["processing_cost"], tried["fits_quota"]) == (True, 1, 0, True)
    assert tried["values"] == {"title": "Ada", "image": "nowhere", "greeting": "Hello Ada"}
    assert tried["metadata"] == {"order": 7}
    [image] = tried["images"]
    assert (image["size"], image["format"], image["width"], image["height"]) == ("default", "jpg", 300, 200)
    assert {"layer": "Title", "content": "Hello Ada!"} in image["contents"]
    assert [finding["code"] for finding in image["findings"]] == ["photo_missing"]
    assert image["stored"] is False
    assert client.used == make.count(Image, client.space.id) == make.count(Run, client.space.id) == 0
    created = client.create(201, data={"title": "Ada", "image": "nowhere"})
    assert created["digest"] == image["digest"]


def test_cost_counts_images_that_are_not_stored(client: Client) -> None:
    outputs = [{}, {"size": "square"}, {"size": "square", "format": "png"}]
    client.create(201, size="square")
    tried = client.try_out(outputs=outputs)
    assert [image["stored"] for image in tried["images"]] == [False, True, False]
    assert tried["cost"] == 2
    client.create(201, outputs=outputs)
    assert client.used == 3
    assert client.try_out(outputs=outputs)["cost"] == 0


def test_dry_run_says_whether_the_quota_has_room(wsgi: Router, make: Factory) -> None:
    limited = Client(wsgi, make, images_per_month=1)
    assert limited.try_out()["fits_quota"] is True
    assert limited.try_out(outputs=[{}, {"format": "png"}])["fits_quota"] is False
    limited.create(201)
    assert limited.try_out(data={"title": "Other"})["fits_quota"] is False
    assert limited.try_out()["fits_quota"] is True, "it is stored"


def test_quota_needs_room_for_processed_photos(wsgi: Router, make: Factory, monkeypatch: pytest.MonkeyPatch) -> None:
    limited = Client(wsgi, make, images_per_month=3)
    for cost, fits in ((2, True), (3, False)):
        monkeypatch.setattr(dry_runs, "processing_cost", lambda document, processors, cost=cost: cost)
        tried = limited.try_out()
        assert (tried["cost"], tried["processing_cost"], tried["fits_quota"]) == (1, cost, fits)
    limited.create(201)
    tried = limited.try_out()
    assert (tried["cost"], tried["processing_cost"], tried["fits_quota"]) == (0, 0, True)


def test_dry_run_has_the_problems_of_the_request(client: Client, make: Factory) -> None:
    assert client.try_out(422, size="nothing")["code"] == "cannot_render"
    assert "layers.Title.color" in client.try_out(422, layers={"Title": {"color": "#ff0000"}})["errors"]
    assert client.try_out(422, on_missing_photo="error", data={"image": "nowhere"})["code"] == "photo_missing"
    body = {"template": client.template.slug, "dry_run": True, "webhook": "https://shop.example/hook"}
    assert "webhook" in client.send(body, 422).json["errors"]
    assert client.send(body, 200, **ASYNC).json["dry_run"] is True
    assert make.count(Run, client.space.id) == 0


def test_only_synchronous_sets_have_a_limit_of_pixels(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "MAX_SET_PIXELS", 100_000)
    outputs = [{}, {"format": "png"}]
    assert "Prefer: respond-async" in client.try_out(422, outputs=outputs)["errors"]["outputs"]
    body = {"template": client.template.slug, "dry_run": True, "outputs": outputs}
    assert client.send(body, 200, **ASYNC).json["cost"] == 2

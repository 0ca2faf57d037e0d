"""`POST /v1/images` with `outputs`: a set of images, whole or none; and what else an output can say."""

import json
from typing import Any

import pytest
import pyvips
from pyramid.router import Router
from sqlalchemy import select
from webtest import TestApp

from cwz_web.generation.api_keys import Scope
from cwz_web.generation.models import Image
from cwz_web.notify.models import WebhookDelivery
from cwz_web.runs.models import Run, RunItem
from tests.factories import Factory, small_document
from tests.functional.test_api_key_limits import Program
from tests.functional.test_image_requests import ASYNC, get, render

JSON = {"Accept": "application/json"}
OUTPUTS = [{"format": "png"}, {"size": "square", "format": "webp", "quality": 70}, {"size": "square", "scale": 2}]


class Client(Program):
    """A client with a template in two sizes."""

    def __init__(
        self, wsgi: Any, make: Factory, *scopes: Scope, canvas: dict[str, Any] | None = None, **terms: Any
    ) -> None:
        super().__init__(wsgi, make, *scopes, **terms)
        document = small_document(sizes=[{"name": "square", "width": 100, "height": 100}])
        document["canvas"] |= canvas or {}
        document["layers"][0]["pins"] = {"horizontal": "both"}
        self.template = make.template(self.space, document, "Two sizes")

    def image(self, status: int = 200, headers: dict[str, str] | None = None, **more: Any) -> Any:
        return self.send({"template": self.template.slug, **more}, status, **(headers or {}))

    def set(self, status: int = 201, outputs: Any = OUTPUTS, **more: Any) -> Any:
        headers = more.pop("headers", {})
        return self.image(status, headers=JSON | headers, outputs=outputs, **more)

    def open(self, url: str) -> Any:
        body = TestApp(self.wsgi).get(url.removeprefix("http://localhost")).body
        return pyvips.Image.new_from_buffer(body, "")


@pytest.fixture
def client(wsgi: Router, make: Factory) -> Client:
    return Client(wsgi, make)


def test_set_has_an_image_for_each_output(client: Client, make: Factory) -> None:
    answer = client.set(data={"title": "Set"}, metadata={"order": "A-17"})
    images = answer.json["images"]
    assert [(each["size"], each["format"], each["width"], each["height"]) for each in images] == [
        ("default", "png", 300, 200),
        ("square", "webp", 100, 100),
        ("square", "jpg", 200, 200),
    ]
    assert len({each["id"] for each in images}) == 3
    assert [client.open(each["url"]).width for each in images] == [300, 100, 200]
    assert [each["cached"] for each in images] == [False] * 3
    assert answer.json["metadata"] == {"order": "A-17"}
    assert client.used == 3
    single = client.image(200, headers=JSON, data={"title": "Set"}, format="png")
    assert single.json["id"] == images[0]["id"]
    again = client.set(200, data={"title": "Set"})
    assert [each["id"] for each in again.json["images"]] == [each["id"] for each in images]
    assert again.json["id"] != answer.json["id"]
    assert client.used == 3
    assert make.count(Image, client.space.id) == 3


def test_set_is_read_again_by_its_id(client: Client, make: Factory) -> None:
    created = client.set(metadata={"order": "A-17"}).json
    read = get(client, created["status_url"]).json
    assert (read["id"], read["state"], read["metadata"]) == (created["id"], "done", {"order": "A-17"})
    assert [each["image"]["id"] for each in read["images"]] == [each["id"] for each in created["images"]]
    assert [each["size"] for each in read["images"]] == ["default", "square", "square"]
    assert (read["image"], read["error"]) == (None, None)
    other = Client(client.wsgi, make)
    assert get(other, created["status_url"]).status_int == 404


def test_set_announces_each_new_image(client: Client, make: Factory) -> None:
    make.webhook(client.space)
    client.image(201, headers=JSON, format="png")
    created = client.set(metadata={"order": "A-17"}).json
    with make.database.transaction(client.space.id) as db:
        bodies = [json.loads(body)["data"] for body in db.scalars(select(WebhookDelivery.body))]
    of_set = {body["id"]: body for body in bodies if body["run"] == created["id"]}
    assert of_set.keys() == {each["id"] for each in created["images"][1:]}
    assert all(body["metadata"] == {"order": "A-17"} for body in of_set.values())


def test_set_beyond_the_quota_is_rejected_as_a_whole(wsgi: Router, make: Factory) -> None:
    limited = Client(wsgi, make, images_per_month=4)
    limited.set()
    assert limited.set(402, data={"title": "Other"}).json["code"] == "quota_exceeded"
    assert limited.used == 3
    assert make.count(Image, limited.space.id) == 3
    assert make.count(Run, limited.space.id) == 1
    limited.set(200)
    limited.set(201, data={"title": "Other"}, outputs=[{}])


def test_set_with_an_output_that_fails_is_not_counted(client: Client, make: Factory) -> None:
    client.set(422, outputs=[{}, {"size": "nothing"}])
    client.set(422, outputs=[{}, {"format": "png", "max_bytes": 1000}], data={"title": "x" * 200})
    client.set(422, on_missing_photo="error", data={"image": "nowhere"})
    assert client.used == make.count(Image, client.space.id) == make.count(Run, client.space.id) == 0


def test_set_is_one_idempotent_request(client: Client, make: Factory) -> None:
    once = {"Idempotency_Key": "once"}
    first, again = (client.set(headers=once) for _ in range(2))
    assert again.json == first.json
    assert again.headers["Idempotent-Replayed"] == "true"
    assert make.count(Run, client.space.id) == 1
    assert client.set(422, headers=once, outputs=[{}]).json["code"] == "idempotency_key_reused"


@pytest.mark.parametrize(
    ("more", "field", "hint"),
    [
        ({"outputs": []}, "outputs", ""),
        ({"outputs": [{}] * 13}, "outputs", ""),
        ({"outputs": [{}, {}]}, "body", "differ"),
        ({"outputs": [{}], "format": "png", "quality": 3}, "body", "give format, quality in each"),
        ({"outputs": [{"format": "gif"}]}, "outputs.0.format", ""),
        ({"outputs": [{}, {"transparent": True, "format": "jpg"}]}, "outputs.1.transparent", "JPEG"),
        ({"outputs": [{}, {"canvas": {"width": 500}}]}, "outputs.1.canvas.width", "does not open"),
        ({"outputs": [{"file_name": "a/b"}]}, "outputs.0.file_name", ""),
        (
            {"outputs": [{"canvas": {"width": 4096, "height": 4096}}, {"canvas": {"height": 4096, "width": 4095}}]},
            "",
            "",
        ),
    ],
)
def test_wrong_output_is_named(client: Client, more: dict[str, Any], field: str, hint: str) -> None:
    errors = client.image(422, headers=JSON, **more).json["errors"]
    assert not field or hint in errors[field]


def test_large_set_is_rendered_later(wsgi: Router, make: Factory) -> None:
    trusted = Client(wsgi, make, Scope.GENERATE, Scope.LAYERS_OVERRIDE)
    outputs = [{"canvas": {"width": 4000, "height": height}} for height in (4090, 4091, 4092, 4093)]
    assert "respond-async" in trusted.set(422, outputs=outputs).json["errors"]["outputs"]
    trusted.set(202, outputs=outputs, headers=ASYNC)


def test_set_is_json(client: Client) -> None:
    client.image(406, headers={"Accept": "image/png"}, outputs=OUTPUTS)
    body = {"template": client.template.slug, "outputs": OUTPUTS}
    assert "outputs" in client.send(body, 422, path="/v1/images?format=png", **JSON).json["errors"]["format"]


def test_set_rendered_later_is_the_same(client: Client, make: Factory) -> None:
    at_once = client.set(data={"title": "Later"}).json
    webhook = "https://shop.example/hook"
    later = client.set(202, data={"title": "Later"}, headers=ASYNC, webhook=webhook)
    assert [each["state"] for each in later.json["images"]] == ["pending"] * 3
    assert client.used == 6
    render(make, client.space, later.json["id"])
    read = get(client, later.location).json
    assert read["state"] == "done"
    assert [each["image"]["id"] for each in read["images"]] == [each["id"] for each in at_once["images"]]
    assert client.used == 3, "they were stored before"
    with make.database.transaction(client.space.id) as db:
        assert set(db.scalars(select(WebhookDelivery.url))) == {webhook}


def test_state_of_a_set_with_a_failed_image(client: Client, make: Factory) -> None:
    outputs = [{}, {"format": "png", "max_bytes": 1000}]
    later = client.set(202, outputs=outputs, headers=ASYNC, data={"title": "Some words"})
    render(make, client.space, later.json["id"])
    read = get(client, later.location).json
    assert [each["state"] for each in read["images"]] == ["done", "failed"]
    assert (read["state"], read["error"]) == ("failed", read["images"][1]["error"])
    assert client.used == 1


def test_open_canvas_is_stretched(wsgi: Router, make: Factory) -> None:
    wide = Client(wsgi, make, canvas={"open": ["width"]})
    plain = pyvips.Image.new_from_buffer(wide.image(format="png").body, "")
    image = pyvips.Image.new_from_buffer(wide.image(format="png", canvas={"width": 500}).body, "")
    assert (plain.width, image.width, image.height) == (300, 500, 200)
    assert "canvas.height" in wide.image(422, canvas={"height": 500}).json["errors"]
    assert wide.image(422, canvas={"width": 500}, size="square").json["errors"]["body"].startswith("Leave size out")
    for width in (15, 4097):
        assert list(wide.image(422, canvas={"width": width}).json["errors"]) == ["canvas.width"]
    later = wide.image(202, headers=ASYNC, canvas={"width": 500}, transparent=True)
    assert later.json["images"][0] | {"state": ""} == later.json["images"][0] | {"size": "500x200", "state": ""}
    render(make, wide.space, later.json["id"])
    assert get(wide, later.location).json["image"]["width"] == 500


def test_transparent_image_has_no_background(client: Client) -> None:
    plain = pyvips.Image.new_from_buffer(client.image(format="png").body, "")
    answer = client.image(transparent=True)
    assert answer.content_type == "image/png"
    image = pyvips.Image.new_from_buffer(answer.body, "")
    assert (plain.bands, image.bands) == (3, 4)
    assert image(0, 199)[3] == 0
    assert client.image(406, headers={"Accept": "image/jpeg"}, transparent=True)
    assert list(client.image(422, transparent=True, format="jpg").json["errors"]) == ["transparent"]
    created = client.image(201, headers=JSON, transparent=True).json
    assert created["content_type"] == "image/png"


def test_file_name_is_that_of_the_image(client: Client, make: Factory) -> None:
    answer = client.image(file_name="Blue mug", format="png")
    assert answer.headers["Content-Disposition"] == "inline; filename=\"Blue-mug.png\"; filename*=UTF-8''Blue%20mug.png"
    outputs = [{"file_name": "One"}, {"file_name": "Two", "format": "png"}, {"size": "square"}]
    ids = [each["id"] for each in client.set(outputs=outputs).json["images"]]
    with make.database.transaction(client.space.id) as db:
        names = {str(image.id): image.name for image in db.scalars(select(Image))}
        keys = list(db.scalars(select(RunItem.key).order_by(RunItem.position)))
    assert [names[each] for each in ids] == keys == ["One", "Two", "Two sizes"]


def test_template_says_whether_its_canvas_is_open(wsgi: Router, make: Factory) -> None:
    reader = Client(wsgi, make, Scope.READ, canvas={"open": ["height"]})
    headers = {"Authorization": f"Bearer {reader.plain}"}
    details = TestApp(wsgi).get(f"/v1/templates/{reader.template.id}", headers=headers).json
    assert details["canvas"] == {"width": 300, "height": 200, "open": ["height"]}

"""`/v1` and `/i`, as programs meet them."""

import time
from datetime import UTC, datetime
from typing import Any

import pytest
import pyvips
from webtest import TestApp

from cwz_web.generation.image_service import ImageService
from cwz_web.generation.models import Image, Template
from cwz_web.generation.templates import publish
from cwz_web.imaging.documents import ImageTemplate
from cwz_web.imaging.encoders import Format
from cwz_web.web.services import Services
from tests.factories import Factory, api, local_bucket, small_document
from tests.installation import wait_for

FORMATS = {
    "image/png": "pngload_buffer",
    "image/jpeg": "jpegload_buffer",
    "image/webp": "webpload_buffer",
    "image/avif": "heifload_buffer",
}


class Client:
    """A workspace with a template and a key."""

    def __init__(self, app: TestApp, make: Factory) -> None:
        self.app = app
        self.space = make.workspace()
        self.template = make.template(self.space)
        self.key = make.key(self.space)

    def post(self, body: Any = None, **more: Any) -> Any:
        return api(self.app, self.key, {"template": self.template.slug} | (body or {}), **more)


@pytest.fixture
def client(app: TestApp, make: Factory) -> Client:
    return Client(app, make)


@pytest.mark.parametrize("accept", FORMATS)
def test_the_image_comes_in_the_format_that_is_accepted(client: Client, accept: str) -> None:
    answer = client.post({"data": {}}, accept=accept)
    assert answer.content_type == accept
    image = pyvips.Image.new_from_buffer(answer.body, "")
    assert (image.width, image.height, image.get("vips-loader")) == (300, 200, FORMATS[accept])


@pytest.mark.parametrize(
    ("accept", "body", "expected"),
    [
        ("*/*", {}, "image/jpeg"),
        ("image/*", {}, "image/jpeg"),
        ("text/html, image/webp;q=0.9, image/png;q=0.5", {}, "image/webp"),
        ("image/*", {"format": "png"}, "image/png"),
        ("image/jpeg;q=0, image/*", {}, "image/png"),
    ],
)
def test_negotiation(client: Client, accept: str, body: dict[str, str], expected: str) -> None:
    assert client.post(body, accept=accept).content_type == expected


def test_data_changes_the_image_and_its_name(client: Client) -> None:
    plain, same, other = (
        client.post(),
        client.post({"data": {"title": "Hello"}}),
        client.post({"data": {"title": "Other"}}),
    )
    assert plain.body == same.body
    assert plain.headers["ETag"] == same.headers["ETag"]
    assert other.body != plain.body
    assert other.headers["ETag"] != plain.headers["ETag"]


def test_a_key_that_goes_to_and_fro_gets_what_it_asks_for(client: Client, make: Factory) -> None:
    other = make.template(client.space, small_document(canvas={"width": 500, "height": 200}), name="Other")
    named = {300: client.template.slug, 500: str(other.id)}
    for width in (300, 500, 300, 300, 500, 500):
        image = pyvips.Image.new_from_buffer(client.post({"template": named[width]}).body, "")
        assert image.width == width
    with make.database.transaction(client.space.id) as db:
        db.get_one(Template, (client.space.id, other.id)).deleted_at = datetime.now(UTC)
    assert client.post({"template": named[500]}, status=422).json["code"] == "unknown_template"
    assert client.post({"template": named[300]}).status_int == 200


def test_numbers_and_nothing_are_values_too(client: Client) -> None:
    assert client.post({"data": {"title": 12.5, "image": None}}).status_int == 200


def test_as_json_the_image_is_kept_and_can_be_fetched(client: Client, make: Factory) -> None:
    first = client.post({"data": {"title": "Keep"}}, accept="application/json")
    assert first.status_int == 201
    again = client.post({"data": {"title": "Keep"}}, accept="application/json")
    assert again.json["id"] == first.json["id"]
    assert make.count(Image, client.space.id) == 1
    image = client.app.get(first.json["url"])
    assert image.content_type == first.json["content_type"] == "image/jpeg"
    assert len(image.body) == first.json["bytes"]
    assert "immutable" in image.headers["Cache-Control"]


@pytest.mark.parametrize(
    ("body", "field", "status"),
    [
        ({"template": "nope"}, "template", 422),
        ({"template": ""}, "template", 422),
        ({"data": {"prize": "1"}}, "data.prize", 422),
        ({"data": ["x"]}, "data", 422),
        ({"data": {"title": {"deep": 1}}}, "data.title", 422),
        ({"format": "bmp"}, "format", 422),
        ({"quality": 101}, "quality", 422),
        ({"color": "red"}, "color", 422),
    ],
)
def test_what_is_wrong_is_named(client: Client, body: dict[str, Any], field: str, status: int) -> None:
    answer = client.post(body, status=status)
    assert answer.content_type == "application/problem+json"
    assert answer.json["status"] == status
    assert answer.json["request_id"] == answer.headers["X-Request-Id"]
    assert list(answer.json["errors"]) == [field]


@pytest.mark.parametrize(
    ("raw", "content_type", "status", "code"),
    [
        (b"{", "application/json", 400, "bad_json"),
        (b"\xff", "application/json", 400, "bad_json"),
        (b"[" * 100_000, "application/json", 400, "bad_json"),
        (b'{"template": "card", "data": {"title": "\\u0000"}}', "application/json", 422, "bad_characters"),
        (b"template=card", "application/x-www-form-urlencoded", 415, "not_json"),
        (b" " * 300_000, "application/json", 413, "body_too_large"),
        (b"7", "application/json", 422, "invalid"),
    ],
)
def test_bodies_that_are_none(client: Client, raw: bytes, content_type: str, status: int, code: str) -> None:
    headers = {"Authorization": f"Bearer {client.key}"}
    answer = client.app.post("/v1/images", raw, headers=headers, content_type=content_type, status=status)
    assert answer.json["code"] == code


def test_a_format_that_nobody_makes_is_not_acceptable(client: Client) -> None:
    assert client.post(accept="application/pdf", status=406).json["code"] == "not_acceptable"


@pytest.mark.parametrize("header", [None, "Bearer", "Bearer x", "Basic Zm9vOmJhcg==", "Bearer cwz_live_" + "a" * 43])
def test_without_a_key_nothing_opens(client: Client, header: str | None) -> None:
    headers = {"Authorization": header} if header else {}
    for path in ("/v1/images", "/v1/anything"):
        answer = client.app.post_json(path, {"template": "card"}, headers=headers, status=401)
        assert answer.json["code"] == "unauthorized"
        assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_a_browsers_cookie_opens_no_api_and_a_key_no_page(app: TestApp, make: Factory, client: Client) -> None:
    from tests.factories import sign_in

    sign_in(app, make.member(client.space))
    app.post_json("/v1/images", {"template": "card"}, status=401)
    stranger = TestApp(app.app)
    assert stranger.get(f"/w/{client.space.slug}", headers={"Authorization": f"Bearer {client.key}"}).status_int == 303


def test_another_workspaces_template_is_not_there(client: Client, make: Factory) -> None:
    theirs = make.template(make.workspace(), name="Theirs")
    for name in (theirs.slug, str(theirs.id)):
        assert client.post({"template": name}, status=422).json["code"] == "unknown_template"


def test_other_methods_and_addresses(client: Client) -> None:
    headers = {"Authorization": f"Bearer {client.key}"}
    assert client.app.get("/v1/images", headers=headers, status="*").status_int == 405
    assert client.app.post_json("/v1/nothing", {}, headers=headers, status=404).json["code"] == "not_found"


def test_a_storage_that_is_gone_is_told(client: Client, make: Factory) -> None:
    from sqlalchemy import update

    from cwz_web.storage.models import Connection

    with make.database.transaction(client.space.id) as db:
        db.execute(update(Connection).values(provider="tape"))
    assert client.post(accept="application/json", status=503).json["code"] == "storage_unavailable"
    assert client.post(status=200).content_type == "image/png", "an image that is not kept needs none"


def test_something_large_in_the_place_of_a_kept_image_is_no_image(client: Client, make: Factory) -> None:
    kept = client.post(accept="application/json").json
    with make.database.transaction(client.space.id) as db:
        image = db.get_one(Image, (client.space.id, kept["id"]))
    bucket = local_bucket(make.services)
    bucket.put(image.key, bytes(20 * 1024**2 + 1), content_type="image/jpeg")
    answer = client.app.get(kept["url"], status=503).json
    assert (answer["code"], "larger than 20 MB" in answer["detail"]) == ("storage_unavailable", True)
    bucket.put(image.key, b"another one", content_type="image/jpeg")
    assert client.app.get(kept["url"]).body == b"another one"


# The signed addresses


def address(services: Services, client: Client, format: Format = Format.PNG, **data: str) -> str:
    return services.signed_urls.on_demand_image(client.space.id, client.template.id, format, data)


@pytest.mark.parametrize("format", list(Format))
def test_a_signed_address_shows_the_image_to_anyone(client: Client, services: Services, format: Format) -> None:
    answer = TestApp(client.app.app).get(address(services, client, format, title="Grüße & mehr"))
    assert answer.content_type == format.content_type
    assert answer.headers["Cache-Control"].startswith("public")
    assert answer.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
    assert "Set-Cookie" not in answer.headers


def test_a_image_that_the_browser_has_is_not_sent_again(client: Client, services: Services) -> None:
    url = address(services, client)
    tag = client.app.get(url).headers["ETag"]
    answer = client.app.get(url, headers={"If-None-Match": tag}, status=304)
    assert answer.body == b""
    assert client.app.head(url).headers["ETag"] == tag


def test_an_address_that_is_asked_again_is_not_gathered_anew_while_all_is_as_it_was(
    client: Client, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, gathered = address(services, client), []
    order = ImageService.order
    monkeypatch.setattr(ImageService, "order", lambda *given: gathered.append(given) or order(*given))
    first, second = client.app.get(url), client.app.get(url)
    assert len(gathered) == 1
    assert (second.body, second.headers["ETag"]) == (first.body, first.headers["ETag"])
    assert second.headers["Cache-Control"] == first.headers["Cache-Control"]
    client.app.get(url, headers={"If-None-Match": first.headers["ETag"]}, status=304)
    with services.database.transaction(client.space.id) as db:
        wider = ImageTemplate.model_validate(small_document(canvas={"width": 500, "height": 200}))
        publish(db, db.get_one(Template, (client.space.id, client.template.id)), wider)
    assert client.app.get(url).headers["ETag"] != first.headers["ETag"]
    with services.database.transaction(client.space.id) as db:
        db.get_one(Template, (client.space.id, client.template.id)).deleted_at = datetime.now(UTC)
    client.app.get(url, status=404)


def test_an_address_ends_when_it_says_although_it_was_shown_a_moment_ago(client: Client, services: Services) -> None:
    url = address(services, client, e=str(int(time.time()) + 2))
    assert client.app.get(url).status_int == client.app.get(url).status_int == 200
    wait_for(lambda: client.app.get(url, status="*").status_int == 403)
    assert "time" in client.app.get(url, status=403).json["detail"]


@pytest.mark.parametrize(
    "change",
    [
        lambda url: url.replace("title=A", "title=B"),
        lambda url: url + "&image=x",
        lambda url: url.replace(".png", ".jpg"),
        lambda url: url.partition("&s=")[0],
        lambda url: url[:-1] + ("A" if url[-1] != "A" else "B"),
        lambda url: url.partition("?")[0],
        lambda url: url.replace("title=A", "title=%41&title2=x"),
    ],
)
def test_a_changed_address_is_refused(client: Client, services: Services, change: Any) -> None:
    url = address(services, client, title="A")
    assert client.app.get(url).status_int == 200
    answer = client.app.get(change(url), status=403)
    assert answer.json["code"] == "bad_signature"


def test_a_parameter_that_stands_twice_is_refused(client: Client, services: Services) -> None:
    url = address(services, client, title="A")
    assert client.app.get(url + "&title=B", status=400).json["code"] == "repeated_parameter"


def test_a_signature_of_one_workspace_opens_no_other(client: Client, services: Services, make: Factory) -> None:
    other = make.workspace()
    theirs = make.template(other)
    url = services.signed_urls.on_demand_image(client.space.id, theirs.id, Format.PNG, {})
    assert client.app.get(url, status=403).json["code"] == "bad_signature"


@pytest.mark.parametrize(
    "path", ["/i/", "/i/x.png", "/i/00000000-0000-7000-8000-000000000000.png", "/i/images/x/y.png"]
)
def test_images_that_are_not_there(client: Client, path: str) -> None:
    assert client.app.get(path, status=404).json["code"] == "not_found"
    assert client.app.get(f"/i/{client.template.id}.exe", status=404).json["code"] == "not_found"


def test_an_unknown_column_is_named_even_when_it_is_signed(client: Client, services: Services) -> None:
    assert "data.prize" in client.app.get(address(services, client, prize="1"), status=422).json["errors"]


def test_an_endless_address_is_refused(client: Client) -> None:
    assert (
        client.app.get(f"/i/{client.template.id}.png?title={'x' * 9000}", status=414).json["code"] == "address_too_long"
    )


def test_a_kept_image_is_opened_by_its_own_signature_only(client: Client) -> None:
    url = client.post(accept="application/json").json["url"].removeprefix("http://localhost")
    assert client.app.get(url).status_int == 200
    assert client.app.get(url.replace(".jpg", ".png"), status="*").status_int == 403
    assert client.app.get(url[:-2], status=403).json["code"] == "bad_signature"

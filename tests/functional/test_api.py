"""`POST /v1/images`, stored images and signed URLs."""

import time
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import pytest
import pyvips
from pyramid.response import Response
from webtest import TestApp

from cwz_web.api.on_demand import add_findings
from cwz_web.generation.api_keys import Scope
from cwz_web.generation.models import Image, Template
from cwz_web.generation.signed_urls import sign
from cwz_web.generation.templates import publish
from cwz_web.generation.usage import monthly_usage
from cwz_web.imaging.documents import ImageTemplate
from cwz_web.imaging.encoders import Format
from cwz_web.imaging.findings import Finding, FindingCode
from cwz_web.web.services import Services
from cwz_web.workspaces.models import Workspace
from tests.factories import Factory, api, local_bucket, small_document
from tests.installation import wait_for

FORMATS = {
    "image/png": "pngload_buffer",
    "image/jpeg": "jpegload_buffer",
    "image/webp": "webpload_buffer",
    "image/avif": "heifload_buffer",
}


class Client:
    """A client with a key, in a workspace with a template."""

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
def test_image_has_the_accepted_format(client: Client, accept: str) -> None:
    answer = client.post({"data": {}}, accept=accept)
    assert answer.content_type == accept
    image = pyvips.Image.new_from_buffer(answer.body, "")
    assert (image.width, image.height, image.get("vips-loader")) == (300, 200, FORMATS[accept])


@pytest.mark.parametrize(
    ("accept", "body", "expected"),
    [
        ("image/*", {}, "image/jpeg"),
        ("text/html, image/webp;q=0.9, image/png;q=0.5", {}, "image/webp"),
        ("image/*", {"format": "png"}, "image/png"),
        ("image/jpeg;q=0, image/*", {}, "image/png"),
    ],
)
def test_content_negotiation(client: Client, accept: str, body: dict[str, str], expected: str) -> None:
    assert client.post(body, accept=accept).content_type == expected


def test_findings_are_in_the_response_and_its_header(client: Client) -> None:
    body = {"data": {"image": "nowhere"}}
    header = 'photo_missing;layer="Image"'
    rendered, cached = (client.post(body, accept="image/png") for _ in range(2))
    assert [answer.headers["Findings"] for answer in (rendered, cached)] == [header, header]
    new, stored = (client.post(body, accept="application/json") for _ in range(2))
    assert (new.headers["Findings"], new.status_int, stored.status_int) == (header, 201, 200)
    message = "has no image: the value is not a URL that begins with https:// or http://"
    assert new.json["findings"] == [{"code": "photo_missing", "message": message, "layer": "Image"}]
    assert stored.json["findings"] == new.json["findings"]


@pytest.mark.parametrize("accept", ["application/json", "image/png"])
def test_missing_photo_can_be_an_error(client: Client, make: Factory, accept: str) -> None:
    for data in ({"image": "nowhere"}, {}):
        body = {"data": data, "on_missing_photo": "error"}
        answer = client.post(body, accept=accept, status=422)
        assert answer.json["code"] == "photo_missing"
        assert "has no image" in answer.json["errors"]["layers.Image"]
    with make.database.transaction(client.space.id) as db:
        assert monthly_usage(db, client.space.id, client.space.id) == 0
    assert make.count(Image, client.space.id) == 0
    assert client.post({"on_missing_photo": "nonsense"}, accept=accept, status=422).json["code"] == "invalid"


def test_layer_names_in_the_findings_header_are_percent_encoded() -> None:
    response = Response()
    add_findings(response, [Finding(FindingCode.PHOTO_MISSING, "has no image", 'Größe "1"')])
    assert response.headers["Findings"] == 'photo_missing;layer="Gr%C3%B6%C3%9Fe%20%221%22"'


def test_data_changes_the_image_and_its_etag(client: Client) -> None:
    plain, same, other = (
        client.post(),
        client.post({"data": {"title": "Hello"}}),
        client.post({"data": {"title": "Other"}}),
    )
    assert plain.body == same.body
    assert plain.headers["ETag"] == same.headers["ETag"]
    assert other.body != plain.body
    assert other.headers["ETag"] != plain.headers["ETag"]


def test_key_renders_several_templates_by_id_and_slug(client: Client, make: Factory) -> None:
    other = make.template(client.space, small_document(canvas={"width": 500, "height": 200}), name="Other")
    named = {300: client.template.slug, 500: str(other.id)}
    for width in (300, 500, 300, 300, 500, 500):
        image = pyvips.Image.new_from_buffer(client.post({"template": named[width]}).body, "")
        assert image.width == width
    with make.database.transaction(client.space.id) as db:
        db.get_one(Template, (client.space.id, other.id)).deleted_at = datetime.now(UTC)
    assert client.post({"template": named[500]}, status=422).json["code"] == "unknown_template"
    assert client.post({"template": named[300]}).status_int == 200


def test_numbers_and_null_are_valid_values(client: Client) -> None:
    assert client.post({"data": {"title": 12.5, "image": None}}).status_int == 200


def test_json_response_stores_the_image(client: Client, make: Factory) -> None:
    first = client.post({"data": {"title": "Keep"}}, accept="application/json")
    assert first.status_int == 201
    again = client.post({"data": {"title": "Keep"}}, accept="application/json")
    assert again.json["id"] == first.json["id"]
    assert make.count(Image, client.space.id) == 1
    headers = {"Authorization": f"Bearer {make.key(client.space, Scope.READ)}"}
    listed = client.app.get("/v1/images", headers=headers).json["images"]
    assert [image["id"] for image in listed] == [first.json["id"]]
    info = client.app.get(f"/v1/images/{first.json['id']}", headers=headers).json
    assert (info["url"], info["template"]) == (first.json["url"], str(client.template.id))
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
def test_invalid_field_is_named(client: Client, body: dict[str, Any], field: str, status: int) -> None:
    answer = client.post(body, status=status)
    assert answer.content_type == "application/problem+json"
    assert answer.json["status"] == status
    assert answer.json["request_id"] == answer.headers["X-Request-Id"]
    assert list(answer.json["errors"]) == [field]


@pytest.mark.parametrize(
    ("raw", "content_type", "status", "code"),
    [
        (b"{", "application/json", 400, "invalid_json"),
        (b"\xff", "application/json", 400, "invalid_json"),
        (b"[" * 100_000, "application/json", 400, "invalid_json"),
        (b'{"template": "card", "data": {"title": "\\u0000"}}', "application/json", 422, "invalid_characters"),
        (b"template=card", "application/x-www-form-urlencoded", 415, "unsupported_media_type"),
        (b" " * 300_000, "application/json", 413, "body_too_large"),
        (b"7", "application/json", 422, "invalid"),
    ],
)
def test_invalid_body_is_rejected(client: Client, raw: bytes, content_type: str, status: int, code: str) -> None:
    headers = {"Authorization": f"Bearer {client.key}"}
    answer = client.app.post("/v1/images", raw, headers=headers, content_type=content_type, status=status)
    assert answer.json["code"] == code


def test_unsupported_format_is_not_acceptable(client: Client) -> None:
    for accept in ("application/pdf", "image/gif", "image/png;q=0", "*/*;q=0"):
        assert client.post(accept=accept, status=406).json["code"] == "not_acceptable"
    assert client.post({"format": "webp"}, accept="image/png", status=406).json["code"] == "not_acceptable"


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        (None, "application/json"),
        ("", "application/json"),
        ("*/*", "application/json"),
        ("application/json, text/plain, */*", "application/json"),
        ("application/*", "application/json"),
        ("application/json, image/png", "application/json"),
        ("image/png;q=0.5, */*", "application/json"),
        ("image/png;q=0, */*", "application/json"),
        ("image/gif, */*", "application/json"),
        ("image/png", "image/png"),
        ("IMAGE/PNG", "image/png"),
        ("image/*", "image/jpeg"),
        ("image/png, */*", "image/png"),
        ("image/avif,image/webp,*/*;q=0.8", "image/webp"),
        ("application/json;q=0.5, image/webp", "image/webp"),
    ],
)
def test_image_is_returned_only_if_its_type_is_named(client: Client, accept: str | None, content_type: str) -> None:
    headers = {"Authorization": f"Bearer {client.key}"} | ({} if accept is None else {"Accept": accept})
    answer = client.app.post_json("/v1/images", {"template": client.template.slug}, headers=headers, status="2*")
    assert answer.content_type == content_type


def test_format_in_the_url_names_an_image_type(client: Client) -> None:
    for format in ("jpg", "png", "webp", "avif"):
        answer = client.post(accept="application/json", path=f"/v1/images?format={format}", status=200)
        assert answer.content_type == f"image/{'jpeg' if format == 'jpg' else format}"
    for query, body in (("bmp", {}), ("", {}), ("png", {"format": "webp"})):
        assert list(client.post(body, path=f"/v1/images?format={query}", status=422).json["errors"]) == ["format"]


def test_metadata_is_returned(client: Client) -> None:
    metadata = {"order": "A-17", "line": 3, "rush": True, "note": None}
    answer = client.post({"metadata": metadata}, accept="*/*", status=201)
    assert answer.json["metadata"] == metadata
    assert client.post({}, accept="*/*", status=200).json["metadata"] == {}
    for wrong, field in (({"a": [1]}, "metadata.a"), ({"a": "x" * 501}, "metadata.a"), ("x", "metadata")):
        assert list(client.post({"metadata": wrong}, status=422).json["errors"]) == [field]
    assert list(client.post({"metadata": dict.fromkeys(map(str, range(21)))}, status=422).json["errors"]) == [
        "metadata"
    ]


@pytest.mark.parametrize("header", [None, "Bearer", "Bearer x", "Basic Zm9vOmJhcg==", "Bearer cwz_live_" + "a" * 43])
def test_request_without_a_valid_key_is_unauthorized(client: Client, header: str | None) -> None:
    headers = {"Authorization": header} if header else {}
    for path in ("/v1/images", "/v1/anything"):
        answer = client.app.post_json(path, {"template": "card"}, headers=headers, status=401)
        assert answer.json["code"] == "unauthorized"
        assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_session_cookie_does_not_open_the_api_nor_a_key_the_pages(app: TestApp, make: Factory, client: Client) -> None:
    from tests.factories import sign_in

    sign_in(app, make.member(client.space))
    app.post_json("/v1/images", {"template": "card"}, status=401)
    stranger = TestApp(app.app)
    assert stranger.get(f"/w/{client.space.slug}", headers={"Authorization": f"Bearer {client.key}"}).status_int == 303


def test_template_of_another_workspace_is_unknown(client: Client, make: Factory) -> None:
    theirs = make.template(make.workspace(), name="Theirs")
    for name in (theirs.slug, str(theirs.id)):
        assert client.post({"template": name}, status=422).json["code"] == "unknown_template"


def test_unknown_methods_and_urls_are_rejected(client: Client) -> None:
    headers = {"Authorization": f"Bearer {client.key}"}
    assert client.app.put_json("/v1/images", {}, headers=headers, status=405).json["code"] == "method_not_allowed"
    assert client.app.post_json("/v1/nothing", {}, headers=headers, status=404).json["code"] == "not_found"


def test_unavailable_storage_is_reported(client: Client, make: Factory) -> None:
    from sqlalchemy import update

    from cwz_web.storage.models import Connection

    with make.database.transaction(client.space.id) as db:
        db.execute(update(Connection).values(provider="tape"))
    assert client.post(accept="application/json", status=503).json["code"] == "storage_unavailable"
    assert client.post(status=200).content_type == "image/png", "an image that is not stored needs no storage"


def test_oversized_object_is_not_served_as_an_image(client: Client, make: Factory) -> None:
    stored = client.post(accept="application/json").json
    with make.database.transaction(client.space.id) as db:
        image = db.get_one(Image, (client.space.id, stored["id"]))
    bucket = local_bucket(make.services)
    bucket.put(image.key, bytes(20 * 1024**2 + 1), content_type="image/jpeg")
    answer = client.app.get(stored["url"], status=503).json
    assert (answer["code"], "larger than 20 MB" in answer["detail"]) == ("storage_unavailable", True)
    bucket.put(image.key, b"another one", content_type="image/jpeg")
    assert client.app.get(stored["url"]).body == b"another one"


# Signed URLs


def signed_url(services: Services, client: Client, format: Format = Format.PNG, **data: str) -> str:
    return services.signed_urls.on_demand_image(client.space.id, client.template.id, format, data)


@pytest.mark.parametrize("format", list(Format))
def test_signed_url_shows_the_image_to_every_client(client: Client, services: Services, format: Format) -> None:
    answer = TestApp(client.app.app).get(signed_url(services, client, format, title="Grüße & mehr"))
    assert answer.content_type == format.content_type
    assert answer.headers["Cache-Control"].startswith("public")
    assert answer.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
    assert "Set-Cookie" not in answer.headers


def test_encoding_options_are_those_of_the_output(client: Client, services: Services) -> None:
    plain, full = (client.post(body, accept="image/jpeg").body for body in ({}, {"chroma": "444", "progressive": True}))
    header = pyvips.Image.new_from_buffer(full, "")
    assert (header.get("jpeg-chroma-subsample"), bool(header.get("jpeg-multiscan"))) == ("4:4:4", True)
    assert pyvips.Image.new_from_buffer(plain, "").get("jpeg-chroma-subsample") == "4:2:0"
    limit = len(plain) * 3 // 4
    assert len(client.post({"max_bytes": limit}, accept="image/jpeg").body) <= limit
    problem = client.post({"max_bytes": 1000, "format": "png", "scale": 3}, status=422).json
    assert "the limit is 1 KB" in problem["detail"]
    lossless = client.app.get(signed_url(services, client, Format.WEBP, _lossless="true", _max_bytes="500000")).body
    assert lossless[12:16] == b"VP8L"
    client.post({"max_bytes": 999}, status=422)
    client.app.get(signed_url(services, client, _chroma="422"), status=422)


def test_fields_that_begin_with_an_underscore_are_parameters(make: Factory, app: TestApp, services: Services) -> None:
    client = Client(app, make)
    document = small_document()
    names = {"title": "_name", "image": "_size"}
    document["fields"] = [{**field, "name": names[field["name"]]} for field in document["fields"]]
    document["layers"] = [
        {**document["layers"][0], "source": "{{ _size }}", "missing": "fail"},
        {**document["layers"][1], "text": "{{ _name }}"},
    ]
    client.template = make.template(client.space, document)
    problem = client.app.get(signed_url(services, client, _name="Named", __size="nowhere"), status=422).json
    assert "not a URL" in problem["detail"]
    problem = client.app.get(signed_url(services, client, _unknown="x"), status=422).json
    assert "Unknown field: _unknown" in problem["detail"]


def test_template_is_found_by_id_and_by_slug(client: Client, make: Factory) -> None:
    headers = {"Authorization": f"Bearer {make.key(client.space, Scope.READ)}"}
    by_id, by_slug = (
        client.app.get(f"/v1/templates/{name}", headers=headers).json
        for name in (client.template.id, client.template.slug)
    )
    assert by_id == by_slug
    assert by_id["sizes"][0]["name"] == "default"
    client.app.get("/v1/templates/no-such-template", headers=headers, status=404)
    client.app.get(f"/v1/templates/{make.template(make.workspace()).slug}x", headers=headers, status=404)


def test_unchanged_image_is_not_sent_again(client: Client, services: Services) -> None:
    url = signed_url(services, client)
    tag = client.app.get(url).headers["ETag"]
    answer = client.app.get(url, headers={"If-None-Match": tag}, status=304)
    assert answer.body == b""
    assert client.app.head(url).headers["ETag"] == tag


def test_signed_url_follows_the_template_at_once(client: Client, services: Services) -> None:
    url = signed_url(services, client)
    first = client.app.get(url)
    with services.database.transaction(client.space.id) as db:
        wider = ImageTemplate.model_validate(small_document(canvas={"width": 500, "height": 200}))
        publish(db, db.get_one(Template, (client.space.id, client.template.id)), wider)
    assert (
        client.app.get(url, headers={"If-None-Match": first.headers["ETag"]}).headers["ETag"] != first.headers["ETag"]
    )
    with services.database.transaction(client.space.id) as db:
        db.get_one(Template, (client.space.id, client.template.id)).deleted_at = datetime.now(UTC)
    client.app.get(url, status=404)


def test_retired_signing_key_is_rejected_at_once(client: Client, services: Services) -> None:
    parameters = {"title": "A", "k": "1"}
    key = services.signed_urls.key(client.space.id, 1).encode()
    signature = sign(key, f"{client.template.id}.png", parameters)
    url = f"/i/{client.template.id}.png?{urlencode(parameters)}&s={signature}"
    assert client.app.get(url).status_int == client.app.get(url).status_int == 200
    with services.database.transaction(client.space.id) as db:
        workspace = db.get_one(Workspace, client.space.id)
        workspace.signing_key_number = workspace.oldest_signing_key_number = 2
    assert client.app.get(url, status=403).json["code"] == "invalid_signature"


def test_signed_url_expires_although_its_image_is_cached(client: Client, services: Services) -> None:
    url = signed_url(services, client, e=str(int(time.time()) + 2))
    assert client.app.get(url).status_int == client.app.get(url).status_int == 200
    wait_for(lambda: client.app.get(url, status="*").status_int == 403)
    assert "expired" in client.app.get(url, status=403).json["detail"]


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
def test_changed_signed_url_is_rejected(client: Client, services: Services, change: Any) -> None:
    url = signed_url(services, client, title="A")
    assert client.app.get(url).status_int == 200
    answer = client.app.get(change(url), status=403)
    assert answer.json["code"] == "invalid_signature"


def test_repeated_parameter_is_rejected(client: Client, services: Services) -> None:
    url = signed_url(services, client, title="A")
    assert client.app.get(url + "&title=B", status=400).json["code"] == "repeated_parameter"


def test_signature_of_another_workspace_is_rejected(client: Client, services: Services, make: Factory) -> None:
    other = make.workspace()
    theirs = make.template(other)
    url = services.signed_urls.on_demand_image(client.space.id, theirs.id, Format.PNG, {})
    assert client.app.get(url, status=403).json["code"] == "invalid_signature"


@pytest.mark.parametrize(
    "path", ["/i/", "/i/x.png", "/i/00000000-0000-7000-8000-000000000000.png", "/i/images/x/y.png"]
)
def test_unknown_image_is_not_found(client: Client, path: str) -> None:
    assert client.app.get(path, status=404).json["code"] == "not_found"
    assert client.app.get(f"/i/{client.template.id}.exe", status=404).json["code"] == "not_found"


def test_unknown_field_in_a_signed_url_is_named(client: Client, services: Services) -> None:
    assert "data.prize" in client.app.get(signed_url(services, client, prize="1"), status=422).json["errors"]


def test_too_long_query_string_is_rejected(client: Client) -> None:
    assert client.app.get(f"/i/{client.template.id}.png?title={'x' * 9000}", status=414).json["code"] == "url_too_long"


def test_stored_image_needs_its_own_signature(client: Client) -> None:
    url = client.post(accept="application/json").json["url"].removeprefix("http://localhost")
    assert client.app.get(url).status_int == 200
    assert client.app.get(url.replace(".jpg", ".png"), status="*").status_int == 403
    assert client.app.get(url[:-2], status=403).json["code"] == "invalid_signature"

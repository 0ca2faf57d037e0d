"""`/v1/uploads`: list, add and delete; the same rules as on the page."""

from hashlib import sha256
from typing import Any

import httpx
import pytest
from sqlalchemy import select
from webtest import TestApp

from cwz_web.generation.api_keys import Scope
from cwz_web.imaging.image_uploads import MAX_UPLOAD_BYTES
from cwz_web.net.client import FetchedBody, FetchError
from cwz_web.storage.connections import upload_key
from cwz_web.workspaces.models import AuditEntry
from tests.factories import Factory, jpeg, local_bucket, small_document, small_font

PATH = "/v1/uploads"


class Client:
    """A client with an API key that can read and write uploads."""

    def __init__(self, app: TestApp, make: Factory) -> None:
        self.app, self.make = app, make
        self.space = make.workspace()
        self.headers = {"Authorization": f"Bearer {make.key(self.space, Scope.READ, Scope.UPLOADS_WRITE)}"}

    def get(self, path: str = "", status: int = 200) -> Any:
        return self.app.get(PATH + path, headers=self.headers, status=status).json

    def send(self, data: bytes, status: int = 201, name: str = "logo.jpg", key: str = "", fields: Any = None) -> Any:
        """Send a file as a multipart body, with a boundary of its own."""
        request = httpx.Request("POST", "http://x/", data=fields, files={"file": (name, data)})
        headers = self.headers | {"Content-Type": request.headers["Content-Type"]}
        headers |= {"Idempotency-Key": key} if key else {}
        return self.app.post(PATH, request.read(), headers=headers, status=status)

    def fetch(self, status: int = 201, **body: str) -> Any:
        return self.app.post_json(PATH, body, headers=self.headers, status=status)


@pytest.fixture
def client(app: TestApp, make: Factory) -> Client:
    return Client(app, make)


def test_upload_is_added_listed_and_deleted(client: Client) -> None:
    answer = client.send(jpeg())
    added = answer.json
    assert answer.location.endswith(f"/v1/uploads/{added['id']}")
    assert (added["kind"], added["name"], added["content_type"]) == ("image", "logo", "image/jpeg")
    assert (added["width"], added["height"]) == (60, 40)
    assert added["reference"] == f"upload:{added['digest']}"
    stored = local_bucket(client.make.services).get(upload_key(client.space.id, added["digest"]))
    assert len(stored) == added["bytes"]
    assert client.get() == {"uploads": [added], "next": None}
    assert client.get(f"/{added['id']}") == added | {"uses": [], "brand": []}
    client.app.delete(f"{PATH}/{added['id']}", headers=client.headers, status=204)
    assert client.get()["uploads"] == []
    client.get(f"/{added['id']}", status=404)
    with client.make.database.transaction(client.space.id) as db:
        entries = db.execute(select(AuditEntry.action, AuditEntry.actor).order_by(AuditEntry.number)).all()
    assert [entry.action for entry in entries][:2] == ["upload.add", "upload.delete"]
    assert entries[0].actor.startswith("API key Test")


def test_same_file_is_one_upload(client: Client) -> None:
    first = client.send(jpeg()).json
    assert client.send(jpeg(), status=200, name="other.jpg").json == first


def test_upload_is_found_by_its_digest_and_its_file_is_read(client: Client) -> None:
    added = client.send(small_font(), name="font.ttf").json
    assert client.get(f"/{added['digest']}") == client.get(f"/{added['id']}")
    for name in (added["id"], added["digest"]):
        answer = client.app.get(f"{PATH}/{name}/file", headers=client.headers)
        assert sha256(answer.body).hexdigest() == added["digest"]
        assert answer.content_type == "font/ttf"
        assert answer.content_disposition == 'attachment; filename="caveat-bold.ttf"'
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
    client.get(f"/{'0' * 64}", status=404)
    client.get(f"/{added['digest'].upper()}", status=404)


def test_file_that_the_storage_lost_is_not_found(client: Client) -> None:
    added = client.send(jpeg()).json
    local_bucket(client.make.services).delete(upload_key(client.space.id, added["digest"]))
    assert client.get(f"/{added['id']}/file", status=404)["code"] == "not_found"


def test_list_is_searched_and_paged(client: Client) -> None:
    for number in range(3):
        client.send(jpeg(9 + number, 9), name=f"Logo {number}.jpg")
    client.send(small_font(), name="font.ttf")
    assert [each["name"] for each in client.get("?kind=font")["uploads"]] == ["Caveat Bold"]
    page = client.get("?name=logo&limit=2")
    assert [each["name"] for each in page["uploads"]] == ["Logo 2", "Logo 1"]
    assert [each["name"] for each in client.get(f"?name=logo&limit=2&after={page['next']}")["uploads"]] == ["Logo 0"]
    assert client.get("?kind=video", status=422)["errors"] == {"kind": "Use image or font"}
    assert "name" in client.get(f"?name={'x' * 101}", status=422)["errors"]


def test_name_of_the_body_comes_before_that_of_the_file(client: Client) -> None:
    assert client.send(jpeg(), name="../../a.jpg").json["name"] == "a"
    assert client.send(jpeg(9, 9), fields={"name": "Summer logo"}).json["name"] == "Summer logo"
    assert "name" in client.send(jpeg(9, 8), 422, fields={"name": "x" * 101}).json["errors"]


def test_upload_with_idempotency_key_is_executed_once(client: Client) -> None:
    first = client.send(jpeg(), key="one")
    again = client.send(jpeg(), key="one")  # with another boundary
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.json == first.json
    assert client.send(jpeg(9, 9), status=422, key="one").json["code"] == "idempotency_key_reused"
    assert client.send(jpeg(), status=422, name="other.jpg", key="one").json["code"] == "idempotency_key_reused"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "The file is empty"),
        (b"%PDF-1.7", "a PDF document"),
        (b"<svg " + bytes(MAX_UPLOAD_BYTES), "larger than 16 MB"),
        (b"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 1 1'><script/></svg>", "<script>"),
    ],
    ids=["empty", "pdf", "large", "script"],
)
def test_invalid_file_is_a_problem(client: Client, data: bytes, message: str) -> None:
    problem = client.send(data, status=422).json
    assert problem["code"] == "invalid_file"
    assert message in problem["errors"]["file"]
    assert client.get()["uploads"] == []


def test_body_of_another_type_is_a_problem(client: Client) -> None:
    headers = client.headers | {"Content-Type": "image/jpeg"}
    assert client.app.post(PATH, jpeg(), headers=headers, status=415).json["code"] == "unsupported_media_type"
    body = b'--x\r\nContent-Disposition: form-data; name="evil"\r\n\r\n1\r\n--x--\r\n'
    headers = client.headers | {"Content-Type": "multipart/form-data; boundary=x"}
    errors = client.app.post(PATH, body, headers=headers, status=422).json["errors"]
    assert errors == {"evil": "There is no field with this name", "file": "Send a file"}
    assert client.app.post(PATH, b"--x", headers=headers, status=400).json["code"] == "bad_request"


class TestUrl:
    def test_file_of_a_url_is_stored(self, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
        fetched = []

        def fetch(self: object, url: str, **_: object) -> FetchedBody:
            fetched.append(url)
            return FetchedBody(jpeg(), None, None)

        monkeypatch.setattr(type(client.make.services.fetcher), "fetch", fetch)
        assert client.fetch(url="https://shop.example/img/Red%20mug.jpg?w=9").json["name"] == "Red mug"
        assert client.fetch(url="https://shop.example/a.jpg", name="Mug", status=200).json["name"] == "Red mug"
        assert fetched == ["https://shop.example/img/Red%20mug.jpg?w=9", "https://shop.example/a.jpg"]

    def test_failed_fetch_is_a_problem(self, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
        def fetch(self: object, url: str, **_: object) -> FetchedBody:
            raise FetchError("The server answered with status 404")

        monkeypatch.setattr(type(client.make.services.fetcher), "fetch", fetch)
        problem = client.fetch(url="https://shop.example/a.jpg", status=422).json
        assert problem["errors"] == {"url": "The server answered with status 404"}

    @pytest.mark.parametrize("url", ["http://127.0.0.1/a.jpg", "http://169.254.169.254/", "file:///etc/passwd", "a"])
    def test_internal_url_is_not_fetched(self, client: Client, url: str) -> None:
        assert "url" in client.fetch(url=url, status=422).json["errors"]


def test_upload_in_use_is_not_deleted(client: Client) -> None:
    added = client.send(jpeg()).json
    document = small_document()
    document["layers"][0]["source"] = added["reference"]
    template = client.make.template(client.space, document)
    uses = client.get(f"/{added['id']}")["uses"]
    assert uses == [{"template": str(template.id), "slug": template.slug, "draft": False, "versions": [1]}]
    refused = client.app.delete(f"{PATH}/{added['id']}", headers=client.headers, status=409).json
    assert refused["code"] == "upload_in_use"


def test_keys_need_the_scope(client: Client) -> None:
    reader = {"Authorization": f"Bearer {client.make.key(client.space, Scope.READ)}"}
    writer = {"Authorization": f"Bearer {client.make.key(client.space, Scope.FEEDS_WRITE)}"}
    body = {"url": "https://shop.example/a.jpg"}
    client.app.get(PATH, headers=writer, status=403)
    for headers in (reader, writer):
        client.app.post_json(PATH, body, headers=headers, status=403)
    client.app.get(PATH, status=401)


def test_uploads_of_another_workspace_do_not_exist(client: Client) -> None:
    foreign = client.make.upload(client.make.workspace(), jpeg())
    for name in (foreign.id, foreign.digest, f"{foreign.digest}/file"):
        client.get(f"/{name}", status=404)
    client.app.delete(f"{PATH}/{foreign.id}", headers=client.headers, status=404)
    assert client.make.reload(foreign).deleted_at is None

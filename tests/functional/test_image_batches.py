"""`POST /v1/image-requests`: images of many items, with a result for each; and `?wait=` for their end."""

import json
from contextlib import ExitStack
from typing import Any
from uuid import UUID

import pytest
from pyramid.router import Router
from sqlalchemy import select, text

from cwz_web.api import waiting
from cwz_web.api.image_batches import MAX_BATCH_BODY
from cwz_web.generation.api_keys import Scope
from cwz_web.generation.signed_urls import SignedUrls
from cwz_web.imaging.decoding import Source
from cwz_web.notify.models import WebhookDelivery
from cwz_web.runs.local_client import LocalRenderClient
from cwz_web.runs.models import Run, RunItem
from cwz_web.runs.protocol import SpecificationRequest
from cwz_web.runs.render_worker import RenderWorker
from cwz_web.storage.connections import upload_key
from cwz_web.web.slow_requests import MAX_WAITING_PER_WORKSPACE
from tests.factories import Factory, jpeg, local_bucket
from tests.functional.test_api_key_limits import Program
from tests.functional.test_image_requests import get

PATH = "/v1/image-requests"


class Client(Program):
    """A client that requests images of many items."""

    def request(self, items: list[Any], status: int = 202, **more: Any) -> Any:
        return self.send({"template": self.template.slug, "items": items, **more}, status, path=PATH)

    def render(self, request_id: str) -> None:
        """Render all chunks of a request."""
        services, workspace_id = self.make.services, self.space.id
        urls = SignedUrls("a secret", "https://site.example")
        web = LocalRenderClient(self.make.database.transaction, services.providers, urls)
        worker = RenderWorker(web, services.image_service, services.providers.outbound)
        with self.make.database.transaction(workspace_id) as db:
            of_run = RunItem.workspace_id == workspace_id, RunItem.run_id == UUID(request_id)
            chunks = db.scalars(select(RunItem.chunk).where(*of_run).distinct()).all()
        for chunk in chunks:
            ids = SpecificationRequest(workspace_id=workspace_id, run_id=UUID(request_id), chunk=chunk)
            worker.render_chunk(ids, last_try=True)


@pytest.fixture
def client(wsgi: Router, make: Factory) -> Client:
    return Client(wsgi, make)


def titles(number: int) -> list[Any]:
    return [{"data": {"title": f"Number {each}"}} for each in range(number)]


def test_each_item_has_its_results(client: Client, make: Factory) -> None:
    photo = Source.of(jpeg(30))
    local_bucket(make.services).put(upload_key(client.space.id, photo.digest), photo.data, content_type="image/jpeg")
    items = [{"data": {"title": "No photo"}}, {"key": "mug", "data": {"image": f"upload:{photo.digest}"}}]
    more = {"metadata": {"order": 7}, "webhook": "https://shop.example/hook", "on_missing_photo": "error"}
    asked = client.request(items, outputs=[{"format": "png"}, {}], **more)
    assert asked.location == asked.json["status_url"]
    assert (asked.json["state"], asked.json["total"], client.used) == ("pending", 4, 4)
    assert [each["state"] for each in asked.json["images"]] == ["pending"] * 4
    client.render(asked.json["id"])
    read = get(client, asked.location).json
    assert [(each["item"], each["key"], each["format"], each["state"]) for each in read["images"]] == [
        (0, "0", "png", "failed"),
        (0, "0", "jpg", "failed"),
        (1, "mug", "png", "done"),
        (1, "mug", "jpg", "done"),
    ]
    assert (read["state"], read["done"], read["failed"], read["error"]) == ("failed", 2, 2, read["images"][0]["error"])
    assert (read["images"][0]["image"], read["image"], read["metadata"], read["next"]) == (
        None,
        None,
        {"order": 7},
        None,
    )
    assert client.used == 2
    with make.database.transaction(client.space.id) as db:
        messages = [json.loads(body)["data"] for body in db.scalars(select(WebhookDelivery.body))]
    assert sorted(message["key"] for message in messages if "error" in message) == ["0", "0"]
    assert sorted(message["key"] for message in messages if "url" in message) == ["mug", "mug"]
    assert all(message["run"] == asked.json["id"] for message in messages)


def test_request_stays_pending_until_all_images_have_ended(client: Client, make: Factory) -> None:
    asked = client.request(titles(3))
    with make.database.transaction(client.space.id) as db:
        run = db.scalars(select(Run)).one()
        run.done, run.failed = 1, 1
    assert get(client, asked.location).json["state"] == "pending"


def test_images_are_listed_in_pages(client: Client) -> None:
    asked = client.request(titles(40), locale="de")
    assert asked.json["next"] is None
    client.render(asked.json["id"])
    first = get(client, f"{asked.location}?limit=30").json
    rest = get(client, f"{asked.location}?limit=30&after={first['next']}").json
    assert [each["item"] for each in first["images"] + rest["images"]] == list(range(40))
    assert (rest["next"], rest["done"], rest["state"]) == (None, 40, "done")
    assert len({each["image"]["id"] for each in first["images"] + rest["images"]}) == 40


def test_wrong_items_are_named_and_nothing_starts(client: Client, make: Factory) -> None:
    items = [{}, {"data": {"titel": "x", "title": ["a"]}}, {"data": {"nothing": 1}}]
    errors = client.request(items, 422).json["errors"]
    assert set(errors) == {"items.1.data.titel", "items.1.data.title", "items.2.data.nothing"}
    assert list(client.request([{}, {"data": {"title": {}}}], 422).json["errors"]) == ["items.1.data.title"]
    assert list(client.request([{}, {"key": "a/b"}], 422).json["errors"]) == ["items.1.key"]
    assert make.count(Run, client.space.id) == client.used == 0


@pytest.mark.parametrize(
    ("more", "field", "hint"),
    [
        ({"items": []}, "items", "at least 1"),
        ({"items": [{}] * 1001}, "items", "at most 1000"),
        ({"items": [{"key": "a"}, {"key": "a"}]}, "body", "“a”"),
        ({"items": [{}, {"key": "0"}]}, "body", "“0”"),
        ({"items": [{}], "file_name": "x"}, "body", "key"),
        ({"items": [{}], "outputs": [{"file_name": "x"}]}, "body", "key"),
        ({"items": [{}], "webhook": "file:///etc/passwd"}, "webhook", ""),
        ({"items": [{}], "dry_run": True}, "dry_run", ""),
    ],
)
def test_wrong_batch_is_refused(client: Client, more: dict[str, Any], field: str, hint: str) -> None:
    assert hint in client.send({"template": client.template.slug, **more}, 422, path=PATH).json["errors"][field]


def test_batch_is_bounded(client: Client, wsgi: Router, make: Factory) -> None:
    body = {"template": client.template.slug, "items": [{}], "layers": {"x": {"y": "z" * MAX_BATCH_BODY}}}
    assert client.send(body, 413, path=PATH).json["code"] == "body_too_large"
    poor = Client(wsgi, make, images_per_month=5)
    assert poor.request(titles(6), 402).json["code"] == "quota_exceeded"
    assert make.count(Run, poor.space.id) == poor.used == 0
    assert poor.request(titles(5)).json["total"] == 5


def test_few_images_do_not_wait_for_a_batch(client: Client, make: Factory) -> None:
    batch = client.request(titles(200)).json["id"]
    single = client.request(titles(1)).json["id"]
    query = text("SELECT args ->> 'run_id' AS run, max(priority) AS priority FROM procrastinate_jobs GROUP BY 1")
    with make.database.transaction(client.space.id) as db:
        priorities = {row.run: row.priority for row in db.execute(query)}
        last = db.scalar(
            text("SELECT min(priority) FROM procrastinate_jobs WHERE args ->> 'run_id' = :run"), {"run": batch}
        )
    assert priorities[single] > last


def test_response_waits_until_the_request_has_ended(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = client.request(titles(2))
    monkeypatch.setattr(waiting, "sleep", lambda seconds: client.render(asked.json["id"]))
    assert get(client, f"{asked.location}?wait=10").json["state"] == "done"
    for wrong in ("11", "0", "x"):
        assert list(get(client, f"{asked.location}?wait={wrong}").json["errors"]) == ["wait"]


def test_few_requests_wait(client: Client, make: Factory, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = client.request(titles(2))
    monkeypatch.setattr(waiting, "INTERVAL", None)  # a request that waits would fail
    with ExitStack() as occupied:
        for _ in range(MAX_WAITING_PER_WORKSPACE):
            occupied.enter_context(make.services.waiting.slot(client.space.id))
        assert get(client, f"{asked.location}?wait=10").json["state"] == "pending"


def test_run_can_be_waited_for(wsgi: Router, make: Factory, monkeypatch: pytest.MonkeyPatch) -> None:
    client = Client(wsgi, make, Scope.GENERATE, Scope.READ)
    body = {"feed": str(make.feed(client.space).id), "template": client.template.slug}
    run = client.send(body, 201, path="/v1/runs")
    monkeypatch.setattr(waiting, "sleep", lambda seconds: client.render(run.json["id"]))
    assert get(client, f"{run.location}?wait=10").json["state"] in ("completed", "completed_with_findings")

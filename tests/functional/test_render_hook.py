"""`/hooks/render`, as render workers and attackers call it."""

import json
from configparser import RawConfigParser
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import uuid4

from webtest import TestApp

from cwz_web.runs.models import Run
from cwz_web.runs.planning import cancel_run
from cwz_web.runs.protocol import (
    MAX_IMAGE_BYTES,
    MAX_IMAGE_MESSAGE_BYTES,
    MAX_MESSAGE_BYTES,
    OBJECT_RESPONSE,
    ItemResult,
    ObjectBody,
    ObjectResponse,
    ObjectSize,
    ObjectSizeRequest,
    PresignedUrlsRequest,
    ReadObjectRequest,
    Report,
    RequeueRequest,
    RunFinished,
    SpecificationRequest,
    StorageFailure,
    StoreImageRequest,
    sign,
)
from cwz_web.storage.connections import image_key, upload_key
from cwz_web.web.services import Services
from cwz_web.workspaces.deletion import tombstone_workspace
from cwz_web.workspaces.models import Workspace
from tests.factories import Factory, local_bucket

ROOT = Path(__file__).parents[2]
DIGEST = sha256(b"an image").hexdigest()


def send(app: TestApp, services: Services, message: Any, status: int | None = None, **headers: str) -> Any:
    body = message if isinstance(message, str) else message.model_dump_json()
    signed = sign(services.settings.secrets.render.get_secret_value(), body) | headers
    return app.post("/hooks/render", body, headers=signed, content_type="application/json", status=status)


def access(app: TestApp, services: Services, message: Any) -> ObjectResponse:
    return OBJECT_RESPONSE.validate_json(send(app, services, message).body)


def object_of(run: Run, key: str = "") -> dict[str, Any]:
    key = key or image_key(run.workspace_id, DIGEST, "jpg")
    ids = {"workspace_id": run.workspace_id, "run_id": run.id, "connection_id": run.connection_id}
    return {**ids, "key": key}


def start_run(make: Factory) -> Run:
    space = make.workspace()
    run: Run = make.run(make.feed(space), make.template(space))
    return run


def failed_report(run: Run) -> Report:
    return Report(workspace_id=run.workspace_id, run_id=run.id, results=(ItemResult(position=1, error="no"),))


def test_chunk_is_specified_without_secrets_and_reported(app: TestApp, services: Services, make: Factory) -> None:
    run = start_run(make)
    request = SpecificationRequest(workspace_id=run.workspace_id, run_id=run.id, chunk=0)
    specification = send(app, services, request).json
    assert [item["data"]["title"] for item in specification["items"]] == ["One", "Two", "Three"]
    connection = {
        "workspace_id": str(run.workspace_id),
        "connection_id": str(run.connection_id),
        "is_presigned": False,
        "hosts": [],
    }
    assert specification["connections"] == [connection], "ids only"
    send(app, services, failed_report(run), status=204)
    assert make.reload(run).failed == 1


def test_replayed_message_is_rejected(app: TestApp, services: Services, make: Factory) -> None:
    body = failed_report(start_run(make)).model_dump_json()
    headers = sign(services.settings.secrets.render.get_secret_value(), body)
    app.post("/hooks/render", body, headers=headers, content_type="application/json", status=204)
    replayed = app.post("/hooks/render", body, headers=headers, content_type="application/json", status=401)
    assert replayed.json["code"] == "invalid_signature"


def test_message_without_a_valid_signature_is_rejected(app: TestApp, services: Services, make: Factory) -> None:
    run = start_run(make)
    message = failed_report(run)
    forged = sign("a guess", message.model_dump_json())
    for headers in (forged, {"webhook-signature": "v1,AA=="}, {"webhook-timestamp": "0"}, {"webhook-id": ""}):
        assert send(app, services, message, status=401, **headers).json["code"] == "invalid_signature"
    app.post("/hooks/render", message.model_dump_json(), content_type="application/json", status=401)
    assert make.reload(run).failed == 0


def test_run_of_another_workspace_is_not_found(app: TestApp, services: Services, make: Factory) -> None:
    run, other = start_run(make), make.workspace()
    request = SpecificationRequest(workspace_id=other.id, run_id=run.id, chunk=0)
    assert send(app, services, request, status=404).json["code"] == "not_found"


def test_unknown_content_is_rejected(app: TestApp, services: Services) -> None:
    for content in ("{}", "[]", '{"type": "order"}', json.dumps({"type": "report", "results": []}), "nonsense"):
        assert send(app, services, content, status=422).json["code"] == "invalid"


def test_chunk_is_requeued_behind_its_run(app: TestApp, services: Services, make: Factory) -> None:
    run = start_run(make)
    send(app, services, RequeueRequest(workspace_id=run.workspace_id, run_id=run.id, chunk=0), status=204)
    with make.database.transaction() as db:
        jobs = "SELECT args ->> 'chunk', priority FROM procrastinate_jobs WHERE queue_name = 'render' ORDER BY id"
        first, second = db.connection().exec_driver_sql(jobs).all()
    assert first[0] == second[0] == "0"
    assert second[1] < first[1]


def test_image_is_stored_by_the_web_application(app: TestApp, services: Services, make: Factory) -> None:
    run = start_run(make)
    assert access(app, services, ObjectSizeRequest(**object_of(run))) == ObjectSize(size=None)
    assert access(app, services, StoreImageRequest(**object_of(run), body=b"an image")) == ObjectSize(size=8)
    assert access(app, services, ObjectSizeRequest(**object_of(run))) == ObjectSize(size=8)
    assert local_bucket(services).get(object_of(run)["key"]) == b"an image"


def test_objects_of_a_finished_run_are_out_of_reach(app: TestApp, services: Services, make: Factory) -> None:
    run = start_run(make)
    with services.database.transaction(run.workspace_id) as db:
        cancel_run(db, db.get_one(Run, (run.workspace_id, run.id)))
    requests = (
        PresignedUrlsRequest(**object_of(run)),
        ObjectSizeRequest(**object_of(run)),
        ReadObjectRequest(**object_of(run, upload_key(run.workspace_id, DIGEST))),
        StoreImageRequest(**object_of(run), body=b"late"),
    )
    for request in requests:
        assert access(app, services, request) == RunFinished()
    send(app, services, failed_report(run), status=204)


def test_messages_about_a_deleted_workspace_are_rejected(app: TestApp, services: Services, make: Factory) -> None:
    run = start_run(make)
    with services.database.transaction(run.workspace_id) as db:
        tombstone_workspace(db, db.get_one(Workspace, run.workspace_id))
    ids = {"workspace_id": run.workspace_id, "run_id": run.id}
    messages = (
        SpecificationRequest(**ids, chunk=0),
        RequeueRequest(**ids, chunk=0),
        failed_report(run),
        ObjectSizeRequest(**object_of(run)),
        StoreImageRequest(**object_of(run), body=b"late"),
    )
    for message in messages:
        assert send(app, services, message, status=404).json["code"] == "not_found"


def test_upload_is_read_through_the_web_application(app: TestApp, services: Services, make: Factory) -> None:
    run = start_run(make)
    key = upload_key(run.workspace_id, DIGEST)
    assert access(app, services, ReadObjectRequest(**object_of(run, key))) == ObjectBody(body=None)
    local_bucket(services).put(key, b"\xff\xd8 a photo", content_type="image/jpeg")
    assert access(app, services, ReadObjectRequest(**object_of(run, key))) == ObjectBody(body=b"\xff\xd8 a photo")


def test_uploads_cannot_be_overwritten(app: TestApp, services: Services, make: Factory) -> None:
    run = start_run(make)
    message = StoreImageRequest(**object_of(run), body=b"x").model_dump(mode="json")
    message["key"] = upload_key(run.workspace_id, DIGEST)
    assert send(app, services, json.dumps(message), status=422).json["code"] == "invalid"


def test_provider_without_presigned_urls_returns_a_storage_failure(
    app: TestApp, services: Services, make: Factory
) -> None:
    run = start_run(make)
    request = PresignedUrlsRequest(**object_of(run))
    response = access(app, services, request)
    assert isinstance(response, StorageFailure)
    assert not response.is_temporary
    deleted = request.model_copy(update={"run_id": uuid4()})
    assert send(app, services, deleted, status=404).json["code"] == "not_found"


def test_only_images_may_be_large(app: TestApp, services: Services, make: Factory) -> None:
    run = start_run(make)
    body = bytes(MAX_MESSAGE_BYTES)
    assert access(app, services, StoreImageRequest(**object_of(run), body=body)) == ObjectSize(size=len(body))
    padded = failed_report(run).model_dump_json() + " " * MAX_MESSAGE_BYTES
    assert send(app, services, padded, status=413).json["code"] == "body_too_large"
    send(app, services, "x" * (MAX_IMAGE_MESSAGE_BYTES + 1), status=413)


def test_server_accepts_the_largest_image(make: Factory) -> None:
    run = start_run(make)
    largest = StoreImageRequest(**object_of(run), body=bytes(MAX_IMAGE_BYTES)).model_dump_json()
    for ini in ("development.ini", "production.ini", "deploy/container.ini"):
        settings = RawConfigParser()
        settings.read(ROOT / ini)
        limit = settings.getint("server:main", "max_request_body_size")
        assert len(largest) <= MAX_IMAGE_MESSAGE_BYTES < limit

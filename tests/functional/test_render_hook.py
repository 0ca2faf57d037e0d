"""`/hooks/render`, as a worker and as somebody who is none meet it."""

import json
from typing import Any
from uuid import uuid4

from webtest import TestApp

from cwz_web.runs.protocol import ItemResult, PresignedUrlsRequest, Report, SpecificationRequest, sign
from cwz_web.storage.connections import image_key
from cwz_web.web.services import Services
from tests.factories import Factory


def send(app: TestApp, services: Services, message: Any, status: int | None = None, **headers: str) -> Any:
    body = message if isinstance(message, str) else message.model_dump_json()
    signed = sign(services.settings.secrets.render.get_secret_value(), body) | headers
    return app.post("/hooks/render", body, headers=signed, content_type="application/json", status=status)


def test_a_chunk_is_told_and_reported(app: TestApp, services: Services, make: Factory) -> None:
    space = make.workspace()
    run = make.run(make.feed(space), make.template(space))
    told = send(app, services, SpecificationRequest(workspace_id=space.id, run_id=run.id, chunk=0)).json
    assert [item["data"]["title"] for item in told["items"]] == ["One", "Two", "Three"]
    assert told["places"][0]["provider"] == "local"
    send(
        app,
        services,
        Report(workspace_id=space.id, run_id=run.id, results=(ItemResult(position=1, error="no"),)),
        status=204,
    )
    assert make.reload(run).failed == 1


def test_a_message_that_comes_again_is_refused(app: TestApp, services: Services, make: Factory) -> None:
    space = make.workspace()
    run = make.run(make.feed(space), make.template(space))
    body = Report(workspace_id=space.id, run_id=run.id, results=(ItemResult(position=1, error="no"),)).model_dump_json()
    headers = sign(services.settings.secrets.render.get_secret_value(), body)
    app.post("/hooks/render", body, headers=headers, content_type="application/json", status=204)
    replayed = app.post("/hooks/render", body, headers=headers, content_type="application/json", status=401)
    assert replayed.json["code"] == "invalid_signature"


def test_whoever_does_not_know_the_secret_is_refused_and_nothing_happens(
    app: TestApp, services: Services, make: Factory
) -> None:
    space = make.workspace()
    run = make.run(make.feed(space), make.template(space))
    message = Report(workspace_id=space.id, run_id=run.id, results=(ItemResult(position=1, error="no"),))
    forged = sign("a guess", message.model_dump_json())
    for headers in (forged, {"webhook-signature": "v1,AA=="}, {"webhook-timestamp": "0"}, {"webhook-id": ""}):
        assert send(app, services, message, status=401, **headers).json["code"] == "invalid_signature"
    app.post("/hooks/render", message.model_dump_json(), content_type="application/json", status=401)
    assert make.reload(run).failed == 0


def test_a_run_of_another_workspace_is_not_there(app: TestApp, services: Services, make: Factory) -> None:
    space, other = make.workspace(), make.workspace()
    run = make.run(make.feed(space), make.template(space))
    ask = SpecificationRequest(workspace_id=other.id, run_id=run.id, chunk=0)
    assert send(app, services, ask, status=404).json["code"] == "not_found"


def test_odd_content_is_refused_although_it_is_signed(app: TestApp, services: Services) -> None:
    for odd in ("{}", "[]", '{"type": "order"}', json.dumps({"type": "report", "results": []}), "nonsense"):
        assert send(app, services, odd, status=422).json["code"] == "invalid"


def test_where_no_address_can_be_signed_the_answer_says_why(app: TestApp, services: Services, make: Factory) -> None:
    space = make.workspace()
    run = make.run(make.feed(space), make.template(space))
    ask = PresignedUrlsRequest(
        workspace_id=space.id,
        run_id=run.id,
        connection_id=run.connection_id,
        key=image_key(space.id, "0" * 64, "jpg"),
    )
    told = send(app, services, ask).json
    assert told["passing"] is False
    assert "signed address" in told["message"]
    gone = ask.model_copy(update={"run_id": uuid4()})
    assert send(app, services, gone, status=404).json["code"] == "not_found"

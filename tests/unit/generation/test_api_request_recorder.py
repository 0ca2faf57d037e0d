"""The log of API requests: what is recorded, dropped and found."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select
from uuid_utils.compat import uuid7

from cwz_web.db.pagination import first_id
from cwz_web.generation import api_request_list, api_request_recorder
from cwz_web.generation.api_request_list import find_requests
from cwz_web.generation.api_request_recorder import ApiRequestRecorder, RecordedRequest
from cwz_web.generation.models import ApiKey, ApiRequest
from cwz_web.metrics import API_REQUESTS_UNLOGGED
from cwz_web.workspaces.models import Workspace
from tests.factories import Factory


def key_of(make: Factory, space: Workspace) -> UUID:
    make.key(space)
    with make.database.transaction(space.id) as db:
        return db.scalars(select(ApiKey.id)).all()[-1]


def recorded(space: Workspace, key: UUID, path: str = "/v1/images", **values: Any) -> RecordedRequest:
    defaults = {"created_at": datetime.now(UTC), "method": "POST", "status": 200, "milliseconds": 7}
    return RecordedRequest(workspace_id=space.id, id=uuid7(), key_id=key, path=path, **(defaults | values))


def dropped(reason: str) -> float:
    return API_REQUESTS_UNLOGGED.labels(reason)._value.get()


def test_requests_are_written_when_the_recorder_stops(make: Factory) -> None:
    one, other = make.workspace(), make.workspace()
    recorder = ApiRequestRecorder(make.database)
    with recorder.running():
        recorder.add(recorded(one, key_of(make, one), status=422, code="invalid", errors={"data": "Unknown"}))
        recorder.add(recorded(other, key_of(make, other)))
    with make.database.transaction(one.id) as db:
        [request] = db.scalars(select(ApiRequest))
    assert (request.status, request.code, request.errors) == (422, "invalid", {"data": "Unknown"})
    assert make.count(ApiRequest, other.id) == 1


def test_what_is_too_much_is_dropped_and_counted(make: Factory, monkeypatch: pytest.MonkeyPatch) -> None:
    space, other = make.workspace(), make.workspace()
    key, at = key_of(make, space), datetime(2026, 11, 30, 12, tzinfo=UTC)
    monkeypatch.setattr(api_request_recorder, "MAX_PER_MINUTE", 2)
    recorder, before = ApiRequestRecorder(make.database), dropped("rate")
    for _ in range(3):
        recorder.add(recorded(space, key, created_at=at))
        recorder.add(recorded(space, key, created_at=at, status=500))
    assert dropped("rate") == before + 2, "errors count apart"
    recorder.add(recorded(space, key, created_at=at + timedelta(minutes=1)))
    monkeypatch.setattr(api_request_recorder, "MAX_PENDING", 5)
    before = dropped("queue")
    recorder.add(recorded(other, key_of(make, other), created_at=at + timedelta(minutes=1)))
    assert dropped("queue") == before + 1
    recorder.flush()
    assert (make.count(ApiRequest, space.id), make.count(ApiRequest, other.id)) == (5, 0)


def test_rows_that_cannot_be_written_stop_no_others(make: Factory) -> None:
    space, other = make.workspace(), make.workspace()
    key = key_of(make, space)
    recorder, before = ApiRequestRecorder(make.database), dropped("database")
    recorder.add(recorded(other, key))
    recorder.add(recorded(space, key))
    recorder.flush()
    assert dropped("database") == before + 1, "the key is of another workspace"
    assert make.count(ApiRequest, space.id) == 1


def test_requests_are_searched_filtered_and_paged(make: Factory, monkeypatch: pytest.MonkeyPatch) -> None:
    space = make.workspace()
    key, other_key = key_of(make, space), key_of(make, space)
    recorder = ApiRequestRecorder(make.database)
    old = recorded(space, key, "/v1/feeds/1_%", method="GET")._replace(
        id=first_id(datetime.now(UTC) - timedelta(hours=2))
    )
    failed, unknown = recorded(space, other_key, status=503), recorded(space, key, status=404)
    for each in (old, failed, unknown):
        recorder.add(each)
    recorder.flush()

    def found(**filters: Any) -> list[UUID]:
        with make.database.transaction(space.id) as db:
            return [request.id for request in find_requests(db, space.id, **filters).rows]

    assert found() == [unknown.id, failed.id, old.id]
    assert found(search="1_%") == [old.id]
    assert found(search=f"req_{failed.id.hex}") == [failed.id]
    assert (found(status="success"), found(status="server")) == ([old.id], [failed.id])
    assert (found(status="client"), found(status="error")) == ([unknown.id], [unknown.id, failed.id])
    assert (found(key_id=other_key), found(method="GET")) == ([failed.id], [old.id])
    assert (found(period="hour"), found(period="day")) == ([unknown.id, failed.id], [unknown.id, failed.id, old.id])
    monkeypatch.setattr(api_request_list, "REQUEST_PAGE", 2)
    with make.database.transaction(space.id) as db:
        page = find_requests(db, space.id)
    assert (page.count, found(after=page.next_after)) == (3, [old.id])

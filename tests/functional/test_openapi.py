"""The OpenAPI document: it has every operation, and responses match its schemas."""

import json
import re
from typing import Any
from unittest.mock import Mock

import jsonschema
import psycopg
import pytest
from pyramid.router import Router
from sqlalchemy.exc import OperationalError
from webtest import TestApp

from cwz_web.api.openapi import OPERATIONS, document
from cwz_web.generation.api_keys import Scope
from cwz_web.resources.permissions import API_PERMISSIONS, SCOPE_PERMISSIONS
from tests.factories import Factory
from tests.functional.test_access import SampleWorkspace, all_pages


@pytest.fixture(scope="module")
def api_document() -> dict[str, Any]:
    return document("https://site.example")


def schema_of(api_document: dict[str, Any], path: str, method: str, status: int, content_type: str) -> Any:
    answers = api_document["paths"][path][method]["responses"]
    answer = answers.get(str(status), answers["default"])
    assert content_type in answer["content"], f"{method} {path}: {status} {content_type}"
    return {"$ref": answer["content"][content_type]["schema"]["$ref"], "components": api_document["components"]}


def test_every_view_of_the_api_is_documented_with_its_scope(wsgi: Router, place: SampleWorkspace) -> None:
    in_document = {(o.method, re.sub(r"\{\w+\}", "{}", o.path), SCOPE_PERMISSIONS[o.scope]) for o in OPERATIONS}
    names = {place.feed_id, *(path.rpartition("/")[2] for path in place.paths.values())}
    views = set()
    for page in all_pages(wsgi):
        if page.permission in API_PERMISSIONS:
            path = place.path(page).removeprefix("/v1").partition("?")[0]
            parts = [
                "{}" if re.fullmatch(r"[0-9a-f-]{36}|1", part) and part in names else part for part in path.split("/")
            ]
            views.add((page.method.lower(), "/".join(parts), page.permission))
    assert views == in_document


@pytest.fixture
def place(make: Factory) -> SampleWorkspace:
    return SampleWorkspace(make)


def test_document_is_public(app: TestApp) -> None:
    answer = app.get("/v1/openapi.json")
    assert answer.content_type == "application/json"
    assert answer.json["openapi"] == "3.1.0"
    assert answer.json["servers"] == [{"url": "http://localhost/v1"}]


def test_document_is_available_while_the_database_is_not(
    app: TestApp, make: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    unreachable = OperationalError("", {}, psycopg.OperationalError("unreachable"))
    monkeypatch.setattr(make.services.database, "query_one", Mock(side_effect=unreachable))
    headers = {"Authorization": f"Bearer cwz_live_{'a' * 43}"}
    app.get("/v1/openapi.json", headers=headers, status=200)
    assert app.get("/v1/usage", headers=headers, status=503).json["code"] == "unavailable"


def test_schemas_are_valid(api_document: dict[str, Any]) -> None:
    for schema in api_document["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)
    references = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(api_document)))
    assert references <= set(api_document["components"]["schemas"])


def test_responses_match_their_schemas(app: TestApp, place: SampleWorkspace, api_document: dict[str, Any]) -> None:
    """Call every operation with a valid body, with an invalid one, and without."""
    key = place.make.key(place.space, Scope.ADMIN)
    feed, template = place.feed_id, place.rows["templates"]
    ids = {"/feeds": feed, "/templates": template, "/runs": place.rows["runs"], "/images": place.rows["images"]}
    bodies: dict[str, Any] = {
        "/images": {"template": template},
        "/feeds": {"name": "New"},
        "/feeds/{id}/items": {"items": [{"key": "x", "data": {"title": "X"}}]},
        "/feeds/{id}/remove": {"keys": ["x"]},
        "/feeds/{id}/items/{key}": {"data": {"title": "X"}},
        "/feeds/{id}/formats": {"formats": {"title": {"decimal": "comma"}}},
        "/runs": {"feed": feed, "template": template},
    }
    headers = {"Authorization": f"Bearer {key}", "Accept": "application/json", "Content-Type": "application/json"}
    statuses = set()
    for operation in OPERATIONS:
        path = operation.path.format(id=ids.get("/" + operation.path.split("/")[1]), key="1", number="1")
        for body in (bodies.get(operation.path), {"odd": 1}, None):
            if operation.method == "get" and body is not None:
                continue
            payload = (
                b"sku,title\n1,One\n2,Two\n3,Three\n"
                if operation.accepts_file and body is None
                else json.dumps(body).encode()
            )
            extra = {} if operation.method in ("get", "delete") else {"body": payload}
            answer = app.request(f"/v1{path}", method=operation.method.upper(), headers=headers, status="*", **extra)
            statuses.add(answer.status_int)
            assert answer.status_int < 500, f"{operation.method} {path}"
            if answer.status_int != 204:
                schema = schema_of(
                    api_document, operation.path, operation.method, answer.status_int, answer.content_type
                )
                jsonschema.validate(answer.json, schema)
            if answer.status_int < 400:
                assert answer.status_int in operation.responses, f"{operation.method} {path}: {answer.status_int}"
    assert {200, 201, 202, 204, 404, 422} <= statuses


def test_run_is_started_followed_canceled_and_retried(app: TestApp, place: SampleWorkspace) -> None:
    headers = {"Authorization": f"Bearer {place.make.key(place.space, Scope.GENERATE, Scope.READ)}"}
    body = {"feed": place.feed_id, "template": "card", "mapping": {"title": "sku"}}
    response = app.post_json("/v1/runs", body, headers=headers, status=201)
    here = response.location.removeprefix("http://localhost")
    assert response.json.items() <= app.get(here, headers=headers).json.items()
    assert (response.json["total"], response.json["done"]) == (3, 0)
    used = app.get("/v1/usage", headers=headers).json
    assert (used["key_used"], used["limit"]) == (3, None)
    canceled = app.post(f"{here}/cancel", headers=headers).json
    assert (canceled["canceled"], canceled["failed"]) == (True, 3)
    assert app.get("/v1/usage", headers=headers).json["key_used"] == 0
    items = app.get(f"{here}/items?limit=2", headers=headers).json
    assert [(item["key"], item["state"], item["url"]) for item in items["items"]] == [
        ("1", "failed", None),
        ("2", "failed", None),
    ]
    assert [item["key"] for item in app.get(f"{here}/items?after={items['next']}", headers=headers).json["items"]] == [
        "3"
    ]
    resumed = app.post(f"{here}/retry", headers=headers).json
    assert (resumed["canceled"], resumed["failed"], resumed["finished_at"]) == (False, 0, None)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"feed": "0190b0a0-0000-7000-8000-000000000001"}, "feed"),
        ({"template": "none"}, "template"),
        ({"mapping": {"color": "title"}}, "mapping.color"),
        ({"mapping": {"title": "color"}}, "mapping.title"),
        ({"scale": 4}, "scale"),
    ],
)
def test_invalid_run_names_the_field(app: TestApp, place: SampleWorkspace, body: dict[str, Any], field: str) -> None:
    headers = {"Authorization": f"Bearer {place.make.key(place.space, Scope.GENERATE)}"}
    body = {"feed": place.feed_id, "template": "card"} | body
    assert field in app.post_json("/v1/runs", body, headers=headers, status=422).json["errors"]


def test_run_beyond_the_quota_of_the_key_is_rejected(app: TestApp, place: SampleWorkspace) -> None:
    headers = {"Authorization": f"Bearer {place.make.key(place.space, Scope.GENERATE, images_per_month=2)}"}
    body = {"feed": place.feed_id, "template": "card", "mapping": {"title": "sku"}}
    assert app.post_json("/v1/runs", body, headers=headers, status=402).json["code"] == "quota_exceeded"


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", "/v1/usage", {"GET", "HEAD"}),
        ("DELETE", "/v1/runs", {"GET", "HEAD", "POST"}),
        ("GET", "/v1/runs/plan", {"POST"}),
        ("PATCH", "/v1/openapi.json", {"GET", "HEAD"}),
    ],
)
def test_unsupported_method_gets_the_allowed_ones(
    app: TestApp, place: SampleWorkspace, method: str, path: str, allowed: set[str]
) -> None:
    headers = {"Authorization": f"Bearer {place.make.key(place.space, Scope.ADMIN)}"}
    answer = app.request(path, method=method, headers=headers, status=405)
    assert answer.json["code"] == "method_not_allowed"
    assert set(answer.headers["Allow"].split(", ")) == allowed
    assert app.request(path, method=method, status="*").status_int in (401, 405)


def test_trace_is_not_allowed(app: TestApp) -> None:
    assert "GET" in app.request("/v1/usage", method="TRACE", status=405).headers["Allow"]

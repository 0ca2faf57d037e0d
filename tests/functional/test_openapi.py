"""The OpenAPI document: every operation is in it, and what comes back is what it says."""

import json
import re
from typing import Any

import jsonschema
import psycopg
import pytest
from pyramid.router import Router
from webtest import TestApp

from cwz_web.api.openapi import OPERATIONS, document
from cwz_web.generation.api_keys import Scope
from cwz_web.resources.permissions import API_PERMISSIONS, SCOPE_PERMISSIONS
from tests.factories import Factory
from tests.functional.test_access import Place, all_pages


@pytest.fixture(scope="module")
def api_document() -> dict[str, Any]:
    return document("https://site.example")


def schema_of(api_document: dict[str, Any], path: str, method: str, status: int, content_type: str) -> Any:
    answers = api_document["paths"][path][method]["responses"]
    answer = answers.get(str(status), answers["default"])
    assert content_type in answer["content"], f"{method} {path}: {status} {content_type}"
    return {"$ref": answer["content"][content_type]["schema"]["$ref"], "components": api_document["components"]}


def test_every_view_of_the_api_is_in_it_with_its_scope(wsgi: Router, place: Place) -> None:
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
def place(make: Factory) -> Place:
    return Place(make)


def test_it_is_there_for_everybody(app: TestApp) -> None:
    answer = app.get("/v1/openapi.json")
    assert answer.content_type == "application/json"
    assert answer.json["openapi"] == "3.1.0"
    assert answer.json["servers"] == [{"url": "http://localhost/v1"}]


def test_it_is_there_with_a_key_when_nobody_can_be_asked_whose_it_is(
    app: TestApp, make: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable() -> None:
        raise psycopg.OperationalError("nobody there")

    monkeypatch.setattr(make.services.database, "_take_idle", unreachable)
    headers = {"Authorization": f"Bearer cwz_live_{'a' * 43}"}
    app.get("/v1/openapi.json", headers=headers, status=200)
    assert app.get("/v1/usage", headers=headers, status=503).json["code"] == "unavailable"


def test_its_schemas_are_schemas(api_document: dict[str, Any]) -> None:
    for schema in api_document["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)
    references = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(api_document)))
    assert references <= set(api_document["components"]["schemas"])


def test_what_is_answered_is_what_it_says(app: TestApp, place: Place, api_document: dict[str, Any]) -> None:
    """Every operation, with a sample of what it needs, and without."""
    key = place.make.key(place.space, Scope.ADMIN)
    feed, template = place.feed_id, place.rows["templates"]
    ids = {"/feeds": feed, "/templates": template, "/runs": place.rows["runs"], "/images": place.rows["images"]}
    bodies: dict[str, Any] = {
        "/images": {"template": template},
        "/feeds": {"name": "New"},
        "/feeds/{id}/items": {"items": [{"key": "x", "data": {"title": "X"}}]},
        "/feeds/{id}/remove": {"keys": ["x"]},
        "/feeds/{id}/items/{key}": {"data": {"title": "X"}},
        "/runs": {"feed": feed, "template": template},
    }
    headers = {"Authorization": f"Bearer {key}", "Accept": "application/json", "Content-Type": "application/json"}
    statuses = set()
    for operation in OPERATIONS:
        path = operation.path.format(id=ids.get("/" + operation.path.split("/")[1]), key="1", number="1")
        for body in (bodies.get(operation.path), {"odd": 1}, None):
            if operation.method == "get" and body is not None:
                continue
            sent = (
                b"sku,title\n1,One\n2,Two\n3,Three\n"
                if operation.takes_file and body is None
                else json.dumps(body).encode()
            )
            extra = {} if operation.method in ("get", "delete") else {"body": sent}
            answer = app.request(f"/v1{path}", method=operation.method.upper(), headers=headers, status="*", **extra)
            statuses.add(answer.status_int)
            assert answer.status_int < 500, f"{operation.method} {path}"
            if answer.status_int != 204:
                about = schema_of(
                    api_document, operation.path, operation.method, answer.status_int, answer.content_type
                )
                jsonschema.validate(answer.json, about)
            if answer.status_int < 400:
                assert answer.status_int in operation.answers, f"{operation.method} {path}: {answer.status_int}"
    assert {200, 201, 202, 204, 404, 422} <= statuses


def test_a_run_is_begun_followed_cancelled_and_resumed_by_a_program(app: TestApp, place: Place) -> None:
    headers = {"Authorization": f"Bearer {place.make.key(place.space, Scope.GENERATE, Scope.READ)}"}
    wanted = {"feed": place.feed_id, "template": "card", "mapping": {"title": "sku"}}
    begun = app.post_json("/v1/runs", wanted, headers=headers, status=201)
    here = begun.location.removeprefix("http://localhost")
    assert begun.json.items() <= app.get(here, headers=headers).json.items()
    assert (begun.json["total"], begun.json["done"]) == (3, 0)
    used = app.get("/v1/usage", headers=headers).json
    assert (used["key_used"], used["cap"]) == (3, None)
    cancelled = app.post(f"{here}/cancel", headers=headers).json
    assert (cancelled["cancelled"], cancelled["failed"]) == (True, 3)
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
    assert (resumed["cancelled"], resumed["failed"], resumed["ended_at"]) == (False, 0, None)


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
def test_a_run_that_can_not_be_names_the_field(app: TestApp, place: Place, body: dict[str, Any], field: str) -> None:
    headers = {"Authorization": f"Bearer {place.make.key(place.space, Scope.GENERATE)}"}
    wanted = {"feed": place.feed_id, "template": "card"} | body
    assert field in app.post_json("/v1/runs", wanted, headers=headers, status=422).json["errors"]


def test_a_run_beyond_the_keys_cap_is_refused_whole(app: TestApp, place: Place) -> None:
    headers = {"Authorization": f"Bearer {place.make.key(place.space, Scope.GENERATE, images_per_month=2)}"}
    wanted = {"feed": place.feed_id, "template": "card", "mapping": {"title": "sku"}}
    assert app.post_json("/v1/runs", wanted, headers=headers, status=402).json["code"] == "cap_reached"


@pytest.mark.parametrize(
    ("method", "path", "takes"),
    [
        ("POST", "/v1/usage", {"GET", "HEAD"}),
        ("DELETE", "/v1/runs", {"GET", "HEAD", "POST"}),
        ("GET", "/v1/runs/plan", {"POST"}),
        ("PATCH", "/v1/openapi.json", {"GET", "HEAD"}),
    ],
)
def test_a_method_that_an_address_does_not_take_is_told_those_that_it_does(
    app: TestApp, place: Place, method: str, path: str, takes: set[str]
) -> None:
    headers = {"Authorization": f"Bearer {place.make.key(place.space, Scope.ADMIN)}"}
    answer = app.request(path, method=method, headers=headers, status=405)
    assert answer.json["code"] == "method_not_allowed"
    assert set(answer.headers["Allow"].split(", ")) == takes
    assert app.request(path, method=method, status="*").status_int in (401, 405)


def test_no_address_takes_trace(app: TestApp) -> None:
    assert "GET" in app.request("/v1/usage", method="TRACE", status=405).headers["Allow"]

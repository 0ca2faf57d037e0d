"""The OpenAPI document: it has every operation, and responses match its schemas."""

import json
import re
from typing import Any
from unittest.mock import Mock
from uuid import uuid4

import jsonschema
import psycopg
import pytest
from pyramid.router import Router
from sqlalchemy import select
from sqlalchemy.exc import OperationalError
from webtest import TestApp

from cwz_web.api.feeds import MAX_ITEMS_BODY
from cwz_web.api.openapi import OPERATIONS, Operation, document
from cwz_web.api.problem_codes import PROBLEM_STATUSES
from cwz_web.generation.api_keys import Scope
from cwz_web.notify.models import WebhookDelivery
from cwz_web.notify.webhooks import Event
from cwz_web.resources.permissions import API_PERMISSIONS, SCOPE_PERMISSIONS
from cwz_web.views.errors import DEFAULT_PROBLEMS
from cwz_web.web.request_parser import PROBLEM_CODES
from tests.factories import Factory
from tests.functional.test_access import SampleWorkspace, all_pages
from tests.installation import ROOT

# Codes of pages; problems that take two requests at once, another plan or a fault; members that are enumerations.
OF_PAGES = {"bad_csrf", "own_credentials_required"}
RARE = {
    "bad_request",
    "busy",
    "conflict",
    "idempotency_key_reused",
    "internal_error",
    "read_only",
    "request_in_flight",
}
ENUMERATED = {"state", "type", "code", "format", "chroma", "on_missing_photo"}


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
    campaign, channel = place.rows["campaigns"], place.rows["channels"]
    ids = {
        "/campaigns": campaign,
        "/feeds": feed,
        "/templates": template,
        "/runs": place.rows["runs"],
        "/images": place.rows["images"],
    }
    bodies: dict[str, Any] = {
        "/images": {"template": template},
        "/templates/{id}/preview": {"width": 100},
        "/feeds": {"name": "New"},
        "/feeds/{id}/items": {"items": [{"key": "x", "data": {"title": "X"}}]},
        "/feeds/{id}/remove": {"keys": ["x"]},
        "/feeds/{id}/items/{key}": {"data": {"title": "X"}},
        "/feeds/{id}/formats": {"formats": {"title": {"decimal": "comma"}}},
        "/runs": {"feed": feed, "template": template},
        "/campaigns": {"name": "New", "feed": feed, "rules": [{"name": "All", "designs": [{"template": template}]}]},
        "/campaigns/{id}": {"name": "Other"},
        "/campaigns/{id}/channels": {"name": "Shop", "preset": "generic"},
        "/campaigns/{id}/channels/{channel}": {"name": "Other", "gzip": True},
        "/campaigns/{id}/publications/{number}/decisions": {"verdict": "accept"},
    }
    headers = {"Authorization": f"Bearer {key}", "Accept": "application/json", "Content-Type": "application/json"}
    statuses = set()
    for operation in OPERATIONS:
        path = operation.path.format(
            id=ids.get("/" + operation.path.split("/")[1]), key="1", number="1", channel=channel
        )
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
            if operation.returns_image and answer.status_int == 200:
                entry = api_document["paths"][operation.path][operation.method]
                assert answer.content_type in entry["responses"]["200"]["content"]
            elif answer.status_int != 204:
                schema = schema_of(
                    api_document, operation.path, operation.method, answer.status_int, answer.content_type
                )
                jsonschema.validate(answer.json, schema)
            if answer.status_int < 400:
                assert answer.status_int in operation.responses, f"{operation.method} {path}: {answer.status_int}"
            else:
                assert answer.json["code"] in operation.problem_codes[answer.status_int], f"{operation.method} {path}"
    assert {200, 201, 202, 204, 404, 422} <= statuses


class Prober:
    """Sends wrong requests to every operation, and checks that their problems are in the document."""

    def __init__(self, app: TestApp, place: SampleWorkspace) -> None:
        self.app, self.place = app, place
        self.found: set[tuple[str, str, str]] = set()

    def probe(self, code: str, operation: Operation, *, query: str = "", ids: bool = True, **more: Any) -> None:
        collection = operation.path.split("/")[1].replace("image-requests", "image_requests")
        row_id = (self.place.rows | {"image_requests": self.place.image_run_id}).get(collection) if ids else uuid4()
        channel = self.place.rows["channels"]
        path = f"/v1{operation.path.format(id=row_id, key='1', number='1', channel=channel)}{query}"
        headers = {"Content-Type": "application/json"} | more.pop("headers")
        extra = {} if operation.method in ("get", "delete") else {"body": b"{}"} | more
        answer = self.app.request(path, method=operation.method.upper(), headers=headers, status="*", **extra)
        problem = answer.json["code"]
        assert problem == code, f"{operation.method} {path}: {answer.text}"
        assert problem in operation.problem_codes[answer.status_int]
        self.found.add((operation.method, operation.path, problem))


def test_every_operation_answers_with_its_documented_problems(
    app: TestApp, place: SampleWorkspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def key(*scopes: Scope, **terms: Any) -> dict[str, str]:
        return {"Authorization": f"Bearer {place.make.key(place.space, *scopes, **terms)}"}

    prober, admin, one_request = Prober(app, place), key(Scope.ADMIN), key(Scope.ADMIN, requests_per_minute=1)
    app.get("/v1/usage", headers=one_request)
    others = {scope: key(*(set(Scope) - {scope, Scope.ADMIN})) for scope in Scope}
    on_page = key(Scope.ADMIN, origins=["https://shop.example"])
    for operation in OPERATIONS:
        prober.probe("unauthorized", operation, headers={})
        prober.probe("forbidden", operation, headers=others[operation.scope])
        prober.probe("origin_not_allowed", operation, headers=on_page)
        prober.probe("too_many_requests", operation, headers=one_request)
        if "{" in operation.path:
            prober.probe("not_found", operation, headers=admin, ids=False)
        if operation.method == "post":
            prober.probe("invalid_idempotency_key", operation, headers=admin | {"Idempotency-Key": " "})
        if operation.is_paginated:
            prober.probe("invalid", operation, headers=admin, query="?limit=0")
        if operation.body:
            prober.probe("invalid", operation, headers=admin, body=b'{"odd": 1}')
            prober.probe("invalid_json", operation, headers=admin, body=b"{")
            prober.probe("invalid_characters", operation, headers=admin, body=b'{"odd": "\\u0000"}')
            prober.probe("unsupported_media_type", operation, headers=admin | {"Content-Type": "text/plain"})
            prober.probe("body_too_large", operation, headers=admin, body=b" " * (MAX_ITEMS_BODY + 1))
        if operation.accepts_file:
            prober.probe("invalid", operation, headers=admin, query="?header_row=x")
            with monkeypatch.context() as patch:
                patch.setattr("cwz_web.api.feeds.MAX_BYTES", 1)
                prober.probe("body_too_large", operation, headers=admin)
    unreachable = OperationalError("", {}, psycopg.OperationalError("unreachable"))
    monkeypatch.setattr(place.make.services.database, "query_one", Mock(side_effect=unreachable))
    for operation in OPERATIONS:
        prober.probe("unavailable", operation, headers=admin)
        common = {code for codes in operation.problem_codes.values() for code in codes} - set(operation.problems)
        for code in common - RARE:
            assert (operation.method, operation.path, code) in prober.found


def test_every_problem_of_the_sources_is_documented(api_document: dict[str, Any]) -> None:
    package = ROOT / "cwz_web"
    sources = [
        package / "views/errors.py",
        *package.glob("web/*.py"),
        *(set(package.glob("api/*.py")) - set(package.glob("api/*_hook.py"))),
    ]
    raised = {
        (int(status), code)
        for path in sources
        for status, code in re.findall(r'ProblemError\(\s*(\d+),\s*"(\w+)"', path.read_text())
    }
    raised |= {(status, code) for status, (code, _) in DEFAULT_PROBLEMS.items()} | set(PROBLEM_CODES.items())
    documented = {(status, code) for code, status in PROBLEM_STATUSES.items()}
    assert {(status, code) for status, code in raised if code not in OF_PAGES} == documented
    code = api_document["components"]["schemas"]["ProblemInfo"]["properties"]["code"]
    assert code["enum"] == sorted(PROBLEM_STATUSES)


def test_every_operation_has_its_tag_and_scope(api_document: dict[str, Any]) -> None:
    tags = {tag["name"] for tag in api_document["tags"]}
    assert all(scope in api_document["components"]["securitySchemes"]["key"]["description"] for scope in Scope)
    for operation in OPERATIONS:
        entry = api_document["paths"][operation.path][operation.method]
        assert entry["security"] == [{"key": [operation.scope]}]
        assert set(entry["tags"]) <= tags


def test_members_with_few_values_are_enumerated(api_document: dict[str, Any]) -> None:
    """Names that stand for an enumeration are one in every model; a member with a default is optional."""
    schemas = api_document["components"]["schemas"]
    for name, schema in schemas.items():
        for member, found in schema.get("properties", {}).items():
            assert "default" not in found, f"{name}.{member}"
            if member in ENUMERATED and (name, member) != ("ProblemInfo", "type"):
                text = json.dumps(found)
                references = re.findall(r"#/components/schemas/(\w+)", text)
                is_enumerated = any("enum" in schemas[each] or "properties" in schemas[each] for each in references)
                assert is_enumerated or '"enum"' in text or '"const"' in text, f"{name}.{member}"


def test_fields_with_a_default_are_optional(api_document: dict[str, Any]) -> None:
    schemas = api_document["components"]["schemas"]
    for model in [operation.body for operation in OPERATIONS if operation.body]:
        optional = {name for name, field in model.model_fields.items() if not field.is_required()}
        assert optional.isdisjoint(schemas[model.__name__].get("required", ())), model.__name__


def test_every_event_is_a_webhook_of_the_document(
    app: TestApp, place: SampleWorkspace, api_document: dict[str, Any]
) -> None:
    assert set(api_document["webhooks"]) == set(Event)
    for entry in api_document["webhooks"].values():
        content = entry["post"]["requestBody"]["content"]["application/json"]
        jsonschema.validate(content["example"], content["schema"] | {"components": api_document["components"]})
    place.make.webhook(place.space, "https://shop.example/all", *Event)
    headers = {"Authorization": f"Bearer {place.make.key(place.space, Scope.GENERATE)}"}
    app.post_json("/v1/images", {"template": "card", "metadata": {"order": 1}}, headers=headers, status="2*")
    body = {"feed": place.feed_id, "template": "card", "mapping": {"title": "sku"}, "force": True}
    run = app.post_json("/v1/runs", body, headers=headers, status=201).json["id"]
    app.post(f"/v1/runs/{run}/cancel", headers=headers)
    with place.make.database.transaction(place.space.id) as db:
        messages = [json.loads(body) for body in db.scalars(select(WebhookDelivery.body))]
    assert {message["type"] for message in messages} == {"image.created", "run.failed"}
    for message in messages:
        request = api_document["webhooks"][message["type"]]["post"]["requestBody"]
        schema = request["content"]["application/json"]["schema"] | {"components": api_document["components"]}
        jsonschema.validate(message, schema)


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

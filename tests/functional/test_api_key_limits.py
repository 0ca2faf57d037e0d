"""Limits of API keys (quota, rate, origins, expiry, template), CORS, and idempotency keys."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import Mock

import pytest
from pyramid.router import Router
from sqlalchemy.exc import OperationalError
from webtest import TestApp

from cwz_web.api import idempotency
from cwz_web.api.on_demand import OnDemandRendering
from cwz_web.generation.api_keys import Scope, revoke_key, rotate_key
from cwz_web.generation.models import ApiKey, IdempotencyKey, Image
from cwz_web.generation.usage import QuotaExceededError, monthly_usage
from cwz_web.imaging.composition import RenderedImage
from tests.factories import Factory, api, sign_in, small_document


class Program:
    """An API client with a key, in a workspace with a template."""

    def __init__(self, wsgi: Any, make: Factory, *scopes: Scope, **terms: Any) -> None:
        self.make, self.wsgi = make, wsgi
        self.space = make.workspace()
        self.template = make.template(self.space)
        self.plain = make.key(self.space, *scopes, **terms)

    def post(self, title: str = "Hello", status: int | None = None, accept: str = "image/png", **headers: str) -> Any:
        body = {"template": self.template.slug, "data": {"title": title}}
        return self.send(body, status, Accept=accept, **headers)

    def send(self, body: Any, status: int | None = None, path: str = "/v1/images", **headers: str) -> Any:
        all_headers = {"Authorization": f"Bearer {self.plain}", "Content-Type": "application/json", "Accept": "image/*"}
        all_headers |= headers
        all_headers = {name.replace("_", "-"): value for name, value in all_headers.items()}
        return TestApp(self.wsgi).post(path, json.dumps(body), headers=all_headers, status=status or "*")

    @property
    def used(self) -> int:
        with self.make.database.transaction(self.space.id) as db:
            return monthly_usage(db, self.space.id, self.space.id)

    @property
    def row(self) -> ApiKey:
        with self.make.database.transaction(self.space.id) as db:
            return db.query(ApiKey).one()


def test_60_concurrent_requests_with_a_quota_of_30_get_30_images(wsgi: Router, make: Factory) -> None:
    """tests/unit/generation/test_usage.py counts 200 concurrent images."""
    program = Program(wsgi, make, images_per_month=30)
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda number: program.post(f"Number {number}").status_int, range(60)))
    assert (answers.count(200), answers.count(402)) == (30, 30)
    assert program.used == 30
    rejected = program.post("One more", 402)
    assert rejected.json["code"] == "quota_exceeded"
    assert "30 images per month" in rejected.json["detail"]


def test_every_response_header_appears_once(wsgi: Router, make: Factory) -> None:
    program = Program(wsgi, make, requests_per_minute=3)
    answers = [program.post("Same", 200, Idempotency_Key="once") for _ in range(2)]
    answers += [program.post("Same", 200), program.post("Same", 429)]
    answers += [TestApp(wsgi).get(path, status="*") for path in ("/", "/v1/openapi.json", "/nothing", "/i/x.png")]
    for answer in answers:
        names = [name.lower() for name, _ in answer.headerlist if name != "Set-Cookie"]
        assert len(names) == len(set(names)), names


def test_failed_and_cached_images_do_not_count(wsgi: Router, make: Factory) -> None:
    program = Program(wsgi, make)
    first, again = program.post("Same", 200), program.post("Same", 200)
    assert [answer.headers["Cached"] for answer in (first, again)] == ["false", "true"]
    program.send({"template": program.template.slug, "data": {"nothing": "x"}}, 422)
    assert program.used == 1
    stored, known = (program.post("Kept", accept="application/json").json for _ in range(2))
    assert [stored["cached"], known["cached"], stored["id"] == known["id"]] == [False, True, True]
    assert program.used == 2


def test_image_that_fails_does_not_count(wsgi: Router, make: Factory, monkeypatch: pytest.MonkeyPatch) -> None:
    program = Program(wsgi, make, images_per_month=1)
    with monkeypatch.context() as broken:
        broken.setattr("cwz_web.imaging.composition.encode", Mock(side_effect=MemoryError))
        program.post("Large", 500)
    assert program.used == 0
    program.post("Large", 200)
    program.post("Another", 402)


def test_image_that_cannot_be_counted_is_neither_delivered_nor_cached(
    wsgi: Router, make: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = Program(wsgi, make)
    with monkeypatch.context() as broken:
        broken.setattr("cwz_web.api.on_demand.count", Mock(side_effect=QuotaExceededError("used up")))
        program.post("Late", 402)
        broken.setattr("cwz_web.api.on_demand.count", Mock(side_effect=OperationalError("", {}, Exception())))
        program.post("Late", 503)
    assert program.used == 0
    assert program.post("Late", 200).headers["Cached"] == "false"
    assert program.used == 1


def test_counted_image_is_delivered_although_its_response_cannot_be_stored(
    wsgi: Router, make: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = Program(wsgi, make)
    monkeypatch.setattr("cwz_web.api.idempotency._store", Mock(side_effect=OperationalError("", {}, Exception())))
    program.post("Once", 200, Idempotency_Key="a")
    assert program.used == 1


def test_cached_and_stored_images_are_served_at_the_quota(wsgi: Router, make: Factory) -> None:
    program = Program(wsgi, make, images_per_month=2)
    program.post("One", 200)
    program.post("Two", 201, accept="application/json")
    program.post("Three", 402)
    program.post("Three", 402, accept="application/json")
    program.post("One", 200)
    program.post("Two", 200, accept="application/json")


def test_rate_limit_applies_and_every_response_has_its_headers(wsgi: Router, make: Factory) -> None:
    program = Program(wsgi, make, requests_per_minute=3)
    answers = [program.post("x"), program.send({"template": "none"}), program.post("x"), program.post("x")]
    assert [answer.status_int for answer in answers] == [200, 422, 200, 429]
    assert [answer.headers["RateLimit-Remaining"] for answer in answers] == ["2", "1", "0", "0"]
    assert {answer.headers["RateLimit-Limit"] for answer in answers} == {"3"}
    assert answers[-1].json["code"] == "too_many_requests"
    assert 0 < int(answers[-1].headers["Retry-After"]) <= 60


def test_key_restricted_to_a_template_renders_no_other(wsgi: Router, make: Factory) -> None:
    program = Program(wsgi, make)
    other = make.template(program.space, name="Other")
    program.plain = make.key(program.space, templates=(str(program.template.id),))
    program.post("x", 200)
    assert program.send({"template": other.slug}, 403).json["code"] == "template_not_allowed"


def test_key_restricted_to_a_template_sees_nothing_of_others(wsgi: Router, make: Factory) -> None:
    program = Program(wsgi, make)
    other = make.template(program.space, name="Other")
    run, image_run, image = make.run(make.feed(program.space), other), make.image_run(other), make.image(other)
    program.plain = make.key(program.space, *Scope, templates=(str(program.template.id),))
    for path in (f"/v1/runs/{run.id}/cancel", f"/v1/runs/{run.id}/retry"):
        assert program.send({}, 404, path).json["code"] == "not_found"
    headers = {"Authorization": f"Bearer {program.plain}"}
    for path in (f"runs/{run.id}", f"runs/{run.id}/items", f"image-requests/{image_run.id}", f"images/{image.id}"):
        TestApp(wsgi).get(f"/v1/{path}", headers=headers, status=404)
    for path in ("", "/draft", "/versions", "/versions/1"):
        TestApp(wsgi).get(f"/v1/templates/{other.slug}{path}", headers=headers, status=404)
    campaign = make.campaign(make.feed(program.space), other)
    for path, names in (("templates", [program.template.slug]), ("images", []), ("campaigns", [])):
        rows = TestApp(wsgi).get(f"/v1/{path}", headers=headers).json[path]
        assert [row.get("slug", row["id"]) for row in rows] == names, path
    TestApp(wsgi).get(f"/v1/campaigns/{campaign.id}", headers=headers, status=404)


def test_key_restricted_to_origins_works_on_these_only(wsgi: Router, make: Factory) -> None:
    program = Program(wsgi, make, origins=("https://shop.example",))
    good = program.post("x", 200, Origin="https://shop.example")
    assert good.headers["Access-Control-Allow-Origin"] == "https://shop.example"
    for origin in ({}, {"Origin": "https://evil.example"}, {"Origin": "https://shop.example.evil.example"}):
        assert program.post("x", 403, **origin).json["code"] == "origin_not_allowed"
    server = Program(wsgi, make)
    assert "Access-Control-Allow-Origin" not in server.post("x", 200, Origin="https://shop.example").headers


def test_preflight_request_is_answered_below_v1_only(wsgi: Router) -> None:
    preflight = {"Origin": "https://shop.example", "Access-Control-Request-Method": "POST"}
    for path in ("/v1/images", "/v1/runs/0190b0a0-0000-7000-8000-000000000002/items", "/v1/nothing"):
        headers = TestApp(wsgi).options(path, headers=preflight, status=204).headers
        assert headers["Access-Control-Allow-Origin"] == "https://shop.example"
        assert {"Authorization", "Content-Type", "Idempotency-Key"} <= set(
            headers["Access-Control-Allow-Headers"].split(", ")
        )
        assert "DELETE" in headers["Access-Control-Allow-Methods"]
        assert "Access-Control-Allow-Credentials" not in headers
    for path in ("/signin", "/w/demo", "/i/x.png", "/hooks/render", "/v1x"):
        assert "Access-Control-Allow-Origin" not in TestApp(wsgi).options(path, headers=preflight, status="*").headers
    assert "Access-Control-Allow-Origin" not in TestApp(wsgi).options("/v1/images", status="*").headers


def test_page_may_read_response_headers_and_problems(wsgi: Router, make: Factory) -> None:
    program = Program(wsgi, make, origins=("https://shop.example",), requests_per_minute=1)
    good = program.post("x", 200, Origin="https://shop.example")
    exposed = good.headers["Access-Control-Expose-Headers"].split(", ")
    assert {name for name in good.headers if name.startswith("RateLimit-")} < set(exposed)
    assert "Origin" in good.headers["Vary"]
    refused = program.post("y", 429, Origin="https://shop.example")
    assert refused.headers["Access-Control-Allow-Origin"] == "https://shop.example"


def test_expired_key_is_rejected(wsgi: Router, make: Factory) -> None:
    assert Program(wsgi, make, expires_at=datetime.now(UTC) + timedelta(minutes=1)).post("x").status_int == 200
    assert Program(wsgi, make, expires_at=datetime.now(UTC) - timedelta(seconds=1)).post("x").status_int == 401


def test_last_use_of_a_key_is_recorded(wsgi: Router, make: Factory) -> None:
    program = Program(wsgi, make)
    assert program.row.last_used_at is None
    program.post("x")
    first = program.row.last_used_at
    assert first is not None
    program.post("x")
    assert program.row.last_used_at == first, "once per minute, not per request"


def test_rotated_key_remains_valid_for_a_day(app: TestApp, make: Factory) -> None:
    space = make.workspace()
    template, old = make.template(space), make.key(space, Scope.GENERATE, images_per_month=5)
    sign_in(app, make.member(space))
    keys = app.get(f"/w/{space.slug}/keys")
    page = next(form for form in keys.forms.values() if form.action.endswith("/rotate")).submit()
    new = page.html.find("pre", {"aria-label": "API key"}).text
    assert new != old
    with make.database.transaction(space.id) as db:
        newer, older = db.query(ApiKey).order_by(ApiKey.id.desc()).all()
    assert (newer.images_per_month, newer.scopes, newer.expires_at) == (5, older.scopes, None)
    assert timedelta(hours=23) < older.expires_at - datetime.now(UTC) <= timedelta(days=1)
    for plain in (old, new):
        api(app, plain, {"template": template.slug}, status=200)


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({}, "scopes"),
        ({"generate": "on", "images_per_month": "0"}, "images_per_month"),
        ({"generate": "on", "requests_per_minute": "many"}, "requests_per_minute"),
        ({"generate": "on", "days": "5000"}, "days"),
        ({"generate": "on", "origins": "shop.example"}, "origins"),
        ({"generate": "on", "origins": "https://shop.example/path"}, "origins"),
        ({"generate": "on", "template": "0190b0a0-0000-7000-8000-000000000001"}, "template"),
    ],
)
def test_invalid_key_form_shows_a_message_beside_the_field(
    app: TestApp, make: Factory, fields: dict[str, str], name: str
) -> None:
    space = make.workspace()
    sign_in(app, make.member(space))
    token = app.get(f"/w/{space.slug}/keys/new").forms[1]["csrf_token"].value
    page = app.post(f"/w/{space.slug}/keys", {"csrf_token": token, "name": "x"} | fields, status=422)
    assert page.html.find(id=f"{name}-error").text
    assert make.count(ApiKey, space.id) == 0


def test_repeated_request_gets_the_stored_response(wsgi: Router, make: Factory) -> None:
    program = Program(wsgi, make)
    first = program.post("Once", 200, Idempotency_Key="a")
    again = program.post("Once", 200, Idempotency_Key="a")
    assert (again.body, again.headers["ETag"], again.content_type) == (first.body, first.headers["ETag"], "image/png")
    assert again.headers["Idempotent-Replayed"] == "true"
    assert "Idempotent-Replayed" not in first.headers
    assert program.post("Other", 422, Idempotency_Key="a").json["code"] == "idempotency_key_reused"
    assert program.post("Once", 422, accept="image/jpeg", Idempotency_Key="a").json["code"] == "idempotency_key_reused"


def test_other_preference_is_another_request(wsgi: Router, make: Factory) -> None:
    program = Program(wsgi, make)
    program.post("Once", 201, accept="application/json", Idempotency_Key="a")
    other = program.post("Once", 422, accept="application/json", Idempotency_Key="a", Prefer="respond-async")
    assert other.json["code"] == "idempotency_key_reused"


def test_newest_of_large_responses_are_kept(wsgi: Router, make: Factory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Images would fill the database: a repeated request whose response is gone is executed again."""
    monkeypatch.setattr(idempotency, "MAX_LARGE_RESPONSES", 2)
    program = Program(wsgi, make, *Scope)
    image = program.post("Large", 200).body
    monkeypatch.setattr(OnDemandRendering, "render", lambda self, **_: (RenderedImage(image + bytes(70_000), ()), True))
    program.send({"name": "Small"}, 201, "/v1/feeds", Idempotency_Key="small")
    for key in "abc":
        program.post("Large", 200, Idempotency_Key=key)
    replayed = [program.post("Large", 200, Idempotency_Key=key).headers.get("Idempotent-Replayed") for key in "cba"]
    assert replayed == ["true", "true", None]
    assert program.send({"name": "Small"}, 201, "/v1/feeds", Idempotency_Key="small").headers["Idempotent-Replayed"]


def test_idempotency_key_belongs_to_a_caller(wsgi: Router, make: Factory) -> None:
    """A rotated key is the same caller; another key of the workspace is another one, also when the first is revoked."""
    program = Program(wsgi, make)
    program.post("Once", 200, Idempotency_Key="a")
    first = program.row
    for _ in range(2):
        with make.database.transaction(program.space.id) as db:
            newest = db.query(ApiKey).order_by(ApiKey.id.desc()).limit(1).one()
            _, program.plain = rotate_key(db, newest)
        assert program.post("Once", 200, Idempotency_Key="a").headers["Idempotent-Replayed"] == "true"
    with make.database.transaction(program.space.id) as db:
        revoke_key(db, first)
    assert program.post("Other", 422, Idempotency_Key="a").json["code"] == "idempotency_key_reused"
    program.plain = make.key(program.space)
    assert "Idempotent-Replayed" not in program.post("Other", 200, Idempotency_Key="a").headers


def test_repeated_request_creates_one_feed(wsgi: Router, make: Factory) -> None:
    program = Program(wsgi, make, Scope.FEEDS_WRITE)
    answers = [program.send({"name": "Products"}, 201, "/v1/feeds", Idempotency_Key="a").json for _ in range(3)]
    assert len({answer["id"] for answer in answers}) == 1


def test_permanent_problem_is_stored_and_a_transient_one_is_not(wsgi: Router, make: Factory) -> None:
    program = Program(wsgi, make, images_per_month=1)
    invalid = {"template": "none"}
    assert program.send(invalid, 422, Idempotency_Key="a").json["code"] == "unknown_template"
    assert program.send(invalid, 422, Idempotency_Key="a").headers["Idempotent-Replayed"] == "true"
    program.post("One", 200)
    assert program.post("Two", 402, Idempotency_Key="b").json["code"] == "quota_exceeded"
    with make.database.transaction(program.space.id) as db:
        db.query(ApiKey).one().images_per_month = 2
    assert "Idempotent-Replayed" not in program.post("Two", 200, Idempotency_Key="b").headers


def test_second_request_conflicts_while_the_first_is_running(wsgi: Router, make: Factory) -> None:
    program = Program(wsgi, make)
    program.post("Once", 200, Idempotency_Key="a")
    with make.database.transaction(program.space.id) as db:
        row = db.query(IdempotencyKey).one()
        row.status = row.body = row.headers = None
    assert program.post("Once", 409, Idempotency_Key="a").json["code"] == "request_in_flight"
    with make.database.transaction(program.space.id) as db:  # the process was killed
        db.query(IdempotencyKey).one().started_at -= timedelta(minutes=6)
    program.post("Once", 200, Idempotency_Key="a")


def test_idempotency_key_is_free_after_a_day(wsgi: Router, make: Factory) -> None:
    program = Program(wsgi, make)
    program.post("Once", 200, Idempotency_Key="a")
    with make.database.transaction(program.space.id) as db:
        db.query(IdempotencyKey).one().started_at -= timedelta(hours=25)
    program.post("Other", 200, Idempotency_Key="a")


@pytest.mark.parametrize("key", ["", " ", "k" * 256, "ü"])
def test_malformed_idempotency_key_is_rejected(wsgi: Router, make: Factory, key: str) -> None:
    answer = Program(wsgi, make).post("x", Idempotency_Key=key)
    assert (answer.status_int, answer.json["code"]) == (400, "invalid_idempotency_key")


def test_concurrent_requests_with_one_idempotency_key_execute_once(wsgi: Router, make: Factory) -> None:
    program = Program(wsgi, make, Scope.FEEDS_WRITE)
    with ThreadPoolExecutor(8) as pool:
        responses = list(
            pool.map(lambda _: program.send({"name": "Products"}, None, "/v1/feeds", Idempotency_Key="a"), range(16))
        )
    assert {answer.status_int for answer in responses} <= {201, 409}
    assert len({answer.json["id"] for answer in responses if answer.status_int == 201}) == 1


def test_given_version_is_rendered(wsgi: Router, make: Factory) -> None:
    program = Program(wsgi, make)
    first = program.send({"template": program.template.slug, "version": 1}, 200)
    from cwz_web.generation.templates import publish
    from cwz_web.imaging.documents import ImageTemplate

    changed = small_document()
    changed["canvas"]["width"] = 77
    with make.database.transaction(program.space.id) as db:
        publish(db, db.merge(program.template), ImageTemplate.model_validate(changed))
    pinned = program.send({"template": program.template.slug, "version": 1}, 200)
    assert pinned.headers["ETag"] == first.headers["ETag"]
    assert program.send({"template": program.template.slug}, 200).headers["ETag"] != first.headers["ETag"]
    assert program.send({"template": program.template.slug, "version": 9}, 422).json["errors"] == {
        "version": "The newest version is 2"
    }


def test_feed_item_is_rendered(wsgi: Router, make: Factory) -> None:
    program = Program(wsgi, make)
    feed = make.feed(program.space)
    body = {"template": program.template.slug, "feed": str(feed.id), "item": "2"}
    row, typed = program.send(body, 200), program.post("Two", 200, accept="image/jpeg")
    assert row.headers["ETag"] != program.send(body | {"data": {"title": "Mine"}}, 200).headers["ETag"]
    assert row.content_type == typed.content_type
    for change, field in (({"item": "9"}, "item"), ({"feed": "0190b0a0-0000-7000-8000-000000000001"}, "feed")):
        assert field in program.send(body | change, 422).json["errors"]
    assert program.send({"template": program.template.slug, "item": "2"}, 422).json["code"] == "invalid"


def test_image_response_is_stored_as_well(wsgi: Router, make: Factory) -> None:
    program = Program(wsgi, make)
    body = {"template": program.template.slug, "store": True, "scale": 2, "format": "webp"}
    answer = program.send(body, 200, Accept="image/*")
    assert answer.content_type == "image/webp"
    url = answer.headers["Link"].partition("<")[2].partition(">")[0]
    assert TestApp(wsgi).get(url.removeprefix("http://localhost")).body == answer.body
    with make.database.transaction(program.space.id) as db:
        image = db.query(Image).one()
    assert (image.width, image.height) == (600, 400)
    assert program.used == 1

"""What a key may do: how much, how often, from where, until when, with which template; and only once."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import Mock

import pytest
from pyramid.router import Router
from webtest import TestApp

from cwz_web.generation.api_keys import Scope
from cwz_web.generation.models import ApiKey, IdempotencyKey, Image
from cwz_web.generation.usage import monthly_usage
from tests.factories import Factory, sign_in, small_document


class Program:
    """A program with a key, in a workspace with a template."""

    def __init__(self, wsgi: Any, make: Factory, *scopes: Scope, **terms: Any) -> None:
        self.make, self.wsgi = make, wsgi
        self.space = make.workspace()
        self.template = make.template(self.space)
        self.plain = make.key(self.space, *scopes, **terms)

    def post(self, title: str = "Hello", status: int | None = None, accept: str = "image/png", **headers: str) -> Any:
        body = {"template": self.template.slug, "data": {"title": title}}
        return self.send(body, status, Accept=accept, **headers)

    def send(self, body: Any, status: int | None = None, path: str = "/v1/images", **headers: str) -> Any:
        sent = {"Authorization": f"Bearer {self.plain}", "Content-Type": "application/json"} | headers
        sent = {name.replace("_", "-"): value for name, value in sent.items()}
        return TestApp(self.wsgi).post(path, json.dumps(body), headers=sent, status=status or "*")

    @property
    def used(self) -> int:
        with self.make.database.transaction(self.space.id) as db:
            return monthly_usage(db, self.space.id, self.space.id)

    @property
    def row(self) -> ApiKey:
        with self.make.database.transaction(self.space.id) as db:
            return db.query(ApiKey).one()


def test_of_200_parallel_requests_against_a_cap_of_100_exactly_100_get_a_image(wsgi: Router, make: Factory) -> None:
    program = Program(wsgi, make, images_per_month=100)
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda number: program.post(f"Number {number}").status_int, range(200)))
    assert (answers.count(200), answers.count(402)) == (100, 100)
    assert program.used == 100
    refused = program.post("One more", 402)
    assert refused.json["code"] == "cap_reached"
    assert "100 images a month" in refused.json["detail"]


def test_every_header_stands_once_also_in_answers_that_are_given_again_or_refuse(wsgi: Router, make: Factory) -> None:
    program = Program(wsgi, make, requests_per_minute=3)
    answers = [program.post("Same", 200, Idempotency_Key="once") for _ in range(2)]
    answers += [program.post("Same", 200), program.post("Same", 429)]
    answers += [TestApp(wsgi).get(path, status="*") for path in ("/", "/v1/openapi.json", "/nothing", "/i/x.png")]
    for answer in answers:
        names = [name.lower() for name, _ in answer.headerlist if name != "Set-Cookie"]
        assert len(names) == len(set(names)), names


def test_failures_and_images_that_are_there_are_free(wsgi: Router, make: Factory) -> None:
    program = Program(wsgi, make)
    first, again = program.post("Same", 200), program.post("Same", 200)
    assert [answer.headers["Cached"] for answer in (first, again)] == ["false", "true"]
    program.send({"template": program.template.slug, "data": {"nothing": "x"}}, 422)
    assert program.used == 1
    kept, known = (program.post("Kept", accept="application/json").json for _ in range(2))
    assert [kept["cached"], known["cached"], kept["id"] == known["id"]] == [False, True, True]
    assert program.used == 2


def test_a_image_that_fails_while_it_is_counted_is_free(
    wsgi: Router, make: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = Program(wsgi, make, images_per_month=1)
    with monkeypatch.context() as broken:
        broken.setattr("cwz_web.imaging.engine.encode", Mock(side_effect=MemoryError))
        program.post("Large", 500)
    assert program.used == 0
    program.post("Large", 200)
    program.post("Another", 402)


def test_at_the_cap_what_is_there_is_still_served(wsgi: Router, make: Factory) -> None:
    program = Program(wsgi, make, images_per_month=2)
    program.post("One", 200)
    program.post("Two", 201, accept="application/json")
    program.post("Three", 402)
    program.post("Three", 402, accept="application/json")
    program.post("One", 200)
    program.post("Two", 200, accept="application/json")


def test_the_minute_is_bounded_and_every_answer_says_what_is_left(wsgi: Router, make: Factory) -> None:
    program = Program(wsgi, make, requests_per_minute=3)
    answers = [program.post("x"), program.send({"template": "none"}), program.post("x"), program.post("x")]
    assert [answer.status_int for answer in answers] == [200, 422, 200, 429]
    assert [answer.headers["RateLimit-Remaining"] for answer in answers] == ["2", "1", "0", "0"]
    assert {answer.headers["RateLimit-Limit"] for answer in answers} == {"3"}
    assert answers[-1].json["code"] == "too_many_requests"
    assert 0 < int(answers[-1].headers["Retry-After"]) <= 60


def test_a_key_for_one_template_renders_no_other(wsgi: Router, make: Factory) -> None:
    program = Program(wsgi, make)
    other = make.template(program.space, name="Other")
    program.plain = make.key(program.space, templates=(str(program.template.id),))
    program.post("x", 200)
    assert program.send({"template": other.slug}, 403).json["code"] == "template_not_allowed"


def test_a_key_for_web_pages_works_on_these_only(wsgi: Router, make: Factory) -> None:
    program = Program(wsgi, make, origins=("https://shop.example",))
    good = program.post("x", 200, Origin="https://shop.example")
    assert good.headers["Access-Control-Allow-Origin"] == "https://shop.example"
    for origin in ({}, {"Origin": "https://evil.example"}, {"Origin": "https://shop.example.evil.example"}):
        assert program.post("x", 403, **origin).json["code"] == "origin_not_allowed"
    server = Program(wsgi, make)
    assert "Access-Control-Allow-Origin" not in server.post("x", 200, Origin="https://shop.example").headers


def test_a_browser_is_told_what_it_may_send_before_it_sends_a_key(wsgi: Router) -> None:
    asks = {"Origin": "https://shop.example", "Access-Control-Request-Method": "POST"}
    for path in ("/v1/images", "/v1/runs/0190b0a0-0000-7000-8000-000000000002/items", "/v1/nothing"):
        told = TestApp(wsgi).options(path, headers=asks, status=204).headers
        assert told["Access-Control-Allow-Origin"] == "https://shop.example"
        assert {"Authorization", "Content-Type", "Idempotency-Key"} <= set(
            told["Access-Control-Allow-Headers"].split(", ")
        )
        assert "DELETE" in told["Access-Control-Allow-Methods"]
        assert "Access-Control-Allow-Credentials" not in told
    for path in ("/signin", "/w/demo", "/i/x.png", "/hooks/render", "/v1x"):
        assert "Access-Control-Allow-Origin" not in TestApp(wsgi).options(path, headers=asks, status="*").headers
    assert "Access-Control-Allow-Origin" not in TestApp(wsgi).options("/v1/images", status="*").headers


def test_a_page_may_read_what_stands_beside_the_answer_and_why_it_was_refused(wsgi: Router, make: Factory) -> None:
    program = Program(wsgi, make, origins=("https://shop.example",), requests_per_minute=1)
    good = program.post("x", 200, Origin="https://shop.example")
    exposed = good.headers["Access-Control-Expose-Headers"].split(", ")
    assert {name for name in good.headers if name.startswith("RateLimit-")} < set(exposed)
    assert "Origin" in good.headers["Vary"]
    refused = program.post("y", 429, Origin="https://shop.example")
    assert refused.headers["Access-Control-Allow-Origin"] == "https://shop.example"


def test_a_key_ends_by_itself(wsgi: Router, make: Factory) -> None:
    assert Program(wsgi, make, expires_at=datetime.now(UTC) + timedelta(minutes=1)).post("x").status_int == 200
    assert Program(wsgi, make, expires_at=datetime.now(UTC) - timedelta(seconds=1)).post("x").status_int == 401


def test_that_a_key_was_used_is_noted(wsgi: Router, make: Factory) -> None:
    program = Program(wsgi, make)
    assert program.row.last_used_at is None
    program.post("x")
    first = program.row.last_used_at
    assert first is not None
    program.post("x")
    assert program.row.last_used_at == first, "by the minute, not by the request"


def test_a_key_is_replaced_while_the_old_one_works_on(app: TestApp, make: Factory) -> None:
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
        headers = {"Authorization": f"Bearer {plain}"}
        TestApp(app.app).post_json("/v1/images", {"template": template.slug}, headers=headers, status=200)


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({}, "scopes"),
        ({"generate": "on", "month_cap": "0"}, "month_cap"),
        ({"generate": "on", "minute_cap": "many"}, "minute_cap"),
        ({"generate": "on", "days": "5000"}, "days"),
        ({"generate": "on", "origins": "shop.example"}, "origins"),
        ({"generate": "on", "origins": "https://shop.example/path"}, "origins"),
        ({"generate": "on", "template": "0190b0a0-0000-7000-8000-000000000001"}, "template"),
    ],
)
def test_a_key_with_odd_terms_is_refused_beside_the_field(
    app: TestApp, make: Factory, fields: dict[str, str], name: str
) -> None:
    space = make.workspace()
    sign_in(app, make.member(space))
    token = app.get(f"/w/{space.slug}/keys").forms[1]["csrf_token"].value
    page = app.post(f"/w/{space.slug}/keys", {"csrf_token": token, "name": "x"} | fields, status=422)
    assert page.html.find(id=f"{name}-error").text
    assert make.count(ApiKey, space.id) == 0


def test_a_request_that_comes_again_is_answered_and_not_done_again(wsgi: Router, make: Factory) -> None:
    program = Program(wsgi, make)
    first = program.post("Once", 200, Idempotency_Key="a")
    again = program.post("Once", 200, Idempotency_Key="a")
    assert (again.body, again.headers["ETag"], again.content_type) == (first.body, first.headers["ETag"], "image/png")
    assert again.headers["Idempotent-Replayed"] == "true"
    assert "Idempotent-Replayed" not in first.headers
    assert program.post("Other", 422, Idempotency_Key="a").json["code"] == "idempotency_key_reused"
    assert program.post("Once", 422, accept="image/jpeg", Idempotency_Key="a").json["code"] == "idempotency_key_reused"


def test_what_makes_something_makes_it_once(wsgi: Router, make: Factory) -> None:
    program = Program(wsgi, make, Scope.FEEDS_WRITE)
    answers = [program.send({"name": "ReadWriteBucket"}, 201, "/v1/feeds", Idempotency_Key="a").json for _ in range(3)]
    assert len({answer["id"] for answer in answers}) == 1


def test_a_refusal_is_repeated_and_what_may_be_tried_again_is_not(wsgi: Router, make: Factory) -> None:
    program = Program(wsgi, make, images_per_month=1)
    wrong = {"template": "none"}
    assert program.send(wrong, 422, Idempotency_Key="a").json["code"] == "unknown_template"
    assert program.send(wrong, 422, Idempotency_Key="a").headers["Idempotent-Replayed"] == "true"
    program.post("One", 200)
    assert program.post("Two", 402, Idempotency_Key="b").json["code"] == "cap_reached"
    with make.database.transaction(program.space.id) as db:
        db.query(ApiKey).one().images_per_month = 2
    assert "Idempotent-Replayed" not in program.post("Two", 200, Idempotency_Key="b").headers


def test_while_the_first_one_is_answered_a_second_one_is_told_so(wsgi: Router, make: Factory) -> None:
    program = Program(wsgi, make)
    program.post("Once", 200, Idempotency_Key="a")
    with make.database.transaction(program.space.id) as db:
        row = db.query(IdempotencyKey).one()
        row.status = row.body = row.headers = None
    assert program.post("Once", 409, Idempotency_Key="a").json["code"] == "request_in_flight"
    with make.database.transaction(program.space.id) as db:  # its process was killed
        db.query(IdempotencyKey).one().begun_at -= timedelta(minutes=6)
    program.post("Once", 200, Idempotency_Key="a")


def test_after_a_day_a_key_is_free_again(wsgi: Router, make: Factory) -> None:
    program = Program(wsgi, make)
    program.post("Once", 200, Idempotency_Key="a")
    with make.database.transaction(program.space.id) as db:
        db.query(IdempotencyKey).one().begun_at -= timedelta(hours=25)
    program.post("Other", 200, Idempotency_Key="a")


@pytest.mark.parametrize("key", ["", " ", "k" * 256, "ü"])
def test_an_odd_idempotency_key_is_refused(wsgi: Router, make: Factory, key: str) -> None:
    answer = Program(wsgi, make).post("x", Idempotency_Key=key)
    assert (answer.status_int, answer.json["code"]) == (400, "bad_idempotency_key")


def test_many_at_once_with_one_key_do_it_once(wsgi: Router, make: Factory) -> None:
    program = Program(wsgi, make, Scope.FEEDS_WRITE)
    with ThreadPoolExecutor(8) as pool:
        sent = list(
            pool.map(
                lambda _: program.send({"name": "ReadWriteBucket"}, None, "/v1/feeds", Idempotency_Key="a"), range(16)
            )
        )
    assert {answer.status_int for answer in sent} <= {201, 409}
    assert len({answer.json["id"] for answer in sent if answer.status_int == 201}) == 1


def test_a_version_is_pinned(wsgi: Router, make: Factory) -> None:
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
        "version": "Its newest version is 2"
    }


def test_a_row_of_a_feed_is_rendered(wsgi: Router, make: Factory) -> None:
    program = Program(wsgi, make)
    feed = make.feed(program.space)
    wanted = {"template": program.template.slug, "feed": str(feed.id), "item": "2"}
    row, typed = program.send(wanted, 200), program.post("Two", 200, accept="image/jpeg")
    assert row.headers["ETag"] != program.send(wanted | {"data": {"title": "Mine"}}, 200).headers["ETag"]
    assert row.content_type == typed.content_type
    for body, field in (({"item": "9"}, "item"), ({"feed": "0190b0a0-0000-7000-8000-000000000001"}, "feed")):
        assert field in program.send(wanted | body, 422).json["errors"]
    assert program.send({"template": program.template.slug, "item": "2"}, 422).json["code"] == "invalid"


def test_bytes_come_and_are_kept(wsgi: Router, make: Factory) -> None:
    program = Program(wsgi, make)
    body = {"template": program.template.slug, "store": True, "scale": 2, "format": "webp"}
    answer = program.send(body, 200, Accept="image/*")
    assert answer.content_type == "image/webp"
    address = answer.headers["Link"].partition("<")[2].partition(">")[0]
    assert TestApp(wsgi).get(address.removeprefix("http://localhost")).body == answer.body
    with make.database.transaction(program.space.id) as db:
        image = db.query(Image).one()
    assert (image.width, image.height) == (600, 400)
    assert program.used == 1

"""The pages about the API: quick start, keys, requests and webhooks."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select
from webtest import TestApp

from cwz_web.db.pagination import first_id
from cwz_web.generation.api_keys import KeyTerms, Scope, create_key, revoke_key
from cwz_web.generation.api_request_list import RequestMinute, count_requests_by_minute
from cwz_web.generation.models import ApiKey, ApiRequest
from cwz_web.generation.usage import Quota, count
from cwz_web.notify.models import WebhookDelivery
from cwz_web.notify.webhooks import Event, emit
from cwz_web.workspaces.models import Role, Workspace
from tests.factories import Factory, record_queries, sign_in, small_document


@pytest.fixture
def space(app: TestApp, make: Factory) -> Workspace:
    space = make.workspace()
    sign_in(app, make.member(space))
    return space


def names(page: Any, selector: str) -> list[str]:
    return [" ".join(found.text.split()) for found in page.html.select(selector)]


def test_tabs_are_those_that_the_role_may_open(app: TestApp, make: Factory, space: Workspace) -> None:
    here = f"/w/{space.slug}/api"
    assert names(app.get(here), ".tabs a") == ["Quick start", "Keys", "Requests", "Webhooks"]
    for role, tabs in ((Role.SUPPORT, ["Quick start", "Requests", "Webhooks"]), (Role.USER, ["Quick start"])):
        browser = TestApp(app.app)
        sign_in(browser, make.member(space, role))
        assert names(browser.get(here), ".tabs a") == tabs
    assert "Ask an admin" in browser.get(here).text


def test_quick_start_uses_the_fields_of_the_chosen_template(app: TestApp, make: Factory, space: Workspace) -> None:
    here = f"/w/{space.slug}/api"
    assert "no template yet" in app.get(here).text
    first = make.template(space, small_document(), name="Autumn card")
    newest = make.template(space, name="Winter card")
    feed = make.feed(space)
    page = app.get(here)
    code = page.html.select_one('[data-language="Python"] code').text
    assert newest.slug in code
    assert str(feed.id) in page.text
    assert "cwz_live_…" in code
    page = app.get(f"{here}?template={first.id}")
    assert first.slug in page.html.select_one('[data-language="PHP"] code').text
    assert page.html.select_one("#template option[selected]").text == "Autumn card"


def test_keys(app: TestApp, make: Factory, space: Workspace) -> None:
    here = f"/w/{space.slug}/keys"
    assert "No API keys yet" in app.get(here).text
    with make.database.transaction(space.id) as db:
        shop, _ = create_key(db, space.id, "Shop", KeyTerms(scopes=(Scope.READ,), images_per_month=200))
        old, _ = create_key(db, space.id, "Old")
        revoke_key(db, old)
        count(db, Quota(space.id, key_id=shop.id, key_limit=200), 50)
    with record_queries(make.database) as few:
        app.get(here)
    with make.database.transaction(space.id) as db:
        create_key(db, space.id, "Import")
    with record_queries(make.database) as queries:
        page = app.get(here)
    assert len(queries) == len(few)
    assert [name.split()[0] for name in names(page, "tbody th")] == ["Import", "Old", "Shop"]
    assert "50 of 200" in page.html.find(class_="meter").text
    assert page.html.find("progress")["value"] == "50"
    assert len(names(app.get(f"{here}?state=active"), "tbody th")) == 2
    assert names(app.get(f"{here}?search=shop&state=revoked"), "tbody th") == []
    page = app.get(f"{here}?search={shop.prefix}")
    revoke = next(form for form in page.forms.values() if form.action.endswith("/revoke"))
    assert revoke.submit(status=303).location.endswith(f"/keys?search={shop.prefix}")


def test_requests_are_listed_without_secrets(app: TestApp, make: Factory, space: Workspace) -> None:
    here, template = f"/w/{space.slug}/requests", make.template(space)
    assert "No requests yet" in app.get(here).text
    plain = make.key(space, Scope.GENERATE, Scope.READ, Scope.FEEDS_WRITE)
    api = TestApp(app.app, extra_environ={"HTTP_AUTHORIZATION": f"Bearer {plain}"})
    body = {"template": template.slug, "data": {"hush": "body value"}}
    failed = api.post_json("/v1/images", body, status=422)
    feed = make.feed(space)
    api.get(f"/v1/feeds/{feed.id}/items/jane@example.org?token=query-secret", status=404)
    items = f"/v1/feeds/{feed.id}/items/"
    api.get(items + "a".rjust(295 - len(items), "a") + "@cut.example.org", status=404)
    api.get(f"{items}shop%3Fkey%3Dencoded-secret", status=404)
    api.get("/v1/nothing", status=404)
    api.get("/v1/feeds", status=200)
    TestApp(app.app).get("/v1/feeds", status=401)
    make.services.api_requests.flush()
    with record_queries(make.database) as queries:
        page = app.get(here)
    assert len(queries) < 15
    assert names(page, ".request-log summary .badge") == ["200", "404", "404", "404", "404", "422"]
    assert "The template has no such field" in page.text
    assert failed.headers["X-Request-Id"] in page.text
    for secret in (plain, "query-secret", "jane@", "a@cut", "encoded-secret", "body value"):
        assert secret not in page.text
    assert page.html.select_one(".chart")["aria-label"] == (
        "Last hour: 6 requests, at most 6 a minute. 0 were refused by a rate limit."
    )
    found = app.get(f"{here}?status=client&search=nothing")
    assert names(found, ".request-log code")[0] == "/v1/nothing"
    assert found.html.select_one(".chart") is None
    assert "No requests match" in app.get(f"{here}?method=DELETE").text
    with record_queries(make.database) as part_queries:
        app.get(here, headers={"HX-Request": "true"})
    assert len(part_queries) < len(queries), "the rows of the list are shown without the chart"
    part = app.get(f"{here}?search={failed.headers['X-Request-Id']}", headers={"HX-Request": "true"})
    assert names(part, ".request-log summary .badge") == ["422"]


def test_requests_are_counted_by_minute(make: Factory, space: Workspace) -> None:
    make.key(space)
    now = datetime(2026, 9, 5, 14, 30, 40, tzinfo=UTC)
    with make.database.transaction(space.id) as db:
        key_id = db.scalars(select(ApiKey.id)).one()
        for seconds, status in ((0, 200), (30, 429), (41, 500), (3540, 200), (3600, 200), (7200, 200)):
            at = now - timedelta(seconds=seconds)
            values = {"key_id": key_id, "method": "GET", "path": "/v1/feeds", "status": status, "milliseconds": 1}
            db.add(ApiRequest(workspace_id=space.id, id=UUID(int=first_id(at).int + seconds), created_at=at, **values))
        db.flush()
        minutes = count_requests_by_minute(db, space.id, now)
    assert len(minutes) == 60
    assert minutes[-1] == RequestMinute(datetime(2026, 9, 5, 14, 30, tzinfo=UTC), 2, 1, 1)
    assert [(each.requests, each.errors) for each in (minutes[-2], minutes[0])] == [(1, 1), (1, 0)]
    assert sum(each.requests for each in minutes) == 4


def test_webhooks_are_listed_with_their_last_delivery(app: TestApp, make: Factory, space: Workspace) -> None:
    here = f"/w/{space.slug}/webhooks"
    page = app.get(here)
    assert "No webhooks yet" in page.text
    examples = [json.loads(code.text) for code in page.html.select(".event-catalog pre code")]
    assert [example["type"] for example in examples] == list(Event)
    hook = make.webhook(space)
    with make.database.transaction(space.id) as db:
        emit(db, space.id, Event.RUN_FAILED, {"id": 1}, {"id": 2})
        first, last = db.scalars(select(WebhookDelivery).order_by(WebhookDelivery.id))
        first.state = last.state = "failed"
    with record_queries(make.database) as few:
        page = app.get(here)
    assert "2 failed in 7 days" in page.text
    make.webhook(space)
    with record_queries(make.database) as queries:
        app.get(here)
    assert len(queries) == len(few)
    assert len(names(app.get(f"{here}/{hook.id}?state=failed"), "tbody tr")) == 2
    message = f"msg_{last.id.hex}"
    assert len(names(app.get(f"{here}/{hook.id}?search={message}"), "tbody tr")) == 1
    assert "No deliveries match" in app.get(f"{here}/{hook.id}?search=unknown").text

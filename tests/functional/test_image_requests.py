"""Image requests, runs started through the API, and webhooks."""

import json
from typing import Any

import pytest
from pyramid.router import Router
from sqlalchemy import func, select, text, update
from webtest import TestApp

from cwz_web.feeds.models import Feed
from cwz_web.generation.api_keys import Scope
from cwz_web.generation.models import Image, Template
from cwz_web.generation.signed_urls import SignedUrls
from cwz_web.generation.usage import Quota, Quotas
from cwz_web.jobs import PREPARE_QUEUE
from cwz_web.notify.models import Webhook, WebhookDelivery
from cwz_web.runs import planning
from cwz_web.runs.local_client import LocalRenderClient
from cwz_web.runs.models import Run
from cwz_web.runs.protocol import ItemResult, Report, SpecificationRequest
from cwz_web.runs.render_worker import RenderWorker
from cwz_web.runs.reports import apply_report
from cwz_web.views.runs import MAX_FAILURES
from cwz_web.workspaces.models import AuditEntry, Role, Workspace
from tests.factories import Factory, sign_in, small_document
from tests.functional.test_api_key_limits import Program
from tests.jobs import run_jobs

ASYNC = {"Prefer": "respond-async", "Accept": "application/json"}


def render(make: Factory, space: Workspace, run_id: str) -> None:
    with make.database.transaction(space.id) as db:
        run = db.scalars(select(Run).where(Run.id == run_id)).one()
    spec_request = SpecificationRequest(workspace_id=space.id, run_id=run.id, chunk=0)
    services = make.services
    web = LocalRenderClient(
        make.database.transaction, services.providers, SignedUrls("a secret", "https://site.example")
    )
    RenderWorker(web, services.image_service, services.providers.outbound).render_chunk(spec_request, last_try=True)


@pytest.fixture
def program(wsgi: Router, make: Factory) -> Program:
    return Program(wsgi, make)


def get(program: Program, url: str) -> Any:
    path = url.removeprefix("http://localhost")
    return TestApp(program.wsgi).get(path, headers={"Authorization": f"Bearer {program.plain}"}, status="*")


def test_requested_image_is_rendered_later(program: Program, make: Factory) -> None:
    body = {"template": program.template.slug, "data": {"title": "Later"}, "webhook": "https://shop.example/hook"}
    body["metadata"] = {"order": "A-17"}
    answer = program.send(body, 202, **ASYNC)
    assert answer.headers["Preference-Applied"] == "respond-async"
    assert (answer.json["state"], answer.json["metadata"]) == ("pending", {"order": "A-17"})
    assert answer.location == answer.json["status_url"]
    assert get(program, answer.location).json["state"] == "pending"
    render(make, program.space, answer.json["id"])
    status = get(program, answer.location).json
    assert (status["state"], status["metadata"]) == ("done", {"order": "A-17"})
    image = TestApp(program.wsgi).get(status["image"]["url"].removeprefix("http://localhost"))
    assert image.content_type == "image/jpeg"
    assert program.used == 1
    with make.database.transaction(program.space.id) as db:
        [delivery] = db.scalars(select(WebhookDelivery))
    assert (delivery.url, delivery.event) == ("https://shop.example/hook", "image.created")
    assert json.loads(delivery.body)["data"]["metadata"] == {"order": "A-17"}


def test_image_request_with_an_idempotency_key_is_created_once(program: Program, make: Factory) -> None:
    body = {"template": program.template.slug, "data": {"title": "Once"}}
    first, again = (program.send(body, 202, Idempotency_Key="once", **ASYNC).json["id"] for _ in range(2))
    assert first == again
    assert make.count(Run, program.space.id) == 1


@pytest.mark.parametrize(
    ("more", "headers", "field"),
    [
        ({"size": "square"}, ASYNC, ""),
        ({"data": {"nothing": "x"}}, ASYNC, ""),
        ({"webhook": "ftp://shop.example/"}, ASYNC, "webhook"),
        ({"webhook": "https://user:password@shop.example/"}, ASYNC, "webhook"),
        ({"webhook": "https://shop.example/"}, {"Accept": "image/png"}, "webhook"),
    ],
)
def test_invalid_image_request_is_rejected_at_once(
    program: Program, make: Factory, more: dict[str, Any], headers: dict[str, str], field: str
) -> None:
    answer = program.send({"template": program.template.slug} | more, 422, **headers)
    assert not field or field in answer.json["errors"]
    assert make.count(Run, program.space.id) == program.used == 0


def test_image_request_of_another_workspace_and_a_run_are_not_found(
    program: Program, wsgi: Router, make: Factory
) -> None:
    answer = program.send({"template": program.template.slug}, 202, **ASYNC)
    other = Program(wsgi, make)
    assert get(other, answer.location).status_int == 404
    run = make.run(make.feed(program.space), program.template)
    assert get(program, f"/v1/image-requests/{run.id}").status_int == 404


def test_image_request_beyond_the_quota_is_rejected(wsgi: Router, make: Factory) -> None:
    program = Program(wsgi, make, images_per_month=1)
    body = {"template": program.template.slug}
    assert program.send(body, 202, **ASYNC)
    assert program.send(body, 402, **ASYNC).json["code"] == "quota_exceeded"


def test_run_is_previewed_and_rendered_in_several_outputs(wsgi: Router, make: Factory) -> None:
    program = Program(wsgi, make)
    sizes = [{"name": "square", "width": 100, "height": 100}]
    template = make.template(program.space, small_document(sizes=sizes), "Two sizes")
    feed = make.feed(program.space)
    outputs = [{"size": "default"}, {"size": "square", "format": "png"}]
    body = {"feed": str(feed.id), "template": template.slug, "outputs": outputs}
    planned = program.send(body, 200, path="/v1/runs/plan").json
    assert planned == {
        "rows": 3,
        "images": 6,
        "new": 6,
        "changed": 0,
        "unchanged": 0,
        "checked": 0,
        "removed": 0,
        "invalid": 0,
        "to_render": 6,
        "processing_cost": 0,
    }
    assert make.count(Run, program.space.id) == 0
    run = program.send(body | {"webhook": "https://shop.example/"}, 201, path="/v1/runs").json
    assert run["total"] == 6
    assert [output["size"] for output in run["outputs"]] == ["default", "square"]
    render(make, program.space, run["id"])
    assert program.send(body, 200, path="/v1/runs/plan").json["to_render"] == 0
    with make.database.transaction(program.space.id) as db:
        assert [each.event for each in db.scalars(select(WebhookDelivery))] == ["run.finished"]
    assert make.count(Image, program.space.id) == 6


@pytest.mark.parametrize(
    "outputs", [[], [{"size": "square"}], [{"format": "gif"}], [{}, {}], [{"quality": n} for n in range(1, 14)]]
)
def test_invalid_outputs_are_rejected(program: Program, make: Factory, outputs: list[Any]) -> None:
    feed = make.feed(program.space)
    body = {"feed": str(feed.id), "template": program.template.slug, "outputs": outputs}
    for path in ("/v1/runs", "/v1/runs/plan"):
        program.send(body, 422, path=path)
    assert make.count(Run, program.space.id) == 0


def test_webhook_is_added_tested_rotated_and_removed(app: TestApp, make: Factory) -> None:
    space = make.workspace()
    sign_in(app, make.member(space))
    page = app.get(f"/w/{space.slug}/webhooks/new")
    form = next(form for form in page.forms.values() if "url" in form.fields)
    form["url"] = "ftp://shop.example"
    assert "starts with https://" in form.submit(status=422).html.find(id="url-error").text
    form["url"] = "https://shop.example/hook"
    for event in ("run.finished", "run.failed"):
        form[f"event.{event}"] = False
    assert "at least one" in form.submit(status=422).html.find(id="events-error").text
    form["event.run.finished"] = True
    shown = form.submit(status=303).follow()
    [secret] = [code.text for code in shown.html.find_all("code") if code.text.startswith("whsec_")]

    def act(do: str) -> Any:
        page = app.get(path)
        return next(f for f in page.forms.values() if "do" in f.fields and f["do"].value == do).submit(status=303)

    path = shown.request.path
    after = act("rotate").follow()
    assert [code.text == secret for code in after.html.find_all("code") if "whsec_" in code.text] == [False, True]
    after = act("retire").follow()
    assert secret not in after.text
    tested = act("test").follow()
    assert "Queued" in tested.html.find(id="test-result").text
    assert "is being sent" in app.get(tested.html.find(id="test-result")["hx-get"]).text
    assert "Disabled" in act("disable").follow().html.find(class_="badge").text
    assert "Enabled" in act("enable").follow().html.find(class_="badge").text
    act("delete")
    assert make.count(Webhook, space.id) == make.count(WebhookDelivery, space.id) == 0


def test_support_resends_deliveries_but_sees_no_secret(app: TestApp, make: Factory) -> None:
    space = make.workspace()
    hook = make.webhook(space, "https://shop.example/hook?token=hush")
    with make.database.transaction(space.id) as db:
        row = {"workspace_id": space.id, "webhook_id": hook.id, "url": hook.url, "event": "run.failed", "body": "{}"}
        db.add(WebhookDelivery(**row, state="failed", last_response="Responded with status 500"))
    sign_in(app, make.member(space, Role.SUPPORT))
    page = app.get(f"/w/{space.slug}/webhooks/{hook.id}")
    assert "Responded with status 500" in page.text
    german = app.get(page.request.path, headers={"Accept-Language": "de"})
    assert german.html.find("td", {"data-label": "Antwort"}).text == "Mit dem Status 500 geantwortet"
    both = page.text + app.get(f"/w/{space.slug}/webhooks").text
    assert "https://shop.example/hook" in both
    assert "whsec_" not in both
    assert "hush" not in both
    next(form for form in page.forms.values() if form.action.endswith("/resend")).submit(status=303)
    with make.database.transaction(space.id) as db:
        assert db.scalars(select(WebhookDelivery)).one().state == "pending"
    app.reset()
    sign_in(app, make.member(space, Role.USER))
    assert app.get(f"/w/{space.slug}/webhooks", status="*").status_int == 403


def test_stored_image_is_sent_to_webhooks_once(program: Program, make: Factory) -> None:
    make.webhook(program.space)
    body = {"template": program.template.slug, "data": {"title": "StoredImage"}}
    first, again = (program.send(body, None, Accept="application/json").json for _ in range(2))
    assert (first["cached"], again["cached"]) == (False, True)
    with make.database.transaction(program.space.id) as db:
        [delivery] = db.scalars(select(WebhookDelivery))
    payload = json.loads(delivery.body)
    assert (payload["type"], payload["data"]["id"], payload["data"]["url"]) == (
        "image.created",
        first["id"],
        first["url"],
    )
    assert payload["data"]["findings"] == first["findings"] != []


def test_too_many_images_per_row_are_rejected_beside_the_field(app: TestApp, make: Factory) -> None:
    space = make.workspace()
    sign_in(app, make.member(space))
    sizes = [{"name": f"size-{number}", "width": 50, "height": 50} for number in range(3)]
    make.template(space, small_document(sizes=sizes))
    make.feed(space)
    form = app.get(f"/w/{space.slug}/runs/new").forms["run-form"]
    for name in form.fields:
        if name and name.startswith(("size.", "format.")):
            form[name] = True
    page = form.submit(status=422)
    assert "at most 12 images" in page.html.find(id="formats-error").text
    assert make.count(Run, space.id) == 0


def test_form_of_a_run_has_the_encoding_options(app: TestApp, make: Factory) -> None:
    space = make.workspace()
    sign_in(app, make.member(space))
    make.template(space)
    make.feed(space)
    form = app.get(f"/w/{space.slug}/runs/new").forms["run-form"]
    form["quality"] = "101"
    page = form.submit(status=422)
    assert page.html.find(id="quality-error") is not None
    form = page.forms["run-form"]
    form["quality"], form["max_kilobytes"], form["palette"] = "95", "150", True
    plan = form.submit(status=200)
    run_page = next(form for form in plan.forms.values() if "confirm" in form.fields).submit(name="confirm")
    assert run_page.status_int == 303
    with make.database.transaction(space.id) as db:
        [run] = db.scalars(select(Run))
        [output] = run.outputs
    assert (output["quality"], output["max_bytes"], output["palette"], output["lossless"]) == (95, 150_000, True, False)


def test_canceled_run_does_not_list_its_skipped_rows_as_failed(app: TestApp, make: Factory) -> None:
    space = make.workspace()
    sign_in(app, make.member(space))
    run = make.run(make.feed(space), make.template(space))
    page = app.get(f"/w/{space.slug}/runs/{run.id}")
    form = next(form for form in page.forms.values() if form.action.endswith("/cancel"))
    shown = form.submit(status=303).follow()
    assert "left out: the run was canceled" in shown.text
    assert "Failed images" not in shown.text
    assert "0.0 per second" in shown.text
    assert "Canceled" in app.get(f"/w/{space.slug}/runs").html.find("table").text
    left_out = app.get(f"/w/{space.slug}/runs/{run.id}?state=failed").html.select("#results .problem li")
    assert ["Not rendered (run canceled)" in row.text for row in left_out] == [True] * 3


def test_run_page_lists_all_failures_and_what_it_waits_for(app: TestApp, make: Factory) -> None:
    space = make.workspace()
    sign_in(app, make.member(space))
    lines = [f"{number},Row" for number in range(MAX_FAILURES + 1)]
    run = make.run(make.feed(space, "\n".join(["sku,title", *lines]).encode()), make.template(space))
    here = f"/w/{space.slug}/runs/{run.id}"

    def report(**result: Any) -> None:
        numbers = range(1, run.total + 1)
        results = tuple(ItemResult(position=number, error="No photo", **result) for number in numbers)
        with make.database.transaction(space.id) as db:
            done = Report(workspace_id=space.id, run_id=run.id, results=results)
            apply_report(db, done, make.services.signed_urls)

    report(is_postponed=True)
    assert "Waiting for the hosts of photos" in app.get(here).text
    report()
    page = app.get(f"{here}?tab=findings")
    assert len(page.html.find("section", attrs={"aria-label": "Failed images"}).find_all("li")) == MAX_FAILURES
    page = page.click(f"Show all {MAX_FAILURES + 1} failed images")
    listed = page.html.find("section", attrs={"aria-label": "Rows without an image"}).find_all("li")
    assert [row.text.strip() for row in listed] == [f"{number}: No photo" for number in range(MAX_FAILURES + 1)]


def prepare(make: Factory) -> None:
    """Execute the jobs that prepare large runs."""
    url = make.services.settings.database.url.get_secret_value()
    run_jobs(url, PREPARE_QUEUE, {"database": make.database})


def test_large_run_starts_at_once_and_is_prepared_later(
    wsgi: Router, make: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planning, "MAX_IN_REQUEST", 2)
    program = Program(wsgi, make, Scope.GENERATE, Scope.READ, images_per_month=3)
    body = {"feed": str(make.feed(program.space).id), "template": program.template.slug}
    response = program.send(body, 201, path="/v1/runs")
    state = (
        response.json["prepared"],
        response.json["error_message"],
        response.json["total"],
        response.json["finished_at"],
    )
    assert state == (False, None, 3, None)
    assert get(program, f"{response.location}/items").json == {"items": [], "next": None}
    prepare(make)
    assert get(program, response.location).json["prepared"] is True
    assert program.used == 3

    changed = {**body, "mapping": {"title": "sku"}}
    refused = program.send(changed, 201, path="/v1/runs")
    prepare(make)
    status = get(program, refused.location).json
    assert (status["prepared"], status["failed"], status["done"]) == (False, 3, 0)
    assert "quota of 3 images per month" in status["error_message"]
    assert status["finished_at"]
    again = program.send({}, 200, path=f"/v1/runs/{status['id']}/retry").json
    assert (again["error_message"], again["failed"], again["finished_at"]) == (None, 0, None)
    gone = program.send({}, 200, path=f"/v1/runs/{status['id']}/cancel").json
    assert (gone["canceled"], gone["failed"], gone["prepared"]) == (True, 3, False)
    assert program.used == 3


def test_skipped_rows_of_a_canceled_run_are_listed(wsgi: Router, make: Factory) -> None:
    program = Program(wsgi, make, Scope.GENERATE, Scope.READ)
    body = {"feed": str(make.feed(program.space).id), "template": program.template.slug}
    response = program.send(body, 201, path="/v1/runs")
    assert get(program, f"{response.location}/items").json["items"] == []
    program.send({}, 200, path=f"/v1/runs/{response.json['id']}/cancel")
    left_out = get(program, f"{response.location}/items").json["items"]
    assert [(item["key"], item["state"], item["error"], item["url"]) for item in left_out] == [
        (key, "failed", "Not rendered (run canceled)", None) for key in ("1", "2", "3")
    ]
    program.send({}, 200, path=f"/v1/runs/{response.json['id']}/retry")
    assert get(program, f"{response.location}/items").json["items"] == []
    render(make, program.space, response.json["id"])
    done = get(program, f"{response.location}/items").json["items"]
    assert [(item["state"], item["error"]) for item in done] == [("done", None)] * 3


def test_page_of_a_large_run_shows_its_preparation_and_why_it_failed_to_start(
    app: TestApp, make: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planning, "MAX_IN_REQUEST", 2)
    monkeypatch.setattr(Quotas, "of", lambda self, workspace_id, plan_status, key=None: Quota(workspace_id, limit=2))
    space = make.workspace()
    sign_in(app, make.member(space))
    feed, template = make.feed(space), make.template(space)
    page = app.get(f"/w/{space.slug}/runs/new?feed={feed.id}&template={template.id}").forms["run-form"].submit()
    page = page.forms["run-form"].submit("confirm", value="yes", status=303).follow()
    assert "Preparing 3 images" in " ".join(page.html.find(role="status").text.split())
    assert page.html.find(id="results")["hx-trigger"] == "every 1s"
    assert "Preparing" in app.get(f"/w/{space.slug}/runs").html.find("table").text
    prepare(make)
    page = app.get(page.request.path)
    assert "hx-trigger" not in page.html.find(id="results").attrs
    assert "Failed to start" in page.html.find(role="status").text
    assert "quota of 2 images per month" in page.html.find(class_="problem").text
    assert "Failed to start" in app.get(f"/w/{space.slug}/runs").html.find("table").text
    form = next(form for form in page.forms.values() if form.action.endswith("/retry"))
    page = form.submit(status=303).follow()
    assert "Preparing 3" in page.html.find(role="status").text
    form = next(form for form in page.forms.values() if form.action.endswith("/cancel"))
    page = form.submit(status=303).follow()
    assert "3 left out: the run was canceled" in page.html.find(role="status").text


@pytest.mark.parametrize("deleted", [Feed, Template])
def test_run_over_something_deleted_cannot_be_planned_or_checked(
    app: TestApp, make: Factory, deleted: type[Feed | Template]
) -> None:
    space = make.workspace()
    sign_in(app, make.member(space))
    make.template(space)
    make.feed(space)
    form = app.get(f"/w/{space.slug}/runs/new").forms["run-form"]
    with make.database.transaction(space.id) as db:
        db.execute(update(deleted).values(deleted_at=func.now()))
    form.submit(status=422)
    typed = {"feed": form["feed"].value, "template": form["template"].value}
    app.get(f"/w/{space.slug}/runs/checks", typed, status=404)


@pytest.mark.parametrize("is_retried", [False, True])
def test_cancellation_is_recorded_once(app: TestApp, make: Factory, is_retried: bool) -> None:
    """Also if it leaves out nothing, since a retry that is not prepared yet has only incomplete images."""
    space = make.workspace()
    sign_in(app, make.member(space))
    run = make.run(make.feed(space), make.template(space))
    if is_retried:
        with make.database.transaction(space.id) as db:
            db.execute(text("UPDATE run_items SET state = 'incomplete'"))
            db.get_one(Run, (space.id, run.id)).prepared = False
    form = next(f for f in app.get(f"/w/{space.slug}/runs/{run.id}").forms.values() if f.action.endswith("/cancel"))
    for _ in range(2):
        form.submit(status=303)
    with make.database.transaction(space.id) as db:
        recorded = select(func.count()).where(AuditEntry.action == "run.cancel", AuditEntry.workspace_id == space.id)
        assert db.scalar(recorded) == 1

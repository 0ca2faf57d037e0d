"""Large plans, searches of logs and their export occupy a slot of the limit on slow requests; other requests do not."""

from contextlib import ExitStack

import pytest
from pyramid.router import Router
from webtest import TestApp

from cwz_web.runs import planning
from cwz_web.runs.models import Run
from cwz_web.web.slow_requests import MAX_PER_WORKSPACE
from tests.factories import Factory, sign_in
from tests.functional.test_api_key_limits import Program


def test_plan_of_many_rows_needs_a_slot(wsgi: Router, make: Factory, monkeypatch: pytest.MonkeyPatch) -> None:
    program = Program(wsgi, make)
    feed = make.feed(program.space)
    body = {"feed": str(feed.id), "template": program.template.slug}
    with ExitStack() as occupied:
        for _ in range(MAX_PER_WORKSPACE):
            occupied.enter_context(make.services.slow_requests.slot(program.space.id))
        program.send(body, 200, path="/v1/runs/plan")
        monkeypatch.setattr(planning, "MAX_IN_REQUEST", 2)
        program.send(body, 200, path="/v1/runs/plan")  # without an earlier run, no row is compared
        run = make.run(feed, program.template)
        with make.database.transaction(program.space.id) as db:
            db.get_one(Run, (program.space.id, run.id)).done = 1
        assert program.send(body, 503, path="/v1/runs/plan").json["code"] == "busy"
    program.send(body, 200, path="/v1/runs/plan")


def test_what_scans_a_log_needs_a_slot(app: TestApp, make: Factory) -> None:
    space = make.workspace()
    sign_in(app, make.member(space))
    here, scans = f"/w/{space.slug}", ("requests?search=feeds", "audit.csv")
    with ExitStack() as occupied:
        for _ in range(MAX_PER_WORKSPACE):
            occupied.enter_context(make.services.slow_requests.slot(space.id))
        for path in scans:
            app.get(f"{here}/{path}", status=503)
        app.get(f"{here}/requests", status=200)
    for path in scans:
        app.get(f"{here}/{path}", status=200)

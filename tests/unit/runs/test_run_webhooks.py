"""Webhooks about runs and their images."""

import json
from datetime import datetime
from typing import Any

from sqlalchemy import select

from cwz_web.generation.usage import monthly_usage
from cwz_web.imaging.encoders import Output
from cwz_web.notify.models import WebhookDelivery
from cwz_web.notify.webhooks import Event
from cwz_web.runs.models import Run
from cwz_web.runs.planning import (
    cancel_run,
    latest_runs,
)
from cwz_web.runs.protocol import (
    ItemResult,
    Report,
)
from cwz_web.runs.reports import (
    apply_report,
)
from tests.factories import Factory
from tests.rendering import (
    SIGNED_URLS,
    recording_client,
    request_chunk,
    rows,
    work,
    worker,
)


def test_single_image_is_rendered_and_sent_to_its_webhook(make: Factory) -> None:
    space = make.workspace()
    template = make.template(space)
    make.webhook(space, "https://all.example/")
    run = make.image_run(template, "https://named.example/", title="Hello")
    worker(make).render_chunk(request_chunk(run), last_try=False)
    with make.database.transaction(space.id) as db:
        ended = db.get_one(Run, (space.id, run.id))
        assert (ended.feed_id, ended.done, monthly_usage(db, space.id, space.id)) == (None, 1, 1)
        sent = sorted((each.url, each.event) for each in db.scalars(select(WebhookDelivery)))
        assert latest_runs(db, space.id) == [], "it is no run to people"
    assert sent == [("https://all.example/", "image.created"), ("https://named.example/", "image.created")]


def test_webhooks_get_images_and_the_finished_run_once(make: Factory) -> None:
    space = make.workspace()
    make.webhook(space, "https://all.example/")
    client = recording_client(make)
    run = make.run(make.feed(space, rows(3)), make.template(space))
    worker(make, client).render_chunk(request_chunk(run), last_try=False)
    for report in list(client.reports):
        client.report(report)
    with make.database.transaction(space.id) as db:
        bodies = [json.loads(each.body) for each in db.scalars(select(WebhookDelivery).order_by(WebhookDelivery.id))]
    assert [body["type"] for body in bodies] == ["image.created"] * 3 + ["run.finished"]
    assert {body["data"]["key"] for body in bodies[:3]} == {"0", "1", "2"}
    assert (bodies[3]["data"]["done"], bodies[3]["data"]["failed"]) == (3, 0)


def test_run_with_failed_images_is_sent_as_failed(make: Factory) -> None:
    space = make.workspace()
    make.webhook(space, "https://all.example/", Event.RUN_FAILED)
    run = make.run(make.feed(space, rows(1)), make.template(space))
    with make.database.transaction(space.id) as db:
        results = (ItemResult(position=1, error="No"),)
        apply_report(db, Report(workspace_id=space.id, run_id=run.id, results=results), SIGNED_URLS)
        [told] = db.scalars(select(WebhookDelivery))
    assert json.loads(told.body)["data"]["failed"] == 1


def sent_events(make: Factory, run: Run) -> list[tuple[str, dict[str, Any]]]:
    """The webhooks' messages about a workspace's runs, oldest first."""
    with make.database.transaction(run.workspace_id) as db:
        sent = db.scalars(
            select(WebhookDelivery).where(WebhookDelivery.event.like("run.%")).order_by(WebhookDelivery.id)
        )
        return [(each.url, json.loads(each.body)["data"]) for each in sent]


def test_run_with_nothing_to_render_is_sent_as_finished(make: Factory) -> None:
    space = make.workspace()
    feed, template = make.feed(space, rows(2)), make.template(space)
    work(make, make.run(feed, template))
    make.webhook(space, "https://all.example/")
    run = make.run(feed, template)
    [(url, about)] = sent_events(make, run)
    assert (url, about["unchanged"], about["failed"]) == ("https://all.example/", 2, 0)
    assert datetime.fromisoformat(about["finished_at"]) == make.reload(run).finished_at
    assert about["outputs"] == [Output().model_dump(mode="json")]


def test_canceled_run_is_sent_as_failed_and_canceled(make: Factory) -> None:
    space = make.workspace()
    make.webhook(space, "https://all.example/")
    run = make.run(make.feed(space, rows(2)), make.template(space))
    with make.database.transaction(space.id) as db:
        cancel_run(db, db.get_one(Run, (space.id, run.id)))
    [(_, about)] = sent_events(make, run)
    assert (about["canceled"], about["failed"]) == (True, 2)

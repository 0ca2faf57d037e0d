"""Outgoing webhooks, against a real server on loopback, checked with the public library."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import UUID

import pytest
from procrastinate.jobs import Job
from sqlalchemy import select, text
from standardwebhooks.webhooks import Webhook as Verifier
from standardwebhooks.webhooks import WebhookVerificationError

from cwz_web.cli.worker import TASKS
from cwz_web.jobs import (
    RENDER_QUEUE,
    ScheduledRetry,
    app,
    worker_queue_groups,
)
from cwz_web.net.client import BlockedRequestError, Fetcher
from cwz_web.notify.models import Webhook, WebhookDelivery
from cwz_web.notify.webhook_list import find_deliveries
from cwz_web.notify.webhooks import (
    DISABLED_BY_GONE,
    QUEUE,
    RETRY_DELAYS,
    Event,
    WebhookDeliveryError,
    WebhookSender,
    emit,
    resend_delivery,
    rotate_secret,
)
from tests.factories import Factory
from tests.jobs import run_jobs

SECRET = "a signing secret"


class Listener:
    """A customer's server: notes what it gets and answers with a status."""

    def __init__(self) -> None:
        self.status, self.got = 200, list[tuple[dict[str, str], bytes]]()
        listener = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                listener.got.append((dict(self.headers.items()), body))
                self.send_response(listener.status)
                self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *about: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.host = f"127.0.0.1:{self.server.server_port}"
        self.url = f"http://{self.host}/hook"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def listener() -> Iterator[Listener]:
    listener = Listener()
    yield listener
    listener.server.shutdown()
    listener.server.server_close()


class Sender:
    """A workspace with a webhook, and the sending of its messages."""

    def __init__(self, make: Factory, url: str, allow: str = "") -> None:
        self.make, self.space = make, make.workspace()
        self.hook = make.webhook(self.space, url)
        self.fetcher = Fetcher([allow] if allow else [])
        self.webhooks = WebhookSender(SECRET, self.fetcher)

    def emit(self, event: Event = Event.RUN_FINISHED, webhook: str | None = None, **data: Any) -> WebhookDelivery:
        with self.make.database.transaction(self.space.id) as db:
            emit(db, self.space.id, event, data, webhook=webhook)
            return db.scalars(select(WebhookDelivery).order_by(WebhookDelivery.id.desc())).first()  # type: ignore[return-value]

    def send(self, delivery: WebhookDelivery, *, last_try: bool = False) -> WebhookDelivery:
        self.webhooks.deliver(self.make.database, self.space.id, delivery.id, last_try=last_try)
        return self.make.reload(delivery)

    def close(self) -> None:
        self.fetcher.close()

    def change(self) -> Any:
        return self.make.database.transaction(self.space.id)


@pytest.fixture
def sender(make: Factory, listener: Listener) -> Iterator[Sender]:
    sender = Sender(make, listener.url, listener.host)
    yield sender
    sender.close()


def secrets(sender: Sender, numbers: range = range(1, 2), owner: UUID | None = None) -> list[str]:
    return sender.webhooks.secrets_for(owner or sender.hook.id, numbers)


def test_signature_is_verified_by_standardwebhooks(sender: Sender, listener: Listener) -> None:
    delivery = sender.send(sender.emit(id="42"))
    [(headers, body)] = listener.got
    [secret] = secrets(sender)
    assert secret.startswith("whsec_")
    verified = Verifier(secret).verify(body, headers)
    assert verified == json.loads(body)
    assert (verified["type"], verified["data"]) == ("run.finished", {"id": "42"})
    assert (delivery.state, delivery.status, delivery.attempts) == ("delivered", 200, 1)
    assert delivery.milliseconds is not None
    with pytest.raises(WebhookVerificationError):
        Verifier(secret).verify(body.replace(b"42", b"43"), headers)
    with pytest.raises(WebhookVerificationError):
        Verifier(secrets(sender, range(2, 3))[0]).verify(body, headers)


def test_both_secrets_verify_during_rotation(sender: Sender, listener: Listener) -> None:
    with sender.change() as db:
        rotate_secret(db.get_one(Webhook, (sender.space.id, sender.hook.id)))
    sender.send(sender.emit())
    [(headers, body)] = listener.got
    both = secrets(sender, range(1, 3))
    assert len(set(both)) == 2
    for secret in both:
        assert Verifier(secret).verify(body, headers)


def test_request_webhook_is_signed_with_workspace_secret(sender: Sender, listener: Listener) -> None:
    with sender.change() as db:
        db.delete(db.get_one(Webhook, (sender.space.id, sender.hook.id)))
    sender.send(sender.emit(webhook=listener.url))
    [(headers, body)] = listener.got
    [secret] = secrets(sender, owner=sender.space.id)
    assert Verifier(secret).verify(body, headers)


@pytest.mark.parametrize("status", [301, 404, 500])
def test_failed_delivery_is_retried_with_same_id(sender: Sender, listener: Listener, status: int) -> None:
    listener.status = status
    delivery = sender.emit()
    with pytest.raises(WebhookDeliveryError):
        sender.send(delivery)
    assert sender.make.reload(delivery).state == "pending"
    assert sender.make.reload(delivery).last_response == f"Responded with status {status}"
    listener.status = 204
    assert sender.send(delivery).state == "delivered"
    assert [headers["webhook-id"] for headers, _ in listener.got] == [f"msg_{delivery.id.hex}"] * 2
    sender.send(delivery)
    assert len(listener.got) == 2, "a delivered message is not sent again"


def test_dead_delivery_can_be_resent(sender: Sender, listener: Listener) -> None:
    listener.status = 503
    delivery = sender.send(sender.emit(), last_try=True)
    assert (delivery.state, delivery.attempts) == ("failed", 1)
    with sender.change() as db:
        resend_delivery(db, db.get_one(WebhookDelivery, (sender.space.id, delivery.id)))
    listener.status = 200
    assert sender.send(delivery).state == "delivered"


def test_410_disables_webhook(sender: Sender, listener: Listener) -> None:
    listener.status = 410
    waiting, gone = sender.emit(), sender.emit()
    assert sender.send(gone).state == "failed"
    hook = sender.make.reload(sender.hook)
    assert (hook.active, hook.error_message) == (False, DISABLED_BY_GONE)
    assert sender.send(waiting).state == "failed", "what waited is not sent any more"
    assert len(listener.got) == 1
    sender.emit()
    with sender.change() as db:
        assert find_deliveries(db, hook).count == 2, "and nothing further is written down"


@pytest.mark.parametrize("url", ["http://169.254.169.254/latest", "https://10.0.0.1/", "https://localhost/"])
def test_internal_host_is_blocked_before_connecting(make: Factory, url: str) -> None:
    inside = {"169.254.169.254": "169.254.169.254", "10.0.0.1": "10.0.0.1", "localhost": "127.0.0.1"}
    sender = Sender(make, url)
    sender.webhooks = WebhookSender(SECRET, Fetcher(resolver=lambda host, _: [inside[host]]))
    with pytest.raises(BlockedRequestError):
        sender.webhooks.fetcher.post(url, b"", {}, seconds=1)
    delivery = sender.emit()
    with pytest.raises(WebhookDeliveryError):
        sender.send(delivery)
    assert "cannot be fetched" in str(make.reload(delivery).last_response)
    sender.webhooks.fetcher.close()
    sender.close()


def test_only_subscribed_webhooks_of_the_workspace_receive_event(make: Factory, sender: Sender) -> None:
    other = make.workspace()
    make.webhook(other, "https://other.example/")
    choosy = make.webhook(sender.space, "https://choosy.example/", Event.QUOTA_REACHED)
    sender.emit(Event.FEED_FAILED)
    with sender.change() as db:
        told = {delivery.webhook_id for delivery in db.scalars(select(WebhookDelivery))}
    assert told == {sender.hook.id}
    assert choosy.id not in told
    with make.database.transaction(other.id) as db:
        assert db.scalars(select(WebhookDelivery)).all() == []


def test_rolled_back_transaction_emits_nothing(make: Factory, sender: Sender) -> None:
    with sender.change() as db:
        emit(db, sender.space.id, Event.RUN_FINISHED, {})
        db.rollback()
    with make.database.transaction() as db:
        assert db.scalar(text("SELECT count(*) FROM procrastinate_jobs")) == 0


def test_job_sends_delivery(make: Factory, sender: Sender, listener: Listener, app_url: str) -> None:
    sender.emit(id="1")
    run_jobs(app_url, QUEUE, {"database": make.database, "webhooks": sender.webhooks})
    assert len(listener.got) == 1


def test_retries_span_three_days() -> None:
    assert 3 * 86400 <= sum(RETRY_DELAYS) < 4 * 86400
    strategy = ScheduledRetry(RETRY_DELAYS)
    attempts = [Job(id=1, queue="q", lock=None, queueing_lock=None, task_name="t", attempts=n) for n in range(11)]
    decisions = [strategy.get_retry_decision(exception=WebhookDeliveryError(), job=job) for job in attempts]
    assert [bool(decision) for decision in decisions] == [True] * 9 + [False] * 2


def test_every_job_has_a_worker() -> None:
    assert TASKS, "importing them declares the jobs"
    queues = {task.queue for task in app.tasks.values() if not task.name.startswith("builtin:")}
    groups = worker_queue_groups(1, maintenance=True)
    assert queues <= {RENDER_QUEUE, *(queue for group in groups for queue in group.queues)}


def test_webhook_belongs_to_its_workspace(make: Factory, sender: Sender) -> None:
    theirs = make.workspace()
    hook = make.webhook(theirs)
    assert secrets(sender) != secrets(sender, owner=hook.id)

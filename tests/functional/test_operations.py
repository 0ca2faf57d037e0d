"""What operators use: readiness, metrics, the operations page, and `cwz doctor`."""

import dataclasses
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, LiteralString

import psycopg
import pytest
from aiosmtpd.controller import Controller
from click.testing import CliRunner
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr
from pyramid.router import Router
from sqlalchemy import text
from webtest import TestApp

from cwz_web.app import create_app
from cwz_web.cli import main
from cwz_web.crypto import KeyRing, parse_keys
from cwz_web.db.session import Database
from cwz_web.ops import checks, health
from cwz_web.ops.checks import CheckContext, Finding, Level, run_checks
from cwz_web.ops.models import BackupRecord
from cwz_web.storage.connections import create_connection
from cwz_web.web.services import Services
from tests.conftest import ENCRYPTION_KEY, change_settings, make_settings
from tests.factories import Factory, api, sign_in, sign_in_with_form, token_of
from tests.installation import ROOT, free_port

TOKEN = "a-token-for-prometheus"


PRODUCTION = {"environment": "production", "url": "https://images.example.org", "mail.transport": "smtp"}


@pytest.fixture(scope="module")
def wsgi_in_production(shared_services: Services) -> Router:
    settings = change_settings(shared_services.settings, PRODUCTION)
    return create_app(dataclasses.replace(shared_services, settings=settings))


@pytest.fixture
def in_production(
    wsgi_in_production: Router, services: Services, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., TestApp]:
    """Returns the application in production with other settings."""

    def change(**settings: object) -> TestApp:
        known = change_settings(services.settings, PRODUCTION | settings)
        changed = dataclasses.replace(services, settings=known)
        monkeypatch.setitem(wsgi_in_production.registry, "services", changed)
        environ = {"wsgi.url_scheme": "https", "HTTP_HOST": known.url.removeprefix("https://")}
        return TestApp(wsgi_in_production, extra_environ=environ)

    return change


def job(services: Services, queue: str = "default", task: str = "feeds.enqueue_due", **more: str) -> int:
    """Insert a job."""
    columns, values = ", ".join(["", *more]), "".join(f", {value}" for value in more.values())
    with services.database.transaction() as db:
        number = db.scalar(
            text(
                f"INSERT INTO procrastinate_jobs (queue_name, task_name{columns})"  # noqa: S608
                f" VALUES ('{queue}', '{task}'{values}) RETURNING id"
            )
        )
        db.execute(text("INSERT INTO procrastinate_events (job_id, type) VALUES (:id, 'deferred')"), {"id": number})
    assert number is not None
    return int(number)


def age_jobs(services: Services, minutes: int) -> None:
    with services.database.transaction() as db:
        db.execute(text("UPDATE procrastinate_events SET at = at - make_interval(mins => :m)"), {"m": minutes})


def test_readyz_reports_database_schema_and_queue(app: TestApp, services: Services) -> None:
    assert app.get("/readyz").json == {
        "status": "ok",
        "database": "ok",
        "migrations": "ok",
        "queue_seconds": 0.0,
        "queue": "ok",
    }
    job(services)
    job(services, scheduled_at="now() + interval '1 hour'")
    age_jobs(services, 10)
    slow = app.get("/readyz").json
    assert slow["queue"] == "slow"
    assert 600 <= slow["queue_seconds"] < 700
    assert slow["status"] == "ok"  # other web processes could not serve better


@pytest.mark.parametrize(
    ("change", "status"),
    [("DELETE FROM alembic_version", 503), ("UPDATE alembic_version SET version_num = '9999'", 200)],
)
def test_readyz_rejects_an_older_schema_and_accepts_a_newer_one(
    app: TestApp, owner_url: str, change: LiteralString, status: int
) -> None:
    with psycopg.connect(owner_url) as connection:
        [before] = connection.execute("SELECT version_num FROM alembic_version").fetchone() or ("",)
        connection.execute(change)
    try:
        assert app.get("/readyz", status="*").status_int == status
    finally:
        with psycopg.connect(owner_url) as connection:
            connection.execute("DELETE FROM alembic_version")
            connection.execute("INSERT INTO alembic_version VALUES (%s)", [before])


def parse_metrics(answer: Any) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def test_metrics_count_requests_images_queues_and_backups(app: TestApp, services: Services, make: Factory) -> None:
    before = parse_metrics(app.get("/metrics"))
    space = make.workspace()
    template, key = make.template(space), make.key(space)
    for _ in range(2):
        api(app, key, {"template": template.slug, "data": {"title": "A title of its own"}}, status=200)
    app.get("/signin")
    app.get("/a-made-up-url", status=404)
    job(services, queue="email")
    age_jobs(services, 2)
    with services.database.transaction() as db:
        hour_ago = datetime.now(UTC) - timedelta(hours=1)
        db.add(BackupRecord(name="a", created_at=hour_ago, size=1, rows=1))
    answer = app.get("/metrics")
    after = parse_metrics(answer)

    def increase(name: str, **labels: str) -> float:
        sample = (name, tuple(sorted(labels.items())))
        return after.get(sample, 0) - before.get(sample, 0)

    requests = "cwz_http_request_duration_seconds_count"
    assert increase(requests, route="ApiImageCollection/", method="POST", status="200") == 2
    assert increase(requests, route="SignInRoot/", method="GET", status="200") == 1
    assert increase(requests, route="", method="GET", status="404") == 1
    assert increase("cwz_render_duration_seconds_count") == 1
    assert increase("cwz_image_cache_hits_total") == 1
    assert after["cwz_queue_jobs_waiting", (("queue", "email"),)] == 1
    assert 120 <= after["cwz_queue_oldest_job_seconds", (("queue", "email"),)] < 200
    assert 3600 <= after["cwz_backup_age_seconds", ()] < 3700
    assert ("cwz_backup_verified_age_seconds", ()) not in after
    assert "made-up" not in answer.text
    assert str(space.id) not in answer.text


def test_metrics_require_a_token_in_production(in_production: Callable[..., TestApp]) -> None:
    without_token = in_production()
    without_token.get("/metrics", status=404)
    app = in_production(**{"monitoring.metrics_token": SecretStr(TOKEN)})
    for header in ({}, {"Authorization": f"Bearer {TOKEN}x"}, {"Authorization": "Bearer "}, {"Authorization": "é"}):
        app.get("/metrics", headers=header, status=401)
    assert "cwz_workers" in app.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"}).text


def test_operations_page_is_visible_to_operators_only(app_with_settings: Callable[..., TestApp], make: Factory) -> None:
    one, other = make.account(), make.account()
    app = app_with_settings(**{"operator.emails": (one.email.lower(),)})
    assert "/signin" in app.get("/ops", status=303).headers["Location"]
    sign_in(app, one)
    assert "Operations" in app.get("/ops").text
    stranger = TestApp(app.app)
    sign_in(stranger, other)
    stranger.get("/ops", status=404)
    assert not stranger.get("/account").html.find("a", href="/ops")
    assert app.get("/account").html.find("a", href="/ops")
    stranger.post("/ops/retry", {"job": "1", "csrf_token": token_of(stranger, "/w")}, status=404)


def test_operators_need_a_second_factor_in_production(in_production: Callable[..., TestApp], make: Factory) -> None:
    account = make.account()
    app = in_production(**{"operator.emails": (account.email.lower(),)})
    sign_in_with_form(app, account)
    app.get("/ops", status=404)
    with make.database.transaction() as db:
        db.execute(text("UPDATE accounts SET totp_confirmed_at = now() WHERE id = :id"), {"id": account.id})
    app.get("/ops", status=200)


@pytest.fixture
def ops(app_with_settings: Callable[..., TestApp], make: Factory) -> TestApp:
    account = make.account()
    app = app_with_settings(**{"operator.emails": (account.email.lower(),)})
    sign_in(app, account)
    return app


def test_operations_page_shows_problems_and_retries_a_failed_job(
    ops: TestApp, services: Services, make: Factory
) -> None:
    assert "No worker is running" in ops.get("/ops").text
    with services.database.transaction() as db:
        db.execute(text("INSERT INTO procrastinate_workers DEFAULT VALUES"))
    failed = job(services, status="'failed'", attempts="3", args="""'{"secret": "a-planted-secret"}'""")
    stuck = job(services, queue="render", task="runs.render_chunk", status="'doing'")
    waiting = job(services, queue="email")
    age_jobs(services, 90)
    with services.database.transaction() as db:
        made = {"created_at": datetime.now(UTC), "size": 2048, "rows": 12345}
        db.add(BackupRecord(name="whole.backup", verified_at=datetime.now(UTC), copied=True, **made))
        db.add(
            BackupRecord(
                name="broken.backup", verified_at=datetime.now(UTC), error_message="items: rows differ", **made
            )
        )
    page = ops.get("/ops")
    rows = {row.find("th").text: row.text for row in page.html.select("tbody tr")}
    assert "Slow" in rows["email"]
    assert "OK" in rows["default"]
    assert "feeds.enqueue_due" in rows[str(failed)]
    assert "runs.render_chunk" in rows[str(stuck)]
    assert "items: rows differ" in page.text
    assert "12,345" in page.text
    assert "a-planted-secret" not in page.text
    assert "Local folder" in page.text
    [form] = [form for form in page.forms.values() if form.action == "/ops/retry"]
    form.submit(status=303)
    with services.database.transaction() as db:
        status = text("SELECT status, attempts FROM procrastinate_jobs WHERE id = :id")
        assert tuple(db.execute(status, {"id": failed}).one()) == ("todo", 0)
        assert health.retry_job(db, waiting) is False


def test_failed_job_is_not_retried_while_an_equal_one_is_queued(ops: TestApp, services: Services) -> None:
    lock = {"queueing_lock": "'back_up'"}
    failed = job(services, queue="maintenance", task="ops.back_up", status="'failed'", **lock)
    job(services, queue="maintenance", task="ops.back_up", **lock)
    page = ops.get("/ops")
    [form] = [form for form in page.forms.values() if form.action == "/ops/retry"]
    form.submit(status=303)
    with services.database.transaction() as db:
        status = db.scalar(text("SELECT status FROM procrastinate_jobs WHERE id = :id"), {"id": failed})
    assert status == "failed"


def findings(services: Services, server: dict[str, str] | None = None, **settings: object) -> dict[str, list[Finding]]:
    known = change_settings(services.settings, settings)
    found: dict[str, list[Finding]] = {}
    for each in run_checks(CheckContext(known, services.database, services.providers, services.ring, server or {})):
        found.setdefault(each.subject, []).append(each)
    return found


def worst(found: list[Finding]) -> Level:
    return max((each.level for each in found), key=list(Level).index)


def test_doctor_reports_no_error_for_a_good_deployment(services: Services, owner_url: str) -> None:
    found = findings(services, **{"database.owner_url": SecretStr(owner_url)})
    assert [each.message for several in found.values() for each in several if each.level is Level.ERROR] == []
    assert worst(found["database"]) is Level.OK
    assert worst(found["owner role"]) is Level.OK


def test_doctor_checks_the_role_of_render_workers(services: Services, queue_url: str, app_url: str) -> None:
    [missing] = findings(services)["queue role"]
    assert missing.level is Level.WARNING
    [good] = findings(services, **{"database.queue_url": SecretStr(queue_url)})["queue role"]
    assert good.level is Level.OK
    [excess] = findings(services, **{"database.queue_url": SecretStr(app_url)})["queue role"]
    assert excess.level is Level.ERROR


def test_doctor_detects_a_role_that_bypasses_row_security(services: Services, owner_url: str) -> None:
    database = Database(owner_url, pool_size=1)
    try:
        found = findings(dataclasses.replace(services, database=database))
    finally:
        database.dispose()
    assert "can bypass row-level security" in found["database"][0].message
    assert found["database"][0].level is Level.ERROR


def test_doctor_detects_an_unreachable_database(services: Services, tmp_path: Path) -> None:
    url = re.sub(r"host=.*", f"host={tmp_path}", services.settings.database.url.get_secret_value())
    database = Database(url, pool_size=1)
    found = findings(dataclasses.replace(services, database=database))
    database.dispose()
    assert found["database"][0].level is Level.ERROR
    assert "OperationalError" in found["database"][0].message


def test_doctor_detects_undecryptable_secrets_and_older_keys(services: Services, make: Factory) -> None:
    space = make.workspace()
    with services.database.transaction(space.id) as db:
        create_connection(
            db, space.id, services.ring, provider="s3", name="Ours", secrets={"secret_access_key": "x" * 40}
        )
    assert worst(findings(services)["encryption keys"]) is Level.OK
    newer = KeyRing([bytes(range(100, 132)), *parse_keys(ENCRYPTION_KEY)])
    [old] = findings(dataclasses.replace(services, ring=newer))["encryption keys"]
    assert (old.level, "cwz keys rotate" in old.message) == (Level.WARNING, True)
    [shut] = findings(dataclasses.replace(services, ring=KeyRing([bytes(range(100, 132))])))["encryption keys"]
    assert (shut.level, "1 storage credentials cannot be decrypted" in shut.message) == (Level.ERROR, True)


@pytest.fixture
def smtp() -> Iterator[Controller]:
    controller = Controller(object(), hostname="127.0.0.1", port=free_port())
    controller.start()
    yield controller
    controller.stop()


def test_doctor_connects_to_the_mail_server(services: Services, smtp: Controller) -> None:
    mail = {"mail.transport": "smtp", "mail.smtp_host": "127.0.0.1", "mail.smtp_tls": "none"}
    assert worst(findings(services, **mail, **{"mail.smtp_port": smtp.port})["email"]) is Level.OK
    [none] = findings(services, **mail, **{"mail.smtp_port": 1})["email"]
    assert (none.level, "Cannot connect to 127.0.0.1:1" in none.message) == (Level.ERROR, True)


def test_doctor_checks_production_settings(services: Services) -> None:
    production = PRODUCTION | {"url": "https://127.0.0.1:1"}
    found = findings(services, **production)
    messages = "\n".join(each.message for several in found.values() for each in several)
    for word in (
        "has no trusted_proxy",
        "No backup exists",
        "Backups are not copied",
        "No worker is running",
        "All machines must share",
        "cwz.operator.emails is empty",
        "cwz.operator.security_contact",
        "redis://",
        "Cannot connect to https://127.0.0.1:1",
        "set cwz.operator.encrypted_volumes",
    ):
        assert word in messages
    proxied = {"trusted_proxy": "127.0.0.1", "trusted_proxy_headers": "x-forwarded-proto"}
    [wrong, _] = findings(services, proxied, **production)["proxy"]
    assert "x-forwarded-for" in wrong.message


def test_doctor_detects_missing_packages_unreachable_redis_and_slow_queues(services: Services, tmp_path: Path) -> None:
    job(services, queue="render")
    job(services, queue="email", status="'failed'")
    age_jobs(services, 20)
    found = findings(services, node_modules=tmp_path, rate_limits="redis://127.0.0.1:1")
    assert "Run `npm ci`" in found["packages"][0].message
    assert worst(found["workers"]) is Level.ERROR
    assert any("render has waited 20 minutes" in each.message for each in found["workers"])
    assert any("1 failed jobs in the queue email" in each.message for each in found["workers"])
    limits = found["rate limits"]
    assert worst(limits) is Level.ERROR


def test_doctor_detects_a_missing_script_of_the_editor(
    services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "EDITOR_SCRIPT", tmp_path / "editor.js")
    [finding] = findings(services, **PRODUCTION)["packages"]
    assert (finding.level, "npm run build" in finding.message) == (Level.ERROR, True)


def test_doctor_detects_a_missing_storage_for_backup_copies(services: Services, app_url: str) -> None:
    wrong = make_settings(app_url, services.settings.var, backup={"provider": "tape"})
    found = findings(services, backup=wrong.backup)
    assert any("no storage provider named tape" in each.message for each in found["backups"])


def test_doctor_command(app_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ini = tmp_path / "test.ini"
    ini.write_text(
        f"[app:main]\nuse = egg:cwz-web\ncwz.environment = development\ncwz.url = http://127.0.0.1:1\n"
        f"cwz.var = {tmp_path}\ncwz.node_modules = {ROOT / 'node_modules'}\ncwz.mail.transport = folder\n"
        f"cwz.secrets.file = {tmp_path}/secrets.json\n[server:main]\nuse = egg:cwz-web\n"
    )
    monkeypatch.setenv("DATABASE_URL", app_url)
    done = CliRunner().invoke(main, ["-c", str(ini), "doctor"])
    assert done.exit_code == 0, done.output
    assert "Row-level security applies to the role" in done.output
    assert "0 errors, " in done.output

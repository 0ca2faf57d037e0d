"""What every test may use: a database of its own worker, the services, the application, and a real HTTP server.

PostgreSQL is the embedded one, started once for all workers; each has a clone of the migrated template database, which
is emptied after each test that used it.
"""
# ruff: noqa: E402

import gc

# Modules live as long as the session: collecting garbage rarely, and never among them, saves seconds. Before they are
# imported, since a quarter of their import is a search for garbage.
gc.set_threshold(20_000, 20, 1000)

import dataclasses
import fcntl
import json
import os
import re
import shutil
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from gettext import NullTranslations
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice
from pathlib import Path
from typing import Any

import certifi
import hypothesis
import psycopg
import pyramid_jinja2
import pytest
import structlog
from bs4 import BeautifulSoup
from jinja2 import Environment, FileSystemBytecodeCache
from pyramid.router import Router
from pyramid.threadlocal import get_current_request
from webtest import TestApp, TestRequest
from webtest.forms import Form
from webtest.response import TestResponse

from cwz_web import i18n
from cwz_web.app import create_app
from cwz_web.billing.stripe_api import Stripe
from cwz_web.billing.subscriptions import BillingService
from cwz_web.db.embedded import EmbeddedPostgres
from cwz_web.db.migrate import migrate
from cwz_web.db.session import Database
from cwz_web.imaging.fonts import install_fonts
from cwz_web.imaging.icons import install_icons
from cwz_web.net import resolution
from cwz_web.notify.email_delivery import mail_folder
from cwz_web.notify.slack import Slack
from cwz_web.settings import SECRETS, Settings
from cwz_web.web.request import Request
from cwz_web.web.services import Services
from tests.factories import PASSWORDS, Factory
from tests.installation import Installation
from tests.mailbox import Mailbox
from tests.saved_rows import PRESERVED_TABLES, RowSaver
from tests.stripe_server import SECRET_KEY, WEBHOOK_SECRET, StripeServer

ROOT = Path(__file__).parent.parent
DATA = Path(__file__).parent / "data"
ENCRYPTION_KEY = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"  # 32 bytes
# An installation with billing, and plans that are soon full.
STRIPE_SECRETS = {"stripe_secret_key": SECRET_KEY, "stripe_webhook_secrets": f"whsec_another,{WEBHOOK_SECRET}"}
SMALL_PLANS = {
    "pro": {"images": 3, "feeds": 2},
    "free": {"images": 1, "members": 2, "connections": 1, "feeds": 1, "uploads": 2},
}
# Each process takes seconds of CPU to start.
ONE_RENDER_PROCESS = {"rendering.processes": "1"}
# They show Stripe's prices, for which one request at a time waits.
PRICE_PAGES = {"Root/pricing", "BillingResource/"}
END_OF_CERTIFICATE = "-----END CERTIFICATE-----\n"
# Slow tests by the worker that starts with them; Chromium and the installations are fixtures of one worker.
SLOW_FIRST = (
    ("tests/browser/",),
    ("tests/functional/test_process_kills", "tests/functional/test_render_worker", "tests/functional/test_serve"),
    ("tests/functional/test_log_redaction", "tests/unit/db/test_embedded", "tests/unit/ops/", "tests/unit/test_server"),
)

# Documents are validated while tests are collected.
install_icons(ROOT / "node_modules")

# No test is timed: machines are noisy. The same examples in each run: a change fails for what it changed, and
# HYPOTHESIS_PROFILE=explore looks for new ones, among more.
hypothesis.settings.register_profile("reproducible", max_examples=25, deadline=None, derandomize=True, database=None)
hypothesis.settings.register_profile("explore", deadline=None)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "reproducible"))

# As `configure_logs` has it. Rich tracebacks take seconds.
PLAIN_CONSOLE = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
structlog.configure(processors=[*structlog.get_config()["processors"][:-1], PLAIN_CONSOLE])


# As icons begin (cwz_web/web/rendering.py); charts begin otherwise.
ICON = re.compile(r'(<svg aria-hidden="true"[^>]*>).*?(</svg>)', re.S)


# Forms with their ids; the attributes of our templates contain no ">".
FORM = re.compile(r'<form\b(?:[^>]*?\sid="([^"]*)")?.*?</form>', re.S)


class PageForm(Form):
    """A form that parses its page only for controls outside of it, which name it."""

    def _parse_fields(self) -> None:
        form_id = self.id
        if f'form="{form_id}"' not in self.response.text:
            self.id = None  # then WebTest reads the form alone
        super()._parse_fields()
        self.id = form_id


class Forms(Mapping[int | str, Form]):
    """The forms of a page by position, and by id; parsed when they are used, since most are not."""

    def __init__(self, response: "Response") -> None:
        self._response = response
        found = list(FORM.finditer(response.text_without_icons))
        self._texts = [form[0] for form in found]
        self._positions: dict[int | str, int] = {position: position for position in range(len(found))}
        self._positions |= {form[1]: position for position, form in enumerate(found) if form[1]}
        self._parsed: dict[int, Form] = {}

    def __getitem__(self, key: int | str) -> Form:
        position = self._positions[key]
        if position not in self._parsed:
            text = self._texts[position]
            self._parsed[position] = PageForm(self._response, text, self._response.parser_features)
        return self._parsed[position]

    def __contains__(self, key: object) -> bool:
        return key in self._positions

    def __iter__(self) -> Iterator[int | str]:
        return iter(self._positions)

    def __len__(self) -> int:
        return len(self._positions)


class Response(TestResponse):
    """A response that is parsed in less time: the parser takes longer than the page itself."""

    @cached_property
    def text_without_icons(self) -> str:
        """The page, without the drawings of its icons, which are a third of its elements."""
        return ICON.sub(r"\1\2", str(self.text))

    @cached_property
    def html(self) -> BeautifulSoup:
        return BeautifulSoup(self.text_without_icons, self.parser_features)

    @cached_property
    def forms(self) -> Forms:
        return Forms(self)


TestRequest.ResponseClass = Response


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Function]) -> None:
    """Start each worker's share with a group of slow tests, so that none still runs one when the others are done.

    Last, so that shares are counted without the tests that are deselected.

    xdist sends contiguous shares to its workers, which then steal from the ends of each other's shares. Tests of the
    installation are neighbors: it is stopped after them.
    """
    groups = [[item for item in items if item.nodeid.startswith(prefixes)] for prefixes in SLOW_FIRST]
    for group in groups:
        group.sort(key=lambda item: "installation" not in item.fixturenames)
    slow = {item for group in groups for item in group}
    others = iter([item for item in items if item not in slow])
    ordered: list[pytest.Function] = []
    for number, group in enumerate(groups):
        share = (len(items) - len(ordered)) // (len(groups) - number)
        ordered += [*group, *islice(others, max(0, share - len(group)))]
    items[:] = ordered


def pytest_collection_finish() -> None:
    gc.set_threshold(20_000, 20, 20)
    gc.collect()
    gc.freeze()


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Function, nextitem: pytest.Function | None) -> None:
    """Stop the installation after the last test that uses it: while it waits, it still takes 3 % of a CPU.

    Last, since fixtures of the test still use it when they are torn down.
    """
    used = item.funcargs.get("installation")
    if used is not None and nextitem is not None and "installation" not in nextitem.fixturenames:
        used.stop()


@pytest.fixture(autouse=True)
def running_installation(request: pytest.FixtureRequest) -> None:
    """Start the installation again for a test that another worker had first."""
    if "installation" in request.fixturenames:
        installation: Installation = request.getfixturevalue("installation")
        if installation.process is None:
            installation.start()


@pytest.fixture(scope="session", autouse=True)
def outbound_slots() -> Iterator[None]:
    """No request of any test may connect to another server without a slot among those that wait (web/outbound.py)."""
    connect = socket.socket.connect

    def checked(self: socket.socket, address: Any) -> None:
        request = get_current_request()
        if isinstance(address, tuple) and isinstance(request, Request) and not request.has_outbound_slot:
            page = f"{type(request.context).__name__}/{request.view_name}"
            assert page in PRICE_PAGES, f"{page} connects to another server without a slot"
        connect(self, address)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", checked)
        yield


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for all workers of this run."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base


@pytest.fixture(scope="session", autouse=True)
def fonts(shared_folder: Path) -> None:
    install_fonts(ROOT / "node_modules", shared_folder / "fonts")


@pytest.fixture(scope="session", autouse=True)
def compiled_templates(shared_folder: Path) -> Iterator[None]:
    """Share the compiled templates of all applications with all workers of this run."""
    folder = shared_folder / "jinja2"
    folder.mkdir(exist_ok=True)
    cache = FileSystemBytecodeCache(str(folder))
    create = pyramid_jinja2.create_environment_from_options

    def create_with_cache(options: dict[str, Any], loaders: dict[str, Any]) -> Environment:
        return create({**options, "bytecode_cache": cache}, loaders)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pyramid_jinja2, "create_environment_from_options", create_with_cache)
        yield


@pytest.fixture(scope="session", autouse=True)
def one_certificate_authority(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Trust one authority: each client reads those that it trusts, and all of them take more CPU than most tests."""
    bundle = Path(certifi.where()).read_text()
    file = tmp_path_factory.mktemp("certificates") / "one.pem"
    file.write_text(bundle[: bundle.index(END_OF_CERTIFICATE) + len(END_OF_CERTIFICATE)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(certifi, "where", lambda: str(file))
        patch.setenv("SSL_CERT_FILE", str(file))  # what OpenSSL, and httpx without a context of its own, read
        yield


@pytest.fixture(scope="session", autouse=True)
def quick_refusals() -> None:
    """Refuse unknown hosts at once; tests/unit/net/test_resolution.py tests the time."""
    resolution.REFUSAL_SECONDS = 0.0


@pytest.fixture(scope="session")
def postgres(shared_folder: Path) -> Iterator[EmbeddedPostgres]:
    """The server, with `cwz` migrated as the template of every worker's database."""
    server = EmbeddedPostgres(shared_folder / "pg")
    server.start()
    with open(shared_folder / "migrated.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        marker = shared_folder / "migrated"
        if not marker.exists():
            with psycopg.connect(server.admin_url(), autocommit=True) as connection:
                for setting in ("fsync", "full_page_writes", "synchronous_commit"):  # nothing here outlives a power cut
                    connection.execute(f"ALTER SYSTEM SET {setting} = off")
                connection.execute("SELECT pg_reload_conf()")
            urls = [url_of(server, role, "cwz") for role in ("cwz_owner", "cwz_app", "cwz_render")]
            migrate(*urls)
            marker.touch()
    yield server
    server.stop()


def url_of(server: EmbeddedPostgres, role: str, database: str) -> str:
    return f"postgresql://{role}@/{database}?host={server.socket}"


@pytest.fixture(scope="session")
def database_name(postgres: EmbeddedPostgres) -> str:
    """This worker's own database."""
    name = f"cwz_{os.environ.get('PYTEST_XDIST_WORKER', 'main')}"
    with psycopg.connect(postgres.admin_url(), autocommit=True) as connection:
        connection.execute("SELECT pg_advisory_lock(1)")  # two clones of one template at once are refused
        connection.execute(f"CREATE DATABASE {name} TEMPLATE cwz OWNER cwz_owner")
    return name


@pytest.fixture(scope="session")
def app_url(postgres: EmbeddedPostgres, database_name: str) -> str:
    return url_of(postgres, "cwz_app", database_name)


@pytest.fixture(scope="session")
def queue_url(postgres: EmbeddedPostgres, database_name: str) -> str:
    """The URL of the role of render workers."""
    return url_of(postgres, "cwz_render", database_name)


@pytest.fixture(scope="session")
def owner_url(postgres: EmbeddedPostgres, database_name: str) -> str:
    return url_of(postgres, "cwz_owner", database_name)


@pytest.fixture(scope="session")
def shared_services(app_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    services = Services.start(make_settings(app_url, tmp_path_factory.mktemp("installation")))
    services = dataclasses.replace(services, passwords=PASSWORDS)
    yield services
    if "tests.jobs" in sys.modules:  # which imports the jobs of all domains
        sys.modules["tests.jobs"].close_workers()
    services.close()


def make_settings(app_url: str, folder: Path, **more: object) -> Settings:
    given: dict[str, object] = {
        "environment": "development",
        "url": "http://localhost",
        "var": folder,
        "node_modules": ROOT / "node_modules",
        "database": {"url": app_url},
        "storage": {"local": {"root": str(folder / "storage")}},
        "rendering": {"processes": 0},
        "mail": {"transport": "folder"},
        "secrets": {name: f"{name} 0123456789 abcdefghijklmnop" for name in SECRETS}
        | {"encryption_keys": ENCRYPTION_KEY},
    }
    return Settings.model_validate(given | more)


def change_settings(settings: Settings, changes: Mapping[str, object]) -> Settings:
    """Return a copy with other values, by dotted name; not validated."""
    for setting, value in changes.items():
        group, _, name = setting.rpartition(".")
        update = {group: getattr(settings, group).model_copy(update={name: value})} if group else {name: value}
        settings = settings.model_copy(update=update)
    return settings


@pytest.fixture(scope="session")
def cleaner(postgres: EmbeddedPostgres, database_name: str) -> Iterator[psycopg.Connection[Any]]:
    """A superuser's connection that empties tables: one for all tests, since a new one reads all of the catalog."""
    with psycopg.connect(postgres.admin_url(database_name), autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")  # no triggers: everything goes
        rows = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        tables = sorted({row[0] for row in rows} - PRESERVED_TABLES)
        # Not TRUNCATE: it makes new files for every table and index, which takes longer than most tests. A function
        # keeps the plans.
        deletions = "".join(f"DELETE FROM {table};" for table in tables)  # noqa: S608 - our own names
        function = "CREATE FUNCTION pg_temp.empty_tables() RETURNS void LANGUAGE plpgsql"
        connection.execute(f"{function} AS 'BEGIN {deletions} END'")
        yield connection


@pytest.fixture
def services(shared_services: Services, cleaner: psycopg.Connection[Any]) -> Iterator[Services]:
    """The services over an empty database, with no attempt counted and no mail written."""
    yield shared_services
    shared_services.limiter.reset()
    shutil.rmtree(mail_folder(shared_services.settings), ignore_errors=True)
    cleaner.execute("SELECT pg_temp.empty_tables()")


@pytest.fixture
def database(services: Services) -> Database:
    return services.database


@pytest.fixture(scope="session")
def row_saver(shared_services: Services, cleaner: psycopg.Connection[Any]) -> RowSaver:
    return RowSaver(cleaner, Path(shared_services.settings.storage["local"]["root"]))


@pytest.fixture
def make(services: Services, row_saver: RowSaver) -> Factory:
    """Makes people, workspaces and what is in them."""
    return Factory(services, row_saver)


@pytest.fixture
def mailbox(services: Services, app_url: str) -> Mailbox:
    """The mails that were written, once the jobs that write them have run."""
    return Mailbox(services, app_url)


@pytest.fixture(scope="session")
def wsgi(shared_services: Services) -> Router:
    return create_app(shared_services)


@pytest.fixture
def app(wsgi: Router, services: Services) -> TestApp:
    """The application in a fresh browser: cookies are kept, no user is signed in."""
    return TestApp(wsgi)


@pytest.fixture
def app_with(wsgi: Router, monkeypatch: pytest.MonkeyPatch) -> Callable[[Services], TestApp]:
    """Returns the application with other services, in less time than a new one.

    Settings that the application reads once, when it is created, keep their values.
    """

    def replace_services(services: Services) -> TestApp:
        monkeypatch.setitem(wsgi.registry, "services", services)
        return TestApp(wsgi)

    return replace_services


@pytest.fixture
def app_with_settings(app_with: Callable[[Services], TestApp], services: Services) -> Callable[..., TestApp]:
    """Returns the application with other settings, by dotted name; see `app_with`."""

    def change(**settings: object) -> TestApp:
        return app_with(dataclasses.replace(services, settings=change_settings(services.settings, settings)))

    return change


@pytest.fixture(scope="session")
def shared_stripe() -> Iterator[StripeServer]:
    server = StripeServer()
    yield server
    server.close()


@pytest.fixture(scope="session")
def shared_paid_services(shared_services: Services, shared_stripe: StripeServer, app_url: str) -> Iterator[Services]:
    known = {
        "billing": {**STRIPE_SECRETS, "stripe_api": shared_stripe.url},
        "slack": {"client_id": "client", "client_secret": "a-client-secret"},
    }
    settings = make_settings(app_url, shared_services.settings.var, plan=SMALL_PLANS, **known)
    billing = BillingService(Stripe(settings), settings)
    yield dataclasses.replace(shared_services, settings=settings, billing=billing, slack=Slack.of(settings))
    billing.stripe.close()


@pytest.fixture(scope="session")
def wsgi_paid(shared_paid_services: Services) -> Router:
    return create_app(shared_paid_services)


@pytest.fixture(scope="session")
def seed(shared_folder: Path) -> Path:
    """An installation with its database and demo, not running: what others begin as, in half the time."""
    folder = shared_folder / "seed"
    with open(shared_folder / "seed.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            folder.mkdir()
            details = Installation(folder).demo()
            (folder / "demo.json").write_text(json.dumps(details))
    return folder


@pytest.fixture(scope="session")
def installation(tmp_path_factory: pytest.TempPathFactory, seed: Path) -> Iterator[Installation]:
    """One installation, served by real processes, for all tests of this worker; tests leave the demo as it was."""
    installation = Installation(tmp_path_factory.mktemp("serve"), seed)
    installation.set({}, **ONE_RENDER_PROCESS)
    installation.start()
    yield installation
    installation.stop()


@pytest.fixture
def own_installation(tmp_path: Path, seed: Path) -> Iterator[Installation]:
    """An installation of the test's own, which ends with it."""
    installation = Installation(tmp_path, seed)
    installation.set({}, **ONE_RENDER_PROCESS)
    yield installation
    installation.stop(signal.SIGTERM)


class BracketTranslations(NullTranslations):
    """Translations that are the messages in brackets, so that a text shows what is translated in it."""

    def gettext(self, message: str) -> str:
        return f"[{message}]"

    def ngettext(self, singular: str, plural: str, count: int) -> str:
        return f"[{singular if count == 1 else plural}]"


@pytest.fixture
def bracketed_german(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have BracketTranslations for German."""
    german, others = i18n.Language(BracketTranslations(), {}, {}), i18n.load_language
    monkeypatch.setattr(i18n, "load_language", lambda language: german if language == "de" else others(language))


@pytest.fixture
def http_server() -> Iterator["RecordingServer"]:
    """A real HTTP server on loopback that notes every request."""
    server = RecordingServer()
    yield server
    server.close()


class RecordingServer:
    """Answers `paths[path]` = (status, headers, body); `seen` and `headers` record the requests.

    A path with an ETag answers 304 to a request with that ETag. A header without a value is left out.
    """

    def __init__(self) -> None:
        self.paths: dict[str, tuple[int, dict[str, str], bytes]] = {}
        self.seen: list[str] = []
        self.headers: list[dict[str, str]] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.seen.append(self.path)
                server.headers.append(dict(self.headers))
                status, headers, body = server.paths.get(self.path, (404, {}, b""))
                if "ETag" in headers and self.headers.get("If-None-Match") == headers["ETag"]:
                    status, body = 304, b""
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **headers}.items():
                    if value:
                        self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_port
        self.host = f"127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()

    def url(self, path: str = "/") -> str:
        return f"http://{self.host}{path}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

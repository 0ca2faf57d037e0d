"""Benchmark of pages and forms: duration and queries of pages, and that sign-in forms take equally long for all emails.

The whole application runs in this process with an embedded PostgreSQL. Prints medians in milliseconds.
"""

import atexit
import logging
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import structlog
from figures import save_figures
from sqlalchemy import event
from webtest import TestApp

from cwz_web.app import create_app, prepare_database
from cwz_web.cli.demo import demo_details
from cwz_web.settings import Settings
from cwz_web.web.rate_limits import LIMITS
from cwz_web.web.services import Services

ROOT = Path(__file__).parent.parent
SUBMISSIONS = 30
VISITS = 60
PAGES = {"overview": "/w/demo", "members": "/w/demo/members", "audit": "/w/demo/audit", "account": "/account"}
FORMS = {
    "sign_in": ("/signin", {"password": "not the password"}),
    "sign_up": ("/signup", {"name": "Ada", "password": "violet harbour 93 teapots"}),
    "forgot": ("/forgot", {}),
}


def measure_ms(work: Callable[[], Any]) -> float:
    """Return the duration of a call in milliseconds."""
    started = time.perf_counter()
    work()
    return (time.perf_counter() - started) * 1000


def start_installation(folder: Path) -> tuple[Services, dict[str, str]]:
    """Start an installation with the demo workspace and without rate limits.

    Returns:
        Its services, and what `cwz demo --json` prints.
    """
    limits = [f"{name}.{scope}" for name, scopes in LIMITS.items() for scope in scopes]
    unlimited = {f"cwz.limit.{limit}": "1000000 per minute" for limit in limits}
    settings = Settings.load(
        {
            "cwz.environment": "development",
            "cwz.url": "http://localhost",
            "cwz.var": str(folder),
            "cwz.node_modules": str(ROOT / "node_modules"),
            "cwz.database.embedded": str(folder / "postgres"),
            "cwz.secrets.file": str(folder / "secrets.json"),
            "cwz.storage.local.root": str(folder / "storage"),
            "cwz.mail.transport": "folder",
            **unlimited,
        },
        environ={},
    )
    prepare_database(settings)
    services = Services.start(settings)
    return services, demo_details(services)


def compare_emails(app: TestApp, path: str, fields: dict[str, str], known: str) -> tuple[float, float]:
    """Submit a form with a known and with unknown emails in turns. Return the median duration of each."""
    token = app.get("/signin").forms[0]["csrf_token"].value
    known_ms, unknown_ms = [], []
    for number in range(SUBMISSIONS):
        for email, durations in ((known, known_ms), (f"unknown{number:02}@connectwyze.example", unknown_ms)):
            values = {"csrf_token": token, **fields, "email": email}
            durations.append(measure_ms(lambda values=values: app.post(path, values, status="*")))  # type: ignore[misc]
    return statistics.median(known_ms), statistics.median(unknown_ms)


def main() -> None:
    results: dict[str, float] = {}
    folder = Path(tempfile.mkdtemp(prefix="cwz-bench-"))
    atexit.register(shutil.rmtree, folder)  # runs after the database has stopped
    services, demo = start_installation(folder)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    app = TestApp(create_app(services))
    print("Form         known ms  unknown ms  ratio")
    for name, (path, fields) in FORMS.items():
        known, unknown = compare_emails(app, path, fields, demo["email"])
        print(f"  {name:10} {known:8.1f} {unknown:11.1f} {known / unknown:6.3f}")
        results |= {f"{name}_known_ms": round(known, 2), f"{name}_unknown_ms": round(unknown, 2)}
    form = app.get("/signin").forms[0]
    form["email"], form["password"] = demo["email"], demo["password"]
    form.submit(status=303)
    queries: list[str] = []
    event.listen(services.database.engine, "before_cursor_execute", lambda *call: queries.append(call[2]))
    print("Page                   ms  queries")
    for name, path in PAGES.items():
        queries.clear()
        app.get(path, status=200)
        count = len(queries)
        ms = statistics.median(measure_ms(lambda path=path: app.get(path)) for _ in range(VISITS))  # type: ignore[misc]
        print(f"  {path:16} {ms:8.1f} {count:8}")
        results[f"page_{name}_ms"] = round(ms, 2)
    services.close()
    save_figures(results)


if __name__ == "__main__":
    main()

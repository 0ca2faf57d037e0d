"""What people wait for: known and unknown accounts beside each other at sign-in, and what pages cost. `make bench`.

The whole application in this process over an embedded PostgreSQL; medians in ms, and the queries of a page.
"""

import atexit
import logging
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import structlog
from figures import keep
from sqlalchemy import event
from webtest import TestApp

from cwz_web.app import create_app, prepare_database
from cwz_web.cli.demo import facts_of
from cwz_web.settings import Settings
from cwz_web.web.rate_limits import LIMITS
from cwz_web.web.services import Services

ROOT = Path(__file__).parent.parent
ATTEMPTS = 30
VISITS = 60
PAGES = ("/w/demo", "/w/demo/members", "/w/demo/audit", "/account")


def measured(work: Callable[[], Any]) -> float:
    """How long something takes, in ms."""
    begun = time.perf_counter()
    work()
    return (time.perf_counter() - begun) * 1000


def start(folder: Path) -> tuple[Services, dict[str, str]]:
    """An installation of its own, in which nothing is tried too often."""
    often = {f"cwz.limit.{name}.{scope}": "1000000 per hour" for name, scopes in LIMITS.items() for scope in scopes}
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
            **often,
        },
        environ={},
    )
    prepare_database(settings)
    services = Services.start(settings)
    return services, facts_of(services)


def side_by_side(app: TestApp, path: str, fields: dict[str, str], known: str) -> dict[str, float]:
    """The median ms of a form for a known and an unknown address, in turns."""
    token = app.get("/signin").forms[0]["csrf_token"].value
    times: dict[str, list[float]] = {"known": [], "unknown": []}
    for number in range(ATTEMPTS):
        for who, email in (("known", known), ("unknown", f"nobody{number:02}@connectwyze.example")):
            sent = {"csrf_token": token, **fields, "email": email}
            times[who].append(measured(lambda sent=sent: app.post(path, sent, status="*")))  # type: ignore[misc]
    return {who: statistics.median(taken) for who, taken in times.items()}


def main() -> None:
    results: dict[str, float] = {}
    folder = Path(tempfile.mkdtemp(prefix="cwz-bench-"))
    atexit.register(shutil.rmtree, folder)  # runs after the database has been let go
    services, facts = start(folder)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    app = TestApp(create_app(services))
    forms = {
        "sign_in": ("/signin", {"password": "not the password"}),
        "sign_up": ("/signup", {"name": "Ada", "password": "violet harbour 93 teapots"}),
        "forgot": ("/forgot", {}),
    }
    print("ms for an address that has an account, and for one that has none")
    for name, (path, fields) in forms.items():
        taken = side_by_side(app, path, fields, facts["email"])
        print(f"  {name:10} {taken['known']:8.1f} {taken['unknown']:8.1f}   {taken['known'] / taken['unknown']:.3f}")
        results |= {f"{name}_{who}_ms": round(ms, 2) for who, ms in taken.items()}
    form = app.get("/signin").forms[0]
    form["email"], form["password"] = facts["email"], facts["password"]
    form.submit(status=303)
    queries: list[str] = []
    event.listen(services.database.engine, "before_cursor_execute", lambda *call: queries.append(call[2]))
    print("ms and queries of a page")
    for page in PAGES:
        queries.clear()
        app.get(page, status=200)
        asked = len(queries)
        ms = statistics.median(measured(lambda page=page: app.get(page)) for _ in range(VISITS))  # type: ignore[misc]
        print(f"  {page:16} {ms:8.1f} {asked:4}")
        results[f"page_{page.rpartition('/')[2] if page != '/w/demo' else 'overview'}_ms"] = round(ms, 2)
    services.close()
    keep(results)


if __name__ == "__main__":
    sys.exit(main())

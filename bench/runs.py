"""The requests of a run over a large feed (plan, start, cancel, resume), its job, and a report: `make bench`.

The job is compared with a bare INSERT of the same items into a table with the same columns and indexes, by the
database's owner: without row-level security, mapping, comparison, counting and queue.
"""

import atexit
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg

# The number of rows is the first argument of the command line.
from feeds import ROWS, run_import_job, write_csv
from figures import save_figures
from pages import measure_ms, start_installation
from webtest import TestApp

from cwz_web.app import create_app
from cwz_web.db.embedded import EmbeddedPostgres
from cwz_web.feeds.imports import create_feed
from cwz_web.generation.images import StoredImage
from cwz_web.generation.usage import Quota
from cwz_web.runs.models import Run
from cwz_web.runs.planning import MAX_IN_REQUEST, prepare_run
from cwz_web.runs.protocol import ItemResult, Report
from cwz_web.runs.reports import apply_report
from cwz_web.web.services import Services

REPORTED = 60


def prepare(services: Services, workspace_id: UUID, run_id: str) -> None:
    """Prepare a run, as its job does."""
    with services.database.transaction(workspace_id) as db:
        prepare_run(db, db.get_one(Run, (workspace_id, UUID(run_id))), Quota(workspace_id))


def report(services: Services, workspace_id: UUID, run_id: str) -> None:
    """Apply a report of half a second."""
    digests = {position: f"{position:064x}" for position in range(1, REPORTED + 1)}
    common = {"content_type": "image/jpeg", "width": 1200, "height": 630, "size": 90_000}
    results = tuple(
        ItemResult(position=position, image=StoredImage(digest=digest, key=digest, **common))
        for position, digest in digests.items()
    )
    with services.database.transaction(workspace_id) as db:
        message = Report(workspace_id=workspace_id, run_id=UUID(run_id), results=results)
        apply_report(db, message, services.signed_urls)


def bare_insert(folder: Path, run_id: str) -> float:
    """Insert the items of a run into a plain table. Return milliseconds."""
    with psycopg.connect(EmbeddedPostgres(folder).admin_url("cwz")) as raw:
        raw.execute("CREATE TABLE ready AS SELECT * FROM run_items WHERE run_id = %s", [run_id])
        raw.execute("CREATE TABLE bare (LIKE run_items INCLUDING INDEXES)")
        took = measure_ms(lambda: (raw.execute("INSERT INTO bare SELECT * FROM ready"), raw.commit()))
        raw.execute("DROP TABLE bare, ready")
        return took


def main() -> None:
    assert ROWS > MAX_IN_REQUEST, "a smaller run is prepared in the request"
    folder = Path(tempfile.mkdtemp(prefix="cwz-bench-"))
    atexit.register(shutil.rmtree, folder)  # runs after the database has stopped
    services, demo = start_installation(folder)
    owner = services.keys.find(demo["api_key"])
    assert owner is not None
    results: dict[str, float] = {}

    def timed(name: str, work: Callable[[], Any]) -> None:
        results[f"runs_{name}_ms"] = measure_ms(work)
        print(f"{name.replace('_', ' '):24}{results[f'runs_{name}_ms']:12,.0f} ms", flush=True)

    try:
        write_csv(folder / "feed.csv")
        with services.database.transaction(owner.workspace_id) as db:
            feed = create_feed(db, owner.workspace_id, name="Large", file_name="feed.csv")
        run_import_job(services, feed, folder / "feed.csv", "import", {})
        app, headers = TestApp(create_app(services)), {"Authorization": f"Bearer {demo['api_key']}"}
        body, started = {"feed": str(feed.id), "template": demo["template"]}, []
        timed("first_plan", lambda: app.post_json("/v1/runs/plan", body, headers=headers))
        timed("begin", lambda: started.append(app.post_json("/v1/runs", body, headers=headers).json["id"]))
        (run_id,) = started
        timed("prepare", lambda: prepare(services, owner.workspace_id, run_id))
        results["runs_bare_insert_ms"] = bare_insert(folder / "postgres", run_id)
        ratio = results["runs_prepare_ms"] / results["runs_bare_insert_ms"]
        print(f"{'a bare INSERT':24}{results['runs_bare_insert_ms']:12,.0f} ms: preparing takes {ratio:.1f}x of it")
        timed("cancel", lambda: app.post_json(f"/v1/runs/{run_id}/cancel", {}, headers=headers))
        timed("go_on", lambda: app.post_json(f"/v1/runs/{run_id}/retry", {}, headers=headers))
        timed("prepare_again", lambda: prepare(services, owner.workspace_id, run_id))
        timed(f"report_of_{REPORTED}", lambda: report(services, owner.workspace_id, run_id))
        save_figures(results)
    finally:
        services.close()


if __name__ == "__main__":
    main()

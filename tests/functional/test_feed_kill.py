"""A worker that is killed during an import leaves the feed unchanged, and the next worker imports the file."""

import signal
import subprocess
import sys

import pytest

from cwz_web.feeds.imports import create_import, enqueue_import
from cwz_web.feeds.models import Feed, FeedImport
from cwz_web.feeds.queries import list_items
from cwz_web.feeds.temporary_files import temporary_file
from tests.factories import Factory
from tests.installation import ROOT

# A worker that pauses after two thousand rows in mode "pause", and requeues stalled jobs in mode "resume".
WORKER = """
import asyncio, sys, time
from types import SimpleNamespace
from cwz_web.db.session import Database
from cwz_web.feeds import imports, tasks
from cwz_web.jobs import WorkerConnector, app

url, is_paused = sys.argv[1], sys.argv[2] == "pause"
copy_line = imports._copy_line

def pausing_line(position, *values):
    if is_paused and position == 2000:
        print("paused", flush=True)
        time.sleep(60)
    return copy_line(position, *values)

imports._copy_line = pausing_line
context = {"database": Database(url), "fetcher": None, "ring": None, "email_service": SimpleNamespace(url="")}
context["feed_sources"] = None

async def work():
    with app.replace_connector(WorkerConnector(conninfo=url)) as worker_app:
        async with worker_app.open_async():
            if not is_paused:
                for job in await worker_app.job_manager.get_stalled_jobs(seconds_since_heartbeat=0):
                    await worker_app.job_manager.retry_job(job)
            await worker_app.run_worker_async(wait=False, additional_context=context, install_signal_handlers=False)

asyncio.run(work())
"""


def start_worker(app_url: str, mode: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", WORKER, app_url, mode], stdout=subprocess.PIPE, text=True, cwd=ROOT)


@pytest.mark.slow
def test_import_survives_a_killed_worker(make: Factory, app_url: str) -> None:
    space = make.workspace()
    feed = make.feed(space, b"sku,title\n1,One\n2,Two\n")
    rows = b"sku,title\n" + b"".join(b"%d,New %d\n" % (number, number) for number in range(5000))
    with make.database.transaction(space.id) as db:
        enqueue_import(
            db, create_import(db, db.get_one(Feed, (space.id, feed.id)), file_name="new.csv", file=temporary_file(rows))
        )

    process = start_worker(app_url, "pause")
    assert process.stdout is not None
    while process.stdout.readline() != "paused\n":
        pass
    process.send_signal(signal.SIGKILL)
    process.wait(10)
    process.stdout.close()
    with make.database.transaction(space.id) as db:
        assert [item.data["title"] for item in list_items(db, feed)] == ["One", "Two"]
        assert db.query(FeedImport).filter_by(number=2).one().state == "queued"

    process = start_worker(app_url, "resume")
    process.communicate(timeout=60)
    assert make.reload(feed).item_count == 5000
    with make.database.transaction(space.id) as db:
        record = db.query(FeedImport).filter_by(number=2).one()
        assert (record.state, record.added, record.changed, record.percent) == ("applied", 4998, 2, 100)

"""Killed and stopped processes: nothing is lost, nothing is done twice, and no process is left."""

import os
import random
import re
import signal
import time
from pathlib import Path

import httpx
import pytest

from tests.installation import Installation, children_of, wait_for

ROWS = int(os.environ.get("CWZ_SOAK_ROWS", "50"))
KILLS = int(os.environ.get("CWZ_SOAK_KILLS", "1"))
VICTIMS = ("workers", "database", "interrupt")


def wait_for_end(processes: list[int]) -> None:
    """Wait until none of the processes exists."""
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in processes))


def interrupt(installation: Installation) -> None:
    """Stop the installation as Ctrl-C does: the workers, their render processes and the database end."""
    workers = installation.workers()
    assert len(workers) == 2
    wait_for(lambda: any(map(children_of, workers)))
    render_processes = [child for worker in workers for child in children_of(worker)]
    installation.stop(signal.SIGINT)
    assert "worker does not end" not in installation.log()
    assert not installation.database_runs()
    assert not any(Path(f"/proc/{pid}").exists() for pid in workers)
    wait_for_end(render_processes)


# In `make test-slow` workers and database are killed one after another, and all are interrupted.
@pytest.mark.parametrize("kills", [KILLS, pytest.param(KILLS + 2, marks=pytest.mark.slow)])
def test_every_image_is_stored_and_counted_once_after_kills(installation: Installation, kills: int) -> None:
    """Workers are killed, PostgreSQL with the web process is, and all are interrupted, at random moments of one run.

    If it is only once, all are killed together. An interrupted or killed installation starts again with the same demo
    and resumes the run; other tests go on with it. `bench/soak_kills.py` runs this with more rows and kills.
    """
    demo, chance = installation.demo_details, random.Random(7)
    headers = {"Authorization": f"Bearer {demo['api_key']}"}
    with httpx.Client(base_url=f"{installation.url}/v1", headers=headers, timeout=30) as api:
        feed = api.post("/feeds", json={"name": "Many"}).raise_for_status().json()["id"]
        for first in range(0, ROWS, 1000):
            numbers = range(first, min(first + 1000, ROWS))
            items = [{"key": str(n), "data": {"title": f"Image {n}"}} for n in numbers]
            api.post(f"/feeds/{feed}/items", json={"items": items}).raise_for_status()
        used_before = api.get("/usage").json()["used"]
        body = {"feed": feed, "template": demo["template"]}
        run = api.post("/runs", json=body).raise_for_status().json()["id"]
    victims = [VICTIMS[number % 3] for number in range(kills)] if kills > 1 else ["everything"]
    chance.shuffle(victims)
    for number, victim in enumerate(victims):
        wait_for(lambda number=number: installation.rendered(run) >= (number + 1) * ROWS // (kills + 5))  # type: ignore[misc]
        time.sleep(chance.random() / 4)  # any moment, not just the one after a report
        match victim:
            case "interrupt":
                interrupt(installation)
                installation.start()
            case "workers":
                for pid in installation.workers():
                    os.kill(pid, signal.SIGKILL)
            case _:
                workers = installation.workers()
                for pid in workers if victim == "everything" else []:
                    os.kill(pid, signal.SIGKILL)
                os.kill(installation.database_process(), signal.SIGKILL)
                installation.stop(signal.SIGKILL)  # the embedded database is started by a start of the installation
                wait_for_end(workers)
                installation.start()
    wait_for(lambda: installation.rendered(run) == ROWS)
    with installation.database() as db:
        ended = "SELECT done, failed, finished_at IS NOT NULL FROM runs WHERE id = %s"
        assert db.execute(ended, [run]).fetchone() == (ROWS, 0, True)
        running = "SELECT count(*) FROM procrastinate_jobs WHERE status = 'doing' AND task_name = 'runs.render_chunk'"
        wait_for(lambda: db.execute(running).fetchone() == (0,))
        images = "SELECT count(*), count(DISTINCT image_id) FROM run_items WHERE run_id = %s AND state = 'done'"
        assert db.execute(images, [run]).fetchone() == (ROWS, ROWS)
        rows = db.execute("SELECT a.key FROM images a JOIN run_items i ON i.image_id = a.id AND i.run_id = %s", [run])
        keys = {str(key) for (key,) in rows.fetchall()}
    used = httpx.get(f"{installation.url}/v1/usage", headers=headers).json()["used"]
    assert used - used_before == ROWS
    assert set(re.findall(r"A signed image URL +(\S+)", installation.log())) == {demo["signed_url"]}
    assert httpx.get(demo["image_url"]).status_code == 200
    storage = installation.folder / "var" / "storage"
    stored = {str(path.relative_to(storage)) for path in storage.rglob("*.jpg")}
    assert keys <= stored
    assert all((storage / key).read_bytes()[-2:] == b"\xff\xd9" for key in keys), "every JPEG is complete"

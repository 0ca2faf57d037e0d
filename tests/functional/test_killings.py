"""Whatever is killed, whenever: nothing is lost, nothing is twice. A module of its own, since it takes longest."""

import os
import random
import signal
import time

import httpx

from tests.installation import Installation, wait_for

KILLED_ROWS, KILLINGS = 2000, 20


def test_after_twenty_killings_every_image_is_there_once_and_counted_once(own: Installation) -> None:
    """Worker, web process and PostgreSQL end by SIGKILL at random moments of one run."""
    own.set({}, **{"rendering.processes": "1"})  # each that is killed has to start anew
    own.start()
    facts, chance = own.facts, random.Random(7)
    headers = {"Authorization": f"Bearer {facts['api_key']}"}
    with httpx.Client(base_url=f"{own.url}/v1", headers=headers, timeout=30) as api:
        feed = api.post("/feeds", json={"name": "Many"}).raise_for_status().json()["id"]
        for first in range(0, KILLED_ROWS, 1000):
            items = [{"key": str(n), "data": {"title": f"Image {n}"}} for n in range(first, first + 1000)]
            api.post(f"/feeds/{feed}/items", json={"items": items}).raise_for_status()
        used = api.get("/usage").json()["used"]
        asked = {"feed": feed, "template": facts["template"]}
        run = api.post("/runs", json=asked).raise_for_status().json()["id"]
    victims = [("worker", "web", "database")[number % 3] for number in range(KILLINGS)]
    chance.shuffle(victims)
    for number, victim in enumerate(victims):
        wait_for(lambda number=number: own.rendered(run) >= number * KILLED_ROWS // (KILLINGS + 5))  # type: ignore[misc]
        time.sleep(chance.random() / 4)  # any moment, not the one after a report
        match victim:
            case "worker":
                for pid in own.workers():
                    os.kill(pid, signal.SIGKILL)
            case "web":
                own.stop(signal.SIGKILL)
                own.start()
            case _:
                os.kill(own.database_process(), signal.SIGKILL)
                own.stop()  # the embedded server starts again with `cwz serve`
                own.start()
    wait_for(lambda: own.rendered(run) == KILLED_ROWS)
    with own.database() as db:
        ended = "SELECT done, failed, finished_at IS NOT NULL FROM runs WHERE id = %s"
        assert db.execute(ended, [run]).fetchone() == (KILLED_ROWS, 0, True)
        left = "SELECT count(*) FROM procrastinate_jobs WHERE status = 'doing' AND task_name = 'runs.render_chunk'"
        wait_for(lambda: db.execute(left).fetchone() == (0,))
        made = "SELECT count(*), count(DISTINCT i.image_id) FROM run_items i WHERE i.run_id = %s AND i.state = 'done'"
        assert db.execute(made, [run]).fetchone() == (KILLED_ROWS, KILLED_ROWS)
        keys = db.execute("SELECT a.key FROM images a JOIN run_items i ON i.image_id = a.id AND i.run_id = %s", [run])
        kept = {str(key) for (key,) in keys.fetchall()}
    now_used = httpx.get(f"{own.url}/v1/usage", headers=headers).json()["used"]
    assert now_used - used == KILLED_ROWS
    storage = own.folder / "var" / "storage"
    stored = {str(path.relative_to(storage)) for path in storage.rglob("*.jpg") if path.relative_to(storage)}
    assert kept <= stored
    assert all((storage / key).read_bytes()[-2:] == b"\xff\xd9" for key in kept), "whole JPEGs"

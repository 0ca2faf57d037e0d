"""Runs in a whole installation: images per second with and without render processes, and the latency of a page.

`make bench`. The number of rows of each run is the first argument.
"""

import itertools
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import httpx
from figures import save_figures
from pages import ROOT, measure_ms

sys.path.insert(0, str(ROOT))

from tests.installation import Installation

ROWS = int(sys.argv[1]) if len(sys.argv) > 1 else 3000
TURNS = 2
# Without render processes, and with one per core.
KINDS = {"without": {"rendering.processes": "0"}, "beside": {}}
_numbers = itertools.count()


def render(installation: Installation) -> tuple[float, float]:
    """Render a run of new rows. Return its images per second after the first quarter, and milliseconds of a page."""
    headers = {"Authorization": f"Bearer {installation.demo_details['api_key']}"}
    with httpx.Client(base_url=installation.url, headers=headers, timeout=60) as api:
        feed = api.post("/v1/feeds", json={"name": "Rows"}).raise_for_status().json()["id"]
        for first in range(0, ROWS, 1000):
            numbers = (next(_numbers) for _ in range(min(1000, ROWS - first)))
            items = [{"key": str(number), "data": {"title": f"Image {number}"}} for number in numbers]
            api.post(f"/v1/feeds/{feed}/items", json={"items": items}).raise_for_status()
        run = api.post("/v1/runs", json={"feed": feed, "template": installation.demo_details["template"]})
        run_id, pages = run.raise_for_status().json()["id"], []
        seen: list[tuple[float, int]] = []
        while not seen or seen[-1][1] < ROWS:
            seen.append((time.perf_counter(), api.get(f"/v1/runs/{run_id}").json()["done"]))
            pages.append(measure_ms(lambda: api.get("/signin")))
            time.sleep(0.5)
        # Render processes start with the first images.
        (started, rendered), (ended, total) = next(sample for sample in seen if sample[1] >= ROWS // 4), seen[-1]
        return (total - rendered) / (ended - started), statistics.median(pages)


def main() -> None:
    pace, page = defaultdict(list), defaultdict(list)
    with tempfile.TemporaryDirectory(prefix="cwz-bench-") as base:
        for turn in range(TURNS):
            for kind, settings in KINDS.items():
                folder = Path(base) / f"{kind}{turn}"
                folder.mkdir()
                installation = Installation(folder)
                installation.set({}, **settings)
                try:
                    installation.start()
                    rendered, took = render(installation)
                finally:
                    installation.stop()
                pace[kind].append(rendered)
                page[kind].append(took)
                print(f"{kind:8}{rendered:8,.0f} images/s{took:8,.1f} ms a page", flush=True)
    results = {f"rendering_{kind}_a_second": statistics.mean(taken) for kind, taken in pace.items()}
    ratio = results["rendering_beside_a_second"] / results["rendering_without_a_second"]
    print(f"with render processes: {ratio:.1f}x")
    save_figures(results | {f"rendering_{kind}_page_ms": statistics.mean(taken) for kind, taken in page.items()})


if __name__ == "__main__":
    main()

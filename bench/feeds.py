"""Imports of a feed with a million rows (about 430 MB), compared with a bare COPY of the same rows.

An import is measured as the worker's job does it: parse, compute keys, stage, compare and apply in one transaction,
under row-level security. The bare COPY writes the resulting rows into a table with the same columns and indexes. The
same file is then imported again, and a file with one changed row in a hundred. Finally the pages of the feed's rows are
measured through the whole application.
"""

import atexit
import csv
import resource
import shutil
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from figures import save_figures
from pages import measure_ms, start_installation
from webtest import TestApp

from cwz_web.app import create_app
from cwz_web.db.embedded import EmbeddedPostgres
from cwz_web.feeds.fetch_job import FetchContext, process_import
from cwz_web.feeds.imports import create_feed, create_import
from cwz_web.feeds.models import Feed, FeedImport
from cwz_web.feeds.sort_index import build_sort_index
from cwz_web.web.services import Services

ROWS = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
NAMES = ("sku", "title", "description", "price", "brand", "category", "image", "link", "stock", "color")
COPY_ITEMS = "COPY (SELECT * FROM items WHERE feed_id = %s) TO STDOUT"


def write_csv(path: Path, changed: int = 0) -> None:
    """Write a product export. With `changed`, every `changed`-th row has another price."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(NAMES)
        description = (
            "Thrown by hand and glazed in two shades of blue. Keeps a morning’s coffee warm, and a tea as well. " * 3
        )
        for number in range(ROWS):
            price = number % 977 + (0.5 if changed and number % changed == 0 else 0)
            image = f"https://shop.example/images/{number:09}.jpg"
            row = (number, f"Stoneware mug {number}", description, price, "Harbour Goods", "Home > Kitchen", image)
            writer.writerow((*row, f"https://shop.example/p/{number}", number % 50, "blue"))


@contextmanager
def measure_rows(name: str, results: dict[str, float]) -> Iterator[None]:
    """Measure the rows per second of the block."""
    started = time.perf_counter()
    yield
    results[f"feeds_{name}_rows_per_s"] = ROWS / (time.perf_counter() - started)
    print(f"{name:24}{results[f'feeds_{name}_rows_per_s']:12,.0f} rows/s")


def memory_kb() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() // 1024


class PeakMemory:
    """Measure the peak resident memory of this process, in kB."""

    def __enter__(self) -> "PeakMemory":
        self.kb, self._done = 0, threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()
        return self

    def _sample(self) -> None:
        while not self._done.wait(0.05):
            self.kb = max(self.kb, memory_kb())

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()


def bare_copy(folder: Path, feed: Feed, results: dict[str, float]) -> None:
    """Measure COPY of the imported rows from a file, as the owner of the database, who bypasses row-level security."""
    with tempfile.TemporaryFile() as lines, psycopg.connect(EmbeddedPostgres(folder).admin_url("cwz")) as raw:
        with raw.cursor().copy(COPY_ITEMS, [feed.id]) as copy:
            for data in copy:
                lines.write(data)
        raw.execute("CREATE TABLE bare (LIKE items INCLUDING INDEXES)")
        lines.seek(0)
        with measure_rows("bare_copy", results):
            with raw.cursor().copy("COPY bare FROM STDIN") as copy:
                while data := lines.read(1024 * 1024):
                    copy.write(data)
            raw.commit()
        raw.execute("DROP TABLE bare")


def run_import_job(services: Services, feed: Feed, path: Path, name: str, results: dict[str, float]) -> None:
    """Store a file as an upload does, and import it as the worker does."""
    workspace_id = feed.workspace_id
    with (
        path.open("rb") as file,
        measure_rows(f"store_{name}", results),
        services.database.transaction(workspace_id) as db,
    ):
        row = db.get_one(Feed, (workspace_id, feed.id))
        import_id = create_import(db, row, file_name=path.name, file=file).id
    with measure_rows(name, results):
        process_import(FetchContext(services.database, services.fetcher, services.ring, ""), workspace_id, import_id)
    with services.database.transaction(workspace_id) as db:
        record = db.get_one(FeedImport, (workspace_id, import_id))
        print(f"  {record.added:,} new, {record.changed:,} changed, {record.unchanged:,} unchanged: {record.state}")


def measure_pages(services: Services, demo: dict[str, str], feed: Feed, results: dict[str, float]) -> None:
    """Measure the pages of the feed's rows: median and 95th percentile of 30 requests each, in ms."""
    for sort in ("price", "-title"):
        with measure_rows(f"sort_{sort}", results), services.database.transaction(feed.workspace_id) as db:
            build_sort_index(db, feed.workspace_id, feed.id, sort)
    app = TestApp(create_app(services))
    form = app.get("/signin").forms[0]
    form["email"], form["password"] = demo["email"], demo["password"]
    form.submit()
    here = f"/w/demo/feeds/{feed.id}"
    for name, query in {
        "first_page": "",
        "last_page": f"?after={ROWS - 60}",
        "by_key": f"?column=+key&text={ROWS // 2}",
        "common_text": "?text=Mug",
        "rare_text": f"?text=mug+{ROWS - 7}",
        "rare_in_column": f"?text=mug+{ROWS - 7}&column=title",
        "changed": "?state=changed",
        "sorted": "?sort=price",
        "sorted_far": f"?sort=-title&after={ROWS - 60}",
        "sorted_and_filtered": f"?sort=price&text=mug+{ROWS - 7}",
    }.items():
        times = sorted(measure_ms(lambda query=query: app.get(here + query)) for _ in range(30))
        results[f"feeds_{name}_ms"], p95 = statistics.median(times), times[28]
        print(f"{name:24}{results[f'feeds_{name}_ms']:12.1f} ms median, {p95:.1f} ms p95")
    row = statistics.median(measure_ms(lambda: app.get(f"{here}/row?key={ROWS // 2}")) for _ in range(30))
    print(f"{'row_page':24}{row:12.1f} ms median")


def main() -> None:
    folder = Path(tempfile.mkdtemp(prefix="cwz-bench-"))
    atexit.register(shutil.rmtree, folder)  # runs after the database has been stopped
    services, demo = start_installation(folder)
    results: dict[str, float] = {}
    owner = services.keys.find(demo["api_key"])
    assert owner is not None
    workspace_id = owner.workspace_id
    try:
        for name, changed in (("feed.csv", 0), ("changed.csv", 100)):
            write_csv(folder / name, changed)
        print(f"{ROWS:,} rows, {(folder / 'feed.csv').stat().st_size / 1024**2:.0f} MB")
        with services.database.transaction(workspace_id) as db:
            feed = create_feed(db, workspace_id, name="Large", file_name="feed.csv")
        before = memory_kb()
        with PeakMemory() as peak:
            run_import_job(services, feed, folder / "feed.csv", "first_import", results)
        results["feeds_peak_mb"] = peak.kb / 1024
        print(f"{'memory':24}{before / 1024:12.0f} MB before, {peak.kb / 1024:.0f} MB peak")
        run_import_job(services, feed, folder / "feed.csv", "same_again", results)
        run_import_job(services, feed, folder / "changed.csv", "one_in_100_changed", results)
        bare_copy(folder / "postgres", feed, results)
        ratio = results["feeds_bare_copy_rows_per_s"] / results["feeds_first_import_rows_per_s"]
        print(f"bare COPY is {ratio:.1f}x the import")
        measure_pages(services, demo, feed, results)
        save_figures(results)
    finally:
        services.close()


if __name__ == "__main__":
    main()

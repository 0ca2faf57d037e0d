"""A feed of a million rows and 500 MB, beside a bare COPY of the same rows, in one run: `make bench`.

The import is the worker’s own job: read, keyed, staged, compared, applied, in one transaction and row-level security.
The COPY writes the same rows, ready made, into a table of the same columns with the same keys. Then the same file comes
again, and once more with one row in a hundred changed. At last its rows are looked at, through the whole application.
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
READY = "COPY (SELECT * FROM items WHERE feed_id = %s) TO STDOUT"


def write(path: Path, changed: int = 0) -> None:
    """A shop's export; with `changed`, one row in so many has another price."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(NAMES)
        words = (
            "Thrown by hand and glazed in two shades of blue. Keeps a morning’s coffee warm, and a tea as well. " * 3
        )
        for number in range(ROWS):
            price = number % 977 + (0.5 if changed and number % changed == 0 else 0)
            image = f"https://shop.example/images/{number:09}.jpg"
            row = (number, f"Stoneware mug {number}", words, price, "Harbour Goods", "Home > Kitchen", image)
            writer.writerow((*row, f"https://shop.example/p/{number}", number % 50, "blue"))


@contextmanager
def watched(name: str, results: dict[str, float]) -> Iterator[None]:
    """Note how many rows a second something takes in."""
    began = time.perf_counter()
    yield
    results[f"feeds_{name}_rows_per_s"] = ROWS / (time.perf_counter() - began)
    print(f"{name:24}{results[f'feeds_{name}_rows_per_s']:12,.0f} rows/s")


def memory_kb() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() // 1024


class Peak:
    """The most memory that this process holds while it is watched."""

    def __enter__(self) -> "Peak":
        self.kb, self._done = 0, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def _watch(self) -> None:
        while not self._done.wait(0.05):
            self.kb = max(self.kb, memory_kb())

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()


def bare_copy(folder: Path, feed: Feed, results: dict[str, float]) -> None:
    """COPY of the rows as the import made them: written to a file before, so that only COPY is measured.

    By the database's owner, whom no row-level security binds, into a table with the same columns and indexes.
    """
    with tempfile.TemporaryFile() as lines, psycopg.connect(EmbeddedPostgres(folder).admin_url("cwz")) as raw:
        with raw.cursor().copy(READY, [feed.id]) as copy:
            for part in copy:
                lines.write(part)
        raw.execute("CREATE TABLE bare (LIKE items INCLUDING INDEXES)")
        lines.seek(0)
        with watched("bare_copy", results):
            with raw.cursor().copy("COPY bare FROM STDIN") as copy:
                while part := lines.read(1024 * 1024):
                    copy.write(part)
            raw.commit()
        raw.execute("DROP TABLE bare")


def bring(services: Services, feed: Feed, path: Path, name: str, results: dict[str, float]) -> None:
    """Take a file in as an upload does, and bring it in as the worker does."""
    workspace_id = feed.workspace_id
    with path.open("rb") as file, watched(f"keep_{name}", results), services.database.transaction(workspace_id) as db:
        mine = db.get_one(Feed, (workspace_id, feed.id))
        import_id = create_import(db, mine, file_name=path.name, file=file).id
    with watched(name, results):
        process_import(FetchContext(services.database, services.fetcher, services.ring, ""), workspace_id, import_id)
    with services.database.transaction(workspace_id) as db:
        record = db.get_one(FeedImport, (workspace_id, import_id))
        print(f"  {record.added:,} new, {record.changed:,} changed, {record.unchanged:,} unchanged: {record.state}")


def look(services: Services, facts: dict[str, str], feed: Feed, results: dict[str, float]) -> None:
    """What the pages of the feed's rows take, in ms: the median and the 95th of a hundred, 30 for each kind."""
    for sort in ("price", "-title"):
        with watched(f"order_{sort}", results), services.database.transaction(feed.workspace_id) as db:
            build_sort_index(db, feed.workspace_id, feed.id, sort)
    app = TestApp(create_app(services))
    form = app.get("/signin").forms[0]
    form["email"], form["password"] = facts["email"], facts["password"]
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
    print(f"{'a row':24}{row:12.1f} ms median")


def main() -> None:
    folder = Path(tempfile.mkdtemp(prefix="cwz-bench-"))
    atexit.register(shutil.rmtree, folder)  # runs after the database has been let go
    services, facts = start_installation(folder)
    results: dict[str, float] = {}
    owner = services.keys.find(facts["api_key"])
    assert owner is not None
    workspace_id = owner.workspace_id
    try:
        for name, changed in (("feed.csv", 0), ("changed.csv", 100)):
            write(folder / name, changed)
        print(f"{ROWS:,} rows, {(folder / 'feed.csv').stat().st_size / 1024**2:.0f} MB")
        with services.database.transaction(workspace_id) as db:
            feed = create_feed(db, workspace_id, name="Large", file_name="feed.csv")
        before = memory_kb()
        with Peak() as peak:
            bring(services, feed, folder / "feed.csv", "first_import", results)
        results["feeds_peak_mb"] = peak.kb / 1024
        print(f"{'memory':24}{before / 1024:12.0f} MB before, {peak.kb / 1024:.0f} MB at its peak")
        bring(services, feed, folder / "feed.csv", "same_again", results)
        bring(services, feed, folder / "changed.csv", "one_in_100_changed", results)
        bare_copy(folder / "postgres", feed, results)
        ratio = results["feeds_bare_copy_rows_per_s"] / results["feeds_first_import_rows_per_s"]
        print(f"bare COPY is {ratio:.1f}x the import")
        look(services, facts, feed, results)
        save_figures(results)
    finally:
        services.close()


if __name__ == "__main__":
    main()

"""A feed of a million rows and 500 MB, beside a bare COPY of the same rows, in one run: `make bench`.

The import is the product's own: read, keyed, staged, compared, applied, in one transaction behind row-level security.
The COPY writes the same rows, ready made, into a table of the same columns with the same keys. Then the same file comes
again, and once more with one row in a hundred changed.
"""

import atexit
import csv
import json
import resource
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from people import RESULTS, start
from sqlalchemy import text

from cwz_web.db.session import raw_connection
from cwz_web.feeds.browse import items_after
from cwz_web.feeds.imports import import_file, new_feed
from cwz_web.feeds.models import Feed
from cwz_web.generation.keys import find_owner
from cwz_web.web.services import Services

ROWS = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
NAMES = ("sku", "title", "description", "price", "brand", "category", "image", "link", "stock", "colour")
READY = "COPY (SELECT position, key, data FROM items WHERE feed_id = %s) TO STDOUT"
BARE = "CREATE TEMPORARY TABLE bare (position int, key text, data jsonb, PRIMARY KEY (position), UNIQUE (key))"


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
            picture = f"https://shop.example/images/{number:09}.jpg"
            row = (number, f"Stoneware mug {number}", words, price, "Harbour Goods", "Home > Kitchen", picture)
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


def bare_copy(services: Services, feed: Feed, results: dict[str, float]) -> None:
    """COPY of the rows as the import made them: written to a file before, so that only COPY is measured."""
    with tempfile.TemporaryFile() as lines, services.database.transaction(feed.workspace_id) as db:
        raw = raw_connection(db)
        with raw.cursor().copy(READY, [feed.id]) as copy:
            for part in copy:
                lines.write(part)
        db.execute(text(BARE))
        lines.seek(0)
        with watched("bare_copy", results), raw.cursor().copy("COPY bare FROM STDIN") as copy:
            while part := lines.read(1024 * 1024):
                copy.write(part)


def bring(services: Services, feed: Feed, file: BinaryIO) -> None:
    with services.database.transaction(feed.workspace_id) as db:
        record = import_file(db, db.get_one(Feed, (feed.workspace_id, feed.id)), file_name="again.csv", file=file)
        print(f"  {record.added:,} new, {record.changed:,} changed, {record.unchanged:,} unchanged")


def main() -> None:
    folder = Path(tempfile.mkdtemp(prefix="cwz-bench-"))
    atexit.register(shutil.rmtree, folder)  # runs after the database has been let go
    services, facts = start(folder)
    results: dict[str, float] = {}
    with services.database.transaction() as db:
        owner = find_owner(db, facts["api_key"])
        assert owner is not None
        workspace_id = owner.workspace_id
    try:
        for name, changed in (("feed.csv", 0), ("changed.csv", 100)):
            write(folder / name, changed)
        print(f"{ROWS:,} rows, {(folder / 'feed.csv').stat().st_size / 1024**2:.0f} MB")
        before = memory_kb()
        with (
            Peak() as peak,
            (folder / "feed.csv").open("rb") as file,
            watched("first_import", results),
            services.database.transaction(workspace_id) as db,
        ):
            feed = new_feed(db, workspace_id, name="Large", file_name="feed.csv", file=file)
        results["feeds_peak_mb"] = peak.kb / 1024
        print(f"{'memory':24}{before / 1024:12.0f} MB before, {peak.kb / 1024:.0f} MB at its peak")
        with (folder / "feed.csv").open("rb") as file, watched("same_again", results):
            bring(services, feed, file)
        with (folder / "changed.csv").open("rb") as file, watched("one_in_100_changed", results):
            bring(services, feed, file)
        bare_copy(services, feed, results)
        with services.database.transaction(workspace_id) as db:
            began = time.perf_counter()
            assert len(items_after(db, feed, ROWS - 60)) == 50
            results["feeds_last_page_ms"] = (time.perf_counter() - began) * 1000
        ratio = results["feeds_bare_copy_rows_per_s"] / results["feeds_first_import_rows_per_s"]
        print(
            f"bare COPY is {ratio:.1f}x the import; the last page of rows took {results['feeds_last_page_ms']:.1f} ms"
        )
        kept = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
        RESULTS.write_text(json.dumps(kept | results, indent=2) + "\n")
    finally:
        services.database.dispose()


if __name__ == "__main__":
    main()

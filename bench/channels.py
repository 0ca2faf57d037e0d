"""The feed of a channel over a million rows, compared with a bare csv.writer that writes the same cells.

The publication, with an image for each row, is written with SQL. Its rows are read from PostgreSQL, converted for
Google and written as TSV and XML in one pass. Then the same is measured without reading, for rows in memory, beside
csv.writer with the cells of the result. CPU time counts too, since other processes may use the machine.
"""

import atexit
import csv
import io
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Generator
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psutil
from feeds import PeakMemory, memory_kb
from figures import save_figures
from pages import start_installation
from sqlalchemy import text
from sqlalchemy.orm import Session

from cwz_web.campaigns.editing import create_campaign
from cwz_web.campaigns.models import Campaign, Publication, PublicationState
from cwz_web.campaigns.rules import Design, DesignRule
from cwz_web.channels.feed import FeedSettings, write_feed
from cwz_web.channels.field_columns import RowContext
from cwz_web.channels.mapping import FieldMapping, FieldSource
from cwz_web.channels.preset import FileFormat
from cwz_web.channels.presets.generic import GENERIC
from cwz_web.channels.presets.google import GOOGLE
from cwz_web.channels.rows import RowPage, read_rows
from cwz_web.db.session import raw_connection
from cwz_web.feeds.columns import Column, ColumnType, FeedSchema
from cwz_web.feeds.imports import create_feed
from cwz_web.generation.image_urls import ImageUrls
from cwz_web.generation.templates import list_templates
from cwz_web.imaging.encoders import Output
from cwz_web.storage.connections import get_default_connection
from cwz_web.values.formats import DecimalSign, ValueFormat
from cwz_web.web.services import Services

ROWS = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
# How many pages of rows are in memory for the comparison with csv.writer.
COMPARED_PAGES = 500
EUROS = ValueFormat(decimal=DecimalSign.COMMA, currency="EUR")
COLUMNS = {
    "id": ColumnType.TEXT,
    "title": ColumnType.TEXT,
    "description": ColumnType.TEXT,
    "link": ColumnType.URL,
    "brand": ColumnType.TEXT,
    "product_type": ColumnType.TEXT,
    "price": ColumnType.PRICE,
    "sale_price": ColumnType.PRICE,
    "availability": ColumnType.TEXT,
    "condition": ColumnType.TEXT,
    "gtin": ColumnType.TEXT,
}
_INSERT_IMAGES = text("""
    INSERT INTO images (workspace_id, id, digest, connection_id, key, name, content_type, width, height, size,
                        template_id, template_version)
    SELECT :workspace, md5('image ' || n)::uuid, md5('image ' || n), :connection,
           :workspace || '/images/' || md5('image ' || n) || '.jpg', 'Mug', 'image/jpeg', 1500, 1500, 90000, :template,
           1
    FROM generate_series(1, :rows) AS n
""")
_INSERT_ROWS = text("""
    INSERT INTO publication_rows (workspace_id, campaign_id, key, since, data, designs, images)
    SELECT :workspace, :campaign, lpad(n::text, 9, '0'), 1, jsonb_build_object(
        'id', 'MUG-' || n, 'title', 'Stoneware mug ' || n, 'brand', 'Brand ' || n % 500,
        'product_type', 'Kitchen > Mugs > Category ' || n % 40, 'price', (n % 977 + 10) || ',90',
        'sale_price', CASE WHEN n % 3 = 0 THEN (n % 977 + 5) || ',50' ELSE '' END,
        'availability', CASE WHEN n % 9 = 0 THEN 'ausverkauft' ELSE 'auf Lager' END, 'condition', 'neu',
        'description', repeat('Thrown by hand and glazed in two shades of blue. ', 4),
        'link', 'https://shop.example/mugs/' || n || '?color=blue', 'gtin', '4006381333931'),
        '{1}', jsonb_build_object('1', jsonb_build_object(
            'i', jsonb_build_array(md5('image ' || n)::uuid), 's', 'ok', 'f', 0))
    FROM generate_series(1, :rows) AS n
""")


class ChannelBench:
    """A publication with an image for each of its rows, and the fields of Google."""

    def __init__(self, services: Services, workspace_id: UUID) -> None:
        self.services, self.workspace_id, self.results = services, workspace_id, dict[str, float]()
        with services.database.transaction(workspace_id) as db:
            schema = FeedSchema(columns={name: Column(name=name, type=each) for name, each in COLUMNS.items()})
            feed = create_feed(db, workspace_id, name="Large", file_name="feed.csv", schema=schema)
            feed.columns, feed.revision = list(COLUMNS), 1
            template, connection = list_templates(db, workspace_id)[0], get_default_connection(db, workspace_id)
            rule = DesignRule(number=1, name="All", designs=[Design(number=1, template=template.id)])
            campaign = create_campaign(db, feed, name="Ads", rules=[rule], outputs=[Output()])
            publication = Publication(
                workspace_id=workspace_id,
                id=uuid4(),
                campaign_id=campaign.id,
                number=1,
                timeline=1,
                designs=[1],
                state=PublicationState.PUBLISHED,
                columns=list(COLUMNS),
                outputs=campaign.outputs,
                rules=campaign.rules,
                published_at=datetime.now(UTC),
            )
            db.add(publication)
            db.flush()
            values = {"workspace": workspace_id, "rows": ROWS}
            db.execute(_INSERT_IMAGES, values | {"connection": connection.id, "template": template.id})
            db.execute(_INSERT_ROWS, values | {"campaign": campaign.id})
            self.campaign_id, self.publication_id = campaign.id, publication.id
        # As autovacuum does sooner or later.
        with services.database.engine.connect() as plain:
            plain.execution_options(isolation_level="AUTOCOMMIT").execute(text("ANALYZE images, publication_rows"))

    def rows(self, db: Session) -> Generator[RowPage, None, None]:
        """Return the rows of the publication."""
        campaign = db.get_one(Campaign, (self.workspace_id, self.campaign_id))
        publication = db.get_one(Publication, (self.workspace_id, self.publication_id))
        urls = ImageUrls.load(db, self.workspace_id, self.services.signed_urls)
        return read_rows(db, campaign, publication, urls, COLUMNS)

    def run(self) -> None:
        """Measure each format."""
        with self.services.database.transaction(self.workspace_id) as db:
            self.measure("read only", db, lambda: sum(map(len, self.rows(db))))
        for name, settings in SETTINGS.items():
            before = memory_kb()
            with (
                tempfile.TemporaryFile() as file,
                PeakMemory() as peak,
                self.services.database.transaction(self.workspace_id) as db,
            ):
                work = partial(write_feed, self.rows(db), settings, file, is_gzipped=True)
                report: Any = self.measure(name, db, work)
                assert (report.rows, report.findings) == (ROWS, []), report
            self.results[f"channels_{name}_peak_mb"] = peak.kb / 1024
            print(f"{'':24}{before / 1024:8.0f} MB before, {peak.kb / 1024:.0f} MB peak, {report.size / 1e6:.0f} MB")
        self.compare()

    def compare(self) -> None:
        """Compare writing with csv.writer."""
        with self.services.database.transaction(self.workspace_id) as db, closing(self.rows(db)) as pages:
            kept = list(islice(pages, COMPARED_PAGES))
        rows = sum(map(len, kept))
        for name, settings in SETTINGS.items():
            plain = FeedSettings(settings.preset, FileFormat.CSV, settings.mappings, context=settings.context)
            written = io.BytesIO()
            write_feed(kept, plain, written)
            cells = list(csv.reader(io.StringIO(written.getvalue().decode(), newline="")))
            ours = min(self.cpu_seconds(partial(_write, kept, settings)) for _ in range(5))
            bare = min(self.cpu_seconds(partial(_write_bare, cells)) for _ in range(5))
            self.results[f"channels_{name}_ratio"] = ours / bare
            per_row = f"{ours / rows * 1e6:.2f} µs, csv.writer {bare / rows * 1e6:.2f} µs a row"
            print(f"{name:24}{ours / bare:10.1f} times csv.writer ({per_row})", flush=True)

    def measure(self, name: str, db: Session, work: Callable[[], Any]) -> Any:
        """Measure the rows a second of a call, and the CPU time of this process and of PostgreSQL's."""
        server = psutil.Process(raw_connection(db).info.backend_pid)
        started, cpu, before = time.perf_counter(), time.process_time(), server.cpu_times()
        result = work()
        seconds, own, after = time.perf_counter() - started, time.process_time() - cpu, server.cpu_times()
        their = after.user + after.system - before.user - before.system
        self.results[f"channels_{name}_rows_s"] = ROWS / seconds
        self.results[f"channels_{name}_cpu_us"] = own / ROWS * 1e6
        self.results[f"channels_{name}_postgresql_us"] = their / ROWS * 1e6
        print(
            f"{name:24}{ROWS / seconds:10,.0f} rows/s, {seconds:.1f} s, {own / ROWS * 1e6:.1f} µs of CPU a row,"
            f" PostgreSQL {their / ROWS * 1e6:.1f}",
            flush=True,
        )
        return result

    @staticmethod
    def cpu_seconds(work: Callable[[], Any]) -> float:
        """Return the CPU time of a call in seconds."""
        started = time.process_time()
        work()
        return time.process_time() - started


def _write(pages: list[RowPage], settings: FeedSettings) -> None:
    write_feed(pages, settings, io.BytesIO())


def _write_bare(cells: list[list[str]]) -> None:
    with io.TextIOWrapper(io.BytesIO(), encoding="utf-8", newline="") as text_file:
        csv.writer(text_file).writerows(cells)


def _settings() -> dict[str, FeedSettings]:
    mappings = [FieldMapping(name=name, source=FieldSource.COLUMN, value=name) for name in COLUMNS]
    mappings.append(FieldMapping(name="image_link", source=FieldSource.IMAGE, value="0"))
    context = RowContext(COLUMNS, {"price": EUROS, "sale_price": EUROS})
    return {
        "generic CSV": FeedSettings(GENERIC, FileFormat.CSV, mappings, context=context),
        "Google TSV": FeedSettings(GOOGLE, FileFormat.TSV, mappings, context=context),
        "Google XML": FeedSettings(GOOGLE, FileFormat.XML, mappings, context=context, title="Mugs"),
    }


SETTINGS = _settings()


def main() -> None:
    folder = Path(tempfile.mkdtemp(prefix="cwz-bench-"))
    atexit.register(shutil.rmtree, folder)  # runs after the database has been stopped
    services, demo = start_installation(folder)
    owner = services.keys.find(demo["api_key"])
    assert owner is not None
    try:
        bench = ChannelBench(services, owner.workspace_id)
        print(f"{ROWS:,} rows, {len(COLUMNS) + 1} fields")
        bench.run()
        save_figures(bench.results)
    finally:
        services.close()


if __name__ == "__main__":
    main()

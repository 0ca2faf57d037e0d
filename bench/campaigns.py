"""Campaigns over a million rows with twenty rules, compared with a bare scan of the same cells.

The rows, and an image for each, are written with SQL, since importing and rendering have benchmarks of their own. A
bare scan reads the cells that the rules compare into Python and does nothing with them. Then a thousand rows change,
the campaign is planned and published again, and a window switches the design of the rows of a brand.
"""

import atexit
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

from feeds import PeakMemory, memory_kb
from figures import save_figures
from pages import start_installation
from sqlalchemy import text
from sqlalchemy.orm import Session

from cwz_web.campaigns.decisions import Decision, Verdict, apply_stored_decision, decide
from cwz_web.campaigns.editing import create_campaign
from cwz_web.campaigns.models import Campaign, Publication
from cwz_web.campaigns.planning import plan_rows, row_matcher, scan_rows
from cwz_web.campaigns.publications import create_publications, get_public, list_publications, publish, roll_back
from cwz_web.campaigns.rules import Design, DesignRule, Phase
from cwz_web.campaigns.targets import find_targets, staged_rows
from cwz_web.campaigns.timeline import write_state
from cwz_web.feeds.columns import Column, ColumnType, FeedSchema
from cwz_web.feeds.imports import create_feed
from cwz_web.feeds.models import Feed
from cwz_web.generation.templates import list_templates
from cwz_web.imaging.encoders import Output
from cwz_web.runs.models import Run
from cwz_web.runs.planning import RunSpec, new_run
from cwz_web.storage.connections import get_default_connection
from cwz_web.web.services import Services
from cwz_web.workspaces.audit import Actor

ROWS = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
CHANGED = 1000
COLUMNS = {
    "title": ColumnType.TEXT,
    "brand": ColumnType.TEXT,
    "category": ColumnType.TEXT,
    "price": ColumnType.PRICE,
    "sale_price": ColumnType.PRICE,
    "stock": ColumnType.NUMBER,
    "description": ColumnType.TEXT,
    "image": ColumnType.IMAGE,
}
CONDITIONS = (
    'brand == "Brand 7" && stock > 0',
    "percent_off(price, sale_price) >= 50",
    "percent_off(price, sale_price) >= 30",
    "stock == 0",
    'has_text(title, "limited edition")',
    *(f'same(brand, "brand {number}")' for number in range(10, 15)),
    *(f'category == "Category {number}" && price > 500' for number in range(5)),
    "amount(price) > 950",
    'has_text(title, "mug 99") && !same(brand, "Brand 1")',
    "days_in_feed > 7",
    'category in ["Category 20", "Category 21", "Category 22"]',
)
_INSERT_ROWS = text("""
    INSERT INTO items (workspace_id, feed_id, position, key, data, revision)
    SELECT :workspace, :feed, n, lpad(n::text, 9, '0'), jsonb_build_object(
        'title', 'Stoneware mug ' || n, 'brand', 'Brand ' || n % 500, 'category', 'Category ' || n % 40,
        'price', (n % 977 + 1) || '.50', 'sale_price', (n % 977 + 1) * (n % 3 + 1) / 3.0, 'stock', n % 50,
        'description', repeat('Thrown by hand and glazed in two shades of blue. ', 4),
        'image', 'https://shop.example/images/' || n || '.jpg'), 1
    FROM generate_series(1, :rows) AS n
""")
_INSERT_IMAGES = text("""
    INSERT INTO images (workspace_id, id, digest, connection_id, key, name, content_type, width, height, size,
                        template_id, template_version)
    SELECT :workspace, gen_random_uuid(), :state || '/' || n, :connection, :state || '/' || n || '.jpg', 'Mug',
           'image/jpeg', 600, 600, 20000, :template, 1
    FROM generate_series(1, :rows) AS n
""")
_INSERT_ITEMS = text("""
    INSERT INTO run_items (workspace_id, run_id, position, chunk, output, key, data, state, image_id)
    SELECT :workspace, :run, n, 0, 0, lpad(n::text, 9, '0'), jsonb_build_object('title', row.data -> 'title'), 'done',
           image.id
    FROM generate_series(1, :rows) AS n
    JOIN items AS row ON row.workspace_id = :workspace AND row.feed_id = :feed AND row.key = lpad(n::text, 9, '0')
    JOIN images AS image ON image.workspace_id = :workspace AND image.digest = :state || '/' || n
""")
_CHANGE = text("""
    UPDATE items
    SET data = data || jsonb_build_object('title', 'New mug ' || position), revision = 2, changed_at = now()
    WHERE workspace_id = :workspace AND feed_id = :feed AND position <= :changed
""")


@contextmanager
def measure(name: str, results: dict[str, float]) -> Iterator[None]:
    """Measure the seconds of the block."""
    started = time.perf_counter()
    yield
    results[f"campaigns_{name}_s"] = time.perf_counter() - started
    print(f"{name:32}{results[f'campaigns_{name}_s']:10.2f} s", flush=True)


class CampaignBench:
    """A feed with an image for each of its rows, and a campaign with twenty rules."""

    def __init__(self, services: Services, workspace_id: UUID) -> None:
        self.database, self.workspace_id, self.results = services.database, workspace_id, dict[str, float]()
        with self.database.transaction(workspace_id) as db:
            schema = FeedSchema(columns={name: Column(name=name, type=each) for name, each in COLUMNS.items()})
            feed = create_feed(db, workspace_id, name="Large", file_name="feed.csv", schema=schema)
            feed.columns, feed.item_count, feed.revision = list(COLUMNS), ROWS, 1
            self.feed_id = feed.id
            db.execute(_INSERT_ROWS, {"workspace": workspace_id, "feed": feed.id, "rows": ROWS})
            self.template = list_templates(db, workspace_id)[0]
            self.connection_id = get_default_connection(db, workspace_id).id
        self.write_images("first", ROWS)
        with self.database.transaction(workspace_id) as db:
            rules = [self.rule(number, condition) for number, condition in enumerate(CONDITIONS, start=1)]
            rules.append(self.rule(len(rules) + 1, ""))
            feed = db.get_one(Feed, (workspace_id, self.feed_id))
            self.campaign_id = create_campaign(db, feed, name="Ads", rules=rules, outputs=[Output()]).id

    def rule(self, number: int, condition: str) -> DesignRule:
        design = Design(number=number, template=self.template.id, mapping={"title": "title"})
        return DesignRule(number=number, name=f"Rule {number}", condition=condition, designs=[design])

    def write_images(self, state: str, rows: int) -> None:
        """Write a finished run that has rendered the first rows."""
        with self.database.transaction(self.workspace_id) as db:
            feed = db.get_one(Feed, (self.workspace_id, self.feed_id))
            run: Run = new_run(db, RunSpec(feed, self.template, {"title": "title"}, [Output()]))
            run.total = run.done = rows
            run.finished_at = db.scalar(text("SELECT now()"))
            db.add(run)
            db.flush()
            values = {
                "workspace": self.workspace_id,
                "feed": self.feed_id,
                "run": run.id,
                "state": state,
                "rows": rows,
                "connection": self.connection_id,
                "template": self.template.id,
            }
            db.execute(_INSERT_IMAGES, values)
            db.execute(_INSERT_ITEMS, values)

    @contextmanager
    def campaign(self) -> Iterator[tuple[Session, Campaign]]:
        """Return the campaign in a transaction."""
        with self.database.transaction(self.workspace_id) as db:
            yield db, db.get_one(Campaign, (self.workspace_id, self.campaign_id))

    def run(self) -> None:
        """Measure each step."""
        with self.campaign() as (db, campaign), measure("bare_scan", self.results):
            for _ in scan_rows(db, campaign, row_matcher(db, campaign).sources):
                pass
        before = memory_kb()
        with PeakMemory() as peak, self.campaign() as (db, campaign), measure("plan_all_rows", self.results):
            plan_rows(db, campaign)
        self.results["campaigns_peak_mb"] = peak.kb / 1024
        print(f"{'memory':32}{before / 1024:10.0f} MB before, {peak.kb / 1024:.0f} MB peak")
        ratio = self.results["campaigns_plan_all_rows_s"] / self.results["campaigns_bare_scan_s"]
        print(f"planning takes {ratio:.1f}x a bare scan")
        self.publish("first")
        with self.campaign() as (db, campaign):
            db.execute(_CHANGE, {"workspace": self.workspace_id, "feed": self.feed_id, "changed": CHANGED})
            db.get_one(Feed, (self.workspace_id, self.feed_id)).revision = 2
        self.write_images("second", CHANGED)
        with self.campaign() as (db, campaign), measure("plan_changed_rows", self.results):
            plan_rows(db, campaign)
        self.publish("changed")
        with self.campaign() as (db, campaign), measure("compare_phases", self.results):
            active = tuple(range(2, len(CONDITIONS) + 2))
            create_publications(db, campaign, [Phase(None, active)])
        with self.campaign() as (db, campaign):
            newest, *_ = list_publications(db, campaign)
            print(f"  {newest.rows:,} rows, {newest.changed:,} changed")
        self.decide_and_roll_back()

    def decide_and_roll_back(self) -> None:
        """Decide about all rows of a publication that has the original photo in each, then go back to the first one."""
        with self.campaign() as (db, campaign):
            campaign.public_id = None
            create_publications(db, campaign, [Phase(None, tuple(range(1, len(CONDITIONS) + 2)))])
            newest, first = list_publications(db, campaign)[0], list_publications(db, campaign)[-1]
            decision = Decision(verdict=Verdict.ORIGINAL, actor=Actor(None, "Bench", ""))
            with measure("request_decision", self.results):
                decide(db, campaign, newest, decision)
        with self.campaign() as (db, campaign), measure("decide_all_rows", self.results):
            apply_stored_decision(db, campaign)
        with self.campaign() as (db, campaign), measure("roll_back", self.results):
            roll_back(db, campaign, db.merge(first))

    def publish(self, name: str) -> None:
        """Write a state of the timeline, create its publication, and publish it."""
        with self.campaign() as (db, campaign), measure(f"write_state_{name}", self.results):
            targets = find_targets(db, campaign)
            public = get_public(db, campaign)
            with staged_rows(db, targets):
                write_state(db, targets, (public.timeline, public.designs) if public else None)
        with self.campaign() as (db, campaign), measure(f"create_publication_{name}", self.results):
            create_publications(db, campaign, targets.phases)
        with self.campaign() as (db, campaign):
            publication: Publication = list_publications(db, campaign)[0]
            print(
                f"  {publication.rows:,} rows, {publication.new:,} new, {publication.changed:,} changed, "
                f"{publication.missing:,} without an image"
            )
            times = []
            for _ in range(5):
                started = time.perf_counter()
                publish(db, campaign, publication)
                times.append(time.perf_counter() - started)
        self.results[f"campaigns_switch_{name}_s"] = statistics.median(times)
        print(f"{'switch':32}{statistics.median(times) * 1000:10.1f} ms")


def main() -> None:
    folder = Path(tempfile.mkdtemp(prefix="cwz-bench-"))
    atexit.register(shutil.rmtree, folder)  # runs after the database has been stopped
    services, demo = start_installation(folder)
    owner = services.keys.find(demo["api_key"])
    assert owner is not None
    try:
        bench = CampaignBench(services, owner.workspace_id)
        print(f"{ROWS:,} rows, {len(CONDITIONS) + 1} rules")
        bench.run()
        save_figures(bench.results)
    finally:
        services.close()


if __name__ == "__main__":
    main()

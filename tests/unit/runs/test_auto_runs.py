from datetime import UTC, datetime

from sqlalchemy import text

from cwz_web.feeds.imports import import_file
from cwz_web.feeds.models import Feed
from cwz_web.feeds.row_writes import delete_items, put_items
from cwz_web.feeds.temporary_files import temporary_file
from cwz_web.runs.auto_runs import auto_runs_of, find_auto_run, start_auto_run, start_due_auto_runs, stop_auto_run
from cwz_web.runs.models import Run, RunItem
from cwz_web.storage.models import Connection
from tests.factories import Factory


class AutoRunScenario:
    """A template that follows a feed of three rows."""

    def __init__(self, make: Factory) -> None:
        self.make = make
        self.space = make.workspace()
        self.feed, self.template = make.feed(self.space), make.template(self.space)
        self.run = make.run(self.feed, self.template)
        self.start()

    def start(self) -> None:
        with self.make.database.transaction(self.space.id) as db:
            start_auto_run(db, db.get_one(Run, (self.space.id, self.run.id)))

    def import_rows(self, rows: bytes) -> None:
        with self.make.database.transaction(self.space.id) as db:
            feed = db.get_one(Feed, (self.space.id, self.feed.id))
            import_file(db, feed, file_name="n.csv", file=temporary_file(b"sku,title\n" + rows))

    def start_due_runs(self) -> list[list[str]]:
        """Start the runs that are due, and return the keys of each."""
        with self.make.database.transaction(self.space.id) as db:
            runs = start_due_auto_runs(db, self.space.id, self.feed.id)
            return [
                [item.key for item in db.query(RunItem).filter_by(run_id=run.id).order_by(RunItem.position)]
                for run in runs
            ]


def test_what_is_new_or_changed_is_rendered_and_nothing_else(make: Factory) -> None:
    scenario = AutoRunScenario(make)
    assert scenario.start_due_runs() == [], "nothing has changed since the run"
    scenario.import_rows(b"1,One\n2,Two!\n3,Three\n4,Four\n")
    assert scenario.start_due_runs() == [["2", "4"]]
    assert scenario.start_due_runs() == []
    scenario.import_rows(b"1,One\n2,Two!\n4,Four\n")
    assert scenario.start_due_runs() == [], "rows were removed, and nothing else"
    scenario.import_rows(b"1,Uno\n2,Two!\n4,Four\n")
    with make.database.transaction(scenario.space.id) as db:
        put_items(db, db.get_one(Feed, (scenario.space.id, scenario.feed.id)), {"4": {"title": "Vier"}, "5": {}})
    assert scenario.start_due_runs() == [["1", "4", "5"]], "several changes are rendered as one"


def test_an_automatic_run_has_the_outputs_and_mapping_of_the_one_before(make: Factory) -> None:
    scenario = AutoRunScenario(make)
    scenario.import_rows(b"1,One\n2,Two\n3,Drei\n")
    with make.database.transaction(scenario.space.id) as db:
        [run] = start_due_auto_runs(db, scenario.space.id, scenario.feed.id)
    assert (run.total, run.mapping, run.outputs) == (1, scenario.run.mapping, scenario.run.outputs)
    assert (run.connection_id, run.template_id) == (scenario.run.connection_id, scenario.run.template_id)


def test_each_change_of_a_feed_enqueues_one_job(make: Factory) -> None:
    scenario = AutoRunScenario(make)
    scenario.import_rows(b"1,One\n2,Two!\n3,Three\n")
    with make.database.transaction(scenario.space.id) as db:
        feed = db.get_one(Feed, (scenario.space.id, scenario.feed.id))
        put_items(db, feed, {"4": {"title": "Four"}})
        delete_items(db, feed, ["4"])
        jobs = db.execute(
            text(
                "SELECT args FROM procrastinate_jobs"
                " WHERE task_name = 'runs.start_auto_runs' AND args ->> 'feed_id' = :id"
            ),
            {"id": str(feed.id)},
        ).all()
    assert len(jobs) == 1, "changes that arrive while it waits share its job"


def test_following_ends(make: Factory) -> None:
    scenario = AutoRunScenario(make)
    scenario.start()
    with make.database.transaction(scenario.space.id) as db:
        [(auto, template)] = auto_runs_of(db, scenario.feed)
        assert template.id == scenario.template.id
        stop_auto_run(db, auto)
    scenario.import_rows(b"1,Uno\n2,Two\n3,Three\n")
    assert scenario.start_due_runs() == []
    with make.database.transaction(scenario.space.id) as db:
        assert find_auto_run(db, scenario.feed, scenario.template.id) is None


def test_nothing_follows_a_deleted_feed_or_with_a_deleted_template(make: Factory) -> None:
    scenario = AutoRunScenario(make)
    scenario.import_rows(b"1,Uno\n2,Two\n3,Three\n")
    for row in (scenario.feed, scenario.template):
        for deleted_at in (datetime.now(UTC), None):
            with make.database.transaction(scenario.space.id) as db:
                db.get_one(type(row), (row.workspace_id, row.id)).deleted_at = deleted_at
            if deleted_at:
                assert scenario.start_due_runs() == []
    assert scenario.start_due_runs() == [["1"]], "it is rendered once it is back"


def test_a_run_that_cannot_start_says_why_and_is_tried_again(make: Factory) -> None:
    scenario = AutoRunScenario(make)
    scenario.import_rows(b"1,Uno\n2,Two\n3,Three\n")
    with make.database.transaction(scenario.space.id) as db:
        connection = db.query(Connection).one()
        auto = find_auto_run(db, scenario.feed, scenario.template.id)
        assert auto is not None
        auto.connection_id = None
        connection.is_default = False
    assert scenario.start_due_runs() == []
    with make.database.transaction(scenario.space.id) as db:
        auto = find_auto_run(db, scenario.feed, scenario.template.id)
        assert auto is not None
        assert auto.error_message
        db.query(Connection).one().is_default = True
    assert scenario.start_due_runs() == [["1"]]

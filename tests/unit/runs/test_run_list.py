"""The filters of the list of runs agree with the states that people see, and it shows the first images."""

from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import update

from cwz_web.runs.models import Run, RunItem
from cwz_web.runs.progress import RunState, state_of
from cwz_web.runs.run_list import RUN_STATES, find_runs
from tests.factories import Factory

NOW = datetime(2026, 11, 30, tzinfo=UTC)
DONE = {"done": 2, "finished_at": NOW}
ITEMS = [(60, "done"), (9, "done"), (3, "done"), (7, "incomplete"), (2, "pending")]
STATES = [
    ({}, "running", RunState.RUNNING),
    ({"prepared": False}, "running", RunState.PREPARING),
    (DONE, "completed", RunState.COMPLETED),
    (DONE | {"findings": 1}, "findings", RunState.COMPLETED_WITH_FINDINGS),
    (DONE | {"done": 1, "incomplete": 1}, "findings", RunState.COMPLETED_WITH_FINDINGS),
    (DONE | {"done": 1, "failed": 1, "findings": 3}, "failed", RunState.FAILED),
    ({"failed": 2, "error_message": "No", "finished_at": NOW}, "failed", RunState.NOT_STARTED),
    ({"done": 1, "failed": 1, "error_message": "No", "finished_at": NOW}, "failed", RunState.STOPPED),
    ({"done": 1, "failed": 1, "canceled_at": NOW, "finished_at": NOW}, "canceled", RunState.CANCELED),
]


@pytest.mark.parametrize(("values", "name", "state"), STATES)
def test_filter_finds_runs_of_its_state_only(make: Factory, values: dict[str, Any], name: str, state: RunState) -> None:
    space = make.workspace()
    run = make.run(make.feed(space), make.template(space))
    with make.database.transaction(space.id) as db:
        db.execute(update(Run).values({"total": 2} | values))
        assert state_of(db.get_one(Run, (space.id, run.id))) == state
        found = [other for other in RUN_STATES if find_runs(db, space.id, state=other).rows]
        assert found == [name]


def test_first_images_are_those_of_the_first_finished_items(make: Factory) -> None:
    space = make.workspace()
    template = make.template(space)
    make.run(make.feed(space, b"sku,title\n" + b"".join(b"%d,x\n" % n for n in range(60))), template)
    images = [make.image(template) for _ in range(5)]
    with make.database.transaction(space.id) as db:
        for number, (position, state) in enumerate(ITEMS):
            item = update(RunItem).where(RunItem.position == position)
            db.execute(item.values(image_id=images[number].id, state=state))
        (listed,) = find_runs(db, space.id).rows
        assert [image.id for image in listed.images] == [images[number].id for number in (2, 3, 1)]

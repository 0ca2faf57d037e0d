import csv
import io
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from cwz_web.db.embedded import EmbeddedPostgres
from cwz_web.workspaces.audit import Actor, AuditFilter, export_csv, find_chain_break, list_entries, record
from cwz_web.workspaces.models import Workspace
from tests.factories import Factory

ACTOR = Actor(None, "Ada <ada@example.org>", "192.0.2.1")


@pytest.fixture
def space(make: Factory) -> Workspace:
    return make.workspace()


def note(make: Factory, workspace_id: UUID, action: str = "feed.upload", target: str = "Feed", **more: Any) -> None:
    with make.database.transaction(workspace_id) as db:
        record(db, workspace_id, more.get("actor", ACTOR), action, target, more.get("details"))


def told(make: Factory, workspace_id: UUID, **wanted: Any) -> list[str]:
    with make.database.transaction(workspace_id) as db:
        return [entry.target for entry in list_entries(db, workspace_id, AuditFilter(**wanted))]


def broken_at(make: Factory, workspace_id: UUID) -> int | None:
    with make.database.transaction(workspace_id) as db:
        return find_chain_break(db, workspace_id)


def test_entries_are_chained_and_the_chain_is_whole(make: Factory, space: Workspace) -> None:
    assert broken_at(make, space.id) is None
    for number in range(5):
        note(make, space.id, target=f"Feed {number}", details={"rows": number, "ü": [1, None, 1.5]})
    assert told(make, space.id) == [f"Feed {number}" for number in (4, 3, 2, 1, 0)]
    assert broken_at(make, space.id) is None


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE audit_entries SET target = 'Other' WHERE number = 2",
        "UPDATE audit_entries SET details = '{}' WHERE number = 2",
        "UPDATE audit_entries SET at = at + interval '1 microsecond' WHERE number = 2",
        "UPDATE audit_entries SET address = '' WHERE number = 2",
        "DELETE FROM audit_entries WHERE number = 2",
    ],
)
def test_a_change_behind_our_back_shows(
    make: Factory, space: Workspace, postgres: EmbeddedPostgres, database_name: str, change: str
) -> None:
    for _ in range(3):
        note(make, space.id, details={"a": 1})
    with psycopg.connect(postgres.admin_url(database_name)) as connection:
        connection.execute(change)
    assert broken_at(make, space.id) == 2


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE audit_entries SET target = 'Other'",
        "DELETE FROM audit_entries",
        "TRUNCATE audit_entries",
        "ALTER TABLE audit_entries DISABLE ROW LEVEL SECURITY",
    ],
)
def test_the_application_can_only_add(make: Factory, space: Workspace, change: str) -> None:
    note(make, space.id)
    with (
        pytest.raises(ProgrammingError, match=r"permission denied|must be owner"),
        make.database.transaction(space.id) as db,
    ):
        db.execute(text(change))


def test_each_workspace_has_a_chain_of_its_own(make: Factory, space: Workspace) -> None:
    other = make.workspace()
    note(make, space.id, target="mine")
    note(make, other.id, target="theirs")
    assert told(make, space.id) == ["mine"]
    assert broken_at(make, space.id) is None


def test_the_log_is_filtered(make: Factory, space: Workspace) -> None:
    note(make, space.id, target="a")
    note(make, space.id, target="b", action="key.make", actor=Actor(None, "Bob 100%_", "192.0.2.2"))
    today = datetime.now(UTC).date()
    assert told(make, space.id, actor="BOB") == ["b"]
    assert told(make, space.id, actor="100%_") == ["b"]
    assert told(make, space.id, actor="%") == ["b"], "a sign of LIKE is a sign"
    assert told(make, space.id, action="feed.upload") == ["a"]
    assert told(make, space.id, since=today, until=today) == ["b", "a"]
    assert told(make, space.id, since=today + timedelta(days=1)) == []
    assert told(make, space.id, until=today - timedelta(days=1)) == []


def test_the_csv_defuses_what_people_typed(make: Factory, space: Workspace) -> None:
    note(make, space.id, target='=HYPERLINK("http://evil.test","x")', details={"name": "@SUM(1)"})
    with make.database.transaction(space.id) as db:
        rows = list(csv.DictReader(io.StringIO(b"".join(export_csv(db, space.id, AuditFilter())).decode())))
    assert rows[0]["target"] == '\'=HYPERLINK("http://evil.test","x")'
    assert rows[0]["actor"] == "Ada <ada@example.org>"


def test_two_at_once_get_numbers_of_their_own(make: Factory, space: Workspace) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: note(make, space.id, target=str(number)), range(24)))
    assert len(told(make, space.id)) == 24
    assert broken_at(make, space.id) is None

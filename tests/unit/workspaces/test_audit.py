import ast
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, get_args
from uuid import UUID

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

import cwz_web
from cwz_web.db.embedded import EmbeddedPostgres
from cwz_web.views.audit import make_sentence
from cwz_web.views.keys import SigningForm
from cwz_web.views.webhooks import ChangeForm
from cwz_web.workspaces.audit import (
    AREAS,
    AUDIT_LABELS,
    Actor,
    AuditFilter,
    actions_of,
    export_rows,
    find_chain_break,
    find_entries,
    list_actors,
    record,
)
from cwz_web.workspaces.models import Workspace
from tests.factories import Factory

ACTOR = Actor(None, "Ada <ada@example.org>", "192.0.2.1")


@pytest.fixture
def workspace(make: Factory) -> Workspace:
    return make.workspace()


def add_entry(
    make: Factory, workspace_id: UUID, action: str = "feed.upload", target: str = "Feed", **options: Any
) -> None:
    with make.database.transaction(workspace_id) as db:
        record(db, workspace_id, options.get("actor", ACTOR), action, target, options.get("details"))


def list_targets(make: Factory, workspace_id: UUID, **filters: Any) -> list[str]:
    with make.database.transaction(workspace_id) as db:
        return [entry.target for entry in find_entries(db, workspace_id, AuditFilter(**filters)).entries]


def chain_break(make: Factory, workspace_id: UUID) -> int | None:
    with make.database.transaction(workspace_id) as db:
        return find_chain_break(db, workspace_id)


def test_chain_of_entries_is_intact(make: Factory, workspace: Workspace) -> None:
    assert chain_break(make, workspace.id) is None
    for number in range(5):
        add_entry(make, workspace.id, target=f"Feed {number}", details={"rows": number, "ü": [1, None, 1.5]})
    assert list_targets(make, workspace.id) == [f"Feed {number}" for number in (4, 3, 2, 1, 0)]
    assert chain_break(make, workspace.id) is None


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE audit_entries SET target = 'Other' WHERE number = 2",
        "UPDATE audit_entries SET details = '{}' WHERE number = 2",
        "UPDATE audit_entries SET at = at + interval '1 microsecond' WHERE number = 2",
        "UPDATE audit_entries SET ip_address = '' WHERE number = 2",
        "DELETE FROM audit_entries WHERE number = 2",
    ],
)
def test_change_outside_the_application_breaks_the_chain(
    make: Factory, workspace: Workspace, postgres: EmbeddedPostgres, database_name: str, change: str
) -> None:
    for _ in range(3):
        add_entry(make, workspace.id, details={"a": 1})
    with psycopg.connect(postgres.admin_url(database_name)) as connection:
        connection.execute(change)
    assert chain_break(make, workspace.id) == 2


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE audit_entries SET target = 'Other'",
        "DELETE FROM audit_entries",
        "TRUNCATE audit_entries",
        "ALTER TABLE audit_entries DISABLE ROW LEVEL SECURITY",
    ],
)
def test_application_role_can_only_append(make: Factory, workspace: Workspace, change: str) -> None:
    add_entry(make, workspace.id)
    with (
        pytest.raises(ProgrammingError, match=r"permission denied|must be owner"),
        make.database.transaction(workspace.id) as db,
    ):
        db.execute(text(change))


def test_each_workspace_has_its_own_chain(make: Factory, workspace: Workspace) -> None:
    other = make.workspace()
    add_entry(make, workspace.id, target="own")
    add_entry(make, other.id, target="other")
    assert list_targets(make, workspace.id) == ["own"]
    assert chain_break(make, workspace.id) is None


def test_log_is_filtered(make: Factory, workspace: Workspace) -> None:
    add_entry(make, workspace.id, target="a")
    add_entry(make, workspace.id, target="b", action="key.create", actor=Actor(None, "Bob 100%_", "192.0.2.2"))
    today = datetime.now(UTC).date()
    assert list_targets(make, workspace.id, search="BOB") == ["b"]
    assert list_targets(make, workspace.id, search="100%_") == ["b"]
    assert list_targets(make, workspace.id, search="%") == ["b"], "LIKE wildcards are escaped"
    assert list_targets(make, workspace.id, actions=actions_of("feeds")) == ["a"]
    assert list_targets(make, workspace.id, since=today, until=today) == ["b", "a"]
    assert list_targets(make, workspace.id, since=today + timedelta(days=1)) == []
    assert list_targets(make, workspace.id, until=today - timedelta(days=1)) == []


def test_log_is_filtered_by_actor(make: Factory, workspace: Workspace) -> None:
    ada, bob = make.account(), make.account()
    for account, label in ((ada, "Ada"), (bob, "Bob"), (ada, "Ada Lovelace")):
        add_entry(make, workspace.id, target=label, actor=Actor(account.id, label, ""))
    add_entry(make, workspace.id, target="key")
    with make.database.transaction(workspace.id) as db:
        assert list_actors(db, workspace.id) == {ada.id: "Ada Lovelace", bob.id: "Bob"}
    assert list_targets(make, workspace.id, actor_id=ada.id) == ["Ada Lovelace", "Ada"]
    assert list_targets(make, workspace.id, is_other=True) == ["key"]


def test_page_scans_a_bounded_number_of_entries(
    make: Factory, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cwz_web.workspaces.audit.MAX_SCANNED", 3)
    for target in "abcaaaa":
        add_entry(make, workspace.id, target=target)
    with make.database.transaction(workspace.id) as db:
        filters = AuditFilter(search="b")
        first = find_entries(db, workspace.id, filters)
        second = find_entries(db, workspace.id, filters, first.before)
        assert (first.entries, first.before) == ([], 5)
        assert ([entry.target for entry in second.entries], second.before) == (["b"], 2)
        assert find_entries(db, workspace.id, filters, second.before).before is None


def test_export_has_a_row_for_each_entry(make: Factory, workspace: Workspace) -> None:
    add_entry(make, workspace.id, target="Products", details={"name": "Über"})
    with make.database.transaction(workspace.id) as db:
        columns, row = export_rows(db, workspace.id, AuditFilter())
    entry = dict(zip(columns, row, strict=True))
    assert (entry["target"], entry["actor"]) == ("Products", "Ada <ada@example.org>")
    assert entry["details"] == '{"name": "Über"}'


def test_concurrent_entries_get_consecutive_numbers(make: Factory, workspace: Workspace) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: add_entry(make, workspace.id, target=str(number)), range(24)))
    assert len(list_targets(make, workspace.id)) == 24
    assert chain_break(make, workspace.id) is None


def recorded_actions() -> Iterator[str]:
    """Yield the actions that the source code passes to a function, and those that it builds from a form field."""
    areas = "|".join({action.partition(".")[0] for action in AUDIT_LABELS})
    for package in ("api", "campaigns", "views", "web", "workspaces"):
        for path in (Path(cwz_web.__file__).parent / package).rglob("*.py"):
            calls = (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call))
            calls = (call for call in calls if "configure_task" not in ast.dump(call.func))  # its argument names a job
            arguments = (node for call in calls for argument in call.args for node in ast.walk(argument))
            texts = (node.value for node in arguments if isinstance(node, ast.Constant) and isinstance(node.value, str))
            yield from (text for text in texts if re.fullmatch(rf"({areas})\.[a-z_-]+", text))
    for area, form in (("webhook", ChangeForm), ("signing", SigningForm)):
        yield from (f"{area}.{choice}" for choice in get_args(form.model_fields["do"].annotation))


def test_every_action_has_a_label() -> None:
    assert set(recorded_actions()) == set(AUDIT_LABELS)
    assert all(label[0].isupper() and not label.endswith(".") for label in AUDIT_LABELS.values())
    assert frozenset().union(*map(actions_of, AREAS)) >= AUDIT_LABELS.keys(), "each has an area"


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"target": "Ada", "role": "User"}, "Changed the role of Ada"),
        ({"target": "Ada", "role": "User", "previous_role": "Admin"}, "Changed the role of Ada from Admin to User"),
    ],
)
def test_sentence_of_an_entry(values: dict[str, str], sentence: str) -> None:
    texts = make_sentence("member.role", values)
    assert ("".join(texts), texts[1]) == (sentence, "Ada")

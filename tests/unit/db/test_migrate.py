import dataclasses
from collections.abc import Iterator

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, text

from cwz_web.db import migrate as module
from cwz_web.db.base import Base
from cwz_web.db.embedded import EmbeddedPostgres
from cwz_web.db.migrate import MigrationError, migrate, pending
from cwz_web.db.session import Database
from cwz_web.web.services import Services
from tests.conftest import url_of
from tests.factories import Factory
from tests.migrations import downgrade
from tests.unit.db.test_row_security import fill


@pytest.fixture
def empty(postgres: EmbeddedPostgres, database_name: str) -> Iterator[str]:
    """The name of an empty database."""
    name = f"{database_name}_empty"
    with psycopg.connect(postgres.admin_url(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} OWNER cwz_owner TEMPLATE template0")
        yield name
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def test_models_match_the_migrated_schema(owner_url: str, services: object) -> None:
    engine = create_engine(owner_url)
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection,
            opts={"include_name": lambda name, kind, _: not (kind == "table" and name.startswith("procrastinate"))},
        )
        differences = compare_metadata(context, Base.metadata)
    engine.dispose()
    assert differences == []


def test_migrations_upgrade_downgrade_and_upgrade_again(postgres: EmbeddedPostgres, empty: str) -> None:
    owner, app = url_of(postgres, "cwz_owner", empty), url_of(postgres, "cwz_app", empty)
    assert pending(app)
    migrate(owner, app)
    assert not pending(app)
    downgrade(owner, "base")
    engine = create_engine(owner)
    with engine.begin() as connection:
        left = connection.scalars(
            text("SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace")
        ).all()
        functions = connection.scalar(text("SELECT count(*) FROM pg_proc WHERE pronamespace = 'public'::regnamespace"))
    engine.dispose()
    assert left == ["alembic_version"]
    assert functions == 0
    migrate(owner, app)
    assert not pending(app)


def test_every_migration_downgrades_and_upgrades_with_data(
    postgres: EmbeddedPostgres, services: Services, empty: str, owner_url: str
) -> None:
    """Step by step, with a row in every table of a workspace."""
    owner, app = url_of(postgres, "cwz_owner", empty), url_of(postgres, "cwz_app", empty)
    migrate(owner, app)
    database = Database(app, pool_size=1)
    make = Factory(dataclasses.replace(services, database=database))
    space = make.workspace()
    fill(make, space)
    database.dispose()
    before = counts(postgres, empty)
    assert all(before[table.name] for table in Base.metadata.tables.values() if "workspace_id" in table.columns)
    revisions = [script.revision for script in ScriptDirectory.from_config(module.alembic_config()).walk_revisions()]
    downgrade(owner, *revisions[1:])
    migrate(owner, app)
    assert not pending(app)
    assert counts(postgres, empty)["accounts"] == before["accounts"]  # of the first migration, which is not reverted


def counts(postgres: EmbeddedPostgres, database: str) -> dict[str, int]:
    with psycopg.connect(postgres.admin_url(database)) as connection:
        names = connection.execute(
            "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
        ).fetchall()
        found = {}
        for (name,) in names:
            [rows] = connection.execute(f"SELECT count(*) FROM {name}").fetchone() or (0,)  # noqa: S608 - our own names
            found[str(name)] = int(rows)
        return found


def test_failed_migration_changes_nothing(
    postgres: EmbeddedPostgres, empty: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner, app = url_of(postgres, "cwz_owner", empty), url_of(postgres, "cwz_app", empty)
    monkeypatch.setattr(module, "GRANTS", "GRANT NOTHING {role}")
    with pytest.raises(Exception, match="syntax error"):
        migrate(owner, app)
    with psycopg.connect(postgres.admin_url(empty)) as connection:
        assert connection.execute("SELECT count(*) FROM pg_class WHERE relname = 'accounts'").fetchone() == (0,)


def test_owner_role_is_rejected_for_the_application(postgres: EmbeddedPostgres, empty: str) -> None:
    owner = url_of(postgres, "cwz_owner", empty)
    with pytest.raises(MigrationError, match="two different roles"):
        migrate(owner, owner)


def test_role_that_bypasses_row_security_is_rejected(postgres: EmbeddedPostgres, empty: str) -> None:
    with pytest.raises(MigrationError, match="can bypass row-level security"):
        migrate(url_of(postgres, "cwz_owner", empty), url_of(postgres, "postgres", empty))

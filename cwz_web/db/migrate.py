"""Bring a database to the newest schema: Alembic as the tables' owner, then the application role's grants."""

from functools import lru_cache
from importlib.resources import files

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, make_url, text
from sqlalchemy.exc import DBAPIError

from cwz_web.db.row_security import OPEN_TO_BACKUPS

# One migration at a time, whatever number of machines start at once.
ADVISORY_LOCK = 7_210_401

GRANTS = """
GRANT USAGE ON SCHEMA public TO {role};
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role};
GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO {role};
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO {role};
REVOKE INSERT, UPDATE, DELETE ON alembic_version FROM {role};
REVOKE UPDATE, DELETE ON audit_entries FROM {role};
"""


class MigrationError(Exception):
    """The database cannot be migrated as it is; the message says what to change."""


def migrate(owner_url: str, app_url: str) -> None:
    """Upgrade to the newest revision and give the application's role its rights, in one transaction.

    The role named in app_url is created when it does not exist and the owner may create roles.
    Raises MigrationError when that role could bypass row-level security or is the owner itself.
    """
    app = make_url(app_url)
    if app.username is None or app.username == make_url(owner_url).username:
        raise MigrationError(
            "DATABASE_URL and DATABASE_OWNER_URL must name two different roles: row-level security cannot bind"
            " the application when it owns the tables"
        )
    engine = create_engine(owner_url)
    try:
        with engine.begin() as connection:
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": ADVISORY_LOCK})
            _ensure_role(connection, app.username, app.password)
            config = _alembic()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            role = connection.dialect.identifier_preparer.quote(app.username)
            for statement in filter(str.strip, GRANTS.format(role=role).split(";")):
                connection.execute(text(statement))
            connection.exec_driver_sql(OPEN_TO_BACKUPS.replace("%", "%%"))
    finally:
        engine.dispose()


def pending(app_url: str) -> bool:
    """Whether the database's schema is older than this code (or not there at all)."""
    engine = create_engine(app_url, connect_args={"connect_timeout": 5})
    try:
        with engine.connect() as connection:
            current = MigrationContext.configure(connection).get_current_revision()
    finally:
        engine.dispose()
    return current != ScriptDirectory.from_config(_alembic()).get_current_head()


def is_behind(connection: Connection) -> bool:
    """Whether the schema is one that this code has migrations after. A newer one, of a release that is being rolled
    out, is not: migrations leave what the release before them needs."""
    current = MigrationContext.configure(connection).get_current_revision()
    return current is None or current in _earlier_revisions()


@lru_cache(maxsize=1)
def _earlier_revisions() -> frozenset[str]:
    """Every revision but the newest. Read once: `/readyz` is asked each second."""
    known = ScriptDirectory.from_config(_alembic())
    return frozenset(script.revision for script in known.walk_revisions()) - set(known.get_heads())


def _alembic() -> Config:
    config = Config()
    config.set_main_option("script_location", str(files("cwz_web.db") / "migrations"))
    config.set_main_option("path_separator", "os")
    return config


def _ensure_role(connection: Connection, name: str, password: str | None) -> None:
    found = connection.execute(
        text("SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = :name"), {"name": name}
    ).scalar()
    if found:
        raise MigrationError(f"The role {name} of DATABASE_URL can bypass row-level security; use another one")
    if found is None:
        role = connection.dialect.identifier_preparer.quote(name)
        statement = f"CREATE ROLE {role} LOGIN NOSUPERUSER NOBYPASSRLS"
        try:
            connection.exec_driver_sql(statement)
            if password:
                # A utility statement takes no parameters: format() quotes the literal on the server.
                quoted = connection.execute(text("SELECT quote_literal(:password)"), {"password": password}).scalar()
                connection.exec_driver_sql(f"ALTER ROLE {role} PASSWORD {quoted}".replace("%", "%%"))
        except DBAPIError as error:
            raise MigrationError(f"The role {name} of DATABASE_URL does not exist and cannot be created") from error

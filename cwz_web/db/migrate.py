"""Migrations: upgrade a database to the newest schema, then grant the roles of the processes their rights."""

from functools import lru_cache
from importlib.resources import files

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import URL, Connection, create_engine, make_url, text
from sqlalchemy.exc import DBAPIError

from cwz_web.db.queue_role import grant_render_queue
from cwz_web.db.row_security import CREATE_BACKUP_POLICIES

# Serializes migrations of machines that start at the same time.
ADVISORY_LOCK = 7_210_401

GRANTS = """
REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO {role};
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role};
GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO {role};
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO {role};
REVOKE INSERT, UPDATE, DELETE ON alembic_version FROM {role};
REVOKE UPDATE, DELETE ON audit_entries FROM {role};
"""


class MigrationError(Exception):
    """The database cannot be migrated; the message says what to change."""


def migrate(owner_url: str, app_url: str, queue_url: str | None = None) -> None:
    """Upgrade to the newest revision and grant the roles their rights, in one transaction.

    Args:
        owner_url: the role that owns the tables.
        app_url: the application's role; it is created if it does not exist and the owner may create roles.
        queue_url: the role of render workers, likewise; None if it is not used.

    Raises:
        MigrationError: the roles are not different, can bypass row-level security, or cannot be created.
    """
    app = make_url(app_url)
    if app.username is None or app.username == make_url(owner_url).username:
        raise MigrationError(
            "DATABASE_URL and DATABASE_OWNER_URL must name two different roles: row-level security does not isolate"
            " workspaces from the owner of the tables"
        )
    queue = make_url(queue_url) if queue_url else None
    if queue and queue.username in (None, app.username, make_url(owner_url).username):
        raise MigrationError(
            "DATABASE_QUEUE_URL must name a role of its own: render workers may only use the queue of chunks"
        )
    engine = create_engine(owner_url)
    try:
        with engine.begin() as connection:
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": ADVISORY_LOCK})
            _ensure_role(connection, app, "DATABASE_URL")
            if queue:
                _ensure_role(connection, queue, "DATABASE_QUEUE_URL")
            config = alembic_config()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            role = connection.dialect.identifier_preparer.quote(app.username)
            for statement in filter(str.strip, GRANTS.format(role=role).split(";")):
                connection.execute(text(statement))
            if queue:
                grant_render_queue(connection, connection.dialect.identifier_preparer.quote(str(queue.username)))
            connection.exec_driver_sql(CREATE_BACKUP_POLICIES.replace("%", "%%"))
    finally:
        engine.dispose()


def pending(app_url: str) -> bool:
    """Return whether the schema is not the one of this version; also when there is none."""
    engine = create_engine(app_url, connect_args={"connect_timeout": 5})
    try:
        with engine.connect() as connection:
            current = MigrationContext.configure(connection).get_current_revision()
    finally:
        engine.dispose()
    return current != ScriptDirectory.from_config(alembic_config()).get_current_head()


def is_behind(connection: Connection) -> bool:
    """Return whether the schema is older than this version.

    The schema of a newer release, which is being rolled out, is not: a migration keeps what the release before needs.
    """
    current = MigrationContext.configure(connection).get_current_revision()
    return current is None or current in _earlier_revisions()


@lru_cache(maxsize=1)
def _earlier_revisions() -> frozenset[str]:
    """Return every revision but the newest; cached, since `/readyz` is requested every second."""
    scripts = ScriptDirectory.from_config(alembic_config())
    return frozenset(script.revision for script in scripts.walk_revisions()) - set(scripts.get_heads())


def alembic_config() -> Config:
    """Return Alembic's configuration for this package's migrations."""
    config = Config()
    config.set_main_option("script_location", str(files("cwz_web.db") / "migrations"))
    config.set_main_option("path_separator", "os")
    return config


def _ensure_role(connection: Connection, url: URL, variable: str) -> None:
    """Create the role that a URL names, unless it exists. `variable` names the URL in messages."""
    name = str(url.username)
    can_bypass = connection.execute(
        text("SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = :name"), {"name": name}
    ).scalar()
    if can_bypass:
        raise MigrationError(
            f"The role {name} of {variable} can bypass row-level security. Use a role without SUPERUSER and BYPASSRLS"
        )
    if can_bypass is None:
        role = connection.dialect.identifier_preparer.quote(name)
        statement = f"CREATE ROLE {role} LOGIN NOSUPERUSER NOBYPASSRLS"
        try:
            connection.exec_driver_sql(statement)
            if url.password:
                # A utility statement takes no parameters: quote_literal() quotes the password on the server.
                quoted = connection.execute(
                    text("SELECT quote_literal(:password)"), {"password": url.password}
                ).scalar()
                connection.exec_driver_sql(f"ALTER ROLE {role} PASSWORD {quoted}".replace("%", "%%"))
        except DBAPIError as error:
            raise MigrationError(
                f"The role {name} of {variable} does not exist, and the owner may not create it"
            ) from error

"""Downgrades, which only tests run."""

from alembic import command
from sqlalchemy import create_engine

from cwz_web.db import migrate


def downgrade(owner_url: str, *revisions: str) -> None:
    """Downgrade a database to each of these revisions in turn.

    Args:
        owner_url: the role that owns the tables.
        revisions: the newest first.
    """
    engine = create_engine(owner_url)
    try:
        for revision in revisions:
            with engine.begin() as connection:
                config = migrate.alembic_config()
                config.attributes["connection"] = connection
                command.downgrade(config, revision)
    finally:
        engine.dispose()

"""Going back to an older schema, which only tests do."""

from alembic import command
from sqlalchemy import create_engine

from cwz_web.db import migrate


def downgrade(owner_url: str, *revisions: str) -> None:
    """Bring a database back to each of these revisions in turn.

    Arguments:
        owner_url: as the owner of its tables.
    """
    engine = create_engine(owner_url)
    try:
        for revision in revisions:
            with engine.begin() as connection:
                config = migrate._alembic()
                config.attributes["connection"] = connection
                command.downgrade(config, revision)
    finally:
        engine.dispose()

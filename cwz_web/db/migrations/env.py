"""Alembic's entry: run the migrations on the connection that db.migrate hands over, inside its transaction."""

from alembic import context

from cwz_web.db.base import Base

context.configure(connection=context.config.attributes["connection"], target_metadata=Base.metadata)
with context.begin_transaction():
    context.run_migrations()

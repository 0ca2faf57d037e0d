"""Alembic's environment: run the migrations on the connection of `db.migrate`, in its transaction."""

from alembic import context

from cwz_web.db.base import Base

context.configure(connection=context.config.attributes["connection"], target_metadata=Base.metadata)
with context.begin_transaction():
    context.run_migrations()

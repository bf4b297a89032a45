"""Run by Alembic with the connection that `relay_bot.journal.schema.migrate` hands over."""

from alembic import context

from relay_bot.journal.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()

"""Alembic's entry: run the steps on the connection that `elastron.storage.schema` hands over."""

from alembic import context

from elastron.storage.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    # The caller's transaction is around everything: a step that fails leaves nothing behind.
    transactional_ddl=True,
)
context.run_migrations()

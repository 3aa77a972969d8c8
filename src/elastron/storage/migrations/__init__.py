"""Steps of the metadata schema, run by Alembic. A step that was released is never changed."""

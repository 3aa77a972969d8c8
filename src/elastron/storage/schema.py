"""Bring a metadata database to this server's schema, or refuse it (storage API, section 10)."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, delete, insert, inspect, select, text

from elastron.storage.problems import SchemaTooNewError
from elastron.storage.tables import schema_versions

VERSION = 3
"""Ours; the original's last is 2, so that it refuses a database which ours has upgraded."""

COMPLETE = "complete"
_ADVISORY_LOCK = 0x4D_52_44_53  # "MRDS": servers that start together migrate one after the other


def migrate(connection: Connection) -> None:
    """Upgrade inside the caller's transaction.

    * A database whose newest completed version is above ours is refused, untouched.
    * One of the original's, version 2, is taken over.
    * A version row with another status means an interrupted upgrade: it is run again.

    Raises:
        SchemaTooNewError: written by a newer server.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"SELECT pg_advisory_xact_lock({_ADVISORY_LOCK})"))
    tables = set(inspect(connection).get_table_names())
    completed = _completed_version(connection) if schema_versions.name in tables else 0
    if completed == VERSION and _revision(connection, tables) == f"{VERSION:04d}":
        return
    if completed > VERSION:
        raise SchemaTooNewError(
            f"The metadata database has schema version {completed}; this server knows versions "
            f"up to {VERSION}. Start a newer Elastron, or restore an older backup."
        )
    _upgrade(connection)
    if completed != VERSION:
        connection.execute(delete(schema_versions).where(schema_versions.c.version == VERSION))
        connection.execute(insert(schema_versions).values(version=VERSION, status=COMPLETE))


def _upgrade(connection: Connection) -> None:
    # Imported only where there is something to do: it is a third of a server's start.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415
    from alembic.util import CommandError  # noqa: PLC0415

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise SchemaTooNewError(
            "The metadata database is at a schema step that this server does not know. "
            "Start a newer Elastron, or restore an older backup."
        ) from error


def _revision(connection: Connection, tables: set[str]) -> str | None:
    if "alembic_version" not in tables:
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def _completed_version(connection: Connection) -> int:
    newest = (
        select(schema_versions.c.version)
        .where(schema_versions.c.status == COMPLETE)
        .order_by(schema_versions.c.version.desc())
        .limit(1)
    )
    return connection.execute(newest).scalar() or 0

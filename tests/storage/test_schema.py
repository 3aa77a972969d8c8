"""Which databases open, on both engines; the original server's among them."""

from __future__ import annotations

import asyncio
import itertools
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, text

from elastron.storage.database import Database, PostgresqlDatabase, SqliteDatabase
from elastron.storage.identity import BlobId
from elastron.storage.instants import now_ms
from elastron.storage.metadata import open_metadata
from elastron.storage.problems import SchemaTooNewError
from elastron.storage.schema import VERSION, migrate
from elastron.storage.search import parse_criteria
from elastron.storage.tables import metadata as tables

from .parts import new_database

_numbers = itertools.count()

# As gorm makes them for the original server's models.
ORIGINAL = """
CREATE TABLE schema_versions (version bigint NOT NULL, status text, PRIMARY KEY (version));
CREATE TABLE blob_metadata (subject {t} NOT NULL, id {uuid}, device {t}, name {t}, session {t},
  content_type {t}, created_at bigint, expires_at bigint, staged {boolean},
  PRIMARY KEY (subject, id));
CREATE INDEX idx_blob_metadata_search ON blob_metadata (subject, device, name, created_at, id);
CREATE INDEX staged ON blob_metadata (created_at) WHERE staged = true;
CREATE INDEX expires ON blob_metadata (expires_at) WHERE expires_at IS NOT NULL;
CREATE TABLE custom_blob_metadata (blob_subject {t} NOT NULL, blob_id {uuid}, tag_name {t},
  tag_value {t}, CONSTRAINT fk_blob_metadata_custom_tags FOREIGN KEY (blob_subject, blob_id)
  REFERENCES blob_metadata (subject, id) ON DELETE CASCADE);
CREATE UNIQUE INDEX idx_custom_blob_metadata_search ON custom_blob_metadata
  (blob_subject, blob_id, tag_name, tag_value);
INSERT INTO schema_versions VALUES (2, 'complete');
INSERT INTO blob_metadata VALUES ('s', '0c7e0d02-325a-405c-8d92-0a7a3336c91f', 'd', 'n', NULL,
  'text/plain', 1647618184150, NULL, false);
INSERT INTO blob_metadata VALUES ('s', '1c7e0d02-325a-405c-8d92-0a7a3336c91f', NULL, NULL, NULL,
  NULL, 1647618184151, NULL, true);
INSERT INTO custom_blob_metadata VALUES ('s', '0c7e0d02-325a-405c-8d92-0a7a3336c91f', 'a', 'b');
"""


class Place:
    """One empty database, opened as often as asked."""

    def __init__(self, provider: str, connection_string: str) -> None:
        self.provider = provider
        self.connection_string = connection_string

    def open(self) -> Database:
        if self.provider == "sqlite":
            return SqliteDatabase(self.connection_string)
        return PostgresqlDatabase(self.connection_string)

    def run(self, *works: Callable[[Connection], Any]) -> Any:
        async def run() -> Any:
            database = self.open()
            try:
                return [await database.write(work) for work in works][-1]
            finally:
                await database.close()

        return asyncio.run(run())

    def execute(self, *statements: str) -> None:
        def work(connection: Connection) -> None:
            for statement in statements:
                connection.execute(text(statement))

        self.run(work)

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        return self.run(
            lambda connection: [tuple(r) for r in connection.execute(text(statement)).all()]
        )


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "sqlite":
        return Place("sqlite", str(tmp_path / "new" / "metadata.db"))
    options = request.getfixturevalue("postgresql")
    return Place("postgresql", new_database(options, f"schema{next(_numbers)}"))


def versions(place: Place) -> dict[int, str]:
    return dict(place.query("SELECT version, status FROM schema_versions"))  # type: ignore[arg-type]


def test_a_new_database(place: Place) -> None:
    place.run(migrate)
    assert versions(place) == {VERSION: "complete"}
    place.run(migrate)  # once more is nothing
    assert versions(place) == {VERSION: "complete"}


def test_the_steps_make_what_the_tables_say(place: Place) -> None:
    def differences(connection: Connection) -> list[Any]:
        return compare_metadata(MigrationContext.configure(connection), tables)

    assert place.run(migrate, differences) == []


def test_a_newer_database_is_refused_and_left_alone(place: Place) -> None:
    place.run(migrate)
    place.execute("INSERT INTO schema_versions VALUES (99, 'complete')")
    with pytest.raises(SchemaTooNewError, match="99"):
        place.run(migrate)
    assert versions(place) == {VERSION: "complete", 99: "complete"}


def test_a_newer_step_is_refused(place: Place) -> None:
    place.run(migrate)
    place.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(SchemaTooNewError, match="newer Elastron"):
        place.run(migrate)


def test_an_unknown_status_is_migrated_again(place: Place) -> None:
    place.run(migrate)
    place.execute("UPDATE schema_versions SET status = 'unknown'")
    place.run(migrate)
    assert versions(place) == {VERSION: "complete"}


def test_the_original_servers_database_is_taken_over(place: Place) -> None:
    sqlite = place.provider == "sqlite"
    types = {
        "t": "text" if sqlite else "varchar(64)",
        "uuid": "uuid" if not sqlite else "text",
        "boolean": "numeric" if sqlite else "boolean",
    }
    place.execute(*[s for s in ORIGINAL.format(**types).split(";") if s.strip()])

    async def look() -> None:
        metadata = await open_metadata(place.provider, place.connection_string)
        try:
            found = await metadata.search(
                parse_criteria([("subject", "s"), ("a", "b")]), now_ms=now_ms()
            )
            (info,) = found
            assert info.key.id == "0c7e0d02-325a-405c-8d92-0a7a3336c91f"
            assert info.created_ms == 1647618184150
            assert info.size_bytes is None
            assert info.tags.custom == {"a": ("b",)}
            # Its staged record has no lease: its age decides.
            (orphan,) = await metadata.garbage(
                after=None, staged_before_ms=now_ms(), now_ms=now_ms(), expired_before_ms=0
            )
            assert orphan == BlobId("s", "1c7e0d02-325a-405c-8d92-0a7a3336c91f")
        finally:
            await metadata.close()

    asyncio.run(look())
    # Which the original refuses from now on, as it should.
    assert versions(place) == {2: "complete", VERSION: "complete"}


def test_a_step_that_fails_leaves_nothing(place: Place) -> None:
    place.execute("CREATE TABLE schema_versions (version integer, status text)")
    # A view in the way of a table's index.
    place.execute("CREATE VIEW blob_metadata AS SELECT 1 AS subject, 2 AS id, 3 AS expires_at")
    with pytest.raises(Exception, match=r"."):
        place.run(migrate)
    place.execute("DROP VIEW blob_metadata")
    place.run(migrate)
    assert versions(place) == {VERSION: "complete"}


def test_servers_that_start_together(place: Place) -> None:
    async def start() -> None:
        opened = await asyncio.gather(
            *(open_metadata(place.provider, place.connection_string) for _ in range(4))
        )
        for metadata in opened:
            await metadata.check()
            await metadata.close()

    asyncio.run(start())
    assert versions(place) == {VERSION: "complete"}


def test_sqlite_is_durable_and_shared(tmp_path: Path) -> None:
    place = Place("sqlite", str(tmp_path / "metadata.db"))
    place.run(migrate)
    modes = place.query("PRAGMA journal_mode"), place.query("PRAGMA synchronous")
    assert modes == ([("wal",)], [(2,)])  # 2: FULL
    with sqlite3.connect(tmp_path / "metadata.db") as other:
        other.execute("SELECT count(*) FROM blob_metadata")
    other.close()

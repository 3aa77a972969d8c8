from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import Connection, text

from elastron.errors import ConfigError, StorageError, StorageUnavailableError
from elastron.storage.database import PostgresqlDatabase, SqliteDatabase, postgresql_dsn
from elastron.storage.problems import StoreFullError
from tests.ports import free_port


@pytest.mark.parametrize(
    ("given", "dsn"),
    [
        ("postgresql://u@h:5/d", "postgresql://u@h:5/d"),
        ("postgres://u@h/d", "postgresql://u@h/d"),
        ("postgresql+asyncpg://u@h/d", "postgresql://u@h/d"),
        ("user=mrd dbname=mrd host=db", "postgresql://?user=mrd&dbname=mrd&host=db"),
        ("user=mrd password='a b'", "postgresql://?user=mrd&password=a+b"),
    ],
)
def test_connection_strings(given: str, dsn: str) -> None:
    assert postgresql_dsn(given) == dsn


@pytest.mark.parametrize("given", ["", "mysql://h/d", "host", "host=a secret", "a='"])
def test_what_is_no_connection_string(given: str) -> None:
    with pytest.raises(ConfigError) as error:
        postgresql_dsn(given)
    assert "secret" not in str(error.value), "it may hold a password"


async def test_a_write_that_fails_takes_no_other_along(tmp_path: Path) -> None:
    database = SqliteDatabase(str(tmp_path / "a.db"))
    await database.write(lambda c: c.execute(text("CREATE TABLE t (x INTEGER UNIQUE)")))

    def insert(value: int):
        def work(connection: Connection) -> int:
            connection.execute(text("INSERT INTO t VALUES (:x)"), {"x": value})
            if value % 10 == 7:
                raise StorageError("on purpose")
            return value

        return work

    outcomes = await asyncio.gather(
        *(database.write(insert(value % 90)) for value in range(100)), return_exceptions=True
    )
    # Those that raise, and those whose value was there already.
    bad = [not isinstance(outcome, int) for outcome in outcomes]
    assert bad == [value % 10 == 7 or value >= 90 for value in range(100)]
    kept = await database.read(lambda c: c.execute(text("SELECT count(*) FROM t")).scalar_one())
    assert kept == 81
    await database.close()
    with pytest.raises(StorageUnavailableError):
        await database.write(insert(1))


async def test_a_caller_that_gives_up(tmp_path: Path) -> None:
    database = SqliteDatabase(str(tmp_path / "a.db"))
    await database.write(lambda c: c.execute(text("CREATE TABLE t (x)")))
    tasks = [
        asyncio.create_task(database.write(lambda c: c.execute(text("INSERT INTO t VALUES (1)"))))
        for _ in range(20)
    ]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    kept = await database.read(lambda c: c.execute(text("SELECT count(*) FROM t")).scalar_one())
    assert 10 <= kept <= 20
    await database.close()


async def test_a_full_database(tmp_path: Path) -> None:
    database = SqliteDatabase(str(tmp_path / "a.db"))
    await database.write(lambda c: c.execute(text("CREATE TABLE t (x)")))
    await database.write(lambda c: c.exec_driver_sql("PRAGMA max_page_count = 3"))
    with pytest.raises(StoreFullError):
        await database.write(lambda c: c.execute(text("INSERT INTO t VALUES (zeroblob(1000000))")))
    # It goes on.
    await database.write(lambda c: c.execute(text("INSERT INTO t VALUES (1)")))
    await database.close()


async def test_a_database_that_is_not_there() -> None:
    database = PostgresqlDatabase(f"host=127.0.0.1 port={free_port()} user=u dbname=d")
    with pytest.raises(StorageUnavailableError):
        await database.read(lambda c: c.execute(text("SELECT 1")))
    await database.close()

"""The metadata database: SQLite in WAL mode, or PostgreSQL, behind one small face.

Work on the database is a plain function of a SQLAlchemy connection. PostgreSQL runs it on the
event loop through asyncpg. SQLite runs it whole in a thread: an async driver would change
threads for every statement, which costs more than the statements do.

SQLite has one writer at a time and pays a disk flush for every commit. Writes that wait
together are therefore committed together: each in its own savepoint, so that one that fails
takes no other along, and all are answered after the one flush.
"""

from __future__ import annotations

import asyncio
import errno
import os
import shlex
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol, TypeVar
from urllib.parse import urlencode

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from elastron.errors import ConfigError, StorageError, StorageUnavailableError
from elastron.storage.problems import StoreFullError

SQLITE_READERS = 4
SQLITE_BUSY_MS = 30_000
"""How long to wait for another process's write; several servers may share one file."""

BATCH_MAX = 128
"""Most writes in one commit: bounds how long the first of them waits for the last."""

POSTGRESQL_CONNECTIONS = 16
POOL_WAIT_S = 30

_PRAGMAS = (
    "journal_mode = WAL",
    # FULL: a commit is on the disk before it returns. An acknowledged blob is durable.
    "synchronous = FULL",
    f"busy_timeout = {SQLITE_BUSY_MS}",
    "foreign_keys = ON",
)
# What PostgreSQL says when its disk is full (SQLSTATE disk_full).
_DISK_FULL = "53100"

Result = TypeVar("Result")
Work = Callable[[Connection], Result]


class Database(Protocol):
    """Runs work in a transaction each; errors of the library come out as ours.

    Both methods raise StorageUnavailableError where the database does not answer, StoreFullError
    where its disk is full, and the StorageErrors that the work raises, rolled back.
    """

    sqlite: bool

    async def read(self, work: Work[Result]) -> Result:
        """Run a query."""
        ...

    async def write(self, work: Work[Result]) -> Result:
        """Run a change; it is durable on return."""
        ...

    async def close(self) -> None:
        """Finish the writes that wait, then close all connections."""
        ...


class PostgresqlDatabase:
    """PostgreSQL through asyncpg."""

    sqlite = False

    def __init__(self, connection_string: str, password: str | None = None) -> None:
        """Connects on first use.

        Args:
            connection_string: a URL `postgresql://…`, or libpq's keyword/value form, as the
                original takes.
            password: replaces the connection string's.

        Raises:
            ConfigError: the driver is not installed, or the string cannot be read.
        """
        try:
            import asyncpg  # noqa: PLC0415 - an extra
            from sqlalchemy.ext.asyncio import create_async_engine  # noqa: PLC0415 - slow to import
        except ImportError as error:
            raise ConfigError(
                "PostgreSQL needs the driver asyncpg: pip install 'elastron[postgresql]'."
            ) from error
        dsn = postgresql_dsn(connection_string)

        async def connect() -> Any:
            return await asyncpg.connect(dsn, password=password, timeout=POOL_WAIT_S)

        self._engine = create_async_engine(
            "postgresql+asyncpg://",
            async_creator=connect,
            pool_size=POSTGRESQL_CONNECTIONS,
            max_overflow=0,
            pool_timeout=POOL_WAIT_S,
            pool_pre_ping=True,
        )

    async def read(self, work: Work[Result]) -> Result:
        """Run a query."""
        try:
            async with self._engine.begin() as connection:
                return await connection.run_sync(work)
        except (SQLAlchemyError, OSError, TimeoutError) as error:
            raise translated(error) from error

    async def write(self, work: Work[Result]) -> Result:
        """Run a change; PostgreSQL itself flushes concurrent commits together."""
        return await self.read(work)

    async def close(self) -> None:
        """Close all connections."""
        await self._engine.dispose()


class SqliteDatabase:
    """One SQLite file, shared with other processes if need be."""

    sqlite = True

    def __init__(self, path: str) -> None:
        """Makes the file, and its folder, if they are missing.

        Raises:
            ConfigError: they cannot be made.
        """
        file = Path(path).expanduser().resolve()
        # Patient IDs are in it: other users of the machine must not read them. SQLite gives its
        # side files the same rights.
        try:
            file.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
            os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640))
        except OSError as error:
            raise ConfigError(
                f"The metadata database {file} cannot be opened: {error.strerror}."
            ) from error
        url = f"sqlite:///{file}"
        self._readers = create_engine(url, pool_size=SQLITE_READERS, max_overflow=0)
        self._writer = create_engine(url, pool_size=1, max_overflow=0)
        _begin_with(self._readers, "BEGIN")
        # IMMEDIATE: two writers wait for each other instead of failing halfway.
        _begin_with(self._writer, "BEGIN IMMEDIATE")
        self._read_threads = ThreadPoolExecutor(SQLITE_READERS, "metadata-read")
        self._write_thread = ThreadPoolExecutor(1, "metadata-write")
        self._waiting: asyncio.Queue[tuple[Work[Any], asyncio.Future[Any]]] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None
        self._closed = False

    async def read(self, work: Work[Result]) -> Result:
        """Run a query on a snapshot; readers never wait for the writer."""

        def run() -> Result:
            with self._readers.begin() as connection:
                return work(connection)

        try:
            return await asyncio.get_running_loop().run_in_executor(self._read_threads, run)
        except (SQLAlchemyError, OSError) as error:
            raise translated(error) from error

    async def write(self, work: Work[Result]) -> Result:
        """Run a change, together with others that wait."""
        if self._closed:
            raise StorageUnavailableError("The metadata database is closed.")
        loop = asyncio.get_running_loop()
        if self._task is None:
            self._task = loop.create_task(self._commit_batches())
        future: asyncio.Future[Result] = loop.create_future()
        self._waiting.put_nowait((work, future))
        return await future

    async def close(self) -> None:
        """Finish the writes that wait, then close all connections."""
        self._closed = True
        if self._task is not None:
            await self._waiting.join()
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        for threads, engine in (
            (self._read_threads, self._readers),
            (self._write_thread, self._writer),
        ):
            threads.shutdown()
            engine.dispose()

    async def _commit_batches(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            batch = [await self._waiting.get()]
            while not self._waiting.empty() and len(batch) < BATCH_MAX:
                batch.append(self._waiting.get_nowait())
            # A caller that gave up before its write began does not want it any more.
            wanted = [(work, future) for work, future in batch if not future.done()]
            try:
                outcomes = await loop.run_in_executor(
                    self._write_thread, self._commit, [work for work, _ in wanted]
                )
            except Exception as error:  # every waiting caller must hear of it
                outcomes = [(None, error)] * len(wanted)
            for (_, future), (result, problem) in zip(wanted, outcomes, strict=True):
                if future.done():
                    continue
                if problem is None:
                    future.set_result(result)
                else:
                    future.set_exception(problem)
            for _ in batch:
                self._waiting.task_done()

    def _commit(self, batch: list[Work[Any]]) -> list[tuple[Any, Exception | None]]:
        if not batch:
            return []
        try:
            with self._writer.begin() as connection:
                return [_in_savepoint(connection, work) for work in batch]
        except (SQLAlchemyError, OSError) as error:
            raise translated(error) from error


def _in_savepoint(connection: Connection, work: Work[Any]) -> tuple[Any, Exception | None]:
    savepoint = connection.begin_nested()
    try:
        result = work(connection)
    except StorageError as error:
        savepoint.rollback()
        return None, error
    except SQLAlchemyError as error:
        ours = translated(error)
        if isinstance(ours, StorageError):
            # The database itself is in trouble, and may have rolled back everything.
            raise ours from error
        savepoint.rollback()
        return None, error
    savepoint.commit()
    return result, None


def _begin_with(engine: Engine, statement: str) -> None:
    # Python's sqlite3 begins transactions by itself, and late; take that over.
    @event.listens_for(engine, "connect")
    def _(dbapi_connection: Any, _record: Any) -> None:
        dbapi_connection.isolation_level = None
        cursor = dbapi_connection.cursor()
        for pragma in _PRAGMAS:
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _(connection: Connection) -> None:
        connection.exec_driver_sql(statement)


def postgresql_dsn(connection_string: str) -> str:
    """libpq's keyword/value form as a URL; a URL stays as it is.

    Raises:
        ConfigError: neither of the two.
    """
    if "://" in connection_string:
        scheme, _, rest = connection_string.partition("://")
        if not scheme.startswith("postgres"):
            raise _bad_dsn()
        return f"postgresql://{rest}"
    try:
        words = shlex.split(connection_string.replace(" = ", "="))
    except ValueError as error:
        raise _bad_dsn() from error
    if not words or any("=" not in word for word in words):
        raise _bad_dsn()
    return f"postgresql://?{urlencode(dict(word.split('=', 1) for word in words))}"


def _bad_dsn() -> ConfigError:
    # The string itself is not shown: it may hold a password.
    return ConfigError(
        "The PostgreSQL connection string is neither postgresql://user@host:port/database nor "
        "keywords such as 'host=db port=5432 user=mrd dbname=mrd'."
    )


def translated(error: Exception) -> Exception:
    """A database library's error as one of ours; one that is a bug stays as it is."""
    original = getattr(error, "orig", None)
    code = getattr(original, "sqlstate", None) or ""
    name = getattr(original, "sqlite_errorname", None) or ""
    if code == _DISK_FULL or name == "SQLITE_FULL" or getattr(error, "errno", None) == errno.ENOSPC:
        return StoreFullError("The metadata database has no room left on its disk.")
    gone = isinstance(error, DBAPIError) and error.connection_invalidated
    if gone or isinstance(error, (OperationalError, InterfaceError, PoolTimeoutError)):
        return StorageUnavailableError("The metadata database does not answer.")
    # SQLSTATE 08: connection, 53: resources, 57: the operator stopped it.
    if code[:2] in ("08", "53", "57") or isinstance(error, (OSError, TimeoutError)):
        return StorageUnavailableError("The metadata database does not answer.")
    return error

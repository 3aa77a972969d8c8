"""The metadata store in SQL (the port is `ports.MetadataStore`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    Connection,
    and_,
    literal,
    or_,
    select,
    text,
    update,
)

from elastron.storage.database import Database, PostgresqlDatabase, SqliteDatabase
from elastron.storage.identity import BlobId
from elastron.storage.instants import now_ms as clock_ms
from elastron.storage.problems import RequestError, StagedRecordGoneError
from elastron.storage.queries import (
    COMPLETE,
    DELETE,
    DELETE_TAGS,
    EXPIRE,
    GET,
    STAGE,
    STAGE_TAGS,
    STAGED,
    VISIBLE,
    choose_driver,
    gather,
    key_parameters,
    search_statement,
    used,
    with_tags,
)
from elastron.storage.schema import migrate
from elastron.storage.search import Criteria
from elastron.storage.tables import blobs
from elastron.storage.tags import BlobInfo, NewBlob

GARBAGE_PAGE = 200


async def open_metadata(
    provider: str, connection_string: str, password: str | None = None
) -> SqlMetadataStore:
    """Connect, and bring the schema up to date.

    Raises:
        SchemaTooNewError: the database is a newer server's.
        StorageUnavailableError: no answer.
    """
    database: Database = (
        SqliteDatabase(connection_string)
        if provider == "sqlite"
        else PostgresqlDatabase(connection_string, password)
    )
    try:
        await database.write(migrate)
    except BaseException:
        await database.close()
        raise
    return SqlMetadataStore(database)


class SqlMetadataStore:
    """Records of blobs in SQLite or PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def stage(
        self, new: NewBlob, *, now_ms: int, lease_until_ms: int, owner: str
    ) -> BlobInfo:
        """Record an upload that begins."""
        key = BlobId.new(new.subject)
        expires_ms = None if new.ttl_ms is None else now_ms + new.ttl_ms
        record = {
            "subject": key.subject,
            "id": key.id,
            "device": new.tags.device,
            "name": new.tags.name,
            "session": new.tags.session,
            "content_type": new.tags.content_type,
            "created_at": now_ms,
            "expires_at": expires_ms,
            "staged": True,
            "lease_until": lease_until_ms,
            "owner": owner,
        }
        tags = [
            {
                "blob_subject": key.subject,
                "blob_id": key.id,
                "tag_name": name,
                "tag_value": value,
                "created_at": now_ms,
            }
            for name, values in new.tags.custom.items()
            for value in values
        ]

        def write(connection: Connection) -> None:
            connection.execute(STAGE, record)
            if tags:
                connection.execute(STAGE_TAGS, tags)

        await self._database.write(write)
        return BlobInfo(key, new.tags, now_ms, expires_ms)

    async def complete(self, key: BlobId, size: int, *, quota: int | None, now_ms: int) -> None:
        """Make a staged blob visible."""

        def write(connection: Connection) -> None:
            if quota is not None:
                self._hold_quota(connection, key.subject, size, quota, now_ms)
            done = connection.execute(COMPLETE, {**key_parameters(key), "size": size})
            if done.rowcount == 0:
                raise StagedRecordGoneError(
                    "The record of this upload was collected while it ran. Upload it again."
                )

        await self._database.write(write)

    def _hold_quota(
        self, connection: Connection, subject: str, size: int, quota: int, now_ms: int
    ) -> None:
        if not self._database.sqlite:  # two uploads that end together must not both fit
            connection.execute(
                text("SELECT pg_advisory_xact_lock(hashtextextended(:subject, 0))"),
                {"subject": subject},
            )
        total = connection.execute(used(subject, now_ms)).scalar_one()
        if total + size > quota:
            raise over_quota(total, size, quota)

    async def renew(self, keys: Sequence[BlobId], lease_until_ms: int) -> None:
        """Say that these uploads still run."""
        ids = [key.id for key in keys]

        def write(connection: Connection) -> None:
            connection.execute(
                update(blobs).where(STAGED, blobs.c.id.in_(ids)).values(lease_until=lease_until_ms)
            )

        if ids:
            await self._database.write(write)

    async def get(self, key: BlobId, *, expires_after_ms: int) -> BlobInfo | None:
        """A visible blob that expires after the instant given, or never."""
        parameters = {**key_parameters(key), "expires_after": expires_after_ms}
        found = await self._database.read(
            lambda connection: gather(connection.execute(GET, parameters).all())
        )
        return found[0] if found else None

    async def search(self, criteria: Criteria, *, now_ms: int) -> list[BlobInfo]:
        """Visible, unexpired matches, newest first: at most `criteria.limit` + 1."""
        if criteria.impossible:
            return []

        def read(connection: Connection) -> list[BlobInfo]:
            driver = choose_driver(connection, criteria)
            statement = with_tags(search_statement(criteria, now_ms, driver))
            return gather(connection.execute(statement).all())

        return await self._database.read(read)

    async def expire(self, key: BlobId, *, now_ms: int) -> bool:
        """Hide a visible blob for good; garbage collection would remove it from here on."""

        def write(connection: Connection) -> bool:
            done = connection.execute(EXPIRE, {**key_parameters(key), "now": now_ms})
            return done.rowcount > 0

        return await self._database.write(write)

    async def delete(self, key: BlobId) -> None:
        """Remove a record, staged or not; one already gone is no error."""

        def write(connection: Connection) -> None:
            connection.execute(DELETE_TAGS, key_parameters(key))
            connection.execute(DELETE, key_parameters(key))

        await self._database.write(write)

    async def garbage(
        self, *, after: BlobId | None, staged_before_ms: int, now_ms: int, expired_before_ms: int
    ) -> list[BlobId]:
        """A page of what may be removed.

        A staged record without a lease was made by the original server, which renews none:
        its age decides.
        """
        orphan = and_(
            STAGED,
            or_(
                blobs.c.lease_until < now_ms,
                and_(blobs.c.lease_until.is_(None), blobs.c.created_at < staged_before_ms),
            ),
        )
        expired = and_(VISIBLE, blobs.c.expires_at < expired_before_ms)
        statement = select(blobs.c.subject, blobs.c.id).where(or_(orphan, expired))
        if after is not None:
            statement = statement.where(
                or_(
                    blobs.c.subject > after.subject,
                    and_(blobs.c.subject == after.subject, blobs.c.id > after.id),
                )
            )
        return await self._keys(statement.order_by(blobs.c.subject, blobs.c.id).limit(GARBAGE_PAGE))

    async def abandoned(self, owners: Sequence[str]) -> list[BlobId]:
        """Staged records of dead server processes."""
        return await self._keys(
            select(blobs.c.subject, blobs.c.id).where(STAGED, blobs.c.owner.in_(owners))
        )

    async def _keys(self, statement: Any) -> list[BlobId]:
        rows = await self._database.read(lambda connection: connection.execute(statement).all())
        return [BlobId(row.subject, row.id) for row in rows]

    async def used_bytes(self, subject: str, *, now_ms: int) -> int:
        """Bytes of a subject's visible blobs."""
        statement = used(subject, now_ms)
        return await self._database.read(
            lambda connection: connection.execute(statement).scalar_one()
        )

    async def check(self) -> None:
        """Ask for one row."""
        statement = select(literal(None)).select_from(blobs).limit(1)
        await self._database.read(lambda connection: connection.execute(statement).all())

    async def tune(self) -> None:
        """Refresh the query planner's statistics where nothing else does: in SQLite."""
        if self._database.sqlite:
            await self._database.write(_optimize)

    async def explain(self, criteria: Criteria) -> str:
        """The database's query plan of a search, for people."""

        def explain(connection: Connection) -> str:
            driver = choose_driver(connection, criteria)
            page = search_statement(criteria, clock_ms(), driver).compile(
                connection, compile_kwargs={"literal_binds": True}
            )
            prefix = "EXPLAIN QUERY PLAN" if self._database.sqlite else "EXPLAIN"
            rows = connection.exec_driver_sql(f"{prefix} {page}").all()
            return "\n".join(str(row[-1]) for row in rows)

        return await self._database.read(explain)

    async def close(self) -> None:
        """Finish the writes that wait, then close the connections."""
        await self._database.close()


def _optimize(connection: Connection) -> None:
    # A sample is enough: without it the statistics of a million records take seconds.
    connection.exec_driver_sql("PRAGMA analysis_limit = 1000")
    connection.exec_driver_sql("PRAGMA optimize = 0x10002")


def over_quota(used: int, size: int, quota: int) -> RequestError:
    """The refusal of a blob that its subject's quota does not hold."""
    return RequestError(
        507,
        "QuotaExceeded",
        f"This subject's blobs hold {used} bytes; {size} more would pass its quota of {quota}. "
        "Delete some, or ask for a larger quota.",
    )

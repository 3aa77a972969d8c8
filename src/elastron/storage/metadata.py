"""The metadata store in SQL (the port is `ports.MetadataStore`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    Connection,
    and_,
    delete,
    false,
    func,
    insert,
    literal,
    or_,
    select,
    text,
    true,
    update,
)
from sqlalchemy.sql.elements import ColumnElement

from elastron.storage.database import Database, PostgresqlDatabase, SqliteDatabase
from elastron.storage.identity import BlobId
from elastron.storage.instants import now_ms as clock_ms
from elastron.storage.problems import RequestError, StagedRecordGoneError
from elastron.storage.schema import migrate
from elastron.storage.search import Criteria, Position
from elastron.storage.tables import blobs, custom_tags
from elastron.storage.tags import BlobInfo, BlobTags, NewBlob

GARBAGE_PAGE = 200
_COLUMNS = {"subject": blobs.c.subject, **{n: blobs.c[n] for n in ("device", "name", "session")}}
_SHOWN = (
    blobs.c.subject,
    blobs.c.id,
    blobs.c.device,
    blobs.c.name,
    blobs.c.session,
    blobs.c.content_type,
    blobs.c.created_at,
    blobs.c.expires_at,
    blobs.c.size_bytes,
)
# Written as a literal, not as a parameter, so that the planner may use the partial indexes.
_STAGED = blobs.c.staged == true()
_VISIBLE = blobs.c.staged == false()


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
            connection.execute(insert(blobs), record)
            if tags:
                connection.execute(insert(custom_tags), tags)

        await self._database.write(write)
        return BlobInfo(key, new.tags, now_ms, expires_ms)

    async def complete(self, key: BlobId, size: int, *, quota: int | None, now_ms: int) -> None:
        """Make a staged blob visible."""

        def write(connection: Connection) -> None:
            if quota is not None:
                self._hold_quota(connection, key.subject, size, quota, now_ms)
            done = connection.execute(
                update(blobs)
                .where(_is(key), _STAGED)
                .values(staged=False, size_bytes=size, lease_until=None, owner=None)
            )
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
        used = connection.execute(_used(subject, now_ms)).scalar_one()
        if used + size > quota:
            raise over_quota(used, size, quota)

    async def renew(self, keys: Sequence[BlobId], lease_until_ms: int) -> None:
        """Say that these uploads still run."""
        ids = [key.id for key in keys]

        def write(connection: Connection) -> None:
            connection.execute(
                update(blobs).where(_STAGED, blobs.c.id.in_(ids)).values(lease_until=lease_until_ms)
            )

        if ids:
            await self._database.write(write)

    async def get(self, key: BlobId, *, expires_after_ms: int) -> BlobInfo | None:
        """A visible blob that expires after the instant given, or never."""
        statement = select(*_SHOWN).where(_is(key), _VISIBLE, _unexpired(expires_after_ms))
        found = await self._read(statement)
        return found[0] if found else None

    async def search(self, criteria: Criteria, *, now_ms: int) -> list[BlobInfo]:
        """Visible, unexpired matches, newest first: at most `criteria.limit` + 1."""
        return await self._read(search_statement(criteria, now_ms))

    async def _read(self, statement: Any) -> list[BlobInfo]:
        page = statement.subquery("page")
        with_tags = (
            select(page, custom_tags.c.tag_name, custom_tags.c.tag_value)
            .select_from(
                page.outerjoin(
                    custom_tags,
                    and_(
                        custom_tags.c.blob_subject == page.c.subject,
                        custom_tags.c.blob_id == page.c.id,
                    ),
                )
            )
            .order_by(page.c.created_at.desc(), page.c.id.desc())
        )
        rows = await self._database.read(lambda connection: connection.execute(with_tags).all())
        return _gather(rows)

    async def expire(self, key: BlobId, *, now_ms: int) -> bool:
        """Hide a visible blob for good; garbage collection would remove it from here on."""

        def write(connection: Connection) -> bool:
            done = connection.execute(
                update(blobs).where(_is(key), _VISIBLE, _unexpired(now_ms)).values(expires_at=0)
            )
            return done.rowcount > 0

        return await self._database.write(write)

    async def delete(self, key: BlobId) -> None:
        """Remove a record, staged or not; one already gone is no error."""

        def write(connection: Connection) -> None:
            connection.execute(
                delete(custom_tags).where(
                    custom_tags.c.blob_subject == key.subject, custom_tags.c.blob_id == key.id
                )
            )
            connection.execute(delete(blobs).where(_is(key)))

        await self._database.write(write)

    async def garbage(
        self, *, after: BlobId | None, staged_before_ms: int, now_ms: int, expired_before_ms: int
    ) -> list[BlobId]:
        """A page of what may be removed.

        A staged record without a lease was made by the original server, which renews none:
        its age decides.
        """
        orphan = and_(
            _STAGED,
            or_(
                blobs.c.lease_until < now_ms,
                and_(blobs.c.lease_until.is_(None), blobs.c.created_at < staged_before_ms),
            ),
        )
        expired = and_(_VISIBLE, blobs.c.expires_at < expired_before_ms)
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
            select(blobs.c.subject, blobs.c.id).where(_STAGED, blobs.c.owner.in_(owners))
        )

    async def _keys(self, statement: Any) -> list[BlobId]:
        rows = await self._database.read(lambda connection: connection.execute(statement).all())
        return [BlobId(row.subject, row.id) for row in rows]

    async def used_bytes(self, subject: str, *, now_ms: int) -> int:
        """Bytes of a subject's visible blobs."""
        used = _used(subject, now_ms)
        return await self._database.read(lambda connection: connection.execute(used).scalar_one())

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
            page = search_statement(criteria, clock_ms()).compile(
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


def search_statement(criteria: Criteria, now_ms: int) -> Any:
    """Newest first, one more than the page holds, staged and expired left out inside."""
    source: Any = blobs
    conditions: list[ColumnElement[bool]] = [_VISIBLE, _unexpired(now_ms)]
    conditions += [_COLUMNS[name] == value for name, value in criteria.columns]
    for name, value in criteria.custom:
        # A join, not EXISTS: the planner may then begin with the tag's own index. The tag's
        # key is unique, so that no blob comes twice.
        tag = custom_tags.alias()
        source = source.join(
            tag,
            and_(
                tag.c.blob_subject == blobs.c.subject,
                tag.c.blob_id == blobs.c.id,
                tag.c.tag_name == name,
                tag.c.tag_value == value,
            ),
        )
    if criteria.at_ms is not None:
        conditions.append(blobs.c.created_at <= criteria.at_ms)
    if criteria.position is not None:
        conditions.append(_behind(criteria.position))
    return (
        select(*_SHOWN)
        .select_from(source)
        .where(*conditions)
        .order_by(blobs.c.created_at.desc(), blobs.c.id.desc())
        .limit(criteria.limit + 1)
    )


def over_quota(used: int, size: int, quota: int) -> RequestError:
    """The refusal of a blob that its subject's quota does not hold."""
    return RequestError(
        507,
        "QuotaExceeded",
        f"This subject's blobs hold {used} bytes; {size} more would pass its quota of {quota}. "
        "Delete some, or ask for a larger quota.",
    )


def _is(key: BlobId) -> ColumnElement[bool]:
    return and_(blobs.c.subject == key.subject, blobs.c.id == key.id)


def _unexpired(instant_ms: int) -> ColumnElement[bool]:
    return or_(blobs.c.expires_at.is_(None), blobs.c.expires_at > instant_ms)


def _behind(position: Position) -> ColumnElement[bool]:
    if position.id is None:
        return blobs.c.created_at < position.created_ms
    return and_(
        blobs.c.created_at <= position.created_ms,
        or_(blobs.c.created_at < position.created_ms, blobs.c.id < position.id),
    )


def _used(subject: str, now_ms: int) -> Any:
    return select(func.coalesce(func.sum(blobs.c.size_bytes), 0)).where(
        blobs.c.subject == subject, _VISIBLE, _unexpired(now_ms)
    )


def _gather(rows: Sequence[Any]) -> list[BlobInfo]:
    found: dict[tuple[str, str], tuple[Any, dict[str, list[str]]]] = {}
    for row in rows:
        _, custom = found.setdefault((row.subject, row.id), (row, {}))
        if row.tag_name is not None:
            custom.setdefault(row.tag_name, []).append(row.tag_value)
    return [
        BlobInfo(
            key=BlobId(row.subject, row.id),
            tags=BlobTags(
                device=row.device,
                name=row.name,
                session=row.session,
                content_type=row.content_type,
                custom={name: tuple(sorted(values)) for name, values in sorted(custom.items())},
            ),
            created_ms=row.created_at,
            expires_ms=row.expires_at,
            size_bytes=row.size_bytes,
        )
        for row, custom in found.values()
    ]

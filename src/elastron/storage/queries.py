"""The metadata store's queries: statements, and how their rows are read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    BigInteger,
    Connection,
    and_,
    bindparam,
    delete,
    exists,
    false,
    func,
    insert,
    literal,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.sql.elements import ColumnElement

from elastron.storage.identity import BlobId
from elastron.storage.search import Criteria, Position
from elastron.storage.tables import UUID_TEXT, blobs, custom_tags
from elastron.storage.tags import BlobInfo, BlobTags

COUNTED_MAX = 500
"""Matches counted of each criterion, to choose the one to search by."""

Tag = tuple[str, str]
_COLUMNS = {"subject": blobs.c.subject, **{n: blobs.c[n] for n in ("device", "name", "session")}}
SHOWN = (
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
STAGED = blobs.c.staged == true()
VISIBLE = blobs.c.staged == false()


def search_statement(criteria: Criteria, now_ms: int, driver: Tag | None = None) -> Any:
    """Newest first, one more than the page holds, staged and expired left out inside.

    Args:
        criteria: what to find.
        now_ms: what expires until then is left out.
        driver: the criterion whose index the query walks; None: the blobs' own. Each tag's
            index holds its blobs newest first, as the blobs' indexes do, so that a page is
            read without sorting whichever it is.
    """
    created, blob_id = blobs.c.created_at, blobs.c.id
    source: Any = blobs
    conditions: list[ColumnElement[bool]] = [VISIBLE, unexpired(now_ms)]
    conditions += [_COLUMNS[name] == value for name, value in criteria.columns]
    for name, value in criteria.custom:
        tag = custom_tags.alias()
        # The tag's key is unique, so that no blob comes twice.
        same = and_(tag.c.blob_subject == blobs.c.subject, tag.c.blob_id == blobs.c.id)
        this = and_(tag.c.tag_name == name, tag.c.tag_value == value)
        if (name, value) == driver:
            source = tag.join(source, same)
            conditions.append(this)
            conditions += [
                tag.c.blob_subject == subject for n, subject in criteria.columns if n == "subject"
            ]
            created, blob_id = tag.c.created_at, tag.c.blob_id
        else:
            conditions.append(exists(select(literal(1)).where(same, this)))
    if criteria.at_ms is not None:
        conditions.append(created <= criteria.at_ms)
    if criteria.position is not None:
        conditions.append(_behind(criteria.position, created, blob_id))
    return (
        select(*SHOWN)
        .select_from(source)
        .where(*conditions)
        .order_by(created.desc(), blob_id.desc())
        .limit(criteria.limit + 1)
    )


def choose_driver(connection: Connection, criteria: Criteria) -> Tag | None:
    """Which criterion has the fewest blobs; None: the columns.

    Neither database knows beforehand that a name is common and a measurement rare for just this
    subject, and a wrong guess reads every blob of the subject. Counting a little is cheap.
    """
    if not criteria.custom:
        return None
    subjects = [value for name, value in criteria.columns if name == "subject"]
    columns = [_COLUMNS[name] == value for name, value in criteria.columns]
    fewest = _few(connection, blobs, and_(VISIBLE, *columns))
    driver: Tag | None = None
    for name, value in criteria.custom:
        tag = [custom_tags.c.blob_subject == subject for subject in subjects]
        tag += [custom_tags.c.tag_name == name, custom_tags.c.tag_value == value]
        count = _few(connection, custom_tags, and_(*tag))
        if count < fewest:
            fewest, driver = count, (name, value)
    return driver


def _few(connection: Connection, table: Any, condition: ColumnElement[bool]) -> int:
    first = select(literal(1)).select_from(table).where(condition).limit(COUNTED_MAX).subquery()
    return connection.execute(select(func.count()).select_from(first)).scalar_one()


def unexpired(instant_ms: Any) -> ColumnElement[bool]:
    """Expires after the instant, or never."""
    return or_(blobs.c.expires_at.is_(None), blobs.c.expires_at > instant_ms)


def _behind(position: Position, created: Any, blob_id: Any) -> ColumnElement[bool]:
    if position.id is None:
        return created < position.created_ms
    return and_(
        created <= position.created_ms,
        or_(created < position.created_ms, blob_id < position.id),
    )


def used(subject: str, now_ms: int) -> Any:
    """Bytes of a subject's visible blobs."""
    return select(func.coalesce(func.sum(blobs.c.size_bytes), 0)).where(
        blobs.c.subject == subject, VISIBLE, unexpired(now_ms)
    )


def with_tags(statement: Any) -> Any:
    """A statement over `SHOWN`, with one row for each tag of its blobs."""
    page = statement.subquery("page")
    return (
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


def gather(rows: Sequence[Any]) -> list[BlobInfo]:
    """The rows of `with_tags` as blobs, in their order."""
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


# What every request needs is built once: building a statement costs more than running it.
KEY = and_(
    blobs.c.subject == bindparam("key_subject"), blobs.c.id == bindparam("key_id", type_=UUID_TEXT)
)
GET = with_tags(
    select(*SHOWN).where(KEY, VISIBLE, unexpired(bindparam("expires_after", type_=BigInteger)))
)
STAGE = insert(blobs)
STAGE_TAGS = insert(custom_tags)
COMPLETE = (
    update(blobs)
    .where(KEY, STAGED)
    .values(staged=False, size_bytes=bindparam("size"), lease_until=None, owner=None)
)
EXPIRE = (
    update(blobs)
    .where(KEY, VISIBLE, unexpired(bindparam("now", type_=BigInteger)))
    .values(expires_at=0)
)
DELETE = delete(blobs).where(KEY)
DELETE_TAGS = delete(custom_tags).where(
    custom_tags.c.blob_subject == bindparam("key_subject"),
    custom_tags.c.blob_id == bindparam("key_id", type_=UUID_TEXT),
)


def key_parameters(key: BlobId) -> dict[str, Any]:
    """The parameters that name a blob in the statements above."""
    return {"key_subject": key.subject, "key_id": key.id}

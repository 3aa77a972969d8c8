"""The metadata store on SQLite and PostgreSQL."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from elastron.storage.identity import BlobId
from elastron.storage.metadata import GARBAGE_PAGE, SqlMetadataStore, open_metadata
from elastron.storage.problems import RequestError, StagedRecordGoneError
from elastron.storage.search import Criteria, next_position, parse_criteria
from elastron.storage.tags import BlobTags, NewBlob

from .parts import new_database

_numbers = itertools.count()
NOW = 1_700_000_000_000


@pytest.fixture(params=["sqlite", "postgresql"])
async def metadata(
    request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncIterator[SqlMetadataStore]:
    if request.param == "sqlite":
        store = await open_metadata("sqlite", str(tmp_path / "metadata.db"))
    else:
        options = request.getfixturevalue("postgresql")
        name = f"metadata{next(_numbers)}"
        store = await open_metadata("postgresql", new_database(options, name))
    yield store
    await store.close()


async def add(
    store: SqlMetadataStore,
    subject: str = "s",
    *,
    now_ms: int = NOW,
    staged: bool = False,
    ttl_ms: int | None = None,
    size: int = 1,
    quota: int | None = None,
    owner: str = "o",
    **custom: tuple[str, ...],
) -> BlobId:
    new = NewBlob(subject, BlobTags(custom=custom), ttl_ms)
    info = await store.stage(new, now_ms=now_ms, lease_until_ms=now_ms + 1000, owner=owner)
    if not staged:
        await store.complete(info.key, size, quota=quota, now_ms=now_ms)
    return info.key


async def ids(store: SqlMetadataStore, query: dict[str, str], *, now_ms: int = NOW) -> list[str]:
    criteria = parse_criteria(list(query.items()))
    return [info.key.id for info in await store.search(criteria, now_ms=now_ms)]


async def test_completing_what_was_never_staged(metadata: SqlMetadataStore) -> None:
    key = BlobId.new("a")
    await metadata.delete(key)  # no error
    with pytest.raises(StagedRecordGoneError):
        await metadata.complete(key, 1, quota=None, now_ms=NOW)


async def test_completing_twice(metadata: SqlMetadataStore) -> None:
    key = await add(metadata)
    with pytest.raises(StagedRecordGoneError):
        await metadata.complete(key, 1, quota=None, now_ms=NOW)


async def test_deleting_takes_the_tags_along(metadata: SqlMetadataStore) -> None:
    key = await add(metadata, foo=("bar",))
    await metadata.delete(key)
    assert await metadata.get(key, expires_after_ms=NOW) is None
    assert await ids(metadata, {"subject": "s", "foo": "bar"}) == []


async def test_expired_records_are_invisible(metadata: SqlMetadataStore) -> None:
    key = await add(metadata, ttl_ms=300_000)
    assert await metadata.get(key, expires_after_ms=NOW + 299_999) is not None
    assert await metadata.get(key, expires_after_ms=NOW + 300_000) is None
    assert await ids(metadata, {"subject": "s"}, now_ms=NOW + 299_999) == [key.id]
    assert await ids(metadata, {"subject": "s"}, now_ms=NOW + 300_000) == []


async def test_staged_uploads_hide_no_finished_blob(metadata: SqlMetadataStore) -> None:
    finished = await add(metadata)
    for second in range(1, 6):
        await add(metadata, now_ms=NOW + second, staged=True)
    assert await ids(metadata, {"subject": "s", "_limit": "1"}) == [finished.id]


async def test_newest_first_and_ties_by_id(metadata: SqlMetadataStore) -> None:
    same = sorted([(await add(metadata, now_ms=NOW)).id for _ in range(5)], reverse=True)
    newer = (await add(metadata, now_ms=NOW + 1)).id
    assert await ids(metadata, {"subject": "s"}) == [newer, *same]


@pytest.mark.parametrize("page_size", [1, 2, 3, 7, 30])
async def test_paging_visits_each_once(metadata: SqlMetadataStore, page_size: int) -> None:
    wanted = {(await add(metadata, now_ms=NOW + number // 7)).id for number in range(20)}
    criteria: Criteria | None = parse_criteria([("subject", "s"), ("_limit", str(page_size))])
    seen: list[str] = []
    while criteria is not None:
        found = await metadata.search(criteria, now_ms=NOW)
        page = found[:page_size]
        seen += [info.key.id for info in page]
        following = None
        if len(found) > page_size:
            position = next_position(page, found[-1])
            following = Criteria((("subject", "s"),), (), None, position, page_size)
        criteria = following
    assert sorted(seen) == sorted(wanted)


async def test_all_criteria_must_hold(metadata: SqlMetadataStore) -> None:
    key = await add(metadata, a=("1", "2"), b=("3",))
    await add(metadata, a=("1",))
    assert await ids(metadata, {"subject": "s", "a": "2", "b": "3"}) == [key.id]
    assert await ids(metadata, {"subject": "s", "a": "2", "b": "4"}) == []
    both = parse_criteria([("subject", "s"), ("a", "1"), ("a", "2")])
    assert [info.key.id for info in await metadata.search(both, now_ms=NOW)] == [key.id]
    subjects = parse_criteria([("subject", "s"), ("subject", "t")])
    assert await metadata.search(subjects, now_ms=NOW) == []
    assert await ids(metadata, {"subject": "s", "unknown": "x"}) == []
    assert await ids(metadata, {"subject": "s", "device": ""}) == []
    assert await ids(metadata, {"subject": "s", "a": "\x00"}) == []
    many = {f"t{number}": "x" for number in range(64)}
    assert await ids(metadata, {"subject": "s", **many}) == []
    loaded = await add(metadata, **{name: (value,) for name, value in many.items()})
    assert await ids(metadata, {"subject": "s", **many}) == [loaded.id]


async def test_values_are_long_and_case_sensitive(metadata: SqlMetadataStore) -> None:
    value = "é" * 64
    key = await add(metadata, value, a=(value,))
    assert await ids(metadata, {"subject": value, "a": value}) == [key.id]
    assert await ids(metadata, {"subject": value.upper(), "a": value}) == []


async def test_quota(metadata: SqlMetadataStore) -> None:
    await add(metadata, size=60, quota=100)
    await add(metadata, size=1000, ttl_ms=0, now_ms=NOW - 1)  # expired: does not count
    staged = await add(metadata, staged=True)
    with pytest.raises(RequestError) as refusal:
        await metadata.complete(staged, 41, quota=100, now_ms=NOW)
    assert refusal.value.status == 507
    await metadata.complete(staged, 40, quota=100, now_ms=NOW)
    assert await metadata.used_bytes("s", now_ms=NOW) == 100
    await add(metadata, "other", size=100, quota=100)


async def test_concurrent_uploads_do_not_pass_a_quota_together(metadata: SqlMetadataStore) -> None:
    keys = [await add(metadata, staged=True) for _ in range(10)]
    outcomes = await asyncio.gather(
        *(metadata.complete(key, 30, quota=100, now_ms=NOW) for key in keys),
        return_exceptions=True,
    )
    assert outcomes.count(None) == 3
    assert await metadata.used_bytes("s", now_ms=NOW) == 90


async def test_hiding(metadata: SqlMetadataStore) -> None:
    key, staged = await add(metadata), await add(metadata, staged=True)
    assert not await metadata.expire(staged, now_ms=NOW)
    assert await metadata.expire(key, now_ms=NOW)
    assert not await metadata.expire(key, now_ms=NOW)
    assert await metadata.get(key, expires_after_ms=NOW - 1_800_000) is None
    assert await ids(metadata, {"subject": "s"}) == []


async def garbage(store: SqlMetadataStore, now_ms: int) -> set[str]:
    found: set[str] = set()
    after = None
    while page := await store.garbage(
        after=after,
        staged_before_ms=now_ms - 1_800_000,
        now_ms=now_ms,
        expired_before_ms=now_ms - 1_800_000,
    ):
        assert len(page) <= GARBAGE_PAGE
        found |= {key.id for key in page}
        after = page[-1]
    return found


async def test_leases(metadata: SqlMetadataStore) -> None:
    first = await add(metadata, staged=True)
    second = await add(metadata, staged=True, ttl_ms=0)
    await add(metadata)
    assert await garbage(metadata, NOW + 1000) == set()
    await metadata.renew([first, second], NOW + 10_000_000)
    # Neither age nor an expiry that has passed takes a running upload away.
    assert await garbage(metadata, NOW + 9_000_000) == set()
    assert await garbage(metadata, NOW + 10_000_001) == {first.id, second.id}
    await metadata.renew([], NOW)


async def test_expired_records_are_garbage_after_a_while(metadata: SqlMetadataStore) -> None:
    key = await add(metadata, ttl_ms=1000)
    assert await garbage(metadata, NOW + 1000 + 1_800_000) == set()
    assert await garbage(metadata, NOW + 1001 + 1_800_000) == {key.id}


async def test_many_pages_of_garbage(metadata: SqlMetadataStore) -> None:
    keys = await asyncio.gather(
        *(add(metadata, f"s{number % 7}", ttl_ms=0) for number in range(GARBAGE_PAGE + 50))
    )
    assert await garbage(metadata, NOW + 10_000_000) == {key.id for key in keys}


async def test_orphans_of_dead_servers(metadata: SqlMetadataStore) -> None:
    dead = await add(metadata, staged=True, owner="dead")
    await add(metadata, staged=True, owner="alive")
    await add(metadata, owner="dead")
    assert await metadata.abandoned(["dead", "dead long ago"]) == [dead]


async def test_every_search_uses_an_index(metadata: SqlMetadataStore) -> None:
    for number in range(20):
        await add(metadata, f"s{number % 3}", measurement=(str(number),))
    await metadata.tune()
    for query in (
        {"subject": "s1"},
        {"subject": "s1", "name": "n"},
        {"subject": "s1", "device": "d", "name": "n"},
        {"subject": "s1", "name": "n", "measurement": "4"},
        {"subject": "$null", "a": "1", "b": "2"},
    ):
        plan = await metadata.explain(parse_criteria(list(query.items())))
        if "SEARCH" in plan:  # SQLite; PostgreSQL rightly reads so small a table whole
            assert "SCAN" not in plan
            assert "INDEX" in plan

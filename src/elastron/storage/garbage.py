"""Garbage collection: expired blobs and orphans of crashed uploads (storage API, section 11).

Several servers may collect at once: what another one has removed already is no error. The bytes
go first and the record last, so that a crash in between leaves a record to go on from.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import structlog

from elastron.errors import StorageError
from elastron.storage.identity import BlobId
from elastron.storage.ports import MetadataStore, ObjectStore

log = structlog.get_logger(__name__)

GRACE_MS = 30 * 60 * 1000
"""An expired blob's bytes are readable for so long, that a link from a search stays good."""

AT_ONCE = 8


async def remove(
    metadata: MetadataStore, objects: ObjectStore, keys: Sequence[BlobId]
) -> tuple[int, int]:
    """Remove blobs and their records.

    Returns:
        How many were removed, and how many were left for the next time.
    """
    limit = asyncio.Semaphore(AT_ONCE)

    async def one(key: BlobId) -> bool:
        async with limit:
            try:
                await objects.delete(key)
                await metadata.delete(key)
            except StorageError as error:
                log.warning("blob not collected", blob=key.id, error=str(error))
                return False
            return True

    outcomes = await asyncio.gather(*(one(key) for key in keys))
    return sum(outcomes), len(outcomes) - sum(outcomes)


async def collect(metadata: MetadataStore, objects: ObjectStore, now_ms: int) -> tuple[int, int]:
    """Remove all that is due at `now_ms`.

    Returns:
        How many were removed, and how many were left for the next time.
    """
    removed = left = 0
    after: BlobId | None = None
    while True:
        page = await metadata.garbage(
            after=after,
            staged_before_ms=now_ms - GRACE_MS,
            now_ms=now_ms,
            expired_before_ms=now_ms - GRACE_MS,
        )
        if not page:
            return removed, left
        done, failed = await remove(metadata, objects, page)
        removed, left, after = removed + done, left + failed, page[-1]


async def collect_regularly(
    metadata: MetadataStore,
    objects: ObjectStore,
    *,
    clock: Callable[[], int],
    interval_s: float,
    report: Callable[[int], None],
) -> None:
    """Collect now and every `interval_s` seconds, for ever.

    Args:
        report: told how many blobs were removed.
    """
    while True:
        try:
            removed, left = await collect(metadata, objects, clock())
            report(removed)
            if removed or left:
                log.info("garbage collected", removed=removed, left=left)
            await metadata.tune()
        except StorageError as error:
            log.warning("garbage collection put off", error=str(error))
        await asyncio.sleep(interval_s)

"""The way of an upload: staged record, bytes, visible record; or nothing at all.

The staged record comes first, so that whatever a crash leaves in the blob store has a record
by which garbage collection finds it. While an upload runs its record's lease is renewed, so that
no server, this one or another, takes a slow upload for an orphan.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import structlog

from elastron.errors import StorageError
from elastron.storage.identity import BlobId
from elastron.storage.metadata import over_quota
from elastron.storage.ports import MetadataStore, ObjectStore
from elastron.storage.problems import RequestError
from elastron.storage.tags import BlobInfo, NewBlob

log = structlog.get_logger(__name__)


class Uploads:
    """Stores blobs, and keeps the leases of those under way.

    Args:
        metadata, objects: where to.
        instance: this server process.
        clock: milliseconds since 1970.
        lease_s: how long a record is held for an upload; renewed at a fifth of it.
        blob_bytes_max: largest blob, or None.
        subject_bytes_max: most bytes of one subject, or None.
    """

    def __init__(
        self,
        metadata: MetadataStore,
        objects: ObjectStore,
        *,
        instance: str,
        clock: Callable[[], int],
        lease_s: float,
        blob_bytes_max: int | None,
        subject_bytes_max: int | None,
    ) -> None:
        self._metadata = metadata
        self._objects = objects
        self._instance = instance
        self._clock = clock
        self._lease_ms = round(lease_s * 1000)
        self._blob_bytes_max = blob_bytes_max
        self._subject_bytes_max = subject_bytes_max
        self._running: set[BlobId] = set()

    @property
    def running(self) -> int:
        """Uploads under way."""
        return len(self._running)

    async def create(
        self, new: NewBlob, body: AsyncIterator[bytes], announced_bytes: int | None
    ) -> BlobInfo:
        """Store a blob durably.

        Args:
            new: what it is filed under.
            body: the bytes, in chunks.
            announced_bytes: their number where the client said it.

        Raises:
            RequestError: 413 too large, 507 over the subject's quota.
            StorageError: anything else that went wrong; nothing is stored then.
        """
        await self._admit(new.subject, announced_bytes)
        info = await self._metadata.stage(
            new,
            now_ms=self._clock(),
            lease_until_ms=self._clock() + self._lease_ms,
            owner=self._instance,
        )
        self._running.add(info.key)
        try:
            size = await self._objects.save(info.key, self._limited(body))
            await self._metadata.complete(
                info.key, size, quota=self._subject_bytes_max, now_ms=self._clock()
            )
        except BaseException:
            await asyncio.shield(self._undo(info.key))
            raise
        finally:
            self._running.discard(info.key)
        return replace(info, size_bytes=size)

    async def _admit(self, subject: str, announced_bytes: int | None) -> None:
        if announced_bytes is None:
            return
        if self._blob_bytes_max is not None and announced_bytes > self._blob_bytes_max:
            raise self._too_large()
        if self._subject_bytes_max is not None:
            used = await self._metadata.used_bytes(subject, now_ms=self._clock())
            if used + announced_bytes > self._subject_bytes_max:
                raise over_quota(used, announced_bytes, self._subject_bytes_max)

    async def _limited(self, body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        # A subject's quota bounds each of its blobs too: no use in receiving more than that.
        limits = [n for n in (self._blob_bytes_max, self._subject_bytes_max) if n is not None]
        received = 0
        async for chunk in body:
            received += len(chunk)
            if limits and received > min(limits):
                raise self._too_large()
            yield chunk

    def _too_large(self) -> RequestError:
        limits = [n for n in (self._blob_bytes_max, self._subject_bytes_max) if n is not None]
        return RequestError(
            413, "BlobTooLarge", f"The blob is larger than the limit of {min(limits)} bytes."
        )

    async def _undo(self, key: BlobId) -> None:
        try:
            await self._objects.delete(key)
            await self._metadata.delete(key)
        except StorageError as error:
            # The record is still staged: garbage collection removes both.
            log.warning("failed upload left to garbage collection", blob=key.id, error=str(error))

    async def keep_leases(self) -> None:
        """Renew the leases of running uploads, for ever."""
        while True:
            await asyncio.sleep(self._lease_ms / 5000)
            try:
                await self._metadata.renew(sorted(self._running), self._clock() + self._lease_ms)
            except StorageError as error:
                log.warning("leases of running uploads not renewed", error=str(error))

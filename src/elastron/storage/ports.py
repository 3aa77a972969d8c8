"""The two outside things a storage server needs: a metadata database and a blob store."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import Protocol

from elastron.storage.identity import BlobId
from elastron.storage.search import Criteria
from elastron.storage.tags import BlobInfo, NewBlob


class ObjectStore(Protocol):
    """Bytes by key. `StorageUnavailableError` where it does not answer."""

    async def start(self, instance: str) -> Sequence[str]:
        """Open it for the server process `instance`, and clear what dead ones left.

        Returns:
            Instances known to be dead; their staged records are orphans.
        """
        ...

    async def save(self, key: BlobId, chunks: AsyncIterator[bytes]) -> int:
        """Store all of `chunks`, or nothing.

        Returns:
            Bytes stored; they are durable.

        Raises:
            StoreFullError: no room.
        """
        ...

    async def size(self, key: BlobId) -> int:
        """Bytes of a blob.

        Raises:
            BlobMissingError: it is not there.
        """
        ...

    async def read(self, key: BlobId, start: int, stop: int) -> AsyncGenerator[bytes, None]:
        """Open bytes `start` to `stop` (exclusive); they come in chunks of bounded size.

        Raises:
            BlobMissingError: it is not there.
        """
        ...

    async def delete(self, key: BlobId) -> None:
        """Remove a blob; one that is not there is no error."""
        ...

    async def check(self) -> None:
        """Return if it could serve now."""
        ...

    async def close(self) -> None:
        """Let go of everything."""
        ...


class MetadataStore(Protocol):
    """Records by key. `StorageUnavailableError` where the database does not answer."""

    async def stage(
        self, new: NewBlob, *, now_ms: int, lease_until_ms: int, owner: str
    ) -> BlobInfo:
        """Record an upload that begins: seen by garbage collection only."""
        ...

    async def complete(self, key: BlobId, size: int, *, quota: int | None, now_ms: int) -> None:
        """Make a staged blob visible.

        Raises:
            StagedRecordGoneError: it was collected in between.
            RequestError: the subject's quota does not hold `size` bytes more.
        """
        ...

    async def renew(self, keys: Sequence[BlobId], lease_until_ms: int) -> None:
        """Say that these uploads still run."""
        ...

    async def get(self, key: BlobId, *, expires_after_ms: int) -> BlobInfo | None:
        """A visible blob that expires after the instant given, or never."""
        ...

    async def search(self, criteria: Criteria, *, now_ms: int) -> list[BlobInfo]:
        """Visible, unexpired matches, newest first: at most `criteria.limit` + 1."""
        ...

    async def expire(self, key: BlobId, *, now_ms: int) -> bool:
        """Hide a visible blob for good; False if there is none."""
        ...

    async def delete(self, key: BlobId) -> None:
        """Remove a record, staged or not; one already gone is no error."""
        ...

    async def garbage(
        self, *, after: BlobId | None, staged_before_ms: int, now_ms: int, expired_before_ms: int
    ) -> list[BlobId]:
        """A page of what may be removed: ended leases and expired blobs, in key order."""
        ...

    async def abandoned(self, owners: Sequence[str]) -> list[BlobId]:
        """Staged records of dead server processes."""
        ...

    async def tune(self) -> None:
        """Refresh what the database's query planner knows."""
        ...

    async def used_bytes(self, subject: str, *, now_ms: int) -> int:
        """Bytes of a subject's visible blobs."""
        ...

    async def check(self) -> None:
        """Return if it could serve now."""
        ...

    async def close(self) -> None:
        """Let go of everything."""
        ...

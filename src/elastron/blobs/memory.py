"""A store in memory: for one process and for tests."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from elastron.blobs.port import BlobKey

_Filed = tuple[BlobKey, bytes, float]


class MemoryBlobStore:
    """`blobs.port.BlobStore` that forgets when the process ends.

    Args:
        clock: seconds; tests replace it.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._blobs: list[_Filed] = []

    def latest(self, key: BlobKey) -> bytes | None:
        """The newest live blob that has all of the key's tags, or None."""
        now = self._clock()
        with self._lock:
            for filed, data, expires in reversed(self._blobs):
                if expires > now and _matches(filed, key):
                    return data
        return None

    def store(self, key: BlobKey, data: bytes, *, ttl_s: int) -> None:
        """Keep `data` for `ttl_s` seconds."""
        now = self._clock()
        with self._lock:
            self._blobs = [blob for blob in self._blobs if blob[2] > now]
            self._blobs.append((key, bytes(data), now + ttl_s))


def _matches(filed: BlobKey, wanted: BlobKey) -> bool:
    """All criteria are AND-ed; what is not asked for is not compared."""
    return (
        filed.subject == wanted.subject
        and filed.name == wanted.name
        and wanted.device in (None, filed.device)
        and wanted.session in (None, filed.session)
        and all(filed.tags.get(name) == value for name, value in wanted.tags.items())
    )

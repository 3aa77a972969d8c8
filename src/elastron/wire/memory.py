"""Memory for received bytes: chunks that live as long as a view of them, and are then used again.

Fresh memory costs a page fault every 4 KiB, many times as much as receiving into it. So chunks are
huge pages where the kernel has them, and one that no array looks at any more goes back to a small
pool. Python tells when that is: numpy arrays that view a chunk refer to its array, and a weak
reference calls back when that array is gone.
"""

from __future__ import annotations

import contextlib
import mmap
import weakref
from typing import Any

import numpy as np


class Chunk:
    """Bytes that arrived one after the other.

    Attributes:
        writable: memoryview to receive into.
        bytes: read-only uint8 array of the same memory; arrays handed out are views of it.
    """

    __slots__ = ("bytes", "writable")

    def __init__(self, array: np.ndarray) -> None:
        self.writable = array.data
        self.bytes = array[:]
        self.bytes.flags.writeable = False

    @property
    def capacity(self) -> int:
        """Bytes it can hold."""
        return len(self.bytes)


class ChunkPool:
    """Hands out chunks; those of the usual size are used again.

    Args:
        chunk_bytes: the usual size.
        spare_max: free chunks kept at most.

    Attributes:
        chunk_bytes: the usual size.
    """

    def __init__(self, chunk_bytes: int, spare_max: int = 4) -> None:
        self.chunk_bytes = chunk_bytes
        self._spare_max = spare_max
        self._spare: list[mmap.mmap] = []
        self._lent: dict[int, weakref.ref[Any]] = {}
        self._first = True

    def take(self, capacity: int) -> Chunk:
        """A chunk of at least `capacity` bytes; their content is arbitrary.

        Raises:
            MemoryError: there is none.
        """
        if capacity > self.chunk_bytes:
            return Chunk(np.empty(capacity, np.uint8))
        memory = self._spare.pop() if self._spare else self._map()
        # Views collapse their `base` to this array and no further, as its own base is no array.
        array = np.frombuffer(memory, np.uint8)
        key = id(memory)

        def give_back(_: object) -> None:
            self._lent.pop(key, None)
            if len(self._spare) < self._spare_max:
                self._spare.append(memory)

        self._lent[key] = weakref.ref(array, give_back)
        return Chunk(array)

    def close(self) -> None:
        """Let free chunks go, and those that become free: nothing more is received."""
        self._spare_max = 0
        self._spare.clear()

    def _map(self) -> mmap.mmap:
        try:
            # Private: a fault of shared memory, the default, costs more.
            memory = mmap.mmap(-1, self.chunk_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        except OSError as error:
            raise MemoryError(f"no {self.chunk_bytes} bytes to receive into") from error
        # A liveness check, or a query, touches a few kB of its first chunk and needs no more.
        if not self._first and hasattr(mmap, "MADV_HUGEPAGE"):
            with contextlib.suppress(OSError):  # a kernel without them
                memory.madvise(mmap.MADV_HUGEPAGE)
        self._first = False
        return memory

"""Memory for journals: segments that are used again, as fresh memory is slow.

The first byte written to each fresh page costs a page fault, as much time as receiving into it. So
segments go back to a pool; what the pool has not needed for a while goes back to the system.
"""

from __future__ import annotations

import math
import mmap

#: Bytes of a segment: few system calls, and still in the processor's cache when it is sent on.
SEGMENT_BYTES = 1 << 20
#: Bytes of a journal's first segment: many connections never need a second.
FIRST_BYTES = 64 << 10
_SLAB_BYTES = 32 << 20
#: Given back to the system at once, of what is not needed.
_TRIM_SHARE = 1 / 256


class Segment:
    """A piece of memory.

    Attributes:
        memory: to write to and to read from.
    """

    __slots__ = ("_offset", "_slab", "memory")

    def __init__(self, slab: mmap.mmap, offset: int, size: int) -> None:
        self._slab = slab
        self._offset = offset
        self.memory = memoryview(slab)[offset : offset + size]

    def forget(self) -> None:
        """Give its pages back to the system; its content is lost."""
        if hasattr(mmap, "MADV_DONTNEED"):  # not on Windows
            self._slab.madvise(mmap.MADV_DONTNEED, self._offset, len(self.memory))


class SegmentPool:
    """Segments of one size.

    Args:
        segment_bytes: a multiple of the page size.
        slab_bytes: taken from the system at once (address space; pages come with their first use).
        huge: ask for huge pages, which cost fewer faults.
    """

    def __init__(
        self,
        segment_bytes: int = SEGMENT_BYTES,
        *,
        slab_bytes: int = _SLAB_BYTES,
        huge: bool = True,
    ) -> None:
        self.segment_bytes = segment_bytes
        self._slab_bytes = max(slab_bytes, segment_bytes)
        self._huge = huge
        self._warm: list[Segment] = []  # used before: their pages are there
        self._cold: list[Segment] = []
        self._warm_least = 0  # since the last trim

    @property
    def spare_bytes(self) -> int:
        """Pages that are there and not in use."""
        return len(self._warm) * self.segment_bytes

    def take(self) -> Segment:
        """A segment; its content is arbitrary."""
        if self._warm:
            segment = self._warm.pop()
            self._warm_least = min(self._warm_least, len(self._warm))
            return segment
        if not self._cold:
            self._grow()
        return self._cold.pop()

    def give(self, segment: Segment) -> None:
        """Take a segment back; nobody may look at its memory any more."""
        self._warm.append(segment)

    def trim(self, keep_bytes: int) -> int:
        """Give back to the system a little of what was not needed since the last call.

        Called once a second, half of what is not needed goes in three minutes.

        Args:
            keep_bytes: not below so many spare ones.

        Returns:
            Bytes given back.
        """
        unneeded = min(self._warm_least, len(self._warm))
        spare = max(0, len(self._warm) - keep_bytes // self.segment_bytes)
        count = min(math.ceil(unneeded * _TRIM_SHARE), spare)
        # Those at the bottom have not been used for longest.
        for segment in self._warm[:count]:
            segment.forget()
        self._cold.extend(self._warm[:count])
        del self._warm[:count]
        self._warm_least = len(self._warm)
        return count * self.segment_bytes

    def _grow(self) -> None:
        slab = mmap.mmap(-1, self._slab_bytes)
        if self._huge and hasattr(mmap, "MADV_HUGEPAGE"):
            slab.madvise(mmap.MADV_HUGEPAGE)
        size = self.segment_bytes
        offsets = range(0, self._slab_bytes - size + 1, size)
        self._cold.extend(Segment(slab, offset, size) for offset in reversed(offsets))

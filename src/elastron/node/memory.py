"""How much memory a session takes, as the kernel counts it, and how much it may take; its heap."""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
import resource
from pathlib import Path

_RESET_PEAK = "5"  # proc(5), /proc/[pid]/clear_refs
_HUGE_BYTES = 2 << 20
#: What the heap grows by before the first session; most scans of one slice need no more.
_HEAP_BYTES = 60 << 20


class PeakMemory:
    """Growth of this process's resident memory above now, at its highest.

    Pages shared with the zygote are resident already, so a forked worker counts what its session
    adds.
    """

    def __init__(self) -> None:
        self.reset()
        self._base = _status_bytes("VmRSS")

    def reset(self) -> None:
        """Forget the peak; growth still counts from the beginning."""
        with contextlib.suppress(OSError):  # elsewhere than on Linux, or forbidden
            Path("/proc/self/clear_refs").write_text(_RESET_PEAK)

    def growth(self) -> int | None:
        """Bytes; None where the kernel does not tell."""
        peak = _status_bytes("VmHWM")
        return None if peak is None or self._base is None else max(0, peak - self._base)


def available_bytes() -> int:
    """Memory of this machine, or of this container if it has less."""
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    with contextlib.suppress(OSError, ValueError):  # no cgroup v2, or no limit ("max")
        total = min(total, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    return total


def limit_memory(bytes_max: int) -> None:
    """Let this process's writable memory grow by `bytes_max` from now on, and no further.

    An allocation beyond fails with a MemoryError; without it the kernel would kill somebody.
    Counted is private writable memory (RLIMIT_DATA): not what GPU drivers reserve of addresses.
    """
    base = _status_bytes("VmData")
    if base is None:
        return
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    limit = base + bytes_max
    if hard != resource.RLIM_INFINITY:
        limit = min(limit, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def _status_bytes(field: str) -> int | None:
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith(field + ":"):
                return int(line.split()[1]) * 1024
    return None


def grow_heap() -> None:
    """Let go of free memory, let the heap grow by addresses alone, and ask for huge pages there.

    Processes forked from this one then fault once in 2 MiB, and not in 4 KiB, as their buffers take
    these addresses. Does nothing where there are no such pages, or another C library. See
    `NUMERIC_ENVIRONMENT`, which lets buffers of up to 32 MiB come from the heap.
    """
    library = ctypes.CDLL(None)
    if not hasattr(mmap, "MADV_HUGEPAGE") or not hasattr(library, "gnu_get_libc_version"):
        return
    library.malloc.argtypes, library.malloc.restype = [ctypes.c_size_t], ctypes.c_void_p
    library.free.argtypes, library.free.restype = [ctypes.c_void_p], None
    library.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    library.malloc_trim(0)  # what a child inherits, it would copy
    half = _HEAP_BYTES // 2  # more than 32 MiB would not come from the heap
    blocks = sorted(block for block in (library.malloc(half), library.malloc(half)) if block)
    if blocks and blocks[-1] - blocks[0] < _HEAP_BYTES:  # else not from the heap's end
        first = -(-blocks[0] // _HUGE_BYTES) * _HUGE_BYTES
        last = (blocks[-1] + half) // _HUGE_BYTES * _HUGE_BYTES
        library.madvise(first, last - first, mmap.MADV_HUGEPAGE)
    for block in blocks:
        library.free(block)

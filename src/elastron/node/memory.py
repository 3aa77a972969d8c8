"""How much memory a session takes, as the kernel counts it, and how much it may take."""

from __future__ import annotations

import contextlib
import os
import resource
from pathlib import Path

_RESET_PEAK = "5"  # proc(5), /proc/[pid]/clear_refs


class PeakMemory:
    """Growth of this process's resident memory above now, at its highest.

    Pages shared with the zygote are resident already, so a forked worker counts what its session
    adds.
    """

    def __init__(self) -> None:
        with contextlib.suppress(OSError):  # elsewhere than on Linux, or forbidden
            Path("/proc/self/clear_refs").write_text(_RESET_PEAK)
        self._base = _status_bytes("VmRSS")

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

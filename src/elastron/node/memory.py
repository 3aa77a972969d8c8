"""How much memory a session takes, as the kernel counts it."""

from __future__ import annotations

import contextlib
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


def _status_bytes(field: str) -> int | None:
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith(field + ":"):
                return int(line.split()[1]) * 1024
    return None

"""Giving a node's processes their cores."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable

import psutil


def available_cores() -> list[int]:
    """Numbers of the cores this process may use; empty where that cannot be told."""
    if not hasattr(os, "sched_getaffinity"):
        return []
    return sorted(os.sched_getaffinity(0))


def pin(pid: int, cores: Iterable[int]) -> None:
    """Let a process, its threads and all its descendants run on `cores` only.

    What ends meanwhile is no error. A process looks at its cores when a scan begins, and starts as
    many threads.
    """
    chosen = set(cores)
    for _ in range(2):  # once more, for those that were forked while we looked
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(pid)
            for each in (process, *process.children(recursive=True)):
                _pin_threads(each.pid, chosen)


def _pin_threads(pid: int, cores: set[int]) -> None:
    try:
        threads = [int(name) for name in os.listdir(f"/proc/{pid}/task")]
    except OSError:
        return
    for thread in threads:
        with contextlib.suppress(OSError):
            os.sched_setaffinity(thread, cores)

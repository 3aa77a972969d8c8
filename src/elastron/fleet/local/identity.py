"""Which process it is: a process id alone may have been given to another one meanwhile."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
from dataclasses import dataclass
from pathlib import Path

import psutil

_PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Identity:
    """A process, told from every other that has had or will have its id.

    Attributes:
        pid: process id.
        started: when it started, in words that only this process has on this machine: the boot's
            id and the clock ticks since (Linux), or seconds since 1970.
    """

    pid: int
    started: str

    @classmethod
    def of(cls, pid: int) -> Identity | None:
        """Of a running process; None if there is none of that id (a zombie is none)."""
        started = _started(pid)
        return None if started is None else cls(pid, started)

    @classmethod
    def own(cls) -> Identity:
        """Of this process."""
        pid = os.getpid()
        return cls(pid, _started(pid) or "")

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self.pid > 0 and _started(self.pid) == self.started

    def signal(self, number: signal.Signals) -> bool:
        """Send it a signal; False if it is gone, whoever has its id now."""
        if not self.alive:
            return False
        with contextlib.suppress(ProcessLookupError):
            if hasattr(os, "pidfd_open"):
                # What the descriptor stands for cannot change between the look and the signal.
                descriptor = os.pidfd_open(self.pid)
                try:
                    if not self.alive:
                        return False
                    signal.pidfd_send_signal(descriptor, number)
                finally:
                    os.close(descriptor)
                return True
            os.kill(self.pid, number)
            return True
        return False


def _started(pid: int) -> str | None:
    if not _PROC.joinpath("self/stat").exists():
        return _started_elsewhere(pid)
    try:
        # proc_pid_stat(5): the name may hold spaces and parentheses; what follows it does not.
        fields = (_PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    state, start_ticks = fields[0], fields[19]
    return None if state in "ZX" else f"{_boot_id()} {start_ticks}"


def _started_elsewhere(pid: int) -> str | None:
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        return f"{process.create_time():.3f}"
    except psutil.Error:
        return None


@functools.cache
def _boot_id() -> str:
    with contextlib.suppress(OSError):
        return (_PROC / "sys/kernel/random/boot_id").read_text().strip()
    return "boot"

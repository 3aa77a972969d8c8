"""A node in processes of its own, and what its workers take."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil


@dataclass(frozen=True)
class RunningNode:
    """A node that answers."""

    port: int
    admin_port: int
    pid: int


def free_port() -> int:
    """A port of loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def running_node(*, capacity: int, options: tuple[str, ...] = ()) -> Iterator[RunningNode]:
    """Start `elastron node`, wait until it is ready, and stop it at the end."""
    port, admin = free_port(), free_port()
    listening = ("--listen", f"127.0.0.1:{port}", "--admin", f"127.0.0.1:{admin}")
    command = [sys.executable, "-m", "elastron", "node", *listening]
    process = subprocess.Popen(
        [*command, "--capacity", str(capacity), *options], stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 60
        while True:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("the node did not become ready")
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(f"http://127.0.0.1:{admin}/readyz").is_success:
                    break
            time.sleep(0.05)
        yield RunningNode(port, admin, process.pid)
    finally:
        process.terminate()
        process.wait(30)


def peak_memory_mb(node: RunningNode, scan: Callable[[], object]) -> float:
    """Largest growth of a process of the node while `scan` runs (MB of 1e6 bytes).

    The kernel's high-water mark of each process is reset before and read after, so nothing falls
    between samples. A worker that is forked for the scan counts from what it was forked with.
    """
    processes = psutil.Process(node.pid).children(recursive=True)
    idle = {}
    for process in processes:
        with contextlib.suppress(OSError, psutil.Error):
            Path(f"/proc/{process.pid}/clear_refs").write_text("5")
            idle[process.pid] = _status_kib(process.pid, "VmRSS")
    scan()
    growth = [0]
    for pid, before in idle.items():
        with contextlib.suppress(OSError):
            growth.append(_status_kib(pid, "VmHWM") - before)
    return max(growth) * 1024 / 1e6


def _status_kib(pid: int, field: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1])
    raise OSError(f"no {field} of process {pid}")

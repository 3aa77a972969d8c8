"""A node in processes of its own, and what its workers take."""

from __future__ import annotations

import contextlib
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import httpx


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


def session_memory_mb(node: RunningNode, scan: Callable[[], object]) -> float:
    """Peak memory of the one session that `scan` runs, above an idle worker's (MB of 1e6 bytes).

    The worker reports it: the kernel's high-water mark, reset when the session begins.
    """
    sessions, total = _memory_metric(node)
    scan()
    deadline = time.monotonic() + 10
    while _memory_metric(node)[0] == sessions:
        if time.monotonic() > deadline:
            raise RuntimeError("the node does not report the session's memory")
        time.sleep(0.01)
    return (_memory_metric(node)[1] - total) / 1e6


def _memory_metric(node: RunningNode) -> tuple[float, float]:
    text = httpx.get(f"http://127.0.0.1:{node.admin_port}/metrics").text
    figures = []
    for name in ("count", "sum"):
        match = re.search(rf"^elastron_session_memory_bytes_{name} (\S+)$", text, re.MULTILINE)
        figures.append(float(match[1]) if match else 0.0)
    return figures[0], figures[1]

"""Ports for servers that must be told one."""

from __future__ import annotations

import random
import socket
from pathlib import Path

_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_LOWEST, _TRIES = 20_000, 1000
_given: set[int] = set()


def free_port() -> int:
    """A port that nobody listens on, and that the kernel gives to nobody.

    One of the kernel's own choice may be that of somebody's connection a moment later.
    """
    first = int(_RANGE.read_text().split()[0]) if _RANGE.exists() else 49_152
    chance = random.SystemRandom()  # processes that test at once draw their own
    for _ in range(_TRIES):
        port = chance.randrange(_LOWEST, max(first, _LOWEST + 1000))
        if port in _given:
            continue
        with socket.socket() as probe:
            # As servers do, which are not held up by connections that have ended.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        _given.add(port)
        return port
    raise AssertionError("every port is taken")

"""Which connections are scans: pure, from looks at the kernel's table.

Questions (a prober's, a gateway's), port scans and health checks are connections too, but short
ones: what has been there for `settle_s` is a scan.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from elastron.node.beside.connections import Connection

#: Looks in a row in which it must be missing: the kernel's table can skip one while it changes.
_MISSED = 2


@dataclass(slots=True)
class _Seen:
    number: int
    since: float
    missed: int = 0
    counted: bool = False


class Occupancy:
    """What a Gadgetron's connections tell.

    Args:
        settle_s: a connection this old is a scan.

    Attributes:
        started: scans seen so far.
        quiet_since: since when there has been no connection (monotonic, s); None: there is one.
    """

    def __init__(self, settle_s: float) -> None:
        self._settle_s = settle_s
        self._seen: dict[Connection, _Seen] = {}
        self._numbers = 0
        self.started = 0
        self.quiet_since: float | None = None

    def look(self, connections: Iterable[Connection], now: float) -> None:
        """Take note of the connections there are now (monotonic, s), without our own."""
        present = set(connections)
        for connection, seen in list(self._seen.items()):
            seen.missed = 0 if connection in present else seen.missed + 1
            if seen.missed >= _MISSED:
                del self._seen[connection]
        for connection in sorted(present - self._seen.keys()):
            self._numbers += 1
            self._seen[connection] = _Seen(self._numbers, now)
        for seen in self._seen.values():
            if not seen.counted and not seen.missed and now - seen.since >= self._settle_s:
                seen.counted = True
                self.started += 1
        if self._seen:
            self.quiet_since = None
        elif self.quiet_since is None:
            self.quiet_since = now

    @property
    def connected(self) -> int:
        """Connections, scans or not."""
        return len(self._seen)

    @property
    def running(self) -> int:
        """Scans."""
        return sum(seen.counted and not seen.missed for seen in self._seen.values())

    def sessions(self, now: float) -> list[dict[str, Any]]:
        """For `/sessions`, oldest first; STREAM is what runs, CONFIG what has only just come."""
        return [
            {
                "id": str(seen.number),
                "peer": str(connection.remote),
                "state": "STREAM" if seen.counted else "CONFIG",
                "seconds": round(now - seen.since, 3),
            }
            for connection, seen in sorted(self._seen.items(), key=lambda item: item[1].number)
        ]

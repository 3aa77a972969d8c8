"""What a fleet is made of, as its policies see it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class NodeState(StrEnum):
    """Where a node is in its life."""

    STARTING = "starting"  # known, has not answered yet
    READY = "ready"  # takes scans; may be running some
    BUSY = "busy"  # all its places are taken
    DRAINING = "draining"  # finishes what runs, takes nothing new
    DEAD = "dead"  # does not answer; asked again after a pause


@dataclass(frozen=True, slots=True)
class Node:
    """One reconstruction node at one moment.

    Attributes:
        id: its name, unique in the fleet; the same after a restart at the same place.
        address: HOST:PORT of the Gadgetron protocol.
        admin: HOST:PORT of its admin HTTP server, if it has one.
        pool: the pool it belongs to.
        capacity: scans at once.
        running: scans it runs now, as far as known; those just placed there are counted.
        capabilities: what it can do beyond the common, e.g. `gpu`.
        memory_bytes: memory for scans; None: not known.
        memory_used_bytes: of it, promised to running scans.
        since: seconds on the caller's monotonic clock when it entered `state`.
        avoid_until: on the same clock; a scan met a fault there, so until then it is the last
            choice.
        used: number of the placement that last went there; 0: none yet.
    """

    id: str
    address: str
    admin: str | None = None
    pool: str = "default"
    state: NodeState = NodeState.STARTING
    capacity: int = 1
    running: int = 0
    capabilities: frozenset[str] = frozenset()
    memory_bytes: int | None = None
    memory_used_bytes: int = 0
    since: float = 0.0
    avoid_until: float = 0.0
    used: int = 0

    @property
    def live(self) -> bool:
        """It answers and takes scans, now or when a place is free."""
        return self.state is NodeState.READY or self.state is NodeState.BUSY

    @property
    def memory_free_bytes(self) -> int | None:
        """Memory not promised to anybody; None: not known."""
        if self.memory_bytes is None:
            return None
        return max(0, self.memory_bytes - self.memory_used_bytes)

    @property
    def free(self) -> int:
        """Places for scans now."""
        return max(0, self.capacity - self.running) if self.state is NodeState.READY else 0


@dataclass(frozen=True, slots=True)
class Demand:
    """What a pool is asked for at one moment."""

    running: int = 0
    queued: int = 0

    @property
    def total(self) -> int:
        """Scans that want a place."""
        return self.running + self.queued

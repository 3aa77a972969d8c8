"""Who is next: the order of waiting scans, and which of them gets which free node. Pure.

Each pool has a queue of its own, so a full pool holds up nobody else. Within a pool:

1. inline before offline; an offline scan that has waited long counts as inline;
2. then the tenant with the fewest running scans in the pool (fair share of places);
3. then who came first. Scans of one tenant and priority keep their order.

A scan that does not fit the free nodes (it excludes them, needs a GPU, or more memory than is
free) lets others pass. When `overtaken_max` have passed it, it is *pressing*: it goes before all of
its priority, and one node is kept clear of later scans until it fits there.

Nobody starves as long as running scans end: a tenant's next scan waits for scans of tenants with
fewer running, and when none of its own runs any more only earlier ones are before it.
"""

from __future__ import annotations

import bisect
import heapq
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from elastron.fleet.choice import Need, attainable, choose, memory_wanted, to_clear
from elastron.fleet.model import Node, NodeState


class Priority(StrEnum):
    """How urgent a scan is."""

    INLINE = "inline"  # a patient waits at the scanner
    OFFLINE = "offline"  # nobody waits: research, reconstruction once more


@dataclass(frozen=True, slots=True)
class QueuePolicy:
    """Numbers of the rules above.

    Attributes:
        overtaken_max: scans that may pass one that does not fit.
        offline_wait_s_max: seconds after which an offline scan counts as inline.
    """

    overtaken_max: int = 8
    offline_wait_s_max: float = 1800.0


@dataclass(slots=True, eq=False)
class Waiting:
    """One scan in the queue.

    Attributes:
        session: its id.
        need: what it asks of a node.
        tenant: whose it is.
        priority: inline or offline.
        arrived: on the caller's clock (seconds).
        number: its place in the order of arrival.
        overtaken: later scans, no more urgent and with no better claim, that were placed before it.
    """

    session: str
    need: Need
    tenant: str
    priority: Priority
    arrived: float
    number: int
    overtaken: int = 0


@dataclass(frozen=True, slots=True)
class Turn:
    """A scan and the node it goes to."""

    waiting: Waiting
    node: Node


#: Running scans by (pool, tenant).
Loads = Mapping[tuple[str, str], int]

_Line = list[Waiting]


@dataclass(slots=True)
class _Pool:
    lines: dict[tuple[Priority, str], _Line] = field(default_factory=dict)


class Queue:
    """The waiting scans of all pools."""

    def __init__(self, policy: QueuePolicy | None = None) -> None:
        self._policy = policy or QueuePolicy()
        self._pools: dict[str, _Pool] = {}
        self._waiting: dict[str, Waiting] = {}
        self._number = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, session: object) -> bool:
        return session in self._waiting

    def length(self, pool: str) -> int:
        """How many wait for a pool."""
        found = self._pools.get(pool)
        return 0 if found is None else sum(len(line) for line in found.lines.values())

    @property
    def pools(self) -> list[str]:
        """Pools somebody waits for."""
        return list(self._pools)

    def add(
        self,
        session: str,
        need: Need,
        *,
        now: float,
        tenant: str = "",
        priority: Priority = Priority.INLINE,
        place: Waiting | None = None,
    ) -> Waiting:
        """Put a scan into the queue.

        Args:
            session: its id; must not wait already.
            need: what it asks of a node.
            now: on the caller's clock (seconds).
            tenant: whose it is.
            priority: inline or offline.
            place: what an earlier `add` of the same scan gave: it gets that place again.
        """
        if session in self._waiting:
            raise ValueError(f"session {session} waits already")
        self._number += 1
        entry = Waiting(session, need, tenant, priority, now, self._number)
        if place is not None:
            entry.arrived, entry.number = place.arrived, place.number
        lines = self._pools.setdefault(need.pool, _Pool()).lines
        line = lines.setdefault((priority, tenant), [])
        bisect.insort(line, entry, key=_number)
        self._waiting[session] = entry
        return entry

    def remove(self, session: str) -> Waiting | None:
        """Take a scan out; None if it does not wait."""
        entry = self._waiting.pop(session, None)
        if entry is None:
            return None
        pool = self._pools[entry.need.pool]
        key = (entry.priority, entry.tenant)
        pool.lines[key].remove(entry)
        if not pool.lines[key]:
            del pool.lines[key]
        if not pool.lines:
            del self._pools[entry.need.pool]
        return entry

    def order(self, pool: str, loads: Loads, now: float) -> Iterator[Waiting]:
        """The waiting scans of a pool, next one first, if each fitted whatever becomes free.

        Args:
            pool: its name.
            loads: running scans by pool and tenant.
            now: on the caller's clock (seconds).
        """
        found = self._pools.get(pool)
        if found is None:
            return
        loads_then: dict[str, int] = {}

        def key(entry: Waiting) -> tuple[int, bool, int, int]:
            if self._pressing(entry):
                return (self._rank(entry, now), False, 0, entry.number)
            tenant = entry.tenant
            load = loads.get((pool, tenant), 0) + loads_then.get(tenant, 0)
            return (self._rank(entry, now), True, load, entry.number)

        # Numbers are unique, so a comparison never reaches the iterators.
        heap = [(key(line[0]), line[0], iter(line[1:])) for line in found.lines.values()]
        heapq.heapify(heap)
        while heap:
            known, entry, rest = heap[0]
            if (actual := key(entry)) != known:  # the tenant's other line has been served
                heapq.heapreplace(heap, (actual, entry, rest))
                continue
            yield entry
            loads_then[entry.tenant] = loads_then.get(entry.tenant, 0) + 1
            follower = next(rest, None)
            if follower is None:
                heapq.heappop(heap)
            else:
                heapq.heapreplace(heap, (key(follower), follower, rest))

    def next(self, nodes: Sequence[Node], loads: Loads, now: float) -> Turn | None:
        """Take the next scan that has a node out of the queue; None if nobody's turn has come.

        Args:
            nodes: all nodes as they are now; call again with the new state for more.
            loads: running scans by pool and tenant.
            now: on the clock of the nodes and of `add` (seconds).
        """
        if not self._waiting:
            return None
        free_of: dict[str, list[Node]] = {}
        for node in nodes:
            if (
                node.running < node.capacity
                and node.state is NodeState.READY
                and node.pool in self._pools
            ):
                free_of.setdefault(node.pool, []).append(node)
        for pool, free in free_of.items():
            turn = self._next_of(pool, free, nodes, loads, now)
            if turn is not None:
                return turn
        return None

    def _next_of(
        self, pool: str, free: list[Node], nodes: Sequence[Node], loads: Loads, now: float
    ) -> Turn | None:
        reserved: set[str] = set()
        unplaced: set[Need] = set()
        wanted: dict[Need, int] = {}
        for entry in self.order(pool, loads, now):
            need = attainable(entry.need, nodes)
            if need in unplaced and not self._pressing(entry):
                continue
            if need not in wanted:
                wanted[need] = memory_wanted(need, nodes)
            node = choose(need, free, now=now, memory_bytes=wanted[need], reserved=reserved)
            if node is not None:
                self._note_passing(entry, loads, now)
                self.remove(entry.session)
                return Turn(entry, node)
            unplaced.add(need)
            if self._pressing(entry):
                kept = to_clear(need, nodes, memory_bytes=wanted[need], reserved=reserved)
                if kept is not None:
                    reserved.add(kept.id)
            if all(node.id in reserved for node in free):
                break
        return None

    def _note_passing(self, placed: Waiting, loads: Loads, now: float) -> None:
        """Count for the first of each line that a scan without a better claim passes it."""
        pool = placed.need.pool
        rank = self._rank(placed, now)
        load = loads.get((pool, placed.tenant), 0)
        for line in self._pools[pool].lines.values():
            first = line[0]
            if (
                first.number < placed.number
                and self._rank(first, now) <= rank
                and loads.get((pool, first.tenant), 0) <= load
            ):
                first.overtaken += 1

    def _pressing(self, entry: Waiting) -> bool:
        return entry.overtaken >= self._policy.overtaken_max

    def _rank(self, entry: Waiting, now: float) -> int:
        waited_s = now - entry.arrived
        return int(
            entry.priority is Priority.OFFLINE and waited_s < self._policy.offline_wait_s_max
        )


def _number(entry: Waiting) -> int:
    return entry.number

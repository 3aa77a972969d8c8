"""The placer: gives every scan a node, now or when its turn has come."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from elastron.errors import QueueFullError, QueueTimeoutError
from elastron.fleet.choice import Need
from elastron.fleet.model import Demand, Node, NodeState
from elastron.fleet.queueing import Priority, Queue, QueuePolicy, Turn, Waiting
from elastron.gateway.events import Events
from elastron.gateway.nodes import Registry

#: Decisions before the loop gets its turn again, when very many nodes become free at once.
_DECISIONS_MAX = 16
#: Changes of the queue are told together, at most so often.
_TELL_S = 0.1


class PlacementSettings(BaseModel):
    """How scans are queued."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    queue_length_max: int = Field(
        1000,
        ge=0,
        description="Scans that may wait; more are refused. 0: nobody waits. Each costs a "
        "connection and its share of the journal.",
    )
    queue_timeout_s: float = Field(
        3600,
        gt=0,
        description="A scan that has waited so long is refused. An hour: longer than a node takes "
        "to start, shorter than a scanner's shift.",
    )
    overtaken_max: int = Field(
        8,
        ge=1,
        description="Scans that may pass one which does not fit the free nodes (memory, excluded "
        "nodes); then a node is kept clear for it.",
    )
    offline_wait_s_max: float = Field(
        1800,
        ge=0,
        description="An offline scan that has waited so long counts as inline, so that a busy day "
        "does not hold it up for ever.",
    )


@dataclass(frozen=True, slots=True)
class Request:
    """A scan that wants a node.

    Attributes:
        session: its id in the gateway.
        pool: whose nodes may take it.
        needs: capabilities a node must have.
        memory_bytes: estimate of what it will take; 0: not known.
        tenant: whose scan it is.
        priority: inline goes before offline.
        exclude: ids of nodes that must not get it (they failed with it).
        after: its earlier placement, when that came to nothing (the node was full, or failed): the
            scan then has its old place in the queue, and is not refused when the queue is full.
    """

    session: str
    pool: str = "default"
    needs: frozenset[str] = frozenset()
    memory_bytes: int = 0
    tenant: str = ""
    priority: Priority = Priority.INLINE
    exclude: frozenset[str] = frozenset()
    after: Placement | None = None


@dataclass(slots=True, eq=False)
class Placement:
    """A place on a node, held until `release` is called.

    Attributes:
        node: as it was when chosen; connect to `node.address`.
        waited_s: in the queue, this time.
        lost: resolves with a reason when the node is found dead. Do not cancel it: shield it, or
            add a callback.
        entry: its place in the queue, for `Request.after`.
    """

    node: Node
    waited_s: float
    lost: asyncio.Future[str]
    entry: Waiting
    _give_back: Callable[[Placement], None] | None = field(repr=False)

    def release(self) -> None:
        """Give the place back; a second call does nothing."""
        if self._give_back is not None:
            give_back, self._give_back = self._give_back, None
            give_back(self)


@dataclass(slots=True, eq=False)
class _Waiter:
    entry: Waiting
    since: float
    placed: asyncio.Future[Placement]
    on_position: Callable[[int], None] | None
    position: int = 0


class Placer:
    """The queue before the nodes. All methods belong to the event loop.

    Args:
        registry: of the nodes; its clock is used.
        settings: how scans are queued.
        events: told of changes of the queue: kind `queue`, as `GET /queue`.
    """

    def __init__(self, registry: Registry, settings: PlacementSettings, events: Events) -> None:
        self._registry = registry
        self._settings = settings
        self._events = events
        self._clock = registry.clock
        self._queue = Queue(QueuePolicy(settings.overtaken_max, settings.offline_wait_s_max))
        self._waiters: dict[str, _Waiter] = {}
        self._loads: Counter[tuple[str, str]] = Counter()
        self._positions: dict[str, int] | None = None
        self._again: asyncio.Handle | None = None
        self._telling: asyncio.TimerHandle | None = None
        registry.on_change(self._wake)

    async def place(
        self, request: Request, *, on_position: Callable[[int], None] | None = None
    ) -> Placement:
        """Wait for a node. Cancelling gives the place in the queue back.

        Args:
            request: what is wanted.
            on_position: told the place in the queue (1: next) whenever it changes.

        Raises:
            QueueFullError: too many wait already.
            QueueTimeoutError: no node became free in time.
        """
        waiter = self._enqueue(request, on_position)
        self._decide()
        if not waiter.placed.done():
            if request.after is None and len(self._queue) > self._settings.queue_length_max:
                self._dequeue(request.session)
                raise QueueFullError(self._full_text(request.pool))
            self._queue_changed()
        try:
            async with asyncio.timeout(self._settings.queue_timeout_s):
                return await waiter.placed
        except TimeoutError:
            if _has_result(waiter.placed):  # in the very last moment
                return waiter.placed.result()
            raise QueueTimeoutError(self._timeout_text(request.pool)) from None
        except asyncio.CancelledError:
            if _has_result(waiter.placed):
                waiter.placed.result().release()
            raise
        finally:
            self._dequeue(request.session)

    # --- what is known --------------------------------------------------------------------------

    def position(self, session: str) -> int | None:
        """Its place in its pool's queue, 1 for the next; None: it does not wait."""
        return self._all_positions().get(session)

    def queue(self) -> list[dict[str, Any]]:
        """The waiting scans as `GET /queue` tells them, in order within each pool."""
        now = self._clock()
        return [
            {
                "session": session,
                "pool": waiter.entry.need.pool,
                "position": position,
                "priority": waiter.entry.priority.value,
                "tenant": waiter.entry.tenant,
                "waiting_s": round(now - waiter.since, 3),
            }
            for session, position in self._all_positions().items()
            if (waiter := self._waiters.get(session)) is not None
        ]

    def demand(self) -> dict[str, Demand]:
        """Running and waiting scans of each pool that has nodes or scans."""
        return {
            pool: Demand(figures["running"], figures["queued"])
            for pool, figures in self.pools().items()
        }

    def pools(self) -> dict[str, dict[str, int]]:
        """`running`, `queued` and `capacity` of each pool, as `GET /fleet` tells them.

        Dead nodes run nothing: their scans wait for another node, or soon will.
        """
        pools: dict[str, dict[str, int]] = {}
        empty = {"running": 0, "queued": 0, "capacity": 0}
        for node in self._registry.nodes():
            figures = pools.setdefault(node.pool, empty.copy())
            if node.state is not NodeState.DEAD:
                figures["running"] += node.running
            if node.live:
                figures["capacity"] += node.capacity
        for pool in self._queue.pools:
            pools.setdefault(pool, empty.copy())["queued"] = self._queue.length(pool)
        return pools

    # --- the queue ------------------------------------------------------------------------------

    def _enqueue(self, request: Request, on_position: Callable[[int], None] | None) -> _Waiter:
        now = self._clock()
        entry = self._queue.add(
            request.session,
            Need(request.pool, request.needs, request.memory_bytes, request.exclude),
            now=now,
            tenant=request.tenant,
            priority=request.priority,
            place=None if request.after is None else request.after.entry,
        )
        placed: asyncio.Future[Placement] = asyncio.get_running_loop().create_future()
        waiter = self._waiters[request.session] = _Waiter(entry, now, placed, on_position)
        return waiter

    def _dequeue(self, session: str) -> None:
        self._waiters.pop(session, None)
        if self._queue.remove(session) is not None:
            self._queue_changed()
            self._wake()  # a node may have been kept clear for it

    def _wake(self) -> None:
        self._positions = None
        if self._again is None and len(self._queue):
            self._again = asyncio.get_running_loop().call_soon(self._decide)

    def _decide(self) -> None:
        """Place whoever can be placed now."""
        self._again = None
        for _ in range(_DECISIONS_MAX):
            turn = self._queue.next(self._registry.nodes(), self._loads, self._clock())
            if turn is None:
                return
            waiter = self._waiters.pop(turn.waiting.session)
            if not waiter.placed.done():  # else it is being cancelled
                self._place(turn, waiter)
            self._queue_changed()
        self._wake()

    def _place(self, turn: Turn, waiter: _Waiter) -> None:
        entry, node = turn.waiting, turn.node
        lost = self._registry.reserve(node.id, entry.need.memory_bytes)
        self._loads[entry.need.pool, entry.tenant] += 1
        waited_s = self._clock() - waiter.since
        waiter.placed.set_result(Placement(node, waited_s, lost, entry, self._give_back))

    def _give_back(self, placement: Placement) -> None:
        key = (placement.entry.need.pool, placement.entry.tenant)
        self._loads[key] -= 1
        if not self._loads[key]:
            del self._loads[key]
        self._registry.release(placement.node.id, placement.lost)
        self._wake()

    # --- telling --------------------------------------------------------------------------------

    def _all_positions(self) -> dict[str, int]:
        if self._positions is None:
            now = self._clock()
            self._positions = {
                entry.session: index
                for pool in self._queue.pools
                for index, entry in enumerate(self._queue.order(pool, self._loads, now), 1)
            }
        return self._positions

    def _queue_changed(self) -> None:
        self._positions = None
        if self._telling is None:
            self._telling = asyncio.get_running_loop().call_later(_TELL_S, self._tell)

    def _tell(self) -> None:
        self._telling = None
        for session, position in self._all_positions().items():
            waiter = self._waiters.get(session)
            if waiter is not None and waiter.position != position:
                waiter.position = position
                if waiter.on_position is not None:
                    waiter.on_position(position)
        self._events.publish("queue", {"queue": self.queue()})

    def _full_text(self, pool: str) -> str:
        return (
            f"all nodes of pool {pool!r} are busy and {self._settings.queue_length_max} scans wait "
            "already; try again later"
        )

    def _timeout_text(self, pool: str) -> str:
        return (
            f"no node of pool {pool!r} became free within {self._settings.queue_timeout_s:g} s; "
            "try again later, or let the fleet grow further"
        )


def _has_result(placed: asyncio.Future[Placement]) -> bool:
    return placed.done() and not placed.cancelled()

"""What a fleet would have done with a trace: a discrete-event simulation.

Everything that decides is the code that decides in a real fleet: `queueing.Queue` and `choice`
place scans, `scaling.desired` says how many nodes there should be and `scaling.removable` which may
go. What is modelled is only what they decide about:

- A scan that has a place streams until `scan_s` after it came, then is reconstructed for
  `reconstruction_s`; its place is taken until then. Up to `capacity` scans on one node do not slow
  each other.
- A scan that waits goes on streaming, into the gateway's journal. Placed late, it first catches up,
  `replay_speed` times as fast as the scanner sent.
- A node takes scans `start_delay_s` after it was asked for, and is paid for from asking to its end,
  `stop_delay_s` after it was told to go. Nodes do not fail.
- Demand is looked at every `poll_s`.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from enum import IntEnum

from elastron.errors import ConfigError
from elastron.fleet.choice import Need
from elastron.fleet.model import Demand, Node, NodeState
from elastron.fleet.outcome import Fate, Ledger, Outcome, Result
from elastron.fleet.queueing import Queue
from elastron.fleet.scaling import History, desired, removable, settled_until
from elastron.fleet.schedule import schedule_of
from elastron.fleet.settings import FleetSettings, PoolSettings
from elastron.fleet.traces.trace import Scan, Trace


@dataclass(frozen=True, slots=True)
class Assumptions:
    """What a simulation takes for granted besides `fleet.yaml`.

    Attributes:
        stop_delay_s: from telling an idle node to go until it is no longer paid for.
        replay_speed: how much faster than the scanner the journal is read.
        queue_length_max: scans that may wait; more are refused, as the gateway does.
        queue_timeout_s: a scan that has waited so long is refused, as the gateway does.
        every_poll: decide at every poll, even where nothing can have changed: slow; for tests.
    """

    stop_delay_s: float = 1.0
    replay_speed: float = 20.0
    queue_length_max: int = 1000
    queue_timeout_s: float = 3600.0
    every_poll: bool = False


class _Event(IntEnum):
    """In the order in which those of the same moment happen."""

    FINISH = 0
    READY = 1
    GONE = 2
    ARRIVE = 3
    TIMEOUT = 4


@dataclass(slots=True)
class _Pool:
    name: str
    settings: PoolSettings
    nodes: dict[str, Node] = field(default_factory=dict)
    history: History = field(default_factory=History)
    running: int = 0
    due_s: float = 0.0  # the next decision


@dataclass(slots=True)
class _Job:
    scan: Scan
    queue_s: float = 0.0
    node: str = ""


def simulate(
    trace: Trace,
    fleet: FleetSettings,
    *,
    policy: str = "elastron",
    assumptions: Assumptions | None = None,
) -> Result:
    """Run a trace through a fleet.

    Args:
        trace: what comes.
        fleet: pools and how they scale.
        policy: the result's name for people.
        assumptions: what `fleet.yaml` does not say.

    Raises:
        ConfigError: the trace names a pool that the fleet does not have.
    """
    check_pools(trace, fleet)
    return _Simulation(trace, fleet, assumptions or Assumptions()).run(policy)


def check_pools(trace: Trace, fleet: FleetSettings) -> None:
    """Refuse a trace whose scans would find no pool.

    Raises:
        ConfigError: names the pools.
    """
    unknown = [pool for pool in trace.pools if pool not in fleet.pools]
    if unknown:
        raise ConfigError(
            f"The trace {trace.name} has scans for the pool {unknown[0]!r}, which the fleet does "
            f"not have; it has {', '.join(fleet.pools)}."
        )


class _Simulation:
    def __init__(self, trace: Trace, fleet: FleetSettings, assumptions: Assumptions) -> None:
        self._trace = trace
        self._poll_s = fleet.poll_s
        self._assumptions = assumptions
        self._epoch = trace.start.timestamp()
        self._ledger = Ledger()
        self._queue = Queue()
        self._jobs: dict[str, _Job] = {}
        self._loads: dict[tuple[str, str], int] = {}
        self._pools = {name: _Pool(name, pool) for name, pool in fleet.pools.items()}
        self._numbers = itertools.count(1)
        self._last_finish_s = 0.0
        # (when, kind, number, pool, session or node)
        self._events: list[tuple[float, _Event, int, str, str]] = []

    def run(self, policy: str) -> Result:
        for number, scan in enumerate(self._trace.scans):
            self._at(scan.arrival_s, _Event.ARRIVE, scan.pool, f"scan-{number}")
            self._jobs[f"scan-{number}"] = _Job(scan)
        for pool in self._pools.values():
            # The fleet has stood there before: as many nodes as its minimum, all ready.
            for _ in range(schedule_of(pool.settings).minimum(self._epoch)):
                self._start(pool, 0.0, delay_s=0.0)
        while True:
            pool = min(self._pools.values(), key=lambda pool: pool.due_s)
            event_s = self._events[0][0] if self._events else math.inf
            now = min(event_s, pool.due_s)
            if now > self._trace.duration_s and not self._jobs:
                break
            if event_s <= pool.due_s:
                self._happen(*heapq.heappop(self._events))
            else:
                self._decide(pool, now)
            self._ledger.sample(now)
        return self._ledger.close(
            self._trace, policy, max(self._trace.duration_s, self._last_finish_s)
        )

    def _at(self, when: float, event: _Event, pool: str, subject: str) -> None:
        heapq.heappush(self._events, (when, event, next(self._numbers), pool, subject))

    def _happen(self, now: float, event: _Event, _number: int, name: str, subject: str) -> None:
        pool = self._pools[name]
        if event is _Event.ARRIVE:
            self._arrive(pool, subject, now)
        elif event is _Event.FINISH:
            self._finish(pool, subject, now)
        elif event is _Event.TIMEOUT:
            if self._queue.remove(subject) is None:
                return
            self._ledger.queued -= 1
            self._refuse(subject, now)
        elif event is _Event.READY:
            node = pool.nodes.get(subject)
            if node is None or node.state is not NodeState.STARTING:
                return
            pool.nodes[subject] = replace(node, state=NodeState.READY, since=now)
            self._ledger.ready += 1
        else:
            del pool.nodes[subject]
            self._ledger.node_gone(subject, now)
        self._place(now)
        pool.due_s = min(pool.due_s, self._poll_at(now))

    def _poll_at(self, when: float) -> float:
        """The first poll not before `when`."""
        if math.isinf(when):
            return when
        return math.ceil(when / self._poll_s - 1e-6) * self._poll_s

    def _arrive(self, pool: _Pool, session: str, now: float) -> None:
        scan = self._jobs[session].scan
        fits = any(node.free for node in pool.nodes.values())
        if not fits and len(self._queue) >= self._assumptions.queue_length_max:
            self._refuse(session, now)
            return
        self._queue.add(session, Need(pool=scan.pool), now=now)
        self._ledger.queued += 1
        if not fits:
            self._at(now + self._assumptions.queue_timeout_s, _Event.TIMEOUT, pool.name, session)

    def _refuse(self, session: str, now: float) -> None:
        scan = self._jobs.pop(session).scan
        self._ledger.outcomes.append(Outcome(scan, Fate.REFUSED, queue_s=now - scan.arrival_s))

    def _place(self, now: float) -> None:
        """Give free nodes to those whose turn it is."""
        while len(self._queue):
            turn = self._queue.next(self._nodes(), self._loads, now)
            if turn is None:
                return
            session, node = turn.waiting.session, turn.node
            job, pool = self._jobs[session], self._pools[node.pool]
            key = (node.pool, "")
            self._loads[key] = self._loads.get(key, 0) + 1
            pool.nodes[node.id] = replace(node, running=node.running + 1, used=next(self._numbers))
            pool.running += 1
            self._ledger.queued -= 1
            self._ledger.running += 1
            job.node, job.queue_s = node.id, now - job.scan.arrival_s
            behind_s = min(job.queue_s, job.scan.scan_s) / self._assumptions.replay_speed
            streamed = max(job.scan.arrival_s + job.scan.scan_s, now + behind_s)
            self._at(streamed + job.scan.reconstruction_s, _Event.FINISH, pool.name, session)

    def _nodes(self) -> list[Node]:
        return [node for pool in self._pools.values() for node in pool.nodes.values()]

    def _finish(self, pool: _Pool, session: str, now: float) -> None:
        job = self._jobs.pop(session)
        node = pool.nodes[job.node]
        pool.nodes[job.node] = replace(node, running=node.running - 1)
        pool.running -= 1
        self._loads[(pool.name, "")] -= 1
        self._ledger.running -= 1
        self._last_finish_s = now
        wait_s = max(now - job.scan.undisturbed_s, 0.0)
        self._ledger.outcomes.append(Outcome(job.scan, Fate.FINISHED, job.queue_s, wait_s))

    def _decide(self, pool: _Pool, now: float) -> None:
        """One look of the autoscaler at one pool."""
        live = [node for node in pool.nodes.values() if node.state is not NodeState.DRAINING]
        at = self._epoch + now
        before = pool.history.current
        plan = desired(
            Demand(pool.running, self._queue.length(pool.name)),
            live,
            pool.settings,
            pool.history.held_until(self._epoch + now - self._poll_s),
            at,
        )
        for _ in range(plan.desired - len(live)):
            self._start(pool, now, delay_s=pool.settings.start_delay_s)
        if len(live) > plan.desired:
            self._stop(pool, removable(live, len(live) - plan.desired), now)
        pool.history = plan.history
        pool.due_s = self._poll_at(now + 0.5 * self._poll_s)
        if plan.desired == before and not self._assumptions.every_poll:
            until = settled_until(plan, pool.settings, at)
            pool.due_s = max(pool.due_s, self._poll_at(until - self._epoch))

    def _start(self, pool: _Pool, now: float, *, delay_s: float) -> None:
        node_id = f"{pool.name}-{next(self._numbers)}"
        pool.nodes[node_id] = Node(
            node_id, node_id, pool=pool.name, capacity=pool.settings.capacity, since=now
        )
        self._ledger.node_asked(node_id, pool.name, now)
        self._at(now + delay_s, _Event.READY, pool.name, node_id)

    def _stop(self, pool: _Pool, nodes: Iterable[Node], now: float) -> None:
        for node in nodes:
            self._ledger.ready -= node.state is NodeState.READY
            pool.nodes[node.id] = replace(node, state=NodeState.DRAINING, since=now)
            gone = now + self._assumptions.stop_delay_s
            self._at(gone, _Event.GONE, pool.name, node.id)

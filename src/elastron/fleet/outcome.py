"""What a simulation yields: what became of each scan, and what the nodes were doing."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from elastron.fleet.traces.trace import Scan, Trace


class Fate(StrEnum):
    """How a scan ended."""

    FINISHED = "finished"
    LOST = "lost"  # its node was taken away while it ran
    REFUSED = "refused"  # nobody took it, or the queue was full, or its time in it ran out


@dataclass(frozen=True, slots=True)
class Outcome:
    """One scan after the simulation.

    Attributes:
        scan: as in the trace.
        fate: how it ended.
        queue_s: from connecting to its place on a node.
        wait_s: how much later its last image came than from a node with nothing else to do; only
            if it finished.
    """

    scan: Scan
    fate: Fate
    queue_s: float = 0.0
    wait_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Sample:
    """The fleet at one moment; it holds until the next sample.

    Attributes:
        at_s: from the trace's start.
        nodes: paid for, whether or not they have started.
        ready: those that take scans.
        running: scans on nodes.
        queued: scans that wait.
    """

    at_s: float
    nodes: int
    ready: int
    running: int
    queued: int


@dataclass(slots=True)
class Ledger:
    """Keeps the figures of a simulation while it runs. Times are seconds from the trace's start."""

    outcomes: list[Outcome] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    node_seconds: dict[str, float] = field(default_factory=dict)
    starts: int = 0
    nodes: int = 0
    ready: int = 0
    running: int = 0
    queued: int = 0
    _since: dict[str, tuple[str, float]] = field(default_factory=dict)

    def node_asked(self, node_id: str, pool: str, now: float) -> None:
        """From now on it is paid for."""
        self._since[node_id] = (pool, now)
        self.starts += 1
        self.nodes += 1

    def node_gone(self, node_id: str, now: float) -> None:
        """From now on it is not."""
        pool, since = self._since.pop(node_id)
        self.node_seconds[pool] = self.node_seconds.get(pool, 0.0) + now - since
        self.nodes -= 1

    def sample(self, now: float) -> None:
        """Note how things stand."""
        sample = Sample(now, self.nodes, self.ready, self.running, self.queued)
        if self.samples and self.samples[-1].at_s == now:
            self.samples[-1] = sample
        else:
            self.samples.append(sample)

    def close(self, trace: Trace, policy: str, end_s: float) -> Result:
        """The result; nodes that are still there are paid until `end_s`."""
        for node_id in list(self._since):
            self.node_gone(node_id, end_s)
        return Result(
            trace=trace,
            policy=policy,
            outcomes=tuple(self.outcomes),
            samples=tuple(self.samples),
            node_seconds=self.node_seconds,
            starts=self.starts,
            end_s=end_s,
        )


@dataclass(frozen=True, slots=True)
class Result:
    """A simulation of one trace under one policy.

    Attributes:
        trace: what came.
        policy: for people.
        outcomes: one for each scan, in the order in which they ended.
        samples: the fleet over time.
        node_seconds: paid, by pool.
        starts: nodes that were started, those at the beginning too.
        end_s: the trace's duration, or longer if scans ran longer.
    """

    trace: Trace
    policy: str
    outcomes: tuple[Outcome, ...]
    samples: tuple[Sample, ...]
    node_seconds: dict[str, float]
    starts: int
    end_s: float

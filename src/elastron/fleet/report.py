"""Figures of a simulation: how long scans waited, and what the nodes cost."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from elastron.fleet.outcome import Fate, Outcome, Result
from elastron.fleet.settings import FleetSettings


@dataclass(frozen=True, slots=True)
class Waits:
    """How seconds are distributed over scans; all 0 if there are none."""

    mean: float = 0.0
    p50: float = 0.0
    p95: float = 0.0
    p99: float = 0.0
    max: float = 0.0


@dataclass(frozen=True, slots=True)
class Figures:
    """What became of some scans and nodes.

    Attributes:
        scans: in the trace.
        finished: got their images.
        lost: their node was taken away while they ran.
        refused: were never taken.
        wait_s: of those that finished: how much later the last image came than from a node with
            nothing else to do.
        queue_s: of those that finished: from connecting to a place on a node.
        node_hours: paid for.
        cost: of them, in the currency of `price_per_hour`.
    """

    scans: int
    finished: int
    lost: int
    refused: int
    wait_s: Waits
    queue_s: Waits
    node_hours: float
    cost: float


@dataclass(frozen=True, slots=True)
class Summary:
    """A simulation in figures.

    Attributes:
        policy: for people.
        total: of all pools.
        nodes_max: most at once.
        node_starts: nodes started, those at the beginning too.
        pools: the same for each.
    """

    policy: str
    total: Figures
    nodes_max: int
    node_starts: int
    pools: dict[str, Figures]

    def as_json(self) -> dict[str, Any]:
        """For `json.dumps`; seconds to the millisecond."""
        values = asdict(self)
        figures = values.pop("total")
        return _rounded({"policy": self.policy, **figures, **values})


def summarise(result: Result, fleet: FleetSettings) -> Summary:
    """The figures of a simulation; prices are those of the fleet."""
    costs = {
        name: seconds / 3600 * fleet.pools[name].price_per_hour
        for name, seconds in result.node_seconds.items()
    }
    pools: dict[str, Figures] = {}
    for name in sorted({*result.node_seconds, *result.trace.pools}):
        own = [outcome for outcome in result.outcomes if outcome.scan.pool == name]
        pools[name] = _figures(own, result.node_seconds.get(name, 0.0), costs.get(name, 0.0))
    return Summary(
        policy=result.policy,
        total=_figures(result.outcomes, sum(result.node_seconds.values()), sum(costs.values())),
        nodes_max=max((sample.nodes for sample in result.samples), default=0),
        node_starts=result.starts,
        pools=pools,
    )


def _figures(outcomes: Sequence[Outcome], node_seconds: float, cost: float) -> Figures:
    finished = [outcome for outcome in outcomes if outcome.fate is Fate.FINISHED]
    return Figures(
        scans=len(outcomes),
        finished=len(finished),
        lost=sum(outcome.fate is Fate.LOST for outcome in outcomes),
        refused=sum(outcome.fate is Fate.REFUSED for outcome in outcomes),
        wait_s=_waits(outcome.wait_s for outcome in finished),
        queue_s=_waits(outcome.queue_s for outcome in finished),
        node_hours=node_seconds / 3600,
        cost=cost,
    )


def _waits(seconds: Iterable[float]) -> Waits:
    values = np.fromiter(seconds, dtype=np.float64)
    if not values.size:
        return Waits()
    p50, p95, p99, most = (float(p) for p in np.percentile(values, (50, 95, 99, 100)))
    return Waits(float(values.mean()), p50, p95, p99, most)


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 3)
    if isinstance(value, dict):
        return {key: _rounded(inner) for key, inner in value.items()}
    return value

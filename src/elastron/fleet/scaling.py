"""How many nodes a pool should have, and which may go.

Pure: what is seen, settings, what was decided before and the time give the answer. The steps:

1. Demand (running + queued scans) and the warm buffer are worth so many nodes, as the Kubernetes
   HPA counts (`hpa.replicas`).
2. The most cautious recommendation of the recent past holds (`hpa.stabilise`): fast up, slow down.
3. Rate policies limit the step (`hpa.limit`).
4. Minimum, by the schedule, and maximum bound it.

Besides: a pool whose minimum is 0 goes to 0 after an idle time; without metrics the fleet is held
as it is, never made smaller.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from elastron.fleet import hpa
from elastron.fleet.model import Demand, Node, NodeState
from elastron.fleet.schedule import schedule_of
from elastron.fleet.settings import PoolSettings

#: Policies look back at most half an hour, windows an hour; bounds what is remembered.
_CHANGES_MAX = 4096


@dataclass(frozen=True, slots=True)
class History:
    """What earlier decisions left behind; begin with an empty one, go on with that of each Plan.

    Attributes:
        current: nodes decided upon last; None: nothing yet, the nodes that are there count.
        recommendations: (when last, how many), in runs of equal ones, before windows and limits.
        changes: (when, nodes more or fewer) that were decided.
        active_at: when there was demand last.
    """

    current: int | None = None
    recommendations: tuple[tuple[float, int], ...] = ()
    changes: tuple[tuple[float, int], ...] = ()
    active_at: float | None = None

    def held_until(self, when: float) -> History:
        """As it were if `desired()` had been asked again and again until `when`, to no change."""
        if not self.recommendations or when <= self.recommendations[-1][0]:
            return self
        last, count = self.recommendations[-1]
        return replace(
            self,
            recommendations=(*self.recommendations[:-1], (when, count)),
            active_at=when if self.active_at == last else self.active_at,
        )


@dataclass(frozen=True, slots=True)
class Plan:
    """A decision.

    Attributes:
        desired: nodes the pool should have; those that are draining do not count.
        why: in words, for logs and `elastron status`.
        history: to be given to the next `desired()`; the caller is expected to carry the plan out.
        minimum: nodes at least now, by settings and schedule.
        needed: nodes that the demand alone is worth; None: demand not known.
    """

    desired: int
    why: str
    history: History
    minimum: int
    needed: int | None


def desired(
    demand: Demand | None,
    nodes: Sequence[Node],
    settings: PoolSettings,
    history: History,
    now: float,
) -> Plan:
    """How many nodes a pool should have.

    Args:
        demand: scans that run and wait in this pool; None: not known, the source does not answer.
        nodes: of this pool, in all states.
        settings: of this pool.
        history: of the plan before, or `History()`.
        now: seconds since 1970 (the schedule needs the calendar); must not go back by much.
    """
    minimum = min(schedule_of(settings).minimum(now), settings.max)
    current = history.current
    if current is None:
        current = sum(node.state is not NodeState.DRAINING for node in nodes)
    past = history.recommendations or ((now, current),)
    if demand is None:
        step = _Step(current, "no metrics: held")
        recommendation, needed, active_at = current, None, now if current else history.active_at
    else:
        leaving = sum(node.running for node in nodes if node.state is NodeState.DRAINING)
        load = max(demand.total - leaving, 0)
        needed = math.ceil(load / settings.target_per_node - 1e-9)
        idle_since = history.active_at if history.active_at is not None or not current else now
        active_at = now if load else idle_since
        if minimum == 0 and load == 0 and (not current or _idle(settings, active_at, now)):
            step = _Step(0, "idle: none needed")
            recommendation = 0
        else:
            recommendation = _recommend(load, needed, nodes, settings, current)
            step = _move(
                recommendation, load, settings, history=history, past=past, current=current, now=now
            )
            step = replace(step, why=f"{_said(demand, needed, settings)}{step.why}")
    wanted = min(max(step.nodes, minimum), settings.max)
    why = step.why
    if wanted > step.nodes:
        why += f"; minimum {minimum}"
    elif wanted < step.nodes or recommendation > settings.max:
        why += f"; maximum {settings.max}"
    changes = _recent(history.changes, 1800, now)
    if wanted != current:
        changes = (*changes, (now, wanted - current))[-_CHANGES_MAX:]
    after = History(
        current=wanted,
        recommendations=_noted(past, recommendation, settings, now),
        changes=changes,
        active_at=active_at,
    )
    return Plan(wanted, why, after, minimum, needed)


def settled_until(plan: Plan, settings: PoolSettings, now: float) -> float:
    """Until when the same demand and nodes lead to the same decision (seconds since 1970).

    For who does not want to ask again and again, as the simulator; not before a decision that
    changed nothing. What it leaves out, `History.held_until` makes up for.

    Args:
        plan: the last.
        settings: of the pool.
        now: when it was made.
    """
    scaling, history = settings.scaling, plan.history
    windows = (scaling.scale_up.stabilisation_window_s, scaling.scale_down.stabilisation_window_s)
    policies = (*scaling.scale_up.policies, *scaling.scale_down.policies)
    times = [schedule_of(settings).until(now)]
    times += [when + window for when, _ in history.recommendations[:-1] for window in windows]
    times += [when + policy.period_s for when, _ in history.changes for policy in policies]
    if plan.minimum == 0 and history.active_at is not None and scaling.idle_to_zero_s is not None:
        times.append(history.active_at + scaling.idle_to_zero_s)
    return min((time for time in times if time > now), default=math.inf)


def removable(nodes: Iterable[Node], count: int) -> list[Node]:
    """Up to `count` nodes that may go, in the order in which they should.

    Never one with a running scan. Dead ones first, then those that have not started, then idle
    ones; among these the youngest first, as the others' caches are warmer. The gateway may have
    placed a scan since it was asked: drain them, do not kill them.
    """
    order = {NodeState.DEAD: 0, NodeState.STARTING: 1, NodeState.READY: 2}
    idle = [node for node in nodes if node.running == 0 and node.state in order]
    idle.sort(key=lambda node: node.id)
    idle.sort(key=lambda node: (order[node.state], -node.since))
    return idle[: max(count, 0)]


@dataclass(frozen=True, slots=True)
class _Step:
    nodes: int
    why: str


def _idle(settings: PoolSettings, active_at: float | None, now: float) -> bool:
    limit_s = settings.scaling.idle_to_zero_s
    return limit_s is not None and active_at is not None and now - active_at >= limit_s


def _recommend(
    load: int, needed: int, nodes: Sequence[Node], settings: PoolSettings, current: int
) -> int:
    """Nodes that load and buffer are worth, before windows and limits."""
    scaling = settings.scaling
    target = settings.target_per_node
    spare = scaling.buffer.beside(needed)
    up, down = scaling.scale_up.tolerance, scaling.scale_down.tolerance
    count = hpa.replicas(
        load + spare * target,
        target=target,
        current=current,
        ready=sum(node.state in (NodeState.READY, NodeState.BUSY) for node in nodes),
        missing=sum(node.state is NodeState.DEAD for node in nodes),
        tolerance_up=scaling.tolerance if up is None else up,
        tolerance_down=scaling.tolerance if down is None else down,
    )
    # The last node goes by `idle_to_zero_s` only.
    return max(count, 1) if load or current else count


def _move(
    recommendation: int,
    load: int,
    settings: PoolSettings,
    *,
    history: History,
    past: tuple[tuple[float, int], ...],
    current: int,
    now: float,
) -> _Step:
    """From the recommendation to what windows and rate policies let through."""
    up, down = settings.scaling.scale_up, settings.scaling.scale_down
    stable = hpa.stabilise(
        recommendation,
        past,
        current=current,
        up_window_s=up.stabilisation_window_s,
        down_window_s=down.stabilisation_window_s,
        now=now,
    )
    limited = hpa.limit(stable, history.changes, current=current, up=up, down=down, now=now)
    if current == 0 and load:
        # A percentage of nothing is nothing: from zero, the first node is always allowed.
        limited = max(limited, 1)
    if limited != stable:
        return _Step(limited, "; limited by the rate policies")
    if stable != recommendation:
        window = up if stable < recommendation else down
        return _Step(limited, f"; held for {window.stabilisation_window_s:g} s")
    return _Step(limited, "")


def _said(demand: Demand, needed: int, settings: PoolSettings) -> str:
    said = f"{demand.running} running + {demand.queued} queued: {needed} needed"
    spare = settings.scaling.buffer.beside(needed)
    return f"{said} + {spare} spare" if spare else said


def _recent(
    records: tuple[tuple[float, int], ...], window_s: float, now: float
) -> tuple[tuple[float, int], ...]:
    if records and records[0][0] <= now - window_s:
        return tuple(record for record in records if record[0] > now - window_s)
    return records


def _noted(
    past: tuple[tuple[float, int], ...], recommendation: int, settings: PoolSettings, now: float
) -> tuple[tuple[float, int], ...]:
    """`past` and the newest recommendation, without what no window will look at."""
    scaling = settings.scaling
    window_s = max(
        scaling.scale_up.stabilisation_window_s, scaling.scale_down.stabilisation_window_s
    )
    past = _recent(past, window_s, now)
    if past and past[-1][1] == recommendation:
        past = past[:-1]  # a window asks only when a run of equal ones ended
    return (*past, (now, recommendation))

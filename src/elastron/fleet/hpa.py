"""The algorithm of the Kubernetes HorizontalPodAutoscaler: the same settings mean the same here.

Follows `pkg/controller/podautoscaler` of Kubernetes: `calcPlainMetricReplicas` (ratio, tolerance,
unready pods, missing metrics), `stabilizeRecommendationWithBehaviors` (windows) and
`convertDesiredReplicasWithBehaviorRate` (rate policies). The metric is the scans that a node runs;
those that wait in the queue are counted with them, as the fleet's load.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from elastron.fleet.settings import Behaviour, PolicyKind, Select

#: Against rounding: 0.3 / 0.1 is not three to a computer.
_HAIR = 1e-9


def replicas(
    load: float,
    *,
    target: float,
    current: int,
    ready: int,
    missing: int = 0,
    tolerance_up: float = 0.1,
    tolerance_down: float = 0.1,
) -> int:
    """Nodes that a load is worth: ceil(nodes x load per node / target).

    Args:
        load: of all ready nodes together, and what waits.
        target: load that one node should have.
        current: nodes decided upon before.
        ready: those of them whose load is known.
        missing: those that do not tell theirs. When the fleet would shrink they are taken for fully
            loaded, when it would grow for idle. All others have not started yet, and are idle.
        tolerance_up: no growth while the load is above the target by at most this share.
        tolerance_down: no shrinking while it is below by at most this share.
    """
    if current <= 0:
        return math.ceil(load / target - _HAIR)
    ready = min(ready, current)
    missing = min(missing, current - ready)
    # Ready nodes alone say in which direction to go. With none, the HPA has no metric and stays;
    # what waits at the gateway is known all the same.
    ratio = load / (target * ready) if ready else (math.inf if load > 0 else 0.0)
    if ratio < 1:
        counted = ready + missing
        if not counted:
            return 0
        dampened = (load + missing * target) / (target * counted)
        if 1 - dampened <= tolerance_down + _HAIR:
            return current
        return min(current, math.ceil(dampened * counted - _HAIR))
    dampened = load / (target * current)
    if dampened - 1 <= tolerance_up + _HAIR:
        return current
    return math.ceil(dampened * current - _HAIR)


def stabilise(
    recommendation: int,
    past: Iterable[tuple[float, int]],
    *,
    current: int,
    up_window_s: float,
    down_window_s: float,
    now: float,
) -> int:
    """The most cautious recommendation of the recent past.

    Growth is held to the lowest within `up_window_s`, shrinking to the highest within
    `down_window_s`.

    Args:
        recommendation: the newest.
        past: earlier ones as (when, how many).
        current: nodes decided upon before.
        up_window_s: seconds; 0: grow at once.
        down_window_s: seconds; 0: shrink at once.
        now: on the clock of `past`.
    """
    lowest = highest = recommendation
    for when, count in past:
        if when > now - up_window_s:
            lowest = min(lowest, count)
        if when > now - down_window_s:
            highest = max(highest, count)
    return min(max(current, lowest), highest)


def limit(
    wanted: int,
    changes: Iterable[tuple[float, int]],
    *,
    current: int,
    up: Behaviour,
    down: Behaviour,
    now: float,
) -> int:
    """As much of the way from `current` to `wanted` as the rate policies allow now.

    Args:
        wanted: nodes after stabilisation.
        changes: earlier ones as (when, nodes more; negative: fewer).
        current: nodes decided upon before.
        up: for growing.
        down: for shrinking.
        now: on the clock of `changes`.
    """
    if wanted > current:
        return min(wanted, max(current, _most(up, list(changes), current, now)))
    if wanted < current:
        return max(wanted, min(current, _least(down, list(changes), current, now)))
    return current


def _at_start(changes: list[tuple[float, int]], period_s: float, current: int, now: float) -> int:
    """Nodes there were when the period began."""
    return current - sum(change for when, change in changes if when > now - period_s)


def _most(up: Behaviour, changes: list[tuple[float, int]], current: int, now: float) -> int:
    if up.select is Select.DISABLED:
        return current
    proposals: list[int] = []
    for policy in up.policies:
        start = _at_start(changes, policy.period_s, current, now)
        if policy.type is PolicyKind.NODES:
            proposals.append(start + policy.value)
        else:  # rounded up, or a few nodes would never become more
            proposals.append(math.ceil(start * (1 + policy.value / 100) - _HAIR))
    return min(proposals) if up.select is Select.MIN else max(proposals)


def _least(down: Behaviour, changes: list[tuple[float, int]], current: int, now: float) -> int:
    if down.select is Select.DISABLED:
        return current
    proposals: list[int] = []
    for policy in down.policies:
        start = _at_start(changes, policy.period_s, current, now)
        if policy.type is PolicyKind.NODES:
            proposals.append(start - policy.value)
        else:  # cut off, so that at least one node may go
            proposals.append(math.floor(start * (1 - policy.value / 100) + _HAIR))
    return max(proposals) if down.select is Select.MIN else min(proposals)

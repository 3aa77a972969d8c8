"""Fleets that a plan for their size is made for."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from elastron.fleet.model import Demand, Node, NodeState
from elastron.fleet.scaling import History, Plan, desired
from elastron.fleet.settings import (
    Buffer,
    Moment,
    PoolSettings,
    ScalingSettings,
    ScheduleRule,
)

MONDAY = datetime(2026, 3, 2, tzinfo=UTC).timestamp()
EVERY_QUARTER = ScheduleRule(
    up=Moment(cron="1-59/15 * * * *", min=1), down=Moment(cron="*/15 * * * *", min=0)
)


def pool(
    minimum: int = 1, maximum: int = 20, *, capacity: int = 1, buffer: int = 0, **scaling
) -> PoolSettings:
    made = ScalingSettings(buffer=Buffer(nodes=buffer), **scaling)
    return PoolSettings(min=minimum, max=maximum, capacity=capacity, scaling=made)


def ready(count: int, running: int = 0) -> list[Node]:
    return [
        Node(f"n{i}", f"n{i}", state=NodeState.READY, running=running, since=float(i))
        for i in range(count)
    ]


class Fleet:
    """A fleet that carries every plan out at once."""

    def __init__(self, settings: PoolSettings, nodes: int = 0, now: float = MONDAY) -> None:
        self.settings = settings
        self.now = now
        self.history = History()
        self.nodes: Sequence[Node] = ready(nodes)

    def look(self, running: int | None, queued: int = 0, after_s: float = 0.5) -> Plan:
        self.now += after_s
        demand = None if running is None else Demand(running, queued)
        plan = desired(demand, self.nodes, self.settings, self.history, self.now)
        self.history = plan.history
        self.nodes = ready(plan.desired)
        return plan

"""What is to be done with each pool now. Pure: what is seen and the time are arguments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from elastron.autoscaler.view import View
from elastron.fleet.model import Demand, Node, NodeState
from elastron.fleet.scaling import History, desired, removable
from elastron.fleet.settings import PoolSettings


@dataclass(frozen=True, slots=True)
class Decision:
    """What is to be done with a pool.

    Attributes:
        desired: nodes it should have, leaving ones not counted.
        current: nodes it has, counted alike.
        start: so many more are to be started.
        stop: these are to go.
        why: in words.
        history: for the next decision.
        minimum: nodes at least, by settings and schedule.
    """

    desired: int
    current: int
    start: int
    stop: tuple[str, ...]
    why: str
    history: History
    minimum: int


def decide(
    view: View | None,
    nodes: Sequence[Node],
    pools: Mapping[str, PoolSettings],
    histories: Mapping[str, History],
    now: float,
) -> dict[str, Decision]:
    """What is to be done, by pool.

    Args:
        view: what the gateway says; None: it does not answer, so nothing is taken away.
        nodes: of all pools, as the backend knows them.
        pools: settings.
        histories: of the decisions before; a pool that is missing begins.
        now: seconds since 1970.
    """
    decisions: dict[str, Decision] = {}
    for pool, settings in pools.items():
        own = [_seen(node, view) for node in nodes if node.pool == pool]
        demand = None if view is None else view.demand.get(pool, Demand())
        plan = desired(demand, own, settings, histories.get(pool, History()), now)
        current = sum(node.state is not NodeState.DRAINING for node in own)
        surplus = 0 if view is None else current - plan.desired
        decisions[pool] = Decision(
            desired=plan.desired,
            current=current,
            start=max(0, plan.desired - current),
            stop=tuple(node.id for node in removable(own, surplus)),
            why=plan.why,
            history=plan.history,
            minimum=plan.minimum,
        )
    return decisions


def pinned(pools: Mapping[str, PoolSettings], pins: Mapping[str, int]) -> dict[str, PoolSettings]:
    """Pools of which some are held at a number of nodes by an operator."""
    return {
        name: pool.model_copy(update={"min": pins[name], "max": pins[name]})
        if name in pins
        else pool
        for name, pool in pools.items()
    }


def _seen(node: Node, view: View | None) -> Node:
    """A node of the backend's with what the gateway knows of it."""
    if view is None:
        return node
    load = view.loads.get(node.id)
    if node.state is not NodeState.READY:
        return node if load is None else replace(node, running=load.running)
    if load is None:  # the gateway has not seen it yet
        return replace(node, state=NodeState.STARTING)
    return replace(node, state=load.state, running=load.running)

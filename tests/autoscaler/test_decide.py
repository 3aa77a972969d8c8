from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from elastron.autoscaler.decide import decide, pinned
from elastron.autoscaler.view import Load, View
from elastron.fleet.model import Demand, Node, NodeState
from elastron.fleet.settings import FleetSettings, PoolSettings, parse_fleet

NOW = 1_800_000_000.0
POOLS = {"default": PoolSettings(min=1, max=6)}


def nodes(*states: NodeState, pool: str = "default") -> list[Node]:
    return [Node(id=f"n{i}", address="", pool=pool, state=each) for i, each in enumerate(states)]


def view(demand: Demand, **running: int) -> View:
    loads = {
        name: Load(NodeState.BUSY if count else NodeState.READY, count)
        for name, count in running.items()
    }
    return View({"default": demand}, loads)


def one(seen: View | None, there: list[Node], pools=POOLS, histories=None, now=NOW):
    return decide(seen, there, pools, histories or {}, now)["default"]


def test_an_empty_fleet_is_brought_to_its_minimum_even_without_the_gateway():
    assert one(None, []).start == 1
    assert one(view(Demand()), []).start == 1


def test_a_burst_brings_all_nodes_at_once():
    decision = one(view(Demand(running=1, queued=19), n0=1), nodes(NodeState.READY))
    assert decision.start == 5
    assert decision.desired == 6


def test_starting_nodes_are_counted_and_leaving_ones_are_not():
    there = nodes(NodeState.READY, NodeState.STARTING, NodeState.DRAINING)
    decision = one(view(Demand(running=1, queued=2), n0=1), there)
    assert decision.current == 2


def test_nothing_is_taken_away_without_the_gateway():
    pools = {"default": FleetSettings().pools["default"].model_copy(update={"min": 1, "max": 2})}
    decision = one(None, nodes(*[NodeState.READY] * 5), pools)
    assert decision.desired == 2
    assert decision.stop == ()


def test_a_node_with_a_scan_stays_when_the_pool_is_pinned_below():
    pools = pinned(POOLS, {"default": 1})
    there = nodes(*[NodeState.READY] * 3)
    decision = one(view(Demand(running=2), n0=1, n1=0, n2=1), there, pools)
    assert decision.desired == 1
    assert decision.stop == ("n1",)


def test_a_node_that_the_gateway_does_not_know_yet_counts_as_starting():
    decision = one(view(Demand(queued=1)), nodes(NodeState.READY))
    assert decision.current == 1
    assert decision.stop == ()


def test_pins_leave_other_pools_alone():
    pools = {"default": PoolSettings(), "gpu": PoolSettings(max=2)}
    held = pinned(pools, {"gpu": 2, "unknown": 3})
    assert held["default"] is pools["default"]
    assert (held["gpu"].min, held["gpu"].max) == (2, 2)


def test_pools_are_decided_apart():
    pools = parse_fleet("pools: {default: {min: 1, max: 4}, gpu: {min: 0, max: 2}}").pools
    seen = View({"default": Demand(), "gpu": Demand(queued=2)}, {})
    decisions = decide(seen, nodes(NodeState.READY), pools, {}, NOW)
    assert decisions["default"].start == 0
    assert decisions["gpu"].start == 2


@st.composite
def situations(draw):
    states = draw(st.lists(st.sampled_from(NodeState), max_size=8))
    there = nodes(*states)
    counts = {node.id: draw(st.integers(0, 1)) for node in there if draw(st.booleans())}
    demand = Demand(draw(st.integers(0, 12)), draw(st.integers(0, 12)))
    seen = None if draw(st.booleans()) else view(demand, **counts)
    low = draw(st.integers(0, 4))
    pools = {"default": PoolSettings(min=low, max=draw(st.integers(max(low, 1), 8)))}
    return seen, there, pools, counts


@given(st.lists(situations(), min_size=1, max_size=6))
def test_bounds_hold_and_no_running_scan_is_chosen(steps):
    histories = {}
    for step, (seen, there, pools, counts) in enumerate(steps):
        decision = one(seen, there, pools, histories, NOW + step)
        histories = {"default": decision.history}
        assert pools["default"].min <= decision.desired <= pools["default"].max
        assert decision.start == max(0, decision.desired - decision.current)
        assert len(decision.stop) <= max(0, decision.current - decision.desired)
        assert all(seen is not None and not counts.get(name) for name in decision.stop)
        assert not (decision.start and decision.stop)
        draining = {node.id for node in there if node.state is NodeState.DRAINING}
        assert not draining & set(decision.stop)

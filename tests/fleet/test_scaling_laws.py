"""What holds for any fleet, demand and history."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from elastron.fleet.model import Demand, Node, NodeState
from elastron.fleet.scaling import History, desired, removable, settled_until
from elastron.fleet.settings import (
    Buffer,
    PolicyKind,
    PoolSettings,
    RatePolicy,
    ScaleDown,
    ScaleUp,
    ScalingSettings,
    Select,
)
from tests.fleet.scaled_fleet import EVERY_QUARTER, MONDAY, ready

behaviours = st.fixed_dictionaries(
    {
        "stabilisation_window_s": st.sampled_from([0, 30, 300]),
        "policies": st.lists(
            st.builds(
                RatePolicy,
                type=st.sampled_from(PolicyKind),
                value=st.sampled_from([1, 3, 50, 200]),
                period_s=st.sampled_from([15, 60, 600]),
            ),
            min_size=1,
            max_size=2,
        ).map(tuple),
        "select": st.sampled_from(Select),
        "tolerance": st.none() | st.sampled_from([0.0, 0.1, 0.5]),
    }
)


@st.composite
def pools(draw: st.DrawFn, *, schedules: bool = True) -> PoolSettings:
    maximum = draw(st.integers(1, 30))
    return PoolSettings(
        min=draw(st.integers(0, maximum)),
        max=maximum,
        capacity=draw(st.sampled_from([1, 2, 7])),
        scaling=ScalingSettings(
            target=draw(st.sampled_from([1.0, 0.8, 0.3])),
            tolerance=draw(st.sampled_from([0.0, 0.1, 1.0])),
            buffer=draw(
                st.builds(Buffer, nodes=st.integers(0, 3), percent=st.sampled_from([0, 25, 100]))
            ),
            scale_up=ScaleUp(**draw(behaviours)),
            scale_down=ScaleDown(**draw(behaviours)),
            idle_to_zero_s=draw(st.none() | st.sampled_from([0, 60, 600])),
            schedule=draw(st.sampled_from([(), (EVERY_QUARTER,)])) if schedules else (),
        ),
    )


nodes = st.lists(
    st.builds(
        Node,
        id=st.uuids().map(str),
        address=st.just("a"),
        state=st.sampled_from(NodeState),
        running=st.integers(0, 3),
        since=st.floats(0, 1000),
    ),
    max_size=12,
)
demands = st.none() | st.builds(Demand, st.integers(0, 40), st.integers(0, 40))
looks = st.lists(st.tuples(st.sampled_from([0.5, 15, 61, 301]), demands, nodes), max_size=12)


def after(settings: PoolSettings, past: list[tuple[float, Demand | None, list[Node]]]):
    history, now = History(), MONDAY
    for after_s, demand, there in past:
        now += after_s
        history = desired(demand, there, settings, history, now).history
    return history, now + 0.5


@given(pools(), looks, demands, nodes)
def test_bounds_always_hold(settings, past, demand, there):
    history, now = after(settings, past)
    plan = desired(demand, there, settings, history, now)
    schedule = settings.scaling.schedule
    assert (0 if schedule else settings.min) <= plan.desired <= settings.max
    assert plan.minimum <= plan.desired
    assert plan.history.current == plan.desired
    assert plan.why


@given(pools(), looks, demands.filter(bool), st.tuples(*[st.integers(0, 30)] * 2), nodes)
def test_more_demand_never_means_fewer_nodes(settings, past, demand, extra, there):
    history, now = after(settings, past)
    more = Demand(demand.running + extra[0], demand.queued + extra[1])
    low = desired(demand, there, settings, history, now)
    high = desired(more, there, settings, history, now)
    assert low.desired <= high.desired


@given(pools(schedules=False), looks, st.integers(0, 60))
def test_constant_demand_leads_one_way_and_then_to_rest(settings, past, load):
    history, now = after(settings, past)
    there = ready(history.current or 0)
    counts: list[int] = []
    for _ in range(80):
        now += 61
        plan = desired(Demand(load, 0), there, settings, history, now)
        history, there = plan.history, ready(plan.desired)
        counts.append(plan.desired)
    steps = [later - earlier for earlier, later in pairwise(counts) if later != earlier]
    assert all(step > 0 for step in steps) or all(step < 0 for step in steps)
    rested = [later - earlier for earlier, later in pairwise(counts[-15:])]
    slow = [p for b in (settings.scaling.scale_up, settings.scaling.scale_down) for p in b.policies]
    if all(policy.period_s < 61 * 5 and policy.value > 30 for policy in slow):
        assert not any(rested)


@given(pools(), looks)
def test_blind_it_never_shrinks(settings, past):
    history, now = after(settings, past)
    plan = desired(None, ready(history.current or 0), settings, history, now)
    assert plan.desired >= min(history.current or 0, settings.max)


@given(nodes, st.integers(-1, 20))
def test_a_busy_node_is_never_chosen(there, count):
    gone = removable(there, count)
    assert len(gone) <= max(count, 0)
    assert len({node.id for node in gone}) == len(gone)
    assert all(node.running == 0 for node in gone)
    assert all(node.state is not NodeState.DRAINING for node in gone)
    idle = [n for n in there if n.running == 0 and n.state in removable_states]
    assert len(gone) == min(max(count, 0), len(idle))


removable_states = (NodeState.DEAD, NodeState.STARTING, NodeState.READY)


@given(pools(), looks, st.integers(0, 40), st.lists(st.floats(0, 1), max_size=6))
def test_until_it_is_settled_nothing_new_is_decided(settings, past, load, parts):
    """What lets the simulator leave looks out."""
    history, now = after(settings, past)
    there, demand = ready(history.current or 0), Demand(load, 0)
    plan = desired(demand, there, settings, history, now)
    while plan.desired != history.current:  # a decision that changed something is not settled
        history, there, now = plan.history, ready(plan.desired), now + 0.5
        plan = desired(demand, there, settings, history, now)
    until = min(settled_until(plan, settings, now), now + 3600)
    history = plan.history
    looked = [now + part * (until - now) * 0.999 for part in sorted(parts)]
    for at in looked:
        later = desired(demand, there, settings, history, at)
        assert later.desired == plan.desired
        history = later.history
    if looked:
        assert plan.history.held_until(looked[-1]) == replace(history, changes=plan.history.changes)
